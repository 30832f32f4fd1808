//! Buckets and objects in memory, and the faults that wait for their request.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use s3s::{S3Result, dto, s3_error};
use sha2::{Digest, Sha256};

use super::fault::{Fault, Operation, Refusal};

/// The most keys that S3 puts on one page of a listing.
const LARGEST_PAGE: usize = 1_000;

#[derive(Debug, Clone)]
pub struct Object {
    pub content: Bytes,
    pub e_tag: String,
    pub modified: SystemTime,
}

impl Object {
    pub fn new(content: Bytes) -> Self {
        let e_tag = Sha256::digest(&content)
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            content,
            e_tag,
            modified: SystemTime::now(),
        }
    }

    pub fn e_tag(&self) -> dto::ETag {
        dto::ETag::Strong(self.e_tag.clone())
    }

    pub fn listed_as(&self, key: String) -> dto::Object {
        dto::Object {
            key: Some(key),
            e_tag: Some(self.e_tag()),
            size: Some(self.content.len() as i64),
            last_modified: Some(self.modified.into()),
            ..Default::default()
        }
    }
}

#[derive(Debug, Default)]
pub struct State {
    pub buckets: BTreeMap<String, BTreeMap<String, Object>>,
    pub requests: Vec<(Operation, String)>,
    pub delay: Duration,
    pub faults: Vec<Fault>,
    /// The last key of each page that had a next one; a continuation token is an index here.
    page_ends: Vec<String>,
}

impl State {
    pub fn put(&mut self, bucket: &str, key: &str, content: Bytes) {
        self.buckets
            .entry(bucket.to_owned())
            .or_default()
            .insert(key.to_owned(), Object::new(content));
    }

    pub fn delete(&mut self, bucket: &str, key: &str) {
        if let Some(objects) = self.buckets.get_mut(bucket) {
            objects.remove(key);
        }
    }

    pub fn bucket(&self, bucket: &str) -> S3Result<&BTreeMap<String, Object>> {
        self.buckets
            .get(bucket)
            .ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))
    }

    pub fn object(&self, bucket: &str, key: &str) -> S3Result<&Object> {
        self.bucket(bucket)?
            .get(key)
            .ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))
    }

    /// The refusal for this request, if one is due.
    pub fn take_refusal(&mut self, of: Operation) -> Option<Refusal> {
        self.faults.iter_mut().find_map(|fault| match fault {
            Fault::Refuse {
                operation,
                refusal,
                times,
            } if *operation == of && *times > 0 => {
                *times -= 1;
                Some(*refusal)
            }
            _ => None,
        })
    }

    pub fn take_cut(&mut self, bucket: &str, key: &str) -> bool {
        let cut = Fault::CutBody {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        };
        let found = self.faults.iter().position(|fault| *fault == cut);
        found.map(|position| self.faults.remove(position)).is_some()
    }

    /// Lets the changes happen that wait for one of these keys to be listed.
    pub fn change_after_listing(&mut self, listed_in: &str, page: &[(String, Object)]) {
        let is_due = |fault: &mut Fault| match fault {
            Fault::ChangeAfterListing { bucket, key, .. } => {
                bucket == listed_in && page.iter().any(|(listed, _)| listed == key)
            }
            _ => false,
        };
        for fault in self.faults.extract_if(.., is_due).collect::<Vec<_>>() {
            if let Fault::ChangeAfterListing { key, content, .. } = fault {
                match content {
                    Some(content) => self.put(listed_in, &key, content),
                    None => self.delete(listed_in, &key),
                }
            }
        }
    }

    pub fn list(&mut self, input: dto::ListObjectsV2Input) -> S3Result<dto::ListObjectsV2Output> {
        if input.delimiter.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "A listing with a delimiter is not implemented"
            ));
        }
        let page_size = match input.max_keys {
            None => LARGEST_PAGE,
            Some(asked) => usize::try_from(asked)
                .map_err(|_| s3_error!(InvalidArgument, "max-keys must not be negative"))?
                .min(LARGEST_PAGE),
        };
        let after = match &input.continuation_token {
            None => input.start_after.clone().unwrap_or_default(),
            Some(token) => token
                .strip_prefix("page-end-")
                .and_then(|index| self.page_ends.get(index.parse::<usize>().ok()?).cloned())
                .ok_or_else(|| {
                    s3_error!(
                        InvalidArgument,
                        "The continuation token provided is incorrect"
                    )
                })?,
        };
        let prefix = input.prefix.clone().unwrap_or_default();
        let mut matching = self
            .bucket(&input.bucket)?
            .range::<str, _>((Bound::Excluded(after.as_str()), Bound::Unbounded))
            .filter(|(key, _)| key.starts_with(&prefix));
        let page: Vec<(String, Object)> = matching
            .by_ref()
            .take(page_size)
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        let is_truncated = page_size > 0 && matching.next().is_some();
        let next = page.last().filter(|_| is_truncated).map(|(key, _)| {
            self.page_ends.push(key.clone());
            format!("page-end-{}", self.page_ends.len() - 1)
        });
        self.change_after_listing(&input.bucket, &page);
        let url = input
            .encoding_type
            .as_ref()
            .is_some_and(|encoding| encoding.as_str() == dto::EncodingType::URL);
        let shown = |text: String| if url { url_encoded(&text) } else { text };
        Ok(dto::ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(shown(prefix)),
            start_after: input.start_after.map(shown),
            encoding_type: input.encoding_type,
            max_keys: Some(page_size as i32),
            key_count: Some(page.len() as i32),
            continuation_token: input.continuation_token,
            is_truncated: Some(is_truncated),
            next_continuation_token: next,
            contents: Some(
                page.into_iter()
                    .map(|(key, object)| object.listed_as(shown(key)))
                    .collect(),
            ),
            ..Default::default()
        })
    }
}

/// As S3 does for `encoding-type=url`.
fn url_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
                char::from(byte).to_string()
            }
            b' ' => "+".to_owned(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
