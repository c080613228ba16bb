//! Objects of a release: what they are called, in which order they come, whose they are.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::chart::INSTALL_ORDER;

/// Label with the name of the release that owns an object.
pub(super) const RELEASE_LABEL: &str = "provision.dev/release";
/// Label with the name of the environment that owns an object.
pub(super) const ENVIRONMENT_LABEL: &str = "provision.dev/environment";
/// The label by which other tools see who manages an object; its value is [`super::MANAGER`].
pub(super) const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Which object: enough to find it again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectId {
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// None for an object of the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
}

impl ObjectId {
    /// The group without its version: `apps`, or nothing for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Whether both name one object, whatever version of its API each uses.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.group(), &self.kind, &self.namespace, &self.name) == (other.group(), &other.kind, &other.namespace, &other.name)
    }

    /// As kubectl takes it: `deployment/web -n shop`.
    pub fn for_kubectl(&self) -> String {
        let namespace = self.namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
        format!("{}/{}{namespace}", self.kind.to_lowercase(), self.name)
    }
}

/// `Deployment shop/web`, `Namespace shop`.
impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// Where a kind stands; smaller is earlier: Helm's order, kinds that it does not list, and last what calls back into a workload.
pub(super) fn rank(kind: &str) -> usize {
    let calls_back = INSTALL_ORDER.iter().position(|known| *known == "APIService").unwrap_or(INSTALL_ORDER.len());
    match INSTALL_ORDER.iter().position(|known| *known == kind) {
        Some(place) if place >= calls_back => place + 1,
        Some(place) => place,
        None if kind == "ValidatingAdmissionPolicy" => INSTALL_ORDER.len() + 1, // newer than Helm's list
        None => calls_back,
    }
}

/// A text below a path of keys.
pub(super) fn text<'object>(object: &'object Value, path: &[&str]) -> Option<&'object str> {
    path.iter().try_fold(object, |value, key| value.get(key))?.as_str()
}

/// The value of an object's label.
pub(super) fn label<'object>(object: &'object Value, name: &str) -> Option<&'object str> {
    text(object, &["metadata", "labels", name])
}

/// Sets labels of an object; other labels stay.
pub(super) fn set_labels(object: &mut Value, labels: &[(&str, &str)]) {
    let Some(object) = object.as_object_mut() else { return };
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    let Some(metadata) = metadata.as_object_mut() else { return };
    let found = metadata.entry("labels").or_insert(Value::Null);
    if !found.is_object() {
        *found = Value::Object(Map::new());
    }
    let found = found.as_object_mut().expect("it was just made one");
    for (name, value) in labels {
        found.insert((*name).to_owned(), (*value).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_comes_first_and_what_calls_back_last() {
        let mut kinds = [
            "ValidatingAdmissionPolicy",
            "ValidatingWebhookConfiguration",
            "APIService",
            "VirtualService",
            "Deployment",
            "CustomResourceDefinition",
            "Namespace",
            "Service",
        ];
        kinds.sort_by_key(|kind| rank(kind));
        assert_eq!(
            kinds,
            [
                "Namespace",
                "CustomResourceDefinition",
                "Service",
                "Deployment",
                "VirtualService",
                "APIService",
                "ValidatingWebhookConfiguration",
                "ValidatingAdmissionPolicy"
            ]
        );
    }

    #[test]
    fn an_object_is_the_same_in_another_version_of_its_group() {
        let id =
            |version: &str| ObjectId { api_version: version.to_owned(), kind: "Thing".to_owned(), namespace: None, name: "x".to_owned() };
        assert!(id("shop.dev/v1").is_same(&id("shop.dev/v1beta1")));
        assert!(!id("shop.dev/v1").is_same(&id("v1")));
    }

    #[test]
    fn labels_are_set_where_there_are_none() {
        let mut object = serde_json::json!({"metadata": {"name": "x", "labels": null}});
        set_labels(&mut object, &[("a", "b")]);
        assert_eq!(object, serde_json::json!({"metadata": {"name": "x", "labels": {"a": "b"}}}));
    }
}
