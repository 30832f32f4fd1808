//! Staging: records are copied into temporary tables with the target's own column types, so that
//! PostgreSQL judges every value. What it refuses is found value by value, without a round trip
//! for each.

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::error::SqlState;

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::plan::incoming::STAGE_COLUMNS;
use crate::sql::ident::Literal;
use crate::table::config::TableConfig;
use crate::table::schema::{Column, Table, keys_equal};

/// One table's staging area.
pub struct Stage<'a> {
    /// The table.
    pub table: &'a Table,
    /// Its configuration in effect.
    pub config: &'a TableConfig,
    /// Its name as configured.
    pub name: &'a str,
    number: usize,
    has_raw: bool,
    /// Columns that some record gave.
    pub used: Vec<bool>,
    /// Whether reading has shown that no two records have one key.
    pub surely_distinct: bool,
    /// Records staged.
    pub rows: u64,
    /// Whether several records have one key.
    pub duplicates: bool,
    /// Whether the database refused values.
    pub findings: bool,
}

/// What all tables share: what the database found wrong, and a judge that asks without failing.
const PREPARE: &str = "\
CREATE TEMPORARY TABLE loader_findings (_t int, _n bigint, kind text, field text, given text, message text);
CREATE FUNCTION pg_temp.loader_try(statement text) RETURNS bool LANGUAGE plpgsql AS $loader$
BEGIN EXECUTE statement; RETURN true; EXCEPTION WHEN OTHERS THEN RETURN false; END $loader$;
";

/// Makes what staging needs in `session`, once.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database), for example without the TEMPORARY privilege.
pub async fn prepare(session: &Session) -> Result<()> {
    session
        .run(
            "making temporary tables (this needs the privilege TEMPORARY)",
            PREPARE,
        )
        .await
}

