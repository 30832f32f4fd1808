//! The real binary, without the settings of whoever runs it.

use std::path::Path;
use std::process::{Command, Stdio};

/// The program in a folder, which is its home too. `TEST_LOADER` is another build, such as one that
/// is not replaced while a long run goes on.
pub fn loader(folder: &Path) -> Command {
    let built = env!("CARGO_BIN_EXE_loader").into();
    let mut command = Command::new(std::env::var_os("TEST_LOADER").unwrap_or(built));
    command.env_clear();
    for kept in ["PATH", "TMPDIR", "LLVM_PROFILE_FILE"] {
        command.envs(std::env::var_os(kept).map(|value| (kept, value)));
    }
    command
        .env("HOME", folder)
        // So that one plan is like another.
        .env("LOADER_NOTES", "off")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}
