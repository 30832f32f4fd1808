//! Rows of tables in shards, brought near: copied as they are into temporary tables of this server, where all
//! that is asked of rows can be asked. What a table in shards does not take stands here and in
//! `apply::write::rows` alone.
//!
//! Copied are the rows that matter, before each question: those with the keys of what is staged, those to which
//! they refer, those that refer to them. A row is copied once, by its primary key.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::privileges::may_read;
use crate::pg::shards::{Part, Parts};
use crate::sql::{Ident, Literal, Qualified, Statement, Temporary, Values, all, list};
use crate::table::kind::TableKind;
use crate::table::lookup::{Lookup, Lookups, Origin};
use crate::table::schema::{Column, ForeignKey, Table};
use crate::table::target::Target;
use crate::types::Kind;

/// Which rows of a table are copied.
#[derive(Debug, Clone)]
pub(in crate::pg) struct Rows<'a> {
    /// The table.
    pub(in crate::pg) of: &'a Qualified,
    /// Where its rows are asked about.
    pub(in crate::pg) near: &'a Qualified,
    /// A query `s`, of temporary tables alone, beside which rows `t` are copied.
    pub(in crate::pg) keys: String,
    /// The condition that row `t` is copied for `s`.
    pub(in crate::pg) on: String,
    /// How these are told apart by shard, where they can be.
    pub(in crate::pg) parts: Option<Parts<'a>>,
}

impl Rows<'_> {
    /// Copies them, where the table is in shards.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub(in crate::pg) async fn bring(&self, session: &Session) -> Result<()> {
        if self.of == self.near {
            return Ok(());
        }
        let copied = match &self.parts {
            None => session.execute(&self.copy()).await?,
            Some(parts) => {
                session.run(&self.forget_keys(parts)).await?;
                let keys = session.execute(&self.keep_keys(parts)).await?;
                let copy = |part: &Part| self.copy_part(parts, part);
                parts.each(session, keys, copy).await?
            }
        };
        if copied > 0 {
            let analyze = format!("ANALYZE {}", self.near);
            session
                .run(&Statement::new(doing(self.of), analyze))
                .await?;
        }
        Ok(())
    }

    pub(in crate::pg) fn copy(&self) -> Statement {
        self.copy_where(&self.keys, "")
    }

    fn copy_where(&self, keys: &str, only: &str) -> Statement {
        let Rows { of, near, on, .. } = self;
        let sql = format!(
            "INSERT INTO {near} SELECT t.* FROM ({keys}) s JOIN {of} t ON {on}{only} ON CONFLICT DO NOTHING"
        );
        Statement::new(doing(of), sql)
    }

    fn forget_keys(&self, parts: &Parts<'_>) -> Statement {
        Statement::new(doing(self.of), format!("DELETE FROM {}", parts.rows))
    }

    pub(in crate::pg) fn keep_keys(&self, parts: &Parts<'_>) -> Statement {
        let value = format!("s.{}", parts.value);
        let sql = format!(
            "INSERT INTO {} SELECT {}, s.* FROM ({}) s WHERE {value} IS NOT NULL",
            parts.rows,
            parts.shard_of(&value),
            self.keys
        );
        Statement::new(doing(self.of), sql)
    }

    pub(in crate::pg) fn copy_part(&self, parts: &Parts<'_>, part: &Part) -> Statement {
        let keys = format!(
            "SELECT k.* FROM {} k WHERE {} OFFSET 0",
            parts.rows, part.is_of
        );
        self.copy_where(&keys, &format!(" WHERE {}", part.is_there))
    }
}

fn doing(of: &Qualified) -> String {
    format!("copying rows of {of}, which is in shards, to be compared")
}

/// Copies these, one after the other.
///
/// # Errors
/// As [`Rows::bring`].
pub(in crate::pg) async fn bring(session: &Session, all: &[Rows<'_>]) -> Result<()> {
    for rows in all {
        rows.bring(session).await?;
    }
    Ok(())
}

/// The tables in shards among those that these are, refer to, and are referred to by; and where their rows are
/// asked about.
fn in_shards<'t>(
    targets: impl Iterator<Item = &'t Target>,
) -> BTreeMap<&'t Qualified, &'t Qualified> {
    let mut found = BTreeMap::new();
    for target in targets {
        let table = &target.table;
        found.insert(&table.rows, &table.name);
        for key in target.foreign_keys() {
            found.insert(&key.parent_rows, &key.parent);
        }
        for key in &table.referrers {
            found.insert(&key.child_rows, &key.child);
        }
        for lookup in &target.lookups.all {
            found.insert(&lookup.rows, &lookup.relation);
        }
    }
    found.retain(|near, of| near != of);
    found
}

/// That a table in shards can be loaded: its rows are told apart by a primary key, and nothing runs on other servers
/// unseen.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config).
pub fn can_be_loaded(table: &Table) -> Result<()> {
    let Table { name, kind, .. } = table;
    let refused = |what: String| Err(Error::config(format!("{name} is {kind} and has {what}")));
    if !kind.is_far() {
        Ok(())
    } else if !table.unique.iter().any(|index| index.primary) {
        refused(
            "no primary key, by which alone its rows could be told apart on several servers; make one".to_owned(),
        )
    } else if table.rules {
        refused("rules, which write where it is not seen; drop them".to_owned())
    } else if !table.triggers.is_empty() {
        refused(format!(
            "triggers ({}), which may run on other servers, where it is not seen what they change; drop them",
            table.triggers.join(", ")
        ))
    } else {
        Ok(())
    }
}

