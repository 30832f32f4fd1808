//! How the database is reached: where it is, as whom, and with how much TLS.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Error, Result};
use crate::pg::failed;
use crate::text::escape;

/// How much TLS a connection must have, named as by PostgreSQL's own programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// None.
    Disable,
    /// Encrypted where the server can; the server is not verified.
    #[default]
    Prefer,
    /// Encrypted; the server is not verified unless a root certificate is given.
    Require,
    /// Encrypted, and the server's certificate is signed by a trusted authority.
    VerifyCa,
    /// As [`SslMode::VerifyCa`], and the certificate is for the host that was connected to.
    VerifyFull,
}

impl SslMode {
    /// The modes' names, as they are allowed in settings.
    pub const NAMES: &str = "disable, prefer, require, verify-ca or verify-full";

    /// The mode of that name.
    pub fn named(name: &str) -> Option<SslMode> {
        Some(match name {
            "disable" => SslMode::Disable,
            "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            _ => return None,
        })
    }

    /// The mode that a setting names (`given`: the setting, its value), or the default where none
    /// does. The operating system's authorities sign for anybody, so that the name must be right
    /// too: with [`Roots::System`] nothing less than [`SslMode::VerifyFull`] will do, as in libpq.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where the value names no mode, or less than `roots` need.
    pub fn chosen(given: Option<(&str, &str)>, roots: &Roots) -> Result<SslMode> {
        let system = *roots == Roots::System;
        let Some((setting, value)) = given else {
            return Ok(if system {
                SslMode::VerifyFull
            } else {
                SslMode::default()
            });
        };
        let value = value.trim();
        match SslMode::named(value) {
            Some(mode) if system && mode != SslMode::VerifyFull => Err(Error::config(format!(
                "{setting} is \"{value}\", but the operating system's certificates (sslrootcert=system) need \
                 verify-full"
            ))),
            Some(mode) => Ok(mode),
            None => Err(Error::config(format!(
                "{setting} is \"{}\", which is none of {}",
                escape(value),
                SslMode::NAMES
            ))),
        }
    }
}

/// Whose signatures are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Roots {
    /// `~/.postgresql/root.crt` where that exists, else the operating system's.
    #[default]
    Default,
    /// The operating system's.
    System,
    /// Those in this PEM file, and no others.
    File(PathBuf),
}

impl Roots {
    /// Those that `sslrootcert` names: a file, or `system`.
    pub fn named(setting: Option<&str>) -> Roots {
        match setting {
            None => Roots::Default,
            Some("system") => Roots::System,
            Some(file) => Roots::File(PathBuf::from(file)),
        }
    }
}

/// A database and the way to it. Its `Debug` form does not show the password.
#[derive(Clone)]
pub struct Database {
    config: Config,
    mode: SslMode,
    tls: Option<MakeRustlsConnect>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("place", &self.place())
            .field("user", &self.config.get_user())
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Database {
    /// The database that `config` names. Certificates are read now, so that a missing file is told
    /// before anything is done.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where trusted certificates are needed and cannot be read.
    pub fn new(mut config: Config, mode: SslMode, roots: &Roots) -> Result<Database> {
        let hosts = config.get_hosts();
        let local = !hosts.is_empty() && hosts.iter().all(is_socket);
        // Servers offer no TLS on a socket of this machine, and libpq asks for none there.
        let mode = if local { SslMode::Disable } else { mode };
        let mode = match (mode, roots) {
            // As libpq: who gives a root certificate wants it to be used.
            (SslMode::Require, Roots::File(_)) => SslMode::VerifyCa,
            _ => mode,
        };
        config.ssl_mode(match mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            _ => tokio_postgres::config::SslMode::Require,
        });
        let tls = match mode {
            SslMode::Disable => None,
            _ => Some(MakeRustlsConnect::new(client_config(mode, roots)?)),
        };
        Ok(Database { config, mode, tls })
    }

    /// Host, port and database, for messages.
    pub fn place(&self) -> String {
        let config = &self.config;
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "localhost".into(),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let database = config
            .get_dbname()
            .or(config.get_user())
            .unwrap_or("(default database)");
        format!("{host}:{port}/{database}")
    }

