//! A rollback takes back what it says: all changes of its applications that are still to be undone, or of
//! some applications a part, and nothing else.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::pg::apply::origin::Origin;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::{Fate, Fates};
use crate::pg::apply::write::Context;
use crate::pg::audit::ON_ROWS;
use crate::pg::ledger::{self, UndoneRows};
use crate::plan::Header;
use crate::sql::{Literal, Statement, Values, all};
use crate::table::row::record_id;

const DOING: &str = "comparing the rollback with the audit log";

/// Those of rows that are taken back.
const TAKEN_BACK: Fates = Fates(&[Fate::Insert, Fate::Update, Fate::Delete]);
/// Those of rows that a rollback of everything names: some need no change.
const NAMED: Fates = Fates(&[Fate::Insert, Fate::Update, Fate::Delete, Fate::Unchanged]);

/// That the plan's entries are the rows which the applications changed that it takes back.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) where they are not.
pub(super) async fn check(
    context: &Context<'_>,
    header: &Header,
    tables: &[Staged],
    undone: &UndoneRows,
) -> Result<()> {
    let taken_back = header.taken_back();
    if taken_back.is_empty() {
        return Ok(());
    }
    let (session, origin) = (context.session, &context.origin);
    let refused = |what: String| {
        Err(Error::plan_refused(format!(
            "the plan says that it takes back {}, and {what}: it was not made by the loader, or rows were undone since; \
             make a new one",
            taken_back.join(", ")
        )))
    };
    let is_whole = header.undoes_in_part.is_empty();
    for staged in tables {
        let compare = if is_whole {
            staged.not_undone(origin, &taken_back, undone)
        } else {
            staged.not_changed(origin, &taken_back, undone)
        };
        let others = session.column(&compare).await?;
        if !others.is_empty() {
            let named: Vec<String> = others
                .iter()
                .map(|id| session.name_row(&staged.target.name, id))
                .collect();
            return refused(format!(
                "its entries for {} are not the rows that were changed there, for example {}",
                crate::text::escape(&staged.target.name),
                named.join(", ")
            ));
        }
    }
    if is_whole {
        let missing = session
            .column(&other_tables(origin, header, undone))
            .await?;
        return match missing.is_empty() {
            true => Ok(()),
            false => refused(format!(
                "has nothing for tables that were changed: {}",
                crate::text::escape(&missing.join(", "))
            )),
        };
    }
    let mut taken: BTreeMap<String, u64> = BTreeMap::new();
    for staged in tables {
        let count = staged.count_taken_back(origin, &taken_back, undone);
        for (id, rows) in ledger::counts(session, &count).await? {
            *taken.entry(id).or_default() += rows;
        }
    }
    let schema = origin.loader_schema;
    let remaining = undone.remaining(session, schema, &taken_back).await?;
    for id in &taken_back {
        let is_all = taken.get(id) == remaining.get(id);
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

/// The condition that audit row `a` is a change of a row by these applications that is still to be undone.
fn of_rows(
    origin: &Origin<'_>,
    undoes: &[String],
    undone: &UndoneRows,
    values: &mut Values,
) -> String {
    let of = format!(
        "a.application = ANY ({}::uuid[]) AND a.{ON_ROWS}",
        values.texts(undoes)
    );
    let remains = undone.remains(&origin.own_table("audit_log"), values);
    all([of].into_iter().chain(remains))
}

/// Tables that the applications changed, and of which the plan says nothing.
pub(in crate::pg) fn other_tables(
    origin: &Origin<'_>,
    header: &Header,
    undone: &UndoneRows,
) -> Statement {
    let mut values = Values::default();
    let sql = format!(
        "SELECT DISTINCT a.table_name FROM {} a WHERE {} AND a.table_name <> ALL ({}) ORDER BY 1",
        origin.own_table("audit_log"),
        of_rows(origin, &header.undoes, undone, &mut values),
        values.texts(header.tables.iter().map(|t| &t.table)),
    );
    Statement::with(DOING, sql, values)
}

impl Staged {
    /// Some rows that the applications changed in effect and the plan has not, or that it has and they
    /// did not change.
    pub(in crate::pg) fn not_undone(
        &self,
        origin: &Origin<'_>,
        undoes: &[String],
        undone: &UndoneRows,
    ) -> Statement {
        self.unlike(
            "c.record_id IS NULL OR p.record_id IS NULL",
            &self.record_ids(Some(NAMED)),
            (origin, undoes, undone),
        )
    }

    /// Some rows that the plan has and the applications did not change in effect.
    pub(in crate::pg) fn not_changed(
        &self,
        origin: &Origin<'_>,
        undoes: &[String],
        undone: &UndoneRows,
    ) -> Statement {
        let all = self.record_ids(None);
        self.unlike("c.record_id IS NULL", &all, (origin, undoes, undone))
    }

    /// Some rows of which `condition` holds, what the applications changed in effect (`c`) beside what the plan
    /// has (`p`): one that the first of them inserted and the last deleted was there neither before nor after.
    fn unlike(
        &self,
        condition: &str,
        planned: &str,
        (origin, undoes, undone): (&Origin<'_>, &[String], &UndoneRows),
    ) -> Statement {
        let mut values = Values::default();
        // One application changes a row once, and in effect.
        let (remains, each) = if undoes.len() == 1 {
            ("true", "")
        } else {
            (
                "pg_catalog.min(a.id) FILTER (WHERE a.old_values IS NULL) IS DISTINCT FROM pg_catalog.min(a.id) \
                 OR pg_catalog.max(a.id) FILTER (WHERE a.new_values IS NULL) IS DISTINCT FROM pg_catalog.max(a.id)",
                " GROUP BY a.record_id",
            )
        };
        let sql = format!(
            "WITH changed AS (SELECT a.record_id, {remains} AS remains \
               FROM {audit} a WHERE {ours} AND a.table_name = {table}{each}), \
             planned AS ({planned}) \
             SELECT coalesce(c.record_id, p.record_id) FROM (SELECT record_id FROM changed WHERE remains) c \
               FULL JOIN planned p ON p.record_id = c.record_id \
             WHERE {condition} ORDER BY 1 LIMIT 5",
            audit = origin.own_table("audit_log"),
            ours = of_rows(origin, undoes, undone, &mut values),
            table = Literal(&self.target.name),
        );
        Statement::with(DOING, sql, values)
    }

    /// How many changes of each application the plan takes back.
    pub(in crate::pg) fn count_taken_back(
        &self,
        origin: &Origin<'_>,
        undoes: &[String],
        undone: &UndoneRows,
    ) -> Statement {
        let planned = self.record_ids(Some(TAKEN_BACK));
        let of_table = Some((self.target.name.as_str(), planned.as_str()));
        let audit_log = origin.own_table("audit_log");
        undone.count_remaining(&audit_log, undoes, of_table, Values::default())
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
