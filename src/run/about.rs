//! What agents are told of the workstation's side of a template: who owns the file and since when it is as it is.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::agent::frame::TemplateFile;
use crate::template;

/// Looks at a template's file.
pub fn template(path: &Path) -> Result<TemplateFile, String> {
    let found = std::fs::metadata(path).map_err(|error| format!("look at the template {}: {error}", path.display()))?;
    let owner = nix::unistd::User::from_uid(found.uid().into()).ok().flatten().map(|user| user.name);
    let host = nix::unistd::gethostname().map_err(|error| format!("read this machine's name: {error}"))?;
    let clock = template::this_clock();
    Ok(TemplateFile::new(&host.to_string_lossy(), owner.as_deref(), found.uid(), found.mtime(), found.mtime_nsec(), &clock))
}
