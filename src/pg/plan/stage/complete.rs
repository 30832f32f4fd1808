//! Rows that a complete delivery does not bring: staged as records that name a row to be deleted.

use super::Stage;
use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::near::Rows;
use crate::pg::plan::snapshot::Snapshot;
use crate::pg::plan::trial;
use crate::plan::reading::Reading;
use crate::record::Value;
use crate::sql::{Ident, Literal, Statement, all, any, list};
use crate::table::complete::Complete;
use crate::table::row::keys_equal;
use crate::table::schema::Column;
use crate::table::target::Target;

/// What became of the rows that a delivery does not bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// They stay: it is not all there is.
    NotAsked,
    /// They stay: it brings no record but of rows to be deleted, as a file does that was cut off.
    NoRecord,
    /// They stay: it brings records again that were rejected, and not those that were loaded before.
    Again,
    /// They stay: so many records have no key that can be read, so that it is not known which they are.
    Unknown(u64),
    /// They are staged as rows to be deleted; beside them are so many that no record can name, as a column of
    /// their key is null, and that stay.
    Staged(u64),
}

impl Snapshot<'_> {
    /// Stages the rows of a table that its delivery does not bring, where that is all there is, as records of
    /// the object number `object`.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn complete(&self, stage: &mut Stage<'_>, object: usize) -> Result<Missing> {
        if stage.target.config.complete.is_no() {
            return Ok(Missing::NotAsked);
        }
        if !stage.brings {
            return Ok(Missing::NoRecord);
        }
        if stage.again {
            return Ok(Missing::Again);
        }
        stage.scope = stage.read_scope(self.session).await?;
        let unreadable = self.session.count(&stage.count_unreadable()).await?;
        if unreadable > 0 {
            return Ok(Missing::Unknown(unreadable));
        }
        stage.near_missing().bring(self.session).await?;
        let staged = self.session.execute(&stage.stage_missing(object)).await?;
        stage.rows += staged;
        stage.deletes |= staged > 0;
        let unnamed = match stage.nameless() {
            Some(_) => self.session.count(&stage.count_nameless()).await?,
            None => 0,
        };
        Ok(Missing::Staged(unnamed))
    }
}

