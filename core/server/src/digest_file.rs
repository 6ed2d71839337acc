//! The SHA-256 of what a reader gives, without holding it.

use std::io::{self, Read};

use rapport_model::Digest;
use sha2::{Digest as _, Sha256};

/// The digest of everything that `reader` gives, and how many bytes that was.
///
/// # Errors
/// The error of the reader.
pub fn digest_of(reader: &mut impl Read) -> io::Result<(Digest, u64)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut bytes = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok((Digest(hash.finalize().into()), bytes)),
            Ok(read) => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_whole_content() {
        let content = vec![7; 200_000];
        assert_eq!(digest_of(&mut content.as_slice()).unwrap(), (Digest::of(&content), 200_000));
        assert_eq!(digest_of(&mut &b""[..]).unwrap(), (Digest::of(b""), 0));
    }
}
