//! What a package is: the same bytes everywhere, whole or refused, and whose it is.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use flate2::{Compression, GzBuilder};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use rapport_model::Digest;
use rapport_package::{Package, PackageError, PackagePath, PublicKey, Rotation, SecretKey, folder};

fn path(text: &str) -> PackagePath {
    PackagePath::new(text).unwrap()
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn small() -> Package {
    Package::new([
        (path("plugin.toml"), b"id = \"tiers\"\n".to_vec()),
        (path("tiers.wasm"), vec![7; 1_500]),
        (path("schemas/a.json"), b"{}".to_vec()),
    ])
    .unwrap()
}

/// One file of a hand-made archive.
#[derive(Clone)]
struct Entry<'a> {
    name: &'a [u8],
    kind: u8,
    content: &'a [u8],
    link: &'a [u8],
}

fn file<'a>(name: &'a str, content: &'a [u8]) -> Entry<'a> {
    Entry { name: name.as_bytes(), kind: b'0', content, link: b"" }
}

/// A tar as any tool would write it, with whatever names and kinds.
fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Entry { name, kind, content, link } in entries {
        let mut block = [0_u8; 512];
        block[..name.len()].copy_from_slice(name);
        block[100..124].copy_from_slice(b"0000644\x000000000\x000000000\x00");
        block[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        block[136..148].copy_from_slice(b"00000000000\0");
        block[148..156].copy_from_slice(b"        ");
        block[156] = *kind;
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend_from_slice(&block);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1_024, 0);
    bytes
}

fn gzip(tar: &[u8]) -> Vec<u8> {
    let mut gzip = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::new(6));
    gzip.write_all(tar).unwrap();
    gzip.finish().unwrap()
}

fn sums(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut text = String::new();
    for (name, content) in files {
        writeln!(text, "{}  {name}", Digest::of(content)).unwrap();
    }
    text.into_bytes()
}

/// An archive that is right but for `odd`, which stands among its files.
fn with(odd: Entry<'_>) -> Vec<u8> {
    let manifest: &[u8] = b"id = \"x\"";
    let sums = sums(&[("plugin.toml", manifest)]);
    let mut entries = vec![file("checksums", &sums), file("plugin.toml", manifest), odd];
    entries.sort_by(|a, b| a.name.cmp(b.name));
    gzip(&tar(&entries))
}

fn refusal(bytes: &[u8]) -> String {
    Package::read(bytes).unwrap_err().to_string()
}

#[test]
fn the_same_files_make_the_same_bytes_in_any_order() {
    let package = small();
    let files: Vec<_> = package.files().map(|(p, c)| (p.clone(), c.to_vec())).collect();
    let other = Package::new(files.into_iter().rev()).unwrap();
    assert_eq!(package.pack(), other.pack());
    let again = Package::read(&package.pack()).unwrap();
    assert_eq!(again, package);
    // If this changes, every package that was packed before gets another digest.
    assert_eq!(package.digest().short(), "ec5fce34ab39");
}

#[test]
fn a_host_keeps_the_files_alone() {
    let mut package = small();
    package.sign("Acme", &key(1), Vec::new()).unwrap();
    assert_eq!(Package::from_tar(&package.to_tar()).unwrap(), small());
    assert!(Package::from_tar(&package.pack()).is_err());
}

#[test]
fn what_was_signed_says_by_whom() {
    let mut package = small();
    package.sign("Acme", &key(1), Vec::new()).unwrap();
    let read = Package::read(&package.pack()).unwrap();
    let signature = read.signature().unwrap();
    assert_eq!((signature.publisher.as_str(), signature.key), ("Acme", key(1).public()));
    assert_eq!(read.digest(), small().digest());
}

#[test]
fn a_changed_file_is_refused_whoever_signed() {
    let mut package = small();
    package.sign("Acme", &key(1), Vec::new()).unwrap();
    let changed = reworked(&package.pack(), |name, content| {
        if name == "tiers.wasm" {
            content[0] = 8;
        }
    });
    assert_eq!(refusal(&changed), "the package was changed: `tiers.wasm` is not the file that was packed");
    // With its checksum made to fit, the signature does not.
    let signature = text_of(&package.pack(), "signature");
    let mut files: Vec<(String, Vec<u8>)> = entries(&package.pack());
    files.retain(|(name, _)| name != "checksums" && name != "signature");
    for (_, content) in files.iter_mut().filter(|(name, _)| name == "tiers.wasm") {
        content[0] = 8;
    }
    let listed: Vec<(&str, &[u8])> = files.iter().map(|(n, c)| (n.as_str(), c.as_slice())).collect();
    let sums = sums(&listed);
    files.push(("checksums".into(), sums));
    files.push(("signature".into(), signature.into_bytes()));
    assert_eq!(
        refusal(&packed(files)),
        "the signature is not right: its key did not sign these files for this publisher"
    );
}

