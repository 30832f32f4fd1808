//! Random schemas and random, often wrong, records. A case follows from its seed alone.

use std::fmt::Write as _;

/// A source of numbers (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn percent(&mut self, p: usize) -> bool {
        self.below(100) < p
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// A value: as JSON, and as the text that SQL is given; `None` where the loader refuses it itself.
type Sample = (&'static str, Option<&'static str>);

/// A type with values that fit it and values that do not, and what may be said of a column `@`.
struct Kind {
    ty: &'static str,
    good: &'static [Sample],
    bad: &'static [Sample],
    checks: &'static [&'static str],
    defaults: &'static [&'static str],
    generated: &'static [&'static str],
    unique: &'static [&'static str],
}

/// Only servers from 15 on have it.
pub const NULLS_NOT_DISTINCT: &str = " NULLS NOT DISTINCT";

pub const TYPES: &str = "
CREATE TYPE c.mood AS ENUM ('sad', 'ok');
CREATE DOMAIN c.posint AS int CHECK (VALUE > 0);
CREATE DOMAIN c.tag AS text CHECK (length(VALUE) BETWEEN 1 AND 3);
CREATE DOMAIN c.need AS text NOT NULL CHECK (VALUE <> 'x');
CREATE DOMAIN c.given AS text CHECK (VALUE IS NOT NULL);
";

