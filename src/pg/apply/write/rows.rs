//! The two ways in which rows are written that are there. In a table of this server a row is found by the version
//! that was compared. In one in shards, rows have neither place nor version that can be relied on: there it is
//! found by its primary key, beside what is staged on this server. Nobody else writes to such a table meanwhile
//! (`apply::locked`), so that it is the row that was compared.
//!
//! In a table of this server that triggers or foreign keys of the plan's other tables change (`allow_side_effects`),
//! a row has another version after they did, and is found by its key, too.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Context, THIS_VERSION};
use crate::error::Result;
use crate::pg::Session;
use crate::pg::apply::staged::Staged;
use crate::pg::shards::{Part, Parts};
use crate::sql::{Literal, Qualified, Statement, Temporary, all, list, text_array};
use crate::table::kind::TableKind;
use crate::table::row::text;
use crate::table::schema::Column;

/// So many bytes of rows are sent at once to a table that meets no temporary one. Rows that refer to each other can only
/// go together: of keys, these are some hundred thousand.
const AT_ONCE: usize = 8 << 20;

/// A write to rows that are there.
pub(in crate::pg) enum RowWrite {
    /// By the version that was compared.
    ByVersion(Statement),
    /// By the primary key, beside temporary tables, which are sent to where the shards are.
    Beside(Box<Beside>),
    /// By the primary key, beside values: a table of which there are copies meets no temporary one.
    BesideValues(Values),
}

/// A write beside a temporary table of what is written, by shard.
pub(in crate::pg) struct Beside {
    doing: String,
    head: String,
    end: String,
    /// What is selected.
    columns: String,
    /// For `FROM`, with its condition: where it comes from.
    from: String,
    of: Qualified,
    column: Column,
    /// The name of that column's values.
    value: String,
}

/// A write beside values.
pub(in crate::pg) struct Values {
    doing: String,
    /// All before the values.
    head: String,
    /// All behind them.
    end: String,
    /// Name, value and type of each column of the values.
    columns: Vec<(String, String, String)>,
    /// For `FROM`, with its condition: where they come from.
    from: String,
}

impl Context<'_> {
    /// Writes. Returns how many rows were touched.
    pub(super) async fn write_rows(&self, write: &RowWrite) -> Result<u64> {
        let values = match write {
            RowWrite::ByVersion(statement) => return self.session.execute(statement).await,
            RowWrite::Beside(beside) => return beside.write(self.session).await,
            RowWrite::BesideValues(values) => values,
        };
        let rows = self.session.column(&values.read()).await?;
        let mut touched = 0;
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let (rows, more) = rest.split_at(that_fit(rest));
            touched += self.session.execute(&values.write(rows)).await?;
            rest = more;
        }
        Ok(touched)
    }
}

/// How many of these rows, of which there are some, are sent at once.
fn that_fit(rows: &[String]) -> usize {
    let mut bytes = 0;
    let fit = rows.iter().take_while(|row| {
        bytes += row.len();
        bytes <= AT_ONCE
    });
    fit.count().max(1)
}

impl Beside {
    async fn write(&self, session: &Session) -> Result<u64> {
        // To drop a table is an effect that nobody planned: each write has its own.
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let parts = self.parts(number);
        let rows = session.execute(&self.collect(&parts)).await?;
        session.run(&self.index(&parts)).await?;
        let written = parts.each(session, rows, |part| self.write_part(&parts, part));
        written.await
    }

    pub(in crate::pg) fn parts(&self, number: usize) -> Parts<'_> {
        Parts {
            of: &self.of,
            column: &self.column,
            rows: Temporary {
                what: "write",
                number,
            },
            value: self.value.clone(),
        }
    }

    pub(in crate::pg) fn collect(&self, parts: &Parts<'_>) -> Statement {
        let sql = format!(
            "CREATE TEMPORARY TABLE {} AS SELECT {} AS _shard, {} FROM {}",
            parts.rows.bare(),
            parts.shard_of(&self.column.stored("t")),
            self.columns,
            self.from
        );
        Statement::new(&self.doing, sql)
    }

    fn index(&self, parts: &Parts<'_>) -> Statement {
        let rows = parts.rows;
        let sql = format!("CREATE INDEX ON {rows} (_shard); ANALYZE {rows}");
        Statement::new(&self.doing, sql)
    }

    pub(in crate::pg) fn write_part(&self, parts: &Parts<'_>, part: &Part) -> Statement {
        let sql = format!(
            "{} (SELECT k.* FROM {} k WHERE {} OFFSET 0) s{} AND {}",
            self.head, parts.rows, part.is_of, self.end, part.is_there
        );
        Statement::new(&self.doing, sql)
    }
}

