//! The fuzz targets' corpus: what was found once, and one of each kind of input.

use crate::any_bytes;

#[track_caller]
fn each(target: &str, check: fn(&[u8])) {
    let folder = format!("fuzz/corpus/{target}");
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    assert!(names.len() >= 20, "{folder} has {} inputs", names.len());
    for name in names {
        println!("{}", name.display());
        check(&std::fs::read(name).unwrap());
    }
}

#[test]
fn no_fragment_of_the_corpus_makes_reading_fail() {
    each("fragment", any_bytes::fragment);
}

#[test]
fn no_plan_of_the_corpus_makes_reading_fail() {
    each("plan", any_bytes::plan);
}
