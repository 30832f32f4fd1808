//! Decisions in a workbook or in delimited values, as spreadsheet programs save them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Decision, Review, Verdict};
use crate::error::{Error, Result};
use crate::plan::{Entry, Row, display_key};
use crate::record::workbook::sheets;
use crate::record::{Delivery, Format, Record, Value, read_records_slice};
use crate::strict::unique_map;
use crate::table::delivery::{Csv, Excel, Sign};
use crate::text::{escape, visible};

/// The columns by which decisions are read back.
pub(crate) const DECISION: &str = "decision";
pub(crate) const COMMENT: &str = "comment";
pub(crate) const TABLE: &str = "table";
pub(crate) const GROUP: &str = "group";
pub(crate) const KEY: &str = "key";
pub(crate) const ENTRY: &str = "entry";
pub(crate) const PLAN_HASH: &str = "plan_hash";
pub(crate) const REVIEWER: &str = "reviewer";
/// The sheets of a workbook.
pub(crate) const CHANGES: &str = "changes";
pub(crate) const VIOLATIONS: &str = "violations";
pub(crate) const SUMMARY: &str = "summary";
/// The columns of the sheet [`SUMMARY`].
pub(crate) const WHAT: &str = "what";
pub(crate) const VALUE: &str = "value";

/// The longest key that is shown, in characters.
const LONGEST_KEY: usize = 500;

/// What names an entry of a plan, in a cell that no spreadsheet program takes for a number or a date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    table: String,
    #[serde(deserialize_with = "unique_map")]
    key: Row,
    from: Vec<String>,
    /// Its key for people, where that is another text: it says to which rows the key refers, and hides more of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shown: Option<String>,
}

impl Named {
    /// What names an entry, which is masked, by its key as decisions name it.
    pub(crate) fn of(entry: &Entry, key: Row) -> Named {
        let mut named = Named {
            table: entry.table.clone(),
            key,
            from: entry.from.clone(),
            shown: None,
        };
        let shown = cut(display_key(&entry.key));
        named.shown = (shown != named.shown_key()).then_some(shown);
        named
    }

    /// As JSON of ASCII alone, which survives every encoding.
    pub(crate) fn cell(&self) -> String {
        let mut cell = String::new();
        for c in serde_json::to_string(self).unwrap_or_default().chars() {
            if c.is_ascii() {
                cell.push(c);
                continue;
            }
            for half in c.encode_utf16(&mut [0; 2]) {
                cell += &format!("\\u{half:04x}");
            }
        }
        cell
    }

    /// Its table for people.
    pub(crate) fn shown_table(&self) -> String {
        visible(&self.table)
    }

    /// Its key for people.
    pub(crate) fn shown_key(&self) -> String {
        if let Some(shown) = &self.shown {
            return shown.clone();
        }
        let parts = self.key.iter().map(|(column, value)| {
            let value = value
                .as_deref()
                .map_or(Cow::Borrowed("null"), |v| visible(v).into());
            format!("{}={value}", visible(column))
        });
        cut(parts.collect::<Vec<_>>().join(", "))
    }
}

/// A key that is not too long to be shown.
fn cut(key: String) -> String {
    match key.char_indices().nth(LONGEST_KEY) {
        Some((end, _)) => format!("{}…", &key[..end]),
        None => key,
    }
}

/// A cell of delimited values that no spreadsheet program takes for a formula.
pub(crate) fn inert_cell(text: &str) -> Cow<'_, str> {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}").into(),
        false => text.into(),
    }
}

/// What the rows of a file say together.
#[derive(Default)]
struct Sheet {
    hashes: BTreeSet<String>,
    reviewers: BTreeSet<String>,
    decisions: Vec<Decision>,
}

