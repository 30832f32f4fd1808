//! Where credentials and regions come from, seen in what the program sends to S3.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use super::world::with_batch;
use crate::support::{Call, Run, World};

/// A server that refuses every request with one answer and keeps what it was asked.
struct Deaf {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Deaf {
    fn start(code: &'static str) -> Deaf {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                    head.push(byte[0]);
                }
                kept.lock().unwrap().push(String::from_utf8(head).unwrap());
                let body = match code {
                    "" => String::new(),
                    code => format!("<Error><Code>{code}</Code><Message>No.</Message></Error>"),
                };
                let answer = format!(
                    "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Deaf { url, heads }
    }

    /// Runs the program, which is refused; returns what it said, and what it had asked first.
    #[track_caller]
    fn refuses(&self, run: Call) -> (Run, String) {
        self.heads.lock().unwrap().clear();
        let ran = run.run().exits(1);
        let heads = self.heads.lock().unwrap();
        let first = heads.first().cloned();
        (ran, first.unwrap_or_else(|| panic!("nothing was asked")))
    }
}

fn plan(world: &World) -> Call {
    world
        .call(&["plan", "--batch-id", "b1"])
        .env("LOADER_SOURCE", "s3://curated/in")
        .env("AWS_EC2_METADATA_DISABLED", "true")
}

#[test]
fn profiles_give_credentials_region_and_endpoint() {
    let world = with_batch();
    let server = Deaf::start("InvalidToken");
    world.write(
        ".aws/config",
        format!(
            "[profile curation]\nregion = eu-west-3\nendpoint_url = {}\n",
            server.url
        ),
    );
    world.write(
        ".aws/credentials",
        "[curation]\naws_access_key_id = PROFILEKEY\naws_secret_access_key = s3cret\n\
         aws_session_token = from-the-profile\n",
    );
    let with_profile = || plan(&world).env("AWS_PROFILE", "curation");
    let (ran, head) = server.refuses(with_profile());
    // Elsewhere than at AWS the bucket stands in the path.
    assert!(
        head.starts_with("GET /curated/?list-type=2&encoding-type=url&prefix=in%2Fstaging%2Fb1%2F"),
        "{head}"
    );
    assert!(head.contains("Credential=PROFILEKEY/"), "{head}");
    assert!(head.contains("/eu-west-3/s3/aws4_request"), "{head}");
    assert!(
        head.contains("x-amz-security-token: from-the-profile"),
        "{head}"
    );
    ran.says("cannot list s3://curated/in/staging/b1/: InvalidToken: No; check AWS_ACCESS_KEY_ID");

    // Files in other places; a variable beats the profile.
    std::fs::rename(world.path(".aws"), world.path("elsewhere")).unwrap();
    let run = with_profile()
        .env("AWS_CONFIG_FILE", world.path("elsewhere/config"))
        .env(
            "AWS_SHARED_CREDENTIALS_FILE",
            world.path("elsewhere/credentials"),
        )
        .env("AWS_REGION", "ap-south-1");
    let (_, head) = server.refuses(run);
    assert!(head.contains("Credential=PROFILEKEY/"), "{head}");
    assert!(head.contains("/ap-south-1/s3/aws4_request"), "{head}");
    with_profile()
        .env("AWS_ENDPOINT_URL", &server.url)
        .run()
        .exits(1)
        .says("(AWS_PROFILE is \"curation\"); see whether ~/.aws/config or ~/.aws/credentials has this profile");
}

#[test]
fn variables_give_credentials_and_a_missing_region_is_no_obstacle() {
    let world = with_batch();
    let server = Deaf::start("ExpiredToken");
    let run = || {
        plan(&world)
            .env("AWS_ENDPOINT_URL", &server.url)
            .env("AWS_ACCESS_KEY_ID", "VARIABLEKEY")
            .env("AWS_SECRET_ACCESS_KEY", "s3cret")
            .env("AWS_SESSION_TOKEN", "from-a-variable")
    };
    let (ran, head) = server.refuses(run());
    assert!(head.contains("Credential=VARIABLEKEY/"), "{head}");
    assert!(head.contains("/us-east-1/s3/aws4_request"), "{head}");
    assert!(
        head.contains("x-amz-security-token: from-a-variable"),
        "{head}"
    );
    ran.says("ExpiredToken").says("renew the credentials");
    let (_, head) = server.refuses(run().env("AWS_DEFAULT_REGION", "sa-east-1"));
    assert!(head.contains("/sa-east-1/s3/aws4_request"), "{head}");
    let run = run()
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .env("AWS_ENDPOINT_URL_S3", &server.url);
    server.refuses(run);
}

#[test]
fn no_permission_and_no_credentials_are_told_with_what_to_do() {
    let world = with_batch();
    let keys = |run: Call, server: &Deaf| {
        run.env("AWS_ENDPOINT_URL", &server.url)
            .env("AWS_ACCESS_KEY_ID", "KEY")
            .env("AWS_SECRET_ACCESS_KEY", "s3cret")
    };
    let server = Deaf::start("AccessDenied");
    let (ran, _) = server.refuses(keys(plan(&world), &server));
    ran.says("cannot list s3://curated/in/staging/b1/: AccessDenied: No")
        .says("these credentials need s3:ListBucket and s3:GetObject on the bucket");
    let silent = Deaf::start("");
    let (ran, _) = silent.refuses(keys(plan(&world), &silent));
    ran.says("check the credentials and what they may do with the bucket");
    plan(&world)
        .env("AWS_ENDPOINT_URL", &server.url)
        .run()
        .exits(1)
        .says("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE");
}
