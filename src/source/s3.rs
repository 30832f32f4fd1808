//! A bucket as a source.

mod http;

use std::borrow::Cow;
use std::error::Error;
use std::io::Write;
use std::time::Duration;

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::region::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::types::EncodingType;
use percent_encoding::percent_decode_str;

use super::spool::Spool;
use super::{ObjectInfo, SourceError};

/// How often an object is read whose body breaks off. Requests that fail are repeated by the client.
const ATTEMPTS: u32 = 4;

/// A bucket in which batches are delivered.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    client: Client,
    name: String,
    /// What all keys begin with: empty, or ending in `/`.
    prefix: String,
}

/// Why one attempt to read an object failed.
enum Failed {
    /// The body broke off, or was shorter than announced.
    CutOff { received: u64, found: String },
    /// Another attempt would fail too.
    For(SourceError),
}

impl Bucket {
    pub(super) async fn open(name: &str, prefix: &str) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(30))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http::client())
            .retry_config(RetryConfig::standard().with_max_attempts(5))
            .timeout_config(timeouts);
        let region = Region::from_static("us-east-1");
        let named = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let elsewhere = named("AWS_ENDPOINT_URL") || named("AWS_ENDPOINT_URL_S3");
        if elsewhere {
            // Elsewhere than at AWS there is no machine to ask for its region: do not wait for it.
            loader = loader.region(
                RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                    .or_else(ProfileFileRegionProvider::new())
                    .or_else(region.clone()),
            );
        }
        let settings = loader.load().await;
        // A profile may name an endpoint too. Other stores than AWS's own rarely have a host name
        // for each bucket.
        let elsewhere = elsewhere || settings.endpoint_url().is_some();
        let config = aws_sdk_s3::config::Builder::from(&settings)
            .region(settings.region().cloned().unwrap_or(region))
            .force_path_style(elsewhere);
        Self {
            client: Client::from_conf(config.build()),
            name: name.to_owned(),
            prefix: prefix.to_owned(),
        }
    }

    pub(super) fn display(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.name, self.prefix)
    }

    /// Pages are asked for by hand: the client's paginator takes a page that breaks off, or points
    /// to itself, for the last one.
    pub(super) async fn list(
        &self,
        prefix: &str,
        found: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<ObjectInfo>, SourceError> {
        let incomplete = |found| SourceError::Incomplete {
            target: self.display(prefix),
            found,
        };
        let mut objects = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let page = self
                .client
                .list_objects_v2()
                .bucket(&self.name)
                .prefix(format!("{}{prefix}", self.prefix))
                // XML has no way to write some of the characters that a key may have.
                .encoding_type(EncodingType::Url)
                .set_continuation_token(token.clone())
                .send()
                .await
                .map_err(|error| refused("list", self.display(prefix), &error))?;
            let is_encoded = page.encoding_type() == Some(&EncodingType::Url);
            for object in page.contents() {
                let key = object.key().and_then(|key| match is_encoded {
                    true => decoded(key),
                    false => Some(key.to_owned()),
                });
                let key = key.as_deref();
                let key = key.and_then(|key| key.strip_prefix(&self.prefix));
                let size = object.size().and_then(|size| u64::try_from(size).ok());
                let (Some(key), Some(size)) = (key, size) else {
                    return Err(incomplete(
                        "an entry has no size, or a key that was not asked for",
                    ));
                };
                let etag = object.e_tag().map(|etag| etag.trim_matches('"').to_owned());
                objects.push(ObjectInfo {
                    key: key.to_owned(),
                    size,
                    etag,
                });
            }
            found(objects.len() as u64);
            if page.is_truncated() != Some(true) {
                return Ok(objects);
            }
            let next = page.next_continuation_token.filter(|next| !next.is_empty());
            if next.is_none() || next == token {
                return Err(incomplete(
                    "there are more pages, but the store does not say how to get them",
                ));
            }
            token = next;
        }
    }

    pub(super) async fn fetch(&self, object: &ObjectInfo) -> Result<Spool, SourceError> {
        let mut attempt = 1;
        loop {
            let (received, found) = match self.attempt(object).await {
                Ok(spool) => return Ok(spool),
                Err(Failed::For(error)) => return Err(error),
                Err(Failed::CutOff { received, found }) => (received, found),
            };
            if attempt == ATTEMPTS {
                return Err(SourceError::CutOff {
                    target: self.display(&object.key),
                    received,
                    expected: object.size,
                    attempts: ATTEMPTS,
                    found,
                });
            }
            tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, object: &ObjectInfo) -> Result<Spool, Failed> {
        let target = || self.display(&object.key);
        let changed = |found| {
            Failed::For(SourceError::Changed {
                target: target(),
                found,
            })
        };
        let GetObjectOutput {
            mut body,
            content_length,
            ..
        } = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(format!("{}{}", self.prefix, object.key))
            .set_if_match(object.etag.as_ref().map(|etag| format!("\"{etag}\"")))
            .send()
            .await
            .map_err(|error| match status(&error) {
                Some(412) => changed("its ETag is another one".to_owned()),
                _ if error.code() == Some("NoSuchKey") => changed("it is gone".to_owned()),
                _ => Failed::For(refused("read", target(), &error)),
            })?;
        let announced = content_length.and_then(|length| u64::try_from(length).ok());
        if announced.is_some_and(|announced| announced != object.size) {
            return Err(changed(format!("{} bytes were listed", object.size)));
        }
        let mut spool = Spool::new();
        while let Some(chunk) = body.next().await {
            match chunk {
                // More than was listed is another object.
                Ok(chunk) if spool.received() + chunk.len() as u64 > object.size => {
                    return Err(changed(format!("{} bytes were listed", object.size)));
                }
                Ok(chunk) => spool
                    .write_all(&chunk)
                    .map_err(|error| Failed::For(SourceError::spool(&target(), error)))?,
                Err(error) => {
                    return Err(Failed::CutOff {
                        received: spool.received(),
                        found: chain(&error),
                    });
                }
            }
        }
        match spool.received() {
            received if received == object.size => Ok(spool),
            received => Err(Failed::CutOff {
                received,
                found: "the body ended".to_owned(),
            }),
        }
    }
}

