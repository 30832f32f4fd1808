//! Deliveries that spell otherwise, as `tables.yaml` says: nothing is converted before.

use crate::support::World;

#[test]
fn each_setting_is_read_for_column_table_and_all_tables() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, born date, taken timestamptz, local timestamp, seen timestamptz, weight numeric(6,2), \
           scan bytea, raw bytea, sex text, age int, country text, consent bool, span tstzrange, at time); \
         CREATE TABLE u (id int PRIMARY KEY, at timestamptz)",
        "defaults: {time_zone: Europe/Berlin}\n\
         t:\n  natural_key: [id]\n  null_words: [NA]\n  on_invalid: reject\n  spelling:\n    \
           born: {formats: [\"%d.%m.%Y\", \"%d-%b-%y\"]}\n    \
           taken: {formats: [\"%d.%m.%Y %H:%M\"], time_zone: America/New_York}\n    \
           local: {formats: [\"%Y-%m-%dT%H:%M:%SZ\"]}\n    \
           seen: {epoch: milliseconds}\n    weight: {decimal_comma: true}\n    scan: {bytes: base64}\n    \
           raw: {bytes: hex}\n    country: {null_words: []}\n    consent: {true_words: [ja, \"1\"], false_words: [nein, \"2\"]}\n    \
           at: {formats: [\"%I:%M %p\"]}\n\
         u: {natural_key: [id], time_zone: UTC}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put(
        "b",
        "t.csv",
        "id,born,taken,local,seen,weight,scan,raw,sex,age,country,consent,span,at\n\
         1,15.01.2024,15.01.2024 10:00,2024-01-15T10:00:00Z,1705271231123,\"12,5\",3q2+7w==,deadbeef,NA,NA,NA,ja,\"[2024-07-01,2024-07-02)\",01:45 PM\n\
         2,15-Jan-24,,,,7,,,f,30,DE,2,,\n\
         3,15.01.24,,,,,,,,,,,,\n\
         4,,,,,12.5,,,,,,,,\n\
         5,,,,,,,xyz,,,,,,\n\
         6,,,,,,,,,,,maybe,,\n\
         7,2024-01-15,,,,,,,,,,,,\n",
    );
    world.put(
        "b",
        "u.ndjson",
        "{\"id\": 1, \"at\": \"2024-07-01 10:00\"}\n{\"id\": 2, \"at\": \"2024-07-01 10:00+02\"}\n",
    );
    let plan = world.plan("b");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT id, born, taken AT TIME ZONE 'UTC', local, seen AT TIME ZONE 'UTC', weight, scan, raw, sex, age, country, consent, at FROM t ORDER BY id"),
        [
            "1|2024-01-15|2024-01-15 15:00:00|2024-01-15 10:00:00|2024-01-14 22:27:11.123|12.50|\\xdeadbeef|\\xdeadbeef|∅|∅|NA|t|13:45:00",
            "2|2024-01-15|∅|∅|∅|7.00|∅|∅|f|30|DE|f|∅",
        ]
    );
    assert_eq!(
        world.rows("SELECT lower(span) AT TIME ZONE 'UTC' FROM t WHERE id = 1 UNION ALL SELECT at AT TIME ZONE 'UTC' FROM u ORDER BY 1"),
        ["2024-06-30 22:00:00", "2024-07-01 08:00:00", "2024-07-01 10:00:00"]
    );
    let of = |table: &str, id: &str| {
        let entries = plan.entries();
        let of = entries
            .iter()
            .find(|e| e["table"] == table && e["key"]["id"] == id);
        of.unwrap().clone()
    };
    // What is stored as something else stands beside what was given; another spelling does not.
    let given = |entry: serde_json::Value| -> Vec<String> {
        let values = entry["values"].as_object().unwrap().clone().into_iter();
        let given = values.filter_map(|(c, v)| Some(format!("{c} {}", v["given"].as_str()?)));
        given.collect()
    };
    assert_eq!(
        given(of("t", "1")),
        [
            "age NA",
            "seen 1705271231123",
            "sex NA",
            "span [2024-07-01,2024-07-02)",
            "taken 15.01.2024 10:00"
        ]
    );
    assert_eq!(given(of("u", "1")), ["at 2024-07-01 10:00"]);
    assert_eq!(given(of("u", "2")), [""; 0]);
    for (id, message) in [
        ("3", "not as the setting formats says: %d.%m.%Y, %d-%b-%y"),
        (
            "4",
            "a point in it, where decimal_comma says that a comma stands before the decimals",
        ),
        (
            "5",
            "not pairs of hexadecimal digits, as the setting bytes says",
        ),
        (
            "6",
            "not one of the words for true and false: ja, 1, nein, 2",
        ),
        ("7", "not as the setting formats says: %d.%m.%Y, %d-%b-%y"),
    ] {
        assert_eq!(of("t", id)["message"], message);
    }
    // The header shows what was in effect.
    let header = plan.json();
    let tables = header["header"]["tables"].as_array().unwrap();
    let t = tables.iter().find(|t| t["table"] == "t").unwrap();
    assert_eq!(t["config"]["time_zone"], "Europe/Berlin");
    assert_eq!(world.plan("b").count("insert"), 0);
}

#[test]
fn a_word_that_one_column_refuses_and_another_stores_is_told() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, age int, height numeric, country text, note text)",
        "t: {natural_key: [id], on_invalid: reject}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put(
        "b",
        "t.csv",
        "id,age,height,country,note\n1,NA,1.8,DE,fine\n2,30,NA,NA,-\n3,NA,1.7,NA,n/a\n",
    );
    let plan = world.plan("b");
    assert_eq!(
        plan.json()["header"]["tables"][0]["warnings"],
        serde_json::json!([
            "the word \"NA\" is refused in age (2 records), height (1 record) and stored as it is in country \
             (2 records, first staging/b/t.csv#3); where it means null, say so in null_words"
        ])
    );
}
