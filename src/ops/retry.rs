//! Trying again what failed for a reason that may pass: the server was starting, had no connection free,
//! or the connection was lost.

use std::time::Duration;

use super::{Event, OnProgress};
use crate::error::{Error, Result};

/// What `work` comes to, tried up to `retries` times more. It must leave nothing behind where it fails.
///
/// # Errors
/// The last one of `work`.
pub(super) async fn retry<T>(
    retries: u32,
    events: OnProgress<'_>,
    mut work: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let mut tries = 0;
    loop {
        // Boxed: what is tried is large, and stands in what its callers are.
        let error = match Box::pin(work()).await {
            Ok(done) => return Ok(done),
            Err(e) => e,
        };
        if !error.is_transient() || tries >= retries {
            return Err(match tries {
                0 => error,
                n => error.and(format_args!("; tried {} times", n + 1)),
            });
        }
        tries += 1;
        pause(tries, &error, events).await;
    }
}

/// Says why there is another try after so many, and waits for its time.
pub(super) async fn pause(tries: u32, error: &Error, events: OnProgress<'_>) {
    let wait = backoff(tries);
    events(Event::Retrying {
        attempt: tries + 1,
        wait,
        reason: format!("{error:#}"),
    });
    tokio::time::sleep(wait).await;
}

/// Half a second, doubled with each try, and up to as much again at random.
pub(super) fn backoff(tries: u32) -> Duration {
    let base = 500 * 2u64.pow(tries.min(6) - 1);
    let random = uuid::Uuid::new_v4().as_u64_pair().0 % base;
    Duration::from_millis(base + random)
}
