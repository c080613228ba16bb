//! `get_url` and `uri` beside Ansible's: each tool's requests to a server of this process, and the files that it leaves.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use provision::module::Source;
use provision::program::{Bytes, File, Value};
use serde_json::{Value as Json, json};

use super::accounts::done_with;
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
    let text = b"the file\n".to_vec();
    let none = String::new;
    let (status, more, body) = match words[1].split('?').next().unwrap_or_default() {
        "/file" if header("if-modified-since").is_some() => ("304 Not Modified", none(), Vec::new()),
        "/file" | "/other" => ("200 OK", "Content-Type: text/plain\r\n".to_owned(), text),
        "/named" => ("200 OK", "Content-Disposition: attachment; filename=\"by-name\"\r\n".to_owned(), text),
        "/sums" => {
            let sum = provision::system::describe::sha256(&text);
            ("200 OK", none(), format!("{}  other\n{sum}  file\n", "0".repeat(64)).into_bytes())
        }
        // `/read?PATH`: a file of this machine.
        "/read" => ("200 OK", none(), std::fs::read(words[1].split_once('?').map_or("", |(_, path)| path))?),
        // A server of keys: those of the folder for temporary files, by their ids.
        "/pks/lookup" => match std::fs::read(std::env::temp_dir().join(words[1].rsplit("search=0x").next().unwrap_or_default())) {
            Ok(key) => ("200 OK", none(), key),
            Err(_) => ("404 Not Found", none(), Vec::new()),
        },
        "/keys" => ("200 OK", none(), b"ssh-ed25519 AAAA bob\n".to_vec()),
        "/moved" => ("302 Found", "Location: /file\r\n".to_owned(), Vec::new()),
        "/astray" => ("302 Found", "Location: /none\r\n".to_owned(), Vec::new()),
        "/greeted" => ("302 Found", "Location: /echo\r\nSet-Cookie: way=1; Path=/\r\n".to_owned(), Vec::new()),
        "/secret" if header("authorization").as_deref() == Some("Basic dTpzZXNhbWU=") => ("200 OK", none(), b"opened".to_vec()),
        "/secret" => ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"r\"\r\n".to_owned(), b"closed".to_vec()),
        "/slow" => {
            std::thread::sleep(std::time::Duration::from_secs(4));
            ("200 OK", none(), Vec::new())
        }
        "/latin" => ("200 OK", "Content-Type: text/plain; charset=iso-8859-1\r\n".to_owned(), b"\xfcber".to_vec()),
        "/packed" => {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packed.write_all(&text)?;
            ("200 OK", "Content-Encoding: gzip\r\n".to_owned(), packed.finish()?)
        }
        "/problem" => {
            ("400 Bad Request", "Content-Type: application/problem+json\r\nX-B: 1\r\nX-B: 2\r\n".to_owned(), b"{\"p\": 1}".to_vec())
        }
        "/echo" => {
            let kind = header("content-type").unwrap_or_default();
            let boundary = kind.split("boundary=").nth(1).map(|boundary| boundary.trim_matches('"').to_owned());
            let blind =
                |text: &str| boundary.as_ref().map_or_else(|| text.to_owned(), |boundary| text.replace(boundary.as_str(), "BOUNDARY"));
            let told = json!({
                "method": words[0], "body": blind(&String::from_utf8_lossy(&body)), "type": blind(&kind), "length": header("content-length"),
                "agent": header("user-agent"), "x": header("x-a"), "cache": header("cache-control"), "cookie": header("cookie"),
                "expect": header("expect"),
            });
            let more = "Content-Type: application/json\r\nX-B: 1\r\nX-B: 2\r\nSet-Cookie: c=1; Path=/\r\n".to_owned();
            ("200 OK", more, told.to_string().into_bytes())
        }
        _ => ("404 Not Found", none(), b"nothing here".to_vec()),
    };
    write!(stream, "HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    if words[0] == "HEAD" { Ok(()) } else { stream.write_all(&body) }
}

/// A port of a server that lives as long as the process, on one of this machine's addresses.
pub fn serve(address: &str) -> u16 {
    let listener = TcpListener::bind((address, 0)).expect("binds");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(std::thread::spawn(move || answer(stream)))));
    port
}

