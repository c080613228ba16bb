//! Our context in the user's own kubeconfig: one entry a list, everything else as it was.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::super::{Error, ErrorKind, Result};
use super::{EXTENSION, entry, file, yaml};

/// What a merge did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    pub file: PathBuf,
    /// The name of cluster, user and context there.
    pub context: String,
    /// False: the file had everything already, and was not written.
    pub changed: bool,
    /// The file as it was before.
    pub backup: Option<PathBuf>,
    /// The file's current context is ours now: it had none before.
    pub is_current: bool,
}

/// The file that kubectl would write a new context to: of `KUBECONFIG`'s list the first that exists, else its last; without
/// it `~/.kube/config`. None: neither is set.
pub fn default_file(kubeconfig: Option<&str>, home: Option<&Path>) -> Option<PathBuf> {
    let listed: Vec<PathBuf> = kubeconfig.into_iter().flat_map(std::env::split_paths).filter(|path| !path.as_os_str().is_empty()).collect();
    let first = listed.iter().find(|path| path.exists()).or(listed.last()).cloned();
    first.or_else(|| home.map(|home| home.join(".kube").join("config")))
}

/// Puts the current context of `ours` into `file`, under `name` or else its own. `folder`, the project's, is
/// noted in the entry: an entry of that name that is not this project's is left alone, with an error. The file before
/// stays beside it as `….provision-backup`; a link is followed.
pub fn merge(file: &Path, ours: &str, name: Option<&str>, folder: &Path) -> Result<Merged> {
    let own = yaml::read(ours).ok().and_then(|ours| Some(ours.get("current-context")?.as_str()?.to_owned()));
    let name = name.map(str::to_owned).or(own).unwrap_or_default();
    let name = &*name;
    let doing = || format!("merge the context `{name}` into {}", file.display());
    let wrong = |cause: String| Error::new(ErrorKind::Kubeconfig, doing()).because(cause);
    let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    if let Some(parent) = target.parent().filter(|parent| !parent.exists()) {
        fs::create_dir_all(parent).map_err(|error| wrong(error.to_string()))?;
    }
    let _held = file::Held::take(&target)?;
    let before = match fs::read_to_string(&target) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(wrong(error.to_string())),
    };
    let old = yaml::read(before.as_deref().unwrap_or_default()).map_err(&wrong)?;
    let ours = yaml::read(&super::renamed(ours, name)?).map_err(&wrong)?;
    let mark = json!([{"name": EXTENSION, "extension": {"folder": folder.to_string_lossy()}}]);
    let mut merged = old.clone();
    let map = merged.as_object_mut().expect("only a mapping is read");
    if map.is_empty() {
        map.insert("apiVersion".to_owned(), "v1".into());
        map.insert("kind".to_owned(), "Config".into());
    }
    for (list, key) in [("clusters", "cluster"), ("users", "user"), ("contexts", "context")] {
        if let Some(there) = entry(&old, list, name) {
            check_ours(there, key, &mark, &old, name).map_err(|cause| {
                let foreign = Error::new(ErrorKind::Foreign, doing()).because(cause);
                foreign.hint(
                    "give the environment another `name` in provision.yaml, or this context: `provision kubeconfig --merge --context NAME`",
                )
            })?;
        }
        let mut new = entry(&ours, list, name).cloned().expect("a renamed kubeconfig has all three");
        // Users have no extensions that kubectl keeps; whose a user is follows from its context.
        if key != "user"
            && let Some(body) = new.get_mut(key).and_then(Value::as_object_mut)
        {
            body.insert("extensions".to_owned(), mark.clone());
            keep_namespace(body, entry(&old, list, name), key);
        }
        put(map, list, name, new).map_err(&wrong)?;
    }
    let has_current = old.get("current-context").and_then(Value::as_str).is_some_and(|current| !current.is_empty());
    if !has_current {
        map.insert("current-context".to_owned(), name.into());
    }
    let is_current = map.get("current-context").and_then(Value::as_str) == Some(name);
    if merged == old {
        return Ok(Merged { file: target, context: name.to_owned(), changed: false, backup: None, is_current });
    }
    let backup = before.as_ref().map(|_| target.with_added_extension("provision-backup"));
    if let (Some(backup), Some(before)) = (&backup, &before) {
        file::write(backup, before)?;
    }
    file::write(&target, &yaml::write(&merged))?;
    Ok(Merged { file: target, context: name.to_owned(), changed: true, backup, is_current })
}

/// Whether an entry that has our name was written by us for this project.
fn check_ours(there: &Map<String, Value>, key: &str, mark: &Value, config: &Value, name: &str) -> std::result::Result<(), String> {
    let marked = |entry: Option<&Map<String, Value>>, key: &str| entry.and_then(|entry| entry.get(key)?.get("extensions").cloned());
    let found = if key == "user" { marked(entry(config, "contexts", name), "context") } else { marked(Some(there), key) };
    if found.as_ref() == Some(mark) {
        return Ok(());
    }
    let folder = found.as_ref().and_then(|found| {
        found
            .as_array()?
            .iter()
            .find(|one| one.get("name").and_then(Value::as_str) == Some(EXTENSION))?
            .pointer("/extension/folder")?
            .as_str()
            .map(str::to_owned)
    });
    Err(match folder {
        Some(folder) => format!("its {key} `{name}` is the cluster of the project {folder}"),
        None => format!("it has a {key} `{name}` that is not ours"),
    })
}

