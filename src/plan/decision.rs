//! What becomes of one record: the table of SPEC §5, and nothing else.

use crate::plan::{Effect, Skip, Violation, ViolationKind};
use crate::table::config::{OnImmutable, OnInvalid, Resolution, Strategy, TableConfig};

/// What a record says about one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given<'a> {
    /// Nothing.
    Absent,
    /// Null.
    Null,
    /// A value, as PostgreSQL prints it.
    Value(&'a str),
}

/// What the decision needs to know about one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Whether it is in the natural key.
    pub key: bool,
    /// Whether it may be set on insert only.
    pub immutable: bool,
    /// Whether it refuses null.
    pub not_null: bool,
    /// Whether an insert must give it.
    pub required: bool,
    /// Whether it marks deleted rows.
    pub mark: bool,
}

/// The row that a record found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current<'a> {
    /// Its values, one a rule.
    pub values: Vec<Option<&'a str>>,
    /// The digest of the whole row.
    pub digest: &'a str,
    /// Whether it is marked as deleted.
    pub deleted: bool,
}

/// The decision. Columns are indices into the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Insert the given columns.
    Insert,
    /// Change these columns.
    Update {
        /// Each with its new value.
        set: Vec<(usize, Option<String>)>,
        /// Whether the row was marked as deleted.
        revives: bool,
    },
    /// Change nothing.
    Skip(Skip),
    /// Do nothing, because a violation forbids it.
    LeaveOut,
}

/// What is decided, and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// Which rules the record breaks.
    pub violations: Vec<Violation>,
}

/// Decides about one record: `given` has one value a rule, `found` are the violations known
/// already, `current` is its row.
pub fn decide(
    config: &TableConfig,
    rules: &[Rule],
    given: &[Given<'_>],
    current: Option<&Current<'_>>,
    mut found: Vec<Violation>,
) -> Decision {
    let action = match current {
        None if config.update_strategy == Strategy::UpdateOnly => Action::Skip(Skip::Missing),
        None => insert(config, rules, given, &mut found),
        Some(_) if config.update_strategy == Strategy::InsertOnly => Action::Skip(Skip::Exists),
        Some(_) if config.conflict_resolution == Resolution::Skip => Action::Skip(Skip::Conflict),
        Some(row) => update(config, rules, given, row, &mut found),
    };
    let left_out = found.iter().any(|v| v.effect != Effect::Keep);
    Decision {
        action: if left_out { Action::LeaveOut } else { action },
        violations: found,
    }
}

/// The effect of a violation that is not about an immutable column.
pub fn invalid_effect(config: &TableConfig) -> Effect {
    match config.on_invalid {
        OnInvalid::Block => Effect::Block,
        OnInvalid::Reject => Effect::Reject,
    }
}

fn immutable_effect(config: &TableConfig) -> Effect {
    match config.on_immutable {
        OnImmutable::Block => Effect::Block,
        OnImmutable::Reject => Effect::Reject,
        OnImmutable::Keep => Effect::Keep,
    }
}

fn insert(
    config: &TableConfig,
    rules: &[Rule],
    given: &[Given<'_>],
    found: &mut Vec<Violation>,
) -> Action {
    for (rule, value) in rules.iter().zip(given) {
        let message = match value {
            Given::Null if rule.not_null => "null, and the column does not allow it",
            Given::Absent if rule.required => {
                "not given, and the column has no default and does not allow null"
            }
            _ => continue,
        };
        null_value(config, rule, message, None, found);
    }
    Action::Insert
}

fn update(
    config: &TableConfig,
    rules: &[Rule],
    given: &[Given<'_>],
    row: &Current<'_>,
    found: &mut Vec<Violation>,
) -> Action {
    let mut set = Vec::new();
    let mut revives = false;
    for (i, rule) in rules.iter().enumerate() {
        let now = row.values[i];
        let new = match given[i] {
            _ if rule.key => continue,
            Given::Absent | Given::Null if rule.mark && row.deleted => {
                revives = true;
                None
            }
            Given::Absent => continue,
            Given::Null if rule.immutable || config.conflict_resolution == Resolution::Merge => {
                continue;
            }
            Given::Null => None,
            Given::Value(v) => Some(v),
        };
        if new == now {
            continue;
        }
        if rule.immutable {
            found.push(Violation {
                kind: ViolationKind::ImmutableField,
                effect: immutable_effect(config),
                field: Some(rule.name.clone()),
                existing: now.map(str::to_owned),
                given: new.map(str::to_owned),
                message: "the column may be set on insert and never changed".into(),
            });
        } else if new.is_none() && rule.not_null {
            let message = "null, and the column does not allow it";
            null_value(config, rule, message, now, found);
        } else {
            set.push((i, new.map(str::to_owned)));
        }
    }
    if set.is_empty() {
        Action::Skip(Skip::Unchanged(crate::plan::Fingerprint(
            row.digest.to_owned(),
        )))
    } else {
        Action::Update { set, revives }
    }
}

fn null_value(
    config: &TableConfig,
    rule: &Rule,
    message: &str,
    existing: Option<&str>,
    found: &mut Vec<Violation>,
) {
    let known = |v: &Violation| v.field.as_deref() == Some(&rule.name);
    if !found.iter().any(known) {
        found.push(Violation {
            kind: ViolationKind::NullValue,
            effect: invalid_effect(config),
            field: Some(rule.name.clone()),
            existing: existing.map(str::to_owned),
            given: None,
            message: message.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
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

    fn rules() -> Vec<Rule> {
        RULES
            .iter()
            .map(|(name, immutable, not_null)| Rule {
                name: (*name).into(),
                key: *name == "id",
                immutable: *immutable,
                not_null: *not_null,
                required: *name == "id",
                mark: *name == "deleted_at",
            })
            .collect()
    }

    /// `given` and `current` are words for sex, site, created_by: `-` absent, `null`, or a value.
    fn check(config: &str, given: &str, current: Option<&str>, expect: &str) {
        let text = format!("t: {{natural_key: [id], {config}}}");
        let config = Config::parse("t", &text).unwrap().tables["t"].clone();
        let mut values = vec![Given::Value("1")];
        values.extend(given.split(' ').map(|w| match w {
            "-" => Given::Absent,
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
        let d = decide(&config, &rules(), &values, row.as_ref(), vec![]);
        let mut got = match d.action {
            Action::Insert => "insert".to_owned(),
            Action::Update { set, revives } => {
                let set: Vec<String> = set
                    .iter()
                    .map(|(i, v)| format!("{}={}", RULES[*i].0, v.as_deref().unwrap_or("null")))
                    .collect();
                let verb = if revives { "revive" } else { "update" };
                format!("{verb} {}", set.join(" "))
            }
            Action::Skip(s) => format!("skip {}", s.reason()),
            Action::LeaveOut => "out".to_owned(),
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
}