/// Makes room for the rows that will be copied for these tables, which only then can be asked about.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) naming a table without a primary key; [`Database`](crate::ErrorKind::Database).
pub(in crate::pg) async fn prepare(
    session: &Session,
    targets: impl Iterator<Item = &Target>,
) -> Result<()> {
    let targets: Vec<&Target> = targets.collect();
    targets
        .iter()
        .try_for_each(|target| can_be_loaded(&target.table))?;
    for (near, of) in in_shards(targets.iter().copied()) {
        make_room(session, near, of).await?;
    }
    for target in targets {
        if let Some(create) = target.create_keys() {
            session.run(&create).await?;
        }
    }
    Ok(())
}

impl Target {
    /// How keys of rows are told apart by shard, where the natural key says in which one a row is.
    pub(in crate::pg) fn keys_by_shard(&self) -> Option<Parts<'_>> {
        let TableKind::Distributed { column } = &self.table.kind else {
            return None;
        };
        let key = self.key_columns().into_iter();
        let column = key.into_iter().find(|c| c.name == *column)?;
        Some(Parts {
            of: &self.table.name,
            column,
            rows: Temporary {
                what: "keys",
                number: usize::try_from(self.table.oid).ok()?,
            },
            value: column.staged(),
        })
    }

    fn create_keys(&self) -> Option<Statement> {
        let parts = self.keys_by_shard()?;
        let key = self.key_columns().into_iter();
        let sql = format!(
            "DROP TABLE IF EXISTS {rows}; CREATE TEMPORARY TABLE {} (_shard int, {}); CREATE INDEX ON {rows} (_shard)",
            parts.rows.bare(),
            list(key.map(|c| c.defined_as(c.staged()))),
            rows = parts.rows,
        );
        Some(Statement::new(doing(&self.table.name), sql))
    }
}

/// Makes room for the rows by which others are named, where there is none yet.
///
/// # Errors
/// As [`prepare`].
pub(in crate::pg) async fn prepare_names(session: &Session, lookups: &Lookups) -> Result<()> {
    for lookup in lookups.all.iter().filter(|lookup| lookup.is_far()) {
        if !session.holds(&is_there(&lookup.rows)).await? {
            make_room(session, &lookup.rows, &lookup.relation).await?;
        }
    }
    Ok(())
}

async fn make_room(session: &Session, near: &Qualified, of: &Qualified) -> Result<()> {
    // What a role may not read is not asked about, or refused when it is.
    if !session.holds(&may_read(doing(of), [of])).await? {
        return Ok(());
    }
    let key = session.column(&primary_key(of)).await?;
    if key.is_empty() {
        return Err(Error::config(format!(
            "{of} is in shards and has no primary key, by which alone its rows could be told apart on several servers: \
             tables that refer to it, or to which it refers, cannot be loaded; make one"
        )));
    }
    session.run(&create(near, of, &key)).await
}

fn is_there(near: &Qualified) -> Statement {
    let mut values = Values::default();
    let near = values.text(near.to_string());
    let sql = format!("SELECT pg_catalog.to_regclass({near}) IS NOT NULL");
    Statement::with("looking for rows that were copied", sql, values)
}

/// Forgets the rows that were copied: they are no longer as they were.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub(in crate::pg) async fn forget(
    session: &Session,
    targets: impl Iterator<Item = &Target>,
) -> Result<()> {
    for (near, of) in in_shards(targets) {
        if session.holds(&may_read(doing(of), [of])).await? {
            let forget = format!("TRUNCATE {near}");
            session.run(&Statement::new(doing(of), forget)).await?;
        }
    }
    Ok(())
}

pub(in crate::pg) fn primary_key(of: &Qualified) -> Statement {
    let mut values = Values::default();
    let sql = format!(
        "SELECT a.attname::text FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(n, o) \
           JOIN pg_catalog.pg_attribute a ON a.attnum = k.n \
         WHERE i.indrelid = {}::pg_catalog.regclass AND i.indisprimary AND a.attrelid = i.indrelid ORDER BY k.o",
        values.text(of.to_string())
    );
    Statement::with(doing(of), sql, values)
}

pub(in crate::pg) fn create(near: &Qualified, of: &Qualified, key: &[String]) -> Statement {
    let bare = Ident(&near.name);
    let sql = format!(
        "DROP TABLE IF EXISTS {near}; CREATE TEMPORARY TABLE {bare} (LIKE {of}); CREATE UNIQUE INDEX ON {near} ({})",
        list(key.iter().map(|column| Ident(column)))
    );
    Statement::new(doing(of), sql)
}

