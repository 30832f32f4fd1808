//! Rows that nobody planned: what triggers and foreign-key actions touched beside the plan.
//!
//! The server counts the rows that a transaction touches, table by table. What it does not count is
//! seen by the locks that our own server process holds: a foreign table's, and those of TRUNCATE
//! and of changed definitions.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::write::Context;
use crate::sql::{Literal, Statement};

/// Rows inserted, updated and deleted.
type Counts = [i64; 3];

/// What this transaction has touched so far.
pub(super) struct Touched {
    /// Rows, by table.
    rows: BTreeMap<u32, (String, Counts)>,
    /// Tables that may have been emptied or redefined, or whose rows are not counted.
    uncounted: BTreeMap<u32, String>,
}

const DOING: &str = "counting the rows touched";

/// Partitions count for the table they are of.
const TOUCHED: &str = "\
    SELECT c.oid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), \
      pg_catalog.sum(s.n_tup_ins), pg_catalog.sum(s.n_tup_upd), pg_catalog.sum(s.n_tup_del) \
    FROM pg_catalog.pg_stat_xact_user_tables s \
    JOIN pg_catalog.pg_class c ON c.oid = coalesce(pg_catalog.pg_partition_root(s.relid), s.relid) \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.oid <> pg_catalog.pg_my_temp_schema() \
    GROUP BY 1, 2 HAVING pg_catalog.sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del) > 0";

const UNCOUNTED: &str = "\
    SELECT DISTINCT c.oid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) \
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class r ON r.oid = l.relation \
    JOIN pg_catalog.pg_class c ON c.oid = coalesce(pg_catalog.pg_partition_root(r.oid), r.oid) \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted \
      AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
      AND (l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p', 'f', 'm', 'v') \
        OR c.relkind = 'f' AND l.mode IN ('RowExclusiveLock', 'ExclusiveLock')) \
      AND n.oid <> pg_catalog.pg_my_temp_schema()";

/// What this transaction has touched so far.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where the server does not count.
pub(super) async fn touched(session: &Session) -> Result<Touched> {
    let counting = "SELECT pg_catalog.current_setting('track_counts') = 'on'";
    if !session.holds(&Statement::new(DOING, counting)).await? {
        return Err(Error::config(
            "the server does not count the rows that are written (track_counts is off), so that what triggers and \
             foreign keys change beside the plan would not be seen: turn it on, in the server's configuration or where \
             ALTER ROLE or ALTER DATABASE turned it off",
        ));
    }
    let rows = session.rows(&Statement::new(DOING, TOUCHED)).await?;
    let rows = rows.into_iter().map(|row| {
        let counts = [row.parsed(2)?, row.parsed(3)?, row.parsed(4)?];
        Ok((row.parsed(0)?, (row.text(1)?.to_owned(), counts)))
    });
    let uncounted = session.rows(&Statement::new(DOING, UNCOUNTED)).await?;
    let uncounted = uncounted.into_iter();
    let uncounted = uncounted.map(|row| Ok((row.parsed(0)?, row.text(1)?.to_owned())));
    Ok(Touched {
        rows: rows.collect::<Result<_>>()?,
        uncounted: uncounted.collect::<Result<_>>()?,
    })
}

fn n(v: u64) -> i64 {
    i64::try_from(v).unwrap_or(i64::MAX)
}

/// What an apply of these tables writes to the loader's own tables, where it set `queue` entries of
/// the queue.
async fn own(
    context: &Context<'_>,
    tables: &[Staged],
    queue: u64,
) -> Result<BTreeMap<u32, Counts>> {
    let audited = tables.iter().filter(|t| t.target.config.audit_changes);
    let audited = audited.map(|t| t.rows.insert + t.rows.update + t.rows.delete);
    let written = [
        ("audit_log", [n(audited.sum::<u64>() + queue), 0, 0]),
        ("validation_queue", [0, n(queue), 0]),
        ("batch_load_log", [n(tables.len() as u64), 0, 0]),
        ("loader_ledger", [1, 0, 0]),
    ];
    let oids = written.map(|(table, _)| {
        let name = context.origin.own_table(table).to_string();
        format!("{}::pg_catalog.regclass::pg_catalog.oid", Literal(&name))
    });
    let sql = format!("SELECT {}", oids.join(", "));
    let row = context.session.row(&Statement::new(DOING, sql)).await?;
    let mut own = BTreeMap::new();
    for (i, (_, counts)) in written.into_iter().enumerate() {
        own.insert(row.parsed(i)?, counts);
    }
    Ok(own)
}

/// Rows that nobody planned must not be touched. It is asked last of all, when triggers on the
/// loader's own tables have run too; `queue` entries of the queue were set.
pub(super) async fn check_side_effects(
    context: &Context<'_>,
    tables: &[Staged],
    queue: u64,
    before: &Touched,
) -> Result<()> {
    let mut planned = own(context, tables, queue).await?;
    let mut allowed: Vec<&str> = Vec::new();
    for table in tables {
        let rows = &table.rows;
        let sum = planned.entry(table.target.table.oid).or_default();
        sum[0] += n(rows.insert);
        sum[1] += n(rows.update + rows.mark);
        sum[2] += n(rows.delete - rows.mark);
        allowed.extend(
            table
                .target
                .config
                .allow_side_effects
                .iter()
                .map(String::as_str),
        );
    }
    let is_allowed = |name: &str| allowed.iter().any(|a| *a == name || *a == bare(name));
    let after = touched(context.session).await?;
    for (oid, (name, counts)) in &after.rows {
        let was = before.rows.get(oid).map_or([0; 3], |(_, counts)| *counts);
        let now = [counts[0] - was[0], counts[1] - was[1], counts[2] - was[2]];
        let meant = planned.get(oid).copied().unwrap_or_default();
        // An update that moves a row to another partition counts as a delete and an insert.
        let moved = (now[0] - meant[0]).min(now[2] - meant[2]).max(0);
        if [now[0] - moved, now[1] + moved, now[2] - moved] == meant || now == meant {
            continue;
        }
        if !is_allowed(name) {
            let extra = (0..3).map(|i| (now[i] - meant[i]).abs()).sum::<i64>();
            let plural = if extra == 1 { "" } else { "s" };
            return Err(unplanned(&format!("change {extra} row{plural}"), name));
        }
    }
    let uncounted = after.uncounted.iter();
    let mut uncounted = uncounted.filter(|(oid, _)| !before.uncounted.contains_key(oid));
    match uncounted.find(|(_, name)| !is_allowed(name)) {
        Some((_, name)) => Err(unplanned("empty, redefine or write, uncounted, rows", name)),
        None => Ok(()),
    }
}

/// The name without its schema.
fn bare(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name).trim_matches('"')
}

fn unplanned(what: &str, name: &str) -> Error {
    Error::blocked(format!(
        "applying this plan would also {what} of table {name} that the plan does not mention \
         (a trigger or a foreign key's ON DELETE or ON UPDATE action): nothing was written; \
         if that is meant, add {} to allow_side_effects in tables.yaml and make a new plan",
        bare(name)
    ))
}
