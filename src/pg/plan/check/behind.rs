//! Sequences that would give new rows the numbers of rows that are there, as after rows were copied in by hand.

use crate::error::Result;
use crate::pg::Session;
use crate::pg::plan::stage::Stage;
use crate::sql::{Ident, Literal, Qualified, Statement};
use crate::table::config::Strategy;
use crate::table::schema::Column;

/// Of each table by number, which sequence has to be moved forward before its new rows can be inserted. Where the role may
/// not look at a sequence, nothing is said of it.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn behind(session: &Session, stages: &[Stage<'_>]) -> Result<Vec<(usize, String)>> {
    let mut notes = Vec::new();
    let inserts = |stage: &&Stage<'_>| {
        let strategy = stage.target.config.update_strategy;
        stage.brings && stage.rows > 0 && strategy != Strategy::UpdateOnly
    };
    for stage in stages.iter().filter(inserts) {
        let table = &stage.target.table;
        for (i, column) in table.columns.iter().enumerate() {
            let mut unique = table.unique.iter();
            let is_unique =
                unique.any(|index| index.is_plain() && index.columns == [column.number]);
            let Some(sequence) = column.sequence.as_ref().filter(|_| is_unique) else {
                continue;
            };
            let counts = matches!(column.base_type.as_str(), "int2" | "int4" | "int8");
            if stage.used[i] || !counts || !column.is_numbered() || table.kind.is_far() {
                continue;
            }
            if session.holds(&stage.gives_taken(column, sequence)).await? {
                let (name, column) = (&table.name, Ident(&column.name));
                notes.push((
                    stage.target.place,
                    format!(
                        "the sequence {sequence}, which numbers new rows, is behind numbers of rows that are there: new rows \
                         could not be inserted; this moves it behind them: SELECT setval({}, (SELECT max({column}) FROM {name}))",
                        Literal(&sequence.to_string())
                    ),
                ));
            }
        }
    }
    Ok(notes)
}

impl Stage<'_> {
    /// Whether a number is there that the sequence would give to one of so many new rows.
    pub(in crate::pg) fn gives_taken(&self, column: &Column, sequence: &Qualified) -> Statement {
        let (table, name) = (&self.target.table, sequence.to_string());
        let (name, column) = (Literal(&name), Ident(&column.name));
        let sql = format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_sequence q, LATERAL (SELECT CASE \
               WHEN pg_catalog.has_sequence_privilege({name}, 'USAGE, SELECT') \
               THEN coalesce(pg_catalog.pg_sequence_last_value({name}::pg_catalog.regclass) + q.seqincrement, q.seqstart) \
             END AS next) n \
             WHERE q.seqrelid = {name}::pg_catalog.regclass AND q.seqincrement > 0 AND NOT q.seqcycle \
               AND (SELECT pg_catalog.min(t.{column}) FROM {table} t WHERE t.{column} >= n.next) < n.next + q.seqincrement * {rows})",
            table = table.rows,
            rows = self.rows,
        );
        Statement::new(
            format!(
                "looking at what numbers the rows of table {}",
                self.target.name
            ),
            sql,
        )
    }
}
