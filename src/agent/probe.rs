//! What proves a cluster's network from inside of a pod: a name is resolved, every other probe is reached.
//!
//! `provision-agent probe NAME PEERS COUNT PORT`: looks up NAME, then PEERS, which must have COUNT addresses, and fetches
//! 8 KB from each of them at PORT. It serves the same itself, for the others; to the kubelet it answers 200 once all of
//! that was done, 503 before. Each new reason why it is not is a line on stdout. It runs until it is killed.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// A name server on another node answers within milliseconds; a lost packet is asked for again in the next round.
const ANSWER: Duration = Duration::from_secs(2);
const ROUND: Duration = Duration::from_millis(300);
/// More than any packet: a link that loses full ones is found.
const BODY: usize = 8192;

/// Where and how a pod asks for names.
struct Resolver {
    servers: Vec<SocketAddr>,
    /// `cluster.local`.
    domain: String,
}

/// The command line of `probe`; false: it is wrong, or the port is taken.
pub fn run(words: &[String]) -> bool {
    let [name, peers, count, port] = words else { return false };
    let (Ok(count), Ok(port)) = (count.parse::<usize>(), port.parse::<u16>()) else { return false };
    let Ok(listener) = TcpListener::bind(("0.0.0.0", port)) else { return false };
    static DONE: AtomicBool = AtomicBool::new(false);
    std::thread::spawn(move || serve(&listener, &DONE));
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let resolver = Resolver::of(&text, 53);
    let mut last = String::new();
    loop {
        let standing = prove(&resolver, name, peers, count, port);
        DONE.store(standing.is_ok(), Ordering::SeqCst);
        let said = standing.err().unwrap_or_else(|| format!("{name} was resolved and {count} probes were reached"));
        if said != last {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{said}").and_then(|()| out.flush());
            last = said;
        }
        sleep(if DONE.load(Ordering::SeqCst) { Duration::from_hours(1) } else { ROUND });
    }
}

fn prove(resolver: &Resolver, name: &str, peers: &str, count: usize, port: u16) -> Result<(), String> {
    resolver.lookup(name)?;
    let addresses = resolver.lookup(peers)?;
    if addresses.len() < count {
        return Err(format!("{} of {count} probes have an address", addresses.len()));
    }
    addresses.into_iter().try_for_each(|address| fetch(SocketAddr::new(address.into(), port)))
}

/// Answers every connection: what was asked for does not matter.
fn serve(listener: &TcpListener, done: &AtomicBool) {
    for client in listener.incoming().map_while(Result::ok) {
        let status = if done.load(Ordering::SeqCst) { "200 OK" } else { "503 Not Yet" };
        std::thread::spawn(move || {
            let _ = answer(client, status);
        });
    }
}

fn answer(mut client: TcpStream, status: &str) -> std::io::Result<()> {
    client.set_read_timeout(Some(ANSWER))?;
    client.set_write_timeout(Some(ANSWER))?;
    let mut request = [0; 4096];
    // A request of ours or of the kubelet is one packet; what it asks for is always the same.
    let _ = client.read(&mut request)?;
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {BODY}\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n");
    client.write_all(head.as_bytes())?;
    client.write_all(&[b'.'; BODY])
}

fn fetch(peer: SocketAddr) -> Result<(), String> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("no answer from the probe at {peer} within {} s", ANSWER.as_secs()),
        _ => format!("reach the probe at {peer}: {error}"),
    };
    let mut stream = TcpStream::connect_timeout(&peer, ANSWER).map_err(failed)?;
    stream.set_read_timeout(Some(ANSWER)).map_err(failed)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n").map_err(failed)?;
    let mut got = Vec::new();
    stream.read_to_end(&mut got).map_err(failed)?;
    if got.len() < BODY {
        return Err(format!("the probe at {peer} sent {} bytes of {BODY}: the network loses large packets", got.len()));
    }
    Ok(())
}

impl Resolver {
    fn of(text: &str, port: u16) -> Self {
        let mut resolver = Self { servers: Vec::new(), domain: "cluster.local".to_owned() };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => resolver
                    .servers
                    .extend(words.filter_map(|word| word.parse::<IpAddr>().ok()).map(|address| SocketAddr::new(address, port))),
                // The kubelet writes `NAMESPACE.svc.DOMAIN svc.DOMAIN DOMAIN …`.
                Some("search") => resolver.domain = words.find_map(|word| word.strip_prefix("svc.")).map_or(resolver.domain, str::to_owned),
                _ => {}
            }
        }
        resolver
    }

    /// The IPv4 addresses of a Service, named `service.namespace`.
    fn lookup(&self, service: &str) -> Result<Vec<Ipv4Addr>, String> {
        let name = format!("{service}.svc.{}", self.domain);
        let server = self.servers.first().ok_or("the pod's /etc/resolv.conf names no server")?;
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("no answer from the name server {server} within {} s", ANSWER.as_secs()),
            _ => format!("ask the name server {server}: {error}"),
        };
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).and_then(|socket| socket.connect(server).map(|()| socket)).map_err(failed)?;
        socket.set_read_timeout(Some(ANSWER)).map_err(failed)?;
        let id = (std::process::id() as u16) ^ (std::time::UNIX_EPOCH.elapsed().unwrap_or_default().subsec_nanos() as u16);
        socket.send(&question(id, &name)).map_err(failed)?;
        let mut buffer = [0; 4096];
        loop {
            let length = socket.recv(&mut buffer).map_err(failed)?;
            if let Some(answer) = addresses(&buffer[..length], id) {
                return match answer {
                    Ok(addresses) if addresses.is_empty() => Err(format!("{server} knows no address of {name}")),
                    Ok(addresses) => Ok(addresses),
                    Err(3) => Err(format!("{server} knows no {name}")),
                    Err(code) => Err(format!("{server} answers error {code} to {name}")),
                };
            }
        }
    }
}

