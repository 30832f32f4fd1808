//! The command line: the only place that prints, prompts, and reads the environment or the clock.

mod apply;
#[cfg(feature = "sandbox")]
mod demo;
mod history;
mod migrate;
mod plan;
mod rollback;
mod settings;
mod show;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Error, Result};
use settings::Settings;

/// Loads reviewed batches of records into PostgreSQL: plan, review, apply exactly that, or refuse.
#[derive(Parser, Debug)]
#[command(name = "loader", version, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done or nothing to do, 1 failed, 2 changes present (plan --detailed-exitcode), \
    3 drift, 4 violations or limits block, 5 not approved, 6 plan file refused, 7 locked or timed out, \
    8 outcome not known yet."
)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Read a batch and the current rows, and write what would change as a plan (JSON on stdout)
    Plan(plan::Args),
    /// Show a plan for people
    Show(show::Args),
    /// Do exactly what a plan says, in one transaction, or refuse
    Apply(apply::Args),
    /// Say whether a plan would apply now; reads only
    Check(apply::CheckArgs),
    /// Put every row back as it was before a batch, or refuse
    Rollback(rollback::Args),
    /// List what was applied: when, who, what, taken back by what
    History(history::HistoryArgs),
    /// Tell what happened to a row, or in a batch
    Audit(history::AuditArgs),
    /// Make or complete the loader's own tables
    Migrate(migrate::Args),
    /// See a whole round on a throw-away database
    #[cfg(feature = "sandbox")]
    Demo(demo::Args),
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    // A missing .env is as good as an empty one; a broken one is not.
    let env_file = match dotenvy::dotenv() {
        Ok(_) => Ok(()),
        Err(e) if e.not_found() => Ok(()),
        Err(dotenvy::Error::LineParse(_, at)) => Err(Error::Config(format!(
            ".env: a line cannot be read, at its character {at}; write NAME=value"
        ))),
        Err(e) => Err(Error::Config(format!(".env: {e}"))),
    };
    let cli = Cli::parse();
    let json = cli.settings.json;
    let done = env_file.and_then(|()| {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::io("starting", &e))?
            .block_on(execute(cli))
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            report(&e, json);
            ExitCode::from(e.exit_code())
        }
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
        Command::Audit(args) => history::audit(settings, &args).await,
        Command::Migrate(args) => migrate::run(settings, &args).await,
        #[cfg(feature = "sandbox")]
        Command::Demo(args) => demo::run(args).await,
    }
}

/// Tells why nothing was done: one JSON object on stdout with `--json`, else text on stderr.
fn report(e: &Error, json: bool) {
    if json {
        let mut object = serde_json::json!({
            "status": "refused",
            "reason": e.reason(),
            "exit_code": e.exit_code(),
            "message": e.to_string(),
        });
        if let Error::Drift(drift) = e {
            object["rows"] = serde_json::json!(drift.rows);
        }
        let _ = writeln!(std::io::stdout(), "{object}");
    } else {
        let _ = writeln!(std::io::stderr(), "loader: {e}");
    }
}

/// A line for people, on stderr.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// How text looks on a stream: colours and the width where it is a terminal.
fn colour(stream: &impl IsTerminal) -> crate::render::text::Style {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    crate::render::text::Style {
        colour: wanted && stream.is_terminal(),
        width: match terminal_size::terminal_size() {
            Some((width, _)) if stream.is_terminal() => usize::from(width.0).clamp(60, 160),
            _ => 80,
        },
    }
}

/// Writes one JSON object to stdout.
fn print_json(value: &serde_json::Value) -> Result<()> {
    writeln!(std::io::stdout(), "{value}").map_err(|e| Error::io("writing the result", &e))
}
