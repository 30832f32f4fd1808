//! Deliveries in the image of public data sets, loaded by settings alone, each cell compared with what
//! PostgreSQL's own COPY or JSON functions read of the same bytes.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::support::World;

/// How PostgreSQL itself reads a delivery.
enum Direct {
    /// `COPY` with these options into columns of text, of these names.
    Copy(&'static str, &'static str),
    /// A query of `jsonb`, one object a record, from the text `$1`.
    Json(&'static str),
}

struct Set {
    table: &'static str,
    columns: &'static str,
    settings: &'static str,
    file: &'static str,
    bytes: Vec<u8>,
    direct: Direct,
    /// Each column's text as it must be stored, from a record `r` that was read directly.
    expect: &'static [(&'static str, &'static str)],
}

const ROWS: usize = 300;

/// Flights: `NA` in numbers and tail numbers, local times, a carrier called `NA`.
fn flights() -> Set {
    let mut csv = "year,month,day,dep_time,dep_delay,carrier,flight,tailnum,origin,dest,air_time,distance,time_hour\n".to_owned();
    for i in 0..ROWS {
        let missing = i % 7 == 0;
        let or_na = |v: String| if missing { "NA".to_owned() } else { v };
        let _ = writeln!(
            csv,
            "2013,1,{},{},{},{},{},{},{},IAH,{},{},2013-0{}-{:02} {:02}:00:00",
            i % 28 + 1,
            or_na(format!("{}", 500 + i)),
            or_na(format!("{}", i as i64 % 90 - 20)),
            if i % 11 == 0 { "NA" } else { "UA" },
            1000 + i,
            or_na(format!("N{i}UA")),
            ["EWR", "JFK", "LGA"][i % 3],
            or_na(format!("{}", 100 + i % 300)),
            1400,
            1 + i % 2 * 6,
            i % 28 + 1,
            5 + i % 18,
        );
    }
    Set {
        table: "flights",
        columns: "year int, month int, day int, dep_time int, dep_delay float8, carrier text, flight int, tailnum text, \
                  origin char(3), dest char(3), air_time float8, distance float8, time_hour timestamptz, \
                  PRIMARY KEY (year, month, day, carrier, flight)",
        settings: "natural_key: [year, month, day, carrier, flight], null_words: [NA], time_zone: America/New_York, \
                   spelling: {carrier: {null_words: []}}",
        file: "flights.csv",
        bytes: csv.into(),
        direct: Direct::Copy(
            "FORMAT csv, HEADER",
            "year, month, day, dep_time, dep_delay, carrier, flight, tailnum, origin, dest, air_time, distance, time_hour",
        ),
        expect: &[
            ("dep_time", "nullif(dep_time, 'NA')"),
            ("dep_delay", "nullif(dep_delay, 'NA')"),
            ("carrier", "carrier"),
            ("tailnum", "nullif(tailnum, 'NA')"),
            ("origin", "origin"),
            ("dest", "dest"),
            ("air_time", "nullif(air_time, 'NA')"),
            ("distance", "distance"),
            (
                "time_hour",
                "format('%s', time_hour::timestamp AT TIME ZONE 'America/New_York')",
            ),
        ],
    }
}

/// Airports: no header, `\N` for null, quotes with backslashes before them.
fn airports() -> Set {
    let mut dat = String::new();
    for i in 1..=ROWS {
        let _ = writeln!(
            dat,
            r#"{i},"{}","Goroka, PG",{},"AY{i:02}",{}{}.0816898345900{},145.3919982910156{},{},{},"airport""#,
            [
                "Goroka Airport",
                r#"The \"Big\" One"#,
                r"Back\\slash",
                "O'Hare",
                "Ängelholm"
            ][i % 5],
            if i % 4 == 0 {
                r"\N".to_owned()
            } else {
                format!("\"G{i:02}\"")
            },
            if i % 2 == 0 { "-" } else { "" },
            i % 90,
            i % 10,
            i % 10,
            i * 17,
            if i % 3 == 0 { r"\N" } else { "10.5" },
        );
    }
    Set {
        table: "airports",
        columns: "id int PRIMARY KEY, name text, city text, iata text, icao text, latitude float8, longitude float8, \
                  altitude int, tz numeric, type text",
        settings: r#"natural_key: [id], null_words: ['\N'], csv: {extensions: [dat], escape: '\', header: [id, name, city, iata, icao, latitude, longitude, altitude, tz, type]}"#,
        file: "airports.dat",
        bytes: dat.into(),
        direct: Direct::Copy(
            r"FORMAT csv, ESCAPE '\', NULL '\N'",
            "id, name, city, iata, icao, latitude, longitude, altitude, tz, type",
        ),
        expect: &[
            ("name", "name"),
            ("city", "city"),
            ("iata", "iata"),
            ("icao", "icao"),
            ("latitude", "latitude::float8::text"),
            ("longitude", "longitude::float8::text"),
            ("altitude", "altitude"),
            ("tz", "tz"),
            ("type", "type"),
        ],
    }
}

/// Occurrences of species: tabs, no quoting at all, a country called `NA`.
fn occurrences() -> Set {
    let mut txt = "gbifID\tdatasetKey\tscientificName\tdecimalLatitude\tcoordinateUncertainty\teventDate\tcountryCode\tindividualCount\n".to_owned();
    for i in 0..ROWS {
        let _ = writeln!(
            txt,
            "{}\t50c9509d-22c7-4a22-a47d-8c48425ef4a{:x}\t{}\t{}\t{}\t2019-{:02}-{:02}T{:02}:45:00\t{}\t{}",
            2_000_000_000 + i,
            i % 16,
            [
                "Puma concolor (Linnaeus, 1771)",
                "\"Rana\" temporaria L.",
                "Bubo 'bubo'",
                "Ardea\\cinerea"
            ][i % 4],
            if i % 9 == 0 {
                String::new()
            } else {
                format!("-{}.{:05}", i % 80, i * 7)
            },
            if i % 2 == 0 { "30.0" } else { "" },
            i % 12 + 1,
            i % 28 + 1,
            i % 24,
            if i % 5 == 0 { "NA" } else { "DE" },
            if i % 3 == 0 {
                String::new()
            } else {
                format!("{i}")
            },
        );
    }
    Set {
        table: "occurrences",
        columns: "\"gbifID\" bigint PRIMARY KEY, \"datasetKey\" uuid, \"scientificName\" text, \"decimalLatitude\" numeric(9,6), \
                  \"coordinateUncertainty\" numeric, \"eventDate\" timestamp, \"countryCode\" char(2), \"individualCount\" int",
        settings: r#"natural_key: [gbifID], csv: {delimiter: "\t", quote: false, extensions: [txt]}"#,
        file: "occurrences.txt",
        bytes: txt.into(),
        direct: Direct::Copy(
            "FORMAT csv, HEADER, DELIMITER E'\\t', QUOTE E'\\b'",
            "\"gbifID\", \"datasetKey\", \"scientificName\", \"decimalLatitude\", \"coordinateUncertainty\", \"eventDate\", \"countryCode\", \"individualCount\"",
        ),
        expect: &[
            ("datasetKey", "\"datasetKey\""),
            ("scientificName", "\"scientificName\""),
            ("decimalLatitude", "\"decimalLatitude\"::numeric(9,6)::text"),
            ("coordinateUncertainty", "\"coordinateUncertainty\""),
            ("eventDate", "\"eventDate\"::timestamp::text"),
            ("countryCode", "\"countryCode\""),
            ("individualCount", "\"individualCount\""),
        ],
    }
}

/// Weather: semicolons, decimal commas, days as `15.01.2024`, -999 for null, a title line.
fn weather() -> Set {
    let mut csv = "Tageswerte;;;;\nSTATION;DATUM;TEMPERATUR;NIEDERSCHLAG;BEMERKUNG\n".to_owned();
    for i in 0..ROWS {
        let _ = writeln!(
            csv,
            "{};{:02}.{:02}.{};{}{},{};{};{}",
            i % 3,
            i % 28 + 1,
            i % 12 + 1,
            1900 + i,
            if i % 2 == 0 { "-" } else { "" },
            i % 40,
            i % 10,
            if i % 6 == 0 {
                "-999".to_owned()
            } else {
                format!("{},25", i % 30)
            },
            ["", "Glätte", "\"Wind; Böen\""][i % 3],
        );
    }
    Set {
        table: "weather",
        columns: "\"STATION\" int, \"DATUM\" date, \"TEMPERATUR\" numeric(4,1), \"NIEDERSCHLAG\" float8, \"BEMERKUNG\" text, \
                  PRIMARY KEY (\"STATION\", \"DATUM\")",
        settings: r#"natural_key: [STATION, DATUM], decimal_comma: true, formats: ["%d.%m.%Y"], csv: {delimiter: ";", skip: 1}, spelling: {NIEDERSCHLAG: {null_words: ["-999"]}}"#,
        file: "weather.csv",
        bytes: csv.into(),
        direct: Direct::Copy(
            "FORMAT csv, DELIMITER ';'",
            "\"STATION\", \"DATUM\", \"TEMPERATUR\", \"NIEDERSCHLAG\", \"BEMERKUNG\"",
        ),
        expect: &[
            (
                "TEMPERATUR",
                "replace(\"TEMPERATUR\", ',', '.')::numeric::text",
            ),
            (
                "NIEDERSCHLAG",
                "replace(nullif(\"NIEDERSCHLAG\", '-999'), ',', '.')::float8::text",
            ),
            ("BEMERKUNG", "\"BEMERKUNG\""),
        ],
    }
}

/// Communes: latin-1, CRLF, codes with zeros in front.
fn communes() -> Set {
    let mut csv = "code;nom;code_postal;population;maj\r\n".to_owned();
    for i in 0..ROWS {
        let _ = write!(
            csv,
            "{:05};{};{:05};{};2024-01-{:02}\r\n",
            1000 + i,
            [
                "Bâgé-le-Châtel",
                "L'Haÿ-les-Roses",
                "Œ".replace('Œ', "Oe").as_str(),
                "Saint-Étienne"
            ][i % 4],
            1000 + i * 3,
            if i % 10 == 0 {
                String::new()
            } else {
                format!("{}", i * 100)
            },
            i % 28 + 1,
        );
    }
    let bytes = csv.chars().map(|c| u8::try_from(u32::from(c)).unwrap());
    Set {
        table: "communes",
        columns: "code char(5) PRIMARY KEY, nom text, code_postal text, population int, maj date",
        settings: "natural_key: [code], csv: {delimiter: ';', encoding: latin-1}",
        file: "communes.csv",
        bytes: bytes.collect(),
        direct: Direct::Copy(
            "FORMAT csv, HEADER, DELIMITER ';', ENCODING 'LATIN1'",
            "code, nom, code_postal, population, maj",
        ),
        expect: &[
            ("nom", "nom"),
            ("code_postal", "code_postal"),
            ("population", "population"),
            ("maj", "maj"),
        ],
    }
}

/// Patients as FHIR writes them, one a line.
fn patients() -> Set {
    let mut ndjson = String::new();
    for i in 0..ROWS {
        let mut patient = serde_json::json!({
            "resourceType": "Patient",
            "id": format!("p-{i}"),
            "meta": {"versionId": "1", "lastUpdated": format!("2024-01-{:02}T10:00:00.{i:03}+01:00", i % 28 + 1)},
            "active": i % 2 == 0,
            "name": [{"family": "Ω'Neill", "given": ["Zoë", "\"J\\"], "period": {"start": null}}],
            "gender": (["male", "female", "unknown"][i % 3]),
            "birthDate": format!("19{:02}-{:02}-{:02}", i % 100, i % 12 + 1, i % 28 + 1),
            "multipleBirthInteger": i % 4,
        });
        if i % 5 == 0 {
            patient["deceasedDateTime"] = format!("2023-06-{:02}T23:59:59Z", i % 28 + 1).into();
        }
        if i % 7 == 0 {
            patient.as_object_mut().unwrap().remove("active");
        }
        let _ = writeln!(ndjson, "{patient}");
    }
    Set {
        table: "patients",
        columns: "id text PRIMARY KEY, \"resourceType\" text, meta jsonb, active bool, name jsonb, gender text, \"birthDate\" date, \
                  \"multipleBirthInteger\" int, \"deceasedDateTime\" timestamptz",
        settings: "natural_key: [id]",
        file: "patients.ndjson",
        bytes: ndjson.into(),
        direct: Direct::Json(
            "SELECT l::jsonb FROM string_to_table(rtrim($1::text, E'\\n'), E'\\n') l",
        ),
        expect: &[
            ("resourceType", "r->>'resourceType'"),
            ("meta", "(r->'meta')::text"),
            ("active", "left(r->>'active', 1)"),
            ("name", "(r->'name')::text"),
            ("gender", "r->>'gender'"),
            ("birthDate", "r->>'birthDate'"),
            ("multipleBirthInteger", "r->>'multipleBirthInteger'"),
            (
                "deceasedDateTime",
                "(r->>'deceasedDateTime')::timestamptz::text",
            ),
        ],
    }
}

/// Countries in an object of one list, with Namibia.
fn countries() -> Set {
    let known = [
        ("NA", "NAM", "Namibia", "516"),
        ("AF", "AFG", "Afghanistan", "004"),
        ("CI", "CIV", "Côte d'Ivoire", "384"),
        ("NO", "NOR", "Norway", "578"),
        ("AX", "ALA", "Åland Islands", "248"),
    ];
    let all: Vec<serde_json::Value> = known
        .iter()
        .map(|(two, three, name, numeric)| {
            serde_json::json!({"alpha_2": two, "alpha_3": three, "flag": "🇳🇦", "name": name, "numeric": numeric})
        })
        .collect();
    Set {
        table: "countries",
        columns: "alpha_2 char(2) PRIMARY KEY, alpha_3 text, flag text, name text, numeric char(3)",
        settings: "natural_key: [alpha_2], envelope: 3166-1",
        file: "countries.json",
        bytes: serde_json::json!({"3166-1": all}).to_string().into(),
        direct: Direct::Json("SELECT jsonb_array_elements($1::text::jsonb->'3166-1')"),
        expect: &[
            ("alpha_3", "r->>'alpha_3'"),
            ("flag", "r->>'flag'"),
            ("name", "r->>'name'"),
            ("numeric", "r->>'numeric'"),
        ],
    }
}

/// Ratings: no header, tabs, seconds since 1970.
fn ratings() -> Set {
    let mut data = String::new();
    for i in 0..ROWS {
        let _ = writeln!(
            data,
            "{}\t{}\t{}\t{}",
            i % 50 + 1,
            i,
            i % 5 + 1,
            881_250_949 + i * 86_399
        );
    }
    Set {
        table: "ratings",
        columns: "user_id int, item_id int, rating smallint, rated timestamptz, PRIMARY KEY (user_id, item_id)",
        settings: r#"natural_key: [user_id, item_id], epoch: seconds, csv: {delimiter: "\t", extensions: [data], header: [user_id, item_id, rating, rated]}"#,
        file: "ratings.data",
        bytes: data.into(),
        direct: Direct::Copy("FORMAT text", "user_id, item_id, rating, rated"),
        expect: &[
            ("rating", "rating"),
            ("rated", "to_timestamp(rated::float8)::text"),
        ],
    }
}

/// Genes: comments, `-` for null, days as 20240115.
fn genes() -> Set {
    let mut tsv = "# made in the image of gene_info\n".to_owned();
    for i in 0..ROWS {
        let _ = writeln!(
            tsv,
            "9606\t{}\t{}\t{}\t{}\t202401{:02}",
            i + 1,
            ["A1BG", "MARCH1", "SEPT2", "NAT-1"][i % 4],
            if i % 3 == 0 { "-" } else { "A1B|ABG|GAB" },
            if i % 4 == 0 { "-" } else { "19q13.43" },
            i % 28 + 1
        );
    }
    Set {
        table: "genes",
        columns: "tax_id int, gene_id int PRIMARY KEY, symbol text, synonyms text, location text, modified date",
        settings: r##"natural_key: [gene_id], null_words: ["-"], csv: {comment: "#", header: [tax_id, gene_id, symbol, synonyms, location, modified]}"##,
        file: "genes.tsv",
        bytes: tsv.into(),
        direct: Direct::Copy(
            "FORMAT csv, HEADER, DELIMITER E'\\t', NULL '-'",
            "tax_id, gene_id, symbol, synonyms, location, modified",
        ),
        expect: &[
            ("tax_id", "tax_id"),
            ("symbol", "symbol"),
            ("synonyms", "synonyms"),
            ("location", "location"),
            ("modified", "to_date(modified, 'YYYYMMDD')::text"),
        ],
    }
}

/// What PostgreSQL itself reads, in a table `direct_…` whose records are `r`.
fn read_directly(world: &World, set: &Set) {
    let table = format!("direct_{}", set.table);
    world.with(|client| match &set.direct {
        Direct::Copy(options, columns) => {
            let named: Vec<String> = columns.split(", ").map(|c| format!("{c} text")).collect();
            client
                .batch_execute(&format!("CREATE TABLE {table} ({})", named.join(", ")))
                .unwrap();
            let sql = format!("COPY {table} FROM STDIN WITH ({options})");
            let mut copy = client.copy_in(&sql).unwrap();
            copy.write_all(&set.bytes).unwrap();
            copy.finish().unwrap();
        }
        Direct::Json(query) => {
            client
                .batch_execute(&format!("CREATE TABLE {table} (r jsonb)"))
                .unwrap();
            let text = String::from_utf8(set.bytes.clone()).unwrap();
            client
                .execute(&format!("INSERT INTO {table} {query}"), &[&text])
                .unwrap();
        }
    });
}

#[test]
fn public_data_sets_are_loaded_by_settings_alone() {
    let sets = [
        flights(),
        airports(),
        occurrences(),
        weather(),
        communes(),
        patients(),
        countries(),
        ratings(),
        genes(),
    ];
    let world = World::new("", "");
    world.set("LOADER_QUEUE", "off");
    let mut config = String::new();
    for set in &sets {
        world.sql(&format!("CREATE TABLE {} ({})", set.table, set.columns));
        config += &format!("{}: {{{}}}\n", set.table, set.settings);
        world.put("b", set.file, set.bytes.clone());
        read_directly(&world, set);
    }
    // Title and header are rows of their own to COPY.
    world.sql("DELETE FROM direct_weather WHERE \"STATION\" IN ('STATION', 'Tageswerte')");
    world.configure(&config);
    let plan = world.plan("b");
    assert_eq!(plan.count("violation"), 0, "{}", world.show(&plan, &[]));
    world.apply(&plan).ok();
    assert_eq!(world.plan("b").news(), [""; 0]);
    world.with(|client| client.batch_execute("SET TimeZone = 'UTC'").unwrap());
    // How a record that was read directly finds its row.
    let found = |table: &str| match table {
        "flights" => "t.flight::text = d.flight AND t.day::text = d.day AND t.carrier = d.carrier",
        "airports" => "t.id::text = d.id",
        "occurrences" => "t.\"gbifID\"::text = d.\"gbifID\"",
        "weather" => {
            "t.\"STATION\"::text = d.\"STATION\" AND t.\"DATUM\" = to_date(d.\"DATUM\", 'DD.MM.YYYY')"
        }
        "communes" => "t.code::text = d.code",
        "patients" => "t.id = d.r->>'id'",
        "countries" => "t.alpha_2::text = d.r->>'alpha_2'",
        "ratings" => "t.user_id::text = d.user_id AND t.item_id::text = d.item_id",
        "genes" => "t.gene_id::text = d.gene_id",
        other => panic!("{other}"),
    };
    let mut cells = 0;
    for Set { table, expect, .. } in &sets {
        let rows: u64 = world
            .value(&format!("SELECT count(*) FROM {table}"))
            .parse()
            .unwrap();
        let read = world.value(&format!("SELECT count(*) FROM direct_{table}"));
        assert_eq!(rows.to_string(), read, "{table}");
        let pairs = format!("FROM {table} t JOIN direct_{table} d ON {}", found(table));
        assert_eq!(
            world.value(&format!("SELECT count(*) {pairs}")),
            read,
            "{table}"
        );
        for (column, expression) in *expect {
            let wrong = world.rows(&format!(
                "SELECT x.here, x.sent FROM (SELECT CASE WHEN t.\"{column}\" IS DISTINCT FROM NULL THEN format('%s', t.\"{column}\") END AS here, \
                   (SELECT {expression} FROM (SELECT d.*) r) AS sent {pairs}) x WHERE x.here IS DISTINCT FROM x.sent LIMIT 5"
            ));
            assert_eq!(wrong, [""; 0], "{table}.{column}");
            cells += rows;
        }
    }
    println!(
        "{} deliveries, {cells} cells beside the keys equal to a direct read",
        sets.len()
    );
}
