//! The fuzz targets' corpus: what was found once, and one of each kind of input, as it is and with
//! random changes. `CORPUS_CHANGES` says how many for each input.

use crate::any_bytes;
use crate::support::random::Random;

#[track_caller]
fn each(target: &str, check: fn(&[u8])) {
    let folder = format!("fuzz/corpus/{target}");
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    assert!(names.len() >= 20, "{folder} has {} inputs", names.len());
    let inputs: Vec<Vec<u8>> = names.iter().map(|n| std::fs::read(n).unwrap()).collect();
    let changes = std::env::var("CORPUS_CHANGES").map_or(40, |n| n.parse().unwrap());
    let mut random = Random::new(inputs.len() as u64);
    for (name, input) in names.iter().zip(&inputs) {
        println!("{}", name.display());
        check(input);
        for _ in 0..changes {
            let input = changed(&mut random, input, &inputs);
            let checked = std::panic::catch_unwind(|| check(&input));
            assert!(checked.is_ok(), "{:?}", String::from_utf8_lossy(&input));
        }
    }
}

/// An input with a few bytes changed, left out, repeated, or taken from another.
fn changed(random: &mut Random, input: &[u8], all: &[Vec<u8>]) -> Vec<u8> {
    const LIKELY: &[u8] = b"{}[]\",:\\u0nt-1.e \n\xff";
    let mut out = input.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(out.len() + 1);
        let to = (at + random.below(12)).min(out.len());
        match random.below(5) {
            0 if at < out.len() => out[at] = LIKELY[random.below(LIKELY.len())],
            1 => drop(out.drain(at..to)),
            2 => out.insert(at, LIKELY[random.below(LIKELY.len())]),
            3 => {
                let again = out[at..to].to_vec();
                out.splice(at..at, again);
            }
            _ => {
                let other = &all[random.below(all.len())];
                let from = random.below(other.len() + 1);
                let until = (from + random.below(40)).min(other.len());
                out.splice(at..at, other[from..until].iter().copied());
            }
        }
    }
    out
}

#[test]
fn no_fragment_of_the_corpus_makes_reading_fail() {
    each("fragment", any_bytes::fragment);
}

#[test]
fn no_plan_of_the_corpus_makes_reading_fail() {
    each("plan", any_bytes::plan);
}
