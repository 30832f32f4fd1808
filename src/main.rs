//! The `loader` command.

use std::process::ExitCode;

use anyhow::Context;

fn main() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start: no threads to work on")?;
    Ok(runtime.block_on(table_loader::command_line()))
}
