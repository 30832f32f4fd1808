//! Who may apply what, and where.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Plan, World, server};

const SCHEMA: &str = "
CREATE DOMAIN code AS text CHECK (length(VALUE) < 9);
CREATE TYPE mood AS ENUM ('bad', 'ok');
CREATE TYPE place AS (shelf int);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE t (id int PRIMARY KEY, v text DEFAULT 'd', parent int CONSTRAINT to_parent REFERENCES parent, code code DEFAULT 'c',
  moods mood[], place place, CONSTRAINT short CHECK (length(v) < 9));
CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER first AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION quiet();
INSERT INTO t VALUES (1, 'old');
";

fn planned() -> (World, Plan) {
    let world = World::new(SCHEMA, "t: {natural_key: [id]}");
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "v": "new"}, {"id": 2, "v": "two"}]"#,
    );
    let plan = world.plan("b");
    (world, plan)
}

#[track_caller]
fn is_loaded(world: &World) {
    assert_eq!(
        world.rows("SELECT id, v FROM t ORDER BY 1"),
        ["1|new", "2|two"]
    );
}

#[test]
fn without_a_terminal_and_an_approval_nothing_is_applied() {
    let (world, plan) = planned();
    let refused = world.writes_nothing(|| world.apply_with(&plan, &[]).exits(5));
    // The message has the command that would do it.
    let command = format!("loader apply {} --approve {}", plan.name(), plan.hash());
    refused.says("nobody approved this plan").says(&command);
    let refused = world.apply_with(&plan, &["--json"]).exits(5).json();
    assert_eq!(
        (&refused["status"], &refused["reason"]),
        (&json!("refused"), &json!("not_approved"))
    );
}

#[test]
fn an_approval_is_for_one_plan() {
    let (world, plan) = planned();
    let other = format!("sha256:{}", "0".repeat(64));
    let cut = &plan.hash()[..plan.hash().len() - 1];
    let upper = plan.hash().to_uppercase();
    for wrong in [other.as_str(), "", "yes", "sha256:", cut, &upper] {
        let refused =
            world.writes_nothing(|| world.apply_with(&plan, &["--approve", wrong]).exits(5));
        refused.says(&plan.hash());
    }
    // Not even --force mends a wrong one, and a trial tells of it.
    world
        .apply_with(&plan, &["--approve", &other, "--dry-run"])
        .exits(5);
    world
        .apply_with(&plan, &["--approve", &other, "--force"])
        .exits(5);
    world.set("REQUIRE_APPROVAL", "false");
    world.apply_with(&plan, &["--approve", &other]).exits(5);
    world.unset("REQUIRE_APPROVAL");
    let bare = plan.hash().replace("sha256:", "");
    world.apply_with(&plan, &["--approve", &bare]).ok();
    is_loaded(&world);
}

#[test]
fn force_and_settings_take_the_place_of_an_approval() {
    let (world, plan) = planned();
    world.apply_with(&plan, &["--force"]).ok();
    is_loaded(&world);
    let (world, plan) = planned();
    world.set("REQUIRE_APPROVAL", "true");
    world.apply_with(&plan, &[]).exits(5);
    world.set("REQUIRE_APPROVAL", "false");
    world.apply_with(&plan, &[]).ok();
    is_loaded(&world);
}

#[test]
fn force_skips_the_approval_and_nothing_else() {
    let (world, plan) = planned();
    world.sql("UPDATE t SET v = 'theirs'");
    world.apply_with(&plan, &["--force"]).exits(3);
    world.sql("UPDATE t SET v = 'old'; ALTER TABLE t ADD COLUMN more int");
    world.apply_with(&plan, &["--force"]).exits(6);
}

