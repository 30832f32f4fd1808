//! Records that name a row to be deleted, and deliveries that are all there is of their table.

use crate::support::{Plan, World};

const SCHEMA: &str = "\
    CREATE TABLE parents (id int PRIMARY KEY, code text UNIQUE, v text, updated_at timestamptz); \
    CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents); \
    INSERT INTO parents VALUES (1, 'A', 'x', '2020-01-01'), (2, 'B', NULL, '2020-01-01'), (3, 'C', 'z', '2020-01-01'); \
    INSERT INTO children VALUES (10, 1), (20, 2)";

fn world(parents: &str) -> World {
    World::new(
        SCHEMA,
        &format!("parents: {{natural_key: [id]{parents}}}\nchildren: {{natural_key: [id]}}"),
    )
}

/// The plan of batch `b`, in which deletes are allowed.
fn allowed(world: &World) -> Plan {
    world.plan_with("b", &["--max-deletes", "100"])
}

/// What becomes of which row, and why where nothing does.
fn heads(plan: &Plan) -> Vec<String> {
    let head = |line: String| match line.as_bytes()[0] {
        b'=' | b'!' => line,
        _ => line.split(':').next().unwrap_or_default().to_owned(),
    };
    plan.lines().into_iter().map(head).collect()
}

fn content(world: &World) -> Vec<String> {
    let parents = world.rows("SELECT id, code, v, updated_at FROM parents ORDER BY id");
    [
        parents,
        world.rows("SELECT id, parent FROM children ORDER BY id"),
    ]
    .concat()
}

