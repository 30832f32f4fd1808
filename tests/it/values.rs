//! Values that break naive loaders arrive as they were given: plan, apply, read back, plan again.

use crate::support::types::{self, SETUP};
use crate::support::{World, gzip};

/// A type, what stands in JSON, and what PostgreSQL then prints.
struct Case(&'static str, &'static str, Option<&'static str>);

/// Every value of every type that null fits.
fn cases() -> Vec<Case> {
    let case = |t: &'static types::Type| t.values.iter().map(|(g, s)| Case(t.name, g, *s));
    types::all()
        .filter(|t| !["need", "given"].contains(&t.name))
        .flat_map(case)
        .collect()
}

/// One table with a column of each type that the cases use.
fn schema(key: &str) -> (String, Vec<String>) {
    let mut types: Vec<String> = Vec::new();
    for Case(ty, ..) in cases() {
        if !types.contains(&ty.to_owned()) {
            types.push(ty.to_owned());
        }
    }
    let columns: Vec<String> = types.iter().map(|t| format!("\"{t}\" {t}")).collect();
    let sql = format!("{SETUP} CREATE TABLE t ({key}, {})", columns.join(", "));
    (sql, types)
}

#[track_caller]
fn holds_every_case(world: &World) {
    for (i, Case(ty, given, stored)) in cases().iter().enumerate() {
        let found = world.cells(&format!(
            "SELECT format('%s', \"{ty}\"), \"{ty}\" IS NULL FROM t WHERE id = {i}"
        ));
        let is_null = found[0][1].as_deref() == Some("t");
        let found = (!is_null).then(|| found[0][0].as_deref().unwrap_or_default());
        assert_eq!(found, *stored, "{ty} {given}");
    }
}

#[test]
fn every_kind_of_value_is_inserted_as_it_was_given() {
    let cases = cases();
    let world = World::new(&schema("id int PRIMARY KEY").0, "t: {natural_key: [id]}");
    for (i, Case(ty, given, _)) in cases.iter().enumerate() {
        world.put(
            "b",
            &format!("t/{i}.json"),
            format!("{{\"data\": {{\"id\": {i}, \"{ty}\": {given}}}}}"),
        );
    }
    world.set("LOADER_QUEUE", "off");
    let plan = world.plan("b");
    assert_eq!(
        plan.count("insert"),
        cases.len() as u64,
        "{:?}",
        plan.news()
    );
    assert_eq!(plan.count("violation"), 0);
    world.apply(&plan).ok();
    holds_every_case(&world);
    let again = world.plan("b");
    assert_eq!(again.news(), [""; 0]);
    // What the plan says is what is there, to the byte.
    for entry in plan.entries() {
        let i: usize = entry["key"]["id"].as_str().unwrap().parse().unwrap();
        let Case(ty, given, stored) = &cases[i];
        assert_eq!(entry["values"][*ty].as_str(), *stored, "{ty} {given}");
    }
}

#[test]
fn every_kind_of_value_is_updated_as_it_was_given() {
    let cases = cases();
    let (schema, types) = schema("id int PRIMARY KEY");
    let world = World::new(
        &schema,
        "t: {natural_key: [id], conflict_resolution: replace}",
    );
    world.sql(&format!(
        "INSERT INTO t (id) SELECT generate_series(0, {})",
        cases.len() - 1
    ));
    let lines: Vec<String> = cases
        .iter()
        .enumerate()
        .map(|(i, Case(ty, given, _))| format!("{{\"id\": {i}, \"{ty}\": {given}}}\n"))
        .collect();
    world.deliver("b", "t.ndjson.gz", gzip(lines.concat()));
    let plan = world.plan("b");
    let nulls = cases.iter().filter(|c| c.2.is_none()).count() as u64;
    assert_eq!(
        (plan.count("update"), plan.count("skip")),
        (cases.len() as u64 - nulls, nulls),
        "{:?}",
        plan.news()
    );
    world.apply(&plan).ok();
    holds_every_case(&world);
    assert_eq!(world.plan("b").news(), [""; 0]);
    // And null takes each of them away again.
    let lines: Vec<String> = cases
        .iter()
        .enumerate()
        .map(|(i, Case(ty, ..))| format!("{{\"id\": {i}, \"{ty}\": null}}\n"))
        .collect();
    world.deliver("away", "t.ndjson", lines.concat());
    let plan = world.plan("away");
    world.apply(&plan).ok();
    let columns: Vec<String> = types.iter().map(|t| format!("\"{t}\"")).collect();
    let left = format!(
        "SELECT count(*) FROM t WHERE num_nonnulls({}) > 0",
        columns.join(", ")
    );
    assert_eq!(world.value(&left), "0");
}

#[test]
fn every_kind_of_value_can_be_a_key() {
    let mut seen: Vec<&str> = Vec::new();
    let mut tables = String::new();
    let world = World::new(SETUP, "");
    world.set("LOADER_QUEUE", "off");
    let mut expected = Vec::new();
    for Case(ty, given, stored) in &cases() {
        // Types without a btree equality cannot be unique.
        if stored.is_none()
            || seen.contains(ty)
            || matches!(*ty, "point" | "xml" | "json" | "jsonpath" | "box[]")
        {
            continue;
        }
        let n = seen.len();
        seen.push(ty);
        world.sql(&format!("CREATE TABLE k{n} (k {ty} PRIMARY KEY, v text)"));
        tables += &format!("k{n}: {{natural_key: [k]}}\n");
        world.put(
            "b",
            &format!("k{n}/1.json"),
            format!("{{\"data\": {{\"k\": {given}, \"v\": \"x\"}}}}"),
        );
        world.put(
            "c",
            &format!("k{n}/1.json"),
            format!("{{\"data\": {{\"k\": {given}, \"v\": \"y\"}}}}"),
        );
        expected.push((n, *ty, stored.unwrap()));
    }
    world.configure(&tables);
    let plan = world.plan("b");
    assert_eq!(
        plan.count("insert"),
        seen.len() as u64,
        "{:?}",
        plan.lines()
    );
    world.apply(&plan).ok();
    assert_eq!(world.plan("b").news(), [""; 0]);
    let update = world.plan("c");
    assert_eq!(
        update.count("update"),
        seen.len() as u64,
        "{:?}",
        update.lines()
    );
    world.apply(&update).ok();
    for (n, ty, stored) in expected {
        assert_eq!(
            world.rows(&format!("SELECT format('%s', k), v FROM k{n}")),
            [format!("{stored}|y")],
            "{ty}"
        );
    }
}

#[test]
fn a_csv_cell_is_a_value_and_an_empty_one_is_null() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, a text, j jsonb, n numeric, arr int[]); INSERT INTO t VALUES (5, 'x', '1', 1, '{1}')",
        "t: {natural_key: [id], conflict_resolution: replace}",
    );
    let csv = "id,a,j,n,arr\r\n1,\"a \"\"b\"\", c\n\\N\",\"{\"\"k\"\": null}\",1.50,\"{1,NULL}\"\n2,\\.,\"\"\"s\"\"\",1e2,{}\n3,,null,,\n5,,,,\n";
    world.deliver("b", "t/x.csv", csv);
    let plan = world.plan("b");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT * FROM t ORDER BY id"),
        [
            "1|a \"b\", c\n\\N|{\"k\": null}|1.50|{1,NULL}",
            "2|\\.|\"s\"|100|{}",
            "3|∅|null|∅|∅",
            "5|∅|∅|∅|∅"
        ]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
}

