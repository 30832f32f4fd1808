//! What is told while something is done: bars, lines, JSON, and never a secret.

use std::process::{Command, Stdio};

use super::world::with_batch;

/// Each line of a log as JSON.
#[track_caller]
fn objects(log: &str) -> Vec<serde_json::Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    log.lines().map(parse).collect()
}

#[test]
fn without_a_terminal_each_step_is_a_line() {
    let world = with_batch();
    let steps = |args: &[&str]| {
        let err = world.call(args).run().exits(0).stderr;
        // How long it took differs from run to run.
        let line = |l: &str| l.split(" in ").next().unwrap_or_default().to_owned();
        err.lines().map(line).collect::<Vec<_>>()
    };
    let plan = steps(&["plan", "--batch-id", "b1", "--out", "plan.json"]);
    assert_eq!(
        plan[..3],
        [
            "listed 1 object",
            "read 3 records from 1 object",
            "compared 3 records with the current rows"
        ]
    );
    assert!(plan[3].starts_with("Plan: 2 to insert"), "{plan:?}");
    let apply = steps(&["apply", "plan.json", "--force"]);
    assert_eq!(
        apply[..3],
        [
            "staged 3 entries of the plan",
            "wrote 3 changes",
            "Applied: 2 inserted, 1 updated, 0 deleted."
        ]
    );
    let rollback = steps(&["rollback", "--batch-id", "b1", "--force"]);
    assert_eq!(rollback[0], "read 3 changes from the audit log");
}

#[test]
fn on_a_terminal_there_are_bars_and_they_go_away() {
    let world = with_batch();
    let on_terminal = |level: &str| {
        let spawn =
            "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
        let output = Command::new("python3")
            .args(["-c", spawn, env!("CARGO_BIN_EXE_loader")])
            .args(["plan", "--batch-id", "b1", "--out", "plan.json"])
            .current_dir(world.folder())
            .env("DATABASE_URL", &world.url)
            .env("LOADER_SOURCE", world.path("source"))
            .env("LOADER_QUEUE", "off")
            .env("LOG_LEVEL", level)
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        text
    };
    let bars = on_terminal("info");
    // A step that takes no time may not be drawn.
    let drawn = ["listing - ", "reading [", "checking - ", "comparing ["];
    assert!(drawn.iter().any(|bar| bars.contains(bar)), "{bars:?}");
    // The last of them is cleared before the result stands there.
    let (before, _) = bars.split_once("Plan: 2 to insert").unwrap();
    assert!(before.ends_with("\u{1b}[2K"), "{bars:?}");
    assert!(!bars.contains("\u{1b}[3"), "colour: {bars:?}");
    let lines = on_terminal("debug");
    assert!(
        lines.contains("listed 1 object\r\n") && !lines.contains('['),
        "{lines:?}"
    );
}

#[test]
fn timings_tell_how_long_each_phase_took() {
    let world = with_batch();
    let plan = [
        "plan",
        "--batch-id",
        "b1",
        "--out",
        "plan.json",
        "--timings",
    ];
    let told = world.call(&plan).run().exits(0).stderr;
    let phase = |l: &&str| l.contains(" s  compare (subjects)");
    let line = told.lines().find(phase).unwrap_or_else(|| panic!("{told}"));
    let seconds = line.trim_start().split(' ').next().unwrap();
    assert!(seconds.parse::<f64>().is_ok(), "{told}");
    for (args, phases) in [
        (
            vec!["plan", "--batch-id", "b1", "--out", "plan.json"],
            vec!["connect", "compare", "write the plan"],
        ),
        (
            vec!["apply", "plan.json", "--force"],
            vec!["verify the plan", "insert", "read back and audit", "commit"],
        ),
    ] {
        let run = world.call(&[args, vec!["--timings", "--json"]].concat());
        let result: serde_json::Value = serde_json::from_str(&run.run().exits(0).stdout).unwrap();
        let timings = result["timings"].as_array().unwrap();
        for name in phases {
            let found = timings.iter().find(|t| t["phase"] == name);
            let found = found.unwrap_or_else(|| panic!("{name}: {result}"));
            assert!(
                found["seconds"].as_f64().is_some_and(|s| s >= 0.0),
                "{result}"
            );
        }
    }
}

