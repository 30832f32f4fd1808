//! What changed between two plans, for who reviewed the first.

mod json;
mod markdown;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use super::select::Filter;
use crate::error::{Error, Result};
use crate::plan::{Entry, Value, What};
use crate::planfile::diff::{Objects, PlanDiff};
use crate::planfile::entry_json;
use crate::text::cut::{WIDEST, fit, quoted, quoted_pair};
use crate::text::escape;

pub use super::html::comparison as html;
pub use json::{FORMAT, json};
pub use markdown::markdown;
pub use text::{UNDER, text};

/// The last line people see, and scripts look for.
pub fn summary_line(diff: &PlanDiff<'_>) -> String {
    let c = &diff.counts;
    format!(
        "Compared: {} different, {} added, {} removed, {} the same.",
        c.different, c.added, c.removed, c.same
    )
}

/// Whether the two plans say anything different.
pub fn differs(diff: &PlanDiff<'_>) -> bool {
    let c = &diff.counts;
    c.different + c.added + c.removed > 0 || !diff.header.is_empty()
}

/// How many of what differs is asked for.
pub(super) struct Asked {
    pub(super) different: u64,
    pub(super) added: u64,
    pub(super) removed: u64,
    /// Whether it may be less than all.
    is_part: bool,
}

impl Asked {
    /// What `filter` asks for, whatever its limit.
    pub(super) fn of(diff: &PlanDiff<'_>, filter: &Filter) -> Result<Asked> {
        let c = &diff.counts;
        let mut asked = Asked {
            different: c.different,
            added: c.added,
            removed: c.removed,
            is_part: filter.is_part(),
        };
        if !asked.is_part {
            return Ok(asked);
        }
        (asked.different, asked.added, asked.removed) = (0, 0, 0);
        let takes = |entries: &[Entry]| u64::from(entries.iter().any(|e| wanted(filter, e)));
        diff.different(&mut |pair| {
            asked.different += takes(&pair);
            Ok(())
        })?;
        diff.added(&mut |entry| {
            asked.added += takes(&[entry]);
            Ok(())
        })?;
        diff.removed(&mut |entry| {
            asked.removed += takes(&[entry]);
            Ok(())
        })?;
        Ok(asked)
    }

    /// The counts, where they may not be those of all that differs.
    pub(super) fn line(&self) -> Option<String> {
        self.is_part.then(|| {
            format!(
                "Asked for: {} different, {} added, {} removed.",
                self.different, self.added, self.removed
            )
        })
    }

    /// The counts for programs.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        self.is_part.then(|| serde_json::json!({"different": self.different, "added": self.added, "removed": self.removed}))
    }
}

/// What an entry says about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Word(String),
    Value(Option<String>),
    Change(Option<String>, Option<String>),
    Lost(Option<String>),
}

impl Said {
    pub(super) fn shown(&self) -> String {
        match self {
            Said::Word(word) => escape(word),
            Said::Value(value) => quoted(value.as_deref()),
            Said::Change(old, new) => quoted_pair(old.as_deref(), new.as_deref()),
            Said::Lost(value) => format!("{} → deleted", quoted(value.as_deref())),
        }
    }
}

/// What an entry says, by what it is about: its columns, and what else there is.
pub(super) fn facets(entry: &Entry) -> BTreeMap<(u8, String), Said> {
    let mut said = BTreeMap::new();
    let word = |text: &str| Said::Word(text.to_owned());
    let mut other = |name: &str, what: Said| said.insert((1, name.to_owned()), what);
    let own = |v: &Option<String>| Said::Value(v.clone());
    let words = |v: &Value| v.words().map(std::borrow::Cow::into_owned);
    let key = entry.key.iter();
    let of_key = key.filter_map(|(column, v)| Some((column.as_str(), v.given()?)));
    for (column, given) in entry.rounded().into_iter().chain(of_key) {
        other(
            &format!("{column}, before rounding"),
            Said::Value(Some(given.to_owned())),
        );
    }
    match &entry.what {
        What::Update {
            revives: Some(_), ..
        } => {
            other("the row", word("was deleted and comes back"));
        }
        What::Delete { soft: true, .. } => {
            other("the row", word("is marked as deleted"));
        }
        What::Violation(v) => {
            other("effect", word(v.effect.words()));
            other("reason", word(&v.why()));
            if v.existing.is_some() {
                other("existing", own(&v.existing));
            }
            if v.given.is_some() {
                other("given", own(&v.given));
            }
            if let Some(record) = &v.other {
                other("the other record", word(&record.from));
                for (column, value) in &record.values {
                    let name = format!("{column} of the other record");
                    other(&name, Said::Value(words(value)));
                }
            }
        }
        _ => {}
    }
    match &entry.what {
        What::Insert { values, .. } => {
            said.extend(
                values
                    .iter()
                    .map(|(c, v)| ((0, c.clone()), Said::Value(words(v)))),
            );
        }
        What::Update { set, revives, .. } => {
            let rest = revives.iter().flatten();
            said.extend(rest.map(|(c, v)| ((0, c.clone()), Said::Value(words(v)))));
            said.extend(
                set.iter()
                    .map(|(c, (a, b))| ((0, c.clone()), Said::Change(words(a), words(b)))),
            );
        }
        What::Delete { values, .. } => said.extend(
            values
                .iter()
                .map(|(c, v)| ((0, c.clone()), Said::Lost(words(v)))),
        ),
        What::Violation(v) => {
            let values = v.values.iter();
            said.extend(values.map(|(c, v)| ((0, c.clone()), Said::Value(words(v)))));
        }
        What::Skip(_) => {}
    }
    said
}

