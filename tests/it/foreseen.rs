//! What would fail when a plan is applied is found when it is made, and what would not is allowed.

use crate::support::World;

#[test]
fn a_generated_reference_that_would_dangle_is_a_violation() {
    let world = World::new(
        "CREATE TABLE subjects (id text PRIMARY KEY); INSERT INTO subjects VALUES ('s1'), ('s2'); \
         CREATE TABLE docs (id int PRIMARY KEY, body jsonb NOT NULL, \
           subject text GENERATED ALWAYS AS (body ->> 'subject') STORED REFERENCES subjects); \
         INSERT INTO docs VALUES (1, '{\"subject\": \"s1\"}'), (2, '{\"subject\": \"s1\"}'), (3, '{\"subject\": \"s1\"}')",
        "docs: {natural_key: [id]}",
    );
    world.deliver(
        "b",
        "docs/1.json",
        r#"[{"id": 1, "body": {"subject": "nobody"}}, {"id": 2, "body": {"subject": "s2"}}, {"id": 3, "body": {"subject": "s1", "x": 1}}]"#,
    );
    let plan = world.plan("b");
    let lines = plan.lines();
    assert_eq!(
        lines[0], "! docs id=1: missing_parent subject block",
        "{lines:?}"
    );
    assert_eq!(plan.count("update"), 2, "{lines:?}");
    world.deliver(
        "b",
        "docs/1.json",
        r#"[{"id": 2, "body": {"subject": "s2"}}, {"id": 3, "body": {"subject": "s1", "x": 1}}]"#,
    );
    let plan = world.plan("b");
    world.apply(&plan).ok();
}

#[test]
fn updates_are_ordered_by_what_the_database_generates_from_them_too() {
    // Documents that refer to documents, by a column made from their body; and to others.
    let world = World::new(
        "CREATE TABLE docs (id int PRIMARY KEY, body jsonb NOT NULL, \
           code text GENERATED ALWAYS AS (body ->> 'code') STORED UNIQUE, \
           parent text GENERATED ALWAYS AS (body ->> 'parent') STORED REFERENCES docs (code)); \
         INSERT INTO docs VALUES (1, '{\"code\": \"A\"}'), (2, '{\"code\": \"B\"}'), (3, '{\"code\": \"C\"}')",
        "docs: {natural_key: [id]}",
    );
    let codes = || world.rows("SELECT id, code, parent FROM docs ORDER BY id");
    let before = codes();
    for (batch, after) in [
        (
            // Refers to a document that comes with it.
            r#"[{"id": 1, "body": {"code": "A", "parent": "N"}}, {"id": 9, "body": {"code": "N"}}]"#,
            ["1|A|N", "2|B|∅", "3|C|∅", "9|N|∅"].as_slice(),
        ),
        (
            // Takes the code that another gives up, in either order.
            r#"[{"id": 1, "body": {"code": "B"}}, {"id": 2, "body": {"code": "X"}}]"#,
            &["1|B|∅", "2|X|∅", "3|C|∅"],
        ),
        (
            r#"[{"id": 3, "body": {"code": "B"}}, {"id": 2, "body": {"code": "A"}}, {"id": 1, "body": {"code": "Y"}}]"#,
            &["1|Y|∅", "2|A|∅", "3|B|∅"],
        ),
    ] {
        world.deliver("b", "docs/1.json", batch);
        let plan = world.plan("b");
        assert_eq!(plan.count("violation"), 0, "{batch}: {:?}", plan.lines());
        world.apply(&plan).ok();
        assert_eq!(codes(), after, "{batch}");
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        assert_eq!(codes(), before, "{batch}");
    }
}

#[test]
fn a_key_and_what_refers_to_it_change_together_only_where_that_can_be_deferred() {
    for (deferrable, violations) in [("", 1), (" DEFERRABLE", 0)] {
        let world = World::new(
            &format!(
                "CREATE TABLE parents (id int PRIMARY KEY, code text UNIQUE); \
                 CREATE TABLE children (id int PRIMARY KEY, code text REFERENCES parents (code){deferrable}); \
                 INSERT INTO parents VALUES (1, 'A'); INSERT INTO children VALUES (1, 'A')"
            ),
            "parents: {natural_key: [id]}\nchildren: {natural_key: [id]}",
        );
        world.deliver("b", "parents/1.json", r#"{"id": 1, "code": "B"}"#);
        world.deliver("b", "children/1.json", r#"{"id": 1, "code": "B"}"#);
        let plan = world.plan("b");
        assert_eq!(plan.count("violation"), violations, "{:?}", plan.lines());
        if violations == 0 {
            world.apply(&plan).ok();
            assert_eq!(world.rows("SELECT code FROM children"), ["B"]);
        } else {
            assert!(
                plan.text.contains("a deferrable key would allow both"),
                "{}",
                plan.text
            );
        }
    }
    // Within one table, one statement changes both.
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, code text UNIQUE, boss text REFERENCES t (code)); \
         INSERT INTO t VALUES (1, 'A', NULL), (2, 'X', 'A')",
        "t: {natural_key: [id]}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "code": "B"}, {"id": 2, "boss": "B"}]"#,
    );
    let plan = world.plan("b");
    assert_eq!(plan.count("violation"), 0, "{:?}", plan.lines());
    world.apply(&plan).ok();
}

#[test]
fn rows_that_the_database_would_change_with_their_parents_are_foreseen() {
    for (action, allowed) in [
        ("CASCADE", false),
        ("SET NULL", false),
        ("SET DEFAULT", false),
        ("CASCADE", true),
        ("SET NULL", true),
    ] {
        let schema = format!(
            "CREATE TABLE countries (id int PRIMARY KEY, code text UNIQUE); \
             CREATE TABLE sites (id int PRIMARY KEY, country text REFERENCES countries (code) ON UPDATE {action}); \
             INSERT INTO countries VALUES (1, 'UK'), (2, 'FR'); INSERT INTO sites VALUES (1, 'UK')"
        );
        let also = if allowed {
            ", allow_side_effects: [sites]"
        } else {
            ""
        };
        let world = World::new(&schema, &format!("countries: {{natural_key: [id]{also}}}"));
        world.deliver(
            "b",
            "countries/1.json",
            r#"[{"id": 1, "code": "GB"}, {"id": 2, "code": "FX"}]"#,
        );
        let plan = world.plan("b");
        let lines = plan.lines();
        if allowed && action == "CASCADE" {
            assert_eq!(plan.count("violation"), 0, "{lines:?}");
            world.apply(&plan).ok();
            assert_eq!(world.rows("SELECT country FROM sites"), ["GB"]);
            continue;
        }
        // Only the row that somebody refers to.
        assert_eq!(plan.count("violation"), 1, "{action}: {lines:?}");
        assert!(lines[0].starts_with("! countries id=1: "), "{lines:?}");
        let advice = match action {
            "CASCADE" => "allow_side_effects",
            _ => "no rollback could give back",
        };
        assert!(plan.text.contains(advice), "{}", plan.text);
    }
}

