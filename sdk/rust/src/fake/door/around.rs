//! See `kv`, `secrets`, `scripts`, `jobs` and `context` in the contract.

/// What the plugin keeps for itself.
#[expect(clippy::unnecessary_wraps, reason = "the signatures are the contract's")]
pub(crate) mod kv {
    use super::super::{WireError, refuse, world};
    use crate::bindings::rapport::plugin::kv::Entry;

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, WireError> {
        Ok(world(|w| w.kept.get(key).cloned()))
    }

    pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), WireError> {
        world(|w| w.kept.insert(key.into(), value.into()));
        Ok(())
    }

    pub(crate) fn delete(key: &str) -> Result<bool, WireError> {
        Ok(world(|w| w.kept.remove(key)).is_some())
    }

    pub(crate) fn list(prefix: &str, after: &str, limit: u32) -> Result<Vec<Entry>, WireError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(world(|w| {
            let found = w.kept.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after).take(limit);
            found.map(|(key, value)| Entry { key: key.clone(), value: value.clone() }).collect()
        }))
    }

    pub(crate) fn increment(key: &str, delta: i64) -> Result<i64, WireError> {
        let kept = get(key)?.unwrap_or_else(|| b"0".to_vec());
        let number = std::str::from_utf8(&kept).ok().and_then(|text| text.parse::<i64>().ok());
        let Some(sum) = number.and_then(|number| number.checked_add(delta)) else {
            return refuse("invalid", format!("`{key}` holds no whole number to add to"));
        };
        set(key, sum.to_string().as_bytes())?;
        Ok(sum)
    }
}

/// Secrets.
pub(crate) mod secrets {
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    use super::super::{WireError, need, refuse, world};

    pub(crate) fn exists(name: &str) -> Result<bool, WireError> {
        need(&format!("secret:{name}"))?;
        Ok(world(|w| w.secrets.contains_key(name)))
    }

    pub(crate) fn hmac_sha256(name: &str, message: &[u8]) -> Result<Vec<u8>, WireError> {
        need(&format!("secret:{name}"))?;
        let Some(key) = world(|w| w.secrets.get(name).cloned()) else {
            return refuse("unknown_secret", format!("there is no secret `{name}`; store it with `fake::set_secret`"));
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key for HMAC may have any length");
        mac.update(message);
        Ok(mac.finalize().into_bytes().to_vec())
    }
}

/// Functions of scripts.
pub(crate) mod scripts {
    use super::super::{WireError, need, refuse, world};
    use crate::Json;
    use crate::fake::ScriptCall;

    pub(crate) fn run(script: &str, function: &str, arguments: &str) -> Result<String, WireError> {
        need(&format!("script:{script}"))?;
        let found = world(|w| w.functions.get(&(script.into(), function.into())).cloned());
        if let Some(answers) = found {
            let arguments: Vec<Json> = serde_json::from_str(arguments).unwrap_or_default();
            return Ok(answers(&arguments)?.to_string());
        }
        if world(|w| w.scripts.is_none() && w.functions.keys().any(|(known, _)| known == script)) {
            return refuse(
                "unknown_function",
                format!("the script has no function `{function}`: give it with `fake::script`"),
            );
        }
        // Taken out while it is called, so that it may look into the world itself.
        let Some(answers) = world(|w| w.scripts.take()) else {
            let why = format!("there is no script `{script}`: give its functions with `fake::script`");
            return refuse("unknown_script", why);
        };
        let arguments = serde_json::from_str(arguments).unwrap_or_default();
        let result = answers(&ScriptCall { script: script.into(), function: function.into(), arguments });
        world(|w| w.scripts = Some(answers));
        Ok(result?.to_string())
    }
}

/// Work for later.
#[expect(clippy::unnecessary_wraps, reason = "the signature is the contract's")]
pub(crate) mod jobs {
    use super::super::{WireError, world};
    use crate::Timestamp;
    use crate::fake::Job;

    pub(crate) fn start(action: &str, input: &str, at: Option<i64>) -> Result<String, WireError> {
        let input = serde_json::from_str(input).unwrap_or_default();
        Ok(world(|w| {
            w.jobs.push(Job { action: action.into(), input, at: at.map(Timestamp) });
            format!("job-{}", w.jobs.len())
        }))
    }
}

/// What the plugin is running as.
pub(crate) mod context {
    use super::super::world;

    pub(crate) fn run() -> String {
        world(|w| w.context.run.clone())
    }

    pub(crate) fn plugin() -> String {
        world(|w| w.context.plugin.clone())
    }

    pub(crate) fn actor() -> String {
        world(|w| w.context.actor.clone())
    }

    pub(crate) fn slice() -> u32 {
        world(|w| w.context.slice)
    }
}
