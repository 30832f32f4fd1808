//! The command line: the only place that prints, prompts, and reads the environment or the clock.

mod apply;
mod approval;
mod batches;
mod completions;
mod config;
mod connection;
mod decisions;
#[cfg(unix)]
mod demo;
mod environment;
mod graph;
mod history;
mod init;
mod input;
mod keys;
mod limits;
mod load;
mod log;
mod migrate;
mod notes;
mod output;
mod pending;
mod pgpass;
mod plan;
mod progress;
mod rejects;
mod report;
mod rollback;
mod settings;
mod show;
mod terminal;
mod timings;
mod told;

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::{Error, Result};
use crate::ops::RolledBack;
use crate::plan::{DriftReport, ReferrerReport};
use crate::text::commands::InertJson;
use environment::Environment;
use log::{say, warn};
use settings::Settings;
use terminal::colour;
use told::{exit_code, told};

/// Loads reviewed batches of records into PostgreSQL: plan, review, apply exactly that, or refuse.
#[derive(Parser, Debug)]
#[command(name = "loader", version, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done or nothing to do, 1 failed, 2 changes present (plan --detailed-exitcode), \
    3 drift, 4 violations or limits block, 5 not approved, 6 plan file refused, 7 locked or timed out, \
    8 outcome not known yet, 9 applied but not replicated.",
    after_long_help = include_str!("cli/environment.txt")
)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Compare a batch with the current rows and write a plan of the changes (JSON on stdout)
    Plan(plan::Args),
    /// Show a plan for people
    Show(show::Args),
    /// Do exactly what a plan says, in one transaction, or refuse
    Apply(apply::Args),
    /// Say whether a plan could be applied now; writes nothing
    Check(apply::CheckArgs),
    /// Restore every row to what it was before a batch, or refuse
    Rollback(rollback::Args),
    /// List applications: when, by whom, what, and whether rolled back
    History(history::HistoryArgs),
    /// List the plans in a folder that are still to be applied
    Pending(pending::Args),
    /// Show what happened to a row, or in a batch
    Audit(history::AuditArgs),
    /// Plan, show, ask for approval and apply, in one step
    Load(load::Args),
    /// List the batches at the source and in the queue, with their state
    Batches(batches::Args),
    /// Show which tables depend on which
    Graph(graph::Args),
    /// Check tables.yaml against the database
    Config(config::Args),
    /// Draft a tables.yaml from the tables of a database
    Init(init::Args),
    /// Create or upgrade the loader's own tables
    Migrate(migrate::Args),
    /// Write shell completions to stdout
    Completions(completions::CompletionsArgs),
    /// Write manual pages
    Man(completions::ManArgs),
    /// Watch a complete round on a throw-away database
    #[cfg(unix)]
    Demo(demo::Args),
}

/// Runs the command line of this process. What went wrong has been told.
pub async fn run() -> ExitCode {
    let given: Vec<String> = std::env::args_os()
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let json = given.iter().any(|g| g == "--json");
    match start(&given).await {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            log::start(log::Level::Info, log::wanted(&given));
            report(&e, json);
            ExitCode::from(exit_code(&e))
        }
    }
}

async fn start(given: &[String]) -> Result<u8> {
    match parse(Environment::read()?, given)? {
        Parsed::Shown(code) => Ok(code),
        Parsed::Command(cli) => {
            log::start(cli.settings.log_level, cli.settings.log_format);
            terminal::choose(cli.settings.color);
            execute(*cli).await
        }
    }
}

/// What the command line came to.
enum Parsed {
    /// A command to execute.
    Command(Box<Cli>),
    /// Help or the version, which has been printed; the exit code.
    Shown(u8),
}

/// The command line with its variables.
fn parse(environment: Environment, given: &[String]) -> Result<Parsed> {
    let mut command = environment.adapt(Cli::command().color(terminal::wanted(given)));
    let parsed = command
        .try_get_matches_from_mut(std::env::args_os())
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    match parsed {
        Ok(mut cli) => {
            cli.settings.environment = environment;
            Ok(Parsed::Command(Box::new(cli)))
        }
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::DisplayHelp
                    | ErrorKind::DisplayVersion
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            ) =>
        {
            match e.print() {
                // Whoever reads it has read enough.
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {}
                other => other.map_err(|e| Error::io("writing the help", e))?,
            }
            Ok(Parsed::Shown(u8::from(e.use_stderr())))
        }
        Err(e) => Err(environment.explain(&e, &command, given)),
    }
}

