//! What stands in for default paths that a folder has not, and how it becomes the user's own.

mod init;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use provision::artifact::Manifest;
use provision::playbook;
use provision::project::{Options, Origin, Project, built_in};

use crate::project::write;
use crate::support;

/// An empty folder with a cache of its own beside it.
struct Folder {
    folder: tempfile::TempDir,
    home: tempfile::TempDir,
}

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self { folder: tempfile::tempdir().expect("a folder"), home: tempfile::tempdir().expect("a folder") };
        write(folder.path(), files);
        folder
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_provision"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("PROVISION_AGENT", env!("CARGO_BIN_EXE_provision-agent"))
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> (String, String) {
        support::expect(code, &mut self.command(arguments))
    }
}

/// A file of YAML as the bundled one, on another network: other tests and other people have the default one.
const MACHINES: &str = "networks: [10.216.77.0/24]\ndefaults: {image: debian-12, cpus: 1, memory: 1GiB}\nmachines:\n  control: {address: 10.216.77.2, groups: [control_plane]}\n";

fn load(folder: &Path, options: &Options) -> Project {
    let (project, diagnostics) = Project::load(folder, options, &mut |_| None);
    assert!(!diagnostics.has_errors(), "{}", diagnostics.render(&project.files.sources));
    project
}

fn unpacked() -> (tempfile::TempDir, PathBuf) {
    let cache = tempfile::tempdir().expect("a cache");
    let folder = built_in::unpack(cache.path()).expect("unpacked");
    (cache, folder)
}

#[test]
fn a_plan_says_what_is_built_in() {
    // Absent machines end a plan before anything is asked of a node.
    let folder = Folder::new(&[("vms/dev.yaml", &MACHINES.replace("10.216.77", &format!("10.216.{}", std::process::id() % 250)))]);
    let (plan, _) = folder.expect(2, &["plan", "--detailed-exitcode"]);
    let built_in: Vec<&str> = plan.lines().take_while(|line| !line.contains("artifacts")).collect();
    assert_eq!(built_in.len(), 3, "{plan}");
    for (line, path) in built_in.iter().zip(["inventory", "playbooks/site.yaml", "charts/phishing"]) {
        assert!(line.contains(&format!("= {path}")), "{plan}");
    }
    assert!(built_in[0].starts_with("  built in     = inventory ") && built_in[0].contains("`provision init`"), "{plan}");
    assert!(plan.contains("+ control"), "{plan}");

    let (json, _) = folder.expect(0, &["plan", "--json"]);
    let lines = json.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let parts: Vec<String> =
        lines.filter(|line| line["event"] == "built-in").map(|line| format!("{} {}", line["key"], line["path"]).replace('"', "")).collect();
    assert_eq!(parts, ["inventory inventory", "playbooks playbooks/site.yaml", "releases charts/phishing"]);

    // Before the question, and without an answer nothing is made.
    let (_, refused) = folder.expect(6, &["up"]);
    assert!(refused.contains("  built in     = inventory ") && refused.contains("hint: give --yes"), "{refused}");

    folder.expect(0, &["init"]);
    let (plan, _) = folder.expect(2, &["plan", "--detailed-exitcode"]);
    assert!(!plan.contains("built in ") && plan.contains("+ control"), "{plan}");
}

