//! Plans whose sensitive values are encrypted: what everybody sees, what opens them, and what of
//! them nobody can change.

use age::secrecy::ExposeSecret as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::secrets::{no_canary, people};
use crate::support::World;

/// Someone with a key pair; the secret key stands in a file of that name.
struct Person {
    name: &'static str,
    public: String,
    secret: age::x25519::Identity,
}

impl Person {
    fn new(world: &World, name: &'static str) -> Person {
        let secret = age::x25519::Identity::generate();
        let key = secret.to_string();
        world.write(name, format!("# a key\n{}\n", key.expose_secret()));
        Person {
            name,
            public: secret.to_public().to_string(),
            secret,
        }
    }
}

/// A sealed plan `sealed.json` of the batch `b` for two, its text, and a third person.
fn sealed(world: &World) -> (String, [Person; 3]) {
    let people = ["ann.key", "bob.key", "eve.key"].map(|n| Person::new(world, n));
    (seal(world, &people), people)
}

fn seal(world: &World, [ann, bob, _]: &[Person; 3]) -> String {
    world.write("team.txt", format!("# the team\n\n{}\n", bob.public));
    world
        .loader(&[
            "plan",
            "--batch-id",
            "b",
            "--out",
            "sealed.json",
            "--recipient",
            &ann.public,
            "--recipients-file",
            "team.txt",
        ])
        .ok()
        .says("--identity FILE --approve sha256:");
    std::fs::read_to_string(world.path("sealed.json")).unwrap()
}

fn field(text: &str, name: &str) -> String {
    let plan: Value = serde_json::from_str(text).unwrap();
    plan[name].as_str().unwrap_or_default().to_owned()
}

