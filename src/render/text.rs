//! A plan as text for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use super::escape;
use crate::error::{Error, Result};
use crate::plan::{Counts, Effect, Entry, Kind, Skip, What, display_key};
use crate::planfile::{Item, PlanFile, action};

/// What of a plan is shown.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these tables; all if empty.
    pub tables: Vec<String>,
    /// Only these actions; all but skips if empty.
    pub actions: Vec<String>,
    /// Only rows of which a key value contains this.
    pub key: Option<String>,
    /// At most so many entries of each table and action; `None` shows all.
    pub limit: Option<usize>,
}

impl Filter {
    fn takes(&self, entry: &Entry) -> bool {
        let action = action(&entry.what);
        let shown = match self.actions.is_empty() {
            true => action != "skip",
            false => self.actions.iter().any(|a| a == action),
        };
        shown
            && (self.tables.is_empty() || self.tables.contains(&entry.table))
            && self.key.as_ref().is_none_or(|part| {
                entry
                    .key
                    .values()
                    .flatten()
                    .any(|v| v.contains(part.as_str()))
            })
    }
}

/// Colours, where they are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Whether to use them.
    pub colour: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// What stands first has the reviewer's attention first.
const ORDER: [&str; 5] = ["violation", "delete", "update", "insert", "skip"];

/// Writes the plan for people: by table, violations first. Memory is bounded by the limit; with
/// `limit: None` the file is read once for each kind of entry.
///
/// # Errors
/// [`Error::Io`] where `out` cannot be written; [`Error::PlanRefused`] where the file changed.
pub fn plan(plan: &PlanFile, filter: &Filter, style: Style, out: &mut impl Write) -> Result<()> {
    let failed = |e: std::io::Error| Error::io("writing the plan for people", &e);
    let header = &plan.header;
    let what = match header.kind {
        Kind::Load => "Load of batch",
        Kind::Rollback => "Rollback of batch",
    };
    writeln!(
        out,
        "{what} {} into {}\n{}\n\n  {} insert   {} update   {} delete   {} violation\n",
        escape(&header.batch_id),
        escape(&header.target.database),
        plan.hash,
        style.paint("32", "+"),
        style.paint("33", "~"),
        style.paint("31", "-"),
        style.paint("35", "!"),
    )
    .map_err(failed)?;
    let mut sections: BTreeMap<(usize, usize), (Vec<String>, usize)> = BTreeMap::new();
    let number = |table: &str| {
        header
            .tables
            .iter()
            .position(|t| t.table == table)
            .unwrap_or(usize::MAX)
    };
    plan.stream(&mut |item| {
        let Item::Entry(entry) = item else {
            return Ok(());
        };
        if !filter.takes(&entry) {
            return Ok(());
        }
        let word = action(&entry.what);
        let order = ORDER.iter().position(|a| *a == word).unwrap_or(ORDER.len());
        let (lines, more) = sections.entry((number(&entry.table), order)).or_default();
        if filter.limit.is_none_or(|limit| lines.len() < limit) {
            lines.push(entry_lines(&entry, style));
        } else {
            *more += 1;
        }
        Ok(())
    })?;
    for (i, table) in header.tables.iter().enumerate() {
        if !(filter.tables.is_empty() || filter.tables.contains(&table.table)) {
            continue;
        }
        let title = style.paint("1", &escape(&table.table));
        writeln!(out, "{title}: {}", counts(&table.counts)).map_err(failed)?;
        for warning in &table.warnings {
            writeln!(out, "  note: {}", escape(warning)).map_err(failed)?;
        }
        for (order, word) in ORDER.iter().enumerate() {
            let Some((lines, more)) = sections.get(&(i, order)) else {
                continue;
            };
            for line in lines {
                write!(out, "{line}").map_err(failed)?;
            }
            if *more > 0 {
                writeln!(
                    out,
                    "  … and {more} more of this kind ({word}): --table {} --action {word} --all shows them",
                    escape(&table.table)
                )
                .map_err(failed)?;
            }
        }
        writeln!(out).map_err(failed)?;
    }
    if header.blocking > 0 {
        let (n, s) = (header.blocking, if header.blocking == 1 { "" } else { "s" });
        writeln!(
            out,
            "This plan cannot be applied: {n} violation{s} must be mended first."
        )
        .map_err(failed)?;
    }
    if header.rejected > 0 {
        let (n, s) = (header.rejected, if header.rejected == 1 { "" } else { "s" });
        writeln!(
            out,
            "{n} violation{s} leave their records out; the rest can be applied."
        )
        .map_err(failed)?;
    }
    writeln!(out, "{}", header.summary_line()).map_err(failed)
}