/// Our result, with the controller's files that parts of a body are.
fn with_parts(task: &Task) -> Json {
    let body = Value::from(task.arguments["body"].clone());
    let below: BTreeMap<Arc<str>, File> = body
        .as_map()
        .into_iter()
        .flat_map(provision::module::uri::files)
        .map(|name| {
            let bytes = std::fs::read(name).expect("is there");
            let sha256 = provision::system::describe::sha256(&bytes).into();
            (name.into(), File::Plain { sha256, size: bytes.len() as u64, mode: 0o644, content: Some(Bytes(bytes.into())), sealed: None })
        })
        .collect();
    let source = below.iter().next().map(|(path, file)| Source { path, file, below: &below });
    done_with(task, source)
}

fn files(folder: &Path) -> String {
    let script = "find . -mindepth 1 -printf '%P %y %m ' -exec sh -c 'test -f {} && sha256sum < {} || echo' \\; | sort";
    let output = Command::new("sh").arg("-c").arg(script).current_dir(folder).output().expect("sh runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "a minute of Ansible: cargo test --test main requests_are_ansibles -- --ignored"]
fn requests_are_ansibles() {
    let port = serve("127.0.0.1");
    let place = tempfile::tempdir().expect("a folder");
    let (folder, at) = (place.path().to_owned(), format!("http://127.0.0.1:{port}"));
    let lay_out = || {
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(folder.join("in")).expect("is made");
        std::fs::write(folder.join("old"), "old").expect("is written");
        std::fs::write(folder.join("same"), "the file\n").expect("is written");
        std::fs::write(folder.join("empty"), "").expect("is written");
        std::fs::write(folder.join("sent.json"), "{\"s\": 1}").expect("is written");
        std::fs::write(folder.join("sent.bin"), [0, 1, 2, 255].repeat(40)).expect("is written");
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
    let check = |task: Task| Task { check: true, ..task };
    let parts = json!({
        "text": "a\nü", "file": {"filename": path("sent.json")}, "raw": {"filename": path("sent.json"), "multipart_encoding": "7or8bit"},
        "made": {"content": "x", "filename": "made.txt"}, "binary": {"filename": path("sent.bin"), "mime_type": "image/png"},
    });
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
        (get("/secret", "opened", json!({"username": "u", "password": "sesame"})), &["src"]),
        (get("/secret", "closed", json!({})), &[]),
        (get("/file", "no/folder", json!({})), &["src", "elapsed", "checksum_src"]),
        (get("/file", "none", json!({"checksum": "sha256"})), &[]),
        (get("/file", "none", json!({"checksum": "sha256:x"})), &[]),
        (get("/file", "none", json!({"checksum": format!("sha256:{at}/none")})), &[]),
        (get("/none", "none", json!({"checksum": format!("sha256:{at}/sums")})), &[]),
        (get("/other", "same", json!({"backup": true, "checksum": "sha256:00"})), &["src", "msg"]),
        (get("/other", "same", json!({"force": true})), &["src"]),
        (get("/other", "same", json!({"checksum": format!("sha256:{sum}"), "force": true, "mode": "0604"})), &["src"]),
        (get("/packed", "unpacked", json!({})), &["src"]),
        (get("/astray", "none", json!({})), &[]),
        (check(get("/file", "looked", json!({}))), &["src"]),
        (check(get("/other", "same", json!({}))), &["src"]),
        (check(get("/other", "empty", json!({}))), &["src"]),
        (check(get("/file", "same", json!({}))), &["src"]),
        (check(get("/named", "in", json!({}))), &["src"]),
        (check(get("/none", "looked", json!({}))), &[]),
        (check(get("/file", "same", json!({"checksum": format!("sha256:{at}/sums"), "mode": "0640"}))), &[]),
        (check(get("/file", "looked", json!({"checksum": format!("sha256:{at}/sums")}))), &["src"]),
        (check(get("/file", "old", json!({"checksum": format!("sha256:{sum}")}))), &[]),
        // The sentence is curl's.
        (get("/slow", "none", json!({"timeout": 1})), &["msg"]),
        (ask("/echo", json!({"headers": {"X-A": "1"}, "return_content": true})), &[]),
        (ask("/echo", json!({"method": "POST", "body": {"a": [1, "ü"], "b": null}, "body_format": "json"})), &[]),
        (ask("/echo", json!({"method": "POST", "body": {"a b": [1, 2], "c": "ü&"}, "body_format": "form-urlencoded"})), &[]),
        (ask("/echo", json!({"method": "PUT", "body": "as it\nis", "force": true})), &[]),
        (ask("/echo", json!({"method": "POST", "src": path("sent.json"), "remote_src": true})), &[]),
        (ask("/echo", json!({"method": "DELETE"})), &[]),
        (ask("/file", json!({"dest": path("answer"), "mode": "0644"})), &[]),
        (ask("/moved", json!({"return_content": true})), &[]),
        (ask("/moved", json!({"follow_redirects": "none", "status_code": 302})), &[]),
        (ask("/moved", json!({"method": "POST"})), &[]),
        (ask("/none", json!({"return_content": true})), &[]),
        (ask("/none", json!({"status_code": [404, 200], "return_content": true})), &[]),
        (ask("/secret", json!({"user": "u", "password": "sesame", "force_basic_auth": true, "return_content": true})), &[]),
        (ask("/secret", json!({"user": "u", "password": "sesame", "return_content": true})), &[]),
        (ask("/file", json!({"creates": path("old")})), &[]),
        (ask("/file", json!({"method": "HEAD"})), &[]),
        (ask("/file", json!({"removes": path("gone")})), &[]),
        (ask("/astray", json!({"return_content": true})), &[]),
        (ask("/astray", json!({"status_code": 404})), &[]),
        (ask("/greeted", json!({"return_content": true})), &[]),
        (ask("/problem", json!({"status_code": [400]})), &[]),
        (ask("/latin", json!({"return_content": true})), &[]),
        (ask("/packed", json!({"return_content": true})), &[]),
        (ask("/packed", json!({"decompress": false, "dest": path("packed")})), &[]),
        (ask("/named", json!({"dest": path("in")})), &[]),
        (ask("/other", json!({"dest": path("in")})), &[]),
        (ask("/other", json!({"dest": path("same"), "mode": "0600"})), &[]),
        (ask("/file", json!({"dest": path("same"), "status_code": [200, 304]})), &[]),
        (ask("/none", json!({"dest": path("never")})), &[]),
        (ask("/echo", json!({"method": "POST", "body": parts, "body_format": "form-multipart", "return_content": true})), &[]),
        (ask("/echo", json!({"method": "POST", "body": parts, "body_format": "form-multipart", "remote_src": true})), &[]),
        (ask("/echo", json!({"method": "POST", "body": {"a": 1}, "body_format": "form-multipart"})), &[]),
        (ask("/echo", json!({"method": "POST", "body": {"a": {"mime_type": "b"}}, "body_format": "form-multipart"})), &[]),
        (ask("/echo", json!({"method": "POST", "body": "x".repeat(2 << 20)})), &[]),
        (ask("/echo", json!({"method": "POST", "body": "a=1", "body_format": "form-urlencoded", "headers": {"Content-Type": "x/y"}})), &[]),
        (ask("/echo", json!({"method": "PATCH", "body": [["a", 1], ["a", [2, 3]]], "body_format": "form-urlencoded"})), &[]),
        (ask("/echo", json!({"method": "POST", "body_format": "json"})), &[]),
        (ask("/echo", json!({"method": "get it"})), &[]),
        (check(ask("/echo", json!({}))), &[]),
        // The sentence is curl's.
        (ask("/slow", json!({"timeout": 1})), &["msg"]),
        (task("uri", json!({"url": "http://127.0.0.1:1/", "timeout": 2})), &["msg"]),
    ];
    let (tasks, left_out): (Vec<Task>, Vec<&[&str]>) = tasks.into_iter().unzip();
    lay_out();
    let Some((theirs, _)) = super::theirs(&json!({}), &[], &tasks) else { return };
    let their_files = files(&folder);
    lay_out();
    let ours: Vec<Json> = tasks.iter().map(with_parts).collect();
    // Seconds are the machine's, which may be busy: a slow answer takes one at least.
    let blurred = |(task, result): (&Task, &Json)| {
        let mut result = result.clone();
        if let Some(seconds) = result["elapsed"].as_i64() {
            result["elapsed"] = (seconds > 0 || !task.arguments["url"].as_str().is_some_and(|url| url.ends_with("/slow"))).into();
        }
        result
    };
    let [theirs, ours] = [&theirs, &ours].map(|results| tasks.iter().zip(results).map(blurred).collect::<Vec<Json>>());
    let different: Vec<String> = tasks
        .iter()
        .zip(theirs.iter().zip(&ours))
        .zip(left_out)
        .filter_map(|((task, (theirs, ours)), left_out)| compare(task, theirs, ours, left_out))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert_eq!(their_files, files(&folder));
}
