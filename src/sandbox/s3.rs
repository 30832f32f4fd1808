//! An S3 server in this process: the real protocol, signatures included, over a store in memory.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use std::{fmt, io};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};
use sha2::{Digest, Sha256};
use tokio::runtime::{self, Runtime};
use tokio::{task, time};

use super::SandboxError;

const ACCESS_KEY: &str = "sandbox-access-key";
const SECRET_KEY: &str = "sandbox-secret-key";
/// The most keys that S3 puts on one page of a listing.
const LARGEST_PAGE: usize = 1_000;

/// What a request asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// One page of `ListObjectsV2`.
    List,
    /// `GetObject`.
    Get,
    /// `HeadObject`.
    Head,
    /// `HeadBucket`.
    HeadBucket,
    /// `PutObject`.
    Put,
}

/// How a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 403 `AccessDenied`.
    AccessDenied,
    /// 500 `InternalError`.
    InternalError,
    /// 503 `SlowDown`.
    SlowDown,
}

impl From<Refusal> for S3Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::AccessDenied => s3_error!(AccessDenied, "Access Denied"),
            Refusal::InternalError => s3_error!(
                InternalError,
                "We encountered an internal error. Please try again."
            ),
            Refusal::SlowDown => s3_error!(SlowDown, "Please reduce your request rate."),
        }
    }
}

/// Something that goes wrong, injected by [`S3::inject`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The next requests of one kind are refused.
    Refuse {
        /// Which requests.
        operation: Operation,
        /// What they are answered.
        refusal: Refusal,
        /// How many of them; `u32::MAX` for all.
        times: u32,
    },
    /// Every request waits so long before its answer; zero ends it.
    Delay(Duration),
    /// Right after the next page that lists the object, it gets another content or is deleted.
    ChangeAfterListing {
        /// The bucket of the object.
        bucket: String,
        /// The key of the object.
        key: String,
        /// The new content; `None` deletes the object.
        content: Option<Bytes>,
    },
    /// The next `GetObject` of the key breaks off after half of the body.
    CutBody {
        /// The bucket of the object.
        bucket: String,
        /// The key of the object.
        key: String,
    },
}

/// An S3 server with path-style addresses on a free port of 127.0.0.1, for any region. Answers
/// `ListObjectsV2` (no delimiter), `GetObject`, `HeadObject`, `HeadBucket` and `PutObject`; all
/// else is `NotImplemented`. Runs on a thread of its own until dropped; fits sync and async code.
pub struct S3 {
    address: SocketAddr,
    store: Store,
    /// Invariant: present until dropped.
    runtime: Option<Runtime>,
}

impl S3 {
    /// Starts a server without buckets.
    ///
    /// # Errors
    /// The operating system grants no thread or no port.
    pub fn start() -> Result<Self, SandboxError> {
        let doing = || SandboxError::system("start a throw-away S3 server on 127.0.0.1");
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("sandbox-s3")
            .enable_all()
            .build()
            .map_err(doing())?;
        let (address, listener) = {
            let _inside = runtime.enter();
            listen().map_err(doing())?
        };
        let store = Store::default();
        let mut service = S3ServiceBuilder::new(store.clone());
        service.set_auth(OneKey);
        runtime.spawn(serve(listener, service.build()));
        Ok(Self {
            address,
            store,
            runtime: Some(runtime),
        })
    }

    /// The endpoint URL, such as `http://127.0.0.1:40123`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The only access key that is accepted.
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// The secret of [`S3::access_key`].
    pub fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    /// Makes an empty bucket; one that exists stays as it is. Requests reach it only under a name
    /// that S3 allows: 3 to 63 lower-case letters, digits, hyphens and dots.
    pub fn create_bucket(&self, bucket: &str) {
        self.store
            .lock()
            .buckets
            .entry(bucket.to_owned())
            .or_default();
    }

    /// Writes an object, making the bucket where there is none.
    pub fn put(&self, bucket: &str, key: &str, content: impl Into<Bytes>) {
        self.store.lock().put(bucket, key, content.into());
    }

    /// Deletes an object; that there is none is no error, as in S3.
    pub fn delete(&self, bucket: &str, key: &str) {
        self.store.lock().delete(bucket, key);
    }

