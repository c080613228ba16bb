//! A folder → [`Chart`], every mistake in its files at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fault::{At, Fault, Refused, Result, Texts};
use super::ignore::Rules;
use super::parse::{self, Definitions};
use super::value::{Entries, Value};
use super::{read, schema};
use crate::source::{Diagnostic, Diagnostics, Node, NodeKind, yaml};

/// The keys of Chart.yaml (Helm 4, pkg/chart/v2/metadata.go) and the field of `.Chart` that holds each.
const KEYS: [(&str, &str); 18] = [
    ("apiVersion", "APIVersion"),
    ("name", "Name"),
    ("version", "Version"),
    ("appVersion", "AppVersion"),
    ("description", "Description"),
    ("type", "Type"),
    ("kubeVersion", "KubeVersion"),
    ("keywords", "Keywords"),
    ("home", "Home"),
    ("sources", "Sources"),
    ("dependencies", "Dependencies"),
    ("maintainers", "Maintainers"),
    ("icon", "Icon"),
    ("deprecated", "Deprecated"),
    ("annotations", "Annotations"),
    ("condition", "Condition"),
    ("tags", "Tags"),
    ("engine", "Engine"),
];

/// A chart's files, read and checked; no template has an unknown function or variable.
#[derive(Clone, Debug)]
pub struct Chart {
    pub name: String,
    pub version: String,
    pub app_version: Option<String>,
    /// Chart.yaml by the names that `.Chart` has.
    pub(super) metadata: BTreeMap<&'static str, serde_json::Value>,
    /// The defaults of values.yaml.
    pub(super) values: serde_json::Value,
    pub(super) schema: Option<serde_json::Value>,
    pub(super) texts: Texts,
    /// Templates by their path in the chart, and where their texts are.
    pub(super) templates: Vec<(String, u32)>,
    /// `crds/`, never templated.
    pub(super) definitions: Vec<(String, u32)>,
    /// What `.Files` gives.
    pub(super) files: BTreeMap<String, Arc<[u8]>>,
}

impl Chart {
    /// Reads the folder of a chart: Chart.yaml, values.yaml, values.schema.json, templates/, crds/ and the other files, without what
    /// .helmignore names.
    pub fn load(folder: &Path) -> Result<Self> {
        Self::load_as(folder, folder.display().to_string())
    }

    /// The same; mistakes call the folder `shown`.
    pub fn load_as(folder: &Path, shown: String) -> Result<Self> {
        let mut loader =
            Loader { doing: format!("load the chart {shown}"), shown, texts: Texts::default(), diagnostics: Diagnostics::default() };
        let chart = loader.chart(folder);
        match chart {
            Some(chart) if !loader.diagnostics.has_errors() => Ok(chart),
            _ => Err(Refused::new(loader.doing, &loader.texts, loader.diagnostics)),
        }
    }

    /// All templates, parsed. Later files do not replace what earlier ones define: Helm parses from the last to the first.
    pub(super) fn parsed(&self) -> std::result::Result<Definitions, Vec<Fault>> {
        let mut definitions = Definitions::new();
        let mut faults = Vec::new();
        for (path, file) in self.in_order() {
            if let Err(found) = parse::parse(&self.texts, *file, &self.template_name(path), &mut definitions) {
                faults.extend(found);
            }
        }
        if faults.is_empty() { Ok(definitions) } else { Err(faults) }
    }

    /// A template's own name, by which `include (print $.Template.BasePath "/…")` finds it.
    pub(super) fn template_name(&self, path: &str) -> String {
        format!("{}/{path}", self.name)
    }

    /// The order in which Helm parses and renders: the deepest path first, then from Z to A.
    pub(super) fn in_order(&self) -> Vec<&(String, u32)> {
        let mut order: Vec<&(String, u32)> = self.templates.iter().collect();
        order.sort_by_key(|(path, _)| std::cmp::Reverse((path.matches('/').count(), path.clone())));
        order
    }
}

