//! `loader show`.

mod place;

use std::io::{IsTerminal, Seek, Write};
use std::path::{Path, PathBuf};

use super::keys::Identity;
use super::settings::Settings;
use crate::action::Action;
use crate::error::{Error, Result};
use crate::planfile::PlanFile;
use crate::planfile::diff::PlanDiff;
use crate::render::groups::By;
use crate::render::select::{Filter, Selection};
use crate::render::unusual::Rule;
use crate::render::{diff, html, json, markdown, sheet, text};
use crate::text::commands::InertJson;
use place::Place;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// The plan file; - is standard input
    plan: PathBuf,
    /// A second plan: show what changed from the first to this one
    other: Option<PathBuf>,
    #[command(flatten)]
    identity: Identity,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write it to this file instead of stdout; with --json the summary still goes to stdout
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only this table (repeatable)
    #[arg(long, value_name = "TABLE")]
    table: Vec<String>,
    /// Only this action: insert, update, delete, skip, violation (repeatable)
    #[arg(long, value_name = "ACTION", value_parser = action())]
    action: Vec<Action>,
    /// Only rows with this text in their key
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// Only entries of this group (`group_by` in tables.yaml); (none) are those without one
    #[arg(long, value_name = "VALUE")]
    group: Option<String>,
    /// Sum up each table by its group, or by the file that its records come from
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = SumBy::Group, conflicts_with = "other")]
    by: SumBy,
    /// Show at most this many per table and action; rows with identical changes count as one [default:
    /// 20 and every violation for text, what fits for markdown, otherwise all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Show all, however many; in text each one separately; the page then carries records that change nothing, too
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Only changes that stand out from the others of their column
    #[arg(long, conflicts_with = "other")]
    unusual: bool,
    /// Do not apply this rule of what stands out (repeatable): magnitude, sign, exchanged, range, key, rare, shift
    #[arg(long, value_name = "RULE", value_parser = rule(), conflicts_with = "other")]
    without_rule: Vec<Rule>,
    /// For markdown: where the page of this plan can be seen, which a comment that has no room for all of it links to
    #[arg(long, value_name = "URL", env = "LOADER_PAGE_URL", value_parser = address())]
    page_url: Option<String>,
    /// With two plans: exit with 2 if they differ
    #[arg(long, requires = "other")]
    detailed_exitcode: bool,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum SumBy {
    /// The column that group_by names, where a table has one
    Group,
    /// The object that a record comes from
    Source,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// For a terminal
    Text,
    /// For one pull-request comment
    Markdown,
    /// One page for a browser
    Html,
    /// For other programs: the whole plan, with sensitive values masked
    Json,
    /// A workbook with a row for each change and violation, and a column for decisions: plan --decisions reads it
    Xlsx,
    /// The same rows as comma-separated values
    Csv,
}

/// Takes the words of actions.
fn action() -> impl clap::builder::TypedValueParser<Value = Action> {
    use clap::builder::{PossibleValuesParser, TypedValueParser as _};
    PossibleValuesParser::new(Action::ALL.map(Action::word))
        .try_map(|word| Action::of_word(&word).ok_or("not an action"))
}

/// Takes an address that is one link, whatever reads the Markdown that it stands in.
fn address() -> impl clap::builder::TypedValueParser<Value = String> {
    use clap::builder::{NonEmptyStringValueParser, TypedValueParser as _};
    NonEmptyStringValueParser::new().try_map(|url| {
        if markdown::is_address(&url) {
            Ok(url)
        } else {
            Err("not an address of a page: it begins with https:// or http://, and what has a meaning in Markdown is \
                 written as %28")
        }
    })
}

/// Takes the words of rules.
fn rule() -> impl clap::builder::TypedValueParser<Value = Rule> {
    use clap::builder::{PossibleValuesParser, TypedValueParser as _};
    PossibleValuesParser::new(Rule::ALL.map(Rule::word))
        .try_map(|word| Rule::of_word(&word).ok_or("not a rule"))
}

impl Args {
    fn filter(&self, limit: Option<usize>) -> Filter {
        Filter {
            tables: self.table.clone(),
            actions: self.action.clone(),
            key: self.key.clone(),
            group: self.group.clone(),
            by: match self.by {
                SumBy::Group => By::Group,
                SumBy::Source => By::Source,
            },
            limit: self.limit.or(limit).filter(|_| !self.all),
            folds_violations: self.limit.is_some(),
            only_unusual: self.unusual,
            without: self.without_rule.clone(),
            page: self.page_url.clone(),
        }
    }

    /// The filter where no action named means all of them.
    fn with_skips(&self) -> Filter {
        let mut filter = self.filter(None);
        if filter.actions.is_empty() {
            filter.actions = Action::BY_URGENCY.to_vec();
        }
        filter
    }
}

