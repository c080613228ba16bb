//! `provision kubeconfig`: the cluster's kubeconfig, printed or merged into the user's own.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Exit;
use super::machines::Folder;
use crate::cluster::{Error, kubeconfig};
use crate::report;

/// Print the cluster's kubeconfig, or merge it into ~/.kube/config (the file that KUBECONFIG names)
#[derive(Debug, Args)]
pub struct Kubeconfig {
    /// Merge it into your own file; other contexts stay as they are, the file before is kept
    #[arg(long)]
    merge: bool,
    /// The context's name [default: the environment's]
    #[arg(long, value_name = "NAME", requires = "merge")]
    context: Option<String>,
    #[command(flatten)]
    folder: Folder,
}

impl Kubeconfig {
    pub fn run(self) -> Exit {
        let folder = self.folder.path();
        let path = kubeconfig::path(&folder);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => return no_cluster(&path, &error),
        };
        if !self.merge {
            report::data(text.trim_end());
            return Exit::Success;
        }
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let Some(file) = kubeconfig::default_file(std::env::var("KUBECONFIG").ok().as_deref(), home.as_deref()) else {
            report::error(
                "find your kubeconfig: neither KUBECONFIG nor HOME is set",
                Some("run `KUBECONFIG=FILE provision kubeconfig --merge`"),
            );
            return Exit::Error;
        };
        match kubeconfig::merge(&file, &text, self.context.as_deref(), &folder) {
            Ok(merged) => {
                tell(&merged);
                Exit::Success
            }
            Err(error) => told(&error),
        }
    }
}

fn tell(merged: &kubeconfig::Merged) {
    let (file, context) = (merged.file.display(), &merged.context);
    if !merged.changed {
        report::line(&format!("{file} has the context `{context}` already."));
        return;
    }
    let kept = merged.backup.as_ref().map(|backup| format!("; as it was: {}", backup.display())).unwrap_or_default();
    report::line(&format!("Merged the context `{context}` into {file}{kept}."));
    report::line(&if merged.is_current {
        "It is the current one: kubectl get nodes".to_owned()
    } else {
        format!("Use it: kubectl --context {context} get nodes")
    });
}

/// There is no kubeconfig yet.
pub fn no_cluster(path: &Path, error: &std::io::Error) -> Exit {
    let hint = (error.kind() == std::io::ErrorKind::NotFound).then_some("this folder has no cluster yet: run `provision up`");
    report::error(&format!("read {}: {error}", path.display()), hint);
    Exit::Error
}

/// Tells an error of a cluster.
pub fn told(error: &Error) -> Exit {
    report::error(&error.to_string(), error.hint.as_deref());
    Exit::Error
}
