//! A plan file that is not what the loader wrote is refused, and one that is only spelled
//! differently is not.

use std::fs::File;
use std::io::{Seek, Write};

use table_loader::internal::{Item, PlanWriter};
use table_loader::plan::{Header, TargetDatabase};
use table_loader::planfile::PlanFile;
use table_loader::{Error, ErrorKind};

use crate::biobank::everything;
use crate::support::tree::{Style, Tree};
use crate::support::{Plan, World, number_from};

/// Verifies texts, one after the other, through one file.
struct Verifier(File);

impl Verifier {
    fn new() -> Verifier {
        Verifier(tempfile::tempfile().unwrap())
    }

    fn verify(&mut self, text: &[u8]) -> Result<String, Error> {
        self.0.set_len(0).unwrap();
        self.0.rewind().unwrap();
        self.0.write_all(text).unwrap();
        PlanFile::verify(self.0.try_clone().unwrap(), "the plan".into()).map(|p| p.hash)
    }

    #[track_caller]
    fn refuses(&mut self, text: &[u8], what: &str) {
        match self.verify(text) {
            Err(e) if e.kind() == ErrorKind::PlanRefused => {}
            other => panic!("{what}: {other:?}\n{}", String::from_utf8_lossy(text)),
        }
    }

    #[track_caller]
    fn accepts(&mut self, text: &str, hash: &str, what: &str) {
        match self.verify(text.as_bytes()) {
            Ok(found) => assert_eq!(found, hash, "{what}"),
            Err(e) => panic!("{what}: {e}\n{text}"),
        }
    }
}

/// A load with every kind of entry but deletes, and its rollback, which has those.
fn plans() -> [String; 2] {
    let world = everything();
    let plan = world.plan("b");
    world.apply(&plan).ok();
    world
        .loader(&["rollback", "--batch-id", "b", "--out", "undo.json"])
        .ok();
    let undo = std::fs::read_to_string(world.path("undo.json")).unwrap();
    for action in ["insert", "update", "skip", "violation"] {
        assert!(
            plan.text.contains(&format!("\"action\":\"{action}\"")),
            "{action}"
        );
    }
    assert!(undo.contains("\"action\":\"delete\""));
    [plan.text, undo]
}

/// The places of all strings (inside of their quotes), numbers and words.
fn scalars(text: &str) -> Vec<std::ops::Range<usize>> {
    let bytes = text.as_bytes();
    let (mut found, mut i) = (Vec::new(), 0);
    while i < bytes.len() {
        match bytes[i] {
            b'"' => {
                let start = i + 1;
                i = start;
                while bytes[i] != b'"' {
                    i += if bytes[i] == b'\\' { 2 } else { 1 };
                }
                found.push(start..i);
                i += 1;
            }
            b if b.is_ascii_alphanumeric() || b == b'-' => {
                let start = i;
                while bytes[i].is_ascii_alphanumeric() || b"-+.".contains(&bytes[i]) {
                    i += 1;
                }
                found.push(start..i);
            }
            _ => i += 1,
        }
    }
    found
}

/// Of so many bytes within a value one is tried; all of them with `TAMPERING_EVERY=1`.
fn every() -> usize {
    number_from("TAMPERING_EVERY", 7) as usize
}

#[test]
fn any_byte_of_any_value_or_name_that_was_changed_or_lost_is_noticed() {
    let mut verifier = Verifier::new();
    let every = every();
    for text in plans() {
        let mut tried = 0;
        for scalar in scalars(&text) {
            let (first, last) = (scalar.start, scalar.end - 1);
            for at in scalar {
                if at != first && at != last && at % every != 0 {
                    continue;
                }
                let mut changed = text.clone().into_bytes();
                changed[at] = match changed[at] {
                    b'0'..=b'8' => changed[at] + 1,
                    b'9' => b'0',
                    b'x' => b'y',
                    _ => b'x',
                };
                verifier.refuses(&changed, "changed");
                changed.copy_from_slice(text.as_bytes());
                changed.remove(at);
                verifier.refuses(&changed, "lost");
                tried += 1;
            }
        }
        assert!(tried > 1_000, "{tried}");
    }
}

#[test]
fn a_plan_that_was_cut_off_or_appended_to_is_noticed() {
    let mut verifier = Verifier::new();
    for text in plans() {
        let whole = text.trim_end().len();
        // Where something ends, and between.
        let ends = |at: usize| at > 0 && b",]}\n".contains(&text.as_bytes()[at - 1]);
        for length in (0..whole).filter(|&at| ends(at) || at % every() == 0) {
            verifier.refuses(&text.as_bytes()[..length], "cut off");
        }
        for more in ["x", "{}", "null", ",", "\0", "]", &text] {
            verifier.refuses(format!("{text}{more}").as_bytes(), "appended to");
        }
        verifier.refuses(format!("\u{feff}{text}").as_bytes(), "a byte order mark");
        verifier.refuses(format!("[{text}]").as_bytes(), "in a list");
    }
}

