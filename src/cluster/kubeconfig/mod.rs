//! The kubeconfig: the control plane's admin.conf under the environment's name, kept beside the project, merged on request.

mod file;
mod merge;
mod yaml;

pub use merge::{Merged, default_file, merge};

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Error, ErrorKind, Result};

/// Marks the entries that we wrote into a user's kubeconfig, as minikube marks its own.
const EXTENSION: &str = "provision.dev";

/// Where a project's kubeconfig lies: `<folder>/.provision/kubeconfig`.
pub fn path(folder: &Path) -> PathBuf {
    folder.join(".provision").join("kubeconfig")
}

/// Writes admin.conf's text to `path` (mode 0600, in one step, the folder's owner's), its cluster, user and context
/// renamed to `name`. Answers whether the file changed.
pub fn store(path: &Path, admin: &str, name: &str) -> Result<bool> {
    let text = renamed(admin, name)?;
    let same = std::fs::read_to_string(path).is_ok_and(|old| old == text);
    if !same {
        file::write(path, &text)?;
    }
    Ok(!same)
}

/// The kubeconfig of the current context alone; cluster, user and context are called `name`.
pub fn renamed(admin: &str, name: &str) -> Result<String> {
    let doing = "read admin.conf of the control plane";
    let wrong = |cause: String| Error::new(ErrorKind::Kubeconfig, doing).because(cause);
    let admin = yaml::read(admin).map_err(wrong)?;
    let current = admin.get("current-context").and_then(Value::as_str).ok_or_else(|| wrong("it has no current-context".to_owned()))?;
    let context = entry(&admin, "contexts", current)
        .and_then(|entry| entry.get("context"))
        .ok_or_else(|| wrong(format!("it has no context `{current}`")))?;
    let part = |list: &str, key: &str| -> Result<Value> {
        let called = context.get(key).and_then(Value::as_str).ok_or_else(|| wrong(format!("context `{current}` names no {key}")))?;
        let found = entry(&admin, list, called).and_then(|entry| entry.get(key));
        found.cloned().ok_or_else(|| wrong(format!("it has no {key} `{called}`")))
    };
    let (cluster, user) = (part("clusters", "cluster")?, part("users", "user")?);
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    });
    Ok(yaml::write(&kubeconfig))
}

/// A named entry of one of the three lists.
fn entry<'config>(config: &'config Value, list: &str, name: &str) -> Option<&'config Map<String, Value>> {
    let entries = config.get(list)?.as_array()?.iter().filter_map(Value::as_object);
    entries.into_iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const ADMIN: &str = "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://192.168.60.2:6443
  name: kubernetes
- cluster: {server: https://elsewhere}
  name: other
contexts:
- context:
    cluster: kubernetes
    user: kubernetes-admin
  name: kubernetes-admin@kubernetes
current-context: kubernetes-admin@kubernetes
kind: Config
users:
- name: kubernetes-admin
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
";

    #[test]
    fn all_three_names_become_the_environment_s() {
        let text = renamed(ADMIN, "dev").unwrap();
        let expected = "apiVersion: v1
kind: Config
clusters:
- name: dev
  cluster:
    certificate-authority-data: Q0E=
    server: https://192.168.60.2:6443
users:
- name: dev
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
contexts:
- name: dev
  context:
    cluster: dev
    user: dev
current-context: dev
";
        assert_eq!(text, expected);
    }

    #[test]
    fn it_is_stored_for_its_owner_only_and_once() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path());
        assert!(store(&path, ADMIN, "dev").unwrap());
        assert!(!store(&path, ADMIN, "dev").unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = store(&path, "clusters: []\ncurrent-context: x\n", "dev").unwrap_err();
        assert_eq!(error.to_string(), "read admin.conf of the control plane: it has no context `x`");
    }
}
