//! Sealed plans: what everybody may see, and beside it the whole plan, encrypted.
//!
//! The part that is seen is the plan with stand-ins for its sensitive values, and for the digests
//! from which who tries all that a value could be would find it. The part that is sealed is the
//! plan itself, one age file: the plain plan as the loader writes it, with a random `salt` in the
//! hash, so that the hash, too, tells nothing.
//!
//! `masked_hash` is SHA-256 over five lines: `table-loader-plan/1 masked`, `plan_hash`, the hash
//! that what is seen would have as a plan, the recipients as JSON, and the digest of the lines of
//! what is sealed. So everybody can verify what they see; and who opens the plan verifies that
//! what is seen is what is sealed, with stand-ins.

use serde_json::json;

use super::{FORMAT, hash_of_lines};
use crate::error::{Error, Remedy};
use crate::text::hex;

/// What a plan says about what is sealed in it.
#[derive(Debug, Clone)]
pub(super) struct Seal {
    /// The hash of the file as it is seen.
    pub masked_hash: String,
    /// For whom it is encrypted.
    pub recipients: Vec<String>,
}

impl Seal {
    /// The hash of the file as it is seen; `shown` is the hash of what it shows, `sealed` the
    /// digest of what is sealed.
    pub fn hash(&self, plan_hash: &str, shown: &str, sealed: &[u8]) -> String {
        hash_of_lines(&[
            &format!("{FORMAT} masked"),
            plan_hash,
            shown,
            &json!(self.recipients).to_string(),
            &hex(sealed),
        ])
    }

    /// Why a plan that was not opened cannot be used.
    pub fn closed(&self, name: &str) -> Error {
        let refused = Error::plan_refused(format!(
            "{name}: the plan's sensitive values are encrypted for {}",
            self.recipients.join(", ")
        ));
        if cfg!(feature = "encryption") {
            refused.with_remedy(Remedy::Identity)
        } else {
            refused
                .and("; this loader was built without the feature `encryption` and cannot open it")
        }
    }
}
