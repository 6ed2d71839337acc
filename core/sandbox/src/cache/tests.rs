use std::time::SystemTime;

use rapport_model::Limits;

use super::*;
use crate::runtime::Runtime;

/// The smallest component: `(component)` in binary.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

struct Bench {
    folder: tempfile::TempDir,
    runtime: Runtime,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), runtime: Runtime::start_frugal(&Limits::default()).unwrap() }
    }

    fn cache(&self) -> Cache {
        Cache::open(&self.folder.path().join("compiled")).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.cache().path(&self.runtime.engine, Digest::of(EMPTY))
    }

    fn compile(&self) {
        self.cache().component(&self.runtime.engine, Digest::of(EMPTY), EMPTY).unwrap();
    }

    /// Whether the file is taken as it is.
    fn is_taken(&self) -> bool {
        matches!(self.cache().load(&self.runtime.engine, Digest::of(EMPTY), &self.file()), Ok(Some(_)))
    }
}

#[test]
fn what_was_compiled_is_taken_the_next_time() {
    let bench = Bench::new();
    assert!(!bench.is_taken());
    bench.compile();
    let written = |b: &Bench| -> SystemTime { fs::metadata(b.file()).unwrap().modified().unwrap() };
    let first = written(&bench);
    bench.compile();
    assert!(bench.is_taken());
    assert_eq!(first, written(&bench));
}

#[test]
fn a_tampered_or_cut_file_is_compiled_again_and_never_run() {
    let bench = Bench::new();
    bench.compile();
    let good = fs::read(bench.file()).unwrap();
    let flipped = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 1;
        bad
    };
    let longer = [&good[..], b"x"].concat();
    let bad = [
        flipped(0),
        flipped(SEAL_BYTES),
        flipped(good.len() - 1),
        good[..good.len() / 2].to_vec(),
        longer,
        vec![],
        vec![0; 10],
    ];
    for content in bad {
        fs::write(bench.file(), &content).unwrap();
        assert!(!bench.is_taken(), "{} bytes", content.len());
        bench.compile();
        assert!(bench.is_taken());
        assert_eq!(fs::read(bench.file()).unwrap(), good);
    }
}

#[test]
fn a_file_of_another_component_is_not_taken() {
    let bench = Bench::new();
    bench.compile();
    let other = bench.cache().path(&bench.runtime.engine, Digest::of(b"other"));
    fs::copy(bench.file(), &other).unwrap();
    assert!(bench.cache().load(&bench.runtime.engine, Digest::of(b"other"), &other).is_err());
}

#[test]
fn a_file_sealed_with_another_key_is_not_taken() {
    let (bench, stranger) = (Bench::new(), Bench::new());
    bench.compile();
    stranger.compile();
    fs::copy(stranger.file(), bench.file()).unwrap();
    assert!(!bench.is_taken());
}

#[test]
fn a_key_that_is_cut_costs_compiling_again_and_no_more() {
    let bench = Bench::new();
    bench.compile();
    fs::write(bench.folder.path().join("compiled").join(KEY_FILE), b"short").unwrap();
    assert!(!bench.is_taken());
    bench.compile();
    assert!(bench.is_taken());
}

#[test]
fn the_folder_and_the_key_are_the_owners_alone() {
    let bench = Bench::new();
    bench.compile();
    let folder = bench.folder.path().join("compiled");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join(KEY_FILE))), (0o700, 0o600));
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let _again = bench.cache();
    assert_eq!(mode(&folder), 0o700);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Cache::open(&file.path().join("inside")).unwrap_err();
    assert!(error.to_string().contains("inside"), "{error}");
}

#[test]
fn other_limits_make_other_code() {
    let (bench, other) = (Bench::new(), Runtime::start(&Limits::default(), 4).unwrap());
    let cache = bench.cache();
    assert_ne!(cache.path(&bench.runtime.engine, Digest::of(EMPTY)), cache.path(&other.engine, Digest::of(EMPTY)));
}