#[test]
fn a_record_may_say_that_its_row_goes() {
    for (file, content_of) in [
        (
            "parents/1.json",
            r#"{"op": "delete", "data": {"id": 3, "v": "whatever", "nonsense": [1]}}"#,
        ),
        (
            "parents/1.json",
            r#"{"op": "delete", "records": [{"id": 3}]}"#,
        ),
        ("parents/delete/1.csv", "id,v\n3,x\n"),
        ("parents/delete/2024/1.json", r#"[{"id": "3"}]"#),
    ] {
        let world = world("");
        let before = content(&world);
        world.deliver("b", file, content_of);
        // Unless that is allowed, a load deletes nothing.
        let plan = world.plan("b");
        assert!(
            plan.stderr
                .contains("1 row to delete, and at most 0 are allowed"),
            "{}",
            plan.stderr
        );
        world.writes_nothing(|| world.apply(&plan).exits(4));
        let plan = allowed(&world);
        assert_eq!(heads(&plan), ["- parents id=3"], "{content_of}");
        assert_eq!(
            plan.json()["changes"][0]["values"],
            serde_json::json!({"code": "C", "v": "z", "updated_at": "2020-01-01 00:00:00+00"})
        );
        let shown = world.show(&plan, &[]);
        assert!(shown.contains("- id=3"), "{shown}");
        world.apply(&plan).ok();
        assert_eq!(world.rows("SELECT id FROM parents ORDER BY id"), ["1", "2"]);
        // It is gone: the same delivery changes nothing.
        assert_eq!(world.plan("b").lines(), ["= parents id=3: gone"]);
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        assert_eq!(content(&world), before);
    }
}

#[test]
fn what_stands_against_a_delete_is_found_when_the_plan_is_made() {
    let world = world("");
    let delete = r#"{"op": "delete", "data": {"id": 1}}"#;
    // A row refers to it.
    world.deliver("b", "parents/1.json", delete);
    let plan = allowed(&world);
    assert_eq!(heads(&plan), ["! parents id=1: still_referred block"]);
    assert!(plan.text.contains("children"), "{}", plan.text);
    // Which is deleted too, or refers to another row from now on.
    for child in [
        r#"{"op": "delete", "data": {"id": 10}}"#,
        r#"{"id": 10, "parent": 3}"#,
    ] {
        world.deliver("b", "children/1.json", child);
        let plan = allowed(&world);
        assert_eq!(plan.count("violation"), 0, "{:?}", plan.lines());
        let before = content(&world);
        world.apply(&plan).ok();
        assert_eq!(world.rows("SELECT id FROM parents ORDER BY id"), ["2", "3"]);
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        assert_eq!(content(&world), before);
    }
    // A record begins to refer to it.
    world.deliver(
        "b",
        "children/1.json",
        r#"[{"id": 10, "parent": 3}, {"id": 30, "parent": 1}]"#,
    );
    let plan = allowed(&world);
    assert_eq!(plan.count("violation"), 1, "{:?}", plan.lines());
    // The record that would take the reference away is wrong itself.
    world.deliver(
        "b",
        "children/1.json",
        r#"{"op": "delete", "data": {"id": "ten"}}"#,
    );
    let plan = allowed(&world);
    let lines = plan.lines();
    assert!(
        lines.contains(&"! parents id=1: still_referred block".to_owned()),
        "{lines:?}"
    );
    // Two records for one row.
    world.deliver("c", "parents/1.json", delete);
    world.deliver("c", "parents/2.json", r#"{"id": 1, "v": "y"}"#);
    let plan = world.plan_with("c", &["--max-deletes", "9"]);
    let notes = &plan.json()["header"]["tables"];
    let notes = notes
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|t| t["warnings"].as_array().unwrap());
    let told = "limit of rows to delete changed from 0 to 9 by --max-deletes";
    assert!(notes.into_iter().any(|note| note == told), "{}", plan.text);
    assert_eq!(plan.count("violation"), 2, "{:?}", plan.lines());
    assert!(plan.text.contains("duplicate_key"), "{}", plan.text);
    // No key.
    world.deliver(
        "d",
        "parents/1.json",
        r#"{"op": "delete", "data": {"v": "x"}}"#,
    );
    let plan = world.plan_with("d", &["--max-deletes", "9"]);
    assert!(plan.text.contains("missing_key"), "{}", plan.text);
}

#[test]
fn what_the_database_would_delete_or_change_too_is_never_left_to_it() {
    for action in ["CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT"] {
        let world = World::new(
            &SCHEMA.replace(
                "REFERENCES parents",
                &format!("REFERENCES parents ON DELETE {action}"),
            ),
            "parents: {natural_key: [id], allow_side_effects: [children]}\nchildren: {natural_key: [id]}",
        );
        world.deliver("b", "parents/delete/1.csv", "id\n1\n3\n");
        let plan = allowed(&world);
        assert_eq!(plan.count("violation"), 1, "{action}: {:?}", plan.lines());
        // Named, it is deleted, audited, and put back.
        let before = content(&world);
        world.deliver("b", "children/delete/1.csv", "id\n10\n");
        let plan = allowed(&world);
        assert_eq!((plan.count("delete"), plan.count("violation")), (3, 0));
        world.apply(&plan).ok();
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        assert_eq!(content(&world), before);
    }
}

#[test]
fn what_a_deleted_row_held_another_may_take() {
    let world = world("");
    let before = content(&world);
    world.deliver("b", "parents/delete/1.csv", "id\n3\n");
    world.deliver("b", "parents/1.json", r#"{"id": 4, "code": "C"}"#);
    let plan = allowed(&world);
    assert_eq!(heads(&plan), ["- parents id=3", "+ parents id=4"]);
    world.apply(&plan).ok();
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(content(&world), before);
    world.deliver("b", "parents/1.json", r#"{"id": 2, "code": "C"}"#);
    let plan = allowed(&world);
    assert_eq!(plan.count("violation"), 0, "{:?}", plan.lines());
    world.apply(&plan).ok();
}

#[test]
fn a_row_that_changed_since_is_not_deleted() {
    let world = world("");
    world.deliver("b", "parents/delete/1.csv", "id\n3\n9\n");
    let plan = allowed(&world);
    assert_eq!(heads(&plan), ["- parents id=3", "= parents id=9: gone"]);
    for (change, back) in [
        (
            "UPDATE parents SET v = 'mine' WHERE id = 3",
            "UPDATE parents SET v = 'z' WHERE id = 3",
        ),
        (
            "INSERT INTO parents (id) VALUES (9)",
            "DELETE FROM parents WHERE id = 9",
        ),
    ] {
        world.sql(change);
        world.writes_only_a_failure(|| world.apply(&plan).exits(3));
        world.sql(back);
    }
    world.apply(&plan).ok();
}

#[test]
fn where_deletes_mark_rows_they_do() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text, deleted_at timestamptz, updated_at timestamptz); \
         CREATE TABLE u (id int REFERENCES t); \
         INSERT INTO t VALUES (1, 'x', NULL, '2020-01-01'), (2, 'y', '2021-01-01', '2020-01-01'); INSERT INTO u VALUES (1)",
        "t: {natural_key: [id], soft_delete: true}",
    );
    world.deliver("b", "t/delete/1.csv", "id\n1\n2\n");
    let plan = allowed(&world);
    assert_eq!(heads(&plan), ["- t id=1", "= t id=2: unchanged"]);
    world.apply(&plan).ok();
    let live = "SELECT id FROM t WHERE deleted_at IS NULL";
    assert_eq!(world.rows(live), Vec::<String>::new());
    assert_eq!(
        world.rows("SELECT updated_at > now() - interval '1 hour' FROM t WHERE id = 1"),
        ["t"]
    );
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows(live), ["1"]);
    assert_eq!(
        world.rows("SELECT updated_at FROM t WHERE id = 1"),
        ["2020-01-01 00:00:00+00"]
    );
}

