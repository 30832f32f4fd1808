//! How large records and files may be.

use std::io;

/// What has a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A record, and each value in it.
    Record,
    /// A workbook, unpacked.
    Unpacked,
}

/// What is larger than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} of more than {most} bytes, which are the most that are allowed", match .bound {
    Bound::Record => "a record or a value",
    Bound::Unpacked => "a workbook that holds, unpacked, parts",
})]
pub struct TooLarge {
    /// What it is.
    pub bound: Bound,
    /// The most bytes that are allowed.
    pub most: u64,
}

impl TooLarge {
    /// A record, or a value in it.
    pub fn record(most: u64) -> TooLarge {
        TooLarge {
            bound: Bound::Record,
            most,
        }
    }

    /// A workbook.
    pub fn unpacked(most: u64) -> TooLarge {
        TooLarge {
            bound: Bound::Unpacked,
            most,
        }
    }

    /// What `error` was made from, where it is that.
    pub fn of(error: &io::Error) -> Option<TooLarge> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<TooLarge> for io::Error {
    fn from(too_large: TooLarge) -> io::Error {
        io::Error::other(too_large)
    }
}

/// How much is read of what may have no end.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Bytes of a record, and of each value in it.
    pub record: u64,
    /// Bytes of a workbook, unpacked.
    pub unpacked: u64,
}

impl Default for Most {
    fn default() -> Most {
        Most {
            record: 64 << 20,
            unpacked: 4 << 30,
        }
    }
}
