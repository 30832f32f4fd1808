//! What is sent to shards, each its part. Citus sends what is beside a table on this server to all servers, where it is
//! read once for each shard: of many rows that is many times the work. So many rows are told apart by shard first.

use crate::error::Result;
use crate::pg::Session;
use crate::sql::{Ident, Literal, Qualified, Statement, Temporary};
use crate::table::schema::Column;

/// From so many rows on it is worth it: there are some dozens of shards, and each takes a statement.
const MANY: u64 = 5_000;

/// Rows that are told apart by shard: a temporary table of them, with the number of each one's shard.
#[derive(Debug, Clone)]
pub(in crate::pg) struct Parts<'a> {
    /// The table in shards.
    pub(in crate::pg) of: &'a Qualified,
    /// The column by which it is distributed.
    pub(in crate::pg) column: &'a Column,
    /// The temporary table; its column `_shard` has the number.
    pub(in crate::pg) rows: Temporary,
    /// The rows' value of that column.
    pub(in crate::pg) value: String,
}

/// The rows of one shard.
pub(in crate::pg) struct Part {
    /// The condition that a row of the temporary table, called `k`, is one of them.
    pub(in crate::pg) is_of: String,
    /// The condition that a row `t` of the table has the value of one of them: what says which shard is asked.
    pub(in crate::pg) is_there: String,
}

impl Parts<'_> {
    fn doing(&self) -> String {
        format!("telling apart the rows for the shards of {}", self.of)
    }

    /// The number of a value's shard, as SQL: the place of its hash among the least of the shards. Whatever a number is,
    /// a statement for the rows that have it asks all shards that these rows can be in.
    pub(in crate::pg) fn shard_of(&self, value: &str) -> String {
        format!(
            "coalesce(pg_catalog.width_bucket(pg_catalog.worker_hash({value})::int8, (SELECT pg_catalog.array_agg(x.least ORDER BY x.least) \
               FROM (SELECT shardminvalue::int8 AS least FROM pg_catalog.pg_dist_shard WHERE logicalrelid = {}::pg_catalog.regclass \
               AND shardminvalue ~ '^-?[0-9]{{1,18}}$' OFFSET 0) x)), 0)",
            Literal(&self.of.to_string())
        )
    }

    /// Runs `statement` for the rows of each shard, of `rows` in all: for all of them at once where they are few. Returns
    /// how many rows were touched.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub(in crate::pg) async fn each(
        &self,
        session: &Session,
        rows: u64,
        statement: impl Fn(&Part) -> Statement,
    ) -> Result<u64> {
        // Arrays make no list of values.
        if rows < MANY || self.column.base_type_sql.ends_with("[]") {
            let all = Part {
                is_of: "true".into(),
                is_there: "true".into(),
            };
            return session.execute(&statement(&all)).await;
        }
        let mut touched = 0;
        for shard in session.column(&self.shards()).await? {
            let values = session.column(&self.values(&shard)).await?;
            let Some(values) = values.first() else {
                continue;
            };
            touched += session
                .execute(&statement(&self.part(&shard, values)))
                .await?;
        }
        Ok(touched)
    }

    pub(in crate::pg) fn shards(&self) -> Statement {
        let sql = format!(
            "SELECT DISTINCT k._shard::text FROM {} k ORDER BY 1",
            self.rows
        );
        Statement::new(self.doing(), sql)
    }

    pub(in crate::pg) fn values(&self, shard: &str) -> Statement {
        let sql = format!(
            "SELECT pg_catalog.array_agg(DISTINCT k.{})::text FROM {} k WHERE k._shard = {}",
            self.value,
            self.rows,
            Literal(shard)
        );
        Statement::new(self.doing(), sql)
    }

    fn part(&self, shard: &str, values: &str) -> Part {
        Part {
            is_of: format!("k._shard = {}", Literal(shard)),
            is_there: format!(
                "t.{} = ANY ({}::{}[])",
                Ident(&self.column.name),
                Literal(values),
                self.column.base_type_sql
            ),
        }
    }
}
