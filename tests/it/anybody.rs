//! What defaults, checks and triggers make of rows that the loader writes: what they make of anybody's.

use crate::support::World;

/// What the settings of role and database decide in a row.
const TABLES: &str = "
CREATE TABLE t (id int PRIMARY KEY, v text, entered timestamp DEFAULT now(), zone text DEFAULT current_setting('TimeZone'),
  stamped timestamp, day date, style text, gone timestamp,
  CHECK (zone = current_setting('TimeZone')));
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
  NEW.day := '2024-01-02 03:00:00+00'::timestamptz::date;
  NEW.style := '2024-01-02'::date || ' ' || interval '1 day 2 hours';
  RETURN NEW; END $f$;
CREATE TRIGGER fill BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION fill();
INSERT INTO t (id, v, zone) VALUES (1, 'old', 'America/New_York'), (9, 'old', 'America/New_York');
";
const CONFIG: &str = "t:
  natural_key: [id]
  soft_delete: gone
  limits: {delete: 5}
  stamps: {stamped: now, day: trigger, style: trigger}
";

#[test]
fn time_zone_and_styles_are_those_of_the_database() {
    let world = World::new("SELECT 1", CONFIG);
    for (setting, value) in [
        ("TimeZone", "America/New_York"),
        ("DateStyle", "German"),
        ("IntervalStyle", "iso_8601"),
    ] {
        world.sql(&format!(
            "ALTER DATABASE {} SET {setting} = '{value}'",
            world.database
        ));
    }
    world.reconnect();
    world.sql(TABLES);
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "v": "new"}, {"id": 2, "v": "two"}]"#,
    );
    world.deliver("b", "t/delete/2.json", r#"[{"id": 9}]"#);
    let plan = world.plan("b");
    world.apply(&plan).ok();
    let here = "extract(epoch FROM now()::timestamp - @) BETWEEN -5 AND 300";
    let is_here = |column: &str| here.replace('@', column);
    assert_eq!(
        world.rows(&format!(
            "SELECT id, v, zone, {}, {}, day, style FROM t WHERE gone IS NULL ORDER BY id",
            is_here("entered"),
            is_here("stamped")
        )),
        [
            "1|new|America/New_York|t|t|01.01.2024|02.01.2024 P1DT2H",
            "2|two|America/New_York|t|t|01.01.2024|02.01.2024 P1DT2H"
        ]
    );
    assert_eq!(
        world.value(&format!("SELECT {} FROM t WHERE id = 9", is_here("gone"))),
        "t"
    );
    // Who applies under other settings finds each value as it is.
    world.sql(&format!(
        "ALTER TABLE t DROP CONSTRAINT t_zone_check; ALTER DATABASE {} SET TimeZone = 'Asia/Tokyo'",
        world.database
    ));
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(
        world.rows("SELECT id, v FROM t WHERE gone IS NULL ORDER BY id"),
        ["1|old", "9|old"]
    );
}

#[test]
fn checks_are_foreseen_in_the_time_zone_of_the_database() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, d date, n int GENERATED ALWAYS AS (id * 2) STORED,
           CONSTRAINT not_later CHECK (d <= '2024-05-05 23:30:00+00'::timestamptz::date))",
        "t: {natural_key: [id]}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "d": "2024-05-06"}, {"id": 2, "d": "2024-05-07"}]"#,
    );
    let plan = world.plan("b");
    assert_eq!(plan.count("violation"), 2);
    // The values are spelled as ever.
    assert!(plan.text.contains("2024-05-06"));
    world.sql(&format!(
        "ALTER DATABASE {} SET TimeZone = 'Asia/Tokyo'",
        world.database
    ));
    let plan = world.plan("b");
    assert_eq!(plan.count("violation"), 1);
    world.deliver("c", "t/1.json", r#"[{"id": 1, "d": "2024-05-06"}]"#);
    let plan = world.plan("c");
    world.apply(&plan).ok();
    assert_eq!(world.rows("SELECT id, n FROM t"), ["1|2"]);
}