#[test]
fn an_empty_plan_needs_no_approval() {
    let (world, plan) = planned();
    world.apply(&plan).ok();
    let empty = world.plan("b");
    assert_eq!(empty.news(), [""; 0]);
    // Nor does it enter the history: there is nothing to look up or to take back.
    world.writes_nothing(|| {
        for how in [&[][..], &["--force"], &["--dry-run"]] {
            world
                .apply_with(&empty, how)
                .ok()
                .says("There is nothing to apply");
        }
        let told = world.apply_with(&empty, &["--json"]).ok().json();
        assert_eq!(
            (&told["status"], &told["application"]),
            (&json!("nothing_to_apply"), &json!(null))
        );
        assert_eq!(told["records_skipped"], 2);
        world
            .loader(&["load", "--batch-id", "b"])
            .ok()
            .says("There is nothing to apply");
        world.write("plans/b.json", &empty.text);
        assert_eq!(world.loader(&["pending"]).ok().stdout, "");
    });
    // Where it would not be true any more, it is refused like any other.
    world.sql("UPDATE t SET v = 'theirs' WHERE id = 2");
    world.apply_with(&empty, &[]).exits(3);
}

#[test]
fn a_rehearsal_does_everything_and_keeps_nothing() {
    let (world, plan) = planned();
    let rehearsed = world
        .writes_nothing(|| world.apply_with(&plan, &["--dry-run", "--json"]).ok())
        .json();
    assert_eq!(
        (
            &rehearsed["status"],
            &rehearsed["records_loaded"],
            &rehearsed["records_updated"]
        ),
        (&json!("rehearsed"), &json!(1), &json!(1))
    );
    world.set("DRY_RUN", "true");
    world.writes_nothing(|| world.apply(&plan).ok().says("Nothing was written"));
    world.set("DRY_RUN", "false");
    // What would go wrong goes wrong in the rehearsal too.
    world.sql("CREATE OR REPLACE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not on my watch'; END $$");
    let plan = world.plan("b");
    world.writes_nothing(|| {
        world
            .apply_with(&plan, &["--dry-run"])
            .exits(1)
            .says("not on my watch")
    });
}

/// After `sql`, the plan must be refused with these words, by apply and check alike.
#[track_caller]
fn refused_after(sql: &str, words: &str) {
    let (world, plan) = planned();
    world.sql(sql);
    world.writes_only_a_failure(|| world.apply(&plan).exits(6).says(words));
    world.writes_nothing(|| world.check(&plan).exits(6).says(words));
    world.writes_nothing(|| world.apply_with(&plan, &["--dry-run"]).exits(6).says(words));
}

#[test]
fn a_plan_for_tables_that_were_altered_since_is_refused() {
    let words = "the definition of table t (columns, constraints, triggers) changed after the plan was made";
    for sql in [
        "ALTER TABLE t ADD COLUMN more int",
        "ALTER TABLE t DROP CONSTRAINT short",
        "ALTER TABLE t DROP CONSTRAINT to_parent",
        "ALTER TABLE t ADD CONSTRAINT other CHECK (id > 0)",
        "ALTER TABLE t ALTER COLUMN v SET DEFAULT 'e'",
        "ALTER TABLE t ALTER COLUMN v SET NOT NULL",
        "ALTER TABLE t ALTER COLUMN v TYPE varchar",
        "ALTER TABLE t RENAME COLUMN v TO w",
        "CREATE UNIQUE INDEX ON t (v)",
        "CREATE TRIGGER second AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION quiet()",
        "ALTER TABLE t DISABLE TRIGGER first",
        "DROP TRIGGER first ON t",
        "CREATE OR REPLACE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.v := upper(NEW.v); RETURN NEW; END'",
        "CREATE TABLE child (t int REFERENCES t ON DELETE CASCADE)",
        "CREATE RULE r AS ON INSERT TO t DO ALSO NOTHING",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        // The types of its columns, and what those are made of.
        "ALTER DOMAIN code ADD CHECK (VALUE <> 'x')",
        "ALTER DOMAIN code DROP CONSTRAINT code_check",
        "ALTER DOMAIN code ADD CHECK (VALUE <> 'y') NOT VALID",
        "ALTER DOMAIN code SET DEFAULT 'e'",
        "ALTER TYPE mood RENAME VALUE 'ok' TO 'well'",
        "ALTER TYPE mood ADD VALUE 'better'",
        "ALTER TYPE place RENAME ATTRIBUTE shelf TO box",
        "ALTER TYPE place ADD ATTRIBUTE room int",
    ] {
        refused_after(sql, words);
    }
    refused_after("DROP TABLE t", "is no longer there");
    refused_after("ALTER TABLE t RENAME TO u", "is no longer there");
}

