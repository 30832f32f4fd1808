//! Random schemas, rows and batches: everything follows from one seed.

use serde_json::{Map, Value, json};

use crate::support::random::Random;
use crate::support::types::{self, Type};

/// What the random tables use beside the types, once for each database.
pub const SETUP: &str = r#"
CREATE SCHEMA "other schema";
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN NEW.touched := clock_timestamp(); NEW.edits := coalesce(OLD.edits, 0) + 1; RETURN NEW; END $$;
"#;

const NAMES: &[&str] = &[
    "plain",
    "Mixed",
    "select",
    "a b",
    "quo\"te",
    "it's",
    "ünï",
    "_n",
    "_a",
    "c1",
    "t",
    "s",
    "x,y",
    "$1",
    "image",
    "new",
    "a\\b",
    "a_name_of_sixty_three_bytes_which_is_the_most_that_postgres_has",
    "%s",
    "key",
    "values",
];

/// A name as an SQL identifier.
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as an SQL literal.
pub fn literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{escaped}'")
}

/// One random column beside the key.
struct Column {
    name: String,
    values: Vec<&'static str>,
    /// Whether JSON values of its type are any JSON.
    json: bool,
    required: bool,
    unique: bool,
}

/// A foreign key to a table, this one included.
struct Reference {
    columns: Vec<String>,
    parent: usize,
}

/// One random table.
pub struct Table {
    /// As configured.
    pub name: String,
    pub sql_name: String,
    /// All columns but those that a trigger of the table sets.
    pub columns: Vec<String>,
    /// Of these, those that differ from load to load.
    pub volatile: Vec<String>,
    /// The column that marks deleted rows.
    pub mark: Option<&'static str>,
    /// Whether its key is unique among live rows only, so that nothing can refer to it.
    live_only: bool,
    ddl: String,
    rows: Vec<String>,
    config: Value,
    key: Vec<String>,
    /// Key tuples: as stored and as spelled; the first `existing` are there from the start.
    keys: Vec<Vec<(&'static str, &'static str)>>,
    existing: usize,
    key_types: Vec<&'static str>,
    others: Vec<Column>,
    references: Vec<Reference>,
}

/// Tables, what is in them, and how they are loaded.
pub struct Scene {
    pub tables: Vec<Table>,
}

impl Scene {
    pub fn new(r: &mut Random, tag: &str) -> Scene {
        let mut scene = Scene { tables: Vec::new() };
        for i in 0..1 + r.below(3) {
            let table = scene.table(r, &format!("{tag}{i}"));
            scene.tables.push(table);
        }
        scene
    }

    /// What makes the tables.
    pub fn sql(&self) -> String {
        let mut sql = String::new();
        for t in &self.tables {
            sql += &t.ddl;
            for row in &t.rows {
                sql += row;
            }
        }
        sql
    }

    pub fn drop_sql(&self) -> String {
        let names: Vec<&str> = self.tables.iter().map(|t| t.sql_name.as_str()).collect();
        format!("DROP TABLE {} CASCADE;", names.join(", "))
    }

    pub fn config(&self) -> String {
        let all: Map<String, Value> = self
            .tables
            .iter()
            .map(|t| (t.name.clone(), t.config.clone()))
            .collect();
        format!("{:#}", Value::Object(all))
    }