impl Table {
    /// The rows `t` beside the query `keys`.
    pub(in crate::pg) fn near(&self, keys: String, on: String) -> Rows<'_> {
        Rows {
            of: &self.name,
            near: &self.rows,
            keys,
            on,
            parts: None,
        }
    }

    /// The row with the least number in a column; `None` of a column that holds no numbers.
    pub(in crate::pg) fn near_least(&self, column: &Column) -> Option<Rows<'_>> {
        if !matches!(column.kind, Kind::Integer | Kind::Decimal(_)) {
            return None;
        }
        let name = Ident(&column.name);
        let least = format!(
            "SELECT pg_catalog.min(x.{name}) AS least FROM {} x",
            self.name
        );
        let on = column.equality.equal(format_args!("t.{name}"), "s.least");
        Some(self.near(least, on))
    }

    /// The columns of the primary key, with their equality: what tells rows in shards apart.
    pub(in crate::pg) fn identity(&self) -> Vec<(&Column, &crate::table::schema::Equality)> {
        let primary = self.unique.iter().find(|index| index.primary);
        let parts = primary
            .into_iter()
            .flat_map(|index| index.columns.iter().zip(&index.equality));
        parts
            .filter_map(|(n, equality)| Some((self.column_by_number(*n)?, equality)))
            .collect()
    }
}

impl ForeignKey {
    /// The rows to which rows `a` refer; `from` is what follows `FROM`.
    pub(in crate::pg) fn near_parents(&self, from: &str) -> Rows<'_> {
        let columns = self.columns.iter().map(|c| format!("a.{}", Ident(c)));
        Rows {
            of: &self.parent,
            near: &self.parent_rows,
            keys: format!("SELECT DISTINCT {} FROM {from}", list(columns)),
            on: self.refers("t", "s"),
            parts: None,
        }
    }

    /// The rows that refer to rows `p`; `from` is what follows `FROM`.
    pub(in crate::pg) fn near_children(&self, from: &str) -> Rows<'_> {
        let columns = self
            .parent_columns
            .iter()
            .map(|c| format!("p.{}", Ident(c)));
        Rows {
            of: &self.child,
            near: &self.child_rows,
            keys: format!("SELECT DISTINCT {} FROM {from}", list(columns)),
            on: self.refers("s", "t"),
            parts: None,
        }
    }
}

impl Lookups {
    /// The rows with the numbers `n` of the query `keys`, and those by which they are named in turn.
    pub(in crate::pg) fn near_numbers<'l>(
        &'l self,
        lookup: &'l Lookup,
        keys: String,
    ) -> Vec<Rows<'l>> {
        let target = format!("t.{}", Ident(&lookup.target.name));
        let on = lookup.target.equality.equal(target, "s.n");
        let mut rows = Vec::new();
        for part in &lookup.by {
            if let Origin::Lookup(inner) = part.from {
                let inner_keys = format!(
                    "SELECT DISTINCT t.{} AS n FROM {} t JOIN ({keys}) s ON {on}",
                    Ident(&part.column.name),
                    lookup.rows
                );
                rows.extend(self.near_numbers(&self.all[inner], inner_keys));
            }
        }
        rows.insert(
            0,
            Rows {
                of: &lookup.relation,
                near: &lookup.rows,
                keys,
                on,
                parts: None,
            },
        );
        rows
    }

    /// The rows with the keys that stand as JSON in `k` of the query `keys`, and those by which they are named
    /// in turn.
    pub(in crate::pg) fn near_keys<'l>(&'l self, lookup: &'l Lookup, keys: &str) -> Vec<Rows<'l>> {
        let mut inner_rows = Vec::new();
        let on = all(lookup.by.iter().map(|part| {
            let (column, name) = (Ident(&part.column.name), Literal(&part.column.name));
            let value = match part.from {
                Origin::Field(_) => format!("(s.k ->> {name})::{}", part.column.base_type_sql),
                Origin::Lookup(inner) => {
                    let inner = &self.all[inner];
                    let number = format!(
                        "(s.k -> {name} ->> 'stored')::{}",
                        inner.target.base_type_sql
                    );
                    let numbers = format!("SELECT DISTINCT {number} AS n FROM ({keys}) s");
                    inner_rows.extend(self.near_numbers(inner, numbers));
                    inner_rows.extend(self.near_keys(
                        inner,
                        &format!("SELECT DISTINCT s.k -> {name} -> 'key' AS k FROM ({keys}) s"),
                    ));
                    number
                }
            };
            part.equality.equal(format!("t.{column}"), value)
        }));
        inner_rows.push(Rows {
            of: &lookup.relation,
            near: &lookup.rows,
            keys: keys.to_owned(),
            on,
            parts: None,
        });
        inner_rows
    }
}

/// The rows by which those of `target` that were copied are named: what their numbers refer to.
pub(in crate::pg) fn names(target: &Target) -> Vec<Rows<'_>> {
    let lookups = &target.lookups;
    let rows = lookups.answers().flat_map(|lookup| {
        let column = &target.table.columns[lookup.of].name;
        let keys = format!(
            "SELECT DISTINCT t.{} AS n FROM {} t",
            Ident(column),
            target.table.rows
        );
        lookups.near_numbers(lookup, keys)
    });
    rows.collect()
}
