//! Rows that nobody planned: what triggers and foreign-key actions touched beside the plan.
//!
//! The server counts the rows that a transaction touches, table by table. What it does not count is
//! seen by the locks that our own server process holds: a foreign table's, and those of TRUNCATE
//! and of changed definitions.

pub(super) mod cascades;

use crate::pg::own::Own;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::apply::origin::Origin;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::write::Context;
use crate::pg::session::TextRow;
use crate::sql::{Literal, Qualified, Statement, Values, list};
use crate::text::escape;

/// Rows inserted, updated and deleted.
type Counts = [i64; 3];

/// What this transaction has touched so far.
pub(super) struct Touched {
    /// Rows, by table.
    rows: BTreeMap<u32, (Qualified, Counts)>,
    /// Tables that may have been emptied or redefined, or whose rows are not counted.
    uncounted: BTreeMap<u32, Qualified>,
}

/// What it had touched before it wrote.
pub(super) struct Before {
    touched: Touched,
    /// The tables and views that there were, where some may change beside the plan: to refresh a materialized view
    /// makes a table and drops it again.
    there: BTreeSet<u32>,
}

const DOING: &str = "counting the rows touched";

/// The table, as SQL, for which the rows of the table `oid` count: the topmost of those that it is a
/// partition of, or inherits from.
fn topmost(oid: &str) -> String {
    format!(
        "(WITH RECURSIVE up(oid, depth) AS (SELECT {oid}, 0 UNION ALL SELECT i.inhparent, up.depth + 1 FROM up \
           JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.oid AND i.inhseqno = 1) \
         SELECT up.oid FROM up ORDER BY up.depth DESC LIMIT 1)"
    )
}

/// The catalogs that change with temporary tables and their statistics, and when a materialized view is refreshed.
const OF_TEMPORARY: [&str; 11] = [
    "pg_attrdef",
    "pg_attribute",
    "pg_class",
    "pg_constraint",
    "pg_depend",
    "pg_index",
    "pg_namespace",
    "pg_sequence",
    "pg_shdepend",
    "pg_statistic",
    "pg_type",
];

/// The rows that the transaction touched, by table: large objects, functions and roles are rows of catalogs.
pub(super) fn counted() -> Statement {
    let sql = format!(
        "SELECT c.oid, n.nspname, c.relname, \
           pg_catalog.sum(s.n_tup_ins), pg_catalog.sum(s.n_tup_upd), pg_catalog.sum(s.n_tup_del) \
         FROM pg_catalog.pg_stat_xact_all_tables s \
         JOIN pg_catalog.pg_class c ON c.oid = {} \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE s.n_tup_ins + s.n_tup_upd + s.n_tup_del > 0 AND n.oid <> pg_catalog.pg_my_temp_schema() \
           AND n.nspname !~ '^pg_toast' AND (n.nspname <> 'pg_catalog' OR c.relname NOT IN ({})) GROUP BY 1, 2, 3",
        topmost("s.relid"),
        list(OF_TEMPORARY.map(Literal))
    );
    Statement::new(DOING, sql)
}

/// The tables that it may have emptied or redefined, or whose rows are not counted: those of others, and those in
/// shards, where there are such. One that was dropped has no name any more.
pub(super) fn uncounted(has_shards: bool) -> Statement {
    let elsewhere = match has_shards {
        true => {
            // Those of which the plan changes rows are locked against others (`lock_tables`).
            "(c.relkind = 'f' OR EXISTS (SELECT FROM pg_catalog.pg_dist_partition d WHERE d.logicalrelid = c.oid) \
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks o WHERE o.pid = l.pid AND o.relation = l.relation \
                 AND o.database = l.database AND o.locktype = 'relation' AND o.mode = 'ShareRowExclusiveLock'))"
        }
        false => "c.relkind = 'f'",
    };
    let sql = format!(
        "SELECT l.relation, coalesce(n.nspname::text, '{DROPPED}'), coalesce(c.relname::text, '(dropped)') \
        FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation \
        LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted \
          AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
          AND (l.mode = 'AccessExclusiveLock' AND (c.oid IS NULL OR c.relkind IN ('r', 'p', 'f', 'm', 'v')) \
            OR l.mode IN ('RowExclusiveLock', 'ExclusiveLock') AND {elsewhere}) \
          AND n.oid IS DISTINCT FROM pg_catalog.pg_my_temp_schema()"
    );
    Statement::new(DOING, sql)
}

