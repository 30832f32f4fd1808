//! What a table expects of a delivery: names, fields that must be there, fields that it does not know.

use crate::support::World;

const SCHEMA: &str =
    "CREATE TABLE t (id text PRIMARY KEY, v text, n int, created_by text, updated_by text)";

fn world(settings: &str) -> World {
    let world = World::in_folder(SCHEMA, &format!("t: {{natural_key: [id]{settings}}}"));
    world.set("LOADER_QUEUE", "off");
    world
}

#[test]
fn what_is_required_and_missing_leaves_its_record_out_and_nothing_else() {
    let world = world(", required_fields: [v], on_duplicate: block");
    let records = r#"[{"id": "a", "v": "x"}, {"id": "b"}, {"id": "c", "v": null}, {"id": "d", "v": ""},
        {"id": "e", "n": "many", "v": null}, {"id": "a", "n": 7}]"#;
    world.put("b", "t/1.json", records);
    world.put("b", "t/2.csv", "id,v\nf,\ng,y\n");
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "+ t id=a: v=\"x\"",
            "! t id=a: required_field v reject",
            "! t id=b: required_field v reject",
            "! t id=c: required_field v reject",
            "! t id=d: required_field v reject",
            "! t id=e: invalid_value n reject",
            "! t id=e: required_field v reject",
            "! t id=f: required_field v reject",
            "+ t id=g: v=\"y\"",
        ]
    );
    let run = world.apply(&plan).ok();
    assert!(run.stderr.contains("2 inserted"), "{run}");
    // Nobody requires it of rows that are there already.
    world.configure("t: {natural_key: [id]}");
    world.put("c", "t/1.json", r#"{"id": "a", "n": 1}"#);
    assert_eq!(world.plan("c").lines(), ["~ t id=a: n=null→\"1\""]);
    world.configure("t:\n  natural_key: [id]\n  required_fields: [v, w]\n");
    world
        .try_plan("c", &[])
        .exits(1)
        .says("tables.yaml: 3:24: required_fields: w is not a column of t; it has id, v, n");
}

#[test]
fn children_of_what_is_left_out_are_left_out_or_block() {
    let world = World::in_folder(
        "CREATE TABLE p (id text PRIMARY KEY, v text); CREATE TABLE c (id text PRIMARY KEY, p text REFERENCES p)",
        "p: {natural_key: [id], required_fields: [v]}\nc: {natural_key: [id]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put("b", "p.csv", "id,v\n1,\n2,x\n");
    world.put("b", "c.csv", "id,p\n1,1\n2,2\n");
    assert_eq!(
        world.plan("b").lines(),
        [
            "! p id=1: required_field v reject",
            "+ p id=2: v=\"x\"",
            "! c id=1: missing_parent p block",
            "+ c id=2: p=\"2\"",
        ]
    );
}

#[test]
fn what_refers_to_a_record_that_is_left_out_is_left_out_too() {
    let world = World::in_folder(
        "CREATE TABLE p (id serial PRIMARY KEY, no text UNIQUE, v text); \
         CREATE TABLE c (id text PRIMARY KEY, p_id int REFERENCES p)",
        "p: {natural_key: [no], required_fields: [v]}\n\
         c: {natural_key: [id], on_invalid: reject, references: {p_id: {table: p, by: {no: p}}}}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put("b", "p.csv", "no,v\nA,\nB,x\nC,y\n");
    world.put("b", "c.csv", "id,p\n1,A\n2,B\n3,C\n");
    world.write("out.txt", "p C\n");
    let plan = world.plan_with("b", &["--leave-out", "out.txt"]);
    let lines = plan.lines();
    assert_eq!(lines[0], "! p no=A: required_field v reject");
    assert_eq!(lines[1], "+ p no=B: v=\"x\"");
    assert_eq!(lines[2], "= p no=C: left_out");
    assert!(
        lines[3].starts_with("! c id=1: missing_parent"),
        "{lines:?}"
    );
    assert!(lines[4].starts_with("+ c id=2"), "{lines:?}");
    assert_eq!(lines[5], "= c id=3: left_out");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT c.id, no FROM c JOIN p ON p.id = p_id"),
        ["2|B"]
    );
}

#[test]
fn what_only_new_rows_get_is_never_changed_and_no_violation() {
    let world = world(", insert_only_fields: [created_by], conflict_resolution: replace");
    world.sql("INSERT INTO t (id, created_by) VALUES ('a', 'first')");
    world.put(
        "b",
        "t.csv",
        "id,v,created_by\na,x,second\nb,y,second\nc,z,\n",
    );
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "~ t id=a: v=null→\"x\"",
            "+ t id=b: created_by=\"second\" v=\"y\"",
            "+ t id=c: created_by=null v=\"z\"",
        ]
    );
    world.apply(&plan).ok();
    assert_eq!(world.plan("b").news(), Vec::<String>::new());
    assert_eq!(
        world.rows("SELECT id, created_by FROM t ORDER BY 1"),
        ["a|first", "b|second", "c|∅"]
    );
    world.configure("t:\n  natural_key: [id]\n  insert_only_fields: [created_bi]\n");
    world
        .try_plan("b", &[])
        .exits(1)
        .says("tables.yaml: 3:24: insert_only_fields: created_bi is not a column of t; did you mean created_by?");
}

