//! From nothing to a page that answers, again without a change, and gone. Real nodes, a real Kubernetes, a real browser.

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::browser::Browser;
use super::bundled::{Bundled, NODES};
use super::declared;
use super::kills::unkilled;
use super::release;
use crate::vm::destroy::{difference, namespaces, snapshot, still_held};

#[test]
fn the_bundled_environment_becomes_a_cluster_that_answers_and_goes_without_a_trace() {
    let Some(bundled) = Bundled::new() else { return };
    let own = bundled.environment();
    let before = snapshot(&own);
    bundled.only_what_the_test_wrote_is_there();

    let story = bundled.up();
    assert!(story.contains("✔ release") && story.contains(&format!("page        {}", bundled.page())), "{story}");
    assert!(story.contains("✔ cluster    pods reach each other on all nodes"), "{story}");
    // What took how long, and where to go on.
    let steps: Vec<&str> = story.lines().filter(|line| line.starts_with("  ✔")).collect();
    assert!(steps.len() >= 10 && steps.iter().all(|step| step.ends_with(" s")), "{steps:#?}");
    assert!(story.contains("\n  kubeconfig  ") && story.contains("\nDone in "), "{story}");
    bundled.answers();
    let status: Value = serde_json::from_str(&bundled.expect(0, &["status", "--json"]).0).expect("JSON");
    assert_eq!(status["url"], bundled.page());
    assert!(status["nodes"].as_array().expect("nodes").iter().all(|node| node["state"] == "ready"), "{status}");

    // Each part runs on both workers, and a node may use what its file says.
    for part in release::PARTS {
        let label = format!("app.kubernetes.io/component={part}");
        let path = "jsonpath={.items[*].spec.nodeName}";
        let hosts = bundled.kubectl(&["--namespace", "phishing", "get", "pods", "--selector", &label, "--output", path]);
        let mut hosts: Vec<&str> = hosts.split_whitespace().collect();
        hosts.sort_unstable();
        assert_eq!(hosts, ["worker-1", "worker-2"], "{part}");
    }
    for (node, mebibytes) in [("control", 2048.0), ("worker-1", 3072.0), ("worker-2", 3072.0)] {
        bundled.may_use(node, 2.0, mebibytes);
    }

    tokens_live_minutes(&bundled);

    // Again: nothing changes, on no node and not in the cluster.
    let (listings, writes) = (bundled.listings(&NODES), bundled.writes());
    // What is to be absent now was there before, by these names.
    for name in ["\"provision/", "\"kubectl/"] {
        assert!(writes.iter().any(|write| write.starts_with(name)), "no write of {name}: {writes:?}");
    }
    // Of a release, that PROVISION names. Others work on this machine now and then.
    let goal = Duration::from_secs(if std::env::var_os("PROVISION").is_some() { 5 } else { 15 });
    let quick = (0..3).any(|_| {
        let begun = Instant::now();
        let again = bundled.up();
        let took = begun.elapsed();
        eprintln!("the second `up` took {:.1} s", took.as_secs_f64());
        assert!(again.starts_with("No changes: "), "{again}");
        assert!(again.contains("12 objects"), "{again}");
        took < goal
    });
    assert!(quick, "nothing was to be done, and yet it took longer than {goal:?}");
    bundled.untouched(&listings);
    let more: Vec<String> = bundled.writes().split_off(writes.len());
    assert_eq!(more, Vec::<String>::new());
    bundled.proves_no_change();
    // For the test of kills, where it comes after this one.
    unkilled(Some(bundled.state(&NODES)));

    // A volume of the default class holds what a pod writes.
    bundled.write("volume.yaml", VOLUME);
    bundled.kubectl(&["apply", "--filename", "volume.yaml"]);
    bundled.kubectl(&["wait", "pod/writer", "--for", "jsonpath={.status.phase}=Succeeded", "--timeout", "60s"]);
    bundled.kubectl(&["delete", "--filename", "volume.yaml", "--timeout", "60s"]);

    // In a browser, as a person.
    let browser = Browser::open();
    browser.post("url", &json!({"url": bundled.page()}));
    browser.write("#url", "http://192.0.2.7/paypal/webscr/login.php");
    browser.click("button");
    assert_eq!(browser.text("#verdict").to_lowercase(), "phishing");
    // It shows what runs: the version that the images are made with, and the model by its content.
    let shown = browser.text(".versions");
    assert!(shown.contains(&format!("App {}", env!("CARGO_PKG_VERSION"))), "{shown}");
    let title = json!({"script": "return document.querySelector('.versions span').title", "args": []});
    assert_eq!(browser.post("execute/sync", &title), release::model_id("v2"));
    drop(browser);

    declared::acts(&bundled);
    release::pods_need_no_right(&bundled);
    release::what_was_acknowledged_outlives_pods_and_a_restart_of_their_node(&bundled);
    // It waits for what else ran on that node.
    bundled.up();
    bundled.proves_no_change();

    // One node goes and comes back; the others are not touched, and the cluster is whole.
    bundled.expect(0, &["destroy", "--yes", "worker-2"]);
    assert_eq!(bundled.node_objects(), ["control", "worker-1"]);
    let listings = bundled.listings(&["control", "worker-1"]);
    let story = bundled.up();
    let changed = story.lines().filter(|line| line.contains(" : ") && (line.starts_with("    control") || line.starts_with("    worker")));
    assert!(changed.clone().count() > 10 && changed.clone().all(|line| line.starts_with("    worker-2 ")), "{story}");
    bundled.untouched(&listings);
    bundled.proves_no_change();
    bundled.answers();

    // A node's file and a value of the release drift: `up` does what `plan` says, entry by entry.
    bundled.on("worker-1", "echo '# drift' >> /etc/containerd/config.toml");
    // As a run leaves it that was killed after the import of images: they have their tags, not yet the names that their pods ask for.
    let by_digest = bundled.on("worker-2", "ctr -n k8s.io images list -q | grep ^provision.local/.*@");
    bundled.on("worker-2", &format!("ctr -n k8s.io images rm {}", by_digest.trim().replace('\n', " ")));
    bundled.values(3);
    release::declare_installs_beside_it(&bundled);
    let (plan, _) = bundled.expect(2, &["plan", "--json", "--detailed-exitcode"]);
    let (up, _) = bundled.expect(0, &["up", "--yes", "--json"]);
    super::entries::agree(&plan, &up);
    for entry in [
        r#""host":"worker-1","position""#,
        r#""layer":"releases","release":"phishing","object":"StatefulSet phishing/phishing-model-service""#,
    ] {
        assert!(plan.contains(entry) && up.contains(entry), "{plan}");
    }
    // A plan waits for pods that the autoscaler has just asked for.
    release::an_autoscaler_sets_the_number_of_pods(&bundled);
    bundled.proves_no_change();
    assert_eq!(bundled.on("worker-2", "ctr -n k8s.io images list -q | grep ^provision.local/.*@"), by_digest);

    release::installs_do_not_meet(&bundled);
    release::limits_are_the_values_own(&bundled);
    release::a_model_follows_its_config_map(&bundled);
    release::the_experiment_counts_every_pod(&bundled);
    release::up_leaves_the_autoscaler_s_number_alone(&bundled);

    let made = namespaces(&own);
    bundled.destroy();
    assert!(!bundled.path().join(".provision").exists(), "a kubeconfig that leads nowhere");
    assert_eq!(difference(&own, &before), Vec::<String>::new());
    assert_eq!(still_held(&own, &made), Vec::<String>::new());
    bundled.only_what_the_test_wrote_is_there();
}

