//! The validation queue: what upstream says about the fragments of a batch.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::sql::ident::{Ident, Literal};

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
    let sql = format!(
        "SELECT id, table_name, fragment_id, s3_key, status = 'failed' AND application IS NULL, error_message \
         FROM {}.validation_queue WHERE batch_id = {} ORDER BY id",
        Ident(schema),
        Literal(batch_id)
    );
    let rows = session.texts("reading the validation queue", &sql).await?;
    if rows.is_empty() {
        return Err(Error::blocked(format!(
            "the validation queue {schema}.validation_queue has no entries for batch {batch_id}; \
             if there is no validator, say so with --queue off or LOADER_QUEUE=off"
        )));
    }
    let failed: Vec<String> = rows
        .iter()
        .filter(|r| r[4].as_deref() == Some("t"))
        .map(|r| {
            let name = r[3].as_deref().or(r[2].as_deref()).unwrap_or("?");
            let why = r[5].as_deref().unwrap_or("no message");
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
    Ok(rows
        .into_iter()
        .map(|mut r| QueueEntry {
            id: r[0]
                .as_deref()
                .and_then(|i| i.parse().ok())
                .unwrap_or_default(),
            table: r[1].take().unwrap_or_default(),
            fragment_id: r[2].take(),
            s3_key: r[3].take(),
        })
        .collect())
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
        let found = by_key
            .or_else(|| fragment_id.and_then(|id| self.by_id.get(id)))
            .cloned()
            .unwrap_or_default();
        found
            .into_iter()
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
