//! A plan as an Excel workbook.

use std::io::Write;

use rust_xlsxwriter::{
    DataValidation, DocProperties, ExcelDateTime, Format, FormatAlign, Workbook, Worksheet,
    XlsxError,
};

use super::{Line, Said, failed, fit, lines};
use crate::error::{Error, Result};
use crate::plan::Verdict;
use crate::plan::review::sheet::{
    CHANGES, COMMENT, DECISION, ENTRY, GROUP, KEY, PLAN_HASH, REVIEWER, SUMMARY, TABLE, VALUE,
    VIOLATIONS, WHAT,
};
use crate::planfile::PlanFile;
use crate::render::select::Filter;
use crate::render::takes_no_decisions;
use crate::text::escape;

/// The rows of a sheet below its header.
const MOST_ROWS: u32 = 1_048_575;
/// What a cell has room for, in UTF-16 units.
const MOST_CHARACTERS: usize = 32_767;

/// Columns with their widths in characters.
const OF_CHANGES: [(&str, u32); 10] = [
    (DECISION, 11),
    (COMMENT, 30),
    (TABLE, 18),
    (GROUP, 18),
    ("action", 9),
    (KEY, 30),
    (CHANGES, 70),
    ("stands out", 30),
    ("from", 40),
    (ENTRY, 20),
];
const OF_VIOLATIONS: [(&str, u32); 13] = [
    (DECISION, 11),
    (COMMENT, 30),
    (TABLE, 18),
    (GROUP, 18),
    ("effect", 16),
    ("kind", 18),
    (KEY, 30),
    ("field", 18),
    ("given", 30),
    ("existing", 30),
    ("message", 70),
    ("from", 40),
    (ENTRY, 20),
];
const OF_SUMMARY: [(&str, u32); 3] = [(WHAT, 24), (VALUE, 90), ("note", 60)];

const HOW: &str = "In the sheets changes and violations choose accept, leave_out or question in the column decision, and \
    comment beside it; what is not decided stays as planned. Save the workbook, and hand it to loader plan --decisions.";

/// Writes what `filter` takes of a plan as a workbook: the sheets summary, changes and violations. Rows are not
/// held in memory.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) with more rows than a sheet has; [`Io`](crate::ErrorKind::Io) where `out`
/// cannot be written; as [`PlanFile::stream`].
pub fn plan(plan: &PlanFile, filter: &Filter, out: impl Write + Send) -> Result<()> {
    let mut workbook = Workbook::new();
    // Nothing in it tells when it was made.
    let epoch = ExcelDateTime::from_ymd(2000, 1, 1).map_err(wrong)?;
    workbook.set_properties(&DocProperties::new().set_creation_datetime(&epoch));
    let mut summary = Sheet::new(&mut workbook, SUMMARY, &OF_SUMMARY)?;
    let mut changes = Sheet::new(&mut workbook, CHANGES, &OF_CHANGES)?;
    let mut violations = Sheet::new(&mut workbook, VIOLATIONS, &OF_VIOLATIONS)?;
    for [what, value, note] in facts(plan) {
        summary.row(&[&what, &fit(value), &note])?;
    }
    lines(plan, filter, &mut |line| {
        let Line {
            named,
            action,
            group,
            from,
            said,
            unusual,
        } = line;
        let (table, key, entry) = (named.shown_table(), named.shown_key(), named.cell());
        if entry.len() > MOST_CHARACTERS {
            return Err(Error::config(format!(
                "{table} {key}: what names the row (table, key and origin) is too long for a cell of a workbook; decide \
                 about this plan on its page, or leave the row out of the workbook with --table, --action or --key"
            )));
        }
        match said {
            Said::Change(what) => changes.row(&[
                "", "", &table, &group, action, &key, &what, &unusual, &from, &entry,
            ]),
            Said::Violation {
                kind,
                effect,
                field,
                given,
                existing,
                message,
            } => violations.row(&[
                "", "", &table, &group, effect, kind, &key, &field, &given, &existing, &message,
                &from, &entry,
            ]),
        }
    })?;
    workbook.push_worksheet(summary.done()?);
    for sheet in [changes, violations] {
        workbook.push_worksheet(match takes_no_decisions(plan) {
            None => sheet.with_choices()?,
            Some(_) => sheet.done()?,
        });
    }
    workbook.save_to_writer(out).map_err(wrong)
}

