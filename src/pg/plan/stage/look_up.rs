//! Rows that records name by a key: looked up in the database, else among the batch's own records.
//!
//! A row that is new has no number yet. In its staged record, and in those of the records that name it, a
//! value stands for it that no row has; it never leaves the staging tables.

mod findings;
mod new_rows;
mod together;

use std::collections::{BTreeMap, BTreeSet};

use super::Stage;
use super::along::take_along;
use crate::error::Result;
use crate::pg::Session;
use crate::pg::near;
use crate::pg::plan::snapshot::Snapshot;
use crate::sql::{Ident, Literal, Statement, all, list};
use crate::table::lookup::Lookup;
use crate::table::row::keys_equal;
use crate::table::schema::Column;

impl Snapshot<'_> {
    /// Looks up what the records of `stages[i]` name, and finds the records with one key where that was to be
    /// known first. The tables before it are done.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn look_up(&self, stages: &mut [Stage<'_>], i: usize) -> Result<()> {
        let session = self.session;
        let target = stages[i].target;
        if target.lookups.is_empty() || stages[i].rows == 0 {
            return stages[i].beside().near().bring(session).await;
        }
        let mut together = stages[i].looked_up_together();
        together.retain(|lookup| leaves(stages, lookup).is_none());
        let mut looked = Looked::NotYet;
        for lookup in &together {
            stages[i].near(lookup).bring(session).await?;
        }
        if !together.is_empty() {
            let statement = stages[i].find_stored_together(&together);
            // A unique key finds several rows where others inherit from its table, or compare otherwise.
            stages[i].looked_up = session.execute(&statement).await? == stages[i].rows;
            looked = if stages[i].looked_up {
                Looked::OneRow
            } else {
                Looked::Several
            };
        }
        for lookup in &target.lookups.all {
            // Its own new rows are numbered by their keys, to which no reference to it belongs.
            if lookup.relation == target.table.name && !stages[i].duplicates {
                stages[i].find_duplicates_at_last(session).await?;
            }
            let of_this = together.contains(&lookup);
            let looked = if of_this { looked } else { Looked::NotYet };
            look_up(session, stages, i, lookup, looked).await?;
        }
        if stages[i].duplicates {
            session.run(&stages[i].forget_duplicates()).await?;
            stages[i].duplicates = false;
        }
        stages[i].find_duplicates_at_last(session).await?;
        stages[i].beside().near().bring(session).await
    }

    /// The tables in which rows were looked up for the records of `stage` of which none is marked as deleted, each with the
    /// column that marks them.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn alive(&self, stage: &Stage<'_>) -> Result<BTreeMap<String, String>> {
        let (mut alive, mut marked) = (BTreeMap::new(), BTreeSet::new());
        let lookups = stage.target.lookups.answers();
        for lookup in lookups.filter(|_| stage.rows > 0) {
            if let Some((column, _)) = &lookup.mark {
                if self.session.holds(&stage.names_deleted(lookup)).await? {
                    marked.insert(&lookup.table);
                }
                alive.insert(lookup.table.clone(), column.name.clone());
            }
        }
        alive.retain(|table, _| !marked.contains(table));
        Ok(alive)
    }
}

/// The table in which is looked up, where rows of it go whose keys new rows may take.
fn leaves<'s, 'a>(stages: &'s [Stage<'a>], lookup: &Lookup) -> Option<&'s Stage<'a>> {
    let parent = stages.iter().find(|s| s.target.name == lookup.table)?;
    let takes = !lookup.is_by(&parent.target.config.natural_key);
    (parent.deletes && takes).then_some(parent)
}

/// Among which rows is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pg) enum Of {
    AllRows,
    /// Those that are not marked as deleted.
    LiveRows,
}

/// What is known of a lookup in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looked {
    NotYet,
    /// It is done: each record found one row at most.
    OneRow,
    /// Some record may have found several, though a unique key should prevent that; nothing was kept.
    Several,
}

