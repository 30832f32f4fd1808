//! `render::json`.

use table_loader::plan::Action;
use table_loader::planfile::PlanFile;
use table_loader::render::json;
use table_loader::render::select::Filter;

use crate::fixture::{self, Plan};

fn shown(plan: &Plan, filter: &Filter) -> String {
    let mut out = Vec::new();
    json::plan(&plan.open(), filter, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn all() -> Filter {
    Filter {
        actions: Action::BY_URGENCY.to_vec(),
        ..Filter::default()
    }
}

#[test]
fn without_sensitive_columns_it_is_the_file_but_for_the_format() {
    let plan = fixture::many(500);
    let file = std::fs::read_to_string(plan.path()).unwrap();
    let view = shown(&plan, &all()).replace(json::FORMAT, table_loader::planfile::FORMAT);
    // Behind the changes stands what they come to.
    let (same, columns) = view.split_once(",\n\"columns\": [").unwrap();
    assert_eq!(file.trim_end(), format!("{same}\n}}"));
    assert!(columns.contains("\"words\":"), "{columns}");
}

#[test]
fn a_filtered_view_is_json_and_no_plan() {
    let plan = fixture::everything(true);
    let filter = Filter {
        tables: vec!["subjects".into()],
        actions: vec![Action::Update, Action::Delete],
        limit: Some(3),
        ..Filter::default()
    };
    let text = shown(&plan, &filter);
    let view: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(view["plan_hash"], plan.open().hash.as_str());
    assert_eq!(view["header"]["summary"]["update"], 23);
    assert_eq!(view["changes"].as_array().unwrap().len(), 4, "{text}");
    let none = Filter {
        key: Some("no such key".into()),
        ..all()
    };
    let view: serde_json::Value = serde_json::from_str(&shown(&plan, &none)).unwrap();
    assert!(view["changes"].as_array().unwrap().is_empty());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("view.json");
    std::fs::write(&path, text).unwrap();
    let refused = PlanFile::open(&path).unwrap_err().to_string();
    assert!(refused.contains("table-loader-view/1"), "{refused}");
}

#[test]
fn sensitive_values_are_nowhere() {
    let text = shown(&fixture::everything(true), &all());
    assert!(
        !text.contains("078-05") && !text.contains("219-09"),
        "{text}"
    );
    assert_eq!(text.matches("•••").count(), 6, "{text}");
}
