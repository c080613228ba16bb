//! One environment, disturbed in every layer while it is made, then changed in every way while it lives.

use std::time::{Duration, Instant};

use super::bundled::Bundled;
use super::{changes, disturbances, kills};

#[test]
fn an_up_that_was_killed_and_disturbed_everywhere_is_completed_and_follows_its_file() {
    let Some(bundled) = Bundled::new() else { return };
    let wanted = kills::unkilled_state(&bundled);
    let begun = Instant::now();
    let told = |step: &str| eprintln!("{:>6.1} s  {step}", begun.elapsed().as_secs_f64());

    // From nothing, killed, and run again by itself.
    let completed = |what: &str| {
        told(what);
        kills::completed(&bundled, &wanted).unwrap_or_else(|different| panic!("{what}: {different}"));
        told("completed: its state is the one of an `up` that nobody killed");
    };
    bundled.killed_at("containerd : Configure containerd", Duration::from_millis(50));
    completed("killed in hosts");
    bundled.destroy();
    disturbances::a_short_cut_is_not_noticed(&bundled);
    completed("a short cut was not noticed; killed in kubeadm");
    bundled.destroy();

    // One thing after the other.
    disturbances::an_interrupt_ends(&bundled, "containerd : Describe its unit", "worker-1", "pgrep -f '[c]tr .*images import'");
    told("Ctrl-C in an import of images");
    disturbances::an_interrupt_ends(
        &bundled,
        "control_plane : Describe the cluster",
        "control",
        "test -e /etc/kubernetes/manifests && pgrep -f '[k]ubeadm init'",
    );
    told("Ctrl-C in kubeadm");
    disturbances::a_long_cut_is_told(&bundled);
    told("a long cut was told");
    disturbances::a_node_restarts(&bundled);
    told("a node restarted in its join");
    disturbances::an_interrupt_ends_the_wait_for_the_cluster(&bundled);
    told("Ctrl-C in the wait for the cluster");
    bundled.killed_at("+ ConfigMap", Duration::ZERO);
    completed("killed in the release");
    bundled.answers();

    changes::pods_that_do_not_run_are_waited_for(&bundled);
    told("pods that did not run were waited for");
    changes::what_the_plan_did_not_show_is_not_written(&bundled);
    told("what the plan did not show was not written");
    changes::a_worker_more_joins_and_touches_no_other(&bundled);
    told("a worker more");
    changes::the_control_plane_is_built_anew_and_every_worker_joins_it(&bundled);
    told("another control plane");
    changes::workers_that_leave_the_file_leave_the_cluster_first(&bundled);
    told("two workers less");
}
