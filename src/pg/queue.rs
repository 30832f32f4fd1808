//! The validation queue: what upstream says about the fragments of a batch.

use std::collections::BTreeMap;

use crate::error::{Error, Remedy, Result};
use crate::pg::Session;
use crate::sql::{Ident, Statement, Values};

/// One entry of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueEntry {
    /// Its id.
    pub id: i64,
    /// The table it is for.
    pub table: String,
    /// The fragment's own id.
    pub fragment_id: Option<String>,
    /// The object's key.
    pub s3_key: Option<String>,
}

/// The entries of a batch.
///
/// # Errors
/// [`Blocked`](crate::ErrorKind::Blocked) where the batch has none, or where the validator marked some as failed;
/// [`Database`](crate::ErrorKind::Database).
pub async fn entries(session: &Session, schema: &str, batch_id: &str) -> Result<Vec<QueueEntry>> {
    let rows = session.rows(&list(schema, batch_id)).await?;
    if rows.is_empty() {
        return Err(Error::blocked(format!(
            "the validation queue {schema}.validation_queue has no entries for batch {batch_id}"
        ))
        .with_remedy(Remedy::NoQueue));
    }
    let failed: Vec<String> = rows
        .iter()
        .filter(|r| r.is(4))
        .map(|r| {
            let name = r.get(3).or(r.get(2)).unwrap_or("?");
            let why = r.get(5).unwrap_or("no message");
            format!(
                "  {}: {}",
                crate::text::escape(name),
                crate::text::escape(why)
            )
        })
        .collect();
    if !failed.is_empty() {
        let shown = failed.len().min(20);
        let rest = match failed.len() - shown {
            0 => String::new(),
            n => format!("\n  and {n} more"),
        };
        return Err(Error::blocked(format!(
            "{} fragment{} of batch {batch_id} failed validation; mend and deliver them again before loading:\n{}{rest}",
            failed.len(),
            if failed.len() == 1 { "" } else { "s" },
            failed[..shown].join("\n")
        )));
    }
    let entries = rows.into_iter().map(|mut row| {
        Ok(QueueEntry {
            id: row.parsed(0)?,
            table: row.text(1)?.to_owned(),
            fragment_id: row.take(2),
            s3_key: row.take(3),
        })
    });
    entries.collect()
}

pub(in crate::pg) fn list(schema: &str, batch_id: &str) -> Statement {
    let mut values = Values::default();
    let sql = format!(
        "SELECT id::text, table_name, fragment_id, s3_key, status = 'failed' AND application IS NULL, error_message \
         FROM {}.validation_queue WHERE batch_id = {} ORDER BY id",
        Ident(schema),
        values.text(batch_id)
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
            count: row.parsed(3)?,
        })
    });
    counts.collect()
}

pub(in crate::pg) fn count(schema: &str, batch_id: Option<&str>) -> Statement {
    let mut values = Values::default();
    let only = batch_id.map_or_else(String::new, |batch_id| {
        format!("WHERE batch_id = {} ", values.text(batch_id))
    });
    let sql = format!(
        "SELECT batch_id, table_name, status, pg_catalog.count(*) FROM {}.validation_queue {only}\
         GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        Ident(schema)
    );
    Statement::with("counting the validation queue", sql, values)
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

    /// The ids of the entries for the object with this key (below the root, or as `s3://…`) and
    /// fragment id.
    pub fn take(&mut self, keys: &[&str], fragment_id: Option<&str>) -> Vec<i64> {
        let by_key = keys.iter().find_map(|k| self.by_key.get(*k));
        let found = by_key.or_else(|| fragment_id.and_then(|id| self.by_id.get(id)));
        let found = found.cloned().into_iter().flatten();
        found
            .map(|i| {
                self.entries[i].1 = true;
                self.entries[i].0.id
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
            id,
            table: "t".into(),
            fragment_id: fragment.map(str::to_owned),
            s3_key: key.map(str::to_owned),
        }
    }

    #[test]
    fn key_first_then_fragment_id() {
        let mut m = Matcher::new(vec![
            entry(1, Some("a.json"), Some("x")),
            entry(2, None, Some("f2")),
            entry(3, Some("gone.json"), None),
        ]);
        assert_eq!(m.take(&["a.json"], Some("f2")), [1]);
        assert_eq!(m.take(&["b.json"], Some("f2")), [2]);
        assert_eq!(m.take(&["c.json"], Some("x")), [0i64; 0]);
        assert_eq!(m.left().map(|e| e.id).collect::<Vec<_>>(), [3]);
    }
}