#[test]
fn anything_dropped_repeated_or_moved_in_a_list_is_noticed() {
    let mut verifier = Verifier::new();
    let lists = |node: &Tree| -> Vec<Tree> {
        let Tree::Array(items) = node else {
            return Vec::new();
        };
        let mut changed = Vec::new();
        for i in 0..items.len() {
            let mut less = items.clone();
            less.remove(i);
            changed.push(less);
            let mut more = items.clone();
            more.insert(i, items[i].clone());
            changed.push(more);
            if i > 0 && items[i] != items[i - 1] {
                let mut swapped = items.clone();
                swapped.swap(i, i - 1);
                changed.push(swapped);
            }
        }
        changed.push([items.as_slice(), &[Tree::Leaf("null".into())]].concat());
        changed.into_iter().map(Tree::Array).collect()
    };
    for text in plans() {
        let changed = Tree::parse(&text).changed(&lists);
        assert!(changed.len() > 150, "{}", changed.len());
        for tree in changed {
            verifier.refuses(tree.write(Style::default()).as_bytes(), "list");
        }
    }
}

#[test]
fn repeated_keys_and_unknown_fields_are_refused_everywhere() {
    let mut verifier = Verifier::new();
    let objects = |node: &Tree| -> Vec<Tree> {
        let Tree::Object(pairs) = node else {
            return Vec::new();
        };
        let mut changed = Vec::new();
        for pair in pairs {
            // Even where the repetition says the same.
            changed.push([pairs.as_slice(), std::slice::from_ref(pair)].concat());
            changed.push(
                [
                    &[(pair.0.clone(), Tree::Leaf("null".into()))],
                    pairs.as_slice(),
                ]
                .concat(),
            );
        }
        for value in ["null", "1", "\"x\"", "[]", "{}"] {
            let unknown = ("unknown".to_owned(), Tree::Leaf(value.to_owned()));
            changed.push([pairs.as_slice(), &[unknown]].concat());
        }
        changed.into_iter().map(Tree::Object).collect()
    };
    for text in plans() {
        let changed = Tree::parse(&text).changed(&objects);
        assert!(changed.len() > 500, "{}", changed.len());
        for tree in changed {
            verifier.refuses(tree.write(Style::default()).as_bytes(), "object");
        }
    }
}

#[test]
fn a_plan_in_another_spelling_is_the_same_plan() {
    let mut verifier = Verifier::new();
    for text in plans() {
        let hash = verifier.verify(text.as_bytes()).unwrap();
        let tree = Tree::parse(&text);
        assert_eq!(Tree::parse(&tree.write(Style::default())), tree);
        for space in ["", " ", "\n  ", "\r\n\t"] {
            for reversed in [false, true] {
                for escaped in [false, true] {
                    let style = Style {
                        space,
                        reversed,
                        escaped,
                    };
                    verifier.accepts(&tree.write(style), &hash, &format!("{style:?}"));
                }
            }
        }
        verifier.accepts(&text.replace('\n', "\r\n"), &hash, "CRLF");
        verifier.accepts(&text.replace('\n', ""), &hash, "one line");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        verifier.accepts(&pretty, &hash, "as other tools print it");
    }
}

#[test]
fn notes_may_say_anything_and_are_not_in_the_hash() {
    let mut verifier = Verifier::new();
    for text in plans() {
        let hash = verifier.verify(text.as_bytes()).unwrap();
        let Tree::Object(pairs) = Tree::parse(&text) else {
            panic!()
        };
        for notes in [
            "[]",
            "\"rehearsed: fine\"",
            r#"{"a": 1, "b": [null, 1.5e300]}"#,
            "12345678901234567890123",
        ] {
            let notes = ("notes".to_owned(), Tree::parse(notes));
            let with = Tree::Object([pairs.as_slice(), std::slice::from_ref(&notes)].concat());
            verifier.accepts(&with.write(Style::default()), &hash, "notes");
            let twice = Tree::Object([pairs.as_slice(), &[notes.clone(), notes]].concat());
            verifier.refuses(twice.write(Style::default()).as_bytes(), "notes twice");
        }
    }
}