impl Stage<'_> {
    /// The values of `complete: {where: …}`, by the numbers of their columns: read as those of records are, and each
    /// the very value that a column keeps.
    async fn read_scope(&self, session: &Session) -> Result<Vec<(usize, String)>> {
        let Target { table, config, .. } = self.target;
        let Complete::Where(scope) = &config.complete else {
            return Ok(Vec::new());
        };
        let mut read = Vec::with_capacity(scope.len());
        for (i, column) in table.columns.iter().enumerate() {
            let Some(value) = scope.get(&column.name) else {
                continue;
            };
            let wrong = |why: &dyn std::fmt::Display| {
                Error::config(format!(
                    "complete of table {}: where: {}: {value:?}: {why}",
                    self.target.name, column.name
                ))
            };
            let reading = Reading::new(column, config);
            let given = Value::Cell(value);
            let taken = reading
                .read(&given)
                .map_err(|refused| wrong(&refused.why))?;
            let Some(text) = taken.text else {
                return Err(wrong(
                    &"it means null, and no row has a value that equals null",
                ));
            };
            // Assigned, as values that are written are: a cast would cut it to the length of its column.
            let assigned = format!(
                "DECLARE v {}; BEGIN v := {}; END",
                column.base_type_sql,
                Literal(&text)
            );
            let assigned = self.completing(format!("DO {}", Literal(&assigned)));
            let stored = if trial::works(session, &assigned).await? {
                let cast = format!("{}::{}", Literal(&text), column.base_type_sql);
                let printed = self.completing(format!("SELECT {}", column.printed(&cast)));
                session.column(&printed).await?.pop()
            } else {
                None
            };
            let asked = taken.asked.and_then(|asked| asked.text);
            match (stored, asked) {
                (None, _) => return Err(wrong(&format_args!("it is no {}", column.type_sql))),
                (Some(stored), Some(asked)) if !column.kind.keeps(&asked, &stored) => {
                    return Err(wrong(&format_args!("a row has {stored:?} in its place")));
                }
                _ => read.push((i, text.into_owned())),
            }
        }
        Ok(read)
    }

    fn completing(&self, sql: String) -> Statement {
        Statement::new(
            format!(
                "looking for rows of table {} that are not delivered",
                self.target.name
            ),
            sql,
        )
    }

    pub(in crate::pg) fn count_unreadable(&self) -> Statement {
        let key = self.target.key_columns().into_iter();
        let absent = any(key.map(|c| format!("s.{} IS NOT DISTINCT FROM NULL", c.staged())));
        self.completing(format!(
            "SELECT pg_catalog.count(*) FROM {} s WHERE NOT s._goes AND {absent}",
            self.temporary()
        ))
    }

    /// For `FROM`, with its conditions: records `s` whose rows will have what these say in `columns`.
    fn rows_with(&self, columns: &[&Column]) -> String {
        let (target, mut from) = (self.target, format!("{} s", self.temporary()));
        let mut conditions: Vec<String> =
            ["s._findings IS NULL", "s._left_out IS NULL", "NOT s._goes"]
                .map(str::to_owned)
                .into();
        if self.duplicates {
            from += &format!(" LEFT JOIN {} d ON d._n = s._n", self.duplicates_table());
            conditions.push(self.stands_for_key("s"));
        }
        // What is set in new rows alone, a row that is there keeps.
        let kept = columns.iter().filter(|c| target.config.keeps(&c.name));
        conditions.extend(kept.map(|c| {
            format!(
                "NOT EXISTS (SELECT FROM {} o WHERE {} AND ({}) IS NOT TRUE)",
                target.table.rows,
                keys_equal(&target.key(), "s", "o"),
                c.equality
                    .equal(format!("o.{}", Ident(&c.name)), format!("s.{}", c.staged()))
            )
        }));
        format!("{from} WHERE {}", all(conditions))
    }

    /// The columns of `complete: {of_each: …}`.
    fn of_each(&self, names: &[String]) -> Vec<&Column> {
        let columns = names.iter().filter_map(|c| self.target.table.column(c));
        columns.collect()
    }

    /// The conditions that row `t` is one of all that are delivered, whatever records say.
    fn in_scope(&self) -> Vec<String> {
        match &self.target.config.complete {
            Complete::No => vec!["false".to_owned()],
            Complete::All | Complete::OfEach(_) => Vec::new(),
            Complete::Where(_) => {
                let conditions = self.scope.iter().map(|(i, value)| {
                    let column = &self.target.table.columns[*i];
                    let value = format!("{}::{}", Literal(value), column.base_type_sql);
                    let name = format!("t.{}", Ident(&column.name));
                    column.equality.equal(name, value)
                });
                conditions.collect()
            }
        }
    }

    /// The rows that may not be delivered.
    fn near_missing(&self) -> Rows<'_> {
        let table = &self.target.table;
        match &self.target.config.complete {
            Complete::OfEach(names) => {
                let columns = self.of_each(names);
                let cells = list(columns.iter().map(|c| format!("s.{}", c.staged())));
                let keys = format!("SELECT DISTINCT {cells} FROM {} s", self.temporary());
                table.near(keys, same(&columns))
            }
            _ => table.near("SELECT 1".to_owned(), all(self.in_scope())),
        }
    }

    /// The conditions that row `t` is one of all that are delivered.
    fn delivered(&self) -> Vec<String> {
        match &self.target.config.complete {
            Complete::OfEach(names) => {
                let columns = self.of_each(names);
                vec![format!(
                    "EXISTS (SELECT FROM {} AND {})",
                    self.rows_with(&columns),
                    same(&columns)
                )]
            }
            _ => self.in_scope(),
        }
    }

    /// The condition that no record can name row `t`; `None` where there is no such row.
    fn nameless(&self) -> Option<String> {
        let key = self.target.key_columns().into_iter();
        let nullable = key.filter(|c| !c.not_null);
        let nulls = nullable.map(|c| format!("t.{} IS NOT DISTINCT FROM NULL", Ident(&c.name)));
        let nulls: Vec<String> = nulls.collect();
        (!nulls.is_empty()).then(|| any(nulls))
    }

    pub(in crate::pg) fn count_nameless(&self) -> Statement {
        let conditions = [self.beside().live()].into_iter().chain(self.delivered());
        self.completing(format!(
            "SELECT pg_catalog.count(*) FROM {} t WHERE {}",
            self.target.table.rows,
            all(conditions.chain(self.nameless()))
        ))
    }

    pub(in crate::pg) fn stage_missing(&self, object: usize) -> Statement {
        let (table, stage) = (&self.target.table, self.temporary());
        let key = self.target.key_columns();
        let live = self.beside().live();
        let given: String = table
            .columns
            .iter()
            .map(|c| if key.contains(&c) { '1' } else { '0' })
            .collect();
        self.completing(format!(
            "INSERT INTO {stage} (_n, _object, _position, _given, _goes, _extracted, {staged}) \
             SELECT pg_catalog.row_number() OVER (ORDER BY {texts}) + (SELECT coalesce(pg_catalog.max(_n), 0) FROM {stage}), \
               {object}, 0, '{given}', true, (SELECT pg_catalog.min(_extracted) FROM {stage}), {names} \
             FROM {name} t WHERE {live} AND {scope}{named} AND NOT EXISTS (SELECT FROM {stage} s WHERE {same_key})",
            staged = list(key.iter().map(|c| c.staged())),
            texts = list(key.iter().map(|c| c.text("t"))),
            names = list(key.iter().map(|c| format!("t.{}", Ident(&c.name)))),
            name = table.rows,
            named = self
                .nameless()
                .map_or_else(String::new, |nameless| format!(" AND NOT ({nameless})")),
            scope = all(self.delivered()),
            same_key = keys_equal(&self.target.key(), "s", "t"),
        ))
    }
}

/// The condition that row `t` has what record `s` gives in these columns.
fn same(columns: &[&Column]) -> String {
    all(columns.iter().map(|c| {
        let name = format!("t.{}", Ident(&c.name));
        c.equality.equal(name, format!("s.{}", c.staged()))
    }))
}
