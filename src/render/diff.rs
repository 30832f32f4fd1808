//! What changed between two plans, for who reviewed the first.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::json;

use super::markdown::{LARGEST, code};
use super::select::Filter;
use super::text::{Style, entry_text};
use crate::error::{Error, Result};
use crate::plan::{Entry, Kind, What, display_key};
use crate::planfile::diff::{HeaderDifference, Objects, PlanDiff};
use crate::planfile::{PlanFile, action, entry_json};
use crate::text::cut::{quoted, quoted_pair, wrap};
use crate::text::escape;

/// The format of the JSON.
pub const FORMAT: &str = "table-loader-diff/1";

/// The last line people see, and scripts look for.
pub fn summary_line(diff: &PlanDiff<'_>) -> String {
    let c = &diff.counts;
    format!(
        "Compared: {} different, {} added, {} removed, {} the same.",
        c.different, c.added, c.removed, c.same
    )
}

/// Whether the two plans say anything different.
pub fn differs(diff: &PlanDiff<'_>) -> bool {
    let c = &diff.counts;
    c.different + c.added + c.removed > 0 || !diff.header.is_empty()
}

/// What an entry says about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Word(String),
    Value(Option<String>),
    Change(Option<String>, Option<String>),
    Lost(Option<String>),
}

impl Said {
    fn shown(&self) -> String {
        match self {
            Said::Word(word) => escape(word),
            Said::Value(value) => quoted(value.as_deref()),
            Said::Change(old, new) => quoted_pair(old.as_deref(), new.as_deref()),
            Said::Lost(value) => format!("{} → deleted", quoted(value.as_deref())),
        }
    }
}

/// What an entry says, by what it is about: its columns, and what else there is.
fn facets(entry: &Entry) -> BTreeMap<(u8, String), Said> {
    let mut said = BTreeMap::new();
    let word = |text: &str| Said::Word(text.to_owned());
    let mut other = |name: &str, what: Said| said.insert((1, name.to_owned()), what);
    let own = |v: &Option<String>| Said::Value(v.clone());
    match &entry.what {
        What::Insert { rounded, .. } | What::Update { rounded, .. } => {
            for (column, given) in rounded {
                other(
                    &format!("{column}, before rounding"),
                    Said::Value(Some(given.clone())),
                );
            }
        }
        _ => {}
    }
    match &entry.what {
        What::Update { revives: true, .. } => {
            other("the row", word("was deleted and comes back"));
        }
        What::Delete { soft: true, .. } => {
            other("the row", word("is marked as deleted"));
        }
        What::Violation(v) => {
            other("effect", word(v.effect.words()));
            other("reason", word(&v.message));
            if v.existing.is_some() {
                other("existing", own(&v.existing));
            }
            if v.given.is_some() {
                other("given", own(&v.given));
            }
        }
        _ => {}
    }
    match &entry.what {
        What::Insert { values, .. } => {
            said.extend(values.iter().map(|(c, v)| ((0, c.clone()), own(v))));
        }
        What::Update { set, .. } => said.extend(
            set.iter()
                .map(|(c, (a, b))| ((0, c.clone()), Said::Change(a.clone(), b.clone()))),
        ),
        What::Delete { values, .. } => said.extend(
            values
                .iter()
                .map(|(c, v)| ((0, c.clone()), Said::Lost(v.clone()))),
        ),
        What::Skip(_) | What::Violation(_) => {}
    }
    said
}

/// The word for what an entry does.
fn does(entry: &Entry) -> String {
    match &entry.what {
        What::Skip(skip) => format!("skip ({})", skip.reason()),
        What::Violation(v) => {
            let field = v.field.as_deref().map(|f| format!(" of {f}"));
            format!("violation {}{}", v.kind.word(), field.unwrap_or_default())
        }
        what => action(what).to_owned(),
    }
}

/// What two entries say differently: about what, and each.
fn differences([old, new]: &[Entry; 2]) -> Vec<(String, String, String)> {
    let (mut a, b) = (facets(old), facets(new));
    let nothing = || "nothing".to_owned();
    let mut found: Vec<((u8, String), String, String)> = b
        .into_iter()
        .filter_map(|(name, new)| {
            let old = a.remove(&name);
            (old.as_ref() != Some(&new)).then(|| {
                let old = old.as_ref().map_or_else(nothing, Said::shown);
                (name, old, new.shown())
            })
        })
        .collect();
    found.extend(
        a.into_iter()
            .map(|(name, old)| (name, old.shown(), nothing())),
    );
    found.sort();
    let mut found: Vec<(String, String, String)> = found
        .into_iter()
        .map(|((_, name), old, new)| (name, old, new))
        .collect();
    if expects(old) != expects(new) && expects(old).is_some() && expects(new).is_some() {
        found.push((
            "the row there now".into(),
            "as the first plan saw it".into(),
            "changed since the first plan".into(),
        ));
    }
    found
}