impl<'a> Stage<'a> {
    /// An empty staging table for `table`; `number` tells it from the others.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn new(
        session: &Session,
        number: usize,
        name: &'a str,
        table: &'a Table,
        config: &'a TableConfig,
    ) -> Result<Stage<'a>> {
        let stage = Stage {
            table,
            config,
            name,
            number,
            has_raw: false,
            used: vec![false; table.columns.len()],
            surely_distinct: false,
            rows: 0,
            duplicates: false,
            findings: false,
        };
        let columns: Vec<String> = table.columns.iter().map(staged_column).collect();
        let sql = format!(
            "CREATE TEMPORARY TABLE loader_stage_{number} (_n bigint, _object int, _position bigint, \
             _given text, _findings text, _rounded text, {})",
            columns.join(", ")
        );
        session.run(&stage.doing("staging"), &sql).await?;
        Ok(stage)
    }

    /// The staging table's name as SQL.
    pub fn sql_name(&self) -> String {
        format!("pg_temp.loader_stage_{}", self.number)
    }

    /// The name of the table of duplicates as SQL.
    pub fn duplicates_name(&self) -> String {
        format!("pg_temp.loader_duplicates_{}", self.number)
    }

    /// Its number, which tells it from the others in `loader_findings`.
    pub fn number(&self) -> usize {
        self.number
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} records of table {}", self.name)
    }

    fn column_list(&self) -> String {
        let columns: Vec<String> = self.table.columns.iter().map(Column::staged).collect();
        format!("{STAGE_COLUMNS}, {}", columns.join(", "))
    }

    /// Stages COPY lines. Where the database refuses a value among them, the good and the bad
    /// are told apart; the bad ones stand in `loader_findings`.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database) for anything but a refused value.
    pub async fn copy(&mut self, session: &Session, lines: Bytes, rows: u64) -> Result<()> {
        self.rows += rows;
        let into = format!(
            "COPY {} ({}) FROM STDIN",
            self.sql_name(),
            self.column_list()
        );
        match copy_in(session, &into, lines.clone()).await {
            Ok(()) => Ok(()),
            Err(e) if is_refused_value(&e) => self.sort_out(session, lines).await,
            Err(e) => Err(session.failed(&self.doing("staging"), &e)),
        }
    }

    /// Stages lines of which some hold values that do not fit.
    async fn sort_out(&mut self, session: &Session, lines: Bytes) -> Result<()> {
        let doing = self.doing("checking the values of");
        let raw = format!("pg_temp.loader_raw_{}", self.number);
        if !self.has_raw {
            session.run(&doing, &self.raw_sql(&raw)).await?;
            self.has_raw = true;
        }
        let into = format!("COPY {raw} ({}) FROM STDIN", self.column_list());
        copy_in(session, &into, lines)
            .await
            .map_err(|e| session.failed(&doing, &e))?;
        let mut values = Vec::new();
        for column in &self.table.columns {
            let (cell, number) = (column.staged(), column.number);
            let ty = &column.base_type_sql;
            if self.all_fit(session, &doing, column, &raw).await? {
                values.push(format!("r.{cell}::{ty}"));
                continue;
            }
            self.findings = true;
            let sql = format!(
                "INSERT INTO pg_temp.loader_findings \
                 SELECT {}, r._n, 'invalid_value', {}, {}, w.why FROM {raw} r, \
                 LATERAL (SELECT pg_temp.loader_why_{}_{number}(r.{cell})) w(why) WHERE w.why IS NOT NULL",
                self.number,
                Literal(&column.name),
                shortened(&format!("r.{cell}")),
                self.number
            );
            session.run(&doing, &sql).await?;
            values.push(format!(
                "pg_temp.loader_fit_{}_{number}(r.{cell})",
                self.number
            ));
        }
        let sql = format!(
            "INSERT INTO {} ({}) SELECT {}, {} FROM {raw} r; TRUNCATE {raw}",
            self.sql_name(),
            self.column_list(),
            STAGE_COLUMNS
                .split(", ")
                .map(|c| format!("r.{c}"))
                .collect::<Vec<_>>()
                .join(", "),
            values.join(", ")
        );
        session.run(&doing, &sql).await
    }

    /// Whether a cast of the whole column succeeds; it decides only where a cast cuts nothing off.
    async fn all_fit(
        &self,
        session: &Session,
        doing: &str,
        column: &Column,
        raw: &str,
    ) -> Result<bool> {
        let cuts = matches!(
            column.base_type.as_str(),
            "varchar" | "bpchar" | "bit" | "varbit" | "char" | "name"
        ) || column.base_type.starts_with('_');
        if column.base_type == "text" {
            return Ok(true);
        }
        if cuts {
            return Ok(false);
        }
        let attempt = format!(
            "SELECT pg_catalog.count({}::{}) FROM {raw}",
            column.staged(),
            column.base_type_sql
        );
        Ok(session
            .number(
                doing,
                &format!(
                    "SELECT pg_temp.loader_try({})::int4::int8",
                    Literal(&attempt)
                ),
            )
            .await?
            == 1)
    }

    /// The raw table, and for each column two functions that assign a text to a variable of its
    /// type: an assignment refuses what a cast would cut off.
    fn raw_sql(&self, raw: &str) -> String {
        let columns: Vec<String> = self
            .table
            .columns
            .iter()
            .map(|c| format!("{} text", c.staged()))
            .collect();
        let mut sql = format!(
            "CREATE TEMPORARY TABLE {} (_n bigint, _object int, _position bigint, _given text, \
             _findings text, _rounded text, {});",
            raw.trim_start_matches("pg_temp."),
            columns.join(", ")
        );
        for column in &self.table.columns {
            sql += &judges(
                &format!("{}_{}", self.number, column.number),
                &column.base_type_sql,
            );
        }
        sql
    }

    /// Checks what only shows when all is staged: domains and duplicates; and gives the planner
    /// its statistics.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn finish(&mut self, session: &Session) -> Result<()> {
        self.check_domains(session).await?;
        let key = self.table.key(&self.config.natural_key);
        let names: Vec<String> = key.iter().map(|(c, _)| c.staged()).collect();
        let doing = self.doing("comparing");
        let analyze = format!("ANALYZE {} ({})", self.sql_name(), names.join(", "));
        session.run(&doing, &analyze).await?;
        self.find_duplicates(session, &names).await
    }

    async fn check_domains(&mut self, session: &Session) -> Result<()> {
        let doing = self.doing("checking the domains of");
        for (i, column) in self.table.columns.iter().enumerate() {
            if !column.domain || !self.used[i] {
                continue;
            }
            let (stage, cell, ty) = (self.sql_name(), column.staged(), &column.type_sql);
            let attempt = format!(
                "SELECT pg_catalog.count({cell}::{ty}) FROM {stage} WHERE {cell} IS DISTINCT FROM NULL"
            );
            let fits = format!(
                "SELECT pg_temp.loader_try({})::int4::int8",
                Literal(&attempt)
            );
            if session.number(&doing, &fits).await? == 1 {
                continue;
            }
            self.findings = true;
            let suffix = format!("{}_{}_domain", self.number, column.number);
            let sql = format!(
                "{} INSERT INTO pg_temp.loader_findings SELECT {}, s._n, 'invalid_value', {}, {}, w.why \
                 FROM {stage} s, LATERAL (SELECT pg_temp.loader_why_{suffix}({})) w(why) \
                 WHERE s.{cell} IS DISTINCT FROM NULL AND w.why IS NOT NULL",
                judges(&suffix, ty),
                self.number,
                Literal(&column.name),
                shortened(&column.staged_text("s")),
                column.staged_text("s"),
            );
            session.run(&doing, &sql).await?;
        }
        Ok(())
    }

    /// Finds records with one key, by the equality that decides about it.
    async fn find_duplicates(&mut self, session: &Session, key: &[String]) -> Result<()> {
        if self.surely_distinct {
            return Ok(());
        }
        let doing = self.doing("looking for duplicate keys among");
        let stage = self.sql_name();
        let collated: Vec<String> = self
            .table
            .key(&self.config.natural_key)
            .iter()
            .map(|(c, eq)| match &eq.collation {
                Some(collation) => format!("s.{} COLLATE {collation}", c.staged()),
                None => format!("s.{}", c.staged()),
            })
            .collect();
        let not_null: Vec<String> = key
            .iter()
            .map(|c| format!("s.{c} IS DISTINCT FROM NULL"))
            .collect();
        // Two spellings of one key are one key: they alone make no other record.
        let beside_key = self.table.columns.iter();
        let beside_key = beside_key.filter(|c| !self.config.natural_key.contains(&c.name));
        let mut content = vec!["s._given".to_owned(), "s._findings".to_owned()];
        content.extend(beside_key.map(|c| format!("s.{}", c.staged())));
        let table = self.duplicates_name();
        let sql = format!(
            "CREATE TEMPORARY TABLE {bare} AS \
             WITH d AS (SELECT * FROM (SELECT s._n, pg_catalog.min(s._n) OVER w AS first, \
                 pg_catalog.max(s._n) OVER w AS last, pg_catalog.count(*) OVER w AS copies, \
                 pg_catalog.md5(ROW({content})::pg_catalog.text) AS content \
               FROM {stage} s WHERE {not_null} WINDOW w AS (PARTITION BY {group})) g WHERE copies > 1) \
             SELECT d._n, d.first, d.last, d.copies, v.variants FROM d JOIN (\
               SELECT first, pg_catalog.count(DISTINCT content) AS variants FROM d GROUP BY first) v \
               ON v.first = d.first",
            bare = table.trim_start_matches("pg_temp."),
            content = content.join(", "),
            not_null = not_null.join(" AND "),
            group = collated.join(", "),
        );
        let probe = format!(
            "SELECT pg_catalog.count(*) FROM (SELECT FROM {stage} s WHERE {} GROUP BY {} \
             HAVING pg_catalog.count(*) > 1 LIMIT 1) d",
            not_null.join(" AND "),
            collated.join(", ")
        );
        self.duplicates = session.number(&doing, &probe).await? > 0;
        if self.duplicates {
            session.run(&doing, &sql).await?;
            session.run(&doing, &format!("ANALYZE {table}")).await?;
        }
        Ok(())
    }

    /// The condition that a staged row `s` and a row `t` of the table have one key.
    pub fn keys_equal(&self) -> String {
        keys_equal(&self.table.key(&self.config.natural_key), "s", "t")
    }
}

