//! What is there now in the place of a row that drifted, and who changed it.

use crate::error::{Error, Result};
use crate::pg::apply::staged::Staged;
use crate::pg::{Session, audit};
use crate::plan::{DriftRow, DriftState};
use crate::sql::{Literal, Qualified, Statement, Values, list};
use crate::table::schema::Column;

impl Staged {
    /// Makes it quick to find an entry by its number.
    pub(super) fn index(&self) -> Statement {
        let sql = format!("CREATE INDEX ON {} (_n)", self.temporary());
        Statement::new(self.doing_find_out(), sql)
    }

    /// Fills in what is there now, and who changed it, as the audit log says where it may be read. Columns
    /// that are as the plan saw them are left out.
    pub(super) async fn look_up(
        &self,
        session: &Session,
        audit_log: Option<&Qualified>,
        n: u64,
        row: &mut DriftRow,
    ) -> Result<()> {
        let columns: Vec<&Column> = row
            .columns
            .iter()
            .filter_map(|c| self.target.table.column(&c.column))
            .collect();
        let now = session
            .rows(&self.now(n, &columns))
            .await?
            .into_iter()
            .next();
        let record_id = match &now {
            Some(now) => now.text(0)?.to_owned(),
            None => self.planned_id(row)?,
        };
        if let Some(now) = now {
            let values = now.into_cells().into_iter().skip(1);
            for (column, value) in row.columns.iter_mut().zip(values) {
                column.now = value;
            }
            row.columns
                .retain(|c| c.planned_from.as_ref() != Some(&c.now));
            if row.state == DriftState::Appeared {
                row.columns
                    .retain(|c| c.planned_to.as_ref() != Some(&c.now));
            }
        } else {
            row.columns.clear();
        }
        if let Some(audit_log) = audit_log {
            let by = self.changed_by(audit_log, n, &record_id, row.state);
            row.by = session.column(&by).await?.into_iter().next();
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

    /// For `FROM`: of the rows that entry `n` finds, the one that counts.
    fn row_of(&self, n: u64) -> String {
        let beside = self.beside();
        format!(
            "{} WHERE s._n = {n} ORDER BY s._n{} LIMIT 1",
            beside.found(),
            beside.then_live_first()
        )
    }

    /// The row of entry `n` as it is now: its key as one text, and some columns.
    pub(in crate::pg) fn now(&self, n: u64, columns: &[&Column]) -> Statement {
        let columns = columns.iter().map(|c| c.text("t"));
        let select = std::iter::once(self.target.record_id("t")).chain(columns);
        let sql = format!("SELECT {} FROM {}", list(select), self.row_of(n));
        Statement::new(self.doing_find_out(), sql)
    }

    /// Who brought the row of entry `n` to its present state; nobody who changed it before.
    pub(in crate::pg) fn changed_by(
        &self,
        audit_log: &Qualified,
        n: u64,
        record_id: &str,
        state: DriftState,
    ) -> Statement {
        let same = match state {
            DriftState::Vanished => "a.operation = 'DELETE'".to_owned(),
            DriftState::Changed | DriftState::Appeared => format!(
                "a.new_values = (SELECT {} FROM {})",
                self.target.table.image("t"),
                self.row_of(n)
            ),
        };
        let mut values = Values::default();
        let sql = format!(
            "SELECT {who} || coalesce(' (batch ' || a.batch_id || ')', '') FROM (SELECT * FROM {audit_log} \
             WHERE table_name = {} AND record_id = {} ORDER BY id DESC LIMIT 1) a WHERE {same}",
            values.text(&self.target.name),
            values.text(record_id),
            who = audit::who("a"),
        );
        Statement::with(self.doing_find_out(), sql, values)
    }
}

pub(super) fn is_readable(table: &Qualified) -> Statement {
    let table = Literal(&table.to_string()).to_string();
    let sql = format!("SELECT pg_catalog.has_table_privilege({table}, 'SELECT')");
    Statement::new("asking for privileges", sql)
}
