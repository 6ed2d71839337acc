//! The other half of Standard Webhooks: whether a request was signed by somebody who knows a secret.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rapport_model::Timestamp;
use sha2::Sha256;

use super::key_of;
use crate::outbound::secrets::Secrets;

/// How far the time of a request may be from ours, in seconds.
const TOLERANCE_SECONDS: i64 = 300;
/// The longest id of a request, in bytes.
const ID_BYTES_MAX: usize = 200;
/// The most signatures of one request that are looked at, and the most keys of one secret.
const SIGNATURES_MAX: usize = 8;

/// The headers of a signed request.
#[derive(Debug, Clone, Default)]
pub(crate) struct SignedBy {
    /// `webhook-id`: the same one means the same request.
    pub(crate) id: String,
    /// `webhook-timestamp`, in seconds.
    pub(crate) timestamp: String,
    /// `webhook-signature`: one or more, with spaces between them.
    pub(crate) signatures: String,
}

/// Why a signed request is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotSigned {
    /// What is wrong, for whoever sends it, or for the log.
    pub(crate) message: String,
    /// Whether the secret cannot be used: then the message is for the log alone.
    pub(crate) ours: bool,
}

fn theirs<T>(message: impl Into<String>) -> Result<T, NotSigned> {
    Err(NotSigned { message: message.into(), ours: false })
}

/// Passes if one of the signatures is that of `body` by a key of the secret `name`, and its time is now. The secret may hold several keys
/// with spaces between them, so that keys can be changed without a gap.
///
/// # Errors
/// [`NotSigned`].
pub(crate) fn verify(
    secrets: &Secrets,
    name: &str,
    (signed, body): (&SignedBy, &[u8]),
    now: Timestamp,
) -> Result<(), NotSigned> {
    if signed.id.is_empty() || signed.id.len() > ID_BYTES_MAX || !signed.id.bytes().all(|b| b.is_ascii_graphic()) {
        return theirs(format!("`webhook-id` is 1 to {ID_BYTES_MAX} visible characters"));
    }
    let Some(seconds) = seconds(&signed.timestamp) else {
        return theirs("`webhook-timestamp` is the time of sending in whole seconds since 1970");
    };
    if now.micros().div_euclid(1_000_000).abs_diff(seconds) > TOLERANCE_SECONDS.unsigned_abs() {
        return theirs(format!("`webhook-timestamp` is more than {TOLERANCE_SECONDS} seconds from the time here"));
    }
    let given: Vec<Vec<u8>> = signed
        .signatures
        .split(' ')
        .filter_map(|signature| BASE64_STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .take(SIGNATURES_MAX)
        .collect();
    if given.is_empty() {
        return theirs("`webhook-signature` holds no signature of version 1: `v1,` and the base64 of an HMAC-SHA-256");
    }
    let keys = keys(secrets, name).map_err(|message| NotSigned { message, ours: true })?;
    let of = |key: &Vec<u8>| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        for part in [signed.id.as_bytes(), b".", signed.timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac
    };
    // Each comparison takes the same time, however much of a signature is right.
    let known = keys.iter().any(|key| given.iter().any(|signature| of(key).verify_slice(signature).is_ok()));
    if known { Ok(()) } else { theirs("no signature is that of this request by a key that is known here") }
}

fn seconds(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn keys(secrets: &Secrets, name: &str) -> Result<Vec<Vec<u8>>, String> {
    let secret = secrets.read(name).map_err(|e| e.to_string())?;
    let keys = secret.reveal().split(' ').filter(|text| !text.is_empty()).take(SIGNATURES_MAX);
    keys.map(|text| key_of(name, text).map_err(|e| e.message)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sign;
    use super::*;
    use crate::outbound::secrets::NamedSecret;

    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn signature(key: &str, id: &str, seconds: &str, body: &[u8]) -> String {
        sign(&BASE64_STANDARD.decode(key.strip_prefix("whsec_").unwrap()).unwrap(), id, seconds, body)
    }

    fn verified(secret: &str, signed: &SignedBy, body: &[u8]) -> Result<(), NotSigned> {
        let data = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(data.path());
        secrets.set("partner", &NamedSecret::new(secret, &["partner.example".into()]).unwrap()).unwrap();
        verify(&secrets, "partner", (signed, body), Timestamp::from_micros(1_614_265_330_000_000))
    }

    fn signed(id: &str, timestamp: &str, signatures: &str) -> SignedBy {
        SignedBy { id: id.into(), timestamp: timestamp.into(), signatures: signatures.into() }
    }

    #[test]
    fn the_example_of_the_specification_passes() {
        // https://github.com/standard-webhooks/standard-webhooks, the test vector of its libraries.
        let example =
            signed("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(verified(OLD, &example, br#"{"test": 2432232314}"#), Ok(()));
        assert!(verified(OLD, &example, br#"{"test": 2432232315}"#).is_err());
    }

    #[test]
    fn one_right_signature_of_one_known_key_is_enough() {
        let (id, at, body) = ("m1", "1614265330", b"{}".as_slice());
        let (by_old, by_new) = (signature(OLD, id, at, body), signature(NEW, id, at, body));
        for (secret, signatures, passes) in [
            (OLD.to_owned(), by_old.clone(), true),
            (NEW.to_owned(), by_old.clone(), false),
            (NEW.to_owned(), format!("{by_old} {by_new}"), true),
            (format!("{NEW} {OLD}"), by_old.clone(), true),
            (OLD.to_owned(), format!("v2,xyz v1a,abc {by_old}"), true),
            (OLD.to_owned(), by_old.replace("v1,", "v2,"), false),
            (OLD.to_owned(), by_old[..20].to_owned(), false),
        ] {
            assert_eq!(verified(&secret, &signed(id, at, &signatures), body).is_ok(), passes, "{secret} {signatures}");
        }
    }

    #[test]
    fn what_is_old_or_from_tomorrow_or_nameless_is_refused() {
        let body = b"{}".as_slice();
        let at = |id: &str, seconds: &str| {
            verified(OLD, &signed(id, seconds, &signature(OLD, id, seconds, body)), body).map_err(|e| e.message)
        };
        for seconds in ["1614265030", "1614265630"] {
            assert_eq!(at("m1", seconds), Ok(()), "{seconds}");
        }
        for seconds in ["1614265029", "1614265631", "", "-1", "1614265330.0", "99999999999999", "soon"] {
            assert!(at("m1", seconds).unwrap_err().contains("webhook-timestamp"), "{seconds}");
        }
        for id in ["", "a b", "ü", &"x".repeat(201)] {
            assert!(at(id, "1614265330").unwrap_err().contains("webhook-id"), "{id}");
        }
    }

    #[test]
    fn a_secret_that_cannot_sign_is_ours_to_mend() {
        let signed = signed("m1", "1614265330", "v1,AAAA");
        let refused = verified("plain text of some length", &signed, b"").unwrap_err();
        assert!(refused.ours && refused.message.contains("whsec_"), "{refused:?}");
        let nowhere = verify(
            &Secrets::new(tempfile::tempdir().unwrap().path()),
            "partner",
            (&signed, b""),
            Timestamp::from_micros(1_614_265_330_000_000),
        );
        assert!(nowhere.unwrap_err().ours);
    }
}
