//! Rows that nobody planned: what triggers and foreign-key actions touched beside the plan.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::apply::staged::Staged;
use crate::sql::Statement;

/// Rows inserted, updated and deleted.
type Counts = [i64; 3];

/// What this transaction has touched so far, by table.
pub(super) type Touched = BTreeMap<u32, (String, Counts)>;

/// Partitions count for the table they are of.
const TOUCHED: &str = "\
    SELECT c.oid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), \
      pg_catalog.sum(s.n_tup_ins), pg_catalog.sum(s.n_tup_upd), pg_catalog.sum(s.n_tup_del) \
    FROM pg_catalog.pg_stat_xact_user_tables s \
    JOIN pg_catalog.pg_class c ON c.oid = coalesce(pg_catalog.pg_partition_root(s.relid), s.relid) \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.oid <> pg_catalog.pg_my_temp_schema() \
    GROUP BY 1, 2 HAVING pg_catalog.sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del) > 0";

/// Rows inserted, updated and deleted so far by this transaction.
pub(super) async fn touched(session: &Session) -> Result<Touched> {
    let touched = Statement::new("counting the rows touched", TOUCHED);
    let rows = session.rows(&touched).await?.into_iter().map(|row| {
        let counts = [row.parsed(2)?, row.parsed(3)?, row.parsed(4)?];
        Ok((row.parsed(0)?, (row.text(1)?.to_owned(), counts)))
    });
    rows.collect()
}

/// Rows that nobody planned must not be touched.
pub(super) async fn check_side_effects(
    session: &Session,
    tables: &[Staged],
    before: &Touched,
) -> Result<()> {
    let mut planned: BTreeMap<u32, Counts> = BTreeMap::new();
    let mut allowed: Vec<&str> = Vec::new();
    for table in tables {
        let n = |v: u64| i64::try_from(v).unwrap_or(i64::MAX);
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
    for (oid, (name, counts)) in touched(session).await? {
        let was = before.get(&oid).map_or([0; 3], |(_, counts)| *counts);
        let now = [counts[0] - was[0], counts[1] - was[1], counts[2] - was[2]];
        let meant = planned.get(&oid).copied().unwrap_or_default();
        // An update that moves a row to another partition counts as a delete and an insert.
        let moved = (now[0] - meant[0]).min(now[2] - meant[2]).max(0);
        if [now[0] - moved, now[1] + moved, now[2] - moved] == meant || now == meant {
            continue;
        }
        let bare = name.rsplit('.').next().unwrap_or(&name).trim_matches('"');
        if allowed.iter().any(|a| *a == name || *a == bare) {
            continue;
        }
        let extra = (0..3).map(|i| (now[i] - meant[i]).abs()).sum::<i64>();
        return Err(Error::blocked(format!(
            "applying this plan would also change {extra} row{} of table {name} that the plan does not mention \
             (a trigger or a foreign key's ON DELETE or ON UPDATE action): nothing was written; \
             if that is meant, add {bare} to allow_side_effects in tables.yaml and make a new plan",
            if extra == 1 { "" } else { "s" }
        )));
    }
    Ok(())
}