#[test]
fn a_record_that_gives_the_mark_of_a_live_row_deletes_it() {
    for (column, mark) in [
        ("deleted_at timestamptz", "2024-01-02T03:04:05Z"),
        ("deleted_at boolean", "true"),
        ("deleted_at boolean NOT NULL DEFAULT false", "yes"),
    ] {
        let world = World::new(
            &format!(
                "CREATE TABLE t (id int PRIMARY KEY, v text, {column}); \
                 INSERT INTO t (id, v) SELECT i, 'x' FROM generate_series(1, 4) i"
            ),
            "t: {natural_key: [id], soft_delete: true}",
        );
        // An export of all that there is, in which rows are deleted, and one that was never loaded.
        let export = format!("id,v,deleted_at\n1,x,{mark}\n2,new,{mark}\n3,new,\n5,x,{mark}\n");
        world.deliver("b", "t/1.csv", export.as_str());
        let plan = world.plan("b");
        assert_eq!((plan.count("update"), plan.count("delete")), (3, 0));
        let shown = world.show(&plan, &[]);
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        for says in [
            "2 updates mark their rows as deleted (deleted_at): limits count that as a delete",
            "2 rows to delete, and at most 0 are allowed",
        ] {
            assert!(shown.contains(says), "{column}: {says}: {shown}");
        }
        world.writes_nothing(|| world.apply(&plan).exits(4));
        let few = world.plan_with("b", &["--max-deletes", "t=1"]);
        world.writes_nothing(|| world.apply(&few).exits(4));
        let plan = world.plan_with("b", &["--max-deletes", "t=2"]);
        world.apply(&plan).ok();
        let marked = "SELECT id FROM t WHERE deleted_at IS NOT NULL AND deleted_at::text <> 'false' ORDER BY 1";
        assert_eq!(world.rows(marked), ["1", "2", "5"], "{column}");
        // What is marked may stay so.
        assert_eq!(world.plan("b").news(), [""; 0]);
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        // The row that was new is marked in its turn.
        assert_eq!(world.rows(marked), ["5"], "{column}");
    }
}

#[test]
fn an_op_that_is_not_known_or_comes_too_late_is_refused() {
    for (text, says) in [
        (
            r#"{"op": "remove", "data": {"id": 3}}"#,
            "the envelope's op is \"remove\", which is none of upsert, delete",
        ),
        (
            r#"{"records": [{"id": 3}], "op": "delete"}"#,
            "op stands behind",
        ),
        (
            r#"{"op": "purge", "records": [{"id": 3}]}"#,
            "none of upsert, delete",
        ),
    ] {
        let world = world("");
        world.deliver("b", "parents/1.json", text);
        world.try_plan("b", &[]).exits(1).says(says);
    }
    let world = world("");
    world.deliver(
        "b",
        "parents/1.json",
        r#"{"op": "upsert", "data": {"id": 3, "v": "n"}}"#,
    );
    assert_eq!(world.plan("b").count("update"), 1);
}

#[test]
fn a_complete_delivery_is_all_there_is() {
    let world = world(", complete: true");
    let before = content(&world);
    world.deliver(
        "b",
        "children/1.json",
        r#"{"op": "delete", "data": {"id": 20}}"#,
    );
    world.deliver("b", "parents/1.csv", "id,v\n1,\n3,z\n4,new\n");
    let plan = world.plan("b");
    assert!(
        plan.stderr
            .contains("1 row to delete, and at most 0 are allowed"),
        "{}",
        plan.stderr
    );
    let plan = allowed(&world);
    assert_eq!(
        heads(&plan),
        [
            "~ parents id=1",
            "- parents id=2",
            "= parents id=3: unchanged",
            "+ parents id=4",
            "- children id=20",
        ]
    );
    assert!(
        plan.text.contains("all there is of the table"),
        "{}",
        plan.text
    );
    // A row that appears after the plan was made is left alone.
    world.sql("INSERT INTO parents (id) VALUES (77)");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT id, code, v FROM parents ORDER BY id"),
        ["1|A|∅", "3|C|z", "4|∅|new", "77|∅|∅"]
    );
    world.sql("DELETE FROM parents WHERE id = 77");
    let again = world.plan("b");
    assert_eq!(
        again.count("delete") + again.count("update") + again.count("insert"),
        0,
        "{:?}",
        again.lines()
    );
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(content(&world), before);
}

