//! A snapshot of the SQL of making and adopting the loader's tables.

use super::adopt::columns::columns_of;
use super::adopt::trials::trials;
use super::adopt::{relations, was_used};
use super::{
    create_schema, has_schema, lock, missing_columns, read_lineage, set_lineage, unlock, work_in,
};
use crate::pg::fixture::{assert_snapshot, printed};
use crate::pg::own::Own;

#[test]
fn migrating() {
    let schema = "loads";
    let mut statements = vec![
        lock(),
        has_schema(schema),
        create_schema(schema),
        work_in(schema),
        unlock(),
        missing_columns(schema),
        read_lineage(schema),
        set_lineage(schema),
        was_used(schema),
        relations(schema),
        columns_of(schema, Own::AuditLog),
    ];
    let ids = [
        "6f1b3b0e-3c5e-4b0e-9d5e-1c2d3e4f5a6b",
        "7f1b3b0e-3c5e-4b0e-9d5e-1c2d3e4f5a6b",
        "8f1b3b0e-3c5e-4b0e-9d5e-1c2d3e4f5a6b",
    ];
    for trial in trials(schema, ids).unwrap() {
        let read = trial.read();
        statements.extend([trial.write, read]);
    }
    assert_snapshot("sql_migrate", &printed(statements));
}
