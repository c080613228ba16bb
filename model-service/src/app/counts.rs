//! Where the experiment's counts are read: the metrics of every process behind each name that the app was told.
//!
//! A name may stand for many pods (a headless Service has one address for each), so every address of it is asked, once, however many
//! sources lead there. Addresses of one family only: of a server that has both, the counts would be taken twice.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use super::experiment::Counts;
use super::{Variant, upstream};

/// Bytes of one answer.
const LARGEST: usize = 4 * 1024 * 1024;

type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Finds the addresses of a name.
#[derive(Clone)]
pub struct Resolver(Arc<dyn Fn(String, u16) -> Addresses + Send + Sync>);

impl Resolver {
    pub fn new<F>(find: impl Fn(String, u16) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        Self(Arc::new(move |host, port| Box::pin(find(host, port))))
    }
}

/// This machine's: DNS and its hosts file.
impl Default for Resolver {
    fn default() -> Self {
        Self::new(async |host: String, port| Ok(tokio::net::lookup_host((host, port)).await?.collect()))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// What was heard.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub v1: Counts,
    pub v2: Counts,
    /// Addresses; a name without one counts as one.
    pub asked: usize,
    pub answered: usize,
    /// Sources of which an address, or all of them, did not answer.
    pub silent: Vec<String>,
}

/// Asks every address of every source, all at once; each may take `patience`, and finding the addresses as long.
pub(super) async fn ask(client: &upstream::Client, resolver: &Resolver, sources: &[Uri], patience: Duration) -> Heard {
    let mut finding = JoinSet::new();
    for source in sources.iter().cloned() {
        let resolver = resolver.clone();
        finding.spawn(async move {
            let found =
                timeout(patience, addresses(&resolver, &source)).await.unwrap_or_else(|_| Err("its name is not found in time".into()));
            (source, found)
        });
    }
    let mut heard = Heard::default();
    let mut targets = BTreeMap::new();
    for (source, found) in finding.join_all().await {
        match found {
            Ok(found) => targets.extend(found.into_iter().map(|address| ((address, path(&source).to_owned()), source.clone()))),
            Err(cause) => {
                heard.asked += 1;
                heard.without(&source, None, &cause);
            }
        }
    }
    heard.asked += targets.len();
    let mut asking = JoinSet::new();
    for ((address, _), source) in targets {
        let client = client.clone();
        asking.spawn(async move {
            let text = timeout(patience, fetched(&client, &source, address)).await.unwrap_or_else(|_| Err("no answer in time".into()));
            (source, address, text)
        });
    }
    for (source, address, text) in asking.join_all().await {
        match text {
            Ok(text) => heard.add(&text),
            Err(cause) => heard.without(&source, Some(address), &cause),
        }
    }
    heard.silent.sort();
    heard.silent.dedup();
    heard
}

impl Heard {
    fn add(&mut self, text: &str) {
        self.answered += 1;
        for (variant, sum) in [(Variant::V1, &mut self.v1), (Variant::V2, &mut self.v2)] {
            let counts = counts(text, variant);
            (sum.yes, sum.no) = (sum.yes + counts.yes, sum.no + counts.no);
        }
    }

    /// Addresses stand in the log; the page is everybody's.
    fn without(&mut self, source: &Uri, address: Option<SocketAddr>, cause: &str) {
        warn!(%source, address = address.map(tracing::field::display), cause, "no counts of the experiment");
        self.silent.push(source.to_string());
    }
}

fn path(source: &Uri) -> &str {
    source.path_and_query().map_or("/", |path| path.as_str())
}

async fn addresses(resolver: &Resolver, source: &Uri) -> Result<Vec<SocketAddr>, String> {
    let host = source.host().filter(|_| source.scheme_str() == Some("http")).ok_or("write it as http://HOST:PORT/metrics")?;
    let (host, port) = (host.trim_matches(['[', ']']), source.port_u16().unwrap_or(80));
    if let Ok(literal) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(literal, port)]);
    }
    let mut found = (resolver.0)(host.to_owned(), port).await.map_err(|error| error.to_string())?;
    if found.iter().any(SocketAddr::is_ipv4) {
        found.retain(SocketAddr::is_ipv4);
    }
    if found.is_empty() { Err("its name has no address".into()) } else { Ok(found) }
}

