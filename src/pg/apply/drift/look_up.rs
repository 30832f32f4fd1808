//! What is there now in the place of rows that drifted, and who changed them.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::pg::apply::staged::Staged;
use crate::pg::session::TextRow;
use crate::pg::{Session, audit};
use crate::plan::{DriftColumn, DriftRow, DriftState};
use crate::sql::{Literal, Qualified, Statement, Values, list};
use crate::table::mark::Mark;
use crate::table::schema::Column;

/// A row of which is asked who changed it.
#[derive(Debug)]
pub(in crate::pg) struct Changed {
    /// The number of its entry.
    pub n: u64,
    /// Its natural key as one text.
    pub record_id: String,
    /// Whether it is gone.
    pub gone: bool,
}

impl Staged {
    /// Fills in what is there now, and who changed it, as the audit log says where it may be read; `rows` are
    /// by the numbers of their entries. Columns that are as the plan saw them are left out.
    pub(super) async fn look_up(
        &self,
        session: &Session,
        audit_log: Option<&Qualified>,
        rows: &mut BTreeMap<u64, &mut DriftRow>,
    ) -> Result<()> {
        let names = rows.values().flat_map(|row| &row.columns);
        let names = names.map(|c| c.column.as_str());
        let marks = self.target.marks();
        let names: BTreeSet<&str> = names
            .chain(marks.map(|(mark, _)| mark.name.as_str()))
            .collect();
        let columns = names.iter().filter_map(|c| self.target.table.column(c));
        let columns: Vec<&Column> = columns.collect();
        let numbers: Vec<u64> = rows.keys().copied().collect();
        let mut now = BTreeMap::new();
        for found in session.rows(&self.now(&numbers, &columns)).await? {
            now.insert(found.parsed::<u64>(0)?, found);
        }
        let mut changed = Vec::with_capacity(rows.len());
        for (n, row) in rows.iter_mut() {
            let record_id = match now.remove(n) {
                Some(found) => {
                    let record_id = found.text(1)?.to_owned();
                    fill_in(row, &columns, marks, found);
                    record_id
                }
                None => {
                    row.columns.clear();
                    self.planned_id(row)?
                }
            };
            changed.push(Changed {
                n: *n,
                record_id,
                gone: row.state == DriftState::Vanished,
            });
        }
        if let Some(audit_log) = audit_log {
            for mut found in session.rows(&self.changed_by(audit_log, &changed)).await? {
                if let Some(row) = rows.get_mut(&found.parsed(0)?) {
                    row.by = found.take(1);
                }
            }
        }
        Ok(())
    }

    /// The natural key that the plan names, as one text.
    fn planned_id(&self, row: &DriftRow) -> Result<String> {
        let key = self.target.config.natural_key.iter();
        let values: Vec<&str> = key.filter_map(|k| row.key.get(k)?.stored().ok()?).collect();
        match values.as_slice() {
            [one] => Ok((*one).to_owned()),
            several => serde_json::to_string(several)
                .map_err(|e| Error::local(self.doing_find_out()).caused_by(e)),
        }
    }

    /// A query of what entries find, of each the row that counts; `numbers` is an array of their numbers.
    fn rows_of(&self, numbers: &str, select: &str) -> String {
        let beside = self.beside();
        format!(
            "SELECT DISTINCT ON (s._n) s._n, {select} FROM {} WHERE s._n = ANY ({numbers}) ORDER BY s._n{}",
            beside.found(),
            beside.then_live_first()
        )
    }

    /// The rows of these entries that are there now: the entry's number, its key as one text, and some columns.
    pub(in crate::pg) fn now(&self, numbers: &[u64], columns: &[&Column]) -> Statement {
        let mut values = Values::default();
        let numbers = bigints(&mut values, numbers);
        let columns = columns.iter().map(|c| c.text("t"));
        let select = std::iter::once(self.target.record_id("t")).chain(columns);
        let sql = self.rows_of(&numbers, &list(select));
        Statement::with(self.doing_find_out(), sql, values)
    }

    /// Who brought rows to their present state, by the numbers of their entries; nobody who changed one
    /// before. The audit log has no index for it, and is read once.
    pub(in crate::pg) fn changed_by(&self, audit_log: &Qualified, rows: &[Changed]) -> Statement {
        let mut values = Values::default();
        let numbers: Vec<u64> = rows.iter().map(|row| row.n).collect();
        let numbers = bigints(&mut values, &numbers);
        let ids = values.texts(rows.iter().map(|row| row.record_id.as_str()));
        let gone = values.texts(rows.iter().map(|row| row.gone.to_string()));
        let sql = format!(
            "SELECT a.n, {who} || coalesce(' (batch ' || a.batch_id || ')', '') FROM (\
               SELECT DISTINCT ON (w.n) w.n, w.gone, l.changed_by, l.changed_at, l.batch_id, l.operation, l.new_values \
               FROM ROWS FROM (pg_catalog.unnest({numbers}), pg_catalog.unnest({ids}), \
                 pg_catalog.unnest({gone}::pg_catalog.bool[])) w(n, record_id, gone) \
               JOIN {audit_log} l ON l.table_name = {} AND l.record_id = w.record_id ORDER BY w.n, l.id DESC) a \
             LEFT JOIN ({}) f ON f._n = a.n \
             WHERE CASE WHEN a.gone THEN a.operation = 'DELETE' ELSE a.new_values = f.image END",
            values.text(&self.target.name),
            self.rows_of(
                &numbers,
                &format!("{} AS image", self.target.table.image("t"))
            ),
            who = audit::who("a"),
        );
        Statement::with(self.doing_find_out(), sql, values)
    }
}

/// Puts what was found of these columns into a row, behind its number and its key; that it is marked as deleted also
/// where the plan does not speak of that.
fn fill_in(
    row: &mut DriftRow,
    columns: &[&Column],
    marks: Option<(&Column, Mark)>,
    found: TextRow,
) {
    let cells: Vec<Option<String>> = found.into_cells().into_iter().skip(2).collect();
    let now = |name: &str| {
        let at = columns.iter().position(|c| c.name == name);
        at.and_then(|at| cells.get(at).cloned().flatten())
    };
    for planned in &mut row.columns {
        planned.now = now(&planned.column);
    }
    if let Some((column, mark)) = marks
        && row.state == DriftState::Changed
        && row.columns.iter().all(|c| c.column != column.name)
        && let marked = now(&column.name)
        && mark.is_deleted(marked.as_deref())
    {
        row.columns.push(DriftColumn {
            column: column.name.clone(),
            planned_from: None,
            now: marked,
            planned_to: None,
        });
    }
    row.columns
        .retain(|c| c.planned_from.as_ref() != Some(&c.now));
    if row.state == DriftState::Appeared {
        row.columns
            .retain(|c| c.planned_to.as_ref() != Some(&c.now));
    }
}

/// An array of numbers, as SQL.
fn bigints(values: &mut Values, numbers: &[u64]) -> String {
    let numbers = values.texts(numbers.iter().map(u64::to_string));
    format!("{numbers}::pg_catalog.int8[]")
}

pub(super) fn is_readable(table: &Qualified) -> Statement {
    let table = Literal(&table.to_string()).to_string();
    let sql = format!("SELECT pg_catalog.has_table_privilege({table}, 'SELECT')");
    Statement::new("asking for privileges", sql)
}
