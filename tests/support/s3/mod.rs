//! An S3 server in this process: the real protocol, signatures included, over a store in memory.

pub mod fault;
mod protocol;
mod store;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;
use std::{fmt, io};

use async_trait::async_trait;
use bytes::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use tokio::runtime::{self, Runtime};
use tokio::time;

use fault::{Fault, Operation};
use protocol::Store;

const ACCESS_KEY: &str = "test-access-key";
const SECRET_KEY: &str = "test-secret-key";
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
    pub fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("test-s3")
            .enable_all()
            .build()?;
        let (address, listener) = {
            let _inside = runtime.enter();
            listen()?
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