#[test]
fn what_does_not_change_the_meaning_of_a_write_does_not_matter() {
    let (world, plan) = planned();
    world.sql("CREATE INDEX ON t (v); COMMENT ON TABLE t IS 'x'; ANALYZE t; ALTER TABLE t SET (fillfactor = 90); CREATE TABLE u (id int)");
    world.sql("VACUUM FULL t");
    world.apply(&plan).ok();
    is_loaded(&world);
}

#[test]
fn a_plan_for_another_database_is_refused() {
    let (world, plan) = planned();
    let other = World::new(SCHEMA, "t: {natural_key: [id]}");
    let path = plan.path.to_str().unwrap();
    for command in [
        vec!["apply", path, "--force"],
        vec!["apply", path, "--approve", &plan.hash()],
        vec!["check", path],
    ] {
        let refused = other.writes_nothing(|| other.loader(&command).exits(6));
        refused
            .says("the plan was made for another database")
            .says(&world.database)
            .says(&other.database);
    }
    // A copy of the database under the same name is another one too.
    let refuge = format!("{}_old", world.database);
    let url = world.url.clone();
    let mut admin =
        postgres::Client::connect(&server::shared().url("postgres"), postgres::NoTls).unwrap();
    let name = world.database.clone();
    drop(world);
    admin
        .batch_execute(&format!("ALTER DATABASE {name} RENAME TO {refuge}"))
        .unwrap();
    let copy = server::copy_of(&refuge);
    admin
        .batch_execute(&format!("ALTER DATABASE {copy} RENAME TO {name}"))
        .unwrap();
    other.set("DATABASE_URL", &url);
    other.write("tables.yaml", "t: {natural_key: [id]}");
    other.write("plan.json", &plan.text);
    let refused = other.loader(&["apply", "plan.json", "--force"]).exits(6);
    refused.says("its server is");
}

#[test]
fn a_database_with_a_new_lineage_is_another_database() {
    let (world, plan) = planned();
    let before = world.value("SELECT lineage FROM loader_identity");
    world
        .loader(&["migrate", "--new-lineage"])
        .ok()
        .says("This database has an identity of its own now");
    assert_ne!(world.value("SELECT lineage FROM loader_identity"), before);
    let words = "the plan was made for another database: its lineage is";
    world.writes_nothing(|| world.apply(&plan).exits(6).says(words));
    world.check(&plan).exits(6).says(words);
    let plan = world.plan("b");
    world.apply(&plan).ok();
}

#[test]
fn a_database_without_a_ledger_is_refused_by_the_name_of_the_command() {
    let (world, plan) = planned();
    world.sql("DROP TABLE loader_identity");
    world.try_plan("b", &[]).exits(1).says("loader migrate");
    world.apply(&plan).exits(1).says("loader migrate");
    world
        .loader(&["migrate", "--loader-schema", "elsewhere"])
        .ok();
    world.set("LOADER_SCHEMA", "elsewhere");
    world.set("LOADER_QUEUE", "off");
    let plan = world.plan("b");
    world.apply(&plan).ok();
    assert_eq!(
        world.value("SELECT count(*) FROM elsewhere.loader_ledger"),
        "1"
    );
}

#[test]
fn migrating_twice_changes_nothing() {
    let (world, _) = planned();
    world.writes_nothing(|| world.loader(&["migrate"]).ok().says("are up to date"));
}

