//! Records that are left out by name: each by its table and natural key, with the reason.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::plan::stage::Stage;
use crate::plan::Why;
use crate::plan::masking::is_stand_in;
use crate::plan::reading::Reading;
use crate::record::Value;
use crate::sql::copytext::push_copy_text;
use crate::strict::{scalar, unique_map};
use crate::table::target::Target;

/// What is said of a stand-in in place of a sensitive value.
const STANDS_FOR_SEVERAL: &str = "this stands for a sensitive value where people look, and may stand for others, too; \
                                  name the row by the value itself";

/// One record that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Its table.
    pub table: String,
    /// Its natural key.
    pub key: Key,
    /// Why, and who said so.
    pub why: Why,
    /// Where that is said, for messages: a file and a line.
    pub said: String,
}

/// A natural key as somebody names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// One value for each column of the key, in its order.
    Values(Vec<Option<String>>),
    /// Values by column.
    Columns(Vec<(String, Option<String>)>),
}

impl Key {
    /// The key that a text names: its value, or a JSON array or object of several.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where a value of several is none itself.
    pub fn parse(text: &str) -> Result<Key> {
        let several = text.starts_with(['[', '{']);
        let json = several.then(|| serde_json::from_str(text).ok()).flatten();
        json.map_or_else(|| Ok(Key::of_text(text)), key)
            .map_err(|what| Error::config(format!("the key {}: {what}", crate::text::escape(text))))
    }

    /// The key of one column.
    fn of_text(text: &str) -> Key {
        Key::Values(vec![Some(text.to_owned())])
    }

    /// Its values with the names of their columns, in the order of a natural key; none where it is another
    /// key's.
    fn values<'k>(&'k self, natural_key: &'k [String]) -> Vec<(&'k String, &'k Option<String>)> {
        match self {
            Key::Values(values) if values.len() == natural_key.len() => {
                natural_key.iter().zip(values).collect()
            }
            Key::Columns(columns) if columns.len() == natural_key.len() => {
                let find = |name| columns.iter().find(|(column, _)| column == name);
                let found = natural_key.iter().map(|name| Some((name, &find(name)?.1)));
                found.collect::<Option<_>>().unwrap_or_default()
            }
            Key::Values(_) | Key::Columns(_) => Vec::new(),
        }
    }

    /// What PostgreSQL is given for each column of the natural key of `target`, in its order.
    pub(in crate::ops) fn read(
        &self,
        target: &Target,
    ) -> std::result::Result<Vec<Option<String>>, String> {
        let values = self.values(&target.config.natural_key);
        if values.is_empty() {
            return Err(format!(
                "the natural key of {} is {}",
                target.name,
                target.config.natural_key.join(", ")
            ));
        }
        let texts = target.key().into_iter().map(|(column, _)| {
            let text = values.iter().find(|(name, _)| **name == column.name);
            let text = text.and_then(|(_, text)| text.as_deref());
            let given = text.map(Value::Cell).ok_or("null is in no key")?;
            if target.config.sensitive.contains(&column.name) && text.is_some_and(is_stand_in) {
                return Err(format!("{}: {STANDS_FOR_SEVERAL}", column.name));
            }
            // As deliveries spell it, or as plans show it.
            let spelled = Reading::new(column, &target.config).read(&given);
            let printed = Reading::printed(column).read(&given);
            let has_formats = target.config.spelling_of(&column.name).formats.is_some();
            let read = match (spelled, printed) {
                (Ok(spelled), Ok(printed))
                    if has_formats && !is_one(spelled.text.as_deref(), printed.text.as_deref()) => Err(format!(
                    "{}: {} as deliveries are spelled (formats), and {} as plans show it; have the key in which only one \
                     of them is a date",
                    column.name,
                    spelled.text.unwrap_or_default(),
                    printed.text.unwrap_or_default(),
                )),
                (Err(_), Ok(read)) | (Ok(read), _) => Ok(read),
                (Err(refused), Err(_)) => Err(format!("{}: {}", column.name, refused.why)),
            };
            Ok(read?.text.map(|text| text.into_owned()))
        });
        texts.collect()
    }
}

/// Whether two texts of a date or time are of one: the shorter leaves out only what follows.
fn is_one(one: Option<&str>, other: Option<&str>) -> bool {
    let plain = |text: Option<&str>| text.unwrap_or_default().replace('T', " ");
    let (one, other) = (plain(one), plain(other));
    one.starts_with(&other) || other.starts_with(&one)
}

/// A line that is a JSON object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'l> {
    table: String,
    #[serde(borrow)]
    key: &'l RawValue,
    reason: Option<String>,
    by: Option<String>,
}

