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

#[test]
fn the_workflow_plans_and_applies_what_was_merged() {
    let world = biobank();
    for (table, record) in [
        ("subjects", r#"{"global_subject_id": "G2", "center": "B"}"#),
        (
            "dna",
            r#"{"global_subject_id": "G1", "sample_id": "D1", "concentration": 2}"#,
        ),
    ] {
        world.write(&format!("source/staging/b1/{table}/a.json"), record);
    }
    world.write(
        ".gitignore",
        "source\nbin\n*.list\ncomment.md\nremote\ncalls\n",
    );
    let start = "git init --quiet --initial-branch main . && git init --quiet --bare remote \
        && git config user.name a && git config user.email a && git remote add origin ./remote \
        && git add . && git commit --quiet -m start && git push --quiet --set-upstream origin main";
    bash(&world, start, &[]);
    let base = bash(&world, "git rev-parse HEAD", &[]);
    bash(
        &world,
        "mkdir batches && touch batches/b1 && git add . && git commit --quiet -m 'Load b1' && git push --quiet",
        &[],
    );

    let plan = script("plan", "Plan");
    bash(&world, &plan, &[("BASE", &base)]);
    let comment = std::fs::read_to_string(world.path("comment.md")).unwrap();
    assert!(comment.starts_with("<!-- table-loader -->\n"), "{comment}");
    assert!(
        comment.contains("subjects") && comment.contains("concentration"),
        "{comment}"
    );
    let put = script("plan", "Put the plan into the pull request");
    bash(&world, &put, &[]);
    assert_eq!(
        bash(&world, "git show --name-only --format= origin/main", &[]),
        "plans/b1.json"
    );
    bash(&world, &plan, &[("BASE", &base)]);
    bash(&world, &put, &[]);
    assert_eq!(
        bash(&world, "git log --oneline | wc -l", &[]),
        "3",
        "the same plan is no new commit"
    );

    let apply = script("apply", "Apply what was merged");
    bash(&world, &apply, &[("BEFORE", &base)]);
    assert_eq!(world.rows("SELECT concentration FROM dna"), ["2.000"]);
    assert_eq!(world.rows("SELECT count(*) FROM subjects"), ["2"]);
    bash(&world, &apply, &[("BEFORE", &base)]);
    assert_eq!(world.rows("SELECT count(*) FROM loader_ledger"), ["1"]);
}

#[test]
fn the_comment_is_written_once_and_then_edited() {
    let world = World::empty();
    world.write("comment.md", "<!-- table-loader -->\n");
    let show = script("plan", "Show it in one comment");
    for (found, expect) in [
        (
            "",
            "--method POST repos/o/r/issues/7/comments --field body=@comment.md",
        ),
        (
            "41\n42",
            "--method PATCH repos/o/r/issues/comments/42 --field body=@comment.md",
        ),
    ] {
        let gh = format!(
            "#!/bin/sh\necho \"$*\" >> calls\ncase \"$*\" in *--paginate*) echo '{found}';; esac\n"
        );
        world.write("bin/gh", &gh);
        bash(&world, "chmod +x bin/gh", &[]);
        bash(
            &world,
            &show,
            &[("REPOSITORY", "o/r"), ("NUMBER", "7"), ("GH_TOKEN", "x")],
        );
        let calls = std::fs::read_to_string(world.path("calls")).unwrap();
        assert!(calls.trim_end().ends_with(expect), "{calls}");
    }
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
