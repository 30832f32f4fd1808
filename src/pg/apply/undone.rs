//! A rollback takes back what it says: all changes of its applications that are still to be undone, or of
//! some applications a part, and nothing else.

use crate::pg::own::Own;
use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::pg::Session;
use crate::pg::apply::origin::Origin;
use crate::pg::apply::preconditions::TakenBack;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::{Fate, Fates};
use crate::pg::apply::write::Context;
use crate::pg::audit::ON_ROWS;
use crate::pg::ledger::{self, Application, UndoneRows};
use crate::plan::Header;
use crate::sql::{Literal, Qualified, Statement, Values, all, any};
use crate::table::row::{keys_equal, record_id};
use crate::table::schema::Column;
use crate::table::target::Target;

const DOING: &str = "comparing the rollback with the audit log";

/// Those of rows that are taken back.
const TAKEN_BACK: Fates = Fates(&[Fate::Insert, Fate::Update, Fate::Delete]);
/// Those of rows that a rollback of everything names: some need no change.
const NAMED: Fates = Fates(&[Fate::Insert, Fate::Update, Fate::Delete, Fate::Unchanged]);

/// That the plan's entries are the rows which the applications changed that it takes back.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) where they are not.
pub async fn check(
    session: &Session,
    loader_schema: &str,
    header: &Header,
    tables: &[Staged],
    of: &TakenBack,
) -> Result<()> {
    let (taken_back, undone) = (&of.applications, &of.undone);
    if taken_back.is_empty() {
        return Ok(());
    }
    let audit_log = Own::AuditLog.within(loader_schema);
    let refused = |what: String| {
        Err(Error::plan_refused(format!(
            "the plan says that it takes back {}, and {what}: it was not made by the loader, or rows were undone since; \
             make a new one",
            taken_back.join(", ")
        )))
    };
    let is_whole = header.undoes_in_part.is_empty();
    let others = unlike(&audit_log, tables, is_whole, (taken_back, undone));
    let others = session.rows(&others).await?;
    if let Some(first) = others.first() {
        let table = first.text(0)?;
        if !tables.iter().any(|t| t.target.name == table) {
            return refused(format!(
                "has nothing for table {}, which was changed",
                crate::text::escape(table)
            ));
        }
        let mut named = Vec::new();
        for other in &others {
            if other.text(0)? == table {
                named.push(session.name_row(table, other.text(1)?));
            }
        }
        return refused(format!(
            "its entries for {} are not the rows that were changed there, for example {}",
            crate::text::escape(table),
            named.join(", ")
        ));
    }
    if is_whole {
        return Ok(());
    }
    let mut taken: BTreeMap<String, u64> = BTreeMap::new();
    for staged in tables {
        let count = staged.count_taken_back(&audit_log, taken_back, undone);
        for (id, rows) in ledger::counts(session, &count).await? {
            *taken.entry(id).or_default() += rows;
        }
    }
    let remaining = undone.remaining(session, loader_schema, taken_back).await?;
    for id in taken_back {
        let is_all = taken.get(id) == remaining.get(id) && !of.unaudited.contains(id);
        if is_all && header.undoes_in_part.contains(id) {
            return Err(Error::plan_refused(format!(
                "the plan says that it takes rows of {id} back and leaves others, and it takes all that are left: the others \
                 were taken back since, or it was not made by the loader; nothing was written; make a new one"
            )));
        }
        if is_all == header.undoes_in_part.contains(id) {
            let (said, is) = if is_all {
                ("in part", "as a whole")
            } else {
                ("as a whole", "in part")
            };
            return refused(format!("{id} {said}, and does so {is}"));
        }
    }
    Ok(())
}

