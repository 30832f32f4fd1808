//! One fault is one finding, however many records have it, and what is said of it finds the error.

use crate::support::{Plan, World};

fn world(columns: &str, table: &str) -> World {
    let world = World::new(
        &format!("CREATE TABLE t (id int PRIMARY KEY, {columns})"),
        &format!("t: {{natural_key: [id]{table}}}"),
    );
    world.set("LOADER_QUEUE", "off");
    world
}

/// The lines of `text` that a screen has room for, as one.
fn first_screen(text: &str) -> String {
    let lines: Vec<&str> = text.lines().take(30).collect();
    lines.join("\n")
}

fn violations(plan: &Plan) -> Vec<serde_json::Value> {
    let mut entries = plan.entries();
    entries.retain(|e| e["action"] == "violation");
    entries
}

#[test]
fn a_misspelt_header_and_a_bad_date_are_two_findings() {
    let world = world("name text, taken date", ", on_invalid: reject");
    let rows = (1..=3000).map(|i| {
        let taken = if i == 1500 { "15-Jan-24" } else { "2024-01-15" };
        format!("{i},name {i},{taken}\n")
    });
    let csv = format!("id,nmae,taken\n{}", rows.collect::<String>());
    world.put("b", "t.csv", csv);
    let plan = world.plan("b");
    // Records are counted, each of which stands in the plan.
    assert_eq!(plan.count("violation"), 3000);
    assert_eq!(plan.json()["header"]["rejected"], 3000);
    let all = violations(&plan);
    assert_eq!(all.len(), 3001);
    let further: Vec<&serde_json::Value> = all.iter().filter(|e| e["further"] == true).collect();
    assert_eq!(further.len(), 1);
    assert_eq!(further[0]["key"]["id"], "1500");

    let text = world.show(&plan, &[]);
    let shown = first_screen(&text);
    for part in [
        "! 3000 records: unknown_field nmae [record left out]",
        "not a column of the table; did you mean name?",
        "id=1: \"name 1\" (staging/b/t.csv#2)",
        "id=100: \"name 100\" (staging/b/t.csv#101)",
        "invalid_value taken: \"15-Jan-24\" [record left out]",
        "from staging/b/t.csv#1501",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(text.contains("3000 violations (3000 left out)."), "{text}");
    assert!(text.contains("id=3000: \"name 3000\" (staging/b/t.csv#3001)"));
    let folded = world.show(&plan, &["--limit", "20"]);
    let more = "and 2997 more: --table t --action violation --all shows each";
    assert!(folded.contains(more), "{folded}");
    let markdown = first_screen(&world.show(&plan, &["--format", "markdown"]));
    for part in [
        "| **3000 records** | unknown&#95;field `nmae` (record left out) |",
        "| `100` | | `name 100` | | `staging/b/t.csv#101` |",
        "`15-Jan-24`",
        "`staging/b/t.csv#1501`",
    ] {
        assert!(markdown.contains(part), "{part}: {markdown}");
    }
    world.apply(&plan).ok();
    assert_eq!(world.value("SELECT count(*) FROM t"), "0");
}

#[test]
fn one_fault_of_several_files_is_one_finding_and_another_reason_another() {
    let world = world("taken date, n smallint, v varchar(2), c text UNIQUE", "");
    let rows = "1,1.2.2024,70000,abc\n2,2.2.2024,80000,abcd\n";
    world.sql("INSERT INTO t (id, c) VALUES (8, 'a'), (9, 'b')");
    world.put("b", "t/1.csv", format!("id,taken,n,v\n{rows}"));
    world.put("b", "t/2.csv", "id,taken,n\n3,3.2.2024,1\n4,now,1\n");
    world.put("b", "t/3.csv", "id,c\n5,a\n6,b\n");
    let plan = world.plan("b");
    let shown = world.show(&plan, &[]);
    for part in [
        "! 3 records in 2 files: invalid_value taken [blocks]",
        "id=3: \"3.2.2024\" (staging/b/t/2.csv#2)",
        "! 2 records: invalid_value n [blocks]",
        "value … is out of range for type smallint",
        "id=1: \"70000\" (staging/b/t/1.csv#2)",
        "! 2 records: invalid_value v [blocks]",
        "! 2 records: unique_conflict c [blocks]",
        "the unique key t_c_key would hold this value twice\n",
        "id=6: \"b\", the row id=9 has it (staging/b/t/3.csv#3)",
        "invalid_value taken: \"now\" [blocks]",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let markdown = world.show(&plan, &["--format", "markdown"]);
    for part in ["**3 records in 2 files**", "`b`<br>the row"] {
        assert!(markdown.contains(part), "{part}: {markdown}");
    }
    // Of many files with one record each, no more is shown.
    for i in 10..60 {
        world.put(
            "c",
            &format!("t/{i}.json"),
            format!("{{\"id\": {i}, \"nn\": 1}}"),
        );
    }
    let shown = world.show(&world.plan("c"), &[]);
    assert!(
        shown.contains("! 50 records in 50 files: unknown_field nn [blocks]"),
        "{shown}"
    );
    assert!(
        shown.contains("id=49: \"1\" (staging/c/t/49.json#1)"),
        "{shown}"
    );
    // What is no record of the batch is none.
    world.set("LOADER_QUEUE", "required");
    world.sql("INSERT INTO validation_queue (batch_id, table_name, s3_key) SELECT 'd', 't', 'staging/d/t/' || n FROM generate_series(1, 9) n");
    world.put("d", "t/0.json", "{\"id\": 70}");
    let shown = world.show(&world.plan("d"), &[]);
    assert!(
        shown.contains("! 9 objects: missing_object [blocks]"),
        "{shown}"
    );
    assert!(shown.contains("\n      staging/d/t/1\n"), "{shown}");
}

#[test]
fn a_record_that_breaks_two_rules_is_counted_by_the_gravest() {
    let world = world(
        "by text, n int",
        ", immutable_fields: [by], on_immutable: keep",
    );
    world.sql("INSERT INTO t VALUES (1, 'me', 1)");
    world.put("b", "t.csv", "id,by,n\n1,you,x\n");
    let plan = world.plan("b");
    assert_eq!(plan.json()["header"]["blocking"], 1);
    assert_eq!(plan.count("violation"), 1);
    let kinds: Vec<String> = violations(&plan)
        .iter()
        .map(|e| format!("{} {}", e["kind"].as_str().unwrap(), e["further"]))
        .collect();
    assert_eq!(kinds, ["invalid_value null", "immutable_field true"]);
}

#[test]
fn records_with_one_key_say_in_what_they_differ() {
    let world = world("v text, w text, n numeric(4,1)", "");
    world.put(
        "b",
        "t.ndjson",
        "{\"id\": 1, \"v\": \"a\", \"w\": \"same\"}\n{\"id\": 1, \"v\": \"a\", \"w\": \"same\"}\n\
         {\"id\": 1, \"v\": \"b\", \"w\": \"same\", \"n\": 1}\n",
    );
    let plan = world.plan("b");
    let found: Vec<String> = violations(&plan)
        .iter()
        .map(|e| format!("{} {} {}", e["from"][0], e["values"], e["other"]))
        .collect();
    let other = |n: u64, values: &str| {
        format!("{{\"from\":\"staging/b/t.ndjson#{n}\",\"values\":{values}}}")
    };
    let (a, b) = (r#"{"v":"a"}"#, r#"{"n":"1.0","v":"b"}"#);
    assert_eq!(
        found,
        [
            format!("\"staging/b/t.ndjson#1\" {a} {}", other(3, b)),
            format!("\"staging/b/t.ndjson#2\" {a} {}", other(3, b)),
            format!("\"staging/b/t.ndjson#3\" {b} {}", other(1, a)),
        ]
    );
    let shown = world.show(&plan, &[]);
    for part in [
        "! 3 records: duplicate_key [blocks]",
        "different records of the batch have this key",
        "id=1: v: \"a\" (staging/b/t.ndjson#1)",
        "id=1: n: \"1.0\", v: \"b\" (staging/b/t.ndjson#3)",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("alike"), "{shown}");
    let markdown = world.show(&plan, &["--format", "markdown"]);
    assert!(
        markdown.contains("| **3 records** | duplicate&#95;key (blocks) |"),
        "{markdown}"
    );
    assert!(
        markdown.contains("`v`: `a`<br>and `staging/b/t.ndjson#3`: `n`: `1.0`, `v`: `b`"),
        "{markdown}"
    );
}

#[test]
fn a_check_says_what_it_read() {
    let world = world(
        "low numeric, high numeric, secret text, CONSTRAINT ordered CHECK (low <= high), \
         CONSTRAINT told CHECK (secret <> 'x' OR low IS NULL)",
        ", sensitive: [secret]",
    );
    world.put("b", "t.csv", "id,low,high,secret\n1,5,2,y\n2,1,2,x\n");
    let plan = world.plan("b");
    let found: Vec<String> = violations(&plan)
        .iter()
        .map(|e| format!("{} {}", e["kind"], e["values"]))
        .collect();
    assert_eq!(
        found,
        [
            r#""check_failed" {"high":"2","low":"5"}"#,
            r#""check_failed" {"low":"1","secret":"x"}"#
        ]
    );
    let shown = world.show(&plan, &[]);
    assert!(shown.contains("high: \"2\", low: \"5\""), "{shown}");
    assert!(
        shown.contains("secret: \"•••") && !shown.contains("\"x\""),
        "{shown}"
    );
}

#[test]
fn an_enum_says_its_labels_and_the_nearest() {
    let world = World::new(
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TABLE t (id int PRIMARY KEY, m mood, l mood[])",
        "t: {natural_key: [id]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put(
        "b",
        "t.csv",
        "id,m,l\n1,Sad,\n2,hapy,\n3,blue,\n4,,\"{sad,SAD}\"\n",
    );
    let found: Vec<String> = violations(&world.plan("b"))
        .iter()
        .map(|e| e["message"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        found,
        [
            "not one of the labels sad, happy; did you mean sad?",
            "not one of the labels sad, happy; did you mean happy?",
            "not one of the labels sad, happy",
            "SAD: not one of the labels sad, happy; did you mean sad?",
        ]
    );
}

#[test]
fn what_is_not_seen_is_shown_in_every_format() {
    let world = World::new(
        "CREATE TABLE t (id text PRIMARY KEY, n int, v text)",
        "t: {natural_key: [id], on_invalid: reject}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put(
        "b",
        "t.csv",
        "id,n,v\nA1 ,1,x\n A2,2,\u{a0}y\nA\u{200b}3,3,z\u{3000}\nA4,\u{2212}5,v\n",
    );
    let plan = world.plan("b");
    let text = world.show(&plan, &[]);
    for part in [
        "id=A1\\u{20}",
        "id=\\u{20}A2",
        "\"\\u{a0}y\"",
        "id=A\\u{200b}3",
        "\"z\\u{3000}\"",
        "write it as -5",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let markdown = world.show(&plan, &["--format", "markdown"]);
    for part in ["A1␣", "␣A2", "u&#123;a0&#125;y", "A&#92;u&#123;200b&#125;3"] {
        assert!(markdown.contains(part), "{part}: {markdown}");
    }
    let page = world.show(&plan, &["--format", "html"]);
    for part in [
        "\"A1\\\\u{20}\"",
        "\"\\\\u{20}A2\"",
        "\"\\\\u{a0}y\"",
        "\"A\\\\u{200b}3\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    world.put("c", "t.csv", "id,n ,v\nA1,1,x\n");
    let shown = world.show(&world.plan("c"), &[]);
    assert!(shown.contains("unknown_field n\\u{20}"), "{shown}");
}

/// What would be done about a field that is no column depends on what it holds.
#[test]
fn fields_that_are_no_columns_come_with_what_to_do() {
    let world = World::new(
        "CREATE TABLE t (id text PRIMARY KEY, colour text)",
        "t: {natural_key: [id]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put(
        "b",
        "t.json",
        r#"{"id": "1", "color": "red", "Kode (neu)": "x", "result/items": [ {"id": "2"}], "tags": ["a"], "data": {"id": "3"}}"#,
    );
    let plan = world.plan("b");
    // Findings that break the same rule are entries of their own.
    let message = |field: &str| {
        let all = violations(&plan);
        let found = all.iter().find(|v| v["field"] == field)?;
        found["message"].as_str().map(str::to_owned)
    };
    let of_tables = "not a column of the table; in tables.yaml, `columns` says which column it is, `ignore_fields` that it is not loaded";
    for (field, expected) in [
        ("color", "not a column of the table; did you mean colour?"),
        ("Kode (neu)", of_tables),
        (
            "result/items",
            "not a column of the table; where the records are in it, say `records: /result~1items` in tables.yaml",
        ),
        ("tags", of_tables),
        (
            "data",
            "not a column of the table; where the record is in it, say `envelope: data` in tables.yaml",
        ),
    ] {
        assert_eq!(message(field).as_deref(), Some(expected), "{field}");
    }
    for (config, file) in [
        (
            "records: /result~1items",
            r#"{"result/items": [ {"id": "2"}]}"#,
        ),
        (
            "columns: {Kode (neu): colour}",
            r#"{"id": "2", "Kode (neu)": "x"}"#,
        ),
        (
            "ignore_fields: [Kode (neu)]",
            r#"{"id": "2", "Kode (neu)": "x"}"#,
        ),
    ] {
        world.configure(&format!("t: {{natural_key: [id], {config}}}"));
        world.put("b", "t.json", file);
        let news = world.plan("b").news();
        assert!(
            news.len() == 1 && news[0].starts_with("+ t id=2"),
            "{news:?}"
        );
    }
}

#[test]
fn a_word_for_null_is_kept_as_it_was_given() {
    let world = world(
        "n int, country text, v text",
        ", conflict_resolution: replace, null_words: [NA], spelling: {country: {null_words: []}}",
    );
    world.sql("INSERT INTO t VALUES (2, 5, 'DE', 'old')");
    world.put("b", "t.csv", "id,n,country,v\n1,NA,NA,\n2,NA,NA,NA\n");
    let plan = world.plan("b");
    let entries = plan.entries();
    let na = serde_json::json!({"stored": null, "given": "NA"});
    assert_eq!(entries[0]["values"]["n"], na);
    assert_eq!(entries[0]["values"]["country"], "NA");
    assert_eq!(entries[0]["values"]["v"], serde_json::Value::Null);
    assert_eq!(entries[1]["set"]["v"], serde_json::json!(["old", na]));
    assert_eq!(
        plan.json()["header"]["tables"][0]["warnings"],
        serde_json::json!([
            "the word \"NA\" is null in n (2 records), v (1 record) and stored as it is in country (2 records, first \
             staging/b/t.csv#2); where it means null, say so in null_words"
        ])
    );
    let shown = world.show(&plan, &[]);
    assert!(
        shown.contains("n was given as \"NA\" and is stored otherwise"),
        "{shown}"
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT t::text FROM t ORDER BY 1"),
        ["(1,,NA,)", "(2,,NA,)"]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
}

#[test]
fn a_comma_is_no_reason_to_make_a_thousandth_of_a_number() {
    let world = world("n int, d numeric", "");
    world.put("b", "t.csv", "id,n,d\n1,\"1,000\",\"12,5\"\n");
    let found: Vec<String> = violations(&world.plan("b"))
        .iter()
        .map(|e| e["message"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        found,
        [
            "not a whole number; whether its comma stands between thousands or before decimals is not clear: write it \
             without, or, only if the delivery writes decimals so, set decimal_comma",
            "not a number; a comma before the decimals is a setting: decimal_comma",
        ]
    );
}

#[test]
fn a_key_that_its_column_does_not_keep_is_told_whatever_becomes_of_the_record() {
    let world = World::new(
        "CREATE TABLE t (k numeric(4,1) PRIMARY KEY, v text); INSERT INTO t VALUES (1.2, 'a'), (2.2, 'b')",
        "t: {natural_key: [k]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put(
        "b",
        "t.csv",
        "k,v\n1.24,a\n2.24,c\n3.24,d\n4.24,x\n4.21,y\n",
    );
    let plan = world.plan("b");
    let found: Vec<String> = (plan.entries().iter())
        .map(|e| format!("{} {} {}", e["action"], e["key"]["k"], e["given"]))
        .collect();
    assert_eq!(
        found,
        [
            r#""skip" {"given":"1.24","stored":"1.2"} null"#,
            r#""update" {"given":"2.24","stored":"2.2"} null"#,
            r#""insert" {"given":"3.24","stored":"3.2"} null"#,
            r#""violation" {"given":"4.24","stored":"4.2"} null"#,
            r#""violation" {"given":"4.21","stored":"4.2"} null"#,
        ]
    );
    let shown = world.show(&plan, &["--action", "skip"]);
    assert!(
        shown.contains("k was given as \"1.24\" and is stored otherwise"),
        "{shown}"
    );
}

/// Of rows alike only some are named: one whose record seems to name another is not among them.
#[test]
fn a_key_that_was_given_otherwise_is_told_in_every_row_and_format() {
    let world = World::new(
        "CREATE TABLE t (k numeric(6,2) PRIMARY KEY, v text, n int CHECK (n > 0), u text UNIQUE); \
         INSERT INTO t SELECT n, 'old', 1, 'u' || n FROM generate_series(1, 9) n",
        "t: {natural_key: [k], limits: {delete: 9}}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put(
        "b",
        "t.csv",
        "k,v\n1,new\n2.004,new\n3,new\n3.004,new\n4,new\n11,x\n12,x\n13.004,x\n14,x\n",
    );
    world.put(
        "b",
        "t/1.json",
        r#"[{"k": "6.004", "n": -1}, {"k": "7.004", "n": -1}, {"k": "8.004", "n": "x"}, {"k": "21.004", "u": "u1"},
            {"k": "22.001", "v": "a"}, {"k": "22.002", "v": "b"}, {"k": "15.004", "zz": 1}]"#,
    );
    world.put(
        "b",
        "t/2.json",
        r#"[{"op": "delete", "data": {"k": "5.004"}}, {"op": "delete", "data": {"k": "16.004"}}]"#,
    );
    let plan = world.plan("b");
    let given = [
        "2.004", "13.004", "5.004", "6.004", "7.004", "8.004", "21.004", "22.001", "22.002",
        "15.004",
    ];
    let book = world
        .command(&["show", plan.name(), "--format", "xlsx"])
        .output()
        .unwrap();
    let mut parts = zip::ZipArchive::new(std::io::Cursor::new(book.stdout)).unwrap();
    let mut workbook = String::new();
    for i in 0..parts.len() {
        let mut part = parts.by_index(i).unwrap();
        std::io::Read::read_to_string(&mut part, &mut workbook).unwrap();
    }
    let show = |more: &[&str]| {
        let shown = world.show(&plan, more);
        (more.join(" "), shown)
    };
    let shown = [
        show(&[]),
        show(&["--limit", "20"]),
        show(&["--all"]),
        show(&["--format", "markdown"]),
        show(&["--format", "csv"]),
        show(&["--format", "html"]),
        show(&["--format", "json"]),
        ("xlsx".into(), workbook),
    ];
    for (how, shown) in shown {
        for given in given {
            assert!(shown.contains(given), "{how}, {given}: {shown}");
        }
    }
    let skips = world.show(&plan, &["--action", "skip"]);
    assert!(
        skips.contains("3.004") && skips.contains("16.004"),
        "{skips}"
    );
    // Those that were given as they are stored are still one group.
    let text = world.show(&plan, &[]);
    assert!(text.contains("3 rows alike"), "{text}");
}

/// A record that breaks several rules is one violation, and each of its reasons is shown or counted.
#[test]
fn records_are_counted_once_and_no_reason_is_hidden() {
    let world = World::new(
        "CREATE TABLE p (k text PRIMARY KEY); CREATE TABLE t (k text PRIMARY KEY, a int CHECK (a > 0), p text REFERENCES p)",
        "t: {natural_key: [k]}",
    );
    let both = (0..10).map(|n| format!(r#"{{"k": "b{n}", "a": -1, "p": "none"}}"#));
    let each = (0..7).map(|n| format!(r#"{{"k": "u{n}", "f{n}": 1}}"#));
    let records: Vec<String> = both.chain(each).collect();
    world.deliver("b", "t/1.json", format!("[{}]", records.join(",")));
    let plan = world.plan("b");
    let shown = |format: &str| {
        let run = world.loader(&["show", plan.path.to_str().unwrap(), "--format", format]);
        run.ok().stdout
    };
    let markdown = shown("markdown");
    assert!(
        markdown.contains(": 17 violations, 27 findings"),
        "{markdown}"
    );
    let page = shown("html");
    // Two reasons of ten records and four of the others are named.
    assert!(page.contains("and 3 more reasons"), "{page}");
}

#[test]
fn a_sheet_says_what_two_records_with_one_key_say() {
    let world = World::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text, w int)",
        "t: {natural_key: [k]}",
    );
    world.deliver("b", "t.csv", "k,v,w\na,one,1\na,two,1\n");
    let plan = world.plan("b");
    let sheet = world.loader(&["show", plan.name(), "--format", "csv"]).ok();
    let both = |own: &str, line: u8, other: &str| {
        format!(
            "have this key; keep one of them, or set on_duplicate\nv: \"\"{own}\"\"\nand staging/b/t.csv#{line}:\nv: \"\"{other}\"\"\","
        )
    };
    for said in [both("one", 3, "two"), both("two", 2, "one")] {
        assert!(sheet.stdout.contains(&said), "{said}\n{}", sheet.stdout);
    }
}