pub fn run(settings: &Settings, args: &Args) -> Result<u8> {
    let patience = settings.timeouts().patience();
    if let Some(other) = &args.other {
        return compare(settings, args, other);
    }
    if settings.json && args.out.is_none() {
        let plan = args.identity.open(&args.plan, patience)?;
        return super::show_json(&summary(&plan));
    }
    let place = Place::of(args, args.format, patience)?;
    let style = place.style();
    let mut out = place.writer();
    let mut nothing = false;
    let plan = match args.format {
        Format::Json => {
            let plan = args.identity.open(&args.plan, patience)?;
            known(&plan, &args.table)?;
            json::plan(&plan, &args.with_skips(), &mut InertJson::new(&mut out))?;
            plan
        }
        Format::Html => {
            let plan = args.identity.open(&args.plan, patience)?;
            known(&plan, &args.table)?;
            let name = args.plan.display().to_string();
            let filter = if args.all {
                args.with_skips()
            } else {
                args.filter(None)
            };
            html::plan(&plan, &filter, &name, &mut out)?;
            plan
        }
        Format::Xlsx | Format::Csv => {
            let plan = args.identity.open(&args.plan, patience)?;
            known(&plan, &args.table)?;
            rows(&plan, args, &mut out)?;
            plan
        }
        Format::Markdown => {
            let mut filter = args.filter(None);
            filter.limit = Some(
                filter
                    .limit
                    .map_or(markdown::ROWS, |n| n.min(markdown::ROWS)),
            );
            let plan = args.identity.open(&args.plan, patience)?;
            known(&plan, &args.table)?;
            let selection = Selection::of(&plan, &filter)?;
            markdown::selection(&plan, &selection, &filter, &mut out)?;
            nothing = filter.is_part() && selection.is_empty();
            plan
        }
        Format::Text if args.all => {
            let plan = args.identity.open(&args.plan, patience)?;
            known(&plan, &args.table)?;
            text::plan(&plan, &args.filter(None), style, &mut out)?;
            plan
        }
        Format::Text => {
            let filter = args.filter(Some(20));
            let plan = args.identity.open(&args.plan, patience)?;
            known(&plan, &args.table)?;
            let selection = Selection::of(&plan, &filter)?;
            text::selection(&plan, &selection, &filter, style, &mut out)?;
            nothing = filter.is_part() && selection.is_empty();
            plan
        }
    };
    out.flush()
        .map_err(|e| Error::io("writing the plan for people", e))?;
    drop(out);
    place.finish()?;
    if nothing {
        super::say("No entry of the plan matches what was asked for.");
    }
    if settings.json {
        return super::show_json(&summary(&plan));
    }
    if args.format == Format::Text
        && plan.header.against().is_none()
        && plan.header.summary.changes() > 0
    {
        let identity = match plan.masked_hash {
            Some(_) => " --identity FILE",
            None => "",
        };
        super::say(format!(
            "To apply it: loader apply {}{identity} --approve {}",
            args.plan.display(),
            plan.verified_hash()
        ));
    }
    Ok(0)
}

/// Writes a plan as rows for a spreadsheet program.
fn rows(plan: &PlanFile, args: &Args, out: &mut impl Write) -> Result<()> {
    let filter = args.filter(None);
    if args.format == Format::Csv {
        return sheet::csv(plan, &filter, out);
    }
    if args.out.is_none() && std::io::stdout().is_terminal() {
        return Err(Error::config(
            "a workbook is nothing for a terminal: write it to a file with -o plan.xlsx",
        ));
    }
    let failed = |e| Error::io("writing the workbook", e);
    let mut whole = tempfile::tempfile().map_err(failed)?;
    sheet::xlsx(plan, &filter, &whole)?;
    whole.rewind().map_err(failed)?;
    std::io::copy(&mut whole, out).map(drop).map_err(failed)
}

/// Shows what changed from one plan to another.
fn compare(settings: &Settings, args: &Args, other: &Path) -> Result<u8> {
    let patience = settings.timeouts().patience();
    let (old, new) = (
        args.identity.open(&args.plan, patience)?,
        args.identity.open(other, patience)?,
    );
    let tables = args.table.iter().filter(|t| new.header.table(t).is_none());
    known(&old, &tables.cloned().collect::<Vec<_>>())?;
    let format = if settings.json {
        Format::Json
    } else {
        args.format
    };
    let diff = PlanDiff::new(&old, &new)?;
    let place = Place::of(args, format, patience)?;
    let style = place.style();
    let mut out = place.writer();
    if format == Format::Json {
        diff::json(&diff, &args.filter(None), &mut InertJson::new(&mut out))?;
    } else {
        match format {
            Format::Xlsx | Format::Csv => {
                return Err(Error::config(
                    "a workbook shows one plan; compare two as text, markdown, html or json",
                ));
            }
            Format::Html => diff::html(&diff, &args.filter(None), &mut out)?,
            Format::Markdown => diff::markdown(&diff, &args.filter(None), &mut out)?,
            Format::Text | Format::Json => {
                diff::text(&diff, &args.filter(Some(20)), style, &mut out)?;
            }
        }
    }
    out.flush()
        .map_err(|e| Error::io("writing the comparison", e))?;
    drop(out);
    place.finish()?;
    Ok(if args.detailed_exitcode && diff::differs(&diff) {
        2
    } else {
        0
    })
}

/// What `--json` tells.
fn summary(plan: &PlanFile) -> serde_json::Value {
    let header = &plan.header;
    // The hash does not cover them, and what is nested too deeply is no JSON value.
    let notes = serde_json::to_value(&plan.notes);
    let notes = notes.unwrap_or_else(|e| serde_json::json!({"unreadable": e.to_string()}));
    let mut told = serde_json::json!({
        "plan_hash": plan.hash,
        "kind": header.kind,
        "batch_id": header.batch_id,
        "target": header.target,
        "records": header.records,
        "summary": header.summary,
        "blocking": header.blocking,
        "rejected": header.rejected,
        "tables": header.tables,
        "notes": notes,
    });
    if let Some(hash) = &plan.masked_hash {
        told["masked_hash"] = hash.as_str().into();
    }
    told
}

/// That the plan has the tables that are asked for.
fn known(plan: &PlanFile, asked: &[String]) -> Result<()> {
    let Some(unknown) = asked.iter().find(|t| plan.header.table(t).is_none()) else {
        return Ok(());
    };
    let tables: Vec<&str> = plan
        .header
        .tables
        .iter()
        .map(|t| t.table.as_str())
        .collect();
    Err(Error::config(format!(
        "the plan has no table {unknown}; it has {}",
        tables.join(", ")
    )))
}
