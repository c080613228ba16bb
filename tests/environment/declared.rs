//! What the chart declares of a pod, seen on its node.

use std::time::Duration;

use provision::vm::process::wait_until;

use super::bundled::Bundled;

/// Of each process of ours on a node: how its root is mounted, its limits of memory and processor time (µs of 100 ms), whether it has a
/// token of the API server, who it is, and whether it may get more rights.
const PROCESSES: &str = r#"limit() { # of version 1: a controller and its file
    group=$(awk -F: -v controller="$1" '{split($2, of, ","); for (one in of) if (of[one] == controller) print $3}' /proc/$pid/cgroup)
    cat /sys/fs/cgroup/$1$group/$2
}
for pid in $(pidof model-service); do
    root=$(awk '$5 == "/" {print $6}' /proc/$pid/mountinfo | cut -d, -f1)
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/$pid/cgroup)
        limits="$(cat $group/memory.max) $(cut -d' ' -f1 $group/cpu.max)"
    else
        limits="$(limit memory memory.limit_in_bytes) $(limit cpu cpu.cfs_quota_us)"
    fi
    echo $(tr '\0' '\n' < /proc/$pid/cmdline | sed -n 2p) $root $limits $(grep -c serviceaccount /proc/$pid/mountinfo) \
        $(awk '/^(Uid|NoNewPrivs|CapEff|Seccomp):/ {print $2}' /proc/$pid/status)
done | sort"#;

/// A pod whose process does not answer any more is started anew; a volume and a disruption budget hold; nothing is root's or writable.
pub fn acts(bundled: &Bundled) {
    let restarts = || {
        bundled.kubectl(&[
            "get",
            "pod",
            "phishing-app-1",
            "--namespace",
            "phishing",
            "--output",
            "jsonpath={.status.containerStatuses[0].restartCount}",
        ])
    };
    let node = bundled.kubectl(&["get", "pod", "phishing-app-1", "--namespace", "phishing", "--output", "jsonpath={.spec.nodeName}"]);
    let before: u32 = restarts().parse().expect("a number");
    let container = bundled.kubectl(&[
        "get",
        "pod",
        "phishing-app-1",
        "--namespace",
        "phishing",
        "--output",
        "jsonpath={.status.containerStatuses[0].containerID}",
    ]);
    let container = container.trim_start_matches("containerd://");
    // As a process is that hangs: probes wait, SIGTERM does too.
    bundled.on(&node, &format!("kill -STOP $(ctr -n k8s.io tasks ls | awk '$1 == \"{container}\" {{print $2}}')"));

    for worker in ["worker-1", "worker-2"] {
        let processes = bundled.on(worker, PROCESSES);
        let rights = "65532 0000000000000000 1 2";
        for line in processes.lines() {
            let (memory, time) = if line.starts_with("app ") { (96 << 20, 50_000) } else { (128 << 20, 100_000) };
            let part = line.split(' ').next().unwrap_or_default();
            assert_eq!(line, format!("{part} ro {memory} {time} 0 {rights}"), "{worker}: {processes}");
        }
        assert!(processes.lines().count() >= 1, "{worker}: {processes}");
        // All that an image brings, as it lies unpacked.
        for size in bundled.on(worker, "for pid in $(pidof model-service); do du -sbx /proc/$pid/root/ | cut -f1; done").lines() {
            let size: u64 = size.parse().expect("bytes");
            assert!((20_000_000..=30_000_000).contains(&size), "{size}");
        }
    }

    // Nobody is sent to it any more, and the app's other pod is needed while this one hangs.
    let ready = "jsonpath={range .items[*].endpoints[*]}{.targetRef.name}={.conditions.ready} {end}";
    let words =
        ["get", "endpointslices", "--namespace", "phishing", "--selector", "kubernetes.io/service-name=phishing-app", "--output", ready];
    let left_out = || bundled.kubectl(&words).contains("phishing-app-1=false");
    assert!(wait_until(Duration::from_secs(60), Duration::from_millis(200), left_out), "{}", bundled.kubectl(&words));
    let evict = |pod: &str| {
        let eviction = format!(r#"{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{pod}","namespace":"phishing"}}}}"#);
        bundled.write("eviction.json", &eviction);
        let path = format!("/api/v1/namespaces/phishing/pods/{pod}/eviction");
        bundled.command(&["kubectl", "create", "--raw", &path, "--filename", "eviction.json"]).output().expect("kubectl runs")
    };
    let first = evict("phishing-model-service-0");
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    for needed in ["phishing-model-service-1", "phishing-app-0"] {
        let refused = evict(needed);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("disruption budget"), "{needed}: {said}");
    }

    let restarted = || restarts().parse::<u32>().is_ok_and(|now| now == before + 1);
    assert!(wait_until(Duration::from_secs(150), Duration::from_secs(1), restarted), "a pod that hangs is started anew: {}", restarts());
    for part in ["app", "model-service"] {
        bundled.kubectl(&["rollout", "status", "--namespace", "phishing", &format!("statefulset/phishing-{part}"), "--timeout", "90s"]);
    }
    bundled.answers();
}
