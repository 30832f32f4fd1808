//! The validator's report beside the fragments of a batch: it says whether the batch may be loaded, of how
//! many records it knows, and what must not be loaded.

use futures_util::StreamExt;
use serde::Deserialize;

use super::{PlanRequest, ReportUse};
use crate::error::{Error, Remedy, Result};
use crate::ops::REPORT;
use crate::plan::{Fragment, records};
use crate::source::{Body, Bounds, ObjectInfo, Source};
use crate::table::target::Target;
use crate::text::escape;

/// What one report says; all else in it is not for the loader.
#[derive(Debug, Deserialize)]
struct Says {
    status: Option<String>,
    batch_id: Option<String>,
    table_name: Option<String>,
    row_count: Option<u64>,
    #[serde(default)]
    exclude_from_load: Option<Vec<String>>,
}

/// The reports of a batch, each with its key; what they say of the batch as a whole is heeded already.
#[derive(Debug, Default)]
pub(super) struct Reports(Vec<(String, Says)>);

/// The reports among the objects listed.
pub(super) fn among(listed: &[ObjectInfo]) -> Vec<ObjectInfo> {
    let is_report = |info: &&ObjectInfo| info.key.rsplit('/').next() == Some(REPORT);
    listed.iter().filter(is_report).cloned().collect()
}

/// Reads the reports that were found. `tables` are those of which the batch has fragments.
///
/// # Errors
/// [`Source`](crate::ErrorKind::Source) where one cannot be read or is another batch's; [`Blocked`](crate::ErrorKind::Blocked) where
/// one is missing, or its status does not pass.
pub(super) async fn read<'t>(
    request: &PlanRequest,
    source: &Source,
    found: Vec<ObjectInfo>,
    tables: impl Iterator<Item = &'t String> + Clone,
) -> Result<Reports> {
    if request.report == ReportUse::Off {
        return Ok(Reports::default());
    }
    if found.is_empty() && request.report == ReportUse::Required {
        return Err(Error::blocked(format!(
            "there is no {REPORT} beside the fragments of batch {}",
            request.batch_id
        ))
        .with_remedy(Remedy::Report));
    }
    let most = Bounds {
        object: request.max_value,
        unpacked: request.max_value,
    };
    let mut reports = Vec::new();
    let mut fetched = std::pin::pin!(source.fetch_all(found, 4, most));
    while let Some(object) = fetched.next().await {
        let object = object?;
        let key = object.object.key;
        let says = match &object.body {
            Body::Memory(bytes) => {
                const MARK: &[u8] = b"\xef\xbb\xbf";
                serde_json::from_slice::<Says>(bytes.strip_prefix(MARK).unwrap_or(bytes))
            }
            Body::File(_) => {
                return Err(Error::unreadable(format!("{key}: too large for a report")));
            }
        };
        let says = says.map_err(|e| {
            Error::unreadable(format!("{key}: it is not a validator's report: {e}"))
                .with_remedy(Remedy::Report)
        })?;
        says.check(&key, request, tables.clone())?;
        reports.push((key, says));
    }
    Ok(Reports(reports))
}

impl Says {
    fn check<'t>(
        &self,
        key: &str,
        request: &PlanRequest,
        mut tables: impl Iterator<Item = &'t String>,
    ) -> Result<()> {
        if let Some(batch) = self.batch_id.as_ref().filter(|b| **b != request.batch_id) {
            return Err(Error::unreadable(format!(
                "{key}: it is the report of batch \"{}\", and its path says {}",
                escape(batch),
                request.batch_id
            )));
        }
        if let Some(table) = &self.table_name
            && !tables.any(|of_batch| of_batch == table)
        {
            return Err(Error::unreadable(format!(
                "{key}: it is about table \"{}\", of which the batch has no fragment",
                escape(table)
            )));
        }
        let said = match &self.status {
            Some(status) if request.report_status.contains(status) => return Ok(()),
            Some(status) => format!("the validator's report says \"{}\"", escape(status)),
            None => "the validator's report has no status".to_owned(),
        };
        Err(Error::blocked(format!(
            "{key}: {said}, and what passes is {}",
            request.report_status.join(", ")
        ))
        .with_remedy(Remedy::Report))
    }

    fn is_about(&self, table: &str) -> bool {
        self.table_name.as_ref().is_none_or(|name| name == table)
    }
}

