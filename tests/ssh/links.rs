//! Bad links, jump hosts, and hosts that are not there.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use provision::ssh::{Command, Connector, ErrorKind, Link, Patience, Request, Target};

use super::{connect, pinned, request, surroundings, target};
use crate::support::proxy::Proxy;
use crate::support::sshd::{Options, Sshd};

#[tokio::test]
async fn a_closed_port_is_refused_and_may_pass() {
    let server = Sshd::start();
    let mut target = target(&server);
    target.port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let error = connect(&target).await.map(drop).expect_err("closed");
    assert_eq!((error.kind, error.may_pass()), (ErrorKind::Refused, true));
    assert!(error.message.ends_with("connection refused"), "{error}");
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("`ansible_port`")), "{error:?}");
}

#[tokio::test]
async fn a_name_without_an_address_is_told_at_once() {
    let server = Sshd::start();
    let mut target = target(&server);
    target.host = "no-such-host.invalid".to_owned();
    let error = connect(&target).await.map(drop).expect_err("no address");
    assert_eq!((error.kind, error.may_pass()), (ErrorKind::Resolve, false));
}

/// A port where something accepts and says nothing.
#[tokio::test]
async fn a_server_that_hangs_up_first_is_told_from_one_that_refuses_us() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || drop(listener.accept()));
    let server = Sshd::start();
    let mut target = target(&server);
    target.port = port;
    let error = connect(&target).await.map(drop).expect_err("closed");
    assert_eq!((error.kind, error.may_pass()), (ErrorKind::Dropped, true), "{error}");
}

/// As when a machine boots: the port opens a moment later.
#[tokio::test]
async fn a_host_that_comes_up_in_time_is_waited_for() {
    let server = Sshd::start();
    let mut target = target(&server);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    target.port = listener.local_addr().expect("bound").port();
    drop(listener);
    let (port, upstream) = (target.port, server.address());
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(800)).await;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("still free");
        let (mut client, _) = listener.accept().await.expect("a client");
        let mut server = tokio::net::TcpStream::connect(upstream).await.expect("the server runs");
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    Connector::default().connect(&target, Patience::up_to(Duration::from_secs(10))).await.expect("it came up");
}

/// More connections at once than sshd's MaxStartups takes are dropped by it, and tried again by us.
#[tokio::test]
async fn dropped_startups_are_tried_again() {
    let server = Sshd::with(&Options { settings: &["MaxStartups 2:100:2"], ..Default::default() });
    let target = target(&server);
    let connector = Connector::default();
    let attempts: Vec<_> = (0..12)
        .map(|_| {
            let (connector, target) = (connector.clone(), target.clone());
            tokio::spawn(async move { connector.connect(&target, Patience::up_to(Duration::from_secs(20))).await.map(drop) })
        })
        .collect();
    for attempt in attempts {
        attempt.await.expect("no panic").expect("it got in");
    }
    assert!(server.log().contains("MaxStartups"), "nothing was dropped: {}", server.log());
}

#[tokio::test]
async fn a_link_cut_for_ten_seconds_is_survived() {
    let server = Sshd::start();
    let proxy = Proxy::before(server.address());
    let mut target = target(&server);
    target.port = proxy.port();
    let connection = connect(&target).await.expect("the server runs");
    proxy.cut_for(Duration::from_secs(10));
    let start = Instant::now();
    let output = connection.run("echo alive".into()).await.expect("it survives");
    assert_eq!(output.stdout, b"alive\n");
    assert!(start.elapsed() >= Duration::from_secs(9), "the cut was not felt");
}

