//! The plan file: JSON that people can diff, hashed over what it says and not over how it is
//! spelled, written and read as a stream.
//!
//! `plan_hash` is SHA-256 over four lines, each ended by `\n`: the format, the header in
//! canonical form, the SHA-256 of the fragments' lines and that of the entries' lines, in hex. The
//! canonical form of an object is compact JSON as this module writes it; the line of a fragment
//! or entry is that and `\n`. So the hash does not depend on white space, escapes or the order of
//! keys, and does depend on every value and on the order of entries.
//!
//! Where values are encrypted, the whole plan stands in the file twice: as everybody may see it,
//! with stand-ins, and sealed (`seal`).

#[cfg(feature = "encryption")]
pub mod age;
pub mod diff;
mod notes;
mod order;
mod quick;
mod read;
mod seal;
mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::plan::{
    Counts, Effect, Entry, Fingerprint, Header, Kind, Skip, TablePlan, TargetDatabase, Values,
    Violation, ViolationKind, What,
};
use crate::strict::unique_map;
use crate::text::hex;

pub use notes::{Notes, Outcome, Rehearsal, annotate};
pub use order::order_key;
pub use read::{Executable, Item, PlanFile};
#[cfg(feature = "encryption")]
pub use seal::seal;
pub use write::{PlanWriter, Written, header_json};

/// The format that this version writes and reads.
pub const FORMAT: &str = "table-loader-plan/1";

/// The digests of the lines of fragments and entries.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sections {
    fragments: Vec<u8>,
    changes: Vec<u8>,
}

/// The hash over header and sections. A plan that is to be sealed has a salt in its header.
fn plan_hash(
    header: &Header,
    salt: Option<&str>,
    sections: &Sections,
) -> serde_json::Result<String> {
    let header = HeaderLine {
        salt,
        ..HeaderLine::from(header)
    };
    let header = serde_json::to_string(&header)?;
    let (fragments, changes) = (hex(&sections.fragments), hex(&sections.changes));
    Ok(hash_of_lines(&[FORMAT, &header, &fragments, &changes]))
}

fn hash_of_lines(lines: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for line in lines {
        hasher.update(line.as_bytes());
        hasher.update(b"\n");
    }
    format!("sha256:{}", hex(&hasher.finalize()))
}

/// The header's canonical form.
#[derive(Serialize)]
struct HeaderLine<'a> {
    kind: Kind,
    batch_id: &'a str,
    undoes: &'a [String],
    target: &'a TargetDatabase,
    records: u64,
    blocking: u64,
    rejected: u64,
    summary: &'a Counts,
    tables: &'a [TablePlan],
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<&'a str>,
}

impl<'a> From<&'a Header> for HeaderLine<'a> {
    fn from(h: &'a Header) -> HeaderLine<'a> {
        HeaderLine {
            kind: h.kind,
            batch_id: &h.batch_id,
            undoes: &h.undoes,
            target: &h.target,
            records: h.records,
            blocking: h.blocking,
            rejected: h.rejected,
            summary: &h.summary,
            tables: &h.tables,
            salt: None,
        }
    }
}

type Pair = [Option<String>; 2];

/// An entry as it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryLine {
    action: String,
    table: String,
    #[serde(deserialize_with = "unique_map")]
    key: Values,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some_map"
    )]
    values: Option<Values>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some_map"
    )]
    set: Option<BTreeMap<String, Pair>>,
    #[serde(default, skip_serializing_if = "is_false")]
    revives: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    soft: bool,
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "unique_map"
    )]
    rounded: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<ViolationKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    effect: Option<Effect>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    existing: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expect: Option<Fingerprint>,
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

impl EntryLine {
    fn empty(action: &str, entry: Entry) -> (EntryLine, What) {
        let line = EntryLine {
            action: action.to_owned(),
            table: entry.table,
            key: entry.key,
            values: None,
            set: None,
            revives: false,
            soft: false,
            rounded: BTreeMap::new(),
            reason: None,
            kind: None,
            effect: None,
            field: None,
            existing: None,
            given: None,
            message: None,
            expect: None,
            from: entry.from,
        };
        (line, entry.what)
    }
}

