//! References that were looked up: to rows that are there, which must have their keys still, and to rows
//! that are new in the plan, whose numbers are drawn.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::action::Action;
use crate::error::{Error, Result, sqlstate};
use crate::pg::Session;
use crate::pg::apply::staged::fate::{Fate, STORED};
use crate::pg::apply::staged::{KEY, Staged, by, until};
use crate::pg::near::{self, Rows};
use crate::plan::drift::NAMED;
use crate::plan::masking::Mask;
use crate::plan::{DriftReport, DriftRow, DriftState, Value, Values};
use crate::planfile::Executable;
use crate::sql::{Ident, Literal, Statement, all};
use crate::table::lookup::{Lookup, Lookups, Origin};
use crate::table::schema::Column;

/// Locks the rows which are there and were looked up, where no foreign key will.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database), naming the privilege that a lock needs.
pub(super) async fn hold(session: &Session, tables: &[Staged]) -> Result<()> {
    for staged in tables {
        for lookup in staged.lookups().filter(|l| !l.held) {
            if session.holds(&staged.names_rows(lookup)).await? {
                staged.hold(session, lookup).await?;
            }
        }
    }
    Ok(())
}

/// That the rows which are there and were looked up have the keys by which they were, and those that the plan
/// shows of the rows to which changed ones refer.
///
/// # Errors
/// [`Drift`](crate::ErrorKind::Drift) naming the keys.
pub(super) async fn check(
    session: &Session,
    plan: &Arc<Executable>,
    tables: &[Staged],
) -> Result<()> {
    refuse(plan, renamed(session, tables, &plan.plan().mask()).await?)
}

/// That the rows which were looked up have these keys, when everything is written: what is written holds them
/// only from then on.
///
/// # Errors
/// As [`check`].
pub(super) async fn check_again(
    session: &Session,
    plan: &Arc<Executable>,
    tables: &[Staged],
) -> Result<()> {
    refuse(
        plan,
        gone(
            session,
            tables,
            &plan.plan().mask(),
            Staged::renamed_of_stored,
        )
        .await?,
    )
}

fn refuse(plan: &Arc<Executable>, mut rows: Vec<DriftRow>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    // Several tables may look up one row, and one of them for several columns.
    let mut named = BTreeSet::new();
    rows.retain(|row| named.insert((row.table.clone(), row.key.clone())));
    let mut report = DriftReport {
        kind: plan.plan().header.kind,
        rows,
        more: 0,
    };
    plan.plan().mask().drift(&mut report);
    Err(report.into())
}

/// The keys that find no row, or another one than when the plan was made.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub(super) async fn renamed(
    session: &Session,
    tables: &[Staged],
    mask: &Mask,
) -> Result<Vec<DriftRow>> {
    let mut found = gone(session, tables, mask, Staged::renamed).await?;
    found.extend(gone(session, tables, mask, Staged::renamed_until_then).await?);
    Ok(found)
}

/// The keys that `ask` finds, of all lookups.
async fn gone(
    session: &Session,
    tables: &[Staged],
    mask: &Mask,
    ask: fn(&Staged, &Lookup) -> Statement,
) -> Result<Vec<DriftRow>> {
    let mut found = Vec::new();
    for staged in tables {
        for lookup in staged.lookups() {
            near::bring(session, &staged.near(lookup)).await?;
            for row in session.rows(&ask(staged, lookup)).await? {
                let key: serde_json::Result<Values> = serde_json::from_str(row.text(0)?);
                let mut key = key.map_err(|e| Error::local("reading back a key").caused_by(e))?;
                // The plan may know nothing else of the table in which is looked up.
                if staged.is_sensitive(lookup) {
                    for value in key.values_mut() {
                        *value = Value::from(value.words().map(|w| mask.stand_in(&w)));
                    }
                }
                found.push(DriftRow {
                    table: lookup.table.clone(),
                    key,
                    state: if row.is(1) {
                        DriftState::Changed
                    } else {
                        DriftState::Vanished
                    },
                    action: Some(Action::Skip),
                    columns: Vec::new(),
                    by: None,
                });
            }
        }
    }
    Ok(found)
}

/// Draws the numbers of new rows to which other new rows refer, and puts them where these do.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) where a row is referred to that the plan does not insert;
/// [`Database`](crate::ErrorKind::Database).
pub(super) async fn number(session: &Session, tables: &[Staged]) -> Result<()> {
    for staged in tables {
        for name in &staged.numbers {
            let Some(draw) = staged.draw(name) else {
                continue; // it is given, or looked up itself
            };
            session.run(&draw).await.map_err(|e| {
                match e.code() {
                    Some(sqlstate::INSUFFICIENT_PRIVILEGE) => e.and(
                        ": its numbers are drawn before its new rows are inserted, because other new rows refer to them, \
                         and that needs the privilege USAGE on the sequence",
                    ),
                    _ => e,
                }
            })?;
        }
    }
    for staged in tables {
        for lookup in staged.lookups() {
            if let Some(parent) = tables.iter().find(|t| t.target.name == lookup.table)
                && let Some(put) = staged.put_numbers(lookup, parent)
            {
                session.run(&put).await?;
            }
            let missing = session.column(&staged.not_numbered(lookup)).await?;
            if let Some(key) = missing.first() {
                return Err(Error::plan_refused(format!(
                    "the plan's rows of {} refer to a row of {} that is to be new in it ({}), and it does not insert that; \
                     it was not made by the loader; make a new plan",
                    staged.target.name,
                    lookup.table,
                    crate::text::escape(&session.name_row(&lookup.table, key))
                )));
            }
        }
    }
    Ok(())
}

