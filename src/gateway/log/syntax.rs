//! How gateways write format strings: literal text and variables, as they are pasted from a configuration.

use std::fmt;

/// The way a product writes its format strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// `$status`, `${status}`: nginx and its kin.
    Dollar,
    /// `$context.status`: Amazon API Gateway.
    Context,
    /// `%>s`, `%{Referer}i`: Apache, lighttpd, varnishncsa.
    Percent,
    /// `%ST`, `%[bc_err]`, `%{+Q}r`: HAProxy.
    Haproxy,
    /// `%RESPONSE_CODE%`, `%REQ(:METHOD)%`: Envoy.
    Envoy,
    /// `%>Hs`, `%6tr`, `%{User-Agent}>h`: Squid.
    Squid,
    /// `%<pssc>`: Traffic Server.
    Angle,
}

/// How a product keeps text from clients inside its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// Quotes and backslashes inside a value have a backslash before them, or are written as `\x22`.
    Backslash,
    /// A value never holds a quote: it is written as `#22` or `%22`.
    Never,
    /// Nothing is escaped.
    Raw,
}

/// A piece of a format string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Text that stands in every line.
    Literal(String),
    /// A value.
    Variable {
        /// Its name; modifiers that change nothing of its meaning are gone.
        name: String,
        /// Where it stands in the format string, in characters from 1.
        at: usize,
        /// The value may have blanks before it, to fill a width.
        padded: bool,
    },
}

/// Why a format string cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// Where, in characters from 1.
    pub at: usize,
    /// What was found and what would be right.
    pub message: String,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "character {}: {}", self.at, self.message)
    }
}

impl std::error::Error for FormatError {}

/// Takes a format string apart.
pub(super) fn tokens(syntax: Syntax, format: &str) -> Result<(Vec<Token>, Escape), FormatError> {
    let (text, escape) = match syntax {
        Syntax::Dollar => pasted_from_nginx(format)?,
        Syntax::Context => (format.to_owned(), Escape::Raw),
        Syntax::Percent => (unescaped(format), Escape::Backslash),
        Syntax::Haproxy => (unescaped(&haproxy_format(format)), Escape::Never),
        Syntax::Squid => (format.to_owned(), Escape::Backslash),
        Syntax::Envoy | Syntax::Angle => (format.to_owned(), Escape::Raw),
    };
    let mut cursor = Cursor::new(&text);
    match syntax {
        Syntax::Dollar => cursor.dollar(|char| char.is_ascii_alphanumeric() || char == '_')?,
        Syntax::Context => cursor.dollar(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | '-'))?,
        Syntax::Percent => cursor.percent()?,
        Syntax::Haproxy => cursor.haproxy()?,
        Syntax::Envoy => cursor.envoy()?,
        Syntax::Squid => cursor.squid()?,
        Syntax::Angle => cursor.angle()?,
    }
    Ok((cursor.tokens, escape))
}

/// `escape=json '{…' '…}';` as it stands in nginx.conf, or the bare text.
fn pasted_from_nginx(format: &str) -> Result<(String, Escape), FormatError> {
    let mut rest = format.trim();
    let mut escape = Escape::Backslash;
    if let Some(after) = rest.strip_prefix("escape=") {
        let (word, after) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
        escape = match word {
            "default" | "json" => Escape::Backslash,
            "none" => Escape::Raw,
            other => {
                return Err(FormatError {
                    at: 8,
                    message: format!("escape is {other:?}; nginx knows default, json and none"),
                });
            }
        };
        rest = after.trim_start();
    }
    let rest = rest.strip_suffix(';').map_or(rest, str::trim_end);
    if !rest.starts_with('\'') {
        return Ok((rest.to_owned(), escape));
    }
    // Pieces in quotes stand side by side in the line.
    let mut text = String::new();
    let mut inside = false;
    let mut chars = rest.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\'' => inside = !inside,
            '\\' if inside && matches!(chars.peek(), Some('\'' | '\\')) => text.extend(chars.next()),
            char if inside => text.push(char),
            _ => {}
        }
    }
    Ok((text, escape))
}

/// `\"`, `\t`, `\ ` of a configuration file to what they stand for.
fn unescaped(format: &str) -> String {
    let mut text = String::with_capacity(format.len());
    let mut chars = format.trim().chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('t') => text.push('\t'),
                Some('n') => {}
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
            char => text.push(char),
        }
    }
    // A whole string in quotes is the configuration's quoting.
    let quoted = text.len() > 1 && text.starts_with('"') && text.ends_with('"') && format.contains("\\\"");
    match quoted {
        true => text[1..text.len() - 1].to_owned(),
        false => text,
    }
}

