//! `loader graph`.

use super::settings::Settings;
use super::{say, show_json, show_text};
use crate::error::Result;
use crate::ops;
use crate::render::graph;
use crate::text::lines;

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
        show_json(&serde_json::json!({
            "tables": found.tables, "outside": found.outside, "dependencies": dependencies, "cycle": found.cycle,
        }))?;
    } else {
        let text = match args.format {
            Format::Text => graph::text(&found),
            Format::Mermaid => graph::mermaid(&found),
            Format::Dot => graph::dot(&found),
        };
        show_text("writing the graph", &lines(&text))?;
        if let Some(cycle) = &found.cycle {
            say(format_args!("loader: {cycle}"));
        }
    }
    Ok(u8::from(found.cycle.is_some()))
}
