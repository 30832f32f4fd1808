//! Rejected records as files, for who delivered them.

use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::output::{Output, folder_of, is_own};
use super::say;
use crate::error::{Error, Result};
use crate::ops::{self, PlanRequest, Sensitive};
use crate::planfile::{Item, PlanFile};
use crate::render::rejects::{Form, Rejects};
use crate::source::pipe;

/// Where rejected records are written.
#[derive(clap::Args, Debug, Clone)]
pub struct RejectsArgs {
    /// Write the records that are not loaded to this file, .csv or .ndjson, as they were delivered, with line, rule
    /// and reason; or to a file for each object in this folder
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Write sensitive values in it as they are, not masked
    #[arg(long, requires = "rejects")]
    rejects_plain: bool,
}

/// What stands near the beginning of a file of rejected records.
const OWN: &str = "loader:object";

/// Where they go.
enum Target<'a> {
    File(&'a Path, Form),
    Folder(&'a Path),
}

impl RejectsArgs {
    /// Whether they are asked for, where the plan itself goes to `plan`.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where the file's name does not say how it is to be written.
    pub fn are_asked_for(&self, plan: Option<&Path>) -> Result<bool> {
        if self.rejects.is_some() && self.rejects.as_deref() == plan {
            return Err(Error::config(
                "--rejects and --out name the same file; the plan and the rejected records need one each",
            ));
        }
        self.rejects
            .as_deref()
            .map(target)
            .transpose()
            .map(|t| t.is_some())
    }

    /// Writes the records of `plan`, made as `request` says, that are not loaded.
    ///
    /// # Errors
    /// As [`ops::rejects`]; [`Io`](crate::ErrorKind::Io) where a file cannot be written.
    pub async fn write(
        &self,
        request: &PlanRequest,
        plan: &PlanFile,
        patience: Duration,
    ) -> Result<()> {
        let Some(path) = self.rejects.as_deref() else {
            return Ok(());
        };
        let target = target(path)?;
        let sensitive = if self.rejects_plain {
            Sensitive::Plain
        } else {
            Sensitive::Masked
        };
        let failed = |e| {
            Error::io(
                format_args!("writing rejected records to {}", path.display()),
                e,
            )
        };
        let mut all = Rejects::new().map_err(failed)?;
        // The records of one object come together.
        let (mut object, mut table) = (String::new(), String::new());
        let mut written = BTreeSet::new();
        let mut records = 0;
        ops::rejects(request, plan, sensitive, &mut |rejected| {
            if let Target::Folder(folder) = target
                && rejected.object != object
            {
                let before = std::mem::replace(&mut all, Rejects::new().map_err(failed)?);
                if before.count > 0 {
                    written.insert(of_object(folder, &object, &table, before, patience)?);
                }
                object = rejected.object.clone();
                table = rejected.table.clone();
            }
            records += 1;
            all.push(&rejected).map_err(failed)
        })
        .await?;
        match target {
            Target::File(path, form) => to_file(path, form, all, patience)?,
            Target::Folder(folder) if all.count > 0 => {
                written.insert(of_object(folder, &object, &table, all, patience)?);
            }
            Target::Folder(_) => {}
        }
        let outdated = match target {
            Target::File(..) => 0,
            Target::Folder(folder) => remove_outdated(folder, plan, &written)?,
        };
        say(format_args!(
            "{}: {}{}",
            match records {
                0 => "No rejected record".to_owned(),
                1 => "1 rejected record".to_owned(),
                n => format!("{n} rejected records"),
            },
            path.display(),
            match outdated {
                0 => String::new(),
                1 => "; 1 file of an earlier plan, of which no record is rejected now, is removed"
                    .into(),
                n => format!(
                    "; {n} files of an earlier plan, of which no record is rejected now, are removed"
                ),
            }
        ));
        Ok(())
    }
}

fn target(path: &Path) -> Result<Target<'_>> {
    let ending = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    if path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/') {
        return Ok(Target::Folder(path));
    }
    match ending.to_ascii_lowercase().as_str() {
        "csv" => Ok(Target::File(path, Form::Csv)),
        "ndjson" | "jsonl" => Ok(Target::File(path, Form::Ndjson)),
        _ => Err(Error::config(format!(
            "--rejects is \"{}\", which neither ends in .csv or .ndjson nor is a folder (end it with a slash to have it made)",
            path.display()
        ))),
    }
}

