//! What must be so before a plan is staged: it is for this database, and what it takes back is in
//! effect.

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::ledger::{self, Application};
use crate::plan::TargetDatabase;
use crate::planfile::PlanFile;

/// Whether the plan is for this database.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) saying what differs.
pub async fn check_target(
    session: &Session,
    target: &TargetDatabase,
    loader_schema: &str,
) -> Result<()> {
    let here = session.target(loader_schema).await?;
    let differs = [
        ("database", &target.database, &here.database),
        ("server", &target.identity, &here.identity),
        ("lineage", &target.lineage, &here.lineage),
        (
            "schema of the loader's tables",
            &target.loader_schema,
            &here.loader_schema,
        ),
    ];
    match differs.iter().find(|(_, planned, found)| planned != found) {
        None => Ok(()),
        Some((what, planned, found)) => Err(Error::plan_refused(format!(
            "the plan was made for another database: its {what} is {planned}, and this one's is {found}; \
             connect to the database that it was made for, or make a plan for this one"
        ))),
    }
}

/// The latest application of this plan, undone or not.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn applied_before(session: &Session, file: &PlanFile) -> Result<Option<Application>> {
    let schema = &file.header.target.loader_schema;
    let all = ledger::applications(session, schema, Some(&file.header.batch_id)).await?;
    Ok(all.into_iter().find(|a| a.plan_hash == file.hash))
}

/// What a rollback takes back must not have been taken back by another.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) where it was; [`Database`](crate::ErrorKind::Database).
pub async fn still_in_effect(session: &Session, file: &PlanFile) -> Result<()> {
    let header = &file.header;
    if header.undoes.is_empty() {
        return Ok(());
    }
    let schema = &header.target.loader_schema;
    let all = ledger::applications(session, schema, Some(&header.batch_id)).await?;
    for id in &header.undoes {
        let what = match all.iter().find(|a| a.application == *id) {
            None => "is not in the ledger".to_owned(),
            Some(application) => match &application.undone_by {
                None => continue,
                Some(by) => format!("was taken back already (by {by})"),
            },
        };
        return Err(Error::plan_refused(format!(
            "the application {id}, which this rollback would take back, {what}"
        )));
    }
    Ok(())
}
