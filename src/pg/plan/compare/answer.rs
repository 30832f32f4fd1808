//! What a line of the comparison's answer says.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;

use super::Comparison;
use super::found_row::{Texts, is_found};
use super::in_full;
use super::looked_up::LookedUp;
use crate::error::{Error, Result};
use crate::pg::plan::stage::Stage;
use crate::pg::session::parsed;
use crate::plan::decision::{Current, Given, Wins, finding_effect};
use crate::plan::incoming::{BLANK, Finding};
use crate::plan::reading::Asked;
use crate::plan::{Action, Skip, Violation, Why, display_key};
use crate::planfile::order_key;
use crate::sql::copytext::CopyRow;
use crate::types::Kind;

// Where the loader's own columns stand in an answer; the columns that matter follow as staged, and last of
// all the row that was found. A staged value that surely prints as the row's is not sent: it is null then,
// and no null by `NULLS`.
pub(super) const N: usize = 0;
pub(super) const OBJECT: usize = 1;
pub(super) const POSITION: usize = 2;
const GIVEN: usize = 3;
const FINDINGS: usize = 4;
const ROUNDED: usize = 5;
const DATABASE_FINDINGS: usize = 6;
pub(super) const FIRST: usize = 7;
pub(super) const LAST: usize = 8;
pub(super) const VARIANTS: usize = 9;
pub(super) const OTHER_OBJECT: usize = 10;
pub(super) const OTHER_POSITION: usize = 11;
pub(super) const DIFFERS: usize = 12;
// At 13, `found_row` has whether one was found.
const MARKED: usize = 14;
pub(super) const EXTRACTED: usize = 15;
const LEFT_OUT: usize = 16;
pub(super) const GOES: usize = 17;
const NULLS: usize = 18;
const FIXED: usize = 19;

/// How many values an answer has whose columns are so many, but for the group and the row that was found.
pub(super) fn behind(stage: &Stage<'_>, columns: usize) -> usize {
    let lookups = &stage.target.lookups;
    let looked_up = lookups.answers().map(|l| lookups.sent(l, "s").len() + 1);
    let keys = if stage.duplicates {
        stage.target.config.natural_key.len()
    } else {
        0
    };
    FIXED + columns + keys + looked_up.sum::<usize>()
}

/// What is said of a record that is left out: why, or which parent is.
#[derive(Deserialize)]
struct Said {
    reason: Option<String>,
    by: Option<String>,
    parent: Option<Parent>,
}

/// A parent that is left out: its key where that may be shown, and where it comes from.
#[derive(Deserialize)]
struct Parent {
    table: String,
    key: Option<String>,
    object: usize,
    position: u64,
}

pub(super) fn is_marked(line: &CopyRow) -> bool {
    line.get(MARKED) == Some("t")
}

/// Whether the staged value at `at` is null, of a record that found a row.
fn is_null(line: &CopyRow, at: usize) -> bool {
    let nulls = line.get(NULLS).map_or(&[][..], str::as_bytes);
    nulls.get(at) == Some(&b'1')
}