struct Loader {
    doing: String,
    shown: String,
    texts: Texts,
    diagnostics: Diagnostics,
}

impl Loader {
    fn refuse(&mut self, message: impl Into<String>, hint: Option<&str>) {
        let mut diagnostic = Diagnostic::nowhere(message);
        diagnostic.hint = hint.map(str::to_owned);
        self.diagnostics.push(diagnostic);
    }

    fn chart(&mut self, folder: &Path) -> Option<Chart> {
        let files = self.files(folder)?;
        let Some(about) = files.get("Chart.yaml") else {
            let hint = format!("a chart is a folder with Chart.yaml, values.yaml and templates/; look into {}", self.shown);
            self.refuse(format!("there is no Chart.yaml in {}", self.shown), Some(&hint));
            return None;
        };
        let metadata = self.metadata(about);
        let values = files.get("values.yaml").map_or(Some(Value::map(Entries::new())), |bytes| self.values(bytes));
        let schema = files.get("values.schema.json").map(|bytes| self.schema(bytes));
        let mut chart = Chart {
            name: String::new(),
            version: String::new(),
            app_version: None,
            metadata: BTreeMap::new(),
            values: serde_json::Value::Null,
            schema: schema.flatten(),
            texts: Texts::default(),
            templates: Vec::new(),
            definitions: Vec::new(),
            files: BTreeMap::new(),
        };
        for (path, bytes) in files {
            if path.starts_with("templates/") || path.starts_with("crds/") {
                let Some(text) = self.text(&path, &bytes) else { continue };
                let file = self.texts.add(format!("{}/{path}", self.shown), text);
                if path.starts_with("crds/") { chart.definitions.push((path, file)) } else { chart.templates.push((path, file)) }
            } else if path.starts_with("charts/") {
                let name = path.split('/').nth(1).unwrap_or_default().to_owned();
                if !name.starts_with(['.', '_']) && path != "charts/README.md" {
                    self.refuse(
                        format!("sub-charts are not supported yet: {}/charts/{name}", self.shown),
                        Some("render it with `helm template`, or put its templates into this chart"),
                    );
                }
            } else if !matches!(path.as_str(), "Chart.yaml" | "Chart.lock" | "values.yaml" | "values.schema.json") {
                chart.files.insert(path, bytes);
            }
        }
        chart.texts = self.texts.clone();
        let field =
            |name: &str| metadata.as_ref().and_then(|fields| fields.get(name)?.as_str().map(str::to_owned)).filter(|text| !text.is_empty());
        (chart.name, chart.version, chart.app_version) =
            (field("Name").unwrap_or_default(), field("Version").unwrap_or_default(), field("AppVersion"));
        if let Err(faults) = chart.parsed() {
            for fault in &faults {
                self.diagnostics.push(self.texts.diagnostic(fault));
            }
        }
        chart.metadata = metadata?;
        chart.values = values?.to_json().unwrap_or_default();
        Some(chart)
    }

