//! More than this server can do: it says so at once, and what is small or asks how it is still gets through.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Answer, Server};

const READY: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: test\r\n\r\n";

/// The largest batch: just under 1 MiB.
fn batch() -> Vec<u8> {
    json!({"urls": vec![format!("http://a.example/{}", "a".repeat(4_060)); 256]}).to_string().into_bytes()
}

fn request(body: &[u8]) -> Vec<u8> {
    let head = format!("POST /predict HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn bodies_that_still_come_are_bounded_together_and_one_url_gets_through() {
    let server = Server::start(&["--body-timeout-ms", "120000"]);
    let whole = request(&batch());
    let (last, most) = whole.split_last().unwrap();
    let mut sending: Vec<TcpStream> = (0..12).map(|_| server.connect()).collect();
    for stream in &mut sending {
        stream.write_all(most).unwrap();
    }
    // Four bodies of 1 MiB have room; where some that grow side by side find none at the same moment, fewer are left.
    let counted = || {
        let metrics = server.get("/metrics").body;
        let count = metrics.lines().find_map(|line| line.strip_prefix("model_service_refused_overload_total "));
        count.unwrap().parse::<usize>().unwrap()
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while counted() < 8 {
        assert!(Instant::now() < deadline, "{} refused", counted());
        std::thread::sleep(Duration::from_millis(50));
    }
    let (mut refused, mut taken) = (0, Vec::new());
    for stream in sending {
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        if stream.peek(&mut [0]).is_ok() {
            let answer = Answer::read(stream);
            assert_eq!((answer.code(), answer.header("retry-after")), ((503, "overloaded".to_owned()), Some("1")));
            refused += 1;
        } else {
            taken.push(stream);
        }
    }
    assert!((1..=4).contains(&taken.len()), "{}", taken.len());
    assert_eq!(server.json(br#"{"url":"http://a.example/"}"#).status, 200);
    assert_eq!(counted(), refused);
    for mut stream in taken {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(&[*last]).unwrap();
        assert_eq!(Answer::read(stream).status, 200);
    }
    assert_eq!(server.json(&batch()).status, 200, "there is room again");
}

#[test]
fn connections_beyond_those_that_are_kept_get_one_answer_each() {
    let server = Server::start(&["--connections", "2"]);
    let mut kept = [server.connect(), server.connect()];
    for _ in 0..2 {
        for stream in &mut kept {
            stream.write_all(READY).unwrap();
            let answer = Answer::read(stream.try_clone().unwrap());
            assert_eq!((answer.status, answer.header("connection")), (200, None));
        }
    }
    for _ in 0..200 {
        let mut stream = server.connect();
        stream.write_all(READY).unwrap();
        let answer = Answer::read(stream.try_clone().unwrap());
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn crowd_of_connections_is_told_so_and_probes_get_through() {
    let server = Server::start(&["--connections", "0"]);
    let refused = || {
        // They may be silent for 2 s.
        let crowd: Vec<TcpStream> = (0..200).map(|_| server.connect()).collect();
        let answer = server.json(br#"{"url":"http://a.example/"}"#);
        assert_eq!((server.get("/readyz").status, server.get("/").status), (200, 200));
        drop(crowd);
        if answer.status == 200 {
            return false;
        }
        assert_eq!((answer.code(), answer.header("retry-after")), ((503, "overloaded".to_owned()), Some("1")));
        true
    };
    assert!((0..5).any(|_| refused()));
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.json(br#"{"url":"http://a.example/"}"#).status != 200 {
        assert!(Instant::now() < deadline, "they have gone");
    }
}

/// It is stopped over and over, so that all its work is late; nothing else would refuse a client that sends one URL at a time.
#[test]
fn work_that_waits_too_long_is_refused_until_it_does_not() {
    let server = Server::start(&[]);
    let process = server.process.id();
    let script = format!("for i in $(seq 300); do kill -STOP {process} || exit; sleep .15; kill -CONT {process}; sleep .005; done");
    let mut stops = Command::new("sh").args(["-c", &script]).spawn().unwrap();
    let asked = |_| server.json(br#"{"url":"http://a.example/"}"#);
    let refused = (0..200).map(asked).find(|answer| answer.status != 200);
    stops.kill().unwrap();
    stops.wait().unwrap();
    assert!(Command::new("kill").args(["-CONT", &process.to_string()]).status().unwrap().success());
    let refused = refused.expect("none was refused");
    assert_eq!((refused.code(), refused.header("retry-after")), ((503, "overloaded".to_owned()), Some("1")));
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.json(br#"{"url":"http://a.example/"}"#).status != 200 {
        assert!(Instant::now() < deadline, "it keeps up again");
    }
}

#[test]
fn who_is_slow_to_send_holds_no_place_in_the_queue() {
    let server = Server::start(&["--queue", "1"]);
    let mut slow = server.connect();
    slow.write_all(&request(&batch())[..100_000]).unwrap();
    assert_eq!(server.json(br#"{"url":"http://a.example/"}"#).status, 200);
}

/// fdatasync takes a second, by strace.
#[test]
fn who_waits_for_the_journal_holds_a_place_in_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let mut slow = Command::new("strace");
    slow.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=1000000"]);
    slow.args([env!("CARGO_BIN_EXE_model-service"), "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--queue", "2"]);
    slow.arg("--model").arg(crate::shipped()).arg("--journal").arg(folder.path());
    let server = Server::run(&mut slow);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let ask = || scope.spawn(|| server.json(br#"{"url":"http://a.example/"}"#));
        let asked: Vec<_> = (0..8).map(|_| ask()).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(!refused.is_empty() && refused.len() < answers.len(), "{} of {}", refused.len(), answers.len());
    for answer in refused {
        assert_eq!((answer.code(), answer.header("retry-after")), ((503, "overloaded".to_owned()), Some("1")));
    }
}

/// It asks for ever more and reads nothing, so that its answers wait here.
#[test]
fn who_does_not_read_is_cut() {
    let server = Server::start(&["--head-timeout-ms", "500"]);
    let mut stream = server.connect();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let asked = request(&batch());
    let cut = (0..100).find_map(|_| stream.write_all(&asked).err()).expect("nothing here has room for 100 MB");
    assert!([ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&cut.kind()), "{cut}");
    assert_eq!(server.json(&asked[asked.len() - batch().len()..]).status, 200);
}

/// Asks until it is answered: a crowded machine has it refuse for a moment.
fn judged(server: &Server, body: &[u8]) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = server.json(body).status;
        if status == 200 {
            return;
        }
        assert!(status == 503 && Instant::now() < deadline, "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn memory_stays_within_forty_megabytes_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["--journal", folder.path().to_str().unwrap()]);
    let whole = request(&batch());
    std::thread::scope(|scope| {
        for client in 0..16 {
            let server = &server;
            scope.spawn(move || {
                for number in 0..250 {
                    judged(server, format!(r#"{{"url":"http://{client}.example/{number}"}}"#).as_bytes());
                }
            });
        }
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let mut stream = server.connect();
                    stream.write_all(&whole).unwrap();
                    assert!([200, 503].contains(&Answer::read(stream).status));
                }
            });
        }
    });
    judged(&server, &batch());
    server.is_within_forty_megabytes();
}

/// Of the released program it is 32 MB in all, 21 of them files; glibc's arenas, which a debug build has, keep up to 35 MB. A batch as a
/// whole had 700.
#[test]
fn batches_take_tract_no_more_memory_than_urls_one_by_one() {
    let server = Server::start(&["--runtime", "tract"]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| judged(&server, &batch()));
        }
    });
    let peak = server.peak_without_files();
    assert!(peak <= 64, "{peak} MB");
}
