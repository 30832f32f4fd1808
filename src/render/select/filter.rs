//! What is asked for.

use crate::action::Action;
use crate::plan::{Entry, Value, What};
use crate::render::groups::By;
use crate::render::unusual::Rule;

/// What of a plan is shown.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these tables; all if empty.
    pub tables: Vec<String>,
    /// Only these actions; all but skips if empty, and rows that a rollback keeps.
    pub actions: Vec<Action>,
    /// Only rows of which a key value contains this.
    pub key: Option<String>,
    /// At most so many groups of each table and action; `None` shows every entry by itself.
    pub limit: Option<usize>,
    /// Whether violations too are cut to `limit`, and only the first of those alike named; else all are
    /// named for which there is room.
    pub folds_violations: bool,
    /// Only entries of this group.
    pub group: Option<String>,
    /// By what entries are summed up beside their table.
    pub by: By,
    /// Whether only changes that stand out are shown.
    pub only_unusual: bool,
    /// Rules of what stands out that are not applied.
    pub without: Vec<Rule>,
    /// Where all of it can be seen: the address of a page, for where there is no room for all.
    pub page: Option<String>,
}

impl Filter {
    /// The rules of what stands out.
    pub fn rules(&self) -> Vec<Rule> {
        let rules = Rule::ALL.into_iter();
        rules.filter(|rule| !self.without.contains(rule)).collect()
    }

    /// Whether a table is shown.
    pub fn of_table(&self, table: &str) -> bool {
        self.tables.is_empty() || self.tables.iter().any(|t| t == table)
    }

    /// Whether entries of an action are shown.
    pub fn of_action(&self, action: Action) -> bool {
        if self.actions.is_empty() {
            action != Action::Skip
        } else {
            self.actions.contains(&action)
        }
    }

    /// Whether an entry is shown.
    pub fn takes(&self, entry: &Entry) -> bool {
        // What a rollback keeps is what it does not do: that is shown.
        let kept = matches!(&entry.what, What::Skip(skip) if skip.is_kept());
        (self.of_action(entry.what.action()) || kept && self.actions.is_empty())
            && self.of_table(&entry.table)
            && (self.group.is_none() || self.group == entry.group)
            && self.key.as_ref().is_none_or(|part| {
                let mut values = entry.key.values().filter_map(Value::words);
                values.any(|v| v.contains(part.as_str()))
            })
    }
}
