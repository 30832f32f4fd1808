use super::*;
use crate::table::config::Config;

const RULES: [(&str, bool, bool); 5] = [
    // name, immutable, not null
    ("id", false, true),
    ("sex", false, false),
    ("site", false, true),
    ("created_by", true, false),
    ("deleted_at", false, false),
];

fn rules(config: &TableConfig) -> Vec<Rule> {
    RULES
        .iter()
        .map(|(name, immutable, not_null)| Rule {
            name: (*name).into(),
            immutable: *immutable,
            not_null: *not_null,
            required: *name == "id",
            wins: Wins::of(name, Mark::Time, config),
        })
        .collect()
}

/// `given` and `current` are words for sex, site, created_by: `-` absent, `null`, or a value.
fn check(config: &str, given: &str, current: Option<&str>, expect: &str) {
    let text = format!("t: {{natural_key: [id], immutable_fields: [created_by], {config}}}");
    let config = Config::parse("t", &text).unwrap().tables["t"].clone();
    let mut values = vec![Given::Value("1")];
    values.extend(given.split(' ').map(|w| match w {
        "-" => Given::Absent,
        "blank" => Given::Blank,
        "null" => Given::Null,
        v => Given::Value(v),
    }));
    values.push(Given::Absent);
    let row = current.map(|c| {
        let deleted = c.starts_with('!');
        let mut row = vec![Some("1")];
        row.extend(
            c.trim_start_matches('!')
                .split(' ')
                .map(|w| (w != "null").then_some(w)),
        );
        row.push(deleted.then_some("2024-01-01"));
        Current {
            values: row,
            digest: "d",
            deleted,
        }
    });
    let d = decide(&config, &rules(&config), &values, row.as_ref(), vec![]);
    let mut got = match d.fate {
        Fate::Insert => "insert".to_owned(),
        Fate::Update { set, revives } => {
            let set: Vec<String> = set
                .iter()
                .map(|(i, v)| format!("{}={}", RULES[*i].0, v.as_deref().unwrap_or("null")))
                .collect();
            let verb = if revives { "revive" } else { "update" };
            format!("{verb} {}", set.join(" "))
        }
        Fate::Delete => "delete".to_owned(),
        Fate::Skip(s) => format!("skip {}", s.reason()),
        Fate::LeaveOut => "out".to_owned(),
    };
    for v in d.violations {
        got += &format!(
            "; {:?} {} {}",
            v.effect,
            v.kind.word(),
            v.field.unwrap_or_default()
        );
    }
    assert_eq!(got, expect, "{text} given {given} current {current:?}");
}

#[test]
fn the_table_of_the_specification() {
    let upsert = "update_strategy: upsert";
    let insert_only = "update_strategy: insert_only";
    let update_only = "update_strategy: update_only";
    for strategy in [upsert, insert_only] {
        check(strategy, "F x me", None, "insert");
        check(strategy, "null - -", None, "insert");
    }
    check(update_only, "F x me", None, "skip missing");
    check(insert_only, "M x me", Some("F x me"), "skip exists");
    for strategy in [upsert, update_only] {
        let merge = &format!("{strategy}, conflict_resolution: merge");
        let replace = &format!("{strategy}, conflict_resolution: replace");
        let skip = &format!("{strategy}, conflict_resolution: skip");
        check(skip, "M x me", Some("F x me"), "skip conflict");
        check(merge, "M x me", Some("F x me"), "update sex=M");
        check(merge, "null x me", Some("F x me"), "skip unchanged");
        check(merge, "- - -", Some("F x me"), "skip unchanged");
        check(merge, "F x -", Some("null x me"), "update sex=F");
        check(
            replace,
            "null y me",
            Some("F x me"),
            "update sex=null site=y",
        );
        check(replace, "- y -", Some("F x me"), "update site=y");
        check(replace, "F x me", Some("F x me"), "skip unchanged");
        check(replace, "null x null", Some("null x me"), "skip unchanged");
    }
}

#[test]
fn an_empty_cell_where_null_cannot_be() {
    let replace = "conflict_resolution: replace";
    for config in ["conflict_resolution: merge", replace] {
        check(config, "F blank me", None, "insert");
    }
    check(
        "conflict_resolution: merge",
        "F blank me",
        Some("F x me"),
        "skip unchanged",
    );
    check(
        replace,
        "F blank me",
        Some("F x me"),
        "out; Block null_value site",
    );
}

#[test]
fn immutable_columns() {
    let block = "on_immutable: block";
    let of = "immutable_field created_by";
    check(
        block,
        "M x you",
        Some("F x me"),
        &format!("out; Block {of}"),
    );
    check(
        "on_immutable: reject",
        "M x you",
        Some("F x me"),
        &format!("out; Reject {of}"),
    );
    let keep = "on_immutable: keep";
    check(
        keep,
        "M x you",
        Some("F x me"),
        &format!("update sex=M; Keep {of}"),
    );
    check(
        keep,
        "F x you",
        Some("F x me"),
        &format!("skip unchanged; Keep {of}"),
    );
    check(block, "M x you", None, "insert");
    check(block, "M x null", Some("F x me"), "update sex=M");
    check(
        "conflict_resolution: replace",
        "F x null",
        Some("F x me"),
        "skip unchanged",
    );
    check(
        block,
        "F x you",
        Some("F x null"),
        &format!("out; Block {of}"),
    );
    check(
        "update_strategy: insert_only",
        "F x you",
        Some("F x me"),
        "skip exists",
    );
}

#[test]
fn nulls_where_none_may_be() {
    check("", "F null me", None, "out; Block null_value site");
    check(
        "on_invalid: reject",
        "F null me",
        None,
        "out; Reject null_value site",
    );
    check("", "F - me", None, "insert");
    check("", "F null me", Some("F x me"), "skip unchanged");
    let replace = "conflict_resolution: replace";
    check(
        replace,
        "F null me",
        Some("F x me"),
        "out; Block null_value site",
    );
}

#[test]
fn marked_rows_are_revived() {
    let soft = "soft_delete: true";
    check(soft, "F x me", Some("!F x me"), "revive deleted_at=null");
    check(
        soft,
        "M x me",
        Some("!F x me"),
        "revive sex=M deleted_at=null",
    );
    check(
        "soft_delete: true, update_strategy: insert_only",
        "F x me",
        Some("!F x me"),
        "skip exists",
    );
    check(
        "soft_delete: true, conflict_resolution: skip",
        "F x me",
        Some("!F x me"),
        "skip conflict",
    );
    check(
        "soft_delete: true, update_strategy: update_only",
        "F x me",
        Some("!F x me"),
        "revive deleted_at=null",
    );
}
