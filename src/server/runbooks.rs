//! `/runbooks/` and `/runbooks/NAME`: what the rules link to, as plain readable HTML.
//!
//! Knows as much of Markdown as our own runbooks use: headings, paragraphs, lists, code, links, and tables left as
//! written.

use std::fmt::Write;

use maud::{Escaper, PreEscaped};

use super::html::Frame;
use crate::metrics::Build;
use crate::shipped::{File, RUNBOOKS};

/// The runbook of an alert.
pub(super) fn find(name: &str) -> Option<&'static File> {
    RUNBOOKS.iter().find(|file| file.name == name)
}

/// The page that lists them.
pub(super) fn list(build: &Build) -> String {
    let content = maud::html! {
        h1 { "Runbooks" }
        ul { @for File { name, .. } in RUNBOOKS { li { a href=(name) { (name) } } } }
    };
    frame("Runbooks", build, content)
}

/// The page of one.
pub(super) fn render(build: &Build, runbook: &File) -> String {
    frame(runbook.name, build, PreEscaped(to_html(runbook.text)))
}

fn frame(title: &str, build: &Build, content: maud::Markup) -> String {
    Frame {
        title,
        build,
        search: "",
        below: true,
        live: false,
    }
    .around(content)
}

/// Text as HTML shows it, in content and in quoted attributes.
struct Escaped<T>(T);

impl<T: std::fmt::Display> std::fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        write!(Escaper::new(&mut text), "{}", self.0)?;
        f.write_str(&text)
    }
}

/// What a line continues.
#[derive(Clone, Copy, PartialEq)]
enum Block {
    None,
    Paragraph,
    List,
    Numbered,
    Code,
    Table,
}

impl Block {
    fn tags(self) -> (&'static str, &'static str) {
        match self {
            Block::None => ("", ""),
            Block::Paragraph => ("<p>", "</p>\n"),
            Block::List => ("<ul>\n<li>", "</li>\n</ul>\n"),
            Block::Numbered => ("<ol>\n<li>", "</li>\n</ol>\n"),
            Block::Code | Block::Table => ("<pre>", "</pre>\n"),
        }
    }
}

fn to_html(markdown: &str) -> String {
    let mut html = String::new();
    let mut block = Block::None;
    for line in markdown.lines() {
        let bare = line.trim();
        if bare.starts_with("```") {
            let next = if block == Block::Code { Block::None } else { Block::Code };
            change(&mut html, &mut block, next);
        } else if block == Block::Code {
            let _ = writeln!(html, "{}", Escaped(line));
        } else if bare.is_empty() {
            change(&mut html, &mut block, Block::None);
        } else if let Some((level, heading)) = heading(bare) {
            change(&mut html, &mut block, Block::None);
            let _ = writeln!(
                html,
                "<h{level} id=\"{}\">{}</h{level}>",
                anchor(heading),
                inline(heading)
            );
        } else if bare.starts_with('|') {
            enter(&mut html, &mut block, Block::Table, "");
            let _ = writeln!(html, "{}", Escaped(bare));
        } else if let Some((list, item)) = item(bare) {
            enter(&mut html, &mut block, list, "</li>\n<li>");
            html.push_str(&inline(item));
        } else {
            let next = if block == Block::None || block == Block::Table {
                Block::Paragraph
            } else {
                block
            };
            enter(&mut html, &mut block, next, "\n");
            html.push_str(&inline(bare));
        }
    }
    change(&mut html, &mut block, Block::None);
    html
}

/// Ends the block before and begins this one.
fn change(html: &mut String, block: &mut Block, next: Block) {
    html.push_str(block.tags().1);
    html.push_str(next.tags().0);
    *block = next;
}

/// Goes on with this block, `between` its lines, or begins it.
fn enter(html: &mut String, block: &mut Block, next: Block, between: &str) {
    match *block == next {
        true => html.push_str(between),
        false => change(html, block, next),
    }
}

/// The page's own heading is the first level.
fn heading(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    (level > 0 && text.starts_with(' ')).then(|| ((level + 1).min(6), text.trim()))
}

fn item(line: &str) -> Option<(Block, &str)> {
    if let Some(text) = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")) {
        return Some((Block::List, text));
    }
    let (number, text) = line.split_once(". ")?;
    let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    numbered.then_some((Block::Numbered, text))
}

/// What a link to a heading says after the `#`.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars()
        .filter(|char| char.is_alphanumeric() || matches!(char, '-' | '_'))
        .collect()
}

/// Code between backticks, links, and strong words between double stars; all else is text.
fn inline(text: &str) -> String {
    let mut html = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(['`', '[']) {
        let (before, from) = rest.split_at(start);
        html.push_str(&strong(before));
        let code = from.strip_prefix('`').and_then(|from| from.split_once('`'));
        if let Some((code, after)) = code {
            let _ = write!(html, "<code>{}</code>", Escaped(code));
            rest = after;
        } else if let Some((words, target, after)) = link(from) {
            let _ = write!(html, "<a href=\"{}\">{}</a>", Escaped(own_page(target)), Escaped(words));
            rest = after;
        } else {
            html.push_str(&from[..1]);
            rest = &from[1..];
        }
    }
    html + &strong(rest)
}

/// `[words](target)`: a page of the web, another runbook, or a heading.
fn link(text: &str) -> Option<(&str, &str, &str)> {
    let (words, rest) = text.strip_prefix('[')?.split_once("](")?;
    let (target, after) = rest.split_once(')')?;
    let own = |target: &str| !target.contains([':', '/']);
    (!words.contains(']') && (target.starts_with("https://") || own(target))).then_some((words, target, after))
}

/// Runbooks link each other by file, as they lie in the repository; here they have no ending.
fn own_page(target: &str) -> String {
    match target.starts_with("https://") {
        true => target.to_owned(),
        false => target.replace(".md", ""),
    }
}

fn strong(text: &str) -> String {
    let mut html = String::new();
    for (at, piece) in text.split("**").enumerate() {
        let (open, close) = if at % 2 == 1 {
            ("<strong>", "</strong>")
        } else {
            ("", "")
        };
        let _ = write!(html, "{open}{}{close}", Escaped(piece));
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runbooks_use_becomes_html_and_stays_text() {
        let markdown = "# Name\n\nTwo\nlines <b>.\n- one `a<b`\n- two **strong**\n\n1. first [x](A.md#b-c) [y](https://e/a.md) [z](javascript:1) [w]\n2. second\n```sh\nls | wc <x\n\n```\n| a | b |\n|---|---|\nend";
        let expected = "<h2 id=\"name\">Name</h2>\n<p>Two\nlines &lt;b&gt;.</p>\n<ul>\n<li>one <code>a&lt;b</code></li>\n<li>two <strong>strong</strong></li>\n</ul>\n\
             <ol>\n<li>first <a href=\"A#b-c\">x</a> <a href=\"https://e/a.md\">y</a> [z](javascript:1) [w]</li>\n<li>second</li>\n</ol>\n<pre>ls | wc &lt;x\n\n</pre>\n<pre>| a | b |\n|---|---|\n</pre>\n<p>end</p>\n";
        assert_eq!(to_html(markdown), expected);
    }

    #[test]
    fn every_runbook_has_its_page_and_nothing_else_has() {
        for file in RUNBOOKS {
            assert!(find(file.name).is_some());
        }
        for name in ["", "../badgateway.rules", "badgatewayspike"] {
            assert!(find(name).is_none(), "{name}");
        }
    }
}
