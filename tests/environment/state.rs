//! A finished environment as data: what two of them that were made in different ways must have in common.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use serde_json::{Map, Value};

use super::bundled::Bundled;

/// `worker-1 file /etc/hosts` to its mode, owner and digest; `cluster Service phishing/phishing-model-service` to what it says.
pub type State = BTreeMap<String, String>;

/// Files that no two environments have alike, by their beginnings: that they are there and whose is compared, not what is in them.
const OWN: [(&str, &str); 12] = [
    ("/etc/kubernetes/pki/", "keys and certificates are made for each cluster"),
    ("/etc/kubernetes/admin.conf", "holds such a certificate"),
    ("/etc/kubernetes/super-admin.conf", "the same"),
    ("/etc/kubernetes/controller-manager.conf", "the same"),
    ("/etc/kubernetes/scheduler.conf", "the same"),
    ("/etc/kubernetes/kubelet.conf", "the same"),
    ("/root/.kube/config", "a copy of admin.conf"),
    ("/etc/machine-id", "the machine's identity"),
    ("/etc/ssh/ssh_host_", "the machine's own key"),
    ("/root/.ssh/authorized_keys", "the environment's key"),
    ("/etc/cni/net.d/10-provision.conflist", "the node's range of pod addresses goes by the order of joins; compared without it"),
    ("/var/lib/kubelet/instance-config.yaml", "kubeadm's note of the node"),
];

/// Objects that no two clusters have alike, by their beginnings.
const OF_CLUSTER: [(&str, &str); 5] = [
    ("ConfigMap kube-system/extension-apiserver-authentication", "the cluster's certificates"),
    ("ConfigMap kube-public/cluster-info", "its certificate, and a signature for each token that lives"),
    ("ConfigMap kube-system/provision-network", "digests of uids"),
    ("Secret kube-system/bootstrap-token-", "tokens live minutes"),
    ("ConfigMap kube-system/kube-apiserver-legacy-service-account-token-tracking", "the day of the start"),
];

const KINDS: &str = "namespaces,nodes,deployments,daemonsets,statefulsets,services,configmaps,secrets,serviceaccounts,\
                     poddisruptionbudgets,roles,rolebindings,clusterroles,clusterrolebindings,storageclasses,pods";

const SCRIPT: &str = r#"
dpkg-query --show --showformat='package ${Package}\t${Version} ${db:Status-Abbrev}\n'
apt-mark showmanual | sed 's/^/wanted package /; s/$/\tyes/'
systemctl list-unit-files --no-legend --plain | awk '{print "unit file " $1 "\t" $2}'
systemctl list-units --no-legend --plain --all --type=service,socket,timer | awk '$4 != "exited" && $3 != "inactive" {print "unit " $1 "\t" $3}'
find /etc /usr/local /opt /root /var/lib/kubelet /var/lib/provision-images -xdev \
    \( -path /var/lib/kubelet/pods -o -path /var/lib/kubelet/plugins -o -path /var/lib/kubelet/pki \
       -o -path /var/lib/kubelet/device-plugins -o -path /root/.kube/cache -o -name '*_state' -o -name '.lock' \) -prune -o -printf 'file %p\t%y %M %U:%G %l\n'
find /etc /usr/local /opt /root /var/lib/kubelet -xdev -path /var/lib/kubelet/pods -prune -o -type f -print0 | xargs -0 sha256sum | sed 's/^/digest /'
sed 's/10\.244\.[0-9]*\./10.244.N./' /etc/cni/net.d/10-provision.conflist | sha256sum | sed 's/^/content of the pods network\t/'
ctr --namespace k8s.io images list | awk 'NR > 1 {print "image " $1 "\t" $3}'
"#;