impl Staged {
    fn referring(&self, lookup: &Lookup, sql: String) -> Statement {
        let doing = format!(
            "looking up the rows of {} to which rows of table {} refer",
            lookup.table, self.target.name
        );
        Statement::new(doing, sql)
    }

    /// The column that a lookup is for.
    pub(super) fn referring_column(&self, lookup: &Lookup) -> &Column {
        &self.target.table.columns[lookup.of]
    }

    /// Whether what is looked up must not be seen.
    fn is_sensitive(&self, lookup: &Lookup) -> bool {
        let column = &self.referring_column(lookup).name;
        self.target.config.sensitive.contains(column)
    }

    /// Locks the rows that were looked up and that no foreign key holds.
    async fn hold(&self, session: &Session, lookup: &Lookup) -> Result<()> {
        let held = session.run(&self.hold_rows(lookup)).await;
        held.map_err(|e| match e.code() {
            Some(sqlstate::INSUFFICIENT_PRIVILEGE) => e.and(format_args!(
                ": no foreign key of {} holds the rows of {} to which it refers, so that they have to be locked, which \
                 needs a privilege: GRANT UPDATE ON {} to this role, or make a foreign key",
                self.target.name, lookup.table, lookup.relation
            )),
            _ => e,
        })
    }

    /// The rows that were looked up, by their numbers and by their keys.
    fn near<'l>(&'l self, lookup: &'l Lookup) -> Vec<Rows<'l>> {
        let (staged, lookups) = (self.temporary(), &self.target.lookups);
        let (by, until) = (format!("s.{}", by(lookup)), format!("s.{}", until(lookup)));
        let cell = self.referring_column(lookup).staged();
        let ty = &lookup.target.base_type_sql;
        let numbers = format!(
            "SELECT DISTINCT s.{cell}::{ty} AS n FROM {staged} s WHERE {by} IS NOT NULL \
             UNION SELECT ({until} ->> 'stored')::{ty} FROM {staged} s WHERE {until} IS NOT NULL"
        );
        let keys = format!(
            "SELECT {by} AS k FROM {staged} s WHERE {by} IS NOT NULL \
             UNION SELECT {until} -> 'key' FROM {staged} s WHERE {until} IS NOT NULL"
        );
        let mut rows = lookups.near_numbers(lookup, numbers);
        rows.extend(lookups.near_keys(lookup, &keys));
        rows
    }

    /// Whether rows were looked up that are there.
    fn names_rows(&self, lookup: &Lookup) -> Statement {
        let (staged, by) = (self.temporary(), by(lookup));
        let sql = format!("SELECT EXISTS (SELECT FROM {staged} s WHERE s.{by} IS NOT NULL)");
        self.referring(lookup, sql)
    }

