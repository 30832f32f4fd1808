//! Which database is meant: the URL, then `DB_*`, then what PostgreSQL's own programs look at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::environment::Environment;
use super::{pgpass, warn};
use crate::error::{Error, Result};
use crate::pg::url::{self, FORM};
use crate::pg::{Database, Roots, SslMode};
use crate::source::pipe;

/// Where PostgreSQL listens.
const USUAL_PORT: u16 = 5432;

/// How long a password file that is no file after all is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The database that the URL and the variables name. What the URL leaves out is taken from `DB_*`,
/// then from `PG*`, then from the password file.
pub fn database(url: Option<&str>, env: &Environment) -> Result<Database> {
    let named = ["DB_HOST", "DB_NAME", "PGHOST", "PGDATABASE"];
    if url.is_none() && env.first(&named)?.is_none() {
        return Err(Error::config(format!(
            "no database is given: name it with --database-url or DATABASE_URL ({FORM}), or with DB_HOST, DB_NAME \
             and DB_USER"
        )));
    }
    pool(env)?;
    let (mut config, options) = match url {
        Some(url) => {
            // What is not asked for need be no port at all: some environments have addresses there.
            let names_port = url::with_port(url, USUAL_PORT) == url;
            let parsed = match names_port {
                true => url::parse(url)?,
                false => url::parse(&url::with_port(url, port(env)?))?,
            };
            unused(&parsed.0, env)?;
            parsed
        }
        None => (Config::new(), BTreeMap::new()),
    };
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        match env.first(&["DB_HOST", "PGHOST"])? {
            Some((_, hosts)) => {
                for host in hosts.split(',') {
                    config.host(host.trim());
                }
            }
            None => {
                config.host(default_host());
            }
        }
    }
    if config.get_ports().is_empty() {
        config.port(port(env)?);
    }
    if config.get_user().is_none()
        && let Some((_, user)) = env.first(&["DB_USER", "PGUSER", "USER", "LOGNAME"])?
    {
        config.user(user);
    }
    if config.get_dbname().is_none()
        && let Some((_, name)) = env.first(&["DB_NAME", "PGDATABASE"])?
    {
        config.dbname(name);
    }
    if config.get_options().is_none()
        && let Some((_, options)) = env.first(&["PGOPTIONS"])?
    {
        config.options(options);
    }
    if config.get_connect_timeout().is_none()
        && let Some(seconds) = env.number(&["PGCONNECT_TIMEOUT"], "a number of seconds")?
        && seconds > 0
    {
        config.connect_timeout(Duration::from_secs(seconds));
    }
    if config.get_password().is_none() {
        let given = env.first(&["DB_PASSWORD", "PGPASSWORD"])?;
        let found = match given {
            Some((_, password)) => Some(password),
            None => from_file(&config, options.get("passfile"), env)?,
        };
        if let Some(password) = found {
            config.password(password);
        }
    }
    let (mode, roots) = tls(&options, env)?;
    Database::new(config, mode, &roots)
}

/// The port that the variables name, or else the usual one.
fn port(env: &Environment) -> Result<u16> {
    let port: Option<std::num::NonZeroU16> =
        env.number(&["DB_PORT", "PGPORT"], "a port number (1 to 65535)")?;
    Ok(port.map_or(USUAL_PORT, Into::into))
}

/// Says which variables are not used because the URL says otherwise.
fn unused(config: &Config, env: &Environment) -> Result<()> {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    });
    let hosts: Vec<String> = hosts.collect();
    let ports = config.get_ports().iter().map(ToString::to_string);
    let ports: Vec<String> = ports.collect();
    let named = [
        ("DB_HOST", (!hosts.is_empty()).then(|| hosts.join(","))),
        ("DB_PORT", (!ports.is_empty()).then(|| ports.join(","))),
        ("DB_NAME", config.get_dbname().map(str::to_owned)),
        ("DB_USER", config.get_user().map(str::to_owned)),
    ];
    for (variable, named) in named {
        if let (Some(named), Some(value)) = (named, env.text(variable)?)
            && named != value
        {
            warn(format_args!(
                "{variable} is {value} and is not used: the database URL says {named}; take it out of the URL to use \
                 the variable"
            ));
        }
    }
    if config.get_password().is_some() && env.text("DB_PASSWORD")?.is_some() {
        let given = env.text("DB_PASSWORD")?.map(String::into_bytes);
        if given.as_deref() != config.get_password() {
            warn("DB_PASSWORD is not used: the database URL has another password");
        }
    }
    Ok(())
}

/// `DB_POOL_MIN` and `DB_POOL_MAX` are checked, so that a mistake in them is found here too.
fn pool(env: &Environment) -> Result<()> {
    let size = |name| env.number::<u32>(&[name], "a whole number");
    match (size("DB_POOL_MIN")?, size("DB_POOL_MAX")?) {
        (_, Some(0)) => Err(Error::config(
            "DB_POOL_MAX is 0, and one connection is needed",
        )),
        (Some(min), Some(max)) if min > max => Err(Error::config(format!(
            "DB_POOL_MIN is {min}, which is more than DB_POOL_MAX ({max})"
        ))),
        _ => Ok(()),
    }
}

fn tls(options: &BTreeMap<String, String>, env: &Environment) -> Result<(SslMode, Roots)> {
    let roots = match options.get("sslrootcert") {
        Some(file) => Some(file.clone()),
        None => env
            .first(&["DB_SSLROOTCERT", "PGSSLROOTCERT"])?
            .map(|(_, file)| file),
    };
    let roots = Roots::named(roots.as_deref());
    let mode = match options.get("sslmode") {
        Some(mode) => Some((url::IN_URL, mode.clone())),
        None => env.first(&["DB_SSLMODE", "PGSSLMODE"])?,
    };
    let given = mode.as_ref().map(|(name, value)| (*name, value.as_str()));
    Ok((SslMode::chosen(given, &roots)?, roots))
}

/// Where PostgreSQL's own programs connect to when no host is named.
fn default_host() -> &'static str {
    ["/var/run/postgresql", "/tmp"]
        .into_iter()
        .find(|folder| Path::new(folder).join(".s.PGSQL.5432").exists())
        .unwrap_or("localhost")
}

fn from_file(config: &Config, named: Option<&String>, env: &Environment) -> Result<Option<String>> {
    let file = match named {
        Some(file) => Some(PathBuf::from(file)),
        None => match env.first(&["PGPASSFILE"])? {
            Some((_, file)) => Some(PathBuf::from(file)),
            None => std::env::home_dir().map(|home| home.join(".pgpass")),
        },
    };
    let Some(file) = file.filter(|f| f.exists()) else {
        return Ok(None);
    };
    if let Some(refusal) = pgpass::refusal(&file) {
        warn(refusal);
        return Ok(None);
    }
    let text = pipe::text(&file, "the password file", PATIENCE)?;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.as_str(),
        _ => "localhost",
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let user = config.get_user().unwrap_or_default();
    let wanted = pgpass::Wanted {
        host,
        port: &port.to_string(),
        database: config.get_dbname().unwrap_or(user),
        user,
    };
    Ok(pgpass::password(&text, &wanted))
}
