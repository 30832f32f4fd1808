//! What was written is read back: it must be what the plan said. Where changes are audited, the
//! complete images go into the audit log by the same read.

mod triggers;

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::pg::apply::origin::Origin;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::{Fate, STORED};
use crate::pg::apply::write::{Context, bits, writes};
use crate::pg::{must_be, must_write, near};
use crate::sql::{Ident, Literal, Statement, Values, all, list, text_array};
use crate::table::row::{record_id, same_bytes};
use crate::table::schema::Column;

/// The condition that this transaction wrote row `t`.
pub(super) const WRITTEN_NOW: &str = "t.xmin = pg_catalog.pg_current_xact_id()::pg_catalog.xid";

/// More sets of columns than these are told apart row by row.
const FEW_SETS: usize = 64;

impl Context<'_> {
    /// Reads back every row that was written, each column that the plan set, and audits it.
    ///
    /// # Errors
    /// [`Blocked`](crate::ErrorKind::Blocked) naming rows that a trigger made different.
    pub async fn read_back(&self, staged: &Staged) -> Result<()> {
        let expected = staged.rows.insert + staged.rows.update;
        if expected == 0 {
            return Ok(());
        }
        staged.beside().near().bring(self.session).await?;
        let right = if staged.target.config.audit_changes {
            let audit = staged.audit_writes(&self.origin)?;
            self.session.execute(&audit).await?
        } else {
            self.session.count(&staged.count_right()?).await?
        };
        if right != expected {
            return Err(self.wrong(staged, expected.saturating_sub(right)).await?);
        }
        self.check_stays(staged).await
    }

    /// Reads back once more, when something of somebody else's ran since: what was written must still
    /// be there, and what was deleted gone.
    ///
    /// # Errors
    /// As [`Context::read_back`].
    pub async fn read_again(&self, staged: &Staged) -> Result<()> {
        let target = std::iter::once(&staged.target);
        near::forget(self.session, target).await?;
        staged.beside().near().bring(self.session).await?;
        let expected = staged.rows.insert + staged.rows.update;
        if expected > 0 {
            let right = self.session.count(&staged.count_right()?).await?;
            if right != expected {
                return Err(self.wrong(staged, expected.saturating_sub(right)).await?);
            }
            self.check_stays(staged).await?;
        }
        if staged.rows.mark > 0 {
            let marked = self.session.count(&staged.count_marked()).await?;
            self.check_marked(staged, marked)?;
        }
        if staged.rows.delete > staged.rows.mark {
            let again = self.session.count(&staged.count_there_again()).await?;
            if again > 0 {
                return Err(Error::blocked(format!(
                    "{}: {again} of the rows that were deleted are there again: a trigger puts them back; nothing was \
                     written",
                    staged.target.name
                )));
            }
        }
        Ok(())
    }

    /// The error for rows that are not stored as planned.
    async fn wrong(&self, staged: &Staged, wrong: u64) -> Result<Error> {
        let rows = self.session.rows(&staged.name_wrong()?).await?;
        let named = rows.iter().map(|row| {
            let name = self.session.name_row(&staged.target.name, row.text(0)?);
            Ok(format!("{name} ({})", crate::text::escape(row.text(1)?)))
        });
        let named: Vec<String> = named.collect::<Result<_>>()?;
        let example = match named.as_slice() {
            [] => "which are not found by their natural key".to_owned(),
            named => format!("for example {}", named.join(", ")),
        };
        // A rollback has no records that could say something else.
        let remedy = match staged.triggered.is_empty() {
            true => {
                "let the records say what the trigger makes of them, or have the trigger changed"
            }
            false => "have the trigger disabled while this is rolled back",
        };
        Ok(Error::blocked(format!(
            "{}: {wrong} row{} not stored as planned, {example}: a trigger or rule changes what is written ({}); \
             nothing was written; {remedy}",
            staged.target.name,
            if wrong == 1 { " was" } else { "s were" },
            staged.triggers(),
        )))
    }

    /// Writes the deletes into the audit log; a row that is only marked has an image after, too.
    ///
    /// # Errors
    /// [`Blocked`](crate::ErrorKind::Blocked) where rows are not marked that were to be.
    pub async fn audit_deletes(&self, staged: &Staged) -> Result<()> {
        let (deleted, marked) = (staged.rows.delete, staged.rows.mark);
        if deleted == 0 {
            return Ok(());
        }
        staged.beside().near().bring(self.session).await?;
        let found = if staged.target.config.audit_changes {
            let audit = staged.audit_deletes(&self.origin);
            let written = self.session.execute(&audit).await?;
            // Those that are gone are all in it.
            match written.checked_sub(deleted - marked) {
                Some(found) => found,
                None => return must_be(audit.doing(), deleted, written),
            }
        } else if marked == 0 {
            return Ok(());
        } else {
            self.session.count(&staged.count_marked()).await?
        };
        self.check_marked(staged, found)
    }

    fn check_marked(&self, staged: &Staged, found: u64) -> Result<()> {
        let planned = staged.rows.mark;
        if found == planned {
            return Ok(());
        }
        if found > planned {
            return must_write(&staged.doing_read_back(), planned, found);
        }
        Err(Error::blocked(format!(
            "{}: {planned} rows were to be marked as deleted, and {found} are: a trigger or rule changes what is written \
             ({}); nothing was written; have it leave the mark, or disable it while this is applied",
            staged.target.name,
            staged.triggers(),
        )))
    }
}

