//! Snapshots of the SQL of applying.

use std::collections::BTreeMap;

use super::drift::Expected;
use super::drift::look_up::Changed;
use super::locked::{ask_others, lock_tables};
use super::origin::Origin;
use super::staged::fate::Fate;
use super::staged::{Rows, Staged};
use super::write::insert::Insert;
use super::write::rows::RowWrite;
use super::{effects, everywhere, queued, record, undone};
use crate::pg::fixture::{self, assert_snapshot, looked_up, printed, schema};
use crate::pg::ledger::UndoneRows;
use crate::pg::order::{self, Wait, Which};
use crate::pg::own::Own;
use crate::pg::shards::Part;
use crate::pg::{Backend, near};
use crate::plan::{Counts, Header, Kind, TablePlan};
use crate::sql::{Qualified, Statement};

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

/// The header of a plan that changes rows of both.
fn header() -> Header {
    let counts = Counts {
        insert: 1,
        ..Counts::default()
    };
    let tables = schema().map(|target| TablePlan {
        skips: Default::default(),
        rejected: 0,
        table: target.name,
        relation: target.table.name,
        table_kind: target.table.kind,
        config: target.config,
        schema: String::new(),
        parents: Vec::new(),
        width: 0,
        rows: None,
        columns: Vec::new(),
        numbers: Vec::new(),
        alive: BTreeMap::new(),
        own_limits: None,
        counts,
        marks: 0,
        triggered: Vec::new(),
        left_to_triggers: Vec::new(),
        passed_over: Default::default(),
        warnings: Vec::new(),
    });
    Header {
        tables: tables.into(),
        ..Header::empty(Kind::Load, "b1")
    }
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
    let header = header();
    let mut statements = lock_tables(&header, &staged());
    let [subjects, mut samples] = staged();
    samples.target.table.unique.clear();
    statements.extend(lock_tables(&header, &[subjects, samples]));
    for table in staged() {
        statements.extend([
            table.create_versions(),
            table.compare(),
            table.analyze_versions(),
            table.count_compared(),
            table.lock(),
            table.count_misstated(),
            table.misstated(),
            table.found_several(),
        ]);
    }
    statements.push(ask_others(&["public.samples".into()]));
    assert_snapshot("sql_lock", &printed(statements));
}

#[test]
fn side_effects() {
    let tables = staged();
    let names: Vec<&Qualified> = tables.iter().map(|t| &t.target.table.name).collect();
    let statements = [
        effects::counts(),
        effects::counted(),
        effects::uncounted(false),
        effects::uncounted(true),
        effects::counted_for(&names),
        effects::followers(&ORIGIN),
    ];
    assert_snapshot("sql_effects", &printed(statements));
}

/// The statements of writes; of those beside values, with one row of them.
fn written(writes: impl IntoIterator<Item = RowWrite>) -> Vec<Statement> {
    let writes = writes.into_iter().flat_map(|write| match write {
        RowWrite::ByVersion(statement) => vec![statement],
        RowWrite::Beside(beside) => {
            let parts = beside.parts(0);
            let part = Part {
                is_of: "k._shard = '1'".into(),
                is_there: "t.\"gsid\" = ANY ('{S1,S2}'::text[])".into(),
            };
            vec![beside.collect(&parts), beside.write_part(&parts, &part)]
        }
        RowWrite::BesideValues(values) => vec![
            values.read(),
            values.write(&["[\"S1\", \"F\", null]".to_owned()]),
        ],
    });
    writes.collect()
}

fn inserted(insert: Insert) -> Statement {
    match insert {
        Insert::One(statement) | Insert::Several(statement) => statement,
    }
}

