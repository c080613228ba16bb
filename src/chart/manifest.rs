//! What templates gave → objects: read as YAML, checked, in the order in which Helm installs them.

use std::fmt::Write as _;

use super::evaluate::{Output, Piece};
use super::fault::{At, Fault, Refused, Result, Texts};
use super::read;
use crate::program::Span;
use crate::source::{Diagnostic, Diagnostics, Node, yaml};

/// One object for the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The template's path in the chart: `templates/service.yaml`.
    pub source: String,
    /// The line of the rendered text on which the object begins, from 1 on.
    pub line: u32,
    /// The line of the template that made it.
    pub template_line: u32,
    pub value: serde_json::Value,
}

impl Object {
    /// `Deployment`.
    pub fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    /// `apps/v1`.
    pub fn api_version(&self) -> &str {
        self.value["apiVersion"].as_str().unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Empty where the template leaves it to the release.
    pub fn namespace(&self) -> &str {
        self.value["metadata"]["namespace"].as_str().unwrap_or_default()
    }
}

/// A template's output.
#[derive(Debug)]
pub struct Rendered {
    pub path: String,
    pub file: u32,
    pub output: Output,
}

impl Rendered {
    /// A file that is no template.
    pub fn verbatim(path: &str, text: &str, file: u32) -> Self {
        let pieces = vec![Piece { start: 0, at: At { file, offset: 0, width: 1 }, verbatim: true }];
        Self { path: path.to_owned(), file, output: Output { text: text.to_owned(), pieces } }
    }
}

/// Helm's order (pkg/release/v1/util/kind_sorter.go). Kinds that are not here come last, by name.
pub const INSTALL_ORDER: [&str; 38] = [
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// The objects of the definitions first, then those of the templates in order; every mistake of all of them otherwise.
pub fn objects(doing: String, definitions: Vec<Rendered>, mut templates: Vec<Rendered>, texts: Texts) -> Result<Vec<Object>> {
    let mut reader = Reader { texts, diagnostics: Diagnostics::default(), seen: Vec::new() };
    let mut all: Vec<Object> = definitions.into_iter().flat_map(|rendered| reader.read(rendered)).collect();
    templates.sort_by(|a, b| a.path.cmp(&b.path));
    let mut objects: Vec<Object> = templates.into_iter().flat_map(|rendered| reader.read(rendered)).collect();
    objects.sort_by_cached_key(|object| order(object.kind()));
    all.append(&mut objects);
    if reader.diagnostics.has_errors() { Err(Refused::new(doing, &reader.texts, reader.diagnostics)) } else { Ok(all) }
}

/// The rendered texts as `helm template --no-hooks` prints them, documents split at lines that begin with `---`.
pub fn text(chart: &str, mut rendered: Vec<Rendered>) -> String {
    rendered.sort_by(|a, b| a.path.cmp(&b.path));
    let mut all: Vec<(String, String, String)> = Vec::new();
    for Rendered { path, output, .. } in rendered {
        for document in split(&output.text) {
            let head = read::from_text(document).ok().and_then(|value| value.to_json()).unwrap_or_default();
            if head.pointer("/metadata/annotations/helm.sh~1hook").is_none() {
                all.push((head["kind"].as_str().unwrap_or_default().to_owned(), path.clone(), document.to_owned()));
            }
        }
    }
    all.sort_by_cached_key(|(kind, _, _)| order(kind));
    let mut whole = String::new();
    for (_, path, document) in all {
        let _ = write!(whole, "---\n# Source: {chart}/{path}\n{document}\n");
    }
    format!("{}\n", whole.trim())
}

/// Helm's `SplitManifests`: what follows `---` on its line belongs to the document.
fn split(text: &str) -> Vec<&str> {
    let mut starts: Vec<(usize, usize)> = vec![(0, 0)];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix("---") {
            starts.push((at, at + line.len() - rest.trim_start_matches([' ', '\t']).len()));
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).map(|(separator, _)| *separator).chain([text.len()]);
    starts.iter().zip(ends).map(|((_, from), to)| text[*from..to].trim_start()).filter(|document| !document.trim().is_empty()).collect()
}

/// Sorts as Helm installs: its known kinds in their order, then the others by name.
fn order(kind: &str) -> (usize, String) {
    let place = INSTALL_ORDER.iter().position(|known| *known == kind);
    (place.unwrap_or(usize::MAX), if place.is_none() { kind.to_owned() } else { String::new() })
}

struct Reader {
    texts: Texts,
    diagnostics: Diagnostics,
    /// What was met: kind, namespace and name with its place.
    seen: Vec<([String; 4], Span)>,
}

impl Reader {
    fn read(&mut self, rendered: Rendered) -> Vec<Object> {
        if rendered.output.text.trim().is_empty() {
            return Vec::new();
        }
        let name = format!("{}, rendered", self.texts.name(rendered.file));
        let file = self.texts.add(name, rendered.output.text.as_str());
        let mut found = Diagnostics::default();
        let documents = yaml::documents(&self.texts.sources(), file, &mut found).unwrap_or_default();
        for diagnostic in found.iter().filter(|diagnostic| diagnostic.severity == crate::source::Severity::Error) {
            let diagnostic =
                Diagnostic { message: format!("read what the template gave as YAML: {}", diagnostic.message), ..diagnostic.clone() };
            self.mistake(&rendered, diagnostic);
        }
        documents.iter().filter(|document| !document.is_null()).flat_map(|document| self.object(&rendered, document)).collect()
    }

    /// Reports it with the line of the template that made the rendered one.
    fn mistake(&mut self, rendered: &Rendered, diagnostic: Diagnostic) {
        let offset = offset(&rendered.output.text, diagnostic.span);
        let diagnostic = match rendered.output.origin(offset) {
            Some(at) => {
                let shown = self.texts.diagnostic(&Fault::new(at, ""));
                diagnostic.other(shown.span, shown.width, "made by this line of the template")
            }
            None => diagnostic,
        };
        self.diagnostics.push(diagnostic);
    }

    fn object(&mut self, rendered: &Rendered, document: &Node) -> Vec<Object> {
        if document.as_map().is_none() {
            self.mistake(rendered, Diagnostic::at(document, format!("a template gave {}, where an object is wanted", document.describe())));
            return Vec::new();
        }
        let missing = |key: &str| document.get(key).and_then(Node::text).is_none_or(str::is_empty);
        for key in ["apiVersion", "kind"] {
            if missing(key) {
                self.mistake(rendered, Diagnostic::at(document, format!("an object without `{key}`")));
                return Vec::new();
            }
        }
        let kind = document.get("kind").and_then(Node::text).unwrap_or_default();
        if kind == "List" {
            return document
                .get("items")
                .map(|items| items.items().iter().flat_map(|item| self.object(rendered, item)).collect())
                .unwrap_or_default();
        }
        if let Some(hook) = document
            .get("metadata")
            .and_then(|metadata| metadata.get("annotations"))
            .and_then(|annotations| annotations.get("helm.sh/hook"))
        {
            let events = hook.text().unwrap_or_default();
            // Tests are run by `helm test`, never installed.
            if events.split(',').any(|event| !matches!(event.trim(), "test" | "test-success" | "test-failure")) {
                let hint = "leave the annotation away, or do this step in a playbook";
                self.mistake(rendered, Diagnostic::at(hook, format!("hooks are not supported yet: `{events}`")).hint(hint));
            }
            return Vec::new();
        }
        let Some(value) = read::value(document).to_json() else {
            self.mistake(rendered, Diagnostic::at(document, "an infinite number, which JSON has not"));
            return Vec::new();
        };
        let text = |path: &[&str]| {
            path.iter().try_fold(&value, |value, key| value.get(key)).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
        };
        if text(&["metadata", "name"]).is_empty() && text(&["metadata", "generateName"]).is_empty() {
            self.mistake(rendered, Diagnostic::at(document, format!("a {kind} without `metadata.name`")));
            return Vec::new();
        }
        let identity = [text(&["apiVersion"]), text(&["kind"]), text(&["metadata", "namespace"]), text(&["metadata", "name"])];
        if let Some((_, first)) = self.seen.iter().find(|(seen, _)| *seen == identity) {
            let diagnostic = Diagnostic::at(document, format!("{kind} `{}` is there twice", identity[3])).other(*first, 1, "first here");
            self.mistake(rendered, diagnostic);
        }
        self.seen.push((identity, document.span));
        let made = rendered.output.origin(offset(&rendered.output.text, document.span));
        let template_line = made.map_or(0, |at| self.texts.span(at).line);
        vec![Object { source: rendered.path.clone(), line: document.span.line, template_line, value }]
    }
}

/// The byte that a place in the text stands for.
fn offset(text: &str, span: Span) -> usize {
    let start: usize = text.split_inclusive('\n').take(span.line.saturating_sub(1) as usize).map(str::len).sum();
    let line = text.get(start..).unwrap_or_default();
    start + line.char_indices().nth(span.column.saturating_sub(1) as usize).map_or(0, |(offset, _)| offset)
}
