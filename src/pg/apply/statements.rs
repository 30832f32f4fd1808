//! Snapshots of the SQL of applying.

use super::drift::Expected;
use super::locked::{ask_others, lock_tables};
use super::origin::Origin;
use super::record;
use super::staged::Staged;
use super::staged::fate::Fate;
use super::write::Updates;
use crate::pg::fixture::{assert_snapshot, printed, schema};
use crate::plan::DriftState;
use crate::sql::Statement;

const ORIGIN: Origin<'_> = Origin {
    actor: "curator",
    batch_id: "b1",
    application: "6f1b3b0e-3c5e-4b0e-9d5e-1c2d3e4f5a6b",
    plan_hash: "sha256:0123",
    loader_schema: "public",
};

/// Subjects and samples, with what a plan writes.
fn staged() -> [Staged; 2] {
    schema().map(|target| {
        let (columns, sets): (&[&str], &[(Fate, &str)]) = match target.name.as_str() {
            "subjects" => (
                &["deleted_at", "sex"],
                &[
                    (Fate::Insert, "01"),
                    (Fate::Update, "01"),
                    (Fate::Update, "11"),
                ],
            ),
            _ => (
                &["barcode", "subject", "volume"],
                &[
                    (Fate::Insert, "100"),
                    (Fate::Insert, "101"),
                    (Fate::Update, "100"),
                    (Fate::Update, "010"),
                ],
            ),
        };
        Staged::described(target, columns, sets)
    })
}

#[test]
fn staging() {
    let [subjects, samples] = staged();
    let statements = [
        subjects.create().unwrap(),
        samples.create().unwrap(),
        samples.copy_into().unwrap(),
        samples.analyze(),
    ];
    assert_snapshot("sql_staged", &printed(statements));
}

#[test]
fn locking() {
    let mut statements = vec![lock_tables(&["public.samples".into()])];
    for table in staged() {
        statements.extend([
            table.create_versions(),
            table.compare(),
            table.analyze_versions(),
            table.count_compared(),
            table.lock(),
        ]);
    }
    statements.push(ask_others(&["public.samples".into()]));
    assert_snapshot("sql_lock", &printed(statements));
}

#[test]
fn writing() {
    let [mut subjects, samples] = staged();
    let stamps = subjects.stamped("curator", "b1").unwrap();
    let mut statements: Vec<Statement> = vec![subjects.delete(), subjects.mark().unwrap()];
    statements.extend(samples.mark_updates(&subjects, Updates::First).unwrap());
    statements.extend(samples.mark_updates(&subjects, Updates::Last).unwrap());
    statements.push(samples.sets_of_updates(Updates::Others));
    let sets: Vec<String> = subjects.column_sets(Fate::Update).cloned().collect();
    statements.extend(subjects.updates(&sets, Updates::All, &stamps).unwrap());
    subjects.target.table.column_triggers = true;
    statements.extend(subjects.updates(&sets, Updates::Others, &stamps).unwrap());
    statements.push(subjects.insert(&stamps).unwrap());
    statements.push(samples.insert(&[]).unwrap());
    assert_snapshot("sql_write", &printed(statements));
}

#[test]
fn reading_back() {
    let mut statements = Vec::new();
    for table in staged() {
        statements.extend([
            table.audit_writes(&ORIGIN).unwrap(),
            table.count_right().unwrap(),
            table.name_wrong().unwrap(),
            table.audit_deletes(&ORIGIN),
        ]);
    }
    assert_snapshot("sql_read_back", &printed(statements));
}

#[test]
fn naming_drift() {
    let mut statements = Vec::new();
    for table in staged() {
        let columns: Vec<_> = table.target.table.columns.iter().take(2).collect();
        let audit_log = ORIGIN.own_table("audit_log");
        statements.extend([
            table.count_drift(Expected::All),
            table.name_drift(),
            table.now(7, &columns),
            table.changed_by(&audit_log, 7, "S1", DriftState::Changed),
            table.changed_by(&audit_log, 7, "S1", DriftState::Vanished),
        ]);
    }
    assert_snapshot("sql_drift", &printed(statements));
}

#[test]
fn recording() {
    let statements = [
        record::count_queue_entries(),
        record::update_queue(&ORIGIN),
        record::restore_queue(&ORIGIN, &["1f1b3b0e-3c5e-4b0e-9d5e-1c2d3e4f5a6b".into()]),
    ];
    assert_snapshot("sql_record", &printed(statements));
}
