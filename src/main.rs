//! The `loader` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    table_loader::cli::run()
}
