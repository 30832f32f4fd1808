//! An entry as it stands in the file: one flat object, whose fields are those of its action.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::action::{Action, SkipReason};
use crate::plan::{
    Effect, Entry, Fingerprint, Other, Skip, Value, Values, Violation, ViolationKind, What, Why,
};
use crate::strict::unique_map;

type Pair = (Value, Value);

/// A change, a skip or a violation.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Entry")]
pub(super) struct EntryLine {
    action: Action,
    /// The table's name as configured.
    table: String,
    /// The natural key as the current row spells it, or as given.
    #[serde(deserialize_with = "unique_map")]
    key: Values,
    /// The value of the column by which its table is grouped, where that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    group: Option<String>,
    /// Of an insert: the given columns beside the key. Of a delete: what is lost. Of an update that brings back a
    /// row: what else this holds that is not null. Of a violation: the values that it is about, where they are several.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some_map"
    )]
    #[schemars(with = "Values")]
    values: Option<Values>,
    /// Of an update: column to old and new value.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some_map"
    )]
    #[schemars(with = "BTreeMap<String, Pair>")]
    set: Option<BTreeMap<String, Pair>>,
    /// Of an update: whether it brings back a row that was marked as deleted.
    #[serde(default, skip_serializing_if = "is_false")]
    revives: bool,
    /// Of an update: the columns that its record gives as the row holds them, where triggers could change them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stays: Vec<String>,
    /// Of a delete: whether the row is marked instead of removed.
    #[serde(default, skip_serializing_if = "is_false")]
    soft: bool,
    /// Of a skip: why nothing changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SkipReason")]
    reason: Option<SkipReason>,
    /// Of a violation: which rule is broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ViolationKind")]
    kind: Option<ViolationKind>,
    /// Of a violation: what follows from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Effect")]
    effect: Option<Effect>,
    /// Of a violation: the field it is about, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    field: Option<String>,
    /// Of a violation: the value in the database, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    existing: Option<String>,
    /// Of a violation: the value as given, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    given: Option<String>,
    /// Of a violation, and of a record that is left out by name: why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    message: Option<String>,
    /// Of a record that is left out by name: who said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    by: Option<String>,
    /// Of a violation: whether these words may quote a value of the record or of another row.
    #[serde(default, skip_serializing_if = "is_false")]
    quotes: bool,
    /// Of a violation: an accepted spelling of the value, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    instead: Option<String>,
    /// Of a violation: the other record that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Other")]
    other: Option<Other>,
    /// Of a violation: whether another one of the same record stands before it. Records are counted.
    #[serde(default, skip_serializing_if = "is_false")]
    further: bool,
    /// Of an update, a delete and an unchanged row: the digest of the whole row as it must be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Fingerprint")]
    expect: Option<Fingerprint>,
    /// Of a change: when its record was extracted, in UTC, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    extracted: Option<String>,
    /// Where it comes from: `object#position`, or the application it takes back.
    from: Vec<String>,
}

fn is_false(b: &bool) -> bool {
    !b
}

fn some_map<'de, D, V>(d: D) -> Result<Option<BTreeMap<String, V>>, D::Error>
where
    D: serde::Deserializer<'de>,
    V: Deserialize<'de>,
{
    unique_map(d).map(Some)
}

impl From<Entry> for EntryLine {
    fn from(entry: Entry) -> EntryLine {
        let mut line = EntryLine {
            action: entry.what.action(),
            table: entry.table,
            key: entry.key,
            group: entry.group,
            values: None,
            set: None,
            revives: false,
            stays: Vec::new(),
            soft: false,
            reason: None,
            kind: None,
            effect: None,
            field: None,
            existing: None,
            given: None,
            message: None,
            by: None,
            quotes: false,
            instead: None,
            other: None,
            further: false,
            expect: None,
            extracted: entry.extracted,
            from: entry.from,
        };
        match entry.what {
            What::Insert { values } => line.values = Some(values),
            What::Update {
                set,
                expect,
                revives,
                stays,
            } => {
                line.set = Some(set);
                line.expect = Some(expect);
                line.revives = revives.is_some();
                line.values = revives;
                line.stays = stays;
            }
            What::Delete {
                expect,
                values,
                soft,
            } => {
                line.expect = Some(expect);
                line.values = Some(values);
                line.soft = soft;
            }
            What::Skip(skip) => {
                line.reason = Some(skip.reason());
                match skip {
                    Skip::Unchanged(expect) => line.expect = Some(expect),
                    Skip::LeftOut(why) => (line.message, line.by) = (why.reason, why.by),
                    _ => {}
                }
            }
            What::Violation(v) => {
                line.kind = Some(v.kind);
                line.effect = Some(v.effect);
                line.field = v.field;
                line.existing = v.existing;
                line.given = v.given;
                line.message = Some(v.message);
                line.quotes = v.quotes;
                line.instead = v.instead;
                line.values = (!v.values.is_empty()).then_some(v.values);
                line.other = v.other;
                line.further = v.further;
            }
        }
        line
    }
}

