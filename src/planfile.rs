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
mod counted;
pub mod diff;
mod head;
mod line;
mod notes;
mod order;
mod parse;
mod quick;
mod read;
mod schema;
mod seal;
#[cfg(feature = "encryption")]
mod sealing;
mod write;

use sha2::{Digest, Sha256};

use crate::plan::Header;
use crate::text::hex;

pub use head::header_json;
pub use line::entry_json;
pub use notes::{Made, Notes, Outcome, Rehearsal, annotate};
pub(crate) use order::Unordered;
pub use order::order_key;
pub use parse::Item;
pub use read::{Executable, PlanFile};
pub use schema::json_schema;
#[cfg(feature = "encryption")]
pub use sealing::seal;
pub use write::PlanWriter;

/// The format that this version writes and reads.
pub const FORMAT: &str = "table-loader-plan/1";

/// The digests of the lines of fragments and entries.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sections {
    fragments: Vec<u8>,
    changes: Vec<u8>,
}

/// The hash over header and sections.
fn plan_hash(header: &Header, sections: &Sections) -> serde_json::Result<String> {
    let header = serde_json::to_string(header)?;
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

#[cfg(test)]
mod tests;
