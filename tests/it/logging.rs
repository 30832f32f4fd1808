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

/// What a terminal, a page or a comment would act on.
const HOSTILE: [&str; 6] = [
    "a\u{1b}[31mred\u{1b}[0m",
    "b\u{9b}2J\u{7}\r\u{8}x",
    "c\u{202e}txt.exe\u{2066}y\u{200b}",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "| `x` | @everyone [a](http://evil.example) #1",
    "d\n::error::e\n##[error]f\t\u{2028}g",
];

/// The first character that acts, in text that people see.
fn acting(text: &str) -> Option<char> {
    text.chars().find(|c| {
        c.is_control() && *c != '\n'
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    })
}

#[test]
fn nothing_that_is_delivered_acts_on_who_looks_at_it() {
    // In names of tables, columns, constraints and objects, in keys, values, messages and who acts.
    let names: Vec<String> = HOSTILE.iter().map(|h| h.replace('"', "")).collect();
    let quoted = |name: &str| format!("\"{name}\"");
    let columns: Vec<String> = names
        .iter()
        .map(|n| format!("{} text", quoted(n)))
        .collect();
    let table = names[0].as_str();
    let world = World::in_folder(
        &format!(
            "CREATE TABLE {t} (k text PRIMARY KEY, {columns}, n int CONSTRAINT {c} CHECK (n <> 3)); \
             CREATE FUNCTION speak() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN IF NEW.n = 7 THEN RAISE EXCEPTION '%', NEW.k USING HINT = NEW.k, DETAIL = NEW.k; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER speak BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION speak()",
            t = quoted(table),
            c = quoted(&names[2]),
            columns = columns.join(", ")
        ),
        &format!(
            "{}: {{natural_key: [k], on_invalid: reject}}",
            serde_json::json!(table)
        ),
    );
    world.set("LOADER_QUEUE", "off");
    world.set("LOADER_ACTOR", HOSTILE[0]);
    let mut rows = Vec::new();
    for hostile in HOSTILE {
        let mut row = serde_json::json!({"k": hostile});
        for name in &names {
            row[name] = hostile.into();
        }
        rows.push(row);
        rows.push(serde_json::json!({"k": format!("n{hostile}"), "n": hostile}));
        rows.push(serde_json::json!({"k": format!("f{hostile}"), hostile: 1, "x": hostile}));
        rows.push(serde_json::json!({"k": format!("c{hostile}"), "n": 3}));
    }
    let lines: Vec<String> = rows.iter().map(ToString::to_string).collect();
    world.put(
        "b",
        &format!("{table}/o\u{1b}]0;x\u{7}.ndjson"),
        lines.join("\n"),
    );
    let look = |args: &[&str], exit: i32| {
        let run = world.loader(args).exits(exit);
        let people = !args.iter().any(|a| ["--json", "json", "html"].contains(a));
        let streams = [
            ("stdout", &run.stdout, people),
            ("stderr", &run.stderr, true),
        ];
        for (name, text, people) in streams {
            if let Some(c) = acting(text).filter(|_| people) {
                panic!("{args:?}: {name}: {c:?} in {text}");
            }
            if let Some(line) = command(text) {
                panic!("{args:?}: {name}: {line}");
            }
        }
        run
    };
    look(&["plan", "--batch-id", "b", "--out", "plan.json"], 0);
    look(
        &[
            "plan",
            "--batch-id",
            "b",
            "--out",
            "other.json",
            "--max-inserts",
            "0",
        ],
        0,
    );
    for format in ["text", "markdown", "html", "json"] {
        let shown = look(
            &[
                "show",
                "plan.json",
                "--format",
                format,
                "--action",
                "insert",
                "--action",
                "violation",
            ],
            0,
        );
        let raw = shown.stdout.contains("<script>alert") || shown.stdout.contains("<img src=x");
        assert!(!raw || format == "json" || format == "text", "{format}");
    }
    look(&["show", "plan.json", "--all"], 0);
    look(&["show", "plan.json", "other.json"], 0);
    look(
        &["show", "plan.json", "other.json", "--format", "markdown"],
        0,
    );
    look(&["show", "plan.json", "--table", HOSTILE[2]], 1);
    look(&["show", "plan.json", "--key", HOSTILE[2]], 0);
    look(&["check", "plan.json"], 0);
    look(&["check", "other.json"], 4);
    look(&["apply", "plan.json"], 5);
    look(&["apply", "plan.json", "--approve", HOSTILE[1]], 5);
    look(
        &["apply", "plan.json", "--force", "--dry-run", "--timings"],
        0,
    );
    look(&["load", "--batch-id", "b", "--dry-run"], 0);
    look(&["graph"], 0);
    look(&["graph", "--format", "mermaid"], 0);
    look(&["graph", "--format", "dot"], 0);
    look(&["init"], 0);
    look(&["batches"], 0);
    std::fs::create_dir(world.path("plans")).unwrap();
    let odd = format!("plans/{}.json", "p\u{1b}[31m");
    std::fs::copy(world.path("plan.json"), world.path(&odd)).unwrap();
    world.write("plans/q\u{202e}.json", "{\"\u{1b}[31m\": 1}");
    look(&["pending"], 6);
    look(&["apply", "plan.json", "--force"], 0);
    look(&["history"], 0);
    look(&["audit"], 0);
    look(&["check", "plan.json"], 0);
    let t = quoted(table);
    world.sql(&format!("UPDATE {t} SET {} = k || k", quoted(&names[1])));
    for report in ["text", "markdown"] {
        look(&["rollback", "--batch-id", "b", "--report", report], 3);
    }
    look(&["rollback", "--batch-id", "b"], 3);
    look(&["rollback", "--batch-id", HOSTILE[1]], 1);
    // What a trigger says, and what cannot be read.
    world.put(
        "c",
        &format!("{table}/1.json"),
        serde_json::json!({"k": HOSTILE.concat(), "n": 7}).to_string(),
    );
    look(&["load", "--batch-id", "c", "--force"], 1);
    world.put("d", &format!("{table}/1.json"), "{\"k\": \u{1b}[31m");
    look(&["plan", "--batch-id", "d"], 1);
    world.put("e", "x\u{202e}y/1.json", "{}");
    look(&["plan", "--batch-id", "e"], 1);
    look(&["plan", "--batch-id", HOSTILE[0]], 1);
    world.put("f", "z\u{1b}[31m.weird", "{}");
    look(&["plan", "--batch-id", "f"], 1);
    world.write(
        "tables.yaml",
        "\"a\\u001b[31m\": {natural_keys: [\"\\u202e\"]}",
    );
    look(&["plan", "--batch-id", "b"], 1);
}