#[test]
fn an_empty_folder_is_the_bundled_environment() {
    let folder = Folder::new(&[]);
    let (status, _) = folder.expect(0, &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let nodes: Vec<String> = status["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| format!("{} {} {}", node["name"], node["address"], node["state"]).replace('"', ""))
        .collect();
    assert_eq!(nodes, ["control 192.168.60.2 absent", "worker-1 192.168.60.3 absent", "worker-2 192.168.60.4 absent"]);
    assert_eq!(status["url"], "http://192.168.60.2/");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0, "to look writes nothing");
}

#[test]
fn the_defaults_are_what_the_bundled_provision_yaml_says() {
    let (_cache, unpacked) = unpacked();
    let empty = tempfile::tempdir().expect("a folder");
    let said = load(&unpacked, &Options::default()).environment;
    let default = load(empty.path(), &Options { built_in: Some(unpacked), ..Options::default() }).environment;
    let shown = |environment: &provision::project::Environment| {
        let paths = |parts: &[provision::project::Part]| {
            parts.iter().map(|part| part.written.trim_end_matches('/').to_owned()).collect::<Vec<_>>().join(" ")
        };
        let releases: Vec<String> = environment
            .releases
            .iter()
            .map(|release| {
                format!("{} {} {} {} {:?}", release.name, release.namespace, release.chart.written, paths(&release.values), release.images)
            })
            .collect();
        let machines = environment.machines.as_slice();
        format!(
            "{}\n{}\n{}\n{}\n{releases:?}",
            environment.name,
            paths(machines),
            paths(&environment.inventory),
            paths(&environment.playbooks)
        )
    };
    assert_eq!(shown(&default), shown(&said));
    assert_eq!((default.built_in().len(), said.built_in().len()), (4, 0));
}

#[test]
fn what_is_named_must_be_there() {
    let (_cache, unpacked) = unpacked();
    let folder = Folder::new(&[("provision.yaml", "machines: vms/dev.yaml\nreleases: [{chart: charts/phishing}]\n")]);
    let options = Options { built_in: Some(unpacked), ..Options::default() };
    let (project, diagnostics) = Project::load(folder.path(), &options, &mut |_| None);
    let report = diagnostics.render(&project.files.sources);
    for (path, place) in [("vms/dev.yaml", "provision.yaml:1:11"), ("charts/phishing", "provision.yaml:2:")] {
        assert!(report.contains(&format!("no such file or folder: `{path}`")) && report.contains(place), "{report}");
    }
}

#[test]
fn nothing_built_in_comes_into_an_ansible_project() {
    for files in [
        &[("inventory/hosts", "[control_plane]\nproduction-1\n"), ("site.yml", "- hosts: all\n")][..],
        &[("inventory.ini", "[workers]\nproduction-1\n"), ("roles/x/tasks/main.yml", "[]")],
        &[("ansible.cfg", "[defaults]\ninventory = hosts\n"), ("hosts", "production-1\n")],
    ] {
        let folder = Folder::new(files);
        let (_, refused) = folder.expect(3, &["up"]);
        assert!(
            refused.contains("error: there is no playbook here") && refused.contains("provision playbook -i INVENTORY FILE"),
            "{refused}"
        );
        assert!(!folder.path().join(".provision").exists());
    }
    // `playbook` runs what it is given on hosts that are named: also in an empty folder.
    let folder = Folder::new(&[("one.yml", "- hosts: all\n  tasks: [{debug: {msg: a}}]\n")]);
    let (hosts, _) = folder.expect(0, &["playbook", "one.yml", "--list-hosts"]);
    assert!(hosts.contains("hosts (0)") && !hosts.contains("control"), "{hosts}");
}

/// Hosts that the user's settings name for every folder.
#[test]
fn built_in_playbooks_meet_no_hosts_of_general_settings() {
    let (_cache, unpacked) = unpacked();
    let (empty, own) = (Folder::new(&[("hosts", "")]), Folder::new(&[("provision.yaml", ""), ("playbooks/site.yaml", "[]")]));
    fs::remove_file(empty.path().join("hosts")).expect("removed");
    let elsewhere = tempfile::tempdir().expect("a folder");
    write(elsewhere.path(), &[("hosts", "[control_plane]\nproduction-1\n")]);
    let hosts = elsewhere.path().join("hosts").display().to_string();
    let options = Options { built_in: Some(unpacked), environment: [("ANSIBLE_INVENTORY".to_owned(), hosts)].into(), ..Options::default() };
    let project = load(empty.path(), &options);
    assert!(project.environment.inventory.iter().all(|part| part.origin == Origin::BuiltIn));
    assert!(!project.inventory.hosts.contains_key("production-1"));
    // Playbooks of the user's own do.
    let project = load(own.path(), &options);
    assert!(project.inventory.hosts.contains_key("production-1") && project.machines.is_none());
}

#[test]
fn a_mistake_in_it_is_told_by_its_name() {
    let (_cache, unpacked) = unpacked();
    let site = unpacked.join("playbooks/site.yaml");
    built_in::write(&site, b"- hosts: all\n  tsks: []\n  roles: [node]\n", 0o644).expect("written");
    let tasks = unpacked.join("playbooks/roles/node/tasks/main.yaml");
    built_in::write(&tasks, b"- cmmand: a\n", 0o644).expect("written");
    let empty = tempfile::tempdir().expect("a folder");
    let options = Options { built_in: Some(unpacked), ..Options::default() };
    let mut project = load(empty.path(), &options);
    let playbooks: Vec<PathBuf> = project.environment.playbooks.iter().map(|part| part.path.clone()).collect();
    playbook::compile(&mut project, &playbooks, &playbook::Options::default());
    let report = project.files.diagnostics.render(&project.files.sources);
    assert!(report.contains("┌─ built-in playbooks/site.yaml:2:3"), "{report}");
    assert!(report.contains("┌─ built-in playbooks/roles/node/tasks/main.yaml:1:3"), "{report}");
}

/// The service's sources are in it, the very same: an image that a checkout built is every folder's. Cargo reads them as they lie there.
#[test]
fn the_model_service_can_be_built_of_it() {
    let (_cache, unpacked) = unpacked();
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = Manifest::builtin();
    let cargo = manifest.images["model-service"].cargo.as_ref().expect("Cargo builds it");
    for source in &cargo.sources {
        assert_eq!(init::tree(&unpacked, Path::new(source)), init::tree(project, Path::new(source)), "{source}");
    }
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    // Reads every manifest as a build does; `cargo tree` and `cargo metadata` look less closely.
    let output = Command::new("cargo")
        .args(["fetch", "--locked", "--offline", "--target", &host])
        .current_dir(&unpacked)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
