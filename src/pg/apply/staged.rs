//! A plan's entries in temporary tables.

mod encode;
pub(in crate::pg) mod fate;
mod fill;
mod named;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, ErrorKind, Result};
use crate::pg::beside::Beside;
use crate::pg::{Session, catalog};
use crate::plan::{Kind, TablePlan};
use crate::planfile::PlanFile;
use crate::sql::{Ident, Literal, Statement, Temporary, list};
use crate::table::config::Stamp;
use crate::table::lookup::{Lookup, Lookups};
use crate::table::schema::{Column, Table};
use crate::table::target::{Target, allowed};

use fate::Fate;
pub use fill::stage;

/// One table of a plan, staged.
pub struct Staged {
    /// Its table, with the configuration that the plan has.
    pub target: Target,
    /// The columns that changes write, in the order in which `_columns` says whether one does.
    pub columns: Vec<String>,
    /// Those of them whose numbers are drawn for new rows that are not given one.
    pub numbers: Vec<String>,
    /// Columns that every write sets, and to what.
    pub stamps: BTreeMap<String, Stamp>,
    /// Columns that its triggers may set again.
    pub triggered: Vec<String>,
    /// Those of them that its triggers may set in rows that are inserted again.
    pub left_to_triggers: Vec<String>,
    /// Columns that some updates say stay as they are.
    pub stays: BTreeSet<String>,
    /// Whether rows go: what these refer to may be named, whatever columns are written.
    pub deletes: bool,
    /// How many fragments its records came from.
    pub fragments: u64,
    /// How many rows of each action were staged.
    pub rows: Rows,
    /// Each action with each set of columns that some row of it writes.
    sets: ColumnSets,
}

/// Actions, each with the sets of columns that its rows write: for each column `1` or `0`.
type ColumnSets = BTreeSet<(Fate, String)>;

/// Rows staged, by what is expected of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rows {
    /// Rows to insert.
    pub insert: u64,
    /// Rows to update.
    pub update: u64,
    /// Rows to delete or to mark.
    pub delete: u64,
    /// Rows to mark, of those to delete.
    pub mark: u64,
    /// Skipped records whose row must be as it was, there, or absent.
    pub skip: u64,
}

/// The loader's own columns of the staged entries: the entry's number in the plan; what is to be
/// done (`i`, `u`, `d`), or what must still be so (`s` as it was, `p` present, `m` missing); the
/// digest that the row must have; what the plan says that the row to change holds, by column; the
/// columns that are written; whether a delete marks; when its record was extracted; the origin.
const OWN_COLUMNS: [(&str, &str); 8] = [
    ("_n", "bigint"),
    ("_a", "\"char\""),
    ("_expect", "text"),
    ("_old", "jsonb"),
    ("_columns", "text"),
    ("_soft", "bool"),
    ("_extracted", "timestamptz"),
    ("_from", "text"),
];

/// The natural key of a staged row, as others name it.
pub(in crate::pg) const KEY: &str = "_key";

/// The columns that an update says stay as they are, of a table whose triggers might change them.
pub(in crate::pg) const STAYS: &str = "_stays";

/// The staged column with the row to which a row refers until it is changed, as the plan has it.
pub(in crate::pg) fn until(lookup: &Lookup) -> String {
    format!("o{}", lookup.number)
}

/// The staged column with the key by which a row was found that is there.
pub(in crate::pg) fn by(lookup: &Lookup) -> String {
    format!("b{}", lookup.number)
}

impl Staged {
    /// The staged entries.
    pub fn temporary(&self) -> Temporary {
        self.named("staged")
    }

    /// The versions of the rows to change, as they were compared and locked.
    pub fn versions(&self) -> Temporary {
        self.named("before")
    }

    fn named(&self, what: &'static str) -> Temporary {
        Temporary {
            what,
            number: self.target.place,
        }
    }

