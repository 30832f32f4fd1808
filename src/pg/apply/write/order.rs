//! Writes that cannot be made with the others of their table, for the sake of references: see [`Phase`].

use super::{Context, THIS_VERSION};
use crate::error::Result;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::Fate;
use crate::pg::phase::Phase;
use crate::sql::{Ident, Statement, Temporary, all};
use crate::table::schema::{Column, ForeignKey};

/// How many rows of one table are written before or after the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// New rows that come before all else.
    pub(super) early: u64,
    /// Updates that come first.
    pub(super) first: u64,
    /// Updates that cease to refer to a row of a table before, which goes behind them.
    pub(super) leave: u64,
    /// Updates that come last.
    pub(super) last: u64,
}

/// Which rows of a parent table an update refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parents {
    /// Those that go, to which it refers now.
    Going,
    /// New ones, to which it will refer.
    New,
}

impl Context<'_> {
    /// Finds what is written before or after the others, of each table.
    pub(super) async fn find_order(&self, tables: &[Staged]) -> Result<Vec<Order>> {
        let mut order = vec![Order::default(); tables.len()];
        let pairs = || (0..tables.len()).flat_map(|i| (0..tables.len()).map(move |j| (i, j)));
        let goes = |j: usize| tables[j].rows.delete > tables[j].rows.mark;
        for (i, j) in pairs().filter(|(i, j)| goes(*j) && j >= i) {
            order[i].first += self
                .mark(&tables[i].leaving(&tables[j], Phase::FirstUpdate))
                .await?;
        }
        for (i, j) in pairs().filter(|(i, j)| goes(*j) && j < i) {
            order[i].leave += self
                .mark(&tables[i].leaving(&tables[j], Phase::Update))
                .await?;
        }
        self.find_early(tables, &mut order).await?;
        for (i, j) in pairs().filter(|(_, j)| tables[*j].rows.insert > 0) {
            if j >= i || order[i].leave > 0 {
                order[i].last += self.mark(&tables[i].last(&tables[j])).await?;
            }
        }
        Ok(order)
    }

    /// Finds the new rows to which updates refer that are written before a row goes, and those to which
    /// these refer in turn.
    async fn find_early(&self, tables: &[Staged], order: &mut [Order]) -> Result<()> {
        let new = || tables.iter().filter(|t| t.rows.insert > 0);
        if new().count() == 0 || order.iter().all(|o| o.first + o.leave == 0) {
            return Ok(());
        }
        for staged in new() {
            self.session.run(&staged.create_early()).await?;
        }
        let mut is_first = true;
        loop {
            let mut found = 0;
            for (i, child) in tables.iter().enumerate() {
                let refers = if is_first {
                    order[i].first + order[i].leave
                } else {
                    order[i].early
                };
                for (j, parent) in tables.iter().enumerate() {
                    if refers == 0 || parent.rows.insert == 0 {
                        continue;
                    }
                    let statements = if is_first {
                        child.needed_early(parent)
                    } else {
                        child.needed_earlier(parent)
                    };
                    let early = self.mark(&statements).await?;
                    order[j].early += early;
                    found += early;
                }
            }
            if found == 0 {
                return Ok(());
            }
            is_first = false;
        }
    }

    async fn mark(&self, statements: &[Statement]) -> Result<u64> {
        let mut marked = 0;
        for statement in statements {
            marked += self.session.execute(statement).await?;
        }
        Ok(marked)
    }
}

impl Staged {
    /// New rows that are written before all else, by number.
    fn early(&self) -> Temporary {
        Temporary {
            what: "early",
            number: self.target.place,
        }
    }

    /// The condition that staged insert `s` is written in `phase`.
    pub(super) fn inserted_in(&self, phase: Phase) -> String {
        let not = match phase {
            Phase::EarlyInsert => "",
            _ => "NOT ",
        };
        format!(
            " AND {not}EXISTS (SELECT FROM {} e WHERE e._n = s._n)",
            self.early()
        )
    }

    pub(super) fn ordering(&self, sql: String) -> Statement {
        let doing = format!("ordering what is written to table {}", self.target.name);
        Statement::new(doing, sql)
    }

    pub(in crate::pg) fn create_early(&self) -> Statement {
        self.ordering(format!(
            "CREATE TEMPORARY TABLE {} (_n bigint PRIMARY KEY)",
            self.early().bare()
        ))
    }

