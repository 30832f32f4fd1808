//! Values by which a loader could be led to store something else than what was sent: each is stored
//! as it was given, or listed beside what is stored, or refused.

use crate::support::World;
use crate::support::server::shared;
use crate::support::types::exists;

/// What the groups' columns are made of beside PostgreSQL's own types.
const TYPES: &str = "
CREATE EXTENSION citext; CREATE EXTENSION hstore;
CREATE TYPE mood AS ENUM ('sad', 'happy', ' so ');
CREATE TYPE pair AS (n numeric(4,1), t varchar(3));
CREATE TYPE nest AS (p pair, l pair[]);
CREATE DOMAIN moment AS timestamptz;
CREATE DOMAIN code AS varchar(3);
CREATE DOMAIN codes AS varchar(3)[];
CREATE DOMAIN cents AS numeric(6,2);
CREATE DOMAIN rounded AS cents;
CREATE TYPE prices AS RANGE (subtype = cents);
CREATE TYPE floats AS RANGE (subtype = float4);
CREATE TYPE words AS RANGE (subtype = text, collation = \"C\");
";

/// A column's type, what `tables.yaml` says of it, and what is given with what becomes of it.
type Group = (String, String, Vec<(String, String)>);

/// The groups of a file of cases, in which `\uXXXX` of what is stored, or of a cell, is a character.
fn groups(file: &str, decode_given: fn(&str) -> String) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for line in file
        .lines()
        .filter(|l| !l.starts_with("# ") && !l.is_empty())
    {
        if let Some(title) = line.strip_prefix("== ") {
            let (ty, settings) = title.split_once("; ").unwrap_or((title, ""));
            groups.push((ty.to_owned(), settings.to_owned(), Vec::new()));
            continue;
        }
        let (given, becomes) = line.rsplit_once(" -> ").unwrap();
        let case = (decode_given(given), decoded(becomes));
        groups.last_mut().unwrap().2.push(case);
    }
    groups.retain(|(ty, ..)| exists(ty, shared().version()));
    groups
}

fn decoded(text: &str) -> String {
    let mut parts = text.split("\\u");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(4);
        out.push(char::from_u32(u32::from_str_radix(digits, 16).unwrap()).unwrap());
        out += rest;
    }
    out
}

#[test]
fn nothing_is_stored_as_something_else() {
    let cases = groups(include_str!("adversary/json.txt"), str::to_owned);
    check(&cases, "ndjson", |i, given| {
        format!("{{\"id\": {i}, \"v\": {given}}}\n")
    });
}

#[test]
fn no_cell_is_stored_as_something_else() {
    let cases = groups(include_str!("adversary/cells.txt"), decoded);
    check(&cases, "csv", |i, given| match i {
        0 => format!("id,v\n0,{given}\n"),
        _ => format!("{i},{given}\n"),
    });
}

/// Loads each case as the record that `line` makes of its number and of what is given.
fn check(groups: &[Group], ending: &str, line: fn(usize, &str) -> String) {
    let world = World::new(TYPES, "");
    world.set("LOADER_QUEUE", "off");
    let mut config = String::new();
    for (t, (ty, settings, cases)) in groups.iter().enumerate() {
        world.sql(&format!("CREATE TABLE t{t} (id int PRIMARY KEY, v {ty})"));
        let settings = settings.trim_start_matches('{').trim_end_matches('}');
        config += &format!(
            "t{t}: {{natural_key: [id], on_invalid: reject, spelling: {{v: {{{settings}}}}}}}\n"
        );
        let lines = cases.iter().enumerate();
        let lines = lines.map(|(i, (given, _))| line(i, given));
        world.put("b", &format!("t{t}.{ending}"), lines.collect::<String>());
    }
    world.configure(&config);
    let plan = world.plan("b");
    // What a client, a role or a database has set reads no value otherwise.
    let name = &world.database;
    world.sql(&format!(
        "ALTER DATABASE {name} SET TimeZone = 'Asia/Tokyo'; ALTER DATABASE {name} SET DateStyle = 'SQL, DMY'; \
         ALTER ROLE CURRENT_USER IN DATABASE {name} SET TimeZone = 'America/Caracas'; \
         ALTER DATABASE {name} SET IntervalStyle = 'sql_standard'; ALTER DATABASE {name} SET lc_monetary = 'C'"
    ));
    world.set("TZ", "America/New_York");
    world.set("PGTZ", "Pacific/Auckland");
    assert!(
        world.plan("b").text == plan.text,
        "another plan under other settings"
    );
    world.apply(&plan).ok();
    let mut wrong = Vec::new();
    let mut told = 0;
    for entry in plan.entries() {
        let t: usize = entry["table"].as_str().unwrap()[1..].parse().unwrap();
        let i: usize = entry["key"]["id"].as_str().unwrap().parse().unwrap();
        let (ty, settings, cases) = &groups[t];
        let (given, expect) = &cases[i];
        told += 1;
        let printed = if ty == "xml" {
            "v::text"
        } else {
            "format('%s', v)"
        };
        let here = world.cells(&format!(
            "SELECT {printed}, v IS NOT DISTINCT FROM NULL FROM t{t} WHERE id = {i}"
        ));
        let here = here.first().map(|row| match row[1].as_deref() {
            Some("t") => "null".to_owned(),
            _ => row[0].clone().unwrap_or_default(),
        });
        let value = &entry["values"]["v"];
        let found = if entry["action"] == "violation" {
            match (entry["kind"].as_str(), &here) {
                (Some("invalid_value"), None) => "!".to_owned(),
                _ => format!("{} and {here:?} is there", entry["kind"]),
            }
        } else {
            let said = |v: &serde_json::Value| v.as_str().unwrap_or("null").to_owned();
            let (mark, said) = match (value.get("given"), value.get("stored")) {
                (Some(_), Some(stored)) => ("~", said(stored)),
                _ if value.is_null() => ("", said(value)),
                _ => ("=", said(value)),
            };
            match here {
                Some(here) if here == said => format!("{mark}{said}"),
                here => format!("{mark}{said} is planned, and {here:?} is there"),
            }
        };
        // A number of four hundred digits is told by its beginning.
        let expect = match (ty.as_str(), given.as_str()) {
            ("numeric", "1e400") => format!("=1{}", "0".repeat(400)),
            // Before 15 PostgreSQL reads no more than 2³¹ seconds.
            ("interval", _) if given.contains("9007199254.74") && shared().version() < 15 => {
                "!".into()
            }
            _ => expect.to_owned(),
        };
        if found != expect {
            wrong.push(format!(
                "{ty} {settings} {given}: {found}, not {expect}: {}",
                entry["message"]
            ));
        }
    }
    let all: usize = groups.iter().map(|(.., cases)| cases.len()).sum();
    assert!(
        wrong.is_empty(),
        "{} of {all}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(told, all, "each record is told once");
    let again = world.plan("b");
    assert_eq!(again.count("insert"), 0, "a second plan is empty");
    assert_eq!(again.count("update"), 0, "a second plan is empty");
}
