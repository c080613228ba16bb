//! `provision cache` as a person runs it, and programs built from a Go module: one of ours in a proxy that is a folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::server::{Answer, Server};
use super::{Lab, content, sha256, tool};

/// Of one download in pieces: what has come is told while more of it comes.
#[test]
fn a_download_that_takes_long_tells_how_far_it_is() {
    let content = content();
    let server = Server::start(&[("/v1.2.3/tool", &[Answer::Stalled(content.clone(), 2_000_000)])]);
    let lab = Lab::new(&tool(&server.url(), &content, "cache, upstream"));
    for (words, wanted) in
        [(&["fetch", "tool"][..], " MB of 3.0 MB\n"), (&["fetch", "tool", "--json"], "{\"event\":\"bytes\",\"name\":\"tool\",\"done\":")]
    {
        let mut fetching =
            provision(&lab).arg("cache").args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let (out, story) = (fetching.stdout.take().expect("piped"), fetching.stderr.take().expect("piped"));
        let (tell, told) = std::sync::mpsc::channel();
        for mut stream in [Box::new(out) as Box<dyn std::io::Read + Send>, Box::new(story)] {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    let _ = tell.send(String::from_utf8_lossy(&bytes[..count]).into_owned());
                }
            });
        }
        let mut said = String::new();
        while !said.contains(wanted) {
            said += &told.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{wanted:?} is not in {said}"));
        }
        fetching.kill().expect("ours");
        fetching.wait().expect("ours");
    }
}

/// The program in the lab's folder, with a cache of its own.
fn provision(lab: &Lab) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_provision"));
    command.current_dir(lab.path()).env("XDG_CACHE_HOME", lab.path().join("xdg")).env_remove("PROVISION_MIRROR").stdin(Stdio::null());
    command
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn cache(lab: &Lab, words: &[&str]) -> (Option<i32>, String, String) {
    said(&provision(lab).arg("cache").args(words).output().expect("it starts"))
}