#[test]
fn what_a_delivery_brings_is_not_missing_whatever_is_wrong_about_it() {
    let world = world(", complete: true, on_invalid: reject");
    world.sql("DELETE FROM children");
    world.deliver(
        "b",
        "parents/1.json",
        r#"[{"id": 1, "nope": 1}, {"id": 2}]"#,
    );
    let plan = allowed(&world);
    assert_eq!(plan.count("delete"), 1, "{:?}", plan.lines());
    assert!(heads(&plan).contains(&"- parents id=3".to_owned()));
    // Whose key cannot be read, may be any of them.
    world.deliver("b", "parents/1.json", r#"[{"id": "one"}, {"id": 2}]"#);
    let plan = allowed(&world);
    assert_eq!(plan.count("delete"), 0, "{:?}", plan.lines());
    assert!(
        plan.text.contains("1 record has no key that can be read"),
        "{}",
        plan.text
    );
    // What was left out by name is not missing.
    world.deliver("b", "parents/1.json", r#"[{"id": 1}, {"id": 2}]"#);
    world.write("out.txt", "parents 2\n");
    let plan = world.plan_with("b", &["--max-deletes", "9", "--leave-out", "out.txt"]);
    assert_eq!(
        heads(&plan),
        [
            "= parents id=1: unchanged",
            "= parents id=2: left_out",
            "- parents id=3"
        ]
    );
    // A delivery without any record, or of deletes alone, is none: a file that was cut off looks so.
    for (file, content_of, deletes) in [
        ("parents/1.csv", "id,v\n", 0),
        ("parents/1.csv", "", 0),
        ("parents/1.json", "[]", 0),
        ("parents/delete/1.csv", "id\n3\n", 1),
        (
            "parents/1.json",
            r#"{"op": "delete", "data": {"id": 3}}"#,
            1,
        ),
    ] {
        let batch = format!("e{}", content_of.len());
        world.deliver(&batch, file, content_of);
        let plan = world.plan_with(&batch, &["--max-deletes", "9"]);
        assert_eq!(plan.count("delete"), deletes, "{file}: {content_of}");
        assert!(plan.text.contains("it brings no record"), "{}", plan.text);
    }
    // A table of which nothing was delivered, or that is not asked for, is as it was.
    world.deliver("c", "children/1.json", r#"{"id": 30, "parent": 1}"#);
    assert_eq!(
        world
            .plan_with("c", &["--max-deletes", "9"])
            .count("delete"),
        0
    );
    world.deliver("b", "children/1.json", r#"{"id": 30, "parent": 1}"#);
    world
        .try_plan("b", &["--table-name", "children"])
        .exits(1)
        .says("which the batch brings too");
}

#[test]
fn a_complete_delivery_may_be_of_a_part_of_its_table() {
    let config = |what: &str| format!("parents: {{natural_key: [id], complete: {what}}}");
    let world = World::new(SCHEMA, &config("{where: {v: x}}"));
    world.sql("DELETE FROM children; INSERT INTO parents VALUES (5, 'E', 'x')");
    world.deliver("b", "parents/1.csv", "id,v\n5,x\n");
    let plan = allowed(&world);
    assert_eq!(
        heads(&plan),
        ["- parents id=1", "= parents id=5: unchanged"]
    );
    assert!(plan.text.contains("where v = x"), "{}", plan.text);
    world.configure(&config("{where: {v: x}}, sensitive: [v]"));
    let plan = allowed(&world);
    assert!(
        plan.text.contains("where v is what tables.yaml says"),
        "{}",
        plan.text
    );
    for (scope, says) in [
        (
            "{where: {vv: x}}",
            "vv is not a column of parents; did you mean v?",
        ),
        ("{where: {}}", "names no column"),
        ("{of_each: []}", "names no column"),
        ("{of_each: [vv]}", "vv is not a column of parents"),
        ("{of_each: [v], where: {v: x}}", "in one way"),
        ("{of_each: [v]}, on_invalid: reject", "may be left out"),
        ("{where: [v]}", "invalid type"),
        ("{of: {v: x}}", "unknown field"),
        (
            "sometimes",
            "true, false, {where: {column: value}} or {of_each: [column]}",
        ),
        ("{where: {updated_at: never}}", "never"),
        (
            "true, update_strategy: insert_only",
            "tables.yaml: 1:30: complete says",
        ),
        (
            "true, conflict_resolution: skip",
            "conflict_resolution: skip",
        ),
    ] {
        world.write("tables.yaml", config(scope));
        let run = world.try_plan("b", &[]);
        assert_ne!(run.code, Some(0), "{scope}");
        run.says(says);
    }
}

#[test]
fn what_a_delivery_passes_over_is_counted() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, phone text, mail text, n int NOT NULL DEFAULT 0); \
         INSERT INTO t VALUES (1, '1', 'a', 1), (2, '2', NULL, 1), (3, '3', 'c', 1), (4, NULL, NULL, 1), (5, '5', 'e', 1)",
        "t: {natural_key: [id]}",
    );
    world.deliver(
        "b",
        "t/1.csv",
        "id,phone,mail,n\n1,,b,\n2,,,2\n4,,,1\n9,,,1\n",
    );
    let plan = world.plan("b");
    let passed = |plan: &Plan| plan.json()["header"]["tables"][0]["passed_over"].clone();
    // Rows 3 and 5; the telephone numbers of 1 and 2; an empty cell for the number of 1.
    assert_eq!(
        passed(&plan),
        serde_json::json!({"rows": 2, "nulls": {"n": 1, "phone": 2}})
    );
    for format in ["text", "markdown", "html"] {
        let shown = world.show(&plan, &["--format", format]);
        for says in [
            "2 rows of the table are not in the delivery and stay as they are",
            "n 1, phone 2",
        ] {
            assert!(shown.contains(says), "{format}: {shown}");
        }
    }
    // Nulls that win are changes.
    world.configure("t: {natural_key: [id], conflict_resolution: replace}");
    let plan = world.plan("b");
    assert_eq!(
        passed(&plan),
        serde_json::json!({"rows": 2}),
        "{:?}",
        plan.lines()
    );
    world.configure("t: {natural_key: [id], complete: true}");
    assert_eq!(passed(&allowed(&world)), serde_json::Value::Null);
}

#[test]
fn a_complete_delivery_may_be_of_what_it_brings() {
    let world = World::new(
        "CREATE TABLE ids (center int, local_id text, kind text, subject int, PRIMARY KEY (center, local_id, kind)); \
         INSERT INTO ids VALUES (8, 'P-1', 'main', 1), (8, 'P-1', 'other', 1), (8, 'P-2', 'main', 2), (42, 'P-3', 'main', 3)",
        "ids: {natural_key: [center, local_id, kind], complete: {of_each: [local_id, kind]}, limits: {delete: 2}}",
    );
    // P-1 moved to another center, and P-3 is as it was.
    world.deliver(
        "b",
        "ids/1.csv",
        "center,local_id,kind,subject\n42,P-1,main,1\n42,P-3,main,3\n",
    );
    let plan = world.plan("b");
    assert_eq!(
        heads(&plan),
        [
            "+ ids center=42 kind=main local_id=P-1",
            "= ids center=42 kind=main local_id=P-3: unchanged",
            "- ids center=8 kind=main local_id=P-1",
        ]
    );
    assert!(
        plan.text.contains("for each local_id, kind that it brings"),
        "{}",
        plan.text
    );
    world.apply(&plan).ok();
    assert_eq!(world.plan("b").count("skip"), 2);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows("SELECT count(*) FROM ids"), ["4"]);
    // A record that is wrong takes no place.
    world.deliver(
        "c",
        "ids/1.csv",
        "center,local_id,kind,subject\n42,P-2,main,two\n",
    );
    let plan = world.plan("c");
    assert_eq!((plan.count("violation"), plan.count("delete")), (1, 0));
}

