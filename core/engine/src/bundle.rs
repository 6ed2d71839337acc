//! A plugin's content as one artifact: its manifest, its component, and the files that the manifest names.
//!
//! The artifact is the plain tar of a package, without checksums and signature: those were verified when it came in, and the
//! artifact is named by its own digest from then on. The same files in a folder and in a package are the same content.

use std::path::Path;

use rapport_package::{MANIFEST, Package, PackageError, folder};
use rapport_sandbox::Manifest;
use rapport_store::{Artifact, ArtifactKind};

use rapport_model::Digest;

use crate::error::EngineError;

/// A plugin's content, taken apart.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// The text of `plugin.toml`.
    pub(crate) text: String,
    /// What it says.
    pub(crate) manifest: Manifest,
    /// The component.
    pub(crate) component: Vec<u8>,
    bytes: Vec<u8>,
}

impl Bundle {
    /// The plugin in a folder.
    ///
    /// # Errors
    /// [`EngineError::Plugin`] with what is wrong, and the file.
    pub(crate) fn of_folder(dir: &Path) -> Result<Self, EngineError> {
        let place = dir.join(MANIFEST);
        let failed = |why: String| EngineError::Plugin(why);
        let manifest = rapport_sandbox::author::read_manifest(dir);
        let manifest = manifest.map_err(|e| failed(format!("{}: {e}", place.display())))?;
        let package = folder::read(dir, &component_of(&manifest)).map_err(|e| failed(format!("cannot read {e}")))?;
        Self::of_package(&package)
    }

    /// The plugin in a package that was verified.
    ///
    /// # Errors
    /// [`EngineError::Plugin`] with what is wrong.
    pub(crate) fn of_package(package: &Package) -> Result<Self, EngineError> {
        Self::read_files(package, package.to_tar())
    }

    /// Takes the content of an artifact apart.
    ///
    /// # Errors
    /// [`EngineError::Plugin`] if it is damaged, or its manifest is one that this host does not read.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, EngineError> {
        match Package::from_tar(bytes) {
            Ok(package) => Self::read_files(&package, bytes.to_vec()),
            Err(error) => Self::read_pair(bytes).ok_or_else(|| damaged(&error))?,
        }
    }

    fn read_files(package: &Package, bytes: Vec<u8>) -> Result<Self, EngineError> {
        let text = package.file(MANIFEST).ok_or_else(|| damaged(&PackageError::Missing(MANIFEST)))?;
        let text = String::from_utf8(text.to_vec());
        let text = text.map_err(|_| EngineError::Plugin(format!("{MANIFEST} is not UTF-8")))?;
        let manifest = Manifest::read(&text, &|path| package.file(path).map(<[u8]>::to_vec))?;
        let component = package.file(&component_of(&manifest)).map(<[u8]>::to_vec);
        let component =
            component.ok_or_else(|| EngineError::Plugin(format!("there is no {}", component_of(&manifest))))?;
        Ok(Self { text, manifest, component, bytes })
    }

    /// The form of before packages: the length of the manifest, the manifest, the component.
    fn read_pair(bytes: &[u8]) -> Option<Result<Self, EngineError>> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, component) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let text = std::str::from_utf8(text).ok()?.to_owned();
        let made = Manifest::parse(&text).map_err(EngineError::from);
        Some(made.map(|manifest| Self { text, manifest, component: component.to_vec(), bytes: bytes.to_vec() }))
    }

    /// What names it.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// The artifact that keeps it; `path` says where it came from.
    pub(crate) fn artifact(&self, path: String) -> Artifact {
        Artifact { digest: self.digest(), kind: ArtifactKind::Component, path, bytes: self.bytes.as_slice().into() }
    }
}

/// The name of the component's file.
pub(crate) fn component_of(manifest: &Manifest) -> String {
    format!("{}.wasm", manifest.id)
}

fn damaged(error: &PackageError) -> EngineError {
    EngineError::Plugin(format!("the content is damaged: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "id = \"x\"\nversion = \"0.1.0\"\napi = \"0.1\"\npublisher = \"P\"\n[[actions]]\nname = \"a\"\n";

    #[test]
    fn content_survives_being_kept() {
        let file = |name: &str, content: &[u8]| (name.parse().unwrap(), content.to_vec());
        let package = Package::new([file("plugin.toml", TEXT.as_bytes()), file("x.wasm", b"wasm")]).unwrap();
        let bundle = Bundle::of_package(&package).unwrap();
        let artifact = bundle.artifact("x".into());
        let again = Bundle::read(&artifact.bytes).unwrap();
        assert_eq!((again.text.as_str(), again.component.as_slice()), (TEXT, &b"wasm"[..]));
        assert_eq!(again.artifact("x".into()), artifact);
    }

    #[test]
    fn content_from_before_packages_still_reads() {
        let mut bytes = u32::try_from(TEXT.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend_from_slice(TEXT.as_bytes());
        bytes.extend_from_slice(b"wasm");
        assert_eq!(Bundle::read(&bytes).unwrap().component, b"wasm");
        for damaged in [&bytes[..3], &[255, 255, 255, 255, 0], b""] {
            assert_eq!(Bundle::read(damaged).unwrap_err().code(), "invalid_plugin");
        }
    }
}
