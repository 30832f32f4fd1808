//! How much TLS, and whose signatures are trusted.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::text::escape;

/// How much TLS a connection must have, named as by PostgreSQL's own programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// None.
    Disable,
    /// Encrypted where the server can; the server is not verified.
    #[default]
    Prefer,
    /// Encrypted; the server is not verified unless a root certificate is given.
    Require,
    /// Encrypted, and the server's certificate is signed by a trusted authority.
    VerifyCa,
    /// As [`SslMode::VerifyCa`], and the certificate is for the host that was connected to.
    VerifyFull,
}

impl SslMode {
    /// The modes' names, as they are allowed in settings.
    pub const NAMES: &str = "disable, prefer, require, verify-ca or verify-full";

    /// The mode of that name.
    pub fn named(name: &str) -> Option<SslMode> {
        Some(match name {
            "disable" => SslMode::Disable,
            "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            _ => return None,
        })
    }

    /// The mode that a setting names (`given`: the setting, its value), or the default where none
    /// does. The operating system's authorities sign for anybody, so that the name must be right
    /// too: with [`Roots::System`] nothing less than [`SslMode::VerifyFull`] will do, as in libpq.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where the value names no mode, or less than `roots` need.
    pub fn chosen(given: Option<(&str, &str)>, roots: &Roots) -> Result<SslMode> {
        let system = *roots == Roots::System;
        let Some((setting, value)) = given else {
            return Ok(if system {
                SslMode::VerifyFull
            } else {
                SslMode::default()
            });
        };
        let value = value.trim();
        match SslMode::named(value) {
            Some(mode) if system && mode != SslMode::VerifyFull => Err(Error::config(format!(
                "{setting} is \"{value}\", but the operating system's certificates (sslrootcert=system) need \
                 verify-full"
            ))),
            Some(mode) => Ok(mode),
            None => Err(Error::config(format!(
                "{setting} is \"{}\", which is none of {}",
                escape(value),
                SslMode::NAMES
            ))),
        }
    }
}

/// Whose signatures are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Roots {
    /// `~/.postgresql/root.crt` where that exists, else the operating system's.
    #[default]
    Default,
    /// The operating system's.
    System,
    /// Those in this PEM file, and no others.
    File(PathBuf),
}

impl Roots {
    /// Those that `sslrootcert` names: a file, or `system`.
    pub fn named(setting: Option<&str>) -> Roots {
        match setting {
            None => Roots::Default,
            Some("system") => Roots::System,
            Some(file) => Roots::File(PathBuf::from(file)),
        }
    }
}
