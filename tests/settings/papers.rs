//! What is meant for other programs: the workflow, the container, the compose file.

use std::path::Path;
use std::process::Command;

use serde_yaml::Value;

use crate::support::World;

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_workflow_is_well_formed() {
    let workflow = yaml("docs/github-actions.yaml");
    // Every pull request, since the status is required of every one.
    assert!(workflow["on"]["pull_request"].is_null() && workflow["on"]["push"].is_mapping());
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
            let step = world.write("step", script);
            let output = Command::new("bash").arg("-n").arg(step).output().unwrap();
            assert!(output.status.success(), "{script}\n{output:?}");
        }
    }
}

#[test]
fn what_the_pages_configure_is_a_configuration() {
    for page in ["docs/coming-from-another-loader.md", "docs/deliveries.md"] {
        let text = std::fs::read_to_string(page).unwrap();
        let blocks = text.split("```yaml\n").skip(1);
        let blocks: Vec<&str> = blocks.map(|b| b.split("```").next().unwrap()).collect();
        assert!(!blocks.is_empty(), "{page}");
        for block in blocks {
            let config = table_loader::config::Config::parse(page, block);
            assert!(config.is_ok(), "{page}: {config:?}\n{block}");
        }
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
