//! Errors as the command line tells them: what is wrong, and which of its settings would mend it.

use crate::error::{Error, ErrorKind, Remedy};

/// The exit code for an error (README.md, Exit codes): stable, one per kind of refusal.
pub fn exit_code(e: &Error) -> u8 {
    match e.kind() {
        ErrorKind::Config
        | ErrorKind::Source
        | ErrorKind::Database
        | ErrorKind::Io
        | ErrorKind::Interrupted => 1,
        ErrorKind::Drift => 3,
        ErrorKind::Blocked => 4,
        ErrorKind::NotApproved => 5,
        ErrorKind::PlanRefused => 6,
        ErrorKind::Locked => 7,
        ErrorKind::Unknown => 8,
    }
}

/// The exit code where everything was applied on the server, and no synchronous standby confirmed it.
pub const NOT_REPLICATED: u8 = 9;

/// All that an error says, with its causes and what to do next.
pub fn told(e: &Error) -> String {
    let mut text = format!("{e:#}");
    if let Some(remedy) = e.remedy() {
        // Behind a list it stands on a line of its own.
        text += if text.contains('\n') { "\n" } else { "; " };
        text += &advice(remedy);
    } else if is_of_full_disk(e) {
        text += &format!(
            "; make room there, or in {}, where temporary files are (TMPDIR names another folder)",
            std::env::temp_dir().display()
        );
    }
    text
}

/// Whether a disk or a quota is full.
fn is_of_full_disk(e: &Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let causes = std::iter::successors(std::error::Error::source(e), |cause| cause.source());
    let mut io = causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.any(|io| matches!(io.kind(), StorageFull | QuotaExceeded))
}

fn advice(remedy: &Remedy) -> String {
    match remedy {
        Remedy::MoreRecords => "allow more with --max-records or MAX_RECORDS_PER_BATCH".into(),
        Remedy::LargerObject => "allow more with --max-object or LOADER_MAX_OBJECT".into(),
        Remedy::LargerUnpacked => "allow more with --max-unpacked or LOADER_MAX_UNPACKED".into(),
        Remedy::LargerValue => "allow more with --max-value or LOADER_MAX_VALUE".into(),
        Remedy::MoreTime => "allow it more with --transaction-timeout (TRANSACTION_TIMEOUT), or load less at a time".into(),
        Remedy::WaitLonger => {
            "try again when they are done, or wait longer with --lock-timeout".into()
        }
        Remedy::Ignore => "take them away, or name them with --ignore".into(),
        Remedy::Describe => "describe the table there (`loader init --table NAME` drafts it), take its objects out of \
             the batch, or name them with --ignore"
            .into(),
        Remedy::OtherPlace => "check the batch id, --source and --prefix".into(),
        Remedy::OtherSchema => "name another one with --schema".into(),
        Remedy::AlsoTable(table) => format!("add --table-name {table}"),
        Remedy::NoQueue => {
            "if there is no validator, say so with --queue off or LOADER_QUEUE=off".into()
        }
        Remedy::Report => "have the batch validated, or say what passes with --validation-status (LOADER_VALIDATION_STATUS), or \
             that reports have no say with --validation-report off (LOADER_VALIDATION_REPORT=off)"
            .into(),
        Remedy::NoConfig => "name the file with --config or LOADER_CONFIG, or have a first one written by \
             `loader init --out tables.yaml`"
            .into(),
        Remedy::DatabaseUrl => "it comes from --database-url or DATABASE_URL".into(),
        Remedy::Migrate => {
            "run `loader migrate` once, if this is the database (DATABASE_URL) and the schema (LOADER_SCHEMA) that is meant"
                .into()
        }
        Remedy::OtherLoaderSchema => {
            "mend them, or let the loader use another schema with LOADER_SCHEMA".into()
        }
        Remedy::Grants => "`loader config check --for plan` or `--for apply` lists what its role lacks".into(),
        Remedy::RoleThatApplies => {
            "plan with that role's connection, or without --rehearse".into()
        }
        Remedy::Mend(plan) => format!(
            "see `loader show {plan} --action violation`, mend the records or the configuration, and make a new plan"
        ),
        Remedy::Identity => {
            "give the secret key of one of them with --identity FILE (LOADER_IDENTITY)".into()
        }
        Remedy::History => "`loader history` lists what was applied".into(),
        Remedy::OneByOne => "take them back one by one with --application, newest first (`loader history` lists them)"
            .into(),
        Remedy::InBetween => "--with-dependents also rolls back what other loads did in between; else take them back one by one \
                              with --application, newest first (`loader history` lists them)"
            .into(),
        Remedy::Dependents => "--with-dependents also rolls back rows that later loads brought, and --keep-edited keeps \
                               the rows to which others refer"
            .into(),
        Remedy::KeepEdited => "--keep-edited keeps these rows and rolls the others back; --with-dependents also rolls back \
                               what later loads did to them"
            .into(),
        Remedy::KeepOrEarlier => "--keep-edited keeps these rows and rolls the others back; later loads that had another name \
                                  or natural key for the table are taken back first, with --application (`loader history` \
                                  lists them)"
            .into(),
        Remedy::CheckLater => "when the server is back, `loader check PLAN` tells, and `loader history`".into(),
    }
}
