//! Tokens: 128 bits, of which the records hold the SHA-256. They are drawn from the run's random numbers, which follow from the run and from
//! the workspace's secret of 256 bits; a secret of the operator's goes in as well if he wants it so (`sign_tokens`).

use std::fmt::Write as _;

use rapport_sdk::{Error, random, secrets, settings};
use sha2::{Digest as _, Sha256};

/// Bytes of a token.
const BYTES: u32 = 16;
/// The secret with which tokens are drawn as well, if the operator wants it so.
const SECRET: &str = "survey-tokens";

/// Draws a token: 32 hexadecimal digits.
///
/// # Errors
/// The host's, if `sign_tokens` is set and there is no secret `survey-tokens`.
pub(crate) fn draw() -> Result<String, Error> {
    let drawn = random::bytes(BYTES * 2);
    let bytes = if settings::get::<bool>("sign_tokens")? {
        secrets::hmac_sha256(SECRET, &drawn)?
    } else {
        Sha256::digest(&drawn).to_vec()
    };
    Ok(hex(&bytes[..BYTES as usize]))
}

/// What is kept of a token; none for a text that is no token.
pub(crate) fn hash(token: &str) -> Option<String> {
    let fits =
        token.len() == 2 * BYTES as usize && token.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    fits.then(|| hex(&Sha256::digest(token.as_bytes())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use rapport_sdk::fake;

    use super::*;

    #[test]
    fn a_token_has_128_bits_and_is_kept_as_its_hash() {
        fake::reset();
        fake::set("sign_tokens", false);
        let (one, other) = (draw().unwrap(), draw().unwrap());
        assert!(one.len() == 32 && one != other);
        let kept = hash(&one).unwrap();
        assert!(kept.len() == 64 && !kept.contains(&one));
    }

    #[test]
    fn what_is_no_token_has_no_hash() {
        for text in [
            "",
            "open",
            "0123456789ABCDEF0123456789ABCDEF",
            "0123456789abcdef0123456789abcde",
            "../../etc/passwd",
            "0123456789abcdef0123456789abcdé",
        ] {
            assert_eq!(hash(text), None, "{text}");
        }
    }

    #[test]
    fn a_secret_of_the_operator_goes_into_tokens_if_he_wants_it_so() {
        fake::reset();
        fake::set("sign_tokens", true);
        assert_eq!(draw().unwrap_err().code(), "unknown_secret");
        fake::set_secret("survey-tokens", b"key");
        assert_eq!(draw().unwrap().len(), 32);
    }
}
