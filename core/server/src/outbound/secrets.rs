//! Secrets by name: one file each in the data folder, read at every use, given to nobody but the hosts that the file names.
//!
//! ```text
//! rapport secret set ──▶ DATA/secrets/NAME (0600): value, hosts ──read at use──▶ a header of a call to one of the hosts
//! ```

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use rapport_model::nearest::nearest;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use url::Host;

use crate::secret_file;

/// The folder of secrets in the data folder.
pub const SECRETS_FOLDER: &str = "secrets";
/// Characters of a secret's name.
const NAME_CHARS_MAX: usize = 64;
/// Bytes of a secret: a shorter one could not be told from any other text that comes back, a longer one fits no header.
const VALUE_BYTES: std::ops::RangeInclusive<usize> = 8..=8_192;
/// Bytes of a file.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The secrets of a workspace.
#[derive(Debug, Clone)]
pub struct Secrets {
    folder: PathBuf,
}

/// A secret with the hosts that it may go to. Shows itself without its value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedSecret {
    value: String,
    hosts: Vec<String>,
}

impl fmt::Debug for NamedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedSecret").field("value", &"***").field("hosts", &self.hosts).finish()
    }
}

/// What is wrong with a secret, or with what was to become one. Never says its value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The name is none.
    #[error("`{0}` is no name of a secret: it has lower-case letters, digits, `-` and `_`, at most 64")]
    Name(String),
    /// There is none of this name.
    #[error("there is no secret `{name}`{hint}")]
    Missing {
        /// The name.
        name: String,
        /// The nearest name, or how to make it.
        hint: String,
    },
    /// The value cannot be one.
    #[error("the secret's value {0}")]
    Value(&'static str),
    /// A host cannot be one.
    #[error("`{0}` is no host: write the name or the address alone, as in `api.payments.example`")]
    Host(String),
    /// It has no host to go to.
    #[error("a secret needs a host that it may go to: --host api.payments.example")]
    NoHost,
    /// The file holds something else.
    #[error("the secret file `{path}` does not hold a value and hosts: set the secret again")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("the secret file `{path}`: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl NamedSecret {
    /// A secret of `value`, for `hosts`.
    ///
    /// # Errors
    /// [`SecretError`] if the value is too short to be kept out of answers, or fits no header, or a host is none.
    pub fn new(value: &str, hosts: &[String]) -> Result<Self, SecretError> {
        if !VALUE_BYTES.contains(&value.len()) {
            return Err(SecretError::Value("must have 8 to 8192 bytes"));
        }
        if value.chars().any(char::is_control) {
            return Err(SecretError::Value("must be one line without control characters"));
        }
        if hosts.is_empty() {
            return Err(SecretError::NoHost);
        }
        let hosts = hosts.iter().map(|host| host_of(host)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { value: value.to_owned(), hosts })
    }

    /// The value, for the one who sends it.
    pub(super) fn reveal(&self) -> &str {
        &self.value
    }

    /// HMAC-SHA-256 of `message` with the value as its key.
    pub(super) fn hmac(&self, message: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.value.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    }

    /// The hosts that it may go to.
    #[must_use]
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Whether it may go to `host`, written without brackets and last dot.
    #[must_use]
    pub fn may_go_to(&self, host: &str) -> bool {
        self.hosts.iter().any(|own| own == host)
    }
}

impl Secrets {
    /// The secrets in the data folder `data`.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self { folder: data.join(SECRETS_FOLDER) }
    }

    /// Keeps `secret` under `name`, in place of an older one. A running server uses it from its next call on.
    ///
    /// # Errors
    /// [`SecretError`] if the name is none, or the file cannot be written.
    pub fn set(&self, name: &str, secret: &NamedSecret) -> Result<(), SecretError> {
        let path = self.path(name)?;
        let failed = |source| SecretError::File { path: path.clone(), source };
        let text = toml::to_string(secret).map_err(|e| failed(io::Error::other(e.to_string())))?;
        secret_file::make_folder(&self.folder).map_err(failed)?;
        secret_file::write(&path, text.as_bytes()).map_err(failed)
    }

    /// The secret `name`.
    ///
    /// # Errors
    /// [`SecretError`] if there is none, or its file is damaged.
    pub fn read(&self, name: &str) -> Result<NamedSecret, SecretError> {
        let path = self.path(name)?;
        let size = match path.metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(self.missing(name)),
            Err(source) => return Err(SecretError::File { path, source }),
            Ok(metadata) => metadata.len(),
        };
        if size > FILE_BYTES_MAX {
            return Err(SecretError::Damaged { path });
        }
        let text = std::fs::read_to_string(&path).map_err(|source| SecretError::File { path: path.clone(), source })?;
        let found: Result<NamedSecret, _> = toml::from_str(&text);
        let checked = found.ok().and_then(|found| NamedSecret::new(&found.value, &found.hosts).ok());
        checked.ok_or(SecretError::Damaged { path })
    }

    /// The names of all secrets, sorted.
    ///
    /// # Errors
    /// [`SecretError`] if the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>, SecretError> {
        let failed = |source| SecretError::File { path: self.folder.clone(), source };
        let entries = match std::fs::read_dir(&self.folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<io::Result<Vec<_>>>().map_err(failed)?;
        names.retain(|name| is_name(name));
        names.sort();
        Ok(names)
    }

    /// Removes the secret `name`. Calls that need it fail from now on.
    ///
    /// # Errors
    /// [`SecretError`] if there is none, or its file cannot be removed.
    pub fn delete(&self, name: &str) -> Result<(), SecretError> {
        let path = self.path(name)?;
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(self.missing(name)),
            other => other.map_err(|source| SecretError::File { path, source }),
        }
    }

    fn path(&self, name: &str) -> Result<PathBuf, SecretError> {
        if is_name(name) {
            Ok(self.folder.join(name))
        } else {
            Err(SecretError::Name(name.escape_debug().take(NAME_CHARS_MAX).collect()))
        }
    }

    fn missing(&self, name: &str) -> SecretError {
        let names = self.names().unwrap_or_default();
        let hint = match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("; did you mean `{near}`?"),
            None => format!(": make it with `rapport secret set {name} --host HOST`"),
        };
        SecretError::Missing { name: name.to_owned(), hint }
    }
}

