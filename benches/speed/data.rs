//! The table and the batches: made from their numbers alone, the same in every run.

use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::Path;

use crate::random::Random;

/// What a batch consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mix {
    /// Half new, 30 % changed in two columns, 20 % equal.
    Mixed,
    /// All new.
    New,
    /// All as they are.
    Equal,
}

impl Mix {
    pub fn words(self) -> &'static str {
        match self {
            Mix::Mixed => "half new, 30 % changed, 20 % equal",
            Mix::New => "all new",
            Mix::Equal => "all equal",
        }
    }
}

/// The fields of a record, in the order of the CSV file.
pub const FIELDS: [&str; 12] = [
    "sample_id",
    "global_subject_id",
    "sample_type",
    "collected_at",
    "volume_ml",
    "barcode",
    "site_id",
    "freezer",
    "notes",
    "meta",
    "created_at",
    "created_by",
];

const TYPES: [&str; 8] = [
    "blood", "serum", "plasma", "stool", "biopsy", "dna", "rna", "saliva",
];
const WORDS: [&str; 20] = [
    "thawed",
    "hemolysed",
    "re-labelled",
    "aliquot",
    "low, volume",
    "box \"B\"",
    "ok",
    "shipped",
    "Zürich",
    "checked",
    "visit",
    "repeat",
    "draw",
    "frozen",
    "line1\nline2",
    "pending",
    "QC",
    "µL",
    "received",
    "stored",
];

struct Row {
    key: String,
    subject: u64,
    sample_type: usize,
    collected: u64,
    microlitres: u64,
    barcode: Option<String>,
    site: u64,
    freezer: String,
    notes: Option<String>,
    dv200: u64,
    pass: bool,
    cell: u64,
    tags: (u64, u64),
    position: (u64, u64),
    created: u64,
    created_by: u64,
}

/// Row number `i` of the table; those behind its end are the new ones.
fn row(i: u64) -> Row {
    let mut r = Random::new(i ^ (20_240_115 << 32));
    let mut n = |below: usize| r.below(below) as u64;
    Row {
        key: format!("SMP-{:08X}", i.wrapping_mul(2_654_435_761) & 0xffff_ffff),
        subject: n(200_000),
        sample_type: n(8) as usize,
        collected: n(86_400_000),
        microlitres: n(50_000),
        barcode: (n(20) > 0).then(|| format!("{:012}", n(1_000_000_000_000))),
        site: 1 + n(60),
        freezer: format!("FRZ-{:02}/R{}/S{}", n(40), n(8), n(20)),
        notes: (n(10) > 0).then(|| {
            let words: Vec<&str> = (0..3 + n(8)).map(|_| WORDS[n(20) as usize]).collect();
            words.join(" ")
        }),
        dv200: n(1000),
        pass: n(10) > 0,
        cell: n(500),
        tags: (n(9), n(9)),
        position: (n(8), n(12)),
        created: 86_400_000 + n(25_920_000),
        created_by: n(30),
    }
}

/// Another value in two columns; in one of ten rows another `created_at` too.
fn change(row: &mut Row, i: u64) {
    let mut r = Random::new(i ^ (77 << 32));
    let mut n = |below: usize| r.below(below) as u64;
    let first = n(7);
    for column in [first, (first + 1 + n(6)) % 7] {
        match column {
            0 => row.microlitres += 1 + n(500),
            1 => row.freezer += "/X",
            2 => {
                row.notes = match row.notes.take() {
                    None => Some("amended".into()),
                    Some(_) if n(10) == 0 => None,
                    Some(notes) => Some(notes + " amended"),
                }
            }
            3 => row.site = row.site % 60 + 1,
            4 => row.cell += 1,
            5 => {
                row.barcode = Some(match row.barcode.take() {
                    Some(code) if code.starts_with('9') => format!("8{}", &code[1..]),
                    _ => format!("9{:011}", n(100_000_000_000)),
                })
            }
            _ => row.sample_type = (row.sample_type + 1) % 8,
        }
    }
    if i.is_multiple_of(10) {
        row.created += 86_400;
    }
}

/// A time as JSON fragments carry it; `seconds` count from 2021-01-01.
fn time(seconds: u64) -> String {
    let days = seconds / 86_400 + 18_628; // from 1970
    // Days to a date, as in Howard Hinnant's `civil_from_days`.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (
        doy - (153 * mp + 2) / 5 + 1,
        if mp < 10 { mp + 3 } else { mp - 9 },
    );
    let year = yoe + era * 400 + u64::from(month <= 2);
    let s = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}+00:00",
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}

impl Row {
    fn meta(&self) -> String {
        format!(
            r#"{{"qc": {{"pass": {}, "dv200": {}}}, "box": {}, "pos": "{}{}", "tags": ["t{}", "u{}"]}}"#,
            self.pass,
            thousandths(self.dv200),
            self.cell,
            b"ABCDEFGH"[self.position.0 as usize] as char,
            self.position.1,
            self.tags.0,
            self.tags.1
        )
    }

