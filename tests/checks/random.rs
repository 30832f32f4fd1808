//! Random schemas and random, often wrong, records. A case follows from its seed alone.

use std::fmt::Write as _;

use crate::support::random::Random;
use crate::support::types::{self, Type, named};

/// Only servers from 15 on have it.
pub const NULLS_NOT_DISTINCT: &str = " NULLS NOT DISTINCT";

/// A column of a table of a case.
struct Column {
    name: String,
    kind: &'static Type,
    /// `None` for what the database computes.
    writable: bool,
}

/// A table of a case.
pub struct Table {
    pub name: String,
    pub key: Vec<String>,
    pub config: String,
    pub immutable: Vec<String>,
    pub strategy: &'static str,
    pub resolution: &'static str,
    columns: Vec<Column>,
    ddl: String,
    /// A column that others may refer to: its name.
    referred: Vec<String>,
    /// Statements that make rows, of which some fail.
    rows: Vec<String>,
}

/// A record as delivered, and as the texts that SQL is given.
pub struct Record {
    pub table: usize,
    pub json: String,
    /// Column to text or null; a value that the loader refuses itself is not there.
    pub sql: Vec<(String, Option<String>)>,
    /// Whether `sql` is all of it.
    pub whole: bool,
}

/// A schema, rows, and a batch.
pub struct Case {
    pub tables: Vec<Table>,
    pub records: Vec<Record>,
}

impl Case {
    pub fn new(seed: u64) -> Case {
        let mut r = Random::new(seed);
        let mut tables = Vec::new();
        for i in 0..1 + r.below(3) {
            let table = table(&mut r, i, &tables);
            tables.push(table);
        }
        let mut records = Vec::new();
        for (i, table) in tables.iter_mut().enumerate() {
            for _ in 0..r.below(6) {
                let row = record(&mut r, i, table, 0);
                let (names, values): (Vec<_>, Vec<_>) = row.sql.into_iter().unzip();
                table.rows.push(insert(&table.name, &names, &values));
            }
            for _ in 0..1 + r.below(9) {
                records.push(record(&mut r, i, table, 12));
            }
        }
        Case { tables, records }
    }

    /// The tables, and rows as far as they fit.
    pub fn schema(&self) -> String {
        let mut sql = String::from("DROP SCHEMA IF EXISTS c CASCADE; CREATE SCHEMA c;");
        for table in &self.tables {
            sql += &table.ddl;
        }
        for row in self.tables.iter().flat_map(|t| &t.rows) {
            let _ = writeln!(
                sql,
                "DO $do$ BEGIN {row}; SET CONSTRAINTS ALL IMMEDIATE; EXCEPTION WHEN OTHERS THEN END $do$;"
            );
        }
        sql
    }

    /// `tables.yaml`, in which violations have this effect.
    pub fn config(&self, effect: &str) -> String {
        let table = |t: &Table| {
            format!(
                "c.{}: {{{}, on_invalid: {effect}, on_immutable: {effect}, on_duplicate: {effect}}}\n",
                t.name, t.config
            )
        };
        self.tables.iter().map(table).collect()
    }
}

pub fn insert(table: &str, names: &[String], values: &[Option<String>]) -> String {
    if names.is_empty() {
        return format!("INSERT INTO c.{table} DEFAULT VALUES");
    }
    let values: Vec<String> = values.iter().map(literal).collect();
    format!(
        "INSERT INTO c.{table} ({}) VALUES ({})",
        names.join(", "),
        values.join(", ")
    )
}

pub fn literal(value: &Option<String>) -> String {
    match value {
        None => "NULL".into(),
        Some(v) => format!("'{}'", v.replace('\'', "''")),
    }
}

