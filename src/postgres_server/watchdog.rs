//! What ends the server however this process ends.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::LaunchError;

/// Runs a program without the files that our caller left open for us: an inherited lock or pipe
/// would be held for as long as the server runs. (What Rust opens is closed on exec anyway.)
pub(super) const EXEC: &str = r#"exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec "$0" "$@""#;

/// Reads the folder's path, then waits for the end of its input. `kill 0` reaches the whole
/// process group; the watchdog itself ignores it.
const WATCHDOG: &str = r#"
trap '' HUP INT QUIT TERM
IFS= read -r folder
read -r _
kill -s QUIT 0
tries=0
while [ -e "$folder" ] && [ "$tries" -lt 500 ]; do
    [ -e "$folder/data/postmaster.pid" ] || rm -rf "$folder"
    [ ! -e "$folder" ] || sleep 0.02
    tries=$((tries + 1))
done
rm -rf "$folder"
"#;

/// Starts the watchdog, and makes the folder that it removes once its standard input closes.
pub(super) fn watched_folder() -> Result<(Child, TempDir), LaunchError> {
    let mut watchdog = Command::new("/bin/sh")
        .args(["-c", EXEC, "/bin/sh", "-c", WATCHDOG])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(LaunchError::system(
            "start the watchdog of a throw-away PostgreSQL",
        ))?;
    let folder = TempDir::with_prefix("loader-postgres-").and_then(|folder| {
        if let Some(input) = &mut watchdog.stdin {
            let path = folder.path().as_os_str().as_bytes();
            input.write_all(&[path, b"\n"].concat())?;
        }
        Ok(folder)
    });
    let doing = "make a temporary folder for a throw-away PostgreSQL";
    Ok((watchdog, folder.map_err(LaunchError::system(doing))?))
}
