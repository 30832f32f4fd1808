//! Which tables are in shards, as Citus has it.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::pg::Session;
use crate::sql::{Qualified, Statement};
use crate::table::kind::TableKind;
use crate::table::schema::ForeignKey;

/// The tables that are in shards, by object id.
#[derive(Debug, Default)]
pub(super) struct Far(HashMap<u32, TableKind>);

const SHARDED: &str = "\
    SELECT p.logicalrelid::pg_catalog.oid::text, p.partmethod::text, p.repmodel::text, \
      pg_catalog.column_to_column_name(p.logicalrelid, p.partkey) FROM pg_catalog.pg_dist_partition p";

impl Far {
    /// Those of the session's database.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub(super) async fn find(session: &Session) -> Result<Far> {
        if !session.has_citus {
            return Ok(Far::default());
        }
        let list = Statement::new("reading which tables are distributed", SHARDED);
        let rows = session.rows(&list).await?.into_iter();
        let kinds = rows.map(|mut row| {
            let kind = match (row.text(1)?, row.text(2)?) {
                ("n", "t") => TableKind::Reference,
                ("n", _) => TableKind::SingleShard,
                _ => TableKind::Distributed {
                    column: row.take(3).unwrap_or_default(),
                },
            };
            Ok((row.parsed(0)?, kind))
        });
        Ok(Far(kinds.collect::<Result<_>>()?))
    }

    /// The kind of a table, of which `pg_class` has this `relkind`.
    pub(super) fn kind(&self, oid: u32, relkind: &str) -> TableKind {
        let local = match relkind {
            "p" => TableKind::Partitioned,
            _ => TableKind::Local,
        };
        self.0.get(&oid).cloned().unwrap_or(local)
    }

    /// Where the rows of a table are asked about.
    pub(super) fn rows(&self, name: &Qualified, oid: u32) -> Qualified {
        let kind = self.0.get(&oid);
        kind.map_or_else(|| name.clone(), |kind| kind.rows(name, oid))
    }

    /// A key of rows in shards is checked after each statement there: whether it may be checked later is not
    /// said to the servers that have them.
    pub(super) fn at_once(&self, key: &mut ForeignKey) {
        let is_far = self.0.contains_key(&key.child_oid);
        key.deferrable &= !is_far;
        key.may_go_first &= !is_far;
        key.may_change_first &= !is_far;
    }
}

/// What the fingerprint has of a table in shards.
pub(super) fn describe(kind: &TableKind, hasher: &mut Sha256) {
    if kind.is_far() {
        hasher.update(format!("kind {kind}\n").as_bytes());
    }
}
