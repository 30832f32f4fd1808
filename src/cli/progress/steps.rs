//! The step that is under way.

use std::time::{Duration, Instant};

use super::At;

/// After so long without a line, one says how far a step has come.
pub const SILENCE: Duration = Duration::from_secs(30);
/// How fast a step is, is what was done in the last one or two of these.
const WHILE: Duration = Duration::from_secs(10);
/// After so many seconds it is said how long a step will still take.
const SURE: f64 = 3.0;

/// The step that is under way: pure, the time comes from outside.
#[derive(Default)]
pub struct Steps {
    step: &'static str,
    since: Option<Instant>,
    told: Option<Instant>,
    ended: bool,
    /// Where the step stood a while ago: the time left goes by how fast it is now.
    then: Option<Mark>,
    /// Where it stood since, which is next.
    next: Option<Mark>,
}

/// How much was done when.
#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    done: u64,
    counted: u64,
}

impl Steps {
    /// The line that is due, and the seconds that the step has taken.
    pub fn take(&mut self, at: &At, now: Instant, bars: bool) -> Option<(String, f64)> {
        if self.step != at.step {
            // The first event of a step comes when some of it is done.
            let since = self.told.filter(|_| self.ended).unwrap_or(now);
            *self = Steps {
                step: at.step,
                since: Some(since),
                told: Some(now),
                then: Some(Mark {
                    at: since,
                    done: 0,
                    counted: 0,
                }),
                ..Steps::default()
            };
        }
        self.mark(at, now);
        let taken = now - self.since.unwrap_or(now);
        let seconds = taken.as_secs_f64();
        if at.ended && !self.ended {
            self.ended = true;
            self.told = Some(now);
            let line = if seconds >= 0.05 {
                format!("{} in {seconds:.1} s", at.line)
            } else {
                at.line.clone()
            };
            return Some((line, (seconds * 1000.0).round() / 1000.0));
        }
        let silent = self.told.is_none_or(|told| now - told >= SILENCE);
        if at.ended || bars || !silent {
            return None;
        }
        self.told = Some(now);
        Some((format!("{}: {}", at.step, self.left(at, now)), seconds))
    }

    /// Notes how far the step is, every now and then.
    fn mark(&mut self, at: &At, now: Instant) {
        let mark = Mark {
            at: now,
            done: at.share().map_or(0, |(done, _)| done),
            counted: at.counted.0,
        };
        match self.next {
            // What is done before the first event comes says nothing of how fast the rest will be.
            None if mark.done == 0 => self.then = Some(mark),
            None => (self.then, self.next) = (Some(mark), Some(mark)),
            Some(next) if now - next.at >= WHILE => {
                (self.then, self.next) = (Some(next), Some(mark));
            }
            Some(_) => {}
        }
    }

    /// How far, how fast, and about how long it will still take.
    pub fn left(&self, at: &At, now: Instant) -> String {
        let mut text = at.far.clone();
        let (count, what) = at.counted;
        let Some(then) = self.then.filter(|then| count > then.counted) else {
            return text;
        };
        let seconds = (now - then.at).as_secs_f64();
        if seconds < 1.0 {
            return text;
        }
        text += &format!(", {:.0} {what}/s", (count - then.counted) as f64 / seconds);
        let Some((done, of)) = at.share().filter(|(done, of)| done < of) else {
            return text;
        };
        if done <= then.done || seconds < SURE {
            return text;
        }
        let left = seconds * (of - done) as f64 / (done - then.done) as f64;
        text += &match left {
            ..10.0 => format!(", {left:.0} s left"),
            // Nobody knows it to the second.
            ..90.0 => format!(", about {:.0} s left", (left / 5.0).round() * 5.0),
            ..5400.0 => format!(", about {:.0} min left", left / 60.0),
            _ => format!(", about {:.1} h left", left / 3600.0),
        };
        text
    }
}
