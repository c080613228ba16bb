//! One SSH connection: made, checked, kept alive; sessions and tunnels over it.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use russh::client::{self, DisconnectReason, Handle, Msg};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, ChannelOpenFailure, Preferred, cipher};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Sleep, timeout};

use super::authentication::{Keyring, log_in};
use super::error::{Error, ErrorKind, Result};
use super::known_hosts::{KnownKeys, Trust};
use super::target::{Route, Target};

/// A server that says nothing for so long is lost. A cut of half of it is survived: TCP repeats what was dropped.
pub const SILENCE: Duration = Duration::from_secs(20);
const KEEPALIVE: Duration = Duration::from_secs(5);
/// From the open socket to the checked host key: three round trips and some arithmetic, on a machine under load.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Commands at once on one connection: sshd allows `MaxSessions` 10 and frees them late; with 6 some were refused.
const COMMANDS_AT_ONCE: usize = 4;

/// A connection that stands. Clones share it; it ends when the last clone and the last process on it are gone.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    handle: Handle<Client>,
    shared: Arc<Shared>,
    attempt: String,
    commands: Arc<Semaphore>,
    tunnels: OnceCell<()>,
    /// The connection that this one goes through.
    _jump: Option<Connection>,
}

/// What the task that reads the connection tells us.
#[derive(Default)]
struct Shared {
    end: Mutex<Option<Error>>,
    trust: Mutex<Option<Trust>>,
    banner: Mutex<String>,
}

/// Called by russh on what the server sends outside of channels.
pub(super) struct Client {
    node: String,
    host: String,
    known: KnownKeys,
    shared: Arc<Shared>,
}

impl client::Handler for Client {
    type Error = Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool> {
        let trust = self.known.check(&self.node, &self.host, shown)?;
        *lock(&self.shared.trust) = Some(trust);
        Ok(true)
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut client::Session) -> Result<()> {
        lock(&self.shared.banner).push_str(banner);
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Error>) -> Result<()> {
        let error = match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                Error::new(ErrorKind::Lost, format!("the server disconnected: {}", info.message.trim()))
            }
            DisconnectReason::Error(error) => Error { kind: ErrorKind::Lost, ..error },
        };
        *lock(&self.shared.end) = Some(error.clone());
        Err(error)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What carries an SSH connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Connection {
    /// Connects, checks the host's key and logs in, once; `jump` stands already if the route has one.
    pub(super) async fn open(target: &Target, jump: Option<Connection>, keyring: &Keyring) -> Result<Self> {
        Self::open_once(target, jump, keyring).await.map_err(|error| error.while_doing(target.attempt()))
    }

    async fn open_once(target: &Target, jump: Option<Connection>, keyring: &Keyring) -> Result<Self> {
        let name = target.host_key_alias.as_deref().unwrap_or(&target.host);
        let known = KnownKeys::read(name, if target.host_key_alias.is_some() { 22 } else { target.port }, &target.host_keys)?;
        let shared = Arc::new(Shared::default());
        let config = Arc::new(settings(&known));
        let client = Client { node: target.name.clone(), host: name.to_owned(), known, shared: Arc::clone(&shared) };
        let stream = stream_to(target, jump.as_ref()).await?;
        let handshake = client::connect_stream(config, Watched { stream, blocked: None }, client);
        let mut handle = timeout(HANDSHAKE.max(target.timeout), handshake)
            .await
            .map_err(|_| Error::new(ErrorKind::Unreachable, "the port is open, but no SSH server answers"))?
            .map_err(explain_drop)?;
        let trusted = *lock(&shared.trust) != Some(Trust::None);
        log_in(&mut handle, target, keyring, trusted).await.map_err(|error| booting(error, &lock(&shared.banner)))?;
        let inner = Inner {
            handle,
            shared,
            attempt: target.attempt(),
            commands: Arc::new(Semaphore::new(COMMANDS_AT_ONCE)),
            tunnels: OnceCell::new(),
            _jump: jump,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether the host's key was written to known_hosts just now.
    pub fn is_new_host(&self) -> bool {
        *lock(&self.inner.shared.trust) == Some(Trust::New)
    }

    /// Whether the host's key is not the known one, and was let pass: the caller warns.
    pub fn has_changed_key(&self) -> bool {
        *lock(&self.inner.shared.trust) == Some(Trust::None)
    }

    pub fn is_closed(&self) -> bool {
        self.inner.handle.is_closed()
    }

    /// Why the connection ended, once it has.
    pub fn end(&self) -> Option<Error> {
        let error = lock(&self.inner.shared.end)
            .clone()
            .or_else(|| self.is_closed().then(|| Error::new(ErrorKind::Lost, "the connection is closed")))?;
        Some(error.while_doing(self.doing()))
    }

    fn doing(&self) -> &str {
        self.inner.attempt.trim_start_matches("connect to ")
    }

    pub(super) fn commands(&self) -> &Arc<Semaphore> {
        &self.inner.commands
    }

    /// A session; the server's refusal for want of free ones is waited out for 5 s.
    pub(super) async fn session(&self) -> Result<Channel<Msg>> {
        let mut wait = Duration::from_millis(20);
        loop {
            match self.inner.handle.channel_open_session().await {
                Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed | ChannelOpenFailure::ResourceShortage))
                    if wait < Duration::from_secs(3) =>
                {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(russh::Error::ChannelOpenFailure(reason)) => {
                    return Err(Error::new(
                        ErrorKind::Denied,
                        format!("{}: the server refuses another session ({reason:?})", self.doing()),
                    )
                    .hint("raise MaxSessions in the host's sshd_config, or end sessions of other runs"));
                }
                Err(error) => return Err(self.end().unwrap_or_else(|| Error::from(error).while_doing(self.doing()))),
                Ok(channel) => return Ok(channel),
            }
        }
    }

    /// A stream to a port as the host reaches it.
    pub async fn tunnel(&self, host: &str, port: u16) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        // sshd leaves Nagle's algorithm on until a session has run on the connection: 18 times slower (measured with 9.2).
        // A host that gives no shell is merely slow.
        self.inner.tunnels.get_or_init(|| async { drop(timeout(Duration::from_secs(5), self.run("true".into())).await) }).await;
        let channel =
            self.inner.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0).await.map_err(|error| match error {
                russh::Error::ChannelOpenFailure(ChannelOpenFailure::ConnectFailed) => {
                    Error::new(ErrorKind::Refused, format!("{} cannot connect to {host}:{port}", self.doing()))
                }
                russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => {
                    Error::new(ErrorKind::Denied, format!("{} forwards no connections", self.doing()))
                        .hint("set AllowTcpForwarding yes in its sshd_config")
                }
                error => self.end().unwrap_or_else(|| Error::from(error)),
            })?;
        Ok(channel.into_stream())
    }

    /// Says goodbye; what still runs on the connection is cut off.
    pub async fn close(&self) {
        let _ = self.inner.handle.disconnect(russh::Disconnect::ByApplication, "", "en").await;
    }
}