    fn table(&self, r: &mut Random, tag: &str) -> Table {
        let mut names: Vec<&str> = NAMES.to_vec();
        let mut name = |r: &mut Random| names.swap_remove(r.below(names.len())).to_owned();
        let (bare, schema) = (
            format!("{} {tag}", r.pick(&["t", "Tab", "a\"b", "x.y"])),
            r.chance(15),
        );
        // A dot in a bare name is a dot in the name; with a schema it would be ambiguous.
        let bare = if schema {
            bare.replace("x.y", "xy")
        } else {
            bare
        };
        let (table_name, sql_name) = match schema {
            true => (
                format!("other schema.{bare}"),
                format!("\"other schema\".{}", ident(&bare)),
            ),
            false => (bare.clone(), ident(&bare)),
        };
        let soft = r.chance(20);
        let mut table = Table {
            name: table_name,
            sql_name,
            columns: Vec::new(),
            volatile: Vec::new(),
            mark: soft.then(|| r.pick(&["deleted_at", "Removed on"])),
            live_only: false,
            ddl: String::new(),
            rows: Vec::new(),
            config: Value::Null,
            key: Vec::new(),
            keys: Vec::new(),
            existing: 0,
            key_types: Vec::new(),
            others: Vec::new(),
            references: Vec::new(),
        };
        let mut lines = Vec::new();

        // The key.
        let keyed: Vec<&Type> = types::all().filter(|t| !t.keys.is_empty()).collect();
        let pools: Vec<_> = (0..if r.chance(30) { 2 } else { 1 })
            .map(|_| r.pick(&keyed))
            .collect();
        for Type { name: kind, .. } in &pools {
            let column = name(r);
            lines.push(format!("{} {kind} NOT NULL", ident(&column)));
            table.key.push(column);
            table.key_types.push(kind);
        }
        for first in pools[0].keys {
            match pools.get(1) {
                None => table.keys.push(vec![*first]),
                Some(Type { keys: second, .. }) => {
                    let (a, b) = (r.below(second.len()), r.below(second.len()));
                    table.keys.push(vec![*first, second[a]]);
                    if a != b {
                        table.keys.push(vec![*first, second[b]]);
                    }
                }
            }
        }
        for i in (1..table.keys.len()).rev() {
            table.keys.swap(i, r.below(i + 1));
        }
        table.existing = r.below(table.keys.len() - 1);

        // Values.
        let spelled: Vec<&Type> = types::all().filter(|t| !t.texts.is_empty()).collect();
        let mut immutable = Vec::new();
        for _ in 0..1 + r.below(6) {
            let Type {
                name: kind,
                texts: values,
                ..
            } = r.pick(&spelled);
            let column = name(r);
            let unique = r.chance(15) && matches!(*kind, "int" | "text" | "bigint" | "uuid");
            let has_default = !unique && r.chance(25);
            let not_null = !unique && r.chance(25);
            let mut line = format!("{} {kind}", ident(&column));
            if has_default {
                line += &format!(" DEFAULT {}", literal(values[r.below(values.len())]));
            }
            if not_null {
                line += " NOT NULL";
            }
            if unique {
                line += r.pick(&[" UNIQUE", " UNIQUE", " UNIQUE DEFERRABLE"]);
            }
            lines.push(line);
            if r.chance(15) {
                immutable.push(column.clone());
            }
            table.others.push(Column {
                name: column,
                values: values.to_vec(),
                json: matches!(*kind, "json" | "jsonb"),
                required: not_null && !has_default,
                unique,
            });
        }

        // References: to any table before, to itself, by one column or by all of a key.
        for _ in 0..r.below(3) {
            let parent = r.below(self.tables.len() + 1);
            let own = parent == self.tables.len();
            let (key, types, parent_name) = match self.tables.get(parent) {
                Some(p) => (p.key.clone(), p.key_types.clone(), p.sql_name.clone()),
                None => (
                    table.key.clone(),
                    table.key_types.clone(),
                    table.sql_name.clone(),
                ),
            };
            // A row that is only marked still refers: what it refers to must stay, too.
            if !own && (self.tables[parent].live_only || soft && self.tables[parent].mark.is_none())
            {
                continue;
            }
            let columns: Vec<String> = types
                .iter()
                .map(|kind| {
                    let column = name(r);
                    lines.push(format!("{} {kind}", ident(&column)));
                    column
                })
                .collect();
            let action = r.pick(&["", "", "CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT"]);
            let mut line = format!(
                "FOREIGN KEY ({}) REFERENCES {parent_name} ({})",
                list(&columns),
                list(&key)
            );
            if r.chance(20) {
                line += " MATCH FULL";
            }
            if !action.is_empty() {
                line += &format!(" ON DELETE {action}");
            }
            line += r.pick(&["", "", " ON UPDATE CASCADE"]);
            line += r.pick(&["", "", " DEFERRABLE", " DEFERRABLE INITIALLY DEFERRED"]);
            lines.push(line);
            // Places that move: the reference and a number are unique together.
            if r.chance(30) {
                let place = name(r);
                lines.push(format!("{} int", ident(&place)));
                lines.push(format!("UNIQUE ({}, {})", list(&columns), ident(&place)));
                table.others.push(Column {
                    name: place,
                    values: vec!["1", "2", "3", "4", "5"],
                    json: false,
                    required: false,
                    unique: true,
                });
            }
            table.references.push(Reference { columns, parent });
        }
        table.columns = table.key.clone();
        table
            .columns
            .extend(table.others.iter().map(|c| c.name.clone()));
        table
            .columns
            .extend(table.references.iter().flat_map(|f| f.columns.clone()));

        // What the database sets by itself.
        for (chance, kind) in [
            (25, "bigint GENERATED ALWAYS AS IDENTITY UNIQUE"),
            (20, "int GENERATED BY DEFAULT AS IDENTITY"),
            (15, "serial UNIQUE"),
            (15, "timestamptz NOT NULL DEFAULT clock_timestamp()"),
        ] {
            if r.chance(chance) {
                let column = name(r);
                lines.push(format!("{} {kind}", ident(&column)));
                table.columns.push(column.clone());
                table.volatile.push(column);
            }
        }
        if r.chance(25) {
            let column = name(r);
            let of = table.others[r.below(table.others.len())].name.clone();
            lines.push(format!(
                "{} int GENERATED ALWAYS AS (CASE WHEN {} IS NULL THEN 0 ELSE 1 END) STORED",
                ident(&column),
                ident(&of)
            ));
            table.columns.push(column);
        }
        let (mut stamps, mut insert_only) = (Map::new(), Vec::new());
        let updated_at = r.chance(25);
        if updated_at {
            lines.push("updated_at timestamptz DEFAULT '2001-01-01'".into());
            stamps.insert("updated_at".into(), json!("now"));
            table.columns.push("updated_at".into());
            table.volatile.push("updated_at".into());
        }
        if r.chance(20) {
            lines.push("\"changed by\" text, \"of batch\" text DEFAULT 'none'".into());
            stamps.insert("changed by".into(), json!("actor"));
            stamps.insert("of batch".into(), json!("batch_id"));
            if r.chance(50) {
                insert_only.push("of batch");
            }
            table
                .columns
                .extend(["changed by".into(), "of batch".into()]);
        }
        if let Some(mark) = table.mark {
            lines.push(format!("{} timestamptz", ident(mark)));
            table.columns.push(mark.into());
        }
        let touched = r.chance(15);
        if touched {
            lines.push("touched timestamptz, edits int NOT NULL DEFAULT 0".into());
        }
        table.live_only = soft
            && table
                .references
                .iter()
                .all(|f| f.parent < self.tables.len())
            && r.chance(50);
        let partitioned = !soft && table.references.is_empty() && r.chance(15);
        if !table.live_only {
            lines.push(format!("PRIMARY KEY ({})", list(&table.key)));
        }
        // A partitioned table's unique keys all hold the partition key.
        let partitioned = partitioned
            && !lines
                .iter()
                .any(|l| l.contains("UNIQUE") || l.contains("GENERATED"));
        let by = if partitioned {
            format!(" PARTITION BY HASH ({})", ident(&table.key[0]))
        } else {
            String::new()
        };
        table.ddl = format!(
            "CREATE TABLE {} (\n  {}\n){by};\n",
            table.sql_name,
            lines.join(",\n  ")
        );
        if partitioned {
            for i in 0..2 {
                let part = ident(&format!("{bare}/{i}"));
                table.ddl += &format!(
                    "CREATE TABLE {part} PARTITION OF {} FOR VALUES WITH (MODULUS 2, REMAINDER {i});\n",
                    table.sql_name
                );
            }
        }
        if table.live_only {
            table.ddl += &format!(
                "CREATE UNIQUE INDEX ON {} ({}) WHERE {} IS NULL;\n",
                table.sql_name,
                list(&table.key),
                ident(table.mark.unwrap_or_default())
            );
        }
        if touched {
            table.ddl += &format!(
                "CREATE TRIGGER touch BEFORE {} ON {} FOR EACH ROW EXECUTE FUNCTION touched();\n",
                r.pick(&["UPDATE", "INSERT OR UPDATE"]),
                table.sql_name
            );
        }
        self.fill(r, &mut table);

        table.config = json!({
            "natural_key": table.key,
            "immutable_fields": immutable,
            "insert_only_fields": insert_only,
            "on_immutable": r.pick(&["reject", "keep"]),
            "on_invalid": "reject",
            "on_duplicate": r.pick(&["reject", "last"]),
            "update_strategy": r.pick(&["upsert", "upsert", "upsert", "upsert", "insert_only", "update_only"]),
            "conflict_resolution": r.pick(&["merge", "replace", "merge", "replace", "skip"]),
            "ignore_fields": ["nothing to us"],
            "sensitive": if r.chance(20) { vec![table.others[0].name.clone()] } else { Vec::new() },
        });
        // By default `updated_at` is stamped.
        if !stamps.is_empty() && (stamps.len() > 1 || r.chance(50)) {
            table.config["stamps"] = stamps.into();
        }
        if let Some(mark) = table.mark {
            table.config["soft_delete"] = if mark == "deleted_at" {
                json!(true)
            } else {
                json!(mark)
            };
        }
        table
    }

