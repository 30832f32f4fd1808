//! Rows that are not as they were left, for people.

use super::Undo;
use crate::error::{Error, Result};
use crate::pg::{Session, audit, must_be};
use crate::plan::{AppliedChange, DriftColumn, DriftRow, DriftState, Row, Values};
use crate::sql::{Literal, Statement, all};
use crate::table::schema::Column;

/// A row that is not as it was left.
#[derive(Debug)]
pub(super) struct Drifted {
    pub(super) key: Values,
    pub(super) state: DriftState,
    pub(super) applied: AppliedChange,
    pub(super) record_id: String,
    /// The last audit row of the applications that are taken back.
    pub(super) audited: u64,
}

impl Undo<'_> {
    /// The rows with what differs, and who changed them.
    pub(super) async fn describe(
        &self,
        session: &Session,
        rows: Vec<Drifted>,
    ) -> Result<Vec<DriftRow>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        // All at once: one by one, each would look through all that was changed.
        let later = session.rows(&self.later(&rows)).await?;
        let now = session.rows(&self.now(&rows)).await?;
        for answers in [&later, &now] {
            must_be(
                &self.doing_find_out(),
                rows.len() as u64,
                answers.len() as u64,
            )?;
        }
        let found = rows.into_iter().zip(later.into_iter().zip(now));
        let described = found.map(|(row, (mut later, now))| {
            let columns = match row.state {
                DriftState::Changed => self.differing(now.get(0), &row.applied)?,
                DriftState::Vanished | DriftState::Appeared | DriftState::Reloaded => Vec::new(),
            };
            Ok(DriftRow {
                table: self.target.name.clone(),
                key: row.key,
                state: row.state,
                action: None,
                columns,
                by: later.take(0),
            })
        });
        described.collect()
    }

    /// The columns that are not as they were left: as left, as they are now, and as before.
    fn differing(&self, now: Option<&str>, applied: &AppliedChange) -> Result<Vec<DriftColumn>> {
        let Some(now) = now else {
            return Ok(Vec::new());
        };
        let now: Row = serde_json::from_str(now)
            .map_err(|e| Error::local(self.doing_find_out()).caused_by(e))?;
        let (left, before) = (applied.after.as_ref(), applied.before.as_ref());
        let ignored = &self.target.config.ignore_drift;
        let compared = now.into_iter().filter(|(c, _)| !ignored.contains(c));
        let columns = compared.filter_map(|(column, now)| {
            let as_left = left.and_then(|l| l.get(&column));
            let differs = match as_left {
                Some(as_left) => *as_left != now,
                None => now.is_some(),
            };
            differs.then(|| DriftColumn {
                planned_from: Some(as_left.cloned().flatten()),
                planned_to: before.and_then(|b| b.get(&column)).cloned(),
                column,
                now,
            })
        });
        Ok(columns.collect())
    }

    /// The columns which the table has got since and in which some of these rows, which would be deleted, hold what
    /// may be somebody's.
    pub fn filled<'r>(&'r self, rows: &'r [DriftRow]) -> impl Iterator<Item = &'r String> {
        let of_table = rows.iter().filter(|row| row.table == self.target.name);
        let columns = of_table.flat_map(|row| &row.columns);
        let filled = columns.filter(|c| c.planned_to.is_none() && c.now.is_some());
        let filled = filled.map(|c| &c.column);
        filled.filter(|c| self.added.contains(c))
    }

    fn doing_find_out(&self) -> String {
        self.doing("finding out what changed in")
    }

    /// The images of the rows as they are now, in this order; null of one that is gone.
    pub(super) fn now(&self, rows: &[Drifted]) -> Statement {
        let beside = self.beside();
        let mut values = crate::sql::Values::default();
        let ids = values.texts(rows.iter().map(|row| row.record_id.as_str()));
        let sql = format!(
            "SELECT f.image::pg_catalog.text FROM pg_catalog.unnest({ids}) WITH ORDINALITY w(record_id, o) LEFT JOIN (\
               SELECT DISTINCT ON (s.record_id) s.record_id, {} AS image FROM {} WHERE s.record_id = ANY ({ids}) \
               ORDER BY s.record_id{own}{}) f ON f.record_id = w.record_id ORDER BY w.o",
            self.target.table.image("t"),
            beside.found(),
            beside.then_live_first(),
            own = match self.of_its_row(|c| c.text("t")) {
                Some(own) => format!(", ({own}) IS TRUE DESC"),
                None => String::new(),
            },
        );
        Statement::with(self.doing_find_out(), sql, values)
    }

    /// Who changed the rows after their audit rows, in this order; null where nobody did. The audit log has
    /// no index for it, and is read once, from the first of these rows on.
    pub(super) fn later(&self, rows: &[Drifted]) -> Statement {
        let mut values = crate::sql::Values::default();
        let ids = values.texts(rows.iter().map(|row| row.record_id.as_str()));
        let audited = values.texts(rows.iter().map(|row| row.audited.to_string()));
        let first = rows.iter().map(|row| row.audited).min().unwrap_or_default();
        let image = |c: &Column| {
            let name = Literal(&c.name);
            format!("coalesce(a.new_values, a.old_values) ->> {name}")
        };
        let (undo, own) = match self.of_its_row(image) {
            Some(own) => (
                format!(
                    "LEFT JOIN {} s ON s.record_id = w.record_id ",
                    self.temporary()
                ),
                format!(" AND ({own}) IS NOT FALSE"),
            ),
            None => Default::default(),
        };
        let sql = format!(
            "SELECT DISTINCT ON (w.o) CASE WHEN a.id IS NOT NULL THEN {who} \
               || coalesce(' (batch ' || a.batch_id || ', application ' || a.application::text || ')', '') END \
             FROM ROWS FROM (pg_catalog.unnest({ids}), pg_catalog.unnest({audited}::pg_catalog.int8[])) \
             WITH ORDINALITY w(record_id, audited, o) {undo}\
             LEFT JOIN {} a ON a.table_name = {} AND a.record_id = w.record_id AND a.id > w.audited AND a.id > {first}{own} \
             ORDER BY w.o, a.id DESC",
            self.audit_log(),
            values.text(&self.target.name),
            who = audit::who("a"),
        );
        Statement::with(self.doing("finding out who changed"), sql, values)
    }

    /// Where deletes only mark rows, so that several may have one natural key: the condition that something is of the
    /// row of change `s`, of which `text` gives the columns of its primary key.
    fn of_its_row(&self, text: impl Fn(&Column) -> String) -> Option<String> {
        self.target.mark()?;
        let identity = self.target.table.identity().into_iter();
        let same = identity.map(|(c, _)| {
            let left = format!("(s.after ->> {})", Literal(&c.name));
            format!("({}) = {left}", text(c))
        });
        let same: Vec<String> = same.collect();
        (!same.is_empty()).then(|| all(same))
    }
}
