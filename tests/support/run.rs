//! Calls of the loader, and what they come to.

use std::ffi::OsStr;
use std::fmt;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A call of the loader that has not begun.
pub struct Call {
    command: Command,
}

impl Call {
    pub fn new(command: Command) -> Call {
        Call { command }
    }

    pub fn args(mut self, args: &[&str]) -> Call {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Call {
        self.command.env(name, value);
        self
    }

    pub fn without(mut self, name: &str) -> Call {
        self.command.env_remove(name);
        self
    }

    pub fn run(mut self) -> Run {
        let what = self.what();
        Run::of(what, self.command.output().unwrap())
    }

    /// Starts it and does not wait for it.
    pub fn spawn(mut self) -> Running {
        Running {
            what: self.what(),
            child: self.command.spawn().unwrap(),
        }
    }

    fn what(&self) -> String {
        let args = self.command.get_args().map(|a| a.to_string_lossy());
        args.collect::<Vec<_>>().join(" ")
    }
}

/// A loader that runs.
pub struct Running {
    pub child: Child,
    what: String,
}

impl Running {
    /// [`finish`].
    #[track_caller]
    pub fn finish(self) -> Run {
        finish(&self.what, self.child)
    }
}

/// Waits for the end of a loader; where it hangs for two minutes, it is ended and the test fails.
#[track_caller]
pub fn finish(what: &str, mut child: Child) -> Run {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            let run = Run::of(what.into(), child.wait_with_output().unwrap());
            panic!("still running after two minutes: {run}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Run::of(what.into(), child.wait_with_output().unwrap())
}

/// What one run of the loader said and how it ended.
#[derive(Debug)]
pub struct Run {
    /// `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    what: String,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Run {
            code,
            stdout,
            stderr,
            what,
        } = self;
        write!(f, "loader {what}: exit code {code:?}\n{stderr}\n{stdout}")
    }
}

impl Run {
    fn of(what: String, output: Output) -> Run {
        Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            what,
        }
    }

    /// It must have succeeded.
    #[track_caller]
    pub fn ok(self) -> Run {
        self.exits(0)
    }

    /// It must have ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Run {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// It must have said this, on either stream.
    #[track_caller]
    pub fn says(self, text: &str) -> Run {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(said, "{text:?} is not in {self}");
        self
    }

    /// It must have said all of these.
    #[track_caller]
    pub fn says_all(self, texts: &[&str]) -> Run {
        texts.iter().fold(self, |run, text| run.says(text))
    }

    /// It must not have said this to people.
    #[track_caller]
    pub fn omits(self, text: &str) -> Run {
        assert!(!self.stderr.contains(text), "{text:?} is in {self}");
        self
    }

    /// The one JSON object on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self}"))
    }
}