/// A key of a listing with `encoding-type=url`, in which a blank may be a `+`; `None` where it is no text.
fn decoded(key: &str) -> Option<String> {
    let key = key.replace('+', " ");
    let decoded = percent_decode_str(&key).decode_utf8();
    decoded.ok().map(Cow::into_owned)
}

/// What the service, or the connection to it, said, and what to do about it.
fn refused<E>(action: &'static str, target: String, error: &SdkError<E>) -> SourceError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (found, advice) = match error {
        SdkError::ServiceError(refusal) => {
            let about = refusal.err();
            let status = refusal.raw().status().as_u16();
            let code = about
                .code()
                .map_or_else(|| format!("HTTP status {status}"), str::to_owned);
            let advice = advice(&code, status);
            match about.message() {
                Some(message) => (format!("{code}: {}", message.trim_end_matches('.')), advice),
                None => (code, advice),
            }
        }
        _ => {
            let found = chain(error);
            let profile = std::env::var("AWS_PROFILE").ok().filter(|p| !p.is_empty());
            match (found.contains("redential"), profile) {
                (false, _) => (
                    found,
                    "check the network and AWS_ENDPOINT_URL, and run it again",
                ),
                // The client does not say that there is no such profile.
                (true, Some(profile)) => (
                    format!("{found} (AWS_PROFILE is {profile:?})"),
                    "see whether ~/.aws/config or ~/.aws/credentials has this profile, or sign in (aws sso login)",
                ),
                (true, None) => (
                    found,
                    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or sign in (aws sso login)",
                ),
            }
        }
    };
    SourceError::Refused {
        action,
        target,
        found,
        advice,
    }
}

fn advice(code: &str, status: u16) -> &'static str {
    match code {
        "AccessDenied" | "AllAccessDisabled" => {
            "these credentials need s3:ListBucket and s3:GetObject on the bucket"
        }
        "NoSuchBucket" => "check the name of the bucket and AWS_ENDPOINT_URL",
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            "renew the credentials (aws sso login) and run it again"
        }
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" => {
            "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
        }
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => "set AWS_REGION to the bucket's region",
        "RequestTimeTooSkewed" => "set this machine's clock",
        "InvalidObjectState" => "the object is archived: have it restored first",
        _ if status == 403 => "check the credentials and what they may do with the bucket",
        _ if (300..400).contains(&status) => "set AWS_REGION to the bucket's region",
        _ if status >= 500 => "the store has a problem: run it again later",
        _ => "check the name of the bucket and AWS_ENDPOINT_URL",
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error
        .raw_response()
        .map(|response| response.status().as_u16())
}

/// An error and its causes in one line, each said once, without those that say nothing.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        let line = line.trim_end_matches(". Attempted:");
        let empty = matches!(line, "" | "dispatch failure" | "io error" | "other");
        if !empty && !parts.iter().any(|part| part.contains(line)) {
            parts.push(line.to_owned());
        }
    }
    parts.join(": ")
}