    /// The staged entries beside the current rows.
    pub fn beside(&self) -> Beside<'_> {
        Beside::new(self.temporary(), &self.target)
    }

    /// The different sets of columns of one action, in order.
    pub(in crate::pg) fn column_sets(&self, fate: Fate) -> impl Iterator<Item = &String> {
        let of_action = self.sets.iter().filter(move |(f, _)| *f == fate);
        of_action.map(|(_, set)| set)
    }

    /// The digest of row `t`.
    pub fn digest(&self) -> String {
        self.target
            .table
            .digest("t", &self.target.config.ignore_drift)
    }

    /// The columns that changes write.
    pub fn written(&self) -> Result<Vec<&Column>> {
        self.columns.iter().map(|name| self.column(name)).collect()
    }

    /// The column that the plan writes by this name.
    fn column(&self, name: &str) -> Result<&Column> {
        self.target.table.column(name).ok_or_else(|| {
            Error::plan_refused(format!(
                "the plan writes {}.{name}, which is not a column of the table; make a new plan",
                self.target.name
            ))
        })
    }

    /// The staging table's name of a column, where the plan gives its value.
    pub fn staged_column(&self, name: &str) -> Option<String> {
        let is_staged = self.columns.iter().any(|c| c == name)
            || self.target.config.natural_key.iter().any(|c| c == name);
        let column = self.target.table.column(name).filter(|_| is_staged);
        column.map(Column::staged)
    }

    /// What is set beside the plan's columns in rows that are new, or that are there: name and value as SQL.
    pub fn stamped(&self, actor: &str, batch_id: &str, new: bool) -> Result<Vec<(String, String)>> {
        let config = &self.target.config;
        let stamps = self.stamps.iter();
        let stamps = stamps.filter(|(name, _)| new || !config.keeps(name));
        let stamps = stamps.filter_map(|(name, stamp)| {
            let value = match stamp {
                Stamp::Now => "pg_catalog.now()".to_owned(),
                Stamp::Actor => Literal(actor).to_string(),
                Stamp::BatchId => Literal(batch_id).to_string(),
                Stamp::Trigger => return None,
            };
            let named = |column: &Column| (Ident(&column.name).to_string(), value);
            Some(self.column(name).map(named))
        });
        stamps.collect()
    }

    fn staged_columns(&self) -> Result<Vec<&Column>> {
        let mut columns = self.target.key_columns();
        for c in self.written()? {
            if !columns.contains(&c) {
                columns.push(c);
            }
        }
        Ok(columns)
    }

    /// The lookups of columns in which the plan may name rows.
    pub(in crate::pg) fn lookups(&self) -> impl Iterator<Item = &Lookup> {
        let columns = &self.target.table.columns;
        let answers = self.target.lookups.answers();
        answers.filter(|l| self.deletes || self.staged_column(&columns[l.of].name).is_some())
    }

    /// Further columns of the loader's own: the columns that stay; the natural key of a row to which other new rows
    /// may refer; and for each lookup the natural key of the new row that was found, or the key by which one was found that
    /// is there, and the row to which the plan says that a column refers which it changes.
    fn more_columns(&self) -> Vec<(String, &'static str)> {
        let stays = self
            .target
            .may_be_set()
            .then(|| (STAYS.to_owned(), "jsonb"));
        let key = (!self.numbers.is_empty()).then(|| (KEY.to_owned(), "text"));
        let lookups = self.lookups();
        let named =
            lookups.flat_map(|l| [(l.new_key(), "text"), (by(l), "jsonb"), (until(l), "jsonb")]);
        stays.into_iter().chain(key).chain(named).collect()
    }

    fn staging(&self, sql: String) -> Statement {
        Statement::new(
            format!("staging the plan for table {}", self.target.name),
            sql,
        )
    }

    /// All columns of the loader's own, with their types.
    fn own_columns(&self) -> impl Iterator<Item = (String, &'static str)> {
        let own = OWN_COLUMNS.map(|(name, ty)| (name.to_owned(), ty));
        own.into_iter().chain(self.more_columns())
    }

    pub(in crate::pg) fn create(&self) -> Result<Statement> {
        let mut columns = self.staged_columns()?;
        for lookup in self.lookups() {
            let column = self.referring_column(lookup);
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        Ok(self.staging(format!(
            "CREATE TEMPORARY TABLE {} ({}, {})",
            self.temporary().bare(),
            list(self.own_columns().map(|(name, ty)| format!("{name} {ty}"))),
            list(columns.iter().map(|c| c.defined_as(c.staged())))
        )))
    }

    pub(in crate::pg) fn copy_into(&self) -> Result<Statement> {
        let columns = self.staged_columns()?;
        Ok(self.staging(format!(
            "COPY {} ({}, {}) FROM STDIN",
            self.temporary(),
            list(self.own_columns().map(|(name, _)| name)),
            list(columns.iter().map(|c| c.staged()))
        )))
    }

    pub(in crate::pg) fn analyze(&self) -> Statement {
        let key = self.target.staged_key();
        self.staging(format!("ANALYZE {} (_a, {key})", self.temporary()))
    }
}

