//! The connection is cut at every message of an apply, in every way, and the program's last word
//! is compared with what happened.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Run, Stage, State, connect, finish, number_from, one, shared};
use crate::proxy::{ByteCut, Cut, Message, Place, Proxy, Way};
use crate::support::random::Random;

const TABLES: &str = "CREATE TABLE node (k text PRIMARY KEY, parent text REFERENCES node, v int)";
const CONFIG: &str = "node: {natural_key: [k]}";
const ROWS: &str = "INSERT INTO node VALUES ('a', NULL, 1), ('b', 'a', 2), ('c', 'a', 3)";

/// One database, one plan, and a proxy in front.
struct Target {
    stage: Stage,
    proxy: Proxy,
    plan: String,
    before: State,
    after: State,
    messages: Vec<Message>,
    /// Bytes said and told in all.
    all: (usize, usize),
}

impl Target {
    fn new() -> Target {
        let stage = Stage::new(TABLES, CONFIG);
        stage.sql(ROWS);
        stage.deliver(
            "b",
            &[("node/1.json", r#"[{"k": "a", "v": 7}, {"k": "b", "parent": "d"}, {"k": "c", "v": 3}, {"k": "d", "parent": "e"}, {"k": "e"}]"#)],
        );
        let plan = stage.plan("b");
        let proxy = Proxy::start(shared().port());
        let before = stage.state();
        proxy.set(None);
        let url = proxy.url(&stage.url);
        stage
            .loader_with(&["apply", &plan, "--force"], &[("DATABASE_URL", &url)])
            .exits(0);
        let (after, mut messages) = (stage.state(), proxy.seen());
        let all = proxy.passed();
        // What is said last is not waited for, and does not always arrive.
        while let Some(b'X' | b'C') | Some(b'S') = messages.last().map(|m| m.kind)
            && !ends_with_a_question(&messages)
        {
            messages.pop();
        }
        assert_ne!(before, after);
        let target = Target {
            stage,
            proxy,
            plan,
            before,
            after,
            messages,
            all,
        };
        target.reset();
        assert_eq!(target.stage.state(), target.before);
        target
    }

    /// Everything as it was before the apply, so that the same plan fits again.
    fn reset(&self) {
        self.stage.sql(&format!(
            "TRUNCATE node, loader_ledger, audit_log, batch_load_log; {ROWS}; \
             UPDATE validation_queue SET status = 'pending', loaded_at = NULL, error_message = NULL, application = NULL"
        ));
    }

    /// Applies through the proxy.
    fn apply(&self, cut: Cut, env: &[(&str, &str)]) -> Run {
        self.proxy.set(Some(cut));
        let what = format!("{cut:?} at {:?}", self.messages[cut.at]);
        self.run(&what, env)
    }

    fn run(&self, what: &str, env: &[(&str, &str)]) -> Run {
        let mut command = self.stage.command(&["apply", &self.plan, "--force"]);
        command
            .env("DATABASE_URL", self.proxy.url(&self.stage.url))
            .envs(env.iter().copied());
        finish(what, command.spawn().unwrap())
    }

    /// Applies through the proxy, and compares what was said with what happened.
    fn check(&self, cut: Cut, retries: &str) -> &'static str {
        self.reset();
        let run = self.apply(cut, &[("MAX_RETRIES", retries)]);
        let message = &self.messages[cut.at];
        let what = format!("{cut:?} at {message:?}, MAX_RETRIES={retries}: {run}");
        assert!(self.proxy.has_cut(), "not cut: {what}");
        self.is_true(&run, &what)
    }

    /// What was said is what happened.
    fn is_true(&self, run: &Run, what: &str) -> &'static str {
        let failures = self.stage.one(
            "SELECT count(*) FROM batch_load_log WHERE status = 'failed' AND error_message <> ''",
        );
        let applied = self
            .stage
            .all_or_nothing(&self.plan, &self.before, &self.after, what);
        let said = match run.code {
            Some(0) => "applied",
            // A server can be reached all the time, so that it is never not known.
            Some(1) => "not applied",
            _ => panic!("{what}"),
        };
        assert_eq!(said == "applied", applied, "{what}");
        if applied {
            assert!(run.stderr.contains("Applied"), "{what}");
            assert_eq!(failures, "0", "{what}");
        } else {
            assert!(run.stderr.contains("not applied"), "{what}");
            assert_eq!(failures, "1", "{what}");
        }
        said
    }
}

