//! Files with keys in them: for their owner only, written in one step.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::{Error, ErrorKind, Result};

/// How long another program may hold a kubeconfig: kubectl holds it for milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes a file of mode 0600 beside the old one and takes its place; the folder's owner owns what a root writes there.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    let wrong = |error: std::io::Error| Error::new(ErrorKind::Kubeconfig, format!("write {}", path.display())).because(error);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let owner = folder.ancestors().find_map(|above| fs::metadata(if above.as_os_str().is_empty() { Path::new(".") } else { above }).ok());
    let own = |path: &Path| match &owner {
        Some(owner) if nix::unistd::geteuid().is_root() => chown(path, Some(owner.uid()), Some(owner.gid())),
        _ => Ok(()),
    };
    if !folder.exists() {
        let missing: Vec<&Path> = folder.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists()).collect();
        fs::create_dir_all(folder).map_err(wrong)?;
        missing.into_iter().try_for_each(own).map_err(wrong)?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    _ = fs::remove_file(&temporary);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        own(&temporary)?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        _ = fs::remove_file(&temporary);
    }
    written.map_err(wrong)
}

/// kubectl's own lock of a kubeconfig: a file beside it that is there or not.
pub(super) struct Held(PathBuf);

impl Held {
    pub fn take(path: &Path) -> Result<Self> {
        let lock = path.with_added_extension("lock");
        let doing = || format!("lock {}", path.display());
        let begun = Instant::now();
        loop {
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&lock) {
                Ok(_) => return Ok(Self(lock)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    let held =
                        Error::new(ErrorKind::Kubeconfig, doing()).because(format!("another program holds {} since 5 s", lock.display()));
                    return Err(held.hint(format!("if none runs any more: rm {}", lock.display())));
                }
                Err(error) => return Err(Error::new(ErrorKind::Kubeconfig, doing()).because(error)),
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}
