//! How the database is reached: where it is, as whom, and with how much TLS.

mod mode;
mod tls;

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rustls::CertificateError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::unconstrained;
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Error, Result};
use crate::pg::failed;

pub use mode::{Roots, SslMode};

/// How long a pipe with certificates is waited for, where nothing else is said of connecting.
const PATIENCE: Duration = Duration::from_secs(60);

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
        let patience = config.get_connect_timeout().copied().unwrap_or(PATIENCE);
        let tls = match mode {
            SslMode::Disable => None,
            _ => Some(MakeRustlsConnect::new(tls::client_config(
                mode, roots, patience,
            )?)),
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
    pub(crate) async fn connect(&self, config: &Config) -> Result<Connected> {
        let Some(tls) = &self.tls else {
            return self.plain(config).await;
        };
        match config.connect(tls.clone()).await {
            Ok((client, connection)) => Ok(Connected::driving(client, connection)),
            Err(e) if self.mode == SslMode::Prefer && fails_for_tls(&e) => {
                let mut plain = config.clone();
                plain.ssl_mode(tokio_postgres::config::SslMode::Disable);
                self.plain(&plain).await
            }
            Err(e) => Err(self.explain(&e)),
        }
    }

    async fn plain(&self, config: &Config) -> Result<Connected> {
        let (client, connection) = config.connect(NoTls).await.map_err(|e| self.explain(&e))?;
        Ok(Connected::driving(client, connection))
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
        if lasting.iter().any(|l| text.contains(l)) {
            error
        } else {
            error.transient()
        }
    }
}

/// A connection that is driven by a task of its own.
pub(crate) struct Connected {
    /// Dropped before what drives it.
    pub(crate) client: Client,
    pub(crate) driver: Driver,
    /// Whether the server said that a commit was not confirmed by the standbys that it has to wait for.
    pub(crate) unreplicated: Arc<AtomicBool>,
}

/// What in PostgreSQL says so, in every language.
const NOT_CONFIRMED: &str = "SyncRepWaitForLSN";

impl Connected {
    fn driving<S, T>(client: Client, mut connection: Connection<S, T>) -> Connected
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let unreplicated = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&unreplicated);
        let driver = Driver::new(async move {
            let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notice(notice) = message
                    && notice.routine() == Some(NOT_CONFIRMED)
                {
                    heard.store(true, Ordering::SeqCst);
                }
            }
        });
        tokio::spawn({
            let driven = Arc::clone(&driver.0);
            poll_fn(move |cx| go_on(&driven, Some(cx)))
        });
        Connected {
            client,
            driver,
            unreplicated,
        }
    }
}

/// What sends and receives for a connection. When it is dropped, behind the connection's client, the server is told
/// so at once, and gives up what is locked: the thread that would say so may do something else for long.
pub(crate) struct Driver(Arc<Mutex<Driven>>);

#[derive(Default)]
struct Driven {
    /// Until it has ended.
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Of the task that drives it.
    waker: Option<Waker>,
}

impl Driver {
    fn new(work: impl Future<Output = ()> + Send + 'static) -> Driver {
        Driver(Arc::new(Mutex::new(Driven {
            work: Some(Box::pin(work)),
            waker: None,
        })))
    }
}

/// Does what can be done now: in the task that drives the connection, or for that.
fn go_on(driven: &Mutex<Driven>, task: Option<&Context<'_>>) -> Poll<()> {
    let mut driven = driven.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(task) = task {
        driven.waker = Some(task.waker().clone());
    }
    let waker = driven.waker.clone();
    let (Some(work), Some(waker)) = (&mut driven.work, waker) else {
        return Poll::Ready(());
    };
    let work = pin!(unconstrained(work));
    let done = work.poll(&mut Context::from_waker(&waker));
    if done.is_ready() {
        driven.work = None;
    }
    done
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = go_on(&self.0, None);
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
