//! Staging: records are copied into temporary tables with the target's own column types, so that
//! PostgreSQL judges every value. What it refuses is found value by value, without a round trip
//! for each.

mod along;
mod aside;
mod complete;
mod finish;
mod judge;
pub(in crate::pg) mod look_up;

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::error::Result;
use crate::pg::Session;
use crate::pg::beside::Beside;
use crate::pg::plan::trial;
use crate::plan::incoming::STAGE_COLUMNS;
use crate::sql::{Statement, Temporary, list};
use crate::table::schema::Column;
use crate::table::target::Target;

pub use complete::Missing;

/// One table's staging area.
pub struct Stage<'a> {
    /// Its table.
    pub target: &'a Target,
    /// The batch.
    pub batch_id: &'a str,
    has_raw: bool,
    /// Whether the records have moved on to the table of those for which was looked up.
    looked_up: bool,
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
    /// Whether records are left out by name.
    pub leaves_out: bool,
    /// Whether it is known of any record when it was extracted.
    pub extracted: bool,
    /// Whether records name rows that are to be deleted.
    pub deletes: bool,
    /// Whether some record does not.
    pub brings: bool,
    /// Whether it brings records again that were rejected.
    pub again: bool,
    /// The values of `complete: {where: …}` that its rows have, by the index of their columns.
    pub scope: Vec<(usize, String)>,
    /// Columns, by index, of which records give both a value and what it is looked up by.
    pub twice: BTreeSet<usize>,
    /// Columns, by index, that have a value in place of the number that the database will give a new row.
    pub provisional: BTreeSet<usize>,
    /// Columns, by index, whose numbers rows of this batch refer to that are new themselves.
    pub referred: BTreeSet<usize>,
}

/// What the database found wrong with records, of all tables.
const FINDINGS: &str = "CREATE TEMPORARY TABLE loader_findings \
    (_t int, _n bigint, kind text, field text, given text, message text, vals text, quotes bool NOT NULL DEFAULT true)";

/// When records that stand behind each other were extracted, where what says it stands behind them.
const EXTRACTED: &str =
    "CREATE TEMPORARY TABLE loader_extracted (_t int, first bigint, last bigint, at timestamptz)";

/// The loader's own columns of a staging table, in the order of [`STAGE_COLUMNS`].
const OWN_COLUMNS: &str = "_n bigint, _object int, _position bigint, _given text, _findings text, _rounded text, _extracted timestamptz, _left_out text, _goes bool";

/// Makes what staging needs in `session`, once.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database), for example without the TEMPORARY privilege.
pub async fn prepare(session: &Session) -> Result<()> {
    trial::prepare(session).await?;
    let tables = format!("{FINDINGS}; {EXTRACTED}");
    session
        .run(&Statement::new("making temporary tables", tables))
        .await
}

/// Takes COPY lines that say of records of all tables when they were extracted.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn extracted(session: &Session, lines: Bytes) -> Result<()> {
    let copy = "COPY pg_temp.loader_extracted FROM STDIN";
    let copy = Statement::new("staging when records were extracted", copy);
    session.copy_in(&copy, lines).await
}

impl<'a> Stage<'a> {
    /// An empty staging table for `target`.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn new(
        session: &Session,
        target: &'a Target,
        batch_id: &'a str,
    ) -> Result<Stage<'a>> {
        let stage = Stage::described(target, batch_id);
        session.run(&stage.create(stage.temporary())).await?;
        Ok(stage)
    }

    /// The description of a staging table that is not made yet.
    pub(in crate::pg) fn described(target: &'a Target, batch_id: &'a str) -> Stage<'a> {
        Stage {
            target,
            batch_id,
            has_raw: false,
            looked_up: false,
            scope: Vec::new(),
            used: vec![false; target.table.columns.len()],
            surely_distinct: false,
            rows: 0,
            duplicates: false,
            findings: false,
            leaves_out: false,
            extracted: false,
            deletes: false,
            brings: false,
            again: false,
            twice: BTreeSet::new(),
            provisional: BTreeSet::new(),
            referred: BTreeSet::new(),
        }
    }

    /// The staging table.
    pub fn temporary(&self) -> Temporary {
        if self.looked_up {
            return self.looked_up_table();
        }
        self.named("stage")
    }

    /// The table of records that share their key with others.
    pub fn duplicates_table(&self) -> Temporary {
        self.named("duplicates")
    }

    /// The table of the records for which was looked up.
    fn looked_up_table(&self) -> Temporary {
        self.named("looked_up")
    }

    fn raw(&self) -> Temporary {
        self.named("raw")
    }

    fn named(&self, what: &'static str) -> Temporary {
        Temporary {
            what,
            number: self.target.place,
        }
    }

    /// The staged records beside the current rows.
    pub fn beside(&self) -> Beside<'a> {
        Beside::new(self.temporary(), self.target)
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} records of table {}", self.target.name)
    }

    pub(in crate::pg) fn create(&self, table: Temporary) -> Statement {
        let columns = self.read_columns().map(|c| c.defined_as(c.staged()));
        let lookups = self.target.lookups.all.iter();
        let found = lookups.flat_map(|l| {
            let new_key = format!("{} text", l.new_key());
            [l.target.defined_as(l.found()), new_key]
        });
        let sql = format!(
            "CREATE TEMPORARY TABLE {} ({OWN_COLUMNS}, {})",
            table.bare(),
            list(columns.chain(found))
        );
        Statement::new(self.doing("staging"), sql)
    }

    /// What records are read into: the table's columns, and the fields by which is looked up.
    fn read_columns(&self) -> impl Iterator<Item = &'a Column> + use<'a> {
        let target = self.target;
        target.table.columns.iter().chain(&target.lookups.fields)
    }

    fn columns(&self) -> String {
        let columns = list(self.read_columns().map(Column::staged));
        format!("{STAGE_COLUMNS}, {columns}")
    }

    pub(in crate::pg) fn copy_into(&self, into: Temporary) -> Statement {
        let sql = format!("COPY {into} ({}) FROM STDIN", self.columns());
        Statement::new(self.doing("staging"), sql)
    }

    /// Stages COPY lines. Where the database refuses a value among them, the good and the bad
    /// are told apart; the bad ones stand in `loader_findings`.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database) for anything but a refused value.
    pub async fn copy(&mut self, session: &Session, lines: Bytes, rows: u64) -> Result<()> {
        self.rows += rows;
        let into = self.copy_into(self.temporary());
        if session.copy_in_unless_refused(&into, lines.clone()).await? {
            return Ok(());
        }
        if !self.has_raw {
            session.run(&self.create_raw()).await?;
            self.has_raw = true;
        }
        session.copy_in(&self.copy_into(self.raw()), lines).await?;
        let mut values = Vec::new();
        let columns = self.read_columns();
        for column in columns {
            if self.all_fit(session, column).await? {
                values.push(self.cast(column));
                continue;
            }
            self.findings = true;
            session.run(&self.find_unfit(column)).await?;
            values.push(self.fitting(column));
        }
        session.run(&self.take_over(&values)).await
    }

    /// Whether a cast of the whole column succeeds; it decides only where a cast cuts nothing off.
    async fn all_fit(&self, session: &Session, column: &Column) -> Result<bool> {
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
        trial::works(session, &self.cast_all(column)).await
    }
}