impl Sheet {
    fn review(self, name: &str, where_: &str) -> Result<Review> {
        let wrong = |what: String| Err(Error::config(format!("{name}: {what}")));
        let mut hashes = self.hashes.iter();
        let hash = match (hashes.next(), hashes.next()) {
            (Some(one), None) => one.clone(),
            (None, _) => return wrong(format!("{PLAN_HASH} is empty: which plan was reviewed?")),
            (Some(one), Some(other)) => {
                return wrong(format!(
                    "it is about two plans, {} and {}",
                    escape(one),
                    escape(other)
                ));
            }
        };
        let mut names = self.reviewers.iter();
        let reviewer = match (names.next(), names.next()) {
            (Some(one), None) => one.clone(),
            (None, _) => {
                return wrong(format!(
                    "nobody is named as its reviewer: write your name {where_}"
                ));
            }
            (Some(one), Some(other)) => {
                return wrong(format!(
                    "it names two reviewers, {} and {}: each saves a file of their own",
                    escape(one),
                    escape(other)
                ));
            }
        };
        Review::new(name, hash, reviewer, self.decisions)
    }

    /// Takes a row under its header.
    fn take(&mut self, record: &Record<'_>) -> Result<(), String> {
        let row = record.position;
        let cell = |name: &str| {
            let field = record.fields.iter().find(|(known, _)| known == name);
            field.map(|(_, value)| text(value))
        };
        let needed = |name: &str| {
            cell(name).ok_or_else(|| format!("row {row}: the column {name} is missing"))
        };
        let put = |set: &mut BTreeSet<String>, text: Option<&str>| {
            let text = text.unwrap_or_default().trim();
            if !text.is_empty() {
                set.insert(text.to_owned());
            }
        };
        put(&mut self.hashes, cell(PLAN_HASH));
        put(&mut self.reviewers, cell(REVIEWER));
        let comment = cell(COMMENT).unwrap_or_default().trim();
        let Some(decision) = verdict(row, needed(DECISION)?, comment)? else {
            needed(ENTRY)?;
            return Ok(());
        };
        let entry = needed(ENTRY)?;
        if entry.trim().is_empty() {
            return Err(format!(
                "row {row}: there is a decision, and the column {ENTRY}, which names the entry of the plan that it is about, \
                 is empty: fill it as `loader show` wrote it, or decide in the entry's own row"
            ));
        }
        let named: Named = serde_json::from_str(entry).map_err(|e| {
            format!("row {row}: the column {ENTRY} does not name an entry of a plan: {e}")
        })?;
        for (column, shown) in [(TABLE, named.shown_table()), (KEY, named.shown_key())] {
            let cell = cell(column).unwrap_or_default();
            if cell != shown && cell != inert_cell(&shown) {
                return Err(format!(
                    "row {row}: the column {column} reads \"{}\", and the row is about \"{shown}\": cells were sorted or \
                     changed without the rest of their row",
                    escape(cell)
                ));
            }
        }
        self.decisions.push(Decision {
            table: named.table,
            key: named.key,
            decision,
            comment: Some(comment.to_owned()),
            from: named.from,
        });
        Ok(())
    }
}

/// What a cell says of a row; who comments and does not decide, asks.
fn verdict(row: u64, cell: &str, comment: &str) -> Result<Option<Verdict>, String> {
    let word = cell.trim().to_lowercase().replace([' ', '-'], "_");
    if word.is_empty() {
        return Ok((!comment.is_empty()).then_some(Verdict::Question));
    }
    let found = Verdict::ALL.into_iter().find(|v| v.word() == word);
    let words = Verdict::ALL.map(Verdict::word).join(", ");
    let why = || {
        format!(
            "row {row}: the decision is \"{}\", which is none of {words}",
            escape(cell)
        )
    };
    found.map(Some).ok_or_else(why)
}

fn text<'v>(value: &Value<'v>) -> &'v str {
    match *value {
        Value::Json(text) | Value::Cell(text) | Value::Number(text) | Value::Moment(text) => text,
        Value::Blank => "",
    }
}