/// The files of an archive, by a reader of its own.
fn entries(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut tar = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(archive), &mut tar).unwrap();
    let mut found = Vec::new();
    let mut rest = tar.as_slice();
    while rest[0] != 0 {
        let name = String::from_utf8(rest[..100].iter().copied().take_while(|b| *b != 0).collect()).unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[124..135]).unwrap(), 8).unwrap();
        found.push((name, rest[512..512 + size].to_vec()));
        rest = &rest[512 + size.next_multiple_of(512)..];
    }
    found
}

fn text_of(archive: &[u8], name: &str) -> String {
    let found = entries(archive).into_iter().find(|(n, _)| n == name).unwrap().1;
    String::from_utf8(found).unwrap()
}

fn packed(mut files: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    files.sort();
    let entries: Vec<_> = files.iter().map(|(name, content)| file(name, content)).collect();
    gzip(&tar(&entries))
}

fn reworked(archive: &[u8], mut change: impl FnMut(&str, &mut Vec<u8>)) -> Vec<u8> {
    let mut files = entries(archive);
    for (name, content) in &mut files {
        change(name, content);
    }
    packed(files)
}

#[test]
fn a_signature_is_for_one_publisher_and_in_one_form() {
    let mut package = small();
    package.sign("Acme", &key(1), Vec::new()).unwrap();
    let archive = package.pack();
    for (from, to, told) in [
        ("\"Acme\"", "\"Acme Inc\"", "its key did not sign these files for this publisher"),
        ("rapport-signature-1", "rapport-signature-2", "it has another format"),
        ("\"publisher\"", "\"publisher\" ", "it is not in its own form"),
        ("\"publisher\"", "\"publishr\"", "it cannot be read: unknown field `publishr`"),
        ("ed25519:", "ed25519;", "it cannot be read: this is no public key"),
    ] {
        let changed = reworked(&archive, |name, content| {
            if name == "signature" {
                *content = String::from_utf8(content.clone()).unwrap().replacen(from, to, 1).into_bytes();
            }
        });
        let said = refusal(&changed);
        assert!(said.contains(told), "{to}: {said}");
    }
    assert!(small().sign("A\u{1b}[31mcme", &key(1), Vec::new()).is_err());
    assert!(small().sign(" ", &key(1), Vec::new()).is_err());
}

#[test]
fn a_new_key_is_believed_if_the_old_one_says_so() {
    let chain =
        vec![Rotation::make("Acme", &key(1), key(2).public()), Rotation::make("Acme", &key(2), key(3).public())];
    let mut package = small();
    package.sign("Acme", &key(3), chain.clone()).unwrap();
    let read = Package::read(&package.pack()).unwrap();
    let signature = read.signature().unwrap();
    for (pinned, follows) in [(1, true), (2, true), (3, true), (4, false)] {
        assert_eq!(signature.follows(key(pinned).public()), follows, "{pinned}");
    }
    // The way back is not implied: what the old key signs does not follow from the new one.
    let mut old = small();
    old.sign("Acme", &key(1), Vec::new()).unwrap();
    assert!(!old.signature().unwrap().follows(key(3).public()));

    let said = |rotations: Vec<Rotation>| small().sign("Acme", &key(3), rotations).unwrap_err().to_string();
    assert!(said(vec![chain[0].clone()]).contains("its earlier keys do not lead to its key"));
    assert!(said(vec![chain[1].clone(), chain[0].clone()]).contains("its earlier keys do not lead to its key"));
    let other = Rotation::make("Other", &key(1), key(3).public());
    assert!(said(vec![other]).contains("an earlier key did not sign the one after it"));
    let mut stolen = Rotation::make("Acme", &key(9), key(3).public());
    stolen.from = key(1).public();
    assert!(said(vec![stolen]).contains("an earlier key did not sign the one after it"));
    let long: Vec<_> = (0..17).map(|_| Rotation::make("Acme", &key(3), key(3).public())).collect();
    assert!(said(long).contains("more than 16"));
}

