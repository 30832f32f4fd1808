//! Drift: what of the database no longer agrees with a staged plan, row by row, and who changed it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Result;
use crate::pg::Session;
use crate::pg::apply::staged::{Planned, record_id};
use crate::plan::{DriftColumn, DriftReport, DriftRow, DriftState, Values, What};
use crate::planfile::{Executable, Item};
use crate::sql::ident::{Ident, Literal, Qualified};
use crate::table::schema::Column;

/// Why row `t` of the table is not what the staged row `s` expects, as SQL: null where it is.
/// `row` and `digest` are SQL for the row's table, null where there is no row, and its digest.
pub fn state_sql(s: &str, row: &str, digest: &str) -> String {
    format!(
        "CASE WHEN {row} IS NULL THEN CASE WHEN {s}._a NOT IN ('i', 'm') THEN 'vanished' END \
           WHEN {s}._a IN ('i', 'm') THEN 'appeared' \
           WHEN {s}._a <> 'p' AND {digest} IS DISTINCT FROM {s}._expect THEN 'changed' END"
    )
}

impl Planned {
    /// The SQL of all staged rows of which the database is not as planned, with the state.
    ///
    /// Where deletes only mark rows, a key may find marked rows beside the live one; the planned
    /// row is the one with the expected digest, and no other live row may stand beside it.
    fn drift_sql(&self, select: &str, actions: &str) -> String {
        let (stage, table, equal, digest) = (
            self.sql_name(),
            &self.table.name,
            self.keys_equal(),
            self.digest(),
        );
        match self.config.soft_delete.column() {
            None => format!(
                "SELECT {select} FROM (SELECT s.*, t.tableoid AS _row, {} AS _state \
                 FROM {stage} s LEFT JOIN {table} t ON {equal} WHERE s._a IN ({actions})) s \
                 WHERE s._state IS NOT NULL",
                state_sql("s", "t.tableoid", &digest)
            ),
            Some(mark) => format!(
                "SELECT {select} FROM (SELECT s.*, CASE \
                   WHEN f.found = 0 THEN CASE WHEN s._a NOT IN ('i', 'm') THEN 'vanished' END \
                   WHEN s._a IN ('i', 'm') THEN 'appeared' \
                   WHEN s._a <> 'p' AND (f.same <> 1 OR f.live_others > 0) THEN 'changed' END AS _state \
                 FROM {stage} s, LATERAL (SELECT pg_catalog.count(*) AS found, \
                   pg_catalog.count(*) FILTER (WHERE {digest} = s._expect) AS same, \
                   pg_catalog.count(*) FILTER (WHERE {digest} <> s._expect AND t.{mark} IS NULL) AS live_others \
                   FROM {table} t WHERE {equal}) f WHERE s._a IN ({actions})) s \
                 WHERE s._state IS NOT NULL",
                mark = Ident(mark)
            ),
        }
    }

    /// How many staged rows with one of `actions` (SQL list) are not as planned.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn count_drift(&self, session: &Session, actions: &str) -> Result<i64> {
        let doing = format!("comparing table {} with the plan", self.name);
        let sql = self.drift_sql("pg_catalog.count(*)", actions);
        session.number(&doing, &sql).await
    }
}

/// What is expected of rows, in every way.
const ALL: &str = "'i', 'u', 'd', 's', 'p', 'm'";
/// At most this many drifted rows of a table are named; the rest is counted.
const NAMED: usize = 10_000;

/// Every staged row that is not as planned, or `None` where all are.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database), [`PlanRefused`](crate::ErrorKind::PlanRefused).
pub async fn drift(
    session: &Session,
    plan: &Arc<Executable>,
    tables: &[Planned],
) -> Result<Option<DriftReport>> {
    let mut found: BTreeMap<u64, DriftRow> = BTreeMap::new();
    let mut more = 0;
    for planned in tables {
        let doing = format!("finding out what changed in table {}", planned.name);
        let sql = planned.drift_sql("s._n, s._state, s._a", ALL);
        let sql = format!("{sql} ORDER BY s._n LIMIT {NAMED}");
        let rows = session.texts(&doing, &sql).await?;
        if rows.len() >= NAMED {
            let all = u64::try_from(planned.count_drift(session, ALL).await?).unwrap_or_default();
            more += all.saturating_sub(rows.len() as u64);
        }
        for row in rows {
            let text = |i: usize| row[i].as_deref().unwrap_or_default();
            let state = match text(1) {
                "vanished" => DriftState::Vanished,
                "appeared" => DriftState::Appeared,
                _ => DriftState::Changed,
            };
            let action = match text(2) {
                "i" => "insert",
                "u" => "update",
                "d" => "delete",
                _ => "skip",
            };
            let n = text(0).parse().unwrap_or_default();
            found.insert(
                n,
                DriftRow {
                    table: planned.name.clone(),
                    key: Values::new(),
                    state,
                    action: action.into(),
                    columns: Vec::new(),
                    by: None,
                },
            );
        }
    }
    if found.is_empty() {
        return Ok(None);
    }
    recall(plan, &mut found)?;
    for (n, row) in &mut found {
        if let Some(planned) = tables.iter().find(|p| p.name == row.table) {
            look_up(
                session,
                &plan.plan().header.target.loader_schema,
                planned,
                *n,
                row,
            )
            .await?;
        }
    }
    let mut report = DriftReport {
        rows: found.into_values().collect(),
        more,
    };
    plan.plan().mask().drift(&mut report);
    Ok(Some(report))
}

