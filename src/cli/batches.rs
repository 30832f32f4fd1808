//! `loader batches`.

use unicode_width::UnicodeWidthStr;

use super::plan::Place;
use super::settings::Settings;
use super::{colour, show_json};
use crate::error::Result;
use crate::ops::{self, Batch, BatchesRequest};
use crate::render::plural;
use crate::text::cut::wrap;
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
    let style = colour(&std::io::stdout());
    let shown = shown(&found, style.width);
    super::show_text("writing the batches", &shown)
}

/// Batches for people: a line with what each is, and below it its tables and queue.
fn shown(found: &[Batch], width: usize) -> String {
    let widest = |of: fn(&Batch) -> usize, most| found.iter().map(of).max().unwrap_or(0).min(most);
    let (states, ids) = (
        widest(|b| state(b).len(), width),
        widest(|b| escape(&b.batch_id).width(), width.saturating_sub(48)),
    );
    let mut text = String::new();
    for batch in found {
        let id = escape(&batch.batch_id);
        let pad = " ".repeat(ids.saturating_sub(id.width()));
        let what = format!(
            "{id}{pad}  {:states$}  {}, {}",
            state(batch),
            plural(batch.total_fragments, "fragment"),
            size(batch.bytes)
        );
        put(&mut text, "", &what, width);
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
        for (name, parts) in [("tables: ", tables), ("queue: ", queue)] {
            if !parts.is_empty() {
                put(&mut text, &format!("    {name}"), &parts.join(", "), width);
            }
        }
    }
    text
}

fn put(text: &mut String, lead: &str, line: &str, width: usize) {
    wrap(text, lead, line, 8, width);
}

/// How far a batch has come: `undone in part: 3 of 120 rows`.
fn state(batch: &Batch) -> String {
    match batch.undone_rows {
        0 => batch.state.to_string(),
        undone => format!("{}: {undone} of {} rows", batch.state, batch.rows),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
