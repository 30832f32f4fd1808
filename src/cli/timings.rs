//! How long each phase of an operation took (`--timings`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::log::say;

/// When each phase began; it ends where the next one begins.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<Mutex<Vec<Phase>>>);

#[derive(Debug, Clone)]
struct Phase {
    name: &'static str,
    table: Option<String>,
    began: Instant,
}

impl Clock {
    /// A phase begins.
    pub fn phase(&self, name: &'static str, table: Option<String>) {
        let began = Instant::now();
        let mut phases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        phases.push(Phase { name, table, began });
    }

    /// The phases so far, the last of which ends now, with their seconds.
    fn phases(&self) -> Vec<(Phase, f64)> {
        let phases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = phases.iter().skip(1).map(|p| p.began);
        let ends = ends.chain([Instant::now()]);
        let lasted = |(p, end): (&Phase, Instant)| (p.clone(), (end - p.began).as_secs_f64());
        phases.iter().zip(ends).map(lasted).collect()
    }

    /// Adds the timings to a result.
    pub fn add_to(&self, result: &mut serde_json::Value) {
        let milliseconds = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
        let timings = self.phases().into_iter().map(|(p, seconds)| {
            let mut phase = serde_json::json!({"phase": p.name, "seconds": milliseconds(seconds)});
            if let Some(table) = p.table {
                phase["table"] = table.into();
            }
            phase
        });
        result["timings"] = timings.collect();
    }

    /// Tells the timings on stderr.
    pub fn tell(&self) {
        for (phase, seconds) in self.phases() {
            let table = phase.table.as_deref().map(crate::text::escape);
            let table = table.map(|t| format!(" ({t})")).unwrap_or_default();
            say(format!("{seconds:9.3} s  {}{table}", phase.name));
        }
    }
}
