//! `artifacts.yaml` → [`Manifest`]: two documents laid over each other, every mistake with its place.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::manifest::{
    Architecture, Cargo, Definition, FILE, FileDefinition, ImageDefinition, Manifest, Module, Packages, Part, SourceKind, Upstream, filled,
};
use crate::program::Value;
use crate::source::{Diagnostic, Diagnostics, Keys, Node, NodeKind, Sources, yaml};

const BUILT_IN: &str = include_str!("../../artifacts.yaml");

const TOP: [&str; 4] = ["sources", "artifacts", "modules", "images"];
const ARTIFACT: [&str; 9] = ["version", "files", "sources", "upstream", "module", "packages", "leave_out", "links", "note"];
const FILES: [&str; 3] = ["mode", "member", "package"];
const UPSTREAM: [&str; 2] = ["url", "sha256"];
const MODULE: [&str; 9] = ["module", "version", "sum", "beside", "replaced", "require", "cgo", "tags", "ldflags"];
const IMAGE: [&str; 9] = ["version", "reference", "layers", "files", "entrypoint", "environment", "user", "cargo", "note"];
const CARGO: [&str; 6] = ["folder", "package", "profile", "target", "sources", "arguments"];
/// The part of an image that is no artifact.
const PAUSE: &str = "pause";

pub(super) fn manifest(sources: &mut Sources, user: Option<u32>, diagnostics: &mut Diagnostics) -> Option<Manifest> {
    let built_in = sources.add(format!("{FILE} (built in)"), Path::new("/built-in/artifacts.yaml"), BUILT_IN);
    let own = yaml::document(sources, built_in, diagnostics)?;
    let node = match user {
        Some(user) => {
            let theirs = yaml::document(sources, user, diagnostics)?;
            // In our own formats a key given twice is a mistake.
            diagnostics.deny_warnings(user);
            check_versions(&own, &theirs, diagnostics);
            // A file of comments only says nothing.
            if theirs.is_null() { own } else { laid_over(&own, &theirs) }
        }
        None => own,
    };
    let mut reader = Reader { diagnostics, modules: BTreeMap::new() };
    Some(reader.read(&node))
}

/// Mappings key by key; everything else is the upper one's.
fn laid_over(lower: &Node, upper: &Node) -> Node {
    let (NodeKind::Map(below), NodeKind::Map(above)) = (&lower.kind, &upper.kind) else { return upper.clone() };
    let mut entries: Vec<(Node, Node)> = below
        .iter()
        .map(|(key, value)| match key.text().and_then(|name| upper.entry(name)) {
            Some((upper_key, upper_value)) => (upper_key.clone(), laid_over(value, upper_value)),
            None => (key.clone(), value.clone()),
        })
        .collect();
    let is_new = |key: &Node| key.text().is_none_or(|name| lower.get(name).is_none());
    entries.extend(above.iter().filter(|(key, _)| is_new(key)).cloned());
    Node { kind: NodeKind::Map(entries), ..upper.clone() }
}

/// A version of the user's with a checksum of ours can only be refused later, after a download.
fn check_versions(own: &Node, theirs: &Node, diagnostics: &mut Diagnostics) {
    for (section, what, path) in [("artifacts", "artifact", &["upstream", "sha256"][..]), ("modules", "module", &["sum"][..])] {
        for (key, body) in theirs.get(section).into_iter().flat_map(Node::entries) {
            let name = key.text().unwrap_or_default();
            let Some(below) = own.get(section).and_then(|section| section.get(name)) else { continue };
            let (Some(version), Some(ours)) = (body.get("version"), below.get("version").and_then(Node::text)) else { continue };
            let checksum = path.iter().try_fold(below, |node, key| node.get(key)).is_some();
            // Written anew, or left out as `~`.
            let told = path.iter().try_fold(body, |node, key| if node.is_null() { Some(node) } else { node.get(key) }).is_some();
            if version.text() != Some(ours) && checksum && !told {
                let keys = path.join(".");
                diagnostics.push(
                    Diagnostic::at(version, format!("version {} of {what} `{name}` has no checksum", version.text().unwrap_or_default()))
                        .label(format!("the built-in `{keys}` is that of {ours}"))
                        .hint(format!("write `{keys}` of this version beside it, or `{}: ~` to do without", path[0])),
                );
            }
        }
    }
}

struct Reader<'a> {
    diagnostics: &'a mut Diagnostics,
    modules: BTreeMap<String, Arc<Module>>,
}

