//! A plan as Markdown for one pull-request comment.

mod groups;
mod inert;
mod notes;
mod review;
mod rows;

use std::io::Write;

use super::drift::About;
use super::select::{Filter, Section, Selection};
use super::verdict::{Verdict, left_out, noted, operation, takes_back};
use crate::action::Action;
use crate::error::{Error, Result};
use crate::plan::{DriftReport, Header, ReferrerReport, TablePlan};
use crate::planfile::PlanFile;
pub use inert::is_address;
pub(super) use inert::{code, link_to};
use inert::{html_code, words};

/// The most bytes that a comment has.
pub const LARGEST: usize = 60_000;
/// What of it is kept for what stands after the rows.
const RESERVE: usize = 1_000;
/// Of what its head leaves, notes have a part of so many, and what stands out another, before rows have the rest.
const SHARE: usize = 5;
/// More rows of one table and action than could ever fit.
pub const ROWS: usize = 2_000;

/// Writes what was selected of a plan, at most [`LARGEST`] bytes: rows are cut whole, with a share
/// for each table; violations and deletes are cut only where they alone are too much.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
pub fn selection(
    plan: &PlanFile,
    selection: &Selection,
    filter: &Filter,
    out: &mut impl Write,
) -> Result<()> {
    let header = &plan.header;
    let beneath = beneath_notes(plan);
    let mut head = head(plan);
    let mut notes = notes::Notes::of(header);
    let left = LARGEST.saturating_sub(head.len() + beneath.len() + RESERVE);
    // What is not needed of a share, the rows get.
    notes.grow(left / SHARE);
    let mut text = beneath + &review::unusual(selection, left / SHARE);
    let shown = |t: &&TablePlan| filter.of_table(&t.table);
    let mut blocks = Vec::new();
    for table in header.tables.iter().filter(shown) {
        for (section, action) in selection.table(&table.table).zip(Action::BY_URGENCY) {
            if let Some(block) = Block::new(table, action, section) {
                blocks.push(block);
            }
        }
    }
    let urgent = |b: &Block| b.action.is_urgent();
    // Violations of every table first, then deletes, then the rest table by table.
    blocks.sort_by_key(|b| {
        if urgent(b) {
            b.action.urgency()
        } else {
            Action::BY_URGENCY.len()
        }
    });
    let columns = groups::groups(&selection.groups, header, filter)
        + &review::columns(&selection.profile, header, filter);
    let (mut first, mut rest): (Vec<Block>, Vec<Block>) = blocks.into_iter().partition(urgent);
    let taken = head.len() + notes.size() + text.len() + link_to(filter).len();
    let room = LARGEST.saturating_sub(taken + RESERVE);
    let frames = |blocks: &[Block]| blocks.iter().map(Block::frame).sum::<usize>();
    let room = room.saturating_sub(frames(&first) + columns.len());
    let left = share(&mut first, room);
    if first.iter().any(Block::is_cut) {
        text += "\n> [!WARNING]\n> There are more violations and deletes than one comment holds; some are left out below, with their number.\n";
    }
    let left = left.saturating_sub(frames(&rest));
    let left = unfold(&mut first, left);
    notes.grow(share(&mut rest, left));
    head += &notes.write();
    let mut text = head + &text;
    let in_part = |b: &Block| b.is_cut() || b.rows.iter().any(|r| r.left() > 0);
    if notes.is_cut() || first.iter().chain(&rest).any(in_part) {
        text += &link_to(filter);
    }
    text += &columns;
    for block in first.iter().chain(&rest) {
        // Only very many tables can make the frames alone too large.
        let block = block.write();
        if text.len() + block.len() + RESERVE > LARGEST {
            text += "\n… and more, for which there is no room here.\n";
            break;
        }
        text += &block;
    }
    text += &how_to_apply(plan);
    if header.skips().not_loaded() > 0 {
        text += &format!("\nSkipped: {}.\n", header.skips().reasons());
    }
    text += &format!("\n{}\n", header.summary_line());
    out.write_all(text.as_bytes())
        .map_err(|e| Error::io("writing the plan for people", e))
}

