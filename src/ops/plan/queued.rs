//! The validation queue beside the fragments of a batch.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::pg::queue::{Matcher, QueueEntry};
use crate::plan::{Effect, Entry, Fragment, Values, Violation, ViolationKind, What};
use crate::source::Source;
use crate::table::target::Target;

/// Joins queue entries with fragments; what has no counterpart is a violation, in table order.
pub(super) fn match_queue(
    source: &Source,
    entries: Vec<QueueEntry>,
    fragments: &mut [Fragment],
    fragment_ids: &[Option<String>],
    targets: &[Target],
) -> Result<Vec<Entry>> {
    let mut matcher = Matcher::new(entries);
    let mut problems = Vec::new();
    let problem = |table: &str, kind, from: String, message: &str| Entry {
        table: table.to_owned(),
        key: Values::new(),
        what: What::Violation(Violation::new(kind, Effect::Block, message)),
        extracted: None,
        group: None,
        from: vec![from],
    };
    let mut all = Vec::with_capacity(fragments.len());
    // How many objects each entry stands for.
    let mut objects: BTreeMap<i64, usize> = BTreeMap::new();
    for (fragment, id) in fragments.iter().zip(fragment_ids) {
        let full = source.display(&fragment.key);
        // A validator may name the object from the bucket's root, where ours is a folder in it.
        let in_bucket = full.strip_prefix("s3://").and_then(|f| f.split_once('/'));
        let in_bucket = in_bucket.map_or(full.as_str(), |(_, key)| key);
        let found = matcher.take(&[&fragment.key, in_bucket, &full], id.as_deref());
        for entry in &found {
            *objects.entry(entry.seen.id).or_default() += 1;
        }
        all.push(found);
    }
    for (fragment, found) in fragments.iter_mut().zip(all) {
        let not_queued = |message: &str| {
            let key = fragment.key.clone();
            problem(&fragment.table, ViolationKind::NotQueued, key, message)
        };
        if found.is_empty() {
            problems.push(not_queued(
                "the object has no entry in the validation queue",
            ));
        }
        for entry in found.iter().filter(|e| e.table != fragment.table) {
            problems.push(not_queued(&format!(
                "its entry {} in the validation queue is for table {}",
                entry.seen.id,
                crate::text::escape(&entry.table)
            )));
        }
        for (entry, n) in found.iter().map(|e| (e, objects[&e.seen.id])) {
            if n > 1 {
                problems.push(not_queued(&format!(
                    "its entry {} in the validation queue is that of {n} objects, which say the same fragment id ({}), so that \
                     nobody knows which of them was validated; deliver them with ids of their own",
                    entry.seen.id,
                    crate::text::escape(entry.fragment_id.as_deref().unwrap_or("?"))
                )));
            }
        }
        fragment.queue = found.into_iter().map(|e| e.seen).collect();
    }
    let mut homeless = Vec::new();
    for entry in matcher.left() {
        let name = entry
            .s3_key
            .or(entry.fragment_id)
            .unwrap_or_else(|| format!("entry {}", entry.seen.id));
        if targets.iter().any(|t| t.name == entry.table) {
            let message = "the validation queue names this fragment, and there is no such object";
            problems.push(problem(
                &entry.table,
                ViolationKind::MissingObject,
                name,
                message,
            ));
        } else {
            homeless.push(format!("{} (table {})", name, entry.table));
        }
    }
    if !homeless.is_empty() {
        return Err(Error::blocked(format!(
            "the validation queue names fragments for which there is no object, and none of their table:\n  {}",
            homeless.join("\n  ")
        )));
    }
    problems.sort_by_key(|e| {
        (
            targets.iter().position(|t| t.name == e.table),
            e.from.clone(),
        )
    });
    Ok(problems)
}