#[test]
fn the_limit_of_records_holds_for_plan_and_apply() {
    let (world, plan) = planned();
    world.set("MAX_RECORDS_PER_BATCH", "1");
    let limit = "MAX_RECORDS_PER_BATCH";
    world
        .try_plan("b", &[])
        .exits(4)
        .says("more than 1 records")
        .says(limit);
    world
        .apply(&plan)
        .exits(4)
        .says("the plan was made from 2 records")
        .says(limit);
    world.try_plan("b", &["--max-records", "2"]).exits(0);
    world
        .apply_with(&plan, &["--force", "--max-records", "2"])
        .ok();
}

/// Applies the plan at a terminal, where `before` is typed at once and `answer` when the question is
/// asked; returns the exit code, and what was shown up to the question.
fn at_a_terminal(world: &World, plan: &Plan, before: &str, answer: &str) -> (i32, String) {
    let loader = world.command(&["apply", plan.name()]);
    let words: Vec<String> = std::iter::once(loader.get_program())
        .chain(loader.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let mut script = Command::new("script");
    script
        .args(["-q", "-e", "-c", &words.join(" "), "/dev/null"])
        .env_clear()
        .current_dir(loader.get_current_dir().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    for (name, value) in loader.get_envs() {
        script.env(name, value.unwrap());
    }
    let mut script = script.spawn().unwrap();
    let mut stdin = script.stdin.take().unwrap();
    stdin.write_all(before.as_bytes()).unwrap();
    stdin.flush().unwrap();
    let mut shown = Vec::new();
    let mut stdout = script.stdout.take().unwrap();
    let mut byte = [0];
    while !String::from_utf8_lossy(&shown).contains("to apply it: ") {
        assert_eq!(
            stdout.read(&mut byte).unwrap(),
            1,
            "{}",
            String::from_utf8_lossy(&shown)
        );
        shown.push(byte[0]);
    }
    stdin.write_all(answer.as_bytes()).unwrap();
    stdin.flush().unwrap();
    // What is told after the question must not fill the pipe.
    std::io::copy(&mut stdout, &mut std::io::sink()).unwrap();
    drop(stdin);
    let code = script.wait().unwrap().code().unwrap();
    (code, String::from_utf8_lossy(&shown).into_owned())
}

#[test]
fn only_what_is_typed_after_the_question_answers_it() {
    let (world, plan) = planned();
    world.writes_nothing(|| {
        for no in ["no\n", "y\n", "\n", "yess\n"] {
            assert_eq!(at_a_terminal(&world, &plan, "", no).0, 5, "{no:?}");
        }
        assert_eq!(at_a_terminal(&world, &plan, "yes\nyes\nyes\n", "no\n").0, 5);
    });
    assert_eq!(at_a_terminal(&world, &plan, "no\n", "yes\n").0, 0);
    is_loaded(&world);
}

/// The id of the latest application of anything.
fn last(world: &World) -> String {
    world.one(
        "SELECT application FROM loader_ledger WHERE kind = 'load' ORDER BY sequence DESC LIMIT 1",
    )
}

fn roll_back(world: &World) {
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
}

#[test]
fn what_was_rolled_back_is_applied_again_only_with_an_approval_that_says_so() {
    let (world, plan) = planned();
    world.apply(&plan).ok();
    let first = last(&world);
    roll_back(&world);
    let hash = plan.hash();
    let name = plan.name();
    let again = format!("loader apply {name} --again {first} --approve {hash}");
    world.writes_nothing(|| {
        // The job that is run again.
        for how in [&["--approve", hash.as_str()][..], &["--force"]] {
            let refused = world.apply_with(&plan, how).exits(5);
            refused.says("and rolled back at").says(&again);
        }
        let refused = world.apply_with(&plan, &["--force", "--json"]).exits(5);
        assert_eq!(refused.json()["application"], first.as_str());
        world.set("REQUIRE_APPROVAL", "false");
        world.apply_with(&plan, &[]).exits(5).says(&again);
        // Nothing else takes the place of that approval.
        for how in [
            &["--again", first.as_str()][..],
            &["--again", &first, "--force"],
        ] {
            let refused = world.apply_with(&plan, how).exits(5);
            refused.says("nobody approved this plan").says(&again);
        }
        world.unset("REQUIRE_APPROVAL");
        world
            .apply_with(&plan, &[])
            .exits(5)
            .says("and rolled back at")
            .says(&again);
        let other = format!("sha256:{}", "0".repeat(64));
        world
            .apply_with(&plan, &["--again", &first, "--approve", &other])
            .exits(5);
        for wrong in ["", "yes", "00000000-0000-0000-0000-000000000000"] {
            let how = ["--again", wrong, "--approve", hash.as_str()];
            world.apply_with(&plan, &how).exits(5).says(&again);
        }
        // The same batch makes the same plan.
        let load = world
            .loader(&["load", "--batch-id", "b", "--force"])
            .exits(5);
        load.says(&format!(
            "loader load --batch-id b --again {first} --approve {hash}"
        ));
        world.check(&plan).ok().says("rolled back at").says(&again);
        world.apply_with(&plan, &["--force", "--dry-run"]).ok();
    });
    let approved = ["--again", first.as_str(), "--approve", hash.as_str()];
    world.apply_with(&plan, &approved).ok();
    is_loaded(&world);
    world
        .apply_with(&plan, &approved)
        .ok()
        .says("Applied already");
    // An approval of one more application is none of all that follow.
    let second = last(&world);
    roll_back(&world);
    world.writes_nothing(|| {
        let refused = world.apply_with(&plan, &approved).exits(5);
        refused.says(&format!("--again {second} --approve {hash}"));
    });
    // A batch that differs makes a plan of its own.
    world.deliver("b", "t/2.json", r#"{"id": 3, "v": "three"}"#);
    world.loader(&["load", "--batch-id", "b", "--force"]).ok();
    let plan = world.plan("b");
    world.writes_nothing(|| {
        let how = ["--again", first.as_str(), "--approve", &plan.hash()];
        world
            .apply_with(&plan, &how)
            .exits(5)
            .says("was never applied here");
    });
}

#[test]
fn who_is_asked_is_told_that_the_plan_was_rolled_back() {
    let (world, plan) = planned();
    world.apply(&plan).ok();
    // What is applied needs no answer.
    world.apply_with(&plan, &[]).ok().says("Applied already");
    world.set("LOADER_ACTOR", "somebody else");
    roll_back(&world);
    let asked = |answer| at_a_terminal(&world, &plan, "", answer);
    let (code, shown) = world.writes_nothing(|| asked("no\n"));
    assert_eq!(code, 5, "{shown}");
    for part in [
        "This plan was applied at",
        "by curator",
        "rolled back at",
        "by somebody else",
        "Apply it again?",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(asked("yes\n").0, 0);
    is_loaded(&world);
}

#[test]
fn many_rows_are_summed_up_where_nobody_is_asked() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "t: {natural_key: [id]}",
    );
    let records: String = (0..1_001).map(|id| format!("{{\"id\": {id}}}\n")).collect();
    world.deliver("b", "t/1.ndjson", records);
    let is_summed_up = |args: &[&str], counts: &str| {
        let run = world.loader(args).ok();
        let run = run.says(counts).says("too many to be listed");
        assert!(!run.stderr.contains("rows alike"), "{}", run.stderr);
    };
    // A trial shows what it would do.
    let trial = world
        .loader(&["load", "--batch-id", "b", "--force", "--dry-run"])
        .ok();
    trial.says("1001 rows alike");
    is_summed_up(&["load", "--batch-id", "b", "--force"], "t: 1001 to insert");
    is_summed_up(
        &["rollback", "--batch-id", "b", "--force"],
        "t: 1001 to delete",
    );
}