#[tokio::test]
async fn twenty_seconds_of_silence_end_a_connection() {
    let server = Sshd::start();
    let proxy = Proxy::before(server.address());
    let mut target = target(&server);
    target.port = proxy.port();
    let connection = connect(&target).await.expect("the server runs");
    let running = connection.start(Some("sleep 100"), None).await.expect("it starts");
    proxy.pause();
    let start = Instant::now();
    let error = running.finish(b"").await.expect_err("the link is dead");
    assert_eq!(error.kind, ErrorKind::Lost);
    assert!(error.message.ends_with("no answer for 20 s"), "{error}");
    assert!((15..26).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

/// A write that the network does not take must not hide the silence.
#[tokio::test]
async fn a_dead_link_ends_a_connection_that_is_sending() {
    let server = Sshd::start();
    let proxy = Proxy::before(server.address());
    let mut target = target(&server);
    target.port = proxy.port();
    let connection = connect(&target).await.expect("the server runs");
    let running = connection.start(Some("cat >/dev/null"), None).await.expect("it starts");
    proxy.pause();
    let start = Instant::now();
    let error = running.finish(&vec![0; 64 << 20]).await.expect_err("the link is dead");
    assert_eq!(error.kind, ErrorKind::Lost);
    assert!((15..30).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_severed_connection_is_told_at_once() {
    let server = Sshd::start();
    let proxy = Proxy::before(server.address());
    let mut target = target(&server);
    target.port = proxy.port();
    let connection = connect(&target).await.expect("the server runs");
    let running = connection.start(Some("sleep 100"), None).await.expect("it starts");
    proxy.sever();
    assert_eq!(running.finish(b"").await.expect_err("severed").kind, ErrorKind::Lost);
    assert!(connection.end().is_some());
}

fn through_jump(server: &Sshd, jump: &Sshd, jump_port: u16) -> Target {
    let config = jump.folder().join("config");
    let known_hosts = jump.folder().join("known");
    std::fs::write(&known_hosts, format!("[127.0.0.1]:{jump_port} {}\n", jump.host_key("ed25519"))).expect("write");
    let text = format!(
        "Host gate\n HostName 127.0.0.1\n Port {jump_port}\n IdentityFile {}\n UserKnownHostsFile {}\n",
        jump.user_key().display(),
        known_hosts.display()
    );
    std::fs::write(&config, text).expect("write");
    let arguments = vec![format!("-F{}", config.display()), "-J".to_owned(), "gate".to_owned()];
    Target::resolve(&Request { arguments, ..request(server) }, &surroundings(server)).expect("valid")
}

#[tokio::test]
async fn hosts_behind_a_jump_host_share_its_connection() {
    let (server, jump) = (Sshd::start(), Sshd::start());
    let proxy = Proxy::before(jump.address());
    let target = through_jump(&server, &jump, proxy.port());
    let connector = Connector::default();
    let (one, two) = tokio::join!(connector.connect(&target, Patience::NONE), connector.connect(&target, Patience::NONE));
    for connection in [one, two] {
        let output = connection.expect("through the jump").run("echo there".into()).await.expect("it runs");
        assert_eq!(output.stdout, b"there\n");
    }
    assert_eq!(proxy.traffic().connections, 1);
}

/// The trap of Nagle's algorithm on the jump host: 40 ms a command (libraries.md §1). Needs root: an empty home makes
/// the login shell quick enough to see them.
#[tokio::test]
async fn commands_through_a_jump_host_do_not_wait_for_nagle() {
    let options = Options { mounts: Some("mount -t tmpfs tmpfs /root"), ..Default::default() };
    let (server, jump) = (Sshd::with(&options), Sshd::with(&options));
    let target = through_jump(&server, &jump, jump.port());
    let connection = connect(&target).await.expect("through the jump");
    let direct = connect(&self::target(&server)).await.expect("direct");
    // The quickest of many: a machine under load slows down single ones.
    let quickest = async |connection: &provision::ssh::Connection| {
        let mut quickest = Duration::MAX;
        for _ in 0..20 {
            let start = Instant::now();
            connection.run("true".into()).await.expect("it runs");
            quickest = quickest.min(start.elapsed());
        }
        quickest
    };
    let (there, here) = (quickest(&connection).await, quickest(&direct).await);
    assert!(there < here + Duration::from_millis(30), "{there:?} through the jump, {here:?} without");
}

#[tokio::test]
async fn a_jump_host_that_forwards_nothing_is_named() {
    let server = Sshd::start();
    let jump = Sshd::with(&Options { settings: &["AllowTcpForwarding no"], ..Default::default() });
    let error = connect(&through_jump(&server, &jump, jump.port())).await.map(drop).expect_err("forbidden");
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(error.message.contains("gate"), "{error}");
}

#[tokio::test]
async fn a_proxy_command_carries_the_connection() {
    let server = Sshd::start();
    let proxy = "-oProxyCommand=bash -c 'exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3; kill $!'".to_owned();
    let request = Request { arguments: vec!["-Fnone".to_owned(), proxy], ..request(&server) };
    let target = Target::resolve(&request, &surroundings(&server)).expect("valid");
    let output = connect(&target).await.expect("through the command").run("echo there".into()).await.expect("it runs");
    assert_eq!(output.stdout, b"there\n");
}

/// What is not ours goes through the `ssh` program, with the same keys and the same pinned host key.
#[tokio::test]
async fn an_exotic_option_goes_through_the_ssh_program() {
    let server = Sshd::start();
    let request = Request { arguments: vec!["-Fnone".to_owned(), "-oBindAddress=127.0.0.1".to_owned()], ..request(&server) };
    let mut target = Target::resolve(&request, &surroundings(&server)).expect("valid");
    assert_eq!(target.unsupported, ["bindaddress in -o"]);
    let words: Vec<String> = ["printf", "%s", "two words"].map(String::from).into();
    let link = Link::connect(&Connector::default(), &target, Patience::NONE).await.expect("ssh is there");
    let output = link.start(&words).await.expect("it starts").finish(b"").await.expect("it runs");
    assert_eq!(output.stdout, b"two words");
    target.host_keys = pinned(&Sshd::start());
    let link = Link::connect(&Connector::default(), &target, Patience::NONE).await.expect("ssh is there");
    let output = link.start(&words).await.expect("it starts").finish(b"").await.expect("it ends");
    assert_eq!(output.status, provision::ssh::Status::Exited(255));
}

#[tokio::test]
async fn large_answers_through_a_slow_link_arrive_whole() {
    let server = Sshd::start();
    let proxy = Proxy::before(server.address());
    proxy.set_round_trip(Duration::from_millis(40));
    let mut target = target(&server);
    target.port = proxy.port();
    let output = connect(&target).await.expect("the server runs").run(Command::line("head -c 10000000 /dev/zero")).await.expect("it runs");
    assert_eq!(output.stdout.len(), 10_000_000);
}
