//! A plan's entries as COPY lines.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use super::fate::Fate;
use super::named::Named;
use super::{ColumnSets, Rows, Staged};
use crate::action::Action;
use crate::error::{Error, Result};
use crate::plan::{Entry, Skip, Value, Values, What};
use crate::sql::copytext::push_copy_text;
use crate::table::row::digest_of_texts;
use crate::table::schema::Column;
use crate::table::target::Target;
use crate::types::{Kept, Kind};

/// Lines are sent when there are so many bytes of them.
pub(super) const CHUNK: usize = 1 << 20;

/// Appends entries as COPY lines; owned, so that it can work on a thread of its own.
#[derive(Default)]
pub(super) struct Encoder {
    tables: HashMap<String, TableEncoder>,
    n: u64,
}

/// Lines for one table's entries.
pub(super) struct Lines {
    /// Which table's.
    pub(super) table: usize,
    pub(super) lines: Bytes,
    /// Up to which entry of the plan.
    pub(super) n: u64,
}

/// What was staged of each table, by name.
pub(super) type Encoded = HashMap<String, Counted>;

/// What was staged of one table.
#[derive(Default)]
pub(super) struct Counted {
    /// How many rows.
    pub(super) rows: Rows,
    /// Which sets of columns they write.
    pub(super) sets: ColumnSets,
    /// Which columns some of them say stay as they are.
    pub(super) stays: BTreeSet<String>,
}

struct TableEncoder {
    number: usize,
    key: Vec<String>,
    written: Vec<String>,
    /// Of each of them its kind, where a text could mean another value than it says: `today`, or more decimals than
    /// are stored.
    kinds: Vec<Option<Kind>>,
    /// The columns whose values, where the plan says what a row holds, must be so; in the order of names.
    compared: Vec<String>,
    /// Which of these columns a digest has first, and so on.
    of_digest: Vec<usize>,
    /// Where each column of the staging table comes from.
    columns: Vec<StagedFrom>,
    named: Named,
    lines: Vec<u8>,
    counted: Counted,
    /// The last row's, which is often the next one's.
    set: Option<(Fate, String)>,
}

/// Where a staged value comes from: the entry's key, or one of the columns that the plan writes.
enum StagedFrom {
    Key(String),
    Written(usize),
}

fn staged_from(staged: &Staged, column: &str) -> StagedFrom {
    let is_key = staged.target.config.natural_key.iter().any(|k| k == column);
    match staged.columns.iter().position(|c| c == column) {
        Some(at) if !is_key => StagedFrom::Written(at),
        _ => StagedFrom::Key(column.to_owned()),
    }
}

impl Encoder {
    /// Takes entries of a table, whose staging table has these columns.
    pub(super) fn add(&mut self, staged: &Staged, columns: &[&Column]) {
        let columns = columns.iter().map(|c| staged_from(staged, &c.name));
        let Target { table, config, .. } = &staged.target;
        let counted: Vec<&Column> = table.counted(&config.ignore_drift).collect();
        let mut compared: Vec<String> = counted.iter().map(|c| c.name.clone()).collect();
        compared.sort();
        let of_digest = counted.iter();
        let of_digest = of_digest.filter_map(|c| compared.binary_search(&c.name).ok());
        let of_digest = of_digest.collect();
        let encoder = TableEncoder {
            number: staged.target.place,
            key: staged.target.config.natural_key.clone(),
            written: staged.columns.clone(),
            kinds: staged
                .columns
                .iter()
                .map(|name| Some(table.column(name)?.kind.clone()).filter(means_another))
                .collect(),
            compared,
            of_digest,
            columns: columns.collect(),
            named: Named::new(staged),
            lines: Vec::new(),
            counted: Counted::default(),
            set: None,
        };
        self.tables.insert(staged.target.name.clone(), encoder);
    }

    /// Takes the next entry of the plan; gives lines when there are enough.
    pub(super) fn entry(&mut self, entry: &Entry) -> Result<Option<Lines>> {
        self.n += 1;
        let table = self.tables.get_mut(&entry.table).ok_or_else(|| {
            Error::plan_refused(format!(
                "the plan has an entry for {}, which is not among its tables",
                entry.table
            ))
        })?;
        table.entry(entry, self.n)?;
        let full = table.lines.len() >= CHUNK;
        Ok(full.then(|| table.take(self.n)))
    }

