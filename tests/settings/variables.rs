//! Every variable of the environment, through the program.

use std::time::Duration;

use super::world::{planned, with_batch};
use crate::support::server::shared;
use crate::support::{Call, Run, World};

/// Whether the loader's tables are in the world's database.
fn migrated(world: &World) -> bool {
    world.rows("SELECT to_regclass('loader_ledger') IS NOT NULL") == ["t"]
}

fn rows(world: &World) -> Vec<String> {
    world.rows("SELECT gsid, sex FROM subjects ORDER BY gsid")
}

#[test]
fn the_parts_of_the_database_come_from_db_variables() {
    let world = World::empty();
    let run = world
        .bare(&["migrate"])
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", shared().port().to_string())
        .env("DB_NAME", &world.database)
        .env("DB_USER", "loader")
        .env("DB_PASSWORD", "not asked for")
        .env("DB_POOL_MIN", "2")
        .env("DB_POOL_MAX", "10")
        // These are of lower rank.
        .env("PGHOST", "nowhere.invalid")
        .env("PGPORT", "1")
        .env("PGDATABASE", "nothing")
        .env("PGUSER", "nobody");
    run.run().exits(0);
    assert!(migrated(&world));
}

#[test]
fn what_psql_looks_at_is_looked_at() {
    let world = World::empty();
    let run = world
        .bare(&["migrate"])
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", shared().port().to_string())
        .env("PGDATABASE", &world.database)
        .env("PGUSER", "loader")
        .env("PGOPTIONS", "-c search_path=public")
        .env("PGCONNECT_TIMEOUT", "5");
    run.run().exits(0);
    assert!(migrated(&world));
}

#[test]
fn the_url_is_completed_by_variables() {
    let world = World::empty();
    // A variable that is not needed may hold anything, as where another program's addresses are.
    world
        .bare(&["migrate"])
        .env("DATABASE_URL", &world.url)
        .env("PGPORT", "tcp://10.0.0.1:5432")
        .run()
        .exits(0);
    // Of a host without a port, too: another server may listen at the usual one.
    for variable in ["DB_PORT", "PGPORT"] {
        let url = format!("postgresql://loader@127.0.0.1/{}", world.database);
        let run = world
            .bare(&["migrate"])
            .env("DATABASE_URL", url)
            .env(variable, shared().port().to_string())
            .run();
        run.exits(0).omits("is not used");
    }
    let run = world
        .bare(&["migrate"])
        .env(
            "DATABASE_URL",
            format!("postgresql://127.0.0.1:{}", shared().port()),
        )
        .env("DB_NAME", &world.database)
        .env("PGUSER", "loader");
    run.run().exits(0);
    assert!(migrated(&world));
}

#[test]
fn flags_beat_the_environment_and_that_beats_the_file() {
    let [flag, variable, file] = [World::empty(), World::empty(), World::empty()];
    flag.write(".env", format!("DATABASE_URL='{}'\n", file.url));
    let migrate = |args: &[&str]| flag.bare(&["migrate"]).args(args);
    migrate(&["--database-url", &flag.url])
        .env("DATABASE_URL", &variable.url)
        .run()
        .exits(0);
    assert_eq!(
        [&flag, &variable, &file].map(migrated),
        [true, false, false]
    );
    migrate(&[])
        .env("DATABASE_URL", &variable.url)
        .run()
        .exits(0);
    assert_eq!([&flag, &variable, &file].map(migrated), [true, true, false]);
    migrate(&[]).run().exits(0);
    assert!(migrated(&file));
    // As some editors save it.
    flag.write(".env", format!("\u{feff}DATABASE_URL='{}'\n", file.url));
    migrate(&[])
        .run()
        .exits(1)
        .says(".env begins with a byte order mark");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let world = World::empty();
    let empty = [
        "DB_HOST",
        "DB_PORT",
        "DB_SSLMODE",
        "DB_SSLROOTCERT",
        "DB_PASSWORD",
        "DB_POOL_MAX",
        "DRY_RUN",
        "MAX_RETRIES",
        "BATCH_SIZE",
        "LOG_LEVEL",
        "LOADER_SCHEMA",
        "LOADER_SOURCE",
        "LOADER_LOCK_TIMEOUT",
    ];
    let run = empty
        .iter()
        .fold(world.call(&["migrate"]), |r, name| r.env(name, ""));
    run.run().exits(0);
    assert!(migrated(&world));
    let file = World::empty();
    file.write(
        ".env",
        format!("DATABASE_URL={}\nLOADER_SCHEMA=ours\n", file.url),
    );
    let run = file
        .bare(&["migrate"])
        .env("DATABASE_URL", "")
        .env("LOADER_SCHEMA", "");
    run.run().exits(0);
    assert_eq!(file.rows("SELECT count(*) FROM ours.loader_ledger"), ["0"]);
}

