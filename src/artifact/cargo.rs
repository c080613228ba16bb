//! Images of programs that the environment's own folder holds as a Cargo package: built there, and written by the program itself.
//!
//! Cargo's own folder for it lies in the cache, so that a second build compiles what changed and nothing else.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::child::{self, Failed};
use super::manifest::{Architecture, Cargo, filled};
use super::progress::{Cancel, Progress, Teller};

/// What of our own surroundings would make another program than the user's `cargo build` here.
const REMOVED: [&str; 6] =
    ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_BUILD_RUSTFLAGS", "CARGO_INCREMENTAL", "CARGO_MAKEFLAGS"];

impl Cargo {
    /// The hash of all that makes the image; `None` where the folder has no such package. Blocks.
    pub(super) fn key(&self, folder: &Path) -> io::Result<Option<String>> {
        if !self.is_in(folder) {
            return Ok(None);
        }
        let mut files = BTreeSet::new();
        for source in &self.sources {
            collect(folder, Path::new(source), &mut files)?;
        }
        let mut digest = Sha256::new();
        for path in files {
            let content = std::fs::read(folder.join(&path))
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.join(&path).display())))?;
            for part in [path.to_string_lossy().as_bytes(), &content] {
                digest.update((part.len() as u64).to_le_bytes());
                digest.update(part);
            }
        }
        Ok(Some(hex::encode(digest.finalize())))
    }

    pub(super) fn is_in(&self, folder: &Path) -> bool {
        folder.join(&self.folder).join("Cargo.toml").is_file()
    }

    /// The phrase of an error, and of a plan, where the package is not there.
    pub(super) fn missing(&self, folder: &Path) -> String {
        format!("there is no `{}` with a Cargo.toml in {}", self.folder, folder.display())
    }
}