#[test]
fn writing() {
    let [mut subjects, samples] = staged();
    let stamps = subjects.stamped("curator", "b1", false).unwrap();
    let mut statements = written([
        subjects.delete(Which::All),
        subjects.mark(Which::Turn(1), &stamps).unwrap(),
    ]);
    statements.push(samples.sets_of_updates(Which::Turn(2)));
    let sets: Vec<String> = subjects.column_sets(Fate::Update).cloned().collect();
    statements.extend(written(
        subjects.updates(&sets, Which::All, &stamps).unwrap(),
    ));
    subjects.target.table.column_triggers = true;
    let updates = subjects.updates(&sets, Which::Rest, &stamps);
    statements.extend(written(updates.unwrap()));
    statements.push(inserted(
        subjects.insert(Which::All, false, &stamps).unwrap(),
    ));
    let in_turn = samples.insert(Which::Turn(2), false, &[]);
    statements.push(inserted(in_turn.unwrap()));
    statements.push(inserted(samples.insert(Which::All, true, &[]).unwrap()));
    assert_snapshot("sql_write", &printed(statements));
}

#[test]
fn ordering() {
    let mut tables = staged();
    for staged in &mut tables {
        staged.rows = Rows {
            insert: 1,
            update: 2,
            delete: 2,
            mark: 1,
            skip: 0,
        };
    }
    let waits = Wait::all(&tables);
    let mut statements: Vec<_> = waits.iter().filter_map(|wait| wait.find(None)).collect();
    let others = waits.iter().find(|wait| !wait.is_strict());
    statements.extend(others.and_then(|wait| wait.find(Some(1))));
    statements.extend([
        order::move_before(1),
        order::move_all(3),
        order::waiting(),
        order::set_turns(&[((0, 7), 2), ((1, 8), 0)]),
    ]);
    assert_snapshot("sql_order", &printed(statements));
}

#[test]
fn in_shards() {
    let [subjects, samples] = fixture::in_shards();
    let refers = samples.table.foreign_keys[0].clone();
    let subjects = Staged::described(
        subjects,
        &["deleted_at", "sex"],
        &[
            (Fate::Insert, "01"),
            (Fate::Insert, "11"),
            (Fate::Update, "01"),
            (Fate::Update, "11"),
        ],
    );
    let samples = Staged::described(samples, &["barcode"], &[(Fate::Update, "1")]);
    let updates = |staged: &Staged| {
        let sets: Vec<String> = staged.column_sets(Fate::Update).cloned().collect();
        staged.updates(&sets, Which::All, &[]).unwrap()
    };
    let near = &subjects.target.table.rows;
    let name = &subjects.target.table.name;
    let mut statements = Vec::from([
        near::primary_key(name),
        near::create(near, name, &["gsid".to_owned()]),
        subjects.beside().near().copy(),
        refers.near_parents("pg_temp.loader_after_1 a").copy(),
        refers.near_children("pg_temp.loader_after_0 p").copy(),
        subjects.count_to_change(),
        inserted(subjects.insert(Which::All, false, &[]).unwrap()),
    ]);
    statements.extend(written([
        subjects.delete(Which::All),
        subjects.mark(Which::All, &[]).unwrap(),
    ]));
    statements.extend(written(updates(&subjects)));
    statements.extend(written([samples.delete(Which::All)]));
    statements.extend(written(updates(&samples)));
    statements.push(everywhere::is_settled(&Backend {
        process: 42,
        started: String::new(),
    }));
    let tables = [subjects, samples];
    statements.extend(lock_tables(&header(), &tables));
    assert_snapshot("sql_shards", &printed(statements));
}

#[test]
fn reading_back() {
    let mut statements = Vec::new();
    for table in staged() {
        statements.extend([
            table.audit_writes(&ORIGIN).unwrap(),
            table.count_right().unwrap(),
            table.name_wrong().unwrap(),
            table.count_there_again(),
            table.audit_deletes(&ORIGIN),
        ]);
    }
    assert_snapshot("sql_read_back", &printed(statements));
}

