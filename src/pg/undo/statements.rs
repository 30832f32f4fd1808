//! Snapshots of the SQL of taking loads back, and of the loader's own tables.

use super::drift::Drifted;
use super::referrers::{Going, named_by};
use super::retyped::Way;
use super::{Selected, Undo, Written};
use crate::pg::beside::Found;
use crate::pg::fixture::{assert_snapshot, load, printed, schema};
use crate::pg::ledger::{self, UndoneRows};
use crate::pg::{audit, queue};
use crate::plan::{AppliedChange, DriftState, Skip};
use crate::table::config::SoftDelete;

#[test]
fn taking_back() {
    let applications = ["6f1b3b0e-3c5e-4b0e-9d5e-1c2d3e4f5a6b".to_owned()];
    let schema = schema();
    let written = Written {
        columns: vec!["sex".into()],
        ..Written::default()
    };
    let tables = schema.iter();
    let tables: Vec<Undo<'_>> = tables
        .map(|target| Undo::described("public", target, &written, &applications))
        .collect();
    let [subjects, samples] = tables.as_slice() else {
        panic!("two tables");
    };
    let all = std::slice::from_ref(samples);
    let both = [
        applications[0].clone(),
        "7f1b3b0e-3c5e-4b0e-9d5e-1c2d3e4f5a6b".to_owned(),
    ];
    let twice = Undo::described("public", &schema[1], &written, &both);
    let table = &schema[1].table;
    // Rows that are marked only go on being referred to: of these there is nothing to ask but for values that change.
    let mut going = schema[0].clone();
    going.config.soft_delete = SoftDelete::Off;
    let going = Undo::described("public", &going, &written, &applications);
    let mut renamed = schema[0].clone();
    renamed.config.natural_key = vec!["sex".into()];
    let renamed = Undo::described("public", &renamed, &written, &applications);
    let mut of_live = schema[0].clone();
    of_live.table.unique[0].predicate = Some("(deleted_at IS NULL)".into());
    let again = Undo::described("public", &of_live, &written, &applications);
    let named = named_by(table, &schema[1].config.natural_key);
    let by_place = named_by(table, &[]);
    let refers = &schema[1].table.foreign_keys[0];
    let mut in_part = UndoneRows::default();
    in_part.add(&both[1], &both[0]);
    let loads = (&both[..], &in_part);
    let drifted = [Drifted {
        key: Default::default(),
        state: DriftState::Changed,
        applied: AppliedChange {
            before: None,
            after: None,
        },
        record_id: "S1".into(),
        audited: 42,
    }];
    let keys = [vec!["1".to_owned(); schema[1].config.natural_key.len()]];
    let selected = |applications: &[String]| Selected {
        applications: applications.to_vec(),
        keys: Some(keys.to_vec()),
        further: ["A".to_owned()].into(),
    };
    let statements = [
        samples.create(),
        samples.fill(),
        twice.fill(),
        samples.count_audited(),
        samples.columns_of_images(),
        samples.broken(),
        samples.has_changed("gone"),
        samples.count_lost(
            &schema[1].table.columns[3],
            "int4",
            &Way::Cast { then: "int4" },
        ),
        samples.convert(&schema[1].table.columns[3], &Way::Cast { then: "int4" }),
        samples.count_returning(&schema[1].table.columns[3]),
        samples.convert(
            &schema[1].table.columns[3],
            &Way::InZone {
                then: "timestamp without time zone",
                zone: "Europe/Zurich",
            },
        ),
        samples.analyze(),
        samples.compare_with(Found::OneRow),
        subjects.compare_with(Found::Rows),
        subjects.now(&drifted),
        subjects.later(&drifted),
        going.count_referring(refers, all),
        renamed.count_referring(refers, &[]),
        samples.find_taken(&table.unique[1]),
        again.find_taken(&of_live.table.unique[0]),
        again.find_keys_taken(),
        samples.orphans(refers, &samples.refer_again(refers).unwrap(), &tables),
        going.referring(refers, all, &named),
        going.referring(refers, &[], &by_place),
        twice.not_changed(&selected(&applications), &keys),
        twice.unselect(&selected(&applications)),
        samples.create_kept(),
        samples.keep(&["A".into()], &Skip::EditedSince),
        going.keep_for(refers, all, Going::Deleted),
        subjects.keep_for(refers, all, Going::Marked),
        samples.list_kept(),
        samples.covered(&["A".into()]),
        subjects.find_changed_later(loads),
        going.find_referring_later(refers, &schema[1], all, loads),
    ];
    let (same, other) = (load(&schema[1], "samples"), load(&schema[1], "vials"));
    let later = samples.mark_later(&[&same, &other], &UndoneRows::default());
    let mut ignoring = schema[1].clone();
    ignoring.config.ignore_drift = vec!["volume".into()];
    let mut between = Undo::described("public", &ignoring, &written, &both);
    between.is_composed = true;
    let mut added = Undo::described("public", &schema[1], &written, &applications);
    added.added = vec!["volume".into()];
    let since = [load(&schema[1], "samples")];
    let further = [
        added.follow(&["volume".into()], &since),
        between.leave_between(),
        Some(between.has_changed("gone")),
        Some(added.compare_with(Found::OneRow)),
    ];
    let statements = statements.into_iter().chain(later);
    let statements = statements.chain(further.into_iter().flatten());
    assert_snapshot("sql_undo", &printed(statements));
}

#[test]
fn own_tables() {
    let filter = audit::Filter {
        batch_id: Some("b1"),
        table: Some("samples"),
        ..audit::Filter::default()
    };
    let statements = [
        ledger::list("public", Some("b1")),
        ledger::list_referring("public"),
        queue::list("public", "b1"),
        queue::count("public", None),
        audit::list("public", filter, 100),
        audit::list("public", audit::Filter::default(), 100),
    ];
    assert_snapshot("sql_own_tables", &printed(statements));
}
