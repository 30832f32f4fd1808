//! The objects that a plan was made from.

use crate::render::plural;
use crate::text::cut::fit;

/// How many objects a plan was made from, and the folder that all of them are in.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    objects: u64,
    folder: String,
}

impl Sources {
    /// Takes the key of a further object.
    pub(super) fn take(&mut self, key: &str) {
        let folder = key.rfind('/').map_or("", |at| &key[..=at]);
        if self.objects == 0 {
            folder.clone_into(&mut self.folder);
        }
        self.objects += 1;
        while !folder.starts_with(&self.folder) {
            self.folder.pop();
            let end = self.folder.rfind('/').map_or(0, |at| at + 1);
            self.folder.truncate(end);
        }
    }

    /// In words: `14 files in staging/b1/`; `None` where a plan was made from no objects.
    pub fn words(&self) -> Option<String> {
        let files = plural(self.objects, "file");
        match (self.objects, self.folder.as_str()) {
            (0, _) => None,
            (_, "") => Some(files),
            (_, folder) => Some(format!("{files} in {}", fit(folder, 300))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_one_that_all_are_in() {
        let words = |keys: &[&str]| {
            let mut sources = Sources::default();
            keys.iter().for_each(|key| sources.take(key));
            sources.words()
        };
        assert_eq!(words(&[]), None);
        assert_eq!(words(&["a.json"]).unwrap(), "1 file");
        let two = ["staging/b1/t/1.json", "staging/b1/t/2.json"];
        assert_eq!(words(&two).unwrap(), "2 files in staging/b1/t/");
        let tables = ["staging/b1/ta/1.json", "staging/b1/tb.csv"];
        assert_eq!(words(&tables).unwrap(), "2 files in staging/b1/");
        assert_eq!(words(&["a/é/1", "a/è/1"]).unwrap(), "2 files in a/");
        assert_eq!(words(&["a/1", "b/1"]).unwrap(), "2 files");
    }
}
