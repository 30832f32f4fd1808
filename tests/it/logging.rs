//! Row data never becomes a command to the CI system whose log it lands in.

use crate::support::World;

/// The commands of every CI system that takes them from a log.
const COMMANDS: [&str; 7] = [
    "::set-env name=PATH::/tmp",
    "  ::add-mask::x",
    "##[set-env name=PATH]/tmp",
    "##vso[task.setvariable variable=PATH]/tmp",
    "##VSO[task.complete result=Succeeded]",
    "##teamcity[setParameter name='PATH' value='/tmp']",
    "a\n::stop-commands::x\n##[error]x",
];

/// What a log must not hold, and the line that does.
fn command(text: &str) -> Option<&str> {
    text.lines().find(|line| {
        let name = |at: usize| line[at + 2..].trim_start_matches(|c: char| c.is_ascii_alphabetic());
        line.trim_start().starts_with("::")
            || line
                .match_indices("##")
                .any(|(at, _)| name(at).starts_with('['))
    })
}

#[test]
fn no_output_of_any_command_holds_one() {
    let world = World::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text CHECK (v <> 'no'), n int, d date);
         CREATE FUNCTION speak() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN IF NEW.n = 7 THEN RAISE EXCEPTION E'::error::a\\n::error::b\\n##[error]c'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER speak BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION speak();",
        "t: {natural_key: [k], on_invalid: reject}",
    );
    world.set("LOADER_ACTOR", COMMANDS[3]);
    let mut rows = Vec::new();
    for (i, command) in COMMANDS.iter().enumerate() {
        // Alone, at the end of much, behind words that are wrapped, and where there is no place to wrap.
        for (j, text) in [
            (*command).to_owned(),
            format!("{} {command}", "word ".repeat(20)),
            format!("{}{command}", "x".repeat(75)),
        ]
        .into_iter()
        .enumerate()
        {
            rows.push(serde_json::json!({"k": format!("{command}{i}{j}"), "v": text}));
            rows.push(serde_json::json!({"k": text, "d": command, "n": 1}));
        }
    }
    let lines: Vec<String> = rows.iter().map(ToString::to_string).collect();
    world.deliver("b", "t.ndjson", lines.join("\n"));
    let quiet = |args: &[&str], exit: i32| {
        let run = world.loader(args).exits(exit);
        for (name, text) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
            if let Some(line) = command(text) {
                panic!("{args:?}: {name}: {line}");
            }
        }
        run
    };
    // Through a pipe it is the same plan.
    let piped = quiet(&["plan", "--batch-id", "b"], 0);
    world.write("piped.json", &piped.stdout);
    quiet(
        &["plan", "--batch-id", "b", "--out", "plan.json", "--json"],
        0,
    );
    let hash =
        |name: &str| world.loader(&["show", name, "--json"]).ok().json()["plan_hash"].clone();
    assert_eq!(hash("piped.json"), hash("plan.json"));
    for format in ["text", "markdown", "html", "json"] {
        quiet(&["show", "plan.json", "--format", format], 0);
        quiet(
            &[
                "show",
                "plan.json",
                "--format",
                format,
                "--all",
                "--action",
                "violation",
                "--action",
                "insert",
            ],
            0,
        );
    }
    quiet(&["load", "--batch-id", "b", "--dry-run"], 0);
    quiet(
        &[
            "load",
            "--batch-id",
            "b",
            "--dry-run",
            "--log-format",
            "json",
        ],
        0,
    );
    quiet(&["load", "--batch-id", "b", "--force", "--json"], 0);
    quiet(&["history"], 0);
    quiet(&["audit", "--batch-id", "b"], 0);
    quiet(&["audit", "--batch-id", "b", "--json"], 0);
    quiet(&["batches"], 0);
    // Where rows were changed since.
    world.sql("UPDATE t SET v = '::error::' || v || ' ##[error]'");
    for report in [
        &[][..],
        &["--report", "text"],
        &["--report", "markdown"],
        &["--report", "html"],
        &["--json"],
    ] {
        quiet(&[&["rollback", "--batch-id", "b"], report].concat(), 3);
    }
    world.deliver("c", "t.ndjson", r###"{"k": "::c", "n": 7}"###);
    for more in [&[][..], &["--json"], &["--log-format", "json"]] {
        quiet(&[&["load", "--batch-id", "c", "--force"], more].concat(), 1);
    }
    world.deliver("d", "t.ndjson", "{\"##[error]\": 1, \"k\": ::error::");
    quiet(&["plan", "--batch-id", "d"], 1);
    quiet(&["batches", "--json"], 0);
}
