//! What reading needs besides the tree, and where problems go.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use super::env;
use super::error::{Place, Problem, Problems};

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
        }
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