    /// Rows that are there from the start.
    fn fill(&self, r: &mut Random, table: &mut Table) {
        let mut used: Vec<(String, &str)> = Vec::new();
        for n in 0..table.existing {
            let mut pairs: Vec<(String, String)> = table
                .key
                .iter()
                .zip(&table.keys[n])
                .map(|(c, (stored, _))| (ident(c), literal(stored)))
                .collect();
            for column in &table.others {
                let value = column.values[r.below(column.values.len())];
                let taken = column.unique && used.contains(&(column.name.clone(), value));
                if taken || !column.required && r.chance(25) {
                    continue;
                }
                used.push((column.name.clone(), value));
                pairs.push((ident(&column.name), literal(value)));
            }
            for reference in &table.references {
                let keys = match self.tables.get(reference.parent) {
                    Some(p) => &p.keys[..p.existing],
                    None => &table.keys[..n],
                };
                if keys.is_empty() || r.chance(30) {
                    continue;
                }
                let key = &keys[r.below(keys.len())];
                for (column, (stored, _)) in reference.columns.iter().zip(key) {
                    pairs.push((ident(column), literal(stored)));
                }
            }
            if let Some(mark) = table.mark
                && r.chance(30)
            {
                pairs.push((ident(mark), literal("2020-02-02 00:00:00+00")));
            }
            let (names, values): (Vec<String>, Vec<String>) = pairs.into_iter().unzip();
            table.rows.push(format!(
                "INSERT INTO {} ({}) VALUES ({});\n",
                table.sql_name,
                names.join(", "),
                values.join(", ")
            ));
        }
    }