#[test]
fn a_parent_and_its_children_go_together_by_key_too() {
    let world = World::new(
        "CREATE TABLE orders (id serial PRIMARY KEY, order_no text UNIQUE); \
         CREATE TABLE items (order_id int REFERENCES orders, line int, v text, PRIMARY KEY (order_id, line)); \
         INSERT INTO orders (order_no) VALUES ('O-1'), ('O-2'); INSERT INTO items VALUES (1, 1, 'a'), (1, 2, 'b'), (2, 1, 'c')",
        "orders: {natural_key: [order_no]}\n\
         items: {natural_key: [order_id, line], references: {order_id: {table: orders, by: {order_no: order}}}}",
    );
    let content = || {
        [
            world.rows("SELECT id, order_no FROM orders ORDER BY 1"),
            world.rows("SELECT order_id, line, v FROM items ORDER BY 1, 2"),
        ]
        .concat()
    };
    let before = content();
    world.deliver("b", "orders/delete/1.csv", "order_no\nO-1\n");
    world.deliver("b", "items/delete/1.csv", "order,line\nO-1,1\nO-1,2\n");
    let plan = allowed(&world);
    assert_eq!((plan.count("delete"), plan.count("violation")), (3, 0));
    world.apply(&plan).ok();
    assert_eq!(content(), ["2|O-2", "2|1|c"]);
    // All of it is gone, what is named by a parent that is gone too.
    let again = world.plan("b");
    assert_eq!(
        (again.count("skip"), again.count("violation")),
        (3, 0),
        "{:?}",
        again.lines()
    );
    world.apply(&again).ok();
    let id = world.rows("SELECT application FROM loader_ledger ORDER BY applied_at LIMIT 1");
    world
        .loader(&["rollback", "--application", &id[0], "--force"])
        .ok();
    assert_eq!(content(), before);
}

