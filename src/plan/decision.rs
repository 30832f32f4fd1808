//! What becomes of one record: the table of the README, and nothing else.

use crate::plan::{Effect, Fingerprint, Skip, Violation, ViolationKind};
use crate::table::config::{OnImmutable, OnInvalid, OnOlder, Resolution, Strategy, TableConfig};
use crate::table::mark::Mark;
use crate::table::schema::Column;

/// What a record says about one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given<'a> {
    /// Nothing.
    Absent,
    /// An empty cell of a column of which null cannot be said in a new row: its default there, and
    /// null in an existing row.
    Blank,
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
    /// Whether it may be set on insert only.
    pub immutable: bool,
    /// Whether it refuses null.
    pub not_null: bool,
    /// Whether an insert must give it.
    pub required: bool,
    /// When a field wins over the row's value.
    pub wins: Wins,
}

impl Rule {
    /// The rule of one column of a table.
    pub fn of(column: &Column, config: &TableConfig) -> Rule {
        Rule {
            name: column.name.clone(),
            immutable: config.immutable_fields.contains(&column.name),
            not_null: column.not_null,
            required: column.required() && !config.is_stamp(&column.name),
            wins: Wins::of(&column.name, Mark::of(column).unwrap_or(Mark::Time), config),
        }
    }

    /// Why an insert with this field is missing a value, where it is.
    fn missing(&self, given: Given<'_>) -> Option<&'static str> {
        match given {
            Given::Null if self.not_null => Some("null, and the column does not allow it"),
            Given::Absent if self.required => {
                Some("not given, and the column has no default and does not allow null")
            }
            _ => None,
        }
    }

    /// The SQL condition that an insert with this field is missing a value; `None` where none ever is.
    pub fn missing_sql(&self, field: &Field) -> Option<String> {
        let Field { given, value, .. } = field;
        if self.required {
            Some(format!("{value} IS NOT DISTINCT FROM NULL"))
        } else if self.not_null {
            Some(format!("{value} IS NOT DISTINCT FROM NULL AND {given}"))
        } else {
            None
        }
    }
}

/// When a field of a record wins over the value that the row has in its column. The decision asks
/// it of each record; what the database has to know beforehand is generated from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wins {
    /// Never: a row keeps its natural key.
    Never,
    /// Never: it is set in new rows alone.
    InNewRow,
    /// Where it is given, null included.
    Given,
    /// Where it is given and not null.
    NotNull,
    /// As [`Wins::NotNull`]; and without a value, what a row that lives holds wins over the mark of a
    /// deleted one.
    Revives(Mark),
}

/// A field of a record, and the row's value in its column, as SQL.
#[derive(Debug, Clone)]
pub struct Field {
    /// The condition that the record gives it, for a new row or an existing one: see [`Given::Blank`].
    pub given: String,
    /// Its value; null where it is not given.
    pub value: String,
    /// The value of the row.
    pub row: String,
}

impl Wins {
    /// Of the fields for this column, which marks rows so if it does.
    pub fn of(column: &str, mark: Mark, config: &TableConfig) -> Wins {
        let is = |name: &String| name == column;
        match config.conflict_resolution {
            _ if config.natural_key.iter().any(is) => Wins::Never,
            _ if config.insert_only_fields.iter().any(is) => Wins::InNewRow,
            _ if config.soft_delete.column() == Some(column) => Wins::Revives(mark),
            _ if config.immutable_fields.iter().any(is) => Wins::NotNull,
            Resolution::Replace => Wins::Given,
            Resolution::Merge | Resolution::Skip => Wins::NotNull,
        }
    }

    /// What wins over the row's value; `None` where the row keeps its own. `deleted` says that the
    /// row is marked.
    pub fn over<'g>(self, given: Given<'g>, deleted: bool) -> Option<Option<&'g str>> {
        match (self, given) {
            (Wins::Never | Wins::InNewRow, _) => None,
            (_, Given::Value(value)) => Some(Some(value)),
            (Wins::Given, Given::Null | Given::Blank) => Some(None),
            (Wins::Revives(mark), _) if deleted => Some(mark.alive()),
            _ => None,
        }
    }

    /// The SQL condition that the field's value, or without one what [`Wins::value`] gives, wins over
    /// the row's.
    pub fn sql(self, field: &Field) -> String {
        let Field { given, value, row } = field;
        match self {
            Wins::Never | Wins::InNewRow => "false".into(),
            Wins::Given => given.clone(),
            Wins::NotNull => format!("{value} IS DISTINCT FROM NULL"),
            Wins::Revives(mark) => {
                format!("{value} IS DISTINCT FROM NULL OR {}", mark.deleted(row))
            }
        }
    }

    /// What a row holds when the field has won, as SQL.
    pub fn value(self, field: &Field) -> String {
        match self {
            Wins::Revives(mark) => mark.or_alive(&field.value),
            _ => field.value.clone(),
        }
    }
}