impl Values {
    /// Reads them, each row as JSON of texts.
    pub(in crate::pg) fn read(&self) -> Statement {
        let texts = self.columns.iter();
        let texts = texts.map(|(_, value, _)| text(value, false));
        let sql = format!(
            "SELECT pg_catalog.to_json({})::text FROM {}",
            text_array(texts),
            self.from
        );
        Statement::new(&self.doing, sql)
    }

    /// The write beside these rows, as [`Values::read`] gives them.
    pub(in crate::pg) fn write(&self, rows: &[String]) -> Statement {
        let columns = self.columns.iter().enumerate();
        let columns = columns.map(|(i, (name, _, ty))| format!("(j.v ->> {i})::{ty} AS {name}"));
        let sql = format!(
            "{} (SELECT {} FROM pg_catalog.json_array_elements({}::pg_catalog.json) j(v) OFFSET 0) s{}",
            self.head,
            list(columns),
            Literal(&format!("[{}]", list(rows))),
            self.end
        );
        Statement::new(&self.doing, sql)
    }
}

impl Staged {
    /// The condition that `t` is the row of version `b`. It is locked and compared, so that its key says so, too,
    /// where what was written before may have given it another version.
    fn this_row(&self) -> String {
        if !self.target.is_followed {
            return THIS_VERSION.to_owned();
        }
        let primary = self.target.table.identity().into_iter();
        let mut key: Vec<_> = primary.map(|(c, equality)| (c, equality.clone())).collect();
        if key.is_empty() {
            key = self.target.key();
        }
        all(key.into_iter().map(|(column, equality)| {
            let was = column.of_text(&format!("b.image ->> {}", Literal(&column.name)));
            equality.equal(column.stored("t"), was)
        }))
    }

    /// The write that begins with `head`, to the rows `t` of the versions `b` that `versions` has beside staged rows
    /// `s`, of those with the further condition `only`; `head` reads the staged columns `cells`, each with its type.
    pub(in crate::pg) fn write_rows(
        &self,
        doing: String,
        head: String,
        (versions, only): (&str, &str),
        cells: Vec<(String, &str)>,
    ) -> RowWrite {
        let table = &self.target.table;
        if !table.kind.is_far() {
            let sql = format!("{head} {versions} WHERE {}{only}", self.this_row());
            return RowWrite::ByVersion(Statement::new(doing, sql));
        }
        let identity = table.identity();
        let identity = identity.iter().enumerate();
        let equal = identity.clone().map(|(i, (column, equality))| {
            equality.equal(column.stored("t"), format_args!("s._k{i}"))
        });
        let end = format!(" WHERE {}", all(equal));
        let own = identity.map(|(i, (column, _))| {
            let ty = column.base_type_sql.clone();
            (format!("_k{i}"), column.stored("t"), ty)
        });
        let staged = cells.into_iter();
        let staged = staged.map(|(name, ty)| (name.clone(), format!("s.{name}"), ty.to_owned()));
        let columns: Vec<(String, String, String)> = own.chain(staged).collect();
        let from = format!(
            "{versions} JOIN {} t ON {THIS_VERSION} WHERE true{only}",
            table.rows
        );
        if let TableKind::Distributed { column } = &table.kind
            && let Some(at) = table.identity().iter().position(|(c, _)| c.name == *column)
            && let Some(column) = table.column(column)
        {
            let columns = columns.iter();
            let columns = columns.map(|(name, value, _)| format!("{value} AS {name}"));
            return RowWrite::Beside(Box::new(Beside {
                doing,
                head,
                end,
                columns: list(columns),
                from,
                of: table.name.clone(),
                column: column.clone(),
                value: format!("_k{at}"),
            }));
        }
        RowWrite::BesideValues(Values {
            doing,
            head,
            end,
            columns,
            from,
        })
    }
}
