//! What a piece of work costs: time, processors, and bytes that the server writes.

use std::fs::read_to_string;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::server::{Result, Server};

/// What one run cost. What the system does not tell (no `/proc`) is 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// From start to end, seconds.
    pub seconds: f64,
    /// Seconds of processors, of server and client together.
    pub cpu: f64,
    /// Bytes of write-ahead log.
    pub wal: f64,
    /// Bytes that the server wrote in all, to the end of a checkpoint: log, tables, indexes, temporary files.
    pub written: f64,
}

/// A figure of a [`Cost`].
pub type Figure = fn(&Cost) -> f64;

impl Cost {
    /// Two pieces of work, one after the other.
    pub fn and(self, then: Cost) -> Cost {
        Cost {
            seconds: self.seconds + then.seconds,
            cpu: self.cpu + then.cpu,
            wal: self.wal + then.wal,
            written: self.written + then.written,
        }
    }
}

/// How long ended processes of the server are waited for.
const SETTLING: Duration = Duration::from_secs(10);
/// `USER_HZ`: the unit of times in `/proc/[pid]/stat`, see proc(5).
const TICKS: f64 = 100.0;

/// What processes have used so far.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    ticks: u64,
    written: u64,
}

impl Server {
    /// Does `work` and says what it cost.
    pub fn cost<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(Cost, T)> {
        let log = self.log_position()?;
        self.settle();
        let (before, own) = (self.used(), own());
        let started = Instant::now();
        let done = work()?;
        let seconds = started.elapsed().as_secs_f64();
        let own = self::own().ticks - own.ticks;
        self.settle();
        let ticks = self.used().ticks - before.ticks + own;
        let wal = self.log_position()? - log;
        self.rest()?;
        self.settle();
        let cost = Cost {
            seconds,
            cpu: ticks as f64 / TICKS,
            wal,
            written: (self.used().written - before.written) as f64,
        };
        Ok((cost, done))
    }

    fn log_position(&self) -> Result<f64> {
        let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8";
        Ok(self.connect("postgres")?.query_one(sql, &[])?.get(0))
    }

    /// The server's main process.
    fn main_process(&self) -> Option<u32> {
        let file = self.postgres.data_dir().join("postmaster.pid");
        read_to_string(file).ok()?.lines().next()?.parse().ok()
    }

    fn processes(&self) -> Vec<u32> {
        let of = |main| read_to_string(format!("/proc/{main}/task/{main}/children")).ok();
        let children = self.main_process().and_then(of).unwrap_or_default();
        let numbers = children.split_ascii_whitespace();
        numbers.filter_map(|n| n.parse().ok()).collect()
    }

    /// Waits until no process serves a client: only then does the main process know what they used.
    fn settle(&self) {
        let serves = |process: &u32| {
            let title = read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
            title.contains(&self.postgres.host()) || title.contains("[local]")
        };
        let until = Instant::now() + SETTLING;
        while self.processes().iter().any(serves) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn used(&self) -> Used {
        let all = self.main_process().into_iter().chain(self.processes());
        all.map(|process| used(Path::new("/proc").join(process.to_string()).as_path()))
            .fold(Used::default(), |a, b| Used {
                ticks: a.ticks + b.ticks,
                written: a.written + b.written,
            })
    }
}

/// What this process and those that it waited for have used.
fn own() -> Used {
    used(Path::new("/proc/self"))
}

/// What a process and those that it waited for have used.
fn used(process: &Path) -> Used {
    let stat = read_to_string(process.join("stat")).unwrap_or_default();
    // Behind the name, which may have spaces: user, system, and both of children, from the twelfth on.
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let times = behind.split_ascii_whitespace().skip(11).take(4);
    let io = read_to_string(process.join("io")).unwrap_or_default();
    let written = io.lines().find_map(|l| l.strip_prefix("wchar: "));
    Used {
        ticks: times.filter_map(|t| t.parse::<u64>().ok()).sum(),
        written: written.and_then(|w| w.parse().ok()).unwrap_or(0),
    }
}