/// The word of an entry's action in the plan file.
pub fn action(what: &What) -> &'static str {
    match what {
        What::Insert { .. } => "insert",
        What::Update { .. } => "update",
        What::Delete { .. } => "delete",
        What::Skip(_) => "skip",
        What::Violation(_) => "violation",
    }
}

impl From<Entry> for EntryLine {
    fn from(entry: Entry) -> EntryLine {
        let (mut line, what) = EntryLine::empty(action(&entry.what), entry);
        match what {
            What::Insert { values, rounded } => {
                line.values = Some(values);
                line.rounded = rounded;
            }
            What::Update {
                set,
                expect,
                revives,
                rounded,
            } => {
                line.set = Some(set.into_iter().map(|(c, (a, b))| (c, [a, b])).collect());
                line.expect = Some(expect);
                line.revives = revives;
                line.rounded = rounded;
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
                line.reason = Some(skip.reason().to_owned());
                if let Skip::Unchanged(expect) = skip {
                    line.expect = Some(expect);
                }
            }
            What::Violation(v) => {
                line.kind = Some(v.kind);
                line.effect = Some(v.effect);
                line.field = v.field;
                line.existing = v.existing;
                line.given = v.given;
                line.message = Some(v.message);
            }
        }
        line
    }
}

/// The canonical line of an entry, without its line end.
///
/// # Errors
/// Where it cannot be serialized.
pub fn entry_json(entry: Entry) -> serde_json::Result<String> {
    serde_json::to_string(&EntryLine::from(entry))
}

impl TryFrom<EntryLine> for Entry {
    type Error = String;

    /// Takes each field that its action has; what is missing or left over is an error.
    fn try_from(mut line: EntryLine) -> Result<Entry, String> {
        fn need<T>(action: &str, name: &str, value: Option<T>) -> Result<T, String> {
            value.ok_or_else(|| format!("{action} without \"{name}\""))
        }
        let action = std::mem::take(&mut line.action);
        let what = match action.as_str() {
            "insert" => What::Insert {
                values: need(&action, "values", line.values.take())?,
                rounded: std::mem::take(&mut line.rounded),
            },
            "update" => What::Update {
                set: need(&action, "set", line.set.take())?
                    .into_iter()
                    .map(|(c, [old, new])| (c, (old, new)))
                    .collect(),
                expect: need(&action, "expect", line.expect.take())?,
                revives: std::mem::take(&mut line.revives),
                rounded: std::mem::take(&mut line.rounded),
            },
            "delete" => What::Delete {
                expect: need(&action, "expect", line.expect.take())?,
                values: need(&action, "values", line.values.take())?,
                soft: std::mem::take(&mut line.soft),
            },
            "skip" => What::Skip(
                match need(&action, "reason", line.reason.take())?.as_str() {
                    "unchanged" => Skip::Unchanged(need(&action, "expect", line.expect.take())?),
                    "exists" => Skip::Exists,
                    "conflict" => Skip::Conflict,
                    "missing" => Skip::Missing,
                    "duplicate" => Skip::Duplicate,
                    "superseded" => Skip::Superseded,
                    other => return Err(format!("unknown reason \"{other}\" of a skip")),
                },
            ),
            "violation" => What::Violation(Violation {
                kind: need(&action, "kind", line.kind.take())?,
                effect: need(&action, "effect", line.effect.take())?,
                field: line.field.take(),
                existing: line.existing.take(),
                given: line.given.take(),
                message: need(&action, "message", line.message.take())?,
            }),
            other => return Err(format!("unknown action \"{other}\"")),
        };
        let left_over = [
            ("values", line.values.is_some()),
            ("set", line.set.is_some()),
            ("revives", line.revives),
            ("soft", line.soft),
            ("rounded", !line.rounded.is_empty()),
            ("reason", line.reason.is_some()),
            ("kind", line.kind.is_some()),
            ("effect", line.effect.is_some()),
            ("field", line.field.is_some()),
            ("existing", line.existing.is_some()),
            ("given", line.given.is_some()),
            ("message", line.message.is_some()),
            ("expect", line.expect.is_some()),
        ];
        if let Some((name, _)) = left_over.iter().find(|(_, there)| *there) {
            return Err(format!("\"{name}\" does not belong to {action}"));
        }
        Ok(Entry {
            table: line.table,
            key: line.key,
            what,
            from: line.from,
        })
    }
}

#[cfg(test)]
mod tests;
