//! In which order rows are written, so that what cannot be deferred holds after each statement: apply keeps to it,
//! plan foresees it.
//!
//! Most rows are written table by table: those that go, from the last table to the first, then, from the first to
//! the last, updates and inserts ([`Write`]). A row for which another would have to wait that comes before it so, is
//! written before all these, in a turn; each turn goes through the tables in the same way. Who waits for whom,
//! [`Wait`] says.
//!
//! What is put back waits the other way round: a load that can be put in order can be taken back.

mod turns;
mod waits;

use std::collections::BTreeSet;
use std::fmt;

use crate::error::Result;
use crate::pg::Session;
use crate::pg::session::{TextRow, parsed};
use crate::sql::copytext::CopyRow;
use crate::sql::{Statement, Values};
use crate::table::schema::{Column, UniqueIndex};
use crate::table::target::Target;

use turns::{Row, turns};
pub(in crate::pg) use waits::{Wait, columns_in};

/// The most turns: what would need more is left where it would be without any.
pub(in crate::pg) const MOST_TURNS: u32 = 100;

/// So many rounds look only at what waits for rows that were just moved.
const ROUNDS: u32 = 3;

/// What is done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::pg) enum Write {
    /// It goes.
    Delete,
    /// It is marked as deleted.
    Mark,
    /// It changes.
    Update,
    /// It comes.
    Insert,
}

impl Write {
    /// All there are, in the order in which a turn makes them in one table.
    pub(in crate::pg) const ALL: [Write; 4] =
        [Write::Delete, Write::Mark, Write::Update, Write::Insert];

    /// When a turn makes it in the table with this number: what comes later, has more.
    pub(in crate::pg) fn moment(self, table: usize) -> i64 {
        let table = i64::try_from(table).unwrap_or(i64::MAX / 4);
        match self {
            Write::Delete | Write::Mark => -1 - table,
            Write::Update => 2 * table,
            Write::Insert => 2 * table + 1,
        }
    }
}

/// As a number of SQL.
impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", *self as u8)
    }
}

/// The number of a row, beside the columns of its table.
pub(in crate::pg) const N: &str = "\"loader n\"";

/// What is written to one table. Its queries name what they select as said.
pub(in crate::pg) trait Written {
    /// The table.
    fn target(&self) -> &Target;
    /// Whether any row is written so, as far as is known.
    fn writes(&self, write: Write) -> bool;
    /// Whether an update may change a column.
    fn may_change(&self, column: &Column) -> bool;
    /// The unique indexes and exclusion constraints that may be in the way.
    fn unique(&self) -> Vec<&UniqueIndex>;
    /// A query of the rows that are there and are written so: their numbers `n`, tables `tbl` and places `tid`.
    fn places(&self, write: Write) -> String;
    /// A query of what rows that are written so will hold in these columns, under their names, beside their numbers
    /// [`N`]; `None` where that is not known.
    fn after(&self, write: Write, columns: &[&Column]) -> Option<String>;
    /// A query of what rows that are written so will hold in an index: their numbers `n`, and its keys `k0` to `kn`;
    /// `None` where that is not known.
    fn held_after(&self, write: Write, index: &UniqueIndex) -> Option<String>;
}

/// What is found out: who waits for whom, and which rows are therefore written in turns, of the table numbered `t` the
/// row numbered `n`, to which `w` is done. A `turn` is from 1; 0 is of those for which there is none, as they wait for each
/// other in a circle, or for such ones.
pub(in crate::pg) const CREATE: &str = "\
CREATE TEMPORARY TABLE loader_waits (t int, w int, n bigint, then_t int, then_n bigint, strict bool);
CREATE TEMPORARY TABLE loader_moved (t int, w int, n bigint, round int, turn int DEFAULT 1, PRIMARY KEY (t, n))";

/// Which of the rows to which one thing is done in a table are written at once: all, or those of a turn, or those of none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pg) enum Which {
    /// All.
    All,
    /// Those of this turn.
    Turn(u32),
    /// Those that are in no turn.
    Rest,
}

