//! How long an answer is waited for.

use std::pin::pin;
use std::time::Duration;

use crate::error::{Error, Result};

/// How long is looked for an answer after its time.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// What `work` comes to, if it does in time. An answer that came while the program was stopped, or waited for something
/// else, is not late: it is looked at before that is said.
pub(super) async fn in_time<T>(
    doing: &str,
    patience: Duration,
    work: impl Future<Output = T>,
) -> Result<T> {
    let mut work = pin!(work);
    for patience in [patience, AFTERWARDS] {
        if let Ok(done) = tokio::time::timeout(patience, work.as_mut()).await {
            return Ok(done);
        }
    }
    Err(Error::unanswered(doing, patience))
}
