//! What is asked for.

use crate::action::Action;
use crate::plan::masking::{Mask, SIGN};
use crate::plan::{Entry, Value, What};
use crate::render::groups::{By, name};
use crate::render::unusual::Rule;
use crate::text::escape;

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
    /// Only entries of this group; `(none)` are those without one.
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

    /// The flags of `loader show` that list each entry of a table and action that this takes.
    pub fn each_of(&self, table: &str, action: Action) -> String {
        let mut flags = format!("--table {} --action {action}", word(table));
        if self.only_unusual {
            flags += " --unusual";
        }
        flags + &self.of_rows() + " --all"
    }

    /// The flags that list each entry that this takes and that stands out.
    pub fn each_unusual(&self) -> String {
        let tables = self.tables.iter().map(|t| format!("--table {} ", word(t)));
        let actions = self.actions.iter().map(|a| format!("--action {a} "));
        let flags: String = tables.chain(actions).collect();
        flags + "--unusual" + &self.of_rows() + " --all"
    }

    fn of_rows(&self) -> String {
        let group = self.group.iter().map(|g| format!(" --group {}", word(g)));
        let key = self.key.iter().map(|k| format!(" --key {}", word(k)));
        let without = (self.without.iter()).map(|r| format!(" --without-rule {}", r.word()));
        group.chain(key).chain(without).collect()
    }

    /// Whether only some entries are asked for, by what they are or are about.
    pub fn is_part(&self) -> bool {
        self.key.is_some()
            || self.group.is_some()
            || !self.actions.is_empty()
            || !self.tables.is_empty()
    }

    /// Whether an entry is shown.
    pub fn takes(&self, entry: &Entry) -> bool {
        self.is_about(entry) && self.is_in_group(entry) && self.finds_key(entry)
    }

    /// Whether an entry that is not masked yet is shown: a stand-in, as people see it, finds what it stands for.
    pub fn takes_behind(&self, mask: &Mask, entry: &Entry) -> bool {
        if !self.is_about(entry) {
            return false;
        }
        let (group, key) = (self.is_in_group(entry), self.finds_key(entry));
        let mut asked = self.group.iter().chain(&self.key);
        let has_stand_in = asked.any(|text| text.contains(SIGN));
        if group && key || !has_stand_in {
            return group && key;
        }
        let mut shown = entry.clone();
        mask.entry(&mut shown);
        (group || self.is_in_group(&shown)) && (key || self.finds_key(&shown))
    }

    fn is_about(&self, entry: &Entry) -> bool {
        // What a rollback keeps is what it does not do: that is shown.
        let kept = matches!(&entry.what, What::Skip(skip) if skip.is_kept());
        (self.of_action(entry.what.action()) || kept && self.actions.is_empty())
            && self.of_table(&entry.table)
    }

    /// Whether its group is the one that is asked for, by its value or as people see it.
    fn is_in_group(&self, entry: &Entry) -> bool {
        self.group.as_ref().is_none_or(|asked| {
            entry.group.as_ref() == Some(asked) || name(entry.group.as_deref()) == *asked
        })
    }

    fn finds_key(&self, entry: &Entry) -> bool {
        self.key.as_ref().is_none_or(|part| {
            let mut values = entry.key.values().filter_map(Value::words);
            values.any(|v| v.contains(part.as_str()))
        })
    }
}

/// A value of a flag, as a shell takes it.
fn word(value: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-.:/@%+,=".contains(c);
    let value = escape(value);
    match !value.is_empty() && value.chars().all(is_plain) {
        true => value,
        false => format!("'{}'", value.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_ask_for_what_was_asked_for() {
        let mut filter = Filter::default();
        let each = |filter: &Filter| filter.each_of("t", Action::Update);
        assert_eq!(each(&filter), "--table t --action update --all");
        assert_eq!(filter.each_unusual(), "--unusual --all");
        filter.tables = vec!["t".into(), "My Table".into()];
        filter.actions = vec![Action::Insert];
        filter.group = Some("St. John's".into());
        filter.key = Some("C-1".into());
        filter.without = vec![Rule::Rare];
        filter.only_unusual = true;
        assert_eq!(
            each(&filter),
            "--table t --action update --unusual --group 'St. John'\\''s' --key C-1 --without-rule rare --all"
        );
        assert_eq!(
            filter.each_unusual(),
            "--table t --table 'My Table' --action insert --unusual --group 'St. John'\\''s' --key C-1 --without-rule rare --all"
        );
        filter.group = Some(String::new());
        assert!(each(&filter).contains("--group '' "));
    }
}
