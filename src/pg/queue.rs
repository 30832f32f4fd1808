//! The validation queue: what upstream says about the fragments of a batch.

use crate::pg::own::Own;
use std::collections::BTreeMap;

use crate::error::{Error, Remedy, Result};
use crate::pg::Session;
use crate::plan::{Fingerprint, Queued};
use crate::sql::{Statement, Values, text_array};
use crate::table::row::digest_of;
use crate::text::escape;

/// One entry of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueEntry {
    /// The table it is for.
    pub table: String,
    /// The fragment's own id.
    pub fragment_id: Option<String>,
    /// The object's key.
    pub s3_key: Option<String>,
    /// What a plan keeps of it.
    pub seen: Queued,
}

/// The entries of a batch.
///
/// # Errors
/// [`Blocked`](crate::ErrorKind::Blocked) where the batch has none, or where some have a status with which they are not loaded;
/// [`Database`](crate::ErrorKind::Database).
pub async fn entries(session: &Session, schema: &str, batch_id: &str) -> Result<Vec<QueueEntry>> {
    let rows = session.rows(&list(schema, batch_id)).await?;
    if rows.is_empty() {
        return Err(Error::blocked(format!(
            "the validation queue {} has no entries for batch {batch_id}",
            Own::Queue.shown(schema)
        ))
        .with_remedy(Remedy::NoQueue));
    }
    let mut refused: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in &rows {
        let status = row.get(4).unwrap_or("null");
        if row.is(5) {
            continue;
        }
        let name = row.get(3).or(row.get(2)).unwrap_or("?");
        let why = row.get(6).unwrap_or("no message");
        let named = refused.entry(status).or_default();
        named.push(format!("  {}: {}", escape(name), escape(why)));
    }
    if !refused.is_empty() {
        let remedy = match refused.contains_key("failed") {
            true => "mend what was refused and deliver it again",
            false => "who fills the queue says pending of each fragment that is to be loaded",
        };
        let refused = refused.iter().map(|(status, named)| said(status, named));
        return Err(Error::blocked(format!(
            "batch {batch_id} cannot be loaded as the validation queue has it; {remedy}:\n{}",
            refused.collect::<Vec<_>>().join("\n")
        )));
    }
    let entries = rows.into_iter().map(|mut row| {
        Ok(QueueEntry {
            table: row.text(1)?.to_owned(),
            fragment_id: row.take(2),
            s3_key: row.take(3),
            seen: Queued {
                id: row.parsed(0)?,
                status: row.text(4)?.to_owned(),
                expect: Fingerprint(row.text(7)?.to_owned()),
            },
        })
    });
    entries.collect()
}

/// The fragments that have a status with which they are not loaded.
fn said(status: &str, named: &[String]) -> String {
    let shown = named.len().min(20);
    let rest = match named.len() - shown {
        0 => String::new(),
        n => format!("\n  and {n} more"),
    };
    let n = named.len();
    let (fragments, are) = if n == 1 {
        ("fragment", "is")
    } else {
        ("fragments", "are")
    };
    let what = match status {
        "failed" => "failed validation".to_owned(),
        other => format!(
            "{are} {} there; pending ones are loaded, those that were loaded before, and those that a load failed or \
             skipped",
            escape(other)
        ),
    };
    format!(
        "{n} {fragments} {what}:\n{}{rest}",
        named[..shown].join("\n")
    )
}

/// The digest of the whole entry `alias` of the queue, as SQL: 32 hex digits.
pub(in crate::pg) fn digest(alias: &str) -> String {
    digest_of(&text_array([format!("{alias}::pg_catalog.text")]))
}

/// What applications set in entry `q` of the queue, as it stands in the audit log.
pub(in crate::pg) const IMAGE: &str = "pg_catalog.jsonb_build_object('status', q.status, 'loaded_at', q.loaded_at, \
    'error_message', q.error_message, 'application', q.application)";

/// For `WITH` before a query of entries `q` of which `only` is true: `ours`, what applications left of them that were
/// left out. The condition behind it is that an entry may be loaded: nobody but a load said that it failed.
pub(in crate::pg) fn loadable(schema: &str, only: &str) -> (String, String) {
    let ours = format!(
        "ours AS MATERIALIZED (SELECT DISTINCT a.record_id, a.new_values FROM {} a WHERE a.operation = 'QUEUE' \
         AND a.application = ANY (ARRAY (SELECT q.application FROM {} q WHERE {only} \
           AND q.status IN ('failed', 'skipped') AND q.application IS NOT NULL)))",
        Own::AuditLog.within(schema),
        Own::Queue.within(schema),
    );
    let condition = format!(
        "(q.status IN ('pending', 'loaded') OR q.status IN ('failed', 'skipped') AND EXISTS (\
           SELECT FROM ours o WHERE o.record_id = q.id::text AND o.new_values = {IMAGE}))"
    );
    (ours, condition)
}