fn settings(known: &KnownKeys) -> client::Config {
    let mut preferred = Preferred::default();
    // Known types first, as ssh(1) does: a host that is known by its RSA key shows that one.
    let mut keys = known.algorithms();
    let others: Vec<_> = preferred.key.iter().filter(|algorithm| !keys.contains(algorithm)).cloned().collect();
    keys.extend(others);
    if known.has_authority() {
        preferred.host_key_certificates = Cow::Owned(keys.clone());
    }
    preferred.key = Cow::Owned(keys);
    // Fastest first where the processor has AES, and chacha20 for those that have not; the rest is for old servers.
    preferred.cipher = Cow::Borrowed(&[
        cipher::AES_128_GCM,
        cipher::AES_256_GCM,
        cipher::CHACHA20_POLY1305,
        cipher::AES_256_CTR,
        cipher::AES_192_CTR,
        cipher::AES_128_CTR,
    ]);
    client::Config {
        nodelay: true,
        keepalive_interval: Some(KEEPALIVE),
        // At 5, 10 and 15 s a question, at 20 s the end.
        keepalive_max: (SILENCE.as_secs() / KEEPALIVE.as_secs()) as usize - 1,
        // russh's limit on inactivity would also end a login while the person looks for the passphrase: see `Watched`.
        inactivity_timeout: None,
        preferred,
        ..client::Config::default()
    }
}

async fn stream_to(target: &Target, jump: Option<&Connection>) -> Result<Box<dyn Stream>> {
    match (&target.route, jump) {
        (_, Some(jump)) => Ok(Box::new(jump.tunnel(&target.host, target.port).await?)),
        (Route::Command(command), None) => Ok(Box::new(command_stream(command)?)),
        (Route::Direct | Route::Jump(_), None) => {
            let stream = timeout(target.timeout, tcp(&target.host, target.port)).await;
            Ok(Box::new(stream.map_err(|_| Error::new(ErrorKind::Unreachable, format!("no answer for {} s", target.timeout.as_secs())))??))
        }
    }
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|_| Error::new(ErrorKind::Resolve, format!("the name `{host}` has no address")).hint("set `ansible_host` to an address"))?
        .collect();
    let stream = TcpStream::connect(&addresses[..]).await.map_err(|error| Error::io(&error))?;
    // Without this, 200 commands took 9.0 s instead of 0.4.
    stream.set_nodelay(true).map_err(|error| Error::io(&error))?;
    Ok(stream)
}

/// Ends a write that the network does not take: while russh waits for one it sends no keepalives.
struct Watched {
    stream: Box<dyn Stream>,
    blocked: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        if result.is_ready() {
            self.blocked = None;
            return result;
        }
        let limit = self.blocked.get_or_insert_with(|| Box::pin(tokio::time::sleep(SILENCE)));
        ready!(limit.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer for {} s", SILENCE.as_secs()))))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Standard input and output of a `ProxyCommand`; dropping it ends the command.
fn command_stream(command: &str) -> Result<impl Stream + use<>> {
    let mut child = tokio::process::Command::new("/bin/sh")
        .args(["-c", &format!("exec {command}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Error::io(&error).while_doing(format!("run the ProxyCommand `{command}`")))?;
    let (output, input) = (child.stdout.take().expect("piped"), child.stdin.take().expect("piped"));
    Ok(WithChild { stream: tokio::io::join(output, input), _child: child })
}

struct WithChild<T> {
    stream: T,
    _child: tokio::process::Child,
}

impl<T: AsyncRead + Unpin> AsyncRead for WithChild<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WithChild<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn explain_drop(error: Error) -> Error {
    if error.kind != ErrorKind::Dropped {
        return error;
    }
    Error::new(ErrorKind::Dropped, format!("{} before the login", error.message))
        .hint("a host that boots, or sshd's MaxStartups with many connections at once (lower `--forks`)")
}

/// While a host boots, pam_nologin refuses everyone but root, keys right or wrong, and says so in a banner.
fn booting(error: Error, banner: &str) -> Error {
    if banner.contains("booting up") || banner.contains("pam_nologin") {
        return Error::new(ErrorKind::Booting, format!("the host is booting and lets nobody in yet: {}", banner.trim()));
    }
    error
}
