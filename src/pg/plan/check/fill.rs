//! The rows as they would be.

use super::{After, CHANGED, COUNTS, GIVEN, GOOD, N, NEW, REFERS, ROW, SOUND, TABLE, is_numbered};
use crate::error::Result;
use crate::pg::Session;
use crate::sql::ident::{Ident, Literal};
use crate::table::config::{OnDuplicate, OnImmutable, OnInvalid, Resolution, Stamp, Strategy};
use crate::table::schema::Column;

const EXISTS: &str = "t.tableoid IS NOT NULL";
const ABSENT: &str = "t.tableoid IS NULL";

/// What each column says about the row.
#[derive(Default)]
struct Parts {
    /// The values as they would be.
    values: Vec<String>,
    /// That an update changes one of them.
    differs: Vec<String>,
    /// That it changes one of a foreign key.
    refers: Vec<String>,
    /// That a value is missing where there must be one.
    nulls: Vec<String>,
    /// That an immutable value would change.
    immutable: Vec<String>,
}

impl After<'_> {
    /// Fills in the rows as they would be. Returns how many of them cannot be computed.
    pub(super) async fn fill(&mut self, session: &Session) -> Result<u64> {
        let doing = self.doing("working out what would become of");
        self.unknown = self.unknown_defaults(session).await?;
        let all = self.fill_sql(true);
        let generated = || {
            let columns = self.stage.table.columns.iter();
            columns.filter_map(|c| Some((c, c.generation.as_ref()?)))
        };
        if generated().next().is_none() {
            return session.run(&doing, &all).await.map(|()| 0);
        }
        if self.works(session, &all).await? {
            return Ok(0);
        }
        // Some row's generated column cannot be computed: which?
        session.run(&doing, &self.fill_sql(false)).await?;
        let mut found = 0;
        for (column, expression) in generated() {
            let computed = format!("({expression})::{}", column.base_type_sql);
            let message = format!("the generated column cannot be computed: {expression}");
            found += self
                .failing(session, Some(column), &computed, &message)
                .await?;
            let sql = format!(
                "UPDATE {} SET {} = CASE WHEN {SOUND} THEN {computed} END",
                self.sql_name(),
                Ident(&column.name)
            );
            session.run(&doing, &sql).await?;
        }
        if found == 0 {
            // It is no row's fault: the database's own words.
            let sql = format!("DELETE FROM {}; {all}", self.sql_name());
            session.run(&doing, &sql).await?;
        }
        Ok(found)
    }

    /// Rows for which computing `expression` fails; they are not sound.
    pub(super) async fn failing(
        &self,
        session: &Session,
        field: Option<&Column>,
        expression: &str,
        message: &str,
    ) -> Result<u64> {
        let condition = format!("{SOUND} AND {CHANGED}");
        let holds = format!("pg_catalog.num_nulls({expression}) >= 0");
        let attempt = format!(
            "SELECT pg_catalog.count(*) FROM {} WHERE {condition} AND {holds}",
            self.sql_name()
        );
        if self.works(session, &attempt).await? {
            return Ok(0);
        }
        let field = field.map_or("NULL::text".into(), |c| {
            format!("{}::text", Literal(&c.name))
        });
        let select = format!(
            "SELECT r.n, {field}, NULL::text, {}::text || ' (' || r.why || ')' \
             FROM pg_temp.loader_check_rows({}, {}, {}) r",
            Literal(message),
            Literal(&self.sql_name()),
            Literal(&condition),
            Literal(&holds)
        );
        let found = self.find(session, "check_failed", &select).await?;
        let sql = format!(
            "UPDATE {} a SET {SOUND} = false FROM pg_temp.loader_findings v \
             WHERE v._t = {} AND v._n = a.{N} AND v.kind = 'check_failed' AND a.{SOUND}",
            self.sql_name(),
            self.stage.number()
        );
        session.run(&self.doing("checking"), &sql).await?;
        Ok(found)
    }

    /// For each column, whether its default cannot be known before it is used: it numbers rows, or
    /// cannot be computed by a transaction that only reads.
    async fn unknown_defaults(&self, session: &Session) -> Result<Vec<bool>> {
        let columns = &self.stage.table.columns;
        let mut unknown: Vec<bool> = columns.iter().map(is_numbered).collect();
        for (i, column) in columns.iter().enumerate() {
            if let (Some(default), false) = (&column.default, unknown[i]) {
                let attempt = format!("SELECT ({default})::{}", column.base_type_sql);
                unknown[i] = !self.works(session, &attempt).await?;
            }
        }
        Ok(unknown)
    }

    fn fill_sql(&self, generate: bool) -> String {
        let (stage, table, config) = (self.stage, self.stage.table, self.stage.config);
        let parts = self.parts();
        let any = |conditions: &[String]| match conditions.is_empty() {
            true => "false".to_owned(),
            false => format!("({})", conditions.join(" OR ")),
        };
        let outer: Vec<String> = table
            .columns
            .iter()
            .map(|c| match &c.generation {
                Some(expression) if generate => {
                    format!("CASE WHEN {SOUND} THEN ({expression}) END")
                }
                _ => Ident(&c.name).to_string(),
            })
            .collect();
        let mut joins = format!(
            "{} s LEFT JOIN {} t ON {}",
            stage.sql_name(),
            table.name,
            stage.keys_equal()
        );
        let mut conditions: Vec<String> = table
            .key(&config.natural_key)
            .iter()
            .map(|(c, _)| format!("s.{} IS NOT NULL", c.staged()))
            .collect();
        let found = |kind: &str| match stage.findings {
            true => format!(
                " OR EXISTS (SELECT FROM pg_temp.loader_findings v WHERE v._t = {} AND v._n = s._n{kind})",
                stage.number()
            ),
            false => String::new(),
        };
        let unsound = format!(
            "coalesce(s._findings LIKE '%\"invalid_value\"%', false){}",
            found(" AND v.kind = 'invalid_value'")
        );
        let mut bad = format!(
            "s._findings IS NOT NULL{} OR {}",
            found(""),
            any(&parts.nulls)
        );
        let mut twice = "false";
        if stage.duplicates {
            joins += &format!(" LEFT JOIN {} d ON d._n = s._n", stage.duplicates_name());
            if config.on_duplicate == OnDuplicate::Last {
                conditions.push(
                    "(d._n IS NULL OR s._n = CASE WHEN d.variants = 1 THEN d.first ELSE d.last END)".into(),
                );
            } else {
                conditions.push("(d._n IS NULL OR s._n = d.first)".into());
                twice = "coalesce(d.variants, 1) > 1";
            }
        }
        conditions.push(match (config.update_strategy, config.conflict_resolution) {
            (Strategy::InsertOnly, _) | (Strategy::Upsert, Resolution::Skip) => ABSENT.into(),
            (Strategy::UpdateOnly, Resolution::Skip) => "false".into(),
            (Strategy::UpdateOnly, _) => EXISTS.into(),
            (Strategy::Upsert, _) => "true".into(),
        });
        let immutable = match config.on_immutable {
            OnImmutable::Keep => "false".into(),
            OnImmutable::Block | OnImmutable::Reject => any(&parts.immutable),
        };
        let left_out: Vec<&str> = [
            (config.on_invalid == OnInvalid::Reject, bad.as_str()),
            (config.on_duplicate == OnDuplicate::Reject, twice),
            (config.on_immutable == OnImmutable::Reject, &immutable),
        ]
        .into_iter()
        .filter_map(|(leaves, condition)| leaves.then_some(condition))
        .collect();
        let counts = match left_out.is_empty() {
            true => "true".to_owned(),
            false => format!("NOT ({})", left_out.join(" OR ")),
        };
        bad = format!("{bad} OR {twice} OR {immutable}");
        let order = match config.soft_delete.column() {
            Some(mark) => format!("s._n, t.{} IS NULL DESC", Ident(mark)),
            None => "s._n".into(),
        };
        let loaders = [
            N, NEW, CHANGED, REFERS, SOUND, GOOD, COUNTS, GIVEN, TABLE, ROW,
        ]
        .join(", ");
        format!(
            "INSERT INTO {} SELECT {loaders}, {} FROM (\
               SELECT DISTINCT ON (s._n) s._n AS {N}, {ABSENT} AS {NEW}, ({ABSENT} OR {}) AS {CHANGED}, \
                 ({EXISTS} AND {}) AS {REFERS}, NOT ({unsound}) AS {SOUND}, NOT ({bad}) AS {GOOD}, {counts} AS {COUNTS}, \
                 s._given AS {GIVEN}, t.tableoid AS {TABLE}, t.ctid AS {ROW}, {} \
               FROM {joins} WHERE {} ORDER BY {order}) x",
            self.sql_name(),
            outer.join(", "),
            any(&parts.differs),
            any(&parts.refers),
            parts.values.join(", "),
            conditions.join(" AND "),
        )
    }

    fn parts(&self) -> Parts {
        let mut parts = Parts::default();
        for (i, column) in self.stage.table.columns.iter().enumerate() {
            // A generated column follows from the others, in the outer query.
            let value = match column.generation {
                Some(_) => "NULL".into(),
                None => self.value(i, &mut parts),
            };
            parts.values.push(format!(
                "({value})::{} AS {}",
                column.base_type_sql,
                Ident(&column.name)
            ));
        }
        parts
    }

    /// The value of one column as it would be.
    fn value(&self, i: usize, parts: &mut Parts) -> String {
        let (stage, config) = (self.stage, self.stage.config);
        let c = &stage.table.columns[i];
        let (name, cell, ty) = (
            Ident(&c.name),
            format!("s.{}", c.staged()),
            &c.base_type_sql,
        );
        let mut stamps = config.stamps();
        if let Some((_, stamp)) = stamps.find(|(n, _)| *n == c.name) {
            return match stamp {
                Stamp::Now => "pg_catalog.now()".into(),
                // Not known yet; see `reads_unknown`.
                Stamp::Actor | Stamp::BatchId => "NULL".into(),
            };
        }
        let given = format!("pg_catalog.substr(s._given, {}, 1) = '1'", i + 1);
        let default = match &c.default {
            Some(default) if !self.unknown[i] => format!("({default})::{ty}"),
            _ => format!("NULL::{ty}"),
        };
        let is_key = config.natural_key.contains(&c.name);
        if !stage.used[i] {
            if c.required() && !is_key {
                parts.nulls.push(ABSENT.into());
            }
            let now = self.unused(c, parts);
            return format!("CASE WHEN {EXISTS} THEN {now} ELSE {default} END");
        }
        let inserted = format!("CASE WHEN {given} THEN {cell} ELSE {default} END");
        if is_key {
            return format!("CASE WHEN {EXISTS} THEN t.{name} ELSE {inserted} END");
        }
        if c.not_null {
            let absent = if c.required() { "true" } else { given.as_str() };
            parts.nulls.push(format!(
                "({ABSENT} AND {cell} IS NOT DISTINCT FROM NULL AND {absent})"
            ));
        }
        let other = format!("{} IS DISTINCT FROM {}", c.staged_text("s"), c.text("t"));
        if config.immutable_fields.contains(&c.name) {
            parts.immutable.push(format!(
                "({EXISTS} AND {cell} IS DISTINCT FROM NULL AND {other})"
            ));
            return format!("CASE WHEN {EXISTS} THEN t.{name} ELSE {inserted} END");
        }
        let is_mark = config.soft_delete.column() == Some(c.name.as_str());
        let wins = match config.conflict_resolution {
            // A row comes back by a mark that is not given.
            _ if is_mark => {
                format!("{cell} IS DISTINCT FROM NULL OR t.{name} IS DISTINCT FROM NULL")
            }
            Resolution::Replace => given,
            Resolution::Merge | Resolution::Skip => format!("{cell} IS DISTINCT FROM NULL"),
        };
        parts.differs.push(format!("(({wins}) AND {other})"));
        if stage
            .table
            .foreign_keys
            .iter()
            .any(|k| k.columns.contains(&c.name))
        {
            parts.refers.push(format!("(({wins}) AND {other})"));
        }
        if c.not_null {
            parts.nulls.push(format!(
                "({EXISTS} AND ({wins}) AND {cell} IS NOT DISTINCT FROM NULL AND t.{name} IS DISTINCT FROM NULL)"
            ));
        }
        format!(
            "CASE WHEN {EXISTS} THEN CASE WHEN {wins} THEN {cell} ELSE t.{name} END ELSE {inserted} END"
        )
    }

    /// A column that no record gives: only the mark of a deleted row changes.
    fn unused(&self, c: &Column, parts: &mut Parts) -> String {
        let name = Ident(&c.name);
        if self.stage.config.soft_delete.column() != Some(c.name.as_str()) {
            return format!("t.{name}");
        }
        parts.differs.push(format!("t.{name} IS NOT NULL"));
        "NULL".into()
    }
}