/// Fills in keys and planned values from the plan file.
fn recall(plan: &Arc<Executable>, found: &mut BTreeMap<u64, DriftRow>) -> Result<()> {
    let mut n = 0;
    plan.plan().stream(&mut |item| {
        let Item::Entry(entry) = item else {
            return Ok(());
        };
        n += 1;
        let Some(row) = found.get_mut(&n) else {
            return Ok(());
        };
        let mut planned = |column: String, from, to| {
            row.columns.push(DriftColumn {
                column,
                planned_from: from,
                now: None,
                planned_to: to,
            });
        };
        match entry.what {
            What::Insert { values, .. } => {
                values
                    .into_iter()
                    .for_each(|(c, v)| planned(c, None, Some(v)));
            }
            What::Update { set, .. } => {
                set.into_iter()
                    .for_each(|(c, (old, new))| planned(c, Some(old), Some(new)));
            }
            What::Delete { values, .. } => {
                values
                    .into_iter()
                    .for_each(|(c, v)| planned(c, Some(v), None));
            }
            What::Skip(_) | What::Violation(_) => {}
        }
        row.key = entry.key;
        Ok(())
    })
}

/// Fills in what is there now, and who changed it. Columns that are as the plan saw them are left out.
async fn look_up(
    session: &Session,
    loader_schema: &str,
    planned: &Planned,
    n: u64,
    row: &mut DriftRow,
) -> Result<()> {
    let doing = format!("finding out what changed in table {}", planned.name);
    let key = planned.key();
    let record_id = record_id(&key, "t");
    let columns: Vec<&Column> = row
        .columns
        .iter()
        .filter_map(|c| planned.table.column(&c.column))
        .collect();
    let mut select = vec![record_id];
    select.extend(columns.iter().map(|c| c.text("t")));
    let order = match planned.config.soft_delete.column() {
        Some(mark) => format!("t.{} IS NULL DESC", Ident(mark)),
        None => "1".into(),
    };
    let sql = format!(
        "SELECT {} FROM {} s JOIN {} t ON {} WHERE s._n = {n} ORDER BY {order} LIMIT 1",
        select.join(", "),
        planned.sql_name(),
        planned.table.name,
        planned.keys_equal()
    );
    let now = session.texts(&doing, &sql).await?.into_iter().next();
    let staged_id = match &now {
        Some(values) => values[0].clone(),
        None => {
            let values: Vec<&str> = planned
                .config
                .natural_key
                .iter()
                .filter_map(|k| row.key.get(k)?.as_deref())
                .collect();
            Some(match values.as_slice() {
                [one] => (*one).to_owned(),
                several => serde_json::to_string(several).unwrap_or_default(),
            })
        }
    };
    match now {
        Some(values) => {
            for (column, value) in row.columns.iter_mut().zip(values.into_iter().skip(1)) {
                column.now = value;
            }
            row.columns
                .retain(|c| c.planned_from.as_ref() != Some(&c.now));
            if row.state == DriftState::Appeared {
                row.columns
                    .retain(|c| c.planned_to.as_ref() != Some(&c.now));
            }
        }
        None => row.columns.clear(),
    }
    // Only who brought the row to its present state is to be named, not who changed it before.
    let same = match row.state {
        DriftState::Vanished => "a.operation = 'DELETE'".to_owned(),
        DriftState::Changed | DriftState::Appeared => format!(
            "a.new_values = (SELECT {} FROM {} s JOIN {} t ON {} WHERE s._n = {n} ORDER BY {order} LIMIT 1)",
            planned.table.image("t"),
            planned.sql_name(),
            planned.table.name,
            planned.keys_equal()
        ),
    };
    let sql = format!(
        "SELECT coalesce(a.changed_by, '?') || ' at ' || coalesce(a.changed_at::text, '?') || \
         coalesce(' (batch ' || a.batch_id || ')', '') FROM (SELECT * FROM {}.audit_log \
         WHERE table_name = {} AND record_id = {} ORDER BY id DESC LIMIT 1) a WHERE {same}",
        Ident(loader_schema),
        Literal(&planned.name),
        Literal(&staged_id.unwrap_or_default()),
    );
    // The planning role may not read the audit log; then nobody is named.
    if readable(session, loader_schema, "audit_log").await? {
        row.by = session
            .texts(&doing, &sql)
            .await?
            .into_iter()
            .flatten()
            .next()
            .flatten();
    }
    Ok(())
}

async fn readable(session: &Session, schema: &str, table: &str) -> Result<bool> {
    let name = Qualified {
        schema: schema.into(),
        name: table.into(),
    };
    let sql = format!(
        "SELECT pg_catalog.has_table_privilege({}, 'SELECT')::int4::int8",
        Literal(&name.to_string())
    );
    Ok(session.number("asking for privileges", &sql).await? == 1)
}
