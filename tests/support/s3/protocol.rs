//! The requests of the protocol that are answered.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use s3s::{S3Error, S3Request, S3Response, S3Result, dto, s3_error};
use tokio::{task, time};

use super::fault::Operation;
use super::store::State;

#[derive(Debug, Clone, Default)]
pub struct Store(Arc<Mutex<State>>);

impl Store {
    pub fn lock(&self) -> MutexGuard<'_, State> {
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
