//! Updates that take a unique value which another update of the table gives up: they are written
//! after it, step by step.

use super::{Context, THIS_VERSION, bits, writes};
use crate::error::Result;
use crate::pg::Session;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::Fate;
use crate::sql::{Ident, Statement, Temporary, any, list};
use crate::table::schema::{Column, UniqueIndex};

/// The most steps: whoever would come later is a `unique_conflict` in the plan.
pub(in crate::pg) const MOST_STEPS: u32 = 100;
/// The entry, beside the columns of its row.
const N: &str = "\"loader n\"";

impl Context<'_> {
    /// Finds the step in which each update of the table is written. Returns the last one's number.
    pub(super) async fn find_steps(&self, staged: &Staged) -> Result<u32> {
        let handed_over = staged.handed_over();
        if staged.rows.update < 2 || handed_over.is_empty() {
            return Ok(0);
        }
        let session = self.session;
        session.run(&staged.create_handovers()).await?;
        let mut found = 0;
        for statement in &handed_over {
            found += session.execute(statement).await?;
        }
        let analyze = staged.analyze_handovers();
        let steps = find_steps(session, found, &analyze, |step| staged.next_step(step));
        let step = steps.await?;
        if step > 0 {
            session.run(&staged.set_steps()).await?;
        }
        Ok(step)
    }
}

/// Gives the handovers, of which `found` were noted, their steps. Returns the last one's number.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub(in crate::pg) async fn find_steps(
    session: &Session,
    found: u64,
    analyze: &Statement,
    next_step: impl Fn(u32) -> Statement,
) -> Result<u32> {
    let mut step = 0;
    if found > 0 {
        // Each step looks at all of them: without statistics it does so once for each.
        session.run(analyze).await?;
        while step < MOST_STEPS && session.execute(&next_step(step + 1)).await? > 0 {
            step += 1;
        }
    }
    Ok(step)
}

/// What gives each handover its step that waits for none without one, as SQL: `of` is the table of
/// handovers, `only` a further condition.
pub(in crate::pg) fn next_step(of: &str, only: &str, step: u32) -> String {
    format!(
        "UPDATE {of} h SET step = {step} WHERE h.step IS NULL{only} \
         AND NOT EXISTS (SELECT FROM {of} q WHERE q.taker = h.freer AND q.step IS NULL{only_q})",
        only_q = only.replace("h.", "q."),
    )
}

impl Staged {
    fn handovers(&self) -> Temporary {
        Temporary {
            what: "handovers",
            number: self.target.place,
        }
    }

    pub(in crate::pg) fn create_handovers(&self) -> Statement {
        self.ordering(format!(
            "CREATE TEMPORARY TABLE {} (taker bigint, freer bigint, step int)",
            self.handovers().bare()
        ))
    }

    /// Notes which update takes what which other gives up, for each unique index and exclusion constraint that is
    /// checked at once and that some update may change.
    pub(in crate::pg) fn handed_over(&self) -> Vec<Statement> {
        let table = &self.target.table;
        let indexes = table.unique.iter().chain(&table.exclusions);
        let statements = indexes.filter(|i| i.immediate).filter_map(|index| {
            let takes = match index.is_plain() {
                true => {
                    let columns = index.columns.iter();
                    let columns = columns.filter_map(|n| table.column_by_number(*n));
                    any(columns.filter_map(|c| self.updates_of(c)))
                }
                // Any column may have a say in what the row holds there.
                false => "true".to_owned(),
            };
            (takes != "false").then(|| self.handed_over_in(index, &takes))
        });
        statements.collect()
    }

    fn handed_over_in(&self, index: &UniqueIndex, takes: &str) -> Statement {
        let table = &self.target.table;
        let columns = table.columns.iter();
        let columns = columns.filter(|c| !index.is_plain() || index.columns.contains(&c.number));
        let after = columns.map(|c| format!("{} AS {}", self.after(c), Ident(&c.name)));
        let update = Fate::Update;
        let (staged, versions) = (self.temporary(), self.versions());
        let holding = |rows: String| index.held(table, N, format_args!("({rows})"));
        let takers = holding(format!(
            "SELECT s._n AS {N}, {after} FROM {staged} s JOIN {versions} b ON b._n = s._n JOIN {rows} t ON {THIS_VERSION} \
             WHERE s._a = {update} AND {takes}",
            after = list(after),
            rows = table.rows,
        ));
        if table.exclusions.contains(index) {
            // The table's own index finds what an update excludes.
            let place = "x.tableoid AS \"loader table\", x.ctid AS \"loader row\"";
            let now = index.held(table, place, &table.rows);
            return self.ordering(format!(
                "INSERT INTO {handovers} SELECT a.{N}, s._n FROM (\
                   SELECT a.{N}, t.\"loader table\", t.\"loader row\" FROM ({takers}) a JOIN ({now}) t ON {excluded} OFFSET 0) a \
                 JOIN {versions} b ON b._table = a.\"loader table\" AND b._tid = a.\"loader row\" \
                 JOIN {staged} s ON s._n = b._n AND s._a = {update} WHERE s._n <> a.{N}",
                handovers = self.handovers(),
                excluded = index.equal("a", "t"),
            ));
        }
        let freers = holding(format!(
            "SELECT b._n AS {N}, t.* FROM {staged} s JOIN {versions} b ON b._n = s._n JOIN {rows} t ON {THIS_VERSION} \
             WHERE s._a = {update}",
            rows = table.rows,
        ));
        self.ordering(format!(
            "INSERT INTO {handovers} SELECT a.{N}, f.{N} FROM ({takers}) a JOIN ({freers}) f ON {equal} WHERE a.{N} <> f.{N}",
            handovers = self.handovers(),
            equal = index.equal("a", "f"),
        ))
    }

    /// The condition that update `s` may change a column; `None` where none does.
    fn updates_of(&self, column: &Column) -> Option<String> {
        if column.generation.is_some() {
            return Some("true".into());
        }
        let i = self.columns.iter().position(|c| *c == column.name)?;
        let mut sets = self.column_sets(Fate::Update);
        sets.any(|set| bits(set)[i]).then(|| writes("s", i))
    }

    fn analyze_handovers(&self) -> Statement {
        self.ordering(format!("ANALYZE {}", self.handovers()))
    }

    pub(in crate::pg) fn next_step(&self, step: u32) -> Statement {
        self.ordering(next_step(&self.handovers().to_string(), "", step))
    }

    /// Puts each update behind all those that give up what it takes.
    pub(in crate::pg) fn set_steps(&self) -> Statement {
        self.ordering(format!(
            "UPDATE {} b SET _step = h.step FROM (SELECT taker, pg_catalog.max(step) AS step FROM {} GROUP BY taker) h \
             WHERE h.taker = b._n AND h.step IS NOT NULL",
            self.versions(),
            self.handovers()
        ))
    }
}
