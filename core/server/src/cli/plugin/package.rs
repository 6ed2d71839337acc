//! Keys and packages, on the author's machine: nothing here needs a server.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use rapport_engine::package_report;
use rapport_package::{ARCHIVE_BYTES_MAX, EXTENSION, Package, PublicKey, Rotation, SecretKey, folder};
use rapport_sandbox::author;
use serde_json::json;

use super::show;
use crate::cli::{Common, Failure};
use crate::secret_file;

/// The longest file of a key or a rotation, in bytes.
const KEY_BYTES_MAX: u64 = 4_096;

/// `plugin pack`.
#[derive(Debug, Args)]
pub(in crate::cli) struct PackArgs {
    /// The folder with `plugin.toml` and the component.
    dir: PathBuf,
    /// The file to write; `<id>-<version>.rapport` in the present folder if it is not given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `plugin sign`.
#[derive(Debug, Args)]
pub(in crate::cli) struct SignArgs {
    /// The package. It is replaced by the signed one.
    file: PathBuf,
    /// The file with the secret key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// A file of `plugin rotate`: how an earlier key led to this one. Oldest first, if there are several.
    #[arg(long = "rotation", value_name = "FILE")]
    rotations: Vec<PathBuf>,
}

/// `plugin rotate`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RotateArgs {
    /// The file with the secret key that is followed.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The file with the secret key that follows, or its public key as text.
    #[arg(long, value_name = "FILE|KEY")]
    to: String,
    /// The publisher whose keys they are.
    #[arg(long, value_name = "NAME")]
    publisher: String,
    /// The file to write.
    #[arg(long, default_value = "rotation.json", value_name = "FILE")]
    out: PathBuf,
}

/// Makes a key. Its secret half goes to a file of mode 0600 and nowhere else.
pub(super) fn keygen(common: &Common, out: &Path) -> Result<(), Failure> {
    if out.exists() {
        return Err(Failure::Usage(format!("{} is there already: a key is never overwritten", out.display())));
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| Failure::Failed(format!("this machine gives no random bytes: {e}")))?;
    let key = SecretKey::from_seed(&seed);
    secret_file::write(out, key.to_text().as_bytes()).map_err(|e| at(out, &e))?;
    let shown = json!({ "key": key.public(), "file": out.display().to_string() });
    common.output().show(&shown, |_| format!("kept in {}, for you alone\npublic key: {}", out.display(), key.public()));
    Ok(())
}

/// Packs the plugin in a folder.
pub(super) fn pack(common: &Common, args: &PackArgs) -> Result<(), Failure> {
    let manifest = author::read_manifest(&args.dir).map_err(|e| Failure::Failed(e.to_string()))?;
    let component = format!("{}.wasm", manifest.id);
    if !args.dir.join(&component).is_file() {
        let dir = args.dir.display();
        return Err(Failure::Failed(format!("{component} is not there: run `rapport plugin build {dir}` first")));
    }
    let package = folder::read(&args.dir, &component).map_err(|e| Failure::Failed(e.to_string()))?;
    let out = args.out.clone().unwrap_or_else(|| format!("{}-{}.{EXTENSION}", manifest.id, manifest.version).into());
    let bytes = package.pack();
    write(&out, &bytes)?;
    let shown = json!({
        "file": out.display().to_string(),
        "digest": package.digest(),
        "bytes": bytes.len(),
        "files": package.files().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
    });
    common
        .output()
        .show(&shown, |_| format!("packed: {} ({} bytes)\ndigest: {}", out.display(), bytes.len(), package.digest()));
    Ok(())
}

/// Signs a package.
pub(super) fn sign(common: &Common, args: &SignArgs) -> Result<(), Failure> {
    let key = secret_key(&args.key)?;
    let mut package = read(&args.file)?;
    let report = package_report(&package).map_err(|e| Failure::Failed(e.to_string()))?;
    let publisher = report["publisher"].as_str().unwrap_or_default();
    let rotation = |path: &PathBuf| -> Result<Rotation, Failure> {
        let text = small(path)?;
        serde_json::from_str(&text).map_err(|e| Failure::Failed(format!("{}: {e}", path.display())))
    };
    let rotations = args.rotations.iter().map(rotation).collect::<Result<Vec<_>, _>>()?;
    package.sign(publisher, &key, rotations).map_err(|e| Failure::Failed(e.to_string()))?;
    write(&args.file, &package.pack())?;
    let shown = json!({ "file": args.file.display().to_string(), "publisher": publisher, "key": key.public() });
    common
        .output()
        .show(&shown, |_| format!("signed: {} by {publisher}\npublic key: {}", args.file.display(), key.public()));
    Ok(())
}

/// States that a key follows another.
pub(super) fn rotate(common: &Common, args: &RotateArgs) -> Result<(), Failure> {
    let from = secret_key(&args.from)?;
    let to = match args.to.parse::<PublicKey>() {
        Ok(key) => key,
        Err(_) => secret_key(Path::new(&args.to))?.public(),
    };
    let rotation = Rotation::make(&args.publisher, &from, to);
    let text = serde_json::to_string_pretty(&rotation).map_err(|e| Failure::Failed(e.to_string()))?;
    write(&args.out, (text + "\n").as_bytes())?;
    let shown = json!({ "from": from.public(), "to": to, "file": args.out.display().to_string() });
    common.output().show(&shown, |_| {
        format!(
            "{to} follows {}\nwritten to {}: give it to `plugin sign --rotation`",
            from.public(),
            args.out.display()
        )
    });
    Ok(())
}

/// Shows what a package asks for.
pub(super) fn inspect(common: &Common, file: &Path) -> Result<(), Failure> {
    let report = package_report(&read(file)?).map_err(|e| Failure::Failed(e.to_string()))?;
    common.output().show(&report, show::package);
    Ok(())
}

/// Reads and verifies a package.
pub(super) fn read(file: &Path) -> Result<Package, Failure> {
    Package::read(&bytes(file)?).map_err(|e| Failure::Failed(format!("{}: {e}", file.display())))
}

/// The bytes of a package, not verified.
pub(super) fn bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    let size = fs::metadata(file).map_err(|e| at(file, &e))?.len();
    if size > ARCHIVE_BYTES_MAX as u64 {
        return Err(Failure::Failed(format!("{}: a package has at most {ARCHIVE_BYTES_MAX} bytes", file.display())));
    }
    fs::read(file).map_err(|e| at(file, &e))
}

fn secret_key(path: &Path) -> Result<SecretKey, Failure> {
    small(path)?.parse().map_err(|e: rapport_package::PackageError| Failure::Failed(format!("{}: {e}", path.display())))
}

fn small(path: &Path) -> Result<String, Failure> {
    if fs::metadata(path).map_err(|e| at(path, &e))?.len() > KEY_BYTES_MAX {
        return Err(Failure::Failed(format!("{}: this is too long for a key", path.display())));
    }
    fs::read_to_string(path).map_err(|e| at(path, &e))
}

/// Writes a file whole or not at all.
fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let done = fs::write(&beside, content).and_then(|()| fs::rename(&beside, path));
    done.map_err(|e| at(path, &e))
}

fn at(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}