/// Whether the last message is the end of a query, not of a farewell.
fn ends_with_a_question(messages: &[Message]) -> bool {
    matches!(messages, [.., before, last] if last.kind == b'S' && before.kind != b'C')
}

/// Every place at every message, the ways in turn, and both ways around the commit. What is not
/// answered on its own can only be missing. Unless TEST_ALL is 1, farther from the commit the
/// places take turns too, and of what is not answered every fourth message is cut.
fn cases(messages: &[Message]) -> Vec<Cut> {
    let every = number_from("TEST_ALL", 0) == 1;
    let commit = messages.iter().position(Message::is_commit).unwrap();
    let mut cases = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let all = [Place::Before, Place::After, Place::ReplySwallowed];
        let places = match (message.is_answered(), every || at + 8 > commit) {
            (true, true) => &all[..],
            (true, false) => &all[at % 3..=at % 3],
            (false, false) if at % 4 > 0 => &[],
            (false, _) => &all[..1],
        };
        for &place in places {
            let cut = |way| Cut {
                at,
                place,
                way,
                stays_down: false,
            };
            let ways = [Way::Close, Way::Reset];
            if at + 8 > commit {
                cases.extend(ways.map(cut));
            } else {
                cases.push(cut(ways[cases.len() % 2]));
            }
        }
    }
    cases
}

/// Runs all cases on several databases at once; returns how many were said to be what.
fn run_all(cases: &[Cut], retries: &str, targets: &[Target]) -> BTreeMap<&'static str, usize> {
    let next = AtomicUsize::new(0);
    let said = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for target in targets {
            scope.spawn(|| {
                while let Some(cut) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let word = target.check(*cut, retries);
                    *said.lock().unwrap().entry(word).or_default() += 1;
                }
            });
        }
    });
    said.into_inner().unwrap()
}

#[test]
fn at_every_message_the_last_word_is_true() {
    let targets: Vec<Target> = (0..10).map(|_| Target::new()).collect();
    let messages = &targets[0].messages;
    assert!(targets.iter().all(|t| t.messages.len() == messages.len()));
    assert_eq!(messages.iter().filter(|m| m.is_commit()).count(), 1);
    let all = cases(messages);
    // Without retries, every case.
    let started = std::time::Instant::now();
    let said = run_all(&all, "0", &targets);
    println!(
        "{} messages, {} cases without retries: {said:?}",
        messages.len(),
        all.len()
    );
    assert!(said["applied"] > 2 && said["not applied"] > 2, "{said:?}");
    // With retries it ends well.
    let some: Vec<Cut> = all
        .iter()
        .filter(|c| c.place == Place::ReplySwallowed)
        .copied()
        .collect();
    let said = run_all(&some, "3", &targets);
    println!(
        "{} cases with retries: {said:?}, {:?}",
        some.len(),
        started.elapsed()
    );
    assert_eq!(said["applied"], some.len());
}