/// Why a record changes nothing, whatever its fields say. `found` says that it has a row.
fn skipped(config: &TableConfig, found: bool) -> Option<Skip> {
    match (found, config.update_strategy, config.conflict_resolution) {
        (false, Strategy::UpdateOnly, _) => Some(Skip::Missing),
        (true, Strategy::InsertOnly, _) => Some(Skip::Exists),
        (true, _, Resolution::Skip) => Some(Skip::Conflict),
        _ => None,
    }
}

/// The SQL condition that a record inserts or updates a row. `found` and `absent` say whether it
/// has one.
pub fn writes_sql(config: &TableConfig, found: &str, absent: &str) -> String {
    let writes = |found| skipped(config, found).is_none();
    match (writes(true), writes(false)) {
        (true, true) => "true".into(),
        (true, false) => found.into(),
        (false, true) => absent.into(),
        (false, false) => "false".into(),
    }
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
pub enum Fate {
    /// Insert the given columns.
    Insert,
    /// Change these columns.
    Update {
        /// Each with its new value.
        set: Vec<(usize, Option<String>)>,
        /// Whether the row was marked as deleted.
        revives: bool,
    },
    /// Delete the row.
    Delete,
    /// Change nothing.
    Skip(Skip),
    /// Do nothing, because a violation forbids it.
    LeaveOut,
}

/// What is decided, and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub fate: Fate,
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
    let action = match (skipped(config, current.is_some()), current) {
        (Some(skip), _) => Fate::Skip(skip),
        (None, Some(row)) => update(config, rules, given, row, &mut found),
        (None, None) => insert(config, rules, given, &mut found),
    };
    let left_out = found.iter().any(|v| v.effect != Effect::Keep);
    Decision {
        fate: if left_out { Fate::LeaveOut } else { action },
        violations: found,
    }
}

/// Decides about one record that names a row to be deleted: `found` are the violations known already,
/// `current` is its row.
pub fn decide_delete(
    config: &TableConfig,
    current: Option<&Current<'_>>,
    found: Vec<Violation>,
) -> Decision {
    let left_out = found.iter().any(|v| v.effect != Effect::Keep);
    let fate = match (current, skipped(config, true)) {
        _ if left_out => Fate::LeaveOut,
        (None, _) => Fate::Skip(Skip::Gone),
        (Some(row), _) if row.deleted => {
            Fate::Skip(Skip::Unchanged(Fingerprint(row.digest.to_owned())))
        }
        (Some(_), Some(skip)) => Fate::Skip(skip),
        (Some(_), None) => Fate::Delete,
    };
    Decision {
        fate,
        violations: found,
    }
}

/// The effect of a violation of this kind that was found before anything is decided.
pub fn finding_effect(kind: ViolationKind, config: &TableConfig) -> Effect {
    match (kind, config.on_older) {
        (ViolationKind::RequiredField, _) => Effect::Reject,
        (ViolationKind::OlderRecord, OnOlder::Reject) => Effect::Reject,
        (ViolationKind::OlderRecord, _) => Effect::Block,
        _ => invalid_effect(config),
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
) -> Fate {
    for (rule, value) in rules.iter().zip(given) {
        if let Some(message) = rule.missing(*value) {
            null_value(config, rule, message, None, found);
        }
    }
    Fate::Insert
}

fn update(
    config: &TableConfig,
    rules: &[Rule],
    given: &[Given<'_>],
    row: &Current<'_>,
    found: &mut Vec<Violation>,
) -> Fate {
    let mut set = Vec::new();
    let mut revives = false;
    for (i, rule) in rules.iter().enumerate() {
        let now = row.values[i];
        let Some(new) = rule.wins.over(given[i], row.deleted) else {
            continue;
        };
        revives |= matches!(rule.wins, Wins::Revives(mark) if row.deleted && new == mark.alive());
        if new == now {
            continue;
        }
        if rule.immutable {
            let message = "the column may be set on insert and never changed";
            found.push(Violation {
                field: Some(rule.name.clone()),
                existing: now.map(str::to_owned),
                given: new.map(str::to_owned),
                ..Violation::new(
                    ViolationKind::ImmutableField,
                    immutable_effect(config),
                    message,
                )
            });
        } else if new.is_none() && rule.not_null {
            let message = "null, and the column does not allow it";
            null_value(config, rule, message, now, found);
        } else {
            set.push((i, new.map(str::to_owned)));
        }
    }
    if set.is_empty() {
        Fate::Skip(Skip::Unchanged(crate::plan::Fingerprint(
            row.digest.to_owned(),
        )))
    } else {
        Fate::Update { set, revives }
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
            field: Some(rule.name.clone()),
            existing: existing.map(str::to_owned),
            ..Violation::new(ViolationKind::NullValue, invalid_effect(config), message)
        });
    }
}

#[cfg(test)]
mod generated;
#[cfg(test)]
mod tests;
