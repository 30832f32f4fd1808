//! `loader apply` and `loader check`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::approval::{self, Approval};
use super::keys::Identity;
use super::log::warn;
use super::progress::Progress;
use super::report::{ReportArgs, about};
use super::settings::Settings;
use super::told::{NOT_REPLICATED, told};
use super::{print_json, say};
use crate::error::{Error, Result};
use crate::ops::{self, Applied, ApplyRequest, Checked, Report, RolledBack};
use crate::plan::{Counts, Header, left_out};
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
    #[command(flatten)]
    approval: Approval,
    /// Do everything but the commit
    #[arg(long, env = "DRY_RUN")]
    dry_run: bool,
    #[command(flatten)]
    pub report: ReportArgs,
}

impl How {
    /// Whether this plan still needs the approval of a person.
    pub fn asks(&self, plan: &PlanFile) -> bool {
        !self.dry_run && self.approval.asks(plan)
    }

    /// Shows a plan about which nobody is asked before it is applied.
    ///
    /// # Errors
    /// As [`text::plan`].
    pub fn show(&self, plan: &PlanFile) -> Result<()> {
        let stderr = std::io::stderr();
        let style = super::colour(&stderr);
        let many = plan.header.summary.entries() > LISTED;
        if many && !self.dry_run && plan.header.against().is_none() {
            text::summed(plan, style, &mut stderr.lock())?;
            say(
                "The rows are too many to be listed here: loader audit lists what was changed, and --out FILE writes a plan \
                 to be reviewed first.",
            );
            return Ok(());
        }
        let filter = Filter {
            limit: Some(20),
            ..Filter::default()
        };
        text::plan(plan, &filter, style, &mut stderr.lock())
    }
}

/// The most entries of a plan of which some are shown though nobody is asked: to find those that stand out
/// it is read twice, which of many takes a good part of the time of applying it.
const LISTED: u64 = 1_000;

#[derive(clap::Args, Debug)]
pub struct CheckArgs {
    /// The plan file; - is standard input
    plan: PathBuf,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    report: ReportArgs,
}

/// What is applied, and how, but for the approval.
pub fn request(settings: &Settings, dry_run: bool) -> Result<ApplyRequest> {
    Ok(ApplyRequest {
        database: settings.database()?,
        timeouts: settings.timeouts(),
        loader_schema: settings.loader_schema.clone(),
        actor: settings.actor(),
        dry_run,
        max_retries: settings.max_retries,
        max_records: settings.max_records,
        again: None,
    })
}

pub async fn run(settings: &Settings, args: Args) -> Result<u8> {
    settings.clock.phase("verify the plan", None);
    let plan = args
        .identity
        .open(&args.plan, settings.timeouts().patience())?
        .executable()?;
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
    let mut request = request(settings, how.dry_run)?;
    if how.dry_run {
        how.approval.names(plan.plan(), name)?;
    } else {
        settings.clock.phase("ask for approval", None);
        request.again = how.approval.given(&plan, &request, name).await?;
    }
    let plan = Arc::new(plan);
    let stop = stopped()?;
    let progress = Progress::start(settings);
    let applied = ops::apply(&plan, &request, stop, &|e| progress.tell(e)).await;
    progress.end();
    let applied = match applied {
        Ok(applied) => applied,
        Err(e) => {
            let again = RolledBack::of(&e).map(|r| r.0.application.application.clone());
            let e = match again {
                Some(id) => {
                    let command = approval::command(plan.plan(), Some(&id));
                    e.and(format_args!("; to apply it again: {command}"))
                }
                None => e,
            };
            return how.report.tell(Err(e), &about(plan.plan()), settings.json);
        }
    };
    tell(settings, &plan.plan().header, &applied, started)?;
    Ok(match applied {
        Applied::Unreplicated(_) => NOT_REPLICATED,
        _ => 0,
    })
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
            say(format!("Applied: {}.", written(report)));
            say(format!(
                "Application {} of batch {}.",
                report.application, report.batch_id
            ));
        }
        Applied::Rehearsed(report) => {
            say(format!(
                "Rehearsed and rolled back: {}. Nothing was written.",
                written(report)
            ));
        }
        Applied::Unreplicated(report) => {
            say(format!(
                "Applied, not replicated: {}. The synchronous standby did not confirm it: the rows are on this server \
                 alone until it does.",
                written(report)
            ));
            say(format!(
                "Application {} of batch {}.",
                report.application, report.batch_id
            ));
        }
        Applied::Nothing => {
            say("There is nothing to apply: no row would change. Nothing was written.");
        }
        Applied::Already(before) => {
            say(format!(
                "Applied already at {} by {} (application {}). Nothing was written. Where others took its rows away since, \
                 `--again {}` applies it once more.",
                before.applied_at, before.actor, before.application, before.application
            ));
        }
    }
    Ok(())
}

fn written(report: &Report) -> String {
    let counts = report.tables.iter().map(|(_, counts)| *counts);
    let counts = counts.fold(Counts::default(), Counts::plus);
    let left_out = match report.rejected {
        0 => String::new(),
        n => format!(", {}", left_out(n)),
    };
    format!(
        "{} inserted, {} updated, {} deleted{left_out}",
        counts.insert, counts.update, counts.delete
    )
}

pub async fn check(settings: &Settings, args: CheckArgs) -> Result<u8> {
    let plan = Arc::new(
        args.identity
            .open(&args.plan, settings.timeouts().patience())?
            .executable()?,
    );
    let request = request(settings, true)?;
    let progress = Progress::start(settings);
    let checked = ops::check(&plan, &request, &|e| progress.tell(e)).await?;
    progress.end();
    let hash = &plan.plan().hash;
    let (status, line, before) = match checked {
        Checked::Applicable => (
            "applicable",
            "All its rows are as it saw them: it would apply now, unless another row has taken a unique value, one to which \
             new rows refer is gone, a constraint or a trigger refuses, or its role lacks a right. \
             `loader apply --dry-run` tries it, and `loader config check --for apply` lists the rights."
                .to_owned(),
            None,
        ),
        Checked::Applied(before) => ("applied", format!("It was {before}."), Some(before)),
        Checked::RolledBack(before) => (
            "rolled_back",
            format!(
                "It would apply now, with a new approval: it was {before}. To apply it again: {}",
                approval::again(plan.plan(), &args.plan, &before.application.application)
            ),
            Some(before),
        ),
        Checked::Drifted(report) => {
            let refused = Err(report.into());
            return args.report.tell(refused, &about(plan.plan()), settings.json);
        }
    };
    if settings.json {
        let mut told = serde_json::json!({"status": status, "plan_hash": hash, "message": line});
        if let Some(before) = before {
            told["application"] = before.application.application.into();
        }
        print_json(&told)?;
    } else {
        say(line);
    }
    Ok(0)
}
