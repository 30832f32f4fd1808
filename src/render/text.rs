//! A plan as text for a terminal.

mod drift;
mod entry;
mod groups;
mod review;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};

use tabled::builder::Builder;
use tabled::settings::object::{Columns, Segment};
use tabled::settings::style::Style as TableStyle;
use tabled::settings::{Alignment, Modify, Padding};

use super::select::Selection;
use super::verdict::{Verdict, left_out, noted, operation, plural, takes_back};
use crate::action::Action;
use crate::error::{Error, Result};
use crate::plan::{Header, Kind, TablePlan};
use crate::planfile::{Item, PlanFile};
use crate::render::groups::Groups;
use crate::render::profile::Profile;
use crate::render::unusual::Unusual;
use crate::text::cut::{fit, wrap};
use crate::text::escape;

pub use super::select::Filter;
pub use drift::{drift, referrers, refusal};
pub(super) use entry::entry_text;
use entry::{group_text, name};
pub(super) use review::FEW;

/// How text looks.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Whether to use colours.
    pub colour: bool,
    /// Columns of a line.
    pub width: usize,
}

impl Style {
    pub(super) fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn glyph(self, action: Action) -> String {
        let colour = match action {
            Action::Violation => "35",
            Action::Delete => "31",
            Action::Update => "33",
            Action::Insert => "32",
            // What changes nothing is not marked.
            Action::Skip => return " ".into(),
        };
        self.paint(colour, action.glyph())
    }
}

fn failed(e: std::io::Error) -> Error {
    Error::io("writing the plan for people", e)
}

/// Writes a verified plan for people: by table, violations first. Memory is bounded by the limit;
/// with `limit: None` entries are spooled.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written; [`PlanRefused`](crate::ErrorKind::PlanRefused) where the file changed.
pub fn plan(plan: &PlanFile, filter: &Filter, style: Style, out: &mut impl Write) -> Result<()> {
    if filter.limit.is_some() {
        return selection(plan, &Selection::of(plan, filter)?, filter, style, out);
    }
    let profile = Profile::of(plan)?;
    head(plan, style, out).map_err(failed)?;
    all(plan, &profile, filter, style, out)?;
    tail(&plan.header, out).map_err(failed)
}

/// Writes what a verified plan comes to, table by table, without its rows: the file is not read for it.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
pub fn summed(plan: &PlanFile, style: Style, out: &mut impl Write) -> Result<()> {
    head(plan, style, out).map_err(failed)?;
    for table in &plan.header.tables {
        writeln!(out, "{}", title(table, plan.header.kind, style)).map_err(failed)?;
    }
    tail(&plan.header, out).map_err(failed)
}

/// Writes what was selected of a plan.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
pub fn selection(
    plan: &PlanFile,
    selection: &Selection,
    filter: &Filter,
    style: Style,
    out: &mut impl Write,
) -> Result<()> {
    head(plan, style, out).map_err(failed)?;
    let unusual = review::unusual(selection, filter, style);
    out.write_all(unusual.as_bytes()).map_err(failed)?;
    for table in &plan.header.tables {
        if !filter.of_table(&table.table) {
            continue;
        }
        let mut text = title(table, plan.header.kind, style);
        if let Some(found) = selection.groups.table(&table.table) {
            text += &groups::groups(found, &plan.header, filter.limit, style);
        }
        text += &review::columns(&selection.profile, &table.table, style);
        for (section, action) in selection.table(&table.table).zip(Action::BY_URGENCY) {
            for group in &section.groups {
                group_text(&mut text, group, table, filter, style);
            }
            if section.more > 0 {
                let what = plural(section.more, action.word());
                let each = filter.each_of(&table.table, action);
                let more = format!("… and {what} more: {each} shows them");
                wrap(&mut text, "  ", &more, 4, style.width);
            }
        }
        writeln!(out, "{text}").map_err(failed)?;
    }
    tail(&plan.header, out).map_err(failed)
}

/// Every entry by itself, those of one table by action with what stands out first. They are spooled,
/// since the file has them by key.
fn all(
    plan: &PlanFile,
    profile: &Profile,
    filter: &Filter,
    style: Style,
    out: &mut impl Write,
) -> Result<()> {
    let header = &plan.header;
    let mask = plan.mask();
    let rules = filter.rules();
    let unusual = Unusual::new(profile, &rules);
    let found = Groups::of(plan, filter.by)?;
    let begin = |table: &TablePlan, out: &mut dyn Write| {
        let columns = review::columns(profile, &table.table, style);
        let found = found.table(&table.table);
        let found = found.map(|g| groups::groups(g, header, filter.limit, style));
        let found = found.unwrap_or_default();
        let title = title(table, header.kind, style);
        write!(out, "{title}{found}{columns}").map_err(failed)
    };
    // What is said of a table is also said of one that has no entry here.
    let without_entries = |tables: &[TablePlan], out: &mut dyn Write| {
        for table in tables.iter().filter(|t| filter.of_table(&t.table)) {
            begin(table, out)?;
            writeln!(out).map_err(failed)?;
        }
        Ok(())
    };
    let mut told = 0;
    let mut spools = Spools::new();
    let mut current: Option<String> = None;
    plan.stream(&mut |item| {
        let Item::Entry(mut entry) = item else {
            return Ok(());
        };
        if !filter.takes_behind(&mask, &entry) {
            return Ok(());
        }
        let Some(at) = header.tables.iter().position(|t| t.table == entry.table) else {
            return Ok(());
        };
        let table = &header.tables[at];
        if current.as_ref() != Some(&entry.table) {
            if current.is_some() {
                end(&mut spools, out)?;
            }
            without_entries(header.tables.get(told..at).unwrap_or_default(), out)?;
            told = told.max(at + 1);
            begin(table, out)?;
            current = Some(entry.table.clone());
        }
        mask.entry(&mut entry);
        let marks = unusual.marks(&entry);
        if marks.is_empty() && filter.only_unusual {
            return Ok(());
        }
        let spool = match spools.entry((entry.what.action().urgency(), marks.is_empty())) {
            std::collections::btree_map::Entry::Occupied(spool) => spool.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(BufWriter::new(tempfile::tempfile().map_err(failed)?))
            }
        };
        let mut text = String::new();
        entry_text(
            &mut text,
            &entry,
            &name(&entry),
            &entry.from.join(", "),
            table,
            style,
        );
        review::marks(&mut text, &marks, style);
        spool.write_all(text.as_bytes()).map_err(failed)
    })?;
    if current.is_some() {
        end(&mut spools, out)?;
    }
    without_entries(header.tables.get(told..).unwrap_or_default(), out)
}

