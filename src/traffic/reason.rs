//! What is said of a failure in the end, where one line or two tell of it.

use crate::cause::Cause;
use crate::exchange::Reason;

/// A cause, and what else it may have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The cause.
    pub cause: Cause,
    /// In the order of [`Cause::ALL`]; empty where there is no doubt.
    pub candidates: Vec<Cause>,
    /// An error line can still say more.
    pub(super) open: bool,
}

impl From<Reason> for Told {
    fn from(reason: Reason) -> Told {
        let mut candidates = reason.candidates.to_vec();
        candidates.sort_unstable();
        Told {
            cause: reason.cause,
            candidates,
            open: !reason.settled,
        }
    }
}

impl Told {
    /// What both together say, this of an access line or an error line, `error` of an error line:
    ///
    /// 1. What the first leaves no doubt about stays.
    /// 2. What the second leaves no doubt about is taken.
    /// 3. One cause that both allow is the cause.
    /// 4. Else the error line's word, with what both allow; where that is nothing, with what the error line allows.
    pub(super) fn with(&self, error: &Told) -> Told {
        if !self.open {
            return self.clone();
        }
        if !error.open {
            return error.clone();
        }
        let both: Vec<Cause> = error
            .candidates
            .iter()
            .copied()
            .filter(|cause| self.candidates.contains(cause))
            .collect();
        match both.as_slice() {
            [only] => Told {
                cause: *only,
                candidates: Vec::new(),
                open: false,
            },
            [] => error.clone(),
            _ => Told {
                cause: error.cause,
                candidates: both,
                open: true,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lines_say_more_than_one() {
        use Cause::*;
        let told = |reason: Reason| Told::from(reason);
        let no_byte = told(Reason::one_of(ResponseFailed, &[ResponseClosed, ResponseReset]));
        let closed = told(Reason::one_of(ResponseFailed, &[ResponseClosed, ResponseMalformed]));
        let refused = told(Reason::exact(ConnectRefused));
        let status = told(Reason::open(BadGateway));
        let own = told(Reason::exact(BadGateway));
        let any = told(Reason::one_of(
            ResponseFailed,
            &[ResponseClosed, ResponseReset, ResponseMalformed],
        ));
        assert_eq!(no_byte.with(&closed).cause, ResponseClosed);
        assert_eq!(status.with(&refused).cause, ConnectRefused);
        assert_eq!(own.with(&refused).cause, BadGateway);
        assert_eq!(status.with(&closed), closed);
        assert_eq!(any.with(&closed).candidates, [ResponseClosed, ResponseMalformed]);
    }
}