#[test]
fn rows_of_inheriting_tables_are_not_deleted_through_their_parent() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE heir (more text) INHERITS (t); \
         INSERT INTO t VALUES (1, 'a'); INSERT INTO heir VALUES (2, 'b', 'c')",
        "t: {natural_key: [id]}",
    );
    world.deliver("b", "t/delete/1.csv", "id\n2\n");
    world
        .try_plan("b", &["--max-deletes", "9"])
        .exits(1)
        .says("other tables inherit from table t");
    world.configure("t: {natural_key: [id], complete: true}");
    world.deliver("c", "t/1.csv", "id,v\n1,a\n");
    world
        .try_plan("c", &["--max-deletes", "9"])
        .exits(1)
        .says("other tables inherit from table t");
    // Its own rows can be changed, and by the heir's name its rows can go.
    world.configure("t: {natural_key: [id]}\nheir: {natural_key: [id]}");
    world.deliver("d", "t/1.csv", "id,v\n1,z\n");
    world.apply(&world.plan("d")).ok();
    world.deliver("e", "heir/delete/1.csv", "id\n2\n");
    let plan = world.plan_with("e", &["--max-deletes", "9"]);
    world.apply(&plan).ok();
    for batch in ["e", "d"] {
        world
            .loader(&["rollback", "--batch-id", batch, "--force"])
            .ok();
    }
    assert_eq!(world.rows("SELECT * FROM heir"), ["2|b|c"]);
}

#[test]
fn an_envelope_and_a_path_that_say_two_things_are_refused() {
    let world = world("");
    world.deliver(
        "b",
        "parents/delete/1.json",
        r#"[{"op": "delete", "data": {"id": 1}}, {"op": "upsert", "data": {"id": 3, "v": "n"}}]"#,
    );
    world
        .try_plan("b", &[])
        .exits(1)
        .says(r#"record 2: its envelope's op is "upsert", but its path says "delete""#);
}

#[test]
fn what_a_row_will_not_hold_makes_no_delivery_complete_of_it() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, grp text, v text); \
         INSERT INTO t VALUES (1, 'A', 'x'), (2, 'B', 'y'), (3, 'B', 'z')",
        "t: {natural_key: [id], complete: {of_each: [grp]}, on_duplicate: last}",
    );
    // Of two records with one key the last is the row's: nothing is said of group A.
    world.deliver("b", "t/1.csv", "id,grp,v\n2,A,y\n2,B,y\n3,B,z\n");
    let plan = allowed(&world);
    assert_eq!(plan.count("delete"), 0, "{:?}", plan.lines());
    // What updates do not write, the row does not hold.
    for keeps in [
        "insert_only_fields: [grp]",
        "immutable_fields: [grp], on_immutable: keep",
    ] {
        world.configure(&format!(
            "t: {{natural_key: [id], complete: {{of_each: [grp]}}, {keeps}}}"
        ));
        world.deliver("b", "t/1.csv", "id,grp,v\n1,B,x\n");
        let plan = allowed(&world);
        assert_eq!(plan.count("delete"), 0, "{keeps}: {:?}", plan.lines());
        world.deliver("b", "t/1.csv", "id,grp,v\n1,B,x\n2,B,y\n");
        let plan = allowed(&world);
        assert!(heads(&plan).contains(&"- t id=3".to_owned()), "{keeps}");
    }
}

#[test]
fn a_scope_that_no_column_has_is_named() {
    let world = world(", complete: {where: {id: one}}");
    world.deliver("b", "parents/1.csv", "id,v\n3,z\n");
    world
        .try_plan("b", &[])
        .exits(1)
        .says("complete of table parents: where: id: \"one\": not a whole number");
}

#[test]
fn who_refers_without_a_foreign_key_is_seen_in_the_batch() {
    let world = World::new(
        "CREATE TABLE customers (id serial PRIMARY KEY, no text UNIQUE); \
         CREATE TABLE orders (no text PRIMARY KEY, customer_id int, v text); \
         INSERT INTO customers (no) VALUES ('A'), ('B'); INSERT INTO orders VALUES ('O-1', 1), ('O-2', 1)",
        "customers: {natural_key: [no]}\n\
         orders: {natural_key: [no], references: {customer_id: {table: customers, by: {no: customer}}}}",
    );
    world.deliver("b", "customers/delete/1.csv", "no\nA\n");
    world.deliver("b", "orders/1.csv", "no,v\nO-1,new\n");
    let plan = allowed(&world);
    assert!(
        plan.text.contains("rows of orders refer to it (O-1; O-2)"),
        "{}",
        plan.text
    );
    world.deliver("b", "orders/1.csv", "no,customer\nO-1,B\nO-2,B\n");
    let plan = allowed(&world);
    assert_eq!(plan.count("violation"), 0, "{:?}", plan.lines());
    world.apply(&plan).ok();
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(
        world.rows("SELECT no, customer_id FROM orders ORDER BY 1"),
        ["O-1|1", "O-2|1"]
    );
}