impl LeftOut {
    /// The records that `text`, the content of the file `name`, says are left out: one a line, as the table and
    /// the key (its value, or a JSON array of several) with a blank between, or as a JSON object with `table`,
    /// `key`, and optionally `reason` and `by`. Empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) with the first line that is neither.
    pub fn parse(name: &str, text: &str) -> Result<Vec<LeftOut>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text
            .lines()
            .enumerate()
            .map(|(i, line)| (i + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|(n, line)| {
                let said = format!("{name}: line {n}");
                let wrong = |what: String| Error::config(format!("{said}: {what}"));
                if line.starts_with('{') {
                    let line: Line<'_> = serde_json::from_str(line).map_err(|e| {
                        wrong(format!(
                            "{e}; write {{\"table\": …, \"key\": …, \"reason\": …}}"
                        ))
                    })?;
                    return Ok(LeftOut {
                        key: key(line.key).map_err(wrong)?,
                        table: line.table,
                        why: Why {
                            reason: line.reason,
                            by: line.by,
                        },
                        said,
                    });
                }
                let (table, name) = line.split_once(char::is_whitespace).ok_or_else(|| {
                    wrong("no key; write the table, a blank and the key".to_owned())
                })?;
                let name = name.trim_start();
                let array = name
                    .starts_with('[')
                    .then(|| serde_json::from_str(name).ok());
                Ok(LeftOut {
                    key: array
                        .flatten()
                        .map_or_else(|| Ok(Key::of_text(name)), key)
                        .map_err(wrong)?,
                    table: table.to_owned(),
                    why: Why::default(),
                    said,
                })
            })
            .collect()
    }
}

fn key(raw: &RawValue) -> std::result::Result<Key, String> {
    let json = raw.get();
    let single = |value: &RawValue| {
        scalar(value).ok_or_else(|| "a value of the key is no single value".to_owned())
    };
    let wrong = |e: serde_json::Error| e.to_string();
    match json.as_bytes().first() {
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_str(json).map_err(wrong)?;
            let values: std::result::Result<_, _> = values.into_iter().map(single).collect();
            values.map(Key::Values)
        }
        Some(b'{') => {
            let OnlyOnce(values) = serde_json::from_str::<OnlyOnce<'_>>(json).map_err(wrong)?;
            let values = values.into_iter().map(|(c, v)| Ok((c, single(v)?)));
            let values: std::result::Result<_, String> = values.collect();
            values.map(Key::Columns)
        }
        _ => Ok(Key::Values(vec![single(raw)?])),
    }
}

/// An object that has each name once.
#[derive(Deserialize)]
struct OnlyOnce<'l>(
    #[serde(borrow, deserialize_with = "unique_map")] BTreeMap<String, &'l RawValue>,
);

