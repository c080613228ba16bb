//! A node that somebody took: what speaks there as its agent asks the controller for what no file of the project asks.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;

use provision::agent::frame::{self, Answer, Call, CallMode, Down, Hello, PROTOCOL, Perform, Question, Summary, Up};
use provision::program::{File, Key, Map, Position, Program, Value};

use sha2::{Digest as _, Sha256};

use crate::support::sshd::Sshd;

/// What is pushed to the node in the agent's place: it hands the session to the test.
const RELAY: &str = r"
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int test = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(test, (struct sockaddr *)&to, sizeof to)) return 1;
    struct pollfd ends[2] = {{.fd = 0, .events = POLLIN}, {.fd = test, .events = POLLIN}};
    int out[2] = {test, 1};
    char bytes[65536];
    while (poll(ends, 2, -1) > 0)
        for (int end = 0; end < 2; end++) {
            if (!ends[end].revents) continue;
            ssize_t count = read(ends[end].fd, bytes, sizeof bytes);
            if (count <= 0) return 0;
            for (ssize_t done = 0; done < count;) {
                ssize_t written = write(out[end], bytes + done, count - done);
                if (written <= 0) return 0;
                done += written;
            }
        }
}
";

const SITE: &str = r#"
- hosts: taken
  gather_facts: false
  tasks:
    - {debug: {msg: "{{ hostvars.good.port }} {{ lookup('pipe', 'echo said') }}"}}
    - {command: "true", delegate_to: good}
    - {copy: {src: own.txt, dest: /tmp/never-written}}
- hosts: good
  gather_facts: false
  tasks:
    - {copy: {src: its.txt, dest: "{{ root }}/its"}}
"#;

/// The impostor's end of the session.
struct Session {
    stream: TcpStream,
    next: u64,
}

impl Session {
    fn say(&mut self, frame: &Up) {
        self.stream.write_all(&frame::encode(frame).expect("packed")).expect("the controller listens");
    }

    fn program(&mut self) -> Arc<Program> {
        loop {
            if let Down::Start(start) = frame::read(&mut self.stream).expect("a frame") {
                return start.program.expect("it has tasks");
            }
        }
    }

    /// What comes back: an error's text, or that there was an answer.
    fn ask(&mut self, question: Question) -> Result<Option<Answer>, String> {
        self.next += 1;
        let asked = self.next;
        self.say(&Up::Ask { id: asked, question });
        loop {
            match frame::read(&mut self.stream).expect("a frame") {
                Down::Answer { id, answer: Answer::Error { message, .. } } if id == asked => return Err(message),
                Down::Answer { id, answer } if id == asked => return Ok(Some(answer)),
                Down::Content { id, .. } if id == asked => return Ok(None),
                _ => {}
            }
        }
    }
}

fn delegated(host: &str, module: &str, argument: &str) -> Question {
    let arguments = [(Key::from("_raw_params"), Value::from(argument))].into_iter().collect::<Map>();
    let call = Call { module: module.into(), arguments, mode: CallMode::Check, ..Call::default() };
    Question::Delegate { host: host.into(), request: Box::new(Perform::Plan(Box::new(call))) }
}

