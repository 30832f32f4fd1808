//! Every row that was changed, beside what is there now.

use std::collections::BTreeMap;

use super::drift::Drifted;
use super::{Undo, Undone};
use crate::error::{Error, Result};
use crate::pg::beside::{FOUND as FOUND_ROW, Found};
use crate::pg::near;
use crate::pg::plan::snapshot::Snapshot;
use crate::pg::session::parsed;
use crate::plan::drift::NAMED;
use crate::plan::{AppliedChange, DriftRow, DriftState, Fingerprint, Row, Values};
use crate::sql::copytext::CopyRow;
use crate::sql::{Ident, Literal, Statement, all, list};
use crate::table::row::digest_of_texts;
use crate::table::schema::{Column, Identity};
use crate::table::target::Target;

// The columns of an answer.
const BEFORE: usize = 0;
const AFTER: usize = 1;
const RECORD_ID: usize = 2;
const AUDITED: usize = 3;
const FOUND: usize = 4;
const UNFILLED: usize = 5;
const LATER: usize = 6;
const RENEWED: usize = 7;
/// The columns of the row that was found, in the order of digests.
const ROW: usize = 8;

/// The rows that are not as they were left.
#[derive(Debug, Default)]
pub struct Left {
    /// The first ones, in key order.
    pub rows: Vec<DriftRow>,
    /// How many further ones are not named.
    pub more: u64,
}

/// A change, and what its row is now.
struct Changed {
    key: Values,
    applied: AppliedChange,
    record_id: String,
    audited: u64,
    /// Whether a later load changed the row.
    later: bool,
    /// Whether the row was gone in between.
    renewed: bool,
    /// Whether its key finds a row.
    found: bool,
    /// The digest of the row that is as it was left.
    digest: Option<Fingerprint>,
}

impl Changed {
    /// In what way its row is not as it was left.
    fn drifted(&self) -> Option<DriftState> {
        match (&self.applied.after, self.found, &self.digest) {
            // It was only there in between: nothing is to be done.
            (None, ..) if self.applied.before.is_none() => None,
            (Some(_), false, _) => Some(DriftState::Vanished),
            (Some(_), true, None) => Some(DriftState::Changed),
            (None, true, _) => Some(DriftState::Appeared),
            _ if self.later => Some(DriftState::Reloaded),
            _ => None,
        }
    }
}

/// The columns of the rows that are compared.
struct Columns<'u> {
    /// Where each stands in a line, by name.
    places: BTreeMap<&'u str, usize>,
    /// Those of a digest, in its order.
    of_digest: Vec<usize>,
    /// Those of images that are not compared: their drift does not matter, or they are gone.
    ignored: Vec<&'u String>,
}