pub(in crate::pg) fn list(schema: &str, batch_id: &str) -> Statement {
    let mut values = Values::default();
    let only = format!("q.batch_id = {}", values.text(batch_id));
    let (ours, loadable) = loadable(schema, &only);
    let sql = format!(
        "WITH {ours} SELECT q.id::text, q.table_name, q.fragment_id, q.s3_key, q.status, {loadable}, q.error_message, {} \
         FROM {} q WHERE {only} ORDER BY q.id",
        digest("q"),
        Own::Queue.within(schema),
    );
    Statement::with("reading the validation queue", sql, values)
}

/// How many entries of a batch have one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The batch.
    pub batch_id: String,
    /// The table.
    pub table: String,
    /// The state.
    pub status: String,
    /// Whether they stand against a load.
    pub refuses: bool,
    /// How many.
    pub count: u64,
}

/// How many entries have each state, of one batch or of all, by batch, table and state.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn counts(session: &Session, schema: &str, batch_id: Option<&str>) -> Result<Vec<Count>> {
    let rows = session.rows(&count(schema, batch_id)).await?.into_iter();
    let counts = rows.map(|row| {
        let text = |i| row.get(i).unwrap_or_default().to_owned();
        Ok(Count {
            batch_id: text(0),
            table: text(1),
            status: text(2),
            refuses: !row.is(3),
            count: row.parsed(4)?,
        })
    });
    counts.collect()
}

pub(in crate::pg) fn count(schema: &str, batch_id: Option<&str>) -> Statement {
    let mut values = Values::default();
    let only = match batch_id {
        Some(batch_id) => format!("q.batch_id = {}", values.text(batch_id)),
        None => "true".to_owned(),
    };
    let (ours, loadable) = loadable(schema, &only);
    let sql = format!(
        "WITH {ours} SELECT q.batch_id, q.table_name, q.status, {loadable}, pg_catalog.count(*) FROM {} q WHERE {only} \
         GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
        Own::Queue.within(schema)
    );
    Statement::with("counting the validation queue", sql, values)
}

/// How many of these entries are loaded.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn loaded(session: &Session, schema: &str, entries: &[i64]) -> Result<u64> {
    if entries.is_empty() {
        return Ok(0);
    }
    let mut values = Values::default();
    let ids: Vec<String> = entries.iter().map(ToString::to_string).collect();
    let sql = format!(
        "SELECT pg_catalog.count(*) FROM {} WHERE status = 'loaded' AND id = ANY ({}::bigint[])",
        Own::Queue.within(schema),
        values.texts(&ids)
    );
    let count = Statement::with("looking at the validation queue", sql, values);
    session.count(&count).await
}

/// Matches entries to objects: by key, else by fragment id.
pub struct Matcher {
    by_key: BTreeMap<String, Vec<usize>>,
    by_id: BTreeMap<String, Vec<usize>>,
    entries: Vec<(QueueEntry, bool)>,
}

impl Matcher {
    /// For these entries.
    pub fn new(entries: Vec<QueueEntry>) -> Matcher {
        let (mut by_key, mut by_id) = (BTreeMap::new(), BTreeMap::new());
        for (i, entry) in entries.iter().enumerate() {
            match (&entry.s3_key, &entry.fragment_id) {
                (Some(key), _) => by_key.entry(key.clone()).or_insert_with(Vec::new).push(i),
                (None, Some(id)) => by_id.entry(id.clone()).or_insert_with(Vec::new).push(i),
                (None, None) => {}
            }
        }
        Matcher {
            by_key,
            by_id,
            entries: entries.into_iter().map(|e| (e, false)).collect(),
        }
    }

    /// The entries for the object with this key (below the root, or as `s3://…`) and fragment id.
    pub fn take(&mut self, keys: &[&str], fragment_id: Option<&str>) -> Vec<QueueEntry> {
        let by_key = keys.iter().find_map(|k| self.by_key.get(*k));
        let found = by_key.or_else(|| fragment_id.and_then(|id| self.by_id.get(id)));
        let found = found.cloned().into_iter().flatten();
        found
            .map(|i| {
                self.entries[i].1 = true;
                self.entries[i].0.clone()
            })
            .collect()
    }

    /// The entries whose object was not there.
    pub fn left(self) -> impl Iterator<Item = QueueEntry> {
        self.entries
            .into_iter()
            .filter(|(_, taken)| !taken)
            .map(|(e, _)| e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: i64, key: Option<&str>, fragment: Option<&str>) -> QueueEntry {
        QueueEntry {
            table: "t".into(),
            fragment_id: fragment.map(str::to_owned),
            s3_key: key.map(str::to_owned),
            seen: Queued {
                id,
                status: "pending".into(),
                expect: Fingerprint(String::new()),
            },
        }
    }

    #[test]
    fn key_first_then_fragment_id() {
        let mut m = Matcher::new(vec![
            entry(1, Some("a.json"), Some("x")),
            entry(2, None, Some("f2")),
            entry(3, Some("gone.json"), None),
        ]);
        let ids = |found: Vec<QueueEntry>| found.iter().map(|e| e.seen.id).collect::<Vec<_>>();
        assert_eq!(ids(m.take(&["a.json"], Some("f2"))), [1]);
        assert_eq!(ids(m.take(&["b.json"], Some("f2"))), [2]);
        assert_eq!(ids(m.take(&["c.json"], Some("x"))), [0i64; 0]);
        assert_eq!(ids(m.left().collect()), [3]);
    }
}