#[test]
fn naming_drift() {
    let mut statements = Vec::new();
    let changed = |n, record_id: &str, gone| Changed {
        n,
        record_id: record_id.into(),
        gone,
    };
    let changed = [changed(7, "S1", false), changed(8, "S2", true)];
    for table in staged() {
        let columns: Vec<_> = table.target.table.columns.iter().take(2).collect();
        let audit_log = ORIGIN.own(Own::AuditLog);
        statements.extend([
            table.count_drift(Expected::All),
            table.name_drift(),
            table.now(&[7, 8], &columns),
            table.changed_by(&audit_log, &changed),
        ]);
    }
    assert_snapshot("sql_drift", &printed(statements));
}

#[test]
fn comparing_with_the_audit_log() {
    let undoes = [
        "1f1b3b0e-3c5e-4b0e-9d5e-1c2d3e4f5a6b".to_owned(),
        "2f1b3b0e-3c5e-4b0e-9d5e-1c2d3e4f5a6b".to_owned(),
    ];
    let tables = staged();
    let audit_log = ORIGIN.own(Own::AuditLog);
    let statements = [
        undone::unlike(
            &audit_log,
            &tables,
            true,
            (&undoes[..1], &UndoneRows::default()),
        ),
        undone::unlike(
            &audit_log,
            &tables,
            false,
            (&undoes, &UndoneRows::default()),
        ),
        tables[1].count_taken_back(&audit_log, &undoes, &UndoneRows::default()),
    ];
    assert_snapshot("sql_undone", &printed(statements));
}

#[test]
fn moving_sequences() {
    let [_, samples] = staged();
    let number = samples.target.table.column("number").unwrap();
    let sequence = number.sequence.as_ref().unwrap();
    let statements = [
        samples.behind(number, sequence),
        samples.advance(sequence, 3, "7"),
        samples.advance(sequence, 1_000_000, "1000007"),
    ];
    assert_snapshot("sql_sequences", &printed(statements));
}

#[test]
fn recording() {
    let undone = [
        "1f1b3b0e-3c5e-4b0e-9d5e-1c2d3e4f5a6b".to_owned(),
        "2f1b3b0e-3c5e-4b0e-9d5e-1c2d3e4f5a6b".to_owned(),
    ];
    let statements = [
        record::log_table(&ORIGIN, Kind::Load, "success", "samples", 3),
        record::log_failure("public", Kind::Load, "b1", "why"),
        queued::count_entries(),
        queued::lock_entries("public"),
        queued::name_drift(&header()),
        queued::update(&ORIGIN),
        queued::lock_ours(&ORIGIN, (&undone[..1], &undone[1..])),
        queued::restore(&ORIGIN, (&undone[..1], &undone[1..])),
    ];
    assert_snapshot("sql_record", &printed(statements));
}

#[test]
fn referring_by_key() {
    let [subjects, samples] = looked_up();
    let mut subjects = Staged::described(subjects, &["sex"], &[(Fate::Insert, "1")]);
    subjects.numbers = vec!["gsid".into()];
    let samples = Staged::described(samples, &["barcode"], &[(Fate::Insert, "1")]);
    let lookup = samples.lookups().next().unwrap();
    let mut numbered = samples.target.clone();
    numbered.table.columns[2].default = Some("nextval('barcodes'::regclass)".into());
    let numbered = Staged::described(numbered, &["barcode"], &[(Fate::Insert, "1")]);
    let statements = [
        subjects.create().unwrap(),
        samples.create().unwrap(),
        samples.hold_rows(lookup),
        samples.renamed(lookup),
        numbered.draw("barcode").unwrap(),
        samples.put_numbers(lookup, &subjects).unwrap(),
        samples.not_numbered(lookup),
        subjects.left_behind(&samples.target.table.foreign_keys[0]),
        samples
            .bereft(&samples.target.table.foreign_keys[0])
            .unwrap(),
    ];
    assert_snapshot("sql_references", &printed(statements));
}
