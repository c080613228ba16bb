//! Debian packages, with all that they depend on, as a layer of an image: fetched and checked by this machine's own apt.
//!
//! The layer has the merged layout (`/lib` is `usr/lib`), whichever the packages have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::manifest::{Architecture, Packages};

/// A release's name, for the recipe: another one has other packages. Empty where this is no Debian.
pub(super) fn release() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.unwrap_or_default().trim_matches('"').to_owned()
}

/// Fetches the packages and writes the layer. An error is a phrase.
pub(super) async fn layer(packages: &Packages, architecture: Architecture, folder: &Path, out: PathBuf) -> Result<(), String> {
    // A machine whose lists were never fetched, or are older than the mirror's packages, gets lists of its own for this.
    let debs = match fetch(packages, architecture, folder, &[]).await {
        Ok(debs) => debs,
        Err(first) => {
            let own = folder.join("own-lists");
            let lists = lists(&own).await.map_err(|error| format!("{first}; and with fresh lists: {error}"))?;
            fetch(packages, architecture, &own, &lists).await?
        }
    };
    let packages = packages.clone();
    tokio::task::spawn_blocking(move || {
        let mut layer = Merged { entries: BTreeMap::new(), leave_out: packages.leave_out };
        for deb in &debs {
            unpacked(deb, &mut layer).map_err(|error| format!("unpack {}: {error}", deb.display()))?;
        }
        layer.entries.extend(packages.links.into_iter().map(|(path, target)| (path, Kept::Link(target))));
        File::create(&out)
            .and_then(|file| layer.write(io::BufWriter::new(file)))
            .map_err(|error| format!("write {}: {error}", out.display()))
    })
    .await
    .unwrap_or_else(|error| Err(error.to_string()))
}

/// Downloads the packages and all that they depend on into the folder.
async fn fetch(packages: &Packages, architecture: Architecture, folder: &Path, options: &[String]) -> Result<Vec<PathBuf>, String> {
    let wanted: Vec<String> = packages.names.iter().map(|name| format!("{name}:{architecture}")).collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut words =
        vec!["depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances"];
    words.extend(&options);
    words.extend(wanted.iter().map(String::as_str));
    let said = apt("apt-cache", &words, folder).await?;
    // A line without indentation is a package; `<name>` is a virtual one.
    let all: BTreeSet<&str> =
        said.lines().filter(|line| !line.starts_with([' ', '|', '<'])).map(str::trim).filter(|name| !name.is_empty()).collect();
    let mut words = vec!["download"];
    words.extend(&options);
    words.extend(all.iter().copied());
    apt("apt-get", &words, folder).await?;
    let files = std::fs::read_dir(folder).map_err(|error| format!("list {}: {error}", folder.display()))?;
    let mut debs: Vec<PathBuf> =
        files.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect();
    debs.sort();
    Ok(debs)
}

/// Fetches the lists of the machine's sources into a folder, which needs no root; the options by which apt uses them.
async fn lists(folder: &Path) -> Result<Vec<String>, String> {
    let partial = folder.join("lists/partial");
    std::fs::create_dir_all(&partial).map_err(|error| format!("make {}: {error}", partial.display()))?;
    let settings = [
        format!("Dir::State::Lists={}", folder.join("lists").display()),
        "Dir::Cache::pkgcache=".to_owned(),
        "Dir::Cache::srcpkgcache=".to_owned(),
        "Debug::NoLocking=1".to_owned(),
    ];
    let options: Vec<String> = settings.into_iter().flat_map(|setting| ["-o".to_owned(), setting]).collect();
    let words: Vec<&str> = ["update"].into_iter().chain(options.iter().map(String::as_str)).collect();
    apt("apt-get", &words, folder).await?;
    Ok(options)
}

async fn apt(program: &str, words: &[&str], folder: &Path) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(words).current_dir(folder).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no `{program}` on this machine"),
        _ => format!("start `{program}`: {error}"),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().rfind(|line| line.starts_with("E:")).or_else(|| said.lines().next_back()).unwrap_or("nothing was said");
    Err(format!("`{program} {}` ended with {}: {line}", words[0], output.status))
}

fn unpacked(deb: &Path, layer: &mut Merged) -> io::Result<()> {
    let mut command = std::process::Command::new("dpkg-deb");
    let mut child = command.arg("--fsys-tarfile").arg(deb).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut stdout = child.stdout.take().expect("it is piped");
    let read = layer.add(&mut stdout);
    // What follows the archive's end, so that the writer need not break off.
    let _ = io::copy(&mut stdout, &mut io::sink());
    let status = child.wait()?;
    read?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("`dpkg-deb` ended with {status}"))) }
}

