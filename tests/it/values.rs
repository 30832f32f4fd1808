//! Values that break naive loaders arrive as they were given: plan, apply, read back, plan again.

use crate::support::{World, gzip};

/// The types of values and how each is read back. In each line of a test: type, what stands in
/// JSON, what PostgreSQL then prints.
struct Case(&'static str, &'static str, Option<&'static str>);

const NOTHING: Option<&str> = None;

const CASES: [Case; 77] = [
    Case("bigint", "9007199254740993", Some("9007199254740993")),
    Case(
        "bigint",
        "-9223372036854775808",
        Some("-9223372036854775808"),
    ),
    Case(
        "bigint",
        "\"1234567890123456789\"",
        Some("1234567890123456789"),
    ),
    Case(
        "numeric",
        "1234567890123456789012345678901234567890",
        Some("1234567890123456789012345678901234567890"),
    ),
    Case(
        "numeric",
        "0.1234567890123456789012345678901234567890",
        Some("0.1234567890123456789012345678901234567890"),
    ),
    Case(
        "numeric",
        "\"-12345678901234567890.12345678901234567890\"",
        Some("-12345678901234567890.12345678901234567890"),
    ),
    Case("numeric", "1.500", Some("1.500")),
    Case("numeric", "1e3", Some("1000")),
    Case("numeric", "\"NaN\"", Some("NaN")),
    Case("numeric", "\"-Infinity\"", Some("-Infinity")),
    Case("numeric(10,3)", "5", Some("5.000")),
    Case("float8", "-0.0", Some("-0")),
    Case("float8", "1e300", Some("1e+300")),
    Case("float8", "\"NaN\"", Some("NaN")),
    Case("float8", "0.1", Some("0.1")),
    Case("float8", "5e-324", Some("5e-324")),
    Case("float4", "0.1", Some("0.1")),
    Case(
        "timestamptz",
        "\"2024-01-15T14:30:22.123456Z\"",
        Some("2024-01-15 14:30:22.123456+00"),
    ),
    Case(
        "timestamptz",
        "\"2024-01-15 16:30:22+02\"",
        Some("2024-01-15 14:30:22+00"),
    ),
    Case(
        "timestamptz",
        "\"2024-01-15T00:00Z\"",
        Some("2024-01-15 00:00:00+00"),
    ),
    Case("timestamptz", "\"infinity\"", Some("infinity")),
    Case(
        "timestamptz",
        "\"0044-03-15 00:00:00+00 BC\"",
        Some("0044-03-15 00:00:00+00 BC"),
    ),
    Case(
        "timestamp",
        "\"2024-01-15T14:30:22\"",
        Some("2024-01-15 14:30:22"),
    ),
    Case("date", "\"2024-02-29\"", Some("2024-02-29")),
    Case("time", "\"24:00\"", Some("24:00:00")),
    Case("timetz", "\"12:30:00+05:45\"", Some("12:30:00+05:45")),
    Case(
        "interval",
        "\"1 year 2 mons 3 days 04:05:06.7\"",
        Some("1 year 2 mons 3 days 04:05:06.7"),
    ),
    Case(
        "interval",
        "\"-1 days +02:03:00\"",
        Some("-1 days +02:03:00"),
    ),
    Case("interval", "\"P1Y2M\"", Some("1 year 2 mons")),
    Case("boolean", "true", Some("t")),
    Case("boolean", "\"no\"", Some("f")),
    Case("boolean", "0", Some("f")),
    Case(
        "uuid",
        "\"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11\"",
        Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ),
    Case("inet", "\"192.168.0.1/32\"", Some("192.168.0.1")),
    Case("inet", "\"::1/64\"", Some("::1/64")),
    Case("cidr", "\"10.0.0.0/8\"", Some("10.0.0.0/8")),
    Case(
        "macaddr",
        "\"08-00-2b-01-02-03\"",
        Some("08:00:2b:01:02:03"),
    ),
    Case("bytea", "\"\\\\x00ff5c\"", Some("\\x00ff5c")),
    Case("bit(4)", "\"1010\"", Some("1010")),
    Case("varbit", "\"\"", Some("")),
    Case("int4range", "\"[1,5]\"", Some("[1,6)")),
    Case(
        "tstzrange",
        "\"[2024-01-01T00:00Z,2024-02-01T00:00Z)\"",
        Some("[\"2024-01-01 00:00:00+00\",\"2024-02-01 00:00:00+00\")"),
    ),
    Case("point", "\"(1.5,-2)\"", Some("(1.5,-2)")),
    Case("tsvector", "\"'a':1 'b':2\"", Some("'a':1 'b':2")),
    Case("xml", "\"<a b='c'/>\"", Some("<a b='c'/>")),
    Case("jsonpath", "\"$.\\\"a\\\"[*]\"", Some("$.\"a\"[*]")),
    // JSON: strings too are JSON; jsonb has PostgreSQL's spelling, json keeps the given one.
    Case(
        "jsonb",
        r#"{"b": 1.50, "a": [null, true, "x"]}"#,
        Some(r#"{"a": [null, true, "x"], "b": 1.50}"#),
    ),
    Case("jsonb", "\"text\"", Some("\"text\"")),
    Case(
        "jsonb",
        "12345678901234567890.5",
        Some("12345678901234567890.5"),
    ),
    Case("jsonb", "null", NOTHING),
    Case("jsonb", "\"null\"", Some("\"null\"")),
    Case("jsonb", "[null]", Some("[null]")),
    Case(
        "json",
        r#"{ "b" :1.50,"a":[ ], "a": 2 }"#,
        Some(r#"{ "b" :1.50,"a":[ ], "a": 2 }"#),
    ),
    Case("json", "\"\\u00e9\"", Some("\"\\u00e9\"")),
    // Arrays.
    Case("int[]", "[1, null, 3]", Some("{1,NULL,3}")),
    Case("int[]", "[[1, 2], [3, 4]]", Some("{{1,2},{3,4}}")),
    Case("int[]", "[]", Some("{}")),
    Case(
        "text[]",
        r#"["a", null, "null", "NULL", "", "with \"quotes\" and \\", "a,b{c}", " "]"#,
        Some(r#"{a,NULL,"null","NULL","","with \"quotes\" and \\","a,b{c}"," "}"#),
    ),
    Case("text[]", "\"{x,y}\"", Some("{x,y}")),
    Case(
        "numeric[]",
        "[1234567890123456789012345678901234567890, 1.50]",
        Some("{1234567890123456789012345678901234567890,1.50}"),
    ),
    Case(
        "jsonb[]",
        r#"[{"a": "b"}, "x", null]"#,
        Some(r#"{"{\"a\": \"b\"}","\"x\"",NULL}"#),
    ),
    Case(
        "box[]",
        r#"["(1,1),(0,0)", "(3,3),(2,2)"]"#,
        Some("{(1,1),(0,0);(3,3),(2,2)}"),
    ),
    // Types of the database's own.
    Case("mood", "\"it's \\\"fine\\\"\"", Some("it's \"fine\"")),
    Case(
        "mood[]",
        r#"["sad", "it's \"fine\""]"#,
        Some(r#"{sad,"it's \"fine\""}"#),
    ),
    Case("percentage", "99.5", Some("99.50")),
    Case("pair", "\"(1,\\\"a, b\\\")\"", Some("(1,\"a, b\")")),
    // Text.
    Case("text", "\"\"", Some("")),
    Case("text", "null", NOTHING),
    Case("text", "\"null\"", Some("null")),
    Case("text", r#""\\N""#, Some("\\N")),
    Case("text", r#""\\.""#, Some("\\.")),
    Case(
        "text",
        r#""a\tb\nc\r\nd\\te\b\f\u000b""#,
        Some("a\tb\nc\r\nd\\te\u{8}\u{c}\u{b}"),
    ),
    Case(
        "text",
        "\"😀 e\u{301} \u{202e}gpj.exe\"",
        Some("😀 e\u{301} \u{202e}gpj.exe"),
    ),
    Case(
        "text",
        "\"\\ud83d\\ude00 \\\"'$1; drop table x; --\"",
        Some("😀 \"'$1; drop table x; --"),
    ),
    Case("text", "1.50", Some("1.50")),
    Case("char(5)", "\"ab\"", Some("ab   ")),
    Case("varchar(3)", "\"äöü\"", Some("äöü")),
];

const TYPES: &str = "
CREATE TYPE mood AS ENUM ('sad', 'it''s \"fine\"');
CREATE DOMAIN percentage AS numeric(5,2) CHECK (VALUE BETWEEN 0 AND 100);
CREATE TYPE pair AS (n int, t text);
";

/// One table with a column of each type that the cases use.
fn schema(key: &str) -> (String, Vec<String>) {
    let mut types: Vec<String> = Vec::new();
    for Case(ty, ..) in CASES {
        if !types.contains(&ty.to_owned()) {
            types.push(ty.to_owned());
        }
    }
    let columns: Vec<String> = types.iter().map(|t| format!("\"{t}\" {t}")).collect();
    let sql = format!("{TYPES} CREATE TABLE t ({key}, {})", columns.join(", "));
    (sql, types)
}

#[track_caller]
fn holds_every_case(world: &World) {
    for (i, Case(ty, given, stored)) in CASES.iter().enumerate() {
        let found = world.cells(&format!(
            "SELECT format('%s', \"{ty}\"), \"{ty}\" IS NULL FROM t WHERE id = {i}"
        ));
        let is_null = found[0][1].as_deref() == Some("t");
        let found = (!is_null).then(|| found[0][0].as_deref().unwrap_or_default());
        assert_eq!(found, *stored, "{ty} {given}");
    }
}

#[test]
fn every_kind_of_value_is_inserted_as_it_was_given() {
    let world = World::new(&schema("id int PRIMARY KEY").0, "t: {natural_key: [id]}");
    for (i, Case(ty, given, _)) in CASES.iter().enumerate() {
        world.put(
            "b",
            &format!("t/{i}.json"),
            format!("{{\"data\": {{\"id\": {i}, \"{ty}\": {given}}}}}"),
        );
    }
    world.set("LOADER_QUEUE", "off");
    let plan = world.plan("b");
    assert_eq!(
        plan.count("insert"),
        CASES.len() as u64,
        "{:?}",
        plan.news()
    );
    assert_eq!(plan.count("violation"), 0);
    world.apply(&plan).ok();
    holds_every_case(&world);
    let again = world.plan("b");
    assert_eq!(again.news(), [""; 0]);
    // What the plan says is what is there, to the byte.
    for entry in plan.entries() {
        let i: usize = entry["key"]["id"].as_str().unwrap().parse().unwrap();
        let Case(ty, given, stored) = &CASES[i];
        assert_eq!(entry["values"][*ty].as_str(), *stored, "{ty} {given}");
    }
}

#[test]
fn every_kind_of_value_is_updated_as_it_was_given() {
    let (schema, types) = schema("id int PRIMARY KEY");
    let world = World::new(
        &schema,
        "t: {natural_key: [id], conflict_resolution: replace}",
    );
    world.sql(&format!(
        "INSERT INTO t (id) SELECT generate_series(0, {})",
        CASES.len() - 1
    ));
    let lines: Vec<String> = CASES
        .iter()
        .enumerate()
        .map(|(i, Case(ty, given, _))| format!("{{\"id\": {i}, \"{ty}\": {given}}}\n"))
        .collect();
    world.deliver("b", "t.ndjson.gz", gzip(lines.concat()));
    let plan = world.plan("b");
    let nulls = CASES.iter().filter(|c| c.2.is_none()).count() as u64;
    assert_eq!(
        (plan.count("update"), plan.count("skip")),
        (CASES.len() as u64 - nulls, nulls),
        "{:?}",
        plan.news()
    );
    world.apply(&plan).ok();
    holds_every_case(&world);
    assert_eq!(world.plan("b").news(), [""; 0]);
    // And null takes each of them away again.
    let lines: Vec<String> = CASES
        .iter()
        .enumerate()
        .map(|(i, Case(ty, ..))| format!("{{\"id\": {i}, \"{ty}\": null}}\n"))
        .collect();
    world.deliver("away", "t.ndjson", lines.concat());
    let plan = world.plan("away");
    world.apply(&plan).ok();
    let columns: Vec<String> = types.iter().map(|t| format!("\"{t}\"")).collect();
    let left = format!(
        "SELECT count(*) FROM t WHERE num_nonnulls({}) > 0",
        columns.join(", ")
    );
    assert_eq!(world.value(&left), "0");
}

#[test]
fn every_kind_of_value_can_be_a_key() {
    let mut seen: Vec<&str> = Vec::new();
    let mut tables = String::new();
    let world = World::new(TYPES, "");
    world.set("LOADER_QUEUE", "off");
    let mut expected = Vec::new();
    for Case(ty, given, stored) in &CASES {
        // Types without a btree equality cannot be unique.
        if stored.is_none()
            || seen.contains(ty)
            || matches!(*ty, "point" | "xml" | "json" | "jsonpath" | "box[]")
        {
            continue;
        }
        let n = seen.len();
        seen.push(ty);
        world.sql(&format!("CREATE TABLE k{n} (k {ty} PRIMARY KEY, v text)"));
        tables += &format!("k{n}: {{natural_key: [k]}}\n");
        world.put(
            "b",
            &format!("k{n}/1.json"),
            format!("{{\"data\": {{\"k\": {given}, \"v\": \"x\"}}}}"),
        );
        world.put(
            "c",
            &format!("k{n}/1.json"),
            format!("{{\"data\": {{\"k\": {given}, \"v\": \"y\"}}}}"),
        );
        expected.push((n, *ty, stored.unwrap()));
    }
    world.configure(&tables);
    let plan = world.plan("b");
    assert_eq!(
        plan.count("insert"),
        seen.len() as u64,
        "{:?}",
        plan.lines()
    );
    world.apply(&plan).ok();
    assert_eq!(world.plan("b").news(), [""; 0]);
    let update = world.plan("c");
    assert_eq!(
        update.count("update"),
        seen.len() as u64,
        "{:?}",
        update.lines()
    );
    world.apply(&update).ok();
    for (n, ty, stored) in expected {
        assert_eq!(
            world.rows(&format!("SELECT format('%s', k), v FROM k{n}")),
            [format!("{stored}|y")],
            "{ty}"
        );
    }
}

#[test]
fn a_csv_cell_is_a_value_and_an_empty_one_is_null() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, a text, j jsonb, n numeric, arr int[]); INSERT INTO t VALUES (5, 'x', '1', 1, '{1}')",
        "t: {natural_key: [id], conflict_resolution: replace}",
    );
    let csv = "id,a,j,n,arr\r\n1,\"a \"\"b\"\", c\n\\N\",\"{\"\"k\"\": null}\",1.50,\"{1,NULL}\"\n2,\\.,\"\"\"s\"\"\",1e2,{}\n3,,null,,\n5,,,,\n";
    world.deliver("b", "t/x.csv", csv);
    let plan = world.plan("b");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT * FROM t ORDER BY id"),
        [
            "1|a \"b\", c\n\\N|{\"k\": null}|1.50|{1,NULL}",
            "2|\\.|\"s\"|100|{}",
            "3|∅|∅|∅|∅",
            "5|∅|∅|∅|∅"
        ]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
}

#[test]
fn names_may_be_anything() {
    let table = "Größe \"Tab\" $1; drop table x";
    let quoted = "\"Größe \"\"Tab\"\" $1; drop table x\"";
    let column = "it's a \"Column\"\\ %s 😀";
    let quoted_column = "\"it's a \"\"Column\"\"\\ %s 😀\"";
    let world = World::new(
        &format!(
            "CREATE SCHEMA \"Other Schema\"; CREATE TABLE x (id int); \
             CREATE TABLE {quoted} (\"KEY\" int, \"select\" text, {quoted_column} text, _n text, c1 text, key text, PRIMARY KEY (\"KEY\", \"select\")); \
             CREATE TABLE \"Other Schema\".\"T.t\" (id int PRIMARY KEY, up int REFERENCES \"Other Schema\".\"T.t\")"
        ),
        &serde_json::json!({
            table: {"natural_key": ["KEY", "select"], "immutable_fields": [column], "sensitive": []},
            "Other Schema.T.t": {"natural_key": ["id"]},
        })
        .to_string(),
    );
    world.set("LOADER_QUEUE", "off");
    let record = |v: &str| serde_json::json!({"data": {"KEY": 1, "select": "a'b\\", column: "x", "_n": v, "c1": v, "key": v}});
    world.put("b", &format!("{table}/1.json"), record("1").to_string());
    world.put(
        "b",
        "Other Schema.T.t/1.json",
        r#"[{"id": 2, "up": 1}, {"id": 1, "up": null}]"#,
    );
    let plan = world.plan("b");
    assert_eq!(plan.count("insert"), 3);
    world.apply(&plan).ok();
    assert_eq!(world.plan("b").news(), [""; 0]);
    world.put("c", &format!("{table}/1.json"), record("2").to_string());
    let plan = world.plan("c");
    assert_eq!(plan.count("update"), 1);
    let shown = world.show(&plan, &[]);
    assert!(shown.contains("c1: \"1\" → \"2\""), "{shown}");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows(&format!("SELECT * FROM {quoted}")),
        ["1|a'b\\|x|2|2|2"]
    );
    assert_eq!(
        world.rows("SELECT * FROM \"Other Schema\".\"T.t\" ORDER BY 1"),
        ["1|∅", "2|1"]
    );
    let audited =
        world.rows("SELECT table_name, record_id FROM audit_log WHERE operation = 'UPDATE'");
    assert_eq!(audited, [format!("{table}|[\"1\",\"a'b\\\\\"]")]);
    world.sql(&format!("UPDATE {quoted} SET c1 = 'theirs'"));
    world.put("d", &format!("{table}/1.json"), record("3").to_string());
    let plan = world.plan("d");
    world.sql(&format!("UPDATE {quoted} SET _n = 'theirs'"));
    world
        .apply(&plan)
        .exits(3)
        .says("_n: plan saw \"2\", now \"theirs\", planned \"3\"");
}

#[test]
fn people_see_what_acts_on_a_terminal_escaped() {
    let world = World::new(
        "CREATE TABLE t (id text PRIMARY KEY, v text)",
        "t: {natural_key: [id]}",
    );
    world.deliver(
        "b",
        "t/1.json",
        "{\"id\": \"a\\u001b[31m\u{202e}\\n\", \"v\": \"\\r\\u0007\u{200b}x\"}",
    );
    let plan = world.plan("b");
    let shown = world.show(&plan, &[]);
    assert!(shown.contains("id=a\\u{1b}[31m\\u{202e}\\n"), "{shown}");
    assert!(shown.contains("v: \"\\r\\u{7}\\u{200b}x\""), "{shown}");
    world.apply(&plan).ok();
    assert_eq!(
        world.value("SELECT id || v FROM t"),
        "a\u{1b}[31m\u{202e}\n\r\u{7}\u{200b}x"
    );
}

#[test]
fn what_does_not_fit_is_a_violation_with_its_place_and_reason() {
    let world = World::new(
        &format!(
            "{TYPES} CREATE TABLE t (id int PRIMARY KEY, i int, v varchar(3), m mood, p percentage, d date, n numeric(4,1), \
                  a int[], j jsonb, b bytea, u uuid, g int GENERATED ALWAYS AS (1) STORED, ident bigint GENERATED ALWAYS AS IDENTITY, \
                  r text NOT NULL DEFAULT 'x', s text)"
        ),
        "t: {natural_key: [id]}",
    );
    let bad = [
        (r#""i": "eight""#, "invalid_value i"),
        (r#""i": 1.5"#, "invalid_value i"),
        (r#""i": 99999999999"#, "invalid_value i"),
        (r#""i": """#, "invalid_value i"),
        (r#""i": [1]"#, "invalid_value i"),
        (r#""i": {}"#, "invalid_value i"),
        (r#""v": "abcd""#, "invalid_value v"),
        (r#""m": "happy""#, "invalid_value m"),
        (r#""p": 101"#, "invalid_value p"),
        (r#""d": "2023-02-29""#, "invalid_value d"),
        (r#""d": "now""#, "invalid_value d"),
        (r#""d": "01/02/2024""#, "invalid_value d"),
        (r#""n": 12345"#, "invalid_value n"),
        (r#""a": [[1], [2, 3]]"#, "invalid_value a"),
        (r#""a": 5"#, "invalid_value a"),
        (r#""b": "\\xzz""#, "invalid_value b"),
        (r#""u": "x""#, "invalid_value u"),
        (r#""s": "a\u0000b""#, "invalid_value s"),
        (r#""s": "\ud800""#, "invalid_value s"),
        (r#""j": {"a": "\u0000"}"#, "invalid_value j"),
        (r#""g": 2"#, "generated_field g"),
        (r#""ident": 2"#, "generated_field ident"),
        (r#""r": null"#, "null_value r"),
        (r#""zzz": 1"#, "unknown_field zzz"),
        (r#""I": 1"#, "unknown_field I"),
    ];
    let records: Vec<String> = bad
        .iter()
        .enumerate()
        .map(|(i, (field, _))| format!("{{\"id\": {i}, {field}}}"))
        .collect();
    world.deliver(
        "b",
        "t/1.json",
        format!("[{}, {{\"id\": 99, \"v\": \"ok\"}}]", records.join(",\n")),
    );
    let plan = world.plan("b");
    let mut entries = plan.entries();
    entries.sort_by_key(|e| e["key"]["id"].as_str().unwrap().parse::<usize>().unwrap());
    let good = entries.pop().unwrap();
    assert_eq!(good["action"], "insert");
    assert_eq!(entries.len(), bad.len(), "{:?}", plan.lines());
    for (i, ((field, expected), entry)) in bad.iter().zip(&entries).enumerate() {
        let found = format!(
            "{} {}",
            entry["kind"].as_str().unwrap_or("?"),
            entry["field"].as_str().unwrap_or("?")
        );
        assert_eq!(found, *expected, "{field}: {entry}");
        assert_eq!(entry["from"][0], format!("staging/b/t/1.json#{i}"));
        assert_eq!(entry["effect"], "block");
        assert!(!entry["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(entries[0]["message"], "not a whole number");
    assert!(
        entries[6]["message"].as_str().unwrap().contains("too long"),
        "{}",
        entries[6]
    );
    world.apply_with(&plan, &["--force"]).exits(4);
}

#[test]
fn absent_null_and_default_are_three_things() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, a text DEFAULT 'default', s bigint GENERATED BY DEFAULT AS IDENTITY, g text GENERATED ALWAYS AS (a || '!') STORED)",
        "t: {natural_key: [id]}",
    );
    world.deliver("b", "t/1.json", r#"[{"id": 1}, {"id": 2, "a": null}, {"id": 3, "a": "given", "s": 77}, {"id": 4, "a": ""}]"#);
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "+ t id=1",
            "+ t id=2: a=null",
            r#"+ t id=3: a="given" s="77""#,
            r#"+ t id=4: a="""#
        ]
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT id, a, s = 77, g FROM t ORDER BY 1"),
        [
            "1|default|f|default!",
            "2|∅|f|∅",
            "3|given|t|given!",
            "4||f|!"
        ]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
}

#[test]
fn keys_match_by_the_equality_of_their_unique_index() {
    let world = World::new(
        "CREATE EXTENSION IF NOT EXISTS citext; \
         CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         CREATE TABLE c (k citext PRIMARY KEY, v text); INSERT INTO c VALUES ('Abc', 'old'); \
         CREATE TABLE i (k text COLLATE blind PRIMARY KEY, v text); INSERT INTO i VALUES ('Straße', 'old'); \
         CREATE TABLE n (k numeric PRIMARY KEY, v text); INSERT INTO n VALUES (1.50, 'old'); \
         CREATE TABLE p (k char(5) PRIMARY KEY, v text); INSERT INTO p VALUES ('ab', 'old')",
        "c: {natural_key: [k]}\ni: {natural_key: [k]}\nn: {natural_key: [k]}\np: {natural_key: [k]}",
    );
    for (table, key, new) in [
        ("c", "\"aBC\"", "\"X\""),
        ("i", "\"STRASSE\"", "\"é\""),
        ("n", "1.5000", "2.0"),
        ("p", "\"ab\"", "\"cd\""),
    ] {
        let key = if table == "i" { "\"sTRAßE\"" } else { key };
        world.deliver(
            "b",
            &format!("{table}/1.json"),
            format!("[{{\"k\": {key}, \"v\": \"new\"}}, {{\"k\": {new}, \"v\": \"x\"}}]"),
        );
    }
    let plan = world.plan("b");
    let updates: Vec<String> = plan
        .lines()
        .into_iter()
        .filter(|l| l.starts_with('~'))
        .collect();
    let expected = [
        r#"~ c k=Abc: v="old"→"new""#,
        r#"~ i k=Straße: v="old"→"new""#,
        r#"~ n k=1.50: v="old"→"new""#,
        r#"~ p k=ab   : v="old"→"new""#,
    ];
    assert_eq!(updates, expected, "the row's own spelling stays");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT k::text COLLATE \"C\" AS k, v FROM c UNION ALL SELECT k::text, v FROM i ORDER BY 1"),
        ["Abc|new", "Straße|new", "X|x", "é|x"]
    );
    // Another spelling alone is no change, and two spellings in one batch are one key.
    world.deliver(
        "c",
        "c/1.json",
        r#"[{"k": "ABC", "v": "new"}, {"k": "abc", "v": "new"}]"#,
    );
    world.deliver("c", "i/1.json", r#"{"k": "STRAßE", "v": "new"}"#);
    world.deliver(
        "c",
        "n/1.json",
        r#"[{"k": "1.5", "v": "new"}, {"k": 3, "v": "a"}, {"k": 3.0, "v": "b"}]"#,
    );
    let plan = world.plan("c");
    let expected = [
        "= c k=Abc: unchanged",
        "= c k=Abc: duplicate",
        "= i k=Straße: unchanged",
        "= n k=1.50: unchanged",
        "! n k=3: duplicate_key block",
        "! n k=3.0: duplicate_key block",
    ];
    assert_eq!(plan.lines(), expected);
}
