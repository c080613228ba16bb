//! What else than a kill gets in the way of `up`: links that are cut, a node that restarts, Ctrl-C.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use provision::vm::node::Config;
use provision::vm::process::{Process, wait_until};

use super::bundled::Bundled;

/// Exit codes of `provision`.
const INTERRUPTED: i32 = 99;
const UNREACHABLE: i32 = 4;

/// A node's link to this machine, cut while this lives.
struct Cut {
    link: String,
}

impl Cut {
    fn of(bundled: &Bundled, node: &str) -> Self {
        let link = bundled.environment().names().link(&node.try_into().expect("a name"));
        set_link(&link, "down");
        Self { link }
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        set_link(&self.link, "up");
    }
}

fn set_link(link: &str, state: &str) {
    let status = Command::new("ip").args(["link", "set", link, state]).status().expect("ip runs");
    assert!(status.success(), "{link} {state}");
}

/// Shorter than a run is silent: nobody notices, and `up` comes to its next step. Killed there.
pub fn a_short_cut_is_not_noticed(bundled: &Bundled) {
    let mut up = bundled.begin_up();
    up.until("containerd : Describe its unit");
    let cut = Cut::of(bundled, "worker-1");
    std::thread::sleep(Duration::from_secs(10));
    drop(cut);
    up.until("control_plane : Describe the cluster");
    // kubeadm's work begins; on a busy machine not at once.
    let works = || bundled.command(&["ssh", "control", "--", "pgrep -x kubeadm"]).output().is_ok_and(|output| output.status.success());
    assert!(wait_until(Duration::from_secs(60), Duration::from_millis(100), works), "kubeadm never ran:\n{}", up.story());
    assert!(up.runs(), "it ended before it was killed:\n{}", up.story());
    assert!(!up.story().contains("UNREACHABLE!"), "{}", up.story());
    up.signal(Signal::SIGKILL);
    up.ended();
}

/// Longer: this host is told of with the reason, the others are done, though kubeadm had been interrupted on one.
pub fn a_long_cut_is_told(bundled: &Bundled) {
    let mut up = bundled.begin_up();
    up.until("control_plane : Mark it as built");
    let _cut = Cut::of(bundled, "worker-2");
    let (code, story) = up.ended();
    assert!(story.contains("control_plane : Clear away what an interrupted build left"), "{story}");
    lost(code, &story, "worker-2");
    assert_eq!(bundled.on("control", "kubectl get nodes --output name"), "node/control\nnode/worker-1\n");
}

/// In the middle of its join; it comes back by itself.
pub fn a_node_restarts(bundled: &Bundled) {
    let mut up = bundled.begin_up();
    up.until("worker : Make a token");
    let init = restart(bundled, "worker-2");
    let (code, story) = up.ended();
    lost(code, &story, "worker-2");
    let is_back =
        || bundled.command(&["ssh", "worker-2", "--", "systemctl is-system-running"]).output().is_ok_and(|output| output.status.success());
    assert!(wait_until(Duration::from_secs(60), Duration::from_millis(200), is_back), "{init:?}");
}

/// Answers when the node's system has ended.
pub fn restart(bundled: &Bundled, node: &str) -> Process {
    let config = Config::read(&bundled.environment().names(), &node.try_into().expect("a name")).expect("it was made");
    let init = config.init().expect("it runs");
    bundled.expect(0, &["ssh", node, "--", "setsid -f sh -c 'sleep 0.2; systemctl reboot --force' >/dev/null 2>&1 </dev/null"]);
    assert!(init.wait_gone(Duration::from_secs(20)), "{node} goes down");
    init
}

/// `up` ended since it lost this host, and no other.
#[track_caller]
fn lost(code: Option<i32>, story: &str, node: &str) {
    assert_eq!(code, Some(UNREACHABLE), "{story}");
    let told: Vec<&str> = story.lines().filter(|line| line.contains("UNREACHABLE!")).collect();
    assert!(!told.is_empty() && told.iter().all(|line| line.starts_with(&format!("fatal: [{node}]: "))), "{story}");
}

/// Ctrl-C while this is so on a node: it is so no longer.
pub fn an_interrupt_ends(bundled: &Bundled, after: &str, node: &str, work: &str) {
    let mut up = bundled.begin_up();
    up.until(after);
    let works = || bundled.command(&["ssh", node, "--", work]).output().is_ok_and(|output| output.status.success());
    assert!(wait_until(Duration::from_secs(60), Duration::from_millis(10), works), "{node}: never {work}:\n{}", up.story());
    up.signal(Signal::SIGINT);
    let (code, story) = up.ended();
    assert_eq!(code, Some(INTERRUPTED), "{story}");
    assert!(wait_until(Duration::from_secs(5), Duration::from_millis(100), || !works()), "{node}: still {work}");
}

/// Ctrl-C after the hosts, while the cluster is waited for.
pub fn an_interrupt_ends_the_wait_for_the_cluster(bundled: &Bundled) {
    let mut up = bundled.begin_up();
    up.until("✔ cluster");
    up.signal(Signal::SIGINT);
    let (code, story) = up.ended();
    assert_eq!(code, Some(INTERRUPTED), "{story}");
    assert!(story.contains("hint: run `provision up` again"), "{story}");
}
