//! `loader completions` and `loader man`.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, say, show_text};
use crate::error::{Error, Result};

#[derive(clap::Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(clap::Args, Debug)]
pub struct ManArgs {
    /// Write a page for each command into this folder; without it the main page goes to stdout
    folder: Option<PathBuf>,
}

pub fn completions(args: &CompletionsArgs) -> Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "loader", &mut text);
    show_text("writing the completions", &String::from_utf8_lossy(&text))
}

pub fn man(args: &ManArgs) -> Result<u8> {
    let Some(folder) = &args.folder else {
        let mut text = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut text)
            .map_err(|e| Error::io("making the manual page", e))?;
        return show_text("writing the manual page", &String::from_utf8_lossy(&text));
    };
    let doing = format!("writing manual pages to {}", folder.display());
    std::fs::create_dir_all(folder).map_err(|e| Error::io(&doing, e))?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(|e| Error::io(&doing, e))?;
    say(format_args!(
        "The manual pages are in {}.",
        folder.display()
    ));
    Ok(0)
}
