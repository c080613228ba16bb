//! A small HTTP server on loopback that answers as a script says, and counts.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// One answer.
#[derive(Clone, Debug)]
pub enum Answer {
    Whole(Vec<u8>),
    Status(u16),
    /// This many bytes of the content, then the connection is closed.
    Broken(Vec<u8>, usize),
    /// This many bytes of the content, then nothing until the server ends.
    Stalled(Vec<u8>, usize),
    /// Whole, after a while.
    Slow(Vec<u8>, Duration),
}

/// Answers of a path in order, the last one again and again; 404 for every other path. Ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<BTreeMap<String, Vec<Answer>>>,
    requests: Mutex<Vec<String>>,
    ended: AtomicBool,
}

impl Server {
    pub fn start(answers: &[(&str, &[Answer])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let answers = answers.iter().map(|(path, list)| ((*path).to_owned(), list.to_vec())).collect();
        let shared = Arc::new(Shared { answers: Mutex::new(answers), ..Shared::default() });
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming().flatten() {
                if served.ended.load(Ordering::SeqCst) {
                    break;
                }
                let served = Arc::clone(&served);
                open.push(std::thread::spawn(move || {
                    let _ = answer(&served, stream);
                }));
            }
            open.into_iter().for_each(|thread| _ = thread.join());
        });
        Self { address, shared, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Paths of the GET requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().expect("whole").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// One request a connection: `Connection: close` each time.
fn answer(shared: &Shared, mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_owned());
    if method == "HEAD" {
        let size = match shared.answers.lock().expect("whole").get(&path).and_then(|list| list.first()) {
            Some(Answer::Whole(bytes)) => Ok(bytes.len()),
            _ => Err(404),
        };
        return match size {
            Ok(size) => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"),
            Err(code) => write!(stream, "HTTP/1.1 {code} Scripted\r\nConnection: close\r\n\r\n"),
        };
    }
    shared.requests.lock().expect("whole").push(path.clone());
    let next = {
        let mut answers = shared.answers.lock().expect("whole");
        match answers.get_mut(&path) {
            Some(list) if list.len() > 1 => list.remove(0),
            Some(list) => list.first().cloned().unwrap_or(Answer::Status(404)),
            None => Answer::Status(404),
        }
    };
    let head =
        |stream: &mut TcpStream, size: usize| write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n");
    match next {
        Answer::Status(code) => write!(stream, "HTTP/1.1 {code} Scripted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        Answer::Whole(bytes) => head(&mut stream, bytes.len()).and_then(|()| stream.write_all(&bytes)),
        Answer::Slow(bytes, wait) => {
            std::thread::sleep(wait);
            head(&mut stream, bytes.len()).and_then(|()| stream.write_all(&bytes))
        }
        Answer::Broken(bytes, count) => head(&mut stream, bytes.len()).and_then(|()| stream.write_all(&bytes[..count])),
        Answer::Stalled(bytes, count) => {
            head(&mut stream, bytes.len())?;
            stream.write_all(&bytes[..count])?;
            while !shared.ended.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        }
    }
}
