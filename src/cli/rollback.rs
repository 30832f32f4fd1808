//! `loader rollback`.

use std::path::PathBuf;

use super::apply::{How, apply};
use super::approval::attended;
use super::keys::{Made, Recipients};
use super::limits::LimitArgs;
use super::notes::NotesArgs;
use super::plan::{Request, make};
use super::progress::Progress;
use super::say;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::ops::{self, RollbackRequest, TakenBack};
use crate::plan::Kind;
use crate::planfile::PlanFile;
use crate::render::drift::About;

#[derive(clap::Args, Debug)]
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    rows: Rows,
    /// Only write the plan of the rollback to this file; apply it with `loader apply`
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also apply the plan and roll that back, so that what stands against it is known before the review; the outcome
    /// is recorded in the plan's notes. Needs the role that applies
    #[arg(long, requires = "out")]
    rehearse: bool,
    #[command(flatten)]
    recipients: Recipients,
    #[command(flatten)]
    notes: NotesArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    how: How,
}

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct What {
    /// Roll back all loads of this batch that are in effect
    #[arg(long, value_name = "ID")]
    batch_id: Option<String>,
    /// Roll back one application (see `loader history`)
    #[arg(long, value_name = "ID")]
    application: Option<String>,
}

/// Which rows of it.
#[derive(clap::Args, Debug)]
struct Rows {
    /// Only rows of this table (repeatable); the rest can be rolled back later
    #[arg(long, value_name = "TABLE")]
    table: Vec<String>,
    /// Only the row of the one --table with this natural key: its value, or a JSON array or object of
    /// several (repeatable)
    #[arg(
        long,
        value_name = "KEY",
        requires = "table",
        allow_hyphen_values = true
    )]
    key: Vec<String>,
    /// Keep rows that changed since the load, and those to which they refer, and roll the others back; the
    /// plan lists what is kept
    #[arg(long)]
    keep_edited: bool,
    /// Also roll back what later loads did to these rows, and the rows of later loads that refer to them,
    /// and so on
    #[arg(long)]
    with_dependents: bool,
}

impl Rows {
    fn keys(&self) -> Result<Vec<ops::Key>> {
        self.key.iter().map(|key| ops::Key::parse(key)).collect()
    }
}

impl What {
    fn taken_back(self) -> Result<TakenBack> {
        match (self.batch_id, self.application) {
            (Some(id), None) => Ok(TakenBack::Batch(id)),
            (None, Some(id)) => Ok(TakenBack::Application(id)),
            _ => Err(Error::config("name a batch or an application")),
        }
    }
}

pub async fn run(settings: &Settings, args: Args) -> Result<u8> {
    let started = std::time::Instant::now();
    let request = RollbackRequest {
        of: args.what.taken_back()?,
        keys: args.rows.keys()?,
        tables: args.rows.table,
        keep_edited: args.rows.keep_edited,
        with_dependents: args.rows.with_dependents,
        database: settings.database()?,
        timeouts: settings.timeouts(),
        loader_schema: settings.loader_schema.clone(),
        config: settings.tables_if_there()?,
        limits: args.limits.allowances(),
        max_retries: settings.max_retries,
        made: args.notes.made(settings)?,
    };
    let progress = Progress::start(settings);
    let events = |e| progress.tell(e);
    let about = About {
        kind: Kind::Rollback,
        of: match &request.of {
            TakenBack::Batch(id) => format!("batch {id}"),
            TakenBack::Application(id) => format!("application {id}"),
        },
        hash: None,
    };
    if let Some(path) = &args.out {
        let rehearsal = match args.rehearse {
            true => Some(super::apply::request(settings, true)?),
            false => None,
        };
        let mut rehearsed = None;
        let made = super::plan::to_file(
            path,
            &args.recipients,
            settings.timeouts().patience(),
            async |out| {
                let request = Request::Rollback(&request);
                let (header, hash, ended) =
                    make(request, rehearsal.as_ref(), out, &progress).await?;
                rehearsed = ended;
                Ok((header, hash))
            },
        )
        .await;
        progress.end();
        let made = match made {
            Ok(made) => Made {
                rehearsal: rehearsed,
                ..made
            },
            Err(e) => return args.how.report.tell(Err(e), &about, settings.json),
        };
        return super::plan::tell(settings, &made, &path.display().to_string()).map(|()| 0);
    }
    if !args.recipients.is_empty() {
        return Err(Error::config(
            "--recipient concerns the plan that --out writes; give --out FILE too",
        ));
    }
    let file =
        tempfile::NamedTempFile::new().map_err(|e| Error::io("making a temporary file", e))?;
    let made = ops::rollback(&request, file.as_file(), &events).await;
    progress.end();
    if let Err(e) = made {
        return args.how.report.tell(Err(e), &about, settings.json);
    }
    settings.clock.phase("verify the plan", None);
    let handle = file
        .reopen()
        .map_err(|e| Error::io("reading the plan", e))?;
    let plan = PlanFile::verify(handle, "the rollback".into())?;
    // Who is asked is shown the plan then.
    let asked = args.how.asks(&plan) && attended();
    if !(settings.json || super::log::json() || asked) {
        args.how.show(&plan)?;
        if plan.header.summary.changes() == 0 {
            say("No row needs to change; only the record of the application is rolled back.");
        }
    }
    apply(
        settings,
        plan.executable()?,
        &args.how,
        "the rollback",
        started,
    )
    .await
}