fn expects(entry: &Entry) -> Option<&str> {
    match &entry.what {
        What::Update { expect, .. } | What::Delete { expect, .. } => Some(&expect.0),
        What::Skip(crate::plan::Skip::Unchanged(expect)) => Some(&expect.0),
        _ => None,
    }
}

/// Takes entries up to a limit and counts the rest.
struct Limit {
    left: usize,
    more: u64,
}

impl Limit {
    fn new(filter: &Filter) -> Limit {
        Limit {
            left: filter.limit.unwrap_or(usize::MAX),
            more: 0,
        }
    }

    fn takes(&mut self) -> bool {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.more += 1;
                false
            }
        }
    }
}

/// Whether an entry is asked for; where no action is, all are.
fn wanted(filter: &Filter, entry: &Entry) -> bool {
    if filter.actions.is_empty() {
        let all = Filter {
            actions: vec![action(&entry.what).to_owned()],
            ..filter.clone()
        };
        all.takes(entry)
    } else {
        filter.takes(entry)
    }
}

fn failed(e: &std::io::Error) -> Error {
    Error::io("writing the comparison", e)
}

/// Writes the comparison as text; of each kind of difference at most `filter.limit` entries.
///
/// # Errors
/// As [`PlanDiff::different`], and [`Error::Io`] where `out` cannot be written.
pub fn text(
    diff: &PlanDiff<'_>,
    filter: &Filter,
    style: Style,
    out: &mut impl Write,
) -> Result<()> {
    let [old, new] = diff.plans();
    let mut text = String::new();
    for (lead, plan) in [("From ", old), ("To   ", new)] {
        let line = format!("{} {}", title(plan), plan.hash);
        wrap(&mut text, (lead, 5), &line, 5, style.width);
        wrap(
            &mut text,
            ("     ", 5),
            &plan.header.summary_line(),
            5,
            style.width,
        );
    }
    let mut put = |lead: (&str, usize), line: &str| {
        wrap(&mut text, lead, line, lead.1 + 4, style.width);
    };
    if !diff.header.is_empty() {
        put(("", 0), "");
        for h in &diff.header {
            let line = format!("{}: {}", escape(&h.what), from_to(h));
            put(("  ", 2), &line);
        }
    }
    for (word, objects) in objects(diff) {
        if objects.count > 0 {
            put(("", 0), "");
            put(("", 0), &format!("Objects {word}: {}", objects.count));
            for key in &objects.keys {
                put(("  ", 2), &escape(key));
            }
            more(&mut put, objects.count - objects.keys.len() as u64);
        }
    }
    out.write_all(text.as_bytes()).map_err(|e| failed(&e))?;
    if diff.counts.different > 0 {
        writeln!(out, "\nDifferent:").map_err(|e| failed(&e))?;
        let mut limit = Limit::new(filter);
        diff.different(&mut |pair| {
            if !wanted(filter, &pair[0]) && !wanted(filter, &pair[1]) || !limit.takes() {
                return Ok(());
            }
            let mut text = String::new();
            let mut put = |lead: (&str, usize), line: &str| {
                wrap(&mut text, lead, line, lead.1 + 4, style.width);
            };
            let [was, is] = [does(&pair[0]), does(&pair[1])];
            let before = if was == is {
                String::new()
            } else {
                format!(" (was: {})", escape(&was))
            };
            let entry = &pair[1];
            let glyph = format!("  {} ", style.paint("33", "≠"));
            put(
                (&glyph, 4),
                &format!(
                    "{} {}: {}{before}",
                    escape(&entry.table),
                    display_key(&entry.key),
                    escape(&is)
                ),
            );
            for (name, old, new) in differences(&pair) {
                put(
                    ("      ", 6),
                    &format!("{}: {new}  (was: {old})", escape(&name)),
                );
            }
            out.write_all(text.as_bytes()).map_err(|e| failed(&e))
        })?;
        rest(out, &limit, style)?;
    }
    for (count, name, plan) in [
        (diff.counts.added, "Added", new),
        (diff.counts.removed, "Removed", old),
    ] {
        if count == 0 {
            continue;
        }
        writeln!(out, "\n{name}:").map_err(|e| failed(&e))?;
        let mut limit = Limit::new(filter);
        let mut table = String::new();
        let mut sink = |entry: Entry| {
            if !wanted(filter, &entry) || !limit.takes() {
                return Ok(());
            }
            let mut text = String::new();
            if table != entry.table {
                table.clone_from(&entry.table);
                wrap(
                    &mut text,
                    ("  ", 2),
                    &format!("{}:", escape(&table)),
                    4,
                    style.width,
                );
            }
            let from = entry.from.join(", ");
            if let Some(table) = plan.header.table(&entry.table) {
                let title = display_key(&entry.key);
                entry_text(&mut text, &entry, &title, &from, table, style);
            }
            out.write_all(text.as_bytes()).map_err(|e| failed(&e))
        };
        match name {
            "Added" => diff.added(&mut sink)?,
            _ => diff.removed(&mut sink)?,
        }
        rest(out, &limit, style)?;
    }
    if diff.counts.moved > 0 {
        let n = diff.counts.moved;
        let come = if n == 1 { "comes" } else { "come" };
        writeln!(
            out,
            "\n{n} of the same {come} from another place of the batch."
        )
        .map_err(|e| failed(&e))?;
    }
    writeln!(out, "\n{}", summary_line(diff)).map_err(|e| failed(&e))
}

