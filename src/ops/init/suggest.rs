//! A first configuration of tables, from what the database says about them.

mod references;

use std::fmt::Write;

use crate::sql::ident::Qualified;
use crate::table::mark::Mark;
use crate::table::schema::{Column, Identity, Table, UniqueIndex};
use crate::text::escape;

/// Columns that are set when a row is made.
const IMMUTABLE: [&str; 8] = [
    "created_at",
    "created_by",
    "created_on",
    "date_created",
    "creation_date",
    "inserted_at",
    "inserted_by",
    "inserted_on",
];
/// Columns that say when a row was written last.
const TIMES: [&str; 7] = [
    "updated_at",
    "updated_on",
    "modified_at",
    "modified_on",
    "last_modified",
    "last_updated",
    "changed_at",
];
/// Columns that say who wrote a row last.
const ACTORS: [&str; 4] = [
    "updated_by",
    "modified_by",
    "changed_by",
    "last_modified_by",
];
/// Columns that name the load.
const BATCHES: [&str; 3] = ["load_batch_id", "loader_batch_id", "import_batch_id"];

/// The text of a `tables.yaml` for these tables, named as they are configured, which says of the `others` why they
/// cannot be loaded.
pub fn file(
    tables: &[(String, Table)],
    others: &[(String, String)],
    time_zone: Option<&str>,
    json_schema: &str,
) -> String {
    let mut out = format!("# yaml-language-server: $schema={json_schema}\n");
    out += "# Made by `loader init` from the database. Check each natural_key: it decides which row a record is\n\
            # about. Check immutable_fields: what is not in them may be changed by a load.\n";
    if let Some(zone) = time_zone
        && tables.iter().any(|(_, t)| key(t).is_some())
    {
        out += "\n# Of times without offset: the database's own. Ask whoever delivers which is meant.\ndefaults:\n";
        let _ = writeln!(out, "  time_zone: {}", word(zone));
    }
    for (name, table) in tables {
        out.push('\n');
        out += &match key(table) {
            Some(index) => block(name, table, index, tables),
            None => without_key(name, table),
        };
    }
    for (name, why) in others {
        let (name, why) = (escape(name), escape(why));
        let _ = writeln!(out, "\n# {name}: cannot be loaded:\n#   {why}");
    }
    if tables.iter().all(|(_, t)| key(t).is_none()) {
        out += "\n# No table can be loaded yet.\n{}\n";
    }
    out
}

/// The unique index that is the best natural key, where one will do.
fn key(table: &Table) -> Option<&UniqueIndex> {
    table
        .unique
        .iter()
        .enumerate()
        .filter(|(_, index)| index.immediate && fits(table, index))
        .min_by_key(|(i, index)| {
            let columns = columns(table, index);
            (
                index.predicate.is_some(),
                columns.iter().any(|c| !c.not_null),
                columns.iter().any(|c| looks_numbered(table, c)),
                !index.primary,
                columns.len(),
                *i,
            )
        })
        .map(|(_, index)| index)
}

/// Whether every column is a real one that records bring, and no row is left out but deleted ones.
fn fits(table: &Table, index: &UniqueIndex) -> bool {
    let known = columns(table, index);
    known.len() == index.columns.len()
        && known.iter().all(|c| surrogate(c).is_none() && c.writable())
        && match &index.predicate {
            None => true,
            Some(predicate) => mark(table).is_some_and(|column| marks_by(column, predicate)),
        }
}

fn columns<'t>(table: &'t Table, index: &UniqueIndex) -> Vec<&'t Column> {
    index
        .columns
        .iter()
        .filter_map(|n| table.column_by_number(*n))
        .collect()
}

/// Why the database numbers this column by itself, where it does.
fn surrogate(column: &Column) -> Option<&'static str> {
    let default = column.default.as_deref().unwrap_or_default();
    if column.identity != Identity::None {
        Some("an identity column")
    } else if default.contains("nextval(") {
        Some("numbered by a sequence")
    } else if default.contains("uuid") && default.contains('(') {
        Some("a random uuid")
    } else {
        None
    }
}

/// Whether a column without a default nevertheless looks like a number that means nothing.
fn looks_numbered(table: &Table, column: &Column) -> bool {
    let number = matches!(column.base_type.as_str(), "int2" | "int4" | "int8" | "uuid");
    let own = format!("{}_id", table.name.name.trim_end_matches('s'));
    let function = column.default.as_deref().is_some_and(|d| d.contains('('));
    function || number && (column.name == "id" || column.name == own)
}

