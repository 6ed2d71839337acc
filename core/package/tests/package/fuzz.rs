//! A fuzzer for the reader of packages: changes good archives in ways that keep them nearly right, from a fixed seed.
//!
//! Each try must end in a refusal, or in a package that packs to itself, holds safe names alone, and bears the signature of no key
//! that did not sign exactly this content. `RAPPORT_SLOW=1` makes a hundred thousand tries; `RAPPORT_FUZZ_SECONDS` and
//! `RAPPORT_FUZZ_SEED` are for campaigns.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use flate2::{Compression, GzBuilder};
use rapport_package::{Package, PackagePath, Rotation, SecretKey};

/// Small random numbers that follow from a seed (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % (end.max(1) as u64)).unwrap()
    }
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn seeds() -> Vec<Package> {
    let path = |text: &str| PackagePath::new(text).unwrap();
    let plain = Package::new([
        (path("plugin.toml"), b"id = \"x\"\n".to_vec()),
        (path("x.wasm"), (0..=255).collect()),
        (path("schemas/a.json"), b"{}".to_vec()),
        (path("templates/empty.txt"), Vec::new()),
    ])
    .unwrap();
    let mut signed = plain.clone();
    signed.sign("Acme", &key(1), Vec::new()).unwrap();
    let mut rotated = plain.clone();
    rotated.sign("Acme", &key(1), vec![Rotation::make("Acme", &key(2), key(1).public())]).unwrap();
    vec![plain, signed, rotated]
}

fn expand(archive: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(archive).read_to_end(&mut tar).unwrap();
    tar
}

fn gzip(tar: &[u8]) -> Vec<u8> {
    let mut gzip = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::fast());
    gzip.write_all(tar).unwrap();
    gzip.finish().unwrap()
}

/// What names and fields are exchanged for.
const WORDS: [&[u8]; 16] = [
    b"../",
    b"/",
    b"\\",
    b"C:",
    b"\0",
    b".",
    b"PLUGIN.TOML",
    b"nul",
    b"\xff\xfe",
    b"signature",
    b"checksums",
    b"77777777777",
    b"ustar",
    b"  ",
    b"\xe2\x80\xae",
    b"ed25519:",
];

fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len());
    match dice.below(9) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
        2 => bytes.truncate(at),
        3 => bytes.insert(at, u8::try_from(dice.below(256)).unwrap()),
        4 => drop(bytes.remove(at)),
        5 => {
            let word = WORDS[dice.below(WORDS.len())];
            let end = (at + word.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&word[..end - at]);
        }
        6 => {
            // A whole block again, as a second file of the same name would be.
            let from = at / 512 * 512;
            let block = bytes[from..(from + 512).min(bytes.len())].to_vec();
            let to = dice.below(bytes.len() / 512 + 1) * 512;
            bytes.splice(to.min(bytes.len())..to.min(bytes.len()), block);
        }
        7 => {
            let from = at / 512 * 512;
            bytes.drain(from..(from + 512).min(bytes.len()));
        }
        _ => {
            // The name or the kind of some header.
            let header = at / 512 * 512;
            let field = [0, 1, 99, 100, 124, 134, 136, 156, 157, 257, 345][dice.below(11)];
            if let Some(byte) = bytes.get_mut(header + field) {
                *byte = [b'0', b'1', b'2', b'5', b'/', b'.', 0, b'x'][dice.below(8)];
            }
        }
    }
    if bytes.is_empty() {
        bytes.push(0);
    }
}

/// Makes the sums of all headers right again, so that a change is not found by its sum alone.
fn mend(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].copy_from_slice(b"        ");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

/// Reads what came of a change; says whether it was taken.
fn look(archive: &[u8], known: &[Package]) -> bool {
    let Ok(read) = Package::read(archive) else { return false };
    assert_eq!(Package::read(&read.pack()).unwrap(), read);
    for (path, _) in read.files() {
        assert!(PackagePath::new(path.as_str()).is_ok(), "{path}");
    }
    let forged = read.signature().is_some() && !known.iter().any(|k| k.digest() == read.digest());
    assert!(!forged, "a signature stands under content that nobody signed");
    true
}

#[test]
fn nearly_right_archives_are_refused_or_whole() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let slow = std::env::var("RAPPORT_SLOW").is_ok();
    let campaign = number("RAPPORT_FUZZ_SECONDS").map(Duration::from_secs);
    let mut dice = Dice(number("RAPPORT_FUZZ_SEED").unwrap_or(0x9E37_79B9_7F4A_7C15) | 1);
    let known = seeds();
    let archives: Vec<Vec<u8>> = known.iter().map(Package::pack).collect();
    let tars: Vec<Vec<u8>> = archives.iter().map(|archive| expand(archive)).collect();
    let began = Instant::now();
    let (mut tries, mut taken) = (0_u64, 0_u64);
    loop {
        let done = match campaign {
            Some(time) => began.elapsed() >= time,
            None => tries >= if slow { 100_000 } else { 3_000 },
        };
        if done {
            break;
        }
        tries += 1;
        let which = dice.below(known.len());
        let changes = 1 + dice.below(4);
        let archive = if dice.below(4) == 0 {
            let mut bytes = archives[which].clone();
            (0..changes).for_each(|_| mutate(&mut bytes, &mut dice));
            bytes
        } else {
            let mut tar = tars[which].clone();
            (0..changes).for_each(|_| mutate(&mut tar, &mut dice));
            if dice.below(2) == 0 {
                mend(&mut tar);
            }
            gzip(&tar)
        };
        taken += u64::from(look(&archive, &known));
    }
    eprintln!("{tries} tries, {taken} taken, {:.1} s", began.elapsed().as_secs_f64());
}