    /// What has not been given yet.
    pub(super) fn rest(&mut self) -> Vec<Lines> {
        let n = self.n;
        let tables = self.tables.values_mut().filter(|t| !t.lines.is_empty());
        tables.map(|table| table.take(n)).collect()
    }

    pub(super) fn end(self) -> Encoded {
        let tables = self.tables.into_iter();
        tables.map(|(name, t)| (name, t.counted)).collect()
    }
}

impl TableEncoder {
    fn take(&mut self, n: u64) -> Lines {
        Lines {
            table: self.number,
            lines: std::mem::take(&mut self.lines).into(),
            n,
        }
    }

    fn entry(&mut self, entry: &Entry, n: u64) -> Result<()> {
        let Some(fate) = Fate::of(&entry.what) else {
            return Ok(());
        };
        let (expect, soft) = match &entry.what {
            What::Update { expect, .. } | What::Skip(Skip::Unchanged(expect)) => {
                (Some(expect), false)
            }
            What::Delete { expect, soft, .. } => (Some(expect), *soft),
            _ => (None, false),
        };
        let named = self.named.of(entry)?;
        let mut cells = self.cells(entry)?;
        if fate == Fate::Insert {
            for at in &self.named.drawn {
                // Its value is drawn when all is staged.
                cells[*at].get_or_insert(None);
            }
        }
        let old = self.old(entry)?;
        for column in entry.what.stays() {
            if !self.counted.stays.contains(column) {
                self.counted.stays.insert(column.clone());
            }
        }
        match fate.action() {
            Action::Insert => self.counted.rows.insert += 1,
            Action::Update => self.counted.rows.update += 1,
            Action::Delete => self.counted.rows.delete += 1,
            Action::Skip | Action::Violation => self.counted.rows.skip += 1,
        }
        self.counted.rows.mark += u64::from(soft);
        let out = &mut self.lines;
        out.extend_from_slice(format!("{n}\t{}\t", fate.letter()).as_bytes());
        push_copy_text(out, expect.map(|e| e.0.as_str()));
        out.push(b'\t');
        push_copy_text(out, old.as_deref());
        out.push(b'\t');
        let begin = out.len();
        out.extend(cells.iter().map(|c| if c.is_some() { b'1' } else { b'0' }));
        let written = &out[begin..];
        let last = self.set.as_ref();
        if last.is_none_or(|(f, set)| *f != fate || set.as_bytes() != written) {
            let set = (fate, String::from_utf8_lossy(written).into_owned());
            if !self.counted.sets.contains(&set) {
                self.counted.sets.insert(set.clone());
            }
            self.set = Some(set);
        }
        out.extend_from_slice(if soft { b"\tt\t" } else { b"\tf\t" });
        push_copy_text(out, entry.extracted.as_deref());
        out.push(b'\t');
        push_copy_text(out, Some(&entry.from.join(" ")));
        for cell in &named {
            out.push(b'\t');
            push_copy_text(out, cell.as_deref());
        }
        for column in &self.columns {
            out.push(b'\t');
            let cell = match column {
                StagedFrom::Key(key) => match entry.key.get(key) {
                    Some(value) => value.stored().unwrap_or_default(),
                    None => None,
                },
                StagedFrom::Written(at) => cells[*at].flatten(),
            };
            push_copy_text(out, cell);
        }
        out.push(b'\n');
        Ok(())
    }

    /// What the entry says that the row which it changes holds, as JSON; `None` where its digest, with which the
    /// row is compared anyway, is that of exactly these values.
    fn old(&self, entry: &Entry) -> Result<Option<String>> {
        let mut old: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        match &entry.what {
            What::Update { set, revives, .. } => {
                if let Some(rest) = revives {
                    // It says all that the row holds: the rest is null.
                    old.extend(self.compared.iter().map(|c| (c.as_str(), None)));
                    for (c, v) in rest {
                        old.insert(c, stored(v)?);
                    }
                }
                for (c, (was, _)) in set {
                    old.insert(c, stored(was)?);
                }
            }
            What::Delete { values, expect, .. } => {
                let Some(digest) = self.digest(values, &entry.key)? else {
                    return Err(Error::plan_refused(format!(
                        "the plan deletes a row of {} and does not show all that it holds; make a new plan",
                        entry.table
                    )));
                };
                if digest == expect.0 {
                    return Ok(None);
                }
                for (c, v) in values {
                    old.insert(c, stored(v)?);
                }
            }
            _ => return Ok(None),
        }
        for (c, v) in &entry.key {
            old.insert(c, stored(v)?);
        }
        // What it overwrites counts, also where drift does not matter otherwise.
        let sets = |c: &str| matches!(&entry.what, What::Update { set, .. } if set.contains_key(c));
        old.retain(|c, _| {
            sets(c)
                || self
                    .compared
                    .binary_search_by(|of| of.as_str().cmp(c))
                    .is_ok()
        });
        serde_json::to_string(&old)
            .map(Some)
            .map_err(|e| Error::local("staging the plan").caused_by(e))
    }