/// Writes the file of one object's records, and returns its path.
fn of_object(
    folder: &Path,
    object: &str,
    table: &str,
    rejects: Rejects,
    patience: Duration,
) -> Result<PathBuf> {
    let (path, form) = path_of(folder, object, table)?;
    to_file(&path, form, rejects, patience)?;
    Ok(path)
}

/// Removes the files that were written of objects of `plan` when records of them were rejected, and were not `written` now:
/// whoever delivers the folder would bring these records again. Returns how many there were.
fn remove_outdated(folder: &Path, plan: &PlanFile, written: &BTreeSet<PathBuf>) -> Result<u64> {
    let mut removed = 0;
    plan.stream(&mut |item| {
        let Item::Fragment(fragment) = item else {
            return Ok(());
        };
        let (path, _) = path_of(folder, &fragment.key, &fragment.table)?;
        let failed = |e| Error::io(format_args!("removing {}", path.display()), e);
        if !written.contains(&path) && path.is_file() && is_own(&path, Some(OWN)).map_err(failed)? {
            std::fs::remove_file(&path).map_err(failed)?;
            removed += 1;
        }
        Ok(())
    })?;
    Ok(removed)
}

/// The path of the file of one object's records, below the folder as the object's below the source, and its form, which is
/// that of the object.
fn path_of(folder: &Path, object: &str, table: &str) -> Result<(PathBuf, Form)> {
    let below = Path::new(object);
    if !below
        .components()
        .all(|c| matches!(c, Component::Normal(_)))
    {
        return Err(Error::local(format!(
            "{object}: it has no path below a folder"
        )));
    }
    let json = [".json", ".ndjson", ".jsonl"];
    let plain = object
        .strip_suffix(".gz")
        .unwrap_or(object)
        .to_ascii_lowercase();
    let (form, ending) = if json.iter().any(|ending| plain.ends_with(ending)) {
        (Form::Ndjson, "rejected.ndjson")
    } else {
        (Form::Csv, "rejected.csv")
    };
    let name = format!("{}.{ending}", in_folder_of_its_table(object, table));
    Ok((folder.join(name), form))
}

/// The path of an object in a folder that is called like its table, where the object's own name says which that is: with
/// a longer name it would not.
fn in_folder_of_its_table(object: &str, table: &str) -> String {
    let (folders, name) = object.rsplit_once('/').unwrap_or(("", object));
    let is_said = |name: &str| {
        name.strip_prefix(table)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    if !is_said(name) || folders.rsplit('/').next() == Some(table) {
        return object.to_owned();
    }
    match folders {
        "" => format!("{table}/{name}"),
        folders => format!("{folders}/{table}/{name}"),
    }
}

/// The file is there as a whole, or not at all; what is a pipe is written to.
fn to_file(path: &Path, form: Form, rejects: Rejects, patience: Duration) -> Result<()> {
    let doing = format!("writing rejected records to {}", path.display());
    let failed = |e| Error::io(&doing, e);
    if pipe::is_plain(path) {
        std::fs::create_dir_all(folder_of(path)).map_err(failed)?;
    }
    let out = Output::new(path, doing.clone(), Some(OWN), patience)?;
    let mut written = BufWriter::new(out.file());
    rejects.write(form, &mut written).map_err(failed)?;
    written.flush().map_err(failed)?;
    drop(written);
    out.finish()
}
