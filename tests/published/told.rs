//! What a run told of each host: tasks and items with their status and what they registered.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

/// Fields of two moments, of two programs' insides, or said elsewhere. Names of temporary files are in `src`.
const LEFT_OUT: [&str; 23] = [
    "start",
    "end",
    "delta",
    "elapsed",
    "invocation",
    "exception",
    "deprecations",
    "warnings",
    "diff",
    "src",
    "stdout_lines",
    "stderr_lines",
    "cache_update_time",
    "atime",
    "mtime",
    "ctime",
    "inode",
    "failed_when_suppressed_exception",
    // What systemd says of a unit: times, process numbers.
    "status",
    // Contents are compared as files; addresses stand in some.
    "checksum",
    "md5sum",
    // How long a service took to come up.
    "attempts",
    // A task that nobody wrote, and so nobody registers.
    "validate_args_context",
];

/// One result.
#[derive(Debug)]
pub struct Line {
    task: String,
    status: String,
    item: Json,
    result: Map<String, Json>,
}

/// Results by host, in order.
#[derive(Debug, Default)]
pub struct Told(pub BTreeMap<String, Vec<Line>>);

impl Told {
    /// Of lines of JSON. What only one of them tells is left out: includes that were done (events of their own with us) and `meta`.
    pub fn read(lines: &str) -> Self {
        let mut told = Self::default();
        for line in lines.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()) {
            let is_result = line["event"].is_null() || line["event"] == "result";
            let (Some(host), Some(task), Some(status)) = (line["host"].as_str(), line["task"].as_str(), line["status"].as_str()) else {
                continue;
            };
            let is_include = line["result"]["include"].is_string() || line["result"]["include_args"].is_object();
            if !is_result
                || is_include
                || task == "meta"
                || task.starts_with("Handlers now")
                || line["result"]["skipped_reason"] == "No items in the list"
            {
                continue;
            }
            let entry = told.0.entry(host.to_owned()).or_default();
            entry.push(Line {
                task: task.to_owned(),
                status: status.to_owned(),
                // What a task hides is called otherwise.
                item: line["item"].as_str().filter(|item| item.contains("no_log")).map_or(line["item"].clone(), |_| Json::Null),
                result: line["result"].as_object().cloned().unwrap_or_default(),
            });
        }
        told
    }

    /// A text of it; of each result the fields that the other has too, where there is one.
    pub fn shown(&self, other: Option<&Self>) -> String {
        let mut text = String::new();
        for (host, lines) in &self.0 {
            text += &format!("== {host}\n");
            for (index, line) in lines.iter().enumerate() {
                text += &format!("{} {}", line.status, line.task);
                text += &if line.item.is_null() { "\n".to_owned() } else { format!(" ({})\n", line.item) };
                // What is compared is Ansible's to say.
                let theirs = match other {
                    None => Some(line),
                    Some(other) => other.0.get(host).and_then(|lines| lines.get(index)),
                };
                // In which order a result names its fields is nobody's to read.
                for (name, value) in line.result.iter().collect::<BTreeMap<_, _>>() {
                    if theirs.is_some_and(|theirs| theirs.compares(name)) {
                        text += &format!("    {name}: {}\n", lasting(value));
                    }
                }
            }
        }
        text
    }
}

impl Line {
    /// Facts of `setup`.
    fn gathered(&self) -> bool {
        self.result
            .get("ansible_facts")
            .is_some_and(|facts| facts["ansible_all_ipv4_addresses"].is_array() || facts["module_setup"] == true)
    }

    fn compares(&self, name: &str) -> bool {
        let says = |start: &str| self.result.get("msg").and_then(Json::as_str).is_some_and(|text| text.starts_with(start));
        // A hidden result says of itself that it is one, and no more.
        let left_out = self.result.contains_key("censored")
            || match name {
                // What a machine is was compared elsewhere; of a vars file a node is sent what it can read.
                "ansible_facts" => self.gathered() || self.result.contains_key("ansible_included_var_files"),
                // Sentences about templates and connections are each program's own.
                "msg" => says("Task failed:") || self.status == "unreachable",
                _ => LEFT_OUT.contains(&name) || name.starts_with('_'),
            };
        !left_out && self.result.contains_key(name)
    }
}

/// A value in one order, without what names one machine's disk and one moment: results stand within results, as items and in `results`.
fn lasting(value: &Json) -> Json {
    // Nodes have no `lsattr`, without which Ansible knows no attributes.
    const OF_ONE_MACHINE: [&str; 14] = [
        "atime",
        "mtime",
        "ctime",
        "inode",
        "dev",
        "version",
        "blocks",
        "block_size",
        "checksum",
        "size",
        "nlink",
        "device_type",
        "attributes",
        "attr_flags",
    ];
    match value {
        Json::Array(items) => items.iter().map(lasting).collect(),
        Json::Object(fields) => {
            let is_file = fields.contains_key("inode");
            let is_result = ["changed", "failed", "skipped", "ansible_loop_var"].iter().any(|name| fields.contains_key(*name));
            let lasts = |name: &str| !(is_file && OF_ONE_MACHINE.contains(&name) || is_result && LEFT_OUT.contains(&name));
            let sorted: BTreeMap<&String, &Json> = fields.iter().filter(|(name, _)| lasts(name)).collect();
            sorted.into_iter().map(|(name, value)| (name.clone(), lasting(value))).collect::<Map<_, _>>().into()
        }
        plain => plain.clone(),
    }
}

/// `host: ok=1 changed=2 …` of the end of Ansible's output.
pub fn recaps_of_theirs(said: &str) -> Vec<String> {
    let lines = said.lines().skip_while(|line| !line.starts_with("PLAY RECAP")).filter(|line| line.contains("ok="));
    let recap = |line: &str| {
        line.split_once(':').map(|(host, counts)| (host.trim().to_owned(), counts.split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    let mut recaps: Vec<String> = lines.filter_map(recap).map(|(host, counts)| format!("{host}: {counts}")).collect();
    recaps.sort();
    recaps
}

/// The same of our event. Ansible leaves out a host that no task told of.
pub fn recaps_of_ours(stdout: &str) -> Vec<String> {
    const COUNTS: [&str; 7] = ["ok", "changed", "unreachable", "failed", "skipped", "rescued", "ignored"];
    let recap = stdout.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()).find(|line| line["event"] == "recap");
    let hosts = recap.as_ref().and_then(|recap| recap["hosts"].as_object());
    let hosts = hosts.into_iter().flatten().filter(|(_, counts)| COUNTS.iter().any(|name| counts[*name] != 0));
    let counts = |counts: &Json| COUNTS.map(|name| format!("{name}={}", counts[name])).join(" ");
    let mut recaps: Vec<String> = hosts.map(|(host, of_host)| format!("{host}: {}", counts(of_host))).collect();
    recaps.sort();
    recaps
}
