//! What is evaluated on one row: check constraints, partitions, domains, index expressions.

use super::fill::{evaluates, written_soundly};
use super::{After, GIVEN, N, NEW, analyze_findings, is_foreign_stamp};
use crate::error::Result;
use crate::pg::Session;
use crate::plan::ViolationKind;
use crate::sql::{Ident, Literal, Statement, list};
use crate::table::lookup::{Lookup, is_like_a_number};
use crate::table::schema::{Asks, Check, Column, UniqueIndex};

impl After<'_> {
    /// Rows that break a rule about single rows.
    pub(super) async fn rules(&self, session: &Session) -> Result<u64> {
        let mut found = 0;
        for check in &self.target.table.checks {
            let (name, expression) = (&check.name, &check.expression);
            found += match check.asks {
                Asks::Check => {
                    let saw = match check.looks_around && self.others {
                        true => {
                            "; functions in it saw the database as it is now, without what this plan changes in other tables: \
                             if it would hold after that, deliver those in a batch before"
                        }
                        false => "",
                    };
                    let message =
                        format!("the check constraint {name} does not hold: {expression}{saw}");
                    self.holds(session, check, &message).await?
                }
                Asks::Partitions => {
                    let message = format!("no partition of {} takes the row", self.target.name);
                    self.holds(session, check, &message).await?
                }
                Asks::Index => {
                    let message = format!("the index {name} cannot hold the row: {expression}");
                    match self.known(check) {
                        Some(known) => {
                            let of = format!("{}{known}", written_soundly());
                            self.failing(session, (None, &of), expression, &message)
                                .await?
                        }
                        None => 0,
                    }
                }
            };
        }
        for (i, column) in self.target.table.columns.iter().enumerate() {
            found += match column.generation {
                _ if !column.domain => 0,
                Some(_) => self.generated_domain(session, column).await?,
                None => self.domain(session, i, column).await?,
            };
        }
        for i in &self.misfits {
            let misfits = self.find_misfit_defaults(*i);
            found += self.note_all(session, &misfits).await?;
        }
        Ok(found)
    }

    /// Rows for which a constraint is false, or fails.
    async fn holds(&self, session: &Session, check: &Check, message: &str) -> Result<u64> {
        let Some(known) = self.known(check) else {
            return Ok(0);
        };
        let condition = format!("{}{known}", written_soundly());
        let at_once = self.find_broken_at_once(check, &condition, message);
        let found = match self.tried(session, &at_once).await? {
            Some(found) => found,
            None => {
                let singly = self.find_broken_singly(check, &condition, message);
                session.execute(&singly).await?
            }
        };
        if found > 0 {
            session.run(&self.show_values(check)).await?;
            session.run(&analyze_findings()).await?;
        }
        Ok(found)
    }

    /// Notes the rows with `condition` for which a constraint is false.
    pub(in crate::pg) fn find_broken_at_once(
        &self,
        check: &Check,
        condition: &str,
        message: &str,
    ) -> Statement {
        let select = format!(
            "SELECT {N}, {}::text, false FROM {} WHERE {condition} AND ({}) IS FALSE",
            Literal(message),
            self.temporary(),
            check.expression
        );
        self.find_broken(&select)
    }

    /// Notes the rows with `condition` for which a constraint is false, or fails.
    pub(in crate::pg) fn find_broken_singly(
        &self,
        check: &Check,
        condition: &str,
        message: &str,
    ) -> Statement {
        let select = format!(
            "SELECT r.n, {}::text || coalesce(' (' || r.why || ')', ''), r.why IS NOT NULL FROM {}",
            Literal(message),
            self.failing_rows(condition, &check.expression)
        );
        self.find_broken(&select)
    }

    /// A further condition for the rows in which everything that a constraint reads is known;
    /// `None` where it is known in no row.
    fn known(&self, check: &Check) -> Option<String> {
        // The whole row, or what only the stored row has.
        if check.columns.iter().any(|n| *n <= 0) {
            return None;
        }
        self.is_known_of(&check.columns, &check.expression)
    }

    /// A further condition for the rows in which all is known that an expression reads: these columns, or else those
    /// that it mentions. `None` where it is known in no row.
    pub(super) fn is_known_of(&self, read: &[i16], expression: &str) -> Option<String> {
        let columns = &self.target.table.columns;
        let reads = self.target.table.reads(read, expression);
        let mut conditions = String::new();
        for (i, c) in columns.iter().enumerate().filter(|(i, _)| reads[*i]) {
            if is_foreign_stamp(&self.target.config, c) {
                return None;
            }
            conditions += &self.is_known(i);
        }
        let reads = (0..columns.len()).filter(|i| reads[*i]);
        let lookups: Vec<&Lookup> = reads
            .filter_map(|i| self.target.lookups.of_column(i))
            .collect();
        for (i, one) in lookups.iter().enumerate() {
            let others = lookups[i + 1..].iter();
            let others = others.filter(|other| other.relation == one.relation);
            conditions.extend(others.map(|other| self.is_one_new(one, other)));
        }
        Some(conditions)
    }

    /// A further condition for the rows of which is known what they will hold in an index. What stands for the number of
    /// a new row is as good as that one.
    pub(super) fn is_known_in(&self, index: &UniqueIndex) -> String {
        let keys = index.keys_sql.iter().chain(&index.predicate);
        let expression = list(keys);
        let reads = match index.columns.contains(&0) || index.predicate.is_some() {
            true => self.target.table.reads(&[], &expression),
            false => self.target.table.reads(&index.columns, ""),
        };
        let config = &self.target.config;
        let columns = self.target.table.columns.iter().enumerate();
        let columns = columns.filter(|(i, _)| reads[*i]);
        let known = columns.map(|(i, c)| match is_foreign_stamp(config, c) {
            true if config.keeps(&c.name) => format!(" AND NOT {NEW}"),
            true => " AND false".to_owned(),
            false => self.is_known_default(i),
        });
        known.collect()
    }

    /// A further condition: not two different new rows are referred to, of which is not known which will have the
    /// greater number.
    fn is_one_new(&self, one: &Lookup, other: &Lookup) -> String {
        let column = |lookup: &Lookup| Ident(&self.target.table.columns[lookup.of].name);
        format!(
            " AND NOT ({} IS DISTINCT FROM {} AND EXISTS (SELECT FROM {} s WHERE s._n = {N} \
             AND s.{} IS NOT NULL AND s.{} IS NOT NULL))",
            column(one),
            column(other),
            self.stage.temporary(),
            one.new_key(),
            other.new_key()
        )
    }

    /// A further condition: the row's value in a column is known. It is not where it is a default that is
    /// not known, or refers to a row that is new; but a number that stands for that of a new row tells as much as that
    /// one will.
    fn is_known(&self, i: usize) -> String {
        let mut known = self.is_known_default(i);
        let lookup = self.target.lookups.of_column(i);
        if let Some(lookup) = lookup.filter(|l| !is_like_a_number(&l.target)) {
            known += &format!(
                " AND NOT EXISTS (SELECT FROM {} s WHERE s._n = {N} AND s.{} IS NOT NULL)",
                self.stage.temporary(),
                lookup.new_key()
            );
        }
        known
    }

    /// A further condition: the row's value in a column is no default that is not known.
    fn is_known_default(&self, i: usize) -> String {
        match self.unknown[i] {
            true => format!(" AND NOT ({})", has_default(i)),
            false => String::new(),
        }
    }

    /// Notes the new rows that get a default which their column cannot hold.
    fn find_misfit_defaults(&self, i: usize) -> Statement {
        let column = &self.target.table.columns[i];
        let message = format!(
            "the default does not fit the type {}: {}",
            column.base_type_sql,
            column.default.as_deref().unwrap_or_default()
        );
        let select = format!(
            "SELECT {N}, {}::text, NULL::text, {}::text FROM {} WHERE {} AND {}",
            Literal(&column.name),
            Literal(&message),
            self.temporary(),
            written_soundly(),
            has_default(i)
        );
        self.find_unquoted(ViolationKind::InvalidValue, &select)
    }

    /// New rows whose default, and rows whose null, a column's domain refuses. Given values were
    /// asked about when they were staged.
    async fn domain(&self, session: &Session, i: usize, column: &Column) -> Result<u64> {
        if is_foreign_stamp(&self.target.config, column) {
            return Ok(0);
        }
        let known = self.is_known(i);
        let name = Ident(&column.name);
        let rows = format!("{} AND ({NEW} OR {name} IS NULL){known}", written_soundly());
        let fit = self.fit_domain(column, &rows);
        if self.tried(session, &fit).await?.is_some() {
            return Ok(0);
        }
        // Where the column or its domain is NOT NULL, that was found without asking.
        let mut found = if column.not_null {
            0
        } else {
            let message = format!("null, and the domain {} does not allow it", column.type_sql);
            let null = format!("{rows} AND {name} IS NULL");
            let find = self.find_misfits(column, &null, ViolationKind::NullValue, &message);
            self.note_all(session, &find).await?
        };
        let message = format!("the default does not fit the domain {}", column.type_sql);
        let default = format!("{rows} AND {name} IS NOT NULL");
        let find = self.find_misfits(column, &default, ViolationKind::InvalidValue, &message);
        found += self.note_all(session, &find).await?;
        Ok(found)
    }

    /// Rows whose generated value the column's domain refuses.
    async fn generated_domain(&self, session: &Session, column: &Column) -> Result<u64> {
        let of = format!("{}{}", written_soundly(), self.inputs_known(column));
        let value = format!("{}::{}", Ident(&column.name), column.type_sql);
        let message = format!(
            "the generated value does not fit the domain {}",
            column.type_sql
        );
        self.failing(session, (Some(column), &of), &value, &message)
            .await
    }

    /// Makes the value of all `rows` one of the column's domain.
    pub(in crate::pg) fn fit_domain(&self, column: &Column, rows: &str) -> Statement {
        self.checking(format!(
            "SELECT pg_catalog.count(*) FROM {} WHERE {rows} AND {}",
            self.temporary(),
            fits(column)
        ))
    }

    /// Notes those of `rows` whose value the domain refuses.
    pub(in crate::pg) fn find_misfits(
        &self,
        column: &Column,
        rows: &str,
        kind: ViolationKind,
        message: &str,
    ) -> Statement {
        let select = format!(
            "SELECT r.n, {}::text, NULL::text, {}::text || coalesce(' (' || r.why || ')', '') FROM {}",
            Literal(&column.name),
            Literal(message),
            self.failing_rows(rows, &fits(column))
        );
        self.find(kind, &select)
    }
}

/// The condition that a row gets a column's default.
fn has_default(i: usize) -> String {
    format!("{NEW} AND pg_catalog.substr({GIVEN}, {}, 1) <> '1'", i + 1)
}

/// A condition that fails for a value which the column's domain refuses, and holds for all others.
fn fits(column: &Column) -> String {
    let (name, ty) = (Ident(&column.name), &column.type_sql);
    evaluates(&format!("{name}::{ty}"))
}
