//! Rows that would refer to nothing.

use super::{After, Asked, CHANGED, COUNTS, N, NEW, REFERS, ROW, TABLE};
use crate::error::Result;
use crate::pg::Session;
use crate::sql::{Ident, Literal, Statement, all, list};
use crate::table::schema::{Column, ForeignKey};

impl After<'_> {
    /// Rows whose parent would be missing.
    pub(super) async fn parents(
        &self,
        session: &Session,
        all: &[After<'_>],
        asked: Asked,
    ) -> Result<u64> {
        let mut found = 0;
        for key in &self.target.table.foreign_keys {
            found += session.execute(&self.orphans(key, all, asked)).await?;
            if key.match_full && key.columns.len() > 1 && asked == Asked::First {
                found += session.execute(&self.half_given(key)).await?;
            }
        }
        Ok(found)
    }

    /// Rows that would refer to a row which is neither there nor brought by this plan.
    pub(in crate::pg) fn orphans(
        &self,
        key: &ForeignKey,
        others: &[After<'_>],
        asked: Asked,
    ) -> Statement {
        let columns: Vec<&Column> = key
            .columns
            .iter()
            .filter_map(|c| self.target.table.column(c))
            .collect();
        let given = all(columns
            .iter()
            .map(|c| format!("a.{} IS DISTINCT FROM NULL", Ident(&c.name))));
        let refers = key.refers("p", "a");
        let (mut in_plan, mut moved) = (String::new(), String::new());
        if let Some(p) = others.iter().find(|p| p.target.table.name == key.parent) {
            let rows = p.temporary();
            in_plan =
                format!(" AND NOT EXISTS (SELECT FROM {rows} p WHERE {refers} AND p.{COUNTS})");
            if key.parent_columns.iter().any(|c| p.moves(c)) {
                moved = format!(" AND NOT {}", p.leaves(key, "p"));
            }
        }
        let what = format!(
            "no row of {} has {} = ",
            key.parent.name,
            key.parent_columns.join(", ")
        );
        let where_ = format!(
            ", neither in the database nor among the records of this plan that can be loaded ({})",
            key.name
        );
        let select = format!(
            "SELECT a.{N}, {field}, {value}, {what} || {value} || {where_} FROM {after} a \
             WHERE a.{CHANGED} AND (a.{NEW} OR a.{REFERS}) AND {asked} AND {given} \
               AND NOT EXISTS (SELECT FROM {parent} p WHERE {refers}{moved}){in_plan}",
            field = only_column(&key.columns),
            value = format_args!(
                "pg_catalog.concat_ws(', ', {})",
                list(columns.iter().map(|c| c.text("a")))
            ),
            what = Literal(&what),
            where_ = Literal(&where_),
            asked = asked.about("a"),
            after = self.temporary(),
            parent = key.parent,
        );
        self.find("missing_parent", &select)
    }

    /// The condition that this plan changes what the row `alias` of this table is referred to by.
    fn leaves(&self, key: &ForeignKey, alias: &str) -> String {
        self.changes(&key.parent_columns, alias)
    }

    /// The condition that this plan changes one of these columns of the row `alias` of this table.
    fn changes(&self, columns: &[String], alias: &str) -> String {
        let same = all(columns
            .iter()
            .map(|c| format!("q.{0} IS NOT DISTINCT FROM {alias}.{0}", Ident(c))));
        format!(
            "EXISTS (SELECT FROM {} q WHERE q.{ROW} = {alias}.ctid AND q.{TABLE} = {alias}.tableoid \
             AND q.{CHANGED} AND q.{COUNTS} AND NOT ({same}))",
            self.temporary()
        )
    }

    /// Rows that give some columns of a `MATCH FULL` key and not others.
    pub(in crate::pg) fn half_given(&self, key: &ForeignKey) -> Statement {
        let columns = key.columns.iter().map(|c| format!("a.{}", Ident(c)));
        let nulls = format!("pg_catalog.num_nulls({})", list(columns));
        let message = format!(
            "{} must be given together or be null together ({})",
            key.columns.join(", "),
            key.name
        );
        let select = format!(
            "SELECT a.{N}, NULL::text, NULL::text, {}::text FROM {} a \
             WHERE a.{CHANGED} AND (a.{NEW} OR a.{REFERS}) AND {nulls} > 0 AND {nulls} < {}",
            Literal(&message),
            self.temporary(),
            key.columns.len()
        );
        self.find("missing_parent", &select)
    }

    /// Rows whose change would leave rows that refer to them without a parent.
    pub(super) async fn children(
        &self,
        session: &Session,
        all: &[After<'_>],
        asked: Asked,
    ) -> Result<u64> {
        let mut found = 0;
        for key in &self.target.table.referrers {
            if !key.keeps || !key.parent_columns.iter().any(|c| self.moves(c)) {
                continue;
            }
            // Whoever may not read the children must not be asked to where nothing moves.
            if session.holds(&self.some_leave(key)).await? {
                found += session.execute(&self.bereft(key, all, asked)).await?;
            }
        }
        Ok(found)
    }

    /// Whether this plan changes what a row is referred to by.
    pub(in crate::pg) fn some_leave(&self, key: &ForeignKey) -> Statement {
        let (table, leaves) = (&self.target.table.name, self.leaves(key, "t"));
        self.checking(format!(
            "SELECT EXISTS (SELECT FROM {table} t WHERE {leaves})"
        ))
    }

    /// Rows that change what others refer to, which do not change with them.
    pub(in crate::pg) fn bereft(
        &self,
        key: &ForeignKey,
        others: &[After<'_>],
        asked: Asked,
    ) -> Statement {
        let child = others.iter().find(|c| c.target.table.name == key.child);
        let also_moved = child.map_or_else(String::new, |child| {
            format!(" AND NOT {}", child.changes(&key.columns, "c"))
        });
        let message = format!(
            "rows of {} refer to the value that this would change ({})",
            key.child.name, key.name
        );
        let select = format!(
            "SELECT a.{N}, {field}, NULL::text, {message}::text FROM {after} a \
             JOIN {table} t ON t.ctid = a.{ROW} AND t.tableoid = a.{TABLE} \
             WHERE a.{CHANGED} AND {asked} AND {leaves} AND EXISTS (SELECT FROM {child} c WHERE {refers}{also_moved})",
            field = only_column(&key.parent_columns),
            message = Literal(&message),
            after = self.temporary(),
            table = self.target.table.name,
            asked = asked.about("a"),
            leaves = self.leaves(key, "t"),
            child = key.child,
            refers = key.refers("t", "c"),
        );
        self.find("missing_parent", &select)
    }
}

/// The one column's name as SQL; null of several.
fn only_column(columns: &[String]) -> String {
    match columns {
        [one] => format!("{}::text", Literal(one)),
        _ => "NULL::text".into(),
    }
}
