//! A TCP proxy that counts what passes, and is a bad link when told: round trips, pauses, cuts.
//!
//! Threads only, so that benchmarks and tests with and without a runtime share it:
//! `#[path = "../tests/support/proxy.rs"] mod proxy;`

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

/// What has passed through all connections since the start or the last [`Proxy::reset`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub connections: u64,
    /// Bytes towards the server.
    pub sent: u64,
    /// Bytes towards the client.
    pub received: u64,
    /// Times that the client begins to speak after the server: an upper bound on round trips, and what the tables of
    /// other tools count.
    pub turns: u64,
    /// Changes of direction, to either side.
    pub flips: u64,
}

/// One read of the proxy's: for finding out what a turn was spent on.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    /// Since the proxy's start.
    pub time: Duration,
    pub up: bool,
    pub bytes: usize,
}

/// Listens on a free port of 127.0.0.1 and passes every connection on. Ends with its last clone.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    ended: AtomicBool,
    start: Instant,
}

#[derive(Default)]
struct State {
    traffic: Traffic,
    bursts: Vec<Burst>,
    /// Bytes wait in the proxy until then, in both directions, as packets do behind a cut cable.
    paused: bool,
    /// Added to each direction.
    delay: Duration,
    /// Bytes a second that are taken from each side; the rest waits with its sender.
    rate: Option<u32>,
    open: Vec<TcpStream>,
}

impl Proxy {
    /// A proxy before `server`.
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared =
            Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), ended: AtomicBool::new(false), start: Instant::now() });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                // A client whose server refuses sees its connection closed.
                if let Ok(server) = TcpStream::connect(server) {
                    serve(&accepting, client, server);
                }
            }
        });
        Self { address, shared }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn traffic(&self) -> Traffic {
        self.state().traffic
    }

    /// Everything that passed, burst by burst.
    pub fn bursts(&self) -> Vec<Burst> {
        self.state().bursts.clone()
    }

    /// Counts from zero again; open connections stay.
    pub fn reset(&self) {
        let mut state = self.state();
        state.traffic = Traffic::default();
        state.bursts.clear();
    }

    /// Makes a round trip last this much longer.
    pub fn set_round_trip(&self, time: Duration) {
        self.state().delay = time / 2;
    }

    /// Takes no more than this many bytes a second from each side.
    pub fn set_rate(&self, rate: u32) {
        self.state().rate = Some(rate);
    }

    /// Nothing passes, in either direction, until [`Proxy::resume`]; nothing is lost, as TCP repeats what a cut cable dropped.
    pub fn pause(&self) {
        self.state().paused = true;
    }

    pub fn resume(&self) {
        self.state().paused = false;
        self.shared.changed.notify_all();
    }

    /// [`Proxy::pause`] now and [`Proxy::resume`] after `time`, in the background.
    pub fn cut_for(&self, time: Duration) {
        self.pause();
        let shared = Arc::clone(&self.shared);
        std::thread::spawn(move || {
            std::thread::sleep(time);
            lock(&shared).paused = false;
            shared.changed.notify_all();
        });
    }

    /// Closes every open connection at once, both ends.
    pub fn sever(&self) {
        for stream in self.state().open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        lock(&self.shared)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.resume();
        self.sever();
        let _ = TcpStream::connect(self.address); // wakes the thread that accepts
    }
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, State> {
    shared.state.lock().expect("no thread panics while it holds the state")
}

fn serve(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) {
    let copy = |stream: &TcpStream| stream.try_clone().expect("a socket can be cloned");
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a TCP socket has Nagle's algorithm to switch off");
    }
    {
        let mut state = lock(shared);
        state.traffic.connections += 1;
        state.open.extend([copy(&client), copy(&server)]);
    }
    let last = Arc::new(Mutex::new(None));
    pass(shared, Direction::Up, copy(&client), copy(&server), Arc::clone(&last));
    pass(shared, Direction::Down, server, client, last);
}

/// One direction: a thread that reads and counts, and one that writes when a burst is due.
fn pass(shared: &Arc<Shared>, direction: Direction, mut from: TcpStream, mut to: TcpStream, last: Arc<Mutex<Option<Direction>>>) {
    let (queue, due) = mpsc::channel::<(Instant, Vec<u8>)>();
    let reading = Arc::clone(shared);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let (delay, rate) = {
                let mut state = lock(&reading);
                let mut last = last.lock().expect("counting does not panic");
                let flipped = last.is_some_and(|last| last != direction);
                state.traffic.flips += u64::from(flipped);
                state.traffic.turns += u64::from(flipped && direction == Direction::Up);
                *last = Some(direction);
                state.bursts.push(Burst { time: reading.start.elapsed(), up: direction == Direction::Up, bytes: count });
                match direction {
                    Direction::Up => state.traffic.sent += count as u64,
                    Direction::Down => state.traffic.received += count as u64,
                }
                (state.delay, state.rate)
            };
            if let Some(rate) = rate {
                std::thread::sleep(Duration::from_secs_f64(count as f64 / f64::from(rate)));
            }
            if queue.send((Instant::now() + delay, buffer[..count].to_vec())).is_err() {
                break;
            }
        }
    });
    let writing = Arc::clone(shared);
    std::thread::spawn(move || {
        for (time, burst) in due {
            std::thread::sleep(time.saturating_duration_since(Instant::now()));
            let mut state = lock(&writing);
            while state.paused {
                state = writing.changed.wait(state).expect("no thread panics while it holds the state");
            }
            drop(state);
            if to.write_all(&burst).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