/// The values of `where` are read as those of records are: else rows are deleted that nobody means.
#[test]
fn a_part_that_is_complete_is_named_by_values_as_records_have_them() {
    for (ty, settings, value, rows, gone) in [
        ("varchar(3)", "", "ABC", "('a', 'ABC'), ('b', 'ABD')", "a"),
        (
            "timestamptz",
            ", time_zone: Europe/Berlin",
            "2024-02-01 01:00",
            "('a', '2024-02-01 00:00+00'), ('b', '2024-02-01 01:00+00')",
            "a",
        ),
        ("numeric(5,1)", "", "1.20", "('a', 1.2), ('b', 1.3)", "a"),
        ("int", "", "2.0", "('a', 2), ('b', 3)", "a"),
        (
            "numeric",
            ", decimal_comma: true",
            "1,5",
            "('a', 1.5), ('b', 15)",
            "a",
        ),
        (
            "date",
            ", formats: [\"%d.%m.%Y\"]",
            "01.02.2024",
            "('a', '2024-02-01'), ('b', '2024-01-02')",
            "a",
        ),
        (
            "boolean",
            ", true_words: [ja], false_words: [nein]",
            "nein",
            "('a', false), ('b', true)",
            "a",
        ),
        ("text", "", "null", "('a', 'null'), ('b', NULL)", "a"),
    ] {
        let world = World::new(
            &format!("CREATE TABLE t (k text PRIMARY KEY, site {ty}); INSERT INTO t VALUES {rows}"),
            &format!(
                "t: {{natural_key: [k], limits: {{delete: 5}}{settings}, complete: {{where: {{site: \"{value}\"}}}}}}"
            ),
        );
        world.deliver("b", "t/1.csv", format!("k,site\nn,\"{value}\"\n"));
        let plan = world.plan("b");
        let lines = plan.lines();
        let deleted: Vec<&String> = lines.iter().filter(|l| l.starts_with('-')).collect();
        assert!(
            matches!(&*deleted, [one] if one.starts_with(&format!("- t k={gone}:"))),
            "{ty} {value}: {lines:?}"
        );
        world.apply(&plan).ok();
    }
    for (ty, settings, value, says) in [
        (
            "varchar(3)",
            "",
            "\"ABCD\"",
            "where: site: \"ABCD\": value too long for type character",
        ),
        (
            "char(3)",
            "",
            "\"ABCD\"",
            "where: site: \"ABCD\": value too long for type character",
        ),
        ("bit(3)", "", "\"1011\"", "where: site: \"1011\""),
        ("date", "", "today", "where: site: \"today\""),
        (
            "date",
            "",
            "\"2024-02-01 23:00\"",
            "where: site: \"2024-02-01 23:00\"",
        ),
        ("numeric(5,1)", "", "1.24", "a row has \"1.2\" in its place"),
        (
            "text",
            "",
            "null",
            "no row has a value that equals null; quote it if the word is meant",
        ),
        ("text", "", "~", "no row has a value that equals null"),
        ("text", ", null_words: [NA]", "NA", "it means null"),
    ] {
        let world = World::new(
            &format!("CREATE TABLE t (k text PRIMARY KEY, site {ty})"),
            &format!("t: {{natural_key: [k]{settings}, complete: {{where: {{site: {value}}}}}}}"),
        );
        world.deliver("b", "t/1.csv", "k\nn\n");
        world.try_plan("b", &[]).exits(1).says(says);
    }
}

#[test]
fn what_is_the_whole_truth_cannot_leave_rows_alone() {
    let world = World::new(SCHEMA, "parents: {natural_key: [id], complete: true}");
    world.deliver("b", "parents/1.csv", "id,v\n1,x\n");
    for strategy in ["upsert", "update_only"] {
        world.try_plan("b", &["--strategy", strategy]).ok();
    }
    world
        .try_plan("b", &["--strategy", "insert_only"])
        .exits(1)
        .says("--strategy: complete says that rows of parents are deleted and changed, and update_strategy: insert_only that none is");
    // What a record takes the place of does not go where the record itself cannot come.
    let replaces = "complete: of_each deletes what records of parents take the place of, and with update_strategy: update_only";
    for more in ["", ", update_strategy: update_only"] {
        let world = World::new(
            SCHEMA,
            &format!(
                "parents: {{natural_key: [id], complete: {{of_each: [v]}}, limits: {{delete: 5}}{more}}}"
            ),
        );
        world.deliver("b", "parents/1.csv", "id,v\n1,x\n");
        world
            .try_plan("b", &["--strategy", "update_only"])
            .exits(1)
            .says(replaces);
        let plain = world.try_plan("b", &[]);
        match more {
            "" => plain.ok(),
            _ => plain.exits(1).says(replaces),
        };
    }
}