#[test]
fn a_key_that_the_database_always_numbers_finds_rows_where_none_are_inserted() {
    let world = World::new(
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text); INSERT INTO t (v) VALUES ('old'), ('old')",
        "t: {natural_key: [id], update_strategy: update_only}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 2, "v": "new"}, {"id": 9, "v": "new"}]"#,
    );
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        ["~ t id=2: v=\"old\"→\"new\"", "= t id=9: missing"]
    );
    world.apply(&plan).ok();
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows("SELECT v FROM t"), ["old", "old"]);
}

#[test]
fn one_bad_composite_value_is_one() {
    let world = World::new(
        "CREATE TYPE pair AS (a int, b varchar(3)); CREATE TABLE t (id int PRIMARY KEY, p pair, ps pair[])",
        "t: {natural_key: [id], on_invalid: reject}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "p": "(1,abc)"}, {"id": 2, "p": "(x,y)"}, {"id": 3, "p": "(1,abcd)"}, {"id": 4, "p": "(2,)", "ps": "{\"(1,a)\"}"}]"#,
    );
    let plan = world.plan("b");
    let lines = plan.lines();
    assert_eq!(
        (plan.count("insert"), plan.count("violation")),
        (2, 2),
        "{lines:?}"
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT id, p FROM t ORDER BY 1"),
        ["1|(1,abc)", "4|(2,)"]
    );
}

#[test]
fn a_table_may_have_more_columns_than_a_query_can_send_twice() {
    let columns: Vec<String> = (0..900).map(|i| format!("c{i} int")).collect();
    let world = World::new(
        &format!(
            "CREATE TABLE t (id int PRIMARY KEY, note text, {}); INSERT INTO t (id, note, c7) VALUES (2, 'a\tb\\N\"', 7)",
            columns.join(", ")
        ),
        "t: {natural_key: [id]}",
    );
    let record = |id: i32, seven: &str| {
        let fields = (0..900).map(|i| match i {
            7 => format!("\"c{i}\": {seven}"),
            _ => format!("\"c{i}\": {i}"),
        });
        let fields: Vec<String> = fields.collect();
        format!("{{\"id\": {id}, {}}}", fields.join(", "))
    };
    world.deliver("b", "t/1.json", record(1, "7"));
    world.deliver("b", "t/2.json", record(2, "null"));
    let before = world.rows("SELECT t FROM t ORDER BY id");
    world.apply(&world.plan("b")).ok();
    assert_eq!(
        world.rows("SELECT id, note, c6, c7, c8 FROM t ORDER BY id"),
        ["1|∅|6|7|8", "2|a\tb\\N\"|6|7|8"]
    );
    // What is as it was is seen to be so, and a null that does not win is told.
    let again = world.plan("b");
    assert_eq!(
        again.lines(),
        ["= t id=1: unchanged", "= t id=2: unchanged"]
    );
    assert!(
        again.text.contains(r#""nulls":{"c7":1}"#),
        "{}",
        again.stderr
    );
    world.deliver("c", "t/1.json", record(1, "8"));
    let plan = world.plan("c");
    assert_eq!(plan.lines(), [r#"~ t id=1: c7="7"→"8""#]);
    world.apply(&plan).ok();
    for batch in ["c", "b"] {
        world
            .loader(&["rollback", "--batch-id", batch, "--force"])
            .ok();
    }
    assert_eq!(world.rows("SELECT t FROM t ORDER BY id"), before);
}

#[test]
fn who_holds_a_unique_value_is_named_as_what_it_is() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, code text UNIQUE); INSERT INTO t VALUES (1, 'A'), (2, 'B')",
        "t: {natural_key: [id]}",
    );
    // One that keeps its value, because null takes nothing away.
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "code": null}, {"id": 3, "code": "A"}]"#,
    );
    let plan = world.plan("b");
    assert!(plan.text.contains("the row id=1 has it\""), "{}", plan.text);
    // One that the same batch brings.
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 4, "code": "C"}, {"id": 3, "code": "C"}]"#,
    );
    let plan = world.plan("b");
    assert!(
        plan.text.contains("also in the record for id="),
        "{}",
        plan.text
    );
    // Two that change places.
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "code": "B"}, {"id": 2, "code": "A"}]"#,
    );
    let plan = world.plan("b");
    assert!(
        plan.text.contains("a deferrable key would allow that"),
        "{}",
        plan.text
    );
    world.sql(
        "ALTER TABLE t DROP CONSTRAINT t_code_key; ALTER TABLE t ADD UNIQUE (code) DEFERRABLE",
    );
    let plan = world.plan("b");
    assert_eq!(plan.count("violation"), 0, "{:?}", plan.lines());
    world.apply(&plan).ok();
}

#[test]
fn a_unique_value_goes_from_one_updated_row_to_another() {
    for (batch, after) in [
        // Freed and taken, in either order of the keys.
        (
            r#"[{"id": 1, "code": "X"}, {"id": 2, "code": "A"}]"#,
            "X A C D",
        ),
        (
            r#"[{"id": 2, "code": "X"}, {"id": 1, "code": "B"}]"#,
            "B X C D",
        ),
        // Handed on, down and up.
        (
            r#"[{"id": 1, "code": "B"}, {"id": 2, "code": "C"}, {"id": 3, "code": "D"}, {"id": 4, "code": "E"}]"#,
            "B C D E",
        ),
        (
            r#"[{"id": 4, "code": "C"}, {"id": 3, "code": "B"}, {"id": 2, "code": "A"}, {"id": 1, "code": "Z"}]"#,
            "Z A B C",
        ),
        // Given up for null, and taken by another.
        (
            r#"[{"id": 1, "code": null}, {"id": 2, "code": "A"}, {"id": 5, "code": "B"}]"#,
            "∅ A C D B",
        ),
    ] {
        let world = World::new(
            "CREATE TABLE t (id int PRIMARY KEY, code text UNIQUE, w text); \
             INSERT INTO t VALUES (1, 'A'), (2, 'B'), (3, 'C'), (4, 'D')",
            "t: {natural_key: [id], conflict_resolution: replace}",
        );
        world.deliver("b", "t/1.json", batch);
        let plan = world.plan("b");
        assert_eq!(plan.count("violation"), 0, "{batch}: {:?}", plan.lines());
        world.apply(&plan).ok();
        let codes = || world.rows("SELECT code FROM t ORDER BY id").join(" ");
        assert_eq!(codes(), after, "{batch}");
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        assert_eq!(codes(), "A B C D", "{batch}");
    }
}