fn lines(lines: &[&str]) -> String {
    let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The text with the hash of what is seen set right, as whoever changed it could.
fn rehashed(text: &str) -> String {
    let between = |from: &str, to: &str| {
        let start = text.find(from).unwrap() + from.len();
        let end = start + text[start..].find(to).unwrap();
        text[start..end].trim_matches('\n').to_owned()
    };
    let section = |name: &str, next: &str| {
        let lines = between(&format!("\"{name}\": ["), next);
        let lines: String = lines
            .lines()
            .map(|l| format!("{}\n", l.trim_end_matches(',')))
            .collect();
        hex(&Sha256::digest(lines.as_bytes()))
    };
    let header = between("\"header\": ", ",\n\"fragments\": ")
        .replace("\": ", "\":")
        .replace(",\n", ",")
        .replace("{\n", "{")
        .replace("\n}", "}")
        .replace("[\n", "[")
        .replace("\n]", "]");
    let shown = format!(
        "sha256:{}",
        lines(&[
            "table-loader-plan/1",
            &header,
            &section("fragments", "\n],\n\"changes\""),
            &section("changes", "\n],\n\"sealed\""),
        ])
    );
    let plan: Value = serde_json::from_str(text).unwrap();
    let hash = lines(&[
        "table-loader-plan/1 masked",
        plan["plan_hash"].as_str().unwrap(),
        &shown,
        &plan["recipients"].to_string(),
        &section("sealed", "\n]\n}"),
    ]);
    text.replace(&field(text, "masked_hash"), &format!("sha256:{hash}"))
}

#[test]
fn a_sealed_plan_is_reviewed_without_its_secrets_and_applied_with_a_key() {
    let world = people();
    let plain = world.plan("b");
    let (text, people) = sealed(&world);
    let [ann, bob, eve] = &people;
    let masked = field(&text, "masked_hash");
    assert_eq!(rehashed(&text), text, "the documented hash of what is seen");

    // Nothing of a secret is in the file, nor what would tell one to who tries all it could be.
    no_canary("sealed.json", &text);
    let mut digests = vec![plain.hash()];
    for entry in plain.entries() {
        let sensitive = entry["table"] != "places";
        digests.extend(
            entry["expect"]
                .as_str()
                .filter(|_| sensitive)
                .map(str::to_owned),
        );
    }
    for f in plain.json()["fragments"].as_array().unwrap() {
        if f["table"] != "places" {
            digests.extend(["sha256", "etag"].map(|d| f[d].as_str().unwrap().to_owned()));
        }
    }
    assert!(digests.len() > 6, "{digests:?}");
    for digest in digests {
        assert!(!text.contains(&digest), "{digest}");
    }
    assert!(text.contains("\"Lyon\"") && text.contains("\"name\":[\"Ann\",\"Anne\"]"));
    let again = seal(&world, &people);
    assert_ne!(
        field(&again, "plan_hash"),
        field(&text, "plan_hash"),
        "nobody can guess it"
    );
    world.write("sealed.json", &text);

    let own = field(&text, "plan_hash");
    // People see the same with a key and without; only the first can verify the plan's own hash.
    for format in [
        &["--all"][..],
        &["--format", "markdown"],
        &["--format", "html"],
        &["--format", "json"],
    ] {
        let show = |more: &[&str]| {
            let args = [&["show", "sealed.json"], format, more].concat();
            let run = world.loader(&args).ok();
            no_canary("show", &run.stdout);
            run.stdout
        };
        let (closed, open) = (show(&[]), show(&["--identity", "ann.key"]));
        if format == ["--format", "json"] {
            continue; // its digests stand for others
        }
        assert!(
            closed.contains(&ann.public) && closed.contains(&masked["sha256:".len()..]),
            "{closed}"
        );
        let of_entries = |text: &str| {
            let text = text.replace("What is shown was verified", "\n");
            let heads = ["| table |", "  table ", "<th scope=\"col\">Table"];
            let at = heads.iter().find_map(|h| text.find(h)).unwrap();
            // Who has a key sees the plan's own hash, everybody else that of what is seen; decisions are for it.
            let text = text[at..].replace(&masked, &own);
            let lines = text.lines();
            let lines = lines.filter(|line| !line.starts_with("Plan `sha256:"));
            lines.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(of_entries(&closed), of_entries(&open));
        assert!(open.contains(&field(&text, "plan_hash")));
    }
    world
        .loader(&["show", "sealed.json"])
        .ok()
        .says(&format!("--identity FILE --approve {masked}"));

    // Without a key, or with another's, nothing is done.
    for args in [
        vec!["apply", "sealed.json", "--force"],
        vec!["apply", "sealed.json", "--approve", &masked],
        vec!["check", "sealed.json"],
        vec!["show", "sealed.json", "sealed.json"],
    ] {
        world
            .writes_nothing(|| world.loader(&args))
            .exits(6)
            .says(&bob.public)
            .says("--identity FILE");
        if args[0] != "show" {
            let args = [&args[..], &["--identity", eve.name]].concat();
            let refused = world.writes_nothing(|| world.loader(&args)).exits(6);
            refused
                .says("eve.key does not open the plan")
                .says(&ann.public);
        }
    }
    world
        .loader(&["apply", "sealed.json", "--force", "--json"])
        .exits(6)
        .says("\"reason\":\"plan_refused\"");
    let key = eve.secret.to_string();
    for (name, content, why) in [
        (
            "torn.key",
            &key.expose_secret()[..60],
            "torn.key, line 1: not a secret key",
        ),
        (
            "empty.key",
            "# nothing\n",
            "empty.key has no secret key in it",
        ),
        (
            "locked.key",
            "age-encryption.org/v1\n-> scrypt",
            "locked.key is itself encrypted",
        ),
    ] {
        world.write(name, content);
        let refused = world
            .loader(&["check", "sealed.json", "--identity", name])
            .exits(1)
            .says(why);
        let tail = content.get(20..).unwrap_or("\0");
        assert!(!refused.stderr.contains(tail), "{refused:?}");
    }
    world
        .loader(&["check", "sealed.json", "--identity", "nowhere.key"])
        .exits(1)
        .says("nowhere.key: cannot read the identity");

    // It does what the plain plan does; either hash approves it.
    world
        .loader(&["check", "sealed.json", "--identity", "bob.key"])
        .ok()
        .says("would apply now");
    let wrong = [
        "apply",
        "sealed.json",
        "--identity",
        "bob.key",
        "--approve",
        &plain.hash(),
    ];
    world.loader(&wrong).exits(5);
    world.set("LOADER_IDENTITY", "bob.key");
    world
        .loader(&["apply", "sealed.json", "--approve", &masked])
        .ok();
    let people_now = world.rows("SELECT * FROM people ORDER BY 1");
    assert!(
        people_now.iter().any(|r| r.contains("canary-4@x")),
        "{people_now:?}"
    );
    let history = world.loader(&["history", "--json"]).ok();
    assert_eq!(
        history.json()["applications"][0]["plan_hash"],
        field(&text, "plan_hash")
    );
    world
        .loader(&["apply", "sealed.json", "--force"])
        .ok()
        .says("Applied already");
    assert_eq!(
        world.plan("b").count("insert") + world.plan("b").count("update"),
        0
    );

    // A rollback is a plan like any other.
    let undo = [
        "rollback",
        "--batch-id",
        "b",
        "--out",
        "undo.json",
        "--recipient",
        &ann.public,
    ];
    world.loader(&undo).ok();
    let undo = std::fs::read_to_string(world.path("undo.json")).unwrap();
    no_canary("undo.json", &undo);
    assert!(undo.contains("\"action\":\"delete\""));
    world
        .loader(&["apply", "undo.json", "--force"])
        .exits(6)
        .says("bob.key does not open the plan");
    world.set("LOADER_IDENTITY", "ann.key");
    world
        .loader(&[
            "apply",
            "undo.json",
            "--approve",
            &field(&undo, "plan_hash"),
        ])
        .ok();
    assert_eq!(world.value("SELECT count(*) FROM people"), "3");
    // A key in the environment does not stand in the way of plans that are not sealed.
    world.apply(&plain).ok();
}

#[test]
fn nothing_of_a_sealed_plan_can_be_changed() {
    let world = people();
    let (text, people) = sealed(&world);
    let ann = &people[0];
    let refused = |changed: &str, open: bool, why: &str| {
        world.write("changed.json", changed);
        let mut args = vec!["check", "changed.json", "--identity", ann.name];
        if !open {
            args = vec!["show", "changed.json"];
        }
        world.loader(&args).exits(6).says(why);
    };
    let swap = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        changed
    };
    let edits = [
        swap("\"Lyon\"", "\"Nice\""),
        swap("\"reject\"", "\"block\""),
        swap("•••", "•••0"),
        swap("\"kind\":\"immutable_field\"", "\"kind\":\"check_failed\""),
    ];
    for edit in &edits {
        // Everybody notices a careless change, and who has a key a careful one.
        refused(edit, false, "was changed after it was made");
        refused(edit, true, "was changed after it was made");
        let careful = rehashed(edit);
        world.write("changed.json", &careful);
        world.loader(&["show", "changed.json"]).ok();
        refused(
            &careful,
            true,
            "what the plan shows is not what is sealed in it",
        );
        world
            .writes_nothing(|| {
                world.loader(&["apply", "changed.json", "--force", "--identity", ann.name])
            })
            .exits(6);
    }
    let hash = field(&text, "plan_hash");
    let other = format!("sha256:{}", "0".repeat(64));
    refused(
        &rehashed(&text.replace(&hash, &other)),
        true,
        "what the plan shows is not what is sealed",
    );

    // What is sealed: one byte of it, another's, cut off, or none.
    let plan: Value = serde_json::from_str(&text).unwrap();
    let cipher: Vec<&str> = plan["sealed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l.as_str().unwrap())
        .collect();
    assert!(cipher.len() > 2, "more than a line");
    let with = |bytes: &[u8]| {
        let start = text.find("\"sealed\": [").unwrap();
        let lines: Vec<String> = bytes
            .chunks(3072)
            .map(|c| format!("\n\"{}\"", BASE64.encode(c)))
            .collect();
        rehashed(&format!(
            "{}\"sealed\": [{}\n]\n}}\n",
            &text[..start],
            lines.join(",")
        ))
    };
    let bytes: Vec<u8> = cipher
        .iter()
        .flat_map(|l| BASE64.decode(l).unwrap())
        .collect();
    assert_eq!(with(&bytes), text);
    for at in [30, 120, 400, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let changed = with(&changed);
        world.write("changed.json", &changed);
        world.loader(&["show", "changed.json"]).ok();
        refused(&changed, true, "changed.json: ");
    }
    refused(
        &with(&bytes[..bytes.len() - 1]),
        true,
        "was changed or is damaged",
    );
    refused(&with(&[]), true, "was changed or is damaged");
    let for_ann = age::x25519::Identity::to_public(&ann.secret);
    let junk = age::encrypt(&for_ann, b"{}").unwrap();
    refused(&with(&junk), true, "not a plan that this version reads");
    let mine = age::encrypt(&for_ann, text.as_bytes()).unwrap();
    refused(&with(&mine), true, "is not a plain plan");
    let another = seal(&world, &people);
    let start = another.find("\"sealed\": [").unwrap();
    let mixed = format!(
        "{}{}",
        &text[..text.find("\"sealed\": [").unwrap()],
        &another[start..]
    );
    world.write("changed.json", rehashed(&mixed));
    world
        .loader(&["check", "changed.json", "--identity", "ann.key"])
        .exits(6)
        .says("what the plan shows is not what is sealed");

    // The frame.
    for (from, to) in [
        ("\"masked_hash\"", "\"masked\""),
        ("\"recipients\"", "\"notes\""),
        ("\"header\": {", "\"header\": {\n\"salt\": \"x\","),
        ("\"recipients\": [\"age1", "\"recipients\": [\"<b>age1"),
    ] {
        refused(&swap(from, to), false, "not a plan that this version reads");
    }
}

/// What is sealed is the plan itself, and the age tool opens it:
/// `jq -r '.sealed[]' plan.json | base64 -d | age -d -i KEY`.
#[test]
fn what_is_sealed_is_the_plan_itself() {
    let world = people();
    let (text, [ann, ..]) = sealed(&world);
    let plan: Value = serde_json::from_str(&text).unwrap();
    let lines: Vec<&str> = plan["sealed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l.as_str().unwrap())
        .collect();
    let bytes: Vec<u8> = lines
        .iter()
        .flat_map(|l| BASE64.decode(l).unwrap())
        .collect();
    let plain = age::decrypt(&ann.secret, &bytes).unwrap();
    world.write("plain.json", &plain);
    assert!(String::from_utf8(plain).unwrap().contains("canary-4@x"));
    world
        .loader(&[
            "apply",
            "plain.json",
            "--approve",
            &field(&text, "plan_hash"),
        ])
        .ok();
    world
        .loader(&["apply", "sealed.json", "--force", "--identity", "ann.key"])
        .ok()
        .says("Applied already");
}

#[test]
fn keys_that_are_none_are_named_and_secret_ones_are_not() {
    let world = people();
    let ann = Person::new(&world, "ann.key");
    let secret = ann.secret.to_string();
    let plan = |recipient: &str| {
        world.loader(&[
            "plan",
            "--batch-id",
            "b",
            "--out",
            "p.json",
            "--recipient",
            recipient,
        ])
    };
    let refused = plan(secret.expose_secret()).exits(1).says("a secret key");
    assert!(!refused.stderr.contains(secret.expose_secret()));
    plan("age1nonsense")
        .exits(1)
        .says("\"age1nonsense\" is not a recipient");
    plan("").exits(1);
    world.write("none.txt", "# nobody\n");
    world
        .loader(&["plan", "--batch-id", "b", "--recipients-file", "none.txt"])
        .exits(1)
        .says("none.txt: there is no recipient in it");
    world
        .loader(&["plan", "--batch-id", "b", "--recipients-file", "no.txt"])
        .exits(1)
        .says("no.txt: cannot read the recipients");
    assert!(!world.path("p.json").exists());
    world
        .loader(&["rollback", "--batch-id", "b", "--recipient", &ann.public])
        .exits(1)
        .says("--out");

    // Where nothing is sensitive, nothing is encrypted, and it says so.
    world.deliver("places", "places.json", r#"[{"place": "P9"}]"#);
    let made = world
        .loader(&["plan", "--batch-id", "places", "--recipient", &ann.public])
        .ok();
    assert!(made.stderr.contains("nothing is encrypted"), "{made:?}");
    assert!(!made.stdout.contains("sealed"));
}

/// What a delivery is all of may be a sensitive value.
#[test]
fn the_scope_of_a_complete_delivery_is_not_shown_either() {
    let world = World::new(
        "CREATE TABLE t (k text PRIMARY KEY, phone text); INSERT INTO t VALUES ('old', 'SECRETPHONE'), ('other', 'x')",
        "t: {natural_key: [k], sensitive: [phone], complete: {where: {phone: SECRETPHONE}}, limits: {delete: 5}}",
    );
    world.deliver("b", "t/1.csv", "k,phone\nnew,SECRETPHONE\n");
    let plan = world.plan("b");
    assert!(plan.text.contains("SECRETPHONE"), "a plain plan has it");
    let (text, people) = sealed(&world);
    assert!(!text.contains("SECRETPHONE"), "{text}");
    for name in [plan.name(), "sealed.json"] {
        for format in ["text", "markdown", "html", "json", "csv"] {
            let shown = world.loader(&["show", name, "--format", format]).ok();
            assert!(
                !shown.stdout.contains("SECRETPHONE"),
                "{format}: {}",
                shown.stdout
            );
        }
    }
    let masked = field(&text, "masked_hash");
    world
        .loader(&[
            "apply",
            "sealed.json",
            "--identity",
            people[0].name,
            "--approve",
            &masked,
        ])
        .ok();
    assert_eq!(world.rows("SELECT k FROM t ORDER BY 1"), ["new", "other"]);
    for command in [
        &["history", "--json"][..],
        &["audit", "--batch-id", "b", "--json"],
    ] {
        let said = world.loader(command).ok();
        assert!(!said.stdout.contains("SECRETPHONE"), "{}", said.stdout);
    }
    assert_eq!(
        world.value("SELECT count(*) FROM loader_ledger WHERE tables::text LIKE '%SECRETPHONE%'"),
        "0"
    );
}

/// Its hash is another each time it is made: a page and a workbook say so, and ask for no decisions.
#[test]
fn nobody_is_asked_for_decisions_that_cannot_be_used() {
    let world = people();
    sealed(&world);
    for identity in [&[][..], &["--identity", "ann.key"]] {
        let show = [&["show", "sealed.json", "--format", "html"], identity].concat();
        let page = world.loader(&show).ok().stdout;
        assert!(page.contains("Rows of an encrypted plan are not decided about"));
        assert!(page.contains("aria-label=\"Decisions\" hidden"));
    }
}

/// Who is told how to apply a plan again can do as told: with a key where one is needed, whatever the file is called.
#[test]
fn what_applies_an_encrypted_plan_again_is_a_command_with_a_key() {
    let world = people();
    let (_, [ann, ..]) = sealed(&world);
    let name = "my plans/b.json";
    world.write(name, std::fs::read(world.path("sealed.json")).unwrap());
    let key = ["--identity", "ann.key"];
    let apply = ["apply", name, "--force"];
    world.loader(&[&apply[..], &key].concat()).ok();
    let undo = ["rollback", "--batch-id", "b", "--recipient", &ann.public];
    let undo = [&undo[..], &["--out", "undo.json"]].concat();
    world.loader(&undo).ok();
    let apply = ["apply", "undo.json", "--force"];
    world.loader(&[&apply[..], &key].concat()).ok();
    let again = "loader apply 'my plans/b.json' --identity FILE --again ";
    world.loader(&["pending", "my plans"]).ok().says(again);
    world
        .loader(&[&["check", name][..], &key].concat())
        .ok()
        .says(again);
}

/// What was called sensitive only after a load is so for its rollback, too.
#[test]
fn a_rollback_hides_what_became_sensitive_since_the_load() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, ssn text, c text GENERATED ALWAYS AS (ssn || '!') STORED); \
         INSERT INTO t VALUES (1, 'canary-old')",
        "t: {natural_key: [id]}",
    );
    world.deliver("b", "t/1.json", r#"[{"id": 1, "ssn": "canary-new"}]"#);
    world.apply(&world.plan("b")).ok();
    world.configure("t: {natural_key: [id], sensitive: [ssn]}");
    let ann = Person::new(&world, "ann.key");
    let undo = ["rollback", "--batch-id", "b"];
    world
        .loader(&[&undo[..], &["--out", "open.json"]].concat())
        .ok();
    let shown = world.loader(&["show", "open.json", "--all"]).ok();
    no_canary("show", &shown.stdout);
    assert!(shown.stdout.contains("•••"), "{shown}");
    let seal = [
        &undo[..],
        &["--out", "sealed.json", "--recipient", &ann.public],
    ]
    .concat();
    let told = world.loader(&seal).ok();
    no_canary("rollback", &format!("{told}"));
    no_canary(
        "the sealed plan",
        &std::fs::read_to_string(world.path("sealed.json")).unwrap(),
    );
    world.sql("UPDATE t SET ssn = 'canary-late'");
    let refused = world.loader(&[&undo[..], &["--force"]].concat()).exits(3);
    no_canary("a refusal", &format!("{refused}"));
    world.sql("UPDATE t SET ssn = 'canary-new'");
    let done = world.loader(&[&undo[..], &["--force"]].concat()).ok();
    no_canary("a rollback", &format!("{done}"));
    assert_eq!(world.rows("SELECT ssn FROM t"), ["canary-old"]);
}