#[test]
fn json_logs_are_one_object_a_line_whatever_happens() {
    let world = with_batch();
    let run = |args: &[&str], code| {
        let run = world.call(args).env("LOADER_LOG_FORMAT", "JSON").run();
        objects(&run.exits(code).stderr)
    };
    let plan = run(&["plan", "--batch-id", "b1", "--out", "plan.json"], 0);
    assert_eq!(plan[1]["step"], "reading");
    assert_eq!(plan[1]["level"], "INFO");
    assert!(plan[1]["seconds"].is_number() && plan[1]["timestamp"].is_string());
    let last = plan.last().unwrap()["message"].as_str().unwrap().to_owned();
    assert!(last.contains("loader apply plan.json --approve sha256:"));
    let refused = run(&["apply", "plan.json"], 5);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["level"], "ERROR");
    assert_eq!(refused[0]["reason"], "not_approved");
    assert_eq!(refused[0]["exit_code"], 5);
    let load = run(&["load", "--batch-id", "b1", "--force"], 0);
    assert!(
        load.iter()
            .any(|l| l["message"] == "wrote 3 changes" || l["step"] == "writing")
    );
    run(&["rollback", "--batch-id", "b1", "--force"], 0);
    // Mistakes in the command line too; a flag beats the variable.
    for (args, format, json) in [
        (&["plan", "--no-such"][..], "json", true),
        (
            &["plan", "--no-such", "--log-format", "text"],
            "json",
            false,
        ),
        (&["plan", "--no-such", "--log-format=json"], "text", true),
    ] {
        let err = world
            .bare(args)
            .env("LOADER_LOG_FORMAT", format)
            .run()
            .exits(1)
            .stderr;
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(err.trim()).is_ok(),
            json,
            "{err}"
        );
    }
    let wrong = world
        .bare(&["migrate"])
        .env("LOADER_LOG_FORMAT", "xml")
        .run();
    wrong
        .exits(1)
        .says("LOADER_LOG_FORMAT is \"xml\", which is none of text, json");
}

#[test]
fn no_log_has_a_secret_or_a_sensitive_value() {
    let world = with_batch();
    world.write(
        "tables.yaml",
        "subjects: {natural_key: [gsid], sensitive: [sex]}\n",
    );
    let s3 = crate::support::s3::S3::start().unwrap();
    s3.create_bucket("curated");
    for (name, record) in [
        (
            "b1/subjects/a.json",
            r#"{"gsid": "G1", "sex": "canary-sex"}"#,
        ),
        (
            "b2/subjects/a.json",
            r#"{"gsid": "G1", "sex": "canary-sex", "age": 1}"#,
        ),
        (
            "b3/subjects/a.json",
            r#"{"gsid": "G1", "sex": {"canary-sex": 1}}"#,
        ),
    ] {
        s3.put("curated", &format!("staging/{name}"), record.to_owned());
    }
    let url = world.url.replacen("loader@", "loader:canary-password@", 1);
    assert_ne!(url, world.url);
    let mut code = 0;
    // The last of them where no database can be reached.
    for (format, host) in [
        ("text", "127.0.0.1"),
        ("json", "127.0.0.1"),
        ("json", "127.0.0.2"),
    ] {
        let mut said = String::new();
        for args in [
            &["plan", "--batch-id", "b1", "--out", "plan.json"][..],
            &["check", "plan.json"],
            &["apply", "plan.json", "--force"],
            &["load", "--batch-id", "b2", "--force"],
            &["load", "--batch-id", "b3", "--force"],
            &["rollback", "--batch-id", "b1", "--force"],
            &["batches"],
            &["history"],
        ] {
            let ran = world
                .call(args)
                .env("DATABASE_URL", url.replace("127.0.0.1", host))
                .env("LOADER_SOURCE", "s3://curated")
                .env("AWS_ENDPOINT_URL", s3.endpoint())
                .env("AWS_REGION", "eu-north-1")
                .env("AWS_ACCESS_KEY_ID", s3.access_key())
                .env("AWS_SECRET_ACCESS_KEY", s3.secret_key())
                .env("AWS_SESSION_TOKEN", "canary-token")
                .env("LOG_LEVEL", "debug")
                .env("LOADER_LOG_FORMAT", format)
                .run();
            code |= ran.code.unwrap_or_default();
            said += &ran.stderr;
        }
        assert!(said.contains("aws_"), "the client's own events: {said}");
        for canary in ["canary", s3.secret_key()] {
            let line = said.lines().find(|line| line.contains(canary));
            assert!(line.is_none(), "{canary}: {line:?}");
        }
    }
    assert_ne!(code, 0, "something was refused");
}
