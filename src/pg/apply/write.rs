//! The writes of an apply: few statements for each table, each with the number of rows that it
//! must touch.

mod delete;
pub(in crate::pg) mod insert;
mod lock;
mod parents;
pub(in crate::pg) mod rows;
mod settle;
mod update;
mod written;

use std::collections::BTreeMap;

use crate::error::Result;
use crate::pg::apply::origin::Origin;
use crate::pg::apply::staged::Staged;
use crate::pg::order::{self, Turns, Wait, Write};
use crate::pg::{Event, OnProgress, Session, must_write};
use crate::sql::Statement;

/// What is written, and when.
pub struct Work<'s> {
    tables: Vec<TableWork<'s>>,
    /// The rows that are written before the others.
    turns: Turns,
}

/// What is written to one table.
struct TableWork<'s> {
    staged: &'s Staged,
    /// Whether its new rows have to be written in the order of their numbers.
    in_order: bool,
    /// Rows written so far.
    written: BTreeMap<Write, u64>,
}

impl TableWork<'_> {
    fn wrote(&mut self, write: Write, rows: u64) {
        *self.written.entry(write).or_default() += rows;
    }
}

/// What every write knows about its apply.
pub struct Context<'a> {
    /// The session, inside the transaction.
    pub session: &'a Session,
    /// Who applies what.
    pub origin: Origin<'a>,
    /// Takes what begins.
    pub on_progress: OnProgress<'a>,
}

/// That row `t` is the version `b` that was compared.
const THIS_VERSION: &str = "t.tableoid = b._table AND t.ctid = b._tid";

impl Context<'_> {
    fn begins(&self, what: &'static str, staged: &Staged) {
        (self.on_progress)(Event::phase_of(what, &staged.target.name));
    }

    /// Finds the order in which is written, so that constraints which cannot be deferred hold after each statement.
    pub async fn put_in_order<'s>(&self, tables: &'s [Staged]) -> Result<Work<'s>> {
        let mut work = Vec::with_capacity(tables.len());
        for staged in tables {
            work.push(TableWork {
                staged,
                in_order: self.put_parents_first(staged).await?,
                written: BTreeMap::new(),
            });
        }
        Ok(Work {
            tables: work,
            turns: order::find(self.session, Wait::all(tables), true).await?,
        })
    }

    /// Writes turn by turn, and then the rest, each table by table: see [`order`](crate::pg::order). `wrote` takes how
    /// many rows each write touched.
    pub async fn write(&self, mut work: Work<'_>, wrote: &mut impl FnMut(u64)) -> Result<()> {
        let Work { tables, turns } = &mut work;
        for turn in (1..=turns.last()).map(Some).chain([None]) {
            let which =
                |work: &TableWork<'_>, write| turns.which(turn, work.staged.target.place, write);
            for work in tables.iter_mut().rev() {
                for write in [Write::Delete, Write::Mark] {
                    if let Some(which) = which(work, write) {
                        self.delete(work, write, which, wrote).await?;
                    }
                }
            }
            for work in tables.iter_mut() {
                if let Some(which) = which(work, Write::Update) {
                    self.update(work, which, wrote).await?;
                }
                if let Some(which) = which(work, Write::Insert) {
                    self.insert(work, which, wrote).await?;
                }
            }
        }
        for work in tables {
            let (name, rows) = (&work.staged.target.name, &work.staged.rows);
            let written = |write: &[Write]| {
                write
                    .iter()
                    .filter_map(|write| work.written.get(write))
                    .sum()
            };
            for (doing, planned, written) in [
                (
                    "deleting from",
                    rows.delete,
                    written(&[Write::Delete, Write::Mark]),
                ),
                ("updating", rows.update, written(&[Write::Update])),
                ("inserting into", rows.insert, written(&[Write::Insert])),
            ] {
                must_write(&format!("{doing} table {name}"), planned, written).map_err(|e| {
                    e.and(format_args!(
                        " ({}); nothing was written",
                        work.staged.triggers()
                    ))
                })?;
            }
        }
        Ok(())
    }

    /// Runs `work` while the planner assumes that the rows in question have just been read or written: then to
    /// fetch one by its version costs next to nothing, and a scan of the table does not pay.
    pub async fn assume_cached<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.page_cost("0.1").await?;
        let done = work.await?;
        self.page_cost("DEFAULT").await?;
        Ok(done)
    }

    async fn page_cost(&self, cost: &str) -> Result<()> {
        let sql =
            format!("SET LOCAL seq_page_cost TO {cost}; SET LOCAL random_page_cost TO {cost}");
        let set = Statement::new("telling the planner what is in memory", sql);
        self.session.run(&set).await
    }
}

/// Whether staged row `alias` writes the column at `i` of those that changes write.
pub(super) fn writes(alias: &str, i: usize) -> String {
    format!("pg_catalog.substr({alias}._columns, {}, 1) = '1'", i + 1)
}

/// Which columns are in a set.
pub(super) fn bits(set: &str) -> Vec<bool> {
    set.bytes().map(|b| b == b'1').collect()
}