#[test]
fn names_may_be_anything() {
    let table = "Größe \"Tab\" $1; drop table x";
    let quoted = "\"Größe \"\"Tab\"\" $1; drop table x\"";
    let column = "it's a \"Column\"\\ %s 😀";
    let quoted_column = "\"it's a \"\"Column\"\"\\ %s 😀\"";
    let world = World::new(
        &format!(
            "CREATE SCHEMA \"Other Schema\"; CREATE TABLE x (id int); \
             CREATE TABLE {quoted} (\"KEY\" int, \"select\" text, {quoted_column} text, _n text, c1 text, key text, PRIMARY KEY (\"KEY\", \"select\")); \
             CREATE TABLE \"Other Schema\".\"T.t\" (id int PRIMARY KEY, up int REFERENCES \"Other Schema\".\"T.t\")"
        ),
        &serde_json::json!({
            table: {"natural_key": ["KEY", "select"], "immutable_fields": [column], "sensitive": []},
            "Other Schema.T.t": {"natural_key": ["id"]},
        })
        .to_string(),
    );
    world.set("LOADER_QUEUE", "off");
    let record = |v: &str| serde_json::json!({"data": {"KEY": 1, "select": "a'b\\", column: "x", "_n": v, "c1": v, "key": v}});
    world.put("b", &format!("{table}/1.json"), record("1").to_string());
    world.put(
        "b",
        "Other Schema.T.t/1.json",
        r#"[{"id": 2, "up": 1}, {"id": 1, "up": null}]"#,
    );
    let plan = world.plan("b");
    assert_eq!(plan.count("insert"), 3);
    world.apply(&plan).ok();
    assert_eq!(world.plan("b").news(), [""; 0]);
    world.put("c", &format!("{table}/1.json"), record("2").to_string());
    let plan = world.plan("c");
    assert_eq!(plan.count("update"), 1);
    let shown = world.show(&plan, &[]);
    assert!(shown.contains("c1: \"1\" → \"2\""), "{shown}");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows(&format!("SELECT * FROM {quoted}")),
        ["1|a'b\\|x|2|2|2"]
    );
    assert_eq!(
        world.rows("SELECT * FROM \"Other Schema\".\"T.t\" ORDER BY 1"),
        ["1|∅", "2|1"]
    );
    let audited =
        world.rows("SELECT table_name, record_id FROM audit_log WHERE operation = 'UPDATE'");
    assert_eq!(audited, [format!("{table}|[\"1\",\"a'b\\\\\"]")]);
    world.sql(&format!("UPDATE {quoted} SET c1 = 'theirs'"));
    world.put("d", &format!("{table}/1.json"), record("3").to_string());
    let plan = world.plan("d");
    world.sql(&format!("UPDATE {quoted} SET _n = 'theirs'"));
    world
        .apply(&plan)
        .exits(3)
        .says("_n: plan saw \"2\", now \"theirs\", planned \"3\"");
}