#[test]
fn files_that_are_not_read_are_told() {
    let world = World::in_folder(SCHEMA, "parents: {natural_key: [id], complete: true}");
    world.set("LOADER_QUEUE", "off");
    for name in [
        "parents/1.csv",
        "parents/.2.csv",
        "parents/.part/3.csv",
        "parents/4.csv",
        "parents/._1.csv",
        "parents/.x.tmp",
    ] {
        world.put("b", name, "id,v\n1,x\n");
    }
    let plan = world.plan_with("b", &["--ignore", "4.csv"]);
    assert!(
        plan.text.contains(
            "not read: staging/b/parents/.2.csv, as its name begins with a dot, and 2 more"
        ),
        "{}",
        plan.text
    );
}

#[test]
fn rows_that_no_record_can_name_stay_and_are_counted() {
    let world = World::new(
        "CREATE TABLE nk (a text, b text, v int, UNIQUE (a, b)); \
         INSERT INTO nk VALUES ('1', NULL, 1), ('1', 'x', 2), ('2', 'y', 7), (NULL, NULL, 3)",
        "nk: {natural_key: [a, b], limits: {delete: 9}, complete: true}",
    );
    world.deliver("b", "nk.csv", "a,b,v\n1,x,2\n");
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        ["= nk a=1 b=x: unchanged", "- nk a=2 b=y: v=\"7\""]
    );
    let shown = world.loader(&["show", plan.name()]).ok();
    assert!(
        shown
            .stdout
            .contains("2 rows stay that would be deleted, with null in the natural key"),
        "{shown}"
    );
    world.apply(&plan).ok();
    assert_eq!(world.value("SELECT count(*)::text FROM nk"), "3");
}

#[test]
fn check_says_that_a_row_has_come_which_refers_to_one_that_goes() {
    for (key, loose) in [
        ("REFERENCES parents", false),
        ("REFERENCES parents ON DELETE CASCADE", false),
        ("", true),
    ] {
        let references = match loose {
            true => ", references: {parent: {table: parents, by: {name: p}}}",
            false => "",
        };
        let world = World::in_folder(
            &format!(
                "CREATE TABLE parents (id int PRIMARY KEY, name text UNIQUE); CREATE TABLE children (id int PRIMARY KEY, parent int {key}); \
                 INSERT INTO parents VALUES (1, 'one'), (2, 'two'); INSERT INTO children VALUES (10, 1)"
            ),
            &format!("parents: {{natural_key: [id]}}\nchildren: {{natural_key: [id]{references}}}"),
        );
        if loose {
            world.deliver("a", "children/1.json", r#"{"id": 11, "p": "one"}"#);
            world.apply(&world.plan("a")).ok();
        }
        let rows = if loose {
            r#"[{"id": 10}, {"id": 11}]"#
        } else {
            r#"[{"id": 10}]"#
        };
        world.deliver(
            "b",
            "parents/1.json",
            r#"{"op": "delete", "data": {"id": 1}}"#,
        );
        world.deliver(
            "b",
            "children/1.json",
            format!(r#"{{"op": "delete", "records": {rows}}}"#),
        );
        let plan = allowed(&world);
        world.check(&plan).ok();
        world.sql("INSERT INTO children VALUES (12, 2)");
        world.check(&plan).ok();
        world.sql("INSERT INTO children VALUES (13, 1)");
        let found = world.check(&plan);
        assert_eq!(found.code, Some(3), "{key} {}", found.stderr);
        let says = "parents: 1 row of children refers to rows that this plan deletes";
        assert!(found.stderr.contains(says), "{}", found.stderr);
        assert_ne!(world.apply(&plan).code, Some(0));
        world.sql("DELETE FROM children WHERE id = 13");
        world.apply(&plan).ok();
    }
}

/// What refers to a row is said, where no value is quoted, though a column is sensitive.
#[test]
fn who_refers_is_said_of_a_table_with_sensitive_columns() {
    let world = World::new(
        "CREATE TABLE a (id serial PRIMARY KEY, no text UNIQUE NOT NULL, secret text); \
         CREATE TABLE b (no text PRIMARY KEY, a_id int NOT NULL REFERENCES a); \
         CREATE TABLE c (no text PRIMARY KEY, a_id int NOT NULL REFERENCES a); \
         INSERT INTO a (no) VALUES ('A1'); INSERT INTO b VALUES ('B1', 1); INSERT INTO c VALUES ('C1', 1)",
        "a: {natural_key: [no], sensitive: [secret], limits: {delete: 5}}",
    );
    world.deliver("b", "a/delete/1.csv", "no\nA1\n");
    let shown = world.show(&world.plan("b"), &[]);
    for fk in ["b_a_id_fkey", "c_a_id_fkey"] {
        assert!(shown.contains(fk), "{shown}");
    }
}
