//! A plan as JSON for other programs: what stands in the file, masked as for people, and only what
//! was asked for. It is no plan file: nothing of it can be applied.

use std::collections::BTreeMap;
use std::io::Write;

use super::select::Filter;
use crate::action::Action;
use crate::error::{Error, Result};
use crate::planfile::{Item, PlanFile, entry_json, header_json};

/// The format of what is written: a plan's reader refuses it.
pub const FORMAT: &str = "table-loader-view/1";

/// Writes a verified plan, one fragment or entry a line. The header is the whole plan's; of
/// fragments and entries there is what `filter` takes, in plan order.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written; [`PlanRefused`](crate::ErrorKind::PlanRefused) where the file changed.
pub fn plan(plan: &PlanFile, filter: &Filter, out: &mut impl Write) -> Result<()> {
    let failed = |e: std::io::Error| Error::io("writing the plan as JSON", e);
    let header = header_json(&plan.header, &plan.hash, FORMAT).map_err(|e| failed(e.into()))?;
    out.write_all(header.as_bytes()).map_err(failed)?;
    let mask = plan.mask();
    let limit = filter.limit.map_or(u64::MAX, |n| n as u64);
    let mut written: BTreeMap<(String, Action), u64> = BTreeMap::new();
    let (mut entries, mut comma) = (false, "\n");
    plan.stream(&mut |item| {
        let line = match item {
            Item::Fragment(f) if !filter.of_table(&f.table) => return Ok(()),
            Item::Fragment(mut f) => {
                mask.fragment(&mut f);
                serde_json::to_string(&f)
            }
            Item::Entry(mut entry) => {
                if !entries {
                    (entries, comma) = (true, "\n");
                    out.write_all(BETWEEN).map_err(failed)?;
                }
                if !filter.takes(&entry) {
                    return Ok(());
                }
                let place = (entry.table.clone(), entry.what.action());
                let count = written.entry(place).or_default();
                *count += 1;
                if *count > limit {
                    return Ok(());
                }
                mask.entry(&mut entry);
                entry_json(entry)
            }
        };
        let line = line.map_err(|e| failed(e.into()))?;
        write!(out, "{comma}{line}").map_err(failed)?;
        comma = ",\n";
        Ok(())
    })?;
    if !entries {
        out.write_all(BETWEEN).map_err(failed)?;
    }
    out.write_all(b"\n]\n}\n").map_err(failed)
}

/// What ends the list of fragments and begins that of entries.
const BETWEEN: &[u8] = b"\n],\n\"changes\": [";