/// A name is a file's name, too: nothing in it may lead elsewhere.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.chars().all(fits)
}

/// A host as [`super::target::Target::name`] writes it.
fn host_of(text: &str) -> Result<String, SecretError> {
    let wrong = || SecretError::Host(text.escape_debug().take(100).collect());
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<std::net::IpAddr>() {
        return Ok(address.to_string());
    }
    match Host::parse(text).map_err(|_| wrong())? {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_owned();
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            if name.contains('.') && name.chars().all(fits) { Ok(name) } else { Err(wrong()) }
        }
        Host::Ipv4(address) => Ok(address.to_string()),
        Host::Ipv6(address) => Ok(address.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn hosts(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    fn secret() -> NamedSecret {
        NamedSecret::new("sk_live_4eC39HqL", &hosts(&["API.Payments.example.", "127.0.0.1", "[::1]"])).unwrap()
    }

    #[test]
    fn a_secret_is_kept_for_its_owner_alone_and_read_again() {
        let data = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(data.path());
        secrets.set("payments", &secret()).unwrap();
        let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = data.path().join(SECRETS_FOLDER);
        assert_eq!((mode(folder.clone()), mode(folder.join("payments"))), (0o700, 0o600));
        let read = secrets.read("payments").unwrap();
        assert_eq!(
            (read.reveal(), read.hosts()),
            ("sk_live_4eC39HqL", &hosts(&["api.payments.example", "127.0.0.1", "::1"])[..])
        );
        assert!(read.may_go_to("api.payments.example") && read.may_go_to("::1"));
        assert!(!read.may_go_to("evil.api.payments.example") && !read.may_go_to("payments.example"));
        std::fs::write(folder.join("payments.77.new"), "left over from a crash").unwrap();
        assert_eq!(secrets.names().unwrap(), ["payments"]);
        secrets.delete("payments").unwrap();
        assert!(secrets.names().unwrap().is_empty());
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let data = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(data.path());
        for name in ["", ".", "..", "../owner.key", "a/b", "A", "a b", "a.new", "ü", "a\0", &"a".repeat(65)] {
            assert!(matches!(secrets.read(name), Err(SecretError::Name(_))), "{name:?}");
            assert!(matches!(secrets.set(name, &secret()), Err(SecretError::Name(_))), "{name:?}");
            assert!(matches!(secrets.delete(name), Err(SecretError::Name(_))), "{name:?}");
        }
    }

    #[test]
    fn a_missing_secret_is_named_with_the_nearest() {
        let data = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(data.path());
        let said = secrets.read("payments").unwrap_err().to_string();
        assert_eq!(said, "there is no secret `payments`: make it with `rapport secret set payments --host HOST`");
        secrets.set("payments", &secret()).unwrap();
        let said = secrets.delete("paymnets").unwrap_err().to_string();
        assert_eq!(said, "there is no secret `paymnets`; did you mean `payments`?");
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_without_being_said() {
        for value in ["", "short", "two\nlines here", "a\rb_______", "nul\0______", &"x".repeat(8193)] {
            let error = NamedSecret::new(value, &hosts(&["a.example"])).unwrap_err();
            assert!(matches!(error, SecretError::Value(_)), "{value:?}");
        }
        assert!(matches!(NamedSecret::new("long enough", &[]), Err(SecretError::NoHost)));
        for host in [
            "",
            "localhost",
            "*.example",
            "https://a.example",
            "a.example/x",
            "a.example:443",
            "a b.example",
            "u@a.example",
        ] {
            assert!(matches!(NamedSecret::new("long enough", &hosts(&[host])), Err(SecretError::Host(_))), "{host}");
        }
    }

    #[test]
    fn a_damaged_file_says_its_name_and_nothing_of_what_is_in_it() {
        let data = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(data.path());
        secrets.set("payments", &secret()).unwrap();
        for text in ["s3cret-but-no-toml", "value = \"s3cret-without-hosts\"", "value = \"s3cret-one\"\nhosts = []\n"] {
            std::fs::write(data.path().join("secrets/payments"), text).unwrap();
            let error = secrets.read("payments").unwrap_err();
            assert!(
                error.to_string().contains("secrets/payments`") && !format!("{error:?}").contains("s3cret"),
                "{error}"
            );
        }
        std::fs::write(data.path().join("secrets/payments"), "x".repeat(70_000)).unwrap();
        assert!(matches!(secrets.read("payments"), Err(SecretError::Damaged { .. })));
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        assert!(!format!("{:?}", secret()).contains("sk_live"));
    }
}
