//! Flags that no life cycle needs; and that each flag and each variable has its test.

use super::world::{planned, with_batch};
use crate::support::World;

#[test]
fn flags_stand_in_for_variables() {
    let world = with_batch();
    world.sql("CREATE SCHEMA ours");
    std::fs::rename(world.path("tables.yaml"), world.path("t.yaml")).unwrap();
    std::fs::rename(world.path("source/staging"), world.path("source/here")).unwrap();
    world.write("source/here/b1/notes.txt", "x");
    let loader = |args: &[&str]| {
        let run = world.bare(args).args(&["--database-url", &world.url]);
        run.args(&["--loader-schema", "ours", "--source", "source"])
            .args(&["--config", "t.yaml", "--actor", "somebody"])
            .run()
    };
    loader(&["migrate"]).exits(0);
    let place = ["--prefix", "here/{batch_id}", "--ignore", "notes.txt"];
    let with_place = |args: &[&'static str], queue| {
        let args: Vec<&str> = args.iter().copied().chain(place).collect();
        loader(&[&args[..], &["--queue", queue]].concat())
    };
    let plan = ["plan", "--batch-id", "b1", "-o", "plan.json"];
    with_place(&plan, "required")
        .exits(4)
        .says("has no entries for batch b1");
    with_place(&plan, "off").exits(0);
    let noted = [
        "plan",
        "--batch-id",
        "b1",
        "-o",
        "noted.json",
        "--notes",
        "on",
    ];
    with_place(&noted, "off").exits(0);
    assert!(
        std::fs::read_to_string(world.path("noted.json"))
            .unwrap()
            .contains("\"made\"")
    );
    with_place(&["batches"], "off").exits(0).says("waiting");
    with_place(&["batches"], "required")
        .exits(0)
        .says("not in the queue");
    loader(&["apply", "plan.json", "--force"]).exits(0);
    let by = "SELECT DISTINCT changed_by FROM ours.audit_log";
    assert_eq!(world.rows(by), ["somebody"]);
    let audit = |more: &[&str]| {
        let ran = loader(&[&["audit", "--batch-id", "b1"], more].concat()).exits(0);
        ran.stdout.matches(" by somebody, batch b1").count()
    };
    assert_eq!(audit(&[]), 3);
    assert_eq!(audit(&["--limit", "2"]), 2);
    assert_eq!(audit(&["--table", "subjects", "--key", "G1"]), 1);
    loader(&["show", "plan.json", "--limit", "1"])
        .exits(0)
        .says("1 insert more");
}

#[test]
fn what_is_shown_is_written_to_a_file_and_coloured_where_it_is_asked_for() {
    let world = with_batch();
    planned(&world);
    let show = |more: &[&str]| {
        let args = [&["show", "plan.json"], more].concat();
        world.call(&args).env("NO_COLOR", "1").run()
    };
    let read = |name: &str| std::fs::read_to_string(world.path(name)).unwrap();
    let text = show(&[]).exits(0).stdout;
    show(&["-o", "plan.txt"]).exits(0);
    assert_eq!(read("plan.txt"), text);
    let coloured = show(&["--color", "always"]).exits(0).stdout;
    assert!(!text.contains('\u{1b}') && coloured.contains("\u{1b}[32m+"));
    assert_eq!(show(&["--color=never"]).exits(0).stdout, text);
    let bad = show(&["--color", "sometimes"]).exits(1);
    bad.says("--color is \"sometimes\", which is none of auto, always, never");
    // A file is replaced only by another of its kind: never the plan itself.
    let plan = read("plan.json");
    for format in ["text", "markdown", "html", "json"] {
        show(&["--format", format, "-o", "plan.json"])
            .exits(1)
            .says("a file is there that is something else");
        let name = format!("view.{format}");
        for _ in 0..2 {
            let args = ["--format", format, "--out", &name];
            let written = show(&args).exits(0).stdout;
            assert_eq!(written, "", "{format}");
        }
        assert!(read(&name).len() > 200, "{format}");
    }
    assert_eq!(read("plan.json"), plan);
    let summary = show(&["--json", "-o", "plan.txt"]).exits(0).json();
    assert!(summary["plan_hash"].is_string() && read("plan.txt") == text);
    for _ in 0..2 {
        show(&["plan.json", "-o", "diff.txt"]).exits(0);
    }
    show(&["plan.json", "-o", "plan.txt"]).exits(1);
}

