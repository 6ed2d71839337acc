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

/// Where a run's random numbers and ids come from: it follows from the run alone, so that a slice tried again draws the same.
pub(crate) fn of_run(run: RunId) -> Stream {
    Stream::new(run.0.as_bytes())
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
    fn a_seed_gives_the_same_bytes_however_they_are_taken() {
        let (mut one, mut two) = ([0; 70], [0; 70]);
        SeededEntropy::new(b"x").fill(&mut one);
        let source = SeededEntropy::new(b"x");
        two.chunks_mut(7).for_each(|part| source.fill(part));
        assert_eq!(one, two);
    }
}
