//! YAML text to a tree in which every key and every value knows its line and column.
//!
//! The only file that knows the YAML library. Hostile input is bounded here: size, nesting, number of nodes, and what
//! aliases expand to. An alias shares its node, so expansion costs no memory; it is counted, because readers walk it.
//! Merge keys (`<<`) and tags are refused: `defaults` and `modules` do what merge keys do, with better messages.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, Tag};

use super::error::Position;

/// Largest file read, bytes. Ten thousand upstreams with everything written out need less than half.
pub const MAX_SIZE: usize = 16 * 1024 * 1024;
/// Deepest nesting; the format itself needs nine levels.
const MAX_DEPTH: usize = 64;
/// Most nodes in a file.
const MAX_NODES: usize = 1_000_000;
/// Most nodes and bytes that aliases may add.
const MAX_ALIASED: u64 = 8 * 1024 * 1024;

/// A value and where it stands.
#[derive(Debug)]
pub struct Node {
    /// Its first character.
    pub at: Position,
    /// What it is.
    pub kind: Kind,
    /// Nodes and bytes below, aliases expanded.
    weight: u64,
}

/// What a node is.
#[derive(Debug)]
pub enum Kind {
    /// Nothing written, `~` or `null`.
    Null,
    /// Text as written, before `${ENV}` is replaced.
    Scalar {
        /// Quotes and escapes undone.
        text: String,
        /// Not quoted: numbers and booleans are meant where they look like it.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Rc<Node>>),
    /// A mapping in the order written, keys unique.
    Map(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_at: Position,
    /// Its value.
    pub value: Rc<Node>,
}

/// Something wrong with the YAML itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: Position,
    /// What was found and what would be right.
    pub message: String,
}

/// The tree of a text, `None` when there is nothing in it, and every fault found. A fault of syntax ends the reading.
pub fn parse(text: &str) -> (Option<Rc<Node>>, Vec<Fault>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > MAX_SIZE {
        let message = format!("the file is larger than {} MiB", MAX_SIZE / 1024 / 1024);
        return (None, vec![fault(Position { line: 1, column: 1 }, message)]);
    }
    let mut builder = Builder::default();
    match builder.run(text) {
        Ok(()) => (builder.root, builder.faults),
        Err(last) => {
            builder.faults.push(last);
            (None, builder.faults)
        }
    }
}

fn fault(at: Position, message: impl Into<String>) -> Fault {
    Fault {
        at,
        message: message.into(),
    }
}

fn position(marker: Marker) -> Position {
    Position {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

/// A mapping or sequence that is not closed yet.
struct Open {
    at: Position,
    anchor: usize,
    weight: u64,
    content: Content,
}

enum Content {
    List(Vec<Rc<Node>>),
    Map {
        entries: Vec<Entry>,
        seen: HashMap<String, usize>,
        /// The key whose value comes next; `None` inside is a key already refused.
        key: Option<Option<(String, Position)>>,
    },
}

#[derive(Default)]
struct Builder {
    root: Option<Rc<Node>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    faults: Vec<Fault>,
    nodes: usize,
    aliased: u64,
    documents: usize,
}

impl Builder {
    fn run(&mut self, text: &str) -> Result<(), Fault> {
        let mut parser = Parser::new(StrInput::new(text));
        while let Some(next) = parser.next_event() {
            let (event, span) =
                next.map_err(|error| fault(position(*error.marker()), format!("not valid YAML: {}", error.info())))?;
            self.event(event, span)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let at = position(span.start);
        match event {
            Event::DocumentStart(_) => self.document(at),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), at);
                self.scalar(text.into_owned(), style, anchor, at)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), at);
                self.begin(at, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), at);
                let content = Content::Map {
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    key: None,
                };
                self.begin(at, anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn document(&mut self, at: Position) -> Result<(), Fault> {
        self.documents += 1;
        if self.documents > 1 {
            return Err(fault(
                at,
                "a second YAML document begins here; a configuration is one document",
            ));
        }
        Ok(())
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, at: Position) {
        match tag {
            Some(tag) if !tag.is_yaml_core_schema() => {
                let message = "YAML tags have no meaning here; remove it, and quote the value if it begins with !";
                self.faults.push(fault(at, message));
            }
            _ => {}
        }
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, anchor: usize, at: Position) -> Result<(), Fault> {
        let plain = style == ScalarStyle::Plain;
        let weight = 1 + text.len() as u64;
        let kind = match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" if plain => Kind::Null,
            _ => Kind::Scalar { text, plain },
        };
        self.node(Rc::new(Node { at, kind, weight }), anchor, at)
    }

    fn begin(&mut self, at: Position, anchor: usize, content: Content) -> Result<(), Fault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(fault(
                at,
                format!("nested more than {MAX_DEPTH} levels deep; the format needs far fewer"),
            ));
        }
        self.open.push(Open {
            at,
            anchor,
            weight: 1,
            content,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let kind = match open.content {
            Content::List(items) => Kind::List(items),
            Content::Map { entries, .. } => Kind::Map(entries),
        };
        let node = Node {
            at: open.at,
            kind,
            weight: open.weight,
        };
        self.node(Rc::new(node), open.anchor, open.at)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), Fault> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(fault(at, "this alias stands inside its own anchor"));
        };
        self.aliased = self.aliased.saturating_add(node.weight);
        if self.aliased > MAX_ALIASED {
            return Err(fault(
                at,
                "aliases expand to too much; write the values out or use modules",
            ));
        }
        self.node(node, 0, at)
    }

    /// Takes a finished node into what is open.
    fn node(&mut self, node: Rc<Node>, anchor: usize, at: Position) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(fault(at, format!("more than {MAX_NODES} values in one file")));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.weight = open.weight.saturating_add(node.weight);
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, seen, key } => match key.take() {
                None => *key = Some(usable_key(&node, at, &mut self.faults)),
                Some(None) => {}
                Some(Some((name, key_at))) => match seen.get(&name) {
                    Some(first) => self.faults.push(fault(
                        key_at,
                        format!(
                            "the key {} is written twice; the first is in line {first}",
                            super::error::quoted(&name)
                        ),
                    )),
                    None => {
                        seen.insert(name.clone(), key_at.line);
                        entries.push(Entry {
                            key: name,
                            key_at,
                            value: node,
                        });
                    }
                },
            },
        }
        Ok(())
    }
}

