//! Points and what is made of them, in the form in which PostgreSQL prints them.

use super::{Accepted, Figure, Kept, Read, Refused, number};

/// A figure as PostgreSQL prints it.
pub fn figure(text: &str, figure: Figure) -> Read<'_> {
    let (shape, numbers) = take_apart(text);
    if !is_form(&shape, figure) {
        return Err(Refused::because(format!("not written as {}", form(figure))));
    }
    let mut kept = Kept::Surely;
    for number in numbers {
        kept = kept.max(number::float(number, number::DOUBLE)?.kept);
    }
    Ok(Accepted::kept_if(text, kept == Kept::Surely))
}

/// Whether both have the same numbers; PostgreSQL orders a box's corners.
pub fn equal(given: &str, stored: &str, figure: Figure) -> bool {
    let ordered = |text: &str| -> Vec<String> {
        let (_, numbers) = take_apart(text);
        let mut numbers: Vec<String> = numbers.into_iter().map(str::to_owned).collect();
        if figure == Figure::Box && numbers.len() == 4 {
            let value = |n: &str| n.parse::<f64>().unwrap_or(f64::NAN);
            for (a, b) in [(0, 2), (1, 3)] {
                if value(&numbers[a]) < value(&numbers[b]) {
                    numbers.swap(a, b);
                }
            }
        }
        numbers
    };
    let (given, stored) = (ordered(given), ordered(stored));
    let same = |(g, s): (&String, &String)| g == s || number::is_nearest(g, s, number::DOUBLE);
    given.len() == stored.len() && given.iter().zip(&stored).all(same)
}

/// The text without blanks and with `n` for each number, and the numbers.
fn take_apart(text: &str) -> (String, Vec<&str>) {
    let is_bracket = |c: char| "()[]{}<>,".contains(c) || c.is_ascii_whitespace();
    let (mut shape, mut numbers, mut rest) = (String::new(), Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        if is_bracket(first) {
            rest = &rest[1..];
            if !first.is_ascii_whitespace() {
                shape.push(first);
            }
            continue;
        }
        let end = rest.find(is_bracket).unwrap_or(rest.len());
        numbers.push(&rest[..end]);
        shape.push('n');
        rest = &rest[end..];
    }
    (shape, numbers)
}

fn is_form(shape: &str, figure: Figure) -> bool {
    let points = |open: char, close: char| {
        let inside = shape.strip_prefix(open).and_then(|s| s.strip_suffix(close));
        inside.is_some_and(|s| !s.is_empty() && format!("{s},").replace("(n,n),", "").is_empty())
    };
    match figure {
        Figure::Point => shape == "(n,n)",
        Figure::Line => shape == "{n,n,n}",
        Figure::Segment => shape == "[(n,n),(n,n)]",
        Figure::Box => shape == "(n,n),(n,n)",
        Figure::Path => points('[', ']') || points('(', ')'),
        Figure::Polygon => points('(', ')'),
        Figure::Circle => shape == "<(n,n),n>",
    }
}

fn form(figure: Figure) -> &'static str {
    match figure {
        Figure::Point => "(x,y)",
        Figure::Line => "{A,B,C}",
        Figure::Segment => "[(x1,y1),(x2,y2)]",
        Figure::Box => "(x1,y1),(x2,y2)",
        Figure::Path => "[(x1,y1),…] or ((x1,y1),…)",
        Figure::Polygon => "((x1,y1),…)",
        Figure::Circle => "<(x,y),r>",
    }
}
