//! Rows that would hold a value which another row holds, or would hold.

use super::{After, CHANGED, COUNTS, GOOD, LATE, N, NEW, ROW, SOUND, TABLE, is_numbered};
use crate::error::Result;
use crate::pg::Session;
use crate::pg::plan::stage::Stage;
use crate::sql::ident::{Ident, Literal};
use crate::table::schema::UniqueIndex;

/// The unique indexes and exclusion constraints that records of this batch can violate: the natural
/// key's own finds the row, and what the database numbers by itself does not collide.
pub(super) fn that_can_collide<'a>(stage: &Stage<'a>) -> Vec<&'a UniqueIndex> {
    let table = stage.table;
    let is_key = |index: &UniqueIndex| {
        let mut columns = index.columns.iter();
        index.predicate.is_none()
            && index.columns.len() == stage.config.natural_key.len()
            && columns.all(|n| {
                let column = table.column_by_number(*n);
                column.is_some_and(|c| stage.config.natural_key.contains(&c.name))
            })
    };
    let numbered = |index: &UniqueIndex| {
        let number = |n: &i16| table.columns.iter().position(|c| c.number == *n);
        let mut columns = index.columns.iter().filter_map(number);
        columns.any(|i| !stage.used[i] && is_numbered(&table.columns[i]))
    };
    let unique = table.unique.iter().filter(|i| !is_key(i));
    unique
        .chain(&table.exclusions)
        .filter(|i| !numbered(i))
        .collect()
}

