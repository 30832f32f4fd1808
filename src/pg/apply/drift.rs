//! Drift: what of the database no longer agrees with a staged plan, row by row, and who changed it.

pub(super) mod look_up;

use crate::pg::own::Own;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Result;
use crate::pg::Session;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::{self, ABSENT, Fate, Fates};
use crate::pg::apply::{queued, references};
use crate::pg::beside;
use crate::plan::drift::NAMED;
use crate::plan::{DriftColumn, DriftReport, DriftRow, DriftState, Value, Values, What};
use crate::planfile::{Executable, Item};
use crate::sql::{Literal, Statement};
use crate::table::schema::Column;

/// Of so many rows at once is asked what they are now: their values are in memory meanwhile.
const AT_ONCE: usize = 1_000;

/// Whose expectations are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pg) enum Expected {
    /// All staged entries'.
    All,
    /// Those of entries that change no row which is there.
    Unwritten,
}

impl Expected {
    fn fates(self) -> Fates {
        match self {
            Expected::All => fate::ALL,
            Expected::Unwritten => fate::UNWRITTEN,
        }
    }
}

/// Why the table is not what the staged row `s` expects, as SQL: null where it is. `absent` is that it
/// has no row, `differs` that the one it has is another than expected.
pub(in crate::pg) fn state(s: &str, absent: &str, differs: &str) -> String {
    format!(
        "CASE WHEN {absent} THEN CASE WHEN {s}._a NOT IN ({ABSENT}) THEN 'vanished' END \
           WHEN {s}._a IN ({ABSENT}) THEN 'appeared' \
           WHEN {s}._a <> {present} AND {differs} THEN 'changed' END",
        present = Fate::Present,
    )
}

impl Staged {
    pub(super) fn doing_compare(&self) -> String {
        format!("comparing table {} with the plan", self.target.name)
    }

    fn doing_find_out(&self) -> String {
        format!("finding out what changed in table {}", self.target.name)
    }

    /// The condition that a row is another than the entry `s` expects, by its digest and by the values that the entry
    /// overwrites in columns whose drift does not matter otherwise; `text` gives a column's text, by its place in digests.
    pub(super) fn is_another(
        &self,
        s: &str,
        digest: &str,
        text: impl Fn(usize, &Column) -> String,
    ) -> String {
        let ignored = &self.target.config.ignore_drift;
        let columns = self.target.table.counted(&[]).enumerate();
        let written =
            columns.filter(|(_, c)| ignored.contains(&c.name) && self.columns.contains(&c.name));
        let overwrites = written.map(|(at, c)| {
            let name = Literal(&c.name);
            format!(
                "{s}._old OPERATOR(pg_catalog.?) {name} AND ({s}._old OPERATOR(pg_catalog.->>) {name}) IS DISTINCT FROM {}",
                text(at, c)
            )
        });
        let differs = format!("{digest} IS DISTINCT FROM {s}._expect");
        let all: Vec<String> = std::iter::once(differs).chain(overwrites).collect();
        match all.as_slice() {
            [one] => one.clone(),
            several => format!("({})", several.join(" OR ")),
        }
    }

    /// For `FROM`: all staged rows `s` of which the database is not as planned, with the state.
    ///
    /// Where deletes only mark rows, a key may find marked rows beside the live one; the planned
    /// row is the one with the expected digest, and no other live row may stand beside it.
    fn drifted(&self, expected: Expected) -> String {
        let rows = self.beside();
        let is_another = self.is_another("s", &self.digest(), |_, c| c.text("t"));
        let asked = format!("s._a IN ({})", expected.fates());
        let compared = if self.target.mark().is_none() {
            format!(
                "SELECT s.*, {} AS _state FROM {} WHERE {asked}",
                state("s", beside::ABSENT, &is_another),
                rows.each()
            )
        } else {
            let found = format!(
                "pg_catalog.count(*) FILTER (WHERE ({is_another}) IS NOT TRUE) AS same, \
                 pg_catalog.count(*) FILTER (WHERE {is_another} AND {live}) AS live_others",
                live = rows.live()
            );
            format!(
                "SELECT s.*, {} AS _state FROM {} WHERE {asked}",
                state("s", "f._n IS NULL", "(f.same <> 1 OR f.live_others > 0)"),
                rows.summed(&found, &asked),
            )
        };
        format!("({compared}) s WHERE s._state IS NOT NULL")
    }