impl Bundled {
    /// What is there, but for what is by its nature another each time.
    pub fn state(&self, nodes: &[&str]) -> State {
        let mut state = State::new();
        let texts: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = nodes.iter().map(|node| scope.spawn(|| self.on(node, SCRIPT))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a node's state")).collect()
        });
        for (node, text) in nodes.iter().zip(texts) {
            of_node(&mut state, node, &text);
        }
        let objects: Value = serde_json::from_str(&self.kubectl(&["get", KINDS, "-A", "-o", "json"])).expect("JSON");
        for object in objects["items"].as_array().expect("a list") {
            of_object(&mut state, object);
        }
        for entry in fs::read_dir(self.path().join(".provision")).expect("its state").flatten() {
            state.insert(format!("here .provision/{}", entry.file_name().to_string_lossy()), "there".to_owned());
        }
        state
    }
}

fn of_node(state: &mut State, node: &str, text: &str) {
    for line in text.lines() {
        if let Some((digest, path)) = line.strip_prefix("digest ").and_then(|rest| rest.split_once("  ")) {
            if !OWN.iter().any(|(own, _)| path.starts_with(own))
                && let Some(file) = state.get_mut(&format!("{node} file {path}"))
            {
                let _ = write!(file, "{digest}");
            }
            continue;
        }
        let (what, value) = line.split_once('\t').unwrap_or((line, ""));
        // Services of a login, and what a timer does now and then.
        if ["unit user", "unit session", "unit systemd-tmpfiles-clean.service", "unit apt-daily", "unit man-db"]
            .iter()
            .any(|word| what.starts_with(word))
        {
            continue;
        }
        state.insert(format!("{node} {what}"), value.to_owned());
    }
}

fn of_object(state: &mut State, object: &Value) {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let namespace = text("/metadata/namespace");
    let name = format!("{}{}{}", namespace, if namespace.is_empty() { "" } else { "/" }, text("/metadata/name"));
    let key = format!("{} {name}", text("/kind"));
    // What a controller makes has a name of chance, and follows from its owner.
    let owned = object.pointer("/metadata/ownerReferences").is_some();
    if owned || name.ends_with("/kube-root-ca.crt") || OF_CLUSTER.iter().any(|(own, _)| key.starts_with(own)) {
        return;
    }
    let mut kept = object.clone();
    // Two answers of a server need not have their keys in one order.
    kept.sort_all_objects();
    let kept = kept.as_object_mut().expect("an object");
    kept.remove("status");
    if let Some(metadata) = object["metadata"].as_object() {
        let mut own = Map::new();
        for part in ["labels", "annotations"] {
            let mut words = metadata.get(part).and_then(Value::as_object).cloned().unwrap_or_default();
            // Revisions count rollouts; flannel's tell a node's hardware address.
            words.retain(|word, _| !word.ends_with("/revision") && !word.starts_with("flannel.alpha.coreos.com/"));
            own.insert(part.to_owned(), words.into());
        }
        kept.insert("metadata".to_owned(), own.into());
    }
    match text("/kind") {
        // The order of joins decides.
        "Node" => {
            let spec = kept.get_mut("spec").and_then(Value::as_object_mut).expect("a spec");
            spec.retain(|word, _| !word.starts_with("podCIDR"));
            kept.insert("allocatable".to_owned(), object["status"]["allocatable"].clone());
        }
        "Service" => {
            let spec = kept.get_mut("spec").and_then(Value::as_object_mut).expect("a spec");
            spec.retain(|word, _| !word.starts_with("clusterIP"));
        }
        // What it hides is of this cluster.
        "Secret" => {
            kept.remove("data");
        }
        // A release's record counts its applies: one more for each that was killed.
        "ConfigMap" if name.contains("/provision.release.") => {
            let data = kept.get_mut("data").and_then(Value::as_object_mut).expect("a record");
            data.remove("revision");
        }
        _ => {}
    }
    state.insert(format!("cluster {key}"), Value::from(kept.clone()).to_string());
}

/// What `found` has that is another in `wanted`, a line each.
pub fn difference(wanted: &State, found: &State) -> Vec<String> {
    let gone = wanted.iter().filter(|(name, _)| !found.contains_key(*name)).map(|(name, value)| format!("- {name}: {value}"));
    let others = found.iter().filter_map(|(name, value)| match wanted.get(name) {
        Some(before) if before == value => None,
        Some(before) => Some(format!("~ {name}: {before} → {value}")),
        None => Some(format!("+ {name}: {value}")),
    });
    gone.chain(others).collect()
}