    /// The way to it, for more settings of a connection.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A connection with `config`, which is [`Database::config`] with more settings; it is driven
    /// by a task of its own.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database) naming host, port and database; never the password.
    pub async fn connect(&self, config: &Config) -> Result<Client> {
        let Some(tls) = &self.tls else {
            return self.plain(config).await;
        };
        match config.connect(tls.clone()).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                Ok(client)
            }
            Err(e) if self.mode == SslMode::Prefer && fails_for_tls(&e) => {
                let mut plain = config.clone();
                plain.ssl_mode(tokio_postgres::config::SslMode::Disable);
                self.plain(&plain).await
            }
            Err(e) => Err(self.explain(&e)),
        }
    }

    async fn plain(&self, config: &Config) -> Result<Client> {
        let (client, connection) = config.connect(NoTls).await.map_err(|e| self.explain(&e))?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Why there is no connection, and what to do about it.
    fn explain(&self, e: &tokio_postgres::Error) -> Error {
        let doing = format!("connecting to {}", self.place());
        if e.as_db_error().is_some() {
            return failed(&doing, e);
        }
        let error = failed(&doing, e);
        let text = error.to_string();
        let advice = match tls_error(e) {
            Some(rustls::Error::InvalidCertificate(why)) => certificate_advice(why),
            Some(_) => "",
            None if text.contains("server does not support TLS") => {
                "; turn it on there (ssl = on), or do without by DB_SSLMODE=prefer"
            }
            None if text.contains("password missing") => {
                "; the server asks for one: give it with DB_PASSWORD, PGPASSWORD or ~/.pgpass"
            }
            None => "",
        };
        // A wrong certificate or password is wrong the next time too.
        let lasting = [
            "error performing TLS",
            "invalid configuration",
            "authentication error",
        ];
        let error = Error::database(format!("{text}{advice}"));
        match lasting.iter().any(|l| text.contains(l)) {
            true => error,
            false => error.transient(),
        }
    }
}

impl From<Config> for Database {
    /// Without TLS.
    fn from(mut config: Config) -> Database {
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        Database {
            config,
            mode: SslMode::Disable,
            tls: None,
        }
    }
}

fn is_socket(host: &Host) -> bool {
    match host {
        Host::Tcp(_) => false,
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

/// Whether the server might take a plain connection where it refused one with TLS: libpq tries it.
fn fails_for_tls(e: &tokio_postgres::Error) -> bool {
    tls_error(e).is_some() || e.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

fn tls_error(e: &tokio_postgres::Error) -> Option<&rustls::Error> {
    let cause = std::error::Error::source(e)?.downcast_ref::<std::io::Error>()?;
    cause.get_ref()?.downcast_ref()
}

fn certificate_advice(why: &CertificateError) -> &'static str {
    match why {
        CertificateError::UnknownIssuer => {
            "; whoever signed the server's certificate is not trusted here: name the file of the authority's \
             certificate with DB_SSLROOTCERT"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "; connect by a name that is in the server's certificate (as subjectAltName), or check the signature \
             only by DB_SSLMODE=verify-ca"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "; the server needs a new certificate"
        }
        _ => "",
    }
}

fn client_config(mode: SslMode, roots: &Roots) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match mode {
        SslMode::VerifyCa | SslMode::VerifyFull => {
            let trusted = trusted(roots)?;
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(trusted.iter().cloned());
            let inner =
                WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
                    .build()
                    .map_err(|e| {
                        Error::config(format!("preparing TLS with {}", describe(roots)))
                            .caused_by(e)
                    })?;
            Arc::new(Verified {
                inner,
                trusted,
                name: mode == SslMode::VerifyFull,
            })
        }
        _ => Arc::new(Unverified(provider.clone())),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::config("preparing TLS").caused_by(e))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

fn describe(roots: &Roots) -> String {
    match roots {
        Roots::File(path) => format!("the root certificates in {}", path.display()),
        _ => "the system's root certificates".into(),
    }
}

fn trusted(roots: &Roots) -> Result<Vec<CertificateDer<'static>>> {
    let found = match roots {
        Roots::File(path) => from_file(path)?,
        Roots::Default => match default_file().filter(|f| f.exists()) {
            Some(file) => from_file(&file)?,
            None => rustls_native_certs::load_native_certs().certs,
        },
        Roots::System => rustls_native_certs::load_native_certs().certs,
    };
    if found.is_empty() {
        return Err(Error::config(format!(
            "preparing TLS: {} hold no certificate; name a PEM file with the authority's certificate with \
             DB_SSLROOTCERT",
            describe(roots)
        )));
    }
    Ok(found)
}

fn from_file(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let wrong = |e: rustls::pki_types::pem::Error| {
        Error::config(format!(
            "DB_SSLROOTCERT: cannot read the root certificates in {}: {e}; a PEM file is needed",
            path.display()
        ))
    };
    CertificateDer::pem_file_iter(path)
        .map_err(wrong)?
        .collect::<Result<_, _>>()
        .map_err(wrong)
}

/// Where PostgreSQL's own programs look.
fn default_file() -> Option<PathBuf> {
    std::env::home_dir().map(|home| home.join(".postgresql/root.crt"))
}

/// Takes any certificate: encryption against those who only listen.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // Who is not known cannot prove to be it; and version 1 certificates, which PostgreSQL's
    // manual used to recommend, cannot be read for their key here.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes certificates that a trusted authority signed and, with `name`, that are for the host.
#[derive(Debug)]
struct Verified {
    inner: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
    name: bool,
}

impl ServerCertVerifier for Verified {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // A server's self-signed certificate may itself be the one that is trusted; webpki does
        // not take an authority's certificate for a server's.
        if self.trusted.iter().any(|t| t == certificate) {
            if self.name {
                rustls::client::verify_server_name(
                    &ParsedCertificate::try_from(certificate)?,
                    host,
                )?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        let verified = self
            .inner
            .verify_server_cert(certificate, chain, host, ocsp, now);
        match verified {
            // The name is compared last: all else is right.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
