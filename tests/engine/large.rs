//! A large file on a slow link keeps nobody waiting: neither another host's events nor the end of the run.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::lab::Lab;
use super::survival::{Watch, finish, signal, until_seen};
use crate::support::proxy::Proxy;

const LARGE: &str = r"
- hosts: nodes
  strategy: free
  gather_facts: false
  tasks:
    - {name: large, copy: {src: large, dest: /root/large}, when: inventory_hostname == 'a'}
    - {name: tick, shell: 'sleep 0.2; date +%s%N', loop: '{{ range(100) }}', when: inventory_hostname == 'b'}
";

#[test]
fn a_large_file_on_a_slow_link_holds_up_neither_events_nor_an_interrupt() {
    let Some(mut lab) = Lab::new(&["a", "b"]) else { return };
    let proxy = Proxy::before(SocketAddr::from((lab.nodes.addresses["a"], 22)));
    lab.through("a", proxy.port());
    // The agent goes over beforehand.
    lab.write("ping.yaml", "- {hosts: nodes, gather_facts: false, tasks: [{ping: }]}\n");
    lab.play(&["ping.yaml"]).expect(0);
    // Nothing that could be made smaller, for 12 s.
    let mut random = fs::File::open("/dev/urandom").expect("it is there").take(100 << 20);
    std::io::copy(&mut random, &mut fs::File::create(lab.path("large")).expect("made")).expect("written");
    lab.write("large.yaml", LARGE);
    proxy.set_rate(8 << 20);
    until_seen(|| {
        proxy.reset();

        let mut child = lab.start(&["large.yaml"]);
        let mut late: Vec<Duration> = Vec::new();
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let event: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
            let is_there = event["event"] == "result" && event["task"] == "large" && event["host"] == "a";
            assert!(!is_there, "the file was to take longer: {event}");
            let said = event["result"]["stdout"].as_str().and_then(|text| text.trim().parse::<u64>().ok());
            let Some(moment) = said.filter(|_| event["task"] == "tick").map(|nanos| UNIX_EPOCH + Duration::from_nanos(nanos)) else {
                continue;
            };
            late.push(SystemTime::now().duration_since(moment).unwrap_or_default());
            // Some MB are on their way by then.
            if proxy.traffic().sent > 16 << 20 {
                break;
            }
        }
        let sent = proxy.traffic().sent;
        assert!(late.len() > 5 && sent < 90 << 20, "{} ticks, {sent} bytes sent", late.len());
        let latest = late.iter().max().expect("some");
        assert!(*latest < Duration::from_secs(2), "a tick came {latest:?} late");

        let watches = ["a", "b"].map(|node| Watch::begin(&lab, node));
        let (moment, since) = (SystemTime::now(), Instant::now());
        signal(&child, Signal::SIGINT);
        finish(child).expect(99);
        let took = since.elapsed();
        eprintln!("{} ticks at most {latest:?} late beside {} MB; ended {took:?} after the signal", late.len(), sent >> 20);
        assert!(took < Duration::from_secs(4), "{took:?}");
        assert_eq!(lab.nodes.ssh("a", "ls /root"), "", "half a file is none");
        watches.map(|watch| watch.quiet_within_two_seconds(moment)) == [true; 2]
    });
}