    /// The keys in a bucket, sorted; none where there is no such bucket.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.store
            .lock()
            .buckets
            .get(bucket)
            .map(|objects| objects.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// The requests with a valid signature so far, refused ones too, each with its `bucket/key`,
    /// `bucket/prefix` (listings) or `bucket`, in order of arrival.
    pub fn requests(&self) -> Vec<(Operation, String)> {
        self.store.lock().requests.clone()
    }

    /// How many of [`S3::requests`] are of one kind.
    pub fn count(&self, operation: Operation) -> usize {
        self.store
            .lock()
            .requests
            .iter()
            .filter(|(of, _)| *of == operation)
            .count()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.store.lock().requests.clear();
    }

    /// Makes something go wrong, after what was injected before.
    pub fn inject(&self, fault: Fault) {
        let mut state = self.store.lock();
        match fault {
            Fault::Delay(delay) => state.delay = delay,
            fault => state.faults.push(fault),
        }
    }

    /// Withdraws the faults that have not happened yet.
    pub fn heal(&self) {
        let mut state = self.store.lock();
        state.delay = Duration::ZERO;
        state.faults.clear();
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // Waits for nothing, so it is allowed in async code, where dropping a runtime panics.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn listen() -> io::Result<(SocketAddr, tokio::net::TcpListener)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    Ok((
        listener.local_addr()?,
        tokio::net::TcpListener::from_std(listener)?,
    ))
}

async fn serve(listener: tokio::net::TcpListener, service: S3Service) {
    loop {
        let Ok((connection, _)) = listener.accept().await else {
            time::sleep(Duration::from_millis(10)).await; // no file handle free, most likely
            continue;
        };
        let _ = connection.set_nodelay(true);
        let service = service.clone();
        tokio::spawn(async move {
            // A connection that breaks is the client's to report.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(connection), service)
                .await;
        });
    }
}

/// Knows [`ACCESS_KEY`] only, and answers for others what S3 does.
struct OneKey;

#[async_trait]
impl S3Auth for OneKey {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == ACCESS_KEY {
            Ok(SECRET_KEY.into())
        } else {
            Err(s3_error!(InvalidAccessKeyId))
        }
    }
}

#[derive(Debug, Clone)]
struct Object {
    content: Bytes,
    e_tag: String,
    modified: SystemTime,
}