/// What the summary says.
fn facts(plan: &PlanFile) -> Vec<[String; 3]> {
    let header = &plan.header;
    let fact = |what: &str, value: &str, note: &str| [what, value, note].map(str::to_owned);
    let mut facts = vec![
        fact(REVIEWER, "", "write your name beside this"),
        fact(
            PLAN_HASH,
            plan.verified_hash(),
            "names the plan: do not change it",
        ),
        fact("how", takes_no_decisions(plan).unwrap_or(HOW), ""),
        fact("batch", &escape(&header.batch_id), ""),
        fact("database", &escape(&header.target.database), ""),
        fact("plan", &header.summary_line(), ""),
    ];
    if let Some(against) = header.against() {
        facts.push(fact("against it", &against, ""));
    }
    for table in &header.tables {
        let c = &table.counts;
        let counts = format!(
            "{} to insert, {} to update, {} to delete, {} violations",
            c.insert, c.update, c.delete, c.violation
        );
        let name = escape(&table.table);
        facts.push(fact(&format!("table {name}"), &counts, ""));
        for note in table.notes(header.kind) {
            facts.push(fact(&format!("note on {name}"), &escape(&note), ""));
        }
    }
    facts
}

/// A sheet that is written row by row.
struct Sheet {
    sheet: Worksheet,
    text: Format,
    columns: u16,
    rows: u32,
}

impl Sheet {
    /// A sheet with its header, which stays where it is when rows are scrolled.
    fn new(workbook: &mut Workbook, name: &str, columns: &[(&str, u32)]) -> Result<Sheet> {
        let mut sheet = workbook
            .new_worksheet_with_constant_memory()
            .map_err(wrong)?;
        // What is typed there stays a text, too.
        let text = Format::new()
            .set_num_format("@")
            .set_text_wrap()
            .set_align(FormatAlign::Top);
        let bold = text.clone().set_bold();
        sheet.set_name(name).map_err(wrong)?;
        sheet.set_freeze_panes(1, 0).map_err(wrong)?;
        let mut place = 0;
        for (name, width) in columns {
            sheet.set_column_width(place, *width).map_err(wrong)?;
            sheet.set_column_format(place, &text).map_err(wrong)?;
            sheet
                .write_string_with_format(0, place, *name, &bold)
                .map_err(wrong)?;
            place += 1;
        }
        Ok(Sheet {
            sheet,
            text,
            columns: place,
            rows: 0,
        })
    }

    fn row(&mut self, cells: &[&str]) -> Result<()> {
        if self.rows == MOST_ROWS {
            return Err(Error::config(format!(
                "a sheet has room for {MOST_ROWS} rows, and the plan has more: show a part of it with --table or \
                 --action, or use --format csv"
            )));
        }
        self.rows += 1;
        for (place, cell) in (0..).zip(cells) {
            if !cell.is_empty() {
                self.sheet
                    .write_string_with_format(self.rows, place, *cell, &self.text)
                    .map_err(wrong)?;
            }
        }
        Ok(())
    }

    /// With a choice of decisions in the first column.
    fn with_choices(mut self) -> Result<Worksheet> {
        let words = Verdict::ALL.map(Verdict::word);
        let choices = DataValidation::new()
            .allow_list_strings(&words)
            .and_then(|choices| choices.set_error_title("Decision"))
            .and_then(|choices| {
                choices.set_error_message("accept, leave_out or question; empty: not decided")
            })
            .map_err(wrong)?;
        self.sheet
            .add_data_validation(1, 0, self.rows.max(1), 0, &choices)
            .map_err(wrong)?;
        self.done()
    }

    fn done(mut self) -> Result<Worksheet> {
        self.sheet
            .autofilter(0, 0, self.rows, self.columns - 1)
            .map_err(wrong)?;
        Ok(self.sheet)
    }
}

fn wrong(e: XlsxError) -> Error {
    failed(std::io::Error::other(e.to_string()))
}