#[test]
fn values_that_go_round_in_a_circle_stay_a_conflict() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE, b int UNIQUE); \
         INSERT INTO t SELECT i, i, 10 * i FROM generate_series(1, 5) i",
        "t: {natural_key: [id]}",
    );
    for (batch, violations) in [
        (
            r#"[{"id": 1, "a": 2}, {"id": 2, "a": 3}, {"id": 3, "a": 1}]"#,
            3,
        ),
        // Each of two keys would do alone.
        (
            r#"[{"id": 1, "a": 2, "b": 15}, {"id": 2, "a": 7, "b": 10}]"#,
            2,
        ),
        // What waits for a circle.
        (
            r#"[{"id": 1, "a": 2}, {"id": 2, "a": 1}, {"id": 3, "b": 11}, {"id": 4, "b": 30}]"#,
            2,
        ),
    ] {
        world.deliver("b", "t/1.json", batch);
        let plan = world.plan("b");
        assert_eq!(
            plan.count("violation"),
            violations,
            "{batch}: {:?}",
            plan.lines()
        );
        assert!(
            plan.text.contains("a deferrable key would allow that"),
            "{}",
            plan.text
        );
    }
}

#[test]
fn large_values_that_a_batch_does_not_give_are_compared_where_they_are() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text, doc text, small text); \
         INSERT INTO t SELECT n, 'old', CASE WHEN n > 1 THEN (SELECT string_agg(md5(i::text), '') FROM generate_series(1, n * 100) i) END, 's' \
         FROM generate_series(1, 3) n",
        "t: {natural_key: [id]}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "v": "new"}, {"id": 2, "v": "new"}, {"id": 3, "v": "old"}, {"id": 4, "v": "x"}]"#,
    );
    let before = world.rows("SELECT t FROM t ORDER BY id");
    let plan = world.plan("b");
    let expected = [
        r#"~ t id=1: v="old"→"new""#,
        r#"~ t id=2: v="old"→"new""#,
        "= t id=3: unchanged",
        "+ t id=4: v=\"x\"",
    ];
    assert_eq!(plan.lines(), expected);
    // One that is not sent counts all the same.
    world.sql("UPDATE t SET doc = doc || 'x' WHERE id = 3");
    world.apply(&plan).exits(3);
    world.sql("UPDATE t SET doc = left(doc, -1) WHERE id = 3");
    world.apply(&plan).ok();
    // Of a row that goes all is shown, and comes back.
    world.deliver("c", "t/delete/1.json", r#"[{"id": 2}, {"id": 3}]"#);
    let plan = world.plan_with("c", &["--max-deletes", "2"]);
    world.apply(&plan).ok();
    assert_eq!(world.rows("SELECT id FROM t ORDER BY id"), ["1", "4"]);
    for batch in ["c", "b"] {
        world
            .loader(&["rollback", "--batch-id", batch, "--force"])
            .ok();
    }
    assert_eq!(world.rows("SELECT t FROM t ORDER BY id"), before);
}

/// What a plan says of one delivery to `t`: `clean`, and then it can be applied; else the kinds of its violations.
#[track_caller]
fn judged(schema: &str, settings: &str, csv: &str) -> Vec<String> {
    let world = World::new(schema, &format!("t: {{natural_key: [k]{settings}}}"));
    world.deliver("b", "t/1.csv", csv);
    let plan = world.plan("b");
    let kinds: Vec<String> = plan
        .lines()
        .into_iter()
        .filter(|line| line.starts_with('!'))
        .collect();
    if kinds.is_empty() {
        world.apply(&plan).ok();
    }
    kinds
}

/// A booking that is made longer overlaps what it was, and may overlap another, too.
#[test]
fn an_update_may_exclude_what_it_was_and_others() {
    let table = "CREATE EXTENSION btree_gist; CREATE TABLE t (k text PRIMARY KEY, room int, r int4range, \
         EXCLUDE USING gist (room WITH =, r WITH &&) DEFER); \
         INSERT INTO t VALUES ('a', 1, '[1,5)'), ('b', 1, '[5,9)')";
    let (at_once, deferred) = (
        table.replace("DEFER", ""),
        table.replace("DEFER", "DEFERRABLE"),
    );
    for schema in [&at_once, &deferred] {
        let longer = judged(schema, "", "k,r\na,\"[1,7)\"\n");
        assert_eq!(longer, ["! t k=a: unique_conflict block"], "{schema}");
        assert!(judged(schema, "", "k,r\na,\"[1,4)\"\n").is_empty());
        assert!(judged(schema, "", "k,room\na,2\n").is_empty());
    }
    let moved = "k,r\na,\"[3,7)\"\nb,\"[7,11)\"\n";
    for schema in [&at_once, &deferred] {
        assert!(judged(schema, "", moved).is_empty(), "one after the other");
    }
    let swapped = "k,r\na,\"[4,8)\"\nb,\"[1,3)\"\n";
    let circle = judged(&at_once, "", swapped);
    assert!(
        !circle.is_empty() && circle.iter().all(|l| l.contains("unique_conflict")),
        "{circle:?}"
    );
    assert!(judged(&deferred, "", swapped).is_empty());
    // Whoever takes what another keeps is at fault, and not the one who keeps it.
    let kept = judged(&at_once, "", "k,room,r\na,1,\"[1,5)\"\nc,1,\"[2,3)\"\n");
    assert_eq!(kept, ["! t k=c: unique_conflict block"]);
}

