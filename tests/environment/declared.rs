//! What the chart declares of a pod, seen on its node.

use std::process::{Command, Output};
use std::time::Duration;

use provision::vm::process::wait_until;
use serde_json::{Value, json};

use super::browser::curl;
use super::bundled::Bundled;
use super::release::PARTS;

/// Of each process of ours on a node: how its root is mounted, its limits of memory and processor time (µs of 100 ms), its share of a
/// busy processor, how soon it is killed when memory runs out, its journal's group and mode, whether it has a token of the API server,
/// of how many Services it was told, who it is, and whether it may get more rights.
const PROCESSES: &str = r#"limit() { # of version 1: a controller and its file
    group=$(awk -F: -v controller="$1" '{split($2, of, ","); for (one in of) if (of[one] == controller) print $3}' /proc/$pid/cgroup)
    cat /sys/fs/cgroup/$1$group/$2
}
for pid in $(pidof model-service); do
    root=$(awk '$5 == "/" {print $6}' /proc/$pid/mountinfo | cut -d, -f1)
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/$pid/cgroup)
        limits="$(cat $group/memory.max) $(cut -d' ' -f1 $group/cpu.max) $(cat $group/cpu.weight)"
    else
        limits="$(limit memory memory.limit_in_bytes) $(limit cpu cpu.cfs_quota_us) $(limit cpu cpu.shares)"
    fi
    journal=$(stat --format '%g %a' /proc/$pid/root/journal)
    echo $(tr '\0' '\n' < /proc/$pid/cmdline | sed -n 2p) $root $limits $(cat /proc/$pid/oom_score_adj) $journal \
        $(grep -c serviceaccount /proc/$pid/mountinfo) $(tr '\0' '\n' < /proc/$pid/environ | grep -c _SERVICE_HOST=) \
        $(awk '/^(Uid|NoNewPrivs|CapEff|Seccomp):/ {print $2}' /proc/$pid/status)
done | sort"#;

/// Seconds since 1970 of a moment as the API server writes it.
pub fn seconds(moment: &str) -> u64 {
    let output = Command::new("date").args(["--date", moment, "+%s"]).output().expect("date runs");
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or_else(|_| panic!("no moment: {moment:?}"))
}

/// What a pod of the release has at a path.
fn of(bundled: &Bundled, pod: &str, path: &str) -> String {
    bundled.kubectl(&["get", "pod", pod, "--namespace", "phishing", "--output", &format!("jsonpath={{{path}}}")])
}

/// To a pod's process.
fn signal(bundled: &Bundled, pod: &str, signal: &str) {
    let container = of(bundled, pod, ".status.containerStatuses[0].containerID");
    let container = container.trim_start_matches("containerd://");
    let script = format!("kill -{signal} $(ctr -n k8s.io tasks ls | awk '$1 == \"{container}\" {{print $2}}')");
    bundled.on(&of(bundled, pod, ".spec.nodeName"), &script);
}

fn evict(bundled: &Bundled, pod: &str, options: Value) -> Output {
    let metadata = json!({"name": pod, "namespace": "phishing"});
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata, "deleteOptions": options});
    bundled.write("eviction.json", &eviction.to_string());
    let path = format!("/api/v1/namespaces/phishing/pods/{pod}/eviction");
    bundled.command(&["kubectl", "create", "--raw", &path, "--filename", "eviction.json"]).output().expect("kubectl runs")
}

/// Each pod that a Service has an address of, and whether people are sent to it.
fn endpoints(bundled: &Bundled, service: &str) -> Vec<String> {
    let ready = "jsonpath={range .items[*].endpoints[*]}{.targetRef.name}={.conditions.ready} {end}";
    let service = format!("kubernetes.io/service-name={service}");
    let told = bundled.kubectl(&["get", "endpointslices", "--namespace", "phishing", "--selector", &service, "--output", ready]);
    let mut told: Vec<String> = told.split_whitespace().map(str::to_owned).collect();
    told.sort_unstable();
    told
}

