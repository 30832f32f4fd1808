//! The S3 server of the tests, seen by the client that the loader uses.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::support::s3::S3;
use crate::support::s3::fault::{Fault, Operation, Refusal};

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
        tokio::time::timeout(Duration::from_millis(200), head())
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
    let endpoint = server.endpoint();
    let address = endpoint.trim_start_matches("http://");
    assert!(std::net::TcpStream::connect(address).is_ok());
    drop(server);
    let stopped = std::time::Instant::now();
    while std::net::TcpStream::connect(address).is_ok() {
        assert!(stopped.elapsed() < Duration::from_secs(10), "still listens");
    }
    Ok(())
}
