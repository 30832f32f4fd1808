//! A plan as rows for spreadsheet programs, with a column for decisions: a workbook, or delimited values.
//! What stands there is masked as for people, and every cell is a text.

mod csv;
mod xlsx;

use super::profile::Profile;
use super::select::{Each, Filter};
use super::unusual::{Mark, Unusual};
use crate::error::{Error, Result};
use crate::plan::review::name::Names;
use crate::plan::review::sheet::Named;
use crate::plan::{Entry, REVIVED, Row, Value, Violation, ViolationKind, What};
use crate::planfile::{Item, PlanFile};
use crate::render::groups::name;
use crate::text::cut::{quoted, quoted_pair};
use crate::text::{escape, escape_value};

pub use csv::plan as csv;
pub use xlsx::plan as xlsx;

/// The longest text of a cell, in characters: a workbook's has room for 32767 UTF-16 units.
const LONGEST: usize = 15_000;

fn failed(e: std::io::Error) -> Error {
    Error::io("writing the plan as rows", e)
}

/// What is said of an entry in one row.
struct Line {
    named: Named,
    action: &'static str,
    /// Its group, where its table has them.
    group: String,
    from: String,
    said: Said,
    /// Why it stands out.
    unusual: String,
}

/// What becomes of a row, or what is wrong with a record.
enum Said {
    Change(String),
    Violation {
        kind: &'static str,
        effect: &'static str,
        field: String,
        given: String,
        existing: String,
        message: String,
    },
}

impl Line {
    /// Of an entry, masked, by its key as decisions name it.
    fn of(entry: &Entry, key: Row, marks: &[Mark], has_groups: bool) -> Line {
        // In quotes, so that null, an empty value and none are told apart.
        let value = |value: &Option<String>, or: &str| match value {
            Some(value) => format!("\"{}\"", escape_value(value)),
            None => or.to_owned(),
        };
        // The key of a row may not be the one that the record gives.
        let of_key = entry.key.iter().filter(|(_, v)| v.given().is_some());
        let with_key = |said: String| {
            let lines = of_key.clone().map(one).chain(Some(said));
            let lines = lines.filter(|line| !line.is_empty());
            lines.collect::<Vec<_>>().join("\n")
        };
        let said = match &entry.what {
            What::Violation(v) => Said::Violation {
                kind: v.kind.word(),
                effect: v.effect.words(),
                field: v.field.as_deref().map(escape).unwrap_or_default(),
                given: fit(value(&v.given, none(v))),
                existing: fit(value(&v.existing, none(v))),
                message: fit(with_key(reason(v))),
            },
            other => Said::Change(fit(with_key(changes(other)))),
        };
        let marks: Vec<String> = marks.iter().map(Mark::words).collect();
        Line {
            named: Named::of(entry, key),
            action: entry.what.action().word(),
            group: match has_groups {
                true => fit(name(entry.group.as_deref())),
                false => String::new(),
            },
            from: fit(escape(&entry.from.join(", "))),
            said,
            unusual: fit(marks.join("; ")),
        }
    }
}

/// What stands for a value that a violation does not have: what an immutable field holds or would hold is null then.
fn none(violation: &Violation) -> &'static str {
    match violation.kind {
        ViolationKind::ImmutableField => "null",
        _ => "",
    }
}

/// Why, and the values that it is about, a column a line; behind them those of the other record.
fn reason(violation: &Violation) -> String {
    let mut lines = vec![escape(&violation.why())];
    lines.extend(violation.values.iter().map(one));
    if let Some(other) = &violation.other {
        lines.push(format!("and {}:", escape(&other.from)));
        lines.extend(other.values.iter().map(one));
    }
    lines.join("\n")
}

fn given(value: &Value) -> String {
    let given = value.given().map(|given| quoted(Some(given)));
    given.map_or_else(String::new, |given| format!(" (given {given})"))
}

/// A column and its value.
fn one((column, value): (&String, &Value)) -> String {
    let shown = quoted(value.words().as_deref());
    format!("{}: {shown}{}", escape(column), given(value))
}

/// What changes, a column a line.
fn changes(what: &What) -> String {
    let lines: Vec<String> = match what {
        What::Insert { values } | What::Delete { values, .. } => values.iter().map(one).collect(),
        What::Update { set, revives, .. } => {
            let pair = |(column, (old, new)): (&String, &(Value, Value))| {
                let pair = quoted_pair(old.words().as_deref(), new.words().as_deref());
                format!("{}: {pair}{}", escape(column), given(new))
            };
            let revived = revives.iter().map(|_| REVIVED.to_owned());
            let rest = revives.iter().flatten();
            let rest = rest.map(|kept| format!("as before: {}", one(kept)));
            revived.chain(set.iter().map(pair)).chain(rest).collect()
        }
        What::Skip(skip) => vec![skip.why().into_owned()],
        What::Violation(_) => Vec::new(),
    };
    lines.join("\n")
}

/// Gives a line for each entry that `filter` takes to `sink`, in plan order.
fn lines(plan: &PlanFile, filter: &Filter, sink: &mut dyn FnMut(Line) -> Result<()>) -> Result<()> {
    let profile = Profile::of(plan)?;
    let (mask, rules) = (plan.mask(), filter.rules());
    let names = Names::new(&mask);
    let mut each = Each::new(filter, &mask, Unusual::new(&profile, &rules));
    plan.stream(&mut |item| {
        let Item::Entry(entry) = item else {
            return Ok(());
        };
        let key = names.key(&entry);
        let Some((entry, marks)) = each.take(entry) else {
            return Ok(());
        };
        let table = plan.header.table(&entry.table);
        let has_groups = table.is_some_and(|t| t.config.group_by.is_some());
        sink(Line::of(&entry, key, &marks, has_groups))
    })
}

/// A text that a cell has room for. What is read back is never cut.
fn fit(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text += "… (cut here)";
    }
    text
}
