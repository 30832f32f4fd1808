//! Values that must be unique, that rows had before, and that others have now.

use super::Undo;
use crate::error::{Error, Result};
use crate::pg::Session;
use crate::sql::{Ident, Literal, Statement, all, any, list};
use crate::table::row::keys_equal;
use crate::table::schema::{Column, Table, UniqueIndex};
use crate::table::target::Guard;

/// At most so many rows are named.
pub(super) const NAMED: usize = 5;

/// The name of the row that comes back, beside the columns of its table.
pub(super) const ID: &str = "\"loader id\"";

impl Undo<'_> {
    /// That no row which stays as it is has a value that must be unique and that rows get again, nor the natural key of
    /// a row that is taken back. Of tables in shards, the indexes themselves have to speak.
    ///
    /// # Errors
    /// [`Blocked`](crate::ErrorKind::Blocked) naming rows, [`Database`](crate::ErrorKind::Database).
    pub async fn taken(&self, session: &Session) -> Result<()> {
        let (table, counts) = (&self.target.table, &self.written.counts);
        if table.kind.is_far() {
            return Ok(());
        }
        if counts.update + counts.delete > 0 {
            self.values_taken(session).await?;
        }
        self.keys_taken(session).await
    }

    async fn values_taken(&self, session: &Session) -> Result<()> {
        let table = &self.target.table;
        let key = self.key_of_all_rows();
        // What may stay as it is, need not come back.
        let stays = |number: &i16| {
            let column = table.column_by_number(*number);
            column.is_some_and(|column| self.may_stay(column))
        };
        let others = table.unique.iter().filter(|index| Some(*index) != key);
        for index in others.filter(|index| !index.columns.iter().any(stays)) {
            let rows = session.rows(&self.find_taken(index)).await?;
            if rows.is_empty() {
                continue;
            }
            let name = &self.target.name;
            let named = rows.iter().map(|row| {
                let (own, other) = (row.text(0)?, row.text(1)?);
                let has = match own == other {
                    true => "another row with this key".to_owned(),
                    false => format!("the row {}", session.name_row(name, other)),
                };
                Ok(format!("{} ({has} has it)", session.name_row(name, own)))
            });
            let named: Vec<String> = named.collect::<Result<_>>()?;
            let why = format!(
                "have what must be unique and another row has now ({})",
                index.name
            );
            let marks = match self.target.mark() {
                Some(_) if index.predicate.is_none() => {
                    "; rows that are only marked as deleted (soft_delete) keep what must be unique, and a unique index of the \
                     rows that are not marked would allow this"
                }
                _ => "",
            };
            let then = format!(
                "take those rows back with them, or before, or have them give it up{marks}"
            );
            return Err(self.cannot_come_back(&why, &named, &then));
        }
        Ok(())
    }

    /// Some of the rows that get a value in `index` again which another row has that is not taken back, each with that
    /// one.
    pub(in crate::pg) fn find_taken(&self, index: &UniqueIndex) -> Statement {
        let table = &self.target.table;
        let before = before(table);
        let read = index.columns.iter().map(|n| table.column_by_number(*n));
        let read: Option<Vec<&Column>> = read.collect();
        let read = read.and_then(|mut columns| match &index.predicate {
            None => Some(columns),
            Some(predicate) => {
                let (mark, _) = self.target.marks()?;
                columns.push(mark);
                self.target.is_live(predicate).then_some(columns)
            }
        });
        let changes = match read {
            Some(columns) => any(columns.into_iter().map(|c| {
                let name = Literal(&c.name);
                format!("(s.before ->> {name}) IS DISTINCT FROM (s.after ->> {name})")
            })),
            // Any column may have a say in what the row holds there.
            None => "true".to_owned(),
        };
        let again = format!(
            "(SELECT s.record_id AS {ID}, {} FROM {undo} s WHERE s.before IS NOT NULL AND {changes})",
            before,
            undo = self.temporary()
        );
        let again = index.held(table, &format!("x.{ID}"), again);
        let now = index.held(table, "x.tableoid AS tbl, x.ctid AS tid", &table.rows);
        // A row that is only marked keeps what it has, where it does not leave the index with that.
        let gives_up = match self.target.mark() {
            Some(_) if index.predicate.is_none() => " AND s.before IS NOT NULL",
            _ => "",
        };
        let sql = format!(
            "WITH found AS MATERIALIZED (SELECT a.{ID} AS id, t.tbl, t.tid FROM ({again}) a JOIN ({now}) t ON {equal}) \
             SELECT f.id, {who} FROM found f JOIN {rows} t ON t.ctid = f.tid AND t.tableoid = f.tbl \
             WHERE NOT EXISTS (SELECT FROM {undo} s WHERE {same}{gives_up}) ORDER BY f.id COLLATE \"C\", 2 LIMIT {NAMED}",
            equal = index.equal("a", "t"),
            who = self.target.record_id("t"),
            rows = table.rows,
            undo = self.temporary(),
            same = self.is_its_row("s", "t"),
        );
        Statement::new(
            self.doing("looking for rows that have what must be unique of"),
            sql,
        )
    }

    /// That no other row that lives has the natural key of a row that is taken back, where no index sees to that: apply
    /// would not know which row is meant.
    async fn keys_taken(&self, session: &Session) -> Result<()> {
        if self.target.guard() != Guard::Lock {
            return Ok(());
        }
        let name = &self.target.name;
        let keys = session.column(&self.find_keys_taken()).await?;
        if keys.is_empty() {
            return Ok(());
        }
        let named: Vec<String> = keys.iter().map(|id| session.name_row(name, id)).collect();
        let live = match self.target.mark() {
            Some(_) => " that are not marked as deleted",
            None => "",
        };
        Err(Error::blocked(format!(
            "{}: other rows{live} have the natural key of rows that are to be taken back: {}; settle which row is meant, and \
             have the other go or get another key",
            crate::text::escape(name),
            named.join(", ")
        )))
    }

    /// The natural keys of some rows that live, now or when they are taken back, and that other rows have which live.
    pub(in crate::pg) fn find_keys_taken(&self) -> Statement {
        let beside = self.beside();
        let [before, now] = ["before", "after"].map(|image| match self.target.marks() {
            None => "true".to_owned(),
            Some((column, mark)) => {
                let value = column.of_text(&format!("s.{image} ->> {}", Literal(&column.name)));
                format!("(s.{image} IS NOT NULL AND {})", mark.lives(&value))
            }
        });
        let sql = format!(
            "SELECT s.record_id FROM {found} WHERE {live} AND ({before} OR {now}) GROUP BY s.record_id \
             HAVING pg_catalog.count(*) > CASE WHEN pg_catalog.bool_or({now}) THEN 1 ELSE 0 END ORDER BY 1 LIMIT {NAMED}",
            found = beside.found(),
            live = beside.live(),
        );
        Statement::new(
            self.doing("looking for other rows with the natural keys of"),
            sql,
        )
    }

    /// The unique index by which a natural key finds one row at most, of all rows.
    fn key_of_all_rows(&self) -> Option<&UniqueIndex> {
        let key = self.target.table.key_index(&self.target.config.natural_key);
        key.filter(|index| index.predicate.is_none())
    }

    /// The condition that `row` is the row of change `s`, which is as that left it. Where a key may find several rows,
    /// the others have it, too.
    pub(super) fn is_its_row(&self, s: &str, row: &str) -> String {
        let same = keys_equal(&self.target.key(), s, row);
        if self.key_of_all_rows().is_some() {
            return same;
        }
        let as_left = format!(
            "{} OPERATOR(pg_catalog.@>) ({s}.after{})",
            self.target.table.image(row),
            self.without_ignored()
        );
        all([same, as_left])
    }
}

/// What the columns of `table` hold in a row as it was before change `s`, under their names.
pub(super) fn before(table: &Table) -> String {
    list(
        table
            .columns
            .iter()
            .map(|c| format!("{} AS {}", c.of_image("s.before"), Ident(&c.name))),
    )
}
