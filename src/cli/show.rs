//! `loader show`.

use std::io::Write;
use std::path::PathBuf;

use super::colour;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::planfile::PlanFile;
use crate::render::select::{Filter, Selection};
use crate::render::{markdown, text};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// The plan file; - is standard input
    plan: PathBuf,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Only this table (repeatable)
    #[arg(long, value_name = "TABLE")]
    table: Vec<String>,
    /// Only this action: insert, update, delete, skip, violation (repeatable)
    #[arg(long, value_name = "ACTION", value_parser = ["insert", "update", "delete", "skip", "violation"])]
    action: Vec<String>,
    /// Only rows with this text in their key
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// At most so many of each action and table; rows that change alike count as one
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// All, however many, each by itself
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Markdown,
    Json,
}

pub fn run(settings: &Settings, args: &Args) -> Result<u8> {
    let stdout = std::io::stdout();
    let mut out = std::io::BufWriter::new(stdout.lock());
    let format = if settings.json {
        Format::Json
    } else {
        args.format
    };
    let filter = Filter {
        tables: args.table.clone(),
        actions: args.action.clone(),
        key: args.key.clone(),
        limit: (!args.all).then_some(args.limit),
    };
    let style = colour(&stdout);
    let plan = match format {
        Format::Json => {
            let plan = PlanFile::open(&args.plan)?;
            super::print_json(&json(&plan))?;
            return Ok(0);
        }
        Format::Markdown => {
            let filter = Filter {
                limit: Some(markdown::ROWS),
                ..filter
            };
            let (plan, selection) = Selection::open(&args.plan, &filter)?;
            known(&plan, &args.table)?;
            markdown::selection(&plan, &selection, &filter, &mut out)?;
            plan
        }
        Format::Text if args.all => {
            let plan = PlanFile::open(&args.plan)?;
            known(&plan, &args.table)?;
            text::plan(&plan, &filter, style, &mut out)?;
            plan
        }
        Format::Text => {
            let (plan, selection) = Selection::open(&args.plan, &filter)?;
            known(&plan, &args.table)?;
            text::selection(&plan, &selection, &filter, style, &mut out)?;
            plan
        }
    };
    out.flush()
        .map_err(|e| Error::io("writing the plan for people", &e))?;
    drop(out);
    if format == Format::Text
        && plan.header.against().is_none()
        && plan.header.summary.changes() > 0
    {
        super::say(format!(
            "To apply it: loader apply {} --approve {}",
            args.plan.display(),
            plan.hash
        ));
    }
    Ok(0)
}

fn json(plan: &PlanFile) -> serde_json::Value {
    let header = &plan.header;
    serde_json::json!({
        "plan_hash": plan.hash,
        "kind": header.kind,
        "batch_id": header.batch_id,
        "target": header.target,
        "records": header.records,
        "summary": header.summary,
        "blocking": header.blocking,
        "rejected": header.rejected,
        "tables": header.tables,
        "notes": plan.notes,
    })
}

/// That the plan has the tables that are asked for.
fn known(plan: &PlanFile, asked: &[String]) -> Result<()> {
    let Some(unknown) = asked.iter().find(|t| plan.header.table(t).is_none()) else {
        return Ok(());
    };
    let tables: Vec<&str> = plan
        .header
        .tables
        .iter()
        .map(|t| t.table.as_str())
        .collect();
    Err(Error::Config(format!(
        "the plan has no table {unknown}; it has {}",
        tables.join(", ")
    )))
}