/// What a load sets itself is known when it is planned.
#[test]
fn the_batch_id_that_a_load_sets_is_checked_too() {
    let stamped = ", stamps: {batch: batch_id}";
    let lines = "k,line\na,1\nb,1\n";
    let unique = "CREATE TABLE t (k text PRIMARY KEY, batch text, line int, UNIQUE (batch, line))";
    assert_eq!(judged(unique, stamped, lines).len(), 2);
    assert!(judged(unique, stamped, "k,line\na,1\nb,2\n").is_empty());
    let refers = "CREATE TABLE batches (id text PRIMARY KEY); CREATE TABLE t (k text PRIMARY KEY, batch text REFERENCES batches)";
    assert_eq!(
        judged(refers, stamped, "k\na\n"),
        ["! t k=a: missing_parent batch block"]
    );
    let known = format!("{refers}; INSERT INTO batches VALUES ('b')");
    assert!(judged(&known, stamped, "k\na\n").is_empty());
    let checked = "CREATE TABLE t (k text PRIMARY KEY, batch text CHECK (batch LIKE 'batch_%'))";
    assert_eq!(
        judged(checked, stamped, "k\na\n"),
        ["! t k=a: check_failed block"]
    );
    // Who applies is not known.
    let by = "CREATE TABLE t (k text PRIMARY KEY, batch text CHECK (batch <> ''))";
    assert!(judged(by, ", stamps: {batch: actor}", "k\na\n").is_empty());
}

#[test]
fn a_default_is_another_one_each_time_only_where_it_numbers() {
    let table = |default: &str| {
        format!(
            "CREATE TABLE t (k text PRIMARY KEY, scheme text NOT NULL DEFAULT {default}, code text, UNIQUE (scheme, code))"
        )
    };
    let csv = "k,code\na,x\nb,x\n";
    assert_eq!(judged(&table("'uuid'"), "", csv).len(), 2);
    assert!(judged(&table("gen_random_uuid()"), "", csv).is_empty());
}

/// An index may be of the whole row, as of a document for a search: what it evaluates cannot be asked beforehand.
#[test]
fn an_index_of_the_whole_row_stands_against_nothing() {
    let table = "CREATE TABLE t (k text PRIMARY KEY, v int, w int); \
         CREATE FUNCTION f(t) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1.v'; INSERT INTO t VALUES ('a', 1, 1)";
    for index in [
        "CREATE INDEX ON t (f(t))",
        "CREATE UNIQUE INDEX ON t (f(t))",
        "CREATE UNIQUE INDEX ON t (v) WHERE f(t) > 0",
        "CREATE INDEX ON t (v) WHERE f(t) > 0",
        "ALTER TABLE t ADD EXCLUDE USING btree (f(t) WITH =)",
    ] {
        let schema = format!("{table}; {index}");
        assert!(judged(&schema, "", "k,v\na,2\nb,3\n").is_empty(), "{index}");
    }
}

/// What follows from the number of a row that is new itself is not known, and no fault of anybody.
#[test]
fn what_is_made_of_a_new_rows_number_is_not_judged() {
    for more in [
        "g int GENERATED ALWAYS AS (sqrt(p)::int) STORED",
        "g int GENERATED ALWAYS AS (CASE WHEN p < 0 THEN 0 ELSE p END) STORED UNIQUE",
        "CHECK (sqrt(p) > 0)",
    ] {
        let world = World::in_folder(
            &format!(
                "CREATE TABLE p (id serial PRIMARY KEY, no text UNIQUE); CREATE TABLE c (k text PRIMARY KEY, p int REFERENCES p, {more}); \
                 CREATE INDEX ON c (sqrt(p)); INSERT INTO p (no) VALUES ('old')"
            ),
            "p: {natural_key: [no]}\nc: {natural_key: [k], references: {p: {table: p, by: {no: no}}}}",
        );
        world.deliver("b", "p.csv", "no\nn\nm\n");
        world.deliver("b", "c.csv", "k,no\na,n\nb,m\nc,old\n");
        let plan = world.plan("b");
        assert!(
            plan.lines().iter().all(|l| l.starts_with('+')),
            "{more}: {:?}",
            plan.lines()
        );
        world.apply(&plan).ok();
        assert!(world.plan("b").news().is_empty());
    }
}

/// What a load sets itself, records may give too, as those of an export do: that it is not loaded is said.
#[test]
fn what_is_given_for_a_stamp_is_noted() {
    let world = World::new(
        "CREATE TABLE t (k text PRIMARY KEY, a text, updated_at timestamptz)",
        "t: {natural_key: [k]}",
    );
    world.deliver(
        "b",
        "t/1.csv",
        "k,a,updated_at\n1,x,2020-01-01T00:00:00Z\n2,x,garbage\n",
    );
    let plan = world.plan("b");
    let note = "updated_at is set by each load (stamps), and is not loaded: 2 records of";
    assert!(plan.text.contains(note), "{}", plan.text);
    world.apply(&plan).ok();
}

#[test]
fn what_only_a_partition_demands_is_demanded_of_its_rows() {
    let world = World::new(
        "CREATE TABLE t (region text, id int, code text, n int, PRIMARY KEY (region, id)) PARTITION BY LIST (region); \
         CREATE TABLE t_a (gone int, n int, code text, id int NOT NULL, region text NOT NULL); \
         ALTER TABLE t_a DROP gone; \
         ALTER TABLE t ATTACH PARTITION t_a FOR VALUES IN ('a'); \
         ALTER TABLE t_a ADD CONSTRAINT small CHECK (n < 10), ALTER code SET NOT NULL, ADD UNIQUE (code); \
         CREATE TABLE t_b PARTITION OF t FOR VALUES IN ('b', 'c') PARTITION BY LIST (region); \
         CREATE TABLE t_bb PARTITION OF t_b FOR VALUES IN ('b'); CREATE UNIQUE INDEX ON t_bb (lower(code)) WHERE n > 5; \
         CREATE TABLE t_bc PARTITION OF t_b FOR VALUES IN ('c'); \
         ALTER TABLE t_b ADD CONSTRAINT even CHECK (n % 2 = 0); \
         CREATE TABLE t_d PARTITION OF t DEFAULT; ALTER TABLE t_d ADD EXCLUDE USING btree (n WITH =); \
         INSERT INTO t VALUES ('a', 1, 'x', 1), ('a', 2, 'y', 2), ('b', 1, 'x', 8), ('z', 1, 'q', 7)",
        "t: {natural_key: [region, id], conflict_resolution: replace, on_invalid: reject}",
    );
    world.deliver(
        "b",
        "t.csv",
        "region,id,code,n\n\
         a,1,w,1\na,2,x,2\na,3,new,10\na,4,,1\na,5,z,5\na,6,z,5\n\
         b,2,X,8\nb,3,X,4\nb,4,x,9\nc,1,x,7\nc,2,x,8\nc,3,,\n\
         z,2,q,7\nz,3,q,6\n",
    );
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "~ t id=1 region=a: code=\"x\"→\"w\"",
            "~ t id=2 region=a: code=\"y\"→\"x\"",
            "! t id=3 region=a: check_failed reject",
            "! t id=4 region=a: check_failed reject",
            "! t id=5 region=a: unique_conflict code reject",
            "! t id=6 region=a: unique_conflict code reject",
            "! t id=2 region=b: unique_conflict reject",
            "+ t id=3 region=b: code=\"X\" n=\"4\"",
            "! t id=4 region=b: check_failed reject",
            "! t id=4 region=b: unique_conflict reject",
            "! t id=1 region=c: check_failed reject",
            "+ t id=2 region=c: code=\"x\" n=\"8\"",
            "+ t id=3 region=c: code=null n=null",
            "! t id=2 region=z: unique_conflict n reject",
            "+ t id=3 region=z: code=\"q\" n=\"6\"",
        ]
    );
    world.apply(&plan).ok();
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
}

