//! Does a host answer over SSH? A TCP connection and the first bytes of sshd, each within a limit.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What a probe saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An SSH banner.
    Ssh,
    /// The address answers, sshd does not: refused, silent or not SSH.
    NoSsh(String),
    /// The address does not answer.
    Nothing(String),
}

/// Probe one address; takes `limit` at most.
pub fn ssh(address: SocketAddr, limit: Duration) -> Answer {
    let end = Instant::now() + limit;
    let mut stream = match TcpStream::connect_timeout(&address, limit) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            return Answer::NoSsh(format!("port {} refuses connections", address.port()));
        }
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            return Answer::Nothing(format!("no answer within {:.1} s", limit.as_secs_f32()));
        }
        Err(error) => return Answer::Nothing(error.to_string()),
    };
    let mut banner = [0u8; 4];
    let mut read = 0;
    while read < banner.len() {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let got = stream.set_read_timeout(Some(left)).and_then(|()| stream.read(&mut banner[read..]));
        match got {
            Ok(0) => return Answer::NoSsh("the connection was closed".to_owned()),
            Ok(count) => read += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Answer::NoSsh(format!("sshd is silent for {:.1} s", limit.as_secs_f32()));
            }
            Err(error) => return Answer::NoSsh(error.to_string()),
        }
    }
    if &banner != b"SSH-" {
        return Answer::NoSsh(format!("port {} is not SSH", address.port()));
    }
    // So that sshd logs a closed connection, not an error.
    _ = stream.write_all(b"SSH-2.0-provision_probe\r\n");
    Answer::Ssh
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_silent_server_is_given_up_within_the_limit() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let begun = Instant::now();
        let answer = ssh(listener.local_addr().unwrap(), Duration::from_millis(200));
        assert_eq!(answer, Answer::NoSsh("sshd is silent for 0.2 s".into()));
        assert!(begun.elapsed() < Duration::from_millis(600));
    }

    #[test]
    fn a_closed_port_is_no_ssh() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(matches!(ssh(address, Duration::from_millis(200)), Answer::NoSsh(_)));
    }
}
