//! A plan as one page that needs nothing else: no network, no other file. What is the page's own is
//! made with `maud`, which escapes all that is put in; style and script are files of their own,
//! named by their hash in the page's security policy, so that nothing else runs.

mod comparison;
mod data;
mod drift;
mod frame;
mod graph;
mod groups;
mod layers;
mod top;

use std::io::Write;

use base64::Engine;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::select::{Filter, Likeness, Selection};
use super::unusual::Unusual;
use super::verdict::operation;
use crate::action::Action;
use crate::error::{Error, Result};
use crate::plan::TablePlan;
use crate::plan::review::name::Names;
use crate::planfile::{Item, PlanFile};
use crate::text::cut::cut_value;
use crate::text::escape;
pub use comparison::comparison;
use data::Writer;
pub use drift::{drift, referrers, refusal};

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
    include_str!("html/page/facets.js"),
    include_str!("html/page/rows.js"),
    include_str!("html/page/list.js"),
    include_str!("html/page/decide.js"),
    include_str!("html/page/file.js"),
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
    let mut filter = filter.clone();
    if filter.actions.is_empty() && header.skips().kept() > 0 {
        // What a rollback keeps is what it does not do: that is shown.
        filter.actions = Action::BY_URGENCY.to_vec();
    }
    let filter = &filter;
    let few = Filter {
        limit: Some(top::NAMED),
        ..filter.clone()
    };
    let selection = Selection::of(plan, &few)?;
    let rules = filter.rules();
    let unusual = Unusual::new(&selection.profile, &rules);
    let title = format!("{} {}", operation(header), escape(&header.batch_id));
    let top = html! {
        (top::top(plan, &selection, name))
        main {
            (frame::overview(header))
            (groups::groups(&selection.groups, header))
            (frame::columns(&selection.profile, &header.tables))
            (frame::changes(plan, filter, name))
        }
    };
    write!(out, "{}", page_start(&title, true).into_string()).map_err(failed)?;
    write!(out, "{}", top.into_string()).map_err(failed)?;

    let names: Vec<&str> = header.tables.iter().map(|t| t.table.as_str()).collect();
    let mut room = share(&header.tables, filter);
    let mut left = vec![[0_u64; 5]; names.len()];
    let mask = plan.mask();
    let naming = Names::new(&mask);
    let likeness = Likeness::new();
    let mut writer = Writer::new(&header.tables);
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
        if !filter.takes_behind(&mask, &entry) {
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
        let (takes, fits) = if entry.what.is_further() {
            (0, left[table][order] == 0)
        } else {
            (1, room[table][order] > 0)
        };
        if !fits {
            left[table][order] += 1;
            return Ok(());
        }
        room[table][order] -= takes;
        let same = likeness.of(&entry, place);
        let line = writer
            .row(masked, naming.key(&entry), place, table, same, &marks)
            .map_err(|e| failed(e.into()))?;
        pieces.push(&line).map_err(failed)
    })?;
    pieces.end().map_err(failed)?;
    let left: Vec<(usize, usize, u64)> = (0..names.len())
        .flat_map(|t| (0..5).map(move |a| (t, a)))
        .filter_map(|(t, a)| Some((t, a, left[t][a])).filter(|l| l.2 > 0))
        .collect();
    let tail = writer
        .tail(plan.verified_hash(), header, &left)
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
            if filter.of_action(action) {
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

/// The longest value of a page without a script, in characters.
const WIDEST: usize = 2_000;

/// A value in a page without a script.
fn value(v: Option<&str>, class: &str) -> Markup {
    let shown = match v {
        None => return html! { span.null { "null" } },
        Some("") => return html! { span.null { "empty" } },
        Some(v) => cut_value(v, 0, WIDEST),
    };
    html! {
        span.v.(class) { (shown.text) }
        @if let Some(bytes) = shown.right { span.dim { "… (" (bytes) " bytes)" } }
    }
}
