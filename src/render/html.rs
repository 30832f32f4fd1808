//! A plan as one page that needs nothing else: no network, no other file. What is the page's own is
//! made with `maud`, which escapes all that is put in; style and script are files of their own,
//! named by their hash in the page's security policy, so that nothing else runs.

mod data;
mod drift;
mod graph;
mod groups;
mod layers;

use std::io::Write;

use base64::Engine;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::groups::Groups;
use super::profile::{Profile, TableProfile};
use super::select::{Filter, Likeness};
use super::text::FEW;
use super::unusual::Unusual;
use super::verdict::{Verdict, left_out, noted, operation};
use crate::action::Action;
use crate::error::{Error, Result};
use crate::plan::{Header, TablePlan};
use crate::planfile::{Item, PlanFile};
use crate::text::escape;
use data::Writer;
pub use drift::{drift, referrers};
use graph::{IN_BAR, bar, sign};

/// The most entries in a page.
pub const ROWS: u64 = 100_000;
/// What a page of ours says of itself near its beginning.
pub const GENERATOR: &str = "table-loader";
/// Bytes of rows after which a new element begins: the script reads one without making anybody wait.
const PIECE: usize = 64 << 10;

const STYLE: &str = include_str!("html/page/page.css");
/// One module, in files that can be read.
const SCRIPT: &str = concat!(
    include_str!("html/page/read.js"),
    include_str!("html/page/find.js"),
    include_str!("html/page/rows.js"),
    include_str!("html/page/list.js"),
    include_str!("html/page/act.js"),
);

/// Writes a verified plan as a page. Where it has more than [`ROWS`] entries, violations and
/// deletes come first, and the rest has a share for each table and action.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written; [`PlanRefused`](crate::ErrorKind::PlanRefused) where the file changed.
pub fn plan(plan: &PlanFile, filter: &Filter, name: &str, out: &mut impl Write) -> Result<()> {
    let failed = |e: std::io::Error| Error::io("writing the plan as a page", e);
    let header = &plan.header;
    let profile = Profile::of(plan)?;
    let rules = filter.rules();
    let unusual = Unusual::new(&profile, &rules);
    let title = format!("{} {}", operation(header.kind), escape(&header.batch_id));
    let top = html! {
        (top(plan, name))
        @if let Some(notes) = &plan.notes {
            p.noted { "Not in the hash: " (noted(header, notes.get())) }
        }
        (overview(header))
        (groups::groups(&Groups::of(plan, filter.by)?, header))
        (columns(&profile, &header.tables))
        (changes(header))
    };
    write!(out, "{}", page_start(&title, true).into_string()).map_err(failed)?;
    write!(out, "{}", top.into_string()).map_err(failed)?;

    let names: Vec<&str> = header.tables.iter().map(|t| t.table.as_str()).collect();
    let mut room = share(&header.tables, filter);
    let mut left = vec![[0_u64; 5]; names.len()];
    let mask = plan.mask();
    let likeness = Likeness::new();
    let mut writer = Writer::default();
    let mut pieces = Pieces {
        out: &mut *out,
        bytes: 0,
    };
    let mut place = 0;
    let mut table = 0;
    plan.stream(&mut |item| {
        let Item::Entry(entry) = item else {
            return Ok(());
        };
        place += 1;
        if !filter.takes(&entry) {
            return Ok(());
        }
        // Entries come table by table.
        if names.get(table) != Some(&entry.table.as_str()) {
            table = names
                .iter()
                .position(|n| *n == entry.table)
                .unwrap_or_default();
        }
        let mut masked = entry.clone();
        mask.entry(&mut masked);
        let marks = unusual.marks(&masked);
        if marks.is_empty() && filter.only_unusual {
            return Ok(());
        }
        let order = entry.what.action().urgency();
        // A further violation of a record has its room with the first.
        let (takes, fits) = match entry.what.is_further() {
            true => (0, left[table][order] == 0),
            false => (1, room[table][order] > 0),
        };
        if !fits {
            left[table][order] += 1;
            return Ok(());
        }
        room[table][order] -= takes;
        let same = likeness.of(&entry, place);
        let line = writer
            .row(masked, place, table, same, &marks)
            .map_err(|e| failed(e.into()))?;
        pieces.push(&line).map_err(failed)
    })?;
    pieces.end().map_err(failed)?;
    let left: Vec<(usize, usize, u64)> = (0..names.len())
        .flat_map(|t| (0..5).map(move |a| (t, a)))
        .filter_map(|(t, a)| Some((t, a, left[t][a])).filter(|l| l.2 > 0))
        .collect();
    let tail = writer
        .tail(&header.tables, &left)
        .map_err(|e| failed(e.into()))?;
    let end = html! {
        script #names type="application/json" { (PreEscaped(tail)) }
        script type="module" { (PreEscaped(text_of(SCRIPT))) }
    };
    writeln!(out, "{}</body></html>", end.into_string()).map_err(failed)
}