/// A layer's files and links, by path without a leading slash.
struct Merged {
    entries: BTreeMap<String, Kept>,
    leave_out: Vec<String>,
}

enum Kept {
    File { mode: u32, content: Vec<u8> },
    Link(String),
}

impl Merged {
    fn add(&mut self, tar: &mut dyn Read) -> io::Result<()> {
        let mut archive = tar::Archive::new(tar);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = merged(&entry.path()?.to_string_lossy());
            if path.is_empty() || self.leave_out.iter().any(|pattern| matches(pattern, &path)) {
                continue;
            }
            let mode = entry.header().mode()? & 0o777;
            match entry.header().entry_type() {
                tar::EntryType::Regular => {
                    let mut content = Vec::new();
                    entry.read_to_end(&mut content)?;
                    self.entries.insert(path, Kept::File { mode, content });
                }
                tar::EntryType::Symlink => {
                    let target = entry.link_name()?.map(|target| target.to_string_lossy().into_owned()).unwrap_or_default();
                    let target = if target.starts_with('/') { format!("/{}", merged(&target)) } else { target };
                    self.entries.insert(path, Kept::Link(target));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn write(&self, out: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(out);
        let header = |kind, mode, size| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(size);
            header
        };
        let mut made = BTreeSet::new();
        for (path, kept) in &self.entries {
            for (end, _) in path.match_indices('/') {
                if made.insert(&path[..=end]) {
                    archive.append_data(&mut header(tar::EntryType::Directory, 0o755, 0), &path[..=end], io::empty())?;
                }
            }
            match kept {
                Kept::File { mode, content } => {
                    archive.append_data(&mut header(tar::EntryType::Regular, *mode, content.len() as u64), path, content.as_slice())?;
                }
                Kept::Link(target) => archive.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), path, target)?,
            }
        }
        for name in MERGED {
            archive.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), name, format!("usr/{name}"))?;
        }
        archive.into_inner()?.flush()
    }
}

/// Folders of the root that are links into `usr`.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// A path without its leading `./` or `/`, below `usr` where the merged layout has it.
fn merged(path: &str) -> String {
    let path = path.trim_start_matches('.').trim_matches('/');
    match path.split_once('/') {
        Some((first, rest)) if MERGED.contains(&first) => format!("usr/{first}/{rest}"),
        None if MERGED.contains(&path) => String::new(),
        _ => path.to_owned(),
    }
}

/// A `*` stands for any text, slashes too.
fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = path.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts = parts.peekable();
    let mut last = true;
    while let Some(part) = parts.next() {
        last = false;
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    last && rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs apt and Debian's packages.
    #[tokio::test]
    async fn a_machine_without_lists_gets_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let packages = Packages { names: vec!["libmnl0".to_owned()], ..Packages::default() };
        // Lists that do not exist, as on a machine that never ran `apt-get update`.
        let none = ["-o".to_owned(), format!("Dir::State::Lists={}", folder.path().join("none").display())];
        let architecture = Architecture::of_this_machine().expect("known");
        fetch(&packages, architecture, folder.path(), &none).await.expect_err("there are no lists");
        let own = folder.path().join("own");
        let options = lists(&own).await.expect("fetched");
        let debs = fetch(&packages, architecture, &own, &options).await.expect("fetched");
        assert!(debs.iter().any(|deb| deb.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libmnl0_"))), "{debs:?}");
    }

    #[test]
    fn paths_are_those_of_the_merged_layout() {
        assert_eq!(merged("./lib/x86_64-linux-gnu/libc.so.6"), "usr/lib/x86_64-linux-gnu/libc.so.6");
        assert_eq!(merged("./lib64/ld-linux-x86-64.so.2"), "usr/lib64/ld-linux-x86-64.so.2");
        assert_eq!(merged("./usr/sbin/nft"), "usr/sbin/nft");
        assert_eq!(merged("./lib"), "");
        assert_eq!(merged("./"), "");
    }

    #[test]
    fn patterns_leave_out_folders_at_any_depth() {
        assert!(matches("usr/share/*", "usr/share/doc/nft/copyright"));
        assert!(matches("usr/lib/*/gconv/*", "usr/lib/x86_64-linux-gnu/gconv/A.so"));
        assert!(!matches("usr/lib/*/gconv/*", "usr/lib/x86_64-linux-gnu/libc.so.6"));
        assert!(!matches("usr/bin", "usr/bin/x") && matches("usr/bin", "usr/bin"));
    }
}