#[test]
fn what_a_generated_column_must_hold_is_foreseen() {
    let (found, plan) = clean_or_not(
        "CREATE TABLE t (id int PRIMARY KEY, first text, last text, \
           whole text GENERATED ALWAYS AS (first || ' ' || last) STORED NOT NULL)",
        "",
        "id,first,last\n1,Ada,\n2,Ada,L\n",
    );
    assert_eq!(found, ["! t id=1: check_failed reject"]);
    assert!(plan.contains("NOT NULL of whole"), "{plan}");
}

#[test]
fn a_hash_of_a_domains_values_is_left_to_the_server() {
    let (found, _) = clean_or_not(
        "CREATE DOMAIN code AS text; CREATE TABLE t (id int, g code, PRIMARY KEY (id, g)) PARTITION BY HASH (g); \
         CREATE TABLE t_0 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 0); \
         CREATE TABLE t_1 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        "",
        "id,g\n1,a\n2,b\n",
    );
    assert_eq!(found, [""; 0]);
}

/// The violations of a batch of `t`, whose other records are loaded, and the plan.
fn clean_or_not(schema: &str, settings: &str, csv: &str) -> (Vec<String>, String) {
    let world = World::new(
        schema,
        &format!("t: {{natural_key: [id], on_invalid: reject{settings}}}"),
    );
    world.deliver("b", "t.csv", csv);
    let plan = world.plan("b");
    world.apply(&plan).ok();
    let mut lines = plan.lines();
    lines.retain(|line| line.starts_with('!'));
    (lines, plan.text.clone())
}

/// A sequence need not be the column's own: what its default draws from is moved behind given numbers.
#[test]
fn a_sequence_that_belongs_to_nobody_is_moved_too() {
    let world = World::new(
        "CREATE SEQUENCE s; CREATE TABLE t (id int PRIMARY KEY DEFAULT nextval('s'), v text)",
        "t: {natural_key: [id]}",
    );
    world.deliver("b", "t.csv", "id,v\n1,a\n2,b\n");
    let plan = world.plan("b");
    assert!(
        plan.text.contains("id is given, which the sequence"),
        "{}",
        plan.text
    );
    world.apply(&plan).ok();
    world.sql("INSERT INTO t (v) VALUES ('next')");
    world.configure("t: {natural_key: [id], given_numbers: refuse, on_invalid: reject}");
    world.deliver("c", "t.csv", "id,v\n9,a\n");
    assert_eq!(world.plan("c").count("violation"), 1);
}

