//! What must hold for any bytes at all: the fuzz targets, and the tests over their corpus.

use std::io::Write;

use table_loader::config::Sign;
use table_loader::internal::Shape;
use table_loader::internal::column_text;
use table_loader::internal::{
    Delivery, Format, ReadError, Record, read_records, read_records_slice,
};
use table_loader::internal::{Item, PlanWriter};
use table_loader::planfile::PlanFile;
use table_loader::render::text::{self, Filter, Style};

const SHAPES: [Shape; 4] = [
    Shape::Scalar,
    Shape::Json,
    Shape::Array {
        delimiter: ',',
        element_json: false,
    },
    Shape::Array {
        delimiter: ';',
        element_json: true,
    },
];

/// A fragment is read without a panic, and to the same records from memory and from a stream; each
/// value has a text that PostgreSQL can be sent, or a reason why not. The first byte says the format.
pub fn fragment(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let format = match first {
        b'c' => Format::Csv(Sign::COMMA),
        b'x' => Format::Excel,
        _ => Format::Json,
    };
    let delivery = Delivery::new(format);
    let collect = |seen: &mut Vec<String>, record: &Record<'_>| {
        let mut line = format!("{}", record.position);
        for (name, value) in &record.fields {
            line += &format!(" {name:?}");
            for shape in SHAPES {
                match column_text(value, shape) {
                    Ok(Some(text)) => {
                        assert!(!text.contains('\0'), "U+0000 in {text:?}");
                        line += &format!("={text:?}");
                    }
                    Ok(None) => line += "=null",
                    Err(misfit) => line += &format!("!{misfit}"),
                }
            }
        }
        let mut names: Vec<&str> = record.fields.iter().map(|(n, _)| n.as_ref()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "a field stands twice");
        seen.push(line);
    };
    let (mut whole, mut streamed) = (Vec::new(), Vec::new());
    let from_memory = read_records_slice(rest, &delivery, &mut |record| {
        collect(&mut whole, &record);
        Ok::<_, std::convert::Infallible>(())
    });
    let stream = std::io::BufReader::with_capacity(7, std::io::Cursor::new(rest));
    let from_stream = read_records(stream, &delivery, &mut |record| {
        collect(&mut streamed, &record);
        Ok::<_, std::convert::Infallible>(())
    });
    assert_eq!(whole, streamed);
    match (from_memory, from_stream) {
        (Ok(a), Ok(b)) => {
            assert_eq!(a, b);
            assert_eq!(a.records, whole.len() as u64);
        }
        (Err(ReadError::Malformed(a)), Err(ReadError::Malformed(b))) => assert_eq!(a, b),
        (a, b) => panic!("{a:?} from memory, {b:?} from a stream"),
    }
}

/// A plan is read without a panic. One that is taken says the same when it is written again, and
/// can be shown. Where only the hash is wrong, it is made right, so that all behind it is tried too.
pub fn plan(data: &[u8]) {
    let Err(refused) = verify(data).map(again) else {
        return;
    };
    let message = refused.to_string();
    let right = message
        .split_once("its content has ")
        .and_then(|(_, rest)| rest.split_once(';'));
    let stated = message
        .split_once("it says ")
        .and_then(|(_, rest)| rest.split_once(", and its content has "));
    let (Some((right, _)), Some((stated, _))) = (right, stated) else {
        return;
    };
    if stated.len() < 4 || !stated.is_ascii() {
        return;
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(plan) = verify(text.replacen(stated, right, 1).as_bytes()) {
        again(plan);
    }
}

fn verify(data: &[u8]) -> table_loader::Result<PlanFile> {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(data).expect("a temporary file");
    PlanFile::verify(file, "plan".into())
}

fn again(plan: PlanFile) {
    let mut shown = Vec::new();
    let style = Style {
        colour: false,
        width: 80,
    };
    let filter = Filter {
        limit: Some(3),
        ..Filter::default()
    };
    text::plan(&plan, &filter, style, &mut shown).expect("a plan that is taken can be shown");
    let mut writer = PlanWriter::new().expect("a temporary file");
    plan.stream(&mut |item| match item {
        Item::Fragment(fragment) => writer.fragment(&fragment),
        Item::Entry(entry) => writer.entry(entry),
    })
    .expect("a plan that is taken can be streamed");
    let mut out = std::io::Cursor::new(Vec::new());
    let (_, hash) = writer
        .finish(plan.header.clone(), &mut out)
        .expect("a plan that is taken can be written");
    let plain = plan.masked_hash.is_none() && !plan.is_salted();
    let same = plain && plan.header.exceeded().next().is_none();
    let written = verify(&out.into_inner()).expect("what is written can be read");
    assert_eq!(written.hash, hash);
    // The writer adds up what the header says, and warns of limits.
    let counted = written.header == plan.header;
    assert!(
        !(same && counted) || hash == plan.hash,
        "{hash} is not {}",
        plan.hash
    );
}
