//! A second, independent S3 server: moto, as `scripts/needs moto` installs it. Listings with
//! several pages, ETags, names and refusals are as its authors read the S3 documentation, not we.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::world::with_batch;
use crate::support::{Call, World};

/// The server; it ends with this process, whatever happens.
struct Moto {
    port: u16,
    process: Child,
}

impl Moto {
    fn start() -> Moto {
        let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/moto/bin/python");
        let mut process = Command::new(python)
            .arg("tests/settings/second_s3.py")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{python}: {e}; scripts/needs moto installs it"));
        let mut port = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut port).unwrap();
        let port = port.trim().parse().unwrap();
        Moto { port, process }
    }

    /// Puts an object below staging/; its name is already percent-encoded.
    fn put(&self, name: &str, body: impl AsRef<[u8]>) {
        let path = format!("/fragments/staging/{name}");
        ask(self.port, "PUT", &path, body.as_ref());
    }

    fn settle(&self, run: Call, port: u16) -> Call {
        run.env("LOADER_SOURCE", "s3://fragments")
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
            .env("AWS_ACCESS_KEY_ID", "anybody")
            .env("AWS_SECRET_ACCESS_KEY", "anything")
            .env("AWS_REGION", "us-east-1")
            .env("LOADER_VALIDATION_REPORT", "off")
    }

    fn plan(&self, world: &World, batch: &str) -> Call {
        let args = ["plan", "--batch-id", batch, "--out", "plan.json"];
        self.settle(world.call(&args), self.port)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends one request, and panics where it is not done.
fn ask(port: u16, method: &str, path: &str, body: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\nConnection: close\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=anybody/20260101/us-east-1/s3/aws4_request, \
         SignedHeaders=host, Signature=unchecked\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
}

fn gzip(content: &str) -> Vec<u8> {
    let level = flate2::Compression::fast();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(content.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A way to the server on which the object at `path` becomes another one as soon as it is asked for.
fn changing_way(port: u16, path: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let way = listener.local_addr().unwrap().port();
    let pump = move |mut from: TcpStream, mut to: TcpStream, asked: Option<String>| {
        let mut chunk = vec![0; 1 << 16];
        while let Ok(n @ 1..) = from.read(&mut chunk) {
            let text = String::from_utf8_lossy(&chunk[..n]);
            if asked.as_ref().is_some_and(|asked| text.starts_with(asked)) {
                ask(port, "PUT", path, br#"{"gsid": "changed"}"#);
            }
            if to.write_all(&chunk[..n]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    };
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else { return };
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let asked = Some(format!("GET {path}?"));
            std::thread::spawn(move || pump(client, server, asked));
            std::thread::spawn(move || pump(back.0, back.1, None));
        }
    });
    way
}

#[test]
fn another_s3_server_is_read_as_well() {
    let moto = Moto::start();
    let world = with_batch();

    // On two pages, under names of all kinds, and in every form.
    world.write(
        "tables.yaml",
        "subjects: {natural_key: [gsid]}\n\"!first\": {natural_key: [gsid]}\n",
    );
    world.sql("CREATE TABLE \"!first\" (gsid text PRIMARY KEY DEFAULT 'none', sex text)");
    moto.put(
        "b1/%21first/%C3%A9chantillon%20%2B%26%3D1.json",
        r#"{"data": {"gsid": "é 1"}}"#,
    );
    moto.put("b1/subjects.csv.gz", gzip("gsid,sex\nG1,M\nG2,\n"));
    moto.put("b1/subjects/a%20b.ndjson.gz", gzip("{\"gsid\": \"G3\"}\n"));
    moto.put("b1/subjects/%E6%97%A5%E6%9C%AC.json", r#"[{"gsid": "G4"}]"#);
    let planned = moto.plan(&world, "b1").run().exits(0);
    planned
        .says("listed 1014 objects")
        .says("4 to insert, 1 to update");
    let plan = std::fs::read_to_string(world.path("plan.json")).unwrap();
    for key in [
        "staging/b1/!first/échantillon +&=1.json",
        "staging/b1/subjects/a b.ndjson.gz",
        "staging/b1/subjects/日本.json",
    ] {
        assert!(plan.contains(key), "{key}: {plan}");
    }
    world
        .call(&["apply", "plan.json", "--force"])
        .run()
        .exits(0);
    assert_eq!(
        world.rows("SELECT gsid, sex FROM subjects UNION ALL SELECT * FROM \"!first\" ORDER BY 1"),
        ["G1|M", "G2|∅", "G3|∅", "G4|∅", "é 1|∅"]
    );
    let again = moto.plan(&world, "b1").run().exits(0);
    again.says("There is nothing to apply.");

    // The ETag that it lists is the one by which it is asked for the object.
    moto.put("b2/subjects/a.json", r#"{"gsid": "G5"}"#);
    let way = changing_way(moto.port, "/fragments/staging/b2/subjects/a.json");
    let args = ["plan", "--batch-id", "b2"];
    let ran = moto.settle(world.call(&args), way).run();
    ran.exits(1)
        .says("s3://fragments/staging/b2/subjects/a.json changed between listing and reading");
    moto.settle(world.call(&args), way)
        .run()
        .exits(0)
        .says("\"changed\"");

    // What it refuses.
    let nothing = moto.plan(&world, "b3").run().exits(1);
    nothing.says("there are no fragments of batch b3");
    let elsewhere = moto.plan(&world, "b1").args(&["--source", "s3://no-such"]);
    elsewhere.run().exits(1).says("NoSuchBucket");
    ask(moto.port, "POST", "/moto-api/reset-auth", b"0");
    let stranger = moto.plan(&world, "b1").run().exits(1);
    stranger
        .says("InvalidAccessKeyId")
        .says("check AWS_ACCESS_KEY_ID");
}
