//! Parents before children, whatever the tables are called and however they refer to each other.

use crate::support::World;

#[test]
fn rows_of_one_table_may_refer_to_each_other_in_any_order() {
    let world = World::new(
        "CREATE TABLE person (id int PRIMARY KEY, mother int REFERENCES person, name text); INSERT INTO person VALUES (7, NULL, 'old')",
        "person: {natural_key: [id]}",
    );
    world.deliver("b", "person/1.json", r#"[{"id": 1, "mother": 2}, {"id": 2, "mother": 3, "name": "x"}, {"id": 4, "mother": 1}, {"id": 7, "mother": 9}]"#);
    world.deliver(
        "b",
        "person/2.json",
        r#"[{"id": 3}, {"id": 5, "mother": 5}, {"id": 9, "mother": 7}]"#,
    );
    let plan = world.plan("b");
    assert_eq!(
        (
            plan.count("insert"),
            plan.count("update"),
            plan.count("violation")
        ),
        (6, 1, 0),
        "{:?}",
        plan.lines()
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT id, mother FROM person ORDER BY 1"),
        ["1|2", "2|3", "3|∅", "4|1", "5|5", "7|9", "9|7"]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
}

const CYCLE: &str = "
CREATE TABLE dept (id int PRIMARY KEY, head int);
CREATE TABLE staff (id int PRIMARY KEY, dept int NOT NULL CONSTRAINT works_in REFERENCES dept);
";
const BOTH: &str = "dept: {natural_key: [id]}\nstaff: {natural_key: [id]}";

fn deliver_cycle(world: &World) {
    world.deliver(
        "b",
        "dept/1.json",
        r#"[{"id": 1, "head": 10}, {"id": 2, "head": 20}]"#,
    );
    world.deliver(
        "b",
        "staff/1.json",
        r#"[{"id": 10, "dept": 1}, {"id": 20, "dept": 1}]"#,
    );
}

#[test]
fn a_cycle_of_tables_is_loaded_where_a_deferrable_constraint_breaks_it() {
    for when in ["DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"] {
        let world = World::new(
            &format!(
                "{CYCLE} ALTER TABLE dept ADD CONSTRAINT led_by FOREIGN KEY (head) REFERENCES staff {when}"
            ),
            BOTH,
        );
        deliver_cycle(&world);
        let plan = world.plan("b");
        assert_eq!(plan.tables(), ["dept", "staff"]);
        assert_eq!(plan.count("violation"), 0, "{:?}", plan.lines());
        world.apply(&plan).ok();
        assert_eq!(
            world.rows("SELECT head FROM dept ORDER BY id"),
            ["10", "20"]
        );
        assert_eq!(world.plan("b").news(), [""; 0]);
    }
}

#[test]
fn a_cycle_that_nothing_breaks_is_refused_and_named() {
    let world = World::new(
        &format!(
            "{CYCLE} ALTER TABLE dept ADD CONSTRAINT led_by FOREIGN KEY (head) REFERENCES staff"
        ),
        BOTH,
    );
    deliver_cycle(&world);
    let refused = world.try_plan("b", &[]).exits(1);
    refused
        .says("dept needs staff (led_by)")
        .says("staff needs dept (works_in)");
}

#[test]
fn tables_come_after_those_they_refer_to_and_those_they_depend_on() {
    let schema = "CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY);
        CREATE TABLE d (id int PRIMARY KEY)";
    let world = World::new(
        schema,
        "a: {natural_key: [id], depends_on: [d]}\nb: {natural_key: [id]}\nc: {natural_key: [id], depends_on: [b]}\nd: {natural_key: [id], depends_on: [c]}",
    );
    for table in ["a", "b", "c", "d"] {
        world.deliver("x", &format!("{table}/1.json"), r#"{"id": 1}"#);
    }
    let plan = world.plan("x");
    assert_eq!(plan.tables(), ["b", "c", "d", "a"]);
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT table_name FROM audit_log WHERE operation = 'INSERT' ORDER BY id"),
        ["b", "c", "d", "a"]
    );

    world.configure("a: {natural_key: [id], depends_on: [b]}\nb: {natural_key: [id], depends_on: [a]}\nc: {natural_key: [id]}\nd: {natural_key: [id]}");
    world
        .try_plan("x", &[])
        .exits(1)
        .says("a needs b (depends_on)")
        .says("b needs a (depends_on)");
    world.configure("a: {natural_key: [id], depends_on: [bb]}\nb: {natural_key: [id]}\nc: {natural_key: [id]}\nd: {natural_key: [id]}");
    world
        .try_plan("x", &[])
        .exits(1)
        .says("bb")
        .says("tables.yaml");
}

#[test]
fn a_subset_must_bring_the_parents_that_the_batch_brings() {
    let world = World::new(
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p)",
        "p: {natural_key: [id]}\nc: {natural_key: [id]}",
    );
    world.deliver("b", "p/1.json", r#"{"id": 1}"#);
    world.deliver("b", "c/1.json", r#"{"id": 1, "p": 1}"#);
    world
        .try_plan("b", &["--table-name", "c"])
        .exits(1)
        .says("table c depends on p")
        .says("--table-name p");
    world
        .try_plan("b", &["--table-name", "pp"])
        .exits(1)
        .says("did you mean p?");
    let parents = world.plan_with("b", &["--table-name", "p"]);
    assert_eq!(parents.lines(), ["+ p id=1"]);
    world.apply(&parents).ok();
    let both = world.plan_with("b", &["--table-name", "c", "--table-name", "p"]);
    assert_eq!(both.lines(), ["= p id=1: unchanged", r#"+ c id=1: p="1""#]);
    world.apply(&both).ok();
}

#[test]
fn what_would_break_a_constraint_is_a_violation_of_the_record() {
    let world = World::new(
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p, mail text UNIQUE, age int CHECK (age > 0)); \
         INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1, 'a@x', 5)",
        "p: {natural_key: [id], on_invalid: reject}\nc: {natural_key: [id], on_invalid: reject}",
    );
    world.deliver("b", "p/1.json", r#"[{"id": 2}, {"id": "three"}]"#);
    world.deliver("b", "c/1.json", r#"[{"id": 2, "p": 2}, {"id": 3, "p": 99}, {"id": 4, "mail": "a@x"}, {"id": 5, "age": 0}, {"id": 6, "p": 1, "mail": "b@x", "age": 1}]"#);
    let plan = world.plan("b");
    let violations: Vec<String> = plan
        .lines()
        .into_iter()
        .filter(|l| l.starts_with('!'))
        .collect();
    let kinds = [
        "p id=null: invalid_value id",
        "c id=3: missing_parent p",
        "c id=4: unique_conflict mail",
        "c id=5: check_failed",
    ];
    assert_eq!(violations.len(), kinds.len(), "{violations:?}");
    for (violation, kind) in violations.iter().zip(kinds) {
        assert!(
            violation.starts_with(&format!("! {kind}")) && violation.ends_with("reject"),
            "{violation}"
        );
    }
    world.apply(&plan).ok();
    assert_eq!(world.rows("SELECT id FROM c ORDER BY 1"), ["1", "2", "6"]);
}

#[test]
fn what_refers_to_a_record_that_is_left_out_is_left_out_too() {
    let world = World::new(
        "CREATE TABLE p (id int PRIMARY KEY, a int NOT NULL DEFAULT 1, b int NOT NULL); \
         CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p)",
        "p: {natural_key: [id], on_invalid: reject}\nc: {natural_key: [id], on_invalid: reject}",
    );
    world.deliver(
        "b",
        "p/1.json",
        r#"[{"id": 1, "a": null, "b": 1}, {"id": 2}, {"id": 3, "b": 1}]"#,
    );
    world.deliver(
        "b",
        "c/1.json",
        r#"[{"id": 1, "p": 1}, {"id": 2, "p": 2}, {"id": 3, "p": 3}]"#,
    );
    let plan = world.plan("b");
    let lines = [
        "! p id=1: null_value a reject",
        "! p id=2: null_value b reject",
        r#"+ p id=3: b="1""#,
        "! c id=1: missing_parent p reject",
        "! c id=2: missing_parent p reject",
        r#"+ c id=3: p="3""#,
    ];
    assert_eq!(plan.lines(), lines);
    world.apply(&plan).ok();
}

#[test]
fn what_a_record_that_is_left_out_would_have_freed_is_taken() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, a text UNIQUE, b text UNIQUE); INSERT INTO t VALUES (1, 'x', 'x')",
        "t: {natural_key: [id], on_invalid: reject}",
    );
    // 1 would leave x, but its b is that of 2; 3 relies on it, and 4 on nobody.
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "a": "y", "b": "z"}, {"id": 2, "b": "z"}, {"id": 3, "a": "x"}, {"id": 4, "a": "w"}]"#,
    );
    let plan = world.plan("b");
    let lines = [
        "! t id=1: unique_conflict b reject",
        "! t id=2: unique_conflict b reject",
        "! t id=3: unique_conflict a reject",
        r#"+ t id=4: a="w""#,
    ];
    assert_eq!(plan.lines(), lines);
    world.apply(&plan).ok();
}
