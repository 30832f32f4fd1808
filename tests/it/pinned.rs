//! A plan is for the table that it was made from, whoever applies it and whatever its name finds by
//! then.

use std::time::Duration;

use crate::support::World;
use crate::support::s3::fault::Fault;
use crate::support::server::shared;
use crate::support::wait::eventually;

/// A table `t` in the schema `public`, and the role of an application with a schema of its own name.
fn world(role: &str) -> World {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'old')",
        "t: {natural_key: [id]}",
    );
    world.sql(&format!(
        "CREATE ROLE {role} LOGIN SUPERUSER; CREATE SCHEMA {role}; CREATE TABLE {role}.t (LIKE t INCLUDING ALL); \
         INSERT INTO {role}.t VALUES (1, 'old')"
    ));
    world.deliver("b", "t/1.json", r#"[{"id": 1, "v": "new"}, {"id": 2}]"#);
    world
}

fn finish(world: &World, role: &str) {
    // The tables of a session that has ended are dropped by it, and cannot be given to somebody else meanwhile.
    let sessions = format!("SELECT pid FROM pg_stat_activity WHERE usename = '{role}'");
    eventually("its sessions end", || world.rows(&sessions).is_empty());
    world.sql(&format!(
        "REASSIGN OWNED BY {role} TO loader; DROP ROLE {role}"
    ));
}

#[test]
fn whoever_applies_writes_the_table_that_was_planned() {
    let world = world("pinned_a");
    let plan = world.plan("b");
    let header = plan.json()["header"].clone();
    assert_eq!(header["tables"][0]["relation"]["schema"], "public");
    assert_eq!(
        header["target"]["search_path"],
        serde_json::json!(["public"])
    );
    world.set("DATABASE_URL", &world.url.replace("loader@", "pinned_a@"));
    world.check(&plan).ok();
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT id, v FROM public.t ORDER BY 1"),
        ["1|new", "2|∅"]
    );
    assert_eq!(world.rows("SELECT id, v FROM pinned_a.t"), ["1|old"]);
    // A rollback is of the table that was loaded.
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows("SELECT id, v FROM public.t"), ["1|old"]);
    assert_eq!(world.rows("SELECT id, v FROM pinned_a.t"), ["1|old"]);
    // Planned by that role it is its own table, and stays it.
    let plan = world.plan("b");
    world.set("DATABASE_URL", &world.url);
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT id, v FROM pinned_a.t ORDER BY 1"),
        ["1|new", "2|∅"]
    );
    assert_eq!(world.rows("SELECT id, v FROM public.t"), ["1|old"]);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows("SELECT id, v FROM pinned_a.t"), ["1|old"]);
    finish(&world, "pinned_a");
}

#[test]
fn a_table_of_the_same_name_in_an_earlier_schema_changes_nothing() {
    let world = world("pinned_b");
    let plan = world.plan("b");
    world.sql(&format!(
        "CREATE SCHEMA loader; CREATE TABLE loader.t (LIKE t INCLUDING ALL); INSERT INTO loader.t VALUES (1, 'old'); \
         ALTER DATABASE {} SET search_path = loader, pinned_b, public",
        world.database
    ));
    world.check(&plan).ok();
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT id, v FROM public.t ORDER BY 1"),
        ["1|new", "2|∅"]
    );
    assert_eq!(
        world.rows("SELECT v FROM loader.t UNION ALL SELECT v FROM pinned_b.t"),
        ["old", "old"]
    );
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows("SELECT id, v FROM public.t"), ["1|old"]);
    finish(&world, "pinned_b");
}

#[test]
fn what_triggers_find_by_the_search_path_is_the_same_for_whoever_applies() {
    let world = world("pinned_c");
    world.configure("t: {natural_key: [id], allow_side_effects: [seen]}");
    world.sql(
        "CREATE TABLE public.seen (id int); CREATE TABLE pinned_c.seen (id int); \
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO seen VALUES (NEW.id); RETURN NULL; END'; \
         CREATE TRIGGER see AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION see()",
    );
    let plan = world.plan("b");
    world.set("DATABASE_URL", &world.url.replace("loader@", "pinned_c@"));
    world.apply(&plan).ok();
    assert_eq!(world.rows("SELECT id FROM public.seen"), ["2"]);
    assert_eq!(world.rows("SELECT id FROM pinned_c.seen"), [""; 0]);
    finish(&world, "pinned_c");
}

