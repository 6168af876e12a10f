//! What reading needs besides the tree, and where problems go.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use super::env;
use super::error::{Note, Place, Problem, Problems};
use super::operation::ConfigFile;
use crate::gateway_config::Said;

/// The environment: a variable's value, or `None` when it is not set.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What reading needs besides the tree, and where problems go.
pub struct Context<'a> {
    /// The file as the operator named it.
    pub file: Arc<str>,
    /// Relative paths in the file start here.
    pub base_dir: &'a Path,
    /// Where `${NAME}` is looked up; `None` where it is text like any other.
    env: Option<Env<'a>>,
    problems: RefCell<Problems>,
    notes: RefCell<Vec<Note>>,
    /// What gateways' own configurations last said.
    last: &'a [ConfigFile],
}

impl<'a> Context<'a> {
    /// Nothing read yet.
    pub fn new(file: &str, base_dir: &'a Path, env: Env<'a>) -> Self {
        Context {
            env: Some(env),
            ..Context::literal(file, base_dir)
        }
    }

    /// As [`Context::new`], for formats of others, which know no variables.
    pub fn literal(file: &str, base_dir: &'a Path) -> Self {
        Context {
            file: file.into(),
            base_dir,
            env: None,
            problems: RefCell::default(),
            notes: RefCell::default(),
            last: &[],
        }
    }

    /// The same, knowing what gateways' own configurations last said: one that is broken now changes nothing.
    pub fn after(self, last: &'a [ConfigFile]) -> Self {
        Context { last, ..self }
    }

    /// What the configuration of that gateway in that file last said.
    pub fn last_said(&self, gateway: &str, path: &Path) -> Option<&'a Said> {
        let same = |file: &&ConfigFile| *file.gateway == *gateway && file.path == path;
        self.last.iter().find(same)?.said.as_ref()
    }

    /// The text with its variables replaced, or what is wrong with it.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        match self.env {
            Some(env) => env::expand(text, env),
            None => Ok(text.to_owned()),
        }
    }

    /// Reports a problem.
    pub fn problem(&self, place: &Place, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem {
            file: self.file.clone(),
            line: place.at.line,
            column: place.at.column,
            path: place.path.clone(),
            message: message.into(),
        });
    }

    /// Tells of something that is no problem.
    pub fn note(&self, place: &Place, message: impl Into<String>) {
        self.notes.borrow_mut().push(Note {
            at: place.at,
            path: place.path.clone(),
            message: message.into(),
        });
    }

    /// All notes, in the order of the file.
    pub fn take_notes(&self) -> Vec<Note> {
        let mut notes = self.notes.take();
        notes.sort_by_key(|note| note.at);
        notes
    }

    /// True while nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// True when further problems are only counted.
    pub fn is_full(&self) -> bool {
        self.problems.borrow().is_full()
    }

    /// All problems, in the order of the file.
    pub fn into_problems(self) -> Problems {
        self.problems.into_inner().sorted()
    }
}
