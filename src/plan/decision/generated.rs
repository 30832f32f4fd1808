//! What the database is told of the decision, beside the table of the README.

use super::*;
use crate::table::config::Config;

const README: &str = include_str!("../../../README.md");

/// The lines of the README's table, each as its cells.
fn lines() -> impl Iterator<Item = Vec<String>> {
    let (_, table) = README.split_once("| the row is |").unwrap();
    let lines = table.lines().skip(2);
    let lines = lines.take_while(|line| line.starts_with('|'));
    lines.map(|line| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    })
}

/// Each value that a cell names; those of `all` for `any`.
fn named<'a>(cell: &'a str, all: &[&'a str]) -> Vec<&'a str> {
    if cell == "any" {
        return all.to_vec();
    }
    cell.split(", ").collect()
}

fn field(column: &str) -> Field {
    Field {
        given: format!("given({column})"),
        value: format!("s.{column}"),
        row: format!("t.{column}"),
    }
}

#[test]
fn what_is_generated_beside_the_table_of_the_readme() {
    let mut shown = String::new();
    for cells in lines() {
        let [row, strategy, resolution, result] = cells.as_slice() else {
            panic!("{cells:?}");
        };
        shown += &format!("{row} | {strategy} | {resolution} | {result}\n");
        for strategy in named(strategy, &["upsert", "insert_only", "update_only"]) {
            for resolution in named(resolution, &["skip", "merge", "replace"]) {
                let text = format!(
                    "t: {{natural_key: [id], immutable_fields: [created_by], soft_delete: true, \
                     update_strategy: {strategy}, conflict_resolution: {resolution}}}"
                );
                let config = Config::parse("t", &text).unwrap().tables["t"].clone();
                let writes = writes_sql(&config, "FOUND", "ABSENT");
                shown +=
                    &format!("  {strategy}, {resolution}: a record is written where {writes}\n");
                if !matches!(writes.as_str(), "FOUND" | "true") || row == "absent" {
                    continue;
                }
                for column in ["id", "sex", "created_by", "deleted_at"] {
                    let wins = Wins::of(column, Mark::Time, &config).sql(&field(column));
                    shown += &format!("    its {column} wins where {wins}\n");
                }
            }
        }
    }
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("sql_decision", shown));
}
