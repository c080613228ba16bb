//! What the bundled release declares, seen to act: journals outlive pods and nodes, pods need no right, installs do not meet.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use provision::vm::process::wait_until;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::browser::curl;
use super::bundled::Bundled;
use super::disturbances;

/// The answer to JSON; `None` where nobody answers, or with a refusal.
fn answer(url: &str, body: &Value) -> Option<Value> {
    let output = Command::new("curl").args(["--silent", "--fail", "--max-time", "10", "--json", &body.to_string(), url]).output();
    let output = output.expect("curl runs");
    output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
}

pub const PARTS: [&str; 2] = ["app", "model-service"];

/// Lines of the journals of a part's pods: URLs that were judged, and ids of answers that were called right.
fn kept(bundled: &Bundled, part: &str, key: &str) -> BTreeSet<String> {
    let mut lines = String::new();
    for pod in [0, 1] {
        let pod = format!("phishing-{part}-{pod}");
        lines += &bundled.kubectl(&["exec", "--namespace", "phishing", &pod, "--", "/model-service", "export", "--journal", "/journal"]);
    }
    let values = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
    values.filter_map(|line| line[key].as_str().map(str::to_owned)).collect()
}

/// Asks and votes; what was acknowledged is there after every pod was deleted, and after a node went down without notice.
pub fn what_was_acknowledged_outlives_pods_and_a_restart_of_their_node(bundled: &Bundled) {
    let (mut judged, mut voted) = (BTreeSet::new(), BTreeSet::new());
    // What was acknowledged of asking for a URL's verdict and voting for it; `None` where no pod answers.
    let asked = |number: usize| {
        let url = format!("http://192.0.2.{number}/paypal/webscr/login.php");
        let page = |path: &str, body: Value| self::answer(&format!("{}{path}", bundled.page()), &body);
        let answer = page("api/predict", json!({"url": url}))?;
        // The fallback is no verdict.
        let verdict = answer["verdict"].as_str()?;
        let vote = json!({"id": answer["id"], "url": url, "verdict": verdict, "feedback": "yes"});
        let voted = page("api/feedback", vote).is_some_and(|answer| answer["status"] == "success");
        Some((url, voted.then(|| answer["id"].as_str().expect("an id").to_owned())))
    };
    let mut note = |(url, vote): (String, Option<String>)| {
        judged.insert(url);
        voted.extend(vote);
        (judged.clone(), voted.clone())
    };
    let ask = |number: usize| {
        let asked = asked(number).filter(|(_, vote)| vote.is_some());
        asked.unwrap_or_else(|| panic!("no answer to the URL and the vote number {number}"))
    };
    let ended = AtomicBool::new(false);
    let all_kept = |(judged, voted): &(BTreeSet<String>, BTreeSet<String>)| {
        for (part, key, wanted) in [("model-service", "url", judged), ("app", "id", voted)] {
            let kept = kept(bundled, part, key);
            let lost: Vec<_> = wanted.difference(&kept).collect();
            assert!(lost.is_empty(), "{part} lost {lost:?}");
        }
    };
    let ready = || {
        PARTS.iter().all(|part| {
            let set = format!("statefulset/phishing-{part}");
            let words = ["kubectl", "--namespace", "phishing", "rollout", "status", &set, "--timeout", "90s"];
            bundled.command(&words).output().is_ok_and(|output| output.status.success())
        })
    };

    let mut acknowledged = (BTreeSet::new(), BTreeSet::new());
    for number in 1..=8 {
        acknowledged = note(ask(number));
    }
    all_kept(&acknowledged);
    // A pod that is asked to end answers until nobody is sent to it any more.
    let meanwhile = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            (200..100_000).take_while(|_| !ended.load(Ordering::Relaxed)).map(|number| (number, asked(number))).collect::<Vec<_>>()
        });
        for part in PARTS {
            bundled.kubectl(&["delete", "pod", &format!("phishing-{part}-0"), "--namespace", "phishing", "--timeout", "60s"]);
        }
        let is_ready = ready();
        ended.store(true, Ordering::Relaxed);
        assert!(is_ready);
        asking.join().expect("who asks")
    });
    eprintln!("{} answers while one pod of each part ended and came back", meanwhile.len());
    for (number, one) in meanwhile {
        let one = one.filter(|(_, vote)| vote.is_some());
        acknowledged = note(one.unwrap_or_else(|| panic!("no answer to the URL and the vote number {number} while a pod ended")));
    }
    all_kept(&acknowledged);
    ended.store(false, Ordering::Relaxed);
    // Killed, not asked to end, while people go on voting.
    let meanwhile = std::thread::scope(|scope| {
        let voting = scope
            .spawn(|| (100..200).map_while(|number| (!ended.load(Ordering::Relaxed)).then(|| asked(number))).flatten().collect::<Vec<_>>());
        bundled.kubectl(&["delete", "pods", "--all", "--namespace", "phishing", "--grace-period", "0", "--force", "--timeout", "60s"]);
        assert!(ready());
        ended.store(true, Ordering::Relaxed);
        voting.join().expect("a voter")
    });
    eprintln!("{} of the answers came while pods were killed", meanwhile.len());
    for one in meanwhile {
        acknowledged = note(one);
    }
    all_kept(&acknowledged);

    for number in 9..=16 {
        acknowledged = note(ask(number));
    }
    disturbances::restart(bundled, "worker-1");
    let is_back = || {
        let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        bundled.command(&["ssh", "worker-1", "--", "systemctl is-system-running"]).output().is_ok_and(|output| output.status.success())
            && bundled.kubectl(&["get", "node", "worker-1", "--output", ready]) == "True"
    };
    assert!(wait_until(Duration::from_secs(120), Duration::from_millis(500), is_back), "worker-1 is back");
    let serves = || ready() && kept_answers(bundled);
    assert!(wait_until(Duration::from_secs(120), Duration::from_secs(1), serves), "its pods are back");
    all_kept(&acknowledged);
}

