//! The syntax of nginx configuration: words, quotes, escapes, comments, blocks, includes. It knows no directive but `include`
//! and that the bodies of Lua blocks are another language.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::gateway_config::Broken;
use crate::gateway_config::files::{Files, MAX_BYTES, MAX_FILES, is_pattern};

/// Blocks in blocks, and files in files.
const MAX_DEPTH: usize = 32;
/// Words of all files together; each takes far more memory than text.
const MAX_WORDS: usize = 2_000_000;

/// One directive with where it stands.
#[derive(Debug)]
pub struct Directive {
    /// Its first word.
    pub name: String,
    /// The other words, quotes and escapes undone.
    pub args: Vec<String>,
    /// What stands in braces behind it.
    pub block: Option<Vec<Directive>>,
    /// Where it stands.
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
}

impl Directive {
    /// The first argument.
    pub fn first(&self) -> &str {
        self.args.first().map_or("", String::as_str)
    }

    /// What stands in its braces.
    pub fn inner(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// The directives of a text, includes in place of their `include`. One that cannot be read stays, with the reason as a
/// further argument.
pub fn parse(text: &str, path: &str, files: &dyn Files) -> Result<Vec<Directive>, Broken> {
    let base = Path::new(path).parent().map(Path::to_path_buf).unwrap_or_default();
    let mut reader = Reader {
        files,
        base,
        includes: 0,
        words: 0,
        bytes: text.len(),
    };
    reader.file(text, path, 0)
}

struct Reader<'a> {
    files: &'a dyn Files,
    base: PathBuf,
    includes: usize,
    words: usize,
    bytes: usize,
}

impl Reader<'_> {
    fn file(&mut self, text: &str, path: &str, depth: usize) -> Result<Vec<Directive>, Broken> {
        let mut tokens = Tokens::new(text, path);
        let directives = self.block(&mut tokens, depth, 0)?;
        match tokens.rest.is_empty() {
            true => Ok(directives),
            false => Err(tokens.problem("unexpected }, no block is open")),
        }
    }

    /// Directives up to the closing brace or the end.
    fn block(&mut self, tokens: &mut Tokens<'_>, depth: usize, level: usize) -> Result<Vec<Directive>, Broken> {
        if depth + level > MAX_DEPTH {
            return Err(tokens.problem("blocks or includes are nested too deep"));
        }
        let mut directives = Vec::new();
        let mut words: Vec<String> = Vec::new();
        let mut start = tokens.at;
        loop {
            tokens.skip_space();
            let token = tokens.next()?;
            match token {
                Token::Word(word) => {
                    if words.is_empty() {
                        start = tokens.word_at;
                    }
                    words.push(word);
                    self.words += 1;
                    if self.words > MAX_WORDS {
                        return Err(tokens.problem("there is more here than can be read"));
                    }
                }
                Token::Semicolon if words.is_empty() => return Err(tokens.problem("unexpected ;")),
                Token::Semicolon if words[0] == "include" && words.len() == 2 => {
                    let pattern = std::mem::take(&mut words).pop().unwrap_or_default();
                    self.include(&pattern, tokens, start, depth + level + 1, &mut directives)?;
                }
                Token::Semicolon => directives.push(tokens.directive(std::mem::take(&mut words), None, start)),
                Token::Open if words.is_empty() => return Err(tokens.problem("unexpected {")),
                Token::Open if words[0].ends_with("_by_lua_block") => {
                    tokens.skip_lua()?;
                    directives.push(tokens.directive(std::mem::take(&mut words), Some(Vec::new()), start));
                }
                Token::Open => {
                    let words = std::mem::take(&mut words);
                    let inner = self.block(tokens, depth, level + 1)?;
                    if !tokens.take('}') {
                        return Err(tokens.problem("the block is not closed; } is missing"));
                    }
                    directives.push(tokens.directive(words, Some(inner), start));
                }
                Token::Close | Token::End if !words.is_empty() => {
                    return Err(tokens.problem("the directive is not closed; ; is missing"));
                }
                Token::Close | Token::End => return Ok(directives),
            }
        }
    }

