//! A plan says how it came about, beside what is approved.

use crate::support::World;

#[test]
fn a_plan_says_when_by_whom_and_where_it_was_made() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "t: {natural_key: [id], sensitive: [v]}",
    );
    world.deliver("b", "t/1.json", r#"{"id": 1, "v": "x"}"#);
    let plain = world.plan("b");
    assert!(plain.json().get("notes").is_none());
    world.set("LOADER_NOTES", "on");
    world.set("LOADER_ACTOR", "##[error]\u{1b}[31mada");
    let plan = world.plan("b");
    let made = &plan.json()["notes"]["made"];
    assert_eq!(made["by"], "##[error]\u{1b}[31mada");
    assert_eq!(made["version"], env!("CARGO_PKG_VERSION"));
    let database = world.rows("SELECT current_database()").remove(0);
    let named = |field: &str| made[field].as_str().unwrap().to_owned();
    assert!(named("database").ends_with(&database), "{made}");
    assert!(!named("on").is_empty());
    let at: jiff::Timestamp = named("at").parse().unwrap();
    let age = jiff::Timestamp::now().duration_since(at).as_secs();
    assert!((0..600).contains(&age), "{made}");

    // The hash is that of the plan, whoever made it.
    assert_eq!(plan.hash(), plain.hash());
    for args in [
        ["--format", "text"],
        ["--format", "markdown"],
        ["--format", "html"],
    ] {
        let shown = world.show(&plan, &args);
        assert!(shown.contains("Not in the hash"), "{shown}");
        assert!(shown.contains("with loader 0."), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown}");
        assert!(!shown.contains("##["), "{shown}");
    }
    world.apply(&plan).ok();

    // A rollback's plan too; and a rehearsal stands beside it.
    world
        .loader(&["rollback", "--batch-id", "b", "--out", "undo.json"])
        .ok();
    let undo = std::fs::read_to_string(world.path("undo.json")).unwrap();
    assert!(undo.contains("\"made\""), "{undo}");
    world.deliver("c", "t/1.json", r#"{"id": 2, "v": "x"}"#);
    let plan = world.plan_with("c", &["--rehearse"]);
    let notes = &plan.json()["notes"];
    assert_eq!(notes["rehearsal"]["outcome"], "applies");
    assert!(notes["made"]["at"].is_string());
    let shown = world.show(&plan, &[]);
    assert!(shown.contains("rehearsed: it applies"), "{shown}");
}

/// The session's schema for temporary tables is no part of the search path that a plan was made with: it is another one in
/// each session.
#[test]
fn temporary_tables_have_no_place_in_the_search_path_of_a_plan() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "t: {natural_key: [id]}",
    );
    world.sql(&format!(
        "ALTER DATABASE \"{}\" SET search_path = pg_temp, public",
        world.database
    ));
    world.deliver("b", "t/1.json", r#"{"id": 1}"#);
    let plan = world.plan("b");
    let path = &plan.json()["header"]["target"]["search_path"];
    assert_eq!(*path, serde_json::json!(["public"]));
    // Another place in the server has another such schema.
    let mut others: Vec<postgres::Client> = (0..3)
        .map(|_| postgres::Client::connect(&world.url, postgres::NoTls).unwrap())
        .collect();
    for other in &mut others {
        other.batch_execute("CREATE TEMPORARY TABLE x ()").unwrap();
    }
    assert_eq!(world.plan("b").text, plan.text);
    world.apply(&plan).ok();
}

/// A trigger that swallows rows is what a rehearsal finds out: the plan is written, and its notes say so.
#[test]
fn a_rehearsal_tells_of_rows_that_are_swallowed() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY); \
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 2 THEN RETURN NULL; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER f BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "t: {natural_key: [id]}",
    );
    world.deliver("b", "t/1.json", r#"[{"id": 1}, {"id": 2}]"#);
    let plan = world.plan_with("b", &["--rehearse"]);
    assert!(
        plan.text
            .contains("a rule or trigger of the table swallows or adds rows"),
        "{}",
        plan.text
    );
    world.writes_only_a_failure(|| {
        world
            .apply(&plan)
            .exits(4)
            .says("a rule or trigger of the table swallows")
    });
}

/// Whoever holds a lock is named, also of the loader's own tables, and where it is a transaction that was prepared.
#[test]
fn whoever_holds_a_lock_is_named() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "t: {natural_key: [id]}",
    );
    world.set("LOADER_LOCK_TIMEOUT", "1");
    world.deliver("b", "t/1.json", r#"{"id": 1}"#);
    let plan = world.plan("b");
    let mut other = postgres::Client::connect(&world.url, postgres::NoTls).unwrap();
    for table in ["t", "audit_log", "loader_ledger"] {
        let pid: i32 = other
            .query_one("SELECT pg_backend_pid()", &[])
            .unwrap()
            .get(0);
        other
            .batch_execute(&format!(
                "BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"
            ))
            .unwrap();
        world
            .apply(&plan)
            .exits(7)
            .says(&format!("process {pid}, user"))
            .says("--lock-timeout");
        other.batch_execute("ROLLBACK").unwrap();
    }
    if world.one("SHOW max_prepared_transactions") != "0" {
        other
            .batch_execute(
                "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'forgotten'",
            )
            .unwrap();
        world
            .apply(&plan)
            .exits(7)
            .says("the prepared transaction 'forgotten'")
            .says("--lock-timeout");
        other
            .batch_execute("ROLLBACK PREPARED 'forgotten'")
            .unwrap();
    }
    world.apply(&plan).ok();
}
