//! A plan as delimited values.

use std::io::Write;

use super::{Line, Said, failed, lines};
use crate::error::Result;
use crate::plan::review::sheet::{
    COMMENT, DECISION, ENTRY, GROUP, KEY, PLAN_HASH, REVIEWER, TABLE, inert_cell,
};
use crate::planfile::PlanFile;
use crate::render::select::Filter;

/// Writes what `filter` takes of a plan as delimited values: UTF-8 with a byte order mark, commas, every cell
/// quoted, and none that a spreadsheet program takes for a formula.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written; as [`PlanFile::stream`].
pub fn plan(plan: &PlanFile, filter: &Filter, out: &mut impl Write) -> Result<()> {
    let header = [
        DECISION, COMMENT, TABLE, GROUP, "action", KEY, "what", "from", "unusual", PLAN_HASH,
        REVIEWER, ENTRY,
    ];
    out.write_all("\u{feff}".as_bytes()).map_err(failed)?;
    row(out, &header)?;
    lines(plan, filter, &mut |line| {
        let Line {
            named,
            action,
            group,
            from,
            said,
            unusual,
        } = line;
        let what = match said {
            Said::Change(what) => what,
            Said::Violation {
                kind,
                effect,
                field,
                given,
                existing,
                message,
            } => {
                let about = match (field.as_str(), existing.as_str(), given.as_str()) {
                    ("", "", "") => String::new(),
                    (field, "", "") => format!(" {field}"),
                    (field, "", given) => format!(" {field} = {given}"),
                    (field, existing, "") => format!(" {field}: {existing}"),
                    (field, existing, given) => format!(" {field}: {existing} → {given}"),
                };
                format!("{kind}{about} ({effect}): {message}")
            }
        };
        let cells = [
            "",
            "",
            &named.shown_table(),
            &group,
            action,
            &named.shown_key(),
            &what,
            &from,
            &unusual,
            plan.verified_hash(),
            "",
            &named.cell(),
        ];
        row(out, &cells)
    })
}

fn row(out: &mut impl Write, cells: &[&str]) -> Result<()> {
    let cells: Vec<String> = cells
        .iter()
        .map(|cell| format!("\"{}\"", inert_cell(cell).replace('"', "\"\"")))
        .collect();
    writeln!(out, "{}\r", cells.join(",")).map_err(failed)
}
