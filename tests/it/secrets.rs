//! Sensitive values are nowhere where people look: each of them has a canary in it, and every
//! command and refusal is searched for it.

use std::cell::RefCell;

use crate::support::{Run, World};

/// What stands in every sensitive value, in text and in numbers.
pub const CANARIES: [&str; 2] = ["canary", "987654"];

const SCHEMA: &str = "
CREATE TABLE people (
  ssn text PRIMARY KEY, name text, email text UNIQUE, code varchar(16) CHECK (code NOT LIKE '%bad%'),
  weight numeric(9,2), born date, created_by text,
  first_digit int GENERATED ALWAYS AS (CASE WHEN ssn LIKE '%-13' THEN ssn::int END) STORED,
  shouted text GENERATED ALWAYS AS (upper(email)) STORED);
CREATE TABLE visits (
  ssn text NOT NULL REFERENCES people, visit int, note text, place text, PRIMARY KEY (ssn, visit));
CREATE TABLE places (place text PRIMARY KEY, city text);
INSERT INTO people VALUES
  ('canary-1', 'Ann', 'canary-1@x', 'canary-a', 987654.10, '2001-02-03', 'canary-lims'),
  ('canary-2', 'Bob', 'canary-2@x', 'canary-b', 987654.20, '2001-02-04', 'canary-lims'),
  ('canary-3', 'Cyd', 'canary-3@x', 'canary-c', 987654.30, '2001-02-05', 'canary-lims');
INSERT INTO visits VALUES ('canary-1', 1, 'first', 'P1');
";

const TABLES: &str = "
people:
  natural_key: [ssn]
  immutable_fields: [created_by]
  on_immutable: keep
  on_invalid: reject
  on_duplicate: reject
  sensitive: [ssn, email, code, weight, born, created_by]
visits:
  natural_key: [ssn, visit]
  on_invalid: reject
  sensitive: [ssn, note]
places:
  natural_key: [place]
";

/// A batch with everything that can stand in a plan, in sensitive columns.
const PEOPLE: &str = r#"[
  {"ssn": "canary-1", "name": "Anne", "email": "canary-1-new@x", "weight": "987654.12345"},
  {"ssn": "canary-2", "email": "canary-2@x", "created_by": "canary-other", "code": "canary-bb"},
  {"ssn": "canary-3", "name": "Cyd"},
  {"ssn": "canary-4", "name": "Dan", "email": "canary-4@x", "code": "canary-d", "weight": "987654.98765", "born": "1999-01-01"},
  {"ssn": "canary-5", "email": "canary-3@x"},
  {"ssn": "canary-6", "code": "canary-bad"},
  {"ssn": "canary-7", "code": "canary-that-is-too-long"},
  {"ssn": "canary-8", "born": "canary-born"},
  {"ssn": "canary-9", "sssn": "canary-9"},
  {"ssn": "canary-10", "name": "E"},
  {"ssn": "canary-10", "name": "F"},
  {"ssn": "canary-11", "weight": {"canary": 1}},
  {"ssn": "canary-13", "name": "uncomputable"},
  {"name": "nobody"}
]"#;

const VISITS: &str = r#"[
  {"ssn": "canary-1", "visit": 2, "note": "canary-note", "place": "P1"},
  {"ssn": "canary-404", "visit": 1, "note": "canary-lost"},
  {"ssn": "canary-4", "visit": 1, "note": "canary-dan"}
]"#;

/// People with secrets, and a batch `b` of more.
pub fn people() -> World {
    let world = World::new(SCHEMA, TABLES);
    world.set("LOG_LEVEL", "debug");
    world.deliver("b", "people/1.json", PEOPLE);
    world.deliver("b", "visits/1.json", VISITS);
    world.deliver("b", "places.json", r#"[{"place": "P1", "city": "Lyon"}]"#);
    world
}

/// Panics where a text has a canary in it.
#[track_caller]
pub fn no_canary(what: &str, text: &str) {
    let lower = text.to_lowercase();
    for canary in CANARIES {
        if let Some(at) = lower.find(canary) {
            let from = lower.floor_char_boundary(at.saturating_sub(300));
            let to = lower.ceil_char_boundary((at + 100).min(lower.len()));
            panic!("{what} says {canary}: …{}…", &lower[from..to]);
        }
    }
}

/// Runs the loader, and lets it name no secret.
struct Hunt<'w> {
    world: &'w World,
    runs: RefCell<usize>,
}

