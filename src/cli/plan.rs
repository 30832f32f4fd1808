//! `loader plan`.

mod batch;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Seek, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::keys::{Made, Recipients};
use super::notes::NotesArgs;
use super::output::Output;
use super::progress::Progress;
use super::rejects::RejectsArgs;
use super::settings::Settings;
use super::{colour, print_json, say, warn};
use crate::error::{Error, Result};
use crate::ops::{self, ApplyRequest, PlanRequest, Reviewed, RollbackRequest};
use crate::plan::Header;
use crate::planfile::{Item, PlanFile, Rehearsal};
use crate::render::text::{self, Filter};
use crate::text::commands::InertJson;

pub use batch::{BatchArgs, Place};

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    pub what: BatchArgs,
    /// Write the plan to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Leave out what reviewers decided to leave out, as the page or the workbook of `loader show` saved it, and
    /// nothing else: the plan must still be the one that was reviewed (repeatable)
    #[arg(long, value_name = "FILE")]
    decisions: Vec<PathBuf>,
    #[command(flatten)]
    recipients: Recipients,
    #[command(flatten)]
    rejects: RejectsArgs,
    #[command(flatten)]
    notes: NotesArgs,
    /// Also apply the plan and roll it back, so that triggers and deferred constraints are exercised; the outcome is
    /// recorded in the plan's notes. Needs the role that applies
    #[arg(long)]
    rehearse: bool,
    /// Exit with 2 if the plan changes something, and with 4 if it cannot be applied
    #[arg(long)]
    detailed_exitcode: bool,
}

pub async fn run(settings: &Settings, args: Args) -> Result<u8> {
    let request = PlanRequest {
        made: args.notes.made(settings)?,
        ..args.what.request(settings)?
    };
    let rehearsal = if args.rehearse {
        Some(super::apply::request(settings, true)?)
    } else {
        None
    };
    let stdout = std::io::stdout();
    let progress = Progress::start(settings);
    let rehearsal = rehearsal.as_ref();
    let rehearsed = RefCell::new(None);
    let verdicts = Cell::new(0);
    let with_rejects = args.rejects.are_asked_for(args.out.as_deref())?;
    let patience = settings.timeouts().patience();
    let decisions = super::decisions::read(&args.decisions, patience)?;
    let reviewed = if decisions.is_empty() {
        None
    } else {
        let events = |e| progress.tell(e);
        Some(Reviewed::new(&request, decisions, &events).await?)
    };
    let request = reviewed.as_ref().map_or(&request, Reviewed::request);
    let make = async |out: &File| {
        let (header, hash, ended) = make(Request::Load(request), rehearsal, out, &progress).await?;
        let is_empty = header.summary.changes() == 0 && header.against().is_none();
        if with_rejects || reviewed.is_some() || is_empty {
            let plan = out.try_clone();
            let plan = plan.map_err(|e| Error::io("reading the plan", e))?;
            let plan = PlanFile::verify(plan, "the plan".into())?;
            if let Some(reviewed) = &reviewed {
                super::decisions::tell(&reviewed.compare(&plan)?);
            }
            if is_empty {
                verdicts.set(count_verdicts(&plan)?);
            }
            args.rejects.write(request, &plan, patience).await?;
        }
        *rehearsed.borrow_mut() = ended;
        Ok((header, hash))
    };
    let made = match &args.out {
        Some(path) => {
            let mut made = to_file(path, &args.recipients, patience, make).await?;
            made.rehearsal = rehearsed.take();
            made.verdicts = verdicts.take();
            tell(settings, &made, &path.display().to_string())?;
            made
        }
        None if stdout.is_terminal() => {
            let file = super::temporary()?;
            let (header, hash) = make(&file).await?;
            let plan = PlanFile::verify(file, "the plan".into())?;
            let filter = Filter {
                limit: Some(20),
                ..Filter::default()
            };
            text::plan(&plan, &filter, colour(&stdout), &mut stdout.lock())?;
            settings.timed().inspect(|clock| clock.tell());
            say("The plan was not saved. To save it: loader plan … > plan.json");
            Made {
                header,
                hash,
                masked_hash: None,
                rehearsal: rehearsed.take(),
                verdicts: verdicts.take(),
            }
        }
        None => {
            let mut whole = super::temporary()?;
            let mut made = args.recipients.write(&whole, make).await?;
            made.rehearsal = rehearsed.take();
            made.verdicts = verdicts.take();
            let mut told = || {
                let mut out = BufWriter::with_capacity(1 << 16, InertJson::new(stdout.lock()));
                whole.rewind()?;
                std::io::copy(&mut whole, &mut out)?;
                out.flush()
            };
            told().map_err(|e| Error::io("writing the plan", e))?;
            settings.timed().inspect(|clock| clock.tell());
            tell_on_stderr(&made, "plan.json");
            made
        }
    };
    Ok(if !args.detailed_exitcode {
        0
    } else if made.header.against().is_some() || made.would_be_refused() {
        4
    } else if made.header.summary.changes() > 0 || made.verdicts > 0 {
        2
    } else {
        0
    })
}

/// How many entries of the queue an apply of a plan sets that changes no row. Those that have a verdict for records that
/// are left out keep it.
fn count_verdicts(plan: &PlanFile) -> Result<u64> {
    let settled: &[&str] = match plan.header.rejected {
        0 => &["loaded"],
        _ => &["loaded", "failed", "skipped"],
    };
    let mut ids = BTreeSet::new();
    plan.stream(&mut |item| {
        if let Item::Fragment(fragment) = item {
            let entries = fragment.queue.into_iter();
            let open = entries.filter(|entry| !settled.contains(&entry.status.as_str()));
            ids.extend(open.map(|entry| entry.id));
        }
        Ok(())
    })?;
    Ok(ids.len() as u64)
}