/// Whether each pod can be asked for its journal.
fn kept_answers(bundled: &Bundled) -> bool {
    PARTS.iter().all(|part| {
        [0, 1].iter().all(|pod| {
            let pod = format!("phishing-{part}-{pod}");
            let words = ["kubectl", "exec", "--namespace", "phishing", &pod, "--", "/model-service", "health"];
            bundled.command(&words).output().is_ok_and(|output| output.status.success())
        })
    })
}

/// A dry run of the namespace policy names each pod that does not meet it.
pub fn pods_need_no_right(bundled: &Bundled) {
    let label = |policy: &str| {
        let policy = format!("pod-security.kubernetes.io/enforce={policy}");
        bundled.expect(0, &["kubectl", "label", "--dry-run=server", "namespace", "phishing", "kube-system", &policy]).1
    };
    let said = label("restricted");
    assert!(said.contains("in namespace \"kube-system\" violate") && !said.contains("\"phishing\" violate"), "{said}");
}

/// `create`s or `replace`s the ConfigMap of models: one of those that are shipped.
fn models(bundled: &Bundled, verb: &str, model: &str) {
    let file = format!("--from-file={}", shipped(model).display());
    let words = ["create", "configmap", "models", "--namespace", "phishing", &file, "--dry-run=client", "--output", "yaml"];
    bundled.write("models-of-a-map.yaml", &bundled.kubectl(&words));
    bundled.kubectl(&[verb, "--filename", "models-of-a-map.yaml"]);
}

/// As the service tells it.
pub fn model_id(model: &str) -> String {
    hex::encode(Sha256::digest(std::fs::read(shipped(model)).expect("a model")))
}

fn shipped(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("model-service/models").join(model).with_extension("onnx")
}