fn rest(out: &mut impl Write, limit: &Limit, style: Style) -> Result<()> {
    let mut text = String::new();
    more(
        &mut |lead, line| wrap(&mut text, lead, line, lead.1 + 4, style.width),
        limit.more,
    );
    out.write_all(text.as_bytes()).map_err(|e| failed(&e))
}

fn more(put: &mut dyn FnMut((&str, usize), &str), n: u64) {
    if n > 0 {
        put(("  ", 2), &format!("… and {n} more"));
    }
}

fn title(plan: &PlanFile) -> String {
    let header = &plan.header;
    let (what, into) = match header.kind {
        Kind::Load => ("load of batch", "into"),
        Kind::Rollback => ("rollback of batch", "in"),
    };
    format!(
        "{}: {what} {} {into} {}",
        escape(plan.name()),
        escape(&header.batch_id),
        escape(&header.target.database)
    )
}

fn from_to(h: &HeaderDifference) -> String {
    match (&h.old, &h.new) {
        (Some(old), Some(new)) => quoted_pair(Some(old), Some(new)),
        (Some(old), None) => format!("{}, no longer", escape(old)),
        (None, Some(new)) => format!("{}, new", escape(new)),
        (None, None) => String::new(),
    }
}

fn objects<'d>(diff: &'d PlanDiff<'_>) -> [(&'static str, &'d Objects); 3] {
    [
        ("with another content", &diff.objects_changed),
        ("added", &diff.objects_added),
        ("removed", &diff.objects_removed),
    ]
}

