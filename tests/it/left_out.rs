//! Records that are left out by name: the plan says so, and so does the queue.

use crate::support::World;

fn world() -> World {
    World::in_folder(
        "CREATE TABLE p (id int PRIMARY KEY, v text); \
         CREATE TABLE c (a citext_like, b int, p int REFERENCES p, PRIMARY KEY (a, b))"
            .replace("citext_like", "text")
            .as_str(),
        "p: {natural_key: [id]}\nc: {natural_key: [a, b], on_invalid: reject}",
    )
}

#[test]
fn records_that_are_named_are_left_out_with_the_reason() {
    let world = world();
    world.deliver("b", "p/1.json", r#"{"id": 1, "v": "x"}"#);
    world.deliver("b", "p/2.json", r#"[{"id": "002", "v": "y"}, {"id": 3}]"#);
    world.deliver("b", "p/3.json", r#"{"id": 4, "v": 7, "w": "unknown"}"#);
    world.deliver("b", "c.csv", "a,b,p\nk,1,1\nk,2,3\nl,3,3\n");
    world.write(
        "out.txt",
        "# by the meeting of Monday\n\
         {\"table\": \"p\", \"key\": 1, \"reason\": \"withdrew consent\", \"by\": \"Ada\"}\n\
         p 2\n\
         p [4]\n\
         c [\"k\", 2]\n",
    );
    let plan = world.plan_with("b", &["--leave-out", "out.txt"]);
    assert_eq!(
        plan.lines(),
        [
            "= p id=1: left_out",
            "= p id=2: left_out",
            "+ p id=3",
            "= p id=4: left_out",
            "= c a=k b=1: left_out",
            "= c a=k b=2: left_out",
            "+ c a=l b=3: p=\"3\"",
        ]
    );
    assert_eq!(plan.entries()[0]["message"], "withdrew consent");
    assert_eq!(plan.entries()[0]["by"], "Ada");
    for format in ["text", "markdown", "html", "json"] {
        for more in [&[][..], &["--action", "skip"]] {
            let shown = world.show(&plan, &[&["--format", format], more].concat());
            let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(shown.contains("withdrew consent"), "{format}: {shown}");
        }
    }
    let run = world.loader(&["show", plan.name()]).ok();
    run.says("5 skipped")
        .says("3 keys are left out by name: 1 (withdrew consent, Ada), 2, 4");
    world.apply(&plan).ok();
    assert_eq!(world.rows("SELECT id FROM p"), ["3"]);
    assert_eq!(
        world.rows("SELECT s3_key, status, error_message FROM validation_queue ORDER BY 1"),
        [
            "staging/b/c.csv|loaded|left out by name (staging/b/c.csv#3) and 1 more",
            "staging/b/p/1.json|skipped|left out by name: withdrew consent (Ada) (staging/b/p/1.json#1)",
            "staging/b/p/2.json|loaded|left out by name (staging/b/p/2.json#1)",
            "staging/b/p/3.json|skipped|left out by name (staging/b/p/3.json#1)",
        ]
    );
    let state = world.loader(&["batches", "--json"]).ok().json();
    assert_eq!(state["batches"][0]["state"], "partly loaded");
    // What was left out can be loaded later, and a rollback puts the queue back.
    let plan = world.plan_with("b", &["--table-name", "p", "--leave-out", "out.txt"]);
    assert_eq!(plan.count("insert"), 0);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(
        world.rows("SELECT DISTINCT status, error_message FROM validation_queue"),
        ["pending|∅"]
    );
}

#[test]
fn what_is_named_wrong_loads_nothing() {
    let world = world();
    world.deliver("b", "p/1.json", r#"{"id": 1, "v": "x"}"#);
    for (content, says) in [
        (
            "p 1\np 9",
            "out.txt: line 2: no record of p in the batch has this key",
        ),
        ("p one", "out.txt: line 1: id: not a whole number"),
        ("p [1, 2]", "out.txt: line 1: the natural key of p is id"),
        ("q 1", "out.txt: line 1: the batch has no table q"),
        (
            "p",
            "out.txt: line 1: no key; write the table, a blank and the key",
        ),
        ("{\"table\": \"p\"}", "out.txt: line 1: missing field `key`"),
    ] {
        world.write("out.txt", content);
        world
            .try_plan("b", &["--leave-out", "out.txt"])
            .exits(1)
            .says(says);
    }
    world
        .try_plan("b", &["--leave-out", "none.txt"])
        .exits(1)
        .says("none.txt: cannot read the records to leave out");
}

/// A key may be named as the plan shows it, and as it was delivered; where it is one date so and another so, neither.
#[test]
fn a_key_is_named_as_it_is_spelled_or_as_it_is_shown() {
    let world = World::new(
        "CREATE TABLE t (k date PRIMARY KEY, v int)",
        "t: {natural_key: [k], formats: ['%d.%m.%Y', '%Y/%d/%m']}",
    );
    world.deliver(
        "b",
        "t/1.csv",
        "k,v\n15.01.2024,1\n16.01.2024,1\n17.01.2024,1\n",
    );
    world.write("out.txt", "t 2024-01-15\nt 16.01.2024\n");
    let plan = world.plan_with("b", &["--leave-out", "out.txt"]);
    assert_eq!(
        plan.lines(),
        [
            "= t k=2024-01-15: left_out",
            "= t k=2024-01-16: left_out",
            "+ t k=2024-01-17: v=\"1\""
        ]
    );
    let whole = world.plan("b");
    world.apply(&whole).ok();
    world
        .loader(&[
            "rollback",
            "--batch-id",
            "b",
            "--table",
            "t",
            "--key",
            "2024-01-15",
            "--force",
        ])
        .ok();
    assert_eq!(
        world.value("SELECT count(*) FROM t WHERE k = '2024-01-15'"),
        "0"
    );
    world.configure("t: {natural_key: [k], formats: ['%Y-%d-%m', '%d.%m.%Y']}");
    world.deliver("c", "t/1.csv", "k,v\n02.01.2024,1\n01.02.2024,1\n");
    world.write("out.txt", "t 2024-01-02\n");
    world
        .try_plan("c", &["--leave-out", "out.txt"])
        .exits(1)
        .says("2024-02-01 as deliveries are spelled (formats), and 2024-01-02 as plans show it");
}

/// A time that is spelled as it is shown, but for its seconds, is one.
#[test]
fn a_time_is_named_with_or_without_its_seconds() {
    let world = World::new(
        "CREATE TABLE t (k timestamp PRIMARY KEY, v int)",
        "t: {natural_key: [k], formats: ['%Y-%m-%d %H:%M', '%Y-%m-%d']}",
    );
    world.deliver(
        "b",
        "t/1.csv",
        "k,v\n2024-01-15 10:00,1\n2024-01-16,1\n2024-01-17,1\n",
    );
    world.write("out.txt", "t 2024-01-15 10:00\nt 2024-01-16\n");
    let plan = world.plan_with("b", &["--leave-out", "out.txt"]);
    assert_eq!(plan.count("insert"), 1, "{:?}", plan.lines());
    world.write("out.txt", "t 2024-01-15 10:00:00\nt 2024-01-16 00:00:00\n");
    let plan = world.plan_with("b", &["--leave-out", "out.txt"]);
    assert_eq!(plan.count("insert"), 1, "{:?}", plan.lines());
}

/// A key that begins as a flag does is none.
#[test]
fn a_key_may_begin_with_a_minus() {
    let world = World::new(
        "CREATE TABLE t (k int PRIMARY KEY, v int)",
        "t: {natural_key: [k]}",
    );
    world.deliver("b", "t/1.csv", "k,v\n-5,1\n6,1\n");
    let plan = world.plan("b");
    world.apply(&plan).ok();
    world
        .loader(&["audit", "--table", "t", "--key", "-5"])
        .ok()
        .says("-5");
    world
        .loader(&[
            "rollback",
            "--batch-id",
            "b",
            "--table",
            "t",
            "--key",
            "-5",
            "--force",
        ])
        .ok();
    assert_eq!(world.rows("SELECT k FROM t"), ["6"]);
}

/// The same batch and rows give the same plan, whatever stands in its notes; and a key that is named twice is one.
#[test]
fn a_sensitive_key_is_named_in_no_note() {
    let world = World::new(
        "CREATE TABLE people (ssn text PRIMARY KEY, city text, site text); \
         INSERT INTO people VALUES ('111-11-1111', 'A', 'X'), ('222-22-2222', 'B', 'X'), ('333-33-3333', 'C', 'X')",
        "people: {natural_key: [ssn], sensitive: [ssn], group_by: site}",
    );
    world.deliver(
        "b",
        "people/1.csv",
        "ssn,city,site\n111-11-1111,Q,X\n222-22-2222,Q,X\n333-33-3333,Q,X\n",
    );
    world.write("out.txt", "people 111-11-1111\npeople 111-11-1111\n");
    let plan = || world.plan_with("b", &["--leave-out", "out.txt"]);
    let one = plan();
    assert_eq!(one.hash(), plan().hash());
    let shown = world.show(&one, &[]);
    assert!(
        shown.contains("1 key is left out by name: •••\n"),
        "{shown}"
    );
    // What stands for a key is none, as it may stand for another one too.
    let seen = world.show(&one, &["--format", "csv"]);
    let stand_in = seen.split("ssn=").nth(1).unwrap().split('"').next();
    world.write("seen.txt", format!("people {}\n", stand_in.unwrap()));
    world
        .try_plan("b", &["--leave-out", "seen.txt"])
        .exits(1)
        .says("seen.txt: line 1: ssn: this stands for a sensitive value where people look, and may stand for others, too")
        .says("name the row by the value itself");
    // Whether the record that is left out has a row is not known.
    assert!(
        shown.contains("X: all 2 rows that are not left out or refused change city to \"Q\""),
        "{shown}"
    );
}