/// Sets aside the records that are left out by name. Each name must be that of one.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) with all that name no record of the batch; [`Database`](crate::ErrorKind::Database).
pub(super) async fn leave_out(
    session: &Session,
    named: &[LeftOut],
    only: &[String],
    stages: &mut [Stage<'_>],
) -> Result<()> {
    let mut wrong = Vec::new();
    let asked = |left: &&LeftOut| only.is_empty() || only.contains(&left.table);
    let planned: Vec<&str> = stages.iter().map(|s| s.target.name.as_str()).collect();
    let elsewhere = named.iter().filter(asked);
    let elsewhere = elsewhere.filter(|left| !planned.contains(&left.table.as_str()));
    wrong.extend(elsewhere.map(|left| {
        format!(
            "{}: the batch has no table {}",
            left.said,
            crate::text::escape(&left.table)
        )
    }));
    for stage in stages {
        let own = named.iter().enumerate();
        let own = own.filter(|(_, left)| left.table == stage.target.name);
        let mut lines = Vec::new();
        for (n, left) in own {
            match line(n, left, stage.target) {
                Ok(line) => lines.extend(line),
                Err(what) => wrong.push(format!("{}: {what}", left.said)),
            }
        }
        if lines.is_empty() {
            continue;
        }
        for n in stage.leave_out(session, lines.into()).await? {
            let left = n.parse::<usize>().ok().and_then(|n| named.get(n));
            let said = left.map_or("?", |left| left.said.as_str());
            wrong.push(format!(
                "{said}: no record of {} in the batch has this key",
                stage.target.name
            ));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let shown = wrong.len().min(20);
    let more = match wrong.len() - shown {
        0 => String::new(),
        n => format!("\n  and {n} more"),
    };
    Err(Error::config(format!(
        "records that are to be left out are not found as they are named:\n  {}{more}",
        wrong[..shown].join("\n  ")
    )))
}

/// The most keys that a note names.
const NAMED: usize = 10;

/// What a reviewer should know of the records of `target` that are left out by name.
pub(super) fn note(session: &Session, named: &[LeftOut], target: &Target) -> Option<String> {
    // A key may be named twice.
    let mut own: Vec<(String, &LeftOut)> = Vec::new();
    for left in named.iter().filter(|left| left.table == target.name) {
        let values = left.key.values(&target.config.natural_key);
        let values = values.into_iter().map(|(_, value)| value.clone());
        let values: Vec<Option<String>> = values.collect();
        let id = match values.as_slice() {
            [Some(one)] => one.clone(),
            several => serde_json::to_string(several).unwrap_or_default(),
        };
        own.push((id, left));
    }
    let mut seen = BTreeSet::new();
    own.retain(|(id, _)| seen.insert(id.clone()));
    let shown = own.iter().take(NAMED).map(|(id, left)| {
        let why = [&left.why.reason, &left.why.by].into_iter().flatten();
        let why: Vec<String> = why.map(|why| crate::text::escape(why)).collect();
        let key = session.name_row_in_plan(&target.name, id);
        if why.is_empty() {
            key
        } else {
            format!("{key} ({})", why.join(", "))
        }
    });
    let shown: Vec<String> = shown.collect();
    let more = match own.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let keys = match own.len() {
        0 => return None,
        1 => "1 key is".to_owned(),
        n => format!("{n} keys are"),
    };
    Some(format!(
        "{keys} left out by name: {}{more}",
        shown.join(", ")
    ))
}

/// The COPY line of the `n`-th record that is left out, one of `target`.
fn line(n: usize, left: &LeftOut, target: &Target) -> std::result::Result<Vec<u8>, String> {
    let values = left.key.values(&target.config.natural_key);
    let looked_up = |(name, _): &&(&String, _)| target.config.references.contains_key(*name);
    if let Some((name, _)) = values.iter().find(looked_up) {
        return Err(format!(
            "{name} is looked up, and records cannot be named by what is not known yet; leave them out by --decisions"
        ));
    }
    let why = serde_json::to_string(&left.why).map_err(|e| e.to_string())?;
    let mut out = format!("{n}\t").into_bytes();
    push_copy_text(&mut out, Some(&why));
    for text in left.key.read(target)? {
        out.push(b'\t');
        push_copy_text(&mut out, text.as_deref());
    }
    out.push(b'\n');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_all_that_is_written() {
        for number in ["89490100000000000017", "1.50", "-0", "1e400", "0.10"] {
            let one = Key::Values(vec![Some(number.to_owned())]);
            let line = format!("{{\"table\": \"t\", \"key\": {number}}}");
            assert_eq!(LeftOut::parse("f", &line).unwrap()[0].key, one);
            let line = format!("t [{number}]");
            assert_eq!(LeftOut::parse("f", &line).unwrap()[0].key, one);
            assert_eq!(Key::parse(&format!("[{number}]")).unwrap(), one);
            let of_column = Key::parse(&format!("{{\"a\": {number}}}")).unwrap();
            let named = ("a".to_owned(), Some(number.to_owned()));
            assert_eq!(of_column, Key::Columns(vec![named]));
        }
    }

    #[test]
    fn a_line_names_a_record() {
        let text = "# why\n\nt G1\nt [\"a\", 1]\r\n{\"table\": \"t u\", \"key\": {\"a\": 1, \"b\": null}, \"reason\": \"r\", \"by\": \"w\"}\nt [half\n";
        let found = LeftOut::parse("f", text).unwrap();
        let value = |text: &str| Some(text.to_owned());
        let keys: Vec<&Key> = found.iter().map(|l| &l.key).collect();
        assert_eq!(
            keys,
            [
                &Key::Values(vec![value("G1")]),
                &Key::Values(vec![value("a"), value("1")]),
                &Key::Columns(vec![("a".into(), value("1")), ("b".into(), None)]),
                &Key::Values(vec![value("[half")]),
            ]
        );
        assert_eq!(found[2].why.to_string(), "left out by name: r (w)");
        assert_eq!(
            (found[0].said.as_str(), found[3].said.as_str()),
            ("f: line 3", "f: line 6")
        );
        for (text, says) in [
            ("t", "f: line 1: no key"),
            ("\n{\"table\": 1}", "f: line 2: invalid type"),
            ("{\"table\": \"t\", \"key\": [[1]]}", "no single value"),
            ("{\"table\": \"t\", \"keys\": 1}", "unknown field `keys`"),
            ("{\"table\": \"t\", \"key\": {\"a\": 1, \"a\": 2}}", "twice"),
        ] {
            let error = LeftOut::parse("f", text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