/// The model of a ConfigMap is served, and the one that takes its place there, by the same process.
pub fn a_model_follows_its_config_map(bundled: &Bundled) {
    let pod = "phishing-app-model-service-0";
    let path = format!("/api/v1/namespaces/phishing/pods/{pod}:8080/proxy/version");
    let serves = |model: &str| {
        let told: Value = serde_json::from_str(&bundled.kubectl(&["get", "--raw", &path])).expect("JSON");
        told["model"]["id"] == model_id(model)
    };
    assert!(serves("v1"));
    models(bundled, "replace", "v2");
    // Its node looks at what a pod is to have when the pod changes, and else once a minute.
    bundled.kubectl(&["annotate", "pod", pod, "--namespace", "phishing", "look=again"]);
    assert!(wait_until(Duration::from_secs(120), Duration::from_millis(500), || serves("v2")), "the new model is served");
    let restarts = "jsonpath={.status.containerStatuses[0].restartCount}";
    assert_eq!(bundled.kubectl(&["get", "pod", pod, "--namespace", "phishing", "--output", restarts]), "0");
}

/// Two more releases of the chart, one in the same namespace, one in another: each has its own objects, pods and volumes. The model
/// service of the latter is the autoscaler's from its first install on.
pub fn declare_installs_beside_it(bundled: &Bundled) {
    bundled.write(
        "beside.yaml",
        "modelService: {replicaCount: 1, persistence: {enabled: true}, resources: {requests: {cpu: 10m}}}\n\
         app: {replicaCount: 1, config: {variant: v1}, resources: {requests: {cpu: 10m}}}\n",
    );
    bundled.write("scaled.yaml", "modelService: {persistence: {enabled: false}, autoscaling: {enabled: true, minReplicas: 2}}\n");
    bundled.write(
        "models.yaml",
        "modelService:\n  config: {model: /other-models}\n  extraVolumes: [{name: models, configMap: {name: models}}]\n  \
         extraVolumeMounts: [{name: models, mountPath: /other-models}]\n",
    );
    models(bundled, "create", "v1");
    let images = "images: {modelService.image: image/model-service, app.image: image/app}";
    let more = [("phishing-app", "phishing", "beside.yaml, models.yaml"), ("a", "elsewhere", "beside.yaml, scaled.yaml")];
    let more = more.map(|(name, namespace, values)| {
        format!("  - {{name: {name}, chart: charts/phishing, namespace: {namespace}, values: [{values}], {images}}}\n")
    });
    let environment = std::fs::read_to_string(bundled.path().join("provision.yaml")).expect("the environment");
    let counted = environment.replace("values: [values.yaml]", "values: [values.yaml, counts.yaml]");
    assert_ne!(counted, environment);
    bundled.write("counts.yaml", "experiment: {countsFrom: [\"http://a-app-pods.elsewhere:8080/metrics\"]}\n");
    bundled.write("provision.yaml", &(counted + &more.concat()));
}

pub fn installs_do_not_meet(bundled: &Bundled) {
    for (namespace, release, pods) in [("phishing", "phishing", 2), ("phishing", "phishing-app", 1), ("elsewhere", "a", 1)] {
        let service = format!("kubernetes.io/service-name={release}-app");
        let words = ["get", "endpointslices", "--namespace", namespace, "--selector", &service, "--output"];
        let targets = bundled.kubectl(&[&words[..], &["jsonpath={.items[*].endpoints[*].targetRef.name}"]].concat());
        let targets: Vec<&str> = targets.split_whitespace().collect();
        assert_eq!(targets.len(), pods, "{namespace}/{release}: {targets:?}");
        assert!(targets.iter().all(|pod| pod.starts_with(&format!("{release}-app-"))), "{targets:?}");
    }
    let claims = bundled.kubectl(&["get", "persistentvolumeclaims", "-A", "--output", "jsonpath={.items[*].metadata.name}"]);
    let beside = ["journal-phishing-app-model-service-0", "journal-phishing-app-0", "journal-phishing-app-1"];
    assert!(beside.iter().all(|claim| claims.split_whitespace().any(|there| there == *claim)), "{claims}");
    bundled.answers();
}

