//! A project that Ansible and we run on hosts of this machine: what each told, and the files that it left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use crate::published::told::{recaps_of_ours, recaps_of_theirs};

/// A project's folder.
pub struct Project {
    folder: tempfile::TempDir,
    ansible: PathBuf,
}

/// A run of one tool.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub code: i32,
    /// Task and status, by host, in order; an include is none of them.
    pub told: BTreeMap<String, Vec<String>>,
    /// Counts of the end, a line a host.
    pub recaps: Vec<String>,
    /// Files below its own root.
    pub files: BTreeMap<String, String>,
}

impl Project {
    /// `None` where there is no Ansible. `root` is each tool's own folder for what it writes; hosts are `one` and `two`.
    pub fn new(files: &[(&str, &str)]) -> Option<Self> {
        let ansible = crate::oracle::ansible("ansible-playbook")?;
        let project = Self { folder: tempfile::tempdir().expect("a folder"), ansible };
        project.write("hosts.ini", "[all:vars]\nansible_connection=local\n[all]\none\ntwo\n");
        files.iter().for_each(|(name, text)| project.write(name, text));
        Some(project)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("makes folders");
        std::fs::write(path, text).expect("writes");
    }

    /// Copies what lies in a folder.
    pub fn add(&self, folder: &Path) {
        let copied = Command::new("cp").arg("-r").arg(folder.join(".")).arg(self.folder.path()).status().expect("it runs");
        assert!(copied.success(), "copy {}", folder.display());
    }

    /// Both tools' runs of a playbook, ours second, and all that they said.
    pub fn both(&self, words: &[&str], environment: &[(&str, &str)]) -> (Ran, Ran, String) {
        let (theirs, they_said) = self.run(&self.ansible, &[], "theirs", words, environment);
        let (ours, we_said) = self.run(Path::new(env!("CARGO_BIN_EXE_provision")), &["playbook", "--json"], "ours", words, environment);
        (theirs, ours, format!("{they_said}\n{we_said}"))
    }

    pub fn theirs(&self, words: &[&str]) -> (Ran, String) {
        self.run(&self.ansible, &[], "theirs", words, &[])
    }

    pub fn ours(&self, words: &[&str]) -> (Ran, String) {
        self.run(Path::new(env!("CARGO_BIN_EXE_provision")), &["playbook", "--json"], "ours", words, &[])
    }

    fn run(&self, program: &Path, first: &[&str], root: &str, words: &[&str], environment: &[(&str, &str)]) -> (Ran, String) {
        let (lines, root) = (self.path(&format!("{root}.lines")), self.path(root));
        for host in ["one", "two"] {
            std::fs::create_dir_all(root.join(host)).expect("makes folders");
        }
        let callbacks = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/roles/callback_plugins");
        let output = Command::new(program)
            .args(first)
            .args(["-i", "hosts.ini", "-e", &format!("root={}", root.display())])
            .args(words)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("LC_ALL", "C.UTF-8")
            .env("ANSIBLE_CALLBACKS_ENABLED", "lines")
            .env("ANSIBLE_CALLBACK_PLUGINS", callbacks)
            .env("ANSIBLE_PYTHON_INTERPRETER", self.ansible.with_file_name("python"))
            .env("ANSIBLE_PIPELINING", "true")
            .env("ANSIBLE_NOCOLOR", "1")
            .env("LINES", &lines)
            .env("PROVISION_AGENT", env!("CARGO_BIN_EXE_provision-agent"))
            .envs(environment.iter().copied())
            .stdin(std::process::Stdio::null())
            .output()
            .expect("it runs");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        // Ansible's callback writes a file, ours is the output.
        let results = std::fs::read_to_string(&lines).unwrap_or_else(|_| stdout.clone());
        let _ = std::fs::remove_file(&lines);
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in results.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()) {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            let of_result = line["event"].is_null() || line["event"] == "result";
            if of_result && text("task") != "meta" && !text("task").starts_with("include") {
                told.entry(text("host")).or_default().push(format!("{} {}", text("status"), text("task")));
            }
        }
        let mut files = BTreeMap::new();
        read(&root, &root, &mut files);
        let recaps = if program == self.ansible { recaps_of_theirs(&stdout) } else { recaps_of_ours(&stdout) };
        let said = stdout + &String::from_utf8_lossy(&output.stderr);
        (Ran { code: output.status.code().unwrap_or(-1), told, recaps, files }, said)
    }
}

fn read(folder: &Path, root: &Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            read(&entry.path(), root, files);
            continue;
        }
        let path = entry.path();
        let text = std::fs::read_to_string(&path).expect("a text").replace(&root.display().to_string(), "ROOT");
        files.insert(path.strip_prefix(root).expect("below it").display().to_string(), text);
    }
}
