//! What is to be said of tables beyond their rows, as Markdown.

use super::inert::{code, words};
use crate::plan::{Header, is_grave};

/// The notes of a plan's tables, of which some are written: first those that must not be missed.
pub struct Notes {
    lines: Vec<String>,
    fits: usize,
}

impl Notes {
    /// All notes of a plan, of which none has room yet.
    pub fn of(header: &Header) -> Notes {
        let each = header.tables.iter();
        let mut all: Vec<(bool, String)> = each
            .flat_map(|t| t.notes(header.kind).into_iter().map(move |note| (t, note)))
            .map(|(table, note)| {
                let line = format!("- {}: {}\n", code(&table.table, 63), words(&note, 300));
                (!is_grave(&note), line)
            })
            .collect();
        // Few plans have more than there is room for: the order of tables is kept.
        all.sort_by_key(|(is_usual, _)| *is_usual);
        Notes {
            lines: all.into_iter().map(|(_, line)| line).collect(),
            fits: 0,
        }
    }

    /// Takes as many more as `room` bytes hold.
    pub fn grow(&mut self, mut room: usize) {
        while let Some(line) = self.lines.get(self.fits)
            && let Some(left) = room.checked_sub(line.len())
        {
            room = left;
            self.fits += 1;
        }
    }

    /// Whether some have no room.
    pub fn is_cut(&self) -> bool {
        self.fits < self.lines.len()
    }

    /// Bytes of those that are written, with what is said of the others.
    pub fn size(&self) -> usize {
        self.write().len()
    }

    /// Those that have room, and how many there are beside them.
    pub fn write(&self) -> String {
        let (written, others) = self.lines.split_at(self.fits);
        let more = match others.len() {
            0 => String::new(),
            1 => "- … and 1 more note; `loader show` has it.\n".to_owned(),
            n => format!("- … and {n} more notes; `loader show` has them.\n"),
        };
        let text = written.concat() + &more;
        match text.is_empty() {
            true => text,
            false => format!("\n{text}"),
        }
    }
}
