//! Lists and fetches the objects of a batch, from an S3 bucket or from a folder.

mod error;
mod folder;
mod layout;
mod location;
mod pattern;
pub mod pipe;
mod s3;
mod spool;

use std::fs::File;

use futures_util::{Stream, StreamExt, stream};

pub use error::SourceError;
pub(crate) use layout::REPORT;
pub use layout::{Layout, layout};
pub use location::Location;
pub use pattern::{Pattern, Place};

use folder::Folder;
use s3::Bucket;

/// An object as it was listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectInfo {
    /// Its path below the root of its source, with `/` between names.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// The store's name for this content, without quotes; folders have none.
    pub etag: Option<String>,
}

/// An object that has been read.
#[derive(Debug)]
pub struct Fetched {
    /// The object as it was listed, which is what was read.
    pub object: ObjectInfo,
    /// SHA-256 of the bytes as delivered: of the compressed ones where the object is compressed.
    pub sha256: [u8; 32],
    /// Its content, decompressed.
    pub body: Body,
}

/// How large objects may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// As delivered, in bytes.
    pub object: u64,
    /// Unpacked, in bytes.
    pub unpacked: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            object: 1 << 30,
            unpacked: 4 << 30,
        }
    }
}

/// The content of an object. Large ones are kept out of memory.
#[derive(Debug)]
pub enum Body {
    /// At most 8 MiB.
    Memory(Vec<u8>),
    /// A temporary file without a name, at its start.
    File(File),
}

impl Body {
    /// Its bytes, unpacked; 0 where they are not known.
    pub fn len(&self) -> u64 {
        match self {
            Body::Memory(bytes) => bytes.len() as u64,
            Body::File(file) => file.metadata().map_or(0, |about| about.len()),
        }
    }
}

/// Where batches are delivered.
#[derive(Clone, Debug)]
pub struct Source {
    store: Store,
}

#[derive(Clone, Debug)]
enum Store {
    S3(Bucket),
    Folder(Folder),
}

impl Source {
    /// The source at `location`.
    ///
    /// For S3, settings come from where the AWS tools take them: environment, profile, single
    /// sign-on, instance role. Nothing is sent to the bucket yet.
    ///
    /// # Errors
    ///
    /// [`SourceError::Io`] where there is no such folder.
    pub async fn open(location: &Location) -> Result<Self, SourceError> {
        let store = match location {
            Location::S3 { bucket, prefix } => Store::S3(Bucket::open(bucket, prefix).await),
            Location::Folder(path) => Store::Folder(Folder::open(path)?),
        };
        Ok(Self { store })
    }

    /// All objects whose keys begin with `prefix`, sorted by the bytes of their keys. The empty
    /// objects with which some tools mark folders are left out.
    ///
    /// # Errors
    ///
    /// [`SourceError::Refused`] by the service, [`SourceError::Io`] by the file system,
    /// [`SourceError::Unsafe`] for a path that leads out of the folder, and
    /// [`SourceError::Incomplete`] for a listing that breaks off.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, SourceError> {
        self.list_telling(prefix, &|_| ()).await
    }

    /// As [`list`](Self::list), and tells after each page how many were found so far.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub async fn list_telling(
        &self,
        prefix: &str,
        found: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<ObjectInfo>, SourceError> {
        let mut objects = match &self.store {
            Store::S3(bucket) => bucket.list(prefix, found).await?,
            Store::Folder(folder) => folder.list(prefix).await?,
        };
        objects.retain(|object| !(object.size == 0 && object.key.ends_with('/')));
        objects.sort_unstable();
        objects.dedup();
        Ok(objects)
    }

    /// The contents of `objects`, in their order, at most `concurrency` being read at a time; each
    /// within the bounds that `most` sets.
    ///
    /// # Errors
    ///
    /// Each item on its own: as [`list`](Self::list), and [`SourceError::Changed`] for an object
    /// that is no longer the listed one, [`SourceError::CutOff`] and [`SourceError::Gzip`].
    pub fn fetch_all(
        &self,
        objects: Vec<ObjectInfo>,
        concurrency: usize,
        most: Bounds,
    ) -> impl Stream<Item = Result<Fetched, SourceError>> {
        stream::iter(objects)
            .map(move |object| self.fetch(object, most))
            .buffered(concurrency.max(1))
    }

    async fn fetch(&self, object: ObjectInfo, most: Bounds) -> Result<Fetched, SourceError> {
        if object.size > most.object {
            return Err(SourceError::TooLarge {
                target: self.display(&object.key),
                how: "",
                most: most.object,
            });
        }
        let spooled = match &self.store {
            Store::S3(bucket) => bucket.fetch(&object).await?,
            Store::Folder(folder) => folder.fetch(&object).await?,
        };
        let target = self.display(&object.key);
        let gzip = layout::is_gzip(&object.key);
        let sha256 = spooled.sha256();
        let body = if gzip {
            tokio::task::spawn_blocking(move || spooled.body(Some(most.unpacked), &target))
                .await
                .unwrap_or_else(|error| Err(SourceError::stopped(&object.key, error)))?
        } else {
            spooled.body(None, &target)?
        };
        Ok(Fetched {
            object,
            sha256,
            body,
        })
    }

    /// The full name of `key`, for people: `s3://bucket/key` or a path.
    pub fn display(&self, key: &str) -> String {
        match &self.store {
            Store::S3(bucket) => bucket.display(key),
            Store::Folder(folder) => folder.display(key),
        }
    }
}
