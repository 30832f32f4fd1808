//! Rows that would refer to nothing.

use super::{After, CHANGED, COUNTS, GOOD, N, NEW, REFERS, ROW, TABLE};
use crate::error::Result;
use crate::pg::Session;
use crate::sql::ident::{Ident, Literal};
use crate::table::schema::{Column, ForeignKey};

impl After<'_> {
    /// Rows whose parent would be missing. When this is asked `again`, only of records with which
    /// nothing was wrong before.
    pub(super) async fn parents(
        &self,
        session: &Session,
        all: &[After<'_>],
        again: bool,
    ) -> Result<u64> {
        let mut found = 0;
        for key in &self.stage.table.foreign_keys {
            let sql = self.orphans(key, all, again);
            found += self.find(session, "missing_parent", &sql).await?;
            if key.match_full && key.columns.len() > 1 && !again {
                let sql = self.half_given(key);
                found += self.find(session, "missing_parent", &sql).await?;
            }
        }
        Ok(found)
    }

    /// Rows that would refer to a row which is neither there nor brought by this plan.
    fn orphans(&self, key: &ForeignKey, all: &[After<'_>], again: bool) -> String {
        let columns: Vec<&Column> = key
            .columns
            .iter()
            .filter_map(|c| self.stage.table.column(c))
            .collect();
        let given = join(&columns, |c| {
            format!("a.{} IS DISTINCT FROM NULL", Ident(&c.name))
        });
        let equal = equal(key, "p", "a");
        let (mut in_plan, mut moved) = (String::new(), String::new());
        if let Some(p) = all.iter().find(|p| p.stage.table.name == key.parent) {
            let rows = p.sql_name();
            in_plan =
                format!(" AND NOT EXISTS (SELECT FROM {rows} p WHERE {equal} AND p.{COUNTS})");
            if key.parent_columns.iter().any(|c| p.moves(c)) {
                moved = format!(" AND NOT {}", p.leaves(key, "p"));
            }
        }
        let value: Vec<String> = columns.iter().map(|c| c.text("a")).collect();
        let what = format!(
            "no row of {} has {} = ",
            key.parent.name,
            key.parent_columns.join(", ")
        );
        format!(
            "SELECT a.{N}, {field}, {value}, {what} || {value} || {where_} FROM {after} a \
             WHERE a.{CHANGED} AND (a.{NEW} OR a.{REFERS}){good} AND {given} \
               AND NOT EXISTS (SELECT FROM {parent} p WHERE {equal}{moved}){in_plan}",
            field = field(key),
            value = format!("pg_catalog.concat_ws(', ', {})", value.join(", ")),
            what = Literal(&what),
            where_ = Literal(&format!(
                ", neither in the database nor among the records of this plan that can be loaded ({})",
                key.name
            )),
            good = if again {
                format!(" AND a.{GOOD}")
            } else {
                String::new()
            },
            after = self.sql_name(),
            parent = key.parent,
        )
    }

    /// The condition that this plan changes what the row `alias` of this table is referred to by.
    fn leaves(&self, key: &ForeignKey, alias: &str) -> String {
        let same: Vec<String> = key
            .parent_columns
            .iter()
            .zip(&key.equality)
            .map(|(c, _)| format!("q.{0} IS NOT DISTINCT FROM {alias}.{0}", Ident(c)))
            .collect();
        format!(
            "EXISTS (SELECT FROM {} q WHERE q.{ROW} = {alias}.ctid AND q.{TABLE} = {alias}.tableoid \
             AND q.{CHANGED} AND q.{COUNTS} AND NOT ({}))",
            self.sql_name(),
            same.join(" AND ")
        )
    }

    /// Rows that give some columns of a `MATCH FULL` key and not others.
    fn half_given(&self, key: &ForeignKey) -> String {
        let columns: Vec<String> = key
            .columns
            .iter()
            .map(|c| format!("a.{}", Ident(c)))
            .collect();
        let nulls = format!("pg_catalog.num_nulls({})", columns.join(", "));
        format!(
            "SELECT a.{N}, NULL::text, NULL::text, {}::text FROM {} a \
             WHERE a.{CHANGED} AND (a.{NEW} OR a.{REFERS}) AND {nulls} > 0 AND {nulls} < {}",
            Literal(&format!(
                "{} must be given together or be null together ({})",
                key.columns.join(", "),
                key.name
            )),
            self.sql_name(),
            columns.len()
        )
    }

    /// Rows whose change would leave rows that refer to them without a parent.
    pub(super) async fn children(
        &self,
        session: &Session,
        all: &[After<'_>],
        again: bool,
    ) -> Result<u64> {
        let mut found = 0;
        for key in &self.stage.table.referrers {
            if !key.keeps || !key.parent_columns.iter().any(|c| self.moves(c)) {
                continue;
            }
            let leaves = self.leaves(key, "t");
            // Whoever may not read the children must not be asked to where nothing moves.
            let moving = format!(
                "SELECT pg_catalog.count(*) FROM (SELECT FROM {} t WHERE {leaves} LIMIT 1) x",
                self.stage.table.name
            );
            if session.number(&self.doing("checking"), &moving).await? == 0 {
                continue;
            }
            let mut also_moved = String::new();
            if let Some(c) = all.iter().find(|c| c.stage.table.name == key.child) {
                let refers: Vec<String> = key
                    .columns
                    .iter()
                    .map(|n| format!("r.{0} IS NOT DISTINCT FROM c.{0}", Ident(n)))
                    .collect();
                also_moved = format!(
                    " AND NOT EXISTS (SELECT FROM {} r WHERE r.{ROW} = c.ctid AND r.{TABLE} = c.tableoid \
                     AND r.{CHANGED} AND r.{COUNTS} AND NOT ({}))",
                    c.sql_name(),
                    refers.join(" AND ")
                );
            }
            let message = format!(
                "rows of {} refer to the value that this would change ({})",
                key.child.name, key.name
            );
            let field = match key.parent_columns.as_slice() {
                [one] => format!("{}::text", Literal(one)),
                _ => "NULL::text".into(),
            };
            let sql = format!(
                "SELECT a.{N}, {field}, NULL::text, {}::text FROM {} a JOIN {} t ON t.ctid = a.{ROW} AND t.tableoid = a.{TABLE} \
                 WHERE a.{CHANGED} AND {good} AND {leaves} AND EXISTS (SELECT FROM {} c WHERE {}{also_moved})",
                Literal(&message),
                self.sql_name(),
                self.stage.table.name,
                key.child,
                equal(key, "t", "c"),
                good = if again {
                    format!("a.{GOOD}")
                } else {
                    "true".into()
                },
            );
            found += self.find(session, "missing_parent", &sql).await?;
        }
        Ok(found)
    }
}

fn field(key: &ForeignKey) -> String {
    match key.columns.as_slice() {
        [one] => format!("{}::text", Literal(one)),
        _ => "NULL::text".into(),
    }
}

/// The condition that the row `child` refers to the row `parent`.
pub(super) fn equal(key: &ForeignKey, parent: &str, child: &str) -> String {
    let columns = key
        .columns
        .iter()
        .zip(&key.parent_columns)
        .zip(&key.equality);
    let parts: Vec<String> = columns
        .map(|((c, p), (schema, operator))| {
            format!(
                "{parent}.{} OPERATOR({}.{operator}) {child}.{}",
                Ident(p),
                Ident(schema),
                Ident(c)
            )
        })
        .collect();
    parts.join(" AND ")
}

fn join(columns: &[&Column], part: impl Fn(&Column) -> String) -> String {
    let parts: Vec<String> = columns.iter().map(|c| part(c)).collect();
    parts.join(" AND ")
}