/// Leaves out what `named` is, a field or the column into which one is loaded.
///
/// # Errors
/// What is found by it.
fn exclude(target: &mut Target, named: &str) -> std::result::Result<(), String> {
    let Target { table, config, .. } = target;
    let columns = table.columns.iter().map(|c| &c.name);
    let mut known = columns.chain(config.columns.keys());
    if known.clone().all(|name| name != named)
        && let Some(meant) = known.find(|name| name.eq_ignore_ascii_case(named))
    {
        return Err(format!(
            "which is no field of {}; the same name is written {} there",
            target.name,
            escape(meant)
        ));
    }
    let renamed = config.columns.iter();
    let renamed = renamed.filter(|(field, column)| *field == named || *column == named);
    let (mut fields, columns): (Vec<String>, Vec<String>) = renamed
        .map(|(field, column)| (field.clone(), column.clone()))
        .unzip();
    fields.push(named.to_owned());
    let is_key = |name: &String| config.natural_key.contains(name);
    let by = |what: &str| Err(format!("by which {what} in {}", target.name));
    let any = |is: &dyn Fn(&String) -> bool| columns.iter().chain(&fields).any(is);
    if any(&is_key) {
        return by("rows are found");
    }
    if any(&|name| config.required_fields.contains(name)) {
        return by("records are judged (required_fields)");
    }
    if any(&|name| config.complete.columns().contains(name)) {
        return by("it is said what a delivery is all of (complete)");
    }
    let mut references = config.references.iter();
    let looked_up = references
        .find(|(column, reference)| *column == named || reference.fields().contains(named));
    if let Some((column, _)) = looked_up {
        return by(&format!("{} is looked up", escape(column)));
    }
    fields.retain(|field| !config.ignore_fields.contains(field));
    config.ignore_fields.extend(fields);
    Ok(())
}

impl Reports {
    /// Leaves the fields out that the reports exclude.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where a table's rows are found by one.
    pub(super) fn exclude(&self, targets: &mut [Target]) -> Result<()> {
        for (key, says) in &self.0 {
            for target in targets.iter_mut().filter(|t| says.is_about(&t.name)) {
                for named in says.exclude_from_load.iter().flatten() {
                    exclude(target, named).map_err(|why| {
                        Error::config(format!(
                            "{key}: exclude_from_load names {}, {why}",
                            escape(named)
                        ))
                    })?;
                }
            }
        }
        Ok(())
    }

    /// What a reviewer should know of what is not loaded into a table.
    pub(super) fn notes(&self, table: &str) -> Vec<String> {
        let about = self.0.iter().filter(|(_, says)| says.is_about(table));
        let excluded = about.filter_map(|(key, says)| {
            let fields = says.exclude_from_load.as_ref().filter(|f| !f.is_empty())?;
            let fields: Vec<String> = fields.iter().map(|f| escape(f)).collect();
            Some(format!(
                "{} not loaded, as {key} says (exclude_from_load)",
                match fields.as_slice() {
                    [one] => format!("{one} is"),
                    several => format!("{} are", several.join(", ")),
                }
            ))
        });
        excluded.collect()
    }

    /// That the fragments hold as many records as the reports say. With only some of the batch's tables
    /// planned, the others are not counted.
    ///
    /// # Errors
    /// [`Blocked`](crate::ErrorKind::Blocked) with all that do not.
    pub(super) fn count(&self, fragments: &[Fragment], only: &[String]) -> Result<()> {
        let mut wrong = Vec::new();
        for (key, says) in &self.0 {
            let Some(stated) = says.row_count else {
                continue;
            };
            let left = match &says.table_name {
                Some(table) => !only.is_empty() && !only.contains(table),
                None => !only.is_empty(),
            };
            let about = fragments.iter().filter(|f| says.is_about(&f.table));
            let read: u64 = about.map(|f| f.records).sum();
            if !left && read != stated {
                let of = says.table_name.as_ref().map_or_else(
                    || "the batch's fragments".to_owned(),
                    |table| format!("the fragments of {table}"),
                );
                wrong.push(format!(
                    "{key}: row_count is {stated}, and {of} hold {}",
                    records(read)
                ));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Error::blocked(wrong.join("\n")).with_remedy(Remedy::Report))
    }
}
