//! Where a source is, as people write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::SourceError;

/// Where a source is.
///
/// # Examples
///
/// ```
/// use table_loader::Location;
///
/// let location: Location = "s3://curated/qa".parse()?;
/// assert_eq!(location, Location::S3 { bucket: "curated".into(), prefix: "qa/".into() });
/// # Ok::<_, table_loader::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A bucket.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// What all keys begin with: empty, or ending in `/`.
        prefix: String,
    },
    /// A folder.
    Folder(PathBuf),
}

impl FromStr for Location {
    type Err = crate::Error;

    fn from_str(given: &str) -> crate::Result<Self> {
        let wrong = |reason| {
            crate::Error::from(SourceError::Location {
                given: given.to_owned(),
                reason,
            })
        };
        let Some(rest) = given.strip_prefix("s3://") else {
            return match given {
                "" => Err(wrong("it is empty")),
                _ if given.contains('\0') => Err(wrong("it contains U+0000")),
                _ if given.starts_with("s3:") => Err(wrong("after s3: two slashes are missing")),
                _ if given.contains("://") => Err(wrong("only s3:// is understood")),
                _ => Ok(Self::Folder(given.into())),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(wrong("the bucket's name is missing"));
        }
        if !bucket
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        {
            return Err(wrong(
                "a bucket's name has letters, digits, `.`, `-` and `_` only",
            ));
        }
        let prefix = match prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Ok(Self::S3 {
            bucket: bucket.to_owned(),
            prefix,
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Folder(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: &str, bucket: &str, prefix: &str) {
        let expect = Location::S3 {
            bucket: bucket.into(),
            prefix: prefix.into(),
        };
        assert_eq!(given.parse::<Location>().unwrap(), expect);
        assert_eq!(expect.to_string().parse::<Location>().unwrap(), expect);
    }

    #[test]
    fn buckets_and_folders_are_told_apart() {
        check("s3://curated", "curated", "");
        check("s3://curated/", "curated", "");
        check("s3://curated/a/b", "curated", "a/b/");
        check("s3://curated//a/", "curated", "a/");
        for folder in ["batches", "/srv/batches", "./s3", "a:b"] {
            assert_eq!(
                folder.parse::<Location>().unwrap(),
                Location::Folder(folder.into())
            );
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for (given, reason) in [
            ("", "it is empty"),
            ("s3://", "bucket's name is missing"),
            ("s3:///a", "bucket's name is missing"),
            ("s3:curated", "two slashes are missing"),
            ("s3://user:secret@host", "letters, digits"),
            (
                "https://curated.s3.amazonaws.com",
                "only s3:// is understood",
            ),
        ] {
            let error = given.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
