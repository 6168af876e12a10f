//! What error pages are read with: an answer as far as recognition looks at it, and what a kind reads in its own page.
//!
//! Each kind says in its file how its page is told and what the page says; [`crate::fingerprint`] asks them in order.
//! Texts from a peer are only compared with known ones, never carried on.

use std::time::Duration;

use memchr::memmem;

use crate::cause::Cause;
use crate::finding::Told;

/// Bytes a text taken out of a page has at most.
const MAX_TEXT: usize = 300;

/// What a kind knows of its own error page.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Place in the order in which kinds are asked; the surest marks come first. Unique.
    pub rank: u8,
    /// What the page says, where this kind wrote it. The body names the writer.
    pub read: fn(&Answer<'_>) -> Option<Said>,
    /// The product, where headers show that the answer passed through it or that it wrote it.
    pub passed: fn(&Answer<'_>) -> Option<&'static str>,
}

/// An answer as far as recognition looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// The reason phrase; empty where there is none.
    pub reason: &'a str,
    /// Kept headers, names in lower case.
    pub headers: &'a [(String, String)],
    /// The first bytes of the body.
    pub body: &'a [u8],
    /// These are all of it.
    pub whole: bool,
    /// From the start of sending the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// The kinds of the gateways the answer came through, as configured; none where the servers are asked directly.
    pub kinds: &'a [&'static str],
}

impl<'a> Answer<'a> {
    /// The values of a header.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let of_name = move |(known, value): &'a (String, String)| (known == name).then_some(value.as_str());
        self.headers.iter().filter_map(of_name)
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Some `Server` begins with this, in any case.
    pub fn server_is(&self, product: &str) -> bool {
        self.headers("server").any(|server| begins_with(server, product))
    }

    /// Some `Via` names this.
    pub fn via(&self, product: &str) -> bool {
        self.headers("via").any(|via| via.contains(product))
    }

    /// The body holds this text.
    pub fn has(&self, text: &str) -> bool {
        memmem::find(self.body, text.as_bytes()).is_some()
    }

    /// The body begins with this text.
    pub fn begins(&self, text: &str) -> bool {
        self.body.starts_with(text.as_bytes())
    }

    /// The body is exactly this text.
    pub fn is(&self, text: &str) -> bool {
        self.whole && self.body == text.as_bytes()
    }

    /// The text between the first `from` and the next `to`.
    pub fn between(&self, from: &str, to: &str) -> Option<&'a str> {
        let rest = self.bytes_after(from)?;
        let end = memmem::find(rest, to.as_bytes())?;
        std::str::from_utf8(&rest[..end]).ok()
    }

    /// The text after the first `from`, as far as a short one would go.
    pub fn after(&self, from: &str) -> Option<&'a str> {
        let rest = self.bytes_after(from)?;
        let valid = rest.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        Some(valid)
    }

    /// The number with which the text after the first `from` begins.
    pub fn number_after(&self, from: &str) -> Option<u16> {
        leading_number(self.bytes_after(from)?)
    }

    fn bytes_after(&self, from: &str) -> Option<&'a [u8]> {
        let start = memmem::find(self.body, from.as_bytes())? + from.len();
        let rest = &self.body[start..];
        Some(&rest[..rest.len().min(MAX_TEXT)])
    }

    /// A gateway of this kind is configured on the way. What a product writes as a gateway and as a server alike says
    /// something of a next hop only then.
    pub fn through(&self, kind: &str) -> bool {
        self.kinds.contains(&kind)
    }
}

/// True where the text begins with the other one, in any case.
pub fn begins_with(text: &str, start: &str) -> bool {
    text.as_bytes()
        .get(..start.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(start.as_bytes()))
}

/// The decimal number, of at most four digits, with which bytes begin.
pub fn leading_number(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=4).contains(&digits) {
        return None;
    }
    std::str::from_utf8(&bytes[..digits]).ok()?.parse().ok()
}

/// What a page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The product that wrote it; `None` where the text is known and its layer is not.
    pub writer: Option<&'static str>,
    /// What it tells of the next hop, whatever its number.
    pub told: Option<Told>,
    /// Why, where it says so.
    pub cause: Option<Cause>,
    /// What it may be where it does not; empty where nothing is left out.
    pub candidates: &'static [Cause],
}

impl Said {
    /// A page of which nothing is known.
    pub const NOTHING: Said = Said {
        writer: None,
        told: None,
        cause: None,
        candidates: &[],
    };

    /// A page of which only the writer is known.
    pub const fn by(writer: &'static str) -> Said {
        Said {
            writer: Some(writer),
            ..Said::NOTHING
        }
    }

    /// The writer got no valid response of the next hop.
    pub const fn bad_gateway(self) -> Said {
        Said {
            told: Some(Told::BadGateway),
            ..self
        }
    }

    /// The writer got no response of the next hop in time.
    pub const fn timed_out(self) -> Said {
        Said {
            told: Some(Told::GatewayTimeout),
            ..self
        }
    }

    /// As the number in the page says, which may be another than that of the answer.
    pub const fn numbered(self, number: u16) -> Said {
        match number {
            502 => self.bad_gateway(),
            504 => self.timed_out(),
            _ => self,
        }
    }

    /// For this reason.
    pub const fn because(self, cause: Cause) -> Said {
        Said {
            cause: Some(cause),
            ..self
        }
    }

    /// For one of these reasons; the page does not say which.
    pub const fn maybe(self, candidates: &'static [Cause]) -> Said {
        Said { candidates, ..self }
    }
}
