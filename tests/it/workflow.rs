//! `docs/github-actions.yaml`: its scripts as they stand there, in real repositories, with real plans, and
//! an API that keeps comments and statuses as GitHub's does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_yaml::Value;

use crate::support::World;

/// What the forge does for the scripts: comments have ids and at most 65,536 characters.
const GH: &str = r#"#!/usr/bin/env bash
set -euo pipefail
[ "$1" = api ]; shift
method=GET; fields=()
while [ $# -gt 0 ]; do
  case $1 in
    --method) method=$2; shift 2 ;;
    --field) fields+=("$2"); shift 2 ;;
    --jq) shift 2 ;;
    --paginate) shift ;;
    *) path=$1; shift ;;
  esac
done
body() {
  file=${fields[0]#body=@}
  [ "$(wc -m < "$file")" -le 65536 ] || { echo 'HTTP 422: body is too long' >&2; exit 1; }
  cp "$file" "$1"
}
case "$method $path" in
  'GET repos/o/r/issues/'*/comments)
    for file in "$FORGE"/comments/*; do
      if [ -e "$file" ]; then echo "$(basename "$file") $(head -n 1 "$file")"; fi
    done ;;
  'POST repos/o/r/issues/'*/comments) body "$FORGE/comments/$(($(ls "$FORGE/comments" | wc -l) + 100))" ;;
  'PATCH repos/o/r/issues/comments/'*) body "$FORGE/comments/${path##*/}" ;;
  'POST repos/o/r/statuses/'*) printf '%s\n' "${fields[@]}" > "$FORGE/statuses/${path##*/}" ;;
  *) echo "no such call: $method $path" >&2; exit 1 ;;
esac
"#;

/// A repository with its pull requests, and the database that its jobs load.
struct Forge {
    world: World,
    workflow: Value,
    folder: tempfile::TempDir,
}

