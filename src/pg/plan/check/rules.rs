//! What is evaluated on one row: check constraints, partitions, domains, index expressions.

use super::{After, CHANGED, GIVEN, N, NEW, SOUND, is_foreign_stamp};
use crate::error::Result;
use crate::pg::Session;
use crate::sql::{Ident, Literal};
use crate::table::schema::{Asks, Check, Column};

impl After<'_> {
    /// Rows that break a rule about single rows.
    pub(super) async fn rules(&self, session: &Session) -> Result<u64> {
        let mut found = 0;
        for check in &self.target.table.checks {
            let (name, expression) = (&check.name, &check.expression);
            found += match check.asks {
                Asks::Check => {
                    let message =
                        format!("the check constraint {name} does not hold: {expression}");
                    self.holds(session, check, &message).await?
                }
                Asks::Partitions => {
                    let message = format!("no partition of {} takes the row", self.target.name);
                    self.holds(session, check, &message).await?
                }
                Asks::Index => {
                    let message = format!("the index {name} cannot hold the row: {expression}");
                    self.failing(session, None, expression, &message).await?
                }
            };
        }
        for (i, column) in self.target.table.columns.iter().enumerate() {
            if column.domain && column.generation.is_none() {
                found += self.domain(session, i, column).await?;
            }
        }
        Ok(found)
    }

    /// Rows for which a constraint is false, or fails.
    async fn holds(&self, session: &Session, check: &Check, message: &str) -> Result<u64> {
        let expression = &check.expression;
        let Some(known) = self.known(check) else {
            return Ok(0);
        };
        let condition = format!("{SOUND} AND {CHANGED}{known}");
        let broken = self.broken_rows(expression, &condition, message);
        let attempt = format!("SELECT pg_catalog.count(*) FROM ({broken}) x");
        let select = if self.works(session, attempt).await? {
            broken
        } else {
            format!(
                "SELECT r.n, {}::text || coalesce(' (' || r.why || ')', '') FROM {}",
                Literal(message),
                self.failing_rows(&condition, expression)
            )
        };
        session.execute(&self.find_broken(&select, check)).await
    }

    /// A query of the rows with `condition` for which `expression` is false.
    fn broken_rows(&self, expression: &str, condition: &str, message: &str) -> String {
        format!(
            "SELECT {N}, {}::text FROM {} WHERE {condition} AND ({expression}) IS FALSE",
            Literal(message),
            self.temporary()
        )
    }

    /// A further condition for the rows in which everything that a constraint reads is known;
    /// `None` where it is known in no row.
    fn known(&self, check: &Check) -> Option<String> {
        // The whole row, or what only the stored row has.
        if check.columns.iter().any(|n| *n <= 0) {
            return None;
        }
        let columns = &self.target.table.columns;
        let mentions = |text: &str, c: &Column| text.contains(&c.name);
        let mut reads: Vec<bool> = columns
            .iter()
            .map(|c| {
                check.columns.contains(&c.number)
                    || check.columns.is_empty() && mentions(&check.expression, c)
            })
            .collect();
        for (i, c) in columns.iter().enumerate() {
            if let (true, Some(expression)) = (reads[i], &c.generation) {
                for (j, of) in columns.iter().enumerate() {
                    reads[j] |= mentions(expression, of);
                }
            }
        }
        let mut conditions = String::new();
        for (i, c) in columns.iter().enumerate().filter(|(i, _)| reads[*i]) {
            if is_foreign_stamp(&self.target.config, c) {
                return None;
            }
            if self.unknown[i] {
                conditions += &self.gave(i);
            }
        }
        Some(conditions)
    }

    /// A further condition: the row's value in a column whose default is not known is given.
    fn gave(&self, i: usize) -> String {
        format!(
            " AND NOT ({NEW} AND pg_catalog.substr({GIVEN}, {}, 1) <> '1')",
            i + 1
        )
    }

    /// New rows whose default, and rows whose null, a column's domain refuses. Given values were
    /// asked about when they were staged.
    async fn domain(&self, session: &Session, i: usize, column: &Column) -> Result<u64> {
        if is_foreign_stamp(&self.target.config, column) {
            return Ok(0);
        }
        let (name, ty) = (Ident(&column.name), &column.type_sql);
        let unknown = if self.unknown[i] {
            self.gave(i)
        } else {
            String::new()
        };
        let rows = format!("{SOUND} AND {CHANGED} AND ({NEW} OR {name} IS NULL){unknown}");
        let fits = format!("pg_catalog.num_nulls({name}::{ty}) >= 0");
        let attempt = format!(
            "SELECT pg_catalog.count(*) FROM {} WHERE {rows} AND {fits}",
            self.temporary()
        );
        if self.works(session, attempt).await? {
            return Ok(0);
        }
        let mut found = 0;
        for (kind, is, message) in [
            (
                "null_value",
                "IS NULL",
                format!("null, and the domain {ty} does not allow it"),
            ),
            (
                "invalid_value",
                "IS NOT NULL",
                format!("the default does not fit the domain {ty}"),
            ),
        ] {
            // Where the column or its domain is NOT NULL, that was found without asking.
            if kind == "null_value" && column.not_null {
                continue;
            }
            let select = format!(
                "SELECT r.n, {}::text, NULL::text, {}::text || coalesce(' (' || r.why || ')', '') FROM {}",
                Literal(&column.name),
                Literal(&message),
                self.failing_rows(&format!("{rows} AND {name} {is}"), &fits)
            );
            found += session.execute(&self.find(kind, &select)).await?;
        }
        Ok(found)
    }
}