/// What is written in turns: each turn, with the number of a table and what is done to rows of it.
#[derive(Debug, Default)]
pub(in crate::pg) struct Turns(BTreeSet<(u32, usize, Write)>);

impl Turns {
    /// The last one's number; 0 where there is none.
    pub(in crate::pg) fn last(&self) -> u32 {
        self.0.last().map_or(0, |(turn, ..)| *turn)
    }

    /// Whether any row is moved, into a turn or into none.
    pub(in crate::pg) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Which rows of a table are written so in a turn, or behind all.
    pub(in crate::pg) fn which(
        &self,
        turn: Option<u32>,
        table: usize,
        write: Write,
    ) -> Option<Which> {
        let mut turns = self.0.iter().filter(|(turn, ..)| *turn > 0);
        match turn {
            Some(turn) => self
                .0
                .contains(&(turn, table, write))
                .then_some(Which::Turn(turn)),
            None if turns.any(|(_, t, w)| (*t, *w) == (table, write)) => Some(Which::Rest),
            None => Some(Which::All),
        }
    }
}

/// Finds the rows that are written in turns, where these wait. The tables that [`CREATE`] makes are there, or are made where `creates`.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub(in crate::pg) async fn find<W: Written>(
    session: &Session,
    waits: Vec<Wait<'_, W>>,
    creates: bool,
) -> Result<Turns> {
    let (strict, others): (Vec<_>, Vec<_>) = waits.into_iter().partition(Wait::is_strict);
    if strict.is_empty() {
        return Ok(Turns::default());
    }
    let create = creates.then(|| ordering(CREATE));
    let find = strict.iter().filter_map(|wait| wait.find(None));
    session
        .run(&at_once(create.into_iter().chain(find)))
        .await?;
    let (mut all, mut round) = (BTreeSet::new(), 0);
    loop {
        let moves = session.execute(&move_before(round)).await?;
        if moves == 0 {
            break;
        }
        let moved = session.rows(&moved_in(round, moves)).await?;
        let moved: BTreeSet<_> = moved.iter().map(table_and_write).collect::<Result<_>>()?;
        let these = others.iter().filter(|wait| moved.contains(&wait.then()));
        all.extend(moved.iter().map(|(table, write)| (1, *table, *write)));
        let find = these.filter_map(|wait| wait.find(Some(round)));
        session.run(&at_once(find)).await?;
        round += 1;
        if round == ROUNDS {
            // A chain of many rows: all that may wait is found at once, and who of these is waited for.
            let find = others.iter().filter_map(|wait| wait.find(None));
            session.run(&at_once(find)).await?;
            session.run(&move_all(round)).await?;
            let moved = session.rows(&moved_in(round, u64::MAX)).await?;
            let moved: BTreeSet<_> = moved.iter().map(table_and_write).collect::<Result<_>>()?;
            all.extend(moved.iter().map(|(table, write)| (1, *table, *write)));
            break;
        }
    }
    if round == 0 {
        return Ok(Turns::default());
    }
    let turns = turns(&read_waits(session).await?, MOST_TURNS);
    if !turns.is_empty() {
        session.run(&set_turns(&turns)).await?;
        all.clear();
        for row in session.rows(&all_turns()).await? {
            let (table, write) = table_and_write(&row)?;
            all.insert((row.parsed(2)?, table, write));
        }
    }
    Ok(Turns(all))
}

/// The table's number and what is written, in a row that begins with them.
fn table_and_write(row: &TextRow) -> Result<(usize, Write)> {
    let write: usize = row.parsed(1)?;
    Ok((row.parsed(0)?, Write::ALL[write.min(Write::ALL.len() - 1)]))
}

