//! Rows of tables in shards, brought near: copied as they are into temporary tables of this server, where all
//! that is asked of rows can be asked. What a table in shards does not take stands here and in
//! `apply::write::rows` alone.
//!
//! Copied are the rows that matter, before each question: those with the keys of what is staged, those to which
//! they refer, those that refer to them (`which`). A row is copied once, by its primary key.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::privileges::may_read;
use crate::pg::shards::{Part, Parts};
use crate::sql::{Ident, Qualified, Statement, Temporary, Values, list};
use crate::table::kind::TableKind;
use crate::table::lookup::Lookups;
use crate::table::schema::Table;
use crate::table::target::Target;

mod which;

pub(in crate::pg) use which::names;

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
        for key in target.referrers() {
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
    if let Some(how) = session.column(&kept_otherwise(of)).await?.first() {
        return Err(Error::config(format!(
            "{of} is in shards and {how}: what cannot be changed there row by row could not be loaded or rolled back; \
             distribute it by hash, with the access method heap"
        )));
    }
    session.run(&create(near, of, &key)).await
}

/// How a table in shards is kept, where that is otherwise than loads know of.
fn kept_otherwise(of: &Qualified) -> Statement {
    let mut values = Values::default();
    let sql = format!(
        "SELECT k.how FROM (SELECT CASE WHEN p.partmethod NOT IN ('h', 'n') THEN 'not distributed by hash' \
           WHEN m.amname <> 'heap' THEN 'kept by the access method ' || m.amname END AS how \
           FROM pg_catalog.pg_class c JOIN pg_catalog.pg_dist_partition p ON p.logicalrelid = c.oid \
           LEFT JOIN pg_catalog.pg_am m ON m.oid = c.relam \
           WHERE c.oid = {}::pg_catalog.regclass) k WHERE k.how IS NOT NULL",
        values.text(of.to_string())
    );
    Statement::with(doing(of), sql, values)
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
