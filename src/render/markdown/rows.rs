//! Rows of the comment's tables.

use super::inert::{code, cut_code, words};
use crate::action::Action;
use crate::plan::{DriftRow, Entry, REVIVED, Referrer, Value, Values, Violation, What};
use crate::render::select::Group;
use crate::render::verdict::records;
use crate::text::cut::{Cut, cut_value, differences, further};

/// The longest value in a cell, in characters.
const WIDEST: usize = 80;

/// One row of a table, ended by a line end.
pub struct Row {
    pub text: String,
    /// Entries that it stands for.
    pub count: u64,
    /// Of violations that are alike: a row for each that is named, behind those that are named in any case.
    pub more: Vec<String>,
    /// How many of them there is room for.
    fits: usize,
    /// How many are named in any case.
    named: usize,
}

impl Row {
    /// Bytes that it takes, if it names no more than it must.
    pub fn size(&self) -> usize {
        let rest = if self.named > 0 { REST } else { 0 };
        self.text.len() + rest
    }

    /// Takes as many of [`more`](Self::more) as `room` bytes hold, and returns how many they take.
    pub fn unfold(&mut self, room: usize) -> usize {
        let mut taken = 0;
        for row in &self.more {
            if taken + row.len() > room {
                break;
            }
            taken += row.len();
            self.fits += 1;
        }
        taken
    }

    /// How many of those that it stands for it does not name.
    pub fn left(&self) -> u64 {
        match self.named {
            0 => 0,
            named => self.count.saturating_sub((named + self.fits) as u64),
        }
    }

