//! `loader pending`.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::settings::Settings;
use super::told::exit_code;
use super::{Shown, approval, log, show_json};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{self, PlanState};
use crate::planfile::PlanFile;
use crate::text::commands::inert;
use crate::text::escape;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// The folder with plan files (*.json)
    #[arg(default_value = "plans")]
    folder: PathBuf,
}

/// Names the plans that are still to be applied, one per line; those that cannot be read are named on
/// stderr, and do not keep the others from being named.
pub async fn run(settings: &Settings, args: &Args) -> Result<u8> {
    let mut plans = Vec::new();
    let mut code = 0;
    for path in files(&args.folder)? {
        match PlanFile::open(&path) {
            Ok(plan) => plans.push((path, plan)),
            Err(e) => {
                let e = e.with_kind(ErrorKind::PlanRefused);
                code = exit_code(&e);
                log::error(&e);
            }
        }
    }
    let (paths, plans): (Vec<PathBuf>, Vec<PlanFile>) = plans.into_iter().unzip();
    let states = ops::pending(
        &settings.database()?,
        settings.timeouts(),
        &settings.loader_schema,
        &plans,
    )
    .await?;
    let found = paths.iter().zip(plans.iter().zip(states));
    if settings.json {
        let plans = found.map(|(path, (plan, state))| {
            serde_json::json!({
                "plan": path.display().to_string(),
                "plan_hash": plan.verified_hash(),
                "batch_id": plan.header.batch_id,
                "kind": plan.header.kind,
                "state": state.word(),
            })
        });
        let plans: Vec<serde_json::Value> = plans.collect();
        show_json(&serde_json::json!({ "plans": plans }))?;
        return Ok(code);
    }
    let failed = |e: std::io::Error| Error::io("writing the plans", e);
    let mut out = Shown::new();
    for (file, (plan, state)) in found {
        let path = file.display().to_string();
        match state {
            PlanState::Pending => writeln!(out, "{}", inert(&escape(&path))).map_err(failed)?,
            PlanState::Elsewhere => {
                log::warn(format_args!("{path} was made for another database"));
            }
            PlanState::Applied(_) | PlanState::Nothing => {}
            PlanState::UndoneInPart(latest) => log::warn(format_args!(
                "{path} is not pending: it was {latest}; a new plan has what is missing"
            )),
            // Whoever reads only what is pending must not miss it.
            PlanState::RolledBack(latest) => log::warn(format_args!(
                "{path} is not pending: it was {latest}; to apply it again: {}; to give it up, delete the file",
                approval::again(plan, file, &latest.application.application)
            )),
        }
    }
    out.flush().map_err(failed)?;
    Ok(code)
}

/// The files of a folder that are named as plans, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let doing = format!("looking for plans in {}", folder.display());
    let failed = |e: std::io::Error| {
        Error::io(&doing, e).and("; name the folder with plans: loader pending FOLDER")
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.to_string_lossy();
        // The schemas that `loader schema` writes may lie beside them.
        let is_schema = ["plan.schema.json", "tables.schema.json"];
        let is_plan = name.ends_with(".json") && !is_schema.iter().any(|of| path.ends_with(of));
        if is_plan && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
