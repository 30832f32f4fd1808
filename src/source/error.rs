//! What can go wrong between the loader and the place where batches are delivered.

use std::io;

/// Why objects could not be listed or read. Each message names the object and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A location that is neither a bucket nor a folder.
    #[error("{given:?} is no source: {reason}; give s3://bucket, s3://bucket/prefix or a folder")]
    Location {
        /// The text that was given.
        given: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The service, or the way to it, refused.
    #[error("cannot {action} {target}: {found}; {advice}")]
    Refused {
        /// `list` or `read`.
        action: &'static str,
        /// Bucket and key.
        target: String,
        /// The service's code and message, or how the connection failed.
        found: String,
        /// What to do next.
        advice: &'static str,
    },
    /// The object is not the one that was listed.
    #[error("{target} changed between listing and reading ({found}); run plan again")]
    Changed {
        /// Bucket and key, or path.
        target: String,
        /// How that was noticed.
        found: String,
    },
    /// Every attempt to read the object ended too early.
    #[error(
        "cannot read {target}: {received} of {expected} bytes came, in each of {attempts} attempts ({found}); \
         check the network and run it again"
    )]
    CutOff {
        /// Bucket and key.
        target: String,
        /// Bytes that were received in the last attempt.
        received: u64,
        /// Bytes that were listed.
        expected: u64,
        /// Number of attempts.
        attempts: u32,
        /// How the last one ended.
        found: String,
    },
    /// The service broke off a listing, so that objects could be missing.
    #[error(
        "the listing of {target} is not complete: {found}; run it again, and report it to the operator of the store"
    )]
    Incomplete {
        /// Bucket and prefix.
        target: String,
        /// How that was noticed.
        found: &'static str,
    },
    /// An object whose name ends in `.gz` cannot be decompressed.
    #[error("cannot decompress {target}: {found}; have it delivered again")]
    Gzip {
        /// Bucket and key, or path.
        target: String,
        /// What is wrong with it.
        found: String,
    },
    /// An object that is larger than is allowed.
    #[error("{target} has{how} more than {most} bytes, which are the most that are allowed")]
    TooLarge {
        /// Bucket and key, or path.
        target: String,
        /// Empty, or that it has them unpacked.
        how: &'static str,
        /// The most bytes that are allowed.
        most: u64,
    },
    /// A name that would lead out of the folder, or in a circle.
    #[error("{target} is not read: {found}; take it out of the batch")]
    Unsafe {
        /// The path.
        target: String,
        /// What is wrong with it.
        found: &'static str,
    },
    /// The file system refused.
    #[error("cannot {action} {target}: {error}; {advice}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The path.
        target: String,
        /// What the file system said.
        error: io::Error,
        /// What to do next.
        advice: &'static str,
    },
}

impl From<SourceError> for crate::Error {
    fn from(e: SourceError) -> crate::Error {
        let kind = match e {
            SourceError::Location { .. } => crate::ErrorKind::Config,
            _ => crate::ErrorKind::Source,
        };
        let remedy = match e {
            SourceError::TooLarge { how: "", .. } => Some(crate::Remedy::LargerObject),
            SourceError::TooLarge { .. } => Some(crate::Remedy::LargerUnpacked),
            _ => None,
        };
        let error = crate::Error::of(kind, e);
        match remedy {
            Some(remedy) => error.with_remedy(remedy),
            None => error,
        }
    }
}

impl SourceError {
    /// An error on the temporary file into which `target` is read.
    pub(super) fn spool(target: &str, error: io::Error) -> Self {
        Self::Io {
            action: "keep a temporary copy of",
            target: target.to_owned(),
            error,
            advice: "free some space, or set TMPDIR to a folder that has it",
        }
    }

    /// A thread of ours that ended before its work on `target` did.
    pub(super) fn stopped(target: &str, error: tokio::task::JoinError) -> Self {
        Self::Io {
            action: "read",
            target: target.to_owned(),
            error: error.into(),
            advice: "run it again",
        }
    }
}