/// By urgency, and what stands out first.
type Spools = BTreeMap<(usize, bool), BufWriter<File>>;

/// Writes what was spooled of a table, and ends it.
fn end(spools: &mut Spools, out: &mut impl Write) -> Result<()> {
    for spool in std::mem::take(spools).into_values() {
        let mut file = spool.into_inner().map_err(|e| failed(e.into_error()))?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        std::io::copy(&mut file, out).map_err(failed)?;
    }
    writeln!(out).map_err(failed)
}

fn head(plan: &PlanFile, style: Style, out: &mut impl Write) -> std::io::Result<()> {
    let header = &plan.header;
    let mut text = String::new();
    let line = format!(
        "{} {} {} {}",
        operation(header),
        escape(&header.batch_id),
        match header.kind {
            Kind::Load => "into",
            Kind::Rollback => "in",
        },
        escape(&header.target.database)
    );
    wrap(&mut text, "", &line, 2, style.width);
    if let Some(line) = takes_back(header) {
        wrap(&mut text, "", &line, 2, style.width);
    }
    if let Some(notes) = &plan.notes {
        let line = format!("Not in the hash: {}", noted(header, notes.get()));
        wrap(&mut text, "", &line, 2, style.width);
    }
    let mut sealed = String::new();
    for line in super::sealed(plan) {
        wrap(&mut sealed, "", &line, 2, style.width);
    }
    write!(
        out,
        "{text}{}\n{sealed}\n{}\n\n{}\n\n",
        plan.hash,
        summary(header, style),
        legend(style)
    )
}

/// What the signs before entries mean; it stands in every plan that is shown as text.
pub fn legend(style: Style) -> String {
    format!(
        "  {} insert   {} update   {} delete   {} violation",
        style.paint("32", "+"),
        style.paint("33", "~"),
        style.paint("31", "-"),
        style.paint("35", "!"),
    )
}

/// A row of counts for each table.
fn summary(header: &Header, style: Style) -> String {
    let mut rows = Builder::default();
    rows.push_record([
        "table",
        "insert",
        "update",
        "delete",
        header.skips().heading(),
        "violations",
    ]);
    let number = |n: u64| if n == 0 { "·".into() } else { n.to_string() };
    for table in &header.tables {
        let c = &table.counts;
        let mut row = vec![fit(&table.table, style.width.saturating_sub(52).max(12))];
        row.extend([c.insert, c.update, c.delete, c.skip, c.violation].map(number));
        rows.push_record(row);
    }
    of_counts(rows)
}

/// A table of names, and counts beside them.
fn of_counts(rows: Builder) -> String {
    let mut table = rows.build();
    table
        .with(TableStyle::empty())
        .with(Padding::new(2, 0, 0, 0))
        .with(Modify::new(Segment::all()).with(Alignment::right()))
        .with(Modify::new(Columns::first()).with(Alignment::left()));
    table.to_string()
}

fn title(table: &TablePlan, kind: Kind, style: Style) -> String {
    let mut text = String::new();
    let name = style.paint("1", &fit(&table.table, style.width));
    wrap(
        &mut text,
        "",
        &format!("{name}: {}", counts(table)),
        4,
        style.width,
    );
    for warning in &table.notes(kind) {
        wrap(
            &mut text,
            "  ",
            &format!("note: {}", escape(warning)),
            8,
            style.width,
        );
    }
    text
}

fn tail(header: &Header, out: &mut impl Write) -> std::io::Result<()> {
    let verdict = Verdict::of(header);
    let is_blocked = matches!(verdict, Verdict::Blocked { .. });
    if is_blocked {
        writeln!(out, "{verdict}")?;
    }
    if let Some(what) = left_out(header) {
        let rest = if is_blocked {
            ""
        } else {
            "; the rest can be applied"
        };
        writeln!(out, "{what}{rest}.")?;
    }
    if header.skips().not_loaded() > 0 {
        writeln!(out, "Skipped: {}.", header.skips().reasons())?;
    }
    writeln!(out, "{}", header.summary_line())
}

fn counts(table: &TablePlan) -> String {
    let c = &table.counts;
    let mut parts = Vec::new();
    for (n, what) in [
        (c.insert, "to insert"),
        (c.update, "to update"),
        (c.delete, "to delete"),
    ] {
        if n > 0 {
            parts.push(format!("{n} {what}"));
        }
    }
    if c.skip > 0 {
        parts.push(table.skips.to_string());
    }
    if c.violation > 0 {
        let left_out = match table.rejected {
            0 => String::new(),
            n => format!(" ({})", crate::plan::left_out(n)),
        };
        parts.push(plural(c.violation, "violation") + &left_out);
    }
    if parts.is_empty() {
        parts.push("nothing".into());
    }
    parts.join(", ")
}