    fn include(
        &mut self,
        pattern: &str,
        tokens: &Tokens<'_>,
        start: Position,
        depth: usize,
        into: &mut Vec<Directive>,
    ) -> Result<(), Broken> {
        let failed =
            |message: String| tokens.directive(vec!["include".into(), pattern.to_owned(), message], None, start);
        let pattern_path = self.base.join(pattern);
        self.includes += 1;
        let paths = match self.includes > MAX_FILES {
            true => Vec::new(),
            false => self.files.matching(&pattern_path),
        };
        self.includes += paths.len();
        if self.includes > MAX_FILES {
            into.push(failed("there are too many files".into()));
            return Ok(());
        }
        for path in paths {
            match self.files.text(&path, MAX_BYTES.saturating_sub(self.bytes)) {
                Ok(text) => {
                    self.bytes += text.len();
                    into.extend(self.file(&text, &path.display().to_string(), depth)?);
                }
                // A pattern may match directories and broken links; nginx would fail on them, we need not.
                Err(_) if is_pattern(&pattern_path) && !path.is_file() => {}
                Err(message) => into.push(failed(format!("{} {message}", path.display()))),
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
enum Token {
    Word(String),
    Semicolon,
    Open,
    Close,
    End,
}

/// A place in a text, both from 1, the column in characters.
#[derive(Clone, Copy)]
struct Position {
    line: usize,
    column: usize,
}

struct Tokens<'a> {
    rest: &'a str,
    file: Arc<str>,
    at: Position,
    word_at: Position,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a str, file: &str) -> Self {
        let at = Position { line: 1, column: 1 };
        Tokens {
            rest: text.strip_prefix('\u{feff}').unwrap_or(text),
            file: file.into(),
            at,
            word_at: at,
        }
    }

    fn problem(&self, message: &str) -> Broken {
        Broken {
            file: self.file.clone(),
            line: self.at.line,
            column: self.at.column,
            message: message.into(),
        }
    }

    fn directive(&self, mut words: Vec<String>, block: Option<Vec<Directive>>, start: Position) -> Directive {
        let args = words.split_off(1);
        Directive {
            name: words.pop().unwrap_or_default(),
            args,
            block,
            file: self.file.clone(),
            line: start.line,
        }
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = &self.rest[next.len_utf8()..];
        match next {
            '\n' => {
                self.at.line += 1;
                self.at.column = 1;
            }
            _ => self.at.column += 1,
        }
        Some(next)
    }

    fn take(&mut self, wanted: char) -> bool {
        let there = self.rest.starts_with(wanted);
        if there {
            self.bump();
        }
        there
    }

    fn skip_space(&mut self) {
        while let Some(next) = self.rest.chars().next() {
            match next {
                '#' => while self.bump().is_some_and(|c| c != '\n') {},
                next if next.is_whitespace() => {
                    self.bump();
                }
                _ => return,
            }
        }
    }

    /// The next token. A closing brace is left in place, so that its block's opener takes it.
    fn next(&mut self) -> Result<Token, Broken> {
        self.word_at = self.at;
        match self.rest.chars().next() {
            None => Ok(Token::End),
            Some('}') => Ok(Token::Close),
            Some(';') => {
                self.bump();
                Ok(Token::Semicolon)
            }
            Some('{') => {
                self.bump();
                Ok(Token::Open)
            }
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            Some(_) => Ok(self.word()),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Token, Broken> {
        let open = self.problem("the quote is not closed");
        self.bump();
        let mut word = String::new();
        loop {
            match self.bump() {
                None => return Err(open),
                Some(c) if c == quote => return Ok(Token::Word(word)),
                Some('\\') => self.escape(&mut word),
                Some(c) => word.push(c),
            }
        }
    }

    fn word(&mut self) -> Token {
        let mut word = String::new();
        while let Some(next) = self.rest.chars().next() {
            match next {
                '{' if word.ends_with('$') => {
                    while let Some(c) = self.bump() {
                        word.push(c);
                        if c == '}' || c == '\n' {
                            break;
                        }
                    }
                }
                ';' | '{' => break,
                next if next.is_whitespace() => break,
                '\\' => {
                    self.bump();
                    self.escape(&mut word);
                }
                _ => {
                    self.bump();
                    word.push(next);
                }
            }
        }
        Token::Word(word)
    }

    /// nginx undoes these escapes and keeps every other backslash, as expressions need it.
    fn escape(&mut self, word: &mut String) {
        match self.bump() {
            Some(c @ ('"' | '\'' | '\\')) => word.push(c),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(c) => word.extend(['\\', c]),
            None => word.push('\\'),
        }
    }

    /// Skips to the brace that closes a Lua block; strings and comments of Lua may hold braces.
    fn skip_lua(&mut self) -> Result<(), Broken> {
        let open = self.problem("the Lua block is not closed; } is missing");
        let mut depth = 1;
        while let Some(c) = self.bump() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                '"' | '\'' => {
                    while let Some(inner) = self.bump() {
                        match inner {
                            '\\' => drop(self.bump()),
                            inner if inner == c || inner == '\n' => break,
                            _ => {}
                        }
                    }
                }
                '-' if self.rest.starts_with('-') => while self.bump().is_some_and(|c| c != '\n') {},
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
        Err(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(directives: &[Directive]) -> String {
        let one = |directive: &Directive| {
            let words = std::iter::once(&directive.name).chain(&directive.args);
            let words: Vec<String> = words.map(|word| format!("<{word}>")).collect();
            match &directive.block {
                Some(inner) => format!("{}{{{}}}", words.concat(), tree(inner)),
                None => format!("{};", words.concat()),
            }
        };
        directives.iter().map(one).collect()
    }

    /// Every file has this text; without one none can be read.
    struct Same(Option<&'static str>);

    impl Files for Same {
        fn matching(&self, pattern: &Path) -> Vec<PathBuf> {
            vec![pattern.to_owned()]
        }

        fn text(&self, _: &Path, _: usize) -> Result<String, String> {
            self.0.map(str::to_owned).ok_or_else(|| "is gone".to_owned())
        }
    }

    #[test]
    fn words_quotes_blocks_and_comments() {
        for (text, expected) in [
            ("a b; # c\nd 'e f' \"g\\\"h\";", "<a><b>;<d><e f><g\"h>;"),
            ("http { server { listen 80; } }", "<http>{<server>{<listen><80>;}}"),
            ("location ~ \\.php$ { x ${y}z; }", "<location><~><\\.php$>{<x><${y}z>;}"),
            (
                "map $a $b { default x; ~^/(?<n>.*)$ $n; '' y; }",
                "<map><$a><$b>{<default><x>;<~^/(?<n>.*)$><$n>;<><y>;}",
            ),
            (
                "content_by_lua_block { if x then y({'}'}) end -- }\n }",
                "<content_by_lua_block>{}",
            ),
            ("a#b c;", "<a#b><c>;"),
            ("include x;", "<include><x><x is gone>;"),
            ("", ""),
        ] {
            let found = parse(text, "nginx.conf", &Same(None)).unwrap_or_else(|problem| panic!("{text}: {problem}"));
            assert_eq!(tree(&found), expected, "{text}");
        }
    }

    #[test]
    fn what_is_broken_is_said_with_its_place() {
        for (text, expected) in [
            ("http {\n", "n.conf:2:1: the block is not closed"),
            ("a;\n}", "n.conf:2:1: unexpected }"),
            ("a", "n.conf:1:2: the directive is not closed"),
            ("a 'b", "n.conf:1:3: the quote is not closed"),
            (";", "unexpected ;"),
            ("{", "unexpected {"),
        ] {
            let problem = parse(text, "n.conf", &Same(None)).unwrap_err().to_string();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
        let deep = "a {".repeat(5000);
        assert!(
            parse(&deep, "n.conf", &Same(None))
                .unwrap_err()
                .to_string()
                .contains("too deep")
        );
        let itself = Same(Some("include n.conf;"));
        assert!(
            parse("include n.conf;", "n.conf", &itself)
                .unwrap_err()
                .to_string()
                .contains("too deep")
        );
    }
}