/// A pod whose process does not answer any more is started anew; a volume and a disruption budget hold; nothing is root's or writable.
pub fn acts(bundled: &Bundled) {
    processes_are_what_the_chart_says(bundled);
    let kept = || bundled.on(&of(bundled, "phishing-model-service-0", ".spec.nodeName"), OF_ROOT).trim().to_owned();
    assert_eq!(kept(), "0");
    for part in PARTS {
        let path = format!("/api/v1/namespaces/phishing/pods/phishing-{part}-1?dryRun=All");
        let pod: Value = serde_json::from_str(&bundled.kubectl(&["delete", "--raw", &path])).expect("JSON");
        assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 20, "{pod}");
    }
    nobody_is_kept_by_pods_that_hang(bundled);

    let restarts = || of(bundled, "phishing-app-1", ".status.containerStatuses[0].restartCount").parse::<u32>().expect("a number");
    let before = restarts();
    let first = evict(bundled, "phishing-model-service-0", json!({}));
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    for needed in ["phishing-model-service-1", "phishing-app-0"] {
        let refused = evict(bundled, needed, json!({}));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("disruption budget"), "{needed}: {said}");
    }
    // A pod that is not ready has votes too: it is asked for them, and missed.
    let told = curl(&["--retry", "10", "--retry-connrefused", &format!("{}experiment", bundled.page())]);
    assert_eq!((&told["asked"], &told["answered"]), (&json!(2), &json!(1)), "{told}");

    let restarted = || restarts() == before + 1;
    assert!(wait_until(Duration::from_secs(150), Duration::from_secs(1), restarted), "a pod that hangs is started anew: {}", restarts());
    // It was asked to end, and had its time.
    let words = "involvedObject.name=phishing-app-1,reason=Killing";
    let path = "jsonpath={.items[-1:].lastTimestamp}";
    let asked = bundled.kubectl(&["get", "events", "--namespace", "phishing", "--field-selector", words, "--output", path]);
    let ended = of(bundled, "phishing-app-1", ".status.containerStatuses[0].lastState.terminated['exitCode','finishedAt']");
    let (code, ended) = ended.split_once(' ').expect("two words");
    assert_eq!(code, "137", "killed");
    assert!(seconds(ended) - seconds(&asked) >= 19, "asked at {asked}, killed at {ended}");
    for part in PARTS {
        bundled.kubectl(&["rollout", "status", "--namespace", "phishing", &format!("statefulset/phishing-{part}"), "--timeout", "90s"]);
    }
    assert_eq!(kept(), "0", "a volume whose root is the group's is not gone through again for the pod that follows");
    bundled.answers();
}

/// The group of a file that root has made in a volume.
const OF_ROOT: &str = "cd /var/lib/provision-volumes/*_phishing_journal-phishing-model-service-0
[ -e of-root ] || { touch of-root && chgrp 0 of-root; }
stat --format %g of-root";

fn processes_are_what_the_chart_says(bundled: &Bundled) {
    for worker in ["worker-1", "worker-2"] {
        let capacity = bundled.kubectl(&["get", "node", worker, "--output", "jsonpath={.status.capacity.memory}"]);
        let capacity: i64 = capacity.trim_end_matches("Ki").parse().expect("kibibytes");
        let processes = bundled.on(worker, PROCESSES);
        for line in processes.lines() {
            let (part, told) = line.split_once(' ').expect("words");
            // Of a share runc makes a weight where groups are of version 2, in one of two ways.
            let (memory, time, shares, requested) = match part {
                "app" => (96 << 20, 50_000, ["51", "2", "11"], 32 << 10),
                _ => (128 << 20, 100_000, ["102", "4", "17"], 48 << 10),
            };
            let kill = (1000 - 1000 * requested / capacity).min(999);
            let own = |shares: &str| format!("ro {memory} {time} {shares} {kill} 65532 2777 0 1 65532 0000000000000000 1 2");
            assert!(shares.iter().any(|shares| told == own(shares)), "{worker}: not {} in {processes}", own(shares[0]));
        }
        assert!(processes.lines().count() >= 1, "{worker}: {processes}");
        // All that an image brings, as it lies unpacked.
        for size in bundled.on(worker, "for pid in $(pidof model-service); do du -sbx /proc/$pid/root/ | cut -f1; done").lines() {
            let size: u64 = size.parse().expect("bytes");
            assert!((20_000_000..=30_000_000).contains(&size), "{size}");
        }
    }
}

/// Both of the app's hang, as processes do: probes wait, SIGTERM does too. Then one of them goes on.
fn nobody_is_kept_by_pods_that_hang(bundled: &Bundled) {
    let pods = ["phishing-app-0", "phishing-app-1"];
    for pod in pods {
        signal(bundled, pod, "STOP");
    }
    // Liveness leaves them some 20 s; nobody is sent to them before that.
    let sent_to = |ready: [bool; 2]| {
        let wanted = [0, 1].map(|pod| format!("{}={}", pods[pod], ready[pod]));
        wait_until(Duration::from_secs(60), Duration::from_millis(200), || endpoints(bundled, "phishing-app") == wanted)
    };
    assert!(sent_to([false, false]), "{:?}", endpoints(bundled, "phishing-app"));
    let budget = ["get", "poddisruptionbudget", "phishing-app", "--namespace", "phishing", "--output", "jsonpath={.status.currentHealthy}"];
    let are_missed = || bundled.kubectl(&budget) == "0";
    assert!(wait_until(Duration::from_secs(10), Duration::from_millis(200), are_missed), "{}", bundled.kubectl(&budget));
    let evicted = evict(bundled, pods[1], json!({"dryRun": ["All"]}));
    assert!(evicted.status.success(), "{}", String::from_utf8_lossy(&evicted.stderr));
    assert_eq!(endpoints(bundled, "phishing-app-pods"), pods.map(|pod| format!("{pod}=true")), "who counts votes asks them all the same");
    signal(bundled, pods[0], "CONT");
    assert!(sent_to([true, false]), "{:?}", endpoints(bundled, "phishing-app"));
}
