//! How many changes of each application are undone, of those that are still to be.

use std::collections::BTreeMap;

use super::Undo;
use crate::error::Result;
use crate::pg::Session;
use crate::pg::ledger::counts;
use crate::sql::{Statement, Values};

impl Undo<'_> {
    /// How many changes of each application are undone. `unchanged` are rows that need no change.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn count_undone(
        &self,
        session: &Session,
        unchanged: &[String],
    ) -> Result<BTreeMap<String, u64>> {
        counts(session, &self.covered(unchanged)).await
    }

    /// How many changes of each application are of rows that are undone, those that were only there in between
    /// among them.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn count_all(&self, session: &Session) -> Result<BTreeMap<String, u64>> {
        let all = format!("SELECT s.record_id FROM {} s", self.temporary());
        counts(session, &self.among(&all, Values::default())).await
    }

    /// How many changes of each application are of rows that are undone or kept.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn count_listed(
        &self,
        session: &Session,
        with_kept: bool,
    ) -> Result<BTreeMap<String, u64>> {
        let listed = self.listed(with_kept);
        counts(session, &self.among(&listed, Values::default())).await
    }

    pub(in crate::pg) fn covered(&self, unchanged: &[String]) -> Statement {
        let mut values = Values::default();
        let listed = format!(
            "{} AND s.record_id <> ALL ({})",
            self.listed(false),
            values.texts(unchanged)
        );
        self.among(&listed, values)
    }

    fn among(&self, listed: &str, values: Values) -> Statement {
        let of_table = Some((self.target.name.as_str(), listed));
        self.undone
            .count_remaining(&self.audit_log(), self.applications, of_table, values)
    }
}
