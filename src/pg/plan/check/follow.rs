//! Records of rows that the database changes with the rows to which they refer (`ON UPDATE CASCADE`).

use super::references::only_column;
use super::{After, Asked, CHANGED, COUNTS, GOES, N, ROW, TABLE, has};
use crate::plan::ViolationKind;
use crate::sql::{Ident, Literal, Statement, any, list};
use crate::table::schema::ForeignKey;

impl After<'_> {
    /// Whether updates of this table can change rows that refer to it by `key`.
    pub(super) fn draws_along(&self, key: &ForeignKey) -> bool {
        key.follows && key.parent_columns.iter().any(|c| self.moves(c))
    }

    /// Rows that follow a row of `parent` which this plan changes, though their records say that they refer to
    /// what it is now: they would not have what the record says.
    pub(in crate::pg) fn outdated(
        &self,
        key: &ForeignKey,
        parent: &After<'_>,
        asked: Asked,
    ) -> Statement {
        let said = key.pairs().filter_map(|(child, of_parent, equality)| {
            let staged = self.target.table.column(child)?.staged();
            let (child, of_parent) = (Ident(child), Ident(of_parent));
            let as_it_is = equality.equal(format!("s.{staged}"), format!("t.{child}"));
            Some(format!(
                "{as_it_is} AND q.{of_parent} IS DISTINCT FROM p.{of_parent}"
            ))
        });
        let values = |of: &str, columns: &[String]| {
            let values = columns.iter().map(|c| format!("{of}.{}::text", Ident(c)));
            format!("pg_catalog.concat_ws(', ', {})", list(values))
        };
        let becomes = format!(
            "the row of {} to which it refers becomes ",
            self.target.other(&key.parent)
        );
        let with_it = format!(
            ", and the database changes this row with it ({}, ON UPDATE): the record would say what is no longer so; give that value or none",
            key.name
        );
        let select = format!(
            "SELECT DISTINCT ON (a.{N}) a.{N}, {field}, {now}, {becomes} || {will_be} || {with_it} \
             FROM (SELECT * FROM {after} WHERE {has}) a JOIN {staged} s ON s._n = a.{N} JOIN {table} t ON t.ctid = a.{ROW} AND t.tableoid = a.{TABLE} \
             JOIN {rows} p ON {refers} JOIN {after_parent} q ON q.{ROW} = p.ctid AND q.{TABLE} = p.tableoid \
             WHERE a.{GOES} IS NOT TRUE AND {asked} AND q.{CHANGED} AND q.{COUNTS} AND {said} ORDER BY a.{N}",
            field = only_column(&key.columns),
            now = values("t", &key.columns),
            becomes = Literal(&becomes),
            will_be = values("q", &key.parent_columns),
            with_it = Literal(&with_it),
            after = self.temporary(),
            has = has(key).unwrap_or("true".into()),
            staged = self.stage.temporary(),
            table = self.target.table.rows,
            rows = key.parent_rows,
            refers = key.refers("p", "t"),
            after_parent = parent.temporary(),
            asked = asked.about("a"),
            said = any(said),
        );
        self.find(ViolationKind::MissingParent, &select)
    }
}
