//! What handlers take out of a request: the caller, strict query parameters, bodies with a cap and a deadline, and the
//! headers that make writes safe.

use axum::body::Body;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use rapport_engine::{Caller, WriteOptions};
use rapport_model::Digest;
use rapport_model::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::{Api, millis};
use crate::problem::Problem;
use crate::strict_json;

/// The longest idempotency key and the hours it is kept, for the documentation.
pub const API_LIMITS: (usize, u32) = (255, 24);

/// The caller behind the bearer key of a request.
pub(super) struct Auth(pub(super) Caller);

impl FromRequestParts<Api> for Auth {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let bearer = bearer(&parts.headers)?;
        Ok(Self(api.engine.authenticate(bearer).await?))
    }
}

/// The key in `Authorization: Bearer …`.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || Problem::new("unauthenticated", "send a key: `Authorization: Bearer …`");
    let text = headers.get(header::AUTHORIZATION).ok_or_else(missing)?.to_str().map_err(|_| missing())?;
    let (scheme, key) = text.split_once(' ').ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(key.trim()) } else { Err(missing()) }
}

/// Query parameters read strictly: an unknown one, or one given twice, is refused by name.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        read.map(|Query(values)| Self(values)).map_err(|e| {
            let text = e.body_text();
            let reason = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, reason)| reason);
            Problem::new("invalid_query", reason)
        })
    }
}

/// How many rows a page shall have.
pub(super) fn page_rows(limit: Option<&str>) -> Result<u32, Problem> {
    let Some(text) = limit else { return Ok(PAGE_ROWS_DEFAULT) };
    match text.parse::<u32>() {
        Ok(rows) if (1..=PAGE_ROWS_MAX).contains(&rows) => Ok(rows),
        _ => Err(Problem::query("limit", format!("must be a whole number from 1 to {PAGE_ROWS_MAX}"))),
    }
}

/// A body held in memory: at most `max` bytes, arriving within the time for bodies.
pub(super) async fn read_body(api: &Api, headers: &HeaderMap, body: Body, max: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::new("too_large", format!("the body is larger than {max} bytes"));
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if declared.is_some_and(|length: u64| length > max as u64) {
        return Err(too_large());
    }
    let collect = async {
        let mut pieces = body.into_data_stream();
        let broke = |_| Problem::new("bad_request", "the body broke off");
        let Some(first) = pieces.next().await.transpose().map_err(broke)? else { return Ok(Bytes::new()) };
        if first.len() > max {
            return Err(too_large());
        }
        // Most bodies are one piece: those are not copied.
        let Some(second) = pieces.next().await.transpose().map_err(broke)? else { return Ok(first) };
        let mut whole = BytesMut::from(first.as_ref());
        let mut next = Some(second);
        while let Some(piece) = next {
            if whole.len() + piece.len() > max {
                return Err(too_large());
            }
            whole.extend_from_slice(&piece);
            next = pieces.next().await.transpose().map_err(broke)?;
        }
        Ok(whole.freeze())
    };
    let limit = millis(api.limits.body_ms_max);
    match timeout(limit, collect).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new("request_timeout", format!("the body took longer than {} s", limit.as_secs()))),
    }
}

/// The media type of the body in lower case, without parameters; empty if none is named.
pub(super) fn media_type(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(String::new()) };
    let text = value.to_str().map_err(|_| Problem::header("content-type", "is not readable"))?;
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let utf8 = value.trim_matches('"').eq_ignore_ascii_case("utf-8");
        if name.eq_ignore_ascii_case("charset") && !utf8 {
            return Err(Problem::new("unsupported_media_type", "the body must be UTF-8"));
        }
    }
    Ok(essence)
}

/// Refuses a body whose media type is named and is not `want`.
pub(super) fn expect_media(headers: &HeaderMap, want: &[&str]) -> Result<(), Problem> {
    let media = media_type(headers)?;
    if media.is_empty() || want.contains(&media.as_str()) {
        return Ok(());
    }
    let detail = format!("`{media}` is not taken here; send {}", want.join(" or "));
    Err(Problem::new("unsupported_media_type", detail))
}

/// A JSON body, read strictly.
pub(super) async fn read_json(api: &Api, headers: &HeaderMap, body: Body) -> Result<(Bytes, Json), Problem> {
    expect_media(headers, &["application/json", "application/merge-patch+json"])?;
    let bytes = read_body(api, headers, body, api.limits.body_bytes_max).await?;
    let json = strict_json::parse(&bytes).map_err(|e| Problem::new("invalid_json", e.to_string()))?;
    Ok((bytes, json))
}

/// A JSON body, read strictly into a type that refuses keys it does not know.
pub(super) async fn read_typed<T: DeserializeOwned>(api: &Api, headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    let (_, json) = read_json(api, headers, body).await?;
    serde_json::from_value(json).map_err(|e| Problem::new("invalid", e.to_string()))
}

/// `If-Match` and `Idempotency-Key` of a write. The fingerprint covers method, address and body.
pub(super) fn write_options(parts: &Parts, body: &[u8]) -> Result<WriteOptions, Problem> {
    Ok(WriteOptions {
        if_match: if_match(&parts.headers)?,
        idempotency_key: idempotency_key(&parts.headers)?.map(|key| (key, fingerprint(parts, body))),
    })
}

/// The version that `If-Match` names; `*` names any.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let bad = || Problem::header("if-match", "must be one version in quotes, as an ETag shows it: \"3\"");
    if values.next().is_some() {
        return Err(bad());
    }
    let text = value.to_str().map_err(|_| bad())?.trim();
    if text == "*" {
        return Ok(None);
    }
    version_in_quotes(text).map(Some).ok_or_else(bad)
}

/// The version in an `ETag`.
pub(super) fn version_in_quotes(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('"')?.strip_suffix('"')?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let bad = || Problem::header("idempotency-key", format!("must be 1 to {} printable characters", API_LIMITS.0));
    let text = value.to_str().map_err(|_| bad())?.trim();
    let printable = text.bytes().all(|b| (0x20..0x7f).contains(&b));
    if values.next().is_some() || text.is_empty() || text.len() > API_LIMITS.0 || !printable {
        return Err(bad());
    }
    Ok(Some(text.to_owned()))
}

pub(super) fn fingerprint(parts: &Parts, body: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(parts.method.as_str());
    hash.update(b"\0");
    hash.update(parts.uri.path_and_query().map_or("", |p| p.as_str()));
    hash.update(b"\0");
    // What the client expects the record to be is a part of what it asks for.
    if let Some(expected) = parts.headers.get(header::IF_MATCH) {
        hash.update(expected.as_bytes());
    }
    hash.update(b"\0");
    hash.update(body);
    Digest(hash.finalize().into())
}

#[cfg(test)]
mod tests;
