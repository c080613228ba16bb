//! From rendered objects to objects that can be sent: whole, named, labelled, in order; every mistake told.

use base64::Engine;
use serde_json::{Map, Value, json};

use super::super::object::{RELEASE_LABEL, label, rank, set_labels, text};
use super::super::record::Owner;
use super::super::{Cluster, ObjectId, Result};
use super::Release;
use crate::source::suggest;

/// An object that is wanted, or why it cannot be.
pub(super) struct Wanted {
    pub object: ObjectId,
    pub value: Value,
    pub mistake: Option<String>,
    /// Its kind comes with a definition of the same release.
    pub kind_to_come: bool,
}

/// Kinds of Kubernetes' own that belong to no namespace (`kubectl api-resources --namespaced=false`, 1.36).
const CLUSTER_WIDE: [&str; 17] = [
    "APIService",
    "CSIDriver",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "DeviceClass",
    "FlowSchema",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "PersistentVolume",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingWebhookConfiguration",
];

impl Release {
    /// Its objects as far as they are known without a cluster, in the order in which they come.
    pub fn expected(&self) -> Vec<ObjectId> {
        let mut objects = Vec::new();
        self.objects.iter().for_each(|object| flatten(object, &mut objects));
        let definitions = definitions(&objects);
        let mut expected = vec![super::plan::namespace_object(&self.namespace)];
        for value in &objects {
            let part = |path: &[&str]| text(value, path).unwrap_or_default().to_owned();
            let (api_version, kind, name) = (part(&["apiVersion"]), part(&["kind"]), part(&["metadata", "name"]));
            let cluster_wide =
                CLUSTER_WIDE.contains(&&*kind) || definitions.iter().any(|definition| definition.kind == kind && !definition.namespaced);
            let namespace = text(value, &["metadata", "namespace"]).unwrap_or(&self.namespace);
            let namespace = (!cluster_wide).then(|| namespace.to_owned());
            let object = ObjectId { api_version, kind, namespace, name };
            if !expected.iter().any(|other| other.is_same(&object)) {
                expected.push(object);
            }
        }
        expected.sort_by_key(|object| rank(&object.kind));
        expected
    }
}

impl Cluster {
    /// The objects of a release in the order in which they are applied, its namespace first.
    pub(super) async fn wanted(&self, release: &Release, owner: &Owner) -> Result<Vec<Wanted>> {
        let mut objects = Vec::new();
        release.objects.iter().for_each(|object| flatten(object, &mut objects));
        let definitions = definitions(&objects);
        let mut wanted: Vec<Wanted> = Vec::with_capacity(objects.len() + 1);
        for object in objects {
            let next = self.checked(object, release, owner, &definitions).await?;
            let twice = next.mistake.is_none() && wanted.iter().any(|other| other.object.is_same(&next.object));
            wanted.push(if twice { Wanted { mistake: Some("the chart renders it twice".to_owned()), ..next } } else { next });
        }
        let own = ObjectId { api_version: "v1".to_owned(), kind: "Namespace".to_owned(), namespace: None, name: release.namespace.clone() };
        if !wanted.iter().any(|other| other.object.is_same(&own)) {
            let mut value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": release.namespace}});
            set_labels(&mut value, &owner.labels());
            wanted.push(Wanted { object: own, value, mistake: None, kind_to_come: false });
        }
        wanted.sort_by_key(|wanted| rank(&wanted.object.kind)); // stable: the chart's order within a kind
        Ok(wanted)
    }

