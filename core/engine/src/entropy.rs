//! Where ids come from: an argument of the engine, like its clock.

use std::fmt;
use std::sync::Mutex;

use rapport_model::{RecordId, RunId, Timestamp};
use sha2::{Digest as _, Sha256};

/// Gives random bytes. Two ship: the system's, and a seeded one for tests and replays.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// The random numbers of the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives random numbers, or nothing here is safe");
    }
}

/// Bytes that follow from a seed: the same seed gives the same bytes, for good.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<Stream>);

impl SeededEntropy {
    /// A source that follows from `seed`.
    #[must_use]
    pub fn new(seed: &[u8]) -> Self {
        Self(Mutex::new(Stream::new(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).fill(bytes);
    }
}

/// A stream of bytes: SHA-256 of seed and counter, block by block.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    seed: [u8; 32],
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl Stream {
    pub(crate) fn new(seed: &[u8]) -> Self {
        Self { seed: Sha256::digest(seed).into(), counter: 0, block: [0; 32], used: 32 }
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == self.block.len() {
                let mut hash = Sha256::new();
                hash.update(self.seed);
                hash.update(self.counter.to_be_bytes());
                self.block = hash.finalize().into();
                self.counter += 1;
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }

    /// The next record id at `time`.
    pub(crate) fn record_id(&mut self, time: Timestamp) -> RecordId {
        let mut random = [0; 10];
        self.fill(&mut random);
        RecordId::from_parts(time.micros(), random)
    }
}

/// The secret of a workspace: random numbers and ids of runs follow from it and from the run, so that a slice tried again draws the same, and
/// who sees the id of a run cannot tell what it drew.
#[derive(Clone, Copy)]
pub struct RunSecret(Option<[u8; 32]>);

impl fmt::Debug for RunSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunSecret(…)")
    }
}

impl RunSecret {
    /// None: what is drawn follows from the run alone. For workspaces that are thrown away and show nobody anything, such as those of
    /// scenarios, whose tokens are known beforehand.
    pub(crate) const NONE: Self = Self(None);

    /// The secret with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(Some(bytes))
    }

    /// A random one.
    pub(crate) fn drawn(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        Self(Some(bytes))
    }

    /// Where the numbers and ids of the first slice of a run come from.
    pub(crate) fn of_run(&self, run: RunId) -> Stream {
        self.stream(&[run.0.as_bytes()])
    }

    /// A stream that follows from this secret and from `parts`.
    pub(crate) fn stream(&self, parts: &[&[u8]]) -> Stream {
        let secret = self.0.as_ref().map_or(&[][..], |secret| secret);
        Stream::new(&[&[secret], parts].concat().concat())
    }
}

/// A new record id at `time`.
pub(crate) fn record_id(entropy: &dyn Entropy, time: Timestamp) -> RecordId {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    RecordId::from_parts(time.micros(), random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_draws_follows_from_the_secret_and_from_the_run() {
        let draw = |secret: u8, run: u8| {
            let mut bytes = [0; 16];
            RunSecret::new([secret; 32]).of_run(RunId::from_parts(0, [run; 10])).fill(&mut bytes);
            bytes
        };
        assert_eq!(draw(1, 1), draw(1, 1));
        assert_ne!(draw(1, 1), draw(2, 1));
        assert_ne!(draw(1, 1), draw(1, 2));
        assert_ne!(draw(1, 1), {
            let mut bytes = [0; 16];
            RunSecret::NONE.of_run(RunId::from_parts(0, [1; 10])).fill(&mut bytes);
            bytes
        });
        assert_eq!(format!("{:?}", RunSecret::new([7; 32])), "RunSecret(…)");
    }

    #[test]
    fn a_seed_gives_the_same_bytes_however_they_are_taken() {
        let (mut one, mut two) = ([0; 70], [0; 70]);
        SeededEntropy::new(b"x").fill(&mut one);
        let source = SeededEntropy::new(b"x");
        two.chunks_mut(7).for_each(|part| source.fill(part));
        assert_eq!(one, two);
    }
}
