//! What is reported on stderr beside results: text for people, or one JSON object per line.

use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::sync::OnceLock;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use super::terminal::whole_hashes;
use super::told::{exit_code, told};
use crate::text::commands::{InertJson, inert};
use crate::text::{escape, lines};

/// How much is reported.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Errors only
    #[value(alias = "critical", alias = "fatal")]
    Error,
    /// Also what is retried
    #[value(name = "warning", alias = "warn")]
    Warning,
    /// Also each step: a progress bar on a terminal, otherwise a line
    Info,
    /// Also how the AWS client finds credentials, and why it retries requests
    #[value(alias = "trace")]
    Debug,
}

/// How it is written.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people
    Text,
    /// One object per line
    Json,
}

/// Steps, warnings and errors.
pub const TARGET: &str = "loader";
/// What is told at every level: results, and what to do next.
const RESULT: &str = "loader::result";
/// Libraries whose events can be had. Not the PostgreSQL client's: they hold statements whole, and
/// statements can hold values.
const LIBRARIES: [&str; 2] = ["aws_config", "aws_smithy_runtime::client::retries"];

static CHOSEN: OnceLock<(Level, Format)> = OnceLock::new();

/// Sets level and format for the rest of the process; the first call counts.
pub fn start(level: Level, format: Format) {
    if CHOSEN.set((level, format)).is_err() {
        return;
    }
    let own = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warning => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let mut targets = Targets::new()
        .with_target(TARGET, own)
        .with_target(RESULT, LevelFilter::INFO);
    if level == Level::Debug {
        targets = targets.with_targets(LIBRARIES.map(|l| (l, LevelFilter::DEBUG)));
    }
    let stderr = fmt::layer().with_ansi(false);
    let layer = match format {
        Format::Text => stderr
            .with_writer(std::io::stderr)
            .event_format(Plain)
            .boxed(),
        Format::Json => stderr
            .with_writer(|| InertJson::new(std::io::stderr()))
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
    };
    // Where a program that embeds this one has its own subscriber, that one counts.
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .try_init();
}

/// The format that the command line or the environment asks for, as far as can be seen before they
/// have been understood.
pub fn wanted(given: &[String]) -> Format {
    if let Some(value) = super::value_of(given, "--log-format") {
        return named(value);
    }
    named(&std::env::var("LOADER_LOG_FORMAT").unwrap_or_default())
}

fn named(value: &str) -> Format {
    if value.eq_ignore_ascii_case("json") {
        Format::Json
    } else {
        Format::Text
    }
}

/// Whether steps are told as lines also on a terminal.
pub fn lines_only() -> bool {
    CHOSEN.get().is_some_and(|(level, _)| *level != Level::Info) || json()
}

/// Whether everything on stderr is JSON.
pub fn json() -> bool {
    matches!(CHOSEN.get(), Some((_, Format::Json)))
}

/// A line for people, on stderr, at every level.
pub fn say(line: impl std::fmt::Display) {
    if json() {
        tracing::info!(target: RESULT, "{line}");
    } else {
        tell(&line.to_string());
    }
}

/// What did not go as it should, and does not keep the loader from going on.
pub fn warn(line: impl std::fmt::Display) {
    tracing::warn!(target: TARGET, "{line}");
}

/// Why nothing was done.
pub fn error(e: &crate::Error) {
    if json() {
        let (reason, exit_code) = (e.kind().word(), exit_code(e));
        tracing::error!(target: TARGET, reason, exit_code, "{}", told(e));
    } else {
        tell(&format!("loader: {}", told(e)));
    }
}

/// Writes lines for people to stderr.
fn tell(text: &str) {
    let stderr = std::io::stderr();
    let shown = whole_hashes(&lines(text), &stderr);
    let _ = writeln!(stderr.lock(), "{}", inert(&shown));
}

/// Text without times: of our own events the message, of others all there is.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let about = event.metadata();
        let mut line = String::new();
        if about.target() == TARGET {
            event.record(&mut Message(&mut line));
        } else {
            write!(line, "{}: ", about.target())?;
            context.format_fields(Writer::new(&mut line), event)?;
        }
        let kind = match *about.level() {
            tracing::Level::ERROR => "error: ",
            tracing::Level::WARN => "warning: ",
            tracing::Level::INFO => "",
            _ => "debug: ",
        };
        writeln!(writer, "{kind}{}", escape(&line))
    }
}

/// Takes an event's message.
struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}