/// The namespace that the user chose for the context stays.
fn keep_namespace(body: &mut Map<String, Value>, old: Option<&Map<String, Value>>, key: &str) {
    if let Some(namespace) = old.and_then(|old| old.get(key)?.get("namespace")) {
        body.insert("namespace".to_owned(), namespace.clone());
    }
}

fn put(map: &mut Map<String, Value>, list: &str, name: &str, new: Map<String, Value>) -> std::result::Result<(), String> {
    let entries = map.entry(list).or_insert(Value::Null);
    if entries.is_null() {
        *entries = Value::Array(Vec::new());
    }
    let entries = entries.as_array_mut().ok_or_else(|| format!("its `{list}` is no list"))?;
    match entries.iter_mut().find(|entry| entry.get("name").and_then(Value::as_str) == Some(name)) {
        Some(there) => *there = Value::Object(new),
        None => entries.push(Value::Object(new)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::ADMIN;
    use super::*;

    const OTHERS: &str = "# mine
apiVersion: v1
clusters:
- cluster: {server: 'https://work', unknown-key: 'on'}
  name: work
contexts:
- context: {cluster: work, user: me, namespace: shop}
  name: work
current-context: work
kind: Config
preferences: {colors: true}
users:
- name: me
  user: {exec: {command: login, args: [\"--port\", \"12:30\"]}}
";

    fn merged(text: Option<&str>, name: &str) -> (tempfile::TempDir, PathBuf, Result<Merged>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        if let Some(text) = text {
            fs::write(&file, text).unwrap();
        }
        let result = merge(&file, ADMIN, Some(name), Path::new("/projects/one"));
        (folder, file, result)
    }

    #[test]
    fn other_contexts_stay_as_they_were() {
        let (_folder, file, result) = merged(Some(OTHERS), "dev");
        let result = result.unwrap();
        assert!(result.changed && !result.is_current);
        assert_eq!(fs::read_to_string(result.backup.unwrap()).unwrap(), OTHERS);
        let (before, mut after) = (yaml::read(OTHERS).unwrap(), yaml::read(&fs::read_to_string(&file).unwrap()).unwrap());
        assert_eq!(entry(&after, "clusters", "dev").unwrap()["cluster"]["server"], "https://192.168.60.2:6443");
        assert_eq!(entry(&after, "contexts", "dev").unwrap()["context"]["user"], "dev");
        for list in ["clusters", "users", "contexts"] {
            after[list].as_array_mut().unwrap().retain(|entry| entry["name"] != "dev");
        }
        assert_eq!(after, before);
        // Again: nothing to do, nothing written.
        let stamp = fs::metadata(&file).unwrap().modified().unwrap();
        let again = merge(&file, ADMIN, Some("dev"), Path::new("/projects/one")).unwrap();
        assert_eq!((again.changed, again.backup), (false, None));
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), stamp);
        assert!(!file.with_added_extension("lock").exists());
    }

    #[test]
    fn a_rebuilt_cluster_takes_its_own_place() {
        let (_folder, file, result) = merged(Some(OTHERS), "dev");
        result.unwrap();
        let text = fs::read_to_string(&file).unwrap().replace("    user: dev\n", "    user: dev\n    namespace: url-check\n");
        fs::write(&file, text).unwrap();
        let rebuilt = ADMIN.replace("S0VZ", "TkVX");
        assert!(merge(&file, &rebuilt, Some("dev"), Path::new("/projects/one")).unwrap().changed);
        let after = yaml::read(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(after["users"].as_array().unwrap().len(), 2);
        assert_eq!(entry(&after, "users", "dev").unwrap()["user"]["client-key-data"], "TkVX");
        assert_eq!(entry(&after, "contexts", "dev").unwrap()["context"]["namespace"], "url-check");
    }

    #[test]
    fn what_is_not_ours_is_refused_and_left() {
        let (_folder, file, result) = merged(Some(OTHERS), "work");
        let error = result.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Foreign);
        assert_eq!(
            error.to_string(),
            format!("merge the context `work` into {}: it has a cluster `work` that is not ours", file.display())
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), OTHERS);
        merge(&file, ADMIN, Some("dev"), Path::new("/projects/one")).unwrap();
        let other = merge(&file, ADMIN, Some("dev"), Path::new("/projects/two")).unwrap_err();
        assert!(other.to_string().ends_with("its cluster `dev` is the cluster of the project /projects/one"), "{other}");
    }

    #[test]
    fn a_file_that_is_not_there_is_made_and_current() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, file, result) = merged(None, "dev");
        let result = result.unwrap();
        assert!(result.is_current && result.backup.is_none());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let empty = "apiVersion: v1\nclusters: null\ncontexts: null\ncurrent-context: \"\"\nkind: Config\npreferences: {}\nusers: null\n";
        assert!(merged(Some(empty), "dev").2.unwrap().is_current);
    }

    #[test]
    fn the_file_is_the_one_that_kubectl_would_take() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let both = format!("{}:{}", one.display(), two.display());
        let home = Path::new("/home/me");
        assert_eq!(default_file(Some(&both), Some(home)), Some(two.clone()));
        fs::write(&one, "").unwrap();
        fs::write(&two, "").unwrap();
        assert_eq!(default_file(Some(&both), Some(home)), Some(one));
        assert_eq!(default_file(Some(""), Some(home)), Some(home.join(".kube/config")));
        assert_eq!(default_file(None, None), None);
    }
}