#[cfg(test)]
impl Staged {
    /// A table whose plan writes `columns`, in these sets.
    pub(super) fn described(target: Target, columns: &[&str], sets: &[(Fate, &str)]) -> Staged {
        Staged {
            stamps: target.config.stamps.clone().unwrap_or_default(),
            target,
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            numbers: Vec::new(),
            triggered: Vec::new(),
            left_to_triggers: Vec::new(),
            stays: BTreeSet::new(),
            deletes: true,
            fragments: 0,
            rows: Rows::default(),
            sets: sets
                .iter()
                .map(|(a, set)| (*a, (*set).to_owned()))
                .collect(),
        }
    }
}

/// What is looked up for the plan's rows of a table.
async fn lookups(session: &Session, planned: &TablePlan, table: &Table) -> Result<Lookups> {
    let found = catalog::parents(session, &planned.config).await?;
    // Whether a row is marked as deleted matters where none was that the plan names.
    let mark = |name: &String| planned.alive.get(name).cloned();
    let parents = found.into_iter().map(|(name, t)| {
        let mark = mark(&name);
        (name, (t, mark))
    });
    let lookups = Lookups::new(table, &planned.config.references, &parents.collect());
    lookups.map_err(|(_, what)| {
        Error::plan_refused(format!("{}: {what}; make a new plan", planned.table))
    })
}

/// The plan's tables as they are now, their schemas compared with those it was made for.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) naming the table whose definition changed.
pub async fn tables(session: &Session, plan: &PlanFile) -> Result<Vec<Staged>> {
    let mut tables = Vec::new();
    for (place, planned) in plan.header.tables.iter().enumerate() {
        let table = catalog::relation(session, &planned.relation)
            .await
            .map_err(|e| match e.kind() {
                ErrorKind::Config => e.with_kind(ErrorKind::PlanRefused).and("; make a new plan"),
                _ => e,
            })?;
        if table.fingerprint != planned.schema {
            return Err(Error::plan_refused(format!(
                "the definition of table {} (columns, constraints, triggers) changed after the plan was made; \
                 make a new plan",
                planned.table
            )));
        }
        let lookups = match plan.header.kind {
            Kind::Load => lookups(session, planned, &table).await?,
            // Its rows have their numbers.
            Kind::Rollback => Lookups::default(),
        };
        let mut columns = planned.columns.clone();
        let key = &planned.config.natural_key;
        let drawn = planned.numbers.iter();
        let drawn = drawn.filter(|c| !columns.contains(c) && !key.contains(c));
        let drawn: Vec<String> = drawn.cloned().collect();
        columns.extend(drawn);
        tables.push(Staged {
            target: Target::new(
                planned.table.clone(),
                table,
                planned.config.clone(),
                lookups,
                place,
            ),
            columns,
            numbers: planned.numbers.clone(),
            stamps: plan.header.stamps(planned),
            triggered: planned.triggered.clone(),
            left_to_triggers: planned.left_to_triggers.clone(),
            stays: BTreeSet::new(),
            deletes: planned.counts.delete > 0,
            fragments: 0,
            rows: Rows::default(),
            sets: ColumnSets::new(),
        });
    }
    let allowed = allowed(tables.iter().map(|t: &Staged| &t.target.config));
    for staged in &mut tables {
        staged.target.may_follow(&allowed);
    }
    Ok(tables)
}
