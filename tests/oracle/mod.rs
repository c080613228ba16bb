//! The real Ansible, which many tests compare with: the one at `ANSIBLE_VENV`, or a cached environment that
//! `tests/support/oracle-venv.sh` makes with pip.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A program of Ansible's environment. `None` where there is none and none can be made, which is said; in CI that is a failure.
pub fn ansible(program: &str) -> Option<PathBuf> {
    // Made once for all tests of this process.
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOLDER.get_or_init(folder) {
        Ok(folder) => Some(folder.join(program)),
        Err(reason) => {
            assert!(std::env::var_os("CI").is_none(), "Ansible is needed in CI: {reason}");
            #[expect(clippy::print_stderr, reason = "a test that cannot run says so")]
            {
                eprintln!("skipped: no ansible-core here ({reason})");
            }
            None
        }
    }
}

/// Where its programs are.
fn folder() -> Result<PathBuf, String> {
    if let Some(venv) = std::env::var_os("ANSIBLE_VENV") {
        let folder = PathBuf::from(venv).join("bin");
        return if folder.join("ansible-playbook").exists() { Ok(folder) } else { Err(format!("{} has none", folder.display())) };
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/oracle-venv.sh");
    let output = Command::new("sh").arg(&script).output().map_err(|error| format!("run {}: {error}", script.display()))?;
    if !output.status.success() {
        return Err(format!("{} failed: {}", script.display(), String::from_utf8_lossy(&output.stderr).trim()));
    }
    let python = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    python.parent().map(Path::to_owned).ok_or_else(|| format!("{} is no program", python.display()))
}
