//! Rows that are not as they were left, for people.

use super::Undo;
use crate::error::{Error, Result};
use crate::pg::{Session, audit};
use crate::plan::{AppliedChange, DriftColumn, DriftRow, DriftState, Row, Values};
use crate::sql::Statement;

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
    /// The row with what differs, and who changed it.
    pub(super) async fn describe(&self, session: &Session, row: Drifted) -> Result<DriftRow> {
        let later = self.later(&row.record_id, row.audited);
        let by = session.column(&later).await?.into_iter().next();
        let columns = match row.state {
            DriftState::Changed => {
                let now = session.column(&self.now(&row.record_id)).await?;
                self.differing(now.first().map(String::as_str), &row.applied)?
            }
            DriftState::Vanished | DriftState::Appeared => Vec::new(),
        };
        Ok(DriftRow {
            table: self.target.name.clone(),
            key: row.key,
            state: row.state,
            action: None,
            columns,
            by,
        })
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

    fn doing_find_out(&self) -> String {
        self.doing("finding out what changed in")
    }

    /// The image of the row as it is now.
    pub(in crate::pg) fn now(&self, record_id: &str) -> Statement {
        let beside = self.beside();
        let mut values = crate::sql::Values::default();
        let sql = format!(
            "SELECT {}::pg_catalog.text FROM {} WHERE s.record_id = {} ORDER BY s.record_id{} LIMIT 1",
            self.target.table.image("t"),
            beside.found(),
            values.text(record_id),
            beside.then_live_first(),
        );
        Statement::with(self.doing_find_out(), sql, values)
    }

    /// Who changed a row after the audit row with this id.
    pub(in crate::pg) fn later(&self, record_id: &str, audited: u64) -> Statement {
        let mut values = crate::sql::Values::default();
        let sql = format!(
            "SELECT {who} || coalesce(' (batch ' || a.batch_id || ', application ' || a.application::text || ')', '') \
             FROM {} a WHERE table_name = {} AND record_id = {} AND id > {audited} ORDER BY id DESC LIMIT 1",
            self.audit_log(),
            values.text(&self.target.name),
            values.text(record_id),
            who = audit::who("a"),
        );
        Statement::with(self.doing("finding out who changed"), sql, values)
    }
}