/// Looks up one thing for the records of `stages[i]`.
async fn look_up(
    session: &Session,
    stages: &mut [Stage<'_>],
    i: usize,
    lookup: &Lookup,
    looked: Looked,
) -> Result<()> {
    let mut found = 0;
    let mut all = false;
    // A live row counts before those that are marked as deleted, be it that the batch brings it.
    let live = match lookup.mark {
        Some(_) if !lookup.unique => Of::LiveRows,
        _ => Of::AllRows,
    };
    if looked != Looked::OneRow {
        stages[i].near(lookup).bring(session).await?;
        if lookup.unique && looked == Looked::Several {
            let several = stages[i].find_several_stored(lookup, None, Of::AllRows);
            found += session.execute(&several).await?;
        }
        let leaves = leaves(stages, lookup);
        let stored = find_stored(session, &stages[i], lookup, (leaves, live), &mut found).await?;
        // Each record is updated once: then all of them are found.
        all = stored == stages[i].rows;
    }
    let mut is_open = !all && session.holds(&stages[i].is_open(lookup)).await?;
    let parent = stages.iter().position(|s| s.target.name == lookup.table);
    let brings = parent.filter(|p| stages[*p].rows > 0);
    if let Some(p) = brings.filter(|_| is_open) {
        found += find_new(session, stages, (i, p), lookup, live).await?;
    }
    if is_open && (leaves(stages, lookup).is_some() || live == Of::LiveRows) {
        let all = (None, Of::AllRows);
        find_stored(session, &stages[i], lookup, all, &mut found).await?;
        is_open = session.holds(&stages[i].is_open(lookup)).await?;
    }
    if let Some(p) = brings.filter(|_| is_open && live == Of::LiveRows) {
        found += find_new(session, stages, (i, p), lookup, Of::AllRows).await?;
    }
    if let Some(p) = parent.filter(|p| is_open && stages[*p].leaves_out) {
        take_along(session, stages, (i, p), lookup).await?;
    }
    if is_open {
        let new = parent.and_then(|p| stages[p].unknown_of_new_rows(lookup));
        let none = stages[i].find_none(lookup, new.as_ref());
        found += session.execute(&none).await?;
    }
    if lookup.answers && stages[i].twice.contains(&lookup.of) {
        found += session.execute(&stages[i].find_disagreeing(lookup)).await?;
    }
    if lookup.answers
        && let Some(unkept) = stages[i].find_unkept(lookup)
    {
        found += session.execute(&unkept).await?;
    }
    stages[i].findings |= found > 0;
    Ok(())
}

/// Looks up among the new rows that the records of `stages[p]` bring. Returns of how many records several are found.
async fn find_new(
    session: &Session,
    stages: &mut [Stage<'_>],
    (i, p): (usize, usize),
    lookup: &Lookup,
    of: Of,
) -> Result<u64> {
    let columns = &stages[p].target.table.columns;
    let number = columns.iter().position(|c| c.name == lookup.target.name);
    let Some(number) = number else {
        return Ok(0);
    };
    let given: Vec<String> = (stages.iter())
        .flat_map(|child| child.given_for(&stages[p], number))
        .collect();
    if stages[p].provisional.insert(number)
        && let Some(statement) = stages[p].number(number, &given)
    {
        let column = &stages[p].target.table.columns[number];
        if let Some(outmost) = stages[p].target.table.near_outmost(column) {
            outmost.bring(session).await?;
        }
        stages[p].beside().near().bring(session).await?;
        session.run(&statement).await?;
    }
    let mut found = 0;
    if !lookup.is_by(&stages[p].target.config.natural_key) {
        let several = stages[i].find_several_staged(lookup, &stages[p], of);
        found = session.execute(&several).await?;
    }
    let staged = stages[i].find_staged(lookup, &stages[p], of);
    if session.execute(&staged).await? > 0 {
        stages[p].referred.insert(number);
    }
    Ok(found)
}

/// Looks up in the database, rows of `leaves` that go excepted. Returns for how many records; `found` takes
/// of how many several rows are there.
async fn find_stored(
    session: &Session,
    stage: &Stage<'_>,
    lookup: &Lookup,
    (leaves, of): (Option<&Stage<'_>>, Of),
    found: &mut u64,
) -> Result<u64> {
    if !lookup.unique {
        let several = stage.find_several_stored(lookup, leaves, of);
        *found += session.execute(&several).await?;
    }
    session
        .execute(&stage.find_stored(lookup, leaves, of))
        .await
}

impl Stage<'_> {
    pub(super) fn looking_up(&self, lookup: &Lookup, sql: String) -> Statement {
        let doing = format!(
            "looking up rows of {} for the records of table {}",
            lookup.table, self.target.name
        );
        Statement::new(doing, sql)
    }

    /// The condition that row `p` of the table, or staged record `p` of it, has the key that record `s` names.
    pub(super) fn names(&self, lookup: &Lookup, column: impl Fn(&Column) -> String) -> String {
        self.names_as(lookup, |c| format!("p.{}", column(c)))
    }

    pub(super) fn names_as(&self, lookup: &Lookup, column: impl Fn(&Column) -> String) -> String {
        all(lookup.by.iter().map(|part| {
            let value = self.target.lookups.value(part, "s");
            part.equality.equal(column(&part.column), value)
        }))
    }

    /// The rows that records name by a lookup.
    fn near<'l>(&self, lookup: &'l Lookup) -> near::Rows<'l> {
        let parts = lookup.by.iter().enumerate();
        let values = parts
            .clone()
            .map(|(i, part)| format!("{} AS v{i}", self.target.lookups.value(part, "s")));
        let equal = parts.map(|(i, part)| {
            let column = format!("t.{}", Ident(&part.column.name));
            part.equality.equal(column, format_args!("s.v{i}"))
        });
        near::Rows {
            of: &lookup.relation,
            near: &lookup.rows,
            keys: format!(
                "SELECT DISTINCT {} FROM {} s",
                list(values),
                self.temporary()
            ),
            on: all(equal),
            parts: None,
        }
    }

    /// The condition that row `p` has the key that record `s` names, and does not go with `leaves`. What a
    /// record is that goes itself, the rows say that are there.
    fn names_row(&self, lookup: &Lookup, leaves: Option<&Stage<'_>>, of: Of) -> String {
        let names = self.names(lookup, |c| Ident(&c.name).to_string());
        let stays = leaves.map_or_else(String::new, |parent| {
            format!(
                " AND (s._goes OR NOT EXISTS (SELECT FROM {} g WHERE g._goes AND g._left_out IS NULL AND {}))",
                parent.temporary(),
                keys_equal(&parent.target.key(), "g", "p")
            )
        });
        let live = match of {
            Of::AllRows => String::new(),
            Of::LiveRows => format!(" AND {}", lookup.lives()),
        };
        names + &stays + &live
    }

    /// What a record gets when something is found: the answer, and the column that it is for if the record
    /// does not give that itself.
    pub(super) fn sets(&self, lookup: &Lookup, found: &str) -> String {
        let set = format!("{} = {found}", lookup.found());
        if !lookup.answers {
            return set;
        }
        let column = &self.target.table.columns[lookup.of];
        let (cell, answer) = (column.staged(), lookup.answer(column, found));
        format!("{set}, {cell} = coalesce(s.{cell}, {answer})")
    }

    /// Looks up in the database. Where rows that are marked as deleted have the key too, a live one counts.
    pub(in crate::pg) fn find_stored(
        &self,
        lookup: &Lookup,
        leaves: Option<&Stage<'_>>,
        of: Of,
    ) -> Statement {
        let (stage, relation) = (self.temporary(), &lookup.rows);
        let number = format!("p.{}", Ident(&lookup.target.name));
        let names = self.names_row(lookup, leaves, of);
        let sql = if lookup.unique {
            format!(
                "UPDATE {stage} s SET {} FROM {relation} p WHERE s.{} IS NOT DISTINCT FROM NULL AND {names}",
                self.sets(lookup, &number),
                lookup.found()
            )
        } else {
            format!(
                "UPDATE {stage} s SET {} FROM (SELECT DISTINCT ON (s._n) s._n, {number} AS number FROM {stage} s \
                 JOIN {relation} p ON {names} WHERE s.{} IS NOT DISTINCT FROM NULL ORDER BY s._n, NOT ({lives})) x WHERE x._n = s._n",
                self.sets(lookup, "x.number"),
                lookup.found(),
                lives = lookup.lives(),
            )
        };
        self.looking_up(lookup, sql)
    }

    /// Whether some record names a row that is there and marked as deleted.
    pub(in crate::pg) fn names_deleted(&self, lookup: &Lookup) -> Statement {
        let sql = format!(
            "SELECT EXISTS (SELECT FROM {} s JOIN {} p ON {} WHERE s.{} IS NULL AND NOT ({}))",
            self.temporary(),
            lookup.rows,
            lookup.target.equality.equal(
                format_args!("p.{}", Ident(&lookup.target.name)),
                format_args!("s.{}", lookup.found())
            ),
            lookup.new_key(),
            lookup.lives()
        );
        self.looking_up(lookup, sql)
    }

    /// Whether some record names a row that was not found yet.
    pub(in crate::pg) fn is_open(&self, lookup: &Lookup) -> Statement {
        let sql = format!(
            "SELECT EXISTS (SELECT FROM {} s WHERE {})",
            self.temporary(),
            self.open(lookup)
        );
        self.looking_up(lookup, sql)
    }

    /// The condition that record `s` names a row that was not found, though what it is named by was.
    pub(super) fn open(&self, lookup: &Lookup) -> String {
        let lookups = &self.target.lookups;
        let known = lookup.by.iter().map(|part| {
            let value = lookups.value(part, "s");
            format!("{value} IS DISTINCT FROM NULL")
        });
        format!(
            "s.{} IS NOT DISTINCT FROM NULL AND {}",
            lookup.found(),
            all(known)
        )
    }

    /// The natural key of record `alias` as JSON, as its entry in the plan has it.
    pub(super) fn key_json(&self, alias: &str) -> String {
        let (table, lookups) = (&self.target.table, &self.target.lookups);
        let parts = self.target.key_columns().into_iter().map(|column| {
            let index = table.columns.iter().position(|c| c == column);
            let text = format!("pg_catalog.to_json({})", column.staged_text(alias));
            let value = match index.and_then(|i| lookups.of_column(i)) {
                Some(inner) => format!("coalesce({}, {text})", lookups.json(inner, alias)),
                None => text,
            };
            format!("{}, {value}", Literal(&column.name))
        });
        format!(
            "pg_catalog.json_build_object({})::pg_catalog.text",
            list(parts)
        )
    }

    fn forget_duplicates(&self) -> Statement {
        let sql = format!("DELETE FROM {}", self.duplicates_table());
        Statement::new(self.doing("looking for duplicate keys among"), sql)
    }
}
