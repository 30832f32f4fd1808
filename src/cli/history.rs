//! `loader history` and `loader audit`.

use std::collections::BTreeSet;
use std::io::Write;

use super::settings::Settings;
use super::{Shown, colour, show_json};
use crate::error::{Error, Result};
use crate::ops::{self, AuditFilter, Change};
use crate::pg::ledger::{self, Application};
use crate::plan::{Counts, Row};
use crate::sql::ident::did_you_mean;
use crate::text::commands::inert;
use crate::text::cut::wrap;
use crate::text::escape;

#[derive(clap::Args, Debug)]
pub struct HistoryArgs {
    /// Only this batch
    #[arg(long, value_name = "ID")]
    batch_id: Option<String>,
}

#[derive(clap::Args, Debug)]
pub struct AuditArgs {
    /// Only this batch
    #[arg(long, value_name = "ID")]
    batch_id: Option<String>,
    /// Only this application
    #[arg(long, value_name = "ID")]
    application: Option<String>,
    /// Only this table
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    /// Only the row with this natural key: its value, or a JSON array of several
    #[arg(
        long,
        value_name = "KEY",
        requires = "table",
        allow_hyphen_values = true
    )]
    key: Option<String>,
    /// Show at most this many changes, the newest
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
}

pub async fn history(settings: &Settings, args: &HistoryArgs) -> Result<u8> {
    let all = ops::history(
        &settings.database()?,
        settings.timeouts(),
        &settings.loader_schema,
        args.batch_id.as_deref(),
    )
    .await?;
    if settings.json {
        return show_json(&serde_json::json!({ "applications": all }));
    }
    if all.is_empty() {
        super::say(match &args.batch_id {
            None => "Nothing has been applied yet.".to_owned(),
            Some(batch) => format!(
                "Nothing of batch {} has been applied to this database.",
                escape(batch)
            ),
        });
        return Ok(0);
    }
    let mut out = Shown::new();
    let style = colour(&std::io::stdout());
    for a in &all {
        let of_rollback = !a.is_load() && !ledger::brings_back(&all, a);
        out.write_all(application(a, of_rollback, style.width).as_bytes())
            .map_err(|e| Error::io("writing the history", e))?;
    }
    out.flush()
        .map_err(|e| Error::io("writing the history", e))?;
    Ok(0)
}

/// One application in a few lines: what was done, and by which id it can be named.
fn application(a: &Application, of_rollback: bool, width: usize) -> String {
    let counts = a.tables.iter().map(|t| t.counts);
    let counts = counts.fold(Counts::default(), Counts::plus);
    let left_out = match a.rejected {
        0 => String::new(),
        n => format!(", {}", crate::plan::left_out(n)),
    };
    let mut text = String::new();
    let at = a.applied_at.get(..19).unwrap_or(&a.applied_at);
    let what = format!(
        "{}{} of batch {} by {}",
        a.kind,
        if of_rollback { " of a rollback" } else { "" },
        escape(&a.batch_id),
        escape(&a.actor)
    );
    wrap(&mut text, &format!("{at} UTC  "), &what, 4, width);
    let done = format!(
        "{} inserted, {} updated, {} deleted{left_out}",
        counts.insert, counts.update, counts.delete
    );
    wrap(&mut text, "    ", &done, 4, width);
    let in_part_by = a.undone_in_part_by.join(", ");
    let state = match &a.undone_by {
        None => match a.in_part() {
            Some(in_part) => format!("{in_part}, by {in_part_by}"),
            None => "in effect".to_owned(),
        },
        Some(by) if in_part_by.is_empty() => format!("rolled back by {by}"),
        Some(by) => format!("rolled back by {by}, and before in part by {in_part_by}"),
    };
    let named = format!("application {}, {state}", a.application);
    wrap(&mut text, "    ", &named, 4, width);
    text
}

