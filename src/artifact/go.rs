//! Programs from their Go modules: a module of our own takes over the module's `require` list and go.sum, and builds its
//! packages. What makes a build reproducible is in the [`Module`]; the module's sum is checked where the manifest names it, and
//! Go checks every other against go.sum and its checksum database.
//!
//! The module of our own is there because a module whose go.mod has `replace` cannot be installed by its path. Builds use the
//! user's own Go caches.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;

use super::child::{self, Failed};
use super::manifest::{Architecture, Module};
use super::progress::{Cancel, Progress, Teller};

/// The Go that is on PATH: `go1.26.8`. An error is a phrase.
pub(super) async fn toolchain() -> Result<String, String> {
    let mut command = child::at_home("go");
    command.args(["env", "GOVERSION"]).stdin(Stdio::null());
    match command.output().await {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Ok(output) => Err(format!("`go env GOVERSION`: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err("there is no `go` on this machine's PATH".to_owned()),
        Err(error) => Err(format!("start `go`: {error}")),
    }
}

/// `go mod download -json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    path: String,
    sum: Option<String>,
    go_mod: Option<PathBuf>,
    dir: Option<PathBuf>,
    error: Option<String>,
}

/// `go mod edit -json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GoMod {
    go: Option<String>,
    godebug: Option<Vec<GoDebug>>,
    require: Option<Vec<Versioned>>,
    replace: Option<Vec<Replace>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GoDebug {
    key: String,
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versioned {
    path: String,
    version: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Replace {
    old: Versioned,
    new: Versioned,
}

/// One build.
pub(super) struct Build<'a> {
    pub module: &'a Module,
    /// Import paths of main packages.
    pub packages: &'a [String],
    pub architecture: Architecture,
    /// An empty folder.
    pub folder: &'a Path,
    /// Who progress is about.
    pub name: &'a str,
    pub teller: &'a Teller,
    pub cancel: &'a Cancel,
}

impl Build<'_> {
    /// Builds the packages; the programs lie in the folder's `bin`, by [`program`]'s name.
    pub async fn run(&self) -> Result<(), Failed> {
        let go_mod = self.prepare().await?;
        std::fs::write(self.folder.join("go.mod"), go_mod).map_err(|error| Some(format!("write go.mod: {error}")))?;
        let bin = self.folder.join("bin");
        std::fs::create_dir_all(&bin).map_err(|error| Some(format!("make {}: {error}", bin.display())))?;
        let tags = format!("-tags={}", self.module.tags.join(","));
        let mut list: Vec<&str> = vec!["list", "-deps", "-f", "{{.ImportPath}}"];
        if !self.module.tags.is_empty() {
            list.push(&tags);
        }
        list.extend(self.packages.iter().map(String::as_str));
        let total = self.go(&list, &mut |_| {}).await?.lines().count();

        let linker = self.module.linker_flags();
        let output = format!("{}/", bin.display());
        let mut build: Vec<&str> = vec!["build", "-v", "-trimpath", "-ldflags", &linker, "-o", &output];
        if !self.module.tags.is_empty() {
            build.push(&tags);
        }
        build.extend(self.packages.iter().map(String::as_str));
        let mut done = 0;
        self.go(&build, &mut |line| {
            // With -v, Go names each package that it compiles; its other lines have spaces.
            if !line.contains([' ', '\t']) {
                done += 1;
                let _ = self.teller.send(Progress::Packages { name: self.name.to_owned(), done, total });
            }
        })
        .await?;
        Ok(())
    }

    /// Fetches the module, checks its sum, and writes the go.mod of ours.
    async fn prepare(&self) -> Result<String, Failed> {
        let version = format!("v{}", self.module.version);
        let paths = [&self.module.path].into_iter().chain(&self.module.beside);
        let wanted: Vec<String> = paths.map(|path| format!("{path}@{version}")).collect();
        let mut words = vec!["mod", "download", "-json"];
        words.extend(wanted.iter().map(String::as_str));
        let said = self.download(&words).await?;
        let modules: Vec<Downloaded> = serde_json::Deserializer::from_str(&said)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| Some(format!("read what `go mod download` says: {error}")))?;
        if let Some(error) = modules.iter().find_map(|module| module.error.as_ref()) {
            return Err(Some(error.clone()));
        }
        let main = modules
            .iter()
            .find(|module| module.path == self.module.path)
            .ok_or_else(|| Some("`go mod download` does not name the module".to_owned()))?;
        if let (Some(wanted), Some(found)) = (&self.module.sum, &main.sum)
            && wanted != found
        {
            return Err(Some(format!("refused: the sum of {} {version} is {found}, and the manifest says {wanted}", self.module.path)));
        }
        let mut parsed = Vec::new();
        let mut sums = String::new();
        for module in &modules {
            let file = module.go_mod.as_ref().ok_or_else(|| Some(format!("`go mod download` has no go.mod for {}", module.path)))?;
            let text = self.go(&["mod", "edit", "-json", &file.display().to_string()], &mut |_| {}).await?;
            parsed.push((
                module.path.as_str(),
                serde_json::from_str::<GoMod>(&text).map_err(|error| Some(format!("read {}: {error}", file.display())))?,
            ));
            if let Some(text) = module.dir.as_ref().and_then(|folder| std::fs::read_to_string(folder.join("go.sum")).ok()) {
                sums.push_str(&text);
            }
        }
        std::fs::write(self.folder.join("go.sum"), sums).map_err(|error| Some(format!("write go.sum: {error}")))?;
        own_go_mod(self.module, &parsed).map_err(Some)
    }

    /// A module that the proxy does not give is asked for again: it may be the link.
    async fn download(&self, words: &[&str]) -> Result<String, Failed> {
        let mut wait = Duration::from_secs(1);
        loop {
            match self.go(words, &mut |_| {}).await {
                Err(Some(error)) if wait < Duration::from_secs(4) && !error.contains("not found") && !error.contains("no such host") => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                other => return other,
            }
        }
    }

    /// Runs `go`; each line of stderr is told. The whole of stdout.
    async fn go(&self, words: &[&str], told: &mut (dyn FnMut(&str) + Send)) -> Result<String, Failed> {
        let mut command = child::nice("go");
        command.args(words).current_dir(self.folder);
        for name in ["GOEXPERIMENT", "GOBIN", "GOAMD64", "GOARM64", "GO111MODULE"] {
            command.env_remove(name);
        }
        let cgo = if self.module.cgo { "1" } else { "0" };
        command.envs([
            ("GOFLAGS", "-mod=mod"),
            ("GOWORK", "off"),
            ("GOOS", "linux"),
            ("GOARCH", self.architecture.word()),
            ("CGO_ENABLED", cgo),
        ]);
        let mut modules = 0;
        let ended = child::run(command, self.cancel, &mut |line| {
            let fetched = line.starts_with("go: downloading ");
            if fetched {
                modules += 1;
                let _ = self.teller.send(Progress::Modules { name: self.name.to_owned(), done: modules });
            } else {
                told(line);
            }
            !fetched
        })
        .await?;
        // `go mod download -json` says in its output what went wrong.
        if ended.status.success() || words.contains(&"-json") && ended.out.contains("\"Error\"") {
            return Ok(ended.out);
        }
        Err(ended.failed(&format!("go {}", words.first().unwrap_or(&""))))
    }
}