    /// All files by path; `None` where the folder itself cannot be read.
    fn files(&mut self, folder: &Path) -> Option<BTreeMap<String, Arc<[u8]>>> {
        let text = fs::read_to_string(folder.join(".helmignore")).unwrap_or_default();
        let rules = match Rules::read(&text) {
            Ok(rules) => rules,
            Err((line, message)) => {
                let offset = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
                let width = text[offset..].lines().next().map_or(1, str::len);
                let file = self.texts.add(format!("{}/.helmignore", self.shown), text.as_str());
                self.diagnostics.push(self.texts.diagnostic(&Fault::new(At { file, offset, width }, message)));
                return None;
            }
        };
        let mut found = BTreeMap::new();
        let mut open = vec![folder.to_path_buf()];
        while let Some(current) = open.pop() {
            let entries = match fs::read_dir(&current) {
                Ok(entries) => entries,
                Err(error) => {
                    self.refuse(
                        format!("read the folder {}: {error}", current.display()),
                        Some("check `chart:` of the release in provision.yaml"),
                    );
                    return None;
                }
            };
            for path in entries.filter_map(std::result::Result::ok).map(|entry| entry.path()) {
                let Ok(relative) = path.strip_prefix(folder) else { continue };
                let relative = relative.to_string_lossy().into_owned();
                if rules.ignores(&relative, path.is_dir()) {
                    continue;
                }
                if path.is_dir() {
                    open.push(path);
                } else {
                    match fs::read(&path) {
                        Ok(bytes) => drop(found.insert(relative, Arc::from(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes)))),
                        Err(error) => self.refuse(format!("read {}: {error}", path.display()), None),
                    }
                }
            }
        }
        Some(found)
    }

    fn text(&mut self, path: &str, bytes: &[u8]) -> Option<String> {
        let text = String::from_utf8(bytes.to_vec()).ok();
        if text.is_none() {
            self.refuse(format!("{}/{path} is not UTF-8", self.shown), Some("save it as UTF-8, or put it outside of templates/"));
        }
        text
    }

    /// The documents of a YAML file; slips are reported. Keys given twice are Helm's to take: the last one holds.
    fn documents(&mut self, path: &str, bytes: &[u8]) -> Option<(u32, Vec<Node>)> {
        let text = self.text(path, bytes)?;
        let file = self.texts.add(format!("{}/{path}", self.shown), text);
        let sources = self.texts.sources();
        let mut found = Diagnostics::default();
        let documents = yaml::documents(&sources, file, &mut found);
        if found.has_errors() {
            self.diagnostics.extend(found);
        }
        documents.map(|documents| (file, documents))
    }

    fn values(&mut self, bytes: &[u8]) -> Option<Value> {
        let (_, documents) = self.documents("values.yaml", bytes)?;
        let mut merged = Value::map(Entries::new());
        for document in &documents {
            match (&document.kind, document.is_null()) {
                (NodeKind::Map(_), _) => merged = merged_files(&merged, &read::value(document)),
                (_, true) => {}
                _ => self.diagnostics.push(Diagnostic::at(document, format!("values are a mapping, this is {}", document.describe()))),
            }
        }
        Some(merged)
    }

    fn schema(&mut self, bytes: &[u8]) -> Option<serde_json::Value> {
        let path = format!("{}/values.schema.json", self.shown);
        match serde_json::from_slice(bytes) {
            Ok(json) => {
                for keyword in schema::unsupported(&json) {
                    self.refuse(
                        format!("{path}: the keyword `{keyword}` is not supported"),
                        Some("write the rule with type, properties, required, enum, pattern, minimum and their like"),
                    );
                }
                Some(json)
            }
            Err(error) => {
                let text = String::from_utf8_lossy(bytes);
                let file = self.texts.add(path.as_str(), &*text);
                let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
                let offset = (before + error.column().saturating_sub(1)).min(text.len());
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or(&message);
                let fault = Fault::new(At { file, offset, width: 1 }, format!("read values.schema.json as JSON: {message}"));
                self.diagnostics.push(self.texts.diagnostic(&fault));
                None
            }
        }
    }

    fn metadata(&mut self, bytes: &[u8]) -> Option<BTreeMap<&'static str, serde_json::Value>> {
        let (file, documents) = self.documents("Chart.yaml", bytes)?;
        let mut fields: BTreeMap<&'static str, serde_json::Value> = KEYS.iter().map(|(_, field)| (*field, "".into())).collect();
        let Some(document) = documents.first().filter(|document| document.as_map().is_some()) else {
            self.diagnostics.push(Diagnostic::in_file(file, "Chart.yaml is not a mapping"));
            return None;
        };
        for (key, node) in document.entries() {
            let name = key.text().unwrap_or_default();
            let Some((_, field)) = KEYS.iter().find(|(known, _)| *known == name) else {
                let known = KEYS.iter().map(|(known, _)| *known);
                self.diagnostics.push(Diagnostic::at(key, format!("unknown key `{name}` in Chart.yaml")).suggest(name, known));
                continue;
            };
            let is_list = matches!(name, "keywords" | "sources" | "dependencies" | "maintainers");
            let fits = match &node.kind {
                NodeKind::List(_) => is_list,
                NodeKind::Map(_) => name == "annotations",
                NodeKind::Scalar(_) => node.is_null() || !(is_list || name == "annotations"),
            };
            if !fits {
                self.diagnostics.push(Diagnostic::at(node, format!("`{name}` in Chart.yaml cannot be {}", node.describe())));
            }
            // `version: 1.10` is meant as it is written.
            let text = node.text().filter(|_| !node.is_null() && name != "deprecated");
            fields.insert(field, text.map_or_else(|| read::value(node).to_json().unwrap_or_default(), Into::into));
        }
        for name in ["apiVersion", "name", "version"] {
            if document.get(name).is_none_or(Node::is_null) {
                self.diagnostics.push(Diagnostic::in_file(file, format!("Chart.yaml has no `{name}`")));
            }
        }
        if let Some(node) = document.get("apiVersion").filter(|node| !matches!(node.text(), Some("v1" | "v2"))) {
            self.diagnostics.push(Diagnostic::at(node, "`apiVersion` of a chart is `v2` or `v1`"));
        }
        if let Some(node) = document.get("dependencies").filter(|node| !node.items().is_empty()) {
            self.diagnostics.push(
                Diagnostic::at(node, "sub-charts are not supported yet")
                    .hint("render the chart with `helm template`, or put their templates into this chart"),
            );
        }
        if let Some(node) = document.get("type").filter(|node| node.text() == Some("library")) {
            self.diagnostics.push(Diagnostic::at(node, "a library chart has nothing to install").hint("name a chart that uses it"));
        }
        Some(fields)
    }
}

