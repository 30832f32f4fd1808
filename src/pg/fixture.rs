//! One schema of two tables, for the snapshots of every builder's SQL: subjects are marked as deleted,
//! samples refer to them and have everything that is checked.

use std::collections::BTreeMap;

use crate::pg::ledger::Application;
use crate::plan::{Counts, LedgerTable};
use crate::sql::{Qualified, Statement};
use crate::table::config::Config;
use crate::table::kind::TableKind;
use crate::table::lookup::Lookups;
use crate::table::schema::{Asks, Check, Column, Equality, ForeignKey, Table, UniqueIndex};
use crate::table::target::Target;

/// Subjects and samples.
pub(super) fn schema() -> [Target; 2] {
    let refers = ForeignKey {
        name: "samples_subject_fkey".into(),
        child: qualified("samples"),
        child_oid: 102,
        child_rows: qualified("samples"),
        columns: vec!["subject".into()],
        parent: qualified("subjects"),
        parent_oid: 101,
        parent_rows: qualified("subjects"),
        parent_columns: vec!["gsid".into()],
        only: None,
        parts: Vec::new(),
        deferrable: false,
        may_go_first: false,
        may_change_first: false,
        match_full: false,
        equality: vec![equality(None)],
        keeps: true,
        outlives_parent: true,
        follows: false,
    };
    let mut subjects = table(101, "subjects");
    subjects.columns = vec![
        required(text(1, "gsid")),
        text(2, "sex"),
        required(text(3, "created_by")),
        timestamp(4, "updated_at"),
        timestamp(5, "deleted_at"),
    ];
    subjects.unique = vec![unique("subjects_pkey", &[1], &["gsid"])];
    subjects.referrers = vec![refers.clone()];
    let mut samples = table(102, "samples");
    samples.columns = vec![
        required(text(1, "subject")),
        required(Column::of_type(2, "number", "int4", 'N')),
        text(3, "barcode"),
        Column::of_type(4, "volume", "numeric", 'N'),
        Column {
            generated: true,
            generation: Some("volume * 2".into()),
            generated_from: vec![4],
            ..Column::of_type(5, "doubled", "numeric", 'N')
        },
    ];
    samples.columns[1].sequence = Some(qualified("samples_number_seq"));
    samples.columns[3].domain = true;
    samples.columns[3].type_sql = "positive".into();
    samples.columns[3].base_type_sql = "numeric(10,3)".into();
    samples.unique = vec![
        unique("samples_pkey", &[1, 2], &["subject", "number"]),
        unique("samples_barcode_key", &[3], &["barcode"]),
    ];
    samples.foreign_keys = vec![refers];
    samples.checks = vec![Check {
        name: "samples_volume_check".into(),
        asks: Asks::Check,
        expression: "volume < 1000".into(),
        columns: vec![4],
        looks_around: false,
    }];
    let text = "
subjects:
  natural_key: [gsid]
  conflict_resolution: replace
  immutable_fields: [created_by]
  soft_delete: true
  stamps: {updated_at: now}
samples:
  natural_key: [subject, number]
  stamps: {}
";
    let mut config = Config::parse("tables.yaml", text).unwrap().tables;
    let mut target = |name: &str, table, place| {
        let config = config.remove(name).unwrap();
        Target::new(name.into(), table, config, Default::default(), place)
    };
    [
        target("subjects", subjects, 0),
        target("samples", samples, 1),
    ]
}

/// The same, in shards: subjects are distributed, and every server has all samples.
pub(super) fn in_shards() -> [Target; 2] {
    let [mut subjects, mut samples] = schema();
    subjects.table.unique[0].primary = true;
    samples.table.unique[0].primary = true;
    let column = "gsid".to_owned();
    subjects.table.kind = TableKind::Distributed { column };
    samples.table.kind = TableKind::Reference;
    for table in [&mut subjects.table, &mut samples.table] {
        table.rows = table.kind.rows(&table.name, table.oid);
        for key in table.foreign_keys.iter_mut().chain(&mut table.referrers) {
            key.child_rows = samples_rows();
            key.parent_rows = TableKind::Reference.rows(&key.parent, 101);
        }
    }
    [subjects, samples]
}

fn samples_rows() -> Qualified {
    TableKind::Reference.rows(&qualified("samples"), 102)
}