/// The review in a workbook, the content of the file `name`.
pub(super) fn workbook(name: &str, bytes: &[u8]) -> Result<Review> {
    let mut sheet = Sheet::default();
    let read = |of: &str, sink: &mut dyn FnMut(Record<'_>) -> Result<(), String>| {
        let excel = Excel {
            sheet: Some(of.to_owned()),
            ..Excel::default()
        };
        let delivery = Delivery {
            excel: &excel,
            ..Delivery::new(Format::Excel)
        };
        let read = read_records_slice(bytes, &delivery, sink);
        read.map(drop).map_err(|e| {
            let e = e.to_string();
            let what = match e.starts_with("there is no sheet") {
                true => format!(
                    "there is no sheet {of}: it is no workbook of `loader show --format xlsx`"
                ),
                false => format!("sheet {of}: {e}"),
            };
            Error::config(format!("{name}: {what}"))
        })
    };
    read(SUMMARY, &mut |record| {
        let cell = |name: &str| {
            let found = record.fields.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| text(value).trim().to_owned())
        };
        if let (Some(what), Some(value)) = (cell(WHAT), cell(VALUE))
            && !value.is_empty()
        {
            match what.as_str() {
                PLAN_HASH => drop(sheet.hashes.insert(value)),
                REVIEWER => drop(sheet.reviewers.insert(value)),
                _ => {}
            }
        }
        Ok(())
    })?;
    for of in [CHANGES, VIOLATIONS] {
        read(of, &mut |record| sheet.take(&record))?;
    }
    let others = sheets(bytes).into_iter();
    for of in others.filter(|of| ![SUMMARY, CHANGES, VIOLATIONS].contains(&of.as_str())) {
        let mut decides = false;
        // What else somebody keeps there need not have the form of records.
        let _ = read(&of, &mut |record| {
            let is_filled = |name: &str| {
                let mut fields = record.fields.iter();
                fields.any(|(known, value)| known == name && !text(value).trim().is_empty())
            };
            decides |= is_filled(ENTRY) && (is_filled(DECISION) || is_filled(COMMENT));
            Ok(())
        });
        if decides {
            return Err(Error::config(format!(
                "{name}: the sheet {} has decisions, and only those in the sheets {CHANGES} and {VIOLATIONS} are read: move them \
                 there, or take them out",
                escape(&of)
            )));
        }
    }
    sheet.review(name, &format!("beside {REVIEWER} in the sheet {SUMMARY}"))
}

/// The review in delimited values, the content of the file `name`.
pub(super) fn delimited(name: &str, bytes: &[u8]) -> Result<Review> {
    let decoded = decoded(bytes);
    let csv = Csv {
        delimiter: Some(delimiter(&decoded)),
        ..Csv::default()
    };
    let delivery = Delivery {
        csv: &csv,
        ..Delivery::new(Format::Csv(Sign::COMMA))
    };
    let mut sheet = Sheet::default();
    read_records_slice(decoded.as_bytes(), &delivery, &mut |record| {
        sheet.take(&record)
    })
    .map_err(|e| Error::config(format!("{name}: {e}")))?;
    sheet.review(name, &format!("into the column {REVIEWER} of one row"))
}

/// The text of a file: spreadsheet programs write UTF-8, UTF-16, or what Windows used before.
fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    let marked = encoding_rs::Encoding::for_bom(bytes).map(|(encoding, _)| encoding);
    let encoding = match marked {
        Some(encoding) => encoding,
        None if std::str::from_utf8(bytes).is_ok() => encoding_rs::UTF_8,
        None => encoding_rs::WINDOWS_1252,
    };
    encoding.decode(bytes).0
}

/// What stands between the names of the header: none of them has any of these characters.
fn delimiter(text: &str) -> Sign {
    let header = text.lines().next().unwrap_or_default();
    let count = |sign: Sign| header.bytes().filter(|b| *b == sign.byte()).count();
    let signs = [Sign::COMMA, Sign::SEMICOLON, Sign::TAB];
    let most = signs.into_iter().rev().max_by_key(|sign| count(*sign));
    most.unwrap_or(Sign::COMMA)
}

#[cfg(test)]
mod tests;
