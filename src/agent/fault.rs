//! Faults on request, so that tests kill the agent at the worst moments. Nothing of it is in a release build.

/// Kills this process if `/run/provision-fault` (root's to write) names the point and, on a second line, the task. Once: the
/// file is removed first.
#[cfg(debug_assertions)]
pub fn point(name: &str, task: &str) {
    const FILE: &str = "/run/provision-fault";
    let Ok(wanted) = std::fs::read_to_string(FILE) else { return };
    let mut lines = wanted.lines();
    if lines.next() == Some(name) && lines.next().is_none_or(|wanted| wanted == task) && std::fs::remove_file(FILE).is_ok() {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    }
}

#[cfg(not(debug_assertions))]
pub fn point(_name: &str, _task: &str) {}
