//! A cluster that lives on: its machines' file grows and shrinks, its control plane goes, others change it.

use std::time::Duration;

use provision::vm::process::wait_until;

use super::bundled::{Bundled, NODES, answered, program};

/// Nothing is to be written, and yet it is not as it should be: no pod may run anywhere.
pub fn pods_that_do_not_run_are_waited_for(bundled: &Bundled) {
    bundled.kubectl(&["cordon", "worker-1", "worker-2"]);
    // A pod of a StatefulSet counts until it has ended.
    bundled.kubectl(&["delete", "pods", "--namespace", "phishing", "--all", "--timeout", "60s"]);
    let ready = "jsonpath={.items[*].status.readyReplicas}";
    let none = || bundled.kubectl(&["get", "statefulsets", "--namespace", "phishing", "--output", ready]).trim().is_empty();
    assert!(wait_until(Duration::from_secs(30), Duration::from_millis(200), none));
    let (plan, _) = bundled.expect(2, &["plan", "--detailed-exitcode"]);
    assert!(plan.contains("~ wait until StatefulSet phishing/phishing-model-service rolled out: "), "{plan}");
    let mut up = bundled.begin_up();
    std::thread::sleep(Duration::from_secs(5));
    assert!(up.runs(), "it waits:\n{}", up.story());
    bundled.kubectl(&["uncordon", "worker-1", "worker-2"]);
    let (code, story) = up.ended();
    assert_eq!(code, Some(0), "{story}");
    assert!(story.contains("StatefulSet phishing/phishing-model-service rolled out"), "{story}");
    bundled.proves_no_change();
}

/// Between the plan and the answer somebody else takes an object away.
pub fn what_the_plan_did_not_show_is_not_written(bundled: &Bundled) {
    bundled.kubectl(&["delete", "configmap", "phishing-model-service", "--namespace", "phishing"]);
    // A terminal, to be asked on; its keyboard is ours.
    let mut asked = bundled.surrounded("script");
    asked.args(["--quiet", "--return", "--command"]).arg(format!("{} up", program().display())).arg("/dev/null");
    let (code, said) = answered(asked, "Apply? [y/N]", || {
        bundled.kubectl(&["delete", "poddisruptionbudget", "phishing-model-service", "--namespace", "phishing"]);
        "y\n"
    });
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("+ ConfigMap phishing/phishing-model-service"), "{said}");
    assert!(
        said.contains("apply release `phishing`: this was not in the plan: + PodDisruptionBudget phishing/phishing-model-service"),
        "{said}"
    );
    assert!(said.contains("hint: the cluster has changed since: run `provision plan` to see it"), "{said}");
    // Not even what the plan showed.
    let there = bundled.kubectl(&["get", "configmaps,poddisruptionbudgets", "--namespace", "phishing", "--output", "name"]);
    assert!(!there.contains("/phishing-model-service"), "{there}");
    bundled.up();
    bundled.proves_no_change();
}

/// Lines of tasks that changed something, by their hosts.
fn changed(story: &str) -> impl Iterator<Item = &str> {
    story.lines().filter(|line| line.contains(" : ") && (line.starts_with("    control") || line.starts_with("    worker")))
}

pub fn a_worker_more_joins_and_touches_no_other(bundled: &Bundled) {
    let listings = bundled.listings(&NODES);
    bundled.machines(3);
    let (plan, _) = bundled.expect(2, &["plan", "--detailed-exitcode"]);
    assert!(plan.contains("+ worker-3") && !plan.contains("~ worker") && !plan.contains("~ control"), "{plan}");
    let story = bundled.up();
    assert!(changed(&story).count() > 10 && changed(&story).all(|line| line.starts_with("    worker-3 ")), "{story}");
    assert_eq!(bundled.node_objects(), ["control", "worker-1", "worker-2", "worker-3"]);
    // Its name is all that the others hear of it.
    bundled.untouched_but(&listings, &["etc", "etc/hosts"]);
    for node in NODES {
        assert_eq!(bundled.on(node, "getent hosts worker-3").split_whitespace().next(), Some(&*bundled.address("5")), "{node}");
    }
    bundled.proves_no_change();
}

pub fn the_control_plane_is_built_anew_and_every_worker_joins_it(bundled: &Bundled) {
    let before = bundled.kubectl(&["get", "namespace", "kube-system", "--output", "jsonpath={.metadata.uid}"]);
    bundled.expect(0, &["destroy", "--yes", "control"]);
    let story = bundled.up();
    assert!(!story.contains("worker-1: made"), "the workers stay:\n{story}");
    let after = bundled.kubectl(&["get", "namespace", "kube-system", "--output", "jsonpath={.metadata.uid}"]);
    assert_ne!(before, after, "it is another cluster");
    assert_eq!(bundled.node_objects(), ["control", "worker-1", "worker-2", "worker-3"]);
    bundled.answers();
    bundled.proves_no_change();
}

pub fn workers_that_leave_the_file_leave_the_cluster_first(bundled: &Bundled) {
    let listings = bundled.listings(&["control", "worker-1"]);
    bundled.machines(1);
    let (plan, _) = bundled.expect(2, &["plan", "--detailed-exitcode"]);
    assert!(plan.contains("- worker-2") && plan.contains("- worker-3"), "{plan}");
    let story = bundled.up();
    for node in ["worker-2", "worker-3"] {
        assert!(story.contains(&format!("{node} was drained and has left the cluster")), "{story}");
        let state = bundled.expect(0, &["status"]).0;
        assert!(!state.contains(node), "{state}");
    }
    assert_eq!(bundled.node_objects(), ["control", "worker-1"]);
    bundled.untouched_but(&listings, &["etc", "etc/hosts"]);
    // Their pods' volumes were theirs: the pods have new ones on the one that is left.
    assert!(story.contains(" went the volumes of phishing/journal-phishing-"), "{story}");
    let hosts = bundled.kubectl(&["--namespace", "phishing", "get", "pods", "--output", "jsonpath={.items[*].spec.nodeName}"]);
    assert_eq!(hosts, "worker-1 worker-1 worker-1 worker-1");
    bundled.answers();
    bundled.proves_no_change();
}