fn table(r: &mut Random, number: usize, before: &[Table]) -> Table {
    let name = format!("t{number}");
    let mut columns = Vec::new();
    let (mut lines, mut after) = (Vec::new(), String::new());
    let key: Vec<String> = match r.below(4) {
        0 => vec!["k".into(), "k2".into()],
        _ => vec!["k".into()],
    };
    let key_kinds = [r.pick(&["int", "text", "int", "posint"]), "int"].map(named);
    for (name, kind) in key.iter().zip(key_kinds) {
        lines.push(format!("{name} {}", kind.name));
        columns.push(Column {
            name: name.clone(),
            kind,
            writable: true,
        });
    }
    let list = key.join(", ");
    let ruled: Vec<&Type> = types::all().filter(|t| !t.unique.is_empty()).collect();
    let mut referred = Vec::new();
    match r.below(4) {
        0 => lines.push(format!("UNIQUE ({list})")),
        1 => {
            lines.push("id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY".into());
            lines.push(format!("UNIQUE ({list})"));
        }
        _ => lines.push(format!("PRIMARY KEY ({list})")),
    }
    if key.len() == 1 && key_kinds[0].name == "int" {
        referred.push("k".to_owned());
    }
    for i in 0..1 + r.below(4) {
        let (column, k) = (format!("c{i}"), r.pick(&ruled));
        let here = |text: &str| text.replace('@', &column);
        let mut line = format!("{column} {}", k.name);
        if r.chance(30) && !k.defaults.is_empty() {
            let _ = write!(line, " DEFAULT {}", r.pick(k.defaults));
        }
        if r.chance(25) {
            line += " NOT NULL";
        }
        if r.chance(35) && !k.checks.is_empty() {
            let _ = write!(line, " CHECK ({})", here(r.pick(k.checks)));
        }
        lines.push(line);
        let (ty, expressions) = k.generated;
        if r.chance(25) && !expressions.is_empty() {
            let unique = if r.chance(30) { " UNIQUE" } else { "" };
            lines.push(format!(
                "g{i} {ty} GENERATED ALWAYS AS ({}) STORED{unique}",
                here(r.pick(expressions))
            ));
            columns.push(Column {
                name: format!("g{i}"),
                kind: k,
                writable: false,
            });
        }
        if r.chance(35) {
            match r.pick(k.unique) {
                "EXCLUDE" => lines.push(format!("EXCLUDE USING gist ({column} WITH &&)")),
                "(@)" if r.chance(40) => {
                    let (before, behind) =
                        r.pick(&[("", ""), ("", " DEFERRABLE"), (NULLS_NOT_DISTINCT, "")]);
                    lines.push(format!("UNIQUE{before} ({column}){behind}"));
                    if behind.is_empty() && k.name == "int" {
                        referred.push(column.clone());
                    }
                }
                "(@)" if i > 0 => lines.push(format!("UNIQUE ({column}, c0)")),
                other => {
                    let _ = writeln!(after, "CREATE UNIQUE INDEX ON c.{name} {};", here(other));
                }
            }
        }
        columns.push(Column {
            name: column,
            kind: k,
            writable: true,
        });
    }
    if r.chance(30) && columns.len() > 2 {
        let (a, b) = (&columns[key.len()].name, &columns[columns.len() - 1].name);
        lines.push(format!(
            "CONSTRAINT pair_check CHECK ({a} IS NULL OR {b} IS NOT NULL)"
        ));
    }
    // References to a table before, or to this one.
    for (i, parent) in before.iter().enumerate() {
        if r.chance(60) && !parent.referred.is_empty() {
            let to = &parent.referred[r.below(parent.referred.len())];
            let more = r.pick(&["", "", " DEFERRABLE", " NOT NULL", " UNIQUE"]);
            lines.push(format!(
                "r{i} int REFERENCES c.{} ({to}){more}",
                parent.name
            ));
            columns.push(Column {
                name: format!("r{i}"),
                kind: named("int"),
                writable: true,
            });
        }
    }
    if r.chance(30) && referred.first().is_some_and(|c| c == "k") {
        lines.push(format!("up int REFERENCES c.{name} (k)"));
        columns.push(Column {
            name: "up".into(),
            kind: named("int"),
            writable: true,
        });
    }
    let strategy = r.pick(&["upsert", "upsert", "upsert", "insert_only", "update_only"]);
    let resolution = r.pick(&["merge", "merge", "replace", "skip"]);
    let last = columns
        .iter()
        .rev()
        .find(|c| c.writable && !key.contains(&c.name));
    let immutable: Vec<String> = match r.chance(20) {
        true => last.map(|c| c.name.clone()).into_iter().collect(),
        false => Vec::new(),
    };
    Table {
        config: format!(
            "natural_key: [{list}], update_strategy: {strategy}, conflict_resolution: {resolution}, immutable_fields: [{}]",
            immutable.join(", ")
        ),
        ddl: format!("CREATE TABLE c.{name} ({});\n{after}", lines.join(", ")),
        rows: Vec::new(),
        name,
        key,
        immutable,
        strategy,
        resolution,
        columns,
        referred,
    }
}

/// A record of which each field is wrong with a chance of `wrong` per cent.
fn record(r: &mut Random, number: usize, table: &Table, wrong: usize) -> Record {
    let (mut json, mut sql, mut whole) = (Vec::new(), Vec::new(), true);
    for column in &table.columns {
        if !column.writable {
            if r.chance(wrong / 4) {
                json.push(format!("\"{}\": 1", column.name));
                whole = false;
            }
            continue;
        }
        let is_key = table.key.contains(&column.name);
        if r.chance(if is_key { wrong / 4 } else { 25 }) {
            continue;
        }
        let kind = column.kind;
        let null = if is_key { wrong / 4 } else { 12 };
        let (given, text) = if r.chance(null) {
            ("null", Some(None))
        } else if r.chance(wrong) && !kind.misfits.is_empty() {
            let (given, text) = r.pick(kind.misfits);
            (given, text.map(Some))
        } else {
            let (given, text) = r.pick(&fitting(kind));
            (given, Some(Some(text)))
        };
        json.push(format!("\"{}\": {given}", column.name));
        match text {
            Some(text) => sql.push((column.name.clone(), text.map(str::to_owned))),
            None => whole = false,
        }
    }
    if r.chance(wrong / 6) {
        json.push("\"zzz\": 1".into());
        whole = false;
    }
    Record {
        table: number,
        json: format!("{{{}}}", json.join(", ")),
        sql,
        whole,
    }
}

/// What fits a type: as it stands in JSON, and as the text that SQL is given.
fn fitting(kind: &Type) -> Vec<(&'static str, &'static str)> {
    let values = kind.values.iter();
    let values = values.filter_map(|(given, stored)| Some((*given, (*stored)?)));
    values.chain(kind.lossy.iter().copied()).collect()
}
