//! `loader show`.

use std::io::Write;
use std::path::PathBuf;

use super::colour;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::planfile::PlanFile;
use crate::render::select::{Filter, ORDER, Selection};
use crate::render::{html, json, markdown, text};

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
    /// At most so many of each action and table; rows that change alike count as one [default: 20 as
    /// text, what fits as markdown, all otherwise]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// All, however many; as text each by itself
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// For a terminal
    Text,
    /// For one pull-request comment
    Markdown,
    /// One page for a browser
    Html,
    /// For other programs: the whole plan, with sensitive values masked
    Json,
}

impl Args {
    fn filter(&self, limit: Option<usize>) -> Filter {
        Filter {
            tables: self.table.clone(),
            actions: self.action.clone(),
            key: self.key.clone(),
            limit: self.limit.or(limit).filter(|_| !self.all),
        }
    }

    /// The filter where no action named means all of them.
    fn with_skips(&self) -> Filter {
        let mut filter = self.filter(None);
        if filter.actions.is_empty() {
            filter.actions = ORDER.map(str::to_owned).to_vec();
        }
        filter
    }
}

pub fn run(settings: &Settings, args: &Args) -> Result<u8> {
    if settings.json {
        let plan = PlanFile::open(&args.plan)?;
        return super::print_json(&summary(&plan)).map(|()| 0);
    }
    let stdout = std::io::stdout();
    let style = colour(&stdout);
    let mut out = std::io::BufWriter::new(stdout.lock());
    let plan = match args.format {
        Format::Json => {
            let plan = PlanFile::open(&args.plan)?;
            known(&plan, &args.table)?;
            json::plan(&plan, &args.with_skips(), &mut out)?;
            plan
        }
        Format::Html => {
            let plan = PlanFile::open(&args.plan)?;
            known(&plan, &args.table)?;
            let name = args.plan.display().to_string();
            html::plan(&plan, &args.with_skips(), &name, &mut out)?;
            plan
        }
        Format::Markdown => {
            let mut filter = args.filter(None);
            filter.limit = Some(
                filter
                    .limit
                    .map_or(markdown::ROWS, |n| n.min(markdown::ROWS)),
            );
            let (plan, selection) = Selection::open(&args.plan, &filter)?;
            known(&plan, &args.table)?;
            markdown::selection(&plan, &selection, &filter, &mut out)?;
            plan
        }
        Format::Text if args.all => {
            let plan = PlanFile::open(&args.plan)?;
            known(&plan, &args.table)?;
            text::plan(&plan, &args.filter(None), style, &mut out)?;
            plan
        }
        Format::Text => {
            let filter = args.filter(Some(20));
            let (plan, selection) = Selection::open(&args.plan, &filter)?;
            known(&plan, &args.table)?;
            text::selection(&plan, &selection, &filter, style, &mut out)?;
            plan
        }
    };
    out.flush()
        .map_err(|e| Error::io("writing the plan for people", &e))?;
    drop(out);
    if args.format == Format::Text
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

/// What `--json` tells.
fn summary(plan: &PlanFile) -> serde_json::Value {
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