/// Writes the comparison as Markdown for one pull-request comment, at most [`LARGEST`] bytes.
///
/// # Errors
/// As [`text`].
pub fn markdown(diff: &PlanDiff<'_>, filter: &Filter, out: &mut impl Write) -> Result<()> {
    /// What is kept for the lines after the rows.
    const RESERVE: usize = 1_000;
    let [old, new] = diff.plans();
    let mut text = format!(
        "<!-- table-loader diff {} {} -->\n### Since the plan that was reviewed · {} · {}\n\n",
        old.hash,
        new.hash,
        code(&new.header.batch_id, 100),
        code(&new.header.target.database, 100)
    );
    for (word, plan) in [("from", old), ("to", new)] {
        text += &format!(
            "- {word} {} {}: {}\n",
            code(plan.name(), 100),
            code(&plan.hash, 100),
            plan.header.summary_line()
        );
    }
    let room = |text: &mut String, row: String| {
        let fits = text.len() + row.len() + RESERVE <= LARGEST;
        if fits {
            *text += &row;
        }
        fits
    };
    let shown = |v: &Option<String>| v.as_deref().map_or("–".to_owned(), |v| code(v, 200));
    if !diff.header.is_empty() {
        text += "\n| | was | is |\n|:--|:--|:--|\n";
        for (i, h) in diff.header.iter().enumerate() {
            let row = format!(
                "| {} | {} | {} |\n",
                code(&h.what, 100),
                shown(&h.old),
                shown(&h.new)
            );
            if !room(&mut text, row) {
                text += &format!("\n… and {} more.\n", diff.header.len() - i);
                break;
            }
        }
    }
    for (word, objects) in objects(diff) {
        let keys: Vec<String> = objects.keys.iter().map(|k| code(k, 200)).collect();
        let more = match objects.count - keys.len() as u64 {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        if objects.count > 0 {
            let row = format!("\nObjects {word}: {}{more}\n", keys.join(", "));
            room(&mut text, row);
        }
    }
    let row_of = |entry: &Entry| {
        format!(
            "{} | {}",
            code(&entry.table, 63),
            code(&display_key(&entry.key), 200)
        )
    };
    if diff.counts.different > 0 {
        text += &format!(
            "\n**Different: {}**\n\n| table | row | what | was | is |\n|:--|:--|:--|:--|:--|\n",
            diff.counts.different
        );
        let mut limit = Limit::new(filter);
        diff.different(&mut |pair| {
            if !wanted(filter, &pair[0]) && !wanted(filter, &pair[1]) || !limit.takes() {
                return Ok(());
            }
            let mut rows = differences(&pair);
            let [was, is] = [does(&pair[0]), does(&pair[1])];
            if was != is || rows.is_empty() {
                rows.insert(0, ("action".into(), was, is));
            }
            let who = row_of(&pair[1]);
            let rows = rows.iter().map(|(what, was, is)| {
                format!(
                    "| {who} | {} | {} | {} |\n",
                    code(what, 63),
                    code(was, 450),
                    code(is, 450)
                )
            });
            if !room(&mut text, rows.collect()) {
                limit.left = 0;
                limit.more += 1;
            }
            Ok(())
        })?;
        text += &left_out(&limit);
    }
    for (count, name) in [
        (diff.counts.added, "Added"),
        (diff.counts.removed, "Removed"),
    ] {
        if count == 0 {
            continue;
        }
        let head = format!(
            "\n**{name}: {count}**\n\n| table | row | action | says |\n|:--|:--|:--|:--|\n"
        );
        if !room(&mut text, head) {
            text += &format!("\n{name}: {count}\n");
            continue;
        }
        let mut limit = Limit::new(filter);
        let mut sink = |entry: Entry| {
            if !wanted(filter, &entry) || !limit.takes() {
                return Ok(());
            }
            let says: Vec<String> = facets(&entry)
                .into_iter()
                .map(|((_, name), said)| format!("{name}: {}", said.shown()))
                .collect();
            let row = format!(
                "| {} | {} | {} |\n",
                row_of(&entry),
                code(&does(&entry), 100),
                code(&says.join(", "), 450)
            );
            if !room(&mut text, row) {
                limit.left = 0;
                limit.more += 1;
            }
            Ok(())
        };
        match name {
            "Added" => diff.added(&mut sink)?,
            _ => diff.removed(&mut sink)?,
        }
        text += &left_out(&limit);
    }
    text += &format!("\n{}\n", summary_line(diff));
    out.write_all(text.as_bytes()).map_err(|e| failed(&e))
}

fn left_out(limit: &Limit) -> String {
    match limit.more {
        0 => String::new(),
        n => format!("\n… and {n} more; `loader show` of both plans has them.\n"),
    }
}

/// Writes the comparison as one JSON object, one entry a line.
///
/// # Errors
/// As [`text`].
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
    let mut text = String::from("{\n");
    for (name, value) in lines {
        text += &format!("\"{name}\": {value},\n");
    }
    text += "\"entries\": [";
    out.write_all(text.as_bytes()).map_err(|e| failed(&e))?;
    let mut comma = "\n";
    let mut write = |what: &str, parts: &[(&str, Entry)]| {
        let mut line = format!("{comma}{{\"difference\":\"{what}\"");
        comma = ",\n";
        for (name, entry) in parts {
            let entry = entry_json(entry.clone()).map_err(|e| failed(&e.into()))?;
            line += &format!(",\"{name}\":{entry}");
        }
        out.write_all((line + "}").as_bytes())
            .map_err(|e| failed(&e))
    };
    let mut limit = Limit::new(filter);
    diff.different(&mut |pair| {
        if !wanted(filter, &pair[0]) && !wanted(filter, &pair[1]) || !limit.takes() {
            return Ok(());
        }
        let [old, new] = pair;
        write("different", &[("old", old), ("new", new)])
    })?;
    let mut limit = Limit::new(filter);
    diff.added(&mut |entry| {
        if wanted(filter, &entry) && limit.takes() {
            write("added", &[("new", entry)])
        } else {
            Ok(())
        }
    })?;
    let mut limit = Limit::new(filter);
    diff.removed(&mut |entry| {
        if wanted(filter, &entry) && limit.takes() {
            write("removed", &[("old", entry)])
        } else {
            Ok(())
        }
    })?;
    out.write_all(b"\n]\n}\n").map_err(|e| failed(&e))
}
