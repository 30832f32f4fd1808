//! What an operation tells about its progress.

use std::time::Duration;

/// One step of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The phase before has ended, and this one begins.
    Phase {
        /// Which, in few words.
        name: &'static str,
        /// For which table, where it is one.
        table: Option<String>,
    },
    /// Objects of the batch are being listed.
    Listing {
        /// How many were found so far.
        objects: u64,
    },
    /// All objects of the batch were listed.
    Listed {
        /// How many.
        objects: u64,
    },
    /// So much was read so far.
    Reading {
        /// Objects read.
        objects: u64,
        /// Objects in all.
        of: u64,
        /// Records read.
        records: u64,
        /// Bytes of the objects that are read, as they were listed: of one that is being read its part.
        bytes: u64,
        /// Bytes of all objects, as they were listed.
        of_bytes: u64,
    },
    /// Values and constraints are being checked.
    Checking {
        /// Of how many records.
        records: u64,
    },
    /// Records are being compared with the current rows.
    Comparing {
        /// Of which table.
        table: String,
        /// Records compared, those of the tables before included.
        records: u64,
        /// Records in all.
        of: u64,
    },
    /// What was applied is being read back from the audit log, for a rollback.
    Undoing {
        /// Of which table.
        table: String,
        /// Changes read, those of the tables before included.
        changes: u64,
        /// Changes in all.
        of: u64,
    },
    /// A plan is being put into temporary tables.
    Staging {
        /// Entries staged.
        entries: u64,
        /// Entries in all.
        of: u64,
    },
    /// A plan's rows are being locked and compared.
    Locking {
        /// Tables whose rows are locked.
        tables: u64,
        /// Tables in all.
        of: u64,
    },
    /// Rows are being written.
    Writing {
        /// Changes written.
        changes: u64,
        /// Changes in all.
        of: u64,
    },
    /// What was written is being read back.
    Verifying {
        /// Tables read back.
        tables: u64,
        /// Tables in all.
        of: u64,
    },
    /// The commit was sent.
    Committing,
    /// An attempt failed and is repeated.
    Retrying {
        /// Which attempt comes next, from 2.
        attempt: u32,
        /// After how long.
        wait: Duration,
        /// Why the last one failed.
        reason: String,
    },
}

impl Event {
    /// The beginning of a phase that concerns no table, or all.
    pub fn phase(name: &'static str) -> Event {
        Event::Phase { name, table: None }
    }

    /// The beginning of a phase of one table.
    pub fn phase_of(name: &'static str, table: &str) -> Event {
        Event::Phase {
            name,
            table: Some(table.to_owned()),
        }
    }
}

/// Takes events; `Sync`, because reading has a thread of its own.
pub type OnProgress<'a> = &'a (dyn Fn(Event) + Sync);
