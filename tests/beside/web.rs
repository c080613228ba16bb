//! `get_url` and `uri` beside Ansible's: each tool's requests to a server of this process, and the files that it leaves.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

use super::accounts::done;
use super::{Task, compare, task};

/// What is asked for, and how, is told back by `/echo`.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap_or(0);
        }
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let words: Vec<&str> = first.split_whitespace().collect();
    let text = "the file\n";
    let (status, more, body) = match words[1].split('?').next().unwrap_or_default() {
        "/file" if header("if-modified-since").is_some() => ("304 Not Modified", String::new(), String::new()),
        "/file" | "/other" => ("200 OK", "Content-Type: text/plain\r\n".to_owned(), text.to_owned()),
        "/named" => ("200 OK", "Content-Disposition: attachment; filename=\"by-name\"\r\n".to_owned(), text.to_owned()),
        "/sums" => (
            "200 OK",
            String::new(),
            format!("{}  other\n{}  file\n", "0".repeat(64), provision::system::describe::sha256(text.as_bytes())),
        ),
        "/moved" => ("302 Found", "Location: /file\r\n".to_owned(), String::new()),
        "/secret" if header("authorization").as_deref() == Some("Basic dTpw") => ("200 OK", String::new(), "opened".to_owned()),
        "/secret" => ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"r\"\r\n".to_owned(), "closed".to_owned()),
        "/echo" => {
            let told = json!({
                "method": words[0], "body": String::from_utf8_lossy(&body), "type": header("content-type"),
                "agent": header("user-agent"), "x": header("x-a"), "cache": header("cache-control"),
            });
            ("200 OK", "Content-Type: application/json\r\nX-B: 1\r\nX-B: 2\r\nSet-Cookie: c=1; Path=/\r\n".to_owned(), told.to_string())
        }
        _ => ("404 Not Found", String::new(), "nothing here".to_owned()),
    };
    let body = if words[0] == "HEAD" { String::new() } else { body };
    write!(stream, "HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// A port of a server that lives as long as the process.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(std::thread::spawn(move || answer(stream)))));
    port
}

fn files(folder: &Path) -> String {
    let script = "find . -mindepth 1 -printf '%P %y %m ' -exec sh -c 'test -f {} && sha256sum < {} || echo' \\; | sort";
    let output = Command::new("sh").arg("-c").arg(script).current_dir(folder).output().expect("sh runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "a minute of Ansible: cargo test --test main requests_are_ansibles -- --ignored"]
fn requests_are_ansibles() {
    let port = serve();
    let place = tempfile::tempdir().expect("a folder");
    let (folder, at) = (place.path().to_owned(), format!("http://127.0.0.1:{port}"));
    let lay_out = || {
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(folder.join("in")).expect("is made");
        std::fs::write(folder.join("old"), "old").expect("is written");
        std::fs::write(folder.join("sent"), "{\"s\": 1}").expect("is written");
    };
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let sum = provision::system::describe::sha256(b"the file\n");
    let get = |url: &str, dest: &str, more: Json| {
        let mut arguments = json!({"url": format!("{at}{url}"), "dest": path(dest)});
        arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
        task("get_url", arguments)
    };
    let ask = |url: &str, more: Json| {
        let mut arguments = json!({"url": format!("{at}{url}")});
        arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
        task("uri", arguments)
    };
    // (task, fields that differ for a reason); `src` is a temporary file.
    let tasks: Vec<(Task, &[&str])> = vec![
        (get("/file", "new", json!({"mode": "0640"})), &["src"]),
        (get("/file", "new", json!({})), &["src"]),
        (get("/file", "new", json!({"force": true, "mode": "0600"})), &["src"]),
        (get("/file", "old", json!({"checksum": format!("sha256:{sum}")})), &["src"]),
        (get("/file", "old", json!({"checksum": format!("sha256:{sum}")})), &[]),
        (get("/file", "summed", json!({"checksum": format!("sha256:{at}/sums")})), &["src"]),
        (get("/file", "summed", json!({"checksum": format!("sha256:{at}/sums")})), &[]),
        (get("/file", "wrong", json!({"checksum": "md5:00"})), &["src", "msg"]),
        (get("/named", "in", json!({})), &["src"]),
        (get("/moved", "in", json!({})), &["src"]),
        (get("/none", "none", json!({})), &[]),
        (get("/secret", "opened", json!({"username": "u", "password": "p"})), &["src"]),
        (get("/secret", "closed", json!({})), &[]),
        (get("/file", "no/folder", json!({})), &["src", "elapsed", "checksum_src"]),
        (ask("/echo", json!({"headers": {"X-A": "1"}, "return_content": true})), &[]),
        (ask("/echo", json!({"method": "POST", "body": {"a": [1, "ü"], "b": null}, "body_format": "json"})), &[]),
        (ask("/echo", json!({"method": "POST", "body": {"a b": [1, 2], "c": "ü&"}, "body_format": "form-urlencoded"})), &[]),
        (ask("/echo", json!({"method": "PUT", "body": "as it\nis", "force": true})), &[]),
        (ask("/echo", json!({"method": "POST", "src": path("sent"), "remote_src": true})), &[]),
        (ask("/echo", json!({"method": "DELETE"})), &[]),
        (ask("/file", json!({"dest": path("answer"), "mode": "0644"})), &[]),
        (ask("/moved", json!({"return_content": true})), &[]),
        (ask("/moved", json!({"follow_redirects": "none", "status_code": 302})), &[]),
        (ask("/moved", json!({"method": "POST"})), &[]),
        (ask("/none", json!({"return_content": true})), &[]),
        (ask("/none", json!({"status_code": [404, 200], "return_content": true})), &[]),
        (ask("/secret", json!({"user": "u", "password": "p", "force_basic_auth": true, "return_content": true})), &[]),
        (ask("/secret", json!({"user": "u", "password": "p", "return_content": true})), &[]),
        (ask("/file", json!({"creates": path("old")})), &[]),
        (ask("/file", json!({"method": "HEAD"})), &[]),
        // The sentence is curl's.
        (task("uri", json!({"url": "http://127.0.0.1:1/", "timeout": 2})), &["msg"]),
    ];
    let (tasks, left_out): (Vec<Task>, Vec<&[&str]>) = tasks.into_iter().unzip();
    lay_out();
    let Some((theirs, _)) = super::theirs(&json!({}), &[], &tasks) else { return };
    let their_files = files(&folder);
    lay_out();
    let ours: Vec<Json> = tasks.iter().map(done).collect();
    let different: Vec<String> = tasks
        .iter()
        .zip(theirs.iter().zip(&ours))
        .zip(left_out)
        .filter_map(|((task, (theirs, ours)), left_out)| compare(task, theirs, ours, left_out))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert_eq!(their_files, files(&folder));
}
