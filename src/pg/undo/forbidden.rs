//! Rules that came since the loads, which rows as they were before would break.

use super::Undo;
use super::taken::{ID, NAMED, before};
use crate::error::Result;
use crate::pg::Session;
use crate::pg::plan::trial;
use crate::sql::{Literal, Statement, any};
use crate::table::schema::{Asks, Check, Column, Identity};

impl Undo<'_> {
    /// That rows which come back, or get back what they held, are allowed by `NOT NULL`, checks and partitions, where the
    /// table has been changed since. What cannot be evaluated, the database says at apply.
    ///
    /// # Errors
    /// [`Blocked`](crate::ErrorKind::Blocked) naming rows, [`Database`](crate::ErrorKind::Database).
    pub async fn forbidden(&self, session: &Session) -> Result<()> {
        let table = &self.target.table;
        if table.kind.is_far() || self.is_defined_as_then() {
            return Ok(());
        }
        let required = table.columns.iter().filter(|c| c.not_null && !c.generated);
        for column in required.filter(|c| !self.may_stay(c)) {
            let why = format!(
                "have no value in {}, which has to have one now",
                column.name
            );
            self.refuse(session, &self.find_without(column), &why)
                .await?;
        }
        let checks = table
            .checks
            .iter()
            .filter(|check| check.asks != Asks::Index);
        for (check, find) in checks.filter_map(|check| Some((check, self.find_breaking(check)?))) {
            if trial::works(session, &find).await? {
                let why = match check.asks {
                    Asks::Partitions => "fit into no partition that is there now".to_owned(),
                    _ => format!("break the check {}: {}", check.name, check.expression),
                };
                self.refuse(session, &find, &why).await?;
            }
        }
        Ok(())
    }

    async fn refuse(&self, session: &Session, find: &Statement, why: &str) -> Result<()> {
        let rows = session.column(find).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let name = &self.target.name;
        let named: Vec<String> = rows.iter().map(|id| session.name_row(name, id)).collect();
        let then = "have that rule changed until these loads are taken back, or take back only other rows (--table, --key)";
        Err(self.cannot_come_back(why, &named, then))
    }

    /// Some of the rows that would be without a value in a column.
    pub(in crate::pg) fn find_without(&self, column: &Column) -> Statement {
        let name = Literal(&column.name);
        let given = column.default.is_some() || column.identity != Identity::None;
        let absent = format!("s.after IS NULL AND {}", !given);
        self.some(&format!(
            "CASE WHEN pg_catalog.jsonb_exists(s.before, {name}) THEN (s.before ->> {name}) IS NULL \
               AND (s.after IS NULL OR (s.after ->> {name}) IS NOT NULL) ELSE {absent} END"
        ))
    }

    /// Some of the rows that would break a check; `None` where what is put back is not all that decides.
    pub(in crate::pg) fn find_breaking(&self, check: &Check) -> Option<Statement> {
        let table = &self.target.table;
        if check.looks_around || check.columns.iter().any(|n| *n <= 0) {
            return None;
        }
        let reads = table.reads(&check.columns, &check.expression);
        let columns = table.columns.iter().zip(reads);
        let columns: Vec<&Column> = columns
            .filter(|(_, reads)| *reads)
            .map(|(c, _)| c)
            .collect();
        let is_known =
            |c: &&Column| !c.generated && !self.may_stay(c) && !self.added.contains(&c.name);
        if !columns.iter().all(is_known) {
            return None;
        }
        let changes = any(columns.iter().map(|c| {
            let name = Literal(&c.name);
            format!("(s.before ->> {name}) IS DISTINCT FROM (s.after ->> {name})")
        }));
        let sql = format!(
            "SELECT x.{ID} FROM (SELECT s.record_id AS {ID}, {} FROM {} s WHERE s.before IS NOT NULL AND (s.after IS NULL OR {changes})) x \
             WHERE ({}) IS FALSE ORDER BY x.{ID} COLLATE \"C\" LIMIT {NAMED}",
            before(table),
            self.temporary(),
            check.expression
        );
        Some(Statement::new(self.looking(), sql))
    }

    fn some(&self, condition: &str) -> Statement {
        let sql = format!(
            "SELECT s.record_id FROM {} s WHERE s.before IS NOT NULL AND {condition} ORDER BY s.record_id COLLATE \"C\" LIMIT {NAMED}",
            self.temporary()
        );
        Statement::new(self.looking(), sql)
    }

    fn looking(&self) -> String {
        self.doing("looking for rows that are not allowed any more of")
    }
}
