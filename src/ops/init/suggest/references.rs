//! References by key, for foreign keys to numbers that the database gives.

use std::fmt::Write;

use super::{columns, find, key, surrogate, word};
use crate::table::schema::{Column, Table};

/// `references` of a table with this natural key, as lines; empty where there are none.
pub(super) fn suggested(table: &Table, natural_key: &[&str], all: &[(String, Table)]) -> String {
    let mut lines = String::new();
    for column in &table.columns {
        if let Some(reference) = reference(table, natural_key, column, all) {
            let _ = writeln!(lines, "    {}: {reference}", word(&column.name));
        }
    }
    if lines.is_empty() {
        return lines;
    }
    format!(
        "  # these refer to numbers that the database gives: records name the rows by their keys; check the names of\n  \
         # the fields\n  references:\n{lines}"
    )
}

/// Whether a reference is suggested for a column.
pub(super) fn is_suggested(
    table: &Table,
    natural_key: &[&str],
    column: &Column,
    all: &[(String, Table)],
) -> bool {
    reference(table, natural_key, column, all).is_some()
}

fn reference(
    table: &Table,
    natural_key: &[&str],
    column: &Column,
    all: &[(String, Table)],
) -> Option<String> {
    let (_, parent) = numbered_parent(table, &column.name, all)?;
    // Whether a row is there could not be told before the one to which it refers is.
    if parent.name == table.name && natural_key.contains(&column.name.as_str())
        || !column.writable()
    {
        return None;
    }
    let stem = column.name.strip_suffix("_id").unwrap_or(&column.name);
    let key = key(parent).map(|index| columns(parent, index))?;
    let alone = key.len() == 1
        && stem != column.name
        && table.column(stem).is_none()
        && numbered_parent(parent, &key[0].name, all).is_none();
    let field = if alone {
        Field::Alone(stem)
    } else {
        Field::Before(stem)
    };
    by_key(table, &column.name, &field, all, 0)
}

/// How the field is named that brings a column of the key.
enum Field<'a> {
    /// As this.
    Alone(&'a str),
    /// As the column, with this before it.
    Before(&'a str),
}

/// Deeper than so many tables no key is looked up: they may refer to each other in a circle.
const DEEPEST: usize = 4;

fn by_key(
    table: &Table,
    column: &str,
    field: &Field<'_>,
    all: &[(String, Table)],
    depth: usize,
) -> Option<String> {
    let (name, parent) = numbered_parent(table, column, all)?;
    let key = key(parent).map(|index| columns(parent, index))?;
    let mut by = Vec::new();
    for part in key {
        let value = if numbered_parent(parent, &part.name, all).is_some() {
            if depth == DEEPEST {
                return None;
            }
            let stem = match field {
                Field::Alone(stem) | Field::Before(stem) => stem,
            };
            let inner = part.name.strip_suffix("_id").unwrap_or(&part.name);
            let before = format!("{stem}_{inner}");
            by_key(parent, &part.name, &Field::Before(&before), all, depth + 1)?
        } else {
            match field {
                Field::Alone(field) => word(field),
                Field::Before(stem) => word(&format!("{stem}_{}", part.name)),
            }
        };
        by.push(format!("{}: {value}", word(&part.name)));
    }
    Some(format!(
        "{{table: {}, by: {{{}}}}}",
        word(name),
        by.join(", ")
    ))
}

/// The table to whose numbers a column refers by a foreign key of its own, as it is configured.
fn numbered_parent<'t>(
    table: &'t Table,
    column: &str,
    all: &'t [(String, Table)],
) -> Option<(&'t str, &'t Table)> {
    table.foreign_keys.iter().find_map(|foreign| {
        let ([own], [referred]) = (
            foreign.columns.as_slice(),
            foreign.parent_columns.as_slice(),
        ) else {
            return None;
        };
        let parent = find(all, &foreign.parent).filter(|_| own == column)?;
        surrogate(parent.column(referred)?)?;
        let (name, _) = all.iter().find(|(_, t)| t.name == foreign.parent)?;
        Some((name.as_str(), parent))
    })
}