/// Values of files, the later over the earlier; a null stays, since it deletes a default of the chart.
fn merged_files(below: &Value, above: &Value) -> Value {
    let (Value::Map(below), Value::Map(above)) = (below, above) else { return above.clone() };
    let mut merged = below.borrow().clone();
    for (key, value) in above.borrow().iter() {
        let value = merged
            .get(key)
            .filter(|present| matches!((present, value), (Value::Map(_), Value::Map(_))))
            .map_or_else(|| value.clone(), |present| merged_files(present, value));
        merged.insert(key.clone(), value);
    }
    Value::map(merged)
}

/// The values of a release's files, the last one on top, typed as Helm types YAML. Each is (name that is shown, path).
pub fn read_values(files: &[(String, PathBuf)]) -> Result<serde_json::Value> {
    let mut loader = Loader {
        doing: "read the values of a release".to_owned(),
        shown: String::new(),
        texts: Texts::default(),
        diagnostics: Diagnostics::default(),
    };
    let mut merged = Value::map(Entries::new());
    for (name, path) in files {
        match fs::read(path) {
            Ok(bytes) => {
                let (folder, file) = name.rsplit_once('/').unwrap_or((".", name));
                folder.clone_into(&mut loader.shown);
                let Some((_, documents)) = loader.documents(file, &bytes) else { continue };
                for document in documents.iter().filter(|document| !document.is_null()) {
                    if document.as_map().is_some() {
                        merged = merged_files(&merged, &read::value(document));
                    } else {
                        loader.diagnostics.push(Diagnostic::at(document, format!("values are a mapping, this is {}", document.describe())));
                    }
                }
            }
            Err(error) => {
                loader.refuse(format!("read the values {name}: {error}"), Some("check `values:` of the release in provision.yaml"));
            }
        }
    }
    if loader.diagnostics.has_errors() {
        return Err(Refused::new(loader.doing, &loader.texts, loader.diagnostics));
    }
    Ok(merged.to_json().unwrap_or_default())
}
