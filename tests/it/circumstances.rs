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