async fn execute(cli: Cli) -> Result<u8> {
    let settings = &cli.settings;
    match cli.command {
        Command::Plan(args) => plan::run(settings, args).await,
        Command::Show(args) => show::run(settings, &args),
        Command::Apply(args) => apply::run(settings, args).await,
        Command::Check(args) => apply::check(settings, args).await,
        Command::Rollback(args) => rollback::run(settings, args).await,
        Command::History(args) => history::history(settings, &args).await,
        Command::Pending(args) => pending::run(settings, &args).await,
        Command::Audit(args) => history::audit(settings, &args).await,
        Command::Load(args) => load::run(settings, args).await,
        Command::Batches(args) => batches::run(settings, args).await,
        Command::Graph(args) => graph::run(settings, &args).await,
        Command::Config(args) => config::run(settings, &args).await,
        Command::Init(args) => init::run(settings, args).await,
        Command::Completions(args) => completions::completions(&args),
        Command::Man(args) => completions::man(&args),
        Command::Migrate(args) => migrate::run(settings, &args).await,
        #[cfg(unix)]
        Command::Demo(args) => demo::run(args).await,
    }
}

/// Says why nothing was done: one JSON object on stdout with `--json`, else text on stderr.
fn report(e: &Error, json: bool) {
    let mut heard = false;
    if json {
        let mut object = serde_json::json!({
            "status": "refused",
            "reason": e.kind().word(),
            "exit_code": exit_code(e),
            "message": told(e),
        });
        if let Some(drift) = DriftReport::of(e) {
            object["rows"] = serde_json::json!(drift.rows);
            object["more_rows"] = drift.more.into();
        }
        if let Some(referrers) = ReferrerReport::of(e) {
            object["rows"] = serde_json::json!(referrers.rows);
            object["more_rows"] = referrers.more.into();
        }
        if let Some(RolledBack(latest)) = RolledBack::of(e) {
            object["application"] = latest.application.application.as_str().into();
        }
        heard = print_json(&object).is_ok();
    }
    // Where nobody hears it on stdout, stderr is left.
    if !heard || log::json() {
        log::error(e);
    }
}

/// The value that the command line gives a flag, as far as can be seen before it has been understood.
fn value_of<'g>(given: &'g [String], flag: &str) -> Option<&'g str> {
    let mut args = given.iter();
    while let Some(arg) = args.next() {
        match arg.strip_prefix(flag) {
            Some("") => return args.next().map(String::as_str),
            Some(value) if value.starts_with('=') => return value.strip_prefix('='),
            _ => {}
        }
    }
    None
}

/// A temporary file that nobody else sees.
fn temporary() -> Result<std::fs::File> {
    tempfile::tempfile().map_err(|e| Error::io("making a temporary file", e))
}

/// Stdout for what is only looked at. A reader that has seen enough (`| head`) ends the program
/// without a word: there is nothing left for it to do.
struct Shown(std::io::BufWriter<std::io::StdoutLock<'static>>);

impl Shown {
    fn new() -> Shown {
        Shown(std::io::BufWriter::new(std::io::stdout().lock()))
    }
}

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes).inspect_err(seen_enough)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush().inspect_err(seen_enough)
    }
}

fn seen_enough(e: &std::io::Error) {
    if e.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
}

/// Writes one JSON object to stdout that is only looked at.
fn show_json(value: &serde_json::Value) -> Result<u8> {
    let mut out = InertJson::new(Shown::new());
    writeln!(out, "{value}")
        .and_then(|()| out.flush())
        .map_err(|e| Error::io("writing the result", e))?;
    Ok(0)
}

/// Writes text to stdout that is only looked at.
fn show_text(doing: &str, text: &str) -> Result<u8> {
    let mut out = Shown::new();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Error::io(doing, e))?;
    Ok(0)
}

/// Writes one JSON object that tells what was done to stdout.
fn print_json(value: &serde_json::Value) -> Result<()> {
    writeln!(InertJson::new(std::io::stdout()), "{value}")
        .map_err(|e| Error::io("writing the result", e))
}