/// The column that marks deleted rows: by its name, or because a unique key leaves out rows that it marks.
fn mark(table: &Table) -> Option<&Column> {
    let by_name = table
        .column("deleted_at")
        .filter(|c| c.is_timestamp() && !c.not_null && c.writable());
    by_name.or_else(|| {
        let conditions = table.unique.iter().filter(|index| index.immediate);
        let mut conditions = conditions.filter_map(|index| index.predicate.as_deref());
        conditions.find_map(|condition| {
            let mut columns = table.columns.iter().filter(|c| c.writable());
            columns.find(|column| marks_by(column, condition))
        })
    })
}

/// Whether `condition` is that `column` does not mark a row as deleted.
fn marks_by(column: &Column, condition: &str) -> bool {
    Mark::of(column).is_ok_and(|mark| mark.is_life(column, condition))
}

fn block(name: &str, table: &Table, index: &UniqueIndex, all: &[(String, Table)]) -> String {
    let mut out = references(name, table, all);
    let _ = writeln!(out, "{}:", word(name));
    let key = columns(table, index);
    for line in key_reasons(table, index, &key, all) {
        let _ = writeln!(out, "  # {line}");
    }
    let names: Vec<&str> = key.iter().map(|c| c.name.as_str()).collect();
    let _ = writeln!(out, "  natural_key: [{}]", words(&names));
    let free = |candidates: &[&str], right: fn(&Column) -> bool| -> Vec<&str> {
        table
            .columns
            .iter()
            .filter(|c| candidates.contains(&c.name.as_str()) && c.writable() && right(c))
            .map(|c| c.name.as_str())
            .filter(|n| !names.contains(n))
            .collect()
    };
    let mut immutable = free(&IMMUTABLE, |_| true);
    let numbered = table.columns.iter();
    let numbered = numbered.filter(|c| surrogate(c).is_some() && c.writable());
    let numbered: Vec<&str> = numbered
        .map(|c| c.name.as_str())
        .filter(|n| !names.contains(n) && !immutable.contains(n))
        .collect();
    if !immutable.is_empty() {
        let _ = writeln!(out, "  # by their names, set when the row is made");
    }
    if !numbered.is_empty() {
        let _ = writeln!(
            out,
            "  # the database numbers rows by {}: others may refer to these values",
            words(&numbered)
        );
        immutable.extend(numbered);
    }
    if !immutable.is_empty() {
        let _ = writeln!(out, "  immutable_fields: [{}]", words(&immutable));
    }
    out += &references::suggested(table, &names, all);
    if let Some(mark) = mark(table) {
        let _ = match Mark::of(mark) {
            Ok(Mark::Flag) => writeln!(
                out,
                "  # a unique key leaves out rows for which {} is true: they count as deleted",
                escape(&mark.name)
            ),
            _ => writeln!(
                out,
                "  # {} can be null: a row that has it counts as deleted",
                escape(&mark.name)
            ),
        };
        let column = match mark.name.as_str() {
            "deleted_at" => "true".to_owned(),
            other => word(other),
        };
        let _ = writeln!(out, "  soft_delete: {column}");
    }
    let stamps: Vec<(&str, &str)> = [
        (free(&TIMES, Column::is_timestamp), "now"),
        (free(&ACTORS, |c| c.category == 'S'), "actor"),
        (free(&BATCHES, |c| c.category == 'S'), "batch_id"),
    ]
    .into_iter()
    .flat_map(|(columns, stamp)| columns.into_iter().map(move |c| (c, stamp)))
    .collect();
    let must = |c: &Column| c.required() && (c.is_timestamp() || c.category == 'S');
    let made = free(&IMMUTABLE, must);
    if !made.is_empty() {
        let names = words(&made);
        let _ = writeln!(
            out,
            "  # {names}: records must give what is NOT NULL and has no default, unless stamps (now, actor) set it in new rows"
        );
    }
    if !stamps.is_empty() {
        let _ = writeln!(
            out,
            "  # by their names, set by every load, whatever is delivered for them"
        );
        let _ = writeln!(out, "  stamps:");
        for (column, stamp) in stamps {
            let _ = writeln!(out, "    {}: {stamp}", word(column));
        }
    }
    out
}

/// What the table needs, which the foreign keys say.
fn references(name: &str, table: &Table, all: &[(String, Table)]) -> String {
    let mut out = String::new();
    for key in &table.foreign_keys {
        let parent = all.iter().find(|(_, t)| t.name == key.parent);
        let line = match parent {
            Some((parent, _)) if parent == name => continue,
            Some((parent, _)) => format!("after {} ({})", escape(parent), escape(&key.name)),
            None => format!(
                "refers to {} ({}), which is not in this file: its rows must be there",
                escape(&format!("{}.{}", key.parent.schema, key.parent.name)),
                escape(&key.name)
            ),
        };
        let _ = writeln!(out, "# {line}");
    }
    out
}

