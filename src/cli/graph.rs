//! `loader graph`.

use std::io::Write;

use super::settings::Settings;
use super::{print_json, say};
use crate::error::{Error, Result};
use crate::ops;
use crate::render::graph;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// In load order, with what each table needs
    Text,
    /// A Mermaid flowchart
    Mermaid,
    /// Graphviz
    Dot,
}

pub async fn run(settings: &Settings, args: &Args) -> Result<u8> {
    let found = ops::graph(
        &settings.database()?,
        settings.timeouts(),
        &settings.tables()?,
    )
    .await?;
    if settings.json {
        let dependencies: Vec<serde_json::Value> = found
            .dependencies
            .iter()
            .map(
                |d| serde_json::json!({"parent": d.parent, "child": d.child, "because": d.because}),
            )
            .collect();
        print_json(&serde_json::json!({
            "tables": found.tables, "outside": found.outside, "dependencies": dependencies, "cycle": found.cycle,
        }))?;
    } else {
        let text = match args.format {
            Format::Text => graph::text(&found),
            Format::Mermaid => graph::mermaid(&found),
            Format::Dot => graph::dot(&found),
        };
        write!(std::io::stdout(), "{text}").map_err(|e| Error::io("writing the graph", e))?;
        if let Some(cycle) = &found.cycle {
            say(format_args!("loader: {cycle}"));
        }
    }
    Ok(u8::from(found.cycle.is_some()))
}