#[test]
fn people_see_what_acts_on_a_terminal_escaped() {
    let world = World::new(
        "CREATE TABLE t (id text PRIMARY KEY, v text)",
        "t: {natural_key: [id]}",
    );
    world.deliver(
        "b",
        "t/1.json",
        "{\"id\": \"a\\u001b[31m\u{202e}\\n\", \"v\": \"\\r\\u0007\u{200b}x\"}",
    );
    let plan = world.plan("b");
    let shown = world.show(&plan, &[]);
    assert!(shown.contains("id=a\\u{1b}[31m\\u{202e}\\n"), "{shown}");
    assert!(shown.contains("v: \"\\r\\u{7}\\u{200b}x\""), "{shown}");
    world.apply(&plan).ok();
    assert_eq!(
        world.value("SELECT id || v FROM t"),
        "a\u{1b}[31m\u{202e}\n\r\u{7}\u{200b}x"
    );
}

#[test]
fn what_does_not_fit_is_a_violation_with_its_place_and_reason() {
    let world = World::new(
        &format!(
            "{SETUP} CREATE TABLE t (id int PRIMARY KEY, i int, v varchar(3), m mood, p percentage, d date, n numeric(4,1), \
                  a int[], j jsonb, b bytea, u uuid, g int GENERATED ALWAYS AS (1) STORED, ident bigint GENERATED ALWAYS AS IDENTITY, \
                  r text NOT NULL DEFAULT 'x', s text)"
        ),
        "t: {natural_key: [id]}",
    );
    let bad = [
        (r#""i": "eight""#, "invalid_value i"),
        (r#""i": 1.5"#, "invalid_value i"),
        (r#""i": 99999999999"#, "invalid_value i"),
        (r#""i": """#, "invalid_value i"),
        (r#""i": [1]"#, "invalid_value i"),
        (r#""i": {}"#, "invalid_value i"),
        (r#""v": "abcd""#, "invalid_value v"),
        (r#""m": "happy""#, "invalid_value m"),
        (r#""p": 101"#, "invalid_value p"),
        (r#""d": "2023-02-29""#, "invalid_value d"),
        (r#""d": "now""#, "invalid_value d"),
        (r#""d": "01/02/2024""#, "invalid_value d"),
        (r#""n": 12345"#, "invalid_value n"),
        (r#""a": [[1], [2, 3]]"#, "invalid_value a"),
        (r#""a": 5"#, "invalid_value a"),
        (r#""b": "\\xzz""#, "invalid_value b"),
        (r#""u": "x""#, "invalid_value u"),
        (r#""s": "a\u0000b""#, "invalid_value s"),
        (r#""s": "\ud800""#, "invalid_value s"),
        (r#""j": {"a": "\u0000"}"#, "invalid_value j"),
        (r#""g": 2"#, "generated_field g"),
        (r#""ident": 2"#, "generated_field ident"),
        (r#""r": null"#, "null_value r"),
        (r#""zzz": 1"#, "unknown_field zzz"),
        (r#""I": 1"#, "unknown_field I"),
    ];
    let records: Vec<String> = bad
        .iter()
        .enumerate()
        .map(|(i, (field, _))| format!("{{\"id\": {i}, {field}}}"))
        .collect();
    world.deliver(
        "b",
        "t/1.json",
        format!("[{}, {{\"id\": 99, \"v\": \"ok\"}}]", records.join(",\n")),
    );
    let plan = world.plan("b");
    let mut entries = plan.entries();
    entries.sort_by_key(|e| e["key"]["id"].as_str().unwrap().parse::<usize>().unwrap());
    let good = entries.pop().unwrap();
    assert_eq!(good["action"], "insert");
    assert_eq!(entries.len(), bad.len(), "{:?}", plan.lines());
    for (i, ((field, expected), entry)) in bad.iter().zip(&entries).enumerate() {
        let found = format!(
            "{} {}",
            entry["kind"].as_str().unwrap_or("?"),
            entry["field"].as_str().unwrap_or("?")
        );
        assert_eq!(found, *expected, "{field}: {entry}");
        assert_eq!(entry["from"][0], format!("staging/b/t/1.json#{}", i + 1));
        assert_eq!(entry["effect"], "block");
        assert!(!entry["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(entries[0]["message"], "not a whole number");
    assert!(
        entries[6]["message"].as_str().unwrap().contains("too long"),
        "{}",
        entries[6]
    );
    world.apply_with(&plan, &["--force"]).exits(4);
}

#[test]
fn absent_null_and_default_are_three_things() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, a text DEFAULT 'default', s bigint GENERATED BY DEFAULT AS IDENTITY, g text GENERATED ALWAYS AS (a || '!') STORED)",
        "t: {natural_key: [id]}",
    );
    world.deliver("b", "t/1.json", r#"[{"id": 1}, {"id": 2, "a": null}, {"id": 3, "a": "given", "s": 77}, {"id": 4, "a": ""}]"#);
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "+ t id=1",
            "+ t id=2: a=null",
            r#"+ t id=3: a="given" s="77""#,
            r#"+ t id=4: a="""#
        ]
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT id, a, s = 77, g FROM t ORDER BY 1"),
        [
            "1|default|f|default!",
            "2|∅|f|∅",
            "3|given|t|given!",
            "4||f|!"
        ]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
}

/// What prints XML leaves out its declaration and a line feed before it; what is stored has both, and so has the plan.
#[test]
fn xml_is_what_is_stored_and_not_what_is_printed() {
    let world = World::new(
        "CREATE DOMAIN doc AS xml; CREATE TABLE t (k int PRIMARY KEY, v xml, d doc, w text); \
         INSERT INTO t VALUES (1, E'<?xml version=\"1.0\" encoding=\"UTF-8\"?>\\n<a>1</a>', E'\\n<a/>', 'old'), \
           (2, E'<?xml version=\"1.0\"?><a/>', '<b/>', 'old'), (3, E'\\n<a/>', NULL, 'old')",
        "t: {natural_key: [k], limits: {delete: 5}}",
    );
    let all = "SELECT k, v::text, d::text, w FROM t ORDER BY k";
    let before = world.rows(all);
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"k": 1, "w": "new"}, {"k": 2, "v": "<a/>"}, {"k": 4, "v": "\n\n<a/>", "d": "<?xml version=\"1.0\"?><c/>"}]"#,
    );
    world.deliver("b", "t/delete/1.json", r#"[{"k": 3}]"#);
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            r#"~ t k=1: w="old"→"new""#,
            r#"~ t k=2: v="<?xml version=\"1.0\"?><a/>"→"<a/>""#,
            r#"- t k=3: d=null v="\n<a/>" w="old""#,
            r#"+ t k=4: d="<?xml version=\"1.0\"?><c/>" v="\n\n<a/>""#,
        ]
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows(all),
        [
            "1|<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a>1</a>|\n<a/>|new",
            "2|<a/>|<b/>|old",
            "4|\n\n<a/>|<?xml version=\"1.0\"?><c/>|∅",
        ]
    );
    assert_eq!(world.plan("b").news(), ["= t k=3: gone"]);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows(all), before);
}

#[test]
fn keys_match_by_the_equality_of_their_unique_index() {
    let world = World::new(
        "CREATE EXTENSION IF NOT EXISTS citext; \
         CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         CREATE TABLE c (k citext PRIMARY KEY, v text); INSERT INTO c VALUES ('Abc', 'old'); \
         CREATE TABLE i (k text COLLATE blind PRIMARY KEY, v text); INSERT INTO i VALUES ('Straße', 'old'); \
         CREATE TABLE n (k numeric PRIMARY KEY, v text); INSERT INTO n VALUES (1.50, 'old'); \
         CREATE TABLE p (k char(5) PRIMARY KEY, v text); INSERT INTO p VALUES ('ab', 'old')",
        "c: {natural_key: [k]}\ni: {natural_key: [k]}\nn: {natural_key: [k]}\np: {natural_key: [k]}",
    );
    for (table, key, new) in [
        ("c", "\"aBC\"", "\"X\""),
        ("i", "\"STRASSE\"", "\"é\""),
        ("n", "1.5000", "2.0"),
        ("p", "\"ab\"", "\"cd\""),
    ] {
        let key = if table == "i" { "\"sTRAßE\"" } else { key };
        world.deliver(
            "b",
            &format!("{table}/1.json"),
            format!("[{{\"k\": {key}, \"v\": \"new\"}}, {{\"k\": {new}, \"v\": \"x\"}}]"),
        );
    }
    let plan = world.plan("b");
    let updates: Vec<String> = plan
        .lines()
        .into_iter()
        .filter(|l| l.starts_with('~'))
        .collect();
    let expected = [
        r#"~ c k="Abc": v="old"→"new""#,
        r#"~ i k="Straße": v="old"→"new""#,
        r#"~ n k="1.50": v="old"→"new""#,
        r#"~ p k=ab   : v="old"→"new""#,
    ];
    assert_eq!(
        updates, expected,
        "the row's own spelling stays, and is not the given one"
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT k::text COLLATE \"C\" AS k, v FROM c UNION ALL SELECT k::text, v FROM i ORDER BY 1"),
        ["Abc|new", "Straße|new", "X|x", "é|x"]
    );
    // Another spelling alone is no change, and two spellings in one batch are one key.
    world.deliver(
        "c",
        "c/1.json",
        r#"[{"k": "ABC", "v": "new"}, {"k": "abc", "v": "new"}]"#,
    );
    world.deliver("c", "i/1.json", r#"{"k": "STRAßE", "v": "new"}"#);
    world.deliver(
        "c",
        "n/1.json",
        r#"[{"k": "1.5", "v": "new"}, {"k": 3, "v": "a"}, {"k": 3.0, "v": "b"}]"#,
    );
    let plan = world.plan("c");
    let expected = [
        r#"= c k="Abc": unchanged"#,
        r#"= c k="Abc": duplicate"#,
        r#"= i k="Straße": unchanged"#,
        r#"= n k="1.50": unchanged"#,
        "! n k=3: duplicate_key block",
        "! n k=3.0: duplicate_key block",
    ];
    assert_eq!(plan.lines(), expected);
}

/// Time zones of long ago are those that the server knows.
#[test]
fn what_a_time_zone_was_is_for_the_server_to_say() {
    for zone in [
        "Europe/Amsterdam",
        "Europe/Oslo",
        "America/Port-au-Prince",
        "Europe/Berlin",
    ] {
        let world = World::new(
            "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, several timestamptz[], span tstzrange, said timestamptz, f timestamptz)",
            &format!(
                "t: {{natural_key: [id], time_zone: {zone}, spelling: {{f: {{formats: ['%d.%m.%Y %H:%M']}}}}}}"
            ),
        );
        let record = |id: usize, day: &str| {
            let (year, rest) = day.split_once('-').unwrap();
            let (month, date) = rest.split_once('-').unwrap();
            format!(
                "{{\"id\": {id}, \"at\": \"{day} 12:30\", \"several\": [\"{day} 12:30\"], \"span\": \"[{day} 12:30,{day} 13:00)\", \
                 \"said\": \"{day} 12:30 {zone}\", \"f\": \"{date}.{month}.{year} 12:30\"}}\n"
            )
        };
        let days = [
            "1885-01-01",
            "1930-01-01",
            "1942-07-01",
            "1969-12-31",
            "2024-07-01",
            "2150-07-01",
        ];
        let lines: String = days
            .iter()
            .enumerate()
            .map(|(i, day)| record(i, day))
            .collect();
        world.deliver("b", "t.ndjson", lines);
        let plan = world.plan("b");
        assert_eq!(plan.count("insert"), 6, "{:?}", plan.lines());
        world.apply(&plan).ok();
        for (id, day) in days.iter().enumerate() {
            let same = format!(
                "SELECT ARRAY[at, several[1], lower(span), said, f] = array_fill(('{day} 12:30'::timestamp AT TIME ZONE '{zone}'), ARRAY[5]) \
                 FROM t WHERE id = {id}"
            );
            assert_eq!(world.rows(&same), ["t"], "{zone} {day}: {:?}", plan.lines());
        }
    }
}

/// PostgreSQL has no operators for a domain over an enum.
#[test]
fn domains_over_enums_are_keys_references_and_what_is_complete() {
    let world = World::new(
        "CREATE TYPE site AS ENUM ('LYN', 'PAR', 'ROM'); CREATE DOMAIN place AS site; CREATE DOMAIN spot AS place;
         CREATE TABLE site_list (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, code place UNIQUE, name text);
         CREATE TABLE freezer (at place, no int, site_id int REFERENCES site_list, slot spot UNIQUE, v text,
           PRIMARY KEY (at, no));
         CREATE TABLE of_plain (code site PRIMARY KEY);
         CREATE TABLE of_domain (id int PRIMARY KEY, code spot UNIQUE, site_id int REFERENCES site_list);
         INSERT INTO site_list (code, name) VALUES ('LYN', 'Lyon'); INSERT INTO of_plain VALUES ('LYN'), ('ROM');
         INSERT INTO freezer VALUES ('LYN', 1, 1, 'LYN', 'old'), ('LYN', 2, NULL, 'PAR', 'old'), ('LYN', 3, NULL, NULL, 'old')",
        "site_list: {natural_key: [code]}
freezer: {natural_key: [at, no], references: {site_id: {table: site_list, by: {code: site}}}, complete: {where: {at: LYN}}, group_by: at, limits: {delete: 10}}
of_plain: {natural_key: [code], complete: true, limits: {delete: 10}}
of_domain: {natural_key: [id], references: {site_id: {table: site_list, by: {code: site}}}}",
    );
    let tables = "SELECT s::text FROM site_list s UNION ALL SELECT f::text FROM freezer f UNION ALL SELECT o::text FROM of_plain o \
         UNION ALL SELECT d::text FROM of_domain d ORDER BY 1";
    let before = world.rows(tables);
    world.deliver(
        "b",
        "site_list/1.json",
        r#"[{"code": "LYN", "name": "Lyons"}, {"code": "PAR", "name": "Paris"}]"#,
    );
    // One row takes the slot of another, and one row is not brought.
    world.deliver(
        "b",
        "freezer/1.json",
        r#"[{"at": "LYN", "no": 1, "site": "PAR", "slot": "PAR", "v": "new"}, {"at": "LYN", "no": 2, "site": "LYN", "slot": "ROM"}]"#,
    );
    world.deliver(
        "b",
        "of_plain/1.json",
        r#"[{"code": "LYN"}, {"code": "PAR"}]"#,
    );
    world.deliver(
        "b",
        "of_domain/1.json",
        r#"[{"id": 1, "code": "PAR", "site": "PAR"}]"#,
    );
    let plan = world.plan("b");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT f::text FROM freezer f ORDER BY no"),
        ["(LYN,1,2,PAR,new)", "(LYN,2,1,ROM,old)"]
    );
    assert_eq!(world.rows("SELECT d::text FROM of_domain d"), ["(1,PAR,2)"]);
    assert_eq!(
        world.rows("SELECT code FROM of_plain ORDER BY 1"),
        ["LYN", "PAR"]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows(tables), before);
    // What is deleted gives up its slot, and what breaks a rule is found as ever.
    world.deliver(
        "c",
        "freezer/1.json",
        r#"[{"at": "ROM", "no": 1, "slot": "PAR"}]"#,
    );
    world.deliver("c", "of_domain/1.json", r#"[{"id": 2, "site": "PAR"}]"#);
    let plan = world.plan("c");
    assert_eq!(
        plan.lines(),
        [
            "- freezer at=LYN no=1: site_id=<LYN> slot=\"LYN\" v=\"old\"",
            "- freezer at=LYN no=2: site_id=null slot=\"PAR\" v=\"old\"",
            "- freezer at=LYN no=3: site_id=null slot=null v=\"old\"",
            "+ freezer at=ROM no=1: slot=\"PAR\"",
            "! of_domain id=2: missing_parent site_id block",
        ]
    );
}

/// The sign for no relation is read as it is printed, whatever stands beside it, and as a key.
#[test]
fn no_relation_is_a_value() {
    let world = World::new(
        "CREATE TABLE t (k regclass PRIMARY KEY, v regclass, w int); INSERT INTO t VALUES ('-', NULL, 1)",
        "t: {natural_key: [k], on_invalid: reject}",
    );
    let before = world.rows("SELECT * FROM t");
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"k": "-", "v": "-", "w": 2}, {"k": "t", "v": "nope"}, {"k": "loader_ledger", "v": "-"}]"#,
    );
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "~ t k=-: v=null→\"-\" w=\"1\"→\"2\"",
            "+ t k=loader_ledger: v=\"-\"",
            "! t k=t: invalid_value v reject",
        ]
    );
    world.apply(&plan).ok();
    world
        .loader(&[
            "rollback",
            "--batch-id",
            "b",
            "--table",
            "t",
            "--key",
            "-",
            "--force",
        ])
        .ok();
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows("SELECT * FROM t"), before);
}

/// Where a key finds a row that spells it otherwise, its reviewer sees both.
#[test]
fn a_key_that_is_equal_and_not_the_same_is_shown_as_it_was_given() {
    let world = World::new(
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
         CREATE TABLE t (name text COLLATE ci PRIMARY KEY, n numeric UNIQUE, dose text); INSERT INTO t VALUES ('Müller', 1.0, '5 mg'), ('Weiß', 2, '1 mg')",
        "t: {natural_key: [name]}",
    );
    world.deliver("b", "t/1.json", r#"[{"name": "MULLER", "dose": "50 mg"}, {"name": "Weiß", "dose": "2 mg"}, {"name": "neu", "dose": "x"}]"#);
    let plan = world.plan("b");
    let keys: Vec<String> = plan
        .entries()
        .iter()
        .map(|e| e["key"]["name"].to_string())
        .collect();
    assert!(
        keys.contains(&r#"{"given":"MULLER","stored":"Müller"}"#.to_owned()),
        "{keys:?}"
    );
    assert!(
        keys.contains(&r#""Weiß""#.to_owned()) && keys.contains(&r#""neu""#.to_owned()),
        "{keys:?}"
    );
    let shown = world.show(&plan, &[]);
    assert!(shown.contains("name was given as \"MULLER\""), "{shown}");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT name, dose FROM t ORDER BY dose"),
        ["Weiß|2 mg", "Müller|50 mg", "neu|x"]
    );
    // Two records of one row are told apart by what they give.
    world.deliver(
        "c",
        "t/1.json",
        r#"[{"name": "MULLER", "dose": "1"}, {"name": "muller", "dose": "2"}]"#,
    );
    let plan = world.plan("c");
    assert!(plan.text.contains("MULLER") && plan.text.contains("muller"));
    assert_eq!(plan.count("violation"), 2);
    world
        .loader(&[
            "rollback",
            "--batch-id",
            "b",
            "--force",
            "--max-deletes",
            "100%",
        ])
        .ok();
    assert_eq!(
        world.rows("SELECT name, dose FROM t ORDER BY dose"),
        ["Weiß|1 mg", "Müller|5 mg"]
    );
}

/// Of several rows with one key, a plan speaks of the same one, wherever they lie in the table.
#[test]
fn where_rows_lie_makes_no_other_plan() {
    let world = World::new(
        "CREATE TABLE t (k text, v int, w text); INSERT INTO t VALUES ('a', 1, 'x'), ('a', 2, 'y'), ('a', 3, 'z')",
        "t: {natural_key: [k], immutable_fields: [v], group_by: w}",
    );
    world.deliver("b", "t.json", r#"{"k": "a", "v": 4}"#);
    let plan = world.plan("b");
    for v in [1, 2, 3, 1] {
        world.sql(&format!("UPDATE t SET v = v WHERE v = {v}"));
        assert_eq!(world.plan("b").hash(), plan.hash(), "{v}");
    }
}

/// A range whose bounds are one value, or leave nothing between them, holds nothing, and is told beside what was given.
#[test]
fn ranges_that_hold_nothing_are_told() {
    let world = World::in_folder(
        "CREATE TABLE t (k int PRIMARY KEY, i int4range, d daterange, n numrange, a int4range[])",
        "t: {natural_key: [k], formats: ['%d.%m.%Y', '%Y-%m-%d', '%Y%m%d']}",
    );
    world.set("LOADER_QUEUE", "off");
    let empty = [
        ("i", "[5, 5)"),
        ("i", "[1,01)"),
        ("i", "(1,1]"),
        ("i", "(1,2)"),
        ("d", "[2024-01-01, 2024-01-01)"),
        ("d", "[20240115,2024-01-15)"),
        ("d", "[01.01.2024,2024-01-01)"),
        ("n", "[1,1.0)"),
        ("a", "{\"[5, 5)\"}"),
    ];
    let records = empty
        .iter()
        .enumerate()
        .map(|(k, (column, range))| format!("{}\n", serde_json::json!({"k": k, *column: range})));
    let records: String = records.collect();
    let whole =
        "{\"k\": 90, \"i\": \"[1,5)\", \"d\": \"[2024-01-01,2024-02-01)\", \"n\": \"(1,2]\"}\n";
    world.put("b", "t/1.ndjson", format!("{records}{whole}"));
    let plan = world.plan("b");
    assert_eq!(
        plan.text.matches("\"given\":").count(),
        empty.len(),
        "{}",
        plan.text
    );
    world.apply(&plan).ok();
    assert_eq!(world.one("SELECT i::text FROM t WHERE k = 90"), "[1,5)");
    assert_eq!(world.one("SELECT count(*)::text FROM t WHERE k < 90 AND (isempty(i) OR isempty(d) OR isempty(n) OR isempty(a[1]))"), empty.len().to_string());
}

/// What a check of a domain raises is about the value, wherever in it the domain stands.
#[test]
fn errors_that_functions_raise_are_about_values() {
    let world = World::in_folder(
        "CREATE FUNCTION fine(t text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN \
           IF t LIKE 'bad%' THEN RAISE EXCEPTION 'no good'; END IF; \
           IF t LIKE 'own%' THEN RAISE EXCEPTION 'own' USING ERRCODE = 'MY001'; END IF; RETURN true; END $$; \
         CREATE DOMAIN good AS text CHECK (fine(VALUE)); CREATE TYPE person AS (name text, code good); \
         CREATE TABLE t (k int PRIMARY KEY, p person, a good[], secret good[])",
        "t: {natural_key: [k], on_invalid: reject, sensitive: [secret]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put(
        "b",
        "t/1.csv",
        "k,p,a,secret\n1,\"(Ada,bad)\",,\n2,,\"{fine,own}\",\n3,,,{bad}\n4,\"(Ada,fine)\",{fine},{fine}\n",
    );
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "! t k=1: invalid_value p reject",
            "! t k=2: invalid_value a reject",
            "! t k=3: invalid_value secret reject",
            "+ t k=4: a=\"{fine}\" p=\"(Ada,fine)\" secret=\"{fine}\"",
        ]
    );
}