/// The go.mod of ours: the modules themselves, all that they require, and versions for what they replace by folders.
fn own_go_mod(module: &Module, parsed: &[(&str, GoMod)]) -> Result<String, String> {
    let version = format!("v{}", module.version);
    let replaced = module.replaced.as_ref().map(|version| format!("v{version}"));
    let mut text = String::from("module provision.build/artifact\n\n");
    // The highest: `1.26.0` and `1.9` compare as numbers.
    let number = |go: &str| go.split('.').map(|part| part.parse::<u32>().unwrap_or(0)).collect::<Vec<_>>();
    if let Some(go) = parsed.iter().filter_map(|(_, one)| one.go.as_deref()).max_by_key(|go| number(go)) {
        let _ = writeln!(text, "go {go}\n");
    }
    for debug in parsed.first().and_then(|(_, one)| one.godebug.as_ref()).into_iter().flatten() {
        let _ = writeln!(text, "godebug {}={}", debug.key, debug.value);
    }
    let mut folders: Vec<&str> = Vec::new();
    let mut replaces = String::new();
    for replace in parsed.iter().flat_map(|(_, one)| one.replace.iter().flatten()) {
        let old = &replace.old.path;
        if replace.new.path.starts_with('.') {
            let Some(replaced) = &replaced else {
                return Err(format!(
                    "its go.mod replaces {old} by the folder {}, and the manifest's module `{}` has no `replaced` version for it",
                    replace.new.path, module.name
                ));
            };
            // A repository's root that nothing requires (`go.etcd.io/etcd`) has no such version.
            if !folders.contains(&old.as_str()) && can_have(old, replaced) {
                folders.push(old);
                let _ = writeln!(replaces, "replace {old} => {old} {replaced}");
            }
        } else {
            let (old, new) = ([Some(old), replace.old.version.as_ref()], [Some(&replace.new.path), replace.new.version.as_ref()]);
            let words = |side: [Option<&String>; 2]| side.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ");
            let line = format!("replace {} => {}\n", words(old), words(new));
            if !replaces.contains(&line) {
                replaces.push_str(&line);
            }
        }
    }
    for (path, one) in parsed {
        let _ = writeln!(text, "require {path} {version}");
        for required in one.require.iter().flatten() {
            let own = module.require.get(&required.path).map(|version| format!("v{version}"));
            let of_folder = folders.contains(&required.path.as_str()).then(|| replaced.clone()).flatten();
            let version = own.or(of_folder).or_else(|| required.version.clone()).unwrap_or_default();
            if !parsed.iter().any(|(path, _)| *path == required.path) {
                let _ = writeln!(text, "require {} {version}", required.path);
            }
        }
    }
    for (path, version) in &module.require {
        let line = format!("require {path} v{version}\n");
        if !text.contains(&line) {
            text.push_str(&line);
        }
    }
    text.push_str(&replaces);
    Ok(text)
}

