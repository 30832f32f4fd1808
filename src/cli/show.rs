//! `loader show`.

use std::path::PathBuf;

use super::colour;
use super::settings::Settings;
use crate::error::{Error, Result};
use crate::planfile::PlanFile;
use crate::render::text::{self, Filter};

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
    /// At most so many of each action and table
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// All, however many
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

pub fn run(settings: &Settings, args: &Args) -> Result<u8> {
    let plan = PlanFile::open(&args.plan)?;
    let stdout = std::io::stdout();
    if args.format == Format::Json || settings.json {
        let header = &plan.header;
        super::print_json(&serde_json::json!({
            "plan_hash": plan.hash,
            "kind": header.kind,
            "batch_id": header.batch_id,
            "target": header.target,
            "records": header.records,
            "summary": header.summary,
            "blocking": header.blocking,
            "rejected": header.rejected,
            "tables": header.tables,
        }))?;
        return Ok(0);
    }
    let filter = Filter {
        tables: args.table.clone(),
        actions: args.action.clone(),
        key: args.key.clone(),
        limit: (!args.all).then_some(args.limit),
    };
    for table in &args.table {
        if plan.header.table(table).is_none() {
            let known: Vec<&str> = plan
                .header
                .tables
                .iter()
                .map(|t| t.table.as_str())
                .collect();
            return Err(Error::Config(format!(
                "the plan has no table {table}; it has {}",
                known.join(", ")
            )));
        }
    }
    let mut out = std::io::BufWriter::new(stdout.lock());
    text::plan(&plan, &filter, colour(&std::io::stdout()), &mut out)?;
    std::io::Write::flush(&mut out).map_err(|e| Error::io("writing the plan for people", &e))?;
    drop(out);
    if plan.header.blocking == 0 && plan.header.summary.changes() > 0 {
        super::say(format!(
            "To apply it: loader apply {} --approve {}",
            args.plan.display(),
            plan.hash
        ));
    }
    Ok(0)
}