pub async fn audit(settings: &Settings, args: &AuditArgs) -> Result<u8> {
    let filter = AuditFilter {
        batch_id: args.batch_id.clone(),
        application: args.application.clone(),
        table: args.table.clone(),
        key: args.key.clone(),
        limit: args.limit,
        config: settings.tables_if_there()?,
    };
    let changes = ops::audit(
        &settings.database()?,
        settings.timeouts(),
        &settings.loader_schema,
        &filter,
    )
    .await?;
    if settings.json {
        return show_json(&serde_json::json!({ "changes": changes }));
    }
    if changes.is_empty() {
        let unknown = unknown_table(settings, args).await?.unwrap_or_default();
        super::say(match &args.key {
            None => format!("The audit log holds no such change.{unknown}"),
            Some(key) => format!(
                "The audit log holds no such change of a row with the key {}.{unknown} Keys are compared as the database \
                 prints them (2026-01-31, 1.50; [\"a\", \"7\"] for several columns; a reference by its number); without \
                 --key all are listed.",
                escape(key)
            ),
        });
        return Ok(0);
    }
    let mut out = Shown::new();
    let failed = |e: std::io::Error| Error::io("writing the audit log", e);
    for c in &changes {
        let origin = c
            .origin
            .as_deref()
            .map(|o| format!(" from {}", escape(o)))
            .unwrap_or_default();
        let extracted = c
            .extracted_at
            .as_deref()
            .map(|at| format!(" (extracted {})", escape(at)))
            .unwrap_or_default();
        let undone = c
            .undone_by
            .as_deref()
            .map(|u| format!(", rolled back by {u}"))
            .unwrap_or_default();
        writeln!(
            out,
            "{} {} {} {} by {}, batch {}{origin}{extracted}{undone}",
            c.changed_at,
            c.operation,
            escape(&c.table),
            c.named.clone().unwrap_or_else(|| escape(&c.key)),
            escape(&c.changed_by),
            escape(&c.batch_id)
        )
        .map_err(failed)?;
        for line in differences(c) {
            writeln!(out, "    {}", inert(&line)).map_err(failed)?;
        }
    }
    out.flush().map_err(failed)?;
    if changes.len() as u64 == args.limit {
        super::say(format!(
            "Only the newest {} are shown; --limit shows more.",
            args.limit
        ));
    }
    Ok(0)
}

/// That loads changed no table of the name that was given, with the nearest of those that they did.
async fn unknown_table(settings: &Settings, args: &AuditArgs) -> Result<Option<String>> {
    let Some(table) = &args.table else {
        return Ok(None);
    };
    let database = settings.database()?;
    let schema = &settings.loader_schema;
    let all = ops::history(&database, settings.timeouts(), schema, None).await?;
    let known: BTreeSet<&str> = all
        .iter()
        .flat_map(|a| a.tables.iter().map(|t| &*t.table))
        .collect();
    if known.contains(table.as_str()) {
        return Ok(None);
    }
    let near = did_you_mean(table, known);
    let end = if near.is_empty() { "." } else { &near };
    Ok(Some(format!(
        " No load was of a table {}{end}",
        escape(table)
    )))
}

/// The columns that differ, as `column: old → new`.
fn differences(change: &Change) -> Vec<String> {
    let (before, after) = (change.before.as_ref(), change.after.as_ref());
    let show = |column: &String, v: Option<&Option<String>>| match v {
        None => "(absent)".to_owned(),
        Some(None) => "null".to_owned(),
        Some(Some(v)) => match change.referred.get(column).and_then(|rows| rows.get(v)) {
            Some(row) => escape(row),
            None => format!("\"{}\"", escape(v)),
        },
    };
    let names = before.into_iter().chain(after).flat_map(Row::keys);
    let names: std::collections::BTreeSet<&String> = names.collect();
    names
        .into_iter()
        .filter_map(|name| {
            let (old, new) = (
                before.and_then(|b| b.get(name)),
                after.and_then(|a| a.get(name)),
            );
            let (one_sided, column) = (before.is_none() || after.is_none(), escape(name));
            match (old == new, one_sided) {
                (true, _) => None,
                (false, true) => Some(format!("{column}: {}", show(name, old.or(new)))),
                (false, false) => Some(format!(
                    "{column}: {} → {}",
                    show(name, old),
                    show(name, new)
                )),
            }
        })
        .collect()
}
