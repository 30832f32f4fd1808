//! The writes of an apply: few statements for each table, each with the number of rows that it
//! must touch.

mod delete;
pub(in crate::pg) mod handover;
pub(in crate::pg) mod insert;
mod lock;
mod order;
mod parents;
pub(in crate::pg) mod rows;
mod settle;
mod update;

use crate::error::Result;
use crate::pg::apply::origin::Origin;
use crate::pg::apply::staged::Staged;
use crate::pg::phase::Phase;
use crate::pg::{Event, OnProgress, Session, must_write};
use crate::sql::{Ident, Statement, list};
use crate::table::schema::Column;

use order::Order;

/// What is written to one table.
pub struct Work<'s> {
    staged: &'s Staged,
    order: Order,
    /// The last step of its updates, from 0.
    steps: u32,
    /// Whether its new rows have to be written in the order of their numbers.
    in_order: bool,
    /// Rows inserted so far.
    inserted: u64,
    /// Rows updated so far.
    updated: u64,
}

impl Work<'_> {
    /// When the updates are written that are neither first nor last; `None` where all are.
    fn others(&self) -> Option<Phase> {
        (self.order.first + self.order.last > 0).then_some(Phase::Update)
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
    pub async fn put_in_order<'s>(&self, tables: &'s [Staged]) -> Result<Vec<Work<'s>>> {
        let mut in_order = Vec::with_capacity(tables.len());
        for staged in tables {
            in_order.push(self.put_parents_first(staged).await?);
        }
        let order = self.find_order(tables).await?;
        let mut work = Vec::with_capacity(tables.len());
        for ((staged, order), in_order) in tables.iter().zip(order).zip(in_order) {
            let steps = self.find_steps(staged).await?;
            work.push(Work {
                staged,
                order,
                steps,
                in_order,
                inserted: 0,
                updated: 0,
            });
        }
        Ok(work)
    }

    /// Writes table by table, in the order that [`Phase`] says. Updates of a table that take what others of it free come
    /// in steps. `wrote` takes how many rows each write touched.
    pub async fn write(&self, mut work: Vec<Work<'_>>, wrote: &mut impl FnMut(u64)) -> Result<()> {
        for work in work.iter_mut().filter(|w| w.order.early > 0) {
            self.insert(work, Some(Phase::EarlyInsert), wrote).await?;
        }
        for work in work.iter_mut().filter(|w| w.order.first > 0) {
            self.update(work, Some(Phase::FirstUpdate), wrote).await?;
        }
        for work in work.iter_mut().rev() {
            self.delete(work.staged).await?;
            wrote(work.staged.rows.delete);
            if work.order.leave > 0 {
                self.update(work, work.others(), wrote).await?;
            }
        }
        for work in &mut work {
            if work.order.leave == 0 {
                self.update(work, work.others(), wrote).await?;
            }
            let others = (work.order.early > 0).then_some(Phase::Insert);
            self.insert(work, others, wrote).await?;
        }
        for work in work.iter_mut().filter(|w| w.order.last > 0) {
            self.update(work, Some(Phase::LastUpdate), wrote).await?;
        }
        for work in &work {
            let (name, rows) = (&work.staged.target.name, &work.staged.rows);
            must_write(&format!("updating table {name}"), rows.update, work.updated)?;
            must_write(
                &format!("inserting into table {name}"),
                rows.insert,
                work.inserted,
            )?;
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

impl Staged {
    /// Whether an update may change a column.
    fn may_change(&self, column: &Column) -> bool {
        column.generation.is_some() || self.columns.contains(&column.name)
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

    /// What the row that insert `alias` writes holds in a column, as SQL; `None` of one that the plan does not
    /// give: to what the database gives by itself, nothing of this plan refers.
    fn inserted(&self, alias: &str, name: &str) -> Option<String> {
        let staged = |name: &str| Some(format!("{alias}.{}", self.staged_column(name)?));
        let column = self.target.table.column(name)?;
        match &column.generation {
            None => staged(name),
            Some(expression) => Some(self.generated(column, expression, |c| {
                staged(&c.name).unwrap_or_else(|| format!("NULL::{}", c.base_type_sql))
            })),
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

/// Whether staged row `alias` writes the column at `i` of those that changes write.
pub(super) fn writes(alias: &str, i: usize) -> String {
    format!("pg_catalog.substr({alias}._columns, {}, 1) = '1'", i + 1)
}

/// Which columns are in a set.
pub(super) fn bits(set: &str) -> Vec<bool> {
    set.bytes().map(|b| b == b'1').collect()
}