/// The key's text, or `None` with the fault that makes it unusable.
fn usable_key(node: &Node, at: Position, faults: &mut Vec<Fault>) -> Option<(String, Position)> {
    match &node.kind {
        Kind::Scalar { text, plain: true } if text == "<<" => {
            let message = "merge keys are not supported; put what is shared into defaults or a module";
            faults.push(fault(at, message));
            None
        }
        Kind::Scalar { text, .. } => Some((text.clone(), at)),
        Kind::Null => {
            faults.push(fault(at, "a key is missing before the colon"));
            None
        }
        Kind::List(_) | Kind::Map(_) => {
            faults.push(fault(
                at,
                "a key must be a word, found a list or map; text with { or [ needs quotes",
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        parse(text)
            .1
            .into_iter()
            .map(|fault| format!("{}:{}: {}", fault.at.line, fault.at.column, fault.message))
            .collect()
    }

    /// Every value and key with its position, one per line.
    fn dump(node: &Node, out: &mut String) {
        let at = format!("{}:{}", node.at.line, node.at.column);
        match &node.kind {
            Kind::Null => out.push_str(&format!("{at} null\n")),
            Kind::Scalar { text, .. } => out.push_str(&format!("{at} {text}\n")),
            Kind::List(items) => {
                out.push_str(&format!("{at} list\n"));
                items.iter().for_each(|item| dump(item, out));
            }
            Kind::Map(entries) => {
                out.push_str(&format!("{at} map\n"));
                for entry in entries {
                    out.push_str(&format!(
                        "{}:{} {}: ",
                        entry.key_at.line, entry.key_at.column, entry.key
                    ));
                    dump(&entry.value, out);
                }
            }
        }
    }

    #[test]
    fn every_key_and_value_has_its_position() {
        let (root, faults) = parse("\u{feff}# c\na: 1\nb:\n  - x: 'q'\n    y: [z, {k: v}]\nc:\n");
        assert_eq!(faults, []);
        let mut out = String::new();
        dump(&root.unwrap(), &mut out);
        assert_eq!(
            out,
            "2:1 map\n2:1 a: 2:4 1\n3:1 b: 4:3 list\n4:5 map\n4:5 x: 4:8 q\n5:5 y: 5:8 list\n5:9 z\n5:12 map\n\
             5:13 k: 5:16 v\n6:1 c: 6:2 null\n"
        );
    }

    #[test]
    fn hostile_text_is_refused_with_its_place() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let below = format!("*a{},", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", below.trim_end_matches(',')));
        }
        assert!(
            messages(&bomb)[0].contains("aliases expand to too much"),
            "{:?}",
            messages(&bomb)
        );
        assert!(!messages(&format!("a: {}", "[".repeat(10_000))).is_empty());
        let deep = messages(&format!("a: {}", "[".repeat(100)));
        assert!(deep[0].contains("nested more than 64"), "{deep:?}");
        let deep: String = (0..10_000)
            .map(|level| format!("{}a:\n", " ".repeat(level.min(500))))
            .collect();
        assert!(!messages(&deep).is_empty());
        assert!(messages("a: &a [*a]")[0].contains("its own anchor"));
        assert!(messages("a: b\0c")[0].starts_with("1:"), "{:?}", messages("a: b\0c"));
        assert!(
            messages("a:\n\tb: 1\n")[0].starts_with("2:"),
            "{:?}",
            messages("a:\n\tb: 1\n")
        );
        assert_eq!(
            messages("a: 1\nb: 2\na: 3\n"),
            ["3:1: the key \"a\" is written twice; the first is in line 1"]
        );
        assert!(messages("a: 1\n---\nb: 1\n")[0].contains("second YAML document"));
        assert!(messages("x: {<<: 1}")[0].contains("merge keys"));
        assert!(messages("x: !foo 1")[0].contains("tags"));
        assert!(messages("? [a]\n: 1\n")[0].contains("a key must be a word"));
        assert!(messages(&" ".repeat(MAX_SIZE + 1))[0].contains("larger than 16 MiB"));
    }

    #[test]
    fn nothing_written_is_no_tree() {
        for text in ["", "\n", "# only a comment\n", "\u{feff}"] {
            let (root, faults) = parse(text);
            assert!(root.is_none_or(|root| matches!(root.kind, Kind::Null)), "{text:?}");
            assert_eq!(faults, [], "{text:?}");
        }
    }
}
