//! What a plan has of each group: of each value of the column by which a table is grouped, or of each
//! source file.

use std::collections::{BTreeMap, HashMap};

use crate::error::Result;
use crate::plan::{Action, Counts, Entry, Value, What};
use crate::planfile::{Item, PlanFile};
use crate::text::cut::quoted;
use crate::text::{escape, visible};

/// So many groups of a table are counted each, those that come first in the plan; the entries of all
/// others are counted together. So memory does not grow with the plan.
pub const MOST: usize = 1_000;

/// By what entries are summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum By {
    /// By the value of the column that `group_by` names, in tables that have one.
    #[default]
    Group,
    /// By the object that they come from.
    Source,
}

/// What a plan has of each group of each table.
#[derive(Debug, Default)]
pub struct Groups {
    tables: Vec<TableGroups>,
}

/// The groups of one table.
#[derive(Debug)]
pub struct TableGroups {
    /// The table.
    pub table: String,
    /// By what it is grouped: a column, or `source`.
    pub by: String,
    /// Whether the groups are files.
    pub of_files: bool,
    /// What stands in the groups beyond [`MOST`].
    pub others: Counts,
    found: HashMap<Option<String>, Group>,
}

/// What a plan has of one group.
#[derive(Debug, Default, Clone)]
pub struct Group {
    /// Entries by action; records that have several violations once.
    pub counts: Counts,
    /// Of these, those of rows that are there.
    there: u64,
    /// By column, how many rows change it, and to what where that is one value.
    pub columns: BTreeMap<String, Changed>,
}

/// How a column changes in the rows of a group.
#[derive(Debug, Clone)]
pub struct Changed {
    /// In so many rows.
    pub rows: u64,
    /// To this value, where it is the same in all of them.
    pub to: Option<Value>,
}

impl Group {
    /// The columns that change, each with in how many rows; those that change in all rows of the group
    /// first, and whether there are such.
    pub fn words(&self) -> (Vec<String>, bool) {
        let rows = self.there;
        let whole = |c: &Changed| c.rows == rows && rows > 1;
        // Whether there is a row for what is not loaded, the plan does not say.
        let of = match self.counts.update
            + self.counts.delete
            + self.counts.skip
            + self.counts.violation
            > rows
        {
            true => " that are not left out or refused",
            false => "",
        };
        let mut columns: Vec<_> = self.columns.iter().collect();
        columns.sort_by_key(|(_, c)| std::cmp::Reverse(c.rows));
        let any_whole = columns.iter().any(|(_, c)| whole(c));
        let words = columns.into_iter().map(|(name, c)| {
            let to = c.to.as_ref().filter(|_| c.rows > 1);
            let to = to.map(|to| format!(" to {}", quoted(to.words().as_deref())));
            let to = to.unwrap_or_default();
            match whole(c) {
                true => format!("all {rows} rows{of} change {}{to}", escape(name)),
                false => format!("{} of {rows} change {}{to}", c.rows, escape(name)),
            }
        });
        (words.collect(), any_whole)
    }

    fn add(&mut self, entry: &Entry) {
        if entry.what.is_further() {
            return;
        }
        self.counts.add(entry.what.action());
        self.there += u64::from(entry.what.is_of_row());
        if let What::Update { set, .. } = &entry.what {
            for (column, (_, new)) in set {
                let known = self.columns.get_mut(column);
                match known {
                    None => {
                        let first = Changed {
                            rows: 1,
                            to: Some(new.clone()),
                        };
                        self.columns.insert(column.clone(), first);
                    }
                    Some(changed) => {
                        changed.rows += 1;
                        if changed.to.as_ref().is_some_and(|to| to != new) {
                            changed.to = None;
                        }
                    }
                }
            }
        }
    }
}

impl TableGroups {
    /// The groups, the largest first: by rows that change or must not be applied, then by all.
    pub fn by_size(&self) -> Vec<(&Option<String>, &Group)> {
        let mut groups: Vec<_> = self.found.iter().collect();
        groups.sort_by_key(|(name, g)| {
            let urgent = g.counts.changes() + g.counts.violation;
            (
                std::cmp::Reverse((urgent, g.counts.entries())),
                (*name).clone(),
            )
        });
        groups
    }

    /// What stands for the groups that are not shown, where `shown` are.
    pub fn beyond(&self, shown: usize) -> Option<String> {
        let hidden = self.by_size().into_iter().skip(shown);
        let (mut groups, mut counts) = (0, self.others);
        for (_, group) in hidden {
            groups += 1;
            counts = counts.plus(group.counts);
        }
        let more = match (groups, self.others.entries()) {
            (0, 0) => return None,
            (0, _) => format!("groups beyond {MOST}"),
            (n, 0) => format!("{n} more"),
            (n, _) => format!("{n} more, and groups beyond {MOST}"),
        };
        Some(format!(
            "… {more}: {} to insert, {} to update, {} to delete, violations: {}",
            counts.insert, counts.update, counts.delete, counts.violation
        ))
    }
}

/// What a group is called, for people.
pub fn name(group: Option<&str>) -> String {
    match group {
        None => "(none)".into(),
        Some("") => "(empty)".into(),
        Some(name) => visible(name),
    }
}

impl Groups {
    /// What a verified plan has of each group, masked. The plan is not read where it has no groups.
    ///
    /// # Errors
    /// As [`PlanFile::stream`].
    pub fn of(plan: &PlanFile, by: By) -> Result<Groups> {
        let of_files = by == By::Source;
        let tables = plan.header.tables.iter().filter_map(|t| {
            let by = match by {
                By::Source => "source".to_owned(),
                By::Group => t.config.group_by.clone()?,
            };
            Some(TableGroups {
                table: t.table.clone(),
                of_files,
                by,
                others: Counts::default(),
                found: HashMap::new(),
            })
        });
        let mut groups = Groups {
            tables: tables.collect(),
        };
        if groups.tables.is_empty() {
            return Ok(groups);
        }
        let mask = plan.mask();
        plan.stream(&mut |item| {
            if let Item::Entry(mut entry) = item
                && let Some(table) = groups.tables.iter_mut().find(|t| t.table == entry.table)
            {
                mask.entry(&mut entry);
                table.add(&entry, by);
            }
            Ok(())
        })?;
        groups.tables.retain(|t| !t.found.is_empty());
        Ok(groups)
    }

    /// The groups of a table.
    pub fn table(&self, name: &str) -> Option<&TableGroups> {
        self.tables.iter().find(|t| t.table == name)
    }
}

impl TableGroups {
    fn add(&mut self, entry: &Entry, by: By) {
        let group = match by {
            By::Group => entry.group.clone(),
            By::Source => entry.from.first().map(|from| {
                let object = from.rsplit_once('#').map_or(from.as_str(), |(o, _)| o);
                object.to_owned()
            }),
        };
        let room = self.found.len() < MOST;
        match self.found.get_mut(&group) {
            Some(known) => known.add(entry),
            None if room => self.found.entry(group).or_default().add(entry),
            None if entry.what.is_further() => {}
            None => self.others.add(entry.what.action()),
        }
    }
}

/// Counts of a group in the order in which they are shown.
pub(super) fn shown(counts: &Counts) -> [u64; 5] {
    let of = |action| counts.of(action);
    [
        Action::Insert,
        Action::Update,
        Action::Delete,
        Action::Skip,
        Action::Violation,
    ]
    .map(of)
}
