//! Snapshots of the SQL of planning.

use super::check::{After, Asked, Audited, Generated, written_soundly};
use super::compare::Comparison;
use super::stage::Stage;
use super::stage::look_up::Of;
use crate::pg::beside::Found;
use crate::pg::fixture::{assert_snapshot, load, looked_up, printed, schema};
use crate::pg::order::Wait;
use crate::pg::own::Own;
use crate::plan::ViolationKind;
use crate::table::complete::Complete;
use crate::table::schema::ForeignKey;
use crate::table::target::Target;

fn staged(schema: &[Target]) -> Vec<Stage<'_>> {
    let stages = schema.iter().map(|target| {
        let mut stage = Stage::described(target, "b1");
        stage.used = target.table.columns.iter().map(|c| !c.generated).collect();
        if let Some(last) = stage.used.last_mut() {
            *last = false;
        }
        stage
    });
    stages.collect()
}

#[test]
fn staging() {
    let schema = schema();
    let stages = staged(&schema);
    let samples = &stages[1];
    let volume = &samples.target.table.columns[3];
    let statements = [
        stages[0].create(stages[0].temporary()),
        samples.create(samples.temporary()),
        samples.copy_into(samples.temporary()),
        samples.create_raw(),
        samples.cast_all(volume),
        samples.find_unfit(volume),
        samples.take_over(&["r.c1::text".into()]),
        samples.cast_to_domain(volume),
        samples.find_outside_domain(volume),
        samples.set_extracted(),
        samples.analyze(),
        samples.has_duplicates(),
        samples.find_duplicates(),
    ];
    assert_snapshot("sql_stage", &printed(statements));
}

#[test]
fn leaving_out() {
    let schema = schema();
    let stages = staged(&schema);
    let samples = &stages[1];
    let statements = [
        samples.create_left_out(),
        samples.set_left_out(),
        samples.left_out_of_nothing(),
        samples.create_left_out_places(),
        samples.copy_left_out_places(),
        samples.set_left_out_at(),
        samples.create_kept(),
        samples.copy_kept(),
        samples.set_left_out_of(3),
    ];
    assert_snapshot("sql_leave_out", &printed(statements));
}

#[test]
fn comparing() {
    let schema = schema();
    let mut stages = staged(&schema);
    let statement = |stage: &Stage<'_>, found| {
        let origin = |_, _| String::new();
        let mut sink = |_: &[u8], _| Ok(());
        Comparison::new(stage, &origin, &mut sink).statement(found)
    };
    let subjects = statement(&stages[0], Found::Rows);
    let samples = statement(&stages[1], Found::OneRow);
    (stages[1].duplicates, stages[1].findings) = (true, true);
    let with_all = statement(&stages[1], Found::OneRow);
    assert_snapshot("sql_compare", &printed([subjects, samples, with_all]));
}

#[test]
fn checking() {
    let schema = schema();
    let mut stages = staged(&schema);
    stages[1].findings = true;
    let all: Vec<After<'_>> = stages.iter().map(After::new).collect();
    let [subjects, samples] = all.as_slice() else {
        panic!("two tables");
    };
    let refers = &schema[1].table.foreign_keys[0];
    let by_sex = ForeignKey {
        parent_columns: vec!["sex".into()],
        ..refers.clone()
    };
    let barcode = &schema[1].table.unique[1];
    let mut statements = vec![
        samples.create(),
        subjects.fill_all(Generated::Computed),
        samples.fill_all(Generated::Computed),
        samples.fill_all(Generated::Later),
        samples.set_invalid(),
        samples.along(refers, subjects, &all).unwrap(),
        samples.forget_left_out(),
        samples.orphans(refers, &all, Asked::First),
        samples.orphans(refers, &all, Asked::Again),
        samples.strayed(&by_sex, &all[0], Asked::First).unwrap(),
        samples.outdated(&by_sex, &all[0], Asked::First),
        samples.half_given(refers),
        subjects.some_leave(refers),
        subjects.bereft(refers, &all, Asked::First),
        samples.conflicts(barcode, Asked::Again),
    ];
    statements.extend(Wait::all(&all).iter().filter_map(|wait| wait.find(None)));
    statements.push(samples.set_turns());
    let audit_log = Own::AuditLog.within("public");
    let load = load(&schema[1], "vials");
    let of = |undone, renamed| Audited {
        log: &audit_log,
        undone,
        renamed,
    };
    let none = Default::default();
    statements.push(subjects.count_older(&of(&none, Vec::new())));
    let undone = vec!["6f1b3b0e-3c5e-4b0e-9d5e-1c2d3e4f5a6b".into()];
    let undone = (undone, Default::default());
    statements.push(samples.find_older(&of(&undone, vec![&load])));
    assert_snapshot("sql_check", &printed(statements));
}