/// Who waits for whom, of the rows that are written in turns.
async fn read_waits(session: &Session) -> Result<Vec<(Row, Row, bool)>> {
    let (statement, mut line) = (waiting(), CopyRow::default());
    let mut lines = session.copy_out(&statement).await?;
    let mut waits = Vec::new();
    while lines.next(&mut line).await? {
        let doing = statement.doing();
        let row = |i| -> Result<Row> {
            let table = parsed(doing, line.get(i), i)?;
            Ok((table, parsed(doing, line.get(i + 1), i + 1)?))
        };
        waits.push((row(0)?, row(2)?, line.get(4) == Some("t")));
    }
    Ok(waits)
}

/// A query of the moved row `m` with this number of a table; conditions can follow.
pub(in crate::pg) fn moved(table: usize, number: &str) -> String {
    format!("SELECT FROM pg_temp.loader_moved m WHERE m.t = {table} AND m.n = {number}")
}

fn ordering(sql: impl Into<String>) -> Statement {
    Statement::new("ordering what is written", sql)
}

/// These statements, sent together.
fn at_once(statements: impl Iterator<Item = Statement>) -> Statement {
    let texts: Vec<String> = statements.map(|s| s.text().to_owned()).collect();
    ordering(texts.join(";\n"))
}

/// Moves the rows for which others wait before all that is not written in turns.
pub(in crate::pg) fn move_before(round: u32) -> Statement {
    ordering(format!(
        "INSERT INTO pg_temp.loader_moved (t, w, n, round) SELECT DISTINCT t, w, n, {round} FROM pg_temp.loader_waits \
         ON CONFLICT DO NOTHING"
    ))
}

/// Moves all rows for which moved ones wait, and for which these wait in turn.
pub(in crate::pg) fn move_all(round: u32) -> Statement {
    let waits = "pg_temp.loader_waits w JOIN r ON w.then_t = r.t AND w.then_n = r.n";
    ordering(format!(
        "ANALYZE pg_temp.loader_waits; \
         INSERT INTO pg_temp.loader_moved (t, w, n, round) WITH RECURSIVE r(t, n) AS (\
           SELECT t, n FROM pg_temp.loader_moved UNION SELECT w.t, w.n FROM {waits}) \
         SELECT DISTINCT w.t, w.w, w.n, {round} FROM {waits} ON CONFLICT DO NOTHING"
    ))
}

/// What was moved in a round, so many rows. Without statistics the planner takes many for few, and looks at all of them
/// for each.
fn moved_in(round: u32, moves: u64) -> Statement {
    let analyze = match moves {
        ..100 => "",
        _ => "ANALYZE pg_temp.loader_waits; ANALYZE pg_temp.loader_moved; ",
    };
    ordering(format!(
        "{analyze}SELECT DISTINCT t, w FROM pg_temp.loader_moved WHERE round = {round}"
    ))
}

/// Who waits for whom, of those that are moved.
pub(in crate::pg) fn waiting() -> Statement {
    ordering(
        "COPY (SELECT DISTINCT w.t, w.n, w.then_t, w.then_n, w.strict FROM pg_temp.loader_waits w \
         JOIN pg_temp.loader_moved m ON m.t = w.then_t AND m.n = w.then_n) TO STDOUT",
    )
}

/// Sets the turns that are not the first.
pub(in crate::pg) fn set_turns(turns: &[(Row, u32)]) -> Statement {
    let mut values = Values::default();
    let tables = values.texts(turns.iter().map(|((table, _), _)| table.to_string()));
    let numbers = values.texts(turns.iter().map(|((_, n), _)| n.to_string()));
    let of = values.texts(turns.iter().map(|(_, turn)| turn.to_string()));
    let sql = format!(
        "UPDATE pg_temp.loader_moved m SET turn = x.turn FROM ROWS FROM (pg_catalog.unnest({tables}::int[]), \
           pg_catalog.unnest({numbers}::bigint[]), pg_catalog.unnest({of}::int[])) x(t, n, turn) WHERE m.t = x.t AND m.n = x.n"
    );
    Statement::with("ordering what is written", sql, values)
}

fn all_turns() -> Statement {
    ordering("SELECT DISTINCT t, w, turn FROM pg_temp.loader_moved")
}
