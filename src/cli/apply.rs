//! `loader apply` and `loader check`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::keys::Identity;
use super::log::warn;
use super::progress::Progress;
use super::report::{ReportArgs, about};
use super::settings::Settings;
use super::told::told;
use super::{colour, print_json, say};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{self, Applied, ApplyRequest, Checked};
use crate::plan::{Counts, Header};
use crate::planfile::{Executable, PlanFile};
use crate::render::text::{self, Filter};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// The plan file; - is standard input
    plan: PathBuf,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    how: How,
}

/// How a plan is approved and applied.
#[derive(clap::Args, Debug, Clone)]
pub struct How {
    /// The hash of the plan that was approved
    #[arg(long, value_name = "HASH")]
    approve: Option<String>,
    /// Apply without approval; no other check is skipped
    #[arg(long)]
    force: bool,
    /// Apply a plan that was applied before and rolled back; it has to be approved by --approve or at the terminal
    #[arg(long)]
    again: bool,
    /// Whether a plan must be approved
    #[arg(long, env = "REQUIRE_APPROVAL", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    require_approval: bool,
    /// Do everything but the commit
    #[arg(long, env = "DRY_RUN")]
    dry_run: bool,
    #[command(flatten)]
    pub report: ReportArgs,
}

impl How {
    /// The command that would do the same again.
    fn command(&self, plan: &PlanFile, name: &str) -> String {
        let header = &plan.header;
        let batch = &header.batch_id;
        match header.undoes.as_slice() {
            [one] if name == THE_ROLLBACK => format!("loader rollback --application {one}"),
            _ if name == THE_ROLLBACK => format!("loader rollback --batch-id {batch}"),
            _ if name.starts_with(THE_PLAN_OF) => format!("loader load --batch-id {batch}"),
            _ => format!("loader apply {name}"),
        }
    }

    /// Whether this plan needs no approval. What was rolled back is never applied again without one.
    fn needs_none(&self, plan: &PlanFile) -> bool {
        !self.again && (self.force || !self.require_approval || plan.header.summary.changes() == 0)
    }

    /// Whether this plan still needs the approval of a person.
    pub fn asks(&self, plan: &PlanFile) -> bool {
        !self.dry_run && self.approve.is_none() && !self.needs_none(plan)
    }
}

/// Whether there is a person who can be asked.
pub fn attended() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

#[derive(clap::Args, Debug)]
pub struct CheckArgs {
    /// The plan file; - is standard input
    plan: PathBuf,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    report: ReportArgs,
}

/// What a plan that is applied at once is called, before the name of its batch.
pub const THE_PLAN_OF: &str = "the plan of batch ";
/// What a rollback that is applied at once is called.
pub const THE_ROLLBACK: &str = "the rollback";

/// What is applied, and how; `again` as in [`ApplyRequest`].
pub fn request(settings: &Settings, dry_run: bool, again: bool) -> Result<ApplyRequest> {
    Ok(ApplyRequest {
        database: settings.database()?,
        timeouts: settings.timeouts(),
        loader_schema: settings.loader_schema.clone(),
        actor: settings.actor(),
        dry_run,
        max_retries: settings.max_retries,
        max_records: settings.max_records,
        again,
    })
}

pub async fn run(settings: &Settings, args: Args) -> Result<u8> {
    settings.clock.phase("verify the plan", None);
    let plan = args.identity.open(&args.plan)?.executable()?;
    let name = args.plan.display().to_string();
    apply(settings, plan, &args.how, &name, Instant::now()).await
}

/// Asks for approval and applies. The time since `started` is told in the JSON result.
pub async fn apply(
    settings: &Settings,
    plan: Executable,
    how: &How,
    name: &str,
    started: Instant,
) -> Result<u8> {
    let request = request(settings, how.dry_run, how.again)?;
    if !how.dry_run {
        settings.clock.phase("ask for approval", None);
        approve(&plan, how, name)?;
    }
    let plan = Arc::new(plan);
    let stop = stopped()?;
    let progress = Progress::start(settings);
    let applied = ops::apply(&plan, &request, stop, &|e| progress.tell(e)).await;
    progress.end();
    let applied = match applied {
        Ok(applied) => applied,
        Err(e) if e.kind() == ErrorKind::NotApproved => {
            let (command, hash) = (how.command(plan.plan(), name), &plan.plan().hash);
            return Err(e.and(format_args!(
                "; to apply it again: {command} --again --approve {hash}"
            )));
        }
        Err(e) => return how.report.tell(Err(e), &about(plan.plan())),
    };
    tell(settings, &plan.plan().header, &applied, started)?;
    Ok(0)
}

