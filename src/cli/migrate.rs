//! `loader migrate`.

use super::settings::Settings;
use super::{print_json, say, warn};
use crate::error::Result;
use crate::ops;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Give this database an identity of its own, after it was copied from another
    #[arg(long)]
    new_lineage: bool,
}

pub async fn run(settings: &Settings, args: &Args) -> Result<u8> {
    let schema = &settings.loader_schema;
    let ran = ops::migrate(
        &settings.database()?,
        settings.timeouts(),
        schema,
        args.new_lineage,
    )
    .await?;
    if settings.json {
        let told = serde_json::json!({
            "status": "migrated", "schema": schema, "migrations": ran, "new_lineage": args.new_lineage,
        });
        if let Err(e) = print_json(&told) {
            warn(format_args!("migrated, but: {e:#}"));
        }
    } else if ran.is_empty() {
        say(format!(
            "The loader's tables in schema {schema} are up to date."
        ));
    } else {
        say(format!(
            "Created or upgraded the loader's tables in schema {schema}: {}.",
            ran.join(", ")
        ));
    }
    if args.new_lineage && !settings.json {
        say(
            "This database has an identity of its own now: plans that were made for another, or for it before, are refused.",
        );
    }
    Ok(0)
}