#[test]
fn a_wrong_variable_is_named_with_what_it_is_and_what_is_allowed() {
    let world = with_batch();
    planned(&world);
    for (name, value, expect) in [
        (
            "DB_SSLMODE",
            "verify",
            "none of disable, prefer, require, verify-ca or verify-full",
        ),
        ("DB_POOL_MIN", "two", "which is not a whole number"),
        ("DB_POOL_MAX", "-1", "which is not a whole number"),
        ("BATCH_SIZE", "many", "which is not a whole number"),
        ("BATCH_SIZE", "0", "0 is not in 1..=1000000"),
        (
            "DRY_RUN",
            "perhaps",
            "none of true, false, yes, no, 1 and 0",
        ),
        (
            "REQUIRE_APPROVAL",
            "2",
            "none of true, false, yes, no, 1 and 0",
        ),
        ("MAX_RETRIES", "-1", "which is out of range"),
        ("TRANSACTION_TIMEOUT", "5m", "which is not a whole number"),
        ("LOG_LEVEL", "chatty", "none of error, warning, info, debug"),
        (
            "MAX_RECORDS_PER_BATCH",
            "1e4",
            "which is not a whole number",
        ),
        ("LOADER_LOCK_TIMEOUT", "x", "which is not a whole number"),
    ] {
        let ran = world
            .call(&["apply", "plan.json", "--force"])
            .env(name, value)
            .run();
        ran.exits(1)
            .says(&format!("{name} is \"{value}\", "))
            .says(expect);
    }
    let ran = world
        .call(&["plan", "--batch-id", "b1"])
        .env("LOADER_QUEUE", "on")
        .run();
    ran.exits(1)
        .says("LOADER_QUEUE is \"on\", which is none of required, off");
    let ran = world
        .call(&["plan", "--batch-id", "b1"])
        .env("LOADER_MAX_OBJECT", "1GB")
        .run();
    ran.exits(1).says(
        "LOADER_MAX_OBJECT is \"1GB\", which cannot be used: a size is a number of bytes, or one with KiB, MiB, GiB or TiB",
    );
    for port in ["0", "70000", "5432x"] {
        let run = world
            .bare(&["migrate"])
            .env("DB_NAME", "x")
            .env("DB_PORT", port);
        run.run().exits(1).says(&format!(
            "DB_PORT is \"{port}\", which is not a port number"
        ));
    }
    let run = world
        .call(&["migrate"])
        .env("DB_POOL_MIN", "3")
        .env("DB_POOL_MAX", "2");
    run.run()
        .exits(1)
        .says("DB_POOL_MIN is 3, which is more than DB_POOL_MAX (2)");
    let run = world
        .call(&["plan", "--batch-id", "b1"])
        .without("LOADER_SOURCE");
    run.env("S3_BUCKET", "a bucket")
        .run()
        .exits(1)
        .says("S3_BUCKET: ");
    assert_eq!(rows(&world), ["G1|F"]);
}

#[test]
fn a_wrong_flag_is_named_and_is_no_change_present() {
    let world = World::empty();
    let ran = world.call(&["migrate", "--max-retries", "x"]).run();
    ran.exits(1)
        .says("--max-retries is \"x\", which is not a whole number");
    world
        .call(&["migrate", "--no-such-flag"])
        .run()
        .exits(1)
        .says("--no-such-flag");
    let ran = world
        .call(&["migrate", "--max-retries", "x", "--json"])
        .run()
        .exits(1);
    assert_eq!(ran.json()["reason"], "config");
    world.call(&["--help"]).run().exits(0).says("DB_SSLMODE");
    world.call(&[]).run().exits(1).says("Usage:");
}

/// dotenv files of other programs put variables in the place of `$name`; a password must not be cut so without a word.
#[test]
fn a_dollar_of_its_own_in_env_is_no_variable() {
    let world = World::in_folder(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "t: {natural_key: [id]}",
    );
    for (line, is_read) in [
        ("LOADER_ACTOR='an$n'", true),
        ("LOADER_ACTOR=an$n", false),
        ("LOADER_ACTOR=\"an$n\"", false),
        ("LOADER_ACTOR=${NOBODY_SETS_THIS}", false),
    ] {
        world.write(".env", format!("{line}\n"));
        let ran = world.call(&["migrate"]).run();
        if is_read {
            ran.exits(0);
        } else {
            ran.exits(1).says(".env: ").says("in single quotes");
        }
    }
}

