//! Every row that was changed, beside what is there now.

use std::collections::BTreeMap;

use super::drift::Drifted;
use super::{Undo, Undone};
use crate::error::{Error, Result};
use crate::pg::plan::snapshot::Snapshot;
use crate::pg::session::parsed;
use crate::plan::drift::NAMED;
use crate::plan::{AppliedChange, DriftRow, DriftState, Fingerprint, Row, Values};
use crate::sql::copytext::CopyRow;
use crate::sql::{Literal, Statement, all};
use crate::table::row::same_bytes;

// The columns of an answer.
const BEFORE: usize = 0;
const AFTER: usize = 1;
const RECORD_ID: usize = 2;
const AUDITED: usize = 3;
const FOUND: usize = 4;
const SAME: usize = 5;
const DIGEST: usize = 6;

/// The rows that are not as they were left.
#[derive(Debug, Default)]
pub struct Left {
    /// The first ones, in key order.
    pub rows: Vec<DriftRow>,
    /// How many further ones are not named.
    pub more: u64,
}

impl Undo<'_> {
    /// Gives every row that was changed and is as it was left to `sink`, in any order, and returns
    /// the others.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database), and whatever `sink` returns.
    pub async fn stream(
        &self,
        snapshot: &Snapshot<'_>,
        sink: &mut dyn FnMut(Undone) -> Result<()>,
    ) -> Result<Left> {
        let mut drifted: BTreeMap<Vec<u8>, Drifted> = BTreeMap::new();
        let mut left = Left::default();
        self.compare(snapshot, sink, &mut |row| {
            let mut order = self.order(&row.key);
            order.extend_from_slice(&row.audited.to_be_bytes());
            drifted.insert(order, row);
            if drifted.len() > NAMED {
                drifted.pop_last();
                left.more += 1;
            }
            Ok(())
        })
        .await?;
        let drifted = drifted.into_values().collect();
        left.rows = self.describe(snapshot.session, drifted).await?;
        Ok(left)
    }

    /// Gives every row that was changed and is as it was left to `sink`, and the others to `drifted`.
    pub(super) async fn compare(
        &self,
        snapshot: &Snapshot<'_>,
        sink: &mut dyn FnMut(Undone) -> Result<()>,
        drifted: &mut dyn FnMut(Drifted) -> Result<()>,
    ) -> Result<()> {
        let session = snapshot.session;
        let one_row = snapshot.finds_one_row(self.target);
        let statement = if one_row.await? {
            self.compare_one()
        } else {
            self.compare_all()
        };
        let mut lines = session.copy_out(&statement).await?;
        let mut line = CopyRow::default();
        while lines.next(&mut line).await? {
            let (key, applied) = self.applied(&line)?;
            let number = |i| parsed::<u64>(statement.doing(), line.get(i), i);
            let state = match (&applied.after, number(FOUND)?, number(SAME)?) {
                (Some(_), 0, _) => Some(DriftState::Vanished),
                (Some(_), _, 0) => Some(DriftState::Changed),
                (None, n, _) if n > 0 && applied.before.is_some() => Some(DriftState::Appeared),
                _ => None,
            };
            let record_id = parsed(statement.doing(), line.get(RECORD_ID), RECORD_ID)?;
            let Some(state) = state else {
                let digest = line.get(DIGEST).map(|d| Fingerprint(d.to_owned()));
                sink(Undone {
                    record_id,
                    applied,
                    key,
                    digest,
                })?;
                continue;
            };
            drifted(Drifted {
                key,
                state,
                applied,
                record_id,
                audited: number(AUDITED)?,
            })?;
        }
        Ok(())
    }

    /// The change that a line tells of, and the natural key of its row.
    fn applied(&self, line: &CopyRow) -> Result<(Values, AppliedChange)> {
        let image = |i: usize| -> Result<Option<Row>> {
            let json = line.get(i).map(serde_json::from_str::<Row>);
            // What cannot be read may be a sensitive value, and is not repeated.
            json.transpose().map_err(|_| {
                Error::local(format!(
                    "{}: an image in the audit log is not one that the loader wrote",
                    self.doing_compare()
                ))
            })
        };
        let applied = AppliedChange {
            before: image(BEFORE)?,
            after: image(AFTER)?,
        };
        let either = applied.after.as_ref().or(applied.before.as_ref());
        let names = self.target.config.natural_key.iter();
        let key = names.filter_map(|k| Some((k.clone(), either?.get(k)?.clone().into())));
        Ok((key.collect(), applied))
    }

    fn doing_compare(&self) -> String {
        self.doing("comparing what was loaded with")
    }

    /// The comparison where each key finds one row at most.
    pub(in crate::pg) fn compare_one(&self) -> Statement {
        let once = self
            .target
            .table
            .once("t", "s", &self.target.config.ignore_drift);
        let sql = format!(
            "COPY (SELECT s.before, s.after, s.record_id, s.audited, s.found::pg_catalog.int4, coalesce(s.same, false)::pg_catalog.int4, \
               CASE WHEN s.same THEN {digest} END \
             FROM (SELECT s.*, s.found AND s.unfilled AND {as_left} AS same \
               FROM (SELECT s.*, t.tableoid IS NOT NULL AS found, {unfilled} AS unfilled, {texts} \
                 FROM {from} OFFSET 0) s OFFSET 0) s) TO STDOUT",
            digest = once.digest,
            as_left = self.as_left(&once.image),
            unfilled = self.unfilled(),
            texts = once.select,
            from = self.beside().each(),
        );
        Statement::new(self.doing_compare(), sql)
    }

    /// The comparison where a key may find others beside the row that was changed, because deletes
    /// only mark rows.
    pub(in crate::pg) fn compare_all(&self) -> Statement {
        let as_left = format!(
            "{} AND {}",
            self.unfilled(),
            self.as_left(&self.target.table.image("t"))
        );
        let digest = self
            .target
            .table
            .digest("t", &self.target.config.ignore_drift);
        let found = format!(
            "pg_catalog.count(*) AS found, pg_catalog.count(*) FILTER (WHERE {as_left}) AS same, \
             pg_catalog.min({digest}) FILTER (WHERE {as_left}) AS digest"
        );
        let sql = format!(
            "COPY (SELECT s.before, s.after, s.record_id, s.audited, f.found, f.same, f.digest FROM {}) TO STDOUT",
            self.beside().summed(&found)
        );
        Statement::new(self.doing_compare(), sql)
    }

    /// The condition that the row whose image this is, as SQL, is as the application left it.
    fn as_left(&self, image: &str) -> String {
        let without = self.without_ignored();
        // The same bytes are the quick way to the same answer.
        format!(
            "({} OR {image} OPERATOR(pg_catalog.@>) (s.after{without}))",
            same_bytes(image, "s.after")
        )
    }

    /// The condition that row `t` holds nothing that somebody put into a column which was added
    /// since. Where the row stays, that does not matter; it does where the row would be deleted.
    fn unfilled(&self) -> String {
        if self.added.is_empty() {
            return "true".into();
        }
        let added = self
            .added
            .iter()
            .filter_map(|c| self.target.table.column(c));
        let unfilled = all(added.map(|c| {
            let now = c.text("t");
            let default = match &c.default {
                None => String::new(),
                Some(default) => format!(
                    " OR {now} = pg_catalog.format('%s', ({default})::{})",
                    c.base_type_sql
                ),
            };
            // An image that has the column is compared with it as with all others.
            format!(
                "(pg_catalog.jsonb_exists(s.after, {}) OR {now} IS NULL{default})",
                Literal(&c.name)
            )
        }));
        format!("(s.before IS NOT NULL OR {unfilled})")
    }
}