impl After<'_> {
    /// Rows that would break a unique index or an exclusion constraint. When this is asked `again`,
    /// only of records with which nothing was wrong before.
    pub(super) async fn unique(&self, session: &Session, again: bool) -> Result<u64> {
        let mut found = 0;
        for index in &self.unique {
            let excludes = self.stage.table.exclusions.contains(index);
            let sql = self.conflicts(index, excludes, again);
            found += self.find(session, "unique_conflict", &sql).await?;
        }
        Ok(found)
    }

    fn conflicts(&self, index: &UniqueIndex, excludes: bool, again: bool) -> String {
        let table = self.stage.table;
        // Expressions may fail on rows that are not sound.
        let computed = index.columns.contains(&0) || index.predicate.is_some();
        let guarded = |sql: &str| match computed {
            true => format!("CASE WHEN {SOUND} THEN {sql} END"),
            false => sql.to_owned(),
        };
        let keys = |guarded: &dyn Fn(&str) -> String| {
            let one = |(i, k): (usize, &String)| format!("{} AS k{i}", guarded(&format!("({k})")));
            let all: Vec<String> = index.keys_sql.iter().enumerate().map(one).collect();
            all.join(", ")
        };
        let plain = |sql: &str| sql.to_owned();
        let count = index.keys_sql.len();
        let predicate = index.predicate.as_deref().unwrap_or("true");
        let not_null = match index.nulls_not_distinct {
            true => "true".to_owned(),
            false => every(count, |i| format!("k{i} IS DISTINCT FROM NULL")),
        };
        let who = |alias: &str| {
            let key = table.key(&self.stage.config.natural_key).into_iter();
            let parts: Vec<String> = key
                .map(|(c, _)| {
                    format!(
                        "{} || '=' || coalesce({}, 'null')",
                        Literal(&c.name),
                        c.text(alias)
                    )
                })
                .collect();
            format!("pg_catalog.concat_ws(', ', {})", parts.join(", "))
        };
        let after = format!(
            "SELECT * FROM (SELECT x.{N} AS n, x.{NEW} AS new, x.{LATE} AS late, x.{TABLE} AS tbl, x.{ROW} AS tid, \
             x.{COUNTS} AS counts, x.{GOOD} AS good, {who} AS who, {keys} FROM {} x WHERE {CHANGED} AND {}) x WHERE {not_null}",
            self.sql_name(),
            guarded(&format!("({predicate})")),
            who = who("x"),
            keys = keys(&guarded),
        );
        let now = format!(
            "(SELECT * FROM (SELECT x.tableoid AS tbl, x.ctid AS tid, {who} AS who, {keys} FROM {} x \
             WHERE ({predicate})) x WHERE {not_null})",
            table.name,
            who = who("x"),
            keys = keys(&plain),
        );
        let equal = |left: &str, right: &str| {
            every(count, |i| {
                let eq = &index.equality[i];
                let collate = eq.collation.as_ref().map(|c| format!(" COLLATE {c}"));
                let same = format!(
                    "{left}.k{i}{} OPERATOR({}.{}) {right}.k{i}",
                    collate.unwrap_or_default(),
                    Ident(&eq.schema),
                    eq.operator
                );
                match index.nulls_not_distinct {
                    true => format!(
                        "({same} OR {left}.k{i} IS NOT DISTINCT FROM NULL AND {right}.k{i} IS NOT DISTINCT FROM NULL)"
                    ),
                    false => same,
                }
            })
        };
        // A row that keeps its value is not at fault; whoever else takes it is.
        // Which other record: any one of those with the same value that are not left out.
        let among = if excludes {
            format!(
                "SELECT DISTINCT ON (a.n) a.n, b.n AS other FROM a JOIN a b ON b.n <> a.n AND b.counts AND {} ORDER BY a.n, b.n",
                equal("a", "b")
            )
        } else {
            let by: Vec<String> = (0..count)
                .map(|i| {
                    let collation = index.equality[i].collation.as_ref();
                    let collate = collation.map(|c| format!(" COLLATE {c}"));
                    format!("k{i}{}", collate.unwrap_or_default())
                })
                .collect();
            format!(
                "SELECT n, CASE n WHEN low THEN high ELSE low END AS other FROM (\
                   SELECT n, min(n) FILTER (WHERE counts) OVER w AS low, max(n) FILTER (WHERE counts) OVER w AS high FROM a \
                   WINDOW w AS (PARTITION BY {})) x WHERE CASE n WHEN low THEN high ELSE low END <> n",
                by.join(", ")
            )
        };
        // Updates are written before inserts, but for late ones; what one of them takes, another
        // must have freed before.
        let freed = match index.immediate {
            true => "NOT b.new AND NOT b.late AND (a.new OR a.late)",
            false => "NOT b.new",
        };
        let values: Vec<String> = (0..count)
            .map(|i| format!("coalesce(a.k{i}::text, 'null')"))
            .collect();
        let field = match index.columns.as_slice() {
            [number] => table.column_by_number(*number),
            _ => None,
        };
        let message = match excludes {
            true => format!("the exclusion constraint {} would not hold: ", index.name),
            false => format!(
                "the unique key {} would hold this value twice: ",
                index.name
            ),
        };
        format!(
            "WITH a AS MATERIALIZED ({after}), \
             b AS (SELECT {NEW} AS new, {LATE} AS late, {TABLE} AS tbl, {ROW} AS tid FROM {} WHERE {CHANGED} AND {COUNTS}), \
             among AS ({among}), \
             keeps AS (SELECT DISTINCT a.n FROM a JOIN {now} t ON t.tid = a.tid AND t.tbl = a.tbl AND {equal_at}), \
             there AS (SELECT DISTINCT ON (a.n) a.n, t.who FROM a JOIN {now} t ON {equal_at} \
               WHERE (a.tbl, a.tid) IS DISTINCT FROM (t.tbl, t.tid) \
                 AND NOT EXISTS (SELECT FROM b WHERE b.tid = t.tid AND b.tbl = t.tbl AND {freed}) \
               ORDER BY a.n, t.who) \
             SELECT a.n, {}, pg_catalog.concat_ws(', ', {}), {} || coalesce(\
               'also in the record for ' || o.who, 'the row ' || there.who || ' has it') \
             FROM a LEFT JOIN keeps ON keeps.n = a.n LEFT JOIN among ON among.n = a.n LEFT JOIN a o ON o.n = among.other LEFT JOIN there ON there.n = a.n \
             WHERE keeps.n IS NULL AND (o.n IS NOT NULL OR there.n IS NOT NULL){good}",
            self.sql_name(),
            field.map_or("NULL::text".into(), |c| format!(
                "{}::text",
                Literal(&c.name)
            )),
            values.join(", "),
            Literal(&message),
            equal_at = equal("a", "t"),
            good = if again { " AND a.good" } else { "" },
        )
    }
}

fn every(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().join(" AND ")
}