/// The same, where a sample's subject is looked up by its sex and by who made it.
pub(super) fn looked_up() -> [Target; 2] {
    let [subjects, mut samples] = schema();
    let text = "
samples:
  natural_key: [subject, number]
  references: {subject: {table: subjects, by: {sex: sex, created_by: {table: subjects, by: {gsid: maker}}}}}
";
    let config = Config::parse("tables.yaml", text).unwrap();
    samples.config.references = config.tables["samples"].references.clone();
    let mut parent = subjects.table.clone();
    parent.foreign_keys = vec![ForeignKey {
        name: "subjects_created_by_fkey".into(),
        child: qualified("subjects"),
        child_rows: qualified("subjects"),
        columns: vec!["created_by".into()],
        ..samples.table.foreign_keys[0].clone()
    }];
    let parents = [(
        "subjects".to_owned(),
        (parent, Some("deleted_at".to_owned())),
    )];
    let parents = BTreeMap::from(parents);
    samples.lookups = Lookups::new(&samples.table, &samples.config.references, &parents).unwrap();
    [subjects, samples]
}

/// All statements, for a snapshot.
pub(super) fn printed(statements: impl IntoIterator<Item = Statement>) -> String {
    let statements = statements.into_iter();
    let all: Vec<String> = statements.map(|s| s.to_string()).collect();
    all.join("\n\n")
}

/// Compares `text` with the snapshot of this name.
pub(super) fn assert_snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn qualified(name: &str) -> Qualified {
    Qualified {
        schema: "public".into(),
        name: name.into(),
    }
}

fn table(oid: u32, name: &str) -> Table {
    Table {
        oid,
        above: vec![oid],
        below: vec![oid],
        kin: Vec::new(),
        name: qualified(name),
        kind: Default::default(),
        rows: qualified(name),
        columns: Vec::new(),
        unique: Vec::new(),
        exclusions: Vec::new(),
        foreign_keys: Vec::new(),
        referrers: Vec::new(),
        checks: Vec::new(),
        triggers: Vec::new(),
        rules: false,
        column_triggers: false,
        fingerprint: String::new(),
    }
}

fn equality(collation: Option<&str>) -> Equality {
    Equality {
        as_type: None,
        schema: "pg_catalog".into(),
        operator: "=".into(),
        collation: collation.map(str::to_owned),
    }
}

fn unique(name: &str, columns: &[i16], keys: &[&str]) -> UniqueIndex {
    let collation = |key: &&str| (*key != "number").then_some("pg_catalog.\"default\"");
    UniqueIndex {
        name: name.into(),
        columns: columns.to_vec(),
        equality: keys.iter().map(|key| equality(collation(key))).collect(),
        keys_sql: keys.iter().map(|key| (*key).to_owned()).collect(),
        predicate: None,
        immediate: true,
        nulls_not_distinct: false,
        of_partition: false,
        primary: name.ends_with("pkey"),
    }
}

fn text(number: i16, name: &str) -> Column {
    Column::of_type(number, name, "text", 'S')
}

fn timestamp(number: i16, name: &str) -> Column {
    Column::of_type(number, name, "timestamptz", 'D')
}

fn required(column: Column) -> Column {
    Column {
        not_null: true,
        ..column
    }
}

/// A load of a table, under this name.
pub(super) fn load(target: &Target, name: &str) -> Application {
    let table = LedgerTable {
        left_out: 0,
        fragments: 1,
        table: name.into(),
        schema: String::new(),
        relation: target.table.name.clone(),
        config: target.config.clone(),
        columns: Vec::new(),
        by_trigger: Vec::new(),
        types: BTreeMap::new(),
        counts: Counts {
            insert: 1,
            ..Counts::default()
        },
        rejected: 0,
    };
    Application {
        application: "7f1b3b0e-3c5e-4b0e-9d5e-1c2d3e4f5a6b".into(),
        plan_hash: String::new(),
        kind: "load".into(),
        batch_id: "b".into(),
        actor: "curator".into(),
        applied_at: String::new(),
        undoes: Vec::new(),
        undoes_in_part: Vec::new(),
        tables: vec![table],
        records: 1,
        rejected: 0,
        undone_by: None,
        undone_in_part_by: Vec::new(),
        undone_rows: BTreeMap::new(),
    }
}