/// Who finds a token later has no use of it: workers join with tokens of ten minutes, and `init` makes one of one.
fn tokens_live_minutes(bundled: &Bundled) {
    let kind = "type=bootstrap.kubernetes.io/token";
    let path = "jsonpath={range .items[*]}{.data.expiration}{\"\\n\"}{end}";
    let ends = bundled.kubectl(&["--namespace", "kube-system", "get", "secrets", "--field-selector", kind, "--output", path]);
    let latest = Command::new("date").args(["--utc", "--date", "+10 minutes", "+%Y-%m-%dT%H:%M:%SZ"]).output().expect("date runs").stdout;
    let latest = String::from_utf8(latest).expect("a date");
    assert!(!ends.is_empty(), "a worker has just joined with one");
    for end in ends.lines() {
        let end = STANDARD.decode(end).ok().and_then(|bytes| String::from_utf8(bytes).ok()).expect("a moment");
        assert!(end.len() == latest.trim().len() && *end <= *latest.trim(), "{end} is after {latest}");
    }
}

const VOLUME: &str = r#"apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: volume}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  restartPolicy: Never
  containers:
    - name: writer
      image: docker.io/library/busybox:1.35.0
      command: [/bin/sh, -c, "echo kept > /volume/file && cat /volume/file"]
      volumeMounts: [{name: volume, mountPath: /volume}]
  volumes:
    - name: volume
      persistentVolumeClaim: {claimName: volume}
"#;