/// What an expression reads, and not what its text contains: a column whose default is not known may be called as a part
/// of another one, of a text in it, or of a type.
#[test]
fn a_name_that_is_a_part_of_another_one_is_not_mentioned() {
    for (schema, key, record, says) in [
        (
            "CREATE TABLE t (id bigserial, code text, site_id int, v int, PRIMARY KEY (code, site_id)) PARTITION BY LIST (site_id); \
             CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1)",
            "code, site_id",
            r#"{"code": "x", "site_id": 3, "v": 1}"#,
            "no partition of t takes the row",
        ),
        (
            "CREATE TYPE size AS ENUM ('small', 'mid', 'large'); \
             CREATE TABLE t (mid bigserial, size size PRIMARY KEY) PARTITION BY RANGE (size); \
             CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('small') TO ('mid')",
            "size",
            r#"{"size": "mid"}"#,
            "no partition of t takes the row",
        ),
        (
            "CREATE TABLE t (id bigserial, \"site\"\"id\" int PRIMARY KEY, v int) PARTITION BY LIST (\"site\"\"id\"); \
             CREATE TABLE t1 PARTITION OF t (CHECK (\"site\"\"id\" < 5)) DEFAULT",
            "'site\"id'",
            r#"{"site\"id": 7}"#,
            "does not hold",
        ),
        (
            "CREATE TABLE t (id bigserial, site_id int PRIMARY KEY, v int); CREATE INDEX ON t ((site_id / (v - 1)))",
            "site_id",
            r#"{"site_id": 7, "v": 1}"#,
            "division by zero",
        ),
    ] {
        let world = World::new(schema, &format!("t: {{natural_key: [{key}]}}"));
        world.deliver("b", "t/r.json", record);
        let plan = world.plan("b");
        assert!(plan.text.contains("\"check_failed\""), "{}", plan.text);
        assert!(plan.text.contains(says), "{}", plan.text);
        // Where nothing makes the key unique, no index is proposed that there cannot be.
        let other = World::new(schema, "t: {natural_key: [v]}");
        if schema.contains("PARTITION BY LIST (site_id)") {
            other.deliver("b", "t/r.json", r#"{"v": 1, "code": "x", "site_id": 1}"#);
            let plan = other.plan("b");
            assert!(
                plan.text.contains("natural key unique in all partitions"),
                "{}",
                plan.text
            );
            assert!(!plan.text.contains("CREATE UNIQUE INDEX"));
        }
    }
}

/// Keys of composite values that have nulls in them are keys, and another collation of the key's columns is another rule.
#[test]
fn keys_of_unusual_kinds_are_checked_as_others() {
    let world = World::new(
        "CREATE TYPE pair AS (a int, b text); CREATE TABLE p (k pair PRIMARY KEY, u int UNIQUE, v int CHECK (v > 0)); \
         CREATE TABLE c (x int PRIMARY KEY, p pair REFERENCES p); INSERT INTO p VALUES ('(1,)', 1, 1); INSERT INTO c VALUES (1, '(1,)'); \
         CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         CREATE TABLE t (k text PRIMARY KEY); CREATE UNIQUE INDEX ON t (k COLLATE ci); INSERT INTO t VALUES ('a')",
        "p: {natural_key: [k], limits: {delete: 4}}\nc: {natural_key: [x]}\nt: {natural_key: [k]}",
    );
    for (name, content, says) in [
        (
            "p.json",
            r#"{"k": "(2,)", "u": 2, "v": -5}"#,
            "check_failed",
        ),
        ("p.json", r#"{"k": "(2,)", "u": 1}"#, "unique_conflict"),
        ("p/delete/x.json", r#"{"k": "(1,)"}"#, "still_referred"),
        ("t.json", r#"{"k": "A"}"#, "unique_conflict"),
        ("t.json", r#"[{"k": "X"}, {"k": "x"}]"#, "unique_conflict"),
    ] {
        let batch = format!("{says}{}", content.len());
        world.deliver(&batch, name, content);
        let plan = world.plan(&batch);
        assert!(plan.text.contains(says), "{content}: {}", plan.text);
    }
    world.deliver("good", "p.json", r#"{"k": "(3,)", "u": 3}"#);
    world.deliver("good", "c.json", r#"{"x": 3, "p": "(3,)"}"#);
    world.apply(&world.plan("good")).ok();
}

/// A value that a column would have cut by a cast is refused where it is written.
#[test]
fn a_generated_value_that_its_column_is_too_short_for_is_the_records_own_fault() {
    for generated in [
        "varchar(3) GENERATED ALWAYS AS (upper(n)) STORED",
        "char(3) GENERATED ALWAYS AS (upper(n)) STORED",
        "varchar(3)[] GENERATED ALWAYS AS (ARRAY[n]) STORED",
        "bit(3) GENERATED ALWAYS AS (CASE WHEN length(n) > 3 THEN B'10101' ELSE B'101' END) STORED",
        "bit varying(3) GENERATED ALWAYS AS (CASE WHEN length(n) > 3 THEN B'10101' ELSE B'1' END) STORED",
        "short GENERATED ALWAYS AS (upper(n)) STORED",
        "checked GENERATED ALWAYS AS (upper(n)) STORED",
        "numeric(2,1) GENERATED ALWAYS AS (length(n) * 3) STORED",
    ] {
        let world = World::new(
            &format!(
                "CREATE DOMAIN short AS varchar(3); CREATE DOMAIN checked AS text CHECK (length(VALUE) <= 3); \
                 CREATE TABLE t (k int PRIMARY KEY, n text, g {generated}); INSERT INTO t (k, n) VALUES (1, 'a')"
            ),
            "t: {natural_key: [k], on_invalid: reject}",
        );
        world.deliver(
            "b",
            "t.json",
            r#"[{"k": 1, "n": "abcdef"}, {"k": 2, "n": "abcdef"}, {"k": 3, "n": "abc"}]"#,
        );
        let plan = world.plan("b");
        assert_eq!(
            plan.news(),
            [
                "! t k=1: check_failed g reject",
                "! t k=2: check_failed g reject",
                "+ t k=3: n=\"abc\"",
            ],
            "{generated}"
        );
        world.apply(&plan).ok();
    }
}

#[test]
fn a_default_that_is_too_long_for_its_column_is_the_records_own_fault() {
    for (ty, default) in [
        ("varchar(3)", "'abcdef'"),
        ("varchar(3)", "repeat('x', 6)"),
        ("char(3)", "'abcdef'"),
        ("bit(3)", "B'10101'"),
        ("bit varying(3)", "B'10101'"),
        ("short", "'abcdef'"),
    ] {
        let world = World::new(
            &format!(
                "CREATE DOMAIN short AS varchar(3); CREATE TABLE t (k int PRIMARY KEY, v {ty} DEFAULT {default}); \
                 INSERT INTO t VALUES (1, NULL)"
            ),
            "t: {natural_key: [k], on_invalid: reject}",
        );
        world.deliver(
            "b",
            "t.json",
            r#"[{"k": 1}, {"k": 2}, {"k": 3, "v": "101"}]"#,
        );
        let plan = world.plan("b");
        assert_eq!(
            plan.news(),
            ["! t k=2: invalid_value v reject", "+ t k=3: v=\"101\""],
            "{ty} {default}"
        );
        assert!(plan.text.contains("the default"), "{}", plan.text);
        world.apply(&plan).ok();
    }
}

/// Who applies may be somebody else than who plans.
#[test]
fn defaults_that_depend_on_the_role_are_not_known_when_planning() {
    for default in [
        "current_user",
        "session_user",
        "user",
        "current_role",
        "upper(current_user::text)",
        "current_setting('role')",
        "getpgusername()",
    ] {
        let world = World::new(
            &format!(
                "CREATE TABLE people (name text PRIMARY KEY); \
                 CREATE TABLE t (k int PRIMARY KEY, who text NOT NULL DEFAULT {default} REFERENCES people); \
                 CREATE TABLE u (k int PRIMARY KEY, who text NOT NULL DEFAULT {default} UNIQUE CHECK (who = 'nobody'), \
                   twice text GENERATED ALWAYS AS (who || who) STORED CHECK (twice = '')); \
                 INSERT INTO u VALUES (1, 'nobody')"
            )
            .replace("CHECK (twice = '')", "CHECK (length(twice) > 90 OR who = 'nobody')"),
            "t: {natural_key: [k]}\nu: {natural_key: [k]}",
        );
        world.deliver("b", "t.json", r#"[{"k": 1}]"#);
        world.deliver("b", "u.json", r#"[{"k": 2}, {"k": 3, "who": "other"}]"#);
        let plan = world.plan("b");
        let lines = plan.news();
        assert_eq!(lines[0], "+ t k=1", "{default}");
        assert_eq!(lines.len(), 4, "{default}: {lines:?}");
        assert_eq!(lines[1], "+ u k=2", "{default}");
        assert_eq!(lines[2], "! u k=3: check_failed block", "{default}");
    }
}

/// What is not known is no null, which a unique key may take for equal to another.
#[test]
fn values_that_are_not_known_yet_conflict_with_none() {
    let world = World::new(
        "CREATE SEQUENCE s; \
         CREATE FUNCTION numbers() RETURNS trigger LANGUAGE plpgsql AS \
           'BEGIN IF new.no IS NULL THEN new.no := nextval(''s''); END IF; RETURN new; END'; \
         CREATE TABLE drawn (k text PRIMARY KEY, tenant int, no int DEFAULT nextval('s')); \
         CREATE UNIQUE INDEX ON drawn (coalesce(no, 0), tenant); \
         CREATE TABLE made (k text PRIMARY KEY, tenant int, no int DEFAULT nextval('s'), \
           twice int GENERATED ALWAYS AS (coalesce(no, 0) * 2) STORED, UNIQUE (tenant, twice)); \
         CREATE TABLE triggered (k text PRIMARY KEY, tenant int, no int); \
         CREATE UNIQUE INDEX ON triggered (coalesce(no, 0), tenant); \
         CREATE TRIGGER numbers BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION numbers(); \
         CREATE TABLE highest (k text PRIMARY KEY, no int NOT NULL UNIQUE, v text); \
         CREATE FUNCTION next_no() RETURNS int LANGUAGE sql AS 'SELECT coalesce(max(no), 0) + 1 FROM highest'; \
         ALTER TABLE highest ALTER no SET DEFAULT next_no()",
        "drawn: {natural_key: [k]}\nmade: {natural_key: [k]}\ntriggered: {natural_key: [k], stamps: {no: trigger}}\nhighest: {natural_key: [k]}",
    );
    let some_give_it =
        r#"[{"k": "a", "tenant": 1, "no": 500}, {"k": "b", "tenant": 1}, {"k": "c", "tenant": 1}]"#;
    world.deliver("b", "drawn.json", some_give_it);
    world.deliver("b", "made.json", some_give_it);
    world.deliver("b", "triggered.csv", "k,tenant\na,1\nb,1\n");
    world.deliver("b", "highest.csv", "k,v\na,1\nb,1\n");
    let plan = world.plan("b");
    assert_eq!(plan.count("violation"), 0, "{:?}", plan.lines());
    assert_eq!(plan.count("insert"), 10, "{:?}", plan.lines());
    // What is known is compared still: what records give, and what updated rows have.
    let world = World::new(
        "CREATE TABLE t (k text PRIMARY KEY, tenant int, no int DEFAULT (random() * 1000000)::int, by_whom text); \
         CREATE UNIQUE INDEX given ON t (coalesce(no, 0), tenant); CREATE UNIQUE INDEX kept ON t (by_whom, tenant); \
         INSERT INTO t VALUES ('a', 1, 7, 'x'), ('b', 2, 7, 'x'), ('c', 3, 8, 'y')",
        "t: {natural_key: [k], insert_only_fields: [by_whom], stamps: {by_whom: actor}}",
    );
    world.deliver(
        "b",
        "t.json",
        r#"[{"k": "b", "tenant": 1}, {"k": "d", "tenant": 3, "no": 8}, {"k": "e", "tenant": 3}]"#,
    );
    let plan = world.plan("b");
    assert_eq!(
        plan.news()[..3],
        [
            "! t k=b: unique_conflict block",
            "! t k=b: unique_conflict block",
            "! t k=d: unique_conflict block"
        ],
        "{:?}",
        plan.lines()
    );
    for index in ["given", "kept"] {
        let says = format!("the unique key {index} would");
        assert!(plan.text.contains(&says), "{}", plan.text);
    }
}

#[test]
fn of_a_check_that_looks_at_other_tables_it_is_said_what_it_saw() {
    let world = World::new(
        "CREATE TABLE dept (code text PRIMARY KEY); \
         CREATE FUNCTION has_dept(text) RETURNS bool LANGUAGE sql STABLE STRICT AS 'SELECT EXISTS (SELECT FROM dept WHERE code = $1)'; \
         CREATE FUNCTION is_short(text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT length($1) < 9'; \
         CREATE TABLE emp (e text PRIMARY KEY CHECK (is_short(e)), dept text CHECK (has_dept(dept)))",
        "dept: {natural_key: [code]}\nemp: {natural_key: [e]}",
    );
    let saw = "saw the database as it is now, without what this plan changes in other tables";
    for (departments, employees, says) in [
        (true, r#"[{"e": "2", "dept": "B"}]"#, true),
        (false, r#"[{"e": "2", "dept": "B"}]"#, false),
        (true, r#"[{"e": "123456789"}]"#, false),
    ] {
        world.configure("dept: {natural_key: [code]}\nemp: {natural_key: [e], on_invalid: reject}");
        let batch = format!("{departments}{}", employees.len());
        if departments {
            world.deliver(&batch, "dept.csv", "code\nB\n");
        }
        world.deliver(&batch, "emp.json", employees);
        let plan = world.plan(&batch);
        assert!(plan.text.contains("\"check_failed\""), "{}", plan.text);
        assert_eq!(plan.text.contains(saw), says, "{}", plan.text);
    }
}

/// The batch's id is known from the beginning.
#[test]
fn a_batch_id_that_a_stamp_cannot_hold_is_said_when_planning() {
    for (column, holds) in [
        ("varchar(3)", false),
        ("char(3)", false),
        ("varchar(30)", true),
        ("short", false),
        ("checked", false),
        ("uuid", false),
        ("int", false),
        ("text", true),
    ] {
        let world = World::new(
            &format!(
                "CREATE DOMAIN short AS varchar(3); CREATE DOMAIN checked AS text CHECK (VALUE <> 'batch'); \
                 CREATE TABLE t (k int PRIMARY KEY, v int, batch {column}); INSERT INTO t VALUES (1, 1, NULL)"
            ),
            "t: {natural_key: [k], stamps: {batch: batch_id}}",
        );
        world.deliver("batch", "t.json", r#"[{"k": 1, "v": 2}, {"k": 2}]"#);
        if holds {
            world.apply(&world.plan("batch")).ok();
        } else {
            world.try_plan("batch", &[]).exits(1).says_all(&[
                "table t: column batch",
                "cannot hold the batch id \"batch\"",
            ]);
        }
    }
}

/// Of moments, the longest is.
#[test]
fn a_moment_that_a_stamp_cannot_hold_is_said_when_planning() {
    for (column, holds) in [
        ("varchar(20)", false),
        ("char(28)", false),
        ("varchar(29)", true),
        ("text", true),
        ("timestamp(0)", true),
        ("date", true),
    ] {
        let world = World::new(
            &format!(
                "CREATE TABLE t (k int PRIMARY KEY, v int, at {column}); INSERT INTO t VALUES (1, 1, NULL)"
            ),
            "t: {natural_key: [k], stamps: {at: now}}",
        );
        world.deliver("b", "t.json", r#"[{"k": 1, "v": 2}, {"k": 2}]"#);
        if holds {
            world.apply(&world.plan("b")).ok();
        } else {
            world
                .try_plan("b", &[])
                .exits(1)
                .says_all(&["table t: column at", "cannot hold a moment"]);
        }
    }
}

/// What decides about rows and is no column: the function of a check, the bounds of a partition.
#[test]
fn rules_that_change_behind_the_plan_are_seen_or_named() {
    let world = World::new(
        "CREATE FUNCTION fits(text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true'; \
         CREATE TABLE w (k text PRIMARY KEY, v text CHECK (fits(v))); CREATE TABLE u (k text PRIMARY KEY, v text); \
         CREATE TABLE p (k text PRIMARY KEY, v text) PARTITION BY RANGE (k); \
         CREATE TABLE t (k text PRIMARY KEY, v text) PARTITION BY RANGE (k); \
         CREATE TABLE t1 PARTITION OF t FOR VALUES FROM ('a') TO ('c'); CREATE TABLE t2 PARTITION OF t FOR VALUES FROM ('c') TO ('z')",
        "w: {natural_key: [k]}\nu: {natural_key: [k]}\nt: {natural_key: [k]}",
    );
    let plan = |table: &str| {
        world.deliver(table, &format!("{table}/1.csv"), "k,v\nnew,3\n");
        world.plan(table)
    };
    let [w, u, t] = ["w", "u", "t"].map(plan);
    // A partition that comes is in nobody's way.
    world.sql("CREATE TABLE t3 PARTITION OF t FOR VALUES FROM ('z') TO ('zz')");
    world.check(&t).ok();
    world.sql(
        "CREATE OR REPLACE FUNCTION fits(text) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT $1 <> '3' $$; \
         ALTER TABLE p ATTACH PARTITION u FOR VALUES FROM ('a') TO ('c'); DROP TABLE t2",
    );
    for plan in [&w, &u] {
        world
            .apply_with(plan, &["--force"])
            .exits(6)
            .says("definition");
    }
    world.apply_with(&t, &["--force"]).exits(4).says_all(&[
        "no partition of relation",
        "nothing was written",
        "a partition has gone",
    ]);
}

/// Who applies is known only then.
#[test]
fn a_name_of_who_applies_that_a_stamp_cannot_hold_is_said_before_rows_are_written() {
    for (column, holds, says) in [
        ("varchar(3)", false, "cannot hold who applies, \"curator\""),
        ("short", false, "cannot hold who applies, \"curator\""),
        (
            "text REFERENCES users",
            false,
            "who applies, which `stamps` puts into by of table t, is no row of users",
        ),
        ("varchar(30)", true, ""),
    ] {
        let world = World::new(
            &format!(
                "CREATE DOMAIN short AS varchar(3); CREATE TABLE users (name text PRIMARY KEY); \
                 CREATE TABLE t (k int PRIMARY KEY, v int, by {column}); INSERT INTO t VALUES (1, 1, NULL)"
            ),
            "t: {natural_key: [k], stamps: {by: actor}}",
        );
        world.set("LOADER_ACTOR", "curator");
        world.deliver("b", "t.json", r#"[{"k": 1, "v": 2}, {"k": 2}]"#);
        let plan = world.plan("b");
        if holds {
            world.apply(&plan).ok();
            continue;
        }
        let undo = ["rollback", "--batch-id", "b", "--force"];
        let refused = world.writes_only_a_failure(|| world.apply(&plan).exits(1));
        refused.says_all(&[says, "--actor, LOADER_ACTOR"]);
        world.sql("INSERT INTO users VALUES ('ann')");
        world.set("LOADER_ACTOR", "ann");
        world.apply(&plan).ok();
        // Who takes it back is written nowhere.
        world.set("LOADER_ACTOR", "curator");
        world.loader(&undo).ok();
        assert_eq!(world.rows("SELECT k, v FROM t"), ["1|1"]);
    }
}

#[test]
fn a_batch_id_to_which_no_row_belongs_is_a_violation_of_updates_too() {
    let world = World::new(
        "CREATE TABLE batches (id text PRIMARY KEY); CREATE TABLE t (k int PRIMARY KEY, v int, batch text REFERENCES batches); \
         INSERT INTO t VALUES (1, 1, NULL), (2, 2, NULL)",
        "t: {natural_key: [k], stamps: {batch: batch_id}}\nbatches: {natural_key: [id]}",
    );
    world.deliver(
        "b",
        "t.json",
        r#"[{"k": 1, "v": 2}, {"k": 2, "v": 2}, {"k": 3, "v": 3}]"#,
    );
    assert_eq!(
        world.plan("b").news(),
        [
            "! t k=1: missing_parent batch block",
            "! t k=3: missing_parent batch block",
        ]
    );
    world.deliver("b", "batches.json", r#"{"id": "b"}"#);
    let plan = world.plan("b");
    assert_eq!(plan.count("violation"), 0, "{:?}", plan.lines());
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT k, batch FROM t ORDER BY k"),
        ["1|b", "2|∅", "3|b"]
    );
}

#[test]
fn tables_of_one_name_in_several_schemas_are_told_apart() {
    let world = World::in_folder(
        "CREATE SCHEMA a; CREATE SCHEMA b;
         CREATE TABLE a.items (id serial PRIMARY KEY, code text UNIQUE NOT NULL);
         CREATE TABLE b.items (id serial PRIMARY KEY, code text UNIQUE NOT NULL);
         CREATE TABLE b.orders (no text PRIMARY KEY, item_id int NOT NULL REFERENCES a.items);
         CREATE TABLE a.orders (no text PRIMARY KEY, item_id int NOT NULL REFERENCES a.items);
         INSERT INTO a.items (code) VALUES ('x'); INSERT INTO b.orders VALUES ('1', 1)",
        "orders: {natural_key: [no], references: {item_id: {table: items, by: {code: item}}}}",
    );
    let database = &world.database;
    world.sql(&format!(
        "ALTER DATABASE {database} SET search_path = b, public"
    ));
    world.set("LOADER_QUEUE", "off");
    let run = world.loader(&["config", "check"]).exits(1);
    let said = "item_id refers to a.items (orders_item_id_fkey), not to b.items";
    assert!(run.stdout.contains(said), "{run}");
    world.configure(
        "orders: {natural_key: [no]}\na.orders: {natural_key: [no]}\n\
         a.items: {natural_key: [code], limits: {delete: 4}}\nitems: {natural_key: [code], limits: {delete: 2}}",
    );
    world.put("b", "orders.csv", "no,item_id\n2,77\n");
    world.put("b", "a.orders.csv", "no,item_id\n2,78\n");
    world.put("b", "a.items/delete/x.csv", "code\nx\n");
    world
        .loader(&["plan", "--batch-id", "b", "--out", "b.json"])
        .ok();
    let shown = world.loader(&["show", "b.json"]).stdout;
    for said in [
        "no row of a.items has id = 77",
        "no row of a.items has id = 78",
        "rows of b.orders refer to it",
    ] {
        assert!(shown.contains(said), "{said:?} is not in {shown}");
    }
}
