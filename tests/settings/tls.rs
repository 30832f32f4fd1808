//! `DB_SSLMODE` and `DB_SSLROOTCERT` against a server with TLS, and passwords by SCRAM.

use std::sync::OnceLock;

use postgres::{Client, NoTls};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use table_loader::postgres_server::Postgres;

use super::world::private;
use crate::support::{Call, Run, World};

const HBA: &str = "\
local     all all            trust
host      all loader    all  trust
hostssl   all tls_only  all  trust
hostnossl all plain_only all trust
host      all secret    all  scram-sha-256
";

/// A server with TLS whose certificate is for `localhost`, and the authority's certificate.
struct Secure {
    server: Postgres,
    authority: String,
    certificate: String,
}

fn authority(name: &str) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params, KeyPair::generate().unwrap())
}

fn secure() -> &'static Secure {
    static SECURE: OnceLock<Secure> = OnceLock::new();
    SECURE.get_or_init(|| {
        let server = crate::support::server::start(&[]);
        let (params, key) = authority("the authority");
        let authority = params.self_signed(&key).unwrap().pem();
        let server_key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()])
            .unwrap()
            .signed_by(&server_key, &Issuer::new(params, key))
            .unwrap()
            .pem();
        let data = server.data_dir();
        std::fs::write(data.join("server.crt"), &certificate).unwrap();
        std::fs::write(data.join("server.key"), server_key.serialize_pem()).unwrap();
        private(&data.join("server.crt"), &data);
        private(&data.join("server.key"), &data);
        std::fs::write(data.join("pg_hba.conf"), HBA).unwrap();
        let mut client = Client::connect(&server.url("postgres"), NoTls).unwrap();
        for sql in [
            "CREATE ROLE tls_only SUPERUSER LOGIN",
            "CREATE ROLE plain_only SUPERUSER LOGIN",
            "CREATE ROLE secret SUPERUSER LOGIN PASSWORD 'it''s: a \\ secret'",
            "ALTER SYSTEM SET ssl = on",
            "SELECT pg_reload_conf()",
        ] {
            client.batch_execute(sql).unwrap();
        }
        let tls = || Client::connect(&server.url("postgres"), NoTls).unwrap();
        while tls()
            .query_one("SHOW ssl", &[])
            .unwrap()
            .get::<_, String>(0)
            != "on"
        {}
        Secure {
            server,
            authority,
            certificate,
        }
    })
}

const PASSWORD: &str = r"it's: a \ secret";

/// `loader migrate` as a user by `localhost`, with the authority's certificate in `ca.pem`.
fn migrate(user: &str) -> (World, Call) {
    let secure = secure();
    let world = World::empty_on(&secure.server);
    world.write("ca.pem", &secure.authority);
    let run = world
        .bare(&["migrate"])
        .env("DB_HOST", "localhost")
        .env("DB_PORT", secure.server.port().to_string())
        .env("DB_NAME", &world.database)
        .env("DB_USER", user);
    (world, run)
}

#[track_caller]
fn check(user: &str, settings: &[(&str, &str)], code: i32) -> Run {
    let (_world, run) = migrate(user);
    let run = settings.iter().fold(run, |r, (n, v)| r.env(n, v));
    run.run().exits(code)
}

#[test]
fn prefer_is_the_default_and_takes_what_there_is() {
    check("tls_only", &[], 0);
    check("plain_only", &[], 0);
    check("tls_only", &[("DB_SSLMODE", "prefer")], 0);
    World::empty().call(&["migrate"]).run().exits(0);
}

#[test]
fn disable_is_plain() {
    check("plain_only", &[("DB_SSLMODE", "disable")], 0);
    check("tls_only", &[("DB_SSLMODE", "disable")], 1).says("no encryption");
}

#[test]
fn require_encrypts_and_takes_any_certificate() {
    check("tls_only", &[("DB_SSLMODE", "require")], 0);
    check(
        "tls_only",
        &[("DB_SSLMODE", "require"), ("DB_HOST", "127.0.0.1")],
        0,
    );
    check("plain_only", &[("DB_SSLMODE", "require")], 1).says("plain_only");
}

#[test]
fn require_without_tls_on_the_server_is_refused_with_advice() {
    let world = World::empty();
    let ran = world.call(&["migrate"]).env("DB_SSLMODE", "require").run();
    ran.exits(1)
        .says("server does not support TLS; turn it on there (ssl = on)");
}

#[test]
fn verify_ca_checks_the_authority_and_not_the_name() {
    let ca = ("DB_SSLROOTCERT", "ca.pem");
    let mode = ("DB_SSLMODE", "verify-ca");
    check("tls_only", &[mode, ca], 0);
    check("tls_only", &[mode, ca, ("DB_HOST", "127.0.0.1")], 0);
    check("tls_only", &[mode, ("PGSSLROOTCERT", "ca.pem")], 0);
    check("tls_only", &[mode], 1).says("whoever signed the server's certificate is not trusted");
    // As libpq: a root certificate makes require check it.
    check("tls_only", &[("DB_SSLMODE", "require"), ca], 0);
}