#[test]
fn a_search_path_that_cannot_be_had_is_refused() {
    let world = world("pinned_d");
    world.sql(&format!(
        "CREATE SCHEMA helpers; ALTER DATABASE {} SET search_path = helpers, public",
        world.database
    ));
    let plan = world.plan("b");
    world.sql(
        "ALTER ROLE pinned_d NOSUPERUSER; GRANT ALL ON ALL TABLES IN SCHEMA public TO pinned_d; \
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO pinned_d",
    );
    world.set("DATABASE_URL", &world.url.replace("loader@", "pinned_d@"));
    world.writes_nothing(|| world.check(&plan).exits(6).says("helpers"));
    world.writes_only_a_failure(|| world.apply(&plan).exits(6).says("USAGE"));
    world.sql("GRANT USAGE ON SCHEMA helpers TO pinned_d");
    world.apply(&plan).ok();
    world.sql("DROP OWNED BY pinned_d; DROP ROLE pinned_d");
}

#[test]
fn a_table_that_is_gone_or_was_renamed_is_refused() {
    for change in [
        "DROP TABLE public.t",
        "ALTER TABLE public.t RENAME TO s",
        "ALTER TABLE public.t SET SCHEMA other",
    ] {
        let world = World::new(
            "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE SCHEMA other",
            "t: {natural_key: [id]}",
        );
        world.deliver("b", "t/1.json", r#"{"id": 1}"#);
        let plan = world.plan("b");
        world.sql(change);
        world.writes_only_a_failure(|| world.apply(&plan).exits(6).says("no longer there"));
    }
}

#[test]
fn a_plan_is_the_same_whatever_the_settings_of_role_and_database_are() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, i interval, f float8, b bytea, m money, d date); \
         INSERT INTO t VALUES (1, '2024-03-04 05:06:07+00', '1 day 02:03:04', 0.1, '\\x00ff', 12.5, '2024-03-04')",
        "t: {natural_key: [id]}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "at": "2024-03-05T00:00:00Z", "i": "2 days", "f": 0.30000000000000004, "b": "\\x01"}, {"id": 2, "d": "2024-02-03"}]"#,
    );
    let plan = world.plan("b");
    for (setting, value) in [
        ("TimeZone", "America/New_York"),
        ("DateStyle", "SQL, DMY"),
        ("IntervalStyle", "iso_8601"),
        ("extra_float_digits", "-3"),
        ("bytea_output", "escape"),
        ("lc_monetary", "C.UTF-8"),
        ("standard_conforming_strings", "off"),
        ("quote_all_identifiers", "on"),
        ("transform_null_equals", "on"),
        ("array_nulls", "off"),
        ("default_transaction_read_only", "on"),
        ("default_transaction_isolation", "serializable"),
    ] {
        world.sql(&format!(
            "ALTER DATABASE {} SET {setting} = '{value}'",
            world.database
        ));
        assert_eq!(world.plan("b").hash(), plan.hash(), "{setting}");
    }
    world.sql(&format!(
        "ALTER DATABASE {} RESET default_transaction_read_only",
        world.database
    ));
    world.apply(&plan).ok();
    assert_eq!(world.plan("b").news(), [""; 0]);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
}

#[test]
fn how_long_it_may_take_is_for_its_own_settings_to_say() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY); \
         CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END'; \
         CREATE TRIGGER slow AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()",
        "t: {natural_key: [id]}",
    );
    let mut limits = vec![
        "statement_timeout",
        "idle_session_timeout",
        "idle_in_transaction_session_timeout",
    ];
    if shared().version() >= 17 {
        limits.push("transaction_timeout");
    }
    for limit in limits {
        let name = &world.database;
        world.sql(&format!("ALTER DATABASE {name} SET {limit} = '400ms'"));
    }
    world.deliver("b", "t/1.json", r#"{"id": 1}"#);
    world.s3().inject(Fault::Delay(Duration::from_millis(500)));
    let plan = world.plan("b");
    world.s3().heal();
    world.apply(&plan).ok();
}
