//! The files in which reviewers' decisions stand, and what follows from them, for people.

use std::path::PathBuf;
use std::time::Duration;

use super::{input, say};
use crate::error::Result;
use crate::ops::Followed;
use crate::plan::{Decisions, Review};

/// What the files say together of each plan that they are about.
pub fn read(files: &[PathBuf], patience: Duration) -> Result<Vec<Decisions>> {
    let mut reviews = Vec::with_capacity(files.len());
    for path in files {
        let name = path.display().to_string();
        let bytes = input::bytes(path, "the decisions", patience)?;
        let review = Review::read(&name, &bytes)?;
        reviews.push((name, review));
    }
    Decisions::join(reviews)
}

/// Says what follows from decisions beside what was decided.
pub fn tell(followed: &Followed) {
    let rows = |n: u64| match n {
        1 => "1 row".to_owned(),
        n => format!("{n} rows"),
    };
    if followed.left_out == 0 {
        say("Nothing is left out: the plan is the one that was reviewed.");
        return;
    }
    say(format!("Left out as decided: {}.", rows(followed.left_out)));
    for (count, named, what) in [
        (
            followed.with_them,
            &followed.with_them_named,
            "left out with them",
        ),
        (
            followed.freed,
            &followed.freed_named,
            "could not be loaded beside them, and will be: have these reviewed",
        ),
    ] {
        if count == 0 {
            continue;
        }
        say(format!("{} {what}:", rows(count)));
        for line in named {
            say(format!("  {line}"));
        }
        let more = count - named.len() as u64;
        if more > 0 {
            say(format!("  and {more} more"));
        }
    }
    say("Nothing else differs from the plan that was reviewed.");
}