/// The texts of `option httplog` and `option httpslog`. Source: HAProxy, `doc/configuration.txt`, 8.2.3 and 8.2.4.
pub(in crate::gateway) const HTTPLOG: &str =
    "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r";
/// What `option httpslog` adds.
pub(in crate::gateway) const HTTPSLOG_MORE: &str =
    " %[fc_err]/%[ssl_fc_err,hex]/%[ssl_c_err]/%[ssl_c_ca_err]/%[ssl_fc_is_resumed] %[ssl_fc_sni]/%sslv/%sslc";

/// The variables of the environment in which HAProxy holds its own formats stand for their texts.
fn haproxy_format(format: &str) -> String {
    format
        .replace("${HAPROXY_HTTPS_LOG_FMT}", &format!("{HTTPLOG}{HTTPSLOG_MORE}"))
        .replace("${HAPROXY_HTTP_LOG_FMT}", HTTPLOG)
}

/// The variables of a HAProxy format that is written as JSON, `%{+json}o %(status)ST …`, by the names they are given; `None`
/// where it is not. What has no name is not written. Source: HAProxy 3.0, `doc/configuration.txt`, 8.2.6.
pub(super) fn haproxy_json(format: &str) -> Result<Option<Vec<(String, String)>>, FormatError> {
    let mut cursor = Cursor::new(&unescaped(&haproxy_format(format)));
    cursor.haproxy()?;
    Ok(cursor.is_json.then_some(cursor.named))
}

/// What HAProxy writes without quotes even where `%{+Q}` asks for them: numbers and times.
fn is_haproxy_number(name: &str) -> bool {
    name.starts_with('T')
        || matches!(
            name,
            "ac" | "B"
                | "bc"
                | "bp"
                | "bq"
                | "cp"
                | "fc"
                | "fp"
                | "lc"
                | "ms"
                | "pid"
                | "rc"
                | "rt"
                | "sc"
                | "sp"
                | "sq"
                | "ST"
                | "t"
                | "tr"
                | "trg"
                | "trl"
                | "ts"
                | "tsc"
                | "U"
        )
}

struct Cursor {
    chars: Vec<char>,
    at: usize,
    tokens: Vec<Token>,
    /// HAProxy's variables that are given a name.
    named: Vec<(String, String)>,
    /// HAProxy writes these as JSON.
    is_json: bool,
}

impl Cursor {
    fn new(text: &str) -> Cursor {
        Cursor {
            chars: text.chars().collect(),
            at: 0,
            tokens: Vec::new(),
            named: Vec::new(),
            is_json: false,
        }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let char = self.peek();
        self.at += usize::from(char.is_some());
        char
    }

