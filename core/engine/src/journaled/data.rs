//! How tables, kept values, files and hits stand in the journal.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rapport_model::{Name, Timestamp, Value};
use rapport_sandbox::{FileInfo, KvEntry, SearchFound, Table};
use serde_json::{Value as Json, json};

use crate::journal;

pub(super) fn table_json(table: &Table) -> Json {
    let rows: Vec<Vec<Json>> = table.rows.iter().map(|row| row.iter().map(journal::value_json).collect()).collect();
    json!({ "rows": rows, "objects": table.objects, "next": table.next })
}

pub(super) fn read_table(json: &Json) -> Table {
    let list = |json: &Json| json.as_array().cloned().unwrap_or_default();
    let row = |row: Json| -> Vec<Value> {
        list(&row).iter().map(|value| journal::read_value(value).unwrap_or_default()).collect()
    };
    let objects = list(&json["objects"]).iter().map(|name| Name::new(name.as_str()?).ok()).collect();
    Table {
        rows: list(&json["rows"]).into_iter().map(row).collect(),
        objects,
        next: json["next"].as_str().map(str::to_owned),
    }
}

pub(super) fn bytes_json(bytes: &[u8]) -> Json {
    STANDARD.encode(bytes).into()
}

pub(super) fn read_bytes(json: &Json) -> Vec<u8> {
    json.as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default()
}

pub(super) fn entries_json(entries: &[KvEntry]) -> Json {
    entries.iter().map(|entry| json!([entry.key, bytes_json(&entry.value)])).collect()
}

pub(super) fn read_entries(json: &Json) -> Vec<KvEntry> {
    let entry =
        |json: &Json| KvEntry { key: json[0].as_str().unwrap_or_default().to_owned(), value: read_bytes(&json[1]) };
    json.as_array().into_iter().flatten().map(entry).collect()
}

pub(super) fn file_json(info: &FileInfo) -> Json {
    json!({
        "id": info.id,
        "name": info.name,
        "type": info.media_type,
        "size": info.size,
        "sha256": info.sha256,
        "of": info.attached,
        "t": info.created_at.micros(),
    })
}

pub(super) fn read_file(json: &Json) -> Option<FileInfo> {
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let attached = json["of"][0].as_str().zip(json["of"][1].as_str());
    Some(FileInfo {
        id: text("id")?,
        name: text("name")?,
        media_type: text("type")?,
        size: json["size"].as_u64()?,
        sha256: text("sha256")?,
        attached: attached.map(|(object, id)| (object.to_owned(), id.to_owned())),
        created_at: Timestamp::from_micros(json["t"].as_i64()?),
    })
}

pub(super) fn hit_json(hit: &SearchFound) -> Json {
    json!([hit.id, hit.score, hit.field, hit.text, hit.matches])
}

pub(super) fn read_hit(json: &Json) -> Option<SearchFound> {
    let text = |place: usize| json[place].as_str().map(str::to_owned);
    let matches = json[4].as_array()?.iter().map(|span| serde_json::from_value(span.clone()).ok());
    Some(SearchFound {
        id: text(0)?,
        score: json[1].as_f64()?,
        field: text(2)?,
        text: text(3)?,
        matches: matches.collect::<Option<_>>()?,
    })
}