fn head(plan: &PlanFile) -> String {
    let header = &plan.header;
    let mut text = format!(
        "<!-- table-loader plan {} -->\n### {} {} · {}\n\n{}\n\n",
        plan.hash,
        operation(header),
        code(&header.batch_id, 100),
        code(&header.target.database, 100),
        verdict(header)
    );
    if let Some(line) = takes_back(header) {
        text += &format!("{}\n\n", words(&line, 1_000));
    }
    for line in super::sealed(plan) {
        text += &format!("{}\n\n", words(&line, 2_000));
    }
    text += &format!(
        "| table | insert | update | delete | {} | violations |\n|:--|--:|--:|--:|--:|--:|\n",
        header.skips().heading()
    );
    let most = 100;
    for table in header.tables.iter().take(most) {
        let c = &table.counts;
        text += &format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            code(&table.table, 63),
            c.insert,
            c.update,
            c.delete,
            c.skip,
            c.violation
        );
    }
    if let Some(more) = header.tables.len().checked_sub(most + 1) {
        text += &format!("\n… and {} more tables.\n", more + 1);
    }
    text
}

/// What stands below the notes on tables.
fn beneath_notes(plan: &PlanFile) -> String {
    let Some(notes) = &plan.notes else {
        return String::new();
    };
    let noted = noted(&plan.header, notes.get());
    format!("\nNot in the hash: {}\n", words(&noted, 300))
}

/// The hash that an approval is given for, and the command that takes it.
fn how_to_apply(plan: &PlanFile) -> String {
    let hash = code(plan.verified_hash(), 100);
    if Verdict::of(&plan.header) != Verdict::Applicable {
        return format!("\nPlan {hash}\n");
    }
    let identity = match plan.masked_hash {
        Some(_) => " --identity FILE",
        None => "",
    };
    let command = format!(
        "loader apply {}{identity} --approve {}",
        plan.name(),
        plan.verified_hash()
    );
    format!("\nPlan {hash}. To apply it: {}\n", code(&command, 500))
}

fn verdict(header: &Header) -> String {
    let verdict = Verdict::of(header);
    let sign = match verdict {
        Verdict::Blocked { .. } => "⛔",
        Verdict::Nothing | Verdict::Applicable => "✅",
    };
    let left_out = left_out(header).map(|what| format!(" ⚠️ {what}."));
    format!("{sign} **{verdict}**{}", left_out.unwrap_or_default())
}

/// The rows of one table and action.
struct Block {
    action: Action,
    title: String,
    columns: &'static str,
    rows: Vec<rows::Row>,
    /// How many rows there is room for.
    fits: usize,
    /// Entries that were not even collected.
    more: u64,
}

impl Block {
    fn new(table: &TablePlan, action: Action, section: &Section) -> Option<Block> {
        if section.groups.is_empty() && section.more == 0 {
            return None;
        }
        let rows: Vec<rows::Row> = section.groups.iter().map(rows::row).collect();
        let count = rows.iter().map(|r| r.count).sum::<u64>() + section.more;
        // A record is counted once, and has a row for each rule that it breaks.
        let records = table.counts.violation;
        let (number, findings) = match action {
            Action::Violation if records < count => (records, format!(", {count} findings")),
            _ => (count, String::new()),
        };
        let plural = if number == 1 { "" } else { "s" };
        Some(Block {
            action,
            title: format!(
                "{}: {number} {action}{plural}{findings}",
                html_code(&table.table, 63)
            ),
            columns: rows::columns(action),
            fits: rows.len(),
            rows,
            more: section.more,
        })
    }

    fn size(&self) -> usize {
        self.rows.iter().map(rows::Row::size).sum()
    }

    /// Bytes around the rows.
    fn frame(&self) -> usize {
        self.title.len() + self.columns.len() + 160
    }

    fn is_cut(&self) -> bool {
        self.fits < self.rows.len() || self.more > 0
    }