#[test]
fn verify_full_checks_the_name_too() {
    let ca = ("DB_SSLROOTCERT", "ca.pem");
    let mode = ("DB_SSLMODE", "verify-full");
    check("tls_only", &[mode, ca], 0);
    check("tls_only", &[mode, ca, ("DB_HOST", "127.0.0.1")], 1)
        .says("connect by a name that is in the server's certificate");
}

#[test]
fn another_authority_is_not_trusted() {
    let (params, key) = authority("another authority");
    for mode in ["verify-ca", "verify-full", "require"] {
        let (world, run) = migrate("tls_only");
        world.write("other.pem", params.self_signed(&key).unwrap().pem());
        let run = run
            .env("DB_SSLMODE", mode)
            .env("DB_SSLROOTCERT", "other.pem");
        run.run().exits(1).says("is not trusted here");
    }
}

#[test]
fn the_servers_own_certificate_can_be_the_trusted_one() {
    for (host, mode, code) in [
        ("localhost", "verify-full", 0),
        ("127.0.0.1", "verify-full", 1),
        ("127.0.0.1", "verify-ca", 0),
    ] {
        let (world, run) = migrate("tls_only");
        world.write("own.pem", &secure().certificate);
        let run = run.env("DB_HOST", host).env("DB_SSLMODE", mode);
        run.env("DB_SSLROOTCERT", "own.pem").run().exits(code);
    }
}

#[test]
fn the_root_certificate_in_the_home_folder_is_found_as_by_psql() {
    let (world, run) = migrate("tls_only");
    world.write(".postgresql/root.crt", &secure().authority);
    run.env("PGSSLMODE", "verify-full").run().exits(0);
}

#[test]
fn a_wrong_file_of_authorities_is_named() {
    let mode = ("DB_SSLMODE", "verify-full");
    check("tls_only", &[mode, ("DB_SSLROOTCERT", "none.pem")], 1)
        .says("DB_SSLROOTCERT: none.pem: cannot read the root certificates");
    let (world, run) = migrate("tls_only");
    world.write("empty.pem", "nothing\n");
    run.env(mode.0, mode.1)
        .env("DB_SSLROOTCERT", "empty.pem")
        .run()
        .exits(1)
        .says("the root certificates in empty.pem hold no certificate");
}

#[test]
fn the_url_may_say_it_too() {
    let (world, run) = migrate("tls_only");
    let at = |parameters: &str| {
        format!(
            "postgresql://tls_only@localhost:{}/{}?{parameters}",
            secure().server.port(),
            world.database
        )
    };
    let full = at("sslmode=verify-full&sslrootcert=ca.pem");
    run.env("DATABASE_URL", full)
        .env("DB_SSLMODE", "disable")
        .run()
        .exits(0);
    let run = world
        .bare(&["migrate"])
        .env("DATABASE_URL", at("sslmode=verify-full"));
    run.run().exits(1).says("is not trusted here");
    let run = world.bare(&["migrate", "--database-url", &at("sslmode=of+course")]);
    run.run()
        .exits(1)
        .says("sslmode in the database URL is \"of+course\"");
}

#[test]
fn scram_passwords_work_with_tls_and_without() {
    for mode in ["disable", "require"] {
        let password = ("DB_PASSWORD", PASSWORD);
        check("secret", &[("DB_SSLMODE", mode), password], 0);
        check(
            "secret",
            &[("DB_SSLMODE", mode), ("PGPASSWORD", PASSWORD)],
            0,
        );
        let ran = check(
            "secret",
            &[("DB_SSLMODE", mode), ("DB_PASSWORD", "s3cret")],
            1,
        );
        assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
        ran.says("password authentication failed");
    }
    check("secret", &[], 1).says("give it with DB_PASSWORD, PGPASSWORD or ~/.pgpass");
}

#[test]
fn the_password_file_is_used_as_by_psql() {
    let line = |world: &World| {
        let port = secure().server.port();
        let password = PASSWORD.replace('\\', r"\\").replace(':', r"\:");
        format!(
            "# ours\nother:*:*:*:wrong\nlocalhost:{port}:{}:secret:{password}\n",
            world.database
        )
    };
    let (world, run) = migrate("secret");
    world.write(".pgpass", line(&world));
    private(&world.path(".pgpass"), world.folder());
    run.run().exits(0);
    let (world, run) = migrate("secret");
    world.write("elsewhere", line(&world));
    private(&world.path("elsewhere"), world.folder());
    run.env("PGPASSFILE", "elsewhere").run().exits(0);
}

#[test]
fn a_password_file_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let (world, run) = migrate("secret");
    world.write(
        ".pgpass",
        format!(
            "*:*:*:*:{}\n",
            PASSWORD.replace('\\', r"\\").replace(':', r"\:")
        ),
    );
    let readable = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(world.path(".pgpass"), readable).unwrap();
    run.run()
        .exits(1)
        .says("can be read by others and is not used; run chmod 0600");
}
