//! What applications wrote, from the audit log, beside what is there now.

use futures_util::TryStreamExt;

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::apply::staged::record_id;
use crate::pg::plan::compare::Snapshot;
use crate::plan::{
    AppliedChange, DriftColumn, DriftRow, DriftState, Fingerprint, LedgerTable, Values,
};
use crate::planfile::order_key;
use crate::sql::copytext::CopyRow;
use crate::sql::ident::{Ident, Literal};
use crate::table::schema::{Column, ForeignKey, Table, keys_equal};

/// One table of the applications that are taken back.
pub struct Undo<'a> {
    /// The table as it is now.
    pub table: &'a Table,
    /// What the ledger says about it.
    pub ledger: LedgerTable,
    number: usize,
    loader_schema: &'a str,
    /// Columns that the images hold and the table has no more.
    gone: Vec<String>,
    /// Columns that the table has got since some of the applications.
    added: Vec<String>,
}

/// One row that was changed, with what became of it since.
pub struct Undone {
    /// The change as it was made.
    pub applied: AppliedChange,
    /// The natural key.
    pub key: Values,
    /// The digest of the row as it is now, if it is as it was left.
    pub digest: Option<Fingerprint>,
}

impl<'a> Undo<'a> {
    /// Collects the changes of `applications` (SQL array of ids) to one table: the oldest image
    /// before and the newest after of each row. `triggered` are columns that the table's triggers
    /// may have set again since.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database); [`Blocked`](crate::ErrorKind::Blocked) where the audit log is not complete.
    pub async fn collect(
        session: &Session,
        number: usize,
        loader_schema: &'a str,
        table: &'a Table,
        ledger: LedgerTable,
        applications: &str,
        triggered: &[String],
    ) -> Result<Undo<'a>> {
        let mut undo = Undo {
            table,
            ledger,
            number,
            loader_schema,
            gone: Vec::new(),
            added: Vec::new(),
        };
        let doing = undo.doing("reading the audit log for");
        let key = undo.key();
        let columns: Vec<String> = key
            .iter()
            .map(|c| {
                let collate = c.collation.as_ref().map(|c| format!(" COLLATE {c}"));
                format!(
                    "{} {}{}",
                    c.staged(),
                    c.base_type_sql,
                    collate.unwrap_or_default()
                )
            })
            .collect();
        let name = undo.bare_name();
        let create = format!(
            "CREATE TEMPORARY TABLE {name} (record_id text, before jsonb, after jsonb, audited bigint, {})",
            columns.join(", ")
        );
        session.run(&doing, &create).await?;
        let cells: Vec<String> = key
            .iter()
            .map(|c| {
                let text = format!("(coalesce(x.after, x.before) ->> {})", Literal(&c.name));
                format!("{text}::{}", c.base_type_sql)
            })
            .collect();
        let sql = format!(
            "WITH touched AS (SELECT pg_catalog.min(id) AS first, pg_catalog.max(id) AS last FROM {schema}.audit_log \
               WHERE application = ANY ({applications}) AND table_name = {} AND operation IN ('INSERT', 'UPDATE', 'DELETE') \
               GROUP BY record_id) \
             INSERT INTO pg_temp.{name} SELECT x.record_id, x.before, x.after, x.last, {} FROM (\
               SELECT f.record_id, f.old_values AS before, l.new_values AS after, l.id AS last FROM touched r \
               JOIN {schema}.audit_log f ON f.id = r.first JOIN {schema}.audit_log l ON l.id = r.last) x \
             WHERE x.before IS NOT NULL OR x.after IS NOT NULL",
            Literal(&undo.ledger.table),
            cells.join(", "),
            schema = Ident(loader_schema),
        );
        let rows = session.execute(&doing, &sql).await?;
        let count = format!(
            "SELECT pg_catalog.count(*) FROM {}.audit_log WHERE application = ANY ({applications}) \
             AND table_name = {} AND operation IN ('INSERT', 'UPDATE', 'DELETE')",
            Ident(loader_schema),
            Literal(&undo.ledger.table)
        );
        let audited = session.number(&doing, &count).await?;
        let written = i64::try_from(undo.ledger.counts.changes()).unwrap_or(i64::MAX);
        if audited != written {
            return Err(Error::blocked(format!(
                "{}: the audit log has {audited} changes of this load and the ledger says {written}; without the complete \
                 log it cannot be taken back",
                undo.ledger.table
            )));
        }
        undo.find_gone_and_added(session, applications).await?;
        // A row that was changed once has nothing in between.
        if i64::try_from(rows) != Ok(audited) {
            undo.check_continuity(session, applications).await?;
        }
        undo.follow(session, triggered).await?;
        let analyze: Vec<String> = key.iter().map(|c| c.staged()).collect();
        let analyze = format!("ANALYZE pg_temp.{name} ({})", analyze.join(", "));
        session.run(&doing, &analyze).await?;
        Ok(undo)
    }

    /// The columns that images hold and the table has no more, and those that it has got since some
    /// of them: all images of one application have the same columns.
    ///
    /// # Errors
    /// [`Blocked`](crate::ErrorKind::Blocked) where a load changed such a column of a row that was there before.
    async fn find_gone_and_added(&mut self, session: &Session, applications: &str) -> Result<()> {
        let sql = format!(
            "WITH images AS MATERIALIZED (SELECT i.image FROM pg_catalog.unnest({applications}) a(id), \
               LATERAL (SELECT coalesce(l.new_values, l.old_values) AS image FROM {}.audit_log l WHERE l.application = a.id \
                 AND l.table_name = {} AND l.operation IN ('INSERT', 'UPDATE', 'DELETE') LIMIT 1) i) \
             SELECT k.name, (pg_catalog.count(*) = (SELECT pg_catalog.count(*) FROM images))::int4::text FROM images i, \
               LATERAL pg_catalog.jsonb_object_keys(i.image) k(name) GROUP BY k.name ORDER BY k.name",
            Ident(self.loader_schema),
            Literal(&self.ledger.table)
        );
        let doing = self.doing("reading the audit log for");
        let known = session.texts(&doing, &sql).await?;
        let known: Vec<(String, bool)> = known
            .into_iter()
            .filter_map(|row| Some((row[0].clone()?, row[1].as_deref() == Some("1"))))
            .collect();
        // A load that changed nothing has no images, and nothing to take back.
        if !known.is_empty() {
            let ignored = &self.ledger.config.ignore_drift;
            let in_all = |c: &Column| known.iter().any(|(name, all)| *all && *name == c.name);
            let columns = self.table.columns.iter();
            let added =
                columns.filter(|c| !c.generated && !in_all(c) && !ignored.contains(&c.name));
            self.added = added.map(|c| c.name.clone()).collect();
        }
        let known = known.into_iter().map(|(name, _)| name);
        let gone: Vec<String> = known.filter(|c| self.table.column(c).is_none()).collect();
        let written = |c: &&String| self.ledger.columns.contains(c);
        match gone.iter().find(written) {
            Some(column) if self.ledger.counts.update > 0 => Err(Error::blocked(format!(
                "{}: the load changed the column {}, which the table has no more, so that its rows cannot be put back; \
                 the values of before are in the audit log (`loader audit`)",
                self.ledger.table,
                crate::text::escape(column)
            ))),
            _ => {
                self.gone = gone;
                Ok(())
            }
        }
    }

    /// Where several applications changed one row, each must have found it as the one before left
    /// it: what somebody else did in between would be lost.
    async fn check_continuity(&self, session: &Session, applications: &str) -> Result<()> {
        let without = self.without_ignored();
        let sql = format!(
            "SELECT DISTINCT record_id FROM (SELECT record_id, old_values, \
               pg_catalog.lag(new_values) OVER w AS left_as, pg_catalog.row_number() OVER w AS n \
             FROM {}.audit_log WHERE application = ANY ({applications}) AND table_name = {} \
               AND operation IN ('INSERT', 'UPDATE', 'DELETE') \
             WINDOW w AS (PARTITION BY record_id ORDER BY id)) x \
             WHERE n > 1 AND coalesce(NOT x.old_values OPERATOR(pg_catalog.@>) (x.left_as{without}), \
               x.left_as IS NOT NULL OR x.old_values IS NOT NULL) ORDER BY 1 LIMIT 20",
            Ident(self.loader_schema),
            Literal(&self.ledger.table)
        );
        let rows = session
            .texts(&self.doing("reading the audit log for"), &sql)
            .await?;
        let named: Vec<String> = rows
            .into_iter()
            .flatten()
            .flatten()
            .map(|id| session.name_row(&self.ledger.table, &id))
            .collect();
        if named.is_empty() {
            return Ok(());
        }
        Err(Error::blocked(format!(
            "{}: somebody else changed rows between two loads of this batch, for example {}; take the loads back one by \
             one with --application, newest first",
            self.ledger.table,
            named.join(", ")
        )))
    }

    /// Where later applications, one after the other and nobody in between, left a row as these
    /// did but for what triggers set, that is how it was left.
    async fn follow(&self, session: &Session, triggered: &[String]) -> Result<()> {
        if triggered.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = triggered.iter().map(|c| Literal(c).to_string()).collect();
        let without = format!("- ARRAY[{}]::pg_catalog.text[]", names.join(", "));
        let sql = format!(
            "WITH later AS (SELECT l.record_id, l.id, l.new_values, l.id > s.audited \
                 AND l.old_values IS DISTINCT FROM pg_catalog.lag(l.new_values) OVER (PARTITION BY l.record_id ORDER BY l.id) AS broken \
               FROM {}.audit_log l JOIN pg_temp.{name} s ON s.record_id = l.record_id \
               WHERE l.table_name = {} AND l.operation IN ('INSERT', 'UPDATE', 'DELETE') AND l.id >= s.audited), \
             newest AS (SELECT DISTINCT ON (record_id) record_id, id, new_values FROM later ORDER BY record_id, id DESC) \
             UPDATE pg_temp.{name} s SET after = n.new_values, audited = n.id FROM newest n \
             WHERE n.record_id = s.record_id AND n.id > s.audited AND n.new_values {without} = s.after {without} \
               AND NOT EXISTS (SELECT FROM later l WHERE l.record_id = s.record_id AND l.broken)",
            Ident(self.loader_schema),
            Literal(&self.ledger.table),
            name = self.bare_name(),
        );
        let doing = self.doing("reading the audit log for");
        session.execute(&doing, &sql).await.map(drop)
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} table {}", self.ledger.table)
    }

    fn bare_name(&self) -> String {
        format!("loader_undo_{}", self.number)
    }

    fn key(&self) -> Vec<&'a Column> {
        let key = self.table.key(&self.ledger.config.natural_key);
        key.into_iter().map(|(c, _)| c).collect()
    }

    fn keys_equal(&self) -> String {
        keys_equal(&self.table.key(&self.ledger.config.natural_key), "s", "t")
    }

    /// The condition that the row whose image this is, as SQL, is as the application left it.
    fn as_left(&self, image: &str) -> String {
        let without = self.without_ignored();
        // The same bytes are the quick way to the same answer.
        format!(
            "(ROW({image})::record OPERATOR(pg_catalog.*=) ROW(s.after)::record \
             OR {image} OPERATOR(pg_catalog.@>) (s.after{without}))"
        )
    }

    /// The condition that row `t` holds nothing that somebody put into a column which was added
    /// since. Where the row stays, that does not matter; it does where the row would be deleted.
    fn unfilled(&self) -> String {
        let added = self.added.iter().filter_map(|c| self.table.column(c));
        let unfilled: Vec<String> = added
            .map(|c| {
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
            })
            .collect();
        match unfilled.is_empty() {
            true => "true".into(),
            false => format!("(s.before IS NOT NULL OR {})", unfilled.join(" AND ")),
        }
    }

    /// What takes the columns that are not compared out of an image, as SQL behind it: those whose
    /// drift does not matter, and those that are gone.
    fn without_ignored(&self) -> String {
        let ignored = self.ledger.config.ignore_drift.iter().chain(&self.gone);
        let names: Vec<String> = ignored.map(|c| Literal(c).to_string()).collect();
        match names.is_empty() {
            true => String::new(),
            false => format!(" - ARRAY[{}]::pg_catalog.text[]", names.join(", ")),
        }
    }

    /// Gives every row that was changed to `sink`, in any order, and returns those that are not as
    /// they were left, in key order.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database), and whatever `sink` returns.
    pub async fn stream(
        &self,
        snapshot: &Snapshot<'_>,
        sink: &mut dyn FnMut(Undone) -> Result<()>,
    ) -> Result<Vec<DriftRow>> {
        let doing = self.doing("comparing what was loaded with");
        let session = snapshot.session;
        let ignored = &self.ledger.config.ignore_drift;
        let (undo, table, equal) = (self.bare_name(), &self.table.name, self.keys_equal());
        let unfilled = self.unfilled();
        let sql = if snapshot
            .finds_one_row(self.table, &self.ledger.config.natural_key, &doing)
            .await?
        {
            let once = self.table.once("t", "s", ignored);
            format!(
                "COPY (SELECT s.before, s.after, s.record_id, s.audited, s.found::pg_catalog.int4, s.same::pg_catalog.int4, \
                   CASE WHEN s.same THEN {digest} END \
                 FROM (SELECT s.*, s.found AND s.unfilled AND {as_left} AS same \
                   FROM (SELECT s.*, t.tableoid IS NOT NULL AS found, {unfilled} AS unfilled, \
                       {select} \
                     FROM pg_temp.{undo} s LEFT JOIN {table} t ON {equal} OFFSET 0) s OFFSET 0) s) TO STDOUT",
                select = once.select,
                digest = once.digest,
                as_left = self.as_left(&once.image),
            )
        } else {
            // Where deletes only mark rows, a key may find others beside the one that was changed.
            format!(
                "COPY (SELECT s.before, s.after, s.record_id, s.audited, n.found, n.same, n.digest FROM pg_temp.{undo} s, \
                 LATERAL (SELECT pg_catalog.count(*) AS found, pg_catalog.count(*) FILTER (WHERE {as_left}) AS same, \
                   pg_catalog.min({digest}) FILTER (WHERE {as_left}) AS digest \
                   FROM {table} t WHERE {equal}) n) TO STDOUT",
                as_left = format!("{unfilled} AND {}", self.as_left(&self.table.image("t"))),
                digest = self.table.digest("t", ignored),
            )
        };
        let lines = session
            .client
            .copy_out(&sql)
            .await
            .map_err(|e| session.failed(&doing, &e))?;
        let mut lines = std::pin::pin!(lines);
        let mut drifted: Vec<(DriftRow, AppliedChange, String, i64)> = Vec::new();
        let mut row = CopyRow::default();
        // What cannot be read may be a sensitive value, and is not repeated.
        let broken = || {
            Error::local(format!(
                "{doing}: an image in the audit log is not one that the loader wrote"
            ))
        };
        while let Some(line) = lines
            .try_next()
            .await
            .map_err(|e| session.failed(&doing, &e))?
        {
            row.read(&line).map_err(|_| broken())?;
            let image = |i: usize| -> Result<Option<Values>> {
                let json = row.get(i).map(serde_json::from_str::<Values>);
                json.transpose().map_err(|_| broken())
            };
            let applied = AppliedChange {
                before: image(0)?,
                after: image(1)?,
            };
            let either = applied.after.as_ref().or(applied.before.as_ref());
            let key: Values = self
                .ledger
                .config
                .natural_key
                .iter()
                .filter_map(|k| Some((k.clone(), either?.get(k)?.clone())))
                .collect();
            let number = |i: usize| row.get(i).and_then(|n| n.parse::<i64>().ok()).unwrap_or(0);
            let (found, same) = (number(4), number(5));
            let state = match (&applied.after, found, same) {
                (Some(_), 0, _) => Some(DriftState::Vanished),
                (Some(_), _, 0) => Some(DriftState::Changed),
                (None, n, _) if n > 0 && applied.before.is_some() => Some(DriftState::Appeared),
                _ => None,
            };
            match state {
                Some(state) => drifted.push((
                    DriftRow {
                        table: self.ledger.table.clone(),
                        key,
                        state,
                        action: "rollback".into(),
                        columns: Vec::new(),
                        by: None,
                    },
                    applied,
                    row.get(2).unwrap_or_default().to_owned(),
                    number(3),
                )),
                None => sink(Undone {
                    applied,
                    key,
                    digest: row.get(6).map(|d| Fingerprint(d.to_owned())),
                })?,
            }
        }
        drifted.sort_by_cached_key(|(row, ..)| self.order(&row.key));
        let mut rows = Vec::with_capacity(drifted.len());
        for (mut row, applied, record_id, audited) in drifted {
            row.by = self.later(session, &record_id, audited).await?;
            if row.state == DriftState::Changed {
                row.columns = self.differing(session, &record_id, &applied).await?;
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// The columns of a row that are not as they were left: as left, as they are now, and as before.
    async fn differing(
        &self,
        session: &Session,
        record_id: &str,
        applied: &AppliedChange,
    ) -> Result<Vec<DriftColumn>> {
        let order = match self.ledger.config.soft_delete.column() {
            Some(mark) => format!("t.{} IS NULL DESC", Ident(mark)),
            None => "1".into(),
        };
        let sql = format!(
            "SELECT {}::pg_catalog.text FROM pg_temp.{} s JOIN {} t ON {} WHERE s.record_id = {} ORDER BY {order} LIMIT 1",
            self.table.image("t"),
            self.bare_name(),
            self.table.name,
            self.keys_equal(),
            Literal(record_id)
        );
        let doing = self.doing("finding out what changed in");
        let now = session.texts(&doing, &sql).await?;
        let now = now.into_iter().flatten().flatten().next();
        let now: Values = now
            .and_then(|json| serde_json::from_str(&json).ok())
            .unwrap_or_default();
        let left = applied.after.clone().unwrap_or_default();
        let compared = now
            .into_iter()
            .filter(|(c, _)| !self.ledger.config.ignore_drift.contains(c));
        Ok(compared
            .filter(|(c, v)| match left.get(c) {
                Some(as_left) => as_left != v,
                None => v.is_some(),
            })
            .map(|(column, now)| DriftColumn {
                planned_from: Some(left.get(&column).cloned().flatten()),
                planned_to: applied
                    .before
                    .as_ref()
                    .and_then(|b| b.get(&column))
                    .cloned(),
                column,
                now,
            })
            .collect())
    }

    /// What puts a row in the order of the natural key's text.
    pub fn order(&self, key: &Values) -> Vec<u8> {
        let names = self.ledger.config.natural_key.iter();
        order_key(names.map(|name| key.get(name)?.as_deref()))
    }

    /// Who changed a row after the audit row with this id.
    async fn later(
        &self,
        session: &Session,
        record_id: &str,
        audited: i64,
    ) -> Result<Option<String>> {
        let sql = format!(
            "SELECT coalesce(changed_by, '?') || ' at ' || coalesce(changed_at::text, '?') || \
               coalesce(' (batch ' || batch_id || ', application ' || application::text || ')', '') \
             FROM {}.audit_log WHERE table_name = {} AND record_id = {} AND id > {audited} ORDER BY id DESC LIMIT 1",
            Ident(self.loader_schema),
            Literal(&self.ledger.table),
            Literal(record_id)
        );
        let rows = session
            .texts(&self.doing("finding out who changed"), &sql)
            .await?;
        Ok(rows.into_iter().flatten().flatten().next())
    }

    /// Rows that refer to a row which taking this back would delete, and which are not taken back
    /// themselves: named as `table key` with the constraint.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn referrers(&self, session: &Session, all: &[Undo<'_>]) -> Result<Vec<String>> {
        if self.ledger.config.soft_delete.column().is_some() {
            return Ok(Vec::new()); // a marked row can still be referred to
        }
        let mut named = Vec::new();
        for key in &self.table.referrers {
            named.extend(self.referrers_by(session, key, all).await?);
        }
        Ok(named)
    }

    async fn referrers_by(
        &self,
        session: &Session,
        key: &ForeignKey,
        all: &[Undo<'_>],
    ) -> Result<Vec<String>> {
        let doing = format!(
            "looking for rows of {} that refer to what would be deleted",
            key.child
        );
        // Without the right to read the referring table, the foreign key itself has to speak.
        let readable = format!(
            "SELECT (pg_catalog.has_schema_privilege({}, 'USAGE') \
               AND pg_catalog.has_table_privilege({}::pg_catalog.oid, 'SELECT'))::int4::int8",
            Literal(&key.child.schema),
            key.child_oid
        );
        if session.number(&doing, &readable).await? == 0 {
            return Ok(Vec::new());
        }
        let joined: Vec<String> = key
            .columns
            .iter()
            .zip(&key.parent_columns)
            .zip(&key.equality)
            .map(|((child, parent), (schema, operator))| {
                format!(
                    "t.{} OPERATOR({}.{operator}) c.{}",
                    Ident(parent),
                    Ident(schema),
                    Ident(child)
                )
            })
            .collect();
        let child = all.iter().find(|u| u.table.name == key.child);
        let soft = child.is_some_and(|c| c.ledger.config.soft_delete.column().is_some());
        let (name, spared) = match child {
            Some(child) => {
                let columns: Vec<String> = key
                    .columns
                    .iter()
                    .filter_map(|c| child.table.column(c))
                    .map(|c| {
                        format!(
                            "s2.before ->> {} IS DISTINCT FROM {}",
                            Literal(&c.name),
                            c.text("c")
                        )
                    })
                    .collect();
                let same = keys_equal(
                    &child.table.key(&child.ledger.config.natural_key),
                    "s2",
                    "c",
                );
                (
                    record_id(&child.key(), "c"),
                    format!(
                        " AND NOT EXISTS (SELECT FROM pg_temp.{} s2 WHERE {same} AND (s2.before IS {} NULL {} ({})))",
                        child.bare_name(),
                        // A row that is only marked goes on referring.
                        if soft { "NOT" } else { "" },
                        if soft { "AND" } else { "OR" },
                        columns.join(" OR ")
                    ),
                )
            }
            None => ("c.ctid::text".to_owned(), String::new()),
        };
        let sql = format!(
            "SELECT {name} FROM pg_temp.{} s JOIN {} t ON {} JOIN {} c ON {} WHERE s.before IS NULL{spared} LIMIT 100",
            self.bare_name(),
            self.table.name,
            self.keys_equal(),
            key.child,
            joined.join(" AND ")
        );
        let rows = session.texts(&doing, &sql).await?;
        let marked = match soft {
            true => {
                ", and deletes from that table are only marked: give both tables soft_delete, or neither"
            }
            false => "",
        };
        Ok(rows
            .into_iter()
            .flatten()
            .flatten()
            .map(|id| {
                format!(
                    "{} {} refers to a row of {} that would be deleted ({}){marked}",
                    crate::text::escape(&key.child.name),
                    match child {
                        Some(child) => session.name_row(&child.ledger.table, &id),
                        None => id, // its place, not its key
                    },
                    crate::text::escape(&self.ledger.table),
                    crate::text::escape(&key.name)
                )
            })
            .collect())
    }
}
