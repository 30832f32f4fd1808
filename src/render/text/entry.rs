//! Entries of a plan as lines of text.

use super::Style;
use crate::action::Action;
use crate::plan::{Entry, REVIVED, TablePlan, Value, Values, Violation, What, display_key};
use crate::render::select::{Filter, Group};
use crate::render::verdict::records;
use crate::text::cut::{quoted, quoted_pair, wrap};
use crate::text::{escape, visible};

/// What stands before the lines below an entry's first.
const INDENT: &str = "      ";

/// Appends a group: its first entry in full, and the keys of others.
pub fn group_text(
    text: &mut String,
    group: &Group,
    table: &TablePlan,
    filter: &Filter,
    style: Style,
) {
    let (first, count) = (&group.entry, group.count);
    if count == 1 {
        entry_text(
            text,
            first,
            &name(first),
            &first.from.join(", "),
            table,
            style,
        );
        return;
    }
    if let What::Violation(v) = &first.what {
        let each = filter.each_of(&table.table, Action::Violation);
        finding_text(text, group, v, &each, style);
        return;
    }
    let keys: Vec<String> = group.shown().map(|e| display_key(&e.key)).collect();
    let more = match count - keys.len() as u64 {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let least = if group.at_least { "at least " } else { "" };
    let from = format!("{} and {} more", first.from.join(", "), count - 1);
    let title = format!("{least}{count} rows alike: {}{more}", keys.join("; "));
    entry_text(text, first, &title, &from, table, style);
}

/// Appends records that break one rule in one way, the first few with what they give; the flags `each` list all.
fn finding_text(text: &mut String, group: &Group, v: &Violation, each: &str, style: Style) {
    let glyph = format!("  {} ", style.glyph(Action::Violation));
    let mut put = |lead: &str, line: &str, hang| wrap(text, lead, line, hang, style.width);
    let least = if group.at_least { "at least " } else { "" };
    let title = format!("{least}{}: {}", records(group, v), broken(v));
    put(&glyph, &title, 8);
    put(INDENT, &escape(&v.rule()), 10);
    for entry in group.shown() {
        let What::Violation(v) = &entry.what else {
            continue;
        };
        let mut said = vec![values_of(v), listed(&v.values)];
        said.extend(
            v.instead
                .as_ref()
                .map(|i| format!("write it as {}", quoted(Some(i)))),
        );
        said.extend(v.of_record().map(escape));
        said.extend(rounded(entry));
        said.retain(|part| !part.is_empty());
        let mut parts = vec![display_key(&entry.key), said.join(", ")];
        parts.retain(|part| !part.is_empty());
        let from = escape(entry.from.first().map_or("", String::as_str));
        let line = match parts.is_empty() {
            true => from,
            false => format!("{} ({from})", parts.join(": ")),
        };
        put(INDENT, &line, 10);
    }
    if let Some(more @ 1..) = group.count.checked_sub(group.shown().count() as u64) {
        put(INDENT, &format!("and {more} more: {each} shows each"), 10);
    }
}

/// Which rule a violation is about, and what follows.
fn broken(v: &Violation) -> String {
    let field = v.field.as_deref().map(|f| format!(" {}", visible(f)));
    format!(
        "{}{} [{}]",
        v.kind.word(),
        field.unwrap_or_default(),
        v.effect.words()
    )
}

/// The existing and the given value, where there are any.
fn values_of(v: &Violation) -> String {
    match (&v.existing, &v.given) {
        (Some(old), new) => quoted_pair(Some(old), new.as_deref()),
        (None, Some(new)) => quoted(Some(new)),
        (None, None) => String::new(),
    }
}

fn listed(values: &Values) -> String {
    let shown = values
        .iter()
        .map(|(c, v)| format!("{}: {}", visible(c), quoted(v.words().as_deref())));
    shown.collect::<Vec<_>>().join(", ")
}

/// What an entry is called: by its key, or where it has none by where it comes from.
pub fn name(entry: &Entry) -> String {
    if entry.key.is_empty() {
        escape(&entry.from.join(", "))
    } else {
        display_key(&entry.key)
    }
}

/// Appends one entry, or a group of which it is the first: `title` names its rows.
pub fn entry_text(
    text: &mut String,
    entry: &Entry,
    title: &str,
    from: &str,
    table: &TablePlan,
    style: Style,
) {
    let glyph = format!("  {} ", style.glyph(entry.what.action()));
    let mut put = |lead: &str, line: &str| {
        let hang = if lead == INDENT { 10 } else { 8 };
        wrap(text, lead, line, hang, style.width);
    };
    let first = glyph.as_str();
    match &entry.what {
        What::Insert { values } => {
            put(first, title);
            put_values(&mut put, values);
            put_rounded(&mut put, entry);
        }
        What::Update { set, revives, .. } => {
            let of = match table.width {
                0 => String::new(),
                n => format!("  ({} of {n} columns)", set.len()),
            };
            let revived = revives.as_ref().map(|_| format!("  ({REVIVED})"));
            put(
                first,
                &format!("{title}{of}{}", revived.unwrap_or_default()),
            );
            for (column, (old, new)) in set {
                let change = quoted_pair(old.words().as_deref(), new.words().as_deref());
                put(INDENT, &format!("{}: {change}", escape(column)));
            }
            put_rounded(&mut put, entry);
            if let Some(rest) = revives.as_ref().filter(|rest| !rest.is_empty()) {
                put(INDENT, &format!("as before: {}", listed(rest)));
            }
        }
        What::Delete { values, soft, .. } => {
            let how = if *soft { "  (marked as deleted)" } else { "" };
            put(first, &format!("{title}{how}"));
            let lost = values.iter().filter(|(_, v)| **v != Value::Null);
            put_values(
                &mut put,
                &lost.map(|(c, v)| (c.clone(), v.clone())).collect(),
            );
            put_rounded(&mut put, entry);
        }
        What::Skip(skip) => {
            put(
                "    ",
                &format!("{title}  {}  ({})", skip.why(), escape(from)),
            );
            put_rounded(&mut put, entry);
        }
        What::Violation(v) => {
            put(first, title);
            let field = v.field.as_deref().map(|f| format!(" {}", visible(f)));
            let values = Some(values_of(v)).filter(|v| !v.is_empty());
            put(
                INDENT,
                &format!(
                    "{}{}{} [{}]",
                    v.kind.word(),
                    field.unwrap_or_default(),
                    values.map_or_else(String::new, |v| format!(": {v}")),
                    v.effect.words()
                ),
            );
            put(INDENT, &escape(&v.why()));
            if !v.values.is_empty() {
                put(INDENT, &listed(&v.values));
            }
            put_rounded(&mut put, entry);
            put(INDENT, &format!("from {}", escape(from)));
            if let Some(other) = &v.other {
                let values = match listed(&other.values) {
                    values if values.is_empty() => values,
                    values => format!(": {values}"),
                };
                put(INDENT, &format!("and {}{values}", escape(&other.from)));
            }
        }
    }
}

type Put<'a> = dyn FnMut(&str, &str) + 'a;

fn put_values(put: &mut Put<'_>, values: &Values) {
    let shown = listed(values);
    if !shown.is_empty() {
        put(INDENT, &shown);
    }
}

fn put_rounded(put: &mut Put<'_>, entry: &Entry) {
    rounded(entry).iter().for_each(|said| put(INDENT, said));
}

/// What was given and is stored otherwise, a column each.
fn rounded(entry: &Entry) -> Vec<String> {
    let rounded = entry.rounded().into_iter().map(|(column, given)| {
        let given = quoted(Some(given));
        format!(
            "{} was given as {given} and is stored otherwise",
            escape(column)
        )
    });
    rounded.collect()
}
