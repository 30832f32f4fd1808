//! What kind of table a table is to the database, and where its rows are asked about.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sql::Qualified;

/// What kind of table it is to the database. The kinds of Citus are those of its `pg_dist_partition`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// Its rows are in one table of this server.
    #[default]
    Local,
    /// They are in partitions of this server.
    Partitioned,
    /// They are in shards on several servers, by the value of one column.
    Distributed {
        /// That column.
        column: String,
    },
    /// Each server has a copy of all of them.
    Reference,
    /// They are in one shard, wherever that is.
    SingleShard,
}

impl TableKind {
    /// Whether its rows are in shards: there they are not locked one by one, have no place and version of their
    /// own, and meet no temporary table but as a whole.
    pub fn is_far(&self) -> bool {
        match self {
            TableKind::Local | TableKind::Partitioned => false,
            TableKind::Distributed { .. } | TableKind::Reference | TableKind::SingleShard => true,
        }
    }

    /// Whether it is that of most tables.
    pub fn is_local(&self) -> bool {
        *self == TableKind::Local
    }

    /// Where the rows of a table of this kind are asked about: in itself, or in a temporary table to which
    /// those are copied that matter (`pg::near`).
    pub fn rows(&self, name: &Qualified, oid: u32) -> Qualified {
        if self.is_far() {
            Qualified {
                schema: "pg_temp".into(),
                name: format!("loader_near_{oid}"),
            }
        } else {
            name.clone()
        }
    }
}

/// For people: `distributed by gsid`.
impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableKind::Local => f.write_str("local"),
            TableKind::Partitioned => f.write_str("partitioned"),
            TableKind::Distributed { column } => write!(f, "distributed by {column}"),
            TableKind::Reference => f.write_str("a reference table"),
            TableKind::SingleShard => f.write_str("in a single shard"),
        }
    }
}