#[test]
fn rules() {
    let schema = schema();
    let stages = staged(&schema);
    let samples = After::new(&stages[1]);
    let table = &schema[1].table;
    let (check, volume, doubled) = (&table.checks[0], &table.columns[3], &table.columns[4]);
    let statements = [
        samples.compute("now()", volume),
        samples.evaluate(&written_soundly(), "(volume * 2)::numeric"),
        samples.find_failing(
            (Some(doubled), &written_soundly()),
            "(volume * 2)::numeric",
            "cannot be computed",
        ),
        samples.set_unsound(),
        samples.find_unfilled(doubled, "volume * 2"),
        samples.fill_in(doubled, "volume * 2"),
        samples.find_broken_at_once(check, "true", "does not hold"),
        samples.find_broken_singly(check, "true", "does not hold"),
        samples.show_values(check),
        samples.fit_domain(volume, "true"),
        samples.find_misfits(
            volume,
            "true",
            ViolationKind::NullValue,
            "does not allow null",
        ),
    ];
    assert_snapshot("sql_rules", &printed(statements));
}

#[test]
fn looking_up() {
    let mut schema = looked_up();
    schema[0].table.columns[0].default = Some("gen_random_uuid()".into());
    let mut stages = staged(&schema);
    stages[0].duplicates = true;
    let [subjects, samples] = stages.as_slice() else {
        panic!("two tables");
    };
    let [maker, subject] = schema[1].lookups.all.as_slice() else {
        panic!("two lookups");
    };
    let origin = |_, _| String::new();
    let mut sink = |_: &[u8], _| Ok(());
    let compared = Comparison::new(samples, &origin, &mut sink).statement(Found::OneRow);
    let statements = [
        samples.create(samples.temporary()),
        samples.create_duplicates(),
        samples.find_stored(maker, None, Of::AllRows),
        samples.find_stored(subject, Some(subjects), Of::LiveRows),
        samples.find_stored_together(&[maker, subject]),
        samples.is_open(subject),
        samples.find_several_stored(subject, None, Of::AllRows),
        subjects.number(0, &[]).unwrap(),
        samples.find_several_staged(subject, subjects, Of::AllRows),
        samples.find_staged(maker, subjects, Of::AllRows),
        samples.find_staged(subject, subjects, Of::AllRows),
        samples.take_along(subject, subjects),
        samples.find_none(subject, None),
        samples.find_disagreeing(subject),
        compared,
    ];
    assert_snapshot("sql_look_up", &printed(statements));
}

#[test]
fn deleting() {
    let mut schema = schema();
    schema[1].config.complete = Complete::Where([("barcode".into(), "B-1".into())].into());
    let mut stages = staged(&schema);
    stages.iter_mut().for_each(|stage| stage.deletes = true);
    let barcode = schema[1].table.columns.iter();
    let barcode = barcode.take_while(|c| c.name != "barcode").count();
    stages[1].scope = vec![(barcode, "B-1".into())];
    let all: Vec<After<'_>> = stages.iter().map(After::new).collect();
    let origin = |_, _| String::new();
    let mut sink = |_: &[u8], _| Ok(());
    let statements = [
        stages[1].count_unreadable(),
        stages[1].stage_missing(3),
        all[1].fill_all(Generated::Computed),
        all[0].still_referring(&schema[1].table.foreign_keys[0], &all, Asked::First),
        all[1].conflicts(&schema[1].table.unique[1], Asked::First),
        Comparison::new(&stages[1], &origin, &mut sink).statement(Found::OneRow),
    ];
    assert_snapshot("sql_delete", &printed(statements));
}
