//! `provision kubectl …`: kubectl on this environment's cluster.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use super::Exit;
use super::artifacts;
use super::kubeconfig::no_cluster;
use super::machines::Folder;
use crate::artifact::Store;
use crate::cluster::kubeconfig;
use crate::report;

/// Run kubectl on the environment's cluster; its exit status is this command's
#[derive(Debug, Args)]
pub struct Kubectl {
    #[command(flatten)]
    folder: Folder,
    /// kubectl's own words
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORDS")]
    words: Vec<OsString>,
}

/// What a shell answers for a command that it does not find.
const NOT_FOUND: u8 = 127;

impl Kubectl {
    /// Becomes kubectl: returns only where that fails.
    pub async fn run(self) -> Exit {
        let folder = self.folder.path();
        let path = kubeconfig::path(&folder);
        if let Err(error) = std::fs::metadata(&path) {
            return no_cluster(&path, &error);
        }
        let program = match artifacts::store(&folder, None) {
            Ok(store) => cached(&store).await.or_else(installed),
            Err(exit) => return exit,
        };
        let Some(program) = program else {
            report::error("run kubectl: there is none on this machine, nor in the cache", Some("run `provision cache fetch kubectl`"));
            return Exit::Remote(NOT_FOUND);
        };
        let error = Command::new(&program).arg0("kubectl").args(&self.words).env("KUBECONFIG", &path).exec();
        report::error(&format!("run {}: {error}", program.display()), None);
        Exit::Remote(NOT_FOUND)
    }
}

/// The artifact of the cluster's own version, where it was got and is whole.
async fn cached(store: &Store) -> Option<PathBuf> {
    let file = store.present("kubectl").await.ok()??.files.into_iter().next()?;
    runs(&file.path).then_some(file.path)
}

/// The first on PATH.
fn installed() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join("kubectl")).find(|path| runs(path))
}

fn runs(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
