//! Files: a body as it is comes in, and goes out as a download that no browser runs.

use std::fmt::Write as _;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodFilter;
use rapport_engine::{FileListRequest, FileUpload};
use serde::Deserialize;

use super::extract::{Auth, Params, page_rows, read_body, write_options};
use super::page::page_response;
use super::{Answer, Api, Route, json_response};
use crate::problem::Problem;

/// What a file may do if a browser shows it after all: nothing.
const POLICY: &str = "default-src 'none'; sandbox";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::POST, "/v1/files", "write", put)
            .about("files", "Keeps a file: the body is its bytes, `Content-Type` its media type")
            .query("name", "string", "The name of the file; it must be given")
            .query("object", "string", "The object of the record that it is attached to, with `record`")
            .query("record", "string", "The record: an id, or `field:value` of a unique field")
            .header(
                "Idempotency-Key",
                "A key of your own; the same request again within 24 hours gives the same answer and keeps nothing more",
            )
            .takes("application/octet-stream", "File")
            .answers(200, "The file of an earlier request with this key")
            .answers(201, "What there is to know of the file"),
        Route::new(MethodFilter::GET, "/v1/files", "read", list)
            .about("files", "Lists files in the order in which they came: all, or those of a record")
            .query("object", "string", "The object of the record, with `record`")
            .query("record", "string", "The record: an id, or `field:value` of a unique field")
            .query("limit", "integer", "Files of the page, 1 to 1000; 50 if not given")
            .query("cursor", "string", "`next` of the page before, with the same other parameters")
            .answers(200, "A page"),
        Route::new(MethodFilter::GET, "/v1/files/{id}", "read", get)
            .about("files", "Says what there is to know of a file")
            .answers(200, "Name, media type, size, digest, the record that it is attached to, when it came"),
        Route::new(MethodFilter::GET, "/v1/files/{id}/content", "read", content)
            .about("files", "Gives the bytes of a file, as a download")
            .header("If-None-Match", "The digest, in quotes, of what you have")
            .gives("application/octet-stream")
            .answers(200, "The bytes; their digest is the ETag")
            .answers(304, "You have them"),
        Route::new(MethodFilter::DELETE, "/v1/files/{id}", "write", delete)
            .about("files", "Deletes a file; undo can bring it back as long as its bytes are kept")
            .answers(204, "It is gone"),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutParams {
    name: Option<String>,
    object: Option<String>,
    record: Option<String>,
}

/// The record that is named, if one is.
fn owner(object: Option<String>, record: Option<String>) -> Result<Option<(String, String)>, Problem> {
    match (object, record) {
        (None, None) => Ok(None),
        (Some(object), Some(record)) => Ok(Some((object, record))),
        (None, Some(_)) => Err(Problem::query("object", "say of which object the record is")),
        (Some(_), None) => Err(Problem::query("record", "say which record it is")),
    }
}

async fn put(
    State(api): State<Api>,
    Auth(caller): Auth,
    Params(params): Params<PutParams>,
    parts: Parts,
    body: Body,
) -> Answer {
    let name = params.name.ok_or_else(|| Problem::query("name", "give the file a name"))?;
    let attached = owner(params.object, params.record)?;
    let media_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.to_owned();
    let bytes = read_body(&api, &parts.headers, body, api.engine.file_rules().bytes_max).await?;
    let mut options = write_options(&parts, &bytes)?;
    // The same bytes as another type are another file.
    if let Some((_, fingerprint)) = &mut options.idempotency_key {
        *fingerprint = rapport_model::Digest::of(&[fingerprint.0.as_slice(), media_type.as_bytes()].concat());
    }
    let upload = FileUpload { name, media_type, content: bytes.as_ref().into(), attached };
    let kept = api.engine.put_file(&caller, upload, &options).await?;
    let status = if kept.replayed { StatusCode::OK } else { StatusCode::CREATED };
    let mut response = json_response(status, &kept.json);
    let place = format!("/v1/files/{}", kept.json["id"].as_str().unwrap_or_default());
    if let Ok(place) = HeaderValue::try_from(place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    if kept.replayed {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    object: Option<String>,
    record: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

async fn list(State(api): State<Api>, Auth(caller): Auth, Params(params): Params<ListParams>) -> Answer {
    let request = FileListRequest {
        attached: owner(params.object, params.record)?,
        limit: Some(page_rows(params.limit.as_deref())?),
        cursor: params.cursor,
    };
    Ok(page_response(&api.engine.files(&caller, &request).await.map_err(Problem::of_query)?))
}

async fn get(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &api.engine.file(&caller, &id).await?))
}

async fn content(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    let file = api.engine.file_content(&caller, &id).await?;
    let tag = format!("\"{}\"", file.sha256);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let has = known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag);
    let mut response =
        if has { StatusCode::NOT_MODIFIED.into_response() } else { Response::new(Body::from(file.bytes.to_vec())) };
    let all = response.headers_mut();
    if !has {
        all.insert(header::CONTENT_TYPE, HeaderValue::try_from(file.media_type).unwrap_or_else(|_| octets()));
        let disposition = HeaderValue::try_from(disposition(&file.name));
        all.insert(header::CONTENT_DISPOSITION, disposition.unwrap_or(HeaderValue::from_static("attachment")));
    }
    all.insert(header::ETAG, HeaderValue::try_from(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\"")));
    all.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    all.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    all.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

const fn octets() -> HeaderValue {
    HeaderValue::from_static("application/octet-stream")
}

/// `Content-Disposition` of a download (RFC 6266): the name in ASCII for old clients, and as it is (RFC 8187).
fn disposition(name: &str) -> String {
    let plain = |c: char| if matches!(c, ' '..='~') && !matches!(c, '"' | '\\' | '%') { c } else { '_' };
    let mut text = format!("attachment; filename=\"{}\"", name.chars().map(plain).collect::<String>());
    if name.chars().any(|c| plain(c) != c) {
        text.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

async fn delete(State(api): State<Api>, Auth(caller): Auth, Path(id): Path<String>) -> Answer {
    api.engine.delete_file(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[cfg(test)]
mod tests {
    use super::disposition;

    #[test]
    fn a_download_has_its_name_for_old_clients_and_for_new_ones() {
        assert_eq!(disposition("bill 7.pdf"), "attachment; filename=\"bill 7.pdf\"");
        let want = "attachment; filename=\"_\"; filename*=UTF-8''%E5%8D%95";
        assert_eq!(disposition("单"), want);
        let want = "attachment; filename=\"a_; b=_c\"; filename*=UTF-8''a%22%3B%20b%3D%25c";
        assert_eq!(disposition("a\"; b=%c"), want);
    }
}