    pub(in crate::pg) fn hold_rows(&self, lookup: &Lookup) -> Statement {
        if lookup.is_far() {
            let lock = format!("LOCK TABLE {} IN SHARE MODE", lookup.relation);
            return self.referring(lookup, lock);
        }
        let number = format!("p.{}", Ident(&lookup.target.name));
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM (SELECT FROM {} p WHERE EXISTS (SELECT FROM {} s WHERE s.{} IS NOT NULL AND {}) \
             ORDER BY {number} FOR KEY SHARE OF p) p",
            lookup.relation,
            self.temporary(),
            by(lookup),
            lookup.target.equality.equal(
                &number,
                format_args!("s.{}", self.referring_column(lookup).staged())
            ),
        );
        self.referring(lookup, sql)
    }

    /// The keys that no longer find the rows which they found when the plan was made, alive where all were, and whether
    /// each finds another one.
    pub(in crate::pg) fn renamed(&self, lookup: &Lookup) -> Statement {
        let key = format!("s.{}", by(lookup));
        let cell = format!("s.{}", self.referring_column(lookup).staged());
        self.without_row(lookup, &key, &cell, &lookup.lives())
    }

    /// The same of rows that are there when everything is written: what rows referred to that are deleted, may
    /// be deleted too.
    pub(in crate::pg) fn renamed_of_stored(&self, lookup: &Lookup) -> Statement {
        let stored = format!("(CASE WHEN s._a IN ({STORED}) THEN s.{} END)", by(lookup));
        let cell = format!("s.{}", self.referring_column(lookup).staged());
        // That rows are marked is what the plan may do, and says.
        self.without_row(lookup, &stored, &cell, "true")
    }

    /// The same of the rows to which changed rows refer until then.
    pub(in crate::pg) fn renamed_until_then(&self, lookup: &Lookup) -> Statement {
        let row = format!("s.{}", until(lookup));
        let number = format!("({row} ->> 'stored')::{}", lookup.target.base_type_sql);
        self.without_row(lookup, &format!("({row} -> 'key')"), &number, "true")
    }

    /// The keys, JSON in `key`, that do not find the row `p` with this number of which `also` is true, and whether each finds
    /// one.
    fn without_row(&self, lookup: &Lookup, key: &str, number: &str, also: &str) -> Statement {
        let has_key = has_key(&self.target.lookups, lookup, "p", key);
        let sql = format!(
            "SELECT DISTINCT ON ({key}) {key}::text, EXISTS (SELECT FROM {parent} p WHERE {has_key}) FROM {staged} s \
             WHERE {key} IS NOT NULL AND NOT EXISTS (SELECT FROM {parent} p WHERE {same} AND {has_key} AND {also}) \
             ORDER BY {key} LIMIT {NAMED}",
            parent = lookup.rows,
            staged = self.temporary(),
            same = lookup
                .target
                .equality
                .equal(format_args!("p.{}", Ident(&lookup.target.name)), number),
        );
        self.referring(lookup, sql)
    }

    /// Gives each new row that has no number the next one, in plan order; `None` where the database has none.
    pub(in crate::pg) fn draw(&self, name: &str) -> Option<Statement> {
        let column = self.target.table.column(name)?;
        if self.target.config.references.contains_key(name) {
            return None;
        }
        let next = column.by_database()?;
        let (staged, cell, ty) = (self.temporary(), column.staged(), &column.base_type_sql);
        let sql = format!(
            "UPDATE {staged} s SET {cell} = x.number FROM (SELECT o._n, {next}::{ty} AS number FROM (\
               SELECT s._n FROM {staged} s WHERE s._a = {insert} AND s.{cell} IS NOT DISTINCT FROM NULL ORDER BY s._n OFFSET 0) o\
             ) x WHERE x._n = s._n",
            insert = Fate::Insert,
        );
        Some(Statement::new(
            format!(
                "drawing the numbers of new rows of table {}",
                self.target.name
            ),
            sql,
        ))
    }

    /// Gives the rows that refer to new rows of `parent` the numbers of these.
    pub(in crate::pg) fn put_numbers(&self, lookup: &Lookup, parent: &Staged) -> Option<Statement> {
        if parent.numbers.is_empty() {
            return None;
        }
        let number = parent.staged_column(&lookup.target.name)?;
        let column = self.referring_column(lookup);
        let sql = format!(
            "UPDATE {staged} s SET {cell} = {answer} FROM {parents} p \
             WHERE s.{new} IS NOT NULL AND p.{KEY} = s.{new} AND p._a = {insert}",
            staged = self.temporary(),
            cell = column.staged(),
            answer = lookup.answer(column, &format!("p.{number}")),
            parents = parent.temporary(),
            new = lookup.new_key(),
            insert = Fate::Insert,
        );
        Some(self.referring(lookup, sql))
    }

    /// A row to which rows refer that are written, and which is not new.
    pub(in crate::pg) fn not_numbered(&self, lookup: &Lookup) -> Statement {
        let new = lookup.new_key();
        let sql = format!(
            "SELECT s.{new} FROM {} s WHERE s.{new} IS NOT NULL AND s.{} IS NOT DISTINCT FROM NULL \
             AND s._a IN ({}, {}) ORDER BY s._n LIMIT 1",
            self.temporary(),
            self.referring_column(lookup).staged(),
            Fate::Insert,
            Fate::Update,
        );
        self.referring(lookup, sql)
    }
}

/// The condition that row `p` of the table in which is looked up has the key that stands as JSON in `key`.
fn has_key(lookups: &Lookups, lookup: &Lookup, p: &str, key: &str) -> String {
    all(lookup.by.iter().map(|part| {
        let column = format!("{p}.{}", Ident(&part.column.name));
        let name = Literal(&part.column.name);
        match part.from {
            Origin::Field(_) => {
                let value = format!("({key} ->> {name})::{}", part.column.base_type_sql);
                part.equality.equal(column, value)
            }
            Origin::Lookup(inner) => {
                let inner = &lookups.all[inner];
                let number = format!(
                    "({key} -> {name} ->> 'stored')::{}",
                    inner.target.base_type_sql
                );
                let q = format!("p{}", inner.number);
                format!(
                    "{} AND EXISTS (SELECT FROM {} {q} WHERE {} AND {})",
                    part.equality.equal(&column, &number),
                    inner.rows,
                    inner
                        .target
                        .equality
                        .equal(format_args!("{q}.{}", Ident(&inner.target.name)), &column),
                    has_key(lookups, inner, &q, &format!("({key} -> {name} -> 'key')"))
                )
            }
        }
    }))
}
