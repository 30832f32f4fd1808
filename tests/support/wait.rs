//! Waiting for what happens elsewhere, and ending it.

use std::process::Command;
use std::time::{Duration, Instant};

/// Waits until `found` is true, for half a minute at most.
#[track_caller]
pub fn eventually(what: &str, mut found: impl FnMut() -> bool) {
    let started = Instant::now();
    while !found() {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "not within 30 s: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal by its name.
pub fn signal(process: u32, name: &str) {
    let sent = Command::new("/bin/sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &process.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}