#[test]
fn cache_fetch_list_and_clean() {
    let content = content();
    let server = Server::start(&[("/v1.2.3/tool", &[Answer::Whole(content.clone())])]);
    let lab = Lab::new(&tool(&server.url(), &content, "cache, mirror, upstream"));
    let (code, out, story) = cache(&lab, &["fetch", "tool"]);
    assert_eq!((code, out.as_str()), (Some(0), ""));
    assert!(story.starts_with(&format!("  tool 1.2.3: upstream {}/v1.2.3/tool\n", server.url())), "{story}");
    assert!(story.contains("+ tool 1.2.3: upstream, 3.0 MB in 0.") && story.contains("1 artifact in the cache"), "{story}");

    let (code, out, _) = cache(&lab, &["list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&out).expect("one document");
    let row = list["artifacts"].as_array().expect("a list").iter().find(|row| row["name"] == "tool").expect("it is listed");
    assert_eq!(
        (code, &row["cached"], &row["bytes"], &row["files"][0]["sha256"]),
        (Some(0), &true.into(), &3_000_000.into(), &sha256(&content).into())
    );

    let (code, _, story) = cache(&lab, &["clean", "tol"]);
    assert_eq!((code, story.as_str()), (Some(5), "error: there is no artifact `tol` in the cache\nhint: did you mean `tool`?\n"));
    let (code, out, _) = cache(&lab, &["clean", "tool", "--json"]);
    assert_eq!((code, out.trim()), (Some(0), r#"{"removed":["tool"],"bytes":3000000,"layouts":0}"#));
    let (code, _, story) = cache(&lab, &["clean"]);
    assert_eq!((code, story.as_str()), (Some(0), "Nothing of that was in the cache.\n"));
    // The folder's mirror is asked first, and the environment's before it.
    fs::write(lab.path().join("provision.yaml"), format!("mirror: {}/folder\n", server.url())).expect("written");
    assert_eq!(cache(&lab, &["fetch", "tool"]).0, Some(0));
    assert!(server.requests().iter().any(|path| path.starts_with("/folder/tool/1.2.3/")), "{:?}", server.requests());
    assert_eq!(cache(&lab, &["clean", "tool"]).0, Some(0));
    let (code, out, _) = said(
        &provision(&lab).args(["cache", "fetch", "tool", "--json"]).env("PROVISION_MIRROR", server.url()).output().expect("it starts"),
    );
    assert_eq!(code, Some(0));
    let events: Vec<String> = out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line")["event"].as_str().expect("text").to_owned())
        .collect();
    assert_eq!((events.first().map(String::as_str), events.last().map(String::as_str)), (Some("started"), Some("done")), "{out}");
    assert!(server.requests().iter().any(|path| path.starts_with("/tool/1.2.3/")), "{:?}", server.requests());
}

#[test]
fn mistakes_of_the_file_and_unknown_names_have_exit_codes_of_their_own() {
    let lab = Lab::new("artefacts: {}\n");
    let (code, _, story) = cache(&lab, &["list"]);
    assert!(code == Some(3) && story.contains("did you mean `artifacts`?"), "{story}");
    let lab = Lab::new("{}\n");
    let (code, _, story) = cache(&lab, &["fetch", "kubelt"]);
    assert_eq!((code, story.as_str()), (Some(5), "error: there is no artifact `kubelt`\nhint: did you mean `kubelet`?\n"));
}

/// A folder with what an image's layers hold.
fn unpacked(image: &Path, to: &Path) {
    let mut archive = tar::Archive::new(fs::File::open(image).expect("there"));
    for entry in archive.entries().expect("a tar") {
        let entry = entry.expect("whole");
        if entry.size() > 100_000 {
            tar::Archive::new(flate2::read::GzDecoder::new(entry)).unpack(to).expect("a layer");
        }
    }
}

/// Needs apt and Debian's packages, as a node's base image does.
#[test]
fn a_layer_of_debian_packages_has_programs_that_run_with_what_is_in_it() {
    let lab = Lab::new(
        "images:\n  tables:\n    version: '1'\n    reference: registry.example/tables:1\n    layers: [iptables]\n    files: {/pause: pause}\n",
    );
    let (code, _, story) = cache(&lab, &["fetch", "image/tables"]);
    assert_eq!(code, Some(0), "{story}");
    let root = lab.path().join("root");
    unpacked(Path::new(&path_of(&lab, "image/tables")), &root);
    // The layer's own loader and libraries, and no others.
    let libraries = root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    let mut files = libraries.read_dir().expect("a folder").flatten().map(|entry| entry.path());
    let loader = files.find(|path| path.to_string_lossy().contains("/ld-linux")).expect("the C library has one");
    for (program, first) in
        [("usr/sbin/nft", "nftables v"), ("usr/sbin/iptables", "iptables v"), ("usr/sbin/ip6tables-save", "ip6tables-save v")]
    {
        let mut command = Command::new(&loader);
        let name = program.rsplit('/').next().expect("a name");
        command
            .arg("--inhibit-cache")
            .arg("--library-path")
            .arg(&libraries)
            .args(["--argv0", name])
            .arg(root.join(program))
            .arg("--version");
        let output = command.output().expect("it runs");
        let (_, out, errors) = said(&output);
        assert!(out.starts_with(first), "{program}: {out}{errors}");
    }
    // By it nft says `udp`; kube-proxy does not know its own rules in a list that says `17`.
    let etc: Vec<_> = root.join("etc").read_dir().expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(etc, ["protocols"]);
}

/// A zip of stored (not compressed) files, as a module proxy gives them: local headers, the directory, its end (APPNOTE 4.3).
fn zip(files: &[(String, &str)]) -> Vec<u8> {
    let (mut body, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let mut crc = flate2::Crc::new();
        crc.update(content.as_bytes());
        let offset = body.len() as u32;
        let mut about = Vec::new();
        for half in [20_u16, 0, 0, 0, 33] {
            about.extend(half.to_le_bytes());
        }
        for word in [crc.sum(), content.len() as u32, content.len() as u32] {
            about.extend(word.to_le_bytes());
        }
        about.extend((name.len() as u16).to_le_bytes());
        about.extend(0_u16.to_le_bytes());
        body.extend(b"PK\x03\x04");
        body.extend(&about);
        body.extend(name.as_bytes());
        body.extend(content.as_bytes());
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&about);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, size, count) = (body.len() as u32, directory.len() as u32, files.len() as u16);
    body.extend(directory);
    body.extend(b"PK\x05\x06\0\0\0\0");
    body.extend(count.to_le_bytes());
    body.extend(count.to_le_bytes());
    body.extend(size.to_le_bytes());
    body.extend(start.to_le_bytes());
    body.extend(0_u16.to_le_bytes());
    body
}

const GO_MOD: &str =
    "module example.org/hello\n\ngo 1.21\n\nrequire example.org/hello/words v0.0.0\n\nreplace example.org/hello/words => ./words\n";
const WORDS_MOD: &str = "module example.org/hello/words\n\ngo 1.21\n";
const MAIN: &str =
    "package main\n\nimport \"example.org/hello/words\"\n\nvar version = \"unknown\"\n\nfunc main() { println(words.Hello, version) }\n";

/// A proxy with one module that replaces another by a folder of it, as Kubernetes does.
fn proxy(folder: &Path) {
    let module = |path: &str, version: &str, go_mod: &str, files: &[(&str, &str)]| {
        let place = folder.join(path).join("@v");
        fs::create_dir_all(&place).expect("made");
        let write = |name: String, content: &[u8]| fs::write(place.join(name), content).expect("written");
        write("list".to_owned(), format!("{version}\n").as_bytes());
        write(format!("{version}.info"), format!("{{\"Version\":\"{version}\"}}").as_bytes());
        write(format!("{version}.mod"), go_mod.as_bytes());
        let files: Vec<(String, &str)> = files.iter().map(|(name, content)| (format!("{path}@{version}/{name}"), *content)).collect();
        write(format!("{version}.zip"), &zip(&files));
    };
    module("example.org/hello", "v1.5.0", GO_MOD, &[("go.mod", GO_MOD), ("cmd/hello/main.go", MAIN)]);
    module(
        "example.org/hello/words",
        "v0.5.0",
        WORDS_MOD,
        &[("go.mod", WORDS_MOD), ("words.go", "package words\n\nconst Hello = \"hello\"\n")],
    );
}

fn hello(extra: &str) -> String {
    format!(
        "artifacts:\n  hello:\n    version: 1.5.0\n    sources: [cache, go]\n    files: {{hello: {{package: example.org/hello/cmd/hello}}}}\n    module: hello\nmodules:\n  hello:\n    module: example.org/hello\n    version: 1.5.0\n    replaced: 0.5.0\n    ldflags: [\"-X main.version={{version}}\"]\n{extra}"
    )
}

/// `provision cache …` with Go's proxy in the lab's folder.
fn with_go(lab: &Lab, words: &[&str]) -> (Option<i32>, String, String) {
    let proxy = format!("file://{}", lab.path().join("proxy").display());
    let mut command = provision(lab);
    command.arg("cache").args(words).envs([("GOPROXY", proxy.as_str()), ("GONOSUMDB", "example.org"), ("GOFLAGS", "-modcacherw")]);
    command.env("GOMODCACHE", lab.path().join("modules"));
    let output = command.output().expect("it starts");
    // Go makes its module cache read-only: our folder could not be removed.
    let _ = Command::new("chmod").arg("-R").arg("u+w").arg(lab.path().join("modules")).stderr(Stdio::null()).status();
    said(&output)
}

fn path_of(lab: &Lab, name: &str) -> String {
    let (_, out, story) = with_go(lab, &["list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{story}"));
    let row = list["artifacts"].as_array().expect("a list").iter().find(|row| row["name"] == name).expect("it is listed").clone();
    row["files"][0]["path"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_program_is_built_from_its_module_once_and_knows_its_version() {
    let lab = Lab::new(&hello(""));
    proxy(&lab.path().join("proxy"));
    let (code, _, story) = with_go(&lab, &["fetch", "hello"]);
    assert_eq!(code, Some(0), "{story}");
    assert!(
        story.contains("  hello 1.5.0: go example.org/hello v1.5.0\n") && story.contains("+ hello 1.5.0: built from its Go module, "),
        "{story}"
    );
    let output = Command::new(path_of(&lab, "hello")).output().expect("it runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "hello 1.5.0\n");
    let (code, _, story) = with_go(&lab, &["fetch", "hello"]);
    assert!(code == Some(0) && !story.contains("built"), "{story}");
    // What was built is there also where Go is not.
    let (code, out, _) = said(&provision(&lab).args(["cache", "list", "--json"]).env("PATH", "/nowhere").output().expect("it starts"));
    let list: serde_json::Value = serde_json::from_str(&out).expect("one document");
    assert!(
        code == Some(0) && list["artifacts"].as_array().expect("a list").iter().any(|row| row["name"] == "hello" && row["cached"] == true),
        "{out}"
    );
}

#[test]
fn a_module_with_another_sum_is_refused() {
    let lab = Lab::new(&hello("    sum: h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"));
    proxy(&lab.path().join("proxy"));
    let (code, _, story) = with_go(&lab, &["fetch", "hello"]);
    assert!(code == Some(1) && story.contains("refused: the sum of example.org/hello v1.5.0 is h1:"), "{story}");
    assert_eq!(path_of(&lab, "hello"), "");
}

#[test]
fn what_does_not_compile_and_what_is_not_to_be_had_say_so() {
    let lab = Lab::new(&hello(""));
    let (code, _, story) = with_go(&lab, &["fetch", "hello"]);
    assert!(code == Some(1) && story.contains("\n  go example.org/hello v1.5.0: ") && story.contains("hello"), "{story}");
    proxy(&lab.path().join("proxy"));
    let broken = [
        ("example.org/hello@v1.5.0/go.mod".to_owned(), GO_MOD),
        ("example.org/hello@v1.5.0/cmd/hello/main.go".to_owned(), "package main\n\nfunc main() { nonsense() }\n"),
    ];
    fs::write(lab.path().join("proxy/example.org/hello/@v/v1.5.0.zip"), zip(&broken)).expect("written");
    let (code, _, story) = with_go(&lab, &["fetch", "hello"]);
    assert!(code == Some(1) && story.contains("undefined: nonsense") && story.contains("`go build` ended with exit status: 1"), "{story}");
}

/// A `go` that never ends, and says which process it and its own child are.
fn endless(lab: &Lab) -> String {
    let folder = lab.path().join("bin");
    fs::create_dir_all(&folder).expect("made");
    let script = format!(
        "#!/bin/sh\nif [ \"$1 $2\" = 'env GOVERSION' ]; then echo go1.99; exit; fi\nsleep 300 &\necho $$ $! > {0}.new\nmv {0}.new {0}\nwait\n",
        lab.path().join("pids").display()
    );
    fs::write(folder.join("go"), script).expect("written");
    fs::set_permissions(folder.join("go"), fs::Permissions::from_mode(0o755)).expect("ours");
    format!("{}:{}", folder.display(), std::env::var("PATH").expect("set"))
}

fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rfind(')').is_some_and(|end| !stat[end + 2..].starts_with('Z'))
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(10), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Killed when a test fails in the middle.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn control_c_and_term_end_a_build_with_all_its_processes() {
    ended_by(Signal::SIGINT);
    ended_by(Signal::SIGTERM);
}

fn ended_by(signal: Signal) {
    let lab = Lab::new(&hello(""));
    let path = endless(&lab);
    let mut running =
        Running(provision(&lab).args(["cache", "fetch", "hello"]).env("PATH", path).stderr(Stdio::null()).spawn().expect("it starts"));
    let pids = lab.path().join("pids");
    until("the build goes on", || pids.exists());
    let pids: Vec<i32> =
        fs::read_to_string(pids).expect("written").split_whitespace().map(|word| word.parse().expect("a number")).collect();
    assert!(pids.len() == 2 && pids.iter().all(|pid| alive(*pid)), "{pids:?}");
    kill(Pid::from_raw(running.0.id().cast_signed()), signal).expect("it is there");
    assert_eq!(running.0.wait().expect("it ends").code(), Some(99));
    until("its processes are gone", || pids.iter().all(|pid| !alive(*pid)));
    assert_eq!(fs::read_dir(lab.path().join("xdg/provision/artifacts/work")).expect("a folder").count(), 0);
}

#[test]
fn kubectl_of_the_cache_is_run_where_path_has_none() {
    let script = b"#!/bin/sh\necho \"$KUBECONFIG $*\"\nexit 7\n".to_vec();
    let server = Server::start(&[("/kubectl", &[Answer::Whole(script.clone())])]);
    let sum = sha256(&script);
    let lab = Lab::new(&format!(
        "artifacts:\n  kubectl: {{sources: [cache, upstream], upstream: {{url: \"{}/kubectl\", sha256: {{amd64: {sum}, arm64: {sum}}}}}}}\n",
        server.url()
    ));
    let config = lab.path().canonicalize().expect("there").join(".provision/kubeconfig");
    fs::create_dir_all(config.parent().expect("it has one")).expect("made");
    fs::write(&config, "").expect("written");
    let kubectl =
        || said(&provision(&lab).args(["kubectl", "get", "nodes", "-o", "wide"]).env("PATH", "/nowhere").output().expect("it starts"));
    let (code, _, story) = kubectl();
    assert_eq!(
        (code, story.as_str()),
        (Some(127), "error: run kubectl: it is neither on PATH nor in the cache\nhint: run `provision cache fetch kubectl`\n")
    );
    assert_eq!(cache(&lab, &["fetch", "kubectl"]).0, Some(0));
    let (code, out, story) = kubectl();
    assert_eq!((code, out, story.as_str()), (Some(7), format!("{} get nodes -o wide\n", config.display()), ""));
}

#[test]
fn fetch_without_a_name_skips_what_no_source_can_give() {
    let content = content();
    let server = Server::start(&[("/v1.2.3/tool", &[Answer::Whole(content.clone())])]);
    // Everything that is built in is nowhere, and so is one of the two here.
    let there: Vec<String> =
        provision::artifact::Manifest::builtin().artifacts.into_keys().map(|name| format!("  {name}: {{sources: [cache]}}\n")).collect();
    let lab = Lab::new(&format!(
        "{}{}images:\n  model-service: {{cargo: {{folder: nowhere}}}}\n  app: {{cargo: {{folder: nowhere}}}}\n",
        tool(&server.url(), &content, "cache, upstream"),
        there.concat()
    ));
    let (code, _, story) = cache(&lab, &["fetch"]);
    assert_eq!(code, Some(0), "{story}");
    assert!(
        story.contains("  runc 1.4.3: skipped, no source that can be reached now (where this is not to be had,")
            && story.contains("+ tool 1.2.3: upstream"),
        "{story}"
    );
    assert!(
        story.contains("  image/coredns 1.14.2: skipped, it is made of `coredns`, which cannot be got now\n")
            && story.contains("+ image/pause 3.10.2: made here"),
        "{story}"
    );
    assert!(
        story.contains(
            "  image/model-service 0.1.0: skipped, no source that can be reached now (there is no `nowhere` with a Cargo.toml in "
        ),
        "{story}"
    );
    assert_eq!(cache(&lab, &["fetch", "runc"]).0, Some(1));
}