#[test]
fn how_much_is_told_and_how_long_is_waited_are_flags_too() {
    let world = with_batch();
    let plan = |level: &str| {
        let args = ["plan", "--batch-id", "b1", "--log-level", level];
        world
            .call(&args)
            .env("LOG_LEVEL", "info")
            .run()
            .exits(0)
            .stderr
    };
    assert!(plan("debug").contains("checking") && !plan("warning").contains("compared"));
    planned(&world);
    world.sql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN PERFORM pg_sleep(20); RETURN NEW; END';
         CREATE TRIGGER slow BEFORE INSERT ON subjects FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    planned(&world);
    let args = [
        "apply",
        "plan.json",
        "--force",
        "--transaction-timeout",
        "1",
    ];
    world.call(&args).run().exits(7);
    let version = world.bare(&["--version"]).run().exits(0).stdout;
    assert_eq!(
        version.trim(),
        concat!("loader ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn whoever_runs_it_is_the_actor_where_nothing_says_otherwise() {
    let world = with_batch();
    for (actor, more) in [
        // The program runs with no variable but HOME and PATH.
        (None, &[][..]),
        (Some("someone"), &[("USER", "someone")]),
        (Some("ci"), &[("USER", "someone"), ("GITHUB_ACTOR", "ci")]),
    ] {
        let record = format!(r#"{{"gsid": "{}"}}"#, more.len() + 7);
        world.write("source/staging/b1/subjects/x.json", &record);
        let load = world.call(&["load", "--batch-id", "b1", "--force"]);
        let load = more
            .iter()
            .fold(load, |run, (name, value)| run.env(name, value));
        load.run().exits(0);
        let last = world.rows("SELECT changed_by FROM audit_log ORDER BY id DESC LIMIT 1");
        let user = std::process::Command::new("id")
            .arg("-un")
            .output()
            .unwrap();
        let user = String::from_utf8(user.stdout).unwrap();
        assert_eq!(last, [actor.unwrap_or(user.trim())]);
    }
}

/// The text of all tests.
fn tests(folder: &std::path::Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let text = paths.map(|path| match path.is_dir() {
        true => tests(&path),
        false if path.extension().is_some_and(|e| e == "rs") => {
            std::fs::read_to_string(path).unwrap()
        }
        false => String::new(),
    });
    text.collect()
}

#[test]
fn each_flag_and_each_variable_is_used_by_a_test() {
    let world = World::empty();
    let tests = tests(std::path::Path::new("tests"));
    let help = |args: &[&str]| world.bare(args).run().exits(0).stdout;
    let main = help(&["--help"]);
    let commands = main
        .split("Commands:")
        .nth(1)
        .unwrap()
        .split("Options:")
        .next()
        .unwrap();
    let commands = commands.lines().filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then_some(name)
    });
    let mut all = main.clone();
    for command in commands {
        all += &help(&[command, "--help"]);
    }
    let words = |text: &str| {
        let word = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_');
        text.split(word).map(str::to_owned).collect::<Vec<_>>()
    };
    let flags = all
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'));
    let flags = flags.flat_map(words).filter(|w| w.starts_with("--"));
    let variables = words(include_str!("../../src/cli/environment.txt"));
    let variables = variables.into_iter().filter(|w| {
        let named = w.contains('_') && !w.ends_with('_') || w.starts_with("PG") && w.len() > 2;
        named
            && w.chars()
                .all(|c| c.is_ascii_uppercase() || "_0123456789".contains(c))
    });
    let (flags, variables): (Vec<_>, Vec<_>) = (flags.collect(), variables.collect());
    assert!(
        flags.len() > 40 && variables.len() > 30,
        "{flags:?} {variables:?}"
    );
    let of_flags = all.split("[env: ").skip(1);
    for name in of_flags.filter_map(|rest| rest.split(['=', ']']).next()) {
        assert!(
            variables.iter().any(|v| v == name),
            "{name} is not in --help"
        );
    }
    for name in flags.iter().chain(&variables) {
        let used = [format!("\"{name}\""), format!("\"{name}=")];
        assert!(used.iter().any(|u| tests.contains(u)), "{name} has no test");
    }
}

#[test]
fn a_comment_without_room_for_all_links_to_the_page() {
    let world = World::in_folder(
        "CREATE TABLE t (k text PRIMARY KEY, v text)",
        "t: {natural_key: [k]}",
    );
    world.set("LOADER_QUEUE", "off");
    let row = |n: u32| {
        format!(
            "{{\"k\": \"{n}\", \"v\": \"{}\"}}\n",
            n.to_string().repeat(99)
        )
    };
    world.put("b", "t.ndjson", (1000..1600).map(row).collect::<String>());
    let plan = world.plan("b");
    let comment = |more: &[&str]| world.show(&plan, &[&["--format", "markdown"], more].concat());
    assert!(!comment(&[]).contains("https://"));
    let page = "https://ci.example/plan.html";
    assert!(comment(&["--page-url", page]).contains(page));
    world.set("LOADER_PAGE_URL", page);
    assert!(comment(&[]).contains(page));
    let script = ["show", plan.name(), "--page-url", "javascript:alert(1)"];
    world
        .loader(&script)
        .exits(1)
        .says("not an address of a page");
}