impl TryFrom<EntryLine> for Entry {
    type Error = String;

    /// Takes each field that its action has; what is missing or left over is an error.
    fn try_from(mut line: EntryLine) -> Result<Entry, String> {
        let action = line.action;
        let need = |name: &str| format!("{action} without \"{name}\"");
        let what = match action {
            Action::Insert => What::Insert {
                values: line.values.take().ok_or_else(|| need("values"))?,
            },
            Action::Update => What::Update {
                set: line.set.take().ok_or_else(|| need("set"))?,
                expect: line.expect.take().ok_or_else(|| need("expect"))?,
                revives: match std::mem::take(&mut line.revives) {
                    true => Some(line.values.take().ok_or_else(|| need("values"))?),
                    false => None,
                },
                stays: std::mem::take(&mut line.stays),
            },
            Action::Delete => What::Delete {
                expect: line.expect.take().ok_or_else(|| need("expect"))?,
                values: line.values.take().ok_or_else(|| need("values"))?,
                soft: std::mem::take(&mut line.soft),
            },
            Action::Skip => What::Skip(match line.reason.take().ok_or_else(|| need("reason"))? {
                SkipReason::Unchanged => {
                    Skip::Unchanged(line.expect.take().ok_or_else(|| need("expect"))?)
                }
                SkipReason::Exists => Skip::Exists,
                SkipReason::Conflict => Skip::Conflict,
                SkipReason::Missing => Skip::Missing,
                SkipReason::Duplicate => Skip::Duplicate,
                SkipReason::Superseded => Skip::Superseded,
                SkipReason::Gone => Skip::Gone,
                SkipReason::LeftOut => Skip::LeftOut(Why {
                    reason: line.message.take(),
                    by: line.by.take(),
                }),
                SkipReason::EditedSince => Skip::EditedSince,
                SkipReason::GoneSince => Skip::GoneSince,
                SkipReason::ReferredTo => Skip::ReferredTo,
            }),
            Action::Violation => What::Violation(Violation {
                kind: line.kind.take().ok_or_else(|| need("kind"))?,
                effect: line.effect.take().ok_or_else(|| need("effect"))?,
                field: line.field.take(),
                existing: line.existing.take(),
                given: line.given.take(),
                message: line.message.take().ok_or_else(|| need("message"))?,
                quotes: std::mem::take(&mut line.quotes),
                instead: line.instead.take(),
                values: line.values.take().unwrap_or_default(),
                other: line.other.take(),
                further: std::mem::take(&mut line.further),
            }),
        };
        let extracted = match action {
            Action::Insert | Action::Update | Action::Delete => line.extracted.take(),
            Action::Skip | Action::Violation => None,
        };
        let left_over = [
            ("values", line.values.is_some()),
            ("set", line.set.is_some()),
            ("revives", line.revives),
            ("stays", !line.stays.is_empty()),
            ("soft", line.soft),
            ("reason", line.reason.is_some()),
            ("kind", line.kind.is_some()),
            ("effect", line.effect.is_some()),
            ("field", line.field.is_some()),
            ("existing", line.existing.is_some()),
            ("given", line.given.is_some()),
            ("message", line.message.is_some()),
            ("by", line.by.is_some()),
            ("quotes", line.quotes),
            ("instead", line.instead.is_some()),
            ("other", line.other.is_some()),
            ("further", line.further),
            ("expect", line.expect.is_some()),
            ("extracted", line.extracted.is_some()),
        ];
        if let Some((name, _)) = left_over.iter().find(|(_, there)| *there) {
            return Err(format!("\"{name}\" does not belong to {action}"));
        }
        Ok(Entry {
            table: line.table,
            key: line.key,
            group: line.group,
            what,
            extracted,
            from: line.from,
        })
    }
}

/// The canonical line of an entry, without its line end.
///
/// # Errors
/// Where it cannot be serialized.
pub fn entry_json(entry: Entry) -> serde_json::Result<String> {
    serde_json::to_string(&EntryLine::from(entry))
}