/// Done when the process is asked to stop.
fn stopped() -> Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(|e| Error::io("listening for signals", e));
        let (mut int, mut term) = (
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
        );
        Ok(async move {
            tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

fn approve(plan: &Executable, how: &How, name: &str) -> Result<()> {
    let plan = plan.plan();
    match &how.approve {
        Some(hash) if plan.is_named(hash) => return Ok(()),
        Some(hash) => {
            return Err(Error::not_approved(format!(
                "{name}: the approval is for {hash}, but this plan is {}; have this plan reviewed",
                plan.hash
            )));
        }
        None if how.needs_none(plan) => return Ok(()),
        None => {}
    }
    let (stdin, stderr) = (std::io::stdin(), std::io::stderr());
    if !attended() {
        return Err(Error::not_approved(format!(
            "{name}: nobody approved this plan; after its review: {} --approve {}",
            how.command(plan, name),
            plan.hash
        )));
    }
    let filter = Filter {
        limit: Some(20),
        ..Filter::default()
    };
    text::plan(plan, &filter, colour(&stderr), &mut stderr.lock())?;
    // What was typed before the question is no answer to it.
    #[cfg(unix)]
    rustix::termios::tcflush(&stdin, rustix::termios::QueueSelector::IFlush)
        .map_err(|e| Error::io("clearing what was typed before the question", e.into()))?;
    let mut answer = String::new();
    let _ = write!(
        std::io::stderr(),
        "\nApply this plan? Type \"yes\" to apply it: "
    );
    stdin
        .lock()
        .read_line(&mut answer)
        .map_err(|e| Error::io("reading the answer", e))?;
    if answer.trim() == "yes" {
        Ok(())
    } else {
        Err(Error::not_approved(format!(
            "{name}: not approved; nothing was written"
        )))
    }
}

fn tell(settings: &Settings, header: &Header, applied: &Applied, started: Instant) -> Result<()> {
    if settings.json {
        let failed = |e| Error::local("writing the result").caused_by(e);
        let mut result =
            serde_json::to_value(ops::LoadResults::new(header, applied)).map_err(failed)?;
        result["duration_seconds"] = (started.elapsed().as_millis() as f64 / 1000.0).into();
        settings.timed().inspect(|clock| clock.add_to(&mut result));
        match print_json(&result) {
            Ok(()) => return Ok(()),
            // What was done is done, whoever does not hear of it: it is said on stderr then.
            Err(e) => warn(told(&e)),
        }
    }
    settings.timed().inspect(|clock| clock.tell());
    match applied {
        Applied::Done(report) => {
            say(format!("Applied: {}.", written(&report.tables)));
            say(format!(
                "Application {} of batch {}.",
                report.application, report.batch_id
            ));
        }
        Applied::Rehearsed(report) => {
            say(format!(
                "Rehearsed and rolled back: {}. Nothing was written.",
                written(&report.tables)
            ));
        }
        Applied::Already(before) => {
            say(format!(
                "Applied already at {} by {} (application {}). Nothing was written.",
                before.applied_at, before.actor, before.application
            ));
        }
    }
    Ok(())
}

fn written(tables: &[(String, Counts)]) -> String {
    let sum = |f: fn(&Counts) -> u64| tables.iter().map(|(_, c)| f(c)).sum::<u64>();
    format!(
        "{} inserted, {} updated, {} deleted",
        sum(|c| c.insert),
        sum(|c| c.update),
        sum(|c| c.delete)
    )
}

pub async fn check(settings: &Settings, args: CheckArgs) -> Result<u8> {
    let plan = Arc::new(args.identity.open(&args.plan)?.executable()?);
    let request = request(settings, true, false)?;
    let progress = Progress::start(settings);
    let checked = ops::check(&plan, &request, &|e| progress.tell(e)).await?;
    progress.end();
    let (status, line) = match checked {
        Checked::Applicable => ("applicable", "It would apply now.".to_owned()),
        Checked::Applied(before) => (
            "applied",
            format!(
                "Applied at {} by {} (application {}).",
                before.applied_at, before.actor, before.application
            ),
        ),
        Checked::RolledBack(before) => (
            "rolled_back",
            format!(
                "It would apply now. As it was applied at {} by {} (application {}) and rolled back since, that needs \
                 --again.",
                before.applied_at, before.actor, before.application
            ),
        ),
        Checked::Drifted(report) => {
            let refused = Err(report.into());
            return args.report.tell(refused, &about(plan.plan()));
        }
    };
    if settings.json {
        print_json(
            &serde_json::json!({"status": status, "plan_hash": plan.plan().hash, "message": line}),
        )?;
    } else {
        say(line);
    }
    Ok(0)
}