impl Hunt<'_> {
    #[track_caller]
    fn run(&self, args: &[&str]) -> Run {
        let run = self.world.loader(args);
        *self.runs.borrow_mut() += 1;
        let what = format!("loader {}", args.join(" "));
        no_canary(&what, &run.stdout);
        no_canary(&what, &run.stderr);
        run
    }
}

#[test]
fn no_command_and_no_refusal_names_a_sensitive_value() {
    let world = people();
    let hunt = Hunt {
        world: &world,
        runs: RefCell::new(0),
    };
    let load = ["apply", "p.json", "--force"];

    // Planning, showing, comparing.
    let planned = hunt
        .run(&["plan", "--batch-id", "b", "--out", "p.json"])
        .ok();
    let plan = std::fs::read_to_string(world.path("p.json")).unwrap();
    assert!(plan.contains("canary-1-new@x") && plan.contains("987654.12345"));
    for kind in [
        "immutable_field",
        "invalid_value",
        "unique_conflict",
        "check_failed",
        "unknown_field",
        "duplicate_key",
        "missing_parent",
        "missing_key",
    ] {
        assert!(plan.contains(kind), "{kind}: {plan}");
    }
    drop(planned);
    hunt.run(&["plan", "--batch-id", "b", "--json", "--out", "p.json"])
        .ok();
    hunt.run(&["show", "p.json"]).ok().says("•••");
    let shown = hunt.run(&["show", "p.json", "--all"]).ok().says("•••");
    // Of what is wrong all is said that names no value.
    let shown = shown
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    for reason in [
        "the check constraint people_code_check does not hold",
        "the unique key people_email_key would hold this value twice",
        "no row of people has ssn = •••",
        "value too long for type character varying(16)",
        "the generated column cannot be computed",
        "which is or holds an object",
    ] {
        assert!(shown.contains(reason), "{reason}: {shown}");
    }
    hunt.run(&[
        "show",
        "p.json",
        "--all",
        "--action",
        "skip",
        "--action",
        "violation",
    ])
    .ok();
    for format in ["markdown", "json", "html"] {
        hunt.run(&["show", "p.json", "--format", format])
            .ok()
            .says("•••");
    }
    hunt.run(&["show", "p.json", "--json"]).ok();
    world.deliver(
        "c",
        "people/1.json",
        PEOPLE
            .replace("-new@x", "-newer@x")
            .replace("canary-4", "canary-44"),
    );
    hunt.run(&["plan", "--batch-id", "c", "--out", "c.json"])
        .ok();
    for format in ["text", "markdown", "json"] {
        hunt.run(&["show", "p.json", "c.json", "--format", format])
            .ok()
            .says("•••");
    }
    hunt.run(&["check", "p.json"]).ok();
    hunt.run(&["apply", "p.json"]).exits(5);
    hunt.run(&["batches"]).ok();
    let strict = TABLES.replace("on_invalid: reject", "on_invalid: block");
    world.configure(&strict);
    hunt.run(&["plan", "--batch-id", "b", "--out", "blocked.json"])
        .ok()
        .says("cannot be applied");
    hunt.run(&["apply", "blocked.json", "--force"]).exits(4);
    hunt.run(&["load", "--batch-id", "b", "--force"]).exits(4);
    world.configure(TABLES);

    // What the database refuses while it is applied.
    let trigger = |body: &str| {
        world.sql(&format!(
            "CREATE OR REPLACE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$;"
        ));
    };
    trigger("");
    world.sql("CREATE TRIGGER meddle BEFORE INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION meddle()");
    for body in [
        "RAISE EXCEPTION 'no % here', NEW.ssn;",
        "RAISE EXCEPTION 'no % here', NEW.ssn USING ERRCODE = '55000', DETAIL = NEW.email, HINT = NEW.code;",
        "RAISE EXCEPTION 'no % here', NEW.ssn USING ERRCODE = '42501';",
        "RAISE EXCEPTION 'no % here', NEW.ssn USING ERRCODE = '40001';",
        "RAISE EXCEPTION 'no' USING ERRCODE = '23514', CONSTRAINT = NEW.ssn, TABLE = NEW.email, COLUMN = NEW.code;",
        "PERFORM NEW.ssn::int;",
        "PERFORM pg_catalog.json_in(NEW.ssn::cstring);",
        "EXECUTE 'SELECT ' || pg_catalog.quote_ident(NEW.ssn);",
        "NEW.email := 'canary-1@x';",
        "NEW.code := 'canary-bad';",
        "NEW.code := 'canary-far-too-long-for-it';",
        "NEW.email := NEW.email || '!';",
    ] {
        trigger(body);
        // Its body is part of the table's definition.
        hunt.run(&["plan", "--batch-id", "b", "--out", "p.json"])
            .ok();
        let refused = hunt.run(&[load.as_slice(), &["--max-retries", "0"]].concat());
        assert!(
            [Some(1), Some(4), Some(7)].contains(&refused.code),
            "{body}: {refused:?}"
        );
    }
    trigger("RAISE EXCEPTION 'no % here', NEW.ssn USING DETAIL = NEW.email;");
    hunt.run(&["plan", "--batch-id", "b", "--rehearse", "--out", "r.json"])
        .ok()
        .says("it was refused");
    let rehearsed: serde_json::Value =
        serde_json::from_slice(&std::fs::read(world.path("r.json")).unwrap()).unwrap();
    assert_eq!(rehearsed["notes"]["rehearsal"]["outcome"], "refused");
    no_canary("the notes", &rehearsed["notes"].to_string());
    hunt.run(&["show", "r.json"]).ok().says("refused");
    trigger("PERFORM pg_catalog.pg_sleep(60);");
    hunt.run(&["plan", "--batch-id", "b", "--out", "p.json"])
        .ok();
    hunt.run(&[
        "apply",
        "p.json",
        "--force",
        "--transaction-timeout",
        "2",
        "--max-retries",
        "0",
    ])
    .exits(7);
    trigger("");
    hunt.run(&["plan", "--batch-id", "b", "--out", "p.json"])
        .ok();
    let mut other = world.connect();
    other
        .batch_execute("BEGIN; UPDATE people SET name = 'held' WHERE ssn = 'canary-1'")
        .unwrap();
    hunt.run(&[
        "apply",
        "p.json",
        "--force",
        "--lock-timeout",
        "1",
        "--max-retries",
        "0",
    ])
    .exits(7);
    other.batch_execute("ROLLBACK").unwrap();

    // Drift.
    world.sql(
        "UPDATE people SET email = 'canary-drift@x', born = '2005-05-05' WHERE ssn = 'canary-1'; \
         INSERT INTO people (ssn, code) VALUES ('canary-4', 'canary-early')",
    );
    hunt.run(&load).exits(3).says("•••");
    hunt.run(&["check", "p.json"]).exits(3).says("•••");
    hunt.run(&["check", "p.json", "--json"])
        .exits(3)
        .says("•••");
    world.sql(
        "UPDATE people SET email = 'canary-1@x', born = '2001-02-03' WHERE ssn = 'canary-1'; \
         DELETE FROM people WHERE ssn = 'canary-4'",
    );

    // What is written for everybody.
    hunt.run(&load).ok();
    hunt.run(&load).ok().says("Applied already");
    let log = world
        .rows("SELECT l::text FROM batch_load_log l")
        .join("\n");
    assert!(log.contains("failed"), "{log}");
    no_canary("batch_load_log", &log);
    let queue = world
        .rows("SELECT q::text FROM validation_queue q")
        .join("\n");
    assert!(
        queue.contains("invalid_value") || queue.contains(" more"),
        "{queue}"
    );
    no_canary("validation_queue", &queue);
    hunt.run(&["history"]).ok();
    hunt.run(&["history", "--json"]).ok();
    hunt.run(&["audit"]).ok().says("•••");
    hunt.run(&["audit", "--json"]).ok().says("•••");
    let audited = hunt
        .run(&["audit", "--table", "people", "--key", "canary-4"])
        .ok();
    assert!(audited.stdout.contains("INSERT"), "{audited:?}");
    hunt.run(&["audit", "--table", "visits", "--key", r#"["canary-1","2"]"#])
        .ok()
        .says(r#"","2"]"#);
    hunt.run(&["batches", "--json"]).ok();

    // Rollback, and what refuses it.
    world.sql("INSERT INTO visits VALUES ('canary-4', 9, 'canary-late')");
    hunt.run(&["rollback", "--batch-id", "b", "--force"])
        .exits(4)
        .says("refers to a row");
    world.sql("DELETE FROM visits WHERE visit = 9; UPDATE people SET email = 'canary-x' WHERE ssn = 'canary-1'");
    hunt.run(&["rollback", "--batch-id", "b", "--force"])
        .exits(3)
        .says("•••");
    hunt.run(&["rollback", "--batch-id", "b", "--force", "--json"])
        .exits(3)
        .says("•••");
    world.sql("UPDATE people SET email = 'canary-1-new@x' WHERE ssn = 'canary-1'");
    hunt.run(&["rollback", "--batch-id", "b", "--out", "undo.json"])
        .ok();
    hunt.run(&["show", "undo.json", "--all"]).ok().says("•••");
    hunt.run(&["rollback", "--batch-id", "b", "--force"])
        .ok()
        .says("•••");
    hunt.run(&["audit"]).ok();
    no_canary(
        "batch_load_log",
        &world
            .rows("SELECT l::text FROM batch_load_log l")
            .join("\n"),
    );
    assert!(*hunt.runs.borrow() > 45, "{}", hunt.runs.borrow());
}

/// What is rolled back in one go must have been left alone between its loads.
#[test]
fn nor_does_a_rollback_of_several_loads() {
    let world = people();
    let hunt = Hunt {
        world: &world,
        runs: RefCell::new(0),
    };
    let load = |email: &str| {
        let record = format!(r#"[{{"ssn": "canary-1", "email": "{email}"}}]"#);
        world.deliver("d", "people/1.json", record);
        hunt.run(&["load", "--batch-id", "d", "--force"])
            .ok()
            .says("•••");
    };
    load("canary-one@x");
    world.sql("UPDATE people SET email = 'canary-between@x' WHERE ssn = 'canary-1'");
    load("canary-two@x");
    hunt.run(&["rollback", "--batch-id", "d", "--force"])
        .exits(4)
        .says("between two of these loads")
        .says("•••");
}

/// A column that is called sensitive later is so in the audit log, too.
#[test]
fn what_is_called_sensitive_today_is_masked_in_old_changes() {
    let world = World::new(
        SCHEMA,
        &TABLES
            .replace("sensitive: [ssn, note]", "sensitive: []")
            .replace("sensitive: [ssn, email", "sensitive: [ssn"),
    );
    world.deliver(
        "v",
        "people.json",
        r#"[{"ssn": "canary-20", "email": "canary-20@x"}]"#,
    );
    world.deliver(
        "v",
        "visits.json",
        r#"[{"ssn": "canary-1", "visit": 5, "note": "canary-note"}]"#,
    );
    let plan = world.plan("v");
    world.apply(&plan).ok();
    world.loader(&["audit"]).ok().says("canary-note");
    world.configure(TABLES);
    let audit = world.loader(&["audit"]).ok();
    no_canary("audit", &audit.stdout);
}

/// A column may be gone when the load is taken back: the audit log still has its values, and so has the plan.
#[test]
fn what_was_sensitive_stays_so_in_a_rollback_when_its_column_is_gone() {
    let world = World::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text, ssn text)",
        "t: {natural_key: [k], sensitive: [ssn]}",
    );
    let load = |name: &str, content: &str| {
        world.deliver("b", name, content);
        world.apply(&world.plan("b")).ok();
    };
    load("t/1.csv", "k,v,ssn\na,1,canary-1\n");
    world.sql("ALTER TABLE t DROP ssn");
    world.configure("t: {natural_key: [k]}");
    // Of several loads, any may have had it.
    load("t/1.csv", "k,v\nb,2\n");
    let rollback = |more: &[&str]| {
        let args = [&["rollback", "--batch-id", "b"], more].concat();
        world.loader(&args).ok()
    };
    rollback(&["--out", "undo.json"]);
    for format in ["text", "markdown", "html", "json", "csv"] {
        let shown = world.loader(&["show", "undo.json", "--all", "--format", format]);
        no_canary(format, &shown.ok().stdout);
    }
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    let sealed = rollback(&["--out", "sealed.json", "--recipient", &recipient]);
    assert!(!sealed.stderr.contains("nothing is encrypted"), "{sealed}");
    let text = std::fs::read_to_string(world.path("sealed.json")).unwrap();
    no_canary("sealed", &text);
    let run = rollback(&["--force"]);
    no_canary("rollback", &format!("{run}"));
    assert_eq!(world.value("SELECT count(*) FROM t"), "0");
    let audit = world.loader(&["audit"]).ok();
    no_canary("audit", &audit.stdout);
}

/// Of a delivery that is not what it should be, values may stand where names are expected.
#[test]
fn what_is_taken_for_a_name_is_not_repeated_where_it_may_be_a_value() {
    let world = World::new(SCHEMA, TABLES);
    let hunt = Hunt {
        world: &world,
        runs: RefCell::new(0),
    };
    for (batch, name, content, says) in [
        (
            "a",
            "people.csv",
            "canary-1;canary-2;x\n",
            "is one cell, in which ';' stands",
        ),
        (
            "b",
            "people.csv",
            "canary-1,canary-2,canary-2\n",
            "columns 2 and 3 of the header have the same name",
        ),
    ] {
        world.deliver(batch, name, content);
        hunt.run(&["plan", "--batch-id", batch]).exits(1).says(says);
        hunt.run(&["plan", "--batch-id", batch, "--json"]).exits(1);
    }
    for (batch, name, content) in [
        (
            "c",
            "people.csv",
            "canary-1,canary-2,x\ncanary-3,canary-4,y\n",
        ),
        (
            "d",
            "people.json",
            r#"{"canary-1": {"name": "x"}, "canary-2": {"name": "y"}}"#,
        ),
    ] {
        world.deliver(batch, name, content);
        hunt.run(&["plan", "--batch-id", batch, "--out", "plan.json"])
            .ok();
        for format in ["text", "markdown", "html", "json", "csv"] {
            hunt.run(&["show", "plan.json", "--format", format])
                .ok()
                .says("none of its fields is a column of the table");
        }
    }
    // A name that stands beside others is repeated, so that it can be mended.
    world.deliver("e", "people.csv", "ssn,nmae\ncanary-3,y\n");
    hunt.run(&["plan", "--batch-id", "e", "--out", "plan.json"])
        .ok();
    hunt.run(&["show", "plan.json"]).ok().says("nmae");
}

#[test]
fn what_the_database_computes_is_hidden_under_the_name_of_its_field() {
    let world = World::new(
        "CREATE TABLE people (id text PRIMARY KEY, number int GENERATED ALWAYS AS IDENTITY, serial bigserial, ssn text, \
         shouted text GENERATED ALWAYS AS (upper(ssn)) STORED)",
        "people: {natural_key: [id], sensitive: [number, serial, ssn], given_numbers: refuse, \
         columns: {Patient No: number, Running No: serial, SSN: ssn, SSN upper: shouted}}",
    );
    world.deliver(
        "b",
        "people.csv",
        "id,Patient No,Running No,SSN,SSN upper\na,987654,9876541,canary,CANARY\n",
    );
    let plan = world.plan("b");
    let found = plan.lines();
    assert_eq!(
        found
            .iter()
            .filter(|l| l.contains("generated_field"))
            .count(),
        3,
        "{found:?}"
    );
    for format in ["text", "markdown", "csv", "html"] {
        let shown = world.show(&plan, &["--format", format]);
        let shown = shown.to_lowercase();
        for canary in CANARIES {
            assert!(!shown.contains(canary), "{format}: {shown}");
        }
        assert!(shown.contains("patient no"), "{shown}");
    }
}

#[test]
fn two_plans_differ_without_saying_of_which_values_a_delivery_is_all() {
    let world = World::new(SCHEMA, TABLES);
    let hunt = Hunt {
        world: &world,
        runs: RefCell::new(0),
    };
    for (email, out) in [("canary-1@x", "a.json"), ("canary-2@x", "b.json")] {
        let scope = format!(
            "sensitive: [ssn, email, code, weight, born, created_by]\n  limits: {{delete: 9}}\n  complete: {{where: {{email: {email}}}}}"
        );
        world.configure(&TABLES.replacen(
            "sensitive: [ssn, email, code, weight, born, created_by]",
            &scope,
            1,
        ));
        world.deliver(
            "b",
            "people.json",
            format!(r#"[{{"ssn": "{}", "email": "{email}"}}]"#, &email[..8]),
        );
        hunt.run(&["plan", "--batch-id", "b", "--out", out]).ok();
    }
    for format in ["text", "markdown", "html", "json"] {
        hunt.run(&["show", "a.json", "b.json", "--format", format])
            .ok()
            .says("•••");
    }
}

/// What is sensitive in all tables stays so where a table has more of it.
#[test]
fn what_defaults_call_sensitive_is_so_beside_a_tables_own() {
    let defaults = "defaults: {sensitive: [ssn, email, nowhere]}\npeople: {natural_key: [ssn], sensitive: [code]}\n";
    let world = World::new(SCHEMA, defaults);
    world.deliver(
        "b",
        "people.json",
        r#"{"ssn": "canary-9", "email": "canary-9@x", "code": "canary-c9"}"#,
    );
    let plan = world.plan("b");
    let shown = world.loader(&["show", plan.name()]).ok().says("•••");
    no_canary("show", &shown.stdout);
    world
        .loader(&["config", "check"])
        .ok()
        .says("nowhere is a column of no table");
}
