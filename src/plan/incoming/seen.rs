//! What reading the records of one table has shown.

use std::collections::BTreeSet;

use crate::plan::ignored::Ignored;
use crate::plan::words::{Place, Words};

/// What reading the records of one table has shown.
pub struct Seen {
    /// Columns that some record gave.
    pub used: Vec<bool>,
    /// Whether surely no two records have one key.
    pub surely_distinct: bool,
    /// Words that some columns refused and others stored.
    pub words: Words,
    /// What is known of when they were extracted.
    pub extraction: Extraction,
    /// Whether some record names a row to be deleted.
    pub deletes: bool,
    /// Whether some record does not.
    pub brings: bool,
    /// Whether some are records that were rejected, delivered again.
    pub again: bool,
    /// Columns, by index, of which some record gives both a value and what it is looked up by.
    pub twice: BTreeSet<usize>,
    /// Fields that are no columns and are not loaded.
    pub ignored: Ignored,
}

/// What is known of when the records of a table were extracted.
#[derive(Debug, Default)]
pub struct Extraction {
    /// Whether it is known of any.
    pub known: bool,
    /// What is given for records and cannot be read.
    pub unreadable: Option<Unreadable>,
}

/// Extraction times that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Of how many records.
    pub records: u64,
    /// Where the first stands: the number of its object, and its position there.
    pub first: Place,
    /// What is given there, and why it is no time.
    pub why: String,
}