/// A question for the A records of a name (RFC 1035, section 4.1), recursion desired.
fn question(id: u16, name: &str) -> Vec<u8> {
    let mut packet = Vec::with_capacity(name.len() + 18);
    packet.extend(id.to_be_bytes());
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

/// The addresses of an answer, or its error code (RFC 1035, section 4.1.1; 3: there is no such name). None: it is no answer
/// to the question with this id.
fn addresses(packet: &[u8], id: u16) -> Option<Result<Vec<Ipv4Addr>, u8>> {
    let word = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    if word(0)? != id || packet.get(2)? & 0x80 == 0 {
        return None;
    }
    let code = packet.get(3)? & 0x0f;
    if code != 0 {
        return Some(Err(code));
    }
    let (questions, answers) = (word(4)?, word(6)?);
    let mut at = 12;
    for _ in 0..questions {
        at = after_name(packet, at)? + 4;
    }
    let mut found = Vec::new();
    for _ in 0..answers {
        at = after_name(packet, at)?;
        let (kind, length) = (word(at)?, usize::from(word(at + 8)?));
        at += 10;
        if kind == 1 && length == 4 {
            found.push(Ipv4Addr::new(*packet.get(at)?, *packet.get(at + 1)?, *packet.get(at + 2)?, *packet.get(at + 3)?));
        }
        at += length;
    }
    Some(Ok(found))
}

/// Where a name ends: labels up to an empty one, or a pointer.
fn after_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += usize::from(length) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name server for a test: `kubernetes` has an address of its own, `peers` those given, other names are unknown.
    fn name_server(peers: &'static [[u8; 4]]) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let asked = buffer[..length].to_vec();
                let known = String::from_utf8_lossy(&asked[12..]).into_owned();
                let (code, list): (u8, &[[u8; 4]]) = if known.contains("kubernetes") {
                    (0, &[[10, 96, 0, 1]])
                } else if known.contains("peers") {
                    (0, peers)
                } else {
                    (3, &[])
                };
                let mut answer = asked.clone();
                answer[2] = 0x81;
                answer[3] = 0x80 | code;
                answer[7] = list.len() as u8;
                for address in list {
                    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
                    answer.extend(address);
                }
                socket.send_to(&answer, from).unwrap();
            }
        });
        address
    }

    fn resolver(peers: &'static [[u8; 4]]) -> Resolver {
        let server = name_server(peers);
        Resolver { servers: vec![server], domain: "cluster.local".to_owned() }
    }

    #[test]
    fn resolv_conf_is_the_kubelet_s() {
        let text = "search shop.svc.example.org svc.example.org example.org\nnameserver 10.96.0.10\noptions ndots:5\n";
        let resolver = Resolver::of(text, 53);
        assert_eq!((resolver.domain.as_str(), resolver.servers), ("example.org", vec!["10.96.0.10:53".parse().unwrap()]));
    }

    #[test]
    fn every_reason_is_named() {
        let one = resolver(&[[127, 0, 0, 1]]);
        let server = one.servers[0];
        assert_eq!(one.lookup("kubernetes.default"), Ok(vec![Ipv4Addr::new(10, 96, 0, 1)]));
        assert_eq!(one.lookup("nobody.default"), Err(format!("{server} knows no nobody.default.svc.cluster.local")));
        assert_eq!(prove(&one, "kubernetes.default", "peers.x", 2, 1), Err("1 of 2 probes have an address".to_owned()));
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let reached = prove(&one, "kubernetes.default", "peers.x", 1, closed.port()).unwrap_err();
        assert!(reached.starts_with(&format!("reach the probe at {closed}: ")), "{reached}");
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let deaf = Resolver { servers: vec![silent.local_addr().unwrap()], domain: String::new() };
        assert_eq!(deaf.lookup("kubernetes.default"), Err(format!("no answer from the name server {} within 2 s", deaf.servers[0])));
    }

    #[test]
    fn a_probe_that_reaches_all_others_says_so() {
        static DONE: AtomicBool = AtomicBool::new(false);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || serve(&listener, &DONE));
        let two = resolver(&[[127, 0, 0, 1], [127, 0, 0, 2]]);
        // The second address is this machine too, but nothing listens there.
        assert!(prove(&two, "kubernetes.default", "peers.x", 2, port).is_err());
        let one = resolver(&[[127, 0, 0, 1]]);
        assert_eq!(prove(&one, "kubernetes.default", "peers.x", 1, port), Ok(()));
        let status = || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text.lines().next().unwrap().to_owned()
        };
        assert_eq!(status(), "HTTP/1.1 503 Not Yet");
        DONE.store(true, Ordering::SeqCst);
        assert_eq!(status(), "HTTP/1.1 200 OK");
    }
}
