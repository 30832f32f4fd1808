//! The loader's own tables, as `migrations/` makes them.

use crate::sql::Qualified;

/// One of the loader's own tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// The fragments that were validated, and what became of them.
    Queue,
    /// Every change of a row, with the row before and after.
    AuditLog,
    /// What each load did with each table, for people.
    LoadLog,
    /// What was applied.
    Ledger,
    /// The random id of the database.
    Identity,
}

impl Own {
    /// Those that an application writes.
    pub const WRITTEN: [Own; 4] = [Own::AuditLog, Own::Queue, Own::LoadLog, Own::Ledger];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Own::Queue => "validation_queue",
            Own::AuditLog => "audit_log",
            Own::LoadLog => "batch_load_log",
            Own::Ledger => "loader_ledger",
            Own::Identity => "loader_identity",
        }
    }

    /// The table in this schema.
    pub fn within(self, schema: &str) -> Qualified {
        Qualified {
            schema: schema.to_owned(),
            name: self.name().to_owned(),
        }
    }

    /// What people are told: `schema.table`.
    pub fn shown(self, schema: &str) -> String {
        format!("{schema}.{}", self.name())
    }
}
