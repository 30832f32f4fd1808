//! What is meant for other programs: the workflow, the container, the compose file.

use std::path::Path;
use std::process::Command;

use serde_yaml::Value;

use super::commands::biobank;
use crate::support::World;

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The script of the workflow's step of that name.
fn script(job: &str, step: &str) -> String {
    let workflow = yaml("docs/github-actions.yaml");
    let steps = workflow["jobs"][job]["steps"]
        .as_sequence()
        .unwrap()
        .clone();
    let found = steps
        .iter()
        .find(|s| s["name"].as_str() == Some(step))
        .unwrap();
    found["run"].as_str().unwrap().to_owned()
}

/// Runs a script in the world's folder as GitHub does, with our program and `gh` from `bin`.
#[track_caller]
fn bash(world: &World, script: &str, env: &[(&str, &str)]) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_loader")).parent().unwrap();
    let path = format!(
        "{}:{}:{}",
        world.path("bin").display(),
        program.display(),
        std::env::var("PATH").unwrap()
    );
    let output = Command::new("bash")
        .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script])
        .current_dir(world.folder())
        .env_clear()
        .env("PATH", path)
        .env("HOME", world.folder())
        .env("DATABASE_URL", &world.url)
        .env("LOADER_SOURCE", world.path("source"))
        .env("LOADER_QUEUE", "off")
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{err}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn the_workflow_is_well_formed() {
    let workflow = yaml("docs/github-actions.yaml");
    assert!(workflow["on"]["pull_request"].is_mapping() && workflow["on"]["push"].is_mapping());
    assert!(workflow["permissions"].as_mapping().unwrap().is_empty());
    let world = World::empty();
    for (name, job) in workflow["jobs"].as_mapping().unwrap() {
        assert!(
            job["runs-on"].is_string() && job["permissions"].is_mapping(),
            "{name:?}"
        );
        for step in job["steps"].as_sequence().unwrap() {
            let Some(script) = step["run"].as_str() else {
                assert!(step["uses"].as_str().unwrap().contains('@'), "{step:?}");
                continue;
            };
            // What a pull request says must not become part of a script.
            assert!(!script.contains("${{"), "{script}");
            world.write("step", script);
            bash(&world, "bash -n step", &[]);
        }
    }
}

/// A repository with the tables of the biobank and a recorded GitHub: `gh` writes down its calls, and
/// answers with the comments in the file `known`.
fn repository() -> World {
    let world = biobank();
    world.write(
        "bin/gh",
        "#!/bin/sh\necho \"$*\" >> calls\ncase \"$*\" in *--paginate*) cat known;; esac\n",
    );
    world.write("known", "");
    world.write(
        ".gitignore",
        "source\nbin\n*.list\ncomments\nremote\ncalls\nknown\nstate\n",
    );
    bash(
        &world,
        "chmod +x bin/gh && git init --quiet --initial-branch main . && git init --quiet --bare remote \
         && git config user.name a && git config user.email a && git remote add origin ./remote \
         && git add . && git commit --quiet -m start && git push --quiet --set-upstream origin main",
        &[],
    );
    world
}