/// What a plan is made of.
#[derive(Clone, Copy)]
pub enum Request<'r> {
    /// A batch.
    Load(&'r PlanRequest),
    /// Loads that are taken back.
    Rollback(&'r RollbackRequest),
}

/// Makes the plan, and rehearses it if that is asked for. What is done is boxed: states that hold each other become so
/// deep that the compiler gives up.
pub async fn make(
    request: Request<'_>,
    rehearsal: Option<&ApplyRequest>,
    out: &File,
    progress: &Progress,
) -> Result<(Header, String, Option<Rehearsal>)> {
    let events = |e| progress.tell(e);
    let Some(rehearsal) = rehearsal else {
        let (header, hash) = match request {
            Request::Load(request) => Box::pin(ops::plan(request, out, &events)).await?,
            Request::Rollback(request) => Box::pin(ops::rollback(request, out, &events)).await?,
        };
        progress.end();
        return Ok((header, hash, None));
    };
    let (header, hash, ended) = match request {
        Request::Load(request) => {
            Box::pin(ops::plan_rehearsed(request, rehearsal, out, &events)).await?
        }
        Request::Rollback(request) => {
            Box::pin(ops::rollback_rehearsed(request, rehearsal, out, &events)).await?
        }
    };
    progress.end();
    let message = ended.message.trim_end_matches('.').lines();
    let message: Vec<_> = message.map(crate::text::escape).collect();
    say(format!(
        "Rehearsed: {}: {}.",
        ended.outcome.words(),
        message.join("\n")
    ));
    Ok((header, hash, Some(ended)))
}

/// Writes the plan beside `path` and puts it there when it is complete; where something other than a
/// file stands there (a pipe, a device), the complete plan is written to that, whose reader is waited for
/// `patience` long at a time.
pub async fn to_file(
    path: &std::path::Path,
    recipients: &Recipients,
    patience: Duration,
    make: impl AsyncFnOnce(&File) -> Result<(Header, String)>,
) -> Result<Made> {
    let doing = format!("writing the plan to {}", path.display());
    let out = Output::new(path, doing, Some("table-loader-plan/"), patience)?;
    let done = recipients.write(out.file(), make).await.map_err(|e| {
        // It must not be taken for the plan that was not made.
        if out.replaces() {
            e.and(format_args!(
                "; {} is still what it was before",
                path.display()
            ))
        } else {
            e
        }
    })?;
    // Sensitive values in plain stay with who made the plan.
    if done.masked_hash.is_some() || !done.header.has_sensitive() {
        out.for_everybody()?;
    }
    out.finish()?;
    Ok(done)
}

/// Tells what the plan in the file `path` would do.
pub fn tell(settings: &Settings, made: &Made, path: &str) -> Result<()> {
    if !settings.json {
        settings.timed().inspect(|clock| clock.tell());
        tell_on_stderr(made, path);
        return Ok(());
    }
    let header = &made.header;
    let mut told = serde_json::json!({
        "status": match header.against() {
            Some(_) => "blocked",
            None if made.would_be_refused() => "refused",
            None => "planned",
        },
        "batch_id": header.batch_id,
        "plan_hash": made.hash,
        "plan": path,
        "records": header.records,
        "summary": header.summary,
        "blocking": header.blocking,
        "rejected": header.rejected,
    });
    if let Some(hash) = &made.masked_hash {
        told["masked_hash"] = hash.as_str().into();
    }
    if let Some(rehearsal) = &made.rehearsal {
        told["rehearsal"] = serde_json::json!(rehearsal);
    }
    settings.timed().inspect(|clock| clock.add_to(&mut told));
    if let Err(e) = print_json(&told) {
        // The plan is there, whoever does not hear of it: it is said on stderr then.
        warn(format_args!("{e:#}"));
        tell_on_stderr(made, path);
    }
    Ok(())
}

fn tell_on_stderr(made: &Made, path: &str) {
    let header = &made.header;
    for table in &header.tables {
        for warning in &table.warnings {
            say(format!(
                "note: {}: {}",
                table.table,
                crate::text::escape(warning)
            ));
        }
    }
    say(header.summary_line());
    if header.blocking == 0 && header.exceeded().next().is_some() {
        say("This plan cannot be applied: it exceeds limits, as noted above.");
    } else if header.blocking > 0 {
        say(format!(
            "This plan cannot be applied. To see why: loader show {path} --action violation"
        ));
    } else if header.summary.changes() == 0 && made.verdicts == 0 {
        say("There is nothing to apply.");
    } else if made.would_be_refused() {
        say("Apply would refuse this plan now, as rehearsed above.");
    } else {
        let (identity, hash) = match &made.masked_hash {
            Some(hash) => (" --identity FILE", hash),
            None => ("", &made.hash),
        };
        if header.summary.changes() == 0 {
            let entries = if made.verdicts == 1 {
                "entry"
            } else {
                "entries"
            };
            say(format!(
                "No row changes; applying it sets {} {entries} of the queue.",
                made.verdicts
            ));
        }
        say(format!(
            "Have it reviewed (loader show {path}), then: loader apply {path}{identity} --approve {hash}"
        ));
    }
}
