//! What apply writes, for its [order](crate::pg::order): staged entries, and the versions that were compared.

use super::{THIS_VERSION, bits, writes};
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::Fate;
use crate::pg::order::{N, Which, Write, Written, columns_in, moved};
use crate::sql::{Ident, Statement, any, list};
use crate::table::schema::{Column, UniqueIndex};
use crate::table::target::Target;

impl Written for Staged {
    fn target(&self) -> &Target {
        &self.target
    }

    fn writes(&self, write: Write) -> bool {
        match write {
            Write::Delete => self.rows.delete > self.rows.mark,
            Write::Mark => self.rows.mark > 0,
            Write::Update => self.rows.update > 0,
            Write::Insert => self.rows.insert > 0,
        }
    }

    fn may_change(&self, column: &Column) -> bool {
        column.generation.is_some() || self.updates_of(column).is_some()
    }

    fn unique(&self) -> Vec<&UniqueIndex> {
        let table = &self.target.table;
        table.unique.iter().chain(&table.exclusions).collect()
    }

    fn places(&self, write: Write) -> String {
        let (versions, staged) = (self.versions(), self.temporary());
        let soft = match write {
            Write::Delete => " AND NOT s._soft",
            Write::Mark => " AND s._soft",
            Write::Update | Write::Insert => "",
        };
        format!(
            "SELECT b._n AS n, b._table AS tbl, b._tid AS tid FROM {versions} b JOIN {staged} s ON s._n = b._n \
             WHERE s._a = {}{soft}",
            fate(write)
        )
    }

    fn after(&self, write: Write, columns: &[&Column]) -> Option<String> {
        let columns = columns.iter().map(|column| {
            let value = match write {
                Write::Insert => self.inserted("s", &column.name)?,
                _ => self.after(column),
            };
            Some(format!("{value} AS {}", Ident(&column.name)))
        });
        let columns = list(columns.collect::<Option<Vec<String>>>()?);
        Some(format!(
            "SELECT s._n AS {N}, {columns} FROM {}",
            self.of(write)
        ))
    }

    fn held_after(&self, write: Write, index: &UniqueIndex) -> Option<String> {
        let columns = columns_in(self, index);
        let rows = match (write, index.is_plain()) {
            (Write::Update, true) => {
                let takes = any(columns.iter().filter_map(|c| self.updates_of(c)));
                format!("{} AND {takes}", Written::after(self, write, &columns)?)
            }
            // Any column may have a say in what the row holds there.
            (Write::Update, false) | (_, true) => Written::after(self, write, &columns)?,
            (_, false) => {
                let columns = columns.iter().map(|c| {
                    let value = self.inserted("s", &c.name);
                    format!("{} AS {}", value.unwrap_or_else(|| null(c)), Ident(&c.name))
                });
                format!(
                    "SELECT s._n AS {N}, {} FROM {}",
                    list(columns),
                    self.of(write)
                )
            }
        };
        let own = format!("x.{N} AS n");
        Some(index.held(&self.target.table, &own, format_args!("({rows})")))
    }
}

fn fate(write: Write) -> Fate {
    match write {
        Write::Delete | Write::Mark => Fate::Delete,
        Write::Update => Fate::Update,
        Write::Insert => Fate::Insert,
    }
}

/// A column's default, where it is the same each time.
fn by_default(column: &Column) -> Option<String> {
    let default = column.default.as_ref().filter(|_| !column.is_unknown())?;
    Some(format!("({default})::{}", column.base_type_sql))
}

fn null(column: &Column) -> String {
    format!("NULL::{}", column.base_type_sql)
}

impl Staged {
    pub(super) fn ordering(&self, sql: String) -> Statement {
        let doing = format!("ordering what is written to table {}", self.target.name);
        Statement::new(doing, sql)
    }

    /// The further condition that staged row `s` is one of these.
    pub(super) fn only(&self, which: Which) -> String {
        let moved = moved(self.target.place, "s._n");
        match which {
            Which::All => String::new(),
            Which::Turn(turn) => format!(" AND EXISTS ({moved} AND m.turn = {turn})"),
            Which::Rest => format!(" AND NOT EXISTS ({moved} AND m.turn > 0)"),
        }
    }

    /// For `FROM`, with its condition: staged rows `s` that are updated, beside their rows `t`, or inserted.
    fn of(&self, write: Write) -> String {
        let mut from = self.temporary().to_string() + " s";
        if write == Write::Update {
            from += &format!(
                " JOIN {} b ON b._n = s._n JOIN {} t ON {THIS_VERSION}",
                self.versions(),
                self.target.table.rows
            );
        }
        format!("{from} WHERE s._a = {}", fate(write))
    }

    /// The condition that update `s` may change a column; `None` where none does.
    fn updates_of(&self, column: &Column) -> Option<String> {
        if column.generation.is_some() {
            return Some("true".into());
        }
        let i = self.columns.iter().position(|c| *c == column.name)?;
        let mut sets = self.column_sets(Fate::Update);
        sets.any(|set| bits(set)[i]).then(|| writes("s", i))
    }

    /// What row `t` holds in a column once update `s` is written, as SQL.
    fn after(&self, column: &Column) -> String {
        if let Some(expression) = &column.generation {
            return self.generated(column, expression, |c| self.after(c));
        }
        let name = Ident(&column.name);
        match self.columns.iter().position(|c| *c == column.name) {
            Some(i) => format!(
                "CASE WHEN {} THEN s.{} ELSE t.{name} END",
                writes("s", i),
                column.staged()
            ),
            None => format!("t.{name}"),
        }
    }

    /// What the row that insert `alias` writes holds in a column, as SQL; `None` of one that the plan does not give and
    /// whose default is nothing, or another each time: to that, nothing of this plan refers.
    pub(super) fn inserted(&self, alias: &str, name: &str) -> Option<String> {
        let column = self.target.table.column(name)?;
        let staged = |name: &str| match self.staged_column(name) {
            Some(staged) => Some(self.given(alias, name, staged)),
            None => self.target.table.column(name).and_then(by_default),
        };
        match &column.generation {
            None => staged(name),
            Some(expression) => Some(self.generated(column, expression, |c| {
                staged(&c.name).unwrap_or_else(|| null(c))
            })),
        }
    }

    /// What insert `alias` writes to a staged column: what it gives, or else its default.
    fn given(&self, alias: &str, name: &str, staged: String) -> String {
        let staged = format!("{alias}.{staged}");
        let Some(i) = self.columns.iter().position(|c| c == name) else {
            return staged;
        };
        let mut sets = self.column_sets(Fate::Insert);
        match self.target.table.column(name).and_then(by_default) {
            Some(default) if sets.any(|set| !bits(set)[i]) => {
                format!(
                    "CASE WHEN {} THEN {staged} ELSE {default} END",
                    writes(alias, i)
                )
            }
            _ => staged,
        }
    }

    /// A generated column's value, where the others hold what `of` says.
    fn generated(
        &self,
        column: &Column,
        expression: &str,
        of: impl Fn(&Column) -> String,
    ) -> String {
        let others = self.target.table.columns.iter();
        let others = others.filter(|c| c.generation.is_none());
        let others = others.map(|c| format!("{} AS {}", of(c), Ident(&c.name)));
        format!(
            "(SELECT ({expression})::{} FROM (SELECT {}) x)",
            column.base_type_sql,
            list(others)
        )
    }
}
