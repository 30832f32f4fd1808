//! `loader load`: plan, show, ask, apply, in one step.

use std::path::PathBuf;
use std::time::Instant;

use super::apply::{How, apply};
use super::approval::attended;
use super::keys::Recipients;
use super::plan::{BatchArgs, to_file};
use super::progress::Progress;
use super::rejects::RejectsArgs;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::ops;
use crate::planfile::PlanFile;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    what: BatchArgs,
    /// Keep the plan in this file
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    rejects: RejectsArgs,
    #[command(flatten)]
    how: How,
}

pub async fn run(settings: &Settings, args: Args) -> Result<u8> {
    let started = Instant::now();
    let request = args.what.request(settings)?;
    args.rejects.are_asked_for(args.out.as_deref())?;
    let progress = Progress::start(settings);
    let events = |e| progress.tell(e);
    let file =
        tempfile::NamedTempFile::new().map_err(|e| Error::io("making a temporary file", e))?;
    let reading = |e| Error::io("reading the plan", e);
    let name = match &args.out {
        // What stands there may be a pipe, which is not read again.
        Some(path) => {
            to_file(
                path,
                &Recipients::default(),
                settings.timeouts().patience(),
                async |out| {
                    let made = ops::plan(&request, file.as_file(), &events).await?;
                    let (mut whole, mut out) = (file.reopen().map_err(reading)?, out);
                    std::io::copy(&mut whole, &mut out)
                        .map_err(|e| Error::io("writing the plan", e))?;
                    Ok(made)
                },
            )
            .await?;
            path.display().to_string()
        }
        None => {
            ops::plan(&request, file.as_file(), &events).await?;
            format!("the plan of batch {}", request.batch_id)
        }
    };
    let plan = PlanFile::verify(file.reopen().map_err(reading)?, name.clone())?;
    args.rejects
        .write(&request, &plan, settings.timeouts().patience())
        .await?;
    progress.end();
    settings.clock.phase("show", None);
    let asks = args.how.asks(&plan);
    // Who is asked is shown the plan then.
    if !(settings.json || super::log::json() || asks && attended()) {
        args.how.show(&plan)?;
    }
    if let (Some(against), None) = (plan.header.against(), &args.out) {
        let advice = match plan.header.blocking {
            0 => String::new(),
            _ => format!(
                ". Mend the records or the configuration; all violations are told by `loader plan --batch-id {} \
                 --out plan.json` and `loader show plan.json --action violation`",
                request.batch_id
            ),
        };
        return Err(Error::blocked(format!(
            "{name}: {against}; nothing was written{advice}"
        )));
    }
    apply(settings, plan.executable()?, &args.how, &name, started).await
}