/// Cuts anywhere, even within a message; every third one within 40 bytes of the commit or of its
/// answer.
#[test]
fn at_any_byte_the_last_word_is_true() {
    let target = Target::new();
    let commit = target.messages.iter().find(|m| m.is_commit()).unwrap();
    let (around_said, around_told) = commit.passed;
    let (all_said, all_told) = target.all;
    let mut r = Random::new(number_from("TEST_SEED", 1));
    let mut figures = BTreeMap::new();
    for i in 0..number_from("TEST_CUTS", 15) {
        let said = r.chance(50);
        let (around, all) = match said {
            true => (around_said, all_said),
            false => (around_told, all_told),
        };
        let (place, at) = match i % 3 {
            0 => (
                "around the commit",
                (around + r.below(80)).saturating_sub(30),
            ),
            _ => ("anywhere", r.below(all)),
        };
        let way = [Way::Close, Way::Reset][r.below(2)];
        let cut = ByteCut { said, at, way };
        let retries = ["0", "2"][r.below(2)];
        target.reset();
        target.proxy.set_bytes(cut);
        let run = target.run(&format!("{cut:?}"), &[("MAX_RETRIES", retries)]);
        // What is told at the very end may be shorter than it was, and then nothing is cut.
        let hit = if target.proxy.has_cut() {
            place
        } else {
            "nowhere"
        };
        let word = target.is_true(&run, &format!("{cut:?}, MAX_RETRIES={retries}: {run}"));
        *figures.entry((hit, word)).or_insert(0) += 1;
    }
    println!("{all_said} bytes said, {all_told} told: {figures:?}");
    assert!(
        figures.keys().any(|(hit, _)| *hit == "around the commit"),
        "{figures:?}"
    );
}

/// Without TEST_ALL before every other one, and each of those around the commit.
#[test]
fn its_server_process_is_ended_before_every_statement() {
    let targets: Vec<Target> = (0..3).map(|_| Target::new()).collect();
    for target in &targets {
        let url = target.stage.url.clone();
        target.proxy.meanwhile(move || {
            let sql = "SELECT count(pg_terminate_backend(pid, 20000)) FROM pg_stat_activity \
                WHERE datname = current_database() AND application_name = 'table-loader'";
            one(&mut connect(&url), sql);
        });
    }
    let every = number_from("TEST_ALL", 0) == 1;
    let commit = targets[0].messages.iter().position(Message::is_commit);
    let (commit, messages) = (commit.unwrap(), targets[0].messages.iter().enumerate());
    let statements: Vec<Cut> = messages
        .filter(|(at, m)| m.is_answered() && (every || at + 8 > commit || at % 2 == 0))
        .map(|(at, _)| Cut {
            at,
            place: Place::Before,
            way: Way::Meanwhile,
            stays_down: false,
        })
        .collect();
    let said = run_all(&statements, "0", &targets);
    println!(
        "ended before each of {} statements: {said:?}",
        statements.len()
    );
    assert!(said["not applied"] > statements.len() / 2, "{said:?}");
}

#[test]
fn only_without_any_server_it_is_not_known() {
    let target = Target::new();
    let commit = target.messages.iter().position(Message::is_commit).unwrap();
    let mut outcomes = Vec::new();
    for place in [Place::Before, Place::After, Place::ReplySwallowed] {
        let cut = Cut {
            at: commit,
            place,
            way: Way::Close,
            stays_down: true,
        };
        target.reset();
        let run = target.apply(cut, &[("MAX_RETRIES", "0")]).exits(8);
        let run = run.says_all(&["not known yet", "loader check"]);
        // Directly, the server tells.
        let check = target.stage.loader(&["check", &target.plan]).exits(0);
        let applied = check.stderr.contains("was applied at");
        assert!(applied || check.stderr.contains("would apply"), "{check}");
        let what = format!("{place:?}: {run}");
        let really =
            target
                .stage
                .all_or_nothing(&target.plan, &target.before, &target.after, &what);
        assert_eq!(applied, really, "{what}");
        outcomes.push(applied);
    }
    assert!(!outcomes[0] && outcomes[2], "{outcomes:?}");

    // At any other message it is known without a server: nothing was sent that could commit.
    // (Statements are closed without waiting for an answer; the commit follows on their heels.)
    let last = target.messages[..commit]
        .iter()
        .rposition(|m| m.kind == b'Q');
    for at in [0, 3, commit / 2, last.unwrap()] {
        let cut = Cut {
            at,
            place: Place::Before,
            way: Way::Reset,
            stays_down: true,
        };
        target.reset();
        target
            .apply(cut, &[("MAX_RETRIES", "0")])
            .exits(1)
            .says_all(&["not applied"]);
        assert_eq!(target.stage.state(), target.before);
    }
}