/// Whether the server counts.
pub(super) fn counts() -> Statement {
    Statement::new(
        DOING,
        "SELECT pg_catalog.current_setting('track_counts') = 'on'",
    )
}

/// What is there, and has been touched, before these tables are written.
///
/// # Errors
/// As [`touched`].
pub(super) async fn before(session: &Session, tables: &[Staged]) -> Result<Before> {
    let mut there = BTreeSet::new();
    if allowed(tables).next().is_some() {
        let all =
            "SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'f', 'm', 'v')";
        for row in session.rows(&Statement::new(DOING, all)).await? {
            there.insert(row.parsed(0)?);
        }
    }
    let touched = touched(session).await?;
    Ok(Before { touched, there })
}

/// The tables that may change beside the plan.
fn allowed(tables: &[Staged]) -> impl Iterator<Item = &String> {
    let configs = tables.iter().map(|t| &t.target.config);
    configs.flat_map(|config| &config.allow_side_effects)
}

/// What this transaction has touched so far.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where the server does not count.
async fn touched(session: &Session) -> Result<Touched> {
    if !session.holds(&counts()).await? {
        return Err(Error::config(
            "the server does not count the rows that are written (track_counts is off), so that what triggers and \
             foreign keys change beside the plan would not be seen: turn it on, in the server's configuration or where \
             ALTER ROLE or ALTER DATABASE turned it off",
        ));
    }
    let rows = session.rows(&counted()).await?;
    let rows = rows.into_iter().map(|row| {
        let counts = [row.parsed(3)?, row.parsed(4)?, row.parsed(5)?];
        Ok((row.parsed(0)?, (named(&row)?, counts)))
    });
    let uncounted = session.rows(&uncounted(session.has_citus)).await?;
    let uncounted = uncounted.into_iter();
    let uncounted = uncounted.map(|row| Ok((row.parsed(0)?, named(&row)?)));
    Ok(Touched {
        rows: rows.collect::<Result<_>>()?,
        uncounted: uncounted.collect::<Result<_>>()?,
    })
}

/// The table that a row names behind its oid.
fn named(row: &TextRow) -> Result<Qualified> {
    Ok(Qualified {
        schema: row.text(1)?.to_owned(),
        name: row.text(2)?.to_owned(),
    })
}

fn n(v: u64) -> i64 {
    i64::try_from(v).unwrap_or(i64::MAX)
}

/// What an apply of these tables writes, by the tables that its rows count for, where it set `queue`
/// entries of the queue; and the loader's own tables among them.
async fn planned(
    context: &Context<'_>,
    tables: &[Staged],
    queue: u64,
) -> Result<(BTreeMap<u32, Counts>, BTreeSet<u32>)> {
    let audited = tables.iter().filter(|t| t.target.config.audit_changes);
    let audited = audited.map(|t| t.rows.insert + t.rows.update + t.rows.delete);
    let own = [
        (Own::AuditLog, [n(audited.sum::<u64>() + queue), 0, 0]),
        (Own::Queue, [0, n(queue), 0]),
        (Own::LoadLog, [n(tables.len() as u64), 0, 0]),
        (Own::Ledger, [1, 0, 0]),
    ];
    let count = own.len();
    let own = own.map(|(table, counts)| (context.origin.own(table), counts));
    // What is written to shards is not counted here.
    let counted = tables.iter();
    let counted = counted.filter(|t| !t.target.table.kind.is_far());
    let loaded = counted.map(|t| {
        let (name, rows) = (t.target.table.name.clone(), &t.rows);
        let counts = [
            rows.insert,
            rows.update + rows.mark,
            rows.delete - rows.mark,
        ];
        (name, counts.map(n))
    });
    let written: Vec<_> = own.into_iter().chain(loaded).collect();
    let names: Vec<&Qualified> = written.iter().map(|(name, _)| name).collect();
    let row = context.session.row(&counted_for(&names)).await?;
    let mut planned: BTreeMap<u32, Counts> = BTreeMap::new();
    let mut loaders = BTreeSet::new();
    for (i, (_, counts)) in written.into_iter().enumerate() {
        let oid = row.parsed(i)?;
        if i < count {
            loaders.insert(oid);
        }
        let sum = planned.entry(oid).or_default();
        (0..3).for_each(|i| sum[i] += counts[i]);
    }
    Ok((planned, loaders))
}