/// The word for what an entry does.
pub(super) fn does(entry: &Entry) -> String {
    match &entry.what {
        What::Skip(skip) => format!("skip ({})", skip.reason()),
        What::Violation(v) => {
            let field = v.field.as_deref().map(|f| format!(" of {f}"));
            format!("violation {}{}", v.kind.word(), field.unwrap_or_default())
        }
        what => what.action().word().to_owned(),
    }
}

/// What two entries of the plans say differently: about what, and each.
pub(super) fn differences(diff: &PlanDiff<'_>, pair: &[Entry; 2]) -> Vec<(String, String, String)> {
    let [old, new] = pair;
    let (mut a, b) = (facets(old), facets(new));
    let nothing = || "nothing".to_owned();
    let mut found: Vec<((u8, String), String, String)> = b
        .into_iter()
        .filter_map(|(name, new)| {
            let old = a.remove(&name);
            (old.as_ref() != Some(&new)).then(|| {
                let old = old.as_ref().map_or_else(nothing, Said::shown);
                (name, old, new.shown())
            })
        })
        .collect();
    found.extend(
        a.into_iter()
            .map(|(name, old)| (name, old.shown(), nothing())),
    );
    found.sort();
    let mut found: Vec<(String, String, String)> = found
        .into_iter()
        .map(|((_, name), old, new)| (name, old, new))
        .collect();
    if expects(old) != expects(new) && expects(old).is_some() && expects(new).is_some() {
        let is = match sees_the_same(diff, &new.table) {
            true => "changed since the first plan",
            false => {
                "compared by other columns; whether it changed since the first plan is not known"
            }
        };
        found.push((
            "the row there now".into(),
            "as the first plan saw it".into(),
            is.into(),
        ));
    }
    if found.is_empty() && does(old) == does(new) {
        found = fields(pair);
    }
    found
}

/// Whether both plans look at the same columns of a table's rows.
fn sees_the_same(diff: &PlanDiff<'_>, table: &str) -> bool {
    let [old, new] = diff.plans().map(|plan| plan.header.table(table));
    old.zip(new).is_some_and(|(old, new)| {
        old.schema == new.schema && old.config.ignore_drift == new.config.ignore_drift
    })
}

/// The fields of the plan file in which two entries differ that say the same of their columns.
fn fields(pair: &[Entry; 2]) -> Vec<(String, String, String)> {
    type Fields = BTreeMap<String, serde_json::Value>;
    let of = |entry: &Entry| -> Fields {
        let json = entry_json(entry.clone()).unwrap_or_default();
        let mut fields: Fields = serde_json::from_str(&json).unwrap_or_default();
        // Two entries are the same wherever they come from.
        fields.retain(|name, _| !["from", "group", "extracted"].contains(&name.as_str()));
        fields
    };
    let [old, new] = [of(&pair[0]), of(&pair[1])];
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let shown = |value: Option<&serde_json::Value>| match value {
        None => "nothing".to_owned(),
        Some(serde_json::Value::String(text)) => quoted(Some(text)),
        Some(value) => fit(&value.to_string(), WIDEST),
    };
    (names.into_iter())
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| (name.clone(), shown(old.get(name)), shown(new.get(name))))
        .collect()
}

fn expects(entry: &Entry) -> Option<&str> {
    match &entry.what {
        What::Update { expect, .. } | What::Delete { expect, .. } => Some(&expect.0),
        What::Skip(crate::plan::Skip::Unchanged(expect)) => Some(&expect.0),
        _ => None,
    }
}

/// Takes what a filter asks for up to its limit, and counts the rest.
pub(super) struct Limit<'f> {
    filter: &'f Filter,
    left: usize,
    pub(super) more: u64,
}

impl Limit<'_> {
    pub(super) fn new(filter: &Filter) -> Limit<'_> {
        Limit {
            filter,
            left: filter.limit.unwrap_or(usize::MAX),
            more: 0,
        }
    }

    /// Whether one of these entries is asked for, and there is room.
    pub(super) fn takes(&mut self, entries: &[Entry]) -> bool {
        if !entries.iter().any(|e| wanted(self.filter, e)) {
            return false;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.more += 1;
                false
            }
        }
    }

    /// One that was taken does not fit, and nothing fits after it.
    fn is_full(&mut self) {
        self.left = 0;
        self.more += 1;
    }
}

/// Whether an entry is asked for; where no action is, all are.
fn wanted(filter: &Filter, entry: &Entry) -> bool {
    if filter.actions.is_empty() {
        let all = Filter {
            actions: vec![entry.what.action()],
            ..filter.clone()
        };
        all.takes(entry)
    } else {
        filter.takes(entry)
    }
}

fn failed(e: std::io::Error) -> Error {
    Error::io("writing the comparison", e)
}

/// The objects that differ, by how.
pub(super) fn objects<'d>(diff: &'d PlanDiff<'_>) -> [(&'static str, &'d Objects); 3] {
    [
        ("with another content", &diff.objects_changed),
        ("added", &diff.objects_added),
        ("removed", &diff.objects_removed),
    ]
}