impl Staged {
    fn doing_read_back(&self) -> String {
        format!("reading back table {}", self.target.name)
    }

    /// Writes the inserts and updates that are stored as planned into the audit log.
    pub(in crate::pg) fn audit_writes(&self, origin: &Origin<'_>) -> Result<Statement> {
        let mut values = Values::default();
        let sql = format!(
            "{insert} SELECT {name}, CASE w._a WHEN {inserted} THEN 'INSERT' ELSE 'UPDATE' END, w.id, b.image, {image}, {origin}, w._from, w._extracted \
             FROM {written} LEFT JOIN {versions} b ON b._n = w._n WHERE w.fits",
            insert = origin.insert_audit(),
            name = Literal(&self.target.name),
            image = self.target.table.once("t", "w", &[]).image,
            origin = origin.columns(&mut values),
            written = self.written_rows()?,
            inserted = Fate::Insert,
            versions = self.versions(),
        );
        let doing = format!("reading back and auditing table {}", self.target.name);
        Ok(Statement::with(doing, sql, values))
    }

    /// How many inserts and updates are stored as planned.
    pub(in crate::pg) fn count_right(&self) -> Result<Statement> {
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM {} WHERE w.fits",
            self.written_rows()?
        );
        Ok(Statement::new(self.doing_read_back(), sql))
    }

    /// Some inserts and updates that are not stored as planned, with the columns that are not.
    pub(in crate::pg) fn name_wrong(&self) -> Result<Statement> {
        let fits = self.fits()?;
        let sql = format!(
            "SELECT {id}, {unlike} FROM {found} WHERE s._a IN ({STORED}) AND NOT {fits} ORDER BY s._n LIMIT 5",
            id = self.target.record_id("t"),
            unlike = self.unlike()?,
            found = self.found_written(&fits)?,
        );
        Ok(Statement::new(self.doing_read_back(), sql))
    }

    /// How many of the rows that were deleted are there.
    pub(in crate::pg) fn count_there_again(&self) -> Statement {
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM {} WHERE s._a = {} AND NOT s._soft",
            self.beside().found(),
            Fate::Delete
        );
        Statement::new(self.doing_read_back(), sql)
    }

    /// For `FROM`: each staged insert and update beside the row that was written, as `w`: how it is named, its
    /// texts, and whether it `fits`. What is long to compute stays out of the join: PostgreSQL takes it for free
    /// where it hashes the table, and so hashes the table.
    fn written_rows(&self) -> Result<String> {
        let fits = self.fits()?;
        Ok(format!(
            "(SELECT s._n, s._a, s._from, s._extracted, {id} AS id, {texts}, {fits} AS fits \
               FROM {found} WHERE s._a IN ({STORED}) OFFSET 0) w",
            id = self.target.record_id("t"),
            texts = self.target.table.once("t", "w", &[]).select,
            found = self.found_written(&fits)?,
        ))
    }

    /// For `FROM`: each staged row `s` beside the row `t` that was written. Where deletes only mark
    /// rows, that is the live one, unless the plan set its mark or left it.
    pub(super) fn found_written(&self, fits: &str) -> Result<String> {
        let found = self.beside().found();
        let Some((column, mark)) = self.target.marks() else {
            return Ok(found);
        };
        let written = self.written()?;
        let meant = match written.iter().position(|c| c.name == column.name) {
            None => "false".into(),
            Some(i) => format!(
                "{} AND {}",
                writes("s", i),
                mark.deleted(&format!("s.{}", written[i].staged()))
            ),
        };
        // One that was marked before, and stays so, was written by this transaction; in shards, its mark is as it was.
        let stays = match self.target.table.kind.is_far() {
            true => format!(
                "s._a = {} AND {} IS NOT DISTINCT FROM (SELECT v.image ->> {} FROM {} v WHERE v._n = s._n)",
                Fate::Update,
                column.text("t"),
                Literal(&column.name),
                self.versions()
            ),
            false => format!("s._a = {} AND {WRITTEN_NOW}", Fate::Update),
        };
        let live = format!("({} OR {stays})", self.beside().live());
        Ok(format!(
            "{found} AND CASE WHEN {meant} THEN {fits} ELSE {live} END"
        ))
    }

    /// The condition that row `t` holds what the staged row `s` set, but for what is left to triggers.
    pub(super) fn fits(&self) -> Result<String> {
        let (inserts, updates) = (
            self.column_sets(Fate::Insert),
            self.column_sets(Fate::Update),
        );
        let sets: Vec<&String> = inserts.chain(updates).collect();
        self.by_fate(|left| self.fits_sets(&sets, left))
    }

    /// What `of` says of the columns that are left to triggers, which of inserts are others than of updates.
    fn by_fate(&self, of: impl Fn(&[String]) -> Result<String>) -> Result<String> {
        if self.target.table.triggers.is_empty() {
            // What those of other tables changed was put back.
            return of(&[]);
        }
        let updates = of(&self.triggered)?;
        if self.left_to_triggers == self.triggered {
            return Ok(updates);
        }
        let (insert, inserts) = (Fate::Insert, of(&self.left_to_triggers)?);
        Ok(format!(
            "CASE s._a WHEN {insert} THEN {inserts} ELSE {updates} END"
        ))
    }

    /// The same of rows that write one of these sets of columns, of which `left` do not count: one case for each set,
    /// where they are few.
    fn fits_sets(&self, sets: &[&String], left: &[String]) -> Result<String> {
        let read = self.read_columns(left)?;
        // Each row looks for its own set of columns from the beginning: those of inserts, which are
        // few, come first.
        let mut seen = BTreeSet::new();
        let sets: Vec<&&String> = sets.iter().filter(|set| seen.insert(**set)).collect();
        if sets.len() <= FEW_SETS {
            let cases: Vec<String> = sets
                .iter()
                .map(|set| {
                    let bits = bits(set);
                    let set_columns = || read.iter().filter(|(i, _)| bits[*i]);
                    let stored = set_columns().map(|(_, c)| c.stored("t"));
                    let meant = set_columns().map(|(_, c)| format!("s.{}", c.staged()));
                    format!(
                        "WHEN {} THEN {}",
                        Literal(set),
                        prints_alike(&list(stored), &list(meant))
                    )
                })
                .collect();
            return Ok(format!("CASE s._columns {} END", cases.join(" ")));
        }
        let either = |value: &dyn Fn(&Column) -> String| {
            let values = read.iter();
            list(
                values.map(|(i, c)| format!("CASE WHEN {} THEN {} END", writes("s", *i), value(c))),
            )
        };
        let stored = either(&|c| c.stored("t"));
        let meant = either(&|c| format!("s.{}", c.staged()));
        Ok(prints_alike(&stored, &meant))
    }

    /// The columns that are read back where they are written, with their places among those; `left` are not.
    fn read_columns(&self, left: &[String]) -> Result<Vec<(usize, &Column)>> {
        let written = self.written()?.into_iter().enumerate();
        let read = written.filter(|(_, c)| !c.generated && !left.contains(&c.name));
        Ok(read.collect())
    }

    /// The columns in which row `t` does not hold what the staged row `s` set, as SQL: their names in one text.
    fn unlike(&self) -> Result<String> {
        let unlike = |left: &[String]| {
            let names = self.read_columns(left)?.into_iter().map(|(i, c)| {
                let alike = prints_alike(&c.stored("t"), &format!("s.{}", c.staged()));
                let name = Literal(&c.name);
                format!(
                    "CASE WHEN {} AND NOT {alike} THEN {name}::text END",
                    writes("s", i)
                )
            });
            let names: Vec<String> = names.collect();
            Ok::<_, Error>(format!(
                "pg_catalog.array_to_string({}, ', ')",
                text_array(names)
            ))
        };
        self.by_fate(unlike)
    }

    /// Writes the deletes into the audit log.
    pub(in crate::pg) fn audit_deletes(&self, origin: &Origin<'_>) -> Statement {
        let mut values = Values::default();
        let gone = "NULL::pg_catalog.jsonb";
        let (marked, after) = match self.marked() {
            None => (String::new(), gone.to_owned()),
            Some(marked) => (
                format!(
                    " LEFT JOIN {} t ON s._soft AND {marked} WHERE NOT s._soft OR t.tableoid IS NOT NULL",
                    self.target.table.rows
                ),
                format!(
                    "CASE WHEN s._soft THEN {} ELSE {gone} END",
                    self.target.table.image("t")
                ),
            ),
        };
        let key = self.target.key_columns();
        let texts = key
            .iter()
            .map(|c| format!("(b.image ->> {})", Literal(&c.name)));
        let sql = format!(
            "{insert} SELECT {name}, 'DELETE', {id}, b.image, {after}, {origin}, s._from, s._extracted \
             FROM {deletes}{marked}",
            insert = origin.insert_audit(),
            name = Literal(&self.target.name),
            id = record_id(texts),
            origin = origin.columns(&mut values),
            deletes = self.deletes(),
        );
        let doing = format!("writing the audit log for table {}", self.target.name);
        Statement::with(doing, sql, values)
    }

    /// How many of the rows that were to be marked as deleted are.
    pub(in crate::pg) fn count_marked(&self) -> Statement {
        let marked = self.marked().unwrap_or("false".into());
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM {} JOIN {} t ON s._soft AND {marked}",
            self.deletes(),
            self.target.table.rows
        );
        Statement::new(self.doing_read_back(), sql)
    }

    /// Where deletes can mark rows: the condition that `t` is the row of version `b` and staged row `s`, and is marked.
    /// Of one key there may be others that were marked before.
    fn marked(&self) -> Option<String> {
        let (column, mark) = self.target.marks()?;
        let identity = self.target.table.identity().into_iter();
        let mut same: Vec<String> = identity
            .map(|(c, _)| format!("{} = b.image ->> {}", c.text("t"), Literal(&c.name)))
            .collect();
        if same.is_empty() {
            same.push(WRITTEN_NOW.to_owned());
        }
        let marked = mark.deleted(&format!("t.{}", Ident(&column.name)));
        Some(all([self.beside().keys_equal(), marked]
            .into_iter()
            .chain(same)))
    }
}

/// The condition that two lists of values print alike. The same bytes do; only where they differ
/// are the texts compared.
pub(super) fn prints_alike(stored: &str, meant: &str) -> String {
    if stored.is_empty() {
        return "true".into();
    }
    let same_bytes = same_bytes(stored, meant);
    format!("({same_bytes} OR ROW({stored})::pg_catalog.text = ROW({meant})::pg_catalog.text)")
}
