//! What can go wrong with a request.

use std::time::Duration;

use bytes::Bytes;
use s3s::{S3Error, s3_error};

/// What a request asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// One page of `ListObjectsV2`.
    List,
    /// `GetObject`.
    Get,
    /// `HeadObject`.
    Head,
    /// `HeadBucket`.
    HeadBucket,
    /// `PutObject`.
    Put,
}

/// How a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 403 `AccessDenied`.
    AccessDenied,
    /// 500 `InternalError`.
    InternalError,
    /// 503 `SlowDown`.
    SlowDown,
}

impl From<Refusal> for S3Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::AccessDenied => s3_error!(AccessDenied, "Access Denied"),
            Refusal::InternalError => s3_error!(
                InternalError,
                "We encountered an internal error. Please try again."
            ),
            Refusal::SlowDown => s3_error!(SlowDown, "Please reduce your request rate."),
        }
    }
}

/// Something that goes wrong, injected by [`S3::inject`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The next requests of one kind are refused.
    Refuse {
        /// Which requests.
        operation: Operation,
        /// What they are answered.
        refusal: Refusal,
        /// How many of them; `u32::MAX` for all.
        times: u32,
    },
    /// Every request waits so long before its answer; zero ends it.
    Delay(Duration),
    /// Right after the next page that lists the object, it gets another content or is deleted.
    ChangeAfterListing {
        /// The bucket of the object.
        bucket: String,
        /// The key of the object.
        key: String,
        /// The new content; `None` deletes the object.
        content: Option<Bytes>,
    },
    /// The next `GetObject` of the key breaks off after half of the body.
    CutBody {
        /// The bucket of the object.
        bucket: String,
        /// The key of the object.
        key: String,
    },
}
