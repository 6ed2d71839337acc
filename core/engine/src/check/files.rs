//! Checks several scripts at once, as they would be live together: each may use what another one declares.

use std::collections::BTreeMap;
use std::sync::Arc;

use rapport_model::{AutomationId, Declaration, Schema, standard};
use rapport_sandbox::{Diagnostic, Examined, Manifest, Sandbox};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::check_examined;
use crate::automations::{check_against, with_declared};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::graph::Graph;
use crate::registry::AutomationKind;

/// Files of one check at most.
const FILES_MAX: usize = 1_000;

/// A script, or the manifest of a plugin, that is checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileToCheck {
    /// The automation; a manifest names its own.
    #[serde(default)]
    pub id: String,
    /// Where it came from, for people.
    pub path: String,
    /// The text of a script.
    #[serde(default)]
    pub source: Option<String>,
    /// The text of `plugin.toml`.
    #[serde(default)]
    pub manifest: Option<String>,
    /// The texts of the files that the manifest names, by their paths beside it.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
}

type Declared = (AutomationId, AutomationKind, Declaration);
type Problems = Vec<Diagnostic>;

/// What a file says of itself.
enum Read {
    Script(AutomationId, Box<Examined>),
    Plugin(AutomationId, Box<Declaration>),
}

impl Read {
    const fn declaration(&self) -> &Declaration {
        match self {
            Self::Script(_, examined) => &examined.declaration,
            Self::Plugin(_, declaration) => declaration,
        }
    }
}

impl Engine {
    /// Checks files against what is declared and live: syntax, names, rights, types, rules; and the circles that they would
    /// close. Changes nothing. The answer has an entry for each file, in their order.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::TooLarge`] for more than a thousand files.
    pub async fn check_files(&self, caller: &Caller, files: &[FileToCheck]) -> Result<Vec<Json>, EngineError> {
        caller.require(Act::Read)?;
        let snapshot = self.inner.snapshot.load().clone();
        let live = snapshot.active().iter().map(|v| (v.id.clone(), v.kind, v.declaration.clone())).collect();
        check_all(self.sandbox(), &self.inner.store.schema(), live, files).await
    }
}

/// Checks files without a workspace: against the standard objects and what the files themselves declare.
///
/// # Errors
/// [`EngineError::TooLarge`] for more than a thousand files.
pub async fn check_alone(sandbox: &Sandbox, files: &[FileToCheck]) -> Result<Vec<Json>, EngineError> {
    let mut schema = Schema::default();
    schema.objects.extend(standard::objects().into_iter().map(|def| (def.name.clone(), Arc::new(def))));
    schema.event_types.extend(standard::event_types().into_iter().map(|def| (def.name.clone(), Arc::new(def))));
    check_all(sandbox, &schema, Vec::new(), files).await
}

async fn check_all(
    sandbox: &Sandbox,
    schema: &Schema,
    live: Vec<Declared>,
    files: &[FileToCheck],
) -> Result<Vec<Json>, EngineError> {
    if files.len() > FILES_MAX {
        return Err(EngineError::TooLarge { what: "the list of files".into(), limit: format!("{FILES_MAX} files") });
    }
    let mut read = Vec::with_capacity(files.len());
    for file in files {
        read.push(read_file(sandbox, file).await);
    }
    // What one declares another one may use. What contradicts what is there is told where it is checked itself.
    let declared = read.iter().flatten().map(Read::declaration);
    let together = declared.fold(schema.clone(), |all, one| with_declared(&all, one).unwrap_or(all));
    let checked: Vec<Result<Declared, Problems>> =
        files.iter().zip(read).map(|(file, read)| read.and_then(|read| hold(&together, file, read))).collect();
    let good: Vec<&Declared> = checked.iter().flatten().collect();
    let mut all: Vec<Declared> =
        live.into_iter().filter(|(id, ..)| !good.iter().any(|(other, ..)| other == id)).collect();
    all.extend(good.into_iter().cloned());
    let graph = Graph::of(all, &together);
    Ok(files.iter().zip(&checked).map(|(file, checked)| shown(file, checked, &graph)).collect())
}

async fn read_file(sandbox: &Sandbox, file: &FileToCheck) -> Result<Read, Problems> {
    let at_top = |message: String| {
        vec![Diagnostic { path: file.path.clone(), line: 0, column: 0, message, help: String::new() }]
    };
    match (&file.source, &file.manifest) {
        (Some(source), None) => {
            let id = AutomationId::new(&file.id).map_err(|e| at_top(e.to_string()))?;
            Ok(Read::Script(id, Box::new(sandbox.examine_script(&file.path, source).await?)))
        }
        (None, Some(manifest)) => {
            let named = |path: &str| file.files.get(path).map(|text| text.clone().into_bytes());
            let manifest = Manifest::read(manifest, &named).map_err(|e| at_top(e.to_string()))?;
            let id = AutomationId::new(manifest.id.as_str()).map_err(|e| at_top(e.to_string()))?;
            Ok(Read::Plugin(id, Box::new(manifest.declaration)))
        }
        _ => Err(at_top("give either the `source` of a script or the `manifest` of a plugin".to_owned())),
    }
}

fn hold(together: &Schema, file: &FileToCheck, read: Read) -> Result<Declared, Problems> {
    let at_top = |message| Diagnostic { path: file.path.clone(), line: 0, column: 0, message, help: String::new() };
    match read {
        Read::Plugin(id, declaration) => match check_against(together, &declaration) {
            Ok(()) => Ok((id, AutomationKind::Plugin, *declaration)),
            Err(problems) => Err(problems.into_iter().map(at_top).collect()),
        },
        Read::Script(id, examined) => {
            let source = file.source.as_deref().unwrap_or_default();
            match check_examined(together, (&file.path, source), *examined) {
                Ok(declaration) => Ok((id, AutomationKind::Script, declaration)),
                Err(EngineError::Script(problems)) => Err(problems),
                Err(other) => Err(vec![at_top(other.to_string())]),
            }
        }
    }
}

fn shown(file: &FileToCheck, checked: &Result<Declared, Problems>, graph: &Graph) -> Json {
    match checked {
        Ok((id, _, declaration)) => json!({
            "file": file.path, "id": id, "ok": true, "declaration": declaration, "notices": graph.warnings_about(id),
        }),
        Err(problems) => {
            let one =
                |d: &Diagnostic| json!({ "line": d.line, "column": d.column, "message": d.message, "help": d.help });
            json!({ "file": file.path, "ok": false, "problems": problems.iter().map(one).collect::<Vec<_>>() })
        }
    }
}
