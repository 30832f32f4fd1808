//! Entries of a plan as lines of text.

use super::Style;
use crate::plan::{Entry, TablePlan, Value, Values, What, display_key};
use crate::render::select::Group;
use crate::text::cut::{quoted, quoted_pair, wrap};
use crate::text::escape;

/// What stands before the lines below an entry's first.
const INDENT: &str = "      ";

/// Appends a group: its first entry in full, and the keys of others.
pub fn group_text(text: &mut String, group: &Group, table: &TablePlan, style: Style) {
    let (first, count) = (&group.entry, group.count);
    if count == 1 {
        entry_text(
            text,
            first,
            &display_key(&first.key),
            &first.from.join(", "),
            table,
            style,
        );
        return;
    }
    let keys: Vec<String> = std::iter::once(&first.key)
        .chain(&group.more_keys)
        .map(display_key)
        .collect();
    let more = match count - keys.len() as u64 {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let least = if group.at_least { "at least " } else { "" };
    let title = format!("{least}{count} rows alike: {}{more}", keys.join("; "));
    let from = format!("{} and {} more", first.from.join(", "), count - 1);
    entry_text(text, first, &title, &from, table, style);
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
            let revived = if *revives {
                "  (was deleted; comes back)"
            } else {
                ""
            };
            put(first, &format!("{title}{of}{revived}"));
            for (column, (old, new)) in set {
                let change = quoted_pair(old.as_deref(), new.words().as_deref());
                put(INDENT, &format!("{}: {change}", escape(column)));
            }
            put_rounded(&mut put, entry);
        }
        What::Delete { values, soft, .. } => {
            let how = if *soft { "  (marked as deleted)" } else { "" };
            put(first, &format!("{title}{how}"));
            let lost = values.iter().filter(|(_, v)| **v != Value::Null);
            put_values(
                &mut put,
                &lost.map(|(c, v)| (c.clone(), v.clone())).collect(),
            );
        }
        What::Skip(skip) => {
            put(
                "    ",
                &format!("{title}  {}  ({})", skip.why(), escape(from)),
            );
        }
        What::Violation(v) => {
            let field = v.field.as_deref().map(|f| format!(" {}", escape(f)));
            let values = match (&v.existing, &v.given) {
                (Some(old), new) => format!(": {}", quoted_pair(Some(old), new.as_deref())),
                (None, Some(new)) => format!(": {}", quoted(Some(new))),
                (None, None) => String::new(),
            };
            put(first, title);
            let kind = v.kind.word();
            put(
                INDENT,
                &format!(
                    "{kind}{}{values} [{}]",
                    field.unwrap_or_default(),
                    v.effect.words()
                ),
            );
            put(INDENT, &escape(&v.message));
            put(INDENT, &format!("from {}", escape(from)));
        }
    }
}

type Put<'a> = dyn FnMut(&str, &str) + 'a;

fn put_values(put: &mut Put<'_>, values: &Values) {
    let shown = values
        .iter()
        .map(|(c, v)| format!("{}: {}", escape(c), quoted(v.words().as_deref())));
    let shown = shown.collect::<Vec<_>>().join(", ");
    if !shown.is_empty() {
        put(INDENT, &shown);
    }
}

fn put_rounded(put: &mut Put<'_>, entry: &Entry) {
    for (column, given) in entry.rounded() {
        let given = quoted(Some(given));
        put(
            INDENT,
            &format!("{} was given as {given} and is rounded", escape(column)),
        );
    }
}