    /// How many staged rows are not as planned.
    pub(in crate::pg) fn count_drift(&self, expected: Expected) -> Statement {
        let sql = format!("SELECT pg_catalog.count(*) FROM {}", self.drifted(expected));
        Statement::new(self.doing_compare(), sql)
    }

    /// The first staged rows that are not as planned: number, state and action.
    pub(in crate::pg) fn name_drift(&self) -> Statement {
        let sql = format!(
            "SELECT s._n, s._state, s._a FROM {} ORDER BY s._n LIMIT {NAMED}",
            self.drifted(Expected::All)
        );
        Statement::new(self.doing_find_out(), sql)
    }
}

/// Every staged row that is not as planned, or `None` where all are.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database), [`PlanRefused`](crate::ErrorKind::PlanRefused).
pub async fn drift(
    session: &Session,
    plan: &Arc<Executable>,
    tables: &[Staged],
) -> Result<Option<DriftReport>> {
    let mut found: BTreeMap<u64, (&Staged, DriftRow)> = BTreeMap::new();
    let mut more = 0;
    for staged in tables {
        staged.beside().near().bring(session).await?;
        let rows = session.rows(&staged.name_drift()).await?;
        if rows.len() >= NAMED {
            let all = session.count(&staged.count_drift(Expected::All)).await?;
            more += all.saturating_sub(rows.len() as u64);
        }
        for row in rows {
            let state = match row.text(1)? {
                "vanished" => DriftState::Vanished,
                "appeared" => DriftState::Appeared,
                _ => DriftState::Changed,
            };
            let drifted = DriftRow {
                table: staged.target.name.clone(),
                key: Values::new(),
                state,
                action: Fate::of_letter(row.text(2)?).map(Fate::action),
                columns: Vec::new(),
                by: None,
            };
            found.insert(row.parsed(0)?, (staged, drifted));
        }
    }
    let header = &plan.plan().header;
    let schema = &header.target.loader_schema;
    let mut rows = queued::drift(session, header).await?;
    rows.extend(references::renamed(session, tables, &plan.plan().mask()).await?);
    if found.is_empty() && rows.is_empty() {
        return Ok(None);
    }
    recall(plan, &mut found)?;
    let audit_log = Own::AuditLog.within(schema);
    // The planning role may not read the audit log; then nobody is named.
    let is_readable = session.holds(&look_up::is_readable(&audit_log)).await?;
    let audit_log = is_readable.then_some(&audit_log);
    for staged in tables {
        let of_table = found.iter_mut();
        let of_table = of_table.filter(|(_, (of, _))| std::ptr::eq(*of, staged));
        let mut of_table = of_table.map(|(n, (_, row))| (*n, row));
        loop {
            let mut rows: BTreeMap<u64, &mut DriftRow> = of_table.by_ref().take(AT_ONCE).collect();
            if rows.is_empty() {
                break;
            }
            staged.look_up(session, audit_log, &mut rows).await?;
        }
    }
    rows.extend(found.into_values().map(|(_, row)| row));
    let mut report = DriftReport {
        kind: plan.plan().header.kind,
        rows,
        more,
    };
    plan.plan().mask().drift(&mut report);
    Ok(Some(report))
}

/// Fills in keys and planned values from the plan file.
fn recall(plan: &Arc<Executable>, found: &mut BTreeMap<u64, (&Staged, DriftRow)>) -> Result<()> {
    let mut n = 0;
    plan.plan().stream(&mut |item| {
        let Item::Entry(entry) = item else {
            return Ok(());
        };
        n += 1;
        let Some((_, row)) = found.get_mut(&n) else {
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
        let text = |value: &Value| value.words().map(std::borrow::Cow::into_owned);
        let stored = |value: &Value| value.stored().ok()?.map(str::to_owned);
        match entry.what {
            What::Insert { values } => {
                values
                    .into_iter()
                    .for_each(|(c, v)| planned(c, None, Some(text(&v))));
            }
            What::Update { set, .. } => {
                set.into_iter()
                    .for_each(|(c, (old, new))| planned(c, Some(stored(&old)), Some(text(&new))));
            }
            What::Delete { values, .. } => {
                values
                    .into_iter()
                    .for_each(|(c, v)| planned(c, Some(text(&v)), None));
            }
            What::Skip(_) | What::Violation(_) => {}
        }
        row.key = entry.key;
        Ok(())
    })
}