    /// The digest of a row that holds these values, where they are all that a digest is of.
    fn digest(&self, values: &Values, key: &Values) -> Result<Option<String>> {
        let mut texts: Vec<Option<Option<&str>>> = vec![None; self.compared.len()];
        let mut places = Places::of(&self.compared);
        for (c, v) in values.iter().chain(key) {
            if let Some(at) = places.find(c) {
                texts[at] = Some(stored(v)?);
            }
        }
        let texts: Option<Vec<Option<&str>>> = self.of_digest.iter().map(|at| texts[*at]).collect();
        Ok(texts.map(|texts| digest_of_texts(&texts)))
    }

    /// The entry's value for each column that the plan writes, where it has one.
    fn cells<'e>(&self, entry: &'e Entry) -> Result<Vec<Option<Option<&'e str>>>> {
        let mut cells: Vec<Option<Option<&str>>> = vec![None; self.written.len()];
        let mut places = Places::of(&self.written);
        let mut unknown = None;
        let mut set = |column: &'e String, value| match places.find(column) {
            Some(at) => cells[at] = Some(value),
            None => unknown = Some(column),
        };
        match &entry.what {
            // What refers to a new row gets its number when that is drawn.
            What::Insert { values } => {
                for (c, v) in values {
                    set(c, v.stored().unwrap_or_default());
                }
            }
            What::Update { set: new, .. } => {
                for (c, (_, v)) in new {
                    set(c, v.stored().unwrap_or_default());
                }
                unknown = unknown.or_else(|| self.key.iter().find(|k| new.contains_key(*k)));
            }
            _ => {}
        }
        if let Some(column) = unknown {
            return Err(Error::plan_refused(format!(
                "the plan writes {}.{column}, which is not among the columns that it says it writes",
                entry.table
            )));
        }
        for ((cell, kind), column) in cells.iter().zip(&self.kinds).zip(&self.written) {
            if let (Some(Some(text)), Some(kind)) = (cell, kind)
                && !kind.read(text).is_ok_and(|read| read.kept == Kept::Surely)
            {
                return Err(Error::plan_refused(format!(
                    "the plan gives {}.{column} a value that would be stored as another one; make a new plan",
                    entry.table
                )));
            }
        }
        let key_is_right =
            entry.key.len() == self.key.len() && self.key.iter().all(|k| entry.key.contains_key(k));
        if !key_is_right {
            return Err(Error::plan_refused(format!(
                "the plan names a row of {} by {:?}, and its natural key is {:?}",
                entry.table,
                entry.key.keys().collect::<Vec<_>>(),
                self.key
            )));
        }
        Ok(cells)
    }
}

/// Whether a text of this kind may mean another value than it says.
fn means_another(kind: &Kind) -> bool {
    match kind {
        Kind::Date | Kind::Time(..) | Kind::Timestamp(..) => true,
        // Of those that keep no units (a negative scale) it is not known.
        Kind::Decimal(scale) => scale.is_some_and(|scale| scale >= 0),
        _ => false,
    }
}

/// Looks for columns by name: mostly a column is where the one before it ended, as both are in one order.
struct Places<'a> {
    names: &'a [String],
    next: usize,
}

impl<'a> Places<'a> {
    fn of(names: &'a [String]) -> Places<'a> {
        Places { names, next: 0 }
    }

    fn find(&mut self, column: &str) -> Option<usize> {
        let mut places = (self.next..self.names.len()).chain(0..self.next);
        let at = places.find(|i| self.names[*i] == column)?;
        self.next = at + 1;
        Some(at)
    }
}

/// The text of what a row holds that is there.
fn stored(value: &Value) -> Result<Option<&str>> {
    value.stored().map_err(|row| {
        Error::plan_refused(format!(
            "the plan says that a row which is there refers to a row of {} that is new in it; make a new plan",
            row.table
        ))
    })
}
