//! What a run told of each host: tasks and items with their status and what they registered.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

/// Fields of two moments, of two programs' insides, or said elsewhere. Names of temporary files are in `src`.
const LEFT_OUT: [&str; 21] = [
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
                        text += &format!("    {name}: {}\n", lasting(name, value));
                    }
                }
            }
        }
        text
    }
}

impl Line {
    fn compares(&self, name: &str) -> bool {
        let says = |start: &str| self.result.get("msg").and_then(Json::as_str).is_some_and(|text| text.starts_with(start));
        // A hidden result says of itself that it is one, and no more.
        let left_out = self.result.contains_key("censored")
            || match name {
                // What a machine is was compared elsewhere; of a vars file a node is sent what it can read.
                "ansible_facts" => self.task == "Gathering Facts" || self.result.contains_key("ansible_included_var_files"),
                // Sentences about templates and connections are each program's own.
                "msg" => says("Task failed:") || self.status == "unreachable",
                _ => LEFT_OUT.contains(&name) || name.starts_with('_'),
            };
        !left_out && self.result.contains_key(name)
    }
}

/// Of a `stat` result what does not name one machine's disk and moments; of facts of one task each by its name.
fn lasting(name: &str, value: &Json) -> Json {
    const OF_ONE_MACHINE: [&str; 12] =
        ["atime", "mtime", "ctime", "inode", "dev", "version", "blocks", "block_size", "checksum", "size", "nlink", "device_type"];
    let mut value = value.clone();
    if name == "ansible_facts"
        && let Some(facts) = value.as_object()
    {
        let sorted: BTreeMap<String, Json> = facts.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        return sorted.into_iter().collect::<Map<_, _>>().into();
    }
    if let Some(stat) = value.as_object_mut().filter(|stat| stat.contains_key("inode")) {
        stat.retain(|name, _| !OF_ONE_MACHINE.contains(&name.as_str()));
    }
    value
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

/// The same of our event.
pub fn recaps_of_ours(stdout: &str) -> Vec<String> {
    const COUNTS: [&str; 7] = ["ok", "changed", "unreachable", "failed", "skipped", "rescued", "ignored"];
    let recap = stdout.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()).find(|line| line["event"] == "recap");
    let hosts = recap.as_ref().and_then(|recap| recap["hosts"].as_object());
    let counts = |counts: &Json| COUNTS.map(|name| format!("{name}={}", counts[name])).join(" ");
    let mut recaps: Vec<String> = hosts.into_iter().flatten().map(|(host, of_host)| format!("{host}: {}", counts(of_host))).collect();
    recaps.sort();
    recaps
}
