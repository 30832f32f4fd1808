//! The cases of `docs/values.md`, through the program and a database: what is accepted is stored as
//! the page says, and what is refused is told with the spelling that it proposes.

use crate::support::World;

/// The types that the page speaks of beside PostgreSQL's own.
const TYPES: &str = "
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN percentage AS numeric(5,2) CHECK (VALUE BETWEEN 0 AND 100);
CREATE DOMAIN moment AS timestamptz;
CREATE TYPE pair AS (n int, t text);
";

pub struct Case {
    pub ty: &'static str,
    pub given: &'static str,
    becomes: &'static str,
}

impl Case {
    /// The words in backticks of what it becomes.
    fn code(&self) -> Option<&'static str> {
        self.becomes.split('`').nth(1)
    }

    fn refused(&self) -> bool {
        self.becomes.starts_with("refused")
    }
}

/// The rows of the page's tables.
pub fn cases() -> Vec<Case> {
    let rows = include_str!("../../docs/values.md").lines();
    rows.filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 2)
        .map(|line| {
            let inside = line.trim_start_matches("| ").trim_end_matches(" |");
            let cells: Vec<&str> = inside.split(" | ").collect();
            let code = |cell: &'static str| cell.trim_start_matches('`').trim_end_matches('`');
            Case {
                ty: code(cells[0]),
                given: code(cells[1]),
                becomes: cells[2],
            }
        })
        .collect()
}

#[test]
fn every_case_of_the_page_becomes_what_it_says() {
    let cases = cases();
    let mut types: Vec<&str> = cases.iter().map(|c| c.ty).collect();
    types.sort_unstable();
    types.dedup();
    let world = World::new(TYPES, "");
    world.set("LOADER_QUEUE", "off");
    let mut config = String::new();
    for (t, ty) in types.iter().enumerate() {
        world.sql(&format!("CREATE TABLE t{t} (id int PRIMARY KEY, v {ty})"));
        config += &format!("t{t}: {{natural_key: [id], on_invalid: reject}}\n");
        let of_type = cases.iter().enumerate().filter(|(_, case)| case.ty == *ty);
        if ty.starts_with("json") && *ty != "jsonpath" {
            // In JSON a string is JSON too; a cell is read as JSON.
            let cells = of_type.map(|(i, c)| format!("{i},\"{}\"\n", c.given.replace('"', "\"\"")));
            let csv = format!("id,v\n{}", cells.collect::<String>());
            world.put("b", &format!("t{t}.csv"), csv);
        } else {
            let lines =
                of_type.map(|(i, c)| format!("{}\n", serde_json::json!({"id": i, "v": c.given})));
            world.put("b", &format!("t{t}.ndjson"), lines.collect::<String>());
        }
    }
    world.configure(&config);
    let plan = world.plan("b");
    world.apply(&plan).ok();
    let mut wrong = Vec::new();
    let mut told = vec![0; cases.len()];
    for entry in plan.entries() {
        let i: usize = entry["key"]["id"].as_str().unwrap().parse().unwrap();
        told[i] += 1;
        let Case { ty, given, becomes } = cases[i];
        let table = entry["table"].as_str().unwrap();
        // What prints XML leaves out a declaration.
        let printed = if ty == "xml" {
            "v::text"
        } else {
            "format('%s', v)"
        };
        let found = world.cells(&format!("SELECT {printed} FROM {table} WHERE id = {i}"));
        let found = found.first().map(|row| row[0].clone().unwrap_or_default());
        let right = if cases[i].refused() {
            let proposed = entry["instead"].as_str();
            entry["kind"] == "invalid_value" && proposed == cases[i].code() && found.is_none()
        } else {
            let value = &entry["values"]["v"];
            let given = value["given"].as_str();
            let stored = value.as_str().or(value["stored"].as_str());
            stored == cases[i].code()
                && found.as_deref() == cases[i].code()
                && given.is_some() == becomes.ends_with(", rounded")
        };
        if !right {
            wrong.push(format!(
                "{ty} {given}: {becomes}, but {entry}, stored {found:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(told.iter().all(|n| *n == 1), "each record is told once");
    assert_eq!(world.plan("b").count("insert"), 0, "a second plan is empty");
}
