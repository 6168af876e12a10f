//! How the lines of a gateway's log are taken apart: formats compiled once, fields by meaning, and who reads them.
//!
//! A kind states its [`Logs`]: the formats it writes, what its variables mean, and how fields become an
//! [`Exchange`]. [`Parser`] is one log of one gateway under way. Text from clients can never become another
//! field: `pattern.rs` says how.

pub(super) mod bytes;
mod columns;
mod fields;
pub(super) mod go;
mod json;
pub(super) mod openssl;
mod parser;
mod pattern;
mod syntax;
#[cfg(test)]
pub(super) mod testing;
pub(super) mod text;
pub(super) mod time;

pub use fields::{Field, Fields, Unit};
pub(super) use json::ErrorKeys;
pub use parser::Parser;
pub(super) use syntax::HTTPLOG;
pub use syntax::{FormatError, Syntax};

use crate::cause::Cause;
use crate::exchange::{Complaint, Exchange};

/// What is known of a kind's logs.
#[derive(Debug)]
pub struct Logs {
    /// The formats it writes by default or by recommendation, most usual first.
    pub formats: &'static [Format],
    /// How its own format strings are written; `None` where the format cannot be chosen.
    pub syntax: Option<Syntax>,
    /// What the variables of its format strings mean. Those not listed are read over.
    pub variables: &'static [Variable],
    /// Turns the fields of one line into a request. `None`: these fields are no request.
    pub exchange: for<'l> fn(&Fields<'_, 'l>) -> Option<Exchange<'l>>,
    /// Reads a line of the error log; `None` where the kind writes none, or says nothing of requests there.
    pub errors: Option<ErrorLines>,
    /// The causes its logs can end in, for series that begin at zero.
    pub causes: &'static [Cause],
    /// What its logs can and cannot tell, one sentence each, for the README.
    pub tells: &'static str,
    /// See [`Logs::tells`].
    pub silent: &'static str,
}

/// Reads one line of an error log. What spans several lines is kept in [`Memory`] between them.
pub type ErrorLines = for<'l> fn(&mut Memory, &'l [u8]) -> ErrorLine<'l>;

/// What earlier lines of the same log said that a later one needs.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Numbers, as the kind has use for them.
    pub numbers: [u64; 4],
    /// Text, as the kind has use for it; bounded by the kind.
    pub texts: [Vec<u8>; 4],
    /// What earlier lines of the same fault said of it, for a complaint whose own line does not.
    pub about: About,
}

/// What earlier lines said of a fault; empty where they did not.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The target asked for.
    pub request: Vec<u8>,
    /// What the gateway calls the backend.
    pub name: Vec<u8>,
    /// The backend's address.
    pub backend: Vec<u8>,
}

impl About {
    /// Longer texts are cut.
    const MAX: usize = 1024;

    /// Nothing is known of the next fault.
    pub fn clear(&mut self) {
        for text in [&mut self.request, &mut self.name, &mut self.backend] {
            text.clear();
        }
    }

    /// Keeps a text in place of the one before.
    pub fn keep(into: &mut Vec<u8>, text: &[u8]) {
        into.clear();
        into.extend_from_slice(&text[..text.len().min(Self::MAX)]);
    }

    /// Gives a complaint what its line does not say.
    fn complete<'l>(&'l self, complaint: &mut Complaint<'l>) {
        for (missing, known) in [
            (&mut complaint.join.request, &self.request),
            (&mut complaint.names[0], &self.name),
            (&mut complaint.backend, &self.backend),
        ] {
            if missing.is_empty() {
                *missing = known;
            }
        }
    }
}

/// What a line of an error log is.
#[derive(Clone, Debug)]
pub enum ErrorLine<'l> {
    /// A fault of a request.
    Complaint(Complaint<'l>),
    /// A line of that log that says nothing of a failed request.
    Other,
    /// No line of that log.
    Foreign,
}

/// A format a kind writes.
#[derive(Debug)]
pub struct Format {
    /// A short name, as the vendor has it: `combined`.
    pub name: &'static str,
    /// How it is laid out.
    pub layout: Layout,
}

/// How a line is laid out.
#[derive(Debug)]
pub enum Layout {
    /// As a format string of the gateway's own.
    Pattern(&'static str),
    /// One JSON object; where each field is found.
    Json(&'static [Key]),
    /// Values between separators, in this order, unless a `#Fields:` line says otherwise.
    Columns {
        /// What stands between two values.
        separator: u8,
        /// The names of the columns, as `variables` list them.
        names: &'static [&'static str],
    },
}

/// A variable of a format string, or a column.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// As the format string names it, in lower case where the gateway does not care.
    pub name: &'static str,
    /// What it means.
    pub field: Field,
    /// The unit of its number.
    pub unit: Unit,
}

/// A value in a JSON line.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The keys that lead to it, outermost first, with `/` between.
    pub path: &'static str,
    /// What it means.
    pub field: Field,
    /// The unit of its number.
    pub unit: Unit,
}

/// The address of a client as a log writes it, with or without a port.
pub fn client_address(client: &[u8]) -> Option<std::net::IpAddr> {
    std::str::from_utf8(text::without_port(client)).ok()?.parse().ok()
}

/// A variable without a unit.
pub(super) const fn var(name: &'static str, field: Field) -> Variable {
    Variable {
        name,
        field,
        unit: Unit::None,
    }
}

/// A variable with a unit.
pub(super) const fn var_in(name: &'static str, field: Field, unit: Unit) -> Variable {
    Variable { name, field, unit }
}

/// A value of a JSON line without a unit.
pub(super) const fn key(path: &'static str, field: Field) -> Key {
    Key {
        path,
        field,
        unit: Unit::None,
    }
}

/// A value of a JSON line with a unit.
pub(super) const fn key_in(path: &'static str, field: Field, unit: Unit) -> Key {
    Key { path, field, unit }
}
