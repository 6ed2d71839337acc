//! Compiled code between starts: `<cache>/<digest>-<engine>.cwasm`.
//!
//! Compiled code runs with the rights of the host, so a file is run only if this host wrote it: each begins with a
//! keyed hash of its content, and the key is a file that only the owner reads. Whatever does not match is compiled again.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rapport_model::Digest;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::SandboxError;

const KEY_FILE: &str = "key";
const SEAL_BYTES: usize = 32;

/// A folder of compiled components.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; 32],
}

impl Cache {
    /// Opens the folder, which is made if it is not there, for its owner only.
    ///
    /// # Errors
    /// [`SandboxError::File`] if it cannot be used.
    pub(crate) fn open(folder: &Path) -> Result<Self, SandboxError> {
        let failed = |source| SandboxError::File { path: folder.into(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        let key = key(folder).map_err(failed)?;
        Ok(Self { folder: folder.into(), key })
    }

    /// The component of `bytes`: from the folder if it is there and whole, else compiled and put there.
    ///
    /// # Errors
    /// [`SandboxError::Component`] if the bytes do not compile. A folder that cannot be written is only logged.
    pub(crate) fn component(&self, engine: &Engine, digest: Digest, bytes: &[u8]) -> Result<Component, SandboxError> {
        let path = self.path(engine, digest);
        match self.load(engine, digest, &path) {
            Ok(Some(component)) => return Ok(component),
            Ok(None) => {}
            Err(why) => {
                tracing::warn!(path = %path.display(), error = %why, "compiled code is not used, but compiled again");
            }
        }
        let component = compile(engine, bytes)?;
        if let Err(why) = self.store(&path, digest, &component) {
            tracing::warn!(path = %path.display(), error = %why, "compiled code could not be kept");
        }
        Ok(component)
    }

    fn path(&self, engine: &Engine, digest: Digest) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        self.folder.join(format!("{digest}-{:016x}.cwasm", hasher.finish()))
    }

    #[expect(unsafe_code, reason = "the one place that runs compiled code from a file; sealed with our key by `seal`")]
    fn load(&self, engine: &Engine, digest: Digest, path: &Path) -> Result<Option<Component>, String> {
        let content = match fs::read(path) {
            Ok(content) => content,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.to_string()),
        };
        let (seal, code) = content.split_at_checked(SEAL_BYTES).ok_or("the file is cut off")?;
        if seal != self.seal(digest, code) {
            return Err("the file is not as this host wrote it".into());
        }
        // SAFETY: `code` was made by `Component::serialize` of this program: its seal holds a key that only the owner of
        // the folder can read, and is checked over the very bytes that are deserialised. wasmtime itself checks that the
        // engine's version and settings are those it was compiled for.
        let component = unsafe { Component::deserialize(engine, code) };
        component.map(Some).map_err(|e| e.to_string())
    }

    fn store(&self, path: &Path, digest: Digest, component: &Component) -> Result<(), String> {
        let code = component.serialize().map_err(|e| e.to_string())?;
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.folder)?;
            file.write_all(&self.seal(digest, &code))?;
            file.write_all(&code)?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(|e| e.to_string())
    }

    /// The keyed hash of compiled code and of what it was compiled from. Hashed twice, so that nobody can append to it.
    fn seal(&self, digest: Digest, code: &[u8]) -> [u8; SEAL_BYTES] {
        let inner = Sha256::new().chain_update(self.key).chain_update(digest.0).chain_update(code).finalize();
        Sha256::new().chain_update(self.key).chain_update(inner).finalize().into()
    }
}

/// Compiles a component.
///
/// # Errors
/// [`SandboxError::Component`] with what is wrong with it.
pub(crate) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, SandboxError> {
    // Only binary components: text would be another parser in front of strangers.
    Component::from_binary(engine, bytes).map_err(|e| SandboxError::Component(format!("{e:#}")))
}

/// The folder's key, made at the first use. Of two processes that make it at once, both take the one that was first.
fn key(folder: &Path) -> io::Result<[u8; 32]> {
    let path = folder.join(KEY_FILE);
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh).map_err(|e| io::Error::other(e.to_string()))?;
    let staged = tempfile::Builder::new().prefix(".key-").tempfile_in(folder)?;
    let mut file = OpenOptions::new().write(true).mode(0o600).open(staged.path())?;
    file.write_all(&fresh)?;
    file.sync_all()?;
    match staged.persist_noclobber(&path) {
        Ok(_) => return Ok(fresh),
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(e.error),
    }
    let mut key = Vec::with_capacity(fresh.len());
    File::open(&path)?.take(64).read_to_end(&mut key)?;
    if let Ok(key) = key.try_into() {
        return Ok(key);
    }
    // Not a key: whatever was sealed with it is lost anyway, and only costs compiling again.
    fs::write(&path, fresh)?;
    Ok(fresh)
}

#[cfg(test)]
mod tests;
