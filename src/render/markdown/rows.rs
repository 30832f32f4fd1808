//! Rows of the comment's tables.

use super::inert::{code, cut_code, words};
use crate::action::Action;
use crate::plan::{DriftRow, Value, Values, What};
use crate::render::select::Group;
use crate::text::cut::{cut, difference};

/// The longest value in a cell, in characters.
const WIDEST: usize = 80;

/// One row of a table, ended by a line end.
pub struct Row {
    pub text: String,
    /// Entries that it stands for.
    pub count: u64,
}

/// The head of the table of an action.
pub fn columns(action: Action) -> &'static str {
    match action {
        Action::Violation => "| row | violation | value | why | from |\n|:--|:--|:--|:--|:--|\n",
        Action::Delete => "| row | what is lost |\n|:--|:--|\n",
        Action::Update => "| row | old → new |\n|:--|:--|\n",
        Action::Insert => "| row | values |\n|:--|:--|\n",
        Action::Skip => "| row | why |\n|:--|:--|\n",
    }
}

/// The head of a drift report's table.
pub const DRIFT: &str =
    "| table | row | state | plan saw → now → planned | changed by |\n|:--|:--|:--|:--|:--|\n";

/// One group as a row.
pub fn row(group: &Group) -> Row {
    let entry = &group.entry;
    let rows = rows(group);
    let cells = match &entry.what {
        What::Violation(v) => {
            let field = v.field.as_deref().map(|f| format!(" {}", code(f, 63)));
            let values = match (&v.existing, &v.given) {
                (Some(old), new) => pair(Some(old), new.as_deref()),
                (None, Some(new)) => value(Some(new)),
                (None, None) => String::new(),
            };
            let from = entry.from.first().map_or("", String::as_str);
            let more =
                entry.from.len() as u64 - u64::from(!entry.from.is_empty()) + group.count - 1;
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            format!(
                "{}{} ({}) | {values} | {} | {}{more}",
                v.kind.word().replace('_', "&#95;"),
                field.unwrap_or_default(),
                v.effect.words(),
                words(&v.message, 300),
                code(from, 120)
            )
        }
        What::Delete { values, soft, .. } => {
            let how = if *soft { " (marked as deleted)" } else { "" };
            format!("{}{how}", list(values, true))
        }
        What::Update { set, revives, .. } => {
            let mut changes: Vec<String> = set
                .iter()
                .map(|(c, (old, new))| {
                    let new = new.words();
                    format!("{}: {}", code(c, 63), pair(old.as_deref(), new.as_deref()))
                })
                .collect();
            if *revives {
                changes.insert(0, "was deleted; comes back".into());
            }
            changes.extend(entry.rounded().into_iter().map(rounding));
            changes.join("<br>")
        }
        What::Insert { values } => {
            let rounded: Vec<String> = entry
                .rounded()
                .into_iter()
                .map(|r| format!("<br>{}", rounding(r)))
                .collect();
            format!("{}{}", list(values, false), rounded.concat())
        }
        What::Skip(skip) => words(skip.why(), 200),
    };
    Row {
        text: format!("| {rows} | {cells} |\n"),
        count: group.count,
    }
}

/// The rows that a group is about: one key, or a number and the first few.
fn rows(group: &Group) -> String {
    let first = key(&group.entry.key);
    if group.count == 1 {
        return first;
    }
    let keys: Vec<String> = std::iter::once(first)
        .chain(group.more_keys.iter().map(key))
        .collect();
    let more = match group.count - keys.len() as u64 {
        0 => "",
        _ => "<br>…",
    };
    let least = if group.at_least { "at least " } else { "" };
    format!(
        "**{least}{} rows**<br>{}{more}",
        group.count,
        keys.join("<br>")
    )
}

/// A natural key; the column's name only where there are several.
fn key(key: &Values) -> String {
    match key.len() {
        1 => key.values().map(|v| value(v.words().as_deref())).collect(),
        _ => {
            let parts = key
                .iter()
                .map(|(c, v)| format!("{}={}", code(c, 63), value(v.words().as_deref())));
            parts.collect::<Vec<_>>().join(" ")
        }
    }
}

fn value(v: Option<&str>) -> String {
    v.map_or("<i>null</i>".into(), |v| code(v, WIDEST))
}

fn pair(old: Option<&str>, new: Option<&str>) -> String {
    let start = match (old, new) {
        (Some(a), Some(b)) => difference(a, b, WIDEST),
        _ => 0,
    };
    let show = |v: Option<&str>| {
        v.map_or("<i>null</i>".into(), |v| {
            cut_code(&cut(v, start, WIDEST), false)
        })
    };
    format!("{} → {}", show(old), show(new))
}

fn list(values: &Values, given_only: bool) -> String {
    let shown = values
        .iter()
        .filter(|(_, v)| !given_only || **v != Value::Null);
    let shown: Vec<String> = shown
        .map(|(c, v)| format!("{}: {}", code(c, 63), value(v.words().as_deref())))
        .collect();
    shown.join(", ")
}

fn rounding((column, given): (&str, &str)) -> String {
    format!(
        "{} was given as {} and is rounded",
        code(column, 63),
        code(given, WIDEST)
    )
}

/// One drifted row.
pub fn drift(row: &DriftRow) -> String {
    let columns: Vec<String> = row
        .columns
        .iter()
        .map(|c| {
            let known = |v: &Option<Option<String>>| {
                v.as_ref().map_or("–".into(), |v| value(v.as_deref()))
            };
            format!(
                "{}: {} → {} → {}",
                code(&c.column, 63),
                known(&c.planned_from),
                value(c.now.as_deref()),
                known(&c.planned_to)
            )
        })
        .collect();
    format!(
        "| {} | {} | {} (planned: {}) | {} | {} |\n",
        code(&row.table, 63),
        key(&row.key),
        row.found(),
        row.planned(),
        columns.join("<br>"),
        row.by.as_deref().map_or(String::new(), |by| code(by, 200))
    )
}