#[test]
fn what_a_package_may_not_hold_is_refused() {
    let kind = |kind: u8| Entry { name: b"q", kind, content: b"", link: b"/etc/passwd" };
    for (odd, told) in [
        (kind(b'1'), "may not hold `q`: it is a link"),
        (kind(b'2'), "may not hold `q`: it is a link"),
        (kind(b'3'), "it is a device"),
        (kind(b'4'), "it is a device"),
        (kind(b'5'), "folders are not listed"),
        (kind(b'6'), "it is a pipe"),
        (kind(b'x'), "it is no plain file"),
        (kind(b'L'), "it is no plain file"),
        (kind(0), "it is no plain file"),
        (file("/etc/cron.d/x", b"x"), "does not lie below"),
        (file("../x", b"x"), "it climbs"),
        (file("a/../../x", b"x"), "it climbs"),
        (file("C:/x", b"x"), "it names a drive"),
        (file("a\\x", b"x"), "separates folders on some machines"),
        (file("nul", b"x"), "it names a device on some machines"),
        (file(".bashrc", b"x"), "hidden files stay at home"),
        (file("Plugin.toml", b"x"), "may not hold `plugin.toml` twice"),
        (file("Checksums", b"x"), "may not hold `Checksums` twice"),
        (file("plugin.toml/x", b"x"), "may not hold `plugin.toml/x` twice"),
        (file("cafe\u{301}", b"x"), "names are letters A to Z"),
        (file("z", b"x"), "`z` is not in the list of checksums"),
        (Entry { link: b"x", ..file("z", b"") }, "it is not in the one form that packages have"),
        (Entry { name: b"a\0/../x", ..file("", b"") }, "it is not in the one form that packages have"),
        (Entry { name: b"\xff", ..file("", b"") }, "its name is not UTF-8"),
    ] {
        let said = refusal(&with(odd));
        assert!(said.contains(told), "{told}: {said}");
    }
    let twice = Entry { content: b"id = \"y\"", ..file("plugin.toml", b"") };
    assert!(refusal(&with(twice)).contains("may not hold `plugin.toml` twice"));
}

#[test]
fn what_is_listed_is_there_and_the_other_way_round() {
    let manifest: &[u8] = b"id = \"x\"";
    let sums_of = |files: &[(&str, &[u8])]| {
        let sums = sums(files);
        gzip(&tar(&[file("checksums", &sums), file("plugin.toml", manifest)]))
    };
    assert!(Package::read(&sums_of(&[("plugin.toml", manifest)])).is_ok());
    assert!(
        refusal(&sums_of(&[("plugin.toml", manifest), ("z", b"")]))
            .ends_with("`z` is in the list of checksums, and is not there")
    );
    assert!(refusal(&sums_of(&[])).ends_with("`plugin.toml` is not in the list of checksums"));
    assert!(refusal(&gzip(&tar(&[file("plugin.toml", manifest)]))).contains("the package lacks `checksums`"));
    let sums = sums(&[("a", b"x")]);
    assert!(
        refusal(&gzip(&tar(&[file("a", b"x"), file("checksums", &sums)]))).contains("the package lacks `plugin.toml`")
    );
}

#[test]
fn what_is_cut_off_or_stands_behind_the_end_is_refused() {
    let whole = small().pack();
    for end in 0..whole.len() {
        assert!(Package::read(&whole[..end]).is_err(), "{end}");
    }
    let mut more = whole.clone();
    more.push(0);
    assert!(refusal(&more).contains("something stands behind its end"));
    let mut two = whole.clone();
    two.extend_from_slice(&whole);
    assert!(refusal(&two).contains("something stands behind its end"));
    let mut tar_with_more = tar(&[file("plugin.toml", b"x")]);
    tar_with_more.extend_from_slice(&[0; 512]);
    assert!(refusal(&gzip(&tar_with_more)).contains("not in the one form"));
    assert!(refusal(b"").contains("it does not begin as one"));
    assert!(refusal(b"PK\x03\x04").contains("it does not begin as one"));
}

#[test]
fn a_bomb_goes_off_within_limits() {
    // 200 MB of zeros are 200 kB; a hundred thousand files of nothing are as small.
    let zeros = vec![0_u8; 200 << 20];
    let before = std::time::Instant::now();
    let said = refusal(&gzip(&zeros));
    assert!(said.contains("the package is too large: the most content is 67108864 bytes"), "{said}");
    drop(zeros);
    let names: Vec<String> = (0..20_000).map(|i| format!("f{i:06}")).collect();
    let entries: Vec<_> = names.iter().map(|name| file(name, b"")).collect();
    assert!(refusal(&gzip(&tar(&entries))).contains("the most files is 500"));
    assert!(refusal(&vec![0; (48 << 20) + 1]).contains("the largest archive"));
    assert!(before.elapsed().as_secs() < 60, "{:?}", before.elapsed());
    // A size that no archive has.
    let mut block = tar(&[file("plugin.toml", b"x")]);
    block[124..135].copy_from_slice(b"77777777777");
    assert!(refusal(&gzip(&block)).contains("the archive is cut off"));
    block[124..135].copy_from_slice(b"-0000000001");
    assert!(refusal(&gzip(&block)).contains("a size is no octal number"));
}