/// Elements with rows as JSON, none of them large.
struct Pieces<'w, W: Write> {
    out: &'w mut W,
    bytes: usize,
}

impl<W: Write> Pieces<'_, W> {
    fn push(&mut self, line: &str) -> std::io::Result<()> {
        let before = match self.bytes {
            0 => "<script class=\"rows\" type=\"application/json\">[\n",
            _ => ",\n",
        };
        write!(self.out, "{before}{line}")?;
        self.bytes += line.len();
        if self.bytes > PIECE {
            self.end()
        } else {
            Ok(())
        }
    }

    fn end(&mut self) -> std::io::Result<()> {
        match std::mem::take(&mut self.bytes) {
            0 => Ok(()),
            _ => self.out.write_all(b"\n]</script>\n"),
        }
    }
}

/// How many entries of each table and action there is room for.
fn share(tables: &[TablePlan], filter: &Filter) -> Vec<[u64; 5]> {
    let limit = filter.limit.map_or(u64::MAX, |n| n as u64);
    let mut room = vec![[0; 5]; tables.len()];
    let mut free = ROWS;
    let mut wanted: Vec<(bool, u64, usize, usize)> = Vec::new();
    for (t, table) in tables
        .iter()
        .enumerate()
        .filter(|(_, t)| filter.of_table(&t.table))
    {
        for action in Action::BY_URGENCY {
            if filter.actions.is_empty() || filter.actions.contains(&action) {
                let n = table.counts.of(action).min(limit);
                wanted.push((!action.is_urgent(), n, t, action.urgency()));
            }
        }
    }
    wanted.sort_unstable();
    let urgent = wanted.partition_point(|w| !w.0);
    for part in [&wanted[..urgent], &wanted[urgent..]] {
        // The smallest first: what one does not need, the others get.
        for (done, (_, n, t, a)) in part.iter().enumerate() {
            let given = (*n).min(free / (part.len() - done) as u64);
            room[*t][*a] = given;
            free -= given;
        }
    }
    room
}

fn text_of(file: &str) -> String {
    file.replace("\r\n", "\n")
}

fn source(file: &str) -> String {
    let digest = Sha256::digest(text_of(file).as_bytes());
    format!(
        "'sha256-{}'",
        base64::engine::general_purpose::STANDARD.encode(digest)
    )
}

/// Everything before the page's content. Only our own style, and script where there is one, may
/// act, and nothing may be fetched.
fn page_start(title: &str, script: bool) -> Markup {
    let script = if script {
        source(SCRIPT)
    } else {
        "'none'".into()
    };
    let policy = format!(
        "default-src 'none'; script-src {script}; style-src {}; base-uri 'none'; form-action 'none'",
        source(STYLE)
    );
    html! {
        (DOCTYPE)
        (PreEscaped("<html lang=\"en\">"))
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(policy);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="referrer" content="no-referrer";
            meta name="generator" content=(GENERATOR);
            title { (title) }
            style { (PreEscaped(text_of(STYLE))) }
        }
        (PreEscaped("<body>"))
    }
}

/// The verdict, and what the plan is.
fn top(plan: &PlanFile, name: &str) -> Markup {
    let header = &plan.header;
    let identity = plan.masked_hash.as_ref().map(|_| " --identity FILE");
    let verdict = Verdict::of(header);
    let class = match verdict {
        Verdict::Blocked { .. } => "blocked",
        Verdict::Nothing => "nothing",
        Verdict::Applicable => "fine",
    };
    html! {
        header.top {
            div.what {
                p.over { (operation(header.kind)) }
                h1 { (escape(&header.batch_id)) }
                p.verdict.(class) { (verdict) }
                @if let Some(what) = left_out(header) { p.verdict.rejected { (what) "." } }
            }
            dl {
                div { dt { "Database" } dd { (escape(&header.target.database)) } }
                @if header.records > 0 { div { dt { "Records read" } dd { (header.records) } } }
                @if header.skips().heading() == "skipped" { div { dt { "Records skipped" } dd { (header.skips()) } } }
                @if !header.undoes.is_empty() {
                    div { dt { "Takes back" } dd.code { (header.undoes.join(", ")) } }
                }
                div { dt { "Plan" } dd.code.all { (plan.hash) } }
                @for line in super::sealed(plan) { div { dt { "Encrypted" } dd { (line) } } }
                @if verdict == Verdict::Applicable {
                    div { dt { "To apply it" } dd.code.all { "loader apply " (escape(name)) @if let Some(i) = identity { (i) } " --approve " (plan.verified_hash()) } }
                }
            }
        }
    }
}