#[test]
fn a_password_is_never_printed() {
    let world = World::empty();
    for url in [
        "postgresql://loader:s3cret@127.0.0.1:port/x",
        "postgresql://loader:s3cret@more@127.0.0.1/x",
        "postgresql://loader:s3cret@127.0.0.1:1/x",
        "postgresql://loader:s3cret@nowhere.invalid/x?sslmode=s",
        "host=nowhere.invalid password=s3cret and=more",
        "mysql://loader:s3cret@127.0.0.1/x",
    ] {
        for json in [&["migrate", "--json"][..], &["migrate"]] {
            let ran = world.bare(json).env("DATABASE_URL", url).run().exits(1);
            assert!(
                !format!("{}{}", ran.stdout, ran.stderr).contains("s3cret"),
                "{} {}",
                ran.stdout,
                ran.stderr
            );
        }
    }
    world.write(".env", "DB_PASSWORD=s3cret more\n");
    let ran = world
        .call(&["migrate"])
        .run()
        .exits(1)
        .says(".env: a line cannot be read");
    assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
    world.write(".env", "");
    let ran = world
        .bare(&["--help"])
        .env("DATABASE_URL", "postgresql://u:s3cret@h/d")
        .run();
    assert!(!ran.exits(0).stdout.contains("s3cret"));
}

#[test]
fn no_database_and_no_source_are_told_with_what_to_do() {
    let world = with_batch();
    world.bare(&["migrate"]).run().exits(1).says("DATABASE_URL");
    let run = world
        .call(&["plan", "--batch-id", "b1"])
        .without("LOADER_SOURCE");
    run.run().exits(1).says("S3_BUCKET");
}

#[test]
fn dry_run_writes_nothing() {
    let world = with_batch();
    planned(&world);
    let apply = || world.call(&["apply", "plan.json", "--force"]);
    for yes in ["true", "1", "yes", "YES"] {
        apply()
            .env("DRY_RUN", yes)
            .run()
            .exits(0)
            .says("Nothing was written");
    }
    apply()
        .args(&["--dry-run"])
        .run()
        .exits(0)
        .says("Nothing was written");
    assert_eq!(rows(&world), ["G1|F"]);
    apply()
        .env("DRY_RUN", "true")
        .args(&["--dry-run=false"])
        .run()
        .exits(0)
        .says("Applied: 2 inserted");
    assert_eq!(rows(&world), ["G1|M", "G2|F", "G3|∅"]);
}

#[test]
fn approval_is_required_unless_told_otherwise() {
    let world = with_batch();
    planned(&world);
    let apply = || world.call(&["apply", "plan.json"]);
    apply().run().exits(5);
    apply().env("REQUIRE_APPROVAL", "yes").run().exits(5);
    apply()
        .env("REQUIRE_APPROVAL", "no")
        .args(&["--require-approval", "true"])
        .run()
        .exits(5);
    apply().env("REQUIRE_APPROVAL", "0").run().exits(0);
    assert_eq!(rows(&world).len(), 3);
}

#[test]
fn the_batch_size_changes_nothing_but_the_round_trips() {
    let world = with_batch();
    let plan = |run: Call| run.run().exits(0).stdout;
    let args = ["plan", "--batch-id", "b1"];
    let whole = plan(world.call(&args));
    assert_eq!(plan(world.call(&args).env("BATCH_SIZE", "1")), whole);
    assert_eq!(plan(world.call(&args).args(&["--batch-size", "2"])), whole);
}

#[test]
fn more_records_than_allowed_are_refused_by_plan_and_apply() {
    let world = with_batch();
    planned(&world);
    let plan = world.call(&["plan", "--batch-id", "b1"]);
    plan.env("MAX_RECORDS_PER_BATCH", "2")
        .run()
        .exits(4)
        .says("MAX_RECORDS_PER_BATCH");
    let apply = || {
        world
            .call(&["apply", "plan.json", "--force"])
            .env("MAX_RECORDS_PER_BATCH", "2")
    };
    apply().run().exits(4);
    apply().args(&["--max-records", "3"]).run().exits(0);
}

#[test]
fn retries_are_counted_and_told_by_level() {
    let world = with_batch();
    planned(&world);
    let apply = || {
        let closed = "postgresql://loader@127.0.0.1:1/x";
        world
            .call(&["apply", "plan.json", "--force"])
            .env("DATABASE_URL", closed)
    };
    let told = |ran: Run| ran.exits(1).stderr.matches("attempt ").count();
    assert_eq!(told(apply().env("MAX_RETRIES", "0").run()), 0);
    assert_eq!(told(apply().env("MAX_RETRIES", "1").run()), 1);
    let quiet = apply().env("MAX_RETRIES", "1").env("LOG_LEVEL", "ERROR");
    assert_eq!(told(quiet.run()), 0);
}

