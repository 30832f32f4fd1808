//! `loader init`.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use super::settings::Settings;
use super::{say, show_json, show_text};
use crate::error::{Error, Result};
use crate::ops::{self, InitRequest};
use crate::source::pipe;
use crate::table::config;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only tables in this schema [default: those of the search path]
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
    /// Only this table (repeatable)
    #[arg(long, value_name = "TABLE")]
    table: Vec<String>,
    /// Write to this file, and its JSON Schema beside it, instead of stdout
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite the file
    #[arg(long, requires = "out")]
    force: bool,
}

/// The file that editors complete `tables.yaml` from.
const JSON_SCHEMA: &str = "tables.schema.json";

pub async fn run(settings: &Settings, args: Args) -> Result<u8> {
    if let Some(path) = args.out.as_ref().filter(|p| p.exists() && !args.force) {
        return Err(Error::config(format!(
            "{} is there already; write to another file, or overwrite it with --force",
            path.display()
        )));
    }
    let request = InitRequest {
        database: settings.database()?,
        timeouts: settings.timeouts(),
        loader_schema: settings.loader_schema.clone(),
        schema: args.schema,
        only: args.table,
        json_schema: JSON_SCHEMA.to_owned(),
    };
    let text = ops::init(&request).await?;
    let Some(path) = args.out else {
        if settings.json {
            return show_json(&serde_json::json!({"tables_yaml": text}));
        }
        return show_text("writing the tables", &text);
    };
    let patience = settings.timeouts().patience();
    let write = |path: &Path, text: String| {
        let doing = format!("writing {}", path.display());
        if pipe::is_plain(path) {
            return std::fs::write(path, text).map_err(|e| Error::io(doing, e));
        }
        pipe::fill(path, Cursor::new(text), &doing, patience)
    };
    write(&path, text)?;
    write(&path.with_file_name(JSON_SCHEMA), config::json_schema())?;
    if settings.json {
        return show_json(&serde_json::json!({"written": path.display().to_string()}));
    }
    say(format_args!(
        "{} was written; read its comments, then run: loader migrate (once per database), loader plan --batch-id …",
        path.display()
    ));
    Ok(0)
}
