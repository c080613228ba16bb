//! Case files as they are written.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value as Json;

/// One case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    #[serde(skip)]
    pub place: String,
    #[serde(skip)]
    pub module: String,
    #[serde(default)]
    pub name: Option<String>,
    /// Why the case is here, for readers.
    #[serde(default, rename = "why")]
    _why: Option<String>,
    #[serde(default)]
    pub arguments: serde_json::Map<String, Json>,
    #[serde(default)]
    pub system: Json,
    #[serde(default)]
    pub source: Option<SourceCase>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub plan: Vec<String>,
    #[serde(default)]
    pub runs: Option<Vec<String>>,
    #[serde(default)]
    pub result: serde_json::Map<String, Json>,
    #[serde(default)]
    pub predicted: serde_json::Map<String, Json>,
    #[serde(default)]
    pub check: serde_json::Map<String, Json>,
    #[serde(default)]
    pub diff: Option<Vec<String>>,
    #[serde(default)]
    pub after: Option<After>,
    #[serde(default)]
    pub again: Vec<String>,
    #[serde(default)]
    pub fails: Option<String>,
    #[serde(default)]
    pub hint: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Plan,
    #[default]
    Apply,
    Check,
}

/// The machine afterwards, as far as said; file entries have the shape of `system: files`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct After {
    pub files: BTreeMap<String, AfterFile>,
    pub directories: BTreeMap<String, AfterFile>,
    pub links: BTreeMap<String, String>,
    pub absent: Vec<String>,
    /// `bob: {uid: 1000, groups: [docker]}`; null: gone.
    pub users: BTreeMap<String, Option<serde_json::Map<String, Json>>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum AfterFile {
    Text(String),
    Full(AfterDetails),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AfterDetails {
    pub content: Option<String>,
    pub mode: Option<String>,
    pub owner: Option<String>,
    pub group: Option<String>,
    pub modified: Option<f64>,
    pub accessed: Option<f64>,
    pub attributes: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceCase {
    pub path: String,
    pub files: BTreeMap<String, SourceFile>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum SourceFile {
    File {
        content: String,
        #[serde(default)]
        mode: Option<String>,
    },
    Directory {
        directory: Vec<String>,
        #[serde(default)]
        mode: Option<String>,
    },
    Link {
        link: String,
    },
}

/// Every case below the folder, sorted by place.
pub fn all(root: &Path) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    for folder in entries(root)? {
        if !folder.is_dir() {
            continue;
        }
        let module = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for file in entries(&folder)? {
            if file.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let stem = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            for (index, document) in serde_yaml::Deserializer::from_str(&text).enumerate() {
                let mut case = Case::deserialize(document).map_err(|error| format!("{}: {error}", file.display()))?;
                case.place = format!("{module}/{stem}:{}", case.name.clone().unwrap_or_else(|| (index + 1).to_string()));
                case.module.clone_from(&module);
                cases.push(case);
            }
        }
    }
    Ok(cases)
}

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>, String> {
    let list = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<_> = list.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    Ok(paths)
}
