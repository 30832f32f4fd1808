//! What an operation tells while it works: a bar on a terminal, else one line a step.

mod steps;

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::log;
use super::settings::Settings;
use super::timings::Clock;
use crate::ops::Event;
use steps::Steps;

/// Tells the events of one operation on stderr.
pub struct Progress {
    told: Mutex<Told>,
    bars: bool,
    clock: Clock,
}

#[derive(Default)]
struct Told {
    steps: Steps,
    bar: Option<ProgressBar>,
    drawn: Option<Instant>,
}

impl Progress {
    /// Bars where stderr is a terminal, and lines elsewhere.
    pub fn start(settings: &Settings) -> Progress {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Progress {
            told: Mutex::default(),
            clock: settings.clock.clone(),
            bars: std::io::stderr().is_terminal() && !dumb && !log::lines_only(),
        }
    }

    /// Takes the bar away, before something else is told.
    pub fn end(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.clear();
    }

    /// Tells one event, or notes when a phase begins.
    pub fn tell(&self, event: Event) {
        if let Event::Phase { name, table } = event {
            return self.clock.phase(name, table);
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Event::Retrying {
            attempt,
            wait,
            reason,
        } = event
        {
            told.clear();
            told.steps = Steps::default();
            log::warn(format_args!(
                "attempt {attempt} in {:.1} s, because: {reason}",
                wait.as_secs_f32()
            ));
            return;
        }
        let Some(now) = At::of(&event) else { return };
        let line = told.steps.take(&now, Instant::now(), self.bars);
        if self.bars {
            told.draw(&now);
        } else if let Some((line, seconds)) = line {
            let At { step, done, .. } = now;
            if now.quiet {
                tracing::debug!(target: log::TARGET, step, done, seconds, "{line}")
            } else {
                tracing::info!(target: log::TARGET, step, done, seconds, "{line}")
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

impl Told {
    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn draw(&mut self, now: &At) {
        let time = Instant::now();
        let fresh = self
            .drawn
            .is_some_and(|d| time - d < Duration::from_millis(50));
        if fresh && !now.ended {
            return;
        }
        self.drawn = Some(time);
        let left = self.steps.left(now, time);
        if let Some(bar) = self.bar.as_ref().filter(|b| b.prefix() == now.step) {
            bar.set_length(now.share().map_or(0, |(_, of)| of));
            bar.set_position(now.share().map_or(now.done, |(done, _)| done));
            bar.set_message(left);
            return;
        }
        self.clear();
        // Drawn only when it is complete.
        let share = now.share();
        let of = share.map(|(_, of)| of);
        let bar = ProgressBar::with_draw_target(of, ProgressDrawTarget::hidden());
        let template = match of {
            Some(_) => "{prefix} [{bar:20}] {wide_msg}",
            None => "{prefix} {spinner} {wide_msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> ").tick_chars("|/-\\ "));
        }
        bar.set_prefix(now.step);
        bar.set_position(share.map_or(now.done, |(done, _)| done));
        bar.set_message(left);
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.enable_steady_tick(Duration::from_millis(200));
        self.bar = Some(bar);
    }
}

/// How far an operation has come.
struct At {
    /// What is being done.
    step: &'static str,
    /// How much of it is done, in `of`'s unit.
    done: u64,
    /// How much there is to do, where it is known.
    of: Option<u64>,
    /// How much of the work that is, where something else tells better than their number: bytes done
    /// and in all.
    bytes: Option<(u64, u64)>,
    /// Whether the step is done.
    ended: bool,
    /// What is counted for the rate: how many so far, and what.
    counted: (u64, &'static str),
    /// How far, in words.
    far: String,
    /// What was done, in words, when it is.
    line: String,
    /// Only told in detail.
    quiet: bool,
}

impl At {
    /// How much of the work is done, and of how much, where that is known.
    fn share(&self) -> Option<(u64, u64)> {
        let bytes = self.bytes.filter(|(_, of)| *of > 0);
        bytes.or(self.of.map(|of| (self.done, of)))
    }

    fn of(event: &Event) -> Option<At> {
        let at = At {
            step: "",
            done: 0,
            of: None,
            bytes: None,
            ended: false,
            counted: (0, ""),
            far: String::new(),
            line: String::new(),
            quiet: false,
        };
        let of_all = |done: u64, of: u64, what| format!("{done} of {of} {what}");
        let count = |n: u64, what: &str| match n {
            1 => format!("1 {what}"),
            _ => format!("{n} {what}s"),
        };
        let applying = |step, (done, of, what): (u64, u64, &'static str), line| At {
            step,
            done,
            of: Some(of),
            bytes: None,
            ended: done == of,
            counted: (done, what),
            far: of_all(done, of, what),
            line,
            quiet: false,
        };
        Some(match *event {
            Event::Phase { .. } => return None,
            Event::Listing { objects } => At {
                step: "listing",
                done: objects,
                counted: (objects, "objects"),
                far: count(objects, "object"),
                ..at
            },
            Event::Listed { objects } => At {
                step: "listing",
                done: objects,
                ended: true,
                counted: (objects, "objects"),
                far: count(objects, "object"),
                line: format!("listed {}", count(objects, "object")),
                ..at
            },
            Event::Reading {
                objects,
                of,
                records,
                bytes,
                of_bytes,
            } => At {
                step: "reading",
                done: objects,
                of: Some(of),
                bytes: Some((bytes, of_bytes)),
                ended: objects == of,
                counted: (records, "records"),
                far: format!(
                    "{}, {}",
                    of_all(objects, of, "objects"),
                    count(records, "record")
                ),
                line: format!(
                    "read {} from {}",
                    count(records, "record"),
                    count(objects, "object")
                ),
                ..at
            },
            Event::Checking { records } => At {
                step: "checking",
                ended: true,
                far: format!("every value and constraint of {}", count(records, "record")),
                line: format!("checking {}", count(records, "record")),
                quiet: true,
                ..at
            },
            Event::Comparing {
                ref table,
                records,
                of,
            } => At {
                step: "comparing",
                done: records,
                of: Some(of),
                ended: records == of,
                counted: (records, "records"),
                far: format!("{}, {table}", of_all(records, of, "records")),
                line: format!("compared {} with the current rows", count(of, "record")),
                ..at
            },
            Event::Undoing {
                ref table,
                changes,
                of,
            } => At {
                step: "undoing",
                done: changes,
                of: Some(of),
                ended: changes == of,
                counted: (changes, "changes"),
                far: format!("{}, {table}", of_all(changes, of, "changes")),
                line: format!("read {} from the audit log", count(of, "change")),
                ..at
            },
            Event::Staging { entries, of } => {
                let what = if of == 1 { "entry" } else { "entries" };
                let line = format!("staged {of} {what} of the plan");
                applying("staging", (entries, of, "entries"), line)
            }
            Event::Locking { tables, of } => At {
                quiet: true,
                ..applying(
                    "locking",
                    (tables, of, "tables"),
                    format!("locked and compared the rows of {}", count(of, "table")),
                )
            },
            Event::Writing { changes, of } => {
                let line = format!("wrote {}", count(of, "change"));
                applying("writing", (changes, of, "changes"), line)
            }
            Event::Verifying { tables, of } => At {
                quiet: true,
                ..applying(
                    "verifying",
                    (tables, of, "tables"),
                    format!("read back what was written to {}", count(of, "table")),
                )
            },
            Event::Committing => At {
                step: "committing",
                ended: true,
                line: "committing".into(),
                quiet: true,
                ..at
            },
            Event::Retrying { .. } => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::steps::SILENCE;
    use super::*;

    fn reading(objects: u64, of: u64) -> At {
        let records = objects * 10;
        At::of(&Event::Reading {
            objects,
            of,
            records,
            bytes: objects,
            of_bytes: of,
        })
        .expect("it is told")
    }

    #[test]
    fn a_step_is_told_once_when_it_ends_and_now_and_then_when_it_is_long() {
        let (mut steps, start) = (Steps::default(), Instant::now());
        let mut told = Vec::new();
        for second in 1..=100 {
            let now = start + Duration::from_secs(second);
            told.extend(steps.take(&reading(second, 100), now, false));
        }
        let lines: Vec<&str> = told.iter().map(|(line, _)| line.as_str()).collect();
        assert_eq!(
            lines,
            [
                "reading: 31 of 100 objects, 310 records, 10 records/s, about 70 s left",
                "reading: 61 of 100 objects, 610 records, 10 records/s, about 40 s left",
                "reading: 91 of 100 objects, 910 records, 10 records/s, 9 s left",
                "read 1000 records from 100 objects in 99.0 s",
            ]
        );
        let again = steps.take(&reading(100, 100), start + SILENCE * 9, false);
        assert!(again.is_none());
    }

    #[test]
    fn a_step_begins_where_the_one_before_it_ended() {
        let (mut steps, start) = (Steps::default(), Instant::now());
        let listed = At::of(&Event::Listed { objects: 2 }).expect("it is told");
        let told = steps.take(&listed, start, false);
        assert_eq!(told.map(|t| t.0).as_deref(), Some("listed 2 objects"));
        let told = steps.take(&reading(2, 2), start + Duration::from_secs(4), false);
        let expected = "read 20 records from 2 objects in 4.0 s";
        assert_eq!(told.map(|t| t.0).as_deref(), Some(expected));
    }

    #[test]
    fn the_time_left_goes_by_bytes_and_by_how_fast_it_is_now() {
        let (mut steps, start) = (Steps::default(), Instant::now());
        let mut at = |second: u64, megabytes: u64| {
            let at = At::of(&Event::Reading {
                objects: 0,
                of: 2,
                records: megabytes * 100,
                bytes: megabytes << 20,
                of_bytes: 1000 << 20,
            });
            let (at, now) = (at.expect("it is told"), start + Duration::from_secs(second));
            steps.take(&at, now, true);
            steps.left(&at, now)
        };
        assert_eq!(at(0, 0), "0 of 2 objects, 0 records");
        // Too soon to be known: the first part was read while others were fetched.
        assert_eq!(at(2, 20), "0 of 2 objects, 2000 records");
        assert_eq!(at(4, 120), "0 of 2 objects, 12000 records, 5000 records/s");
        let fast = "0 of 2 objects, 17000 records, 5000 records/s";
        assert_eq!(at(5, 170), format!("{fast}, about 15 s left"));
        // Ten times slower from now on: in half a minute the time left is that.
        for second in 6..=40 {
            at(second, 170 + (second - 5) * 5);
        }
        let slow = "0 of 2 objects, 35000 records, 500 records/s, about 2 min left";
        assert_eq!(at(41, 350), slow);
    }
}
