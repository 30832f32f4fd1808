//! Rows that nobody planned: what triggers and foreign-key actions touched beside the plan.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::apply::staged::Planned;
use crate::sql::ident::Literal;

pub(super) type Touched = BTreeMap<String, [i64; 3]>;

/// Rows inserted, updated and deleted so far by this transaction, by table; partitions count for
/// the table they are of.
pub(super) async fn touched(session: &Session) -> Result<Touched> {
    let sql = "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), \
         pg_catalog.sum(s.n_tup_ins), pg_catalog.sum(s.n_tup_upd), pg_catalog.sum(s.n_tup_del) \
         FROM pg_catalog.pg_stat_xact_user_tables s \
         JOIN pg_catalog.pg_class c ON c.oid = coalesce(pg_catalog.pg_partition_root(s.relid), s.relid) \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.oid <> pg_catalog.pg_my_temp_schema() \
         GROUP BY 1 HAVING pg_catalog.sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del) > 0";
    let rows = session.texts("counting the rows touched", sql).await?;
    let number = |v: &Option<String>| v.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0);
    Ok(rows
        .into_iter()
        .filter_map(|r| Some((r[0].clone()?, [number(&r[1]), number(&r[2]), number(&r[3])])))
        .collect())
}

/// Rows that nobody planned must not be touched.
pub(super) async fn check_side_effects(
    session: &Session,
    tables: &[Planned],
    before: &Touched,
) -> Result<()> {
    let sql = |t: &Planned| {
        format!(
            "SELECT pg_catalog.quote_ident({}) || '.' || pg_catalog.quote_ident({})",
            Literal(&t.table.name.schema),
            Literal(&t.table.name.name)
        )
    };
    let mut planned: BTreeMap<String, [i64; 3]> = BTreeMap::new();
    let mut allowed: Vec<&str> = Vec::new();
    for t in tables {
        let name = session.texts("counting the rows touched", &sql(t)).await?;
        let name = name
            .into_iter()
            .flatten()
            .flatten()
            .next()
            .unwrap_or_default();
        let soft = match t.config.soft_delete.column() {
            Some(_) => soft_deletes(session, t).await?,
            None => 0,
        };
        let n = |v: u64| i64::try_from(v).unwrap_or(i64::MAX);
        let sum = planned.entry(name).or_default();
        sum[0] += n(t.staged.insert);
        sum[1] += n(t.staged.update) + soft;
        sum[2] += n(t.staged.delete) - soft;
        allowed.extend(t.config.allow_side_effects.iter().map(String::as_str));
    }
    let after = touched(session).await?;
    for (name, counts) in after {
        let was = before.get(&name).copied().unwrap_or_default();
        let now = [counts[0] - was[0], counts[1] - was[1], counts[2] - was[2]];
        let meant = planned.get(&name).copied().unwrap_or_default();
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

async fn soft_deletes(session: &Session, t: &Planned) -> Result<i64> {
    let sql = format!(
        "SELECT pg_catalog.count(*) FROM {} s WHERE s._a = 'd' AND s._soft",
        t.sql_name()
    );
    session.number("counting the rows touched", &sql).await
}
