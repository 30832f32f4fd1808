//! The fragments of a batch among the objects of its place.

use std::collections::BTreeSet;

use super::PlanRequest;
use crate::error::{Error, Remedy, Result};
use crate::ops::{Event, OnProgress};
use crate::record::Format;
use crate::source::{Layout, ObjectInfo, Place, Source, layout};
use crate::sql::ident::did_you_mean;
use crate::table::config::Config;

/// A fragment: its table, how it is written, whether it says what to delete, the object.
pub(super) type Found = (String, Format, bool, ObjectInfo);

/// The objects where a batch lies, by key.
pub(in crate::ops) async fn list(
    source: &Source,
    place: &Place,
    config: &Config,
    events: OnProgress<'_>,
) -> Result<Vec<ObjectInfo>> {
    let mut listed = Vec::new();
    for folder in place.folders(config.tables.keys()) {
        let before = listed.len() as u64;
        let told = |found| {
            events(Event::Listing {
                objects: before + found,
            })
        };
        listed.extend(source.list_telling(&folder, &told).await?);
    }
    listed.sort_unstable();
    Ok(listed)
}

/// What is not read, though it looks like a fragment of a table.
pub(super) struct NotRead {
    table: String,
    key: String,
    why: &'static str,
}

/// What should be known of what is not read of a table.
pub(super) fn not_read(all: &[NotRead], table: &str) -> Vec<String> {
    let mut of_table = all.iter().filter(|object| object.table == table);
    let mut notes = Vec::new();
    if let Some(NotRead { key, why, .. }) = of_table.next() {
        let more = match of_table.count() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        notes.push(format!("not read: {key}, as {why}{more}"));
    }
    notes
}

/// The fragments among the objects listed, by table, and what is not read of the others.
pub(super) fn sort_objects(
    request: &PlanRequest,
    source: &Source,
    place: &Place,
    listed: Vec<ObjectInfo>,
) -> Result<(Vec<Found>, Vec<NotRead>)> {
    let (mut found, mut strange, mut not_read) = (Vec::new(), Vec::new(), Vec::new());
    for info in listed {
        match layout(place, &info.key, &request.ignore, |table| {
            request.config.extensions(table)
        }) {
            Layout::Fragment {
                table,
                format,
                deletes,
                ..
            } => found.push((table, format, deletes, info)),
            Layout::Ignored => {}
            Layout::NotRead { table, why } => not_read.push(NotRead {
                table,
                key: info.key,
                why,
            }),
            Layout::Unknown(reason) => strange.push(format!("{}: {reason}", info.key)),
        }
    }
    if !strange.is_empty() {
        return Err(Error::unreadable(format!(
            "{} object{} of batch {} cannot be told to be fragments:\n  {}",
            strange.len(),
            if strange.len() == 1 { "" } else { "s" },
            request.batch_id,
            strange.join("\n  ")
        ))
        .with_remedy(Remedy::Ignore));
    }
    if found.is_empty() {
        return Err(Error::unreadable(format!(
            "there are no fragments of batch {} at {}",
            request.batch_id,
            source.display(&place.to_string())
        ))
        .with_remedy(Remedy::OtherPlace));
    }
    let tables: BTreeSet<&String> = found.iter().map(|(t, ..)| t).collect();
    let unknown: Vec<&String> = tables
        .iter()
        .filter(|t| !request.config.tables.contains_key(**t))
        .copied()
        .collect();
    if !unknown.is_empty() {
        let told = unknown.iter().map(|table| {
            let mut of_table = found.iter().filter(|(t, ..)| t == *table);
            let first = of_table.next().map_or("", |(.., info)| info.key.as_str());
            let more = match of_table.count() {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            format!("{} ({first}{more})", request.config.unknown(table))
        });
        let told: Vec<String> = told.collect();
        return Err(Error::config(told.join("\n")).with_remedy(Remedy::Describe));
    }
    for only in &request.only {
        if !tables.contains(only) {
            let near = did_you_mean(only, tables.iter().map(|t| t.as_str()));
            return Err(Error::config(format!(
                "table {only} is not in batch {}{near}",
                request.batch_id
            )));
        }
    }
    Ok((found, not_read))
}