const KINDS: [Kind; 14] = [
    Kind {
        ty: "int",
        good: &[
            ("0", Some("0")),
            ("1", Some("1")),
            ("2", Some("2")),
            ("3", Some("3")),
            ("\"8\"", Some("8")),
        ],
        bad: &[
            ("\"x\"", Some("x")),
            ("1.5", Some("1.5")),
            ("99999999999", Some("99999999999")),
            ("\"\"", Some("")),
            ("[1]", None),
        ],
        checks: &["@ > 1", "@ % 2 = 1", "10 / @ > 1", "@ IS NOT NULL", "@ < 8"],
        defaults: &["2", "0", "1 + 1"],
        generated: &["100 / @", "@ + 1"],
        unique: &["(@)", "(@) WHERE @ > 1", "((@ % 4))", "((6 / @))"],
    },
    Kind {
        ty: "text",
        good: &[
            ("\"a\"", Some("a")),
            ("\"B\"", Some("B")),
            ("\"b\"", Some("b")),
            ("\"long one\"", Some("long one")),
            ("\"\"", Some("")),
            ("7", Some("7")),
        ],
        bad: &[("{\"a\": 1}", None), ("\"\\u0000\"", None)],
        checks: &["length(@) < 5", "@ <> 'B'", "@::int > 5 OR length(@) > 1"],
        defaults: &["'d'", "'B'", "current_user"],
        generated: &["upper(@)", "@ || '!'", "(@::int)::text"],
        unique: &["(@)", "(lower(@))", "(@) WHERE @ <> 'a'"],
    },
    Kind {
        ty: "varchar(3)",
        good: &[
            ("\"a\"", Some("a")),
            ("\"abc\"", Some("abc")),
            ("12", Some("12")),
        ],
        bad: &[("\"abcd\"", Some("abcd")), ("12345", Some("12345"))],
        checks: &["@ <> 'abc'"],
        defaults: &["'v'"],
        generated: &["reverse(@::text)"],
        unique: &["(@)"],
    },
    Kind {
        ty: "numeric(4,1)",
        good: &[
            ("1", Some("1")),
            ("2.5", Some("2.5")),
            ("\"3.00\"", Some("3.00")),
            ("2.54", Some("2.54")),
        ],
        bad: &[("12345", Some("12345")), ("\"z\"", Some("z"))],
        checks: &["@ < 3", "@ <> 2.5"],
        defaults: &["9.9"],
        generated: &["@ * 2", "1 / (@ - 1)"],
        unique: &["(@)", "(round(@))"],
    },
    Kind {
        ty: "date",
        good: &[
            ("\"2024-01-15\"", Some("2024-01-15")),
            ("\"2024-02-29\"", Some("2024-02-29")),
            ("\"infinity\"", Some("infinity")),
        ],
        bad: &[
            ("\"2023-02-29\"", Some("2023-02-29")),
            ("\"x\"", Some("x")),
            ("20", Some("20")),
        ],
        checks: &["@ > '2024-01-20'::date"],
        defaults: &["'2024-01-15'"],
        generated: &["@ + 1"],
        unique: &["(@)"],
    },
    Kind {
        ty: "timestamptz",
        good: &[
            ("\"2024-01-15T10:00:00Z\"", Some("2024-01-15T10:00:00Z")),
            ("\"2024-01-15 12:00+02\"", Some("2024-01-15 12:00+02")),
        ],
        bad: &[("\"2024-13-01\"", Some("2024-13-01"))],
        checks: &["@ > '2024-01-20Z'::timestamptz"],
        defaults: &["now()", "'2024-01-15 10:00Z'"],
        generated: &[],
        unique: &["(@)"],
    },
    Kind {
        ty: "boolean",
        good: &[
            ("true", Some("true")),
            ("false", Some("false")),
            ("\"no\"", Some("no")),
        ],
        bad: &[("\"maybe\"", Some("maybe")), ("7", Some("7"))],
        checks: &["@", "@ IS TRUE"],
        defaults: &["true"],
        generated: &["NOT @"],
        unique: &["(@)", "(@) WHERE @"],
    },
    Kind {
        ty: "c.mood",
        good: &[("\"sad\"", Some("sad")), ("\"ok\"", Some("ok"))],
        bad: &[("\"glad\"", Some("glad")), ("1", Some("1"))],
        checks: &["@ <> 'sad'"],
        defaults: &["'ok'"],
        generated: &[],
        unique: &["(@)"],
    },
    Kind {
        ty: "c.posint",
        good: &[("1", Some("1")), ("5", Some("5"))],
        bad: &[("0", Some("0")), ("-1", Some("-1")), ("\"x\"", Some("x"))],
        checks: &["@ < 5"],
        defaults: &["1", "0"],
        generated: &["10 / (@ - 5)"],
        unique: &["(@)"],
    },
    Kind {
        ty: "c.tag",
        good: &[("\"a\"", Some("a")), ("\"xyz\"", Some("xyz"))],
        bad: &[("\"\"", Some("")), ("\"long!\"", Some("long!"))],
        checks: &["@ <> 'a'"],
        defaults: &["'t'", "'too long'"],
        generated: &["upper(@)"],
        unique: &["(@)"],
    },
    Kind {
        ty: "c.need",
        good: &[("\"a\"", Some("a")), ("\"y\"", Some("y"))],
        bad: &[("\"x\"", Some("x"))],
        checks: &[],
        defaults: &["'n'", "'x'"],
        generated: &[],
        unique: &["(@)"],
    },
    Kind {
        ty: "c.given",
        good: &[("\"a\"", Some("a")), ("\"\"", Some(""))],
        bad: &[],
        checks: &[],
        defaults: &["'g'"],
        generated: &[],
        unique: &["(@)"],
    },
    Kind {
        ty: "int[]",
        good: &[
            ("[1, 2]", Some("{1,2}")),
            ("[]", Some("{}")),
            ("[null]", Some("{NULL}")),
        ],
        bad: &[
            ("[[1], [2, 3]]", Some("{{1},{2,3}}")),
            ("[\"x\"]", Some("{x}")),
        ],
        checks: &["cardinality(@) > 0", "@[1] < 2"],
        defaults: &["'{3}'"],
        generated: &["cardinality(@)"],
        unique: &["(@)"],
    },
    Kind {
        ty: "int4range",
        good: &[
            ("\"[1,5)\"", Some("[1,5)")),
            ("\"[4,6]\"", Some("[4,6]")),
            ("\"empty\"", Some("empty")),
            ("\"[10,20)\"", Some("[10,20)")),
        ],
        bad: &[("\"[5,1)\"", Some("[5,1)")), ("\"5\"", Some("5"))],
        checks: &["lower(@) <> 4"],
        defaults: &["'[7,8)'"],
        generated: &["lower(@)"],
        unique: &["(@)", "EXCLUDE"],
    },
];

const GENERATED_TYPE: [(&str, &str); 14] = [
    ("int", "int"),
    ("text", "text"),
    ("varchar(3)", "text"),
    ("numeric(4,1)", "numeric"),
    ("date", "date"),
    ("timestamptz", "timestamptz"),
    ("boolean", "boolean"),
    ("c.mood", "c.mood"),
    ("c.posint", "int"),
    ("c.tag", "text"),
    ("c.need", "text"),
    ("c.given", "text"),
    ("int[]", "int"),
    ("int4range", "int"),
];