/// That the rows which are taken back are now what they were before the applications: nobody sees what a plan leaves
/// out. Tables in shards are not asked.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) naming rows that are not.
pub(super) async fn is_restored(
    context: &Context<'_>,
    tables: &[Staged],
    of: &TakenBack,
) -> Result<()> {
    if of.applications.is_empty() || tables.is_empty() {
        return Ok(());
    }
    let session = context.session;
    let rows = session
        .rows(&restored_otherwise(&context.origin, tables, of))
        .await?;
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let table = first.text(0)?;
    let of_table = rows
        .iter()
        .filter(|row| row.text(0).is_ok_and(|t| t == table));
    let named = of_table.map(|row| Ok(session.name_row(table, row.text(1)?)));
    let named: Vec<String> = named.collect::<Result<_>>()?;
    Err(Error::plan_refused(format!(
        "the plan takes back {}, and does not make rows of {} what they were before, for example {}: it was not made by \
         the loader; nothing was written; make a new one",
        of.applications.join(", "),
        crate::text::escape(table),
        named.join(", ")
    )))
}

/// Some rows, by table and the audit log's name, that are taken back and are not what the audit log has of before.
pub(in crate::pg) fn restored_otherwise(
    origin: &Origin<'_>,
    tables: &[Staged],
    of: &TakenBack,
) -> Statement {
    let mut values = Values::default();
    let audit_log = origin.own(Own::AuditLog);
    let ours = of_rows(&audit_log, &of.applications, &of.undone, &mut values);
    // One application changes a row once.
    let (only, order) = match of.applications.as_slice() {
        [_] => ("", ""),
        _ => (
            "DISTINCT ON (a.table_name, a.record_id) ",
            " ORDER BY a.table_name, a.record_id, a.id",
        ),
    };
    let types = |staged: &Staged| of.types.get(&staged.target.name);
    let differs = |staged: &Staged| {
        let now = |c: &Column| format!("(n.new_values ->> {})", Literal(&c.name));
        let differs = staged.differs(types(staged), now);
        format!("WHEN {} THEN {differs}", Literal(&staged.target.name))
    };
    let differs: Vec<String> = tables.iter().map(differs).collect();
    let written = format!(
        "SELECT f.table_name, f.record_id FROM first f \
           JOIN {audit_log} n ON n.table_name = f.table_name AND n.record_id = f.record_id \
         WHERE n.application = {attempt}::uuid AND n.{ON_ROWS} AND CASE WHEN f.old_values IS NULL \
           THEN n.operation <> 'DELETE' ELSE n.operation = 'DELETE' OR f.old_values IS DISTINCT FROM n.new_values \
             AND CASE f.table_name {} END END",
        differs.join(" "),
        attempt = values.text(origin.application),
    );
    // Those in shards were copied when they were read back.
    let unchanged = tables.iter().filter(|t| t.rows.skip > 0);
    let unchanged = unchanged.map(|staged| staged.not_as_before(types(staged)));
    let each: Vec<String> = [written].into_iter().chain(unchanged).collect();
    let sql = format!(
        "WITH first AS (SELECT {only}a.table_name, a.record_id, a.old_values FROM {audit_log} a WHERE {ours}{order}) \
         SELECT x.table_name, x.record_id FROM ({}) x ORDER BY 1, 2 LIMIT 5",
        each.join(" UNION ALL ")
    );
    Statement::with(DOING, sql, values).at_once()
}

/// That no later load in effect changed the rows which are taken back and are as planned: what it did would be gone, and
/// it would still count as loaded.
///
/// # Errors
/// [`Drift`](crate::ErrorKind::Drift) naming such rows.
pub async fn not_reloaded(
    session: &Session,
    loader_schema: &str,
    tables: &[Staged],
    of: &TakenBack,
) -> Result<()> {
    if of.later.is_empty() {
        return Ok(());
    }
    let audit_log = Own::AuditLog.within(loader_schema);
    let Some(reloaded) = reloaded(&audit_log, tables, of) else {
        return Ok(());
    };
    let rows = session.rows(&reloaded).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let named = rows.iter().map(|row| {
        let (table, id) = (row.text(0)?, row.text(1)?);
        let row = session.name_row(table, id);
        Ok(format!("{} {row}", crate::text::escape(table)))
    });
    let named: Vec<String> = named.collect::<Result<_>>()?;
    Err(Error::blocked(format!(
        "later loads changed rows that the plan takes back, and left them as they had been, for example {}; nothing was \
         written; make a new plan",
        named.join(", ")
    ))
    .with_kind(ErrorKind::Drift)
    .with_remedy(Remedy::KeepEdited))
}

