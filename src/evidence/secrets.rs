//! What we send and nobody else is to see, and how it is struck out of what a peer repeats of it. Pure.

use crate::upstream::{Auth, EvidencePolicy, Request, Target};

/// Shorter ones are too common a text to be struck out.
const SHORTEST: usize = 4;
/// In place of what was struck out.
const STRUCK_OUT: &str = "***";
/// What marks where a text was cut.
const CUT: char = '…';

/// What is sent with a request, the longest first: credentials, configured headers, and the query unless it may be kept.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Those of this request; without one, those every request to the target carries.
    pub(super) fn of(target: &Target, request: Option<&Request>, policy: EvidencePolicy) -> Secrets {
        let mut secrets: Vec<String> = Vec::new();
        match &target.auth {
            Some(Auth::Basic { username, password }) => {
                use base64::Engine as _;
                let pair = format!("{username}:{}", password.reveal());
                secrets.push(base64::engine::general_purpose::STANDARD.encode(&pair));
                secrets.push(pair);
                secrets.push(password.reveal().to_owned());
            }
            Some(Auth::Bearer(token)) => secrets.push(token.reveal().to_owned()),
            None => {}
        }
        for (name, value) in &target.headers {
            let Ok(value) = value.to_str() else { continue };
            secrets.push(value.to_owned());
            secrets.extend(parts(name.as_str(), value).map(str::to_owned));
        }
        if let (EvidencePolicy::Safe, Some(request)) = (policy, request)
            && let Some((_, query)) = request.path.split_once('?')
        {
            secrets.push(query.to_owned());
            // As they were sent, and as a program understands them.
            secrets.extend(
                query
                    .split('&')
                    .filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())),
            );
            secrets.extend(url::form_urlencoded::parse(query.as_bytes()).map(|(_, value)| value.into_owned()));
        }
        secrets.retain(|secret| secret.len() >= SHORTEST);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Secrets(secrets)
    }

    /// The text without them, also without the beginning of one that was cut off in its middle.
    pub(super) fn strike_out(&self, text: String) -> String {
        let whole = self
            .0
            .iter()
            .fold(text, |text, secret| match text.contains(secret.as_str()) {
                true => text.replace(secret.as_str(), STRUCK_OUT),
                false => text,
            });
        let parts: Vec<&str> = whole.split(CUT).collect();
        match parts.iter().any(|part| self.begun_at_the_end_of(part).is_some()) {
            true => parts
                .iter()
                .map(|part| self.without_begun(part))
                .collect::<Vec<_>>()
                .join(&CUT.to_string()),
            false => whole,
        }
    }

    fn without_begun(&self, text: &str) -> String {
        match self.begun_at_the_end_of(text) {
            Some(length) => format!("{}{STRUCK_OUT}", &text[..text.len() - length]),
            None => text.to_owned(),
        }
    }

    /// How many bytes at the end of the text are the beginning of one of them.
    fn begun_at_the_end_of(&self, text: &str) -> Option<usize> {
        let begun = |secret: &String| {
            let lengths = (SHORTEST..secret.len())
                .rev()
                .filter(|length| secret.is_char_boundary(*length));
            lengths.into_iter().find(|length| text.ends_with(&secret[..*length]))
        };
        self.0.iter().filter_map(begun).max()
    }
}

/// The parts of a header that are secrets by themselves: the values of cookies, what follows the scheme of a credential.
fn parts<'a>(name: &str, value: &'a str) -> impl Iterator<Item = &'a str> {
    let cookies = (name == "cookie").then(|| {
        value
            .split(';')
            .filter_map(|cookie| Some(cookie.split_once('=')?.1.trim()))
    });
    let is_credential = matches!(name, "authorization" | "proxy-authorization");
    let credential = is_credential.then(|| Some(value.split_once(' ')?.1.trim())).flatten();
    cookies.into_iter().flatten().chain(credential)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    fn secrets(policy: EvidencePolicy) -> Secrets {
        let text = "upstreams: [{ name: shop, origin: { url: 'http://127.0.0.1:1/pay?key=a%2Fhunter2', \
                    auth: { bearer: s3cr3t-token }, headers: { Cookie: 'session=abcdef; theme=dark', X-Key: 'one two' } } }]";
        let config = config::from_str(text, "t.yml", Path::new("."), &|_| None).expect("it is valid");
        let target = &config.upstreams[0].hops[0].targets[0];
        Secrets::of(target, Some(&target.requests[0]), policy)
    }

    fn struck(text: &str) -> String {
        secrets(EvidencePolicy::Safe).strike_out(text.to_owned())
    }

    #[test]
    fn whole_and_in_parts() {
        assert_eq!(
            struck("Bearer s3cr3t-token, session=abcdef; theme=dark"),
            "Bearer ***, ***"
        );
        assert_eq!(struck("abcdef one two a%2Fhunter2 a/hunter2"), "*** *** *** ***");
        assert_eq!(struck("nothing of that"), "nothing of that");
        let full = secrets(EvidencePolicy::Full).strike_out("a/hunter2 s3cr3t-token".to_owned());
        assert_eq!(full, "a/hunter2 ***", "the query may be kept");
    }

    #[test]
    fn what_was_cut_off_in_its_middle() {
        assert_eq!(struck("it was s3cr3t-t"), "it was ***");
        assert_eq!(struck("\"it was s3cr3…\" (of s3cr…)"), "\"it was ***…\" (of ***…)");
        assert_eq!(struck("it was s3c"), "it was s3c", "too short to tell");
    }
}