/// The drawing and a bar for each table.
fn overview(header: &Header) -> Markup {
    let tables = &header.tables;
    html! {
        @if let Some(drawing) = graph::draw(tables) {
            section.drawing aria-label="Tables and what they refer to" { (drawing) }
        }
        section.tables aria-label="Tables" {
            table {
                thead { tr {
                    th scope="col" { "Table" }
                    th.wide scope="col" { span.hidden { "Share of each" } }
                    @for action in IN_BAR {
                        th.number scope="col" { span class=(action) aria-hidden="true" { (sign(action)) } " " (column(header, action)) }
                    }
                } }
                tbody { @for (i, table) in tables.iter().enumerate() {
                    tr {
                        th scope="row" { a href="#changes" data-table=(i) { (escape(&table.table)) } }
                        td.wide {
                            svg.bar viewBox="0 0 600 10" preserveAspectRatio="none" aria-hidden="true" {
                                @for (kind, at, width) in bar(&table.counts, 600.0) {
                                    rect class=(kind) x=(at) width=(width) height="10" {}
                                }
                            }
                        }
                        @for action in IN_BAR {
                            @let n = table.counts.of(action);
                            td.number {
                                @if n == 0 { span.none { "·" } }
                                @else { a class=(action) href="#changes" data-table=(i) data-action=(action.urgency()) { (n) } }
                            }
                        }
                    }
                    @for warning in &table.notes() {
                        tr.note { td colspan="7" { "Note: " (escape(warning)) } }
                    }
                } }
            }
        }
    }
}

/// What the updates of each column come to, where there are many.
fn columns(profile: &Profile, tables: &[TablePlan]) -> Markup {
    let found = tables
        .iter()
        .filter_map(|t| profile.table(&t.table).map(|p| (t, p)));
    let found: Vec<(&TablePlan, &TableProfile)> = found.filter(|(_, p)| p.updates >= FEW).collect();
    html! {
        @if !found.is_empty() {
            section.columns aria-label="What the updates come to, by column" {
                table {
                    thead { tr { th scope="col" { "Table" } th scope="col" { "Column" } th scope="col" { "Updates" } } }
                    tbody { @for (table, profile) in found { @for column in profile.changed() {
                        tr {
                            td { (escape(&table.table)) }
                            th scope="row" { (escape(&column.name)) }
                            td { (column.words(profile.updates)) }
                        }
                    } } }
                }
            }
        }
    }
}

/// The head of a column of counts.
fn column(header: &Header, action: Action) -> &'static str {
    match action {
        Action::Skip => header.skips().heading(),
        Action::Violation => "violations",
        other => other.word(),
    }
}

/// The frame that the script fills.
fn changes(header: &Header) -> Markup {
    let summary = &header.summary;
    html! {
        section #changes aria-label="Changes" {
            form.tools #tools role="search" autocomplete="off" {
                input #search type="search" placeholder="Search keys and values  ( / )" aria-label="Search keys and values" spellcheck="false";
                span.actions role="group" aria-label="Actions" {
                    @for action in Action::BY_URGENCY {
                        button.chip.(action) type="button" name=(action) data-toggle=(action.urgency()) aria-pressed=(action != Action::Skip) {
                            span.sign aria-hidden="true" { (sign(action)) } " " (column(header, action)) " " b { (summary.of(action)) }
                        }
                    }
                }
                span.break {}
                select #table aria-label="Table" { option value="" { "all tables" } }
                select #column aria-label="Column" { option value="" { "all columns" } }
                select #kind aria-label="Kind of violation" { option value="" { "all kinds" } }
                label { input #grouped type="checkbox" checked; " alike as one" }
                label hidden { input #unusual type="checkbox"; " unusual only " b {} }
                button #reset type="reset" { "Reset" }
                p #state role="status" aria-live="polite" { "Reading…" }
            }
            ul #left {}
            noscript { p { "This page needs its own script to list the changes; "
                code { "loader show --all" } " lists them as text." } }
            div #list role="feed" aria-label="Changes" aria-busy="true" {}
            p.keys { kbd { "/" } " search  " kbd { "j" } " " kbd { "k" } " next, previous  " kbd { "Enter" } " open, close  "
                kbd { "Esc" } " leave the search" }
        }
    }
}
