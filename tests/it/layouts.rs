//! Where batches lie is a setting, for planning and for listing them.

use crate::support::World;

fn world(prefix: &str) -> World {
    let world = World::in_folder(
        "CREATE TABLE lcl (id text PRIMARY KEY); CREATE TABLE dna (id text PRIMARY KEY)",
        "lcl: {natural_key: [id]}\ndna: {natural_key: [id]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.set("LOADER_PREFIX", prefix);
    world
}

/// Batches `b1` and `b2` of both tables, at these places.
#[track_caller]
fn both_load(prefix: &str, places: [&str; 4]) {
    let world = world(prefix);
    for (i, place) in places.iter().enumerate() {
        world.write(&format!("source/{place}"), format!("id\n{i}\n"));
    }
    world.write("source/other/file.txt", "no batch");
    assert_eq!(
        world.plan("b1").lines(),
        ["+ dna id=1", "+ lcl id=0"],
        "{prefix}"
    );
    world.loader(&["load", "--batch-id", "b2", "--force"]).ok();
    let found = world.loader(&["batches", "--json"]).ok().json();
    let states: Vec<String> = (found["batches"].as_array().unwrap().iter())
        .map(|b| {
            format!(
                "{} {} {}",
                b["batch_id"].as_str().unwrap(),
                b["state"].as_str().unwrap(),
                b["total_fragments"]
            )
        })
        .collect();
    assert_eq!(states, ["b1 waiting 2", "b2 loaded 2"], "{prefix}");
    let one = world
        .loader(&["batches", "--batch-id", "b2", "--json"])
        .ok()
        .json();
    assert_eq!(one["batches"][0]["tables"]["lcl"], 1, "{prefix}");
}

#[test]
fn a_table_is_the_name_of_a_file_or_of_a_folder_anywhere() {
    both_load(
        "staging/validated/{batch_id}/",
        [
            "staging/validated/b1/lcl.csv",
            "staging/validated/b1/dna/1.csv",
            "staging/validated/b2/lcl/x/1.csv",
            "staging/validated/b2/dna.csv",
        ],
    );
    both_load(
        "{table}/{batch_id}",
        [
            "lcl/b1/1.csv",
            "dna/b1/1.csv",
            "lcl/b2/1.csv",
            "dna/b2/x/1.csv",
        ],
    );
    both_load(
        "x/{table}/batch={batch_id}/",
        [
            "x/lcl/batch=b1/1.csv",
            "x/dna/batch=b1/1.csv",
            "x/lcl/batch=b2/1.csv",
            "x/dna/batch=b2/1.csv",
        ],
    );
    both_load(
        "x/{batch_id}/data_{table}.csv",
        [
            "x/b1/data_lcl.csv",
            "x/b1/data_dna.csv",
            "x/b2/data_lcl.csv",
            "x/b2/data_dna.csv",
        ],
    );
}

#[test]
fn what_lies_otherwise_is_named_and_what_is_no_pattern_refused() {
    let world = world("x/{batch_id}/data_{table}.csv");
    world.write("source/x/b1/data_lcl.csv", "id\n1\n");
    world.write("source/x/b1/lcl.csv", "id\n2\n");
    world
        .try_plan("b1", &[])
        .exits(1)
        .says("x/b1/lcl.csv: it is not below x/b1/data_{table}.csv, as the prefix says");
    let found = world.loader(&["batches", "--json"]).ok().json();
    assert_eq!(found["batches"][0]["unknown_objects"], 1);
    for (prefix, says) in [
        (
            "x/{batch}/",
            "the prefix \"x/{batch}/\": {batch} is neither {batch_id} nor {table}",
        ),
        (
            "{table}-{batch_id}/",
            "{batch_id} and {table} stand in one name; put a slash between them",
        ),
    ] {
        world
            .try_plan("b1", &["--prefix", prefix])
            .exits(1)
            .says(says);
        world
            .loader(&["batches", "--prefix", prefix])
            .exits(1)
            .says(says);
    }
    world
        .loader(&["batches", "--prefix", "x/{table}/"])
        .exits(1)
        .says("does not say where the batch's id stands");
}

/// Where two collations meet, PostgreSQL compares by neither.
#[test]
fn the_columns_of_a_key_may_have_different_collations() {
    for marks in ["", ", soft_delete: gone"] {
        let world = World::in_folder(
            "CREATE TABLE p (a text COLLATE \"C\", b varchar COLLATE \"POSIX\", n int UNIQUE, m text COLLATE \"ucs_basic\", gone timestamptz, \
               PRIMARY KEY (a, b), UNIQUE (m, b)); \
             CREATE TABLE c (x text COLLATE \"POSIX\", y text COLLATE \"C\", pa text COLLATE \"POSIX\", pb text COLLATE \"C\", \
               PRIMARY KEY (x, y), FOREIGN KEY (pa, pb) REFERENCES p); \
             INSERT INTO p VALUES ('A', 'B', 1, 'm', NULL), ('x', 'y', 2, 'm', NULL), ('gone', 'y', 9, NULL, NULL); \
             INSERT INTO c VALUES ('1', '2', 'A', 'B')",
            &format!(
                "p: {{natural_key: [a, b], limits: {{delete: 9}}{marks}}}\n\
                 c: {{natural_key: [x, y]}}"
            ),
        );
        let content = || {
            [
                world.rows("SELECT * FROM p ORDER BY n"),
                world.rows("SELECT * FROM c ORDER BY x"),
            ]
        };
        let start = content();
        let records = r#"[{"a": "new", "b": "y", "n": 3}, {"a": "A", "b": "B", "n": 7, "m": "k"}, {"a": "bad", "b": "q", "n": 2},
          {"a": "worse", "b": "y", "m": "m"}]"#;
        world.deliver("b", "p.json", records);
        world.deliver("b", "p/delete/1.json", r#"[{"a": "gone", "b": "y"}]"#);
        let plan = world.plan("b");
        assert_eq!(plan.count("violation"), 2, "{}", plan.text);
        assert!(plan.text.contains("a=x, b=y"), "{}", plan.text);
        world.deliver(
            "b",
            "p.json",
            records
                .replace(r#""n": 2"#, r#""n": 22"#)
                .replace(r#""m": "m""#, r#""m": "w""#),
        );
        world.deliver(
            "b",
            "c.json",
            r#"[{"x": "9", "y": "9", "pa": "x", "pb": "y"}]"#,
        );
        let plan = world.plan("b");
        world.check(&plan).ok();
        world.apply(&plan).ok();
        assert!(
            world
                .rows("SELECT pa, pb FROM c ORDER BY x")
                .contains(&"x|y".to_owned())
        );
        let undone = world.loader(&["rollback", "--batch-id", "b", "--force"]);
        if marks.is_empty() {
            undone.ok();
            assert_eq!(content(), start);
        }
    }
}
