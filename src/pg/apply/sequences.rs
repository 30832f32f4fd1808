//! Sequences behind values that a load gives itself: they must not give these values again.

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::Fate;
use crate::pg::apply::write::writes;
use crate::sql::{Literal, Qualified, Statement};
use crate::table::schema::Column;

/// Up to so many numbers are taken from a sequence one by one, so that nobody who takes numbers at the
/// same time can be thrown back; further than that nobody gets meanwhile.
const FEW: u64 = 10_000;

impl Staged {
    /// The columns for which the plan gives values, and the sequences that number them otherwise.
    fn numbered(&self) -> impl Iterator<Item = (&Column, &Qualified)> {
        let columns = self.target.table.columns.iter();
        let staged = columns.filter(|c| self.staged_column(&c.name).is_some());
        staged.filter_map(|c| Some((c, c.sequence.as_ref()?)))
    }

    /// How many numbers the sequence is behind the greatest value given (the least, where it counts down), whether
    /// the role may see that and may move it, and that value.
    pub(in crate::pg) fn behind(&self, column: &Column, sequence: &Qualified) -> Statement {
        let written = self.columns.iter().position(|c| *c == column.name);
        let given = match written {
            Some(i) => format!(
                "s._a = {} OR s._a = {} AND {}",
                Fate::Insert,
                Fate::Update,
                writes("s", i)
            ),
            None => format!("s._a = {}", Fate::Insert),
        };
        let name = sequence.to_string();
        let name = Literal(&name);
        let sql = format!(
            "SELECT pg_catalog.ceil((t.given - l.last) / q.seqincrement)::text, p.sees, p.moves, t.given::text \
             FROM (SELECT pg_catalog.max(s.{cell}) AS greatest, pg_catalog.min(s.{cell}) AS least FROM {staged} s WHERE {given}) g, \
               LATERAL (SELECT pg_catalog.has_sequence_privilege({name}, 'USAGE, SELECT') AS sees, \
                 pg_catalog.has_sequence_privilege({name}, 'UPDATE') AS moves) p, \
               pg_catalog.pg_sequence q, \
               LATERAL (SELECT CASE WHEN q.seqincrement > 0 THEN least(g.greatest, q.seqmax) \
                 ELSE greatest(g.least, q.seqmin) END::pg_catalog.numeric AS given) t, \
               LATERAL (SELECT CASE WHEN p.sees THEN coalesce(pg_catalog.pg_sequence_last_value({name}::pg_catalog.regclass), \
                   q.seqstart::pg_catalog.numeric - q.seqincrement) \
                 WHEN q.seqincrement > 0 THEN q.seqmin::pg_catalog.numeric - 1 ELSE q.seqmax::pg_catalog.numeric + 1 END AS last) l \
             WHERE q.seqrelid = {name}::pg_catalog.regclass AND NOT q.seqcycle AND g.greatest IS NOT NULL AND (t.given - l.last) / q.seqincrement > 0",
            cell = column.staged(),
            staged = self.temporary(),
        );
        self.numbering(sql)
    }

    fn numbering(&self, sql: String) -> Statement {
        let doing = format!("moving the sequences of table {} forward", self.target.name);
        Statement::new(doing, sql)
    }

    /// Moves a sequence forward by this many numbers, to this value.
    pub(in crate::pg) fn advance(&self, sequence: &Qualified, behind: u64, to: &str) -> Statement {
        let name = sequence.to_string();
        let name = Literal(&name);
        self.numbering(if behind <= FEW {
            format!(
                "SELECT pg_catalog.max(pg_catalog.nextval({name}::pg_catalog.regclass)) FROM pg_catalog.generate_series(1, {behind})"
            )
        } else {
            format!("SELECT pg_catalog.setval({name}::pg_catalog.regclass, {to})")
        })
    }
}

/// That all sequences which have to be moved can be.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) naming the privilege that the role lacks.
pub(super) async fn check(session: &Session, tables: &[Staged]) -> Result<()> {
    for staged in tables {
        for (column, sequence) in staged.numbered() {
            let behind = staged.behind(column, sequence);
            let rows = session.rows(&behind).await?;
            let Some(row) = rows.first().filter(|row| !row.is(1) || !row.is(2)) else {
                continue;
            };
            let is_hidden = staged.target.config.sensitive.contains(&column.name);
            let up_to = match is_hidden {
                true => String::new(),
                false => format!(" up to {}", row.text(3)?),
            };
            return Err(Error::config(format!(
                "{}: the plan gives values of {}{up_to}, and the sequence {sequence}, which numbers new rows, has to be \
                 moved behind them, or it would give them again; the role may not: GRANT USAGE, UPDATE ON SEQUENCE \
                 {sequence} to it, or let tables.yaml refuse such values (given_numbers: refuse)",
                crate::text::escape(&staged.target.name),
                crate::text::escape(&column.name),
            )));
        }
    }
    Ok(())
}

impl Staged {
    /// Whether the database numbers new rows of the plan in this column.
    pub(in crate::pg) fn draws(&self, column: &Column) -> Statement {
        self.numbering(format!(
            "SELECT EXISTS (SELECT FROM {} s WHERE s._a = {} AND s.{} IS NOT DISTINCT FROM NULL)",
            self.temporary(),
            Fate::Insert,
            column.staged()
        ))
    }
}

/// Moves those sequences forward, before anything is written, that would give new rows of the plan the values of others.
pub(super) async fn make_way(session: &Session, tables: &[Staged]) -> Result<()> {
    for staged in tables {
        for (column, sequence) in staged.numbered() {
            if session.holds(&staged.draws(column)).await? {
                move_behind(session, staged, column, sequence).await?;
            }
        }
    }
    Ok(())
}

/// Moves each sequence behind the values that were given; never back. What a sequence has given stays
/// given, whatever becomes of the transaction: this is the last that is done before its commit.
pub(super) async fn advance(session: &Session, tables: &[Staged]) -> Result<()> {
    for staged in tables {
        for (column, sequence) in staged.numbered() {
            move_behind(session, staged, column, sequence).await?;
        }
    }
    Ok(())
}

async fn move_behind(
    session: &Session,
    staged: &Staged,
    column: &Column,
    sequence: &Qualified,
) -> Result<()> {
    let behind = staged.behind(column, sequence);
    if let Some(row) = session.rows(&behind).await?.first() {
        let advance = staged.advance(sequence, row.parsed(0)?, row.text(3)?);
        session.run(&advance).await?;
    }
    Ok(())
}