impl Object {
    fn new(content: Bytes) -> Self {
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

    fn e_tag(&self) -> dto::ETag {
        dto::ETag::Strong(self.e_tag.clone())
    }

    fn listed_as(&self, key: String) -> dto::Object {
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
struct State {
    buckets: BTreeMap<String, BTreeMap<String, Object>>,
    requests: Vec<(Operation, String)>,
    delay: Duration,
    faults: Vec<Fault>,
    /// The last key of each page that had a next one; a continuation token is an index here.
    page_ends: Vec<String>,
}

impl State {
    fn put(&mut self, bucket: &str, key: &str, content: Bytes) {
        self.buckets
            .entry(bucket.to_owned())
            .or_default()
            .insert(key.to_owned(), Object::new(content));
    }

    fn delete(&mut self, bucket: &str, key: &str) {
        if let Some(objects) = self.buckets.get_mut(bucket) {
            objects.remove(key);
        }
    }

    fn bucket(&self, bucket: &str) -> S3Result<&BTreeMap<String, Object>> {
        self.buckets
            .get(bucket)
            .ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))
    }

    fn object(&self, bucket: &str, key: &str) -> S3Result<&Object> {
        self.bucket(bucket)?
            .get(key)
            .ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))
    }

    /// The refusal for this request, if one is due.
    fn take_refusal(&mut self, of: Operation) -> Option<Refusal> {
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

    fn take_cut(&mut self, bucket: &str, key: &str) -> bool {
        let cut = Fault::CutBody {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        };
        let found = self.faults.iter().position(|fault| *fault == cut);
        found.map(|position| self.faults.remove(position)).is_some()
    }

    /// Lets the changes happen that wait for one of these keys to be listed.
    fn change_after_listing(&mut self, listed_in: &str, page: &[(String, Object)]) {
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

    fn list(&mut self, input: dto::ListObjectsV2Input) -> S3Result<dto::ListObjectsV2Output> {
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

#[derive(Debug, Clone, Default)]
struct Store(Arc<Mutex<State>>);

impl Store {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the request, then delays or refuses it where that was injected.
    async fn admit(&self, operation: Operation, resource: String) -> S3Result<()> {
        let (delay, refusal) = {
            let mut state = self.lock();
            state.requests.push((operation, resource));
            (state.delay, state.take_refusal(operation))
        };
        time::sleep(delay).await;
        refusal.map_or(Ok(()), |refusal| Err(refusal.into()))
    }
}

#[async_trait]
impl s3s::S3 for Store {
    async fn list_objects_v2(
        &self,
        request: S3Request<dto::ListObjectsV2Input>,
    ) -> S3Result<S3Response<dto::ListObjectsV2Output>> {
        let prefix = request.input.prefix.as_deref().unwrap_or_default();
        self.admit(
            Operation::List,
            format!("{}/{prefix}", request.input.bucket),
        )
        .await?;
        self.lock().list(request.input).map(S3Response::new)
    }

    async fn get_object(
        &self,
        request: S3Request<dto::GetObjectInput>,
    ) -> S3Result<S3Response<dto::GetObjectOutput>> {
        let dto::GetObjectInput {
            bucket,
            key,
            range,
            if_match,
            ..
        } = request.input;
        self.admit(Operation::Get, format!("{bucket}/{key}"))
            .await?;
        let mut state = self.lock();
        let object = state.object(&bucket, &key)?.clone();
        if let Some(dto::ETagCondition::ETag(expected)) = if_match
            && !expected.strong_cmp(&object.e_tag())
        {
            return Err(s3_error!(
                PreconditionFailed,
                "At least one of the pre-conditions you specified did not hold"
            ));
        }
        let total = object.content.len();
        let span = match range {
            None => 0..total,
            Some(range) => {
                let span = range.check(total as u64).map_err(|_| {
                    s3_error!(InvalidRange, "The requested range is not satisfiable")
                })?;
                span.start as usize..span.end as usize
            }
        };
        let content = object.content.slice(span.clone());
        Ok(S3Response::new(dto::GetObjectOutput {
            content_length: Some(content.len() as i64),
            content_range: range.map(|_| format!("bytes {}-{}/{total}", span.start, span.end - 1)),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(object.e_tag()),
            last_modified: Some(object.modified.into()),
            body: Some(if state.take_cut(&bucket, &key) {
                cut_body(&content)
            } else {
                s3s::Body::from(content).into()
            }),
            ..Default::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<dto::HeadObjectInput>,
    ) -> S3Result<S3Response<dto::HeadObjectOutput>> {
        let dto::HeadObjectInput { bucket, key, .. } = request.input;
        self.admit(Operation::Head, format!("{bucket}/{key}"))
            .await?;
        let object = self.lock().object(&bucket, &key)?.clone();
        Ok(S3Response::new(dto::HeadObjectOutput {
            content_length: Some(object.content.len() as i64),
            accept_ranges: Some("bytes".to_owned()),
            e_tag: Some(object.e_tag()),
            last_modified: Some(object.modified.into()),
            ..Default::default()
        }))
    }

    async fn head_bucket(
        &self,
        request: S3Request<dto::HeadBucketInput>,
    ) -> S3Result<S3Response<dto::HeadBucketOutput>> {
        self.admit(Operation::HeadBucket, request.input.bucket.clone())
            .await?;
        self.lock().bucket(&request.input.bucket)?;
        Ok(S3Response::new(dto::HeadBucketOutput::default()))
    }

    async fn put_object(
        &self,
        request: S3Request<dto::PutObjectInput>,
    ) -> S3Result<S3Response<dto::PutObjectOutput>> {
        let dto::PutObjectInput {
            bucket, key, body, ..
        } = request.input;
        self.admit(Operation::Put, format!("{bucket}/{key}"))
            .await?;
        let mut content = Vec::new();
        if let Some(mut body) = body {
            while let Some(chunk) = body
                .try_next()
                .await
                .map_err(|cause| S3Error::with_source(s3s::S3ErrorCode::IncompleteBody, cause))?
            {
                content.extend_from_slice(&chunk);
            }
        }
        let mut state = self.lock();
        state.bucket(&bucket)?;
        state.put(&bucket, &key, content.into());
        let e_tag = Some(state.object(&bucket, &key)?.e_tag());
        Ok(S3Response::new(dto::PutObjectOutput {
            e_tag,
            ..Default::default()
        }))
    }
}

/// Half of `content`, then a broken connection.
fn cut_body(content: &Bytes) -> dto::StreamingBlob {
    let half = content.slice(..content.len() / 2);
    let broken = stream::once(async {
        // Gives the server the turn in which it sends what it has: the client shall see a body.
        task::yield_now().await;
        Err(io::Error::other("cut off by an injected fault"))
    });
    dto::StreamingBlob::wrap(stream::iter([Ok(half)]).chain(broken))
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

#[cfg(test)]
mod tests {
    use aws_sdk_s3::Client;
    use aws_sdk_s3::config::retry::RetryConfig;
    use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
    use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
    use aws_sdk_s3::primitives::ByteStream;
    use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn client_with_secret(server: &S3, secret: &str, attempts: u32) -> Client {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .endpoint_url(server.endpoint())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new(
                server.access_key(),
                secret,
                None,
                None,
                "test",
            ))
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(attempts)
                    .with_initial_backoff(Duration::from_millis(1)),
            )
            .force_path_style(true)
            .build();
        Client::from_conf(config)
    }

    fn client(server: &S3) -> Client {
        client_with_secret(server, server.secret_key(), 1)
    }

    fn code<T, E: ProvideErrorMetadata>(answer: Result<T, SdkError<E>>) -> String {
        match answer {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.code().unwrap_or("no code").to_owned(),
        }
    }

    #[tokio::test]
    async fn lists_all_pages_of_a_prefix_in_order() -> Outcome {
        let server = S3::start()?;
        for number in 0..2_500 {
            server.put("bucket", &format!("in/{number:04}"), "{}");
        }
        server.put("bucket", "out", "{}");
        let mut pages = client(&server)
            .list_objects_v2()
            .bucket("bucket")
            .prefix("in/")
            .into_paginator()
            .send();
        let mut sizes = Vec::new();
        let mut keys = Vec::new();
        while let Some(page) = pages.try_next().await? {
            sizes.push((page.contents().len(), page.is_truncated()));
            keys.extend(
                page.contents()
                    .iter()
                    .filter_map(|object| object.key().map(str::to_owned)),
            );
        }
        assert_eq!(
            sizes,
            [(1_000, Some(true)), (1_000, Some(true)), (500, Some(false))]
        );
        assert_eq!(keys, server.keys("bucket")[..2_500]);
        assert_eq!(
            server.requests(),
            vec![(Operation::List, "bucket/in/".to_owned()); 3]
        );
        Ok(())
    }

    #[tokio::test]
    async fn pages_are_as_small_as_asked_and_start_where_asked() -> Outcome {
        let server = S3::start()?;
        for key in ["a", "b", "c", "d"] {
            server.put("bucket", key, key);
        }
        let list = || {
            client(&server)
                .list_objects_v2()
                .bucket("bucket")
                .max_keys(2)
        };
        let page = list().start_after("a").send().await?;
        let keys = |page: &[aws_sdk_s3::types::Object]| {
            page.iter()
                .filter_map(|object| object.key().map(str::to_owned))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (keys(page.contents()), page.is_truncated()),
            (vec!["b".into(), "c".into()], Some(true))
        );
        let page = list()
            .continuation_token(page.next_continuation_token().ok_or("no token")?)
            .send()
            .await?;
        assert_eq!(
            (keys(page.contents()), page.is_truncated()),
            (vec!["d".into()], Some(false))
        );
        assert_eq!(
            code(list().continuation_token("d").send().await),
            "InvalidArgument"
        );
        assert_eq!(code(list().delimiter("/").send().await), "NotImplemented");
        Ok(())
    }

    #[tokio::test]
    async fn spaces_and_unicode_in_keys_survive() -> Outcome {
        let server = S3::start()?;
        server.create_bucket("bucket");
        let (client, key) = (client(&server), "staging/ä b+c%20&<d>/表 \"1\".json");
        let put = client
            .put_object()
            .bucket("bucket")
            .key(key)
            .body(ByteStream::from_static(b"{\"a\": 1}"))
            .send()
            .await?;
        let listed = client
            .list_objects_v2()
            .bucket("bucket")
            .prefix("staging/ä b")
            .send()
            .await?;
        let [object] = listed.contents() else {
            return Err("not one object".into());
        };
        assert_eq!(
            (object.key(), object.size(), object.e_tag()),
            (Some(key), Some(8), put.e_tag())
        );
        assert!(object.last_modified().is_some());
        let got = client.get_object().bucket("bucket").key(key).send().await?;
        assert_eq!((got.content_length(), got.e_tag()), (Some(8), put.e_tag()));
        assert_eq!(got.body.collect().await?.to_vec(), b"{\"a\": 1}");
        let encoded = client
            .list_objects_v2()
            .bucket("bucket")
            .encoding_type("url".into())
            .send()
            .await?;
        let shown = encoded.contents().iter().find_map(|object| object.key());
        assert_eq!(
            shown,
            Some("staging/%C3%A4+b%2Bc%2520%26%3Cd%3E/%E8%A1%A8+%221%22.json")
        );
        server.delete("bucket", key);
        assert!(server.keys("bucket").is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn gets_by_e_tag_and_by_range() -> Outcome {
        let server = S3::start()?;
        server.put("bucket", "k", "0123456789");
        let get = || client(&server).get_object().bucket("bucket").key("k");
        let head = client(&server)
            .head_object()
            .bucket("bucket")
            .key("k")
            .send()
            .await?;
        let e_tag = head.e_tag().ok_or("no ETag")?;
        assert!(e_tag.starts_with('"') && e_tag.ends_with('"'), "{e_tag}");
        assert_eq!(head.content_length(), Some(10));
        assert_eq!(code(get().if_match(e_tag).send().await), "ok");
        let part = get().range("bytes=2-4").send().await?;
        assert_eq!(part.content_range(), Some("bytes 2-4/10"));
        assert_eq!(part.body.collect().await?.to_vec(), b"234");
        assert_eq!(code(get().range("bytes=10-").send().await), "InvalidRange");
        server.put("bucket", "k", "changed");
        assert_eq!(
            code(get().if_match(e_tag).send().await),
            "PreconditionFailed"
        );
        Ok(())
    }

    #[tokio::test]
    async fn names_what_does_not_exist_and_who_may_not() -> Outcome {
        let server = S3::start()?;
        server.create_bucket("bucket");
        let right = client(&server);
        assert_eq!(
            code(right.get_object().bucket("bucket").key("k").send().await),
            "NoSuchKey"
        );
        assert_eq!(
            code(right.get_object().bucket("none").key("k").send().await),
            "NoSuchBucket"
        );
        assert_eq!(
            code(right.list_objects_v2().bucket("none").send().await),
            "NoSuchBucket"
        );
        assert_eq!(
            code(right.put_object().bucket("none").key("k").send().await),
            "NoSuchBucket"
        );
        assert!(
            right
                .head_object()
                .bucket("bucket")
                .key("k")
                .send()
                .await
                .is_err_and(|error| error.into_service_error().is_not_found())
        );
        assert!(
            right
                .head_bucket()
                .bucket("none")
                .send()
                .await
                .is_err_and(|error| error.into_service_error().is_not_found())
        );
        assert_eq!(
            code(right.head_bucket().bucket("bucket").send().await),
            "ok"
        );
        let wrong = client_with_secret(&server, "wrong", 1);
        assert_eq!(
            code(wrong.list_objects_v2().bucket("bucket").send().await),
            "SignatureDoesNotMatch"
        );
        Ok(())
    }

    #[tokio::test]
    async fn refuses_as_often_as_injected() -> Outcome {
        let server = S3::start()?;
        server.put("bucket", "k", "content");
        let refuse = |operation, refusal, times| {
            server.inject(Fault::Refuse {
                operation,
                refusal,
                times,
            })
        };
        refuse(Operation::Get, Refusal::SlowDown, 1);
        refuse(Operation::Get, Refusal::InternalError, 1);
        refuse(Operation::List, Refusal::AccessDenied, u32::MAX);
        let once = client(&server);
        let mut codes = Vec::new();
        for _ in 0..3 {
            codes.push(code(
                once.get_object().bucket("bucket").key("k").send().await,
            ));
        }
        assert_eq!(codes, ["SlowDown", "InternalError", "ok"]);
        assert_eq!(
            code(once.list_objects_v2().bucket("bucket").send().await),
            "AccessDenied"
        );
        server.heal();
        assert_eq!(
            code(once.list_objects_v2().bucket("bucket").send().await),
            "ok"
        );

        server.forget_requests();
        refuse(Operation::Get, Refusal::SlowDown, 2);
        let patient = client_with_secret(&server, server.secret_key(), 3);
        assert_eq!(
            code(patient.get_object().bucket("bucket").key("k").send().await),
            "ok"
        );
        assert_eq!(
            (server.count(Operation::Get), server.count(Operation::List)),
            (3, 0)
        );
        Ok(())
    }

    #[tokio::test]
    async fn changes_an_object_between_listing_and_get() -> Outcome {
        let server = S3::start()?;
        for key in ["a", "b", "c"] {
            server.put("bucket", key, key);
        }
        let change = |key: &str, content| {
            server.inject(Fault::ChangeAfterListing {
                bucket: "bucket".into(),
                key: key.into(),
                content,
            })
        };
        change("a", Some("changed".into()));
        change("c", None);
        let client = client(&server);
        let page = client
            .list_objects_v2()
            .bucket("bucket")
            .max_keys(2)
            .send()
            .await?;
        assert_eq!(
            server.keys("bucket"),
            ["a", "b", "c"],
            "c is on the next page"
        );
        let e_tag = page
            .contents()
            .first()
            .and_then(|object| object.e_tag())
            .ok_or("no ETag")?;
        let got = client
            .get_object()
            .bucket("bucket")
            .key("a")
            .if_match(e_tag)
            .send()
            .await;
        assert_eq!(code(got), "PreconditionFailed");
        client
            .list_objects_v2()
            .bucket("bucket")
            .start_after("b")
            .send()
            .await?;
        assert_eq!(server.keys("bucket"), ["a", "b"]);
        Ok(())
    }

    #[tokio::test]
    async fn cuts_one_body_in_the_middle() -> Outcome {
        let server = S3::start()?;
        server.put("bucket", "k", vec![b'x'; 100_000]);
        server.inject(Fault::CutBody {
            bucket: "bucket".into(),
            key: "k".into(),
        });
        let get = || {
            client(&server)
                .get_object()
                .bucket("bucket")
                .key("k")
                .send()
        };
        let mut body = get().await?.body;
        let mut received = 0;
        let broken = loop {
            match body.next().await {
                Some(Ok(chunk)) => received += chunk.len(),
                end => break end,
            }
        };
        assert_eq!(received, 50_000);
        assert!(matches!(broken, Some(Err(_))), "{broken:?}");
        assert_eq!(get().await?.body.collect().await?.to_vec().len(), 100_000);
        assert_eq!(server.count(Operation::Get), 2);
        Ok(())
    }

    #[tokio::test]
    async fn delays_until_healed() -> Outcome {
        let server = S3::start()?;
        server.create_bucket("bucket");
        let client = client(&server);
        let head = || client.head_bucket().bucket("bucket").send();
        server.inject(Fault::Delay(Duration::from_secs(600)));
        assert!(
            time::timeout(Duration::from_millis(200), head())
                .await
                .is_err()
        );
        assert_eq!(server.count(Operation::HeadBucket), 1);
        server.heal();
        head().await?;
        Ok(())
    }

    #[test]
    fn starts_and_stops_in_sync_code_too() -> Outcome {
        let server = S3::start()?;
        let address = server.address;
        assert!(std::net::TcpStream::connect(address).is_ok());
        drop(server);
        let stopped = std::time::Instant::now();
        while std::net::TcpStream::connect(address).is_ok() {
            assert!(stopped.elapsed() < Duration::from_secs(10), "still listens");
        }
        Ok(())
    }
}
