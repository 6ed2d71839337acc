//! `rapport file`: keeps, fetches, lists and removes files.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use ureq::http::Method;

use super::{Common, Failure, Outcome};
use crate::client::{Address, Call};

/// Media types by the ends of names.
const TYPES: [(&str, &str); 26] = [
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("eml", "message/rfc822"),
    ("gif", "image/gif"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("log", "text/plain"),
    ("md", "text/plain"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain"),
    ("wav", "audio/wav"),
    ("webp", "image/webp"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("zip", "application/zip"),
];

/// What can be done with files.
#[derive(Debug, Subcommand)]
pub(super) enum FileCommand {
    /// Keeps a file.
    Put {
        /// The file.
        path: PathBuf,
        /// The record that it is attached to, such as `customer/customer_no:1`.
        #[arg(long, value_name = "OBJECT/KEY")]
        to: Option<String>,
        /// Its name; that of the file if not given.
        #[arg(long)]
        name: Option<String>,
        /// Its media type; told by the end of its name if not given.
        #[arg(long = "type", value_name = "TYPE")]
        media_type: Option<String>,
    },
    /// Fetches a file.
    Get {
        /// Its id.
        id: String,
        /// Where to write it; `-` writes it to the standard output. By its own name into this folder if not given.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Lists files: all, or those of a record.
    List {
        /// The record, such as `customer/customer_no:1`.
        #[arg(value_name = "OBJECT/KEY")]
        of: Option<String>,
        /// Files of the page.
        #[arg(long)]
        limit: Option<u32>,
        /// `next` of the page before.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Removes a file.
    Rm {
        /// Its id.
        id: String,
    },
}

pub(super) fn run(common: &Common, command: &FileCommand) -> Outcome {
    match command {
        FileCommand::Put { path, to, name, media_type } => {
            put(common, path, (to.as_deref(), name.as_deref(), media_type.as_deref()))?;
        }
        FileCommand::Get { id, output } => get(common, id, output.as_deref())?,
        FileCommand::List { of, limit, cursor } => {
            let owner = of.as_deref().map(owner).transpose()?;
            let path = Address::of(&["v1", "files"])
                .query("object", owner.map(|(object, _)| object))
                .query("record", owner.map(|(_, key)| key))
                .query("limit", limit.map(|n| n.to_string()).as_deref())
                .query("cursor", cursor.as_deref())
                .text();
            let page = common.client()?.get(&path)?;
            common.output().list(&page, &["id", "name", "media_type", "size", "object", "record", "created_at"]);
        }
        FileCommand::Rm { id } => {
            common.client()?.delete(&Address::of(&["v1", "files", id]).text())?;
            common.output().show(&serde_json::json!({ "deleted": id }), |_| format!("deleted: {id}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn owner(text: &str) -> Result<(&str, &str), Failure> {
    text.split_once('/').ok_or_else(|| Failure::Usage(format!("`{text}`: write OBJECT/KEY")))
}

fn put(
    common: &Common,
    path: &Path,
    (to, name, media_type): (Option<&str>, Option<&str>, Option<&str>),
) -> Result<(), Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure::Usage(format!("cannot read {}: {e}", path.display())))?;
    let own = path.file_name().and_then(|name| name.to_str());
    let name = name.or(own).ok_or_else(|| Failure::Usage("give it a name with --name".into()))?;
    let owner = to.map(owner).transpose()?;
    let address = Address::of(&["v1", "files"])
        .query("name", Some(name))
        .query("object", owner.map(|(object, _)| object))
        .query("record", owner.map(|(_, key)| key))
        .text();
    let media = media_type.unwrap_or_else(|| type_of(name));
    let call = Call { path: address, body: Some(&bytes), media, headers: Vec::new() };
    common.output().one(&common.client()?.json(&Method::POST, &call)?);
    Ok(())
}

fn type_of(name: &str) -> &'static str {
    let end = name.rsplit_once('.').map_or("", |(_, end)| end).to_ascii_lowercase();
    TYPES.iter().find(|(known, _)| *known == end).map_or("application/octet-stream", |(_, media)| media)
}

fn get(common: &Common, id: &str, output: Option<&Path>) -> Result<(), Failure> {
    let client = common.client()?;
    let info = client.get(&Address::of(&["v1", "files", id]).text())?;
    let path = Address::of(&["v1", "files", id, "content"]).text();
    let mut bytes = Vec::new();
    let read = client.stream(&Call { path, ..Call::default() })?.read_to_end(&mut bytes);
    read.map_err(|e| Failure::Failed(format!("the file broke off: {e}")))?;
    if output == Some(Path::new("-")) {
        let written = std::io::stdout().write_all(&bytes);
        return written.map_err(|e| Failure::Failed(format!("cannot write: {e}")));
    }
    // The server keeps no name that is a path, and another server might.
    let own = Path::new(info["name"].as_str().unwrap_or_default()).file_name().map(PathBuf::from);
    let path = output.map(Path::to_path_buf).or(own).ok_or_else(|| Failure::Failed("the file has no name".into()))?;
    let failed = |e: std::io::Error| Failure::Failed(format!("cannot write {}: {e}", path.display()));
    let mut file = if output.is_some() {
        std::fs::File::create(&path).map_err(failed)?
    } else {
        // What lies here by that name stays: whoever sent the file chose its name.
        std::fs::File::create_new(&path).map_err(failed)?
    };
    file.write_all(&bytes).map_err(failed)?;
    common.output().show(&info, |_| format!("written: {} ({} bytes)", path.display(), bytes.len()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_name_tells_the_type() {
        assert_eq!(type_of("Bill.PDF"), "application/pdf");
        assert_eq!(type_of("bill.pdf.exe"), "application/octet-stream");
        assert_eq!(type_of("bill"), "application/octet-stream");
    }

    #[test]
    fn the_types_are_in_order() {
        assert!(TYPES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