#[test]
fn a_taken_node_gets_nothing_that_its_program_does_not_ask_for() {
    let (folder, sshd) = (tempfile::tempdir().expect("a folder"), Sshd::start());
    let path = |name: &str| folder.path().join(name);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let login = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";
    let hosts = format!(
        "taken ansible_host=127.0.0.1 ansible_port={} ansible_ssh_private_key_file={} ansible_ssh_common_args='{login}'\n\
         good ansible_connection=local port=5 secret=swordfish\n",
        sshd.port(),
        sshd.user_key().display()
    );
    for (name, text) in [("site.yml", SITE), ("hosts.ini", &hosts), ("own.txt", "own"), ("its.txt", "its"), ("relay.c", RELAY)] {
        std::fs::write(path(name), text).expect("written");
    }
    let built = Command::new("cc").arg(format!("-DPORT={port}")).arg("-o").args([path("relay"), path("relay.c")]).status();
    assert!(built.expect("cc runs").success());
    let running = Command::new(env!("CARGO_BIN_EXE_provision"))
        .args(["playbook", "-i", "hosts.ini", "site.yml", "-e"])
        .arg(format!("root={}", folder.path().display()))
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .env("PROVISION_AGENT", path("relay"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");

    let mut session = Session { stream: listener.accept().expect("the node connects").0, next: 0 };
    session.stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).expect("set");
    session.say(&Up::Hello(Hello { protocol: PROTOCOL, pid: 1, user: "root".into(), boot_id: "taken".into(), ..Hello::default() }));
    let program = session.program();
    let position = Position(vec![0]);
    let (good, own) = (Arc::<str>::from("good"), "taken asks for ");
    let variable = |host: &str, name: &str| Question::HostVariable { host: host.into(), name: name.into(), position: position.clone() };
    let lookup = |line: &str| Question::Lookup { plugin: "pipe".into(), terms: vec![Value::from(line)], options: Map::new() };
    let content = |sha256: &str| Question::Content { sha256: sha256.into() };

    // What its tasks ask for is answered.
    assert!(matches!(session.ask(variable("good", "port")), Ok(Some(Answer::Value(Some(Value::Int(5)))))));
    assert!(matches!(session.ask(lookup("echo said")), Ok(Some(Answer::List(said))) if said == [Value::from("said")]));
    assert!(matches!(session.ask(delegated("good", "command", "true")), Ok(Some(Answer::Performed(_)))));
    let digest = |file: &File| if let File::Plain { sha256, .. } = file { Some(Arc::clone(sha256)) } else { None };
    let its_own: Vec<Arc<str>> = program.files.values().filter_map(digest).collect();
    assert_eq!(its_own.len(), 1, "{:?}", program.files);
    assert_eq!(session.ask(content(&its_own[0])).map(|answer| answer.is_none()), Ok(true));

    // Nothing else is.
    let of_good: String = Sha256::digest(b"its").iter().map(|byte| format!("{byte:02x}")).collect();
    let foreign = [
        (variable("good", "secret"), "hostvars['good']['secret']".to_owned()),
        (variable("localhost", "port"), "hostvars['localhost']['port']".to_owned()),
        (Question::HostVariables { host: Arc::clone(&good), position: position.clone() }, "hostvars['good']".to_owned()),
        (delegated("localhost", "command", "id"), "a task of `command` delegated to localhost".to_owned()),
        (delegated("good", "copy", ""), "a task of `copy` delegated to good".to_owned()),
        (
            Question::Delegate {
                host: Arc::clone(&good),
                request: Box::new(Perform::Read { path: "/etc/shadow".into(), offset: 0, become_: None }),
            },
            "a file of good".to_owned(),
        ),
        (lookup("id"), "such a lookup of 'pipe'".to_owned()),
        (
            Question::Lookup { plugin: "env".into(), terms: vec![Value::from("HOME")], options: Map::new() },
            "such a lookup of 'env'".to_owned(),
        ),
        (content(&of_good), format!("a file of SHA-256 {of_good}")),
        (Question::SetHostFacts { host: Arc::clone(&good), facts: Map::new() }, "to set variables of good".to_owned()),
        (Question::AddHost { name: "more".into(), groups: Vec::new(), variables: Map::new() }, "`add_host`".to_owned()),
        (Question::GroupBy { group: "more".into(), parents: Vec::new() }, "`group_by`".to_owned()),
        (Question::Prompt { text: "password".into(), echo: false }, "`pause`".to_owned()),
    ];
    for (question, what) in foreign {
        let shown = format!("{question:?}");
        let answer = session.ask(question).map(|answer| format!("{answer:?}"));
        assert_eq!(answer, Err(format!("{own}{what}, and nothing in its program does")), "{shown}");
    }
    session.say(&Up::Done(Summary::default()));
    drop(session);
    let output = running.wait_with_output().expect("it ends");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("swordfish"), "{said}");
    assert_eq!(std::fs::read_to_string(path("its")).expect("the other host goes on"), "its", "{said}");
}
