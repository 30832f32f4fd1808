//! Taking back rows that were deleted and inserted again, and values to which others refer.

use crate::support::world::BUCKET;
use crate::support::{Run, World};

/// Loads these files, and takes them away again.
pub fn load(world: &World, batch: &str, files: &[(&str, &str)]) {
    world.set("LOADER_QUEUE", "off");
    for (name, content) in files {
        world.put(batch, name, *content);
    }
    let plan = world.plan_with(batch, &["--max-deletes", "9"]);
    world.apply(&plan).ok();
    for (name, _) in files {
        world
            .s3()
            .delete(BUCKET, &format!("staging/{batch}/{name}"));
    }
}

pub fn rollback(world: &World, batch: &str, more: &[&str]) -> Run {
    let args = [&["rollback", "--batch-id", batch, "--force"], more].concat();
    world.loader(&args)
}

/// Such a row gets back all that it held, also where triggers may set what no load wrote.
#[test]
fn a_row_that_was_deleted_and_inserted_again_gets_back_all_that_it_held() {
    let trigger = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.at := now(); RETURN NEW; END$$; \
        CREATE TRIGGER x BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();";
    for trigger in ["", trigger] {
        for more in [&[][..], &["--with-dependents"]] {
            let world = World::new(
                &format!(
                    "CREATE TABLE t (k text PRIMARY KEY, a int, n int, c text DEFAULT 'dflt', id serial, at timestamptz); {trigger} \
                     INSERT INTO t VALUES ('y', 1, 2, 'z', 7, '2020-01-01')"
                ),
                "t: {natural_key: [k]}",
            );
            let again = if more.is_empty() { "b1" } else { "b2" };
            load(&world, "b1", &[("t/delete/d.json", r#"[{"k": "y"}]"#)]);
            load(&world, again, &[("t/r.json", r#"[{"k": "y", "a": 9}]"#)]);
            assert_eq!(world.rows("SELECT k, a, n, c, id FROM t"), ["y|9|∅|dflt|1"]);
            rollback(&world, "b1", more).ok();
            assert_eq!(world.rows("SELECT k, a, n, c, id FROM t"), ["y|1|2|z|7"]);
        }
    }
}

/// A number that only the database gives cannot be given back by an update, but by the newest load first.
#[test]
fn a_row_that_was_numbered_anew_is_taken_back_load_by_load() {
    let world = World::new(
        "CREATE TABLE p (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, k text UNIQUE, v int); \
         INSERT INTO p (k, v) VALUES ('y', 1)",
        "p: {natural_key: [k]}",
    );
    load(&world, "b1", &[("p/delete/d.json", r#"[{"k": "y"}]"#)]);
    load(&world, "b1", &[("p/r.json", r#"[{"k": "y", "v": 2}]"#)]);
    world.writes_nothing(|| {
        rollback(&world, "b1", &[])
            .exits(4)
            .says("p: the row y was deleted and inserted again by these loads, and its id is numbered")
            .says("one by one with --application, newest first")
    });
    let loads = world.rows("SELECT application FROM loader_ledger ORDER BY applied_at DESC");
    for load in loads {
        world
            .loader(&["rollback", "--application", &load, "--force"])
            .ok();
    }
    assert_eq!(world.rows("SELECT id, k, v FROM p"), ["1|y|1"]);
}

/// Where it gets its old number back, rows that refer to the new one are taken back with it.
#[test]
fn rows_that_refer_to_a_row_that_was_numbered_anew_go_with_it() {
    let world = World::new(
        "CREATE TABLE p (id serial PRIMARY KEY, k text UNIQUE, v int); INSERT INTO p (k, v) VALUES ('y', 1); \
         CREATE TABLE c (k text PRIMARY KEY, p int NOT NULL REFERENCES p)",
        "p: {natural_key: [k]}\nc: {natural_key: [k], references: {p: {table: p, by: {k: pk}}}}",
    );
    load(&world, "b1", &[("p/delete/d.json", r#"[{"k": "y"}]"#)]);
    load(
        &world,
        "b2",
        &[
            ("p/r.json", r#"[{"k": "y", "v": 2}]"#),
            ("c/r.json", r#"[{"k": "1", "pk": "y"}]"#),
        ],
    );
    assert_eq!(world.rows("SELECT id, k, v FROM p"), ["2|y|2"]);
    rollback(&world, "b1", &["--with-dependents"]).ok();
    assert_eq!(world.rows("SELECT id, k, v FROM p"), ["1|y|1"]);
    assert_eq!(world.rows("SELECT k FROM c"), [""; 0]);
}

/// Rows that refer to a value which would change stand against it, by key, or are taken back with it.
#[test]
fn rows_that_refer_to_a_value_that_changes_are_named_or_taken_back() {
    let schema = "CREATE TABLE p (k text PRIMARY KEY, u int UNIQUE); INSERT INTO p VALUES ('a', 1), ('z', 8), ('y', 9); \
        CREATE TABLE c (k text PRIMARY KEY, pu int REFERENCES p (u)); INSERT INTO c VALUES ('there', 8)";
    for soft in ["", ", soft_delete: gone"] {
        let world = World::new(
            &format!("{schema}; ALTER TABLE p ADD gone timestamptz"),
            &format!("p: {{natural_key: [k]{soft}}}\nc: {{natural_key: [k]}}"),
        );
        let all = || world.rows("SELECT p::text FROM p UNION ALL SELECT c::text FROM c ORDER BY 1");
        let before = all();
        load(
            &world,
            "b1",
            &[("p/r.json", r#"[{"k": "a", "u": 5}, {"k": "new", "u": 6}]"#)],
        );
        load(&world, "b2", &[("c/r.json", r#"[{"k": "1", "pu": 5}]"#)]);
        world.writes_nothing(|| {
            rollback(&world, "b1", &[])
                .exits(4)
                .says("1 row refers to a row that would change")
                .says("c k=1 refers to p k=a, of which that value would change (c_pu_fkey)")
                .says("--with-dependents")
        });
        rollback(&world, "b1", &["--keep-edited"]).ok();
        assert_eq!(
            world.value("SELECT u FROM p WHERE k = 'a'"),
            "5",
            "it is kept"
        );
        rollback(&world, "b1", &["--with-dependents"]).ok();
        let expected: Vec<String> = match soft {
            "" => before,
            _ => all(),
        };
        assert_eq!(all(), expected);
        assert_eq!(world.rows("SELECT u FROM p WHERE k = 'a'"), ["1"]);
    }
    // Nor may it refer to another row in the end.
    let world = World::new(
        "CREATE TABLE p (k text PRIMARY KEY, u int UNIQUE); INSERT INTO p VALUES ('z', 8), ('y', 9); \
         CREATE TABLE c (k text PRIMARY KEY, pu int REFERENCES p (u) DEFERRABLE)",
        "p: {natural_key: [k]}\nc: {natural_key: [k]}",
    );
    load(
        &world,
        "b1",
        &[("p/r.json", r#"[{"k": "z", "u": 7}, {"k": "y", "u": 8}]"#)],
    );
    world.sql("INSERT INTO c VALUES ('late', 8)");
    rollback(&world, "b1", &[])
        .exits(4)
        .says("c k=late refers to p k=y, of which that value would change");
    world.sql("DELETE FROM c");
    rollback(&world, "b1", &[]).ok();
    assert_eq!(world.rows("SELECT k, u FROM p ORDER BY k"), ["y|9", "z|8"]);
    // A row that is put back refers to one that is gone.
    let world = World::new(
        "CREATE TABLE p (k text PRIMARY KEY); INSERT INTO p VALUES ('x'), ('y'); \
         CREATE TABLE c (k text PRIMARY KEY, p text REFERENCES p); INSERT INTO c VALUES ('1', 'x')",
        "p: {natural_key: [k]}\nc: {natural_key: [k]}",
    );
    load(&world, "b1", &[("c/r.json", r#"[{"k": "1", "p": "y"}]"#)]);
    let undo = ["rollback", "--batch-id", "b1", "--out", "undo.json"];
    world.loader(&undo).ok();
    world.sql("DELETE FROM p WHERE k = 'x'");
    rollback(&world, "b1", &[])
        .exits(4)
        .says("they refer to rows of p that are gone since (c_p_fkey): 1;");
    world
        .loader(&["apply", "undo.json", "--force"])
        .exits(4)
        .says("a row that is put back refers to one that is not there");
}

/// What one load brought and a later one deleted is taken back with both: nothing brings it again.
#[test]
fn a_row_that_was_only_there_in_between_is_taken_back_with_both_loads() {
    let schema = "CREATE TABLE t (k text PRIMARY KEY, a int)";
    let applied = |world: &World| {
        let history = world.loader(&["history", "--json"]).ok();
        history.stdout.matches("\"undone_by\":\"").count()
    };
    // Another row of the later load is taken back, none is, and one stays.
    for (own, later) in [
        (r#"[{"k": "x"}, {"k": "y"}]"#, r#"[{"k": "x", "a": 2}]"#),
        (r#"[{"k": "y"}]"#, "[]"),
        (r#"[{"k": "y"}]"#, r#"[{"k": "z"}]"#),
    ] {
        let world = World::new(schema, "t: {natural_key: [k]}");
        load(&world, "b1", &[("t/r.json", own)]);
        load(
            &world,
            "b2",
            &[("t/r.json", later), ("t/delete/d.json", r#"[{"k": "y"}]"#)],
        );
        let stays = later.contains("\"z\"");
        let run = rollback(&world, "b1", &["--with-dependents"]);
        if stays {
            run.exits(4).says("nothing is to be undone");
        } else {
            run.ok();
            assert_eq!(world.rows("SELECT k FROM t"), [""; 0], "{own} {later}");
            rollback(&world, "b2", &[]).says("taken back already");
            assert_eq!(world.rows("SELECT k FROM t"), [""; 0], "{own} {later}");
            assert_eq!(applied(&world), 2, "{own} {later}");
        }
    }
    // A later load that brings it anew is not in the way of the others.
    let world = World::new(schema, "t: {natural_key: [k]}");
    load(&world, "b1", &[("t/r.json", r#"[{"k": "y"}, {"k": "x"}]"#)]);
    load(&world, "b1", &[("t/delete/d.json", r#"[{"k": "y"}]"#)]);
    load(&world, "b2", &[("t/r.json", r#"[{"k": "y", "a": 5}]"#)]);
    rollback(&world, "b1", &[]).ok();
    assert_eq!(world.rows("SELECT k, a FROM t"), ["y|5"]);
}