/// Delivers a subject for each batch, and adds the batches' files to the branch.
fn pull_request(world: &World, batches: &[&str]) -> String {
    let base = bash(world, "git rev-parse HEAD", &[]);
    for batch in batches {
        let record = format!(r#"{{"global_subject_id": "{batch}", "center": "B"}}"#);
        world.write(&format!("source/staging/{batch}/subjects/a.json"), &record);
        world.write(&format!("batches/{batch}"), "");
    }
    bash(
        world,
        "git add . && git commit --quiet -m 'Load' && git push --quiet",
        &[],
    );
    base
}

const PUT: &str = "Put plans and comments into the pull request";
const APPLY: &str = "Apply what is still to be applied";

#[track_caller]
fn plan(world: &World, base: &str) {
    bash(world, &script("plan", "Plan"), &[("BASE", base)]);
    let github = [("REPOSITORY", "o/r"), ("NUMBER", "7"), ("GH_TOKEN", "x")];
    bash(world, &script("plan", PUT), &github);
}

#[test]
fn the_workflow_plans_ten_batches_and_applies_each_exactly_once() {
    let world = repository();
    let batches: Vec<String> = (0..10).map(|i| format!("b{i}")).collect();
    let batches: Vec<&str> = batches.iter().map(String::as_str).collect();
    let base = pull_request(&world, &batches);
    world.write(
        "known",
        "41 <!-- table-loader b1 -->\n42 <!-- table-loader b3 -->\n43 other\n",
    );
    plan(&world, &base);
    let plans = bash(&world, "git show --name-only --format= origin/main", &[]);
    assert_eq!(plans.lines().count(), 10, "{plans}");
    let calls = std::fs::read_to_string(world.path("calls")).unwrap();
    for (batch, call) in [
        ("b1", "--method PATCH repos/o/r/issues/comments/41"),
        ("b3", "--method PATCH repos/o/r/issues/comments/42"),
        ("b4", "--method POST repos/o/r/issues/7/comments"),
    ] {
        let call = format!("{call} --field body=@comments/{batch}.md");
        assert!(calls.contains(&call), "{call}: {calls}");
        let comment = std::fs::read_to_string(world.path(&format!("comments/{batch}.md"))).unwrap();
        let start = format!("<!-- table-loader {batch} -->\n<!-- table-loader plan sha256:");
        assert!(
            comment.starts_with(&start) && comment.len() < 65_536,
            "{comment}"
        );
    }
    let head = bash(&world, "git rev-parse origin/main", &[]);
    let status =
        format!("repos/o/r/statuses/{head} --field context=table-loader --field state=success");
    assert!(calls.contains(&status), "{calls}");
    bash(
        &world,
        &script("plan", "Say whether everything can be applied"),
        &[],
    );
    // The same plans are no new commit.
    plan(&world, &base);
    assert_eq!(bash(&world, "git rev-parse origin/main", &[]), head);

    bash(&world, &script("apply", APPLY), &[]);
    assert_eq!(
        world.rows("SELECT count(*) FROM subjects WHERE global_subject_id LIKE 'b%'"),
        ["10"]
    );
    // Run again, and after a rollback, it applies nothing twice.
    bash(&world, &script("apply", APPLY), &[]);
    assert_eq!(world.rows("SELECT count(*) FROM loader_ledger"), ["10"]);
    bash(&world, "loader rollback --batch-id b7 --force", &[]);
    bash(&world, &script("apply", APPLY), &[]);
    assert_eq!(world.rows("SELECT count(*) FROM loader_ledger"), ["11"]);
    assert_eq!(
        world.rows("SELECT count(*) FROM subjects WHERE global_subject_id = 'b7'"),
        ["0"]
    );
}

#[test]
fn a_refused_plan_stops_no_other_and_what_a_cancelled_run_left_is_caught_up() {
    let world = repository();
    // Three merges, and the run of the second was cancelled.
    let base = pull_request(&world, &["m1"]);
    plan(&world, &base);
    bash(&world, &script("apply", APPLY), &[]);
    for batch in ["m2", "m3"] {
        let base = pull_request(&world, &[batch]);
        plan(&world, &base);
    }
    // And somebody else brought what the second would insert; a file that is no plan lies there, too.
    world.sql("INSERT INTO subjects (global_subject_id, center) VALUES ('m2', 'C')");
    world.write("plans/note.json", "{}");
    let apply = format!(
        "{} || echo ended with $?",
        script("apply", APPLY)
            .trim_end()
            .replace("exit 1", "(exit 1)")
    );
    let said = bash(&world, &format!("( {apply} )"), &[]);
    assert!(
        said.contains("Not applied:") && said.contains("plans/m2.json"),
        "{said}"
    );
    assert!(
        said.contains("a file in plans is no plan") && said.contains("ended with 1"),
        "{said}"
    );
    let there = "SELECT global_subject_id || center FROM subjects WHERE global_subject_id LIKE 'm%' ORDER BY 1";
    assert_eq!(world.rows(there), ["m1B", "m2C", "m3B"]);
    assert_eq!(world.rows("SELECT count(*) FROM loader_ledger"), ["2"]);
}

#[test]
fn a_plan_that_cannot_be_applied_is_not_green() {
    let world = repository();
    let base = pull_request(&world, &["good", "bad"]);
    let wrong = r#"{"global_subject_id": "bad", "no_such_column": 1}"#;
    world.write("source/staging/bad/subjects/b.json", wrong);
    world.write("batches/gone", "");
    world.write("batches/no batch ü", "");
    bash(
        &world,
        "git add . && git commit --quiet -m more && git push --quiet",
        &[],
    );
    plan(&world, &base);
    let calls = std::fs::read_to_string(world.path("calls")).unwrap();
    assert!(calls.contains("--field state=failure"), "{calls}");
    for (batch, said) in [
        ("good", "can be applied"),
        ("bad", "cannot be applied"),
        ("gone", "could not be planned"),
    ] {
        let comment = std::fs::read_to_string(world.path(&format!("comments/{batch}.md"))).unwrap();
        assert!(comment.contains(said), "{batch}: {comment}");
    }
    let check = script("plan", "Say whether everything can be applied");
    assert_eq!(
        bash(&world, &format!("{} || echo red", check.trim_end()), &[]),
        "red"
    );
}

#[test]
fn the_compose_file_names_only_settings_that_there_are() {
    let compose = yaml("compose.yaml");
    let services = compose["services"].as_mapping().unwrap();
    let loader = &services["table-loader"];
    let known = include_str!("../../src/cli/environment.txt");
    for (name, _) in loader["environment"].as_mapping().unwrap() {
        assert!(known.contains(name.as_str().unwrap()), "{name:?}");
    }
    for (name, service) in services {
        for dependency in service["depends_on"].as_mapping().into_iter().flatten() {
            assert!(
                services.contains_key(dependency.0),
                "{name:?} {dependency:?}"
            );
        }
        for volume in service["volumes"].as_sequence().into_iter().flatten() {
            let source = volume.as_str().unwrap().split(':').next().unwrap();
            let there = match source.starts_with("./") {
                true => Path::new(source).exists(),
                false => compose["volumes"]
                    .as_mapping()
                    .unwrap()
                    .contains_key(source),
            };
            assert!(there, "{name:?}: {source}");
        }
    }
}

#[test]
fn the_image_is_built_by_the_right_compiler_from_files_that_are_there() {
    let dockerfile = std::fs::read_to_string("Dockerfile").unwrap();
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap();
    let rust = manifest
        .split("rust-version = \"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert!(
        dockerfile.contains(&format!("FROM rust:{rust}-alpine AS build")),
        "{rust}"
    );
    assert!(dockerfile.contains("cargo build --release --locked --bin loader"));
    let kept = std::fs::read_to_string(".dockerignore").unwrap();
    let kept: Vec<&str> = kept.lines().filter_map(|l| l.strip_prefix('!')).collect();
    for name in &kept {
        assert!(Path::new(name).exists(), "{name}");
    }
    // Whatever the sources take in must be in the image's context.
    let embedded = Command::new("grep")
        .args([
            "-rhoE",
            "--exclude=tests.rs",
            r#"include_str!\("[^"]+"\)|embed_migrations!\("[^"]+"\)"#,
            "src",
        ])
        .output()
        .unwrap();
    for line in String::from_utf8(embedded.stdout).unwrap().lines() {
        let path = line.split('"').nth(1).unwrap();
        let top = path.trim_start_matches("../").split('/').next().unwrap();
        let outside = path.starts_with("../") || line.starts_with("embed");
        assert!(!outside || kept.contains(&top), "{line}");
    }
}
