//! Backups while the server runs: taken into the data folder, fetched file by file, removed.
//!
//! A client never names a path of the server: it gets the name of the backup and of each file in it.

use std::io;
use std::path::{Path as FilePath, PathBuf};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodFilter;
use bytes::{Bytes, BytesMut};
use futures::stream;
use rapport_engine::{Act, EngineError};
use serde_json::{Value as Json, json};
use tokio::io::AsyncReadExt;

use super::extract::Auth;
use super::{Answer, Api, Route, json_response};
use crate::digest_file::digest_of;
use crate::problem::Problem;
use crate::secret_file;

/// The folder of backups in the data folder.
const BACKUP_FOLDER: &str = "backups";
/// Bytes read from a file at one time.
const PIECE_BYTES: usize = 64 << 10;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(MethodFilter::POST, "/v1/backup", "admin", take)
            .about("backup", "Takes a consistent backup while the server works on")
            .answers(201, "Its name, what it holds, and its files with size and SHA-256"),
        Route::new(MethodFilter::GET, "/v1/backup/{name}/{file}", "admin", fetch)
            .about("backup", "Gives a file of a backup")
            .gives("application/octet-stream")
            .answers(200, "The file"),
        Route::new(MethodFilter::DELETE, "/v1/backup/{name}", "admin", remove)
            .about("backup", "Removes a backup from the server")
            .answers(204, "It is gone"),
    ]
}

async fn take(State(api): State<Api>, Auth(caller): Auth) -> Answer {
    caller.everywhere(Act::Admin)?;
    let folder = api.data.join(BACKUP_FOLDER);
    let failed = |e: io::Error| Problem::internal(format!("the backup folder: {e}"));
    secret_file::make_folder(&folder).map_err(failed)?;
    let name = new_name(&api.engine.clock().now().to_string()).map_err(failed)?;
    let to = folder.join(&name);
    let report = match api.engine.store().backup(&to).await {
        Ok(report) => report,
        Err(error) => {
            // Half a backup is none.
            let _ = tokio::fs::remove_dir_all(&to).await;
            return Err(EngineError::from(error).into());
        }
    };
    let listed = tokio::task::spawn_blocking(move || list_files(&to)).await;
    let files = listed.map_err(|e| Problem::internal(e.to_string()))?.map_err(failed)?;
    Ok(json_response(StatusCode::CREATED, &json!({"name": name, "report": report, "files": files})))
}

/// A name that sorts by time and that nobody else takes.
fn new_name(now: &str) -> io::Result<String> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
    let digits: String = now.chars().filter(char::is_ascii_alphanumeric).take(15).collect();
    Ok(format!("{digits}-{:08x}", u32::from_be_bytes(random)))
}

fn list_files(folder: &FilePath) -> io::Result<Vec<Json>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let (digest, bytes) = digest_of(&mut std::fs::File::open(entry.path())?)?;
        files.push(json!({"name": entry.file_name().to_string_lossy(), "bytes": bytes, "sha256": digest}));
    }
    files.sort_by_key(|f| f["name"].to_string());
    Ok(files)
}

/// The place of a backup's file; names with anything but plain characters are not there.
fn place(api: &Api, name: &str, file: Option<&str>) -> Result<PathBuf, Problem> {
    let missing = || Problem::new("not_found", "there is no such backup");
    let mut path = api.data.join(BACKUP_FOLDER);
    for part in std::iter::once(name).chain(file) {
        if !is_plain(part) {
            return Err(missing());
        }
        path.push(part);
    }
    Ok(path)
}

/// Whether `part` can only name something in its own folder.
fn is_plain(part: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !part.is_empty() && part.len() <= 128 && !part.starts_with('.') && part.bytes().all(plain)
}

async fn fetch(State(api): State<Api>, Auth(caller): Auth, Path((name, file)): Path<(String, String)>) -> Answer {
    caller.everywhere(Act::Admin)?;
    let path = place(&api, &name, Some(&file))?;
    let missing = |_| Problem::new("not_found", "there is no such backup");
    let opened = tokio::fs::File::open(&path).await.map_err(missing)?;
    let length = opened.metadata().await.map_err(missing)?.len();
    let pieces = stream::unfold(Some(opened), |file| async move {
        let mut file = file?;
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        match file.read_buf(&mut piece).await {
            Ok(0) => None,
            Ok(_) => Some((Ok::<Bytes, io::Error>(piece.freeze()), Some(file))),
            Err(error) => Some((Err(error), None)),
        }
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

async fn remove(State(api): State<Api>, Auth(caller): Auth, Path(name): Path<String>) -> Answer {
    caller.everywhere(Act::Admin)?;
    let path = place(&api, &name, None)?;
    match tokio::fs::remove_dir_all(&path).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Problem::new("not_found", "there is no such backup"))
        }
        Err(error) => Err(Problem::internal(format!("removing a backup: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rapport_model::Digest;

    #[test]
    fn a_name_never_leaves_the_folder() {
        for bad in ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "a\\b", "a b", "ü", &"a".repeat(129)] {
            assert!(!is_plain(bad), "{bad}");
        }
        assert!(is_plain("20260301T020000-0a1b2c3d") && is_plain("rapport.sqlite") && is_plain("manifest.json"));
    }

    #[test]
    fn a_new_name_is_plain_and_tells_the_time() {
        let name = new_name("2026-03-01T02:00:00.123456Z").unwrap();
        assert!(name.starts_with("20260301T020000-") && is_plain(&name), "{name}");
    }

    #[test]
    fn files_are_listed_with_size_and_hash() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b.txt"), "abc").unwrap();
        std::fs::write(folder.path().join("a.txt"), "").unwrap();
        let files = list_files(folder.path()).unwrap();
        assert_eq!(
            (&files[0]["name"], &files[1]["name"], &files[1]["bytes"]),
            (&json!("a.txt"), &json!("b.txt"), &json!(3))
        );
        assert_eq!(files[1]["sha256"], Digest::of(b"abc").to_string());
    }
}
