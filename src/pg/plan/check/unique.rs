//! Rows that would hold a value which another row holds, or would hold.

use super::references::said_name;
use super::{After, Asked, CHANGED, COUNTS, GOES, N, ROW, SOUND, TABLE, VALID, WRITE, who};
use crate::error::Result;
use crate::pg::Session;
use crate::pg::near;
use crate::pg::order::MOST_TURNS;
use crate::pg::plan::stage::Stage;
use crate::plan::ViolationKind;
use crate::sql::{Ident, Literal, Statement, all, list};
use crate::table::row::same_bytes;
use crate::table::schema::{Column, UniqueIndex};

/// The unique indexes and exclusion constraints that records of this batch can violate: the natural
/// key's own finds the row, and what the database numbers by itself does not collide.
pub(super) fn that_can_collide<'a>(stage: &Stage<'a>) -> Vec<&'a UniqueIndex> {
    let table = &stage.target.table;
    let key = stage.target.key();
    // One that takes more values for equal than the key does is another rule.
    let is_key = |index: &UniqueIndex| {
        let mut columns = index.columns.iter().zip(&index.equality);
        index.predicate.is_none()
            && index.columns.len() == key.len()
            && columns.all(|(n, equality)| {
                let mut key = key.iter();
                key.any(|(c, of_key)| c.number == *n && of_key == equality)
            })
    };
    let numbered = |index: &UniqueIndex| {
        let number = |n: &i16| table.columns.iter().position(|c| c.number == *n);
        let mut columns = index.columns.iter().filter_map(number);
        columns.any(|i| !stage.used[i] && table.columns[i].is_numbered())
    };
    let unique = table.unique.iter().filter(|i| !is_key(i));
    unique
        .chain(&table.exclusions)
        .filter(|i| !numbered(i))
        .collect()
}