    fn write(&self) -> String {
        let open = self.action.is_urgent();
        let mut text = if open {
            format!("\n**{}**\n\n", self.title)
        } else {
            format!("\n<details><summary>{}</summary>\n\n", self.title)
        };
        text += self.columns;
        let (shown, cut) = self.rows.split_at(self.fits);
        shown.iter().for_each(|r| r.write(&mut text));
        let left_out = cut.iter().map(|r| r.count).sum::<u64>() + self.more;
        if left_out > 0 {
            text += &format!("\n… and {left_out} more; `loader show` has them.\n");
        }
        if !open {
            text += "\n</details>\n";
        }
        text
    }
}

/// Gives each block its share of `room` bytes, and returns what is left. What one does not need,
/// the others get.
fn share(blocks: &mut [Block], mut room: usize) -> usize {
    let mut by_size: Vec<usize> = (0..blocks.len()).collect();
    by_size.sort_by_key(|i| blocks[*i].size());
    for (done, i) in by_size.iter().enumerate() {
        let block = &mut blocks[*i];
        let share = room / (by_size.len() - done);
        let mut taken = 0;
        let sizes = block.rows.iter().map(rows::Row::size);
        block.fits = sizes
            .take_while(|size| {
                let fits = taken + size <= share;
                taken += if fits { *size } else { 0 };
                fits
            })
            .count();
        room -= taken;
    }
    room
}

/// Names in each row further violations that it stands for, where `room` bytes are left, and returns what is
/// left then. What one row does not need, the others get.
fn unfold(blocks: &mut [Block], mut room: usize) -> usize {
    let rows = blocks.iter_mut().flat_map(|b| &mut b.rows[..b.fits]);
    let mut rows: Vec<&mut rows::Row> = rows.filter(|r| !r.more.is_empty()).collect();
    rows.sort_by_key(|r| r.more.len());
    let of = rows.len();
    for (done, row) in rows.into_iter().enumerate() {
        room -= row.unfold(room / (of - done));
    }
    room
}

/// Writes a drift report, cut like a plan.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
pub fn drift(report: &DriftReport, about: &About, out: &mut impl Write) -> Result<()> {
    let marker = about.hash.as_deref().map(inert::plain).unwrap_or_default();
    let text = format!(
        "<!-- table-loader drift {marker} -->\n### ⛔ {}\n\n{} {}. {}\n\n{}",
        about.finding(report),
        about.what(),
        code(&about.of, 100),
        about.advice(),
        rows::DRIFT
    );
    report_rows(
        text,
        report.rows.iter().map(rows::drift),
        report.count(),
        out,
    )
}

/// Writes why a plan was refused, where words alone tell it.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
pub fn refusal(why: &str, about: &About, out: &mut impl Write) -> Result<()> {
    let marker = about.hash.as_deref().map(inert::plain).unwrap_or_default();
    let why: Vec<String> = why.lines().map(|line| words(line, 4_000)).collect();
    let text = format!(
        "<!-- table-loader drift {marker} -->\n### ⛔ Refused\n\n{} {}.\n\n{}\n",
        about.what(),
        code(&about.of, 100),
        why.join("<br>\n")
    );
    out.write_all(text.as_bytes())
        .map_err(|e| Error::io("writing the report", e))
}

/// Writes which rows stand in the way of a rollback, cut like a plan.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
pub fn referrers(report: &ReferrerReport, about: &About, out: &mut impl Write) -> Result<()> {
    let text = format!(
        "<!-- table-loader referrers -->\n### ⛔ {}\n\n{} {}. Nothing was written. {}\n\n{}",
        report.finding(),
        about.what(),
        code(&about.of, 100),
        report.advice(),
        rows::REFERRERS
    );
    report_rows(
        text,
        report.rows.iter().map(rows::referrer),
        report.count(),
        out,
    )
}

/// Writes what begins a report, and as many of its rows as there is room for; the rest of all is counted.
fn report_rows(
    mut text: String,
    rows: impl Iterator<Item = String>,
    all: u64,
    out: &mut impl Write,
) -> Result<()> {
    let mut left = all;
    for row in rows {
        if text.len() + row.len() + RESERVE > LARGEST {
            break;
        }
        text += &row;
        left -= 1;
    }
    if left > 0 {
        text += &format!("\n… and {left} more.\n");
    }
    out.write_all(text.as_bytes())
        .map_err(|e| Error::io("writing the report", e))
}