    fn skip(&mut self, skipped: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&skipped) {
            self.at += 1;
        }
    }

    fn take(&mut self, taken: impl Fn(char) -> bool) -> String {
        let start = self.at;
        self.skip(taken);
        self.chars[start..self.at].iter().collect()
    }

    fn literal(&mut self, char: char) {
        match self.tokens.last_mut() {
            Some(Token::Literal(text)) => text.push(char),
            _ => self.tokens.push(Token::Literal(char.into())),
        }
    }

    fn variable(&mut self, name: String, at: usize, padded: bool) {
        self.tokens.push(Token::Variable {
            name,
            at: at + 1,
            padded,
        });
    }

    fn unfinished(at: usize, what: &str) -> FormatError {
        FormatError {
            at: at + 1,
            message: format!("{what} does not end"),
        }
    }

    /// What stands in front of `close`, which is passed over.
    fn until(&mut self, close: char, at: usize, what: &str) -> Result<String, FormatError> {
        let text = self.take(|char| char != close);
        self.next().map(|_| text).ok_or_else(|| Self::unfinished(at, what))
    }

    fn dollar(&mut self, of_name: impl Fn(char) -> bool) -> Result<(), FormatError> {
        while let Some(char) = self.next() {
            let at = self.at - 1;
            match (char, self.peek()) {
                ('$', Some('{')) => {
                    self.next();
                    let name = self.until('}', at, "${…}")?;
                    self.variable(name, at, false);
                }
                ('$', Some(next)) if of_name(next) => {
                    let name = self.take(&of_name);
                    self.variable(name, at, false);
                }
                _ => self.literal(char),
            }
        }
        Ok(())
    }

    fn percent(&mut self) -> Result<(), FormatError> {
        while let Some(char) = self.next() {
            let at = self.at - 1;
            if char != '%' {
                self.literal(char);
                continue;
            }
            if self.peek() == Some('%') {
                self.next();
                self.literal('%');
                continue;
            }
            // Conditions by status and the choice of the first or last request of a redirect.
            self.skip(|char| char == '!' || char == ',' || char == '<' || char == '>' || char.is_ascii_digit());
            let mut name = String::new();
            if self.peek() == Some('{') {
                self.next();
                let argument = self.until('}', at, "%{…}")?;
                name = format!("{{{}}}", argument.to_ascii_lowercase());
                self.skip(|char| char == '<' || char == '>');
            }
            match self.next() {
                Some('^') => name.extend(['^'].into_iter().chain(self.next()).chain(self.next())),
                Some(letter) => name.push(letter),
                None => return Err(Self::unfinished(at, "a directive")),
            }
            // The time brings its brackets with it, unless it has a format of its own.
            let in_brackets = name == "t";
            if in_brackets {
                self.literal('[');
            }
            self.variable(name, at, false);
            if in_brackets {
                self.literal(']');
            }
        }
        Ok(())
    }

    fn haproxy(&mut self) -> Result<(), FormatError> {
        let mut all_quoted = false;
        while let Some(char) = self.next() {
            let at = self.at - 1;
            if char != '%' {
                self.literal(char);
                continue;
            }
            if self.peek() == Some('%') {
                self.next();
                self.literal('%');
                continue;
            }
            let (mut quoted, mut flags, mut given) = (all_quoted, String::new(), String::new());
            // A name for encodings that write one, and its type: `%(status:sint)ST`. Flags stand before it or behind.
            loop {
                match self.peek() {
                    Some('{') => {
                        self.next();
                        flags = self.until('}', at, "%{…}")?;
                        quoted = match () {
                            () if flags.contains("+Q") => true,
                            () if flags.contains("-Q") => false,
                            () => quoted,
                        };
                    }
                    Some('(') => {
                        self.next();
                        given = self.until(')', at, "%(…)")?;
                    }
                    _ => break,
                }
            }
            let name = match self.peek() {
                Some('[') => {
                    self.next();
                    self.expression(at)?
                }
                _ => self.take(|char| char.is_ascii_alphanumeric()),
            };
            let given = given.split(':').next().unwrap_or_default().trim();
            if !given.is_empty() {
                self.named.push((given.to_owned(), name.clone()));
            }
            match name.as_str() {
                "" => return Err(Self::unfinished(at, "a variable")),
                "o" => {
                    self.is_json |= flags.contains("+json");
                    all_quoted = quoted;
                    self.skip(|char| char == ' ');
                }
                // Without capture rules neither the field nor its blank is written.
                "hr" | "hs" | "hrl" | "hsl" => {
                    self.skip(|char| char == ' ');
                    self.variable(name, at, false);
                }
                _ if quoted && !is_haproxy_number(&name) => {
                    self.literal('"');
                    self.variable(name, at, false);
                    self.literal('"');
                }
                _ => self.variable(name, at, false),
            }
        }
        Ok(())
    }

    /// A sample expression up to its bracket, those of converters' arguments passed over.
    fn expression(&mut self, at: usize) -> Result<String, FormatError> {
        let (start, mut depth) = (self.at, 1);
        while let Some(char) = self.next() {
            match char {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let text: String = self.chars[start..self.at - 1].iter().collect();
                // What is done to the value changes nothing of what it says.
                let fetch = text.split(',').next().unwrap_or_default().trim();
                return Ok(fetch.to_owned());
            }
        }
        Err(Self::unfinished(at, "%[…]"))
    }

    fn envoy(&mut self) -> Result<(), FormatError> {
        while let Some(char) = self.next() {
            let at = self.at - 1;
            match (char, self.peek()) {
                ('%', Some('%')) => {
                    self.next();
                    self.literal('%');
                }
                ('%', _) => {
                    let mut name = self.take(|char| char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_');
                    if self.peek() == Some('(') {
                        self.next();
                        let argument = self.until(')', at, "%…(…)%")?;
                        name = format!("{name}({})", argument.to_ascii_uppercase());
                    }
                    self.until('%', at, "%…%")?;
                    self.variable(name, at, false);
                }
                _ => self.literal(char),
            }
        }
        Ok(())
    }

    fn squid(&mut self) -> Result<(), FormatError> {
        while let Some(char) = self.next() {
            let at = self.at - 1;
            if char != '%' {
                self.literal(char);
                continue;
            }
            if self.peek() == Some('%') {
                self.next();
                self.literal('%');
                continue;
            }
            self.skip(|char| matches!(char, '"' | '[' | '#' | '/' | '\'' | '-'));
            let width = self.take(|char| char.is_ascii_digit() || char == '.');
            let mut name = String::new();
            if self.peek() == Some('{') {
                self.next();
                name = format!("{{{}}}", self.until('}', at, "%{…}")?.to_ascii_lowercase());
            }
            name.push_str(&self.take(|char| matches!(char, '<' | '>' | '!')));
            let code = self.take(|char| char.is_ascii_alphabetic() || char == '_' || char == ':');
            // `%ts.%03tu`: a trailing colon belongs to the text.
            let trimmed = code.trim_end_matches(':');
            self.at -= code.len() - trimmed.len();
            name.push_str(trimmed);
            if name.is_empty() {
                return Err(Self::unfinished(at, "a code"));
            }
            let padded = width.parse::<u32>().is_ok_and(|width| width > 0) && !width.starts_with('0');
            self.variable(name, at, padded);
        }
        Ok(())
    }

    fn angle(&mut self) -> Result<(), FormatError> {
        while let Some(char) = self.next() {
            let at = self.at - 1;
            match (char, self.peek()) {
                ('%', Some('<')) => {
                    self.next();
                    let name = self.until('>', at, "%<…>")?;
                    self.variable(name.to_ascii_lowercase(), at, false);
                }
                _ => self.literal(char),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Literals as they are, variables in angle brackets.
    fn shown(syntax: Syntax, format: &str) -> String {
        let (tokens, _) = tokens(syntax, format).unwrap();
        tokens
            .iter()
            .map(|token| match token {
                Token::Literal(text) => text.clone(),
                Token::Variable { name, padded, .. } => format!("<{name}{}>", if *padded { "+" } else { "" }),
            })
            .collect()
    }

    #[test]
    fn formats_as_their_products_write_them() {
        for (syntax, format, expected) in [
            (
                Syntax::Dollar,
                "$remote_addr [${time_local}] $ \"$request\"",
                "<remote_addr> [<time_local>] $ \"<request>\"",
            ),
            (
                Syntax::Dollar,
                "escape=json '{\"a\":\"$a\",'\n   '\"b\":\"$b\"}';",
                "{\"a\":\"<a>\",\"b\":\"<b>\"}",
            ),
            (
                Syntax::Context,
                "$context.identity.sourceIp $context.status",
                "<context.identity.sourceIp> <context.status>",
            ),
            (
                Syntax::Percent,
                "%h %l %t \\\"%r\\\" %>s %!200,304{Referer}i %%",
                "<h> <l> [<t>] \"<r>\" <s> <{referer}i> %",
            ),
            (
                Syntax::Percent,
                "%{Varnish:hitmiss}x %^FB",
                "<{varnish:hitmiss}x> <^FB>",
            ),
            (
                Syntax::Haproxy,
                "%ci:%cp [%tr] %sq/%bq %hr %hs %{+Q}r %[bc_err] %{+Q}[bc_err_str,lower]",
                "<ci>:<cp> [<tr>] <sq>/<bq> <hr><hs>\"<r>\" <bc_err> \"<bc_err_str>\"",
            ),
            (
                Syntax::Haproxy,
                "%{+Q}o %{-Q}ci [%trg] %r %ST \"\" %b %tsc %CC %hrl %hsl",
                "<ci> [<trg>] \"<r>\" <ST> \"\" \"<b>\" <tsc> \"<CC>\" <hrl><hsl>",
            ),
            (
                Syntax::Haproxy,
                "%{+Q}(code)ST %(name)[bc_err_str]",
                "<ST> <bc_err_str>",
            ),
            (
                Syntax::Envoy,
                "[%START_TIME%] \"%REQ(X-A?:PATH):20%\" %RESPONSE_CODE% 100%%",
                "[<START_TIME>] \"<REQ(X-A?:PATH)>\" <RESPONSE_CODE> 100%",
            ),
            (
                Syntax::Squid,
                "%ts.%03tu %6tr %>a %Ss/%03>Hs %\"{User-Agent}>h %[un",
                "<ts>.<tu> <tr+> <>a> <Ss>/<>Hs> <{user-agent}>h> <un>",
            ),
            (
                Syntax::Angle,
                "%<chi> [%<cqtn>] \"%<{User-agent}cqh>\"",
                "<chi> [<cqtn>] \"<{user-agent}cqh>\"",
            ),
        ] {
            assert_eq!(shown(syntax, format), expected, "{syntax:?} {format}");
        }
    }

    #[test]
    fn what_does_not_end_is_named() {
        for (syntax, format, at) in [
            (Syntax::Dollar, "a ${b", 3),
            (Syntax::Percent, "%{Referer", 1),
            (Syntax::Haproxy, "%ci %[bc_err", 5),
            (Syntax::Envoy, "%START_TIME", 1),
            (Syntax::Angle, "%<chi", 1),
            (Syntax::Dollar, "escape=html '$a'", 8),
        ] {
            assert_eq!(tokens(syntax, format).unwrap_err().at, at, "{format}");
        }
    }
}