/// Some rows, by table and the audit log's name, that later loads changed.
pub(in crate::pg) fn reloaded(
    audit_log: &Qualified,
    tables: &[Staged],
    of: &TakenBack,
) -> Option<Statement> {
    let mut values = Values::default();
    let ours = of_rows(audit_log, &of.applications, &of.undone, &mut values);
    let loads: Vec<&Application> = of.later.iter().collect();
    let later = tables.iter().filter_map(|staged| {
        let target = &staged.target;
        let changes = ledger::changes(&loads, target, audit_log, &of.later_undone, &mut values)?;
        let table = Literal(&target.name);
        Some(format!(
            "SELECT {table} AS table_name, x.record_id, x.id FROM ({changes}) x"
        ))
    });
    let later: Vec<String> = later.collect();
    if later.is_empty() {
        return None;
    }
    let sql = format!(
        "WITH ours AS (SELECT a.table_name, a.record_id, pg_catalog.min(a.id) AS first FROM {audit_log} a WHERE {ours} GROUP BY 1, 2), \
         planned AS ({planned}), \
         later AS ({later}) \
         SELECT DISTINCT l.table_name, l.record_id FROM ours o \
           JOIN planned p ON p.record_id = o.record_id AND p.table_name = o.table_name \
           JOIN later l ON l.record_id = o.record_id AND l.table_name = o.table_name AND l.id > o.first \
         ORDER BY 1, 2 LIMIT 5",
        planned = planned(tables, Some(NAMED)),
        later = later.join(" UNION ALL "),
    );
    Some(Statement::with(DOING, sql, values).at_once())
}

/// The condition that audit row `a` is a change of a row by these applications that is not undone.
fn of_rows(
    audit_log: &Qualified,
    applications: &[String],
    undone: &UndoneRows,
    values: &mut Values,
) -> String {
    let of = format!(
        "a.application = ANY ({}::uuid[]) AND a.{ON_ROWS}",
        values.texts(applications)
    );
    let remains = undone.remains(audit_log, values);
    all([of].into_iter().chain(remains))
}

/// The rows that the plan has, or those with these fates, by table and the audit log's name, as SQL.
fn planned(tables: &[Staged], only: Option<Fates>) -> String {
    let planned = tables.iter().map(|staged| {
        let listed = staged.record_ids(only);
        let table = Literal(&staged.target.name);
        format!("SELECT {table} AS table_name, x.record_id FROM ({listed}) x")
    });
    // A rollback may concern the queue alone.
    let none = "SELECT NULL::text AS table_name, NULL::text AS record_id WHERE false".to_owned();
    let planned: Vec<String> = [none].into_iter().chain(planned).collect();
    planned.join(" UNION ALL ")
}

/// Some rows, by table and the audit log's name, that the plan has and the applications did not change in
/// effect, and of a rollback of all that they did also the other way round. One that the first of them
/// inserted and the last deleted was there neither before nor after.
pub(in crate::pg) fn unlike(
    audit_log: &Qualified,
    tables: &[Staged],
    is_whole: bool,
    (undoes, undone): (&[String], &UndoneRows),
) -> Statement {
    let mut values = Values::default();
    // One application changes a row once, and in effect.
    let (remains, each) = if undoes.len() == 1 {
        ("true", "")
    } else {
        (
            "pg_catalog.min(a.id) FILTER (WHERE a.old_values IS NULL) IS DISTINCT FROM pg_catalog.min(a.id) \
             OR pg_catalog.max(a.id) FILTER (WHERE a.new_values IS NULL) IS DISTINCT FROM pg_catalog.max(a.id)",
            " GROUP BY a.table_name, a.record_id",
        )
    };
    let (condition, fates) = if is_whole {
        ("c.record_id IS NULL OR p.record_id IS NULL", Some(NAMED))
    } else {
        ("c.record_id IS NULL", None)
    };
    let sql = format!(
        "WITH changed AS (SELECT a.table_name, a.record_id, {remains} AS remains FROM {audit} a WHERE {ours}{each}), \
         planned AS ({planned}) \
         SELECT coalesce(c.table_name, p.table_name), coalesce(c.record_id, p.record_id) \
         FROM (SELECT table_name, record_id FROM changed WHERE remains) c \
           FULL JOIN planned p ON p.record_id = c.record_id AND p.table_name = c.table_name \
         WHERE {condition} ORDER BY 1, 2 LIMIT 5",
        audit = audit_log,
        ours = of_rows(audit_log, undoes, undone, &mut values),
        planned = planned(tables, fates),
    );
    Statement::with(DOING, sql, values).at_once()
}

