//! Who applies what: what is said of every change in the audit log.

use crate::pg::own::Own;
use crate::sql::{Qualified, Values};

/// One application of a plan, as it is recorded.
#[derive(Debug, Clone)]
pub struct Origin<'a> {
    /// Who applies.
    pub actor: &'a str,
    /// The batch.
    pub batch_id: &'a str,
    /// The application's id.
    pub application: &'a str,
    /// The plan's hash.
    pub plan_hash: &'a str,
    /// The schema of the loader's tables.
    pub loader_schema: &'a str,
}

impl Origin<'_> {
    /// One of the loader's own tables.
    pub fn own(&self, table: Own) -> Qualified {
        table.within(self.loader_schema)
    }

    /// `INSERT INTO` the audit log: a table's name and the operation come first, then the record's id
    /// and images, then what [`Origin::columns`] gives, then where the change comes from and when that was extracted.
    pub(in crate::pg) fn insert_audit(&self) -> String {
        format!(
            "INSERT INTO {} (table_name, operation, record_id, old_values, new_values, \
             batch_id, changed_by, changed_at, application, plan_hash, origin, extracted_at)",
            self.own(Own::AuditLog)
        )
    }

    /// The columns of an audit row that are the same for all.
    pub(in crate::pg) fn columns(&self, values: &mut Values) -> String {
        format!(
            "{}, {}, pg_catalog.now(), {}::uuid, {}",
            values.text(self.batch_id),
            values.text(self.actor),
            values.text(self.application),
            values.text(self.plan_hash)
        )
    }
}