    fn csv(&self, out: &mut impl Write) -> Result<()> {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        writeln!(
            out,
            "{},GSID-{:07},{},{},{},{},{},{},{},{},{},user{:02}",
            self.key,
            self.subject,
            TYPES[self.sample_type],
            time(self.collected),
            thousandths(self.microlitres),
            self.barcode.as_deref().unwrap_or_default(),
            self.site,
            self.freezer,
            self.notes.as_deref().map(quoted).unwrap_or_default(),
            quoted(&self.meta()),
            time(self.created),
            self.created_by
        )
    }

    fn json(&self, out: &mut impl Write) -> Result<()> {
        let text = |value: &Option<String>| serde_json::to_string(value);
        write!(
            out,
            r#"{{"sample_id": "{}", "global_subject_id": "GSID-{:07}", "sample_type": "{}", "collected_at": "{}", "volume_ml": {}, "barcode": {}, "site_id": {}, "freezer": "{}", "notes": {}, "meta": {}, "created_at": "{}", "created_by": "user{:02}"}}"#,
            self.key,
            self.subject,
            TYPES[self.sample_type],
            time(self.collected),
            thousandths(self.microlitres),
            text(&self.barcode)?,
            self.site,
            self.freezer,
            text(&self.notes)?,
            self.meta(),
            time(self.created),
            self.created_by
        )
    }
}

fn thousandths(n: u64) -> String {
    match n % 1000 {
        0 => format!("{}.0", n / 1000),
        rest => format!("{}.{rest:03}", n / 1000)
            .trim_end_matches('0')
            .to_owned(),
    }
}

/// The rows of a table of `rows` rows as CSV.
pub fn table_csv(rows: u64, out: &mut impl Write) -> Result<()> {
    (0..rows).try_for_each(|i| row(i).csv(out))
}

/// A batch on disk.
pub struct Batch {
    /// For the loader: the folder that holds `staging/`.
    pub folder: tempfile::TempDir,
    /// Its id.
    pub id: String,
    /// For the floors.
    pub csv: std::path::PathBuf,
}

/// The records in a batch of `records` for a table of `rows` rows.
fn records(rows: u64, records: u64, mix: Mix) -> Vec<Row> {
    let mut r = Random::new(records);
    let existing = match mix {
        Mix::Mixed => records / 2,
        Mix::New => 0,
        Mix::Equal => records,
    };
    let changed = if mix == Mix::Mixed {
        records * 3 / 10
    } else {
        0
    };
    assert!(
        existing <= rows,
        "the table has fewer rows than the batch finds in it"
    );
    let mut all: Vec<u32> = (0..rows as u32).collect();
    let mut chosen: Vec<(u64, bool)> = Vec::with_capacity(records as usize);
    for n in 0..existing as usize {
        let other = n + r.below(rows as usize - n);
        all.swap(n, other);
        chosen.push((u64::from(all[n]), (n as u64) < changed));
    }
    chosen.extend((0..records - existing).map(|n| (rows + n, false)));
    for n in (1..chosen.len()).rev() {
        chosen.swap(n, r.below(n + 1));
    }
    let made = chosen.into_iter().map(|(i, changed)| {
        let mut row = row(i);
        if changed {
            change(&mut row, i);
        }
        row
    });
    made.collect()
}

/// Writes a batch: CSV for the floors, NDJSON of 10,000 records a file for the loader.
pub fn batch(rows: u64, count: u64, mix: Mix) -> Result<Batch> {
    let folder = tempfile::tempdir()?;
    let id = format!("batch_{count}");
    let csv = folder.path().join("batch.csv");
    let parts = folder.path().join("staging").join(&id).join("specimen");
    std::fs::create_dir_all(&parts)?;
    let mut out = BufWriter::new(File::create(&csv)?);
    for (n, chunk) in records(rows, count, mix).chunks(10_000).enumerate() {
        let mut json = BufWriter::new(File::create(parts.join(format!("part-{n:04}.json")))?);
        for row in chunk {
            row.csv(&mut out)?;
            row.json(&mut json)?;
            json.write_all(b"\n")?;
        }
        json.flush()?;
    }
    out.flush()?;
    Ok(Batch { folder, id, csv })
}

/// Objects of one record each: key and content.
pub fn objects(rows: u64, count: u64, id: &str) -> Vec<(String, Vec<u8>)> {
    let made = records(rows, count, Mix::Mixed).into_iter().map(|row| {
        let mut content = b"{\"data\": ".to_vec();
        let _ = row.json(&mut content); // a Vec takes everything
        content.push(b'}');
        (format!("staging/{id}/specimen/{}.json", row.key), content)
    });
    made.collect()
}

/// The size of a file.
pub fn bytes(path: &Path) -> u64 {
    path.metadata().map(|m| m.len()).unwrap_or_default()
}