/// A trigger reads what row security shows to whoever writes.
#[test]
fn triggers_read_what_row_security_shows_them() {
    let world = World::new(
        "CREATE TABLE rates (cur text PRIMARY KEY, rate int); INSERT INTO rates VALUES ('EUR', 2), ('GBP', 3);
         ALTER TABLE rates ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON rates USING (cur = 'EUR');
         CREATE TABLE pay (id int PRIMARY KEY, cur text, usd int);
         CREATE FUNCTION convert() RETURNS trigger LANGUAGE plpgsql AS
           $f$ BEGIN NEW.usd := (SELECT rate FROM rates WHERE cur = NEW.cur); RETURN NEW; END $f$;
         CREATE TRIGGER convert BEFORE INSERT OR UPDATE ON pay FOR EACH ROW EXECUTE FUNCTION convert()",
        "pay: {natural_key: [id], stamps: {usd: trigger}}",
    );
    let role = format!("anybody_{}", std::process::id());
    world.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; \
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"
    ));
    world.deliver(
        "b",
        "pay/1.json",
        r#"[{"id": 1, "cur": "EUR"}, {"id": 2, "cur": "GBP"}]"#,
    );
    world.set(
        "DATABASE_URL",
        &world.url.replace("loader@", &format!("{role}@")),
    );
    let plan = world.plan("b");
    world.apply(&plan).ok();
    world
        .loader(&["rollback", "--batch-id", "b", "--out", "undo.json"])
        .ok();
    world.set("DATABASE_URL", &world.url);
    assert_eq!(
        world.rows("SELECT id, cur, usd FROM pay ORDER BY id"),
        ["1|EUR|2", "2|GBP|∅"]
    );
    world.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_database_that_is_frozen_is_not_written() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "t: {natural_key: [id], limits: {delete: 5}}",
    );
    world.deliver("b", "t/1.json", r#"[{"id": 1, "v": "new"}]"#);
    let frozen = format!(
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        world.database
    );
    world.sql(&frozen);
    let plan = world.plan("b");
    world.writes_nothing(|| {
        let refused = "default_transaction_read_only is on";
        world.apply(&plan).exits(1).says(refused);
        world.check(&plan).exits(1).says(refused);
        world.loader(&["migrate"]).exits(1).says(refused);
        world
            .loader(&["config", "check", "--for", "apply"])
            .exits(1)
            .says(refused);
        world.loader(&["config", "check"]).exits(0)
    });
    // Who insists, can.
    let url = format!(
        "{}?options=-c%20default_transaction_read_only%3Doff",
        world.url
    );
    let insisting = [("DATABASE_URL", url.as_str())];
    let apply = ["apply", plan.name(), "--approve", &plan.hash()];
    world.loader_with(&apply, &insisting).ok();
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .exits(1)
        .says("default_transaction_read_only is on");
    assert_eq!(world.rows("SELECT id, v FROM t"), ["1|new"]);
}

/// Whose writes nobody checks, is not to load.
#[test]
fn a_role_for_which_foreign_keys_are_silent_does_not_write() {
    let world = World::new(
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY, p int REFERENCES p); INSERT INTO p VALUES (1)",
        "t: {natural_key: [id]}",
    );
    world.deliver("b", "t/1.json", r#"[{"id": 1, "p": 1}]"#);
    let plan = world.plan("b");
    let url = format!(
        "{}?options=-c%20session_replication_role%3Dreplica",
        world.url
    );
    let replica = [("DATABASE_URL", url.as_str())];
    world.sql("DELETE FROM p");
    world.writes_nothing(|| {
        let refused = "session_replication_role is replica";
        let apply = ["apply", plan.name(), "--approve", &plan.hash()];
        world.loader_with(&apply, &replica).exits(1).says(refused);
        world
            .loader_with(&["check", plan.name()], &replica)
            .exits(1)
            .says(refused);
        world
            .loader_with(&["config", "check", "--for", "apply"], &replica)
            .exits(1)
            .says(refused)
    });
}

/// A check that reads a text as a date reads it as everybody does.
#[test]
fn checks_are_foreseen_in_the_styles_of_the_database() {
    let world = World::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text CHECK (v::date < '2002-06-01'), i text CHECK (i::interval::text = i))",
        "t: {natural_key: [k]}",
    );
    world.sql(&format!(
        "ALTER DATABASE {name} SET datestyle = 'German, DMY'; ALTER DATABASE {name} SET intervalstyle = 'iso_8601'",
        name = world.database
    ));
    for (n, v, i, violations) in [
        (1, "25/12/2001", "P1D", 0),
        (2, "01/02/03", "P1D", 1),
        (3, "25/12/2001", "1 day", 1),
    ] {
        let batch = format!("b{n}");
        world.deliver(
            &batch,
            "t.json",
            format!(r#"{{"k": "k{n}", "v": "{v}", "i": "{i}"}}"#),
        );
        let plan = world.plan(&batch);
        assert_eq!(
            plan.count("violation"),
            violations,
            "{v} {i}: {}",
            plan.text
        );
        if violations == 0 {
            world.apply(&plan).ok();
        }
    }
}
