//! What the bundled release declares, seen to act: journals outlive pods and nodes, pods need no right, installs do not meet.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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

/// Ends who asks, also where the test ends in between.
struct Ends<'flag>(&'flag AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
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
    // Each number and what was acknowledged of it, while something is done to the pods: at least one vote before and one after it.
    let asked_while = |from: usize, done: &dyn Fn()| {
        let (ended, votes) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let numbers = (from..).take_while(|_| !ended.load(Ordering::Relaxed));
                let heard = |one: &Option<(String, Option<String>)>| {
                    votes.fetch_add(usize::from(matches!(one, Some((_, Some(_))))), Ordering::Relaxed)
                };
                numbers.map(|number| (number, asked(number))).inspect(|(_, one)| _ = heard(one)).collect::<Vec<_>>()
            });
            let end = Ends(&ended);
            let one_more = || {
                let before = votes.load(Ordering::Relaxed);
                let more = || votes.load(Ordering::Relaxed) > before;
                assert!(wait_until(Duration::from_secs(60), Duration::from_millis(20), more), "no vote after {before} was acknowledged");
            };
            one_more();
            done();
            one_more();
            drop(end);
            asking.join().expect("who asks")
        })
    };
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
    let meanwhile = asked_while(200, &|| {
        for part in PARTS {
            bundled.kubectl(&["delete", "pod", &format!("phishing-{part}-0"), "--namespace", "phishing", "--timeout", "60s"]);
        }
        assert!(ready());
    });
    eprintln!("{} answers while one pod of each part ended and came back", meanwhile.len());
    assert!(meanwhile.len() > 10, "{}", meanwhile.len());
    for (number, one) in meanwhile {
        let one = one.filter(|(_, vote)| vote.is_some());
        acknowledged = note(one.unwrap_or_else(|| panic!("no answer to the URL and the vote number {number} while a pod ended")));
    }
    all_kept(&acknowledged);
    for number in 9..=16 {
        acknowledged = note(ask(number));
    }

    // Killed, not asked to end; then without the node that some of them run on.
    let killed = || {
        bundled.kubectl(&["delete", "pods", "--all", "--namespace", "phishing", "--grace-period", "0", "--force", "--timeout", "60s"]);
        assert!(ready());
    };
    let restarted = || {
        disturbances::restart(bundled, "worker-1");
        let is_back = || {
            let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
            let state = bundled.command(&["ssh", "worker-1", "--", "systemctl is-system-running"]).output();
            state.is_ok_and(|output| output.status.success()) && bundled.kubectl(&["get", "node", "worker-1", "--output", ready]) == "True"
        };
        assert!(wait_until(Duration::from_secs(120), Duration::from_millis(500), is_back), "worker-1 is back");
        let serves = || ready() && kept_answers(bundled);
        assert!(wait_until(Duration::from_secs(120), Duration::from_secs(1), serves), "its pods are back");
    };
    for (from, what, done) in [(100_000, "pods were killed", &killed as &dyn Fn()), (200_000, "their node restarted", &restarted)] {
        let meanwhile = asked_while(from, done);
        eprintln!("{} were asked while {what}", meanwhile.len());
        // What got no answer may be there or not.
        for (_, one) in meanwhile {
            acknowledged = one.map_or(acknowledged, &mut note);
        }
        all_kept(&acknowledged);
    }
    eprintln!("{} URLs and {} votes were acknowledged, and are there", acknowledged.0.len(), acknowledged.1.len());
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

/// Its pods would all be on one node, and might be on the control plane's, were it not for the chart's own words on that.
const SCALED: &str = "service: {externalIPs: [ADDRESS]}
modelService: {persistence: {enabled: false}, autoscaling: {enabled: true, minReplicas: 2}}
tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists}]
affinity:
  nodeAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - {weight: 100, preference: {matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [worker-1]}]}}
  podAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app.kubernetes.io/instance: a}}}
";

/// Limits that a test can reach, and an app that may be slow to start.
const MODELS: &str = "service: {externalIPs: [ADDRESS]}
modelService:
  config: {model: /other-models, queue: 1, bodyTimeoutMs: 300}
  extraVolumes: [{name: models, configMap: {name: models}}]
  extraVolumeMounts: [{name: models, mountPath: /other-models}]
app:
  config: {bodyTimeoutMs: 300}
  probes: {startup: {initialDelaySeconds: 10}}
";

/// Namespace, name, the last of its page's address, pods of its app, and the model that it serves at first, of every install.
const INSTALLS: [(&str, &str, &str, usize, &str); 3] =
    [("phishing", "phishing", "2", 2, "v2"), ("phishing", "phishing-app", "3", 1, "v1"), ("elsewhere", "a", "4", 1, "v2")];