impl Staged {
    /// How many changes of each application the plan takes back.
    pub(in crate::pg) fn count_taken_back(
        &self,
        audit_log: &Qualified,
        undoes: &[String],
        undone: &UndoneRows,
    ) -> Statement {
        let planned = self.record_ids(Some(TAKEN_BACK));
        let of_table = Some((self.target.name.as_str(), planned.as_str()));
        undone.count_remaining(audit_log, undoes, of_table, Values::default())
    }

    /// The condition that a row of this table is now not what audit row `f` has of before; `now` is the text of a
    /// column. What triggers set, what others may change unnoticed, what is computed and what had another type then
    /// (as `types` says) does not count.
    fn differs(
        &self,
        types: Option<&BTreeMap<String, String>>,
        now: impl Fn(&Column) -> String,
    ) -> String {
        let Target { table, config, .. } = &self.target;
        let counts = |c: &&Column| {
            let is_theirs = self.target.may_be_set() && self.triggered.contains(&c.name);
            let had_this_type = types.is_some_and(|t| t.get(&c.name) == Some(&c.base_type_sql));
            had_this_type && !(c.generated || is_theirs || config.ignore_drift.contains(&c.name))
        };
        let differs = table.columns.iter().filter(counts).map(|c| {
            let then = format!("(f.old_values ->> {})", Literal(&c.name));
            format!("{then} IS DISTINCT FROM {}", now(c))
        });
        any(differs)
    }

    /// The rows that the plan says need no change and that are not what they were before, by table and the audit
    /// log's name, as SQL.
    fn not_as_before(&self, types: Option<&BTreeMap<String, String>>) -> String {
        let differs = self.differs(types, |c| c.text("t"));
        // A live row and marked ones may have one key.
        let (and, restored) = match self.target.mark() {
            Some(_) => (
                "GROUP BY f.table_name, f.record_id, f.old_values IS NULL HAVING",
                format!("pg_catalog.bool_or(NOT {differs})"),
            ),
            None => ("AND", format!("NOT {differs}")),
        };
        let key = self.target.key_columns().into_iter();
        format!(
            "SELECT f.table_name, f.record_id FROM {staged} s LEFT JOIN {rows} t ON {same} \
               JOIN first f ON f.table_name = {name} AND f.record_id = {id} \
             WHERE s._a = {unchanged} {and} (f.old_values IS NULL OR NOT {restored})",
            name = Literal(&self.target.name),
            staged = self.temporary(),
            rows = self.target.table.rows,
            same = keys_equal(&self.target.key(), "s", "t"),
            id = record_id(key.map(|c| c.staged_text("s"))),
            unchanged = Fate::Unchanged,
        )
    }

    /// The audit log's names of the rows that the plan has, or of those with these fates, as SQL.
    fn record_ids(&self, only: Option<Fates>) -> String {
        let key = self.target.key_columns().into_iter();
        let only = only.map_or_else(String::new, |fates| format!(" WHERE s._a IN ({fates})"));
        format!(
            "SELECT {} AS record_id FROM {} s{only}",
            record_id(key.map(|c| c.staged_text("s"))),
            self.temporary()
        )
    }
}
