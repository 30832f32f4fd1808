//! TLS as it is asked for: with whom, and how the server is verified.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::{Roots, SslMode};
use crate::error::{Error, Result};
use crate::source::pipe;

/// How the server is verified. A pipe with certificates is waited for `patience` long at a time.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where trusted certificates are needed and cannot be read.
pub(super) fn client_config(
    mode: SslMode,
    roots: &Roots,
    patience: Duration,
) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match mode {
        SslMode::VerifyCa | SslMode::VerifyFull => {
            let trusted = trusted(roots, patience)?;
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(trusted.iter().cloned());
            let inner =
                WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
                    .build()
                    .map_err(|e| {
                        Error::config(format!("preparing TLS with {}: {e}", describe(roots)))
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
        .map_err(|e| Error::config(format!("preparing TLS: {e}")))?
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

fn trusted(roots: &Roots, patience: Duration) -> Result<Vec<CertificateDer<'static>>> {
    let found = match roots {
        Roots::File(path) => from_file(path, patience)?,
        Roots::Default => match default_file().filter(|f| f.exists()) {
            Some(file) => from_file(&file, patience)?,
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

fn from_file(path: &Path, patience: Duration) -> Result<Vec<CertificateDer<'static>>> {
    let wrong = |e: &dyn std::fmt::Display| {
        Error::config(format!(
            "DB_SSLROOTCERT: cannot read the root certificates in {}: {e}; a PEM file is needed",
            path.display()
        ))
    };
    let text = pipe::text(path, "the root certificates", patience)
        .map_err(|e| Error::new(e.kind(), format!("DB_SSLROOTCERT: {e:#}")))?;
    CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| wrong(&e))
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