/// Two more releases of the chart, one in the same namespace, one in another: each has its own objects, pods and volumes. The model
/// service of the latter is the autoscaler's from its first install on.
pub fn declare_installs_beside_it(bundled: &Bundled) {
    bundled.write(
        "beside.yaml",
        "modelService: {replicaCount: 1, persistence: {enabled: true}, resources: {requests: {cpu: 10m}}}\n\
         app: {replicaCount: 1, config: {variant: v1}, resources: {requests: {cpu: 10m}}}\n",
    );
    bundled.write("scaled.yaml", &SCALED.replace("ADDRESS", &bundled.address("4")));
    bundled.write("models.yaml", &MODELS.replace("ADDRESS", &bundled.address("3")));
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
    for (namespace, release, _, pods, _) in INSTALLS {
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

    // Each app asks the model service of its own install, and no other hears of it.
    let judged = || INSTALLS.map(|(namespace, release, ..)| predictions(bundled, namespace, release));
    let mut expected = judged();
    for (number, (_, release, last, _, model)) in INSTALLS.into_iter().enumerate() {
        let page = bundled.page_at(last);
        assert_eq!(curl(&[&format!("{page}version")])["model"]["id"], model_id(model), "{release}");
        for _ in 0..=number {
            bundled.answers_at(last);
        }
        expected[number] += number + 1;
        assert_eq!(judged(), expected, "after URLs that {release} was asked");
    }
}

/// How many URLs the model service of an install has judged.
fn predictions(bundled: &Bundled, namespace: &str, release: &str) -> usize {
    let label = format!("app.kubernetes.io/component=model-service,app.kubernetes.io/instance={release}");
    let words = ["get", "pods", "--namespace", namespace, "--selector", &label, "--output", "jsonpath={.items[*].metadata.name}"];
    let pods = bundled.kubectl(&words);
    let told = pods.split_whitespace().map(|pod| {
        let metrics = bundled.kubectl(&["get", "--raw", &format!("/api/v1/namespaces/{namespace}/pods/{pod}:8080/proxy/metrics")]);
        let counts = metrics.lines().filter(|line| line.starts_with("model_service_predictions_total"));
        let counts = counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).collect::<Vec<_>>();
        assert!(!counts.is_empty(), "{metrics}");
        counts.iter().sum::<usize>()
    });
    told.sum()
}

/// Of the install beside the first in its namespace, whose limits are low.
pub fn limits_are_the_values_own(bundled: &Bundled) {
    // The app reads the one body itself, and passes the other on as it comes.
    for path in ["/api/predict", "/predict"] {
        let mut stream = TcpStream::connect((bundled.address("3").as_str(), 80)).expect("the page");
        stream.set_read_timeout(Some(Duration::from_secs(9))).expect("set"); // by default it would have 10 s
        let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{");
        stream.write_all(head.as_bytes()).expect("sent");
        let mut status = [0; 13];
        stream.read_exact(&mut status).unwrap_or_else(|error| panic!("a body that never comes whole, {path}: {error}"));
        assert_eq!(String::from_utf8_lossy(&status), "HTTP/1.1 408 ", "{path}");
    }
    // Who waits for the journal's disk is in the queue; as many at once as the default has room for.
    let body = json!({"url": "http://192.0.2.7/paypal/webscr/login.php"}).to_string();
    let page = format!("{}predict?[1-400]", bundled.page_at("3"));
    let words = ["--silent", "--max-time", "60", "--parallel", "--parallel-max", "100", "--write-out", "%{http_code}\n"];
    let output = Command::new("curl").args(words).args(["--output", "/dev/null", "--json", &body, &page]).output().expect("curl runs");
    let statuses = String::from_utf8_lossy(&output.stdout).into_owned();
    let told: BTreeSet<&str> = statuses.lines().collect();
    assert_eq!(told, BTreeSet::from(["200", "503"]), "{statuses}");

    // Without a startup probe the first look at whether it is ready is at once, and the next 5 s later.
    let pod = "--selector=app.kubernetes.io/instance=phishing-app,app.kubernetes.io/component=app";
    let path = "jsonpath={.items[0].status.containerStatuses[0].state.running.startedAt} \
                {.items[0].status.conditions[?(@.type==\"Ready\")].lastTransitionTime}";
    let told = bundled.kubectl(&["get", "pods", "--namespace", "phishing", pod, "--output", path]);
    let moments: Vec<u64> = told.split(' ').map(super::declared::seconds).collect();
    assert!(moments[1] - moments[0] >= 9, "it was ready before its startup probe: {told}");
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
    // One node has a second one, for want of a third worker.
    let words = ["--selector", "app.kubernetes.io/component=model-service", "--output", "jsonpath={.items[*].spec.nodeName}"];
    let nodes = bundled.kubectl(&[&["get", "pods", "--namespace", "elsewhere"], &words[..]].concat());
    let on = |node: &str| nodes.split(' ').filter(|there| *there == node).count();
    assert!([[1, 2], [2, 1]].contains(&["worker-1", "worker-2"].map(on)), "{nodes}");
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
