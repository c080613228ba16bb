//! What a server-side apply would change: the live object beside the answer of a dry run.

use serde_json::Value;

/// A field that would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// `spec.template.spec.containers[name=web].image`.
    pub path: String,
    /// None: the field is new.
    pub from: Option<Value>,
    /// None: the field goes.
    pub to: Option<Value>,
}

impl std::fmt::Display for FieldChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "{}: {from} → {to}", self.path),
            (None, Some(to)) => write!(f, "{}: + {to}", self.path),
            (Some(from), None) => write!(f, "{}: - {from}", self.path),
            (None, None) => f.write_str(&self.path),
        }
    }
}

/// Metadata that the server keeps, and changes by itself.
const SERVERS_OWN: [&str; 6] = ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"];
/// The keys that name an item of a list, in Kubernetes' own types.
const NAMING: [&str; 7] = ["name", "containerPort", "port", "mountPath", "devicePath", "ip", "type"];
/// What stands for a secret's value.
const HIDDEN: &str = "***";

/// The fields that differ, in the order of the new object. Values of a Secret show as `***`.
pub(super) fn fields(live: &Value, wanted: &Value) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let (live, wanted) = (without_servers_own(live), without_servers_own(wanted));
    compare("", Some(&live), Some(&wanted), &mut changes);
    if wanted.get("kind").and_then(Value::as_str) == Some("Secret") {
        for change in changes.iter_mut().filter(|change| change.path.starts_with("data") || change.path.starts_with("stringData")) {
            change.from = change.from.as_ref().map(|_| HIDDEN.into());
            change.to = change.to.as_ref().map(|_| HIDDEN.into());
        }
    }
    changes
}

fn without_servers_own(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(object) = object.as_object_mut() {
        object.shift_remove("status");
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            for key in SERVERS_OWN {
                metadata.shift_remove(key);
            }
        }
    }
    object
}

fn compare(path: &str, from: Option<&Value>, to: Option<&Value>, changes: &mut Vec<FieldChange>) {
    if from == to {
        return;
    }
    match (from, to) {
        (Some(Value::Object(from)), Some(Value::Object(to))) => {
            let gone = from.keys().filter(|key| !to.contains_key(*key));
            for key in to.keys().chain(gone) {
                compare(&below(path, key), from.get(key), to.get(key), changes);
            }
        }
        (Some(Value::Array(from)), Some(Value::Array(to))) => match naming(from, to) {
            Some(key) => {
                let of = |items: &[Value], name: &Value| items.iter().find(|item| item.get(key) == Some(name)).cloned();
                let names = |items: &[Value]| items.iter().filter_map(|item| item.get(key).cloned()).collect::<Vec<_>>();
                let (old, new) = (names(from), names(to));
                for name in new.iter().chain(old.iter().filter(|name| !new.contains(name))) {
                    let shown = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
                    compare(&format!("{path}[{key}={shown}]"), of(from, name).as_ref(), of(to, name).as_ref(), changes);
                }
                // The same items in another order.
                if old != new && old.len() == new.len() && new.iter().all(|name| old.contains(name)) {
                    changes.push(FieldChange { path: path.to_owned(), from: Some(old.into()), to: Some(new.into()) });
                }
            }
            None => changes.push(FieldChange { path: path.to_owned(), from: Some(from.clone().into()), to: Some(to.clone().into()) }),
        },
        (from, to) => changes.push(FieldChange { path: path.to_owned(), from: from.cloned(), to: to.cloned() }),
    }
}

fn below(path: &str, key: &str) -> String {
    let key = if key.contains(['.', '/', '[']) { format!("[{key}]") } else { key.to_owned() };
    match path {
        "" => key,
        _ if key.starts_with('[') => format!("{path}{key}"),
        _ => format!("{path}.{key}"),
    }
}

/// The key by which the items of both lists are told apart.
fn naming(from: &[Value], to: &[Value]) -> Option<&'static str> {
    let unique = |items: &[Value], key: &str| {
        let mut names = Vec::with_capacity(items.len());
        items.iter().all(|item| {
            item.get(key).is_some_and(|name| {
                !name.is_object() && !names.contains(&name) && {
                    names.push(name);
                    true
                }
            })
        })
    };
    NAMING.into_iter().find(|key| unique(from, key) && unique(to, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(live: Value, wanted: Value) -> Vec<String> {
        fields(&live, &wanted).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_server_keeps_is_no_change() {
        let live = json!({"kind": "Deployment", "metadata": {"name": "a", "resourceVersion": "1", "generation": 1, "managedFields": []}, "status": {"replicas": 1}});
        let wanted = json!({"status": {}, "kind": "Deployment", "metadata": {"resourceVersion": "2", "generation": 2, "name": "a"}});
        assert_eq!(shown(live, wanted), [""; 0]);
    }

    #[test]
    fn a_change_names_the_item_it_is_in() {
        let object = |image: &str, labels: Value| json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "proxy"}, {"name": "web", "image": image}]}});
        let changes = shown(object("web:1", json!({"a.b/c": "1"})), object("web:2", json!({"d": "2"})));
        assert_eq!(
            changes,
            [r#"metadata.labels.d: + "2""#, r#"metadata.labels[a.b/c]: - "1""#, r#"spec.containers[name=web].image: "web:1" → "web:2""#]
        );
    }

    #[test]
    fn items_in_another_order_are_a_change() {
        let object = |names: [&str; 2]| json!({"spec": {"rules": names.map(|name| json!({"name": name}))}});
        assert_eq!(shown(object(["a", "b"]), object(["b", "a"])), [r#"spec.rules: ["a","b"] → ["b","a"]"#]);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = |value: &str| json!({"kind": "Secret", "data": {"password": value}, "type": "Opaque"});
        assert_eq!(shown(secret("b25l"), secret("dHdv")), [r#"data.password: "***" → "***""#]);
        assert_eq!(shown(json!({"kind": "Secret"}), secret("dHdv")), [r#"data: + "***""#, r#"type: + "Opaque""#]);
    }
}