impl Reader<'_> {
    fn read(&mut self, node: &Node) -> Manifest {
        let keys = Keys::new(node, "a manifest", &TOP, self.diagnostics);
        let order = self.sources(&keys).unwrap_or_else(|| SourceKind::ALL.to_vec());
        for (key, body) in keys.entries("modules", self.diagnostics) {
            let name = key.text().unwrap_or_default();
            if let Some(module) = self.module(name, key, body) {
                self.modules.insert(name.to_owned(), Arc::new(module));
            }
        }
        let mut manifest = Manifest::default();
        let artifacts = keys.entries("artifacts", self.diagnostics);
        for (key, body) in artifacts {
            let name = key.text().unwrap_or_default();
            if let Some(definition) = self.artifact(name, key, body, &order) {
                manifest.artifacts.insert(name.to_owned(), definition);
            }
        }
        for (key, body) in keys.entries("images", self.diagnostics) {
            let name = key.text().unwrap_or_default();
            let known = |name: &str| artifacts.iter().any(|(key, _)| key.text() == Some(name));
            if let Some(image) = self.image(name, key, body, &manifest, &known) {
                manifest.images.insert(name.to_owned(), image);
            }
        }
        manifest
    }

    fn sources(&mut self, keys: &Keys) -> Option<Vec<SourceKind>> {
        let words = keys.texts("sources", self.diagnostics)?;
        let mut sources = Vec::new();
        for (word, node) in words {
            match SourceKind::ALL.into_iter().find(|kind| kind.word() == word) {
                Some(kind) if sources.contains(&kind) => {
                    self.diagnostics.push(Diagnostic::at(node, format!("the source `{word}` stands here twice")));
                }
                Some(kind) => sources.push(kind),
                None => {
                    let known = SourceKind::ALL.map(SourceKind::word);
                    self.diagnostics.push(
                        Diagnostic::at(node, format!("there is no source `{word}`"))
                            .label(format!("known: {}", known.join(", ")))
                            .suggest(word, known),
                    );
                }
            }
        }
        Some(sources)
    }

    /// A key that must be there.
    fn needed<'node>(&mut self, keys: &Keys<'node>, name: &str, at: &Node, what: &str) -> Option<&'node str> {
        if keys.get(name).is_none() {
            self.diagnostics.push(Diagnostic::at(at, format!("{what} has no `{name}`")));
            return None;
        }
        keys.text(name, self.diagnostics)
    }

    /// A version is part of file names and addresses: it must not lead elsewhere.
    fn version(&mut self, keys: &Keys, at: &Node, what: &str) -> Option<String> {
        let version = self.needed(keys, "version", at, what)?;
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "._+-~".contains(letter);
        if version.is_empty() || !version.chars().all(plain) || version.starts_with(['v', '.']) {
            let node = keys.get("version").unwrap_or(at);
            let mut mistake = Diagnostic::at(node, format!("`{version}` is no version"));
            if let Some(rest) = version.strip_prefix('v') {
                mistake = mistake.label(format!("without the v: `{rest}`"));
            }
            self.diagnostics.push(mistake);
            return None;
        }
        Some(version.to_owned())
    }

    fn module(&mut self, name: &str, key: &Node, body: &Node) -> Option<Module> {
        let what = format!("module `{name}`");
        let keys = Keys::new(body, &what, &MODULE, self.diagnostics);
        let path = self.needed(&keys, "module", key, &what);
        let version = self.version(&keys, key, &what);
        let mut require = BTreeMap::new();
        for (path, version) in keys.entries("require", self.diagnostics) {
            match (path.text(), version.text()) {
                (Some(path), Some(version)) => _ = require.insert(path.to_owned(), version.to_owned()),
                _ => self
                    .diagnostics
                    .push(Diagnostic::at(version, format!("a version in `require` of {what} is a text, this is {}", version.describe()))),
            }
        }
        if let (Some(sum), Some(node)) = (keys.text("sum", self.diagnostics), keys.get("sum"))
            && !sum.starts_with("h1:")
        {
            self.diagnostics.push(
                Diagnostic::at(node, "a module's sum begins with `h1:`").hint("`go mod download -json MODULE@VERSION` says it as \"Sum\""),
            );
        }
        Some(Module {
            name: name.to_owned(),
            path: path?.to_owned(),
            version: version?,
            sum: keys.text("sum", self.diagnostics).map(str::to_owned),
            beside: self.texts(&keys, "beside"),
            replaced: keys.text("replaced", self.diagnostics).map(str::to_owned),
            require,
            cgo: keys.truth("cgo", self.diagnostics),
            tags: self.texts(&keys, "tags"),
            ldflags: self.texts(&keys, "ldflags"),
        })
    }

    fn texts(&mut self, keys: &Keys, name: &str) -> Vec<String> {
        keys.texts(name, self.diagnostics).unwrap_or_default().into_iter().map(|(text, _)| text.to_owned()).collect()
    }

    fn artifact(&mut self, name: &str, key: &Node, body: &Node, order: &[SourceKind]) -> Option<Definition> {
        let what = format!("artifact `{name}`");
        self.plain_name(key, name, &what);
        let keys = Keys::new(body, &what, &ARTIFACT, self.diagnostics);
        let version = self.version(&keys, key, &what);
        let sources = self.sources(&keys).unwrap_or_else(|| order.to_vec());
        let mut files = Vec::new();
        for (file, body) in keys.entries("files", self.diagnostics) {
            files.extend(self.file(file, body));
        }
        if files.is_empty() && keys.get("files").is_none_or(|files| files.as_map().is_some()) {
            self.diagnostics.push(Diagnostic::at(key, format!("{what} has no `files`")));
        }
        let upstream = keys.get("upstream").and_then(|node| self.upstream(node, &what));
        if let (Some(upstream), Some(node)) = (&upstream, keys.get("upstream")) {
            let archive = [".tar.gz", ".tgz"].iter().any(|ending| upstream.url.ends_with(ending));
            for file in files.iter().filter(|file| file.member.is_some() != archive) {
                let mistake = if archive {
                    "is in an archive, and has no `member` that says where"
                } else {
                    "has a `member`, and the URL is no .tar.gz or .tgz"
                };
                self.diagnostics.push(Diagnostic::at(node.get("url").unwrap_or(node), format!("file `{}` of {what} {mistake}", file.name)));
            }
            if !archive && files.len() > 1 {
                self.diagnostics.push(Diagnostic::at(
                    node.get("url").unwrap_or(node),
                    format!("{what} has {} files, and the URL is one of them only", files.len()),
                ));
            }
        }
        let module = keys.text("module", self.diagnostics).and_then(|module| {
            let found = self.modules.get(module).cloned();
            if let (None, Some(node)) = (&found, keys.get("module")) {
                self.diagnostics.push(
                    Diagnostic::at(node, format!("there is no module `{module}`")).suggest(module, self.modules.keys().map(String::as_str)),
                );
            }
            found
        });
        if module.is_some() {
            for file in files.iter().filter(|file| file.package.is_none()) {
                self.diagnostics.push(Diagnostic::at(key, format!("file `{}` of {what} has no `package` of its module", file.name)));
            }
        }
        let names = self.texts(&keys, "packages");
        let mut links = BTreeMap::new();
        for (path, target) in keys.entries("links", self.diagnostics) {
            match (path.text(), target.text()) {
                (Some(path), Some(target)) if !path.starts_with('/') => _ = links.insert(path.to_owned(), target.to_owned()),
                _ => self
                    .diagnostics
                    .push(Diagnostic::at(path, format!("a link of {what} is a path without a leading slash and its target"))),
            }
        }
        let packages = (!names.is_empty()).then(|| Packages { names, leave_out: self.texts(&keys, "leave_out"), links });
        // A source that is written wrongly was told.
        if ["upstream", "module", "packages"].iter().all(|source| keys.get(source).is_none()) {
            self.diagnostics
                .push(Diagnostic::at(key, format!("{what} comes from nowhere")).hint("write `upstream:`, `module:` or `packages:`"));
        }
        let note = keys.text("note", self.diagnostics).map(str::to_owned);
        Some(Definition { name: name.to_owned(), version: version?, files, sources, upstream, module, packages, note })
    }

    /// Names are parts of paths here and on nodes.
    fn plain_name(&mut self, key: &Node, name: &str, what: &str) {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-+".contains(letter);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            self.diagnostics
                .push(Diagnostic::at(key, format!("the name of {what} holds more than letters, digits, `.`, `_`, `+` and `-`")));
        }
    }

    fn file(&mut self, key: &Node, body: &Node) -> Option<FileDefinition> {
        let name = key.text()?;
        let what = format!("file `{name}`");
        self.plain_name(key, name, &what);
        let keys = Keys::new(body, &what, &FILES, self.diagnostics);
        let mode = match keys.get("mode") {
            None => 0o755,
            // As in a playbook: 0644 is octal, written so or quoted.
            Some(node) => match node.text().map(|text| u32::from_str_radix(text.trim_start_matches("0o"), 8)) {
                Some(Ok(mode)) if mode <= 0o7777 && !matches!(node.value(), Value::Bool(_)) => mode,
                _ => {
                    self.diagnostics.push(Diagnostic::at(node, format!("the mode of {what} is octal, as 0755")));
                    0o755
                }
            },
        };
        let member = keys.text("member", self.diagnostics).map(str::to_owned);
        let package = keys.text("package", self.diagnostics).map(str::to_owned);
        Some(FileDefinition { name: name.to_owned(), mode, member, package })
    }

    fn architecture(&mut self, key: &Node) -> Option<Architecture> {
        let word = key.text().unwrap_or_default();
        let found = Architecture::ALL.into_iter().find(|one| one.word() == word);
        if found.is_none() {
            let known = Architecture::ALL.map(Architecture::word);
            let mistake = Diagnostic::at(key, format!("unknown architecture `{word}`"));
            // Many write what `uname -m` says.
            self.diagnostics.push(match Architecture::of_machine(word) {
                Some(architecture) => mistake.label(format!("did you mean `{architecture}`?")),
                None => mistake.label(format!("known: {}", known.join(", "))).suggest(word, known),
            });
        }
        found
    }

    fn upstream(&mut self, node: &Node, what: &str) -> Option<Upstream> {
        let what = format!("`upstream` of {what}");
        let keys = Keys::new(node, &what, &UPSTREAM, self.diagnostics);
        let url = self.needed(&keys, "url", node, &what);
        if let (Some(url), Some(node)) = (url, keys.get("url"))
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            self.diagnostics.push(Diagnostic::at(node, format!("`{url}` is no https:// or http:// address")));
        }
        let mut sha256 = BTreeMap::new();
        for (key, value) in keys.entries("sha256", self.diagnostics) {
            let Some(architecture) = self.architecture(key) else { continue };
            let text = value.text().unwrap_or_default().to_lowercase();
            if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                let found = match text.chars().find(|letter| !letter.is_ascii_hexdigit()) {
                    Some(letter) if text.len() == 64 => format!("`{letter}` is no hexadecimal digit"),
                    _ => format!("this has {} characters", text.chars().count()),
                };
                self.diagnostics.push(Diagnostic::at(value, "a SHA-256 is 64 hexadecimal digits").label(found));
                continue;
            }
            sha256.insert(architecture, text);
        }
        if keys.get("sha256").is_none() {
            self.diagnostics
                .push(Diagnostic::at(node, format!("{what} has no `sha256`")).hint("a file without a checksum is never installed"));
        }
        Some(Upstream { url: url?.to_owned(), sha256 })
    }

    fn image(&mut self, name: &str, key: &Node, body: &Node, manifest: &Manifest, known: &dyn Fn(&str) -> bool) -> Option<ImageDefinition> {
        let what = format!("image `{name}`");
        self.plain_name(key, name, &what);
        let keys = Keys::new(body, &what, &IMAGE, self.diagnostics);
        let version = self.version(&keys, key, &what);
        let reference = self.needed(&keys, "reference", key, &what);
        if let (Some(reference), Some(node)) = (reference, keys.get("reference"))
            && reference.rsplit('/').next().is_none_or(|last| !last.contains(':'))
        {
            self.diagnostics.push(
                Diagnostic::at(node, format!("`{reference}` has no tag"))
                    .hint("write NAME:TAG, with `{version}` in it where it follows the version"),
            );
        }
        let unknown = |name: &str, node: &Node| {
            Diagnostic::at(node, format!("there is no artifact `{name}`")).suggest(name, manifest.artifacts.keys().map(String::as_str))
        };
        let mut layers = Vec::new();
        for (layer, node) in keys.texts("layers", self.diagnostics).unwrap_or_default() {
            match manifest.artifacts.get(layer) {
                Some(definition) if definition.files.len() == 1 => layers.push(layer.to_owned()),
                Some(definition) => {
                    let mistake = format!("artifact `{layer}` has {} files, and a layer is one tar", definition.files.len());
                    self.diagnostics.push(Diagnostic::at(node, mistake));
                }
                // One that could not be read was told.
                None if known(layer) => {}
                None => self.diagnostics.push(unknown(layer, node)),
            }
        }
        let mut files = BTreeMap::new();
        for (path, value) in keys.entries("files", self.diagnostics) {
            let (place, text) = (path.text().unwrap_or_default(), value.text().unwrap_or_default());
            if !place.starts_with('/') || place.split('/').any(|part| part == "..") || place.ends_with('/') {
                self.diagnostics.push(Diagnostic::at(path, format!("`{place}` is no path in an image")).label("absolute, a file"));
            }
            if text == PAUSE {
                files.insert(place.to_owned(), Part::Pause);
                continue;
            }
            let (artifact, file) = text.split_once('/').map_or((text, None), |(artifact, file)| (artifact, Some(file)));
            let Some(definition) = manifest.artifacts.get(artifact) else {
                if !known(artifact) {
                    self.diagnostics.push(unknown(artifact, value));
                }
                continue;
            };
            let file = match file {
                Some(file) => definition.files.iter().find(|one| one.name == file),
                None if definition.files.len() == 1 => definition.files.first(),
                None => None,
            };
            if let Some(file) = file {
                files.insert(place.to_owned(), Part::File { artifact: artifact.to_owned(), file: file.name.clone() });
            } else {
                let names: Vec<&str> = definition.files.iter().map(|file| file.name.as_str()).collect();
                let mistake = Diagnostic::at(value, format!("`{text}` is not one file of artifact `{artifact}`"));
                self.diagnostics.push(mistake.label(format!("write {artifact}/FILE with one of {}", names.join(", "))));
            }
        }
        let cargo = keys.get("cargo").and_then(|node| self.cargo(node, &what));
        let made = ["layers", "files", "entrypoint", "environment", "user"].into_iter().filter_map(|name| keys.get(name));
        if keys.get("cargo").is_some() {
            for node in made {
                self.diagnostics.push(Diagnostic::at(node, format!("{what} is written by its `cargo` program, which decides this itself")));
            }
        } else if ["files", "layers"].iter().all(|name| keys.get(name).is_none_or(|node| node.as_map().is_some_and(<[_]>::is_empty))) {
            self.diagnostics.push(Diagnostic::at(key, format!("{what} has no `files`")).hint("write `files:`, `layers:` or `cargo:`"));
        }
        let mut environment = BTreeMap::new();
        for (name, value) in keys.entries("environment", self.diagnostics) {
            environment.insert(name.text().unwrap_or_default().to_owned(), value.text().unwrap_or_default().to_owned());
        }
        let entrypoint = self.texts(&keys, "entrypoint");
        let user = keys.text("user", self.diagnostics).map(str::to_owned);
        let note = keys.text("note", self.diagnostics).map(str::to_owned);
        let version = version?;
        let reference = filled(reference?, &[("version", &version)]);
        Some(ImageDefinition { name: name.to_owned(), version, reference, layers, files, cargo, entrypoint, environment, user, note })
    }

    fn cargo(&mut self, node: &Node, what: &str) -> Option<Cargo> {
        let what = format!("`cargo` of {what}");
        let keys = Keys::new(node, &what, &CARGO, self.diagnostics);
        let folder = self.needed(&keys, "folder", node, &what);
        let package = self.needed(&keys, "package", node, &what);
        let mut target = BTreeMap::new();
        for (key, value) in keys.entries("target", self.diagnostics) {
            match (self.architecture(key), value.text()) {
                (Some(architecture), Some(triple)) => _ = target.insert(architecture, triple.to_owned()),
                (None, _) => {}
                (_, None) => self
                    .diagnostics
                    .push(Diagnostic::at(value, format!("a target is a text as x86_64-unknown-linux-musl, this is {}", value.describe()))),
            }
        }
        let sources = keys.texts("sources", self.diagnostics).unwrap_or_default();
        let inside = |path: &str| !path.is_empty() && !path.starts_with('/') && path.split('/').all(|part| part != "..");
        let folders = keys.get("folder").and_then(|node| Some((node.text()?, node)));
        for (path, node) in sources.iter().copied().chain(folders).filter(|(path, _)| !inside(path)) {
            self.diagnostics
                .push(Diagnostic::at(node, format!("`{path}` is not inside of the environment's folder")).label("relative, without .."));
        }
        let arguments = self.texts(&keys, "arguments");
        for (name, lacks) in [("target", target.is_empty()), ("sources", sources.is_empty()), ("arguments", arguments.is_empty())] {
            if lacks && keys.get(name).is_none() {
                self.diagnostics.push(Diagnostic::at(node, format!("{what} has no `{name}`")));
            }
        }
        if !arguments.is_empty() && !arguments.iter().any(|word| word.contains("{output}")) {
            let node = keys.get("arguments").unwrap_or(node);
            self.diagnostics.push(Diagnostic::at(node, "no argument has `{output}`, the file that the program is to write"));
        }
        Some(Cargo {
            folder: folder?.to_owned(),
            package: package?.to_owned(),
            profile: keys.text("profile", self.diagnostics).unwrap_or("release").to_owned(),
            target,
            sources: sources.into_iter().map(|(path, _)| path.to_owned()).collect(),
            arguments,
        })
    }
}
