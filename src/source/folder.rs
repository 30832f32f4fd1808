//! A folder as a source. Nothing outside it is read, whatever names and links say.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::spool::Spool;
use super::{ObjectInfo, SourceError};

/// A folder in which batches are delivered.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    /// As it was given.
    root: PathBuf,
    /// The same without links: what is not below it is not read.
    real: PathBuf,
}

impl Folder {
    pub(super) fn open(root: &Path) -> Result<Self, SourceError> {
        let real = fs::canonicalize(root).and_then(|real| {
            if real.is_dir() {
                Ok(real)
            } else {
                Err(io::ErrorKind::NotADirectory.into())
            }
        });
        let real = real.map_err(|error| SourceError::Io {
            action: "open the folder",
            target: root.display().to_string(),
            error,
            advice: "check the name of the folder",
        })?;
        Ok(Self {
            root: root.to_owned(),
            real,
        })
    }

    pub(super) fn display(&self, key: &str) -> String {
        self.root.join(key).display().to_string()
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, SourceError> {
        let (folder, prefix) = (self.clone(), prefix.to_owned());
        let target = self.display(&prefix);
        let listing = tokio::task::spawn_blocking(move || {
            folder.path(prefix.trim_end_matches('/'))?;
            let mut walk = Walk {
                above: vec![folder.real.clone()],
                found: Vec::new(),
                folder,
                prefix,
            };
            walk.enter("")?;
            Ok(walk.found)
        });
        listing
            .await
            .unwrap_or_else(|error| Err(SourceError::stopped(&target, error)))
    }

    pub(super) async fn fetch(&self, object: &ObjectInfo) -> Result<Spool, SourceError> {
        let (folder, object) = (self.clone(), object.clone());
        let target = self.display(&object.key);
        let reading = tokio::task::spawn_blocking(move || folder.read(&object));
        reading
            .await
            .unwrap_or_else(|error| Err(SourceError::stopped(&target, error)))
    }

    fn read(&self, object: &ObjectInfo) -> Result<Spool, SourceError> {
        let path = self.resolve(&self.path(&object.key)?)?;
        let file = File::open(&path).map_err(|error| unreadable(&path, error))?;
        // One byte more tells that it has grown.
        let mut file = file.take(object.size + 1);
        let mut spool = Spool::new();
        io::copy(&mut file, &mut spool)
            .map_err(|error| SourceError::spool(&self.display(&object.key), error))?;
        if spool.received() != object.size {
            return Err(SourceError::Changed {
                target: self.display(&object.key),
                found: format!(
                    "{} bytes were listed, {} read",
                    object.size,
                    spool.received()
                ),
            });
        }
        Ok(spool)
    }

    /// The path of `key`, which must not lead upwards.
    fn path(&self, key: &str) -> Result<PathBuf, SourceError> {
        let plain = |part| matches!(part, Component::Normal(_));
        if key.contains(['\0', '\\']) || !Path::new(key).components().all(plain) {
            return Err(SourceError::Unsafe {
                target: format!("{key:?}"),
                found: "it is not a plain path below the folder",
            });
        }
        Ok(self.real.join(key))
    }

    /// `path` without links, if it still is below the root.
    fn resolve(&self, path: &Path) -> Result<PathBuf, SourceError> {
        let real = fs::canonicalize(path).map_err(|error| unreadable(path, error))?;
        if real.starts_with(&self.real) {
            return Ok(real);
        }
        Err(SourceError::Unsafe {
            target: path.display().to_string(),
            found: "it is a link that leads out of the folder",
        })
    }
}

/// A listing in the making.
struct Walk {
    folder: Folder,
    prefix: String,
    /// The folders that are being listed, outermost first, without links.
    above: Vec<PathBuf>,
    found: Vec<ObjectInfo>,
}

impl Walk {
    /// Lists the innermost folder, whose key is `at`: empty, or ending in `/`.
    fn enter(&mut self, at: &str) -> Result<(), SourceError> {
        let Some(folder) = self.above.last().cloned() else {
            return Ok(());
        };
        let entries = fs::read_dir(&folder).map_err(|error| unreadable(&folder, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&folder, error))?;
            let key = format!("{at}{}", entry.file_name().to_string_lossy());
            if key.starts_with(&self.prefix) || self.prefix.starts_with(&key) {
                self.entry(key, &entry.path())?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, mut key: String, path: &Path) -> Result<(), SourceError> {
        let refused = |found| {
            Err(SourceError::Unsafe {
                target: path.display().to_string(),
                found,
            })
        };
        if path.to_str().is_none() {
            return refused("its name is not UTF-8");
        }
        let path = self.folder.resolve(path)?;
        let about = fs::metadata(&path).map_err(|error| unreadable(&path, error))?;
        if about.is_dir() {
            key.push('/');
            if !key.starts_with(&self.prefix) && !self.prefix.starts_with(&key) {
                return Ok(());
            }
            if self.above.contains(&path) {
                return refused("it is a link that leads in a circle");
            }
            self.above.push(path);
            self.enter(&key)?;
            self.above.pop();
        } else if key.starts_with(&self.prefix) {
            if !about.is_file() {
                return refused("it is neither a file nor a folder");
            }
            self.found.push(ObjectInfo {
                key,
                size: about.len(),
                etag: None,
            });
        }
        Ok(())
    }
}

fn unreadable(path: &Path, error: io::Error) -> SourceError {
    SourceError::Io {
        action: "read",
        target: path.display().to_string(),
        error,
        advice: "check the permissions, and that the delivery is complete",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Body, Bounds, Location, Source};
    use super::*;
    use futures_util::{StreamExt, TryStreamExt};

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (key, content) in files {
            let path = folder.path().join(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    async fn open(folder: &tempfile::TempDir) -> Source {
        Source::open(&Location::Folder(folder.path().to_owned()))
            .await
            .unwrap()
    }

    async fn keys(source: &Source, prefix: &str) -> Vec<String> {
        source
            .list(prefix)
            .await
            .unwrap()
            .into_iter()
            .map(|object| object.key)
            .collect()
    }

    #[tokio::test]
    async fn a_batch_is_listed_in_the_order_of_its_keys() {
        let folder = folder(&[
            ("staging/b1/b/2.json", ""),
            ("staging/b1/b.json", "{}"),
            ("staging/b1/a/x/1.json", ""),
            ("staging/b10/a.json", ""),
            ("other.json", ""),
        ]);
        let source = open(&folder).await;
        let expect = [
            "staging/b1/a/x/1.json",
            "staging/b1/b.json",
            "staging/b1/b/2.json",
        ];
        assert_eq!(keys(&source, "staging/b1/").await, expect);
        assert_eq!(keys(&source, "staging/b1").await.len(), 4);
        assert_eq!(keys(&source, "").await.len(), 5);
        assert!(keys(&source, "staging/b2/").await.is_empty());
        assert_eq!(
            source.display("a/b"),
            folder.path().join("a/b").display().to_string()
        );
    }

    #[tokio::test]
    async fn objects_are_fetched_in_order() {
        let folder = folder(&[("c", "1"), ("a", ""), ("b", "22")]);
        let source = open(&folder).await;
        let listed = source.list("").await.unwrap();
        let fetched: Vec<_> = source
            .fetch_all(listed, 2, Bounds::default())
            .try_collect()
            .await
            .unwrap();
        let sizes: Vec<_> = fetched
            .iter()
            .map(|fetched| match &fetched.body {
                Body::Memory(bytes) => (fetched.object.key.as_str(), bytes.len()),
                Body::File(_) => panic!("a small object on disk"),
            })
            .collect();
        assert_eq!(sizes, [("a", 0), ("b", 2), ("c", 1)]);
    }

    #[tokio::test]
    async fn an_object_that_grew_is_not_the_listed_one() {
        let folder = folder(&[("a.json", "{}")]);
        let source = open(&folder).await;
        let listed = source.list("").await.unwrap();
        fs::write(folder.path().join("a.json"), "{} ").unwrap();
        let fetched: Vec<_> = source
            .fetch_all(listed, 0, Bounds::default())
            .collect()
            .await;
        assert!(matches!(fetched[..], [Err(SourceError::Changed { .. })]));
    }

    #[tokio::test]
    async fn names_do_not_lead_out() {
        let folder = folder(&[("in/a.json", "{}")]);
        let source = Source::open(&Location::Folder(folder.path().join("in")))
            .await
            .unwrap();
        for key in [
            "../in/a.json",
            "x/../../in/a.json",
            "/etc/hosts",
            "..",
            "a\0b",
            "..\\a",
        ] {
            assert!(
                matches!(source.list(key).await, Err(SourceError::Unsafe { .. })),
                "{key:?}"
            );
            let object = ObjectInfo {
                key: key.to_owned(),
                size: 2,
                etag: None,
            };
            let fetched: Vec<_> = source
                .fetch_all(vec![object], 1, Bounds::default())
                .collect()
                .await;
            assert!(
                matches!(fetched[..], [Err(SourceError::Unsafe { .. })]),
                "{key:?}"
            );
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn links_do_not_lead_out_or_round() {
        use std::os::unix::fs::symlink;
        let folder = folder(&[("in/a/1.json", "{}"), ("out/2.json", "{}")]);
        let root = folder.path().join("in");
        symlink(root.join("a"), root.join("b")).unwrap();
        let source = Source::open(&Location::Folder(root.clone())).await.unwrap();
        assert_eq!(keys(&source, "").await, ["a/1.json", "b/1.json"]);
        symlink(&root, root.join("a/round")).unwrap();
        let error = source.list("a/").await.unwrap_err().to_string();
        assert!(error.contains("leads in a circle"), "{error}");
        fs::remove_file(root.join("a/round")).unwrap();
        symlink(folder.path().join("out/2.json"), root.join("a/2.json")).unwrap();
        let error = source.list("a/").await.unwrap_err().to_string();
        assert!(error.contains("leads out of the folder"), "{error}");
        let object = ObjectInfo {
            key: "a/2.json".to_owned(),
            size: 2,
            etag: None,
        };
        let fetched: Vec<_> = source
            .fetch_all(vec![object], 1, Bounds::default())
            .collect()
            .await;
        assert!(matches!(fetched[..], [Err(SourceError::Unsafe { .. })]));
    }

    #[tokio::test]
    async fn a_missing_folder_is_named() {
        let folder = folder(&[("file", "")]);
        for name in ["missing", "file"] {
            let path = folder.path().join(name);
            let error = Source::open(&Location::Folder(path.clone()))
                .await
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with(&format!("cannot open the folder {}: ", path.display())),
                "{error}"
            );
        }
    }
}
