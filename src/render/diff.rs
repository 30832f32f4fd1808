//! What changed between two plans, for who reviewed the first.

mod json;
mod markdown;
mod text;

use std::collections::BTreeMap;

use super::select::Filter;
use crate::error::Error;
use crate::plan::{Entry, Value, What};
use crate::planfile::diff::{Objects, PlanDiff};
use crate::text::cut::{quoted, quoted_pair};
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
    for (column, given) in entry.rounded() {
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
        What::Skip(_) | What::Violation(_) => {}
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

/// What two entries say differently: about what, and each.
pub(super) fn differences([old, new]: &[Entry; 2]) -> Vec<(String, String, String)> {
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
        found.push((
            "the row there now".into(),
            "as the first plan saw it".into(),
            "changed since the first plan".into(),
        ));
    }
    found
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
