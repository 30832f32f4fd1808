//! Where what is shown is written.

use std::io::{BufWriter, Write};
use std::time::Duration;

use super::{Args, Format};
use crate::cli::Shown;
use crate::cli::output::Output;
use crate::cli::terminal::{colour, in_file};
use crate::error::Result;
use crate::render::text::{self, Style};
use crate::render::{diff, html, json};

/// Where it is written.
pub enum Place {
    /// To who looks at it.
    Stdout,
    /// To a file, which is there when all of it is.
    File(Output),
}

impl Place {
    /// As the arguments say. A file that is there is replaced only where it is one of this command's in
    /// this format.
    pub fn of(args: &Args, format: Format, patience: Duration) -> Result<Place> {
        let Some(path) = &args.out else {
            return Ok(Place::Stdout);
        };
        let compares = args.other.is_some();
        let own = match format {
            Format::Text if compares => Some(format!("\n{}Plan: ", diff::UNDER)),
            Format::Text => Some(text::legend(in_file())),
            Format::Markdown => Some("<!-- table-loader ".into()),
            Format::Html => Some(format!("content=\"{}\"", html::GENERATOR)),
            Format::Json if compares => Some(diff::FORMAT.into()),
            Format::Json => Some(json::FORMAT.into()),
            // Somebody's decisions may stand in it.
            Format::Xlsx | Format::Csv => None,
        };
        let doing = format!("writing what is shown to {}", path.display());
        Output::new(path, doing, own.as_deref(), patience).map(Place::File)
    }

    pub fn style(&self) -> Style {
        match self {
            Place::Stdout => colour(&std::io::stdout()),
            Place::File(_) => in_file(),
        }
    }

    pub fn writer(&self) -> Box<dyn Write + '_> {
        match self {
            Place::Stdout => Box::new(Shown::new()),
            Place::File(output) => Box::new(BufWriter::new(output.file())),
        }
    }

    /// All is written. What is shown is masked: everybody may read it.
    pub fn finish(self) -> Result<()> {
        match self {
            Place::Stdout => Ok(()),
            Place::File(output) => {
                output.for_everybody()?;
                output.finish()
            }
        }
    }
}