/// Of the release whose model service is the autoscaler's.
fn scaled(bundled: &Bundled, object: &str, path: &str) -> String {
    let path = format!("jsonpath={{{path}}}");
    bundled.kubectl(&["get", object, "a-model-service", "--namespace", "elsewhere", "--output", &path])
}

fn are_available(bundled: &Bundled, pods: &str) -> bool {
    let available = || scaled(bundled, "deployment", ".status.availableReplicas") == pods;
    wait_until(Duration::from_secs(120), Duration::from_millis(500), available)
}

/// The release names no number of pods, so Kubernetes begins with one, and the controller raises that to the least that it was told.
pub fn an_autoscaler_sets_the_number_of_pods(bundled: &Bundled) {
    let told = [".spec.scaleTargetRef.kind", ".spec.minReplicas"].map(|path| scaled(bundled, "horizontalpodautoscaler", path));
    assert_eq!(told, ["Deployment", "2"]);
    assert!(are_available(bundled, "2"));
    // The field's own list of who set it has no apply, so none of ours takes it back.
    let words = ["get", "deployment", "a-model-service", "--namespace", "elsewhere", "--show-managed-fields", "--output", "json"];
    let deployment: Value = serde_json::from_str(&bundled.kubectl(&words)).expect("JSON");
    let applied = deployment["metadata"]["managedFields"].as_array().expect("a list").iter().filter(|entry| entry["operation"] == "Apply");
    let applied: Vec<&Value> = applied.map(|entry| &entry["fieldsV1"]["f:spec"]).collect();
    assert!(applied.iter().any(|fields| fields.get("f:template").is_some()), "{deployment}");
    assert!(applied.iter().all(|fields| fields.get("f:replicas").is_none()), "{applied:?}");
}

/// To go further it needs metrics, which are not here: a person's `kubectl scale` stands for what it would do with them.
pub fn up_leaves_the_autoscaler_s_number_alone(bundled: &Bundled) {
    bundled.kubectl(&["scale", "deployment/a-model-service", "--namespace", "elsewhere", "--replicas", "3"]);
    assert!(are_available(bundled, "3"));
    bundled.proves_no_change();
    let story = bundled.up();
    assert!(story.starts_with("No changes: "), "{story}");
    assert_eq!([".spec.replicas", ".status.availableReplicas"].map(|path| scaled(bundled, "deployment", path)), ["3", "3"]);
}

/// Votes at pods of two releases are in the comparison that any of the first one's pods shows.
pub fn the_experiment_counts_every_pod(bundled: &Bundled) {
    let experiment = || curl(&[&format!("{}experiment", bundled.page())]);
    // What the journals have, and no vote of a pod that lost its node's volume.
    let voted = kept(bundled, "app", "id").len();
    let told = experiment();
    assert_eq!((&told["asked"], &told["answered"]), (&json!(3), &json!(3)), "two pods here, one of the release `a`: {told}");
    assert_eq!((&told["comparison"]["v1"]["n"], &told["comparison"]["v2"]["n"]), (&json!(0), &json!(voted)), "{told}");

    let vote = json!({"feedback": "no"}).to_string();
    for _ in 0..6 {
        assert_eq!(curl(&["--json", &vote, &format!("{}api/feedback", bundled.page())])["status"], "success");
    }
    let address = bundled.kubectl(&["get", "service", "a-app", "--namespace", "elsewhere", "--output", "jsonpath={.spec.clusterIP}"]);
    let head = "POST /api/feedback HTTP/1.1\\r\\nhost: a\\r\\nconnection: close\\r\\ncontent-type: application/json\\r\\ncontent-length";
    let send = format!("exec 3<>/dev/tcp/{address}/80; printf '{head}: {}\\r\\n\\r\\n%s' '{vote}' >&3; head -n 1 <&3", vote.len());
    let answer = bundled.on("worker-1", &format!("bash <<'END'\n{send}\nEND\n"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let told = experiment();
    assert_eq!((&told["comparison"]["v1"]["n"], &told["comparison"]["v2"]["n"]), (&json!(1), &json!(voted + 6)), "{told}");
}
