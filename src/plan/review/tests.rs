use super::*;
use crate::ErrorKind;

const HASH: &str = "sha256:0123";

fn file(reviewer: &str, decisions: &[(&str, &str, &str)]) -> (String, Review) {
    let decisions = decisions.iter().map(|(key, verdict, comment)| {
        serde_json::json!({"table": "customers", "key": {"no": key}, "decision": verdict,
            "comment": comment, "from": [format!("b/{key}.json#1")]})
    });
    let json = serde_json::json!({"format": FORMAT, "plan_hash": HASH, "reviewer": reviewer,
        "decisions": decisions.collect::<Vec<_>>()});
    let name = format!("{}.json", reviewer.to_lowercase());
    let review = Review::parse(&name, &json.to_string()).unwrap();
    (name, review)
}

#[track_caller]
fn refused(files: Vec<(String, Review)>, kind: ErrorKind, says: &[&str]) {
    let e = Decisions::join(files).unwrap_err();
    assert_eq!(e.kind(), kind);
    for text in says {
        assert!(e.to_string().contains(text), "{e}");
    }
}

#[test]
fn a_file_is_read_strictly() {
    let whole = r#"{"format": "table-loader-decisions/1", "plan_hash": "sha256:1", "reviewer": " Ada ",
        "decisions": [{"table": "t", "key": {"a": null}, "decision": "leave_out", "comment": " "}]}"#;
    let review = Review::parse("f", &format!("\u{feff}{whole}")).unwrap();
    assert_eq!(review.reviewer, "Ada");
    assert_eq!(review.decisions[0].comment, None);
    let json = serde_json::to_string(&review).unwrap();
    assert_eq!(Review::parse("f", &json).unwrap(), review);
    for (from, to, says) in [
        (
            "\"sha256:1\",",
            "\"sha256:1\", \"colour\": 1,",
            "unknown field `colour`",
        ),
        (
            "\"table\": \"t\"",
            "\"table\": \"t\", \"row\": 1",
            "unknown field `row`",
        ),
        (
            "{\"a\": null}",
            "{\"a\": \"1\", \"a\": \"2\"}",
            "the key `a` stands twice",
        ),
        ("\"leave_out\"", "\"drop\"", "unknown variant `drop`"),
        (
            "decisions/1",
            "decisions/2",
            "this version reads table-loader-decisions/1",
        ),
        ("\" Ada \"", "\" \"", "nobody is named as its reviewer"),
        ("\" Ada \"", "\"A\\nB\"", "must be one line"),
        (
            "\"comment\": \" \"",
            "\"comment\": \"\\u0000\"",
            "t a=null: the comment must",
        ),
        (
            "\"plan_hash\": \"sha256:1\",",
            "",
            "missing field `plan_hash`",
        ),
    ] {
        let wrong = whole.replace(from, to);
        assert_ne!(wrong, whole, "{from}");
        let e = Review::parse("f.json", &wrong).unwrap_err();
        assert!(e.to_string().starts_with("f.json: "), "{e}");
        assert!(e.to_string().contains(says), "{e}");
    }
    let e = Review::parse("f.json", "\u{feff}\n").unwrap_err();
    assert!(e.to_string().contains("the file is empty"), "{e}");
    for text in ["", "[]", "{", "[[[[", "null", "\u{0}"] {
        Review::parse("f", text).unwrap_err();
    }
}

#[test]
fn reviewers_who_agree_are_joined() {
    let ada = file(
        "Ada",
        &[("C-1", "leave_out", "withdrew"), ("C-2", "accept", "")],
    );
    let ben = file("Ben", &[("C-1", "leave_out", "no consent")]);
    let joined = Decisions::join(vec![ada, ben]).unwrap().remove(0);
    assert_eq!(joined.plan_hash(), HASH);
    let left_out: Vec<String> = joined
        .subjects()
        .map(|(subject, why)| match why {
            Some(why) => format!("{subject}: {why}"),
            None => format!("{subject}: stays"),
        })
        .collect();
    assert_eq!(
        left_out,
        [
            "customers no=C-1 (b/C-1.json#1): left out by name: withdrew; no consent (Ada, Ben)",
            "customers no=C-2 (b/C-2.json#1): stays",
        ]
    );
}

#[test]
fn reviewers_who_disagree_are_named() {
    let ada = file("Ada", &[("C-1", "leave_out", "withdrew")]);
    let ben = file("Ben", &[("C-1", "accept", "")]);
    let says = "1 row is decided differently:\n  customers no=C-1 (b/C-1.json#1): \
        Ada says leave_out (ada.json: withdrew), Ben says accept (ben.json)";
    refused(vec![ada.clone(), ben], ErrorKind::NotApproved, &[says]);
    // A question beside a decision is no agreement.
    let cleo = file("Cleo", &[("C-1", "question", "sure?")]);
    let says = "Cleo says question (cleo.json: sure?)";
    refused(
        vec![ada.clone(), cleo],
        ErrorKind::NotApproved,
        &["decided differently", says],
    );
    // Nor is one file that says two things.
    let (name, mut twice) = ada;
    let mut other = twice.decisions[0].clone();
    other.decision = Verdict::Accept;
    twice.decisions.push(other);
    refused(
        vec![(name, twice)],
        ErrorKind::NotApproved,
        &["decided differently"],
    );
}

#[test]
fn open_questions_are_named() {
    let rows: Vec<String> = (0..12).map(|i| format!("C-{i:02}")).collect();
    let rows: Vec<(&str, &str, &str)> =
        rows.iter().map(|r| (r.as_str(), "question", "?")).collect();
    let says = ["12 questions are open:\n  customers no=C-00", "and 2 more"];
    refused(vec![file("Ada", &rows)], ErrorKind::NotApproved, &says);
    refused(
        vec![file("Ada", &rows[..1])],
        ErrorKind::NotApproved,
        &["ada.json: 1 question is open:"],
    );
}

#[test]
fn decisions_about_two_plans_are_not_joined() {
    let ada = file("Ada", &[]);
    let (name, mut other) = file("Ben", &[]);
    other.plan_hash = "sha256:4567".into();
    let joined = Decisions::join(vec![ada.clone(), (name, other), ada]).unwrap();
    let joined: Vec<_> = joined.iter().map(|d| (d.plan_hash(), d.files())).collect();
    assert_eq!(
        joined,
        [
            (HASH.to_owned(), "ada.json, ada.json"),
            ("sha256:4567".to_owned(), "ben.json")
        ]
    );
}
