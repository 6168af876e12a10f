//! Why are users seeing 502s, and which hop do I fix?
//!
//! The map of the crate, in reading order. Data flows one way, from the top of this list to its end.

pub mod cause;
pub mod classify;
pub mod clock;
pub mod finding;
pub mod observation;
pub mod pace;
pub mod probe;
pub mod schedule;
pub mod upstream;