impl After<'_> {
    /// Rows that would break a unique index or an exclusion constraint.
    pub(super) async fn unique(&self, session: &Session, asked: Asked) -> Result<u64> {
        let mut found = 0;
        for index in self
            .unique
            .iter()
            .filter(|_| self.target.table.kind.is_far())
        {
            self.near(index).bring(session).await?;
        }
        if !self.unique.is_empty() {
            near::bring(session, &near::names(self.target)).await?;
        }
        for index in &self.unique {
            let conflicts = self.conflicts(index, asked);
            found += match self.excludes(index) {
                true => {
                    self.by_index(session, self.note_all(session, &conflicts))
                        .await?
                }
                false => self.note_all(session, &conflicts).await?,
            };
        }
        Ok(found)
    }

    /// Runs `work` while the planner takes indexes where there are some: of how few rows one excludes, it knows nothing,
    /// and would look at all for each.
    async fn by_index<T>(
        &self,
        session: &Session,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let set = |to| self.checking(format!("SET LOCAL enable_seqscan TO {to}"));
        session.run(&set("off")).await?;
        let done = work.await?;
        session.run(&set("DEFAULT")).await?;
        Ok(done)
    }

    pub(in crate::pg) fn conflicts(&self, index: &UniqueIndex, asked: Asked) -> Statement {
        let table = &self.target.table;
        let excludes = self.excludes(index);
        let count = index.keys_sql.len();
        // A row that keeps its value is not at fault; whoever else takes it is.
        // Which other record: any one of those with the same value that are not left out.
        let among = if excludes {
            // The least of them, found by an index; by its number, one row after the other would be looked at.
            format!(
                "SELECT * FROM (SELECT a.n, (SELECT pg_catalog.min(x.n + 0) FROM {excluded} x JOIN {rows} c ON c.{N} = x.n \
                   WHERE c.{COUNTS} AND x.n <> a.n AND {equal}) AS other FROM a OFFSET 0) x WHERE other IS NOT NULL",
                excluded = self.excluded(index),
                rows = self.temporary(),
                equal = index.equal("x", "a"),
            )
        } else {
            let by = (0..count).map(|i| format!("k{i}{}", index.equality[i].collate()));
            format!(
                "SELECT n, CASE n WHEN low THEN high ELSE low END AS other FROM (\
                   SELECT n, min(n) FILTER (WHERE counts) OVER w AS low, max(n) FILTER (WHERE counts) OVER w AS high FROM a \
                   WINDOW w AS (PARTITION BY {})) x WHERE CASE n WHEN low THEN high ELSE low END <> n",
                list(by)
            )
        };
        // What a row takes, another must have freed before.
        let freed = match index.immediate {
            true => "b.moment < a.moment",
            false => "true",
        };
        let field = match index.columns.as_slice() {
            [number] => table.column_by_number(*number),
            _ => None,
        };
        let message = if excludes {
            format!("the exclusion constraint {} would not hold: ", index.name)
        } else {
            format!(
                "the unique key {} would hold this value twice: ",
                index.name
            )
        };
        let (beside, values) = self.shown_values(index);
        let asked = match asked {
            Asked::First => "",
            Asked::Again => " AND a.valid",
        };
        let select = format!(
            "WITH a AS MATERIALIZED ({after}), \
             b AS (SELECT {N} AS n, {moment} AS moment, {TABLE} AS tbl, {ROW} AS tid FROM {rows} x WHERE {CHANGED} AND {COUNTS}{goes}), \
             among AS ({among}), \
             keeps AS (SELECT DISTINCT a.n FROM a JOIN {now} t ON t.tid = a.tid AND t.tbl = a.tbl AND {same}), \
             there AS (SELECT DISTINCT ON (a.n) a.n, t.who, EXISTS (SELECT FROM b WHERE b.tid = t.tid AND b.tbl = t.tbl) AS gives_up \
               FROM a JOIN {now} t ON {equal} \
               WHERE (a.tbl, a.tid) IS DISTINCT FROM (t.tbl, t.tid) \
                 AND NOT EXISTS (SELECT FROM b WHERE b.tid = t.tid AND b.tbl = t.tbl AND {freed}) \
               ORDER BY a.n, t.who) \
             SELECT a.n, {field}, pg_catalog.concat_ws(', ', {values}), {message} || CASE \
               WHEN o.n IS NOT NULL AND ko.n IS NULL THEN 'also in the record for ' || o.who \
               ELSE 'the row ' || coalesce(o.who, there.who) || ' has it' || CASE WHEN o.n IS NULL AND there.gives_up \
                 THEN {late} ELSE '' END END \
             FROM a{beside} LEFT JOIN keeps ON keeps.n = a.n LEFT JOIN among ON among.n = a.n \
             LEFT JOIN a o ON o.n = among.other LEFT JOIN keeps ko ON ko.n = o.n LEFT JOIN there ON there.n = a.n \
             WHERE keeps.n IS NULL AND (o.n IS NOT NULL OR there.n IS NOT NULL){asked}",
            after = self.values_after(index),
            rows = self.temporary(),
            now = self.values_now(index),
            moment = self.moment("x"),
            goes = if self.stage.deletes {
                format!(" OR {GOES} AND {VALID}")
            } else {
                String::new()
            },
            equal = index.equal("a", "t"),
            same = if excludes {
                // That it excludes what it was does not mean that it is the same.
                let values = |row| list((0..count).map(|i| format!("{row}.k{i}")));
                same_bytes(values("a"), values("t"))
            } else {
                index.equal("a", "t")
            },
            field = field.map_or("NULL::text".into(), |c| format!(
                "{}::text",
                Literal(&c.name)
            )),
            values = list(values),
            message = Literal(&message),
            late = Literal(&format!(
                " and gives it up only later in this plan, or behind {MOST_TURNS} others that wait for each other; {}",
                match index.predicate.is_none() && !index.columns.contains(&0) {
                    true =>
                        "a deferrable key would allow that, or a batch that changes that row first",
                    // An index of expressions, or of some rows, cannot be deferrable.
                    false => "a batch that changes that row first would allow that",
                }
            )),
        );
        self.find(ViolationKind::UniqueConflict, &select)
    }

    /// Whether it is an exclusion constraint.
    fn excludes(&self, index: &UniqueIndex) -> bool {
        self.target.table.exclusions.contains(index)
    }

    /// The exclusion constraints that can be violated.
    pub(super) fn exclusions(&self) -> impl Iterator<Item = &UniqueIndex> {
        self.unique.iter().copied().filter(|i| self.excludes(i))
    }

    /// The temporary table of what written rows would hold in an exclusion constraint.
    fn excluded(&self, index: &UniqueIndex) -> String {
        let mut all = self.target.table.exclusions.iter();
        let number = all.position(|i| i == index).unwrap_or_default();
        format!("pg_temp.loader_excluded_{}_{number}", self.target.place)
    }

    /// Makes it. It is filled once, so that its index can be used in the same transaction.
    pub(in crate::pg) fn create_excluded(&self, index: &UniqueIndex) -> Statement {
        let sql = format!(
            "CREATE TEMPORARY TABLE {} AS {} WITH NO DATA",
            self.excluded(index).trim_start_matches("pg_temp."),
            self.select_excluded(index)
        );
        Statement::new(self.doing("preparing checks of"), sql)
    }

    pub(in crate::pg) fn fill_excluded(&self, index: &UniqueIndex) -> Statement {
        self.checking(format!(
            "INSERT INTO {} {}",
            self.excluded(index),
            self.select_excluded(index)
        ))
    }

    fn select_excluded(&self, index: &UniqueIndex) -> String {
        let keys = list((0..index.keys_sql.len()).map(|i| format!("a.k{i}")));
        format!("SELECT a.n, {keys} FROM ({}) a", self.values_after(index))
    }

    /// The index by which it is found what is excluded.
    pub(in crate::pg) fn index_excluded(&self, index: &UniqueIndex) -> Statement {
        let keys = list((0..index.keys_sql.len()).map(|i| format!("k{i}")));
        let sql = format!(
            "CREATE INDEX ON {} USING gist ({keys})",
            self.excluded(index)
        );
        Statement::new(self.doing("preparing checks of"), sql)
    }

    pub(in crate::pg) fn analyze_excluded(&self, index: &UniqueIndex) -> Statement {
        self.checking(format!("ANALYZE {}", self.excluded(index)))
    }

    /// The rows that hold in an index what written ones would.
    fn near(&self, index: &UniqueIndex) -> near::Rows<'_> {
        // Expressions name columns without their table: no other column may have such a name.
        let name = |i: usize| format!("\"loader k{i}\"");
        let keys = (0..index.keys_sql.len()).map(|i| format!("a.k{i} AS {}", name(i)));
        let keys = format!(
            "SELECT {} FROM ({}) a OFFSET 0",
            list(keys),
            self.values_after(index)
        );
        let same = index.keys_sql.iter().enumerate().map(|(i, key)| {
            let (there, new) = (format!("({key})"), format!("s.{}", name(i)));
            index.same(i, &there, &new)
        });
        self.target.table.near(keys, all(same))
    }

    /// A query of what the written rows would hold in an index, by record.
    pub(super) fn values_after(&self, index: &UniqueIndex) -> String {
        let (beside, who) = self.who_would_be();
        format!(
            "SELECT * FROM (SELECT x.{N} AS n, {moment} AS moment, x.{WRITE} AS write, x.{TABLE} AS tbl, x.{ROW} AS tid, \
             x.{COUNTS} AS counts, x.{VALID} AS valid, {who} AS who, {keys} FROM {rows} x{beside} WHERE {CHANGED} AND {holds}{known}) x \
             WHERE {not_null}",
            moment = self.moment("x"),
            keys = index.keys(&self.target.table, |key| guarded(index, key)),
            rows = self.temporary(),
            holds = guarded(index, format!("({})", index.holds())),
            // Null is what stands for what is not known, and no value.
            known = self.is_known_in(index),
            not_null = index.compares(),
        )
    }

    /// What the table's rows hold in an index now, for `FROM`.
    pub(super) fn values_now(&self, index: &UniqueIndex) -> String {
        let table = &self.target.table;
        let own = format!("x.tableoid AS tbl, x.ctid AS tid, {} AS who", self.who_is());
        format!("({})", index.held(table, &own, &table.rows))
    }

    /// What record `a` would hold in an index, for people, and what has to be joined for that.
    fn shown_values(&self, index: &UniqueIndex) -> (String, Vec<String>) {
        let table = &self.target.table;
        let columns = index.columns.iter().map(|n| table.column_by_number(*n));
        let columns: Vec<_> = columns
            .map(|c| c.filter(|c| self.looked_up(c).is_some()))
            .collect();
        let looked_up: Vec<&Column> = columns.iter().flatten().copied().collect();
        let (beside, _) = self.shown(&looked_up, "a");
        let values = (0..index.keys_sql.len()).map(|i| {
            let value = format!("coalesce(a.k{i}::text, 'null')");
            match columns
                .get(i)
                .copied()
                .flatten()
                .and_then(|c| self.looked_up(c))
            {
                Some(lookup) => format!("coalesce(s.{}, {value})", said_name(lookup)),
                None => value,
            }
        });
        (beside.replace(N, "n"), values.collect())
    }

    /// The natural key of a row `x` that is there, for people.
    fn who_is(&self) -> String {
        let key = self.target.key().into_iter();
        let parts = key.map(|(c, _)| {
            let text = match self.looked_up(c) {
                Some(lookup) => {
                    let number = format!("x.{}", Ident(&c.name));
                    self.target.lookups.named(lookup, &number, "x")
                }
                None => c.text("x"),
            };
            (c, text)
        });
        who(parts)
    }

    /// The natural key of a row `x` as it would be, for people, and what has to be joined for that.
    fn who_would_be(&self) -> (String, String) {
        let key = self.target.key_columns();
        let (beside, values) = self.shown(&key, "x");
        (beside, who(key.into_iter().zip(values)))
    }
}

/// An expression of an index on the rows as they would be, which may fail on those that are not sound.
fn guarded(index: &UniqueIndex, sql: String) -> String {
    if index.columns.contains(&0) || index.predicate.is_some() {
        format!("CASE WHEN {SOUND} THEN {sql} END")
    } else {
        sql
    }
}