#[test]
fn the_log_level_decides_about_steps() {
    let world = with_batch();
    let plan = |level: &str| {
        world
            .call(&["plan", "--batch-id", "b1"])
            .env("LOG_LEVEL", level)
            .run()
            .exits(0)
            .stderr
    };
    let debug = plan("DEBUG");
    assert!(debug.contains("debug: checking 3 records"), "{debug}");
    let info = plan("INFO");
    assert!(info.contains("compared 3 records") && !info.contains("checking"));
    for level in ["WARNING", "critical"] {
        assert!(!plan(level).contains("3 records"), "{level}");
    }
}

#[test]
fn time_limits_end_an_apply() {
    let world = with_batch();
    world.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN PERFORM pg_sleep(20); RETURN NEW; END';
         CREATE TRIGGER slow BEFORE INSERT ON subjects FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    planned(&world);
    let apply = || world.call(&["apply", "plan.json", "--force"]);
    let started = std::time::Instant::now();
    apply().env("TRANSACTION_TIMEOUT", "1").run().exits(7);
    assert!(started.elapsed() < Duration::from_secs(15));
    let mut holder = world.connect();
    let mut held = holder.transaction().unwrap();
    held.batch_execute("LOCK TABLE subjects IN ACCESS EXCLUSIVE MODE")
        .unwrap();
    apply().env("LOADER_LOCK_TIMEOUT", "1").run().exits(7);
    apply().args(&["--lock-timeout", "1"]).run().exits(7);
    drop(held);
    assert_eq!(rows(&world), ["G1|F"]);
}

#[test]
fn the_loaders_own_variables_say_where_things_are() {
    let world = with_batch();
    world.sql("CREATE SCHEMA ours");
    world
        .bare(&["migrate"])
        .env("DATABASE_URL", &world.url)
        .env("LOADER_SCHEMA", "ours")
        .run()
        .exits(0);
    std::fs::rename(world.path("tables.yaml"), world.path("t.yaml")).unwrap();
    std::fs::rename(world.path("source/staging"), world.path("source/elsewhere")).unwrap();
    world.write("source/elsewhere/b1/notes.txt", "x");
    world.write("source/elsewhere/b1/validation_report.json", "x");
    let with = |args: &[&str]| {
        world
            .call(args)
            .env("LOADER_CONFIG", "t.yaml")
            .env("LOADER_PREFIX", "elsewhere/{batch_id}/")
            .env("LOADER_IGNORE", "notes.txt,validation_report.json")
            .env("LOADER_VALIDATION_REPORT", "off")
            .env("LOADER_SCHEMA", "ours")
            .env("LOADER_ACTOR", "curator")
    };
    with(&["plan", "--batch-id", "b1", "--out", "plan.json"])
        .run()
        .exits(0);
    with(&["apply", "plan.json", "--force"]).run().exits(0);
    assert_eq!(
        world.rows("SELECT DISTINCT changed_by FROM ours.audit_log"),
        ["curator"]
    );
    assert_eq!(world.rows("SELECT count(*) FROM public.audit_log"), ["0"]);
    let run = with(&["plan", "--batch-id", "b1"]).env("LOADER_QUEUE", "required");
    run.run().exits(4).says("has no entries for batch b1");
}

#[test]
fn the_bucket_comes_from_s3_bucket_and_its_keys_from_aws_variables() {
    let world = with_batch();
    let s3 = crate::support::s3::S3::start().unwrap();
    s3.create_bucket("curated");
    s3.put(
        "curated",
        "staging/b1/subjects/a.json",
        r#"{"data": {"gsid": "G9"}}"#.to_owned(),
    );
    let plan = |file: bool| {
        let run = world
            .call(&["plan", "--batch-id", "b1"])
            .without("LOADER_SOURCE");
        let settings = [
            ("S3_BUCKET", "curated".to_owned()),
            ("AWS_ENDPOINT_URL", s3.endpoint().to_owned()),
            ("AWS_ACCESS_KEY_ID", s3.access_key().to_owned()),
            ("AWS_SECRET_ACCESS_KEY", s3.secret_key().to_owned()),
            ("AWS_REGION", "eu-central-1".to_owned()),
        ];
        if file {
            let lines: Vec<String> = settings
                .iter()
                .map(|(n, v)| format!("{n}='{v}'\n"))
                .collect();
            world.write(".env", lines.concat());
            return run;
        }
        settings.iter().fold(run, |r, (n, v)| r.env(n, v))
    };
    plan(false).run().exits(0).says("\"G9\"");
    let empty = ["AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CONFIG_FILE"];
    let run = empty.iter().fold(plan(false), |r, name| r.env(name, ""));
    run.run().exits(0);
    let source = plan(false).args(&["--source", "s3://nowhere"]);
    source.run().exits(1).says("nowhere");
    plan(true).run().exits(0).says("\"G9\"");
}