async fn fetched(client: &upstream::Client, source: &Uri, address: SocketAddr) -> Result<String, String> {
    let request = Request::get(format!("http://{address}{}", path(source)));
    let request = request.header(header::HOST, source.authority().map_or("", |name| name.as_str()));
    let request = request.body(Body::empty()).map_err(|error| error.to_string())?;
    let answer = client.request(request).await.map_err(|error| upstream::causes(&error))?;
    if !answer.status().is_success() {
        return Err(format!("it answered {}", answer.status()));
    }
    let body = Limited::new(answer.into_body(), LARGEST).collect().await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

/// `feedback_yes_total{…version="v1"…} 12`, summed, of a Prometheus text.
fn counts(text: &str, version: Variant) -> Counts {
    let label = format!("version=\"{}\"", version.name());
    let sum = |name: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once('}'));
        lines
            .filter(|(labels, _)| labels.split(',').any(|part| part.trim() == label))
            .filter_map(|(_, value)| value.split_whitespace().next()?.parse::<f64>().ok())
            .sum::<f64>() as u64
    };
    Counts { yes: sum("feedback_yes_total"), no: sum("feedback_no_total") }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers every connection on this address of loopback with so many votes for v1.
    async fn app(address: &str, yes: u64) -> u16 {
        let listener = TcpListener::bind(address).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let asked = String::from_utf8(head).unwrap();
                let text = format!("feedback_yes_total{{version=\"v1\"}} {yes}\n");
                // A gateway that serves many hosts must be told which.
                let status = if asked.contains("host: apps:") { "200 OK" } else { "404 Not Found" };
                let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}", text.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        port
    }

    async fn asked(found: Vec<SocketAddr>, sources: &[String]) -> Heard {
        let resolver = Resolver::new(move |host, _| {
            let found = if host == "apps" { Ok(found.clone()) } else { Err(io::Error::other("no such name")) };
            async { found }
        });
        let sources: Vec<Uri> = sources.iter().map(|source| source.parse().unwrap()).collect();
        ask(&upstream::client(), &resolver, &sources, Duration::from_secs(20)).await
    }

    #[tokio::test]
    async fn every_address_of_a_name_is_asked_once() {
        let port = app("127.0.0.1:0", 3).await;
        assert_eq!(app(&format!("127.0.0.2:{port}"), 4).await, port);
        let [one, two, nobody] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(|host| SocketAddr::new(host.parse().unwrap(), port));
        let source = format!("http://apps:{port}/metrics");
        let votes = |yes| Counts { yes, no: 0 };

        let heard = asked(vec![one, two, one], &[source.clone(), source.clone()]).await;
        assert_eq!(heard, Heard { v1: votes(7), asked: 2, answered: 2, ..Heard::default() });

        // Of a server that has both, one family.
        let six = SocketAddr::new("::1".parse().unwrap(), port);
        assert_eq!(
            asked(vec![six, one], std::slice::from_ref(&source)).await,
            Heard { v1: votes(3), asked: 1, answered: 1, ..Heard::default() }
        );

        let other = "http://nowhere/metrics".to_owned();
        let heard = asked(vec![one, nobody, two], &[other.clone(), source.clone()]).await;
        assert_eq!(heard, Heard { v1: votes(7), asked: 4, answered: 2, silent: vec![source, other], ..Heard::default() });
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_silent_and_so_is_what_is_not_spoken() {
        for source in ["http://apps/metrics", "https://127.0.0.1/metrics"] {
            let source = source.to_owned();
            assert_eq!(
                asked(Vec::new(), std::slice::from_ref(&source)).await,
                Heard { asked: 1, silent: vec![source], ..Heard::default() }
            );
        }
    }

    #[test]
    fn counts_are_summed_over_what_carries_the_version() {
        let text = "# TYPE feedback_yes counter\nfeedback_yes_total{version=\"v1\"} 3\nfeedback_yes_total{pod=\"b\",version=\"v1\"} 4 1700\n\
                    feedback_no_total{version=\"v1\"} 2\nfeedback_yes_total{version=\"v2\"} 9\nfeedback_yes_total{other_version=\"v1\"} 5\n";
        assert_eq!(counts(text, Variant::V1), Counts { yes: 7, no: 2 });
        assert_eq!(counts(text, Variant::V2), Counts { yes: 9, no: 0 });
    }
}
