//! The real Ansible, which many tests compare with where it is installed.

use std::path::PathBuf;

/// A program of the Ansible at `ANSIBLE_VENV` (default `/tmp/ansible-venv`); `None` where there is none, unless `CI_ORACLE`
/// is set: then its absence fails the test.
pub fn ansible(program: &str) -> Option<PathBuf> {
    let venv = std::env::var_os("ANSIBLE_VENV").map_or_else(|| PathBuf::from("/tmp/ansible-venv"), PathBuf::from);
    let path = venv.join("bin").join(program);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI_ORACLE").is_none(), "{} is not installed", path.display());
    None
}
