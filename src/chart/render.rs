//! A chart and a release's values → objects in Helm's install order.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::evaluate::{Evaluator, Output};
use super::fault::{Refused, Result};
use super::load::Chart;
use super::manifest::{self, Object, Rendered};
use super::value::{self, Entries, Value};
use super::{merge, schema};
use crate::source::{Diagnostic, Diagnostics};

/// What templates learn about the installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub name: String,
    pub namespace: String,
    /// From 1 on.
    pub revision: u32,
    /// The first one; else an upgrade.
    pub is_install: bool,
    /// `v1.36.4`.
    pub kube_version: String,
}

/// What `.Capabilities.APIVersions.Has` knows: the stable groups that every cluster from 1.30 on serves.
const API_VERSIONS: [&str; 22] = [
    "v1",
    "admissionregistration.k8s.io/v1",
    "apiextensions.k8s.io/v1",
    "apiregistration.k8s.io/v1",
    "apps/v1",
    "authentication.k8s.io/v1",
    "authorization.k8s.io/v1",
    "autoscaling/v1",
    "autoscaling/v2",
    "batch/v1",
    "certificates.k8s.io/v1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "events.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1",
    "networking.k8s.io/v1",
    "node.k8s.io/v1",
    "policy/v1",
    "rbac.authorization.k8s.io/v1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1",
    "resource.k8s.io/v1",
];

impl Chart {
    /// The chart's objects with these values over its own: a mapping as JSON, see [`super::read_values`]. Custom resource definitions
    /// come first, the rest in Helm's install order. All mistakes of all templates are reported.
    pub fn render(&self, release: &Release, values: &serde_json::Value) -> Result<Vec<Object>> {
        let (rendered, evaluator) = self.rendered(release, values, false)?;
        let definitions = self.definitions.iter().map(|(path, file)| Rendered::verbatim(path, &self.texts.text(*file), *file));
        manifest::objects(self.doing(release), definitions.collect(), rendered, evaluator.texts)
    }

    /// What `helm template --no-hooks` prints: the rendered texts in install order, each below its `# Source:` line.
    pub fn manifest(&self, release: &Release, values: &serde_json::Value) -> Result<String> {
        let (rendered, _) = self.rendered(release, values, false)?;
        Ok(manifest::text(&self.name, rendered))
    }

    /// The text of templates/NOTES.txt for a person who installed it; `None` where the chart has none.
    pub fn notes(&self, release: &Release, values: &serde_json::Value) -> Result<Option<String>> {
        let (rendered, _) = self.rendered(release, values, true)?;
        Ok(rendered.into_iter().next().map(|rendered| rendered.output.text))
    }

    fn doing(&self, release: &Release) -> String {
        format!("render the chart `{}` for the release `{}`", self.name, release.name)
    }

    fn rendered(&self, release: &Release, values: &serde_json::Value, notes: bool) -> Result<(Vec<Rendered>, Evaluator)> {
        let mut diagnostics = Diagnostics::default();
        if !values.is_object() && !values.is_null() {
            diagnostics.push(Diagnostic::nowhere("the values of a release are a mapping"));
        }
        let merged = merge::values(&Value::from_json(&self.values), &Value::from_json(values));
        if let (Some(schema), Some(json)) = (&self.schema, merged.to_json()) {
            for diagnostic in schema::check(schema, &json) {
                diagnostics.push(diagnostic);
            }
        }
        let definitions = self.parsed().unwrap_or_default();
        if diagnostics.has_errors() {
            return Err(Refused::new(self.doing(release), &self.texts, diagnostics));
        }
        let dot = self.context(release, &merged);
        let mut evaluator = Evaluator::new(definitions, self.texts.clone());
        let mut rendered = Vec::new();
        let mut met = Vec::new();
        for (path, file) in self.in_order() {
            let name = path.rsplit('/').next().unwrap_or(path);
            let is_notes = path == "templates/NOTES.txt";
            if name.starts_with('_') || (notes != is_notes) || (!is_notes && name.ends_with("NOTES.txt")) {
                continue;
            }
            if let Value::Map(entries) = &dot {
                entries.borrow_mut().insert("Template".into(), self.template(path));
            }
            match evaluator.render(&self.template_name(path), &dot).map(Output::cleaned) {
                Ok(output) => rendered.push(Rendered { path: path.clone(), file: *file, output }),
                // A mistake in a helper is met by every template that includes it.
                Err(fault) if met.contains(&fault.at) => {}
                Err(fault) => {
                    met.push(fault.at);
                    diagnostics.push(evaluator.texts.diagnostic(&fault));
                }
            }
        }
        if diagnostics.has_errors() {
            return Err(Refused::new(self.doing(release), &evaluator.texts, diagnostics));
        }
        Ok((rendered, evaluator))
    }

    fn template(&self, path: &str) -> Value {
        object(".Template", [("Name", self.template_name(path).into()), ("BasePath", format!("{}/templates", self.name).into())])
    }

    /// The dot that a template starts with.
    fn context(&self, release: &Release, values: &Value) -> Value {
        let mut chart: BTreeMap<&'static str, Value> = self.metadata.iter().map(|(field, json)| (*field, Value::from_json(json))).collect();
        chart.insert("IsRoot", true.into());
        let version = release.kube_version.trim_start_matches('v');
        let mut numbers = version.split(['.', '-', '+']);
        let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        let version = format!("v{version}");
        let kube = object(
            ".Capabilities.KubeVersion",
            [
                ("Version", version.as_str().into()),
                ("GitVersion", version.as_str().into()),
                ("Major", major.into()),
                ("Minor", minor.into()),
            ],
        );
        let known = API_VERSIONS.iter().map(|name| ((*name).to_owned(), Rc::from(&b""[..]))).collect();
        let versions = with_content(".Capabilities.APIVersions", &["Has"], known);
        let helm = object(".Capabilities.HelmVersion", [("Version", "v4.3.1".into()), ("GitCommit", "".into()), ("GoVersion", "".into())]);
        let files = self.files.iter().map(|(path, bytes)| (path.clone(), Rc::from(&**bytes))).collect();
        let entries: Entries = [
            ("Values".into(), values.clone()),
            ("Chart".into(), Value::Object(Rc::new(value::Object { name: ".Chart", fields: chart, methods: &[], content: Rc::default() }))),
            ("Capabilities".into(), object(".Capabilities", [("KubeVersion", kube), ("APIVersions", versions), ("HelmVersion", helm)])),
            ("Files".into(), with_content(".Files", &["Get", "GetBytes", "Glob", "Lines", "AsConfig", "AsSecrets"], files)),
            ("Subcharts".into(), Value::map(Entries::new())),
            (
                "Release".into(),
                object(
                    ".Release",
                    [
                        ("Name", release.name.as_str().into()),
                        ("Namespace", release.namespace.as_str().into()),
                        ("Revision", i64::from(release.revision).into()),
                        ("IsInstall", release.is_install.into()),
                        ("IsUpgrade", (!release.is_install).into()),
                        ("Service", "Helm".into()),
                    ],
                ),
            ),
        ]
        .into();
        Value::map(entries)
    }
}

fn object<const N: usize>(name: &'static str, fields: [(&'static str, Value); N]) -> Value {
    Value::Object(Rc::new(value::Object { name, fields: fields.into(), methods: &[], content: Rc::default() }))
}

fn with_content(name: &'static str, methods: &'static [&'static str], content: BTreeMap<String, Rc<[u8]>>) -> Value {
    Value::Object(Rc::new(value::Object { name, fields: BTreeMap::new(), methods, content: Rc::new(content) }))
}