    async fn checked(&self, mut value: Value, release: &Release, owner: &Owner, definitions: &[Definition]) -> Result<Wanted> {
        let part = |path: &[&str]| text(&value, path).unwrap_or_default().to_owned();
        let mut object = ObjectId {
            api_version: part(&["apiVersion"]),
            kind: part(&["kind"]),
            namespace: text(&value, &["metadata", "namespace"]).map(str::to_owned),
            name: part(&["metadata", "name"]),
        };
        let refused =
            |object: ObjectId, value: Value, mistake: String| Ok(Wanted { object, value, mistake: Some(mistake), kind_to_come: false });
        let missing: Vec<&str> = [("apiVersion", &object.api_version), ("kind", &object.kind), ("metadata.name", &object.name)]
            .iter()
            .filter(|(_, text)| text.is_empty())
            .map(|(key, _)| *key)
            .collect();
        if !missing.is_empty() {
            return refused(object, value, format!("the chart renders it without {}", missing.join(" and ")));
        }
        let served = self.served(&object.api_version, &object.kind).await?.map(|served| served.namespaced);
        let to_come = definitions.iter().find(|definition| definition.group == object.group() && definition.kind == object.kind);
        let Some(namespaced) = served.or(to_come.map(|definition| definition.namespaced)) else {
            let names = self.kind_names().await;
            let near = suggest(&object.kind, names.iter().map(String::as_str)).filter(|near| *near != object.kind);
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let mistake = format!("the API server serves no {} of {}{near}", object.kind, object.api_version);
            return refused(object, value, mistake);
        };
        let kind_to_come = served.is_none();
        object.namespace = if namespaced { object.namespace.or_else(|| Some(release.namespace.clone())) } else { None };
        if let Some(map) = value.as_object_mut() {
            map.shift_remove("status"); // the server's part
            if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
                for key in ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "namespace"] {
                    metadata.shift_remove(key);
                }
                if let Some(namespace) = &object.namespace {
                    metadata.insert("namespace".to_owned(), namespace.as_str().into());
                }
            }
        }
        encode_secret(&mut value);
        set_labels(&mut value, &owner.labels());
        Ok(Wanted { object, value, mistake: None, kind_to_come })
    }
}

/// Whose a live object is, in words; None: nobody's that we know.
pub(super) fn owner_in_words(live: &Value) -> String {
    match (
        label(live, RELEASE_LABEL),
        text(live, &["metadata", "labels", super::super::object::ENVIRONMENT_LABEL]),
        label(live, super::super::object::MANAGED_BY_LABEL),
    ) {
        (Some(release), Some(environment), _) => format!("it belongs to release `{release}` of environment `{environment}`"),
        (_, _, Some(manager)) => format!("it is managed by {manager}"),
        _ => "it is not ours".to_owned(),
    }
}

/// A kind that a definition of the release brings.
struct Definition {
    group: String,
    kind: String,
    namespaced: bool,
}

fn definitions(objects: &[Value]) -> Vec<Definition> {
    let brings = objects.iter().filter(|object| text(object, &["kind"]) == Some("CustomResourceDefinition"));
    brings
        .filter_map(|object| {
            Some(Definition {
                group: text(object, &["spec", "group"])?.to_owned(),
                kind: text(object, &["spec", "names", "kind"])?.to_owned(),
                namespaced: text(object, &["spec", "scope"])? == "Namespaced",
            })
        })
        .collect()
}

fn flatten(object: &Value, into: &mut Vec<Value>) {
    match (text(object, &["kind"]), object.get("items").and_then(Value::as_array)) {
        (Some(kind), Some(items)) if kind.ends_with("List") => items.iter().for_each(|item| flatten(item, into)),
        _ if object.is_null() => {}
        _ => into.push(object.clone()),
    }
}

/// `stringData` as `data`: the server keeps only that, and a key that goes from `stringData` would stay for ever.
fn encode_secret(object: &mut Value) {
    if text(object, &["kind"]) != Some("Secret") || text(object, &["apiVersion"]) != Some("v1") {
        return;
    }
    let Some(object) = object.as_object_mut() else { return };
    let Some(Value::Object(plain)) = object.shift_remove("stringData") else { return };
    let data = object.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if !data.is_object() {
        *data = Value::Object(Map::new());
    }
    let data = data.as_object_mut().expect("it was just made one");
    for (key, value) in plain {
        // What is no text is left for the server to refuse.
        let value = value.as_str().map_or(value.clone(), |text| base64::engine::general_purpose::STANDARD.encode(text).into());
        data.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_taken_apart() {
        let mut objects = Vec::new();
        flatten(&json!({"kind": "List", "items": [{"kind": "A"}, {"kind": "BList", "items": [{"kind": "B"}]}, null]}), &mut objects);
        assert_eq!(objects, [json!({"kind": "A"}), json!({"kind": "B"})]);
    }

    #[test]
    fn plain_text_of_a_secret_is_encoded() {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "MQ=="}, "stringData": {"b": "two"}});
        encode_secret(&mut secret);
        assert_eq!(secret, json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "MQ==", "b": "dHdv"}}));
    }
}