    /// Marks the updates that cease to refer to a row of `parent` that goes.
    pub(in crate::pg) fn leaving(&self, parent: &Staged, phase: Phase) -> Vec<Statement> {
        let found = format!(
            " AND ps._a = {delete} AND NOT ps._soft AND pb._n = ps._n AND p.tableoid = pb._table AND p.ctid = pb._tid",
            delete = Fate::Delete
        );
        let from = format!(", {} pb, {} p", parent.versions(), parent.target.table.rows);
        let refers = self.refers(parent, Parents::Going, |_| true);
        let marks =
            refers.map(|refers| self.set_phase(parent, phase, &from, &format!("{refers}{found}")));
        marks.collect()
    }

    /// Marks the updates, of those that are not marked, that begin to refer to a new row of `parent`.
    pub(in crate::pg) fn last(&self, parent: &Staged) -> Vec<Statement> {
        let refers = self.refers(parent, Parents::New, |_| true);
        let marks = refers.map(|refers| {
            let refers = format!("{refers} AND ps._a = {}", Fate::Insert);
            self.set_phase(parent, Phase::LastUpdate, "", &refers)
        });
        marks.collect()
    }

    fn set_phase(&self, parent: &Staged, phase: Phase, from: &str, condition: &str) -> Statement {
        let versions = self.versions();
        self.ordering(format!(
            "UPDATE {versions} SET _when = {phase} WHERE _when IS NULL AND _n IN (SELECT s._n FROM {}, {} ps{from} WHERE {condition})",
            self.updates_now(),
            parent.temporary(),
        ))
    }

    /// For `FROM`: updates `s` of rows `t`, which are versions `b`.
    fn updates_now(&self) -> String {
        format!(
            "{staged} s JOIN {versions} b ON b._n = s._n AND s._a = {update} JOIN {table} t ON {THIS_VERSION}",
            staged = self.temporary(),
            versions = self.versions(),
            update = Fate::Update,
            table = self.target.table.rows,
        )
    }

    /// Finds the new rows of `parent` to which the updates begin to refer that come before a row goes. Where
    /// a key is deferrable, that it will hold is enough.
    pub(in crate::pg) fn needed_early(&self, parent: &Staged) -> Vec<Statement> {
        let refers = self.refers(parent, Parents::New, |key| !key.deferrable);
        let from = self.updates_now();
        let statements = refers.map(|refers| {
            self.find_early(parent, &from, &format!("{refers} AND b._when IS NOT NULL"))
        });
        statements.collect()
    }

    /// Finds the new rows of `parent` to which early ones of this table refer.
    pub(in crate::pg) fn needed_earlier(&self, parent: &Staged) -> Vec<Statement> {
        let keys = self
            .target
            .keys_to(&parent.target)
            .filter(|key| !key.deferrable);
        let refers = keys.filter_map(|key| {
            let equal = key.pairs().map(|(name, parent_name, equality)| {
                Some(equality.equal(
                    parent.inserted("ps", parent_name)?,
                    self.inserted("s", name)?,
                ))
            });
            Some(all(equal.collect::<Option<Vec<_>>>()?))
        });
        let from = format!(
            "{} e JOIN {} s ON s._n = e._n",
            self.early(),
            self.temporary()
        );
        let statements = refers.map(|refers| self.find_early(parent, &from, &refers));
        statements.collect()
    }

    fn find_early(&self, parent: &Staged, from: &str, refers: &str) -> Statement {
        self.ordering(format!(
            "INSERT INTO {early} SELECT DISTINCT ps._n FROM {from}, {parents} ps WHERE ps._a = {insert} AND {refers} \
             ON CONFLICT DO NOTHING",
            early = parent.early(),
            parents = parent.temporary(),
            insert = Fate::Insert,
        ))
    }

    /// For each key of those that `counts`, the condition that staged row `s` of row `t` refers by it to a
    /// row of `parent` that goes (row `p`) or is new (staged row `ps`), where an update can.
    fn refers<'s>(
        &'s self,
        parent: &'s Staged,
        which: Parents,
        counts: impl Fn(&ForeignKey) -> bool + 's,
    ) -> impl Iterator<Item = String> + 's {
        let keys = self
            .target
            .keys_to(&parent.target)
            .filter(move |key| counts(key));
        keys.filter_map(move |key| {
            let columns = key.columns.iter().map(|c| self.target.table.column(c));
            let columns: Vec<&Column> = columns.collect::<Option<_>>()?;
            if !columns.iter().any(|c| self.may_change(c)) {
                return None;
            }
            let mut equal = Vec::new();
            for ((name, parent_name, equality), column) in key.pairs().zip(columns) {
                let (left, right) = match which {
                    Parents::New => (parent.inserted("ps", parent_name)?, self.after(column)),
                    Parents::Going => (
                        format!("p.{}", Ident(parent_name)),
                        format!("t.{}", Ident(name)),
                    ),
                };
                equal.push(equality.equal(left, right));
            }
            Some(all(equal))
        })
    }
}
