//! Why a server did not start or stop.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use thiserror::Error;

/// Why a throw-away server did not start or stop.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// No folder holds the programs of a PostgreSQL server.
    #[error(
        "start a throw-away PostgreSQL: found no initdb and postgres in {searched}; \
         {advice}, or set LOADER_PG_BIN to the folder that holds them"
    )]
    NotInstalled {
        /// Where the programs were looked for.
        searched: String,
        /// How to install PostgreSQL on this system.
        advice: &'static str,
    },

    /// The PostgreSQL that was found is older than the oldest supported one.
    #[error(
        "start a throw-away PostgreSQL: {folder} holds \"{found}\", and version {needed} or later is \
         needed; set LOADER_PG_BIN to the folder of a later one"
    )]
    TooOld {
        /// The folder of the programs.
        folder: PathBuf,
        /// What `postgres --version` printed.
        found: String,
        /// The oldest supported major version.
        needed: u32,
    },

    /// A program of the server ended where it should have succeeded or kept running.
    #[error(
        "start a throw-away PostgreSQL: {program} in {folder} ended with {status}; mend what it \
         names, or choose another temporary folder by TMPDIR: {output}"
    )]
    Ended {
        /// The program, such as `initdb`.
        program: &'static str,
        /// The folder of the throw-away server.
        folder: PathBuf,
        /// How the program ended.
        status: ExitStatus,
        /// What it printed, or the end of the server's log.
        output: String,
    },

    /// The server runs, and takes no connections.
    #[error(
        "start a throw-away PostgreSQL: not ready after {seconds} s; free the machine and try again; \
         the end of its log: {log}"
    )]
    NotReady {
        /// How long it was waited for.
        seconds: u64,
        /// The end of the server's log.
        log: String,
    },

    /// A stopped server left its folder behind.
    #[error("stop a throw-away PostgreSQL: {folder} is still there; remove it by hand")]
    LeftBehind {
        /// The folder of the throw-away server.
        folder: PathBuf,
    },

    /// The operating system refused something.
    #[error("{doing}: {cause}")]
    System {
        /// What was being done, to what.
        doing: String,
        /// What the operating system answered; part of the message, hence no `source`.
        cause: io::Error,
    },
}

impl LaunchError {
    /// For `map_err`: adds what was being done to an error of the operating system.
    pub(super) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        |cause| Self::System { doing, cause }
    }
}
