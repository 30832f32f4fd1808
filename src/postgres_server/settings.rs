//! Settings of the server, its port, and whether it is ready.

use std::fmt::Write;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use super::LaunchError;

pub(super) const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Below the ports that Linux, macOS and the BSDs hand out to outgoing connections: such a
/// connection can neither take the port while the server is down, nor connect to itself on it.
const PORTS: std::ops::Range<u16> = 15_000..32_000;
pub(super) const PORT_ATTEMPTS: u32 = 10;
/// A socket's path may have 103 bytes (macOS) or 107 (Linux), its file name included.
const LONGEST_SOCKET_FOLDER: usize = 85;

/// Lines to append to `postgresql.conf`; of two for the same setting the later one counts.
pub(super) fn configuration(folder: &Path, settings: &[(&str, &str)]) -> String {
    let sockets = if folder.as_os_str().len() <= LONGEST_SOCKET_FOLDER {
        folder
    } else {
        Path::new("")
    };
    let host = HOST.to_string();
    let sockets = sockets.to_string_lossy();
    let standard = [
        ("listen_addresses", host.as_str()),
        ("unix_socket_directories", &sockets),
        ("max_connections", "100"),
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("synchronous_commit", "on"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
    ];
    let mut lines = String::new();
    for (name, value) in standard.iter().chain(settings) {
        let _ = writeln!(lines, "{name} = '{}'", value.replace('\'', "''"));
    }
    lines
}

/// A port that is free now; another program may take it before the server does.
pub(super) fn free_port() -> Result<u16, LaunchError> {
    let mut attempt = 1;
    loop {
        let random = RandomState::new().hash_one(attempt);
        let port = PORTS.start + (random % u64::from(PORTS.end - PORTS.start)) as u16;
        match TcpListener::bind((HOST, port)) {
            Ok(_) => return Ok(port),
            Err(_) if attempt < PORT_ATTEMPTS => attempt += 1,
            Err(cause) => {
                return Err(LaunchError::system(format!("find a free port on {HOST}"))(
                    cause,
                ));
            }
        }
    }
}

/// Whether the server writes of itself that it is ready; its process id tells it from an earlier
/// one that crashed.
pub(super) fn is_ready(data_dir: &Path, process: u32) -> bool {
    let status = fs::read_to_string(data_dir.join("postmaster.pid")).unwrap_or_default();
    let mut lines = status.lines();
    lines.next() == Some(&process.to_string())
        && lines.nth(6).is_some_and(|state| state.trim() == "ready")
}
