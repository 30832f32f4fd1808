//! Rows that refer to what taking a load back would delete or change.

use std::fmt;

use serde::Serialize;

use super::{Values, display_key};
use crate::error::{Error, ErrorKind};
use crate::text::escape;

/// A row that stands in the way, because it refers to one that would be deleted, or to a value of it that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Referrer {
    /// Its table.
    pub table: String,
    /// Its natural key; of a table that was never loaded its primary key, and without one its place (`ctid`).
    pub key: Values,
    /// The table of the row to which it refers.
    pub parent: String,
    /// The natural key of that row.
    pub parent_key: Values,
    /// The foreign key.
    pub constraint: String,
    /// Whether that row stays, and only the value changes to which it refers.
    pub parent_stays: bool,
    /// Whether it would be deleted too, but only marked, so that it goes on referring.
    pub only_marked: bool,
}

impl Referrer {
    /// What refers to what, for people.
    pub fn words(&self) -> String {
        format!(
            "{} {} refers to {} {}, {} ({}){}",
            escape(&self.table),
            display_key(&self.key),
            escape(&self.parent),
            display_key(&self.parent_key),
            match self.parent_stays {
                true => "of which that value would change",
                false => "which would be deleted",
            },
            escape(&self.constraint),
            match self.advice() {
                "" => String::new(),
                advice => format!(", {advice}"),
            }
        )
    }

    /// What is to be known beside the foreign key.
    pub fn advice(&self) -> &'static str {
        if self.only_marked {
            "and deletes from that table are only marked: give both tables soft_delete, or neither, for loads to come"
        } else {
            ""
        }
    }
}

/// Every row that refers to one that would be deleted, or would lose the value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ReferrerReport {
    /// The rows, by foreign key.
    pub rows: Vec<Referrer>,
    /// How many further rows are not named, because there are very many.
    pub more: u64,
}

impl ReferrerReport {
    /// The report that `error` was made from, where rows stand in the way of a rollback.
    pub fn of(error: &Error) -> Option<&ReferrerReport> {
        error.cause()
    }

    /// How many rows stand in the way, named or not.
    pub fn count(&self) -> u64 {
        self.rows.len() as u64 + self.more
    }

    /// What stands in the place of the rows that are not named.
    pub fn unnamed(&self) -> Option<String> {
        (self.more > 0).then(|| format!("… and {} more rows, which are not named here", self.more))
    }

    /// What was found, in a line.
    pub fn finding(&self) -> String {
        let stay = self.rows.iter().filter(|row| row.parent_stays).count();
        let would = match (stay, self.rows.len()) {
            (0, _) => "be deleted",
            (some, all) if some == all => "change",
            _ => "be deleted or change",
        };
        match self.count() {
            1 => format!("1 row refers to a row that would {would}"),
            n => format!("{n} rows refer to rows that would {would}"),
        }
    }

    /// What to do next.
    pub fn advice(&self) -> &'static str {
        "Take those rows back first, or make them refer to others."
    }
}

impl fmt::Display for ReferrerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; nothing was written:", self.finding())?;
        for row in &self.rows {
            write!(f, "\n  {}", row.words())?;
        }
        if let Some(unnamed) = self.unnamed() {
            write!(f, "\n  {unnamed}")?;
        }
        write!(f, "\n{}", self.advice())
    }
}

impl std::error::Error for ReferrerReport {}

impl From<ReferrerReport> for Error {
    fn from(report: ReferrerReport) -> Error {
        Error::of(ErrorKind::Blocked, report)
    }
}