/// The files of a path, which may be a folder or not be there.
fn collect(root: &Path, path: &Path, files: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let whole = root.join(path);
    match std::fs::metadata(&whole) {
        Ok(about) if about.is_dir() => {
            for entry in std::fs::read_dir(&whole)? {
                collect(root, &path.join(entry?.file_name()), files)?;
            }
            Ok(())
        }
        Ok(_) => {
            files.insert(path.to_owned());
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", whole.display()))),
    }
}

/// The Cargo that is on PATH. An error is a phrase.
pub(super) async fn toolchain() -> Result<String, String> {
    let mut command = child::at_home("cargo");
    command.arg("--version").stdin(Stdio::null());
    match command.output().await {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Ok(output) => Err(format!("`cargo --version`: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("there is no `cargo` on this machine's PATH".to_owned()),
        Err(error) => Err(format!("start `cargo`: {error}")),
    }
}

/// The C compiler to name where Cargo's `cc` would look for one of musl's that is not there: what crates of ours compile is
/// assembly, which no C library has a part in, so the machine's own does.
fn compiler(triple: &str, is_set: &dyn Fn(&str) -> bool, is_there: &dyn Fn(&str) -> bool) -> Option<(String, &'static str)> {
    let architecture = triple.strip_suffix("-unknown-linux-musl")?;
    let variables = [format!("CC_{}", triple.replace('-', "_")), format!("CC_{triple}"), "TARGET_CC".to_owned(), "CC".to_owned()];
    let named = variables.iter().any(|name| is_set(name)) || is_there(&format!("{architecture}-linux-musl-gcc")) || is_there("musl-gcc");
    (!named).then(|| (variables[0].clone(), "cc"))
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// One build.
pub(super) struct Build<'a> {
    pub cargo: &'a Cargo,
    /// As containerd will list the image.
    pub reference: &'a str,
    /// What the program says of itself: the manifest's word, not that of a git tag that is no part of the image's key.
    pub version: &'a str,
    pub architecture: Architecture,
    /// The environment's.
    pub folder: &'a Path,
    /// Cargo's own folder for what it makes.
    pub target: &'a Path,
    /// The image's file.
    pub output: &'a Path,
    /// Who progress is about.
    pub name: &'a str,
    pub teller: &'a Teller,
    pub cancel: &'a Cancel,
}

impl Build<'_> {
    /// Builds the program and has it write the image.
    pub async fn run(&self) -> Result<(), Failed> {
        if !self.cargo.is_in(self.folder) {
            return Err(Some(self.cargo.missing(self.folder)));
        }
        toolchain().await.map_err(Some)?;
        let triple = self
            .cargo
            .target
            .get(&self.architecture)
            .ok_or_else(|| Some(format!("the manifest names no target for {}", self.architecture)))?;
        // The program runs here, to write its image.
        if Architecture::of_this_machine() != Some(self.architecture) {
            return Err(Some(format!("a program for {} cannot be run on this machine", self.architecture)));
        }
        self.add_target(triple).await?;
        let package = self.cargo.package.as_str();
        let mut tree = self.command("cargo");
        tree.args([
            "tree",
            "--locked",
            "--package",
            package,
            "--target",
            triple,
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]);
        let tree = self.said(tree, "cargo tree", &mut |_| {}).await?;
        let crates: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.is_empty()).collect();
        let total = crates.len();

        let mut build = self.command("cargo");
        if let Some((variable, compiler)) = compiler(triple, &|name| std::env::var_os(name).is_some(), &on_path) {
            build.env(variable, compiler);
        }
        build.args(["build", "--locked", "--package", package, "--profile", &self.cargo.profile, "--target", triple]);
        let mut done = 0;
        self.said(build, "cargo build", &mut |line| {
            if line.trim_start().starts_with("Compiling ") {
                done += 1;
                let _ = self.teller.send(Progress::Packages { name: self.name.to_owned(), done, total });
            }
        })
        .await?;

        // Cargo's own names of these profiles' folders.
        let profile = match self.cargo.profile.as_str() {
            "dev" | "test" => "debug",
            "bench" => "release",
            profile => profile,
        };
        let program = self.target.join(triple).join(profile).join(package);
        let mut write = Command::new(&program);
        let values = [("reference", self.reference), ("arch", self.architecture.word()), ("output", &self.output.to_string_lossy())];
        write.args(self.cargo.arguments.iter().map(|word| filled(word, &values))).current_dir(self.folder);
        self.said(write, &program.display().to_string(), &mut |_| {}).await.map(drop)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = child::nice(program);
        for name in REMOVED {
            command.env_remove(name);
        }
        command
            .current_dir(self.folder)
            .env("CARGO_TARGET_DIR", self.target)
            .env("PROVISION_VERSION", self.version)
            .env("CARGO_TERM_COLOR", "never")
            .env("CARGO_TERM_PROGRESS_WHEN", "never");
        command
    }

    /// Runs a command that must succeed; the whole of stdout.
    async fn said(&self, command: Command, what: &str, told: &mut (dyn FnMut(&str) + Send)) -> Result<String, Failed> {
        let mut crates = 0;
        let ended = child::run(command, self.cancel, &mut |line| {
            let line = line.trim_start();
            // `Downloaded syn v2.0.1`; a line that counts them ends with their number.
            if line.starts_with("Downloaded ") && !line.contains(" crates ") {
                crates += 1;
                let _ = self.teller.send(Progress::Modules { name: self.name.to_owned(), done: crates });
            }
            told(line);
            !["Compiling ", "Downloaded ", "Downloading "].iter().any(|word| line.starts_with(word))
        })
        .await?;
        if ended.status.success() { Ok(ended.out) } else { Err(ended.failed(what)) }
    }

    /// Has rustup fetch the target's standard library where the toolchain lacks it.
    async fn add_target(&self, triple: &str) -> Result<(), Failed> {
        let mut ask = self.command("rustc");
        ask.args(["--print", "target-libdir", "--target", triple]);
        let libraries = self.said(ask, "rustc --print target-libdir", &mut |_| {}).await?;
        if Path::new(libraries.trim()).is_dir() {
            return Ok(());
        }
        let mut add = self.command("rustup");
        add.args(["target", "add", triple]);
        let added = self.said(add, "rustup target add", &mut |_| {}).await;
        added.map(drop).map_err(|failed| failed.map(|cause| format!("this Rust has no standard library for {triple}: {cause}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_compiler_is_named_only_where_there_is_none_for_musl() {
        let named = |set: &str, there: &str| compiler("x86_64-unknown-linux-musl", &|name| name == set, &|program| program == there);
        assert_eq!(named("", ""), Some(("CC_x86_64_unknown_linux_musl".to_owned(), "cc")));
        for (set, there) in [("CC", ""), ("CC_x86_64_unknown_linux_musl", ""), ("", "musl-gcc"), ("", "x86_64-linux-musl-gcc")] {
            assert_eq!(named(set, there), None, "{set} {there}");
        }
        assert_eq!(compiler("x86_64-unknown-linux-gnu", &|_| false, &|_| false), None);
    }

    #[test]
    fn the_key_follows_each_source_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        let cargo = Cargo {
            folder: "tool".into(),
            package: "tool".into(),
            profile: "release".into(),
            target: [].into(),
            sources: ["tool/src", "Cargo.lock", "absent"].map(str::to_owned).into(),
            arguments: vec![],
        };
        let key = || cargo.key(folder.path()).expect("readable");
        assert_eq!(key(), None);
        write("tool/Cargo.toml", "");
        write("tool/src/deep/main.rs", "a");
        let first = key().expect("it is there");
        write("tool/README.md", "other");
        assert_eq!(key().as_ref(), Some(&first));
        write("Cargo.lock", "1");
        let locked = key().expect("it is there");
        write("tool/src/deep/main.rs", "b");
        let changed = key().expect("it is there");
        std::fs::rename(folder.path().join("tool/src/deep/main.rs"), folder.path().join("tool/src/main.rs")).expect("moved");
        let moved = key().expect("it is there");
        assert_eq!(BTreeSet::from([&first, &locked, &changed, &moved]).len(), 4);
    }
}