    pub fn write(&self, text: &mut String) {
        *text += &self.text;
        self.more[..self.fits].iter().for_each(|row| *text += row);
        let left = self.left();
        if left > 0 {
            *text += &format!("| … and {left} more | | | | |\n");
        }
    }
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

/// The head of the table of rows that refer to others.
pub const REFERRERS: &str =
    "| table | row | refers to | row | foreign key |\n|:--|:--|:--|:--|:--|\n";

/// One row that refers to another.
pub fn referrer(row: &Referrer) -> String {
    let advice = match row.advice() {
        "" => String::new(),
        advice => format!(", {}", words(advice, 200)),
    };
    format!(
        "| {} | {} | {} | {} | {}{advice} |\n",
        code(&row.table, 63),
        key(&row.key),
        code(&row.parent, 63),
        key(&row.parent_key),
        code(&row.constraint, 63)
    )
}

/// One group as a row.
pub fn row(group: &Group) -> Row {
    let entry = &group.entry;
    if let What::Violation(v) = &entry.what
        && group.count > 1
    {
        return finding(group, v);
    }
    let rows = rows(group);
    let cells = match &entry.what {
        What::Violation(v) => {
            let from = entry.from.first().map_or("", String::as_str);
            let more = match entry.from.len() {
                0 | 1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            format!(
                "{} | {} | {} | {}{more}",
                broken(v),
                of_violation(entry, false).unwrap_or_default(),
                words(&v.why(), 300),
                code(from, 120)
            )
        }
        What::Delete { values, soft, .. } => {
            let how = if *soft { " (marked as deleted)" } else { "" };
            let mut said = vec![format!("{}{how}", list(values, true))];
            said.extend(entry.rounded().into_iter().map(rounding));
            said.join("<br>")
        }
        What::Update { set, revives, .. } => {
            let mut changes: Vec<String> = set
                .iter()
                .map(|(c, (old, new))| {
                    let (old, new) = (old.words(), new.words());
                    format!("{}: {}", code(c, 63), pair(old.as_deref(), new.as_deref()))
                })
                .collect();
            changes.extend(entry.rounded().into_iter().map(rounding));
            if let Some(rest) = revives {
                changes.insert(0, REVIVED.into());
                if !rest.is_empty() {
                    changes.push(format!("as before: {}", list(rest, false)));
                }
            }
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
        What::Skip(skip) => {
            let mut said = vec![words(&skip.why(), 200)];
            said.extend(entry.rounded().into_iter().map(rounding));
            said.join("<br>")
        }
    };
    Row {
        text: format!("| {rows} | {cells} |\n"),
        count: group.count,
        more: Vec::new(),
        fits: 0,
        named: 0,
    }
}

/// Room for how many violations are not named.
const REST: usize = 40;
/// So many violations that break one rule in one way are named in any case.
const FIRST: usize = 3;

/// Violations that break one rule in one way: what they have in common, and below it a row for each.
fn finding(group: &Group, v: &Violation) -> Row {
    let least = if group.at_least { "at least " } else { "" };
    let mut text = format!(
        "| **{least}{}** | {} | | {} | |\n",
        records(group, v),
        broken(v),
        words(&v.rule(), 300)
    );
    let mut rows: Vec<String> = group.shown().map(one_of).collect();
    let more = rows.split_off(FIRST.min(rows.len()));
    text += &rows.concat();
    Row {
        text,
        count: group.count,
        more,
        fits: 0,
        named: rows.len(),
    }
}

/// One of several violations that break one rule: its key, what it gives, and where it stands.
fn one_of(entry: &Entry) -> String {
    let from = entry.from.first().map_or("", String::as_str);
    format!(
        "| {} | | {} | | {} |\n",
        key(&entry.key),
        of_violation(entry, true).unwrap_or_default(),
        code(from, 120)
    )
}

/// Which rule is broken, and what follows.
fn broken(v: &Violation) -> String {
    let field = v.field.as_deref().map(|f| format!(" {}", code(f, 63)));
    format!(
        "{}{} ({})",
        v.kind.word().replace('_', "&#95;"),
        field.unwrap_or_default(),
        v.effect.words()
    )
}

/// The rows that a group is about: one key, or a number and the first few.
fn rows(group: &Group) -> String {
    let least = if group.at_least { "at least " } else { "" };
    if group.entry.key.is_empty() {
        let from = group.entry.from.first().map_or("", String::as_str);
        return code(from, 120);
    }
    let first = key(&group.entry.key);
    if group.count == 1 {
        return first;
    }
    let keys: Vec<String> = group.shown().map(|e| key(&e.key)).collect();
    let more = match group.count - keys.len() as u64 {
        0 => "",
        _ => "<br>…",
    };
    format!(
        "**{least}{} rows**<br>{}{more}",
        group.count,
        keys.join("<br>")
    )
}

/// What a violation's entry gives: the existing and the given value, an accepted spelling, and the
/// values that it is about, with where they stand in each of two records.
fn of_violation(entry: &Entry, several: bool) -> Option<String> {
    let What::Violation(v) = &entry.what else {
        return None;
    };
    let mut said = Vec::new();
    match (&v.existing, &v.given) {
        (Some(old), new) => said.push(pair(Some(old), new.as_deref())),
        (None, Some(new)) => said.push(value(Some(new))),
        (None, None) => {}
    }
    if !v.values.is_empty() {
        said.push(list(&v.values, false));
    }
    if let Some(other) = &v.other {
        let values = match list(&other.values, false) {
            values if values.is_empty() => values,
            values => format!(": {values}"),
        };
        said.push(format!("and {}{values}", code(&other.from, 120)));
    }
    said.extend(v.of_record().map(|who| words(who, 200)).filter(|_| several));
    said.extend(entry.rounded().into_iter().map(rounding));
    (!said.is_empty()).then(|| said.join("<br>"))
}

/// A natural key; the column's name only where there are several.
pub fn key(key: &Values) -> String {
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
    v.map_or("<i>null</i>".into(), |v| {
        cut_code(&cut_value(v, 0, WIDEST), false)
    })
}

fn pair(old: Option<&str>, new: Option<&str>) -> String {
    let (Some(a), Some(b)) = (old, new) else {
        return format!("{} → {}", value(old), value(new));
    };
    let (found, more) = differences(a, b, WIDEST);
    let show = |cut: &Option<Cut>| {
        let cut = cut.as_ref();
        cut.map_or("<i>nothing</i>".into(), |cut| cut_code(cut, false))
    };
    let mut shown: Vec<String> = found
        .iter()
        .map(|d| {
            let path = if d.path.is_empty() {
                String::new()
            } else {
                format!("{}: ", code(&d.path, 120))
            };
            format!("{path}{} → {}", show(&d.old), show(&d.new))
        })
        .collect();
    shown.extend(further(more));
    shown.join("<br>")
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
        "{} was given as {} and is stored otherwise",
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
            let steps = c.steps(WIDEST).into_iter();
            let steps: Vec<String> = steps
                .map(|(step, a, b)| format!("{step}: {}", pair(a, b)))
                .collect();
            if !steps.is_empty() {
                return format!("{}: {}", code(&c.column, 63), steps.join("<br>"));
            }
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
