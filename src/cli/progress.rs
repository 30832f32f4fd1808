//! What an operation tells while it works: a line a step, on a terminal or with `LOG_LEVEL=debug`.

use std::io::IsTerminal;

use super::settings::Level;
use super::{say, tells};
use crate::ops::Event;

/// Tells an event on stderr, where its importance is wanted.
pub fn progress(event: Event) {
    let (level, line) = match event {
        Event::Listed { objects } => (Level::Info, format!("{objects} objects found")),
        Event::Reading {
            objects,
            of,
            records,
        } if objects == of || objects % 500 == 0 => (
            Level::Info,
            format!("read {objects} of {of} objects, {records} records"),
        ),
        Event::Reading { .. } => return,
        Event::Comparing { table, records } => (
            Level::Info,
            format!("comparing {records} records of {table}"),
        ),
        Event::Applying { changes } => (Level::Info, format!("applying {changes} changes")),
        Event::Retrying {
            attempt,
            wait,
            reason,
        } => (
            Level::Warning,
            format!(
                "attempt {attempt} in {:.1} s, because: {reason}",
                wait.as_secs_f32()
            ),
        ),
    };
    // In a log of a job the steps are noise unless somebody asks for them.
    let needed = match level {
        Level::Info if !std::io::stderr().is_terminal() => Level::Debug,
        level => level,
    };
    if tells(needed) {
        say(line);
    }
}