#[test]
fn a_plan_that_changes_while_it_is_used_is_noticed() {
    let [text, _] = plans();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let plan = PlanFile::verify(file.reopen().unwrap(), "the plan".into()).unwrap();
    assert!(plan.stream(&mut |_| Ok(())).is_ok());
    let other = text.replacen("\"Paris\"", "\"Perth\"", 1);
    assert_ne!(other, text);
    std::fs::write(file.path(), other).unwrap();
    let error = plan.stream(&mut |_| Ok(())).unwrap_err();
    assert!(
        error.kind() == ErrorKind::PlanRefused
            && error
                .to_string()
                .contains("changed while it was being used"),
        "{error}"
    );
}

#[test]
fn the_commands_refuse_a_plan_that_was_edited() {
    let world = everything();
    let plan = world.plan("b");
    let edited = |from: &str, to: &str| {
        let text = plan.text.replacen(from, to, 1);
        assert_ne!(text, plan.text, "{from}");
        world.write("edited.json", text);
    };
    let edits = [
        ("\"Paris\"", "\"Perth\"", "was changed after it was made"),
        ("\"8\"", "\"9\"", "was changed after it was made"),
        (
            "\"rejected\": 7",
            "\"rejected\": 0",
            "was changed after it was made",
        ),
        (
            "\"audit_changes\":true",
            "\"audit_changes\":false",
            "was changed after it was made",
        ),
        (
            "table-loader-plan/1",
            "table-loader-plan/2",
            "its format is \"table-loader-plan/2\"",
        ),
        (
            "\"records\": 19",
            "\"records\": 19.0",
            "not a plan that this version reads",
        ),
        ("{", "", "not a plan that this version reads"),
    ];
    for (from, to, why) in edits {
        edited(from, to);
        let hash = plan.hash();
        for args in [
            vec!["apply", "edited.json", "--approve", &hash],
            vec!["apply", "edited.json", "--force"],
            vec!["show", "edited.json"],
            vec!["check", "edited.json"],
        ] {
            let refused = world.writes_nothing(|| world.loader(&args));
            refused.exits(6).says("edited.json").says(why);
        }
    }
    let refused = world
        .loader(&["apply", "edited.json", "--force", "--json"])
        .exits(6)
        .json();
    assert_eq!(refused["reason"], "plan_refused");
    world.write("edited.json", "");
    world.loader(&["apply", "edited.json", "--force"]).exits(6);
    world
        .loader(&["apply", "nowhere.json", "--force"])
        .exits(1)
        .says("nowhere.json");
    world.apply(&plan).ok();
}

#[test]
fn a_reformatted_plan_is_applied() {
    let world = everything();
    let plan = world.plan("b");
    let value: serde_json::Value = serde_json::from_str(&plan.text).unwrap();
    world.write("pretty.json", serde_json::to_string_pretty(&value).unwrap());
    world
        .loader(&["apply", "pretty.json", "--approve", &plan.hash()])
        .ok();
    world.apply(&plan).ok().says("Applied already");
}

/// The plan as it would be for a database that always has the same name.
fn as_example(world: &World, plan: &Plan) -> String {
    let file = PlanFile::open(&plan.path).unwrap();
    let mut writer = PlanWriter::new().unwrap();
    file.stream(&mut |item| match item {
        Item::Fragment(f) => writer.fragment(&f),
        Item::Entry(e) => writer.entry(e),
    })
    .unwrap();
    assert_eq!(file.header.target.database, world.database);
    let header = Header {
        target: TargetDatabase {
            database: "biobank".into(),
            identity: "7300000000000000000/16384".into(),
            lineage: "00000000-0000-4000-8000-000000000000".into(),
            ..file.header.target
        },
        ..file.header
    };
    let mut out = std::io::Cursor::new(Vec::new());
    writer.finish(header, &mut out).unwrap();
    let out = out.into_inner();
    String::from_utf8(out).unwrap()
}

/// `plans/example.json` shows the format. To make it anew: INSTA_UPDATE=always.
#[test]
fn the_example_plan_is_what_the_loader_makes() {
    let world = everything();
    // The plan says what the queue's entries were, and when they were made is part of them.
    world.sql("UPDATE validation_queue SET created_at = '2024-01-15 14:30:22+00'");
    let made = as_example(&world, &world.plan("b"));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/plans/example.json");
    if std::env::var("INSTA_UPDATE").is_ok_and(|v| v == "always") {
        std::fs::write(path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap();
    assert!(kept == made, "plans/example.json is another plan:\n{made}");
    world
        .loader(&["show", path])
        .ok()
        .says("Load of batch b into biobank");
}
