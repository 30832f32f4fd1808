//! A comparison of two plans as JSON.

use std::io::Write;

use serde_json::json;

use super::{Asked, Limit, failed};
use crate::error::Result;
use crate::plan::Entry;
use crate::planfile::diff::PlanDiff;
use crate::planfile::{PlanFile, entry_json};
use crate::render::select::Filter;

/// The format of the JSON.
pub const FORMAT: &str = "table-loader-diff/1";

/// Writes the comparison as one JSON object, one entry a line.
///
/// # Errors
/// As [`text`](super::text()).
pub fn json(diff: &PlanDiff<'_>, filter: &Filter, out: &mut impl Write) -> Result<()> {
    let plan = |plan: &PlanFile| json!({"plan_hash": plan.hash, "summary": plan.header.summary});
    let [old, new] = diff.plans();
    let lines = [
        ("format", json!(FORMAT)),
        ("old", plan(old)),
        ("new", plan(new)),
        ("header", json!(diff.header)),
        (
            "objects",
            json!({"changed": diff.objects_changed, "added": diff.objects_added, "removed": diff.objects_removed}),
        ),
        ("counts", json!(diff.counts)),
    ];
    let asked = Asked::of(diff, filter)?.json();
    let asked = asked.map(|counts| ("asked_for", counts));
    let mut text = String::from("{\n");
    for (name, value) in lines.into_iter().chain(asked) {
        text += &format!("\"{name}\": {value},\n");
    }
    text += "\"entries\": [";
    out.write_all(text.as_bytes()).map_err(failed)?;
    let mut comma = "\n";
    let mut write = |what: &str, parts: &[(&str, Entry)]| {
        let mut line = format!("{comma}{{\"difference\":\"{what}\"");
        comma = ",\n";
        for (name, entry) in parts {
            let entry = entry_json(entry.clone()).map_err(|e| failed(e.into()))?;
            line += &format!(",\"{name}\":{entry}");
        }
        out.write_all((line + "}").as_bytes()).map_err(failed)
    };
    let mut limit = Limit::new(filter);
    diff.different(&mut |pair| {
        if !limit.takes(&pair) {
            return Ok(());
        }
        let [old, new] = pair;
        write("different", &[("old", old), ("new", new)])
    })?;
    let mut limit = Limit::new(filter);
    diff.added(&mut |entry| {
        if limit.takes(std::slice::from_ref(&entry)) {
            write("added", &[("new", entry)])
        } else {
            Ok(())
        }
    })?;
    let mut limit = Limit::new(filter);
    diff.removed(&mut |entry| {
        if limit.takes(std::slice::from_ref(&entry)) {
            write("removed", &[("old", entry)])
        } else {
            Ok(())
        }
    })?;
    out.write_all(b"\n]\n}\n").map_err(failed)
}
