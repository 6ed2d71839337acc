//! Finds the server and the key that a command is meant for.

use std::fs;
use std::path::Path;

use super::{Common, Failure};
use crate::app::{ADDRESS_FILE, OWNER_KEY_FILE};
use crate::client::Client;
use crate::config::{Config, Flags};

/// A client of the server that is meant: the one named, else the local one.
pub(super) fn client(common: &Common) -> Result<Client, Failure> {
    let config = common.load(Flags::default())?.config;
    let server = match &common.server {
        Some(server) => server.clone(),
        None => local_server(&config),
    };
    let key = match &common.key_file {
        Some(file) => Some(read_key(file)?),
        None => local_key(&config, common.server.is_some())?,
    };
    Client::new(&server, key)
}

/// A client of the server that is named, or of the local one if it left its address; else none.
pub(super) fn running(common: &Common) -> Result<Option<Client>, Failure> {
    let config = common.load(Flags::default())?.config;
    if common.server.is_none() && !config.storage.data.join(ADDRESS_FILE).is_file() {
        return Ok(None);
    }
    client(common).map(Some)
}

/// The address that a running server left in the data folder, else the configured one.
fn local_server(config: &Config) -> String {
    match fs::read_to_string(config.storage.data.join(ADDRESS_FILE)) {
        Ok(address) => address.trim().to_owned(),
        Err(_) => format!("http://{}", config.server.listen),
    }
}

fn read_key(file: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|e| Failure::Usage(format!("cannot read the key file `{}`: {e}", file.display())))?;
    let key = text.trim();
    let plain = !key.is_empty() && key.len() <= 1_024 && key.bytes().all(|b| b.is_ascii_graphic());
    if plain { Ok(key.to_owned()) } else { Err(Failure::Usage(format!("`{}` holds no key", file.display()))) }
}

/// The owner's key of the local workspace. It is not sent to a server that was named: that one may be another's.
fn local_key(config: &Config, server_was_named: bool) -> Result<Option<String>, Failure> {
    let file = config.storage.data.join(OWNER_KEY_FILE);
    if server_was_named || !file.exists() {
        return Ok(None);
    }
    read_key(&file).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(data: &Path) -> Config {
        let mut config = Config::default();
        config.storage.data = data.to_owned();
        config
    }

    #[test]
    fn the_running_server_says_where_it_is() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(local_server(&config(data.path())), "http://127.0.0.1:8080");
        fs::write(data.path().join(ADDRESS_FILE), "http://127.0.0.1:9\n").unwrap();
        assert_eq!(local_server(&config(data.path())), "http://127.0.0.1:9");
    }

    #[test]
    fn the_owners_key_goes_to_the_local_server_alone() {
        let data = tempfile::tempdir().unwrap();
        let config = config(data.path());
        assert_eq!(local_key(&config, false).unwrap(), None);
        fs::write(data.path().join(OWNER_KEY_FILE), "rk_abc\n").unwrap();
        assert_eq!(local_key(&config, false).unwrap().as_deref(), Some("rk_abc"));
        assert_eq!(local_key(&config, true).unwrap(), None);
    }

    #[test]
    fn a_key_file_without_a_key_is_a_usage_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for bad in ["", "two words", "line\nbreak"] {
            fs::write(file.path(), bad).unwrap();
            assert!(matches!(read_key(file.path()), Err(Failure::Usage(_))), "{bad}");
        }
        assert!(matches!(read_key(Path::new("/nowhere")), Err(Failure::Usage(_))));
    }
}
