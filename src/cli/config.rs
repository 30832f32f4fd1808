//! `loader config check`.

use std::io::Write;

use super::settings::Settings;
use super::{Shown, print_json};
use crate::error::{Error, Result};
use crate::ops::{self, ConfigCheckRequest, ConfigChecked, Work};
use crate::render::plural;
use crate::text::commands::inert;

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Compare tables.yaml with the database, without a batch: columns, keys, order, and what the role may not do
    Check(CheckArgs),
}

#[derive(clap::Args, Debug)]
struct CheckArgs {
    /// Which work the role of this connection must be able to do
    #[arg(long = "for", value_enum, value_name = "WORK", default_value_t = WorkArg::Plan)]
    work: WorkArg,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum WorkArg {
    /// Make plans
    Plan,
    /// Make plans, apply them and roll them back
    Apply,
}

pub async fn run(settings: &Settings, args: &Args) -> Result<u8> {
    let What::Check(args) = &args.what;
    let mut request = ConfigCheckRequest::new(settings.tables()?, settings.database()?);
    request.timeouts = settings.timeouts();
    request.loader_schema = settings.loader_schema.clone();
    request.work = match args.work {
        WorkArg::Plan => Work::Plan,
        WorkArg::Apply => Work::Apply,
    };
    let checked = ops::check_config(&request).await?;
    if settings.json {
        print_json(&serde_json::json!(checked))?;
    } else {
        let text = words(&checked);
        let mut out = Shown::new();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|e| Error::io("writing what was found", e))?;
    }
    Ok(u8::from(!checked.is_fine()))
}

fn words(checked: &ConfigChecked) -> String {
    let mut text = String::new();
    for problem in &checked.problems {
        text += &format!("error: {}\n", inert(problem));
    }
    if !checked.migrated {
        text += "missing: the loader's own tables; `loader migrate` makes them\n";
    }
    for grant in &checked.grants {
        text += &format!("missing: {}\n", inert(grant));
    }
    for note in &checked.notes {
        text += &format!("note: {}\n", inert(note));
    }
    let verdict = if checked.is_fine() {
        "Nothing stands in the way"
    } else {
        "Not ready"
    };
    text + &format!(
        "{verdict}: {} checked, {}, {} missing, {}.\n",
        plural(checked.tables.len() as u64, "table"),
        plural(checked.problems.len() as u64, "error"),
        plural(checked.grants.len() as u64, "grant"),
        plural(checked.notes.len() as u64, "note"),
    )
}