#[test]
fn fields_that_no_table_has_are_named_once_for_a_file() {
    let world = world("");
    world.put("b", "t/1.csv", "id,v,x,y\na,1,2,3\nb,1,2,3\n");
    world.put("b", "t/2.json", r#"{"id": "c", "x": 1}"#);
    let lines = world.plan("b").lines();
    assert!(
        lines.contains(&"! t id=a: unknown_field x block".to_owned()),
        "{lines:?}"
    );
    world.configure("t: {natural_key: [id], on_unknown: ignore}");
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        ["+ t id=a: v=\"1\"", "+ t id=b: v=\"1\"", "+ t id=c"]
    );
    for note in [
        "note: t: x is no column and is not loaded: 2 records of staging/b/t/1.csv, 1 record of staging/b/t/2.json",
        "note: t: y is no column and is not loaded: 2 records of staging/b/t/1.csv",
    ] {
        assert_eq!(plan.stderr.matches(note).count(), 1, "{}", plan.stderr);
    }
    world.configure("t:\n  natural_key: [id]\n  on_unknown: drop\n");
    world
        .try_plan("b", &[])
        .exits(1)
        .says("unknown variant `drop`, expected `block` or `ignore`")
        .says("line 3");
}

#[test]
fn fields_have_other_names_than_columns() {
    let world = world(", columns: {Ident: id, \"the value\": v}");
    world.put("b", "t.csv", "Ident,the value,n\na,x,1\n");
    assert_eq!(world.plan("b").lines(), ["+ t id=a: n=\"1\" v=\"x\""]);
    // Under its own name a column is still known, but not under both.
    world.put(
        "c",
        "t.json",
        r#"[{"id": "a", "v": "x"}, {"Ident": "b", "the value": "x", "v": "y"}]"#,
    );
    assert_eq!(
        world.plan("c").lines(),
        ["+ t id=a: v=\"x\"", "! t id=b: invalid_value v block"]
    );
    // A field has one column, whatever others are called.
    let sql = "CREATE TABLE t (id text PRIMARY KEY, a text, b text, c text)";
    for (columns, fields, line) in [
        ("{x: a, a: b}", "id,x", r#"+ t id=1: a="2""#),
        ("{x: a, a: b}", "id,a", r#"+ t id=1: b="2""#),
        ("{x: a, a: b}", "id,x,a", r#"+ t id=1: a="2" b="3""#),
        ("{a: b, b: a}", "id,b", r#"+ t id=1: a="2""#),
        ("{a: b, b: a}", "id,a,b", r#"+ t id=1: a="3" b="2""#),
        (
            "{a: b, b: c, c: a}",
            "id,a,b,c",
            r#"+ t id=1: a="4" b="2" c="3""#,
        ),
        ("{a: id, id: a}", "a,id", r#"+ t id=1: a="2""#),
        ("{a: id, x: a}", "a,x", r#"+ t id=1: a="2""#),
        ("{x: a, a: b}", "id,x,b", r#"+ t id=1: a="2" b="3""#),
    ] {
        let world = World::in_folder(
            sql,
            &format!("t: {{natural_key: [id], columns: {columns}}}"),
        );
        world.set("LOADER_QUEUE", "off");
        let cells = ["1", "2", "3", "4"];
        let cells = cells[..fields.split(',').count()].join(",");
        world.put("b", "t.csv", format!("{fields}\n{cells}\n"));
        assert_eq!(world.plan("b").lines(), [line], "{columns} {fields}");
    }
    let world = World::in_folder(
        sql,
        "t:\n  natural_key: [id]\n  columns: {x: a}\n  ignore_fields: [x]\n",
    );
    world.set("LOADER_QUEUE", "off");
    world.put("b", "t.csv", "id,x\n1,2\n");
    world
        .try_plan("b", &[])
        .exits(1)
        .says("tables.yaml: 4:19: x is loaded into a of t, as `columns` says");
    // A field that is a column by its other name is no envelope's.
    let world = World::in_folder(
        "CREATE TABLE t (id text PRIMARY KEY, payload jsonb)",
        "t: {natural_key: [id], columns: {data: payload}}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put("b", "t.json", r#"{"id": "a", "data": {"id": "b"}}"#);
    assert_eq!(
        world.plan("b").lines(),
        ["+ t id=a: payload=\"{\\\"id\\\": \\\"b\\\"}\""]
    );
    world.configure("t:\n  natural_key: [id]\n  columns: {data: pay}\n");
    world
        .try_plan("b", &[])
        .exits(1)
        .says("tables.yaml: 3:19: columns: pay is not a column of t; it has id, payload");
}

#[test]
fn records_stand_deeper_or_under_their_keys() {
    let world = world(", records: /result/items, on_unknown: ignore");
    world.put(
        "b",
        "t.json",
        r#"{"took": 3, "result": {"total": 2, "items": [{"id": "a", "v": "x"}, {"id": "b"}], "next": null}, "end": true}"#,
    );
    let plan = world.plan("b");
    assert_eq!(plan.lines(), ["+ t id=a: v=\"x\"", "+ t id=b"]);
    assert_eq!(plan.entries()[1]["from"][0], "staging/b/t.json#2");
    for (content, says) in [
        (
            r#"{"result": {"item": []}}"#,
            "no field \"items\" in the object before this, and `records` in tables.yaml says that the records are at /result/items",
        ),
        (
            r#"{"result": [1]}"#,
            "expected an object, as `records` in tables.yaml says, found an array",
        ),
        (
            r#"{"result": {"items": {}}}"#,
            "expected an array of records, as `records` in tables.yaml says, found an object",
        ),
        (
            r#"{"result": {"items": []}, "result": 1}"#,
            "the field \"result\" is given twice",
        ),
        (
            r#"{"result": {"items": [{"id": "a"}]}} {}"#,
            "expected the end after the records, found an object",
        ),
        (
            r#"{"result": {"items": [1]}}"#,
            "expected a record (an object), found a number",
        ),
        (
            r#"{"result": {"items": [{"id": "a"}"#,
            "the text ends too early",
        ),
        (
            r#"[]"#,
            "expected an object, as `records` in tables.yaml says, found an array",
        ),
    ] {
        world.put("c", "t.json", content);
        world
            .try_plan("c", &[])
            .exits(1)
            .says("staging/c/t.json: ")
            .says("line 1, column ")
            .says(says);
    }
    world.configure("t: {natural_key: [id], records: {key_into: id}}");
    world.put("d", "t.json", r#"{"a": {"v": "x"}, "b \u00e9": {}}"#);
    assert_eq!(world.plan("d").lines(), ["+ t id=a: v=\"x\"", "+ t id=b é"]);
    for (content, says) in [
        (
            r#"{"a": {}, "a": {}}"#,
            "record 2, line 1, column 9: the key is that of record 1, too",
        ),
        (
            r#"{"a": {"id": 1}}"#,
            "the record has a field \"id\", into which `records` in tables.yaml puts its key",
        ),
        (
            r#"{"a": [1]}"#,
            "expected a record (an object), found an array",
        ),
    ] {
        world.put("e", "t.json", content);
        world
            .try_plan("e", &[])
            .exits(1)
            .says("record ")
            .says("line 1, column ")
            .says(says);
    }
    // Delivered in another form, a table's files are as ever.
    world.put("f", "t.csv", "id,v\na,x\n");
    assert_eq!(world.plan("f").lines(), ["+ t id=a: v=\"x\""]);
}

#[test]
fn what_holds_for_all_tables_is_said_once() {
    let world = World::in_folder(
        "CREATE TABLE a (id text PRIMARY KEY, created_by text, secret text); CREATE TABLE b (id text PRIMARY KEY, v text)",
        "defaults:\n  immutable_fields: [created_by]\n  sensitive: [secret]\n  required_fields: [v]\n  on_unknown: ignore\n  \
         on_invalid: reject\n  stamps: {updated_by: actor}\na: {natural_key: [id]}\nb: {natural_key: [id], on_unknown: block}\n",
    );
    world.set("LOADER_QUEUE", "off");
    world.put("x", "a.csv", "id,created_by,z\n1,me,2\n");
    world.put("x", "b.csv", "id,v,z\n1,me,2\n2,,\n");
    let plan = world.plan("x");
    assert_eq!(
        plan.lines(),
        [
            "+ a id=1: created_by=\"me\"",
            "! b id=1: unknown_field z reject",
            "! b id=2: unknown_field z reject",
            "! b id=2: required_field v reject",
        ]
    );
    let config = &plan.json()["header"]["tables"][1]["config"];
    assert_eq!(config["immutable_fields"], serde_json::json!([]));
    assert_eq!(config["sensitive"], serde_json::json!([]));
    assert!(!plan.stderr.contains("is not a column"), "{}", plan.stderr);
    world.configure("defaults:\n  depends_on: [a]\na: {natural_key: [id]}\n");
    world
        .try_plan("x", &[])
        .exits(1)
        .says("tables.yaml: 2:3: defaults: depends_on is for each table to say");
}

#[test]
fn immutable_fields_that_are_no_columns_are_a_note() {
    let world = world(", immutable_fields: [created_at, created_bye]");
    world.put("b", "t.csv", "id\na\n");
    let plan = world.plan("b");
    for note in [
        "note: t: immutable_fields: created_at is not a column of the table",
        "note: t: immutable_fields: created_bye is not a column of the table; did you mean created_by?",
    ] {
        assert!(plan.stderr.contains(note), "{}", plan.stderr);
    }
    world.apply(&plan).ok();
    world
        .loader(&["config", "check"])
        .ok()
        .says("created_bye is not a column of the table");
    world.configure("t: {natural_key: [idd]}");
    world
        .try_plan("b", &[])
        .exits(1)
        .says("natural_key: idd is not a column of t");
}

/// As of tables that an application made: when and by whom a row was made is NOT NULL, and no default fills it.
#[test]
fn stamps_of_columns_that_rows_keep_are_set_in_new_rows_only() {
    let schema = "CREATE TABLE t (id int PRIMARY KEY, v text, created_at timestamptz NOT NULL, created_by text NOT NULL,
        updated_at timestamptz NOT NULL, batch text, gone bool NOT NULL DEFAULT false, CHECK (created_at <= updated_at),
        CHECK (batch IS NULL OR batch = 'first' OR length(v) < 5));
        INSERT INTO t VALUES (1, 'old', '2001-01-01', 'them', '2001-01-01', 'first', false), (2, 'old', '2001-01-01', 'them', '2001-01-01', 'first', true),
        (3, 'old', '2001-01-01', 'them', '2001-01-01', 'first', false)";
    for kept in [
        "insert_only_fields: [created_at, created_by, batch]",
        "immutable_fields: [created_at, batch], insert_only_fields: [created_by]",
    ] {
        let world = World::new(
            schema,
            &format!(
                "t: {{natural_key: [id], {kept}, soft_delete: gone, limits: {{delete: 1}}, on_invalid: reject, \
                 stamps: {{created_at: now, created_by: actor, updated_at: now, batch: batch_id}}}}"
            ),
        );
        let before = world.rows("SELECT t::text FROM t ORDER BY id");
        world.deliver(
            "b",
            "t/1.json",
            r#"[{"id": 1, "v": "a new value", "created_by": "me"}, {"id": 2, "v": "new"}, {"id": 4, "v": "new"},
              {"id": 5, "v": "what the check refuses in a new row"}]"#,
        );
        world.deliver("b", "t/2.json", r#"{"op": "delete", "data": {"id": 3}}"#);
        let plan = world.plan("b");
        assert_eq!(
            plan.lines(),
            [
                "~ t id=1: v=\"old\"→\"a new value\"",
                "~ t id=2: gone=\"t\"→\"f\" v=\"old\"→\"new\"",
                "- t id=3: batch=\"first\" created_at=\"2001-01-01 00:00:00+00\" created_by=\"them\" gone=\"f\" \
                 updated_at=\"2001-01-01 00:00:00+00\" v=\"old\"",
                "+ t id=4: v=\"new\"",
                "! t id=5: check_failed reject",
            ]
        );
        for note in [
            "each row that is written also gets updated_at (the time)",
            "each new row also gets batch (the batch id), created_at (the time), created_by (who applies)",
        ] {
            let shown = world.show(&plan, &[]);
            let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(shown.contains(note), "{shown}");
        }
        world.apply(&plan).ok();
        assert_eq!(
            world.rows(
                "SELECT id, v, created_at < now() - interval '1 year', created_by = 'them', batch, updated_at > now() - interval '1 hour', gone \
                 FROM t ORDER BY id"
            ),
            [
                "1|a new value|t|t|first|t|f",
                "2|new|t|t|first|t|f",
                "3|old|t|t|first|t|t",
                "4|new|f|f|b|t|f"
            ]
        );
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        let kept = "SELECT t::text FROM t WHERE id < 4 ORDER BY id";
        assert_eq!(world.rows(kept), before);
    }
}

#[test]
fn stamps_fit_their_columns() {
    let world = World::in_folder(
        "CREATE TABLE t (id int PRIMARY KEY, ft tsvector, n int, at date, u uuid, said text)",
        "",
    );
    world.set("LOADER_QUEUE", "off");
    world.put("b", "t.csv", "id\n1\n");
    for (stamps, says) in [
        (
            "ft: now",
            "stamps: ft of t is tsvector, and what it would be set to is the time",
        ),
        (
            "n: actor",
            "stamps: n of t is integer, and what it would be set to is a text",
        ),
        (
            "at: batch_id",
            "stamps: at of t is date, and what it would be set to is a text",
        ),
    ] {
        world.configure(&format!("t: {{natural_key: [id], stamps: {{{stamps}}}}}"));
        world.try_plan("b", &[]).exits(1).says(says);
    }
    world.configure("t: {natural_key: [id], stamps: {at: now, said: now}}");
    world.apply(&world.plan("b")).ok();
    assert_eq!(
        world.value("SELECT count(*) FROM t WHERE at IS NOT NULL AND said LIKE '20%'"),
        "1"
    );
}