fn counts(c: &Counts) -> String {
    let mut parts = Vec::new();
    for (n, what) in [
        (c.insert, "to insert"),
        (c.update, "to update"),
        (c.delete, "to delete"),
        (c.skip, "unchanged"),
    ] {
        if n > 0 {
            parts.push(format!("{n} {what}"));
        }
    }
    match c.violation {
        0 => {}
        1 => parts.push("1 violation".into()),
        n => parts.push(format!("{n} violations")),
    }
    if parts.is_empty() {
        parts.push("nothing".into());
    }
    parts.join(", ")
}

/// The longest value shown on a line, in characters.
const WIDEST: usize = 200;

fn value(v: Option<&str>) -> String {
    match v {
        None => "null".into(),
        Some(v) => {
            let shown = escape(
                v.get(..v.char_indices().nth(WIDEST).map_or(v.len(), |(i, _)| i))
                    .unwrap_or(v),
            );
            let cut = v.chars().nth(WIDEST).is_some();
            let rest = if cut {
                format!("… ({} bytes)", v.len())
            } else {
                String::new()
            };
            format!("\"{}\"{rest}", shown.replace('"', "\\\""))
        }
    }
}

fn entry_lines(entry: &Entry, style: Style) -> String {
    let key = display_key(&entry.key);
    let from = escape(&entry.from.join(", "));
    let mut text = String::new();
    let rounded_note = |rounded: &BTreeMap<String, String>| {
        rounded
            .iter()
            .fold(String::new(), |mut note, (column, given)| {
                let _ = writeln!(
                    note,
                    "      {} was given as {} and is rounded",
                    escape(column),
                    value(Some(given))
                );
                note
            })
    };
    let _ = match &entry.what {
        What::Insert { values, rounded } => {
            let values: Vec<String> = values
                .iter()
                .map(|(c, v)| format!("{}: {}", escape(c), value(v.as_deref())))
                .collect();
            let note = rounded_note(rounded);
            write!(
                text,
                "  {} {key}\n      {}\n{note}",
                style.paint("32", "+"),
                values.join(", ")
            )
        }
        What::Update {
            set,
            revives,
            rounded,
            ..
        } => {
            let revived = if *revives {
                "  (was deleted; comes back)"
            } else {
                ""
            };
            let mut lines = format!("  {} {key}{revived}\n", style.paint("33", "~"));
            for (column, (old, new)) in set {
                let _ = writeln!(
                    lines,
                    "      {}: {} → {}",
                    escape(column),
                    value(old.as_deref()),
                    value(new.as_deref())
                );
            }
            text = lines;
            text.write_str(&rounded_note(rounded))
        }
        What::Delete { values, soft, .. } => {
            let how = if *soft { "  (marked as deleted)" } else { "" };
            let values: Vec<String> = values
                .iter()
                .filter_map(|(c, v)| {
                    v.as_deref()
                        .map(|v| format!("{}: {}", escape(c), value(Some(v))))
                })
                .collect();
            write!(
                text,
                "  {} {key}{how}\n      {}\n",
                style.paint("31", "-"),
                values.join(", ")
            )
        }
        What::Skip(skip) => {
            let why = match skip {
                Skip::Unchanged(_) => "unchanged",
                Skip::Exists => "exists, and the table is insert_only",
                Skip::Conflict => "exists, and the existing row is kept",
                Skip::Missing => "does not exist, and the table is update_only",
                Skip::Duplicate => "an identical copy of another record",
                Skip::Superseded => "a later record with the same key wins",
            };
            writeln!(text, "    {key}  {why}  ({from})")
        }
        What::Violation(v) => {
            let effect = match v.effect {
                Effect::Block => "blocks",
                Effect::Reject => "record left out",
                Effect::Keep => "existing value stays",
            };
            let field = v
                .field
                .as_deref()
                .map(|f| format!(" {}", escape(f)))
                .unwrap_or_default();
            let values = match (&v.existing, &v.given) {
                (Some(old), new) => format!(": {} → {}", value(Some(old)), value(new.as_deref())),
                (None, Some(new)) => format!(": {}", value(Some(new))),
                (None, None) => String::new(),
            };
            write!(
                text,
                "  {} {key}  {}{field}{values} [{effect}]\n      {} ({from})\n",
                style.paint("35", "!"),
                v.kind.word(),
                escape(&v.message)
            )
        }
    };
    text
}
