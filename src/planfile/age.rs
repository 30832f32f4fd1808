//! For whom a plan's sensitive values are encrypted, and the keys that open it (age-encryption.org).

use std::io::{BufRead, Write};

use age::x25519::{Identity, Recipient};
use age::{DecryptError, Decryptor, Encryptor};

use crate::error::{Error, Result};

/// Public keys `age1…` of those who may read the sensitive values of a plan.
#[derive(Debug, Clone)]
pub struct Recipients {
    names: Vec<String>,
    keys: Vec<Recipient>,
}

impl Recipients {
    /// The keys in `texts`, each once, in this order.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where one is not a key, or there is none.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Recipients> {
        let (mut names, mut keys) = (Vec::new(), Vec::new());
        for text in texts {
            if text.starts_with("AGE-SECRET-KEY-") {
                return Err(Error::config(
                    "a secret key (AGE-SECRET-KEY-…) was given as a recipient; give its public key, which begins \
                     with age1, and consider the secret one known",
                ));
            }
            let key: Recipient = text.parse().map_err(|why| {
                Error::config(format!(
                    "\"{}\" is not a recipient: {why}; it must be a public key as age-keygen prints it, age1…",
                    crate::text::escape(text)
                ))
            })?;
            let name = key.to_string();
            if !names.contains(&name) {
                names.push(name);
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Err(Error::config("there is no recipient"));
        }
        Ok(Recipients { names, keys })
    }

    /// The keys as text.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What `make` writes goes to `out` encrypted.
    pub(super) fn encrypt(
        &self,
        out: impl Write,
        make: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let failed = |e: std::io::Error| Error::io("encrypting the plan", e);
        let keys = self.keys.iter().map(|k| k as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(keys)
            .map_err(|e| Error::config("encrypting the plan").caused_by(e))?;
        let mut stream = encryptor.wrap_output(out).map_err(failed)?;
        make(&mut stream)?;
        stream.finish().map(drop).map_err(failed)
    }
}

/// Secret keys that open plans.
pub struct Identities {
    name: String,
    keys: Vec<Identity>,
}

impl Identities {
    /// The keys in `text`, one a line, as `age-keygen` writes them; `name` is for messages.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) naming the line that is no key, never what stands in it.
    pub fn parse(name: &str, text: &str) -> Result<Identities> {
        if text.starts_with("age-encryption.org/") || text.starts_with("-----BEGIN AGE") {
            return Err(Error::config(format!(
                "{name} is itself encrypted; decrypt it first: age --decrypt {name}"
            )));
        }
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            keys.push(line.parse().map_err(|_| {
                Error::config(format!(
                    "{name}, line {}: not a secret key as age-keygen writes it (AGE-SECRET-KEY-1…)",
                    number + 1
                ))
            })?);
        }
        if keys.is_empty() {
            return Err(Error::config(format!("{name} has no secret key in it")));
        }
        Ok(Identities {
            name: name.to_owned(),
            keys,
        })
    }

    /// Where they are from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes to `out` what `sealed` holds. `refused` makes the error where it does not open: with
    /// the reason, or without where these are the wrong keys.
    pub(super) fn decrypt(
        &self,
        sealed: impl BufRead,
        out: &mut impl Write,
        refused: &dyn Fn(Option<&str>) -> Error,
    ) -> Result<()> {
        let bad = |e: DecryptError| match e {
            DecryptError::NoMatchingKeys => refused(None),
            other => refused(Some(&other.to_string())),
        };
        let keys = self.keys.iter().map(|k| k as &dyn age::Identity);
        let decryptor = Decryptor::new_buffered(sealed).map_err(bad)?;
        let mut plain = decryptor.decrypt(keys).map_err(bad)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = std::io::Read::read(&mut plain, &mut buffer)
                .map_err(|e| refused(Some(&e.to_string())))?;
            if n == 0 {
                return Ok(());
            }
            out.write_all(&buffer[..n])
                .map_err(|e| Error::io("writing the plan to a temporary file", e))?;
        }
    }
}