fn key_reasons(
    table: &Table,
    index: &UniqueIndex,
    key: &[&Column],
    all: &[(String, Table)],
) -> Vec<String> {
    let mut lines = Vec::new();
    let kind = if index.primary {
        "primary key"
    } else {
        "unique key"
    };
    let mut line = format!("the {kind} {}", escape(&index.name));
    if index.predicate.is_some() {
        line += ", among rows that are not deleted";
    }
    let passed: Vec<String> = table
        .unique
        .iter()
        .filter(|i| i.primary && i.name != index.name)
        .flat_map(|i| columns(table, i))
        .filter_map(|c| Some(format!("{} is {}", escape(&c.name), surrogate(c)?)))
        .collect();
    if !passed.is_empty() {
        let _ = write!(line, "; {}", passed.join(", "));
    }
    lines.push(line);
    for column in key.iter().filter(|c| !c.not_null) {
        lines.push(format!(
            "{} may be null in the database: such rows cannot be found, and records need a value",
            escape(&column.name)
        ));
    }
    for column in key.iter().filter(|c| looks_numbered(table, c)) {
        lines.push(format!(
            "{} may be a number that means nothing outside of this database: are records delivered with it?",
            escape(&column.name)
        ));
    }
    let names: Vec<&str> = key.iter().map(|c| c.name.as_str()).collect();
    for column in key {
        if references::is_suggested(table, &names, column, all) {
            continue;
        }
        if let Some(parent) = numbered_parent(table, column, all) {
            lines.push(format!(
                "{} refers to {}, which the database numbers: records must be delivered with these numbers",
                escape(&column.name),
                escape(&parent)
            ));
        }
    }
    lines
}

/// The column that `column` refers to, where that is a surrogate.
fn numbered_parent(table: &Table, column: &Column, all: &[(String, Table)]) -> Option<String> {
    table.foreign_keys.iter().find_map(|key| {
        let at = key.columns.iter().position(|c| *c == column.name)?;
        let referred = key.parent_columns.get(at)?;
        let parent = find(all, &key.parent)?;
        surrogate(parent.column(referred)?)?;
        Some(format!("{}.{referred}", key.parent.name))
    })
}

fn find<'t>(all: &'t [(String, Table)], name: &Qualified) -> Option<&'t Table> {
    all.iter().map(|(_, t)| t).find(|t| t.name == *name)
}

fn without_key(name: &str, table: &Table) -> String {
    let mut reasons: Vec<String> = table.unique.iter().map(|i| unfit(table, i)).collect();
    if reasons.is_empty() {
        reasons.push("it has no unique key".into());
    }
    let mut out = format!(
        "# {}: cannot be loaded yet, for want of a natural key:\n",
        escape(name)
    );
    for reason in reasons {
        let _ = writeln!(out, "#   {reason}");
    }
    let columns: Vec<&str> = table
        .columns
        .iter()
        .filter(|c| surrogate(c).is_none() && c.writable())
        .map(|c| c.name.as_str())
        .collect();
    let _ = writeln!(
        out,
        "# Say which of its columns identify a row ({}), and make them unique by\n\
         # CREATE UNIQUE INDEX ON {} (...);\n# {}:\n#   natural_key: []",
        columns
            .iter()
            .map(|c| escape(c))
            .collect::<Vec<_>>()
            .join(", "),
        escape(&table.name.to_string()),
        word(name)
    );
    out
}

/// Why an index is no natural key.
fn unfit(table: &Table, index: &UniqueIndex) -> String {
    let name = escape(&index.name);
    if !index.immediate {
        return format!("{name} is deferrable");
    }
    if index.columns.contains(&0) {
        return format!("{name} is over an expression");
    }
    for column in columns(table, index) {
        let column_name = escape(&column.name);
        if let Some(why) = surrogate(column) {
            return format!("{name}: {column_name} is {why}, which records do not bring");
        }
        if !column.writable() {
            return format!("{name}: {column_name} is generated");
        }
    }
    format!("{name} holds for some rows only")
}

/// A name as YAML: quoted where it could be read as something else.
fn word(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let taken = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    if plain && !taken.contains(&name) {
        name.to_owned()
    } else {
        let json = serde_json::Value::from(name).to_string();
        json.chars().map(as_yaml).collect()
    }
}

/// A character of a quoted word; what would act on who looks at it, as YAML escapes it.
fn as_yaml(c: char) -> String {
    let as_is = c.to_string();
    if c == '#' || escape(&as_is) == as_is {
        as_is
    } else {
        format!("\\U{:08x}", u32::from(c))
    }
}

fn words(names: &[&str]) -> String {
    names.iter().map(|n| word(n)).collect::<Vec<_>>().join(", ")
}
