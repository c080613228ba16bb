//! Ports and connections as this machine sees them.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::system::{Error, Result};

/// One attempt on each address of the host, within the timeout; refused, unreachable and too late are all `false`.
pub(super) fn connects(host: &str, port: u16, timeout: Duration) -> Result<bool> {
    Ok(connection(host, port, timeout).is_some())
}

/// One attempt to connect, then reading until the pattern shows, the other end closes or the timeout passes.
pub(super) fn port_says(host: &str, port: u16, pattern: &str, timeout: Duration) -> Result<bool> {
    // As `re.MULTILINE`: `^` and `$` match at every line.
    let pattern = fancy_regex::RegexBuilder::new(pattern)
        .multi_line(true)
        .build()
        .map_err(|error| Error::failed(format!("search_regex {pattern:?}: {error}")))?;
    let until = Instant::now() + timeout;
    let Some(mut stream) = connection(host, port, timeout) else { return Ok(false) };
    let (mut said, mut buffer) = (Vec::new(), [0u8; 1024]);
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        if stream.set_read_timeout(Some(left)).is_err() {
            break;
        }
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => said.extend(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        }
        if pattern.is_match(&*String::from_utf8_lossy(&said)).unwrap_or(false) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn connection(host: &str, port: u16, timeout: Duration) -> Option<TcpStream> {
    let timeout = timeout.max(Duration::from_millis(1));
    (host, port).to_socket_addrs().ok()?.find_map(|address| TcpStream::connect_timeout(&address, timeout).ok())
}

/// Connections to a local port in any state but listening: `address state`, the state by its name in Ansible
/// (`ESTABLISHED`, `TIME_WAIT`, …). Every local address counts for `0.0.0.0` and `::`.
pub(super) fn connections(host: &str, port: u16) -> Result<Vec<String>> {
    let wanted: Vec<IpAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|error| Error::io(format_args!("resolve {host}"), &error))?
        .map(|address| address.ip())
        .collect();
    let any = wanted.iter().any(IpAddr::is_unspecified);
    let mut found = Vec::new();
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let table = std::fs::read_to_string(path).unwrap_or_default();
        for (local, remote, state) in table.lines().skip(1).filter_map(line) {
            if local.port() == port && (any || wanted.contains(&local.ip())) && state != "LISTEN" {
                found.push(format!("{} {state}", remote.ip()));
            }
        }
    }
    Ok(found)
}

/// A line of /proc/net/tcp: its number, local and remote address, state.
fn line(line: &str) -> Option<(SocketAddr, SocketAddr, &'static str)> {
    let mut words = line.split_whitespace().skip(1);
    let (local, remote) = (socket(words.next()?)?, socket(words.next()?)?);
    Some((local, remote, state(words.next()?)))
}

/// linux/include/net/tcp_states.h, with the names `wait_for` has.
fn state(hex: &str) -> &'static str {
    match hex {
        "01" => "ESTABLISHED",
        "02" => "SYN_SENT",
        "03" => "SYN_RECV",
        "04" => "FIN_WAIT1",
        "05" => "FIN_WAIT2",
        "06" => "TIME_WAIT",
        "07" => "CLOSE",
        "08" => "CLOSE_WAIT",
        "09" => "LAST_ACK",
        "0A" => "LISTEN",
        "0B" => "CLOSING",
        _ => "OTHER",
    }
}

/// `0100007F:1F90`: words in the machine's byte order, then the port. Mapped IPv4 addresses are shown as IPv4.
fn socket(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::to_ne_bytes);
    let ip = if address.len() == 8 {
        IpAddr::V4(Ipv4Addr::from(word(address)?))
    } else {
        let mut bytes = [0u8; 16];
        for (index, chunk) in bytes.chunks_mut(4).enumerate() {
            chunk.copy_from_slice(&word(address.get(index * 8..index * 8 + 8)?)?);
        }
        let ip = Ipv6Addr::from(bytes);
        ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    #[test]
    #[cfg(target_endian = "little")]
    fn kernel_tables_are_read() {
        let (local, remote, state) = line("   0: 0100007F:1F90 0200000A:C350 06 00000000:00000000").expect("a line");
        assert_eq!((local.to_string(), remote.to_string(), state), ("127.0.0.1:8080".to_owned(), "10.0.0.2:50000".to_owned(), "TIME_WAIT"));
        let (local, ..) = line("  0: 0000000000000000FFFF00000100007F:0016 00000000000000000000000000000000:0000 01").expect("a line");
        assert_eq!(local.to_string(), "127.0.0.1:22");
    }

    #[test]
    fn a_port_is_open_says_something_and_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("bound").port();
        let second = Duration::from_secs(1);
        let thread = std::thread::spawn(move || {
            for _ in 0..3 {
                let (mut stream, _) = listener.accept().expect("accepts");
                stream.write_all(b"SSH-2.0-test\r\n").expect("writes");
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        assert!(connects("127.0.0.1", port, second).expect("tries"));
        assert!(port_says("127.0.0.1", port, "^SSH-2", second).expect("tries"));
        assert!(!port_says("127.0.0.1", port, "HTTP", Duration::from_millis(300)).expect("tries"));
        thread.join().expect("ends");
        assert!(!connects("127.0.0.1", port, second).expect("tries"));
    }

    #[test]
    fn connections_to_a_port_are_listed() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("bound").port();
        assert!(connections("127.0.0.1", port).expect("reads").is_empty());
        let _stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
        assert_eq!(connections("0.0.0.0", port).expect("reads"), ["127.0.0.1 ESTABLISHED"]);
    }
}