/// A column of a table of a case.
struct Column {
    name: String,
    kind: usize,
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
        let mut sql = format!("DROP SCHEMA IF EXISTS c CASCADE; CREATE SCHEMA c; {TYPES}");
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
    let key_kinds = [r.pick(&[0, 1, 0, 8]), 0];
    for (name, kind) in key.iter().zip(key_kinds) {
        lines.push(format!("{name} {}", KINDS[kind].ty));
        columns.push(Column {
            name: name.clone(),
            kind,
            writable: true,
        });
    }
    let list = key.join(", ");
    let mut referred = Vec::new();
    match r.below(4) {
        0 => lines.push(format!("UNIQUE ({list})")),
        1 => {
            lines.push("id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY".into());
            lines.push(format!("UNIQUE ({list})"));
        }
        _ => lines.push(format!("PRIMARY KEY ({list})")),
    }
    if key.len() == 1 && key_kinds[0] == 0 {
        referred.push("k".to_owned());
    }
    for i in 0..1 + r.below(4) {
        let kind = r.below(KINDS.len());
        let (column, k) = (format!("c{i}"), &KINDS[kind]);
        let here = |text: &str| text.replace('@', &column);
        let mut line = format!("{column} {}", k.ty);
        if r.percent(30) && !k.defaults.is_empty() {
            let _ = write!(line, " DEFAULT {}", r.pick(k.defaults));
        }
        if r.percent(25) {
            line += " NOT NULL";
        }
        if r.percent(35) && !k.checks.is_empty() {
            let _ = write!(line, " CHECK ({})", here(r.pick(k.checks)));
        }
        lines.push(line);
        if r.percent(25) && !k.generated.is_empty() {
            let (_, ty) = GENERATED_TYPE.iter().find(|(t, _)| *t == k.ty).unwrap();
            let unique = if r.percent(30) { " UNIQUE" } else { "" };
            lines.push(format!(
                "g{i} {ty} GENERATED ALWAYS AS ({}) STORED{unique}",
                here(r.pick(k.generated))
            ));
            columns.push(Column {
                name: format!("g{i}"),
                kind,
                writable: false,
            });
        }
        if r.percent(35) {
            match r.pick(k.unique) {
                "EXCLUDE" => lines.push(format!("EXCLUDE USING gist ({column} WITH &&)")),
                "(@)" if r.percent(40) => {
                    let (before, behind) =
                        r.pick(&[("", ""), ("", " DEFERRABLE"), (NULLS_NOT_DISTINCT, "")]);
                    lines.push(format!("UNIQUE{before} ({column}){behind}"));
                    if behind.is_empty() && kind == 0 {
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
            kind,
            writable: true,
        });
    }
    if r.percent(30) && columns.len() > 2 {
        let (a, b) = (&columns[key.len()].name, &columns[columns.len() - 1].name);
        lines.push(format!(
            "CONSTRAINT pair_check CHECK ({a} IS NULL OR {b} IS NOT NULL)"
        ));
    }
    // References to a table before, or to this one.
    for (i, parent) in before.iter().enumerate() {
        if r.percent(60) && !parent.referred.is_empty() {
            let to = &parent.referred[r.below(parent.referred.len())];
            let more = r.pick(&["", "", " DEFERRABLE", " NOT NULL", " UNIQUE"]);
            lines.push(format!(
                "r{i} int REFERENCES c.{} ({to}){more}",
                parent.name
            ));
            columns.push(Column {
                name: format!("r{i}"),
                kind: 0,
                writable: true,
            });
        }
    }
    if r.percent(30) && referred.first().is_some_and(|c| c == "k") {
        lines.push(format!("up int REFERENCES c.{name} (k)"));
        columns.push(Column {
            name: "up".into(),
            kind: 0,
            writable: true,
        });
    }
    let strategy = r.pick(&["upsert", "upsert", "upsert", "insert_only", "update_only"]);
    let resolution = r.pick(&["merge", "merge", "replace", "skip"]);
    let last = columns
        .iter()
        .rev()
        .find(|c| c.writable && !key.contains(&c.name));
    let immutable: Vec<String> = match r.percent(20) {
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
            if r.percent(wrong / 4) {
                json.push(format!("\"{}\": 1", column.name));
                whole = false;
            }
            continue;
        }
        let is_key = table.key.contains(&column.name);
        if r.percent(if is_key { wrong / 4 } else { 25 }) {
            continue;
        }
        let kind = &KINDS[column.kind];
        let null = if is_key { wrong / 4 } else { 12 };
        let (given, text) = if r.percent(null) {
            ("null", Some(None))
        } else if r.percent(wrong) && !kind.bad.is_empty() {
            let (given, text) = r.pick(kind.bad);
            (given, text.map(Some))
        } else {
            let (given, text) = r.pick(kind.good);
            (given, text.map(Some))
        };
        json.push(format!("\"{}\": {given}", column.name));
        match text {
            Some(text) => sql.push((column.name.clone(), text.map(str::to_owned))),
            None => whole = false,
        }
    }
    if r.percent(wrong / 6) {
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
