//! Log lines as Prometheus components write them: `time`, `level`, `source`, `msg`, then the event's own fields, in
//! logfmt or JSON, to standard error. Colours nowhere: these lines are for machines and for grep.

use std::fmt::{self, Write};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// `key=value`.
    #[default]
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// Sends this program's events of at least this level to standard error. Call once.
pub fn install(level: Level, format: LogFormat) {
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .event_format(Lines(format));
    let ours = tracing_subscriber::filter::Targets::new().with_target("badgateway", level);
    // A second call finds the first one in place, which is as good.
    let _ = tracing_subscriber::registry().with(ours).with(layer).try_init();
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("panic");
        tracing::error!(location, message, "a task panicked; please report this");
    }));
}

struct Lines(LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        fields.text("time", humantime::format_rfc3339_millis(clock::now()).to_string());
        fields.text("level", metadata.level().to_string());
        let file = metadata.file().unwrap_or_default();
        let file = file.rsplit('/').next().unwrap_or_default();
        fields.text("source", format!("{file}:{}", metadata.line().unwrap_or_default()));
        fields.0.insert("msg".into(), Value::Null);
        event.record(&mut fields);
        match self.0 {
            LogFormat::Json => writeln!(writer, "{}", Value::Object(fields.0)),
            LogFormat::Logfmt => writeln!(writer, "{}", logfmt(&fields.0)),
        }
    }
}

/// The fields of one event in their order.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn text(&mut self, name: &str, value: String) {
        let name = if name == "message" { "msg" } else { name };
        self.0.insert(name.to_owned(), Value::String(value));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value.to_owned());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

fn logfmt(fields: &Map<String, Value>) -> String {
    let mut line = String::new();
    for (name, value) in fields {
        let blank = if line.is_empty() { "" } else { " " };
        let _ = match value {
            Value::String(text) if needs_quotes(text) => write!(line, "{blank}{name}={}", Value::String(text.clone())),
            Value::String(text) => write!(line, "{blank}{name}={text}"),
            other => write!(line, "{blank}{name}={other}"),
        };
    }
    line
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty()
        || text
            .chars()
            .any(|char| char.is_control() || matches!(char, ' ' | '"' | '=' | '\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_they_must_be() {
        let mut fields = Fields::default();
        fields.text("msg", "two words".into());
        fields.text("cause", "connect_refused".into());
        fields.text("evidence", "a \"b\"\n".into());
        fields.text("empty", String::new());
        fields.0.insert("others".into(), 3.into());
        assert_eq!(
            logfmt(&fields.0),
            r#"msg="two words" cause=connect_refused evidence="a \"b\"\n" empty="" others=3"#
        );
    }
}
