//! `loader batches`.

use std::io::Write;

use tabled::builder::Builder;
use tabled::settings::Style;

use super::plan::Place;
use super::settings::Settings;
use super::show_json;
use crate::error::{Error, Result};
use crate::ops::{self, BatchesRequest};
use crate::text::commands::inert;
use crate::text::escape;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only this batch
    #[arg(long, value_name = "ID")]
    batch_id: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub async fn run(settings: &Settings, args: Args) -> Result<u8> {
    let request = BatchesRequest {
        batch_id: args.batch_id,
        source: settings.location()?,
        prefix: args.place.prefix.clone(),
        ignore: args.place.ignore(),
        config: settings.tables().ok(),
        database: settings.database()?,
        timeouts: settings.timeouts(),
        loader_schema: settings.loader_schema.clone(),
        queue: args.place.queue(),
    };
    let found = ops::batches(&request).await?;
    if settings.json {
        return show_json(&serde_json::json!({ "batches": found }));
    }
    if found.is_empty() {
        super::say("No batches were found.");
        return Ok(0);
    }
    let mut table = Builder::default();
    table.push_record(["batch", "state", "fragments", "size", "tables", "queue"]);
    for batch in &found {
        let tables: Vec<String> = batch
            .tables
            .iter()
            .map(|(name, n)| {
                let state = batch.table_states.get(name);
                let state = state.filter(|state| **state != batch.state);
                let state = state.map(|state| format!(" ({state})")).unwrap_or_default();
                format!("{} {n}{state}", escape(name))
            })
            .collect();
        let mut statuses = std::collections::BTreeMap::<&str, u64>::new();
        for q in &batch.queue_status {
            *statuses.entry(&q.status).or_default() += q.count;
        }
        let queue: Vec<String> = statuses
            .iter()
            .map(|(status, n)| format!("{n} {}", escape(status)))
            .collect();
        table.push_record([
            escape(&batch.batch_id),
            batch.state.to_owned(),
            batch.total_fragments.to_string(),
            size(batch.bytes),
            tables.join(", "),
            queue.join(", "),
        ]);
    }
    let mut table = table.build();
    table.with(Style::blank());
    let mut out = super::Shown::new();
    writeln!(out, "{}", inert(&table.to_string()))
        .and_then(|()| out.flush())
        .map_err(|e| Error::io("writing the batches", e))?;
    Ok(0)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