#[test]
fn too_much_is_not_packed() {
    let many = (0..600).map(|i| (path(&format!("f{i}")), Vec::new()));
    assert!(matches!(Package::new(many), Err(PackageError::TooLarge { .. })));
    assert!(matches!(Package::new([(path("x"), Vec::new())]), Err(PackageError::Missing("plugin.toml"))));
    let own = [(path("plugin.toml"), Vec::new()), (path("signature"), Vec::new())];
    assert!(matches!(Package::new(own), Err(PackageError::Twice(_))));
}

#[test]
fn a_folder_gives_what_belongs_to_a_plugin_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = place.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    for (name, text) in [
        ("plugin.toml", "id = \"x\""),
        ("x.wasm", "wasm"),
        ("README.md", "read"),
        ("schemas/a.json", "{}"),
        ("scripts/deep/b.rhai", "b"),
        ("scripts/.swp", "no"),
        ("src/lib.rs", "no"),
        ("Cargo.toml", "no"),
        ("target/big", "no"),
        (".env", "SECRET=1"),
    ] {
        write(name, text);
    }
    let package = folder::read(place.path(), "x.wasm").unwrap();
    let names: Vec<&str> = package.files().map(|(p, _)| p.as_str()).collect();
    assert_eq!(names, ["README.md", "plugin.toml", "schemas/a.json", "scripts/deep/b.rhai", "x.wasm"]);

    let other = tempfile::tempdir().unwrap();
    let target = other.path().join("unpacked");
    folder::write(&package, &target).unwrap();
    assert_eq!(folder::read(&target, "x.wasm").unwrap(), package);
    assert!(folder::write(&package, &target).is_err());
}

#[cfg(unix)]
#[test]
fn a_link_in_a_folder_is_not_followed() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("plugin.toml"), "id = \"x\"").unwrap();
    std::fs::write(place.path().join("x.wasm"), "wasm").unwrap();
    std::os::unix::fs::symlink("/etc", place.path().join("schemas")).unwrap();
    let refused = |place: &Path| folder::read(place, "x.wasm").unwrap_err().to_string();
    assert!(refused(place.path()).ends_with("it is a link"));
    std::fs::remove_file(place.path().join("schemas")).unwrap();
    std::fs::create_dir(place.path().join("schemas")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", place.path().join("schemas/a.json")).unwrap();
    assert!(refused(place.path()).ends_with("it is a link"));
}

fn contents() -> impl Strategy<Value = Package> {
    let step = "[a-z][a-z0-9_-]{0,8}";
    let name =
        prop_oneof![step.prop_map(|a| format!("{a}x")), (step, step).prop_map(|(a, b)| format!("{a}y/{b}.json"))];
    btree_map(name, vec(any::<u8>(), 0..2_000), 0..12).prop_filter_map("device names are refused", |files| {
        let mut all = Vec::new();
        for (name, content) in files {
            all.push((PackagePath::new(&name).ok()?, content));
        }
        all.push((path("plugin.toml"), b"id".to_vec()));
        Package::new(all).ok()
    })
}

proptest! {
    #[test]
    fn what_was_packed_is_what_is_read(package in contents(), seed in any::<[u8; 32]>()) {
        let secret = SecretKey::from_seed(&seed);
        let mut signed = package.clone();
        signed.sign("Acme", &secret, Vec::new()).unwrap();
        let read = Package::read(&signed.pack()).unwrap();
        prop_assert_eq!(&read, &signed);
        prop_assert_eq!(read.pack(), signed.pack());
        prop_assert_eq!(Package::read(&package.pack()).unwrap(), package);
    }

    #[test]
    fn one_changed_byte_is_not_read_as_the_same_publishers(package in contents(), at in any::<usize>(), by in 1_u8..) {
        let mut signed = package.clone();
        signed.sign("Acme", &key(1), Vec::new()).unwrap();
        let mut tar = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(signed.pack().as_slice()), &mut tar).unwrap();
        let place = at % tar.len();
        tar[place] ^= by;
        if let Ok(read) = Package::read(&gzip(&tar)) {
            prop_assert!(read.signature().is_none_or(|s| s.key != key(1).public()), "byte {}", place);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_fall(bytes in vec(any::<u8>(), 0..2_000)) {
        let _ = Package::read(&bytes);
        let mut headed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        headed.extend_from_slice(&bytes);
        let _ = Package::read(&headed);
        let _ = Package::read(&gzip(&bytes));
    }

    #[test]
    fn no_text_makes_a_key(text in "(ed25519:)?[A-Za-z0-9_-]{0,60}") {
        if let Ok(key) = text.parse::<PublicKey>() {
            prop_assert_eq!(key.to_string(), text);
        }
    }
}