/// Whether a module's path can have a version: from v2 on, the path ends with the major version.
fn can_have(path: &str, version: &str) -> bool {
    let major = version.split('.').next().unwrap_or_default();
    let ending = path.rsplit('/').next().filter(|part| is_major(part));
    match major {
        "v0" | "v1" => ending.is_none(),
        major => ending == Some(major),
    }
}

/// `v3`, the last part of a path.
fn is_major(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The name that `go build` gives to a package's program: the last part of its path that is no major version.
pub(super) fn program(package: &str) -> &str {
    package.rsplit('/').find(|part| !is_major(part)).unwrap_or(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(replaced: Option<&str>) -> Module {
        Module {
            name: "k".into(),
            path: "k8s.io/k".into(),
            version: "1.36.4".into(),
            sum: None,
            beside: vec![],
            replaced: replaced.map(str::to_owned),
            require: [("example.org/gone".to_owned(), "1.2.3".to_owned())].into(),
            cgo: false,
            tags: vec![],
            ldflags: vec!["-X a.b={version} -X a.c={minor}".into()],
        }
    }

    const GO_MOD: &str = r#"{"Go": "1.26.0", "Godebug": [{"Key": "default", "Value": "go1.26"}],
        "Require": [{"Path": "k8s.io/api", "Version": "v0.0.0"}, {"Path": "example.org/gone", "Version": "v1.0.0"}, {"Path": "example.org/x", "Version": "v2.0.0"}],
        "Replace": [{"Old": {"Path": "k8s.io/api"}, "New": {"Path": "./staging/src/k8s.io/api"}},
                    {"Old": {"Path": "example.org/x", "Version": "v2.0.0"}, "New": {"Path": "example.org/fork", "Version": "v2.0.1"}}]}"#;

    #[test]
    fn the_own_module_takes_over_requires_and_gives_versions_to_replaced_folders() {
        let parsed = [("k8s.io/k", serde_json::from_str(GO_MOD).expect("JSON"))];
        let text = own_go_mod(&module(Some("0.36.4")), &parsed).expect("it has a version for them");
        assert_eq!(
            text,
            "module provision.build/artifact\n\ngo 1.26.0\n\ngodebug default=go1.26\nrequire k8s.io/k v1.36.4\nrequire k8s.io/api v0.36.4\n\
             require example.org/gone v1.2.3\nrequire example.org/x v2.0.0\nreplace k8s.io/api => k8s.io/api v0.36.4\n\
             replace example.org/x v2.0.0 => example.org/fork v2.0.1\n"
        );
    }

    #[test]
    fn a_replaced_folder_without_a_version_is_told_before_the_build() {
        let parsed = [("k8s.io/k", serde_json::from_str(GO_MOD).expect("JSON"))];
        let error = own_go_mod(&module(None), &parsed).expect_err("no version");
        assert!(error.contains("k8s.io/api by the folder ./staging/src/k8s.io/api"), "{error}");
    }

    #[test]
    fn programs_are_named_as_go_build_names_them() {
        assert!(can_have("go.etcd.io/etcd/api/v3", "v3.6.14") && can_have("k8s.io/api", "v0.36.4"));
        assert!(!can_have("go.etcd.io/etcd", "v3.6.14") && !can_have("a.b/c/v2", "v1.0.0"));
        assert_eq!(program("go.etcd.io/etcd/server/v3"), "server");
        assert_eq!(program("k8s.io/kubernetes/cmd/kubeadm"), "kubeadm");
        assert_eq!(program("github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"), "containerd-shim-runc-v2");
        assert_eq!(module(None).linker_flags(), "-s -w -X a.b=1.36.4 -X a.c=36");
    }
}