    /// Fragments of a batch: the name below the batch's folder, and the content.
    pub fn batch(&self, r: &mut Random) -> Vec<(String, String)> {
        let mut fragments = Vec::new();
        for (i, table) in self.tables.iter().enumerate() {
            let mut records = Vec::new();
            for n in 0..table.keys.len() {
                if r.chance(30) {
                    continue;
                }
                let record = self.record(r, i, n);
                if r.chance(5) {
                    records.push(record.clone());
                }
                records.push(record);
            }
            if records.is_empty() {
                continue;
            }
            let half = r.below(records.len() + 1);
            for (f, part) in [&records[..half], &records[half..]].into_iter().enumerate() {
                if part.is_empty() {
                    continue;
                }
                let (content, extension) = match r.below(3) {
                    0 => (format!("[{}]", part.join(", ")), "json"),
                    1 => (format!("{{\"records\": [{}]}}", part.join(", ")), "json"),
                    _ => (part.join("\n"), "ndjson"),
                };
                fragments.push((format!("{}/f{f}.{extension}", table.name), content));
            }
        }
        fragments
    }

    /// One record as JSON text, so that each number keeps its spelling.
    fn record(&self, r: &mut Random, i: usize, n: usize) -> String {
        let table = &self.tables[i];
        let mut fields: Vec<(String, String)> = table
            .key
            .iter()
            .zip(&table.keys[n])
            .map(|(c, (_, spelled))| (c.clone(), json!(spelled).to_string()))
            .collect();
        for column in &table.others {
            if !column.required && r.chance(35) {
                continue;
            }
            let value = if !column.required && r.chance(20) {
                "null".into()
            } else {
                let text = column.values[r.below(column.values.len())];
                let is_bare = serde_json::from_str::<Value>(text)
                    .is_ok_and(|v| v.is_number() || v.is_boolean());
                if column.json || is_bare && r.chance(50) {
                    text.to_owned()
                } else {
                    json!(text).to_string()
                }
            };
            fields.push((column.name.clone(), value));
        }
        for reference in &table.references {
            if r.chance(30) {
                continue;
            }
            let parent = &self.tables[reference.parent];
            let key = (!r.chance(15)).then(|| &parent.keys[r.below(parent.keys.len())]);
            for (at, column) in reference.columns.iter().enumerate() {
                let value = key.map_or(Value::Null, |k| json!(k[at].1));
                fields.push((column.clone(), value.to_string()));
            }
        }
        if r.chance(10) {
            fields.push(("nothing to us".into(), "{\"a\": [1]}".into()));
        }
        let fields: Vec<String> = fields
            .iter()
            .map(|(c, v)| format!("{}: {v}", json!(c)))
            .collect();
        format!("{{{}}}", fields.join(", "))
    }
}

fn list(columns: &[String]) -> String {
    let all: Vec<String> = columns.iter().map(|c| ident(c)).collect();
    all.join(", ")
}
