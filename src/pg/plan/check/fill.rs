//! The rows as they would be.

mod values;

use super::{After, CHANGED, COUNTS, GIVEN, GOES, N, NEW, REFERS, ROW, SOUND, TABLE, VALID, WRITE};
use crate::error::Result;
use crate::pg::Session;
use crate::pg::beside::{ABSENT, FOUND};
use crate::pg::order::Write;
use crate::pg::stamps::assign;
use crate::plan::ViolationKind;
use crate::plan::decision::writes_sql;
use crate::plan::incoming::Finding;
use crate::sql::{Ident, Literal, Statement, all, any, list};
use crate::table::config::{OnDuplicate, OnImmutable, OnInvalid, OnOlder};
use crate::table::schema::Column;

/// The condition of the rows that are written and of which expressions can be evaluated.
pub(in crate::pg::plan) fn written_soundly() -> String {
    format!("{SOUND} AND {CHANGED}")
}

/// A condition that holds wherever an expression can be evaluated.
pub(super) fn evaluates(expression: &str) -> String {
    format!("pg_catalog.num_nulls({expression}) >= 0")
}

/// Whether generated columns are computed with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pg) enum Generated {
    Computed,
    /// Some row's cannot be.
    Later,
}

impl After<'_> {
    /// Fills in the rows as they would be. Returns how many of them cannot be computed.
    pub(super) async fn fill(&mut self, session: &Session) -> Result<u64> {
        self.defaults(session).await?;
        let all = self.fill_all(Generated::Computed);
        let columns = self.target.table.columns.iter();
        let generated: Vec<(&Column, &String)> = columns
            .filter_map(|c| Some((c, c.generation.as_ref()?)))
            .collect();
        if self.tried(session, &all).await?.is_some() {
            return Ok(0);
        }
        // Some row's generated column cannot be computed: which?
        let later = self.fill_all(Generated::Later);
        if self.tried(session, &later).await?.is_none() {
            // It is no row's fault: the database's own words.
            session.run(&later).await?;
        }
        let mut found = 0;
        for (column, expression) in generated {
            let fill_in = self.fill_in(column, expression);
            if self.tried(session, &fill_in).await?.is_some() {
                continue;
            }
            let find = self.find_unfilled(column, expression);
            found += self.note_all(session, &find).await?;
            session.run(&self.set_unsound()).await?;
            session.run(&fill_in).await?;
        }
        if found == 0 {
            // It is no row's fault: the database's own words.
            let sql = format!("DELETE FROM {}; {}", self.temporary(), all.text());
            session.run(&self.filling(sql)).await?;
        }
        Ok(found)
    }

    /// A further condition: all is known from which a generated column is computed.
    pub(super) fn inputs_known(&self, column: &Column) -> String {
        let expression = column.generation.as_deref().unwrap_or_default();
        let known = self.is_known_of(&column.generated_from, expression);
        known.unwrap_or_else(|| " AND false".into())
    }

    /// What a generated column is computed to where that can be done, as SQL.
    fn computed(&self, column: &Column, computed: &str) -> String {
        let known = self.inputs_known(column);
        format!("CASE WHEN {SOUND}{known} THEN {computed} END")
    }

    /// Computes a generated column where that can be done. It is assigned, as when rows are written: a cast would cut
    /// what is too long for the column.
    pub(in crate::pg) fn fill_in(&self, column: &Column, expression: &str) -> Statement {
        self.filling(self.assigned(column, expression))
    }

    fn assigned(&self, column: &Column, expression: &str) -> String {
        format!(
            "UPDATE {} SET {} = {}",
            self.temporary(),
            Ident(&column.name),
            self.computed(column, &format!("({expression})")),
        )
    }

    /// Notes the rows whose generated column cannot be computed, and computes it in the others.
    pub(in crate::pg) fn find_unfilled(&self, column: &Column, expression: &str) -> Statement {
        let of = format!("{}{}", written_soundly(), self.inputs_known(column));
        let message = format!("the generated column cannot be computed: {expression}");
        let one = format!(
            "{} WHERE {N} = $1 RETURNING true",
            self.assigned(column, expression)
        );
        self.find_failed(Some(column), &self.each_failing(&of, &one), &message)
    }

    fn filling(&self, sql: String) -> Statement {
        Statement::new(self.doing("working out what would become of"), sql)
    }

    /// Rows among those with the condition `of` for which computing `expression` fails; they are not sound.
    pub(super) async fn failing(
        &self,
        session: &Session,
        (field, of): (Option<&Column>, &str),
        expression: &str,
        message: &str,
    ) -> Result<u64> {
        let evaluate = self.evaluate(of, expression);
        if self.tried(session, &evaluate).await?.is_some() {
            return Ok(0);
        }
        let find = self.find_failing((field, of), expression, message);
        let found = self.note_all(session, &find).await?;
        session.run(&self.set_unsound()).await?;
        Ok(found)
    }

    /// Evaluates an expression for all rows with the condition `of`.
    pub(in crate::pg) fn evaluate(&self, of: &str, expression: &str) -> Statement {
        self.checking(format!(
            "SELECT pg_catalog.count(*) FROM {} WHERE {of} AND {}",
            self.temporary(),
            evaluates(expression)
        ))
    }

    /// Notes the rows for which it fails.
    pub(in crate::pg) fn find_failing(
        &self,
        (field, of): (Option<&Column>, &str),
        expression: &str,
        message: &str,
    ) -> Statement {
        let failing = self.failing_rows(of, &evaluates(expression));
        self.find_failed(field, &failing, message)
    }

    /// Notes the rows `r` of `failing`, with why.
    fn find_failed(&self, field: Option<&Column>, failing: &str, message: &str) -> Statement {
        let field = field.map_or("NULL::text".into(), |c| {
            format!("{}::text", Literal(&c.name))
        });
        let select = format!(
            "SELECT r.n, {field}, NULL::text, {}::text || ' (' || r.why || ')' FROM {failing}",
            Literal(message),
        );
        self.find(ViolationKind::CheckFailed, &select)
    }

    /// Nothing more is evaluated of the rows for which something failed.
    pub(in crate::pg) fn set_unsound(&self) -> Statement {
        self.checking(format!(
            "UPDATE {} a SET {SOUND} = false FROM pg_temp.loader_findings v \
             WHERE v._t = {} AND v._n = a.{N} AND v.kind = '{}' AND a.{SOUND}",
            self.temporary(),
            self.target.place,
            ViolationKind::CheckFailed
        ))
    }

    /// For `FROM`: the rows `r` with `condition` for which `holds` is false or fails, and why.
    pub(super) fn failing_rows(&self, condition: &str, holds: &str) -> String {
        let one = format!("SELECT ({holds}) FROM {} WHERE {N} = $1", self.temporary());
        self.each_failing(condition, &one)
    }

    /// For `FROM`: the rows `r` with `condition` for which a statement about `one` of them, `$1`, says false or fails, and why.
    fn each_failing(&self, condition: &str, one: &str) -> String {
        format!(
            "pg_temp.loader_check_rows({}, {}, {}) r",
            Literal(&self.temporary().to_string()),
            Literal(condition),
            Literal(one)
        )
    }

    /// Finds for each column whether its default cannot be known before it is used: it is another each time or for
    /// another role, or cannot be computed by a transaction that only reads; and whether the column cannot hold it.
    async fn defaults(&mut self, session: &Session) -> Result<()> {
        let columns = &self.target.table.columns;
        self.unknown = columns.iter().map(Column::is_unknown).collect();
        for (i, column) in columns.iter().enumerate() {
            let Some(default) = column.default.as_ref().filter(|_| !self.unknown[i]) else {
                continue;
            };
            let may_be_cut = column.may_be_cut();
            if may_be_cut {
                let assign = assign(self.doing("checking"), default, &column.base_type_sql);
                if self.tried(session, &assign).await?.is_some() {
                    continue;
                }
            }
            let computed = self.compute(default, column);
            self.unknown[i] = self.tried(session, &computed).await?.is_none();
            if may_be_cut && !self.unknown[i] && !self.target.config.is_stamp(&column.name) {
                self.misfits.push(i);
            }
        }
        Ok(())
    }

    pub(in crate::pg) fn compute(&self, default: &str, column: &Column) -> Statement {
        self.checking(format!("SELECT ({default})::{}", column.base_type_sql))
    }

    pub(in crate::pg) fn fill_all(&self, generated: Generated) -> Statement {
        let (stage, table, config) = (self.stage, &self.target.table, &self.target.config);
        let beside = stage.beside();
        let parts = self.parts();
        let columns = table.columns.iter().map(|c| match &c.generation {
            Some(expression) if generated == Generated::Computed => {
                self.computed(c, &format!("({expression})"))
            }
            _ => Ident(&c.name).to_string(),
        });
        let mut from = beside.each();
        let key = self.target.key();
        let has_key = key
            .iter()
            .map(|(c, _)| format!("s.{} IS DISTINCT FROM NULL", c.staged()));
        let mut conditions: Vec<String> = has_key.collect();
        let mut twice = "false";
        if stage.duplicates {
            from += &format!(" LEFT JOIN {} d ON d._n = s._n", stage.duplicates_table());
            conditions.push(stage.stands_for_key("s"));
            if config.on_duplicate != OnDuplicate::Last {
                twice = "coalesce(d.variants, 1) > 1";
            }
        }
        conditions.push(writes_sql(config, FOUND, ABSENT));
        conditions.extend(stage.is_for_its_row("s"));
        let immutable = match config.on_immutable {
            OnImmutable::Keep => "false".into(),
            OnImmutable::Block | OnImmutable::Reject => any(&parts.immutable),
        };
        let invalid = format!("{} OR {}", self.has_findings(), any(&parts.nulls));
        let older = self.was_refused(Some(ViolationKind::OlderRecord));
        let left_out: Vec<&str> = [
            (config.on_invalid == OnInvalid::Reject, invalid.as_str()),
            (config.on_duplicate == OnDuplicate::Reject, twice),
            (config.on_immutable == OnImmutable::Reject, &immutable),
            (config.on_older == OnOlder::Reject, &older),
        ]
        .into_iter()
        .filter_map(|(leaves, condition)| leaves.then_some(condition))
        .collect();
        let stays = if stage.deletes {
            "NOT s._goes AND "
        } else {
            ""
        };
        let marks = self.target.mark().is_some();
        let goes = match config.on_older {
            _ if !stage.deletes => "false".to_owned(),
            OnOlder::Reject => format!("s._goes AND {FOUND} AND NOT ({older})"),
            _ => format!("s._goes AND {FOUND}"),
        };
        let differs = format!("{ABSENT} OR {}", any(&parts.differs));
        let sql = format!(
            "INSERT INTO {after} SELECT {N}, {NEW}, {CHANGED}, {REFERS}, {SOUND}, {VALID}, {COUNTS}, {GOES}, {WRITE}, NULL, {GIVEN}, {TABLE}, {ROW}, \
               {columns} FROM (\
               SELECT DISTINCT ON (s._n) s._n AS {N}, {stays}{ABSENT} AS {NEW}, {changed} AS {CHANGED}, \
                 ({stays}{FOUND} AND {refers}) AS {REFERS}, NOT ({unsound}) AS {SOUND}, \
                 NOT ({invalid} OR {twice} OR {immutable}) AS {VALID}, {is_row}NOT {left_out} AS {COUNTS}, {goes} AS {GOES}, {write} AS {WRITE}, \
                 s._given AS {GIVEN}, t.tableoid AS {TABLE}, t.ctid AS {ROW}, {values} \
               FROM {from} WHERE {conditions} ORDER BY s._n{then_live_first}) x",
            after = self.temporary(),
            columns = list(columns),
            goes = if marks { "false" } else { &goes },
            // A row that is only marked stays where it is.
            changed = if marks && stage.deletes {
                format!(
                    "CASE WHEN s._goes THEN {goes} AND {} ELSE {differs} END",
                    beside.live()
                )
            } else {
                format!("{stays}({differs})")
            },
            is_row = if marks && stage.deletes {
                format!("(NOT s._goes OR {FOUND}) AND ")
            } else {
                stays.to_owned()
            },
            write = format_args!(
                "CASE WHEN s._goes THEN {} WHEN {ABSENT} THEN {} ELSE {} END",
                if marks { Write::Mark } else { Write::Delete },
                Write::Insert,
                Write::Update
            ),
            refers = any(&parts.refers),
            unsound = self.is_unsound(),
            left_out = any(left_out),
            values = list(&parts.values),
            conditions = all(conditions),
            then_live_first = beside.then_live_first(),
        );
        self.filling(sql)
    }

    /// The condition that something was found wrong with record `s` when it was read or staged.
    fn has_findings(&self) -> String {
        format!("s._findings IS NOT NULL OR {}", self.was_refused(None))
    }

    /// The condition that a value of record `s` has not its column's type.
    fn is_unsound(&self) -> String {
        let begins = Finding::begins(ViolationKind::InvalidValue);
        format!(
            "coalesce(pg_catalog.strpos(s._findings, {}) > 0, false) OR {}",
            Literal(&begins),
            self.was_refused(Some(ViolationKind::InvalidValue))
        )
    }

    /// The condition that the database found something about record `s`, of one kind or any.
    fn was_refused(&self, only: Option<ViolationKind>) -> String {
        let older = self.stage.extracted && self.target.config.on_older != OnOlder::Note;
        if !self.stage.findings && !older {
            return "false".into();
        }
        let only = only.map(|kind| format!(" AND v.kind = '{kind}'"));
        let only = only.unwrap_or_default();
        format!(
            "EXISTS (SELECT FROM pg_temp.loader_findings v WHERE v._t = {} AND v._n = s._n{only})",
            self.target.place
        )
    }
}