impl Comparison<'_> {
    /// The value of a column that is never null.
    pub(super) fn parsed<T: FromStr>(&self, line: &CopyRow, i: usize) -> Result<T> {
        parsed(&self.doing, line.get(i), i)
    }

    /// Where what was looked up begins.
    pub(super) fn before_lookups(&self) -> usize {
        let keys = match self.stage.duplicates {
            true => self.config.natural_key.len(),
            false => 0,
        };
        FIXED + self.columns.len() + keys
    }

    /// What puts a record's entries in order: the key's text as the row spells it, else as the first
    /// record with this key does, nulls last; then that first record, then the record itself.
    pub(super) fn order(
        &self,
        line: &CopyRow,
        row: Option<&Texts<'_>>,
        n: u64,
        looked_up: &[LookedUp<'_>],
    ) -> Result<Vec<u8>> {
        let width = self.columns.len();
        let first = match line.get(FIRST) {
            Some(_) => self.parsed(line, FIRST)?,
            None => u64::MAX,
        };
        // What has no number yet goes by the key that it has.
        let new = looked_up.iter().filter_map(|found| {
            let row = found.value.as_ref()?.stored().err()?;
            Some((found.column, display_key(&row.key)))
        });
        let new: Vec<(&str, String)> = new.collect();
        let key = self.config.natural_key.iter().enumerate().map(|(n, name)| {
            let at = self.rules.iter().position(|r| r.name == *name)?;
            if let Some((_, key)) = new.iter().find(|(column, _)| column == name) {
                return Some(key.as_str());
            }
            row.and_then(|row| self.found_row.text(row, self.columns[at]))
                .or_else(|| {
                    line.get(FIXED + width + n)
                        .filter(|_| self.stage.duplicates)
                })
                .or_else(|| line.get(FIXED + at))
        });
        let mut order = order_key(key);
        order.extend_from_slice(&first.to_be_bytes());
        order.extend_from_slice(&n.to_be_bytes());
        Ok(order)
    }

    /// What the record says about each rule's column.
    pub(super) fn given<'r>(
        &self,
        line: &'r CopyRow,
        row: Option<&'r Texts<'_>>,
    ) -> Vec<Given<'r>> {
        let is_given = line.get(GIVEN).map_or(&[][..], str::as_bytes);
        let columns = self.columns.iter().enumerate();
        columns
            .map(|(at, i)| match (is_given.get(*i), line.get(FIXED + at)) {
                (Some(b'1'), Some(v)) => Given::Value(v),
                (Some(b'1'), None) => match row.filter(|_| self.alike(line, at)) {
                    // Both print the same.
                    Some(row) => (self.found_row.text(row, *i)).map_or(Given::Null, Given::Value),
                    None => Given::Null,
                },
                (Some(letter), _) if char::from(*letter) == BLANK => Given::Blank,
                _ => Given::Absent,
            })
            .collect()
    }

    /// The row that a record found, whose digest is `digest`.
    pub(super) fn current<'r>(
        &self,
        line: &CopyRow,
        row: &'r Texts<'_>,
        digest: &'r str,
    ) -> Current<'r> {
        let columns = self.columns.iter();
        Current {
            values: columns.map(|i| self.found_row.text(row, *i)).collect(),
            digest,
            deleted: is_marked(line),
        }
    }

    /// The group of what becomes of a record: a new row's own; of a violation what the record gives, where
    /// that can be read; else that of the row as it is.
    pub(super) fn group(
        &self,
        line: &CopyRow,
        row: Option<&Texts<'_>>,
        action: Action,
    ) -> Option<String> {
        let i = self.group?;
        let given = line.get(behind(self.stage, self.columns.len()));
        let now = row.and_then(|row| self.found_row.text(row, i));
        let group = match action {
            Action::Insert => given,
            Action::Violation => given.or(now),
            Action::Update | Action::Delete => now,
            // A row that is skipped because it is there has its own; one that is not, the record's.
            Action::Skip if row.is_some() => now,
            Action::Skip => given,
        };
        group.map(str::to_owned)
    }

    /// What was given and is stored otherwise.
    pub(super) fn rounded(
        &self,
        line: &CopyRow,
        given: &[Given<'_>],
    ) -> Result<BTreeMap<String, String>> {
        let mut asked: BTreeMap<String, Asked> = match line.get(ROUNDED) {
            None => return Ok(BTreeMap::new()),
            Some(json) => serde_json::from_str(json)
                .map_err(|e| Error::local("reading back rounded values").caused_by(e))?,
        };
        asked.retain(|column, asked| {
            let at = self.rules.iter().position(|rule| rule.name == *column);
            at.is_some_and(|at| match (given[at], &asked.text) {
                // One that was not sent prints as it is stored already: nothing is changed.
                (Given::Value(stored), Some(text)) => !self.kind(at).keeps(text, stored),
                (Given::Value(_) | Given::Null, None) => true,
                (Given::Null, Some(_)) | (Given::Absent | Given::Blank, _) => false,
            })
        });
        let given = asked
            .into_iter()
            .map(|(column, asked)| (column, asked.given));
        Ok(given.collect())
    }

    pub(super) fn kind(&self, at: usize) -> &Kind {
        &self.stage.target.table.columns[self.columns[at]].kind
    }

    /// Whether a column was not sent, because the record's value prints like the row's.
    pub(super) fn alike(&self, line: &CopyRow, at: usize) -> bool {
        is_found(line)
            && !in_full(&self.rules[at])
            && line.get(FIXED + at).is_none()
            && !is_null(line, at)
    }

    /// The columns, by index, in which the record says null and the row keeps its value.
    pub(super) fn ignored(&self, line: &CopyRow, row: &Texts<'_>) -> impl Iterator<Item = usize> {
        let given = line.get(GIVEN).map_or(&[][..], str::as_bytes);
        let columns = self.columns.iter().enumerate();
        columns.filter_map(move |(at, i)| {
            let says = given.get(*i).is_some_and(|letter| *letter != b'0');
            let keeps = self.rules[at].wins == Wins::NotNull
                && is_null(line, at)
                && self.found_row.text(row, *i).is_some();
            (says && keeps).then_some(*i)
        })
    }

    /// That the record is left out by name, where it is.
    pub(super) fn left_out(&self, line: &CopyRow) -> Result<Option<Skip>> {
        let Some(json) = line.get(LEFT_OUT) else {
            return Ok(None);
        };
        let said: Said = serde_json::from_str(json)
            .map_err(|e| Error::local("reading back why a record is left out").caused_by(e))?;
        let of_parent = said.parent.map(|parent| {
            let named = match parent.key {
                Some(key) => format!("{} {key}", parent.table),
                None => {
                    let origin = (self.origin)(parent.object, parent.position);
                    format!("{} ({origin})", parent.table)
                }
            };
            format!("its parent {named} is left out")
        });
        let why = Why {
            reason: said.reason.or(of_parent),
            by: said.by,
        };
        Ok(Some(Skip::LeftOut(why)))
    }

    /// What was found before: by the loader when reading, by the database when staging.
    pub(super) fn findings(&self, line: &CopyRow) -> Result<Vec<Violation>> {
        let mut violations = Vec::new();
        let found = [line.get(FINDINGS), line.get(DATABASE_FINDINGS)];
        for json in found.into_iter().flatten() {
            let found: Vec<Finding> = serde_json::from_str(json)
                .map_err(|e| Error::local("reading back what was found").caused_by(e))?;
            violations.extend(found.into_iter().map(|finding| {
                let effect = finding_effect(finding.kind, self.config);
                finding.violation(effect)
            }));
        }
        Ok(violations)
    }
}