/// The tables for which the rows of these count.
pub(super) fn counted_for(names: &[&Qualified]) -> Statement {
    let oids = names.iter().map(|name| {
        let name = name.to_string();
        topmost(&format!(
            "{}::pg_catalog.regclass::pg_catalog.oid",
            Literal(&name)
        ))
    });
    Statement::new(DOING, format!("SELECT {}", list(oids)))
}

/// Rows that nobody planned must not be touched. It is asked last of all, when triggers on the
/// loader's own tables have run too; `queue` entries of the queue were set.
pub(super) async fn check_side_effects(
    context: &Context<'_>,
    tables: &[Staged],
    queue: u64,
    Before {
        touched: before,
        there,
    }: &Before,
) -> Result<()> {
    let (planned, own) = planned(context, tables, queue).await?;
    let allowed: Vec<&String> = allowed(tables).collect();
    // Nobody but the loader writes to its own tables.
    let is_allowed = |oid: &u32, table: &Qualified| {
        !own.contains(oid) && allowed.iter().any(|name| table.is_meant_by(name))
    };
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
        if !is_allowed(oid, name) {
            let extra = (0..3).map(|i| (now[i] - meant[i]).abs()).sum::<i64>();
            let plural = if extra == 1 { "" } else { "s" };
            return Err(unplanned(&format!("change {extra} row{plural}"), name));
        }
    }
    let uncounted = after.uncounted.iter();
    let mut uncounted = uncounted.filter(|(oid, _)| !before.uncounted.contains_key(oid));
    let unplanned_one = uncounted.find(|(oid, name)| match name.schema.as_str() {
        // What this transaction made and dropped again is nobody's loss.
        DROPPED => allowed.is_empty() || there.contains(*oid),
        _ => !is_allowed(oid, name),
    });
    match unplanned_one {
        Some((_, name)) if name.schema == DROPPED => Err(Error::blocked(
            "applying this plan would also drop a table or a view (a trigger does): nothing was written; have the trigger \
             changed",
        )),
        Some((_, name)) => Err(unplanned("empty, redefine or write, uncounted, rows", name)),
        None => Ok(()),
    }
}

/// What stands in place of the schema of what was dropped.
const DROPPED: &str = "?";

fn unplanned(what: &str, table: &Qualified) -> Error {
    let (schema, name) = (escape(&table.schema), escape(&table.name));
    Error::blocked(format!(
        "applying this plan would also {what} of table {schema}.{name} that the plan does not mention \
         (a trigger or a foreign key's ON DELETE or ON UPDATE action): nothing was written; \
         if that is meant, add {name} to allow_side_effects in tables.yaml and make a new plan, which allows triggers and \
         ON UPDATE CASCADE; what other actions would change has to be deleted, or to refer to others, first"
    ))
}

/// Whether something of somebody else's runs when the loader writes its own tables: then what was
/// read back may have changed since.
pub(super) async fn is_followed(context: &Context<'_>) -> Result<bool> {
    context.session.holds(&followers(&context.origin)).await
}

/// Whether a table of the loader's own has rules or triggers.
pub(super) fn followers(origin: &Origin<'_>) -> Statement {
    let mut values = Values::default();
    let names = Own::WRITTEN.map(|table| origin.own(table).to_string());
    let sql = format!(
        "WITH RECURSIVE own(oid) AS (SELECT u.name::pg_catalog.regclass::pg_catalog.oid FROM pg_catalog.unnest({}) u(name) \
           UNION SELECT i.inhrelid FROM own JOIN pg_catalog.pg_inherits i ON i.inhparent = own.oid) \
         SELECT EXISTS (SELECT FROM own JOIN pg_catalog.pg_class c ON c.oid = own.oid WHERE c.relhasrules \
           OR EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal))",
        values.texts(names)
    );
    let doing = "looking for triggers of the loader's own tables";
    Statement::with(doing, sql, values)
}
