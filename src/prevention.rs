//! What will fail next, judged from probes beside the rounds: when each is due, and what it says. No I/O; time is an
//! argument.
//!
//! These probes change no verdict and count in no ratio. Their distances are stated in rounds, so that together they cost
//! less than a tenth of the rounds whatever the interval; only a replayed health check has its own.

pub mod patient;
