//! A plan as JSON for other programs: what stands in the file, masked as for people, and only what
//! was asked for; with what stands out, and what the changes of each column come to. It is no plan file:
//! nothing of it can be applied.

use std::collections::BTreeMap;
use std::io::Write;

use super::groups::{By, Groups, MOST, TableGroups};
use super::profile::Profile;
use super::select::{Each, Filter};
use super::unusual::{Mark, Unusual};
use super::verdict::shown;
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
    let notes = plan
        .notes
        .as_ref()
        .map(|notes| ("notes", shown(&plan.header, notes.get())));
    let mask = plan.mask();
    let header = mask.header(plan.header.clone());
    let header =
        header_json(&header, &plan.hash, FORMAT, notes.as_slice()).map_err(|e| failed(e.into()))?;
    out.write_all(header.as_bytes()).map_err(failed)?;
    let profile = Profile::of(plan)?;
    let rules = filter.rules();
    let unusual = Unusual::new(&profile, &rules);
    let mut each = Each::new(filter, &mask, unusual);
    let (mut entries, mut comma) = (false, "\n");
    plan.stream(&mut |item| {
        let line = match item {
            Item::Fragment(f) if !filter.of_table(&f.table) => return Ok(()),
            Item::Fragment(mut f) => {
                mask.fragment(&mut f);
                serde_json::to_string(&f)
            }
            Item::Entry(entry) => {
                if !entries {
                    (entries, comma) = (true, "\n");
                    out.write_all(BETWEEN).map_err(failed)?;
                }
                let Some((entry, marks)) = each.take(entry) else {
                    return Ok(());
                };
                entry_json(entry).and_then(|line| marked(line, &marks))
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
    out.write_all(b"\n],\n\"columns\": [").map_err(failed)?;
    let mut comma = "\n";
    for table in header_tables(plan, filter) {
        let Some(found) = profile.table(table) else {
            continue;
        };
        for column in found.changed() {
            let line = serde_json::json!({
                "table": table,
                "column": column.name,
                "updates": column.rows,
                "from_null": column.filled,
                "to_null": column.emptied,
                "words": column.words(found.updates),
            });
            write!(out, "{comma}{line}").map_err(failed)?;
            comma = ",\n";
        }
    }
    out.write_all(b"\n]").map_err(failed)?;
    for (part, by) in [("groups", By::Group), ("sources", By::Source)] {
        let groups = Groups::of(plan, by)?;
        write!(out, ",\n\"{part}\": [").map_err(failed)?;
        let mut comma = "\n";
        for table in header_tables(plan, filter).filter_map(|t| groups.table(t)) {
            for line in lines(table) {
                write!(out, "{comma}{line}").map_err(failed)?;
                comma = ",\n";
            }
        }
        out.write_all(b"\n]").map_err(failed)?;
    }
    out.write_all(b"\n}\n").map_err(failed)
}

/// The groups of a table, the largest first, and what is beyond those that are counted each.
fn lines(groups: &TableGroups) -> Vec<serde_json::Value> {
    let all = groups.by_size().into_iter();
    let mut lines: Vec<serde_json::Value> = all
        .map(|(group, found)| {
            let columns = found.columns.iter().map(|(c, changed)| (c, changed.rows));
            serde_json::json!({
                "table": groups.table,
                "by": groups.by,
                "group": group,
                "counts": found.counts,
                "columns": columns.collect::<BTreeMap<_, _>>(),
            })
        })
        .collect();
    if groups.others.entries() > 0 {
        lines.push(serde_json::json!({
            "table": groups.table, "by": groups.by, "beyond": MOST, "counts": groups.others,
        }));
    }
    lines
}

fn header_tables<'p>(plan: &'p PlanFile, filter: &'p Filter) -> impl Iterator<Item = &'p str> {
    let tables = plan.header.tables.iter().map(|t| t.table.as_str());
    tables.filter(|table| filter.of_table(table))
}

/// An entry's line with why it stands out, where it does.
fn marked(line: String, marks: &[Mark]) -> serde_json::Result<String> {
    if marks.is_empty() {
        return Ok(line);
    }
    let why = marks.iter().map(|mark| {
        serde_json::json!({"rule": mark.rule.word(), "column": mark.column, "why": mark.why})
    });
    let why = serde_json::to_string(&why.collect::<Vec<_>>())?;
    let object = line.strip_suffix('}').unwrap_or(&line);
    Ok(format!("{object},\"unusual\":{why}}}"))
}

/// What ends the list of fragments and begins that of entries.
const BETWEEN: &[u8] = b"\n],\n\"changes\": [";
