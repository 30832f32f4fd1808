//! The installed programs of a PostgreSQL server.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::LaunchError;

const OLDEST_VERSION: u32 = 14;
/// Folders that hold one folder a version, and how the names of those begin.
const INSTALLATIONS: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql"),
    ("/usr/local/opt", "postgresql"),
    ("/usr/local", "pgsql"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// The installed programs of the server.
#[derive(Debug)]
pub struct Programs {
    pub(super) folder: PathBuf,
    pub(super) version: u32,
}

impl Programs {
    /// Finds them in the folder that was chosen (the variable `LOADER_PG_BIN`), else in `path`
    /// (the variable `PATH`), else in the usual folders, highest version first.
    ///
    /// # Errors
    /// No PostgreSQL 14 or later is there.
    pub fn find(chosen: Option<OsString>, path: &OsStr) -> Result<Self, LaunchError> {
        if let Some(chosen) = chosen.filter(|folder| !folder.is_empty()) {
            let searched = format!("LOADER_PG_BIN ({})", chosen.display());
            return Self::first_in([PathBuf::from(chosen)], searched);
        }
        let usual = INSTALLATIONS
            .iter()
            .flat_map(|(parent, prefix)| installed(Path::new(parent), prefix));
        let parents = INSTALLATIONS.map(|(parent, prefix)| format!("{parent}/{prefix}*/bin"));
        Self::first_in(
            env::split_paths(path).chain(usual),
            format!("PATH, {}", parents.join(", ")),
        )
    }

    fn first_in(
        folders: impl IntoIterator<Item = PathBuf>,
        searched: String,
    ) -> Result<Self, LaunchError> {
        let complete = |folder: &PathBuf| {
            ["initdb", "postgres"]
                .iter()
                .all(|program| folder.join(program).is_file())
        };
        let Some(folder) = folders.into_iter().find(complete) else {
            let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
            return Err(LaunchError::NotInstalled {
                searched,
                advice: advice(&system),
            });
        };
        let program = folder.join("postgres");
        let output =
            Command::new(&program)
                .arg("--version")
                .output()
                .map_err(LaunchError::system(format!(
                    "run {} --version",
                    program.display()
                )))?;
        let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match major_version(&found) {
            Some(version) if version >= OLDEST_VERSION => Ok(Self { folder, version }),
            _ => Err(LaunchError::TooOld {
                folder,
                found,
                needed: OLDEST_VERSION,
            }),
        }
    }
}

/// The `bin` folders of the versions under `parent`, highest first.
fn installed(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, path)| {
            (
                leading_number(name.trim_start_matches(|c: char| !c.is_ascii_digit())),
                path.join("bin"),
            )
        })
        .map(|(version, bin)| (version.unwrap_or(0), bin))
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, bin)| bin).collect()
}

/// The 15 of `postgres (PostgreSQL) 15.18 (Debian 15.18-1)`, and of `17devel`.
fn major_version(text: &str) -> Option<u32> {
    leading_number(text.split_once("(PostgreSQL) ")?.1)
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

/// How to install PostgreSQL, given the text of `/etc/os-release`, empty where there is none.
fn advice(os_release: &str) -> &'static str {
    let is = |family: &str| {
        let mut lines = os_release
            .lines()
            .filter(|line| line.starts_with("ID=") || line.starts_with("ID_LIKE="));
        lines.any(|line| line.contains(family))
    };
    if cfg!(target_os = "macos") {
        "install it by `brew install postgresql@17`"
    } else if is("debian") || is("ubuntu") {
        "install it by `sudo apt-get install postgresql`"
    } else if is("fedora") || is("rhel") {
        "install it by `sudo dnf install postgresql-server`"
    } else {
        "install PostgreSQL 14 or later, the server included"
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn reads_major_versions() {
        let check =
            |text: &str, version: Option<u32>| assert_eq!(major_version(text), version, "{text}");
        check("postgres (PostgreSQL) 15.18 (Debian 15.18-1)", Some(15));
        check("postgres (PostgreSQL) 18beta1", Some(18));
        check("postgres (PostgreSQL) 9.6.24", Some(9));
        check("sh: not found", None);
    }

    #[test]
    fn prefers_the_highest_installed_version() -> Outcome {
        let parent = TempDir::new()?;
        for name in [
            "postgresql@9.6",
            "postgresql@17",
            "postgresql",
            "postgresql@16",
            "other@99",
        ] {
            fs::create_dir(parent.path().join(name))?;
        }
        let found = installed(parent.path(), "postgresql");
        let expected = [
            "postgresql@17",
            "postgresql@16",
            "postgresql@9.6",
            "postgresql",
        ];
        assert_eq!(
            found,
            expected.map(|name| parent.path().join(name).join("bin"))
        );
        assert!(installed(Path::new("/no/such/folder"), "").is_empty());
        Ok(())
    }

    #[test]
    fn says_how_to_install_a_missing_server() -> Outcome {
        let folder = TempDir::new()?;
        let Err(error) =
            Programs::first_in([folder.path().to_owned()], "LOADER_PG_BIN (x)".to_owned())
        else {
            return Err("found a server in an empty folder".into());
        };
        let message = error.to_string();
        assert!(
            message.contains("in LOADER_PG_BIN (x); install"),
            "{message}"
        );
        if !cfg!(target_os = "macos") {
            assert!(
                advice("NAME=Mint\nID=linuxmint\nID_LIKE=\"ubuntu debian\"").contains("apt-get")
            );
            assert!(advice("ID=fedora").contains("dnf"));
            assert!(advice("").contains("14 or later"));
        }
        Ok(())
    }
}
