//! Artifacts as playbooks name them: which there are, and the files of those that the cache holds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::file::Content;
use super::loader::Loader;
use super::possible::patterns;
use super::task::Context;
use crate::program::{File, Map, Span, Task, Value, artifact_key};
use crate::source::Diagnostic;

/// Every artifact that artifacts.yaml names, by name.
pub type Artifacts = BTreeMap<Arc<str>, Artifact>;

/// One artifact, for `artifact:` tasks and the variable `artifacts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Artifact {
    pub version: String,
    /// `None` as long as the cache does not hold it.
    pub files: Option<Vec<Held>>,
    /// For an image: the name it has in a container runtime.
    pub reference: Option<String>,
    /// The image's manifest, `sha256:…`; known with its files.
    pub digest: Option<String>,
}

/// A file in the controller's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub name: String,
    pub path: PathBuf,
    /// Hex.
    pub sha256: Arc<str>,
    /// Bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
}

impl Loader<'_> {
    /// Notes the artifacts that an `artifact` task names; an unknown one is a mistake.
    pub fn artifacts_of_task(&mut self, task: &Task, context: &Context) {
        let Some(argument) = task.arguments.named.iter().find(|argument| &*argument.name == "name") else { return };
        let (tree, span) = (argument.value.clone(), argument.span);
        for pattern in patterns(&tree, task.looping.as_ref()) {
            let artifacts = Arc::clone(&self.artifacts);
            let matching: Vec<&Arc<str>> = artifacts.keys().filter(|name| pattern.matches(name)).collect();
            if let (Some(exact), true) = (pattern.exact(), matching.is_empty())
                && !self.files.mistaken().names(exact)
            {
                self.unknown_artifact(exact, span);
            }
            for name in matching {
                self.want_artifact(name, &artifacts[name], context);
            }
        }
    }

    fn unknown_artifact(&mut self, name: &str, span: Span) {
        let artifacts = Arc::clone(&self.artifacts);
        let known = artifacts.keys().map(|name| &**name);
        let mistake = Diagnostic::error(format!("there is no artifact `{name}`"), span, name.chars().count() as u32).suggest(name, known);
        self.mistake(mistake.hint("artifacts.yaml names them; one of your own beside provision.yaml is merged over it"));
    }

    fn want_artifact(&mut self, name: &Arc<str>, artifact: &Artifact, context: &Context) {
        let folder = artifact_key(name);
        self.artifacts_used.insert(Arc::clone(name));
        self.uses.entry(Arc::clone(&context.owner)).or_default().files.insert(PathBuf::from(&folder));
        let Some(held) = &artifact.files else { return };
        for file in held {
            let plain = File::Plain { sha256: Arc::clone(&file.sha256), size: file.size, mode: file.mode, content: None, sealed: None };
            self.files_found.files.insert(format!("{folder}/{}", file.name).into(), plain);
            self.files_found.contents.insert(Arc::clone(&file.sha256), Content::Path(file.path.clone()));
        }
        let entries = held.iter().map(|file| file.name.as_str().into()).collect();
        self.files_found.files.insert(folder.into(), File::Directory { mode: 0o755, entries });
    }
}

/// The variable `artifacts`: by name `version`, and for images `reference` and `digest`, which is unknown to a plan until the
/// cache holds the image.
pub fn variable(artifacts: &Artifacts) -> Value {
    let one = |name: &str, artifact: &Artifact| {
        let mut map = Map::default();
        map.insert("version".into(), Value::text(artifact.version.as_str()));
        if let Some(reference) = &artifact.reference {
            map.insert("reference".into(), Value::text(reference.as_str()));
            let digest = artifact
                .digest
                .as_deref()
                .map_or_else(|| Value::unknown(format!("the artifact {name}, not in the cache yet")), Value::text);
            map.insert("digest".into(), digest);
        }
        Value::from(map)
    };
    let map: Map = artifacts.iter().map(|(name, artifact)| (crate::program::Key::from(&**name), one(name, artifact))).collect();
    Value::from(map)
}