impl Forge {
    fn new() -> Forge {
        let tables = "t: {natural_key: [id]}";
        let world = World::in_folder("CREATE TABLE t (id int PRIMARY KEY, v text)", tables);
        let text = std::fs::read_to_string("docs/github-actions.yaml").unwrap();
        let forge = Forge {
            world,
            workflow: serde_yaml::from_str(&text).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        for folder in ["bin", "comments", "statuses", "main"] {
            std::fs::create_dir(forge.path(folder)).unwrap();
        }
        script(&forge.path("bin/gh"), GH);
        let loader = forge.world.command(&[]);
        std::os::unix::fs::symlink(loader.get_program(), forge.path("bin/loader")).unwrap();
        forge.git(
            "",
            &[
                "init",
                "--quiet",
                "--bare",
                "--initial-branch=main",
                "origin.git",
            ],
        );
        forge.git("", &["clone", "--quiet", "origin.git", "main"]);
        forge.git("main", &["checkout", "--quiet", "-b", "main"]);
        std::fs::write(forge.path("main/tables.yaml"), tables).unwrap();
        forge.push("main", "main");
        forge
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[track_caller]
    fn git(&self, folder: &str, args: &[&str]) -> String {
        let output = self.command("git", folder).args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A program in a folder of the forge, without the settings of whoever runs the tests.
    fn command(&self, program: &str, folder: &str) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap();
        command
            .current_dir(self.path(folder))
            .env_clear()
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("HOME", self.folder.path())
            .env("FORGE", self.folder.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "somebody")
            .env("GIT_AUTHOR_EMAIL", "somebody@example.org")
            .env("GIT_COMMITTER_NAME", "somebody")
            .env("GIT_COMMITTER_EMAIL", "somebody@example.org");
        command
    }

    /// Commits everything in a clone and pushes it as `branch`.
    fn push(&self, clone: &str, branch: &str) {
        self.git(clone, &["add", "--all"]);
        self.git(clone, &["commit", "--quiet", "--message", "Change"]);
        self.git(
            clone,
            &["push", "--quiet", "origin", &format!("HEAD:{branch}")],
        );
    }

    /// A fresh clone of a branch, as a job checks it out.
    fn check_out(&self, branch: &str) {
        let _ = std::fs::remove_dir_all(self.path("job"));
        self.git(
            "",
            &["clone", "--quiet", "--branch", branch, "origin.git", "job"],
        );
    }

    /// Opens a pull request from `branch` that writes these files, and runs its job.
    fn propose(&self, branch: &str, files: &[(&str, &str)]) -> Planned {
        self.check_out("main");
        for (name, content) in files {
            let path = self.path("job").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        self.push("job", branch);
        self.plan(branch)
    }

    /// Runs the job `plan` for the pull request from `branch`.
    fn plan(&self, branch: &str) -> Planned {
        self.check_out(branch);
        let base = self.git("job", &["rev-parse", "origin/main"]);
        let run = self.run("plan", &base);
        let head = self.git("job", &["rev-parse", "HEAD"]);
        let status = std::fs::read_to_string(self.path("statuses").join(head));
        Planned {
            succeeded: run.succeeded,
            log: run.log,
            status: status.unwrap_or_default(),
        }
    }

    fn merge(&self, branch: &str) {
        self.check_out("main");
        self.git(
            "job",
            &["merge", "--quiet", "--no-edit", &format!("origin/{branch}")],
        );
        self.git("job", &["push", "--quiet"]);
    }

    /// Runs the job `apply`.
    fn apply(&self) -> Ran {
        self.check_out("main");
        self.run("apply", "")
    }

    /// Runs the scripts of a job as the runner does, up to the first that fails.
    fn run(&self, job: &str, base: &str) -> Ran {
        let steps = self.workflow["jobs"][job]["steps"].as_sequence().unwrap();
        let mut log = String::new();
        for step in steps {
            let Some(run) = step["run"].as_str() else {
                continue;
            };
            // The program is there already.
            if step["name"].as_str() == Some("Get the loader") {
                continue;
            }
            let file = self.path("step.sh");
            script(&file, run);
            let mut command = self.command("bash", "job");
            command
                .args(["--noprofile", "--norc", "-eo", "pipefail"])
                .arg(&file);
            let settings = self.world.command(&[]);
            let settings = settings.get_envs().filter_map(|(n, v)| Some((n, v?)));
            command.envs(settings.filter(|(n, _)| n.to_str().unwrap().starts_with("LOADER_")));
            for (name, value) in self.environment(step, base) {
                command.env(name, value);
            }
            let Output {
                status,
                stdout,
                stderr,
            } = command.output().unwrap();
            log += &String::from_utf8(stdout).unwrap();
            log += &String::from_utf8(stderr).unwrap();
            if !status.success() {
                return Ran {
                    succeeded: false,
                    log,
                };
            }
        }
        Ran {
            succeeded: true,
            log,
        }
    }

    /// The variables of the workflow and of a step.
    fn environment(&self, step: &Value, base: &str) -> BTreeMap<String, String> {
        let own = [&self.workflow["env"], &step["env"]];
        let own = own.into_iter().filter_map(Value::as_mapping).flatten();
        own.filter_map(|(name, value)| {
            let (name, value) = (name.as_str().unwrap(), value.as_str().unwrap());
            let value = match value {
                "${{ secrets.PLAN_DATABASE_URL }}" | "${{ secrets.APPLY_DATABASE_URL }}" => {
                    &self.world.url
                }
                "${{ github.event.pull_request.base.sha }}" => base,
                "${{ github.event.pull_request.number }}" => "7",
                "${{ github.repository }}" => "o/r",
                "${{ github.token }}" => "token",
                // What whoever copies the file puts there.
                _ if value.starts_with("YOUR-") || name == "IMAGE" || name == "DB_SSLMODE" => {
                    return None;
                }
                _ => value,
            };
            assert!(!value.contains("${{"), "{name}: {value}");
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
    }

    fn deliver(&self, batch: &str, id: u32) {
        let record = format!(r#"{{"id": {id}, "v": "{batch}"}}"#);
        self.world.deliver(batch, "t/1.json", record);
    }

    /// Batches by how often they were applied.
    fn applied(&self) -> Vec<String> {
        self.world.rows(
            "SELECT batch_id || ' ' || count(*) FROM loader_ledger WHERE kind = 'load' GROUP BY batch_id ORDER BY 1",
        )
    }

    fn comments(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.path("comments")).unwrap();
        let text =
            |f: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(f.unwrap().path());
        let mut all: Vec<String> = files.map(|f| text(f).unwrap()).collect();
        all.sort();
        all
    }
}

fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

struct Ran {
    succeeded: bool,
    log: String,
}

impl Ran {
    #[track_caller]
    fn ends(self, succeeded: bool) -> Ran {
        assert_eq!(self.succeeded, succeeded, "{}", self.log);
        self
    }

    #[track_caller]
    fn says(self, text: &str) -> Ran {
        assert!(self.log.contains(text), "{text:?} is not in\n{}", self.log);
        self
    }
}

/// How the job `plan` ended.
struct Planned {
    succeeded: bool,
    log: String,
    status: String,
}

impl Planned {
    /// Everything that it proposes can be applied.
    #[track_caller]
    fn passes(self) {
        assert!(self.succeeded, "{}", self.log);
        assert_eq!(
            self.status, "context=table-loader\nstate=success\n",
            "{}",
            self.log
        );
    }

    /// It must not be merged, and the log says why.
    #[track_caller]
    fn fails(self, why: &str) {
        assert!(!self.succeeded, "{}", self.log);
        assert_eq!(
            self.status, "context=table-loader\nstate=failure\n",
            "{}",
            self.log
        );
        assert!(self.log.contains(why), "{why:?} is not in\n{}", self.log);
    }
}

#[test]
fn a_run_catches_up_with_what_a_cancelled_one_left() {
    let forge = Forge::new();
    for (id, batch) in (1..).zip(["b1", "b2", "b3"]) {
        forge.deliver(batch, id);
        let file = format!("batches/{batch}");
        forge.propose(batch, &[(&file, "")]).passes();
    }
    forge.merge("b1");
    forge.apply().ends(true);
    assert_eq!(forge.applied(), ["b1 1"]);
    // The run of this merge is cancelled.
    forge.merge("b2");
    forge.merge("b3");
    forge.apply().ends(true);
    assert_eq!(forge.applied(), ["b1 1", "b2 1", "b3 1"]);
    forge.apply().ends(true);
    assert_eq!(forge.applied(), ["b1 1", "b2 1", "b3 1"]);
    assert_eq!(forge.world.value("SELECT count(*) FROM t"), "3");
    // What was rolled back is named, and not applied again by whoever runs a job again.
    forge
        .world
        .loader(&["rollback", "--batch-id", "b2", "--force"])
        .ok();
    let ran = forge.apply().ends(true);
    ran.says("plans/b2.json is not pending")
        .says("rolled back at")
        .says("--again");
    assert_eq!(forge.world.value("SELECT count(*) FROM t"), "2");
}

#[test]
fn a_refused_plan_stops_no_other_and_is_named() {
    let forge = Forge::new();
    let files: Vec<String> = (1..=3).map(|i| format!("batches/b{i}")).collect();
    for i in 1..=3 {
        forge.deliver(&format!("b{i}"), i);
    }
    let files: Vec<(&str, &str)> = files.iter().map(|f| (f.as_str(), "")).collect();
    forge.propose("all", &files).passes();
    forge.merge("all");
    forge.world.sql("INSERT INTO t VALUES (2, 'theirs')");
    for _ in 0..2 {
        let ran = forge.apply().ends(false);
        ran.says("Not applied:\nplans/b2.json\n")
            .says("t id=2: appeared");
        assert_eq!(forge.applied(), ["b1 1", "b3 1"]);
    }
    // Planned again in a new pull request it is applied.
    forge
        .propose("again", &[("batches/b2", "once more")])
        .passes();
    forge.merge("again");
    forge.apply().ends(true);
    assert_eq!(forge.applied(), ["b1 1", "b2 1", "b3 1"]);
}

#[test]
fn ten_batches_have_ten_comments_and_are_applied_once() {
    let forge = Forge::new();
    let names: Vec<String> = (0..10).map(|i| format!("batch_{i}")).collect();
    for (i, name) in (0..).zip(&names) {
        // Each alone fills a comment.
        let records = (0..600).map(|n| {
            format!(
                r#"{{"id": {}, "v": "{}"}}"#,
                i * 1000 + n,
                "long ".repeat(30)
            )
        });
        let records: Vec<String> = records.collect();
        forge.world.deliver(name, "t.ndjson", records.join("\n"));
    }
    let files: Vec<String> = names.iter().map(|n| format!("batches/{n}")).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|f| (f.as_str(), "")).collect();
    forge.propose("ten", &files).passes();
    let before = forge.comments();
    assert_eq!(before.len(), 10);
    // A second run edits the comments, and adds none.
    forge.plan("ten").passes();
    assert_eq!(forge.comments().len(), 10);
    for (comment, name) in before.iter().zip(&names) {
        assert!(comment.starts_with(&format!("<!-- table-loader {name} -->\n")));
    }
    forge.merge("ten");
    forge.apply().ends(true);
    let once: Vec<String> = names.iter().map(|n| format!("{n} 1")).collect();
    assert_eq!(forge.applied(), once);
    assert_eq!(forge.world.value("SELECT count(*) FROM t"), "6000");
}

#[test]
fn what_the_run_has_not_planned_is_not_merged() {
    let forge = Forge::new();
    for (id, batch) in (1..).zip(["b1", "b2"]) {
        forge.deliver(batch, id);
    }
    let plan = forge.world.plan("b2").text;
    // A plan that nobody's comment shows, alone and beside a batch; whatever it is called.
    let names = [
        "plans/b2.json",
        "plans/Z.json",
        "plans/ö.json",
        "plans/b1/b1.json",
    ];
    for (i, name) in names.into_iter().enumerate() {
        let why = "was not planned by this pull request";
        forge
            .propose(&format!("alone{i}"), &[(name, &plan)])
            .fails(why);
        let files = [("batches/b1", ""), (name, &plan)];
        forge.propose(&format!("beside{i}"), &files).fails(why);
    }
    // Under the name of a batch it is replaced by the job's own.
    forge
        .propose("own", &[("batches/b1", ""), ("plans/b1.json", &plan)])
        .passes();
    forge.merge("own");
    forge.apply().ends(true);
    assert_eq!(forge.applied(), ["b1 1"]);
    // To give a plan up is no plan.
    forge.check_out("main");
    std::fs::remove_file(forge.path("job/plans/b1.json")).unwrap();
    forge.push("job", "less");
    forge.plan("less").passes();
    // Nor is any other change.
    forge.propose("other", &[("README.md", "x")]).passes();
}

#[test]
fn what_cannot_be_planned_or_applied_fails_the_check() {
    let forge = Forge::new();
    forge.deliver("good", 1);
    forge.world.deliver("bad", "t/1.json", r#"{"id": "x"}"#);
    forge
        .propose("bad", &[("batches/good", ""), ("batches/bad", "")])
        .fails("1 violation");
    let comments = forge.comments();
    assert!(
        comments[0].contains("This plan cannot be applied"),
        "{comments:?}"
    );
    assert!(
        comments[1].contains("This plan can be applied"),
        "{comments:?}"
    );
    forge
        .propose("none", &[("batches/none", "")])
        .fails("there are no fragments");
    assert!(forge.comments()[2].contains("could not be planned"));
    forge
        .propose("odd", &[("batches/bätch", "")])
        .fails("is not named as a batch");
}

#[test]
fn a_file_that_is_no_plan_and_a_database_that_is_away_are_told_apart() {
    let forge = Forge::new();
    forge.deliver("b1", 1);
    forge.propose("b1", &[("batches/b1", "")]).passes();
    forge.merge("b1");
    forge.check_out("main");
    std::fs::write(forge.path("job/plans/notes.json"), "{}").unwrap();
    forge.push("job", "main");
    let ran = forge.apply().ends(false);
    ran.says("files in plans that are no plans")
        .says("notes.json");
    assert_eq!(forge.applied(), ["b1 1"]);
    let mut forge = forge;
    forge.world.url = "postgresql://loader@127.0.0.1:1/none".into();
    let ran = forge.apply().ends(false);
    assert!(
        !ran.log.contains("files in plans that are no plans"),
        "{}",
        ran.log
    );
    ran.says("connecting to 127.0.0.1:1");
}
