//! Records that would refer to nothing because the record that would bring their parent is left out by name:
//! they are left out with it.

use super::{After, Asked, CHANGED, COUNTS, N, NEW, REFERS, ROW, TABLE, has, parents_by};
use crate::error::Result;
use crate::pg::Session;
use crate::sql::{Ident, Statement, all as every};
use crate::table::schema::{Column, ForeignKey};

/// Sets aside, table by table, all that need a record which is left out, until nothing more does.
pub(super) async fn take_along(session: &Session, all: &[After<'_>]) -> Result<()> {
    if !all.iter().any(|after| after.stage.leaves_out) {
        return Ok(());
    }
    loop {
        let mut taken = 0;
        for after in all {
            for key in after.target.foreign_keys() {
                for parent in parents_by(key, all) {
                    if let Some(along) = after.along(key, parent, all) {
                        taken += session.execute(&along).await?;
                    }
                }
            }
            session.run(&after.forget_left_out()).await?;
        }
        if taken == 0 {
            return Ok(());
        }
    }
}

impl After<'_> {
    /// Sets aside the records that would refer to nothing, where a record of `parent` that is left out has what
    /// they refer to.
    pub(in crate::pg) fn along(
        &self,
        key: &ForeignKey,
        parent: &After<'_>,
        all: &[After<'_>],
    ) -> Option<Statement> {
        let columns = &parent.target.table;
        let equal: Option<Vec<String>> = key
            .pairs()
            .map(|(child, of_parent, equality)| {
                let staged = columns.column(of_parent)?.staged();
                let child = Ident(child);
                Some(equality.equal(format!("p.{staged}"), format!("a.{child}")))
            })
            .collect();
        let sql = format!(
            "UPDATE {stage} s SET _left_out = x.why FROM (SELECT DISTINCT ON (a.{N}) a.{N} AS n, {why} AS why \
             FROM (SELECT a.* FROM {orphaned} OFFSET 0) a JOIN {parents} p \
             ON p._left_out IS NOT NULL AND NOT p._goes AND {equal} ORDER BY a.{N}, p._n) x WHERE x.n = s._n",
            stage = self.stage.temporary(),
            why = parent.stage.said_of_children("p"),
            orphaned = self.orphaned(key, all, Asked::First),
            parents = parent.stage.temporary(),
            equal = every(equal?),
        );
        Some(self.checking(sql))
    }

    /// The columns of this table by which it refers.
    pub(super) fn columns_of(&self, key: &ForeignKey) -> Vec<&Column> {
        let columns = key.columns.iter();
        let columns = columns.filter_map(|c| self.target.table.column(c));
        columns.collect()
    }

    /// For `FROM`, with its conditions: rows `a` that would refer to a row which is neither there nor brought by
    /// this plan.
    pub(super) fn orphaned(&self, key: &ForeignKey, others: &[After<'_>], asked: Asked) -> String {
        let given = every(
            self.columns_of(key)
                .iter()
                .map(|c| format!("a.{} IS DISTINCT FROM NULL", Ident(&c.name))),
        );
        let given = every([given].into_iter().chain(has(key)));
        let refers = key.refers("p", "a");
        let (mut in_plan, mut moved) = (String::new(), String::new());
        if parents_by(key, others).any(|p| p.draws_along(key)) {
            in_plan += &format!(" AND NOT ({})", self.stays(key));
        }
        for p in parents_by(key, others) {
            let rows = p.temporary();
            in_plan +=
                &format!(" AND NOT EXISTS (SELECT FROM {rows} p WHERE {refers} AND p.{COUNTS})");
            if key.parent_columns.iter().any(|c| p.moves(c)) {
                moved += &format!(" AND NOT {}", p.leaves(key, "p"));
            }
        }
        format!(
            "{after} a WHERE a.{CHANGED} AND (a.{NEW} OR a.{REFERS}) AND {asked} AND {given} \
               AND NOT EXISTS (SELECT FROM {parent} p WHERE {refers}{moved}){in_plan}",
            asked = asked.about("a"),
            after = self.temporary(),
            parent = key.parent_rows,
        )
    }

    /// The condition that row `a` is there, and this plan leaves what it refers to by `key` to the database, which changes it
    /// with the row to which it refers.
    fn stays(&self, key: &ForeignKey) -> String {
        let same = self.columns_of(key).into_iter().map(|c| {
            let name = Ident(&c.name);
            format!("t.{name} IS NOT DISTINCT FROM a.{name}")
        });
        format!(
            "NOT a.{NEW} AND EXISTS (SELECT FROM {} t WHERE t.ctid = a.{ROW} AND t.tableoid = a.{TABLE} AND {})",
            self.target.table.rows,
            every(same)
        )
    }

    /// What is left out has no row to be.
    pub(in crate::pg) fn forget_left_out(&self) -> Statement {
        self.checking(format!(
            "DELETE FROM {} a USING {} s WHERE s._n = a.{N} AND s._left_out IS NOT NULL",
            self.temporary(),
            self.stage.temporary()
        ))
    }
}
