//! Values that must be unique, that rows had before, and that others have now.

use super::Undo;
use crate::error::Result;
use crate::pg::Session;
use crate::sql::{Ident, Literal, Statement, any, list};
use crate::table::row::keys_equal;
use crate::table::schema::UniqueIndex;

/// At most so many rows are named.
const NAMED: usize = 5;

/// The name of the row that comes back, beside the columns of its table.
const ID: &str = "\"loader id\"";

impl Undo<'_> {
    /// That no row which stays as it is has a value that must be unique and that rows get again. Of tables in shards,
    /// the indexes themselves have to speak.
    ///
    /// # Errors
    /// [`Blocked`](crate::ErrorKind::Blocked) naming rows, [`Database`](crate::ErrorKind::Database).
    pub async fn taken(&self, session: &Session) -> Result<()> {
        let (table, counts) = (&self.target.table, &self.written.counts);
        if table.kind.is_far() || counts.update + counts.delete == 0 {
            return Ok(());
        }
        let key = table.key_index(&self.target.config.natural_key);
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
                let [own, other] =
                    [row.text(0)?, row.text(1)?].map(|id| session.name_row(name, id));
                Ok(format!("{own} (the row {other} has it)"))
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
        let before = table.columns.iter().map(|c| {
            let value = c.of_text(&format!("s.before ->> {}", Literal(&c.name)));
            format!("{value} AS {}", Ident(&c.name))
        });
        let read = index.columns.iter().map(|n| table.column_by_number(*n));
        let read: Option<Vec<_>> = read.collect();
        let changes = match read.filter(|_| index.predicate.is_none()) {
            Some(columns) => any(columns.into_iter().map(|c| {
                let name = Literal(&c.name);
                format!("(s.before ->> {name}) IS DISTINCT FROM (s.after ->> {name})")
            })),
            // Any column may have a say in what the row holds there.
            None => "true".to_owned(),
        };
        let again = format!(
            "(SELECT s.record_id AS {ID}, {} FROM {undo} s WHERE s.before IS NOT NULL AND {changes})",
            list(before),
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
            same = keys_equal(&self.target.key(), "s", "t"),
        );
        Statement::new(
            self.doing("looking for rows that have what must be unique of"),
            sql,
        )
    }
}
