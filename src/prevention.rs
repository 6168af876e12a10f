//! What will fail next, judged from probes beside the rounds: when each is due, and what it says. No I/O; time is an
//! argument.
//!
//! These probes change no verdict and count in no ratio. Their distances are stated in rounds, so that together they cost
//! less than a tenth of the rounds whatever the interval; only a replayed health check has its own.

pub mod content;
pub mod health_check;
pub mod keepalive;
pub mod patient;

#[cfg(test)]
mod tests {
    use super::{content, keepalive, patient};

    /// Of an address with one path; with more paths there are more probes to a round, and no more of these.
    #[test]
    fn at_worst_they_cost_less_than_a_tenth_of_the_rounds() {
        let row = f64::from(keepalive::IN_A_ROW * keepalive::REQUESTS) / f64::from(keepalive::ROUNDS_BETWEEN);
        let share = row + 1.0 / f64::from(patient::ROUNDS_BETWEEN) + 1.0 / f64::from(content::ROUNDS_BETWEEN);
        assert!(share < 0.1, "{share}");
    }
}