impl<'u> Columns<'u> {
    fn of(undo: &'u Undo<'_>) -> Columns<'u> {
        let Target { table, config, .. } = undo.target;
        let ignored: Vec<&String> = config.ignore_drift.iter().chain(&undo.gone).collect();
        let columns = table.counted(&[]).zip(ROW..);
        let of_digest = table.places_of_digest(&config.ignore_drift).into_iter();
        Columns {
            places: columns.map(|(c, at)| (c.name.as_str(), at)).collect(),
            of_digest: of_digest.map(|at| ROW + at).collect(),
            ignored,
        }
    }

    /// Whether the row of a line is as this image has it.
    fn hold(&self, line: &CopyRow, image: &Row) -> bool {
        image.iter().all(|(column, text)| {
            let at = self.places.get(column.as_str());
            at.is_some_and(|at| line.get(*at) == text.as_deref()) || self.ignored.contains(&column)
        })
    }

    /// Leaves what others set since in columns whose drift does not matter: it is so on both sides.
    fn leave_theirs(&self, line: &CopyRow, applied: &mut AppliedChange) {
        let Some(after) = &mut applied.after else {
            return;
        };
        for column in &self.ignored {
            let now = self.places.get(column.as_str()).map(|at| line.get(*at));
            let (Some(now), Some(left)) = (now, after.get_mut(*column)) else {
                continue;
            };
            if left.as_deref() == now {
                continue;
            }
            *left = now.map(str::to_owned);
            let before = applied.before.as_mut().and_then(|b| b.get_mut(*column));
            if let Some(before) = before {
                before.clone_from(left);
            }
        }
    }

    /// Puts into an image what the row of a line holds in columns that the table has got since.
    fn complete(&self, line: &CopyRow, image: &mut Row) {
        for (column, at) in &self.places {
            if !image.contains_key(*column) {
                let text = line.get(*at).map(str::to_owned);
                image.insert((*column).to_owned(), text);
            }
        }
    }

    /// The digest of the row of a line.
    fn digest(&self, line: &CopyRow) -> String {
        let texts: Vec<Option<&str>> = self.of_digest.iter().map(|at| line.get(*at)).collect();
        digest_of_texts(&texts)
    }
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
        near::bring(session, &[self.beside().near()]).await?;
        let statement = self.compare_with(snapshot.finds(self.target).await?);
        let doing = statement.doing();
        let mut give = |changed: Changed| match changed.drifted() {
            None => sink(Undone {
                record_id: changed.record_id,
                applied: changed.applied,
                key: changed.key,
                digest: changed.digest,
                renewed: changed.renewed,
            }),
            Some(state) => drifted(Drifted {
                key: changed.key,
                state,
                applied: changed.applied,
                record_id: changed.record_id,
                audited: changed.audited,
            }),
        };
        let columns = Columns::of(self);
        let mut pending: Option<Changed> = None;
        let mut lines = session.copy_out(&statement).await?;
        let mut line = CopyRow::default();
        while lines.next(&mut line).await? {
            // The rows that a change finds come together.
            let audited = parsed(doing, line.get(AUDITED), AUDITED)?;
            if let Some(changed) = pending.take_if(|p| p.audited != audited) {
                give(changed)?;
            }
            let changed = match &mut pending {
                Some(changed) => changed,
                None => {
                    let (key, applied) = self.applied(&line)?;
                    pending.insert(Changed {
                        key,
                        applied,
                        record_id: parsed(doing, line.get(RECORD_ID), RECORD_ID)?,
                        audited,
                        later: line.get(LATER) == Some("t"),
                        renewed: line.get(RENEWED) == Some("t"),
                        found: false,
                        digest: None,
                    })
                }
            };
            if line.get(FOUND) != Some("t") {
                continue;
            }
            changed.found = true;
            let after = changed.applied.after.as_ref();
            if line.get(UNFILLED) == Some("t") && after.is_some_and(|a| columns.hold(&line, a)) {
                let digest = columns.digest(&line);
                // Of several, the same one each time.
                let least = changed.digest.take().map(|d| d.0.min(digest.clone()));
                changed.digest = Some(Fingerprint(least.unwrap_or(digest)));
                columns.leave_theirs(&line, &mut changed.applied);
                if let (None, Some(after)) = (&changed.applied.before, &mut changed.applied.after) {
                    columns.complete(&line, after); // it is deleted
                }
            }
        }
        pending.map_or(Ok(()), give)
    }

    /// The change that a line tells of, and the natural key of its row.
    fn applied(&self, line: &CopyRow) -> Result<(Values, AppliedChange)> {
        let applied = AppliedChange {
            before: self.image(line.get(BEFORE))?,
            after: self.image(line.get(AFTER))?,
        };
        let either = applied.after.as_ref().or(applied.before.as_ref());
        Ok((self.key_of(either), applied))
    }

    /// An image of the audit log.
    pub(super) fn image(&self, json: Option<&str>) -> Result<Option<Row>> {
        // What cannot be read may be a sensitive value, and is not repeated.
        json.map(serde_json::from_str).transpose().map_err(|_| {
            Error::local(format!(
                "{}: an image in the audit log is not one that the loader wrote",
                self.doing_compare()
            ))
        })
    }

    /// The natural key of the row of an image.
    pub(super) fn key_of(&self, image: Option<&Row>) -> Values {
        let names = self.target.config.natural_key.iter();
        let values = names.filter_map(|k| Some((k.clone(), image?.get(k)?.clone().into())));
        values.collect()
    }

    fn doing_compare(&self) -> String {
        self.doing("comparing what was loaded with")
    }

    /// The comparison: one line for each change and row that its key finds, or none; those of one change
    /// together. A row comes with what its columns' types print, so that nothing has to be made of it here.
    pub(in crate::pg) fn compare_with(&self, found: Found) -> Statement {
        let columns = self.target.table.counted(&[]);
        let order = match found {
            Found::OneRow => "",
            Found::Rows => " ORDER BY s.audited",
        };
        let sql = format!(
            "COPY (SELECT s.before, s.after, s.record_id, s.audited, {FOUND_ROW}, {unfilled}, s.later, s.renewed, {columns} \
             FROM {from}{order}) TO STDOUT",
            unfilled = self.unfilled(),
            columns = list(columns.map(|c| c.sent(format!("t.{}", Ident(&c.name))))),
            from = self.beside().each(),
        );
        Statement::new(self.doing_compare(), sql)
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
            // An image that has the column is compared with it as with all others.
            format!(
                "(pg_catalog.jsonb_exists(s.after, {}) OR {})",
                Literal(&c.name),
                self.not_filled(c, &c.text("t"))
            )
        }));
        format!("(s.before IS NOT NULL OR {unfilled})")
    }

    /// The condition that nobody put this text into a column which was added since: a default did, that of now or
    /// that with which the column came.
    pub(super) fn not_filled(&self, column: &Column, text: &str) -> String {
        let table = Literal(&self.target.table.name.to_string()).to_string();
        let name = Literal(&column.name);
        // Each row got another value, and nothing tells it from what somebody put there.
        let default = match &column.default {
            _ if column.identity != Identity::None => " OR true".to_owned(),
            None => String::new(),
            Some(default) => format!(
                " OR CASE WHEN {draws} THEN true ELSE {text} = pg_catalog.format('%s', ({default})::{base}) END",
                base = column.base_type_sql,
                draws = draws(&table, column, default),
            ),
        };
        // What rows had when the column was added, whatever the default is since; each partition says it of its own.
        format!(
            "({text} IS NULL OR {text} = ANY (ARRAY(SELECT (a.attmissingval::pg_catalog.text::pg_catalog.text[])[1] \
               FROM pg_catalog.pg_attribute a WHERE a.attname = {name} AND a.atthasmissing \
               AND (a.attrelid = {table}::pg_catalog.regclass \
                 OR a.attrelid IN (SELECT p.relid FROM pg_catalog.pg_partition_tree({table}::pg_catalog.regclass) p))))\
             {default})"
        )
    }
}

/// The condition that a column's default gives each row another value: it has a volatile function. Of the database's
/// own functions no dependency is kept, so that they are found by name.
fn draws(table: &str, column: &Column, default: &str) -> String {
    format!(
        "EXISTS (SELECT FROM pg_catalog.pg_proc f WHERE f.provolatile = 'v' AND (f.oid IN (\
             SELECT d.refobjid FROM pg_catalog.pg_attrdef e JOIN pg_catalog.pg_attribute a \
               ON a.attrelid = e.adrelid AND a.attnum = e.adnum JOIN pg_catalog.pg_depend d \
               ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = e.oid \
                 AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass \
             WHERE e.adrelid = {table}::pg_catalog.regclass AND a.attname = {name}) \
           OR f.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND f.proname ~ '^\\w+$' \
             AND {default} ~ ('(^|[^.\\w\"])' || f.proname || '[(]')))",
        name = Literal(&column.name),
        default = Literal(default),
    )
}