/// A text as SQL, cut where it is very long.
fn shortened(text: &str) -> String {
    format!(
        "CASE WHEN pg_catalog.length({text}) > 2000 THEN pg_catalog.left({text}, 2000) || '... (' || \
         pg_catalog.octet_length({text}) || ' bytes)' ELSE {text} END"
    )
}

/// Two functions on text: `loader_fit_…` gives the value or null, `loader_why_…` the reason why
/// it does not fit or null.
fn judges(suffix: &str, ty: &str) -> String {
    format!(
        "CREATE FUNCTION pg_temp.loader_fit_{suffix}(v text) RETURNS {ty} LANGUAGE plpgsql AS $loader$
DECLARE x {ty}; BEGIN IF v IS NULL THEN RETURN NULL; END IF; x := v; RETURN x;
EXCEPTION WHEN insufficient_privilege THEN RAISE; WHEN OTHERS THEN RETURN NULL; END $loader$;
CREATE FUNCTION pg_temp.loader_why_{suffix}(v text) RETURNS text LANGUAGE plpgsql AS $loader$
BEGIN IF v IS NOT NULL THEN DECLARE x {ty} := v; BEGIN END; END IF; RETURN NULL;
EXCEPTION WHEN insufficient_privilege THEN RAISE; WHEN OTHERS THEN RETURN pg_catalog.left(SQLERRM, 2000); END $loader$;
"
    )
}

fn staged_column(column: &Column) -> String {
    let collate = column
        .collation
        .as_ref()
        .map(|c| format!(" COLLATE {c}"))
        .unwrap_or_default();
    format!("{} {}{collate}", column.staged(), column.base_type_sql)
}

/// One COPY of `lines`.
pub async fn copy_in(
    session: &Session,
    sql: &str,
    lines: Bytes,
) -> std::result::Result<(), tokio_postgres::Error> {
    let sink = session.client.copy_in(sql).await?;
    let mut sink = std::pin::pin!(sink);
    sink.send(lines).await?;
    sink.finish().await.map(drop)
}

/// Data exceptions (class 22), and types whose input function uses another class.
fn is_refused_value(e: &tokio_postgres::Error) -> bool {
    e.as_db_error().is_some_and(|db| {
        let code = db.code();
        code.code().starts_with("22")
            || code.code().starts_with("23")
            || *code == SqlState::SYNTAX_ERROR
            || *code == SqlState::UNDEFINED_OBJECT
            || *code == SqlState::UNDEFINED_TABLE
            || *code == SqlState::STATEMENT_TOO_COMPLEX
            || *code == SqlState::FEATURE_NOT_SUPPORTED
            || *code == SqlState::PROGRAM_LIMIT_EXCEEDED
            || code.code().starts_with("42")
    })
}

/// The error for a record count above the limit.
pub fn too_many(records: u64, most: u64) -> Error {
    Error::blocked(format!(
        "the batch has more than {most} records ({records} were read before it stopped); allow more with --max-records or \
         MAX_RECORDS_PER_BATCH"
    ))
}
