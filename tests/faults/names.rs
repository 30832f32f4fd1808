//! Which rows of which table loads changed, whatever they called it and by which key they found its rows.

use crate::renewed::{self, rollback};
use crate::support::World;

fn load(world: &World, batch: &str, name: &str, content: &str) {
    renewed::load(world, batch, &[(name, content)]);
}

/// Two tables of one name in two schemas, of which the search path says which is meant.
#[test]
fn loads_of_another_table_with_the_same_name_are_others() {
    let world = World::new(
        "CREATE SCHEMA site_a; CREATE SCHEMA site_b; \
         CREATE TABLE site_a.pt (k text PRIMARY KEY, a text); CREATE TABLE site_b.pt (k text PRIMARY KEY, a text); \
         INSERT INTO site_a.pt VALUES ('1', 'screened'); INSERT INTO site_b.pt VALUES ('1', 'enrolled')",
        "pt: {natural_key: [k]}",
    );
    world.set("LOADER_QUEUE", "off");
    let site = |site: &str| {
        world.sql(&format!(
            "ALTER DATABASE {} SET search_path = {site}, public",
            world.database
        ));
    };
    let all = || {
        world.rows("SELECT 'a', a FROM site_a.pt UNION ALL SELECT 'b', a FROM site_b.pt ORDER BY 1")
    };
    let before = all();
    let both = |a: &str, b: &str| {
        site("site_a");
        load(&world, a, "pt.csv", "k,a\n1,enrolled\n2,new\n");
        site("site_b");
        load(&world, b, "pt.csv", "k,a\n1,withdrawn\n2,new\n");
    };
    for (n, more) in [&[][..], &["--with-dependents"], &["--keep-edited"]]
        .into_iter()
        .enumerate()
    {
        let (a, b) = (format!("{n}_a"), format!("{n}_b"));
        both(&a, &b);
        site("site_a");
        rollback(&world, &a, more).ok();
        assert_eq!(all(), ["a|screened", "b|withdrawn", "b|new"], "{more:?}");
        rollback(&world, &b, more).ok();
        assert_eq!(all(), before, "{more:?}");
    }
    // One batch of both is taken back load by load.
    both("wk", "wk");
    let now = all();
    rollback(&world, "wk", &[])
        .exits(4)
        .says("site_a")
        .says("one by one with --application");
    assert_eq!(all(), now);
    let loads =
        world.rows("SELECT application FROM loader_ledger WHERE batch_id = 'wk' ORDER BY sequence");
    for load in loads {
        world
            .loader(&["rollback", "--application", &load, "--force"])
            .ok();
    }
    assert_eq!(all(), before);
    // Nor is newer data of the one newer than data of the other.
    world.configure("pt: {natural_key: [k], on_older: block}");
    let dated = |time: &str| {
        format!(r#"{{"extracted_at": "{time}", "data": {{"k": "1", "a": "{time}"}}}}"#)
    };
    site("site_a");
    load(&world, "n1", "pt.json", &dated("2026-03-01T00:00:00Z"));
    site("site_b");
    load(&world, "n2", "pt.json", &dated("2026-02-01T00:00:00Z"));
    world.put("n3", "pt.json", dated("2026-01-01T00:00:00Z"));
    assert_eq!(world.plan("n3").count("violation"), 1);
}

/// Later loads stand against a rollback also where the table has another name in their configuration, or its rows
/// another key.
#[test]
fn later_loads_are_seen_by_whatever_name_and_key() {
    let first = "w: {natural_key: [k], conflict_resolution: replace}";
    for (config, name) in [
        ("w: {natural_key: [k], conflict_resolution: replace}", "w"),
        (
            "w: {natural_key: [site, k], conflict_resolution: replace}",
            "w",
        ),
        ("w: {natural_key: [a], conflict_resolution: replace}", "w"),
        (
            "public.w: {natural_key: [k], conflict_resolution: replace}",
            "public.w",
        ),
    ] {
        let world = World::new(
            "CREATE TABLE w (id serial PRIMARY KEY, site text, k text UNIQUE, a text, b text, UNIQUE (site, k))",
            first,
        );
        world.set("LOADER_QUEUE", "off");
        load(
            &world,
            "wb1",
            "w.csv",
            "site,k,a,b\nA,1,x,x\nA,2,z,x\nA,3,v,x\n",
        );
        world.configure(config);
        let file = format!("{name}.csv");
        load(&world, "wb2", &file, "site,k,a,b\nA,1,x,y\n");
        load(&world, "wb3", &file, "site,k,a,b\nA,1,x,x\n");
        world.configure(first);
        let now = world.rows("SELECT * FROM w ORDER BY id");
        rollback(&world, "wb1", &[])
            .exits(3)
            .says("loaded since with the same outcome");
        assert_eq!(world.rows("SELECT * FROM w ORDER BY id"), now, "{config}");
        // What they did is not taken back at once where they knew the table otherwise: what was asked for is not advised.
        if config != first {
            rollback(&world, "wb1", &["--with-dependents"])
                .exits(3)
                .says_all(&["--keep-edited keeps these rows", "taken back first"])
                .omits("--with-dependents also");
            assert_eq!(world.rows("SELECT * FROM w ORDER BY id"), now, "{config}");
        }
        // Rows that they did not touch are nobody else's.
        rollback(&world, "wb1", &["--table", "w", "--key", "3"]).ok();
        rollback(&world, "wb1", &["--keep-edited"]).ok();
        assert_eq!(world.rows("SELECT k FROM w"), ["1"], "{config}");
        for batch in ["wb3", "wb2", "wb1"] {
            rollback(&world, batch, &[]).ok();
        }
        assert_eq!(world.rows("SELECT k FROM w"), [""; 0], "{config}");
    }
}

/// Without the columns by which they were found, rows are not looked for.
#[test]
fn a_key_that_has_another_name_since_is_told() {
    let world = World::new(
        "CREATE TABLE t (id serial PRIMARY KEY, site text, k text UNIQUE, a text)",
        "t: {natural_key: [site, k]}",
    );
    world.set("LOADER_QUEUE", "off");
    load(&world, "b", "t.csv", "site,k,a\nA,1,x\nA,2,y\n");
    world.sql("ALTER TABLE t RENAME k TO code");
    for more in [&[][..], &["--keep-edited"], &["--with-dependents"]] {
        rollback(&world, "b", more)
            .exits(4)
            .says("t: the table has no column k any more");
    }
    world.sql("ALTER TABLE t RENAME code TO k");
    rollback(&world, "b", &[]).ok();
    assert_eq!(world.value("SELECT count(*) FROM t"), "0");
}

/// Nor does it matter whether it was the table, or one of which it is a part.
#[test]
fn later_loads_of_a_part_of_the_table_are_seen() {
    for parts in [
        "CREATE TABLE a (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); \
         CREATE TABLE a1 PARTITION OF a FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id); \
         CREATE TABLE a2 PARTITION OF a1 DEFAULT; INSERT INTO a VALUES (1, 'x')",
        "CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE a2 (PRIMARY KEY (id)) INHERITS (a); INSERT INTO a2 VALUES (1, 'x')",
    ] {
        for (first, then) in [("a", "a2"), ("a2", "a")] {
            let world = World::new(parts, "a: {natural_key: [id]}\na2: {natural_key: [id]}");
            world.set("LOADER_QUEUE", "off");
            load(
                &world,
                "b1",
                &format!("{first}.json"),
                r#"{"id": 1, "v": "p"}"#,
            );
            let later = format!("{then}.json");
            load(&world, "b2", &later, r#"{"id": 1, "v": "q"}"#);
            load(&world, "b3", &later, r#"{"id": 1, "v": "p"}"#);
            rollback(&world, "b1", &[])
                .exits(3)
                .says("loaded since with the same outcome");
            for batch in ["b3", "b2", "b1"] {
                rollback(&world, batch, &[]).ok();
            }
            assert_eq!(world.rows("SELECT * FROM a"), ["1|x"], "{first}");
        }
    }
}
