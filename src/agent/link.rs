//! The agent's end of the wire: one thread reads, one writes, waits end when the link does.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::frame::{self, Answer, Down, Event, Perform, Question, Start, Up};
use super::port::{Ended, Port};
use crate::program::{Bytes, Map, Position};
use crate::system::Cancel;

/// Without any frame for this long the controller is taken as gone: it sends a heartbeat each 5 s.
pub const SILENCE: Duration = Duration::from_secs(20);

/// Events wait this long for company: a frame each would cost a packet each.
const GATHER: Duration = Duration::from_millis(25);

/// This much is sent at once.
const ENOUGH: usize = 32 << 10;

/// Who says more than this while the link takes nothing waits: memory of the node is not ours.
const MOST: usize = 8 << 20;

/// What has come, by kind.
#[derive(Default)]
struct Inbox {
    start: Option<Box<Start>>,
    apply: bool,
    end: bool,
    watermark: Option<Position>,
    others_dirty: bool,
    answers: HashMap<u64, Answer>,
    contents: HashMap<u64, VecDeque<Bytes>>,
    performs: VecDeque<(u64, Perform)>,
    stop: Option<(Position, Arc<str>)>,
    /// From where, and in which tasks.
    fail: Option<(Position, Position)>,
    cancelled: bool,
    lost: bool,
    next_id: u64,
    heard: Option<Instant>,
    /// The last position said.
    said: Option<(Position, bool)>,
}

impl Inbox {
    fn failed(&self, position: &Position) -> Option<Ended> {
        let (from, within) = self.fail.as_ref()?;
        (from <= position && position.0.starts_with(&within.0)).then(|| Ended::Failed(within.clone()))
    }
}

/// One link. Clones share it.
#[derive(Clone)]
pub struct Link {
    inbox: Arc<(Mutex<Inbox>, Condvar)>,
    output: Arc<(Mutex<Output>, Condvar)>,
    cancel: Cancel,
}

/// What waits for the thread that writes: nobody else is held up by a link that takes nothing.
#[derive(Default)]
struct Output {
    buffer: Vec<u8>,
    oldest: Option<Instant>,
    at_once: bool,
    writing: bool,
    /// Nobody reads any more.
    over: bool,
}

impl Link {
    /// Begins to read. Threads end with the process.
    pub fn new(input: Box<dyn Read + Send>, output: Box<dyn Write + Send>) -> Self {
        let link = Self { inbox: Arc::default(), output: Arc::default(), cancel: Cancel::default() };
        link.inbox().heard = Some(Instant::now());
        let reader = link.clone();
        std::thread::spawn(move || reader.read_all(input));
        let writer = link.clone();
        std::thread::spawn(move || writer.write_all(output));
        let listener = link.clone();
        std::thread::spawn(move || listener.notice_silence());
        link
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn read_all(&self, mut input: Box<dyn Read + Send>) {
        loop {
            let frame = frame::read::<Down>(&mut input);
            let mut inbox = self.inbox();
            inbox.heard = Some(Instant::now());
            match frame {
                Ok(Down::Start(start)) => inbox.start = Some(start),
                Ok(Down::Apply) => inbox.apply = true,
                Ok(Down::End) => inbox.end = true,
                Ok(Down::Watermark { position, dirty }) => {
                    inbox.watermark = Some(position);
                    inbox.others_dirty = dirty;
                }
                Ok(Down::Answer { id, answer }) => {
                    inbox.answers.insert(id, answer);
                }
                Ok(Down::Content { id, chunk }) => inbox.contents.entry(id).or_default().push_back(chunk),
                Ok(Down::Perform { id, request }) => inbox.performs.push_back((id, *request)),
                Ok(Down::Stop { position, reason }) => inbox.stop = Some((position, reason)),
                Ok(Down::Fail { position, within }) => inbox.fail = Some((position, within)),
                Ok(Down::Cancel) => {
                    inbox.cancelled = true;
                    self.cancel.set();
                }
                Ok(Down::Heartbeat) => {}
                Err(_) => inbox.lost = true,
            }
            let (lost, in_order) = (inbox.lost, inbox.end);
            drop(inbox);
            self.inbox.1.notify_all();
            if lost {
                self.cancel.end_waits();
                // Who said `End` and closed their end may well still read: our last words go out, and `drain` bounds the wait.
                if !in_order {
                    self.stop_writing();
                }
                return;
            }
        }
    }

    /// Ends the work in hand, as the controller's cancel does.
    pub fn cancel_all(&self) {
        self.inbox().cancelled = true;
        self.cancel.set();
        self.inbox.1.notify_all();
    }

    fn notice_silence(&self) {
        loop {
            std::thread::sleep(Duration::from_millis(250));
            let mut inbox = self.inbox();
            if inbox.lost {
                return;
            }
            if inbox.heard.is_some_and(|heard| heard.elapsed() > SILENCE) {
                inbox.lost = true;
                drop(inbox);
                self.inbox.1.notify_all();
                self.stop_writing();
            }
        }
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The link is lost: waits end, the action in hand does not.
    fn stop_writing(&self) {
        self.cancel.end_waits();
        self.output().over = true;
        self.output.1.notify_all();
    }

    /// Sends what was queued, when it is due.
    fn write_all(&self, mut stream: Box<dyn Write + Send>) {
        let mut output = self.output();
        loop {
            let due = output.at_once || output.buffer.len() > ENOUGH || output.oldest.is_some_and(|oldest| oldest.elapsed() >= GATHER);
            if output.over {
                return;
            }
            if output.buffer.is_empty() || !due {
                let waiting = if output.buffer.is_empty() { Duration::from_mins(1) } else { GATHER };
                output = self.output.1.wait_timeout(output, waiting).unwrap_or_else(std::sync::PoisonError::into_inner).0;
                continue;
            }
            let bytes = std::mem::take(&mut output.buffer);
            (output.at_once, output.oldest, output.writing) = (false, None, true);
            drop(output);
            let written = stream.write_all(&bytes).and_then(|()| stream.flush());
            output = self.output();
            output.writing = false;
            // A broken stream shows at the reading end too.
            output.over |= written.is_err();
            self.output.1.notify_all();
        }
    }

    /// Waits until `take` finds something, or the link ends.
    fn wait<T>(&self, mut take: impl FnMut(&mut Inbox) -> Option<T>) -> Result<T, Ended> {
        self.flush();
        let mut inbox = self.inbox();
        loop {
            if let Some(found) = take(&mut inbox) {
                return Ok(found);
            }
            if inbox.cancelled {
                return Err(Ended::Cancelled);
            }
            if inbox.lost {
                return Err(Ended::Lost);
            }
            inbox = self.inbox.1.wait(inbox).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Has what waits sent now.
    pub fn flush(&self) {
        let mut output = self.output();
        if !output.buffer.is_empty() {
            output.at_once = true;
            self.output.1.notify_all();
        }
    }

    /// Before the end: waits until all is written, for as long as the link takes it.
    pub fn drain(&self) {
        self.flush();
        let until = Instant::now() + Duration::from_secs(2);
        let mut output = self.output();
        while !output.over && (output.writing || !output.buffer.is_empty()) {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return };
            output = self.output.1.wait_timeout(output, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    fn queue(&self, frame: &Up, at_once: bool) {
        // A frame that cannot be packed is a defect of ours: the link's end tells it.
        let Ok(bytes) = frame::encode(frame) else { return };
        let mut output = self.output();
        while output.buffer.len() > MOST && !output.over {
            output = self.output.1.wait(output).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        if output.over {
            return;
        }
        let first = output.buffer.is_empty();
        output.buffer.extend_from_slice(&bytes);
        output.oldest.get_or_insert_with(Instant::now);
        output.at_once |= at_once;
        if first || at_once || output.buffer.len() > ENOUGH {
            self.output.1.notify_all();
        }
    }

    /// The first frame from the controller.
    pub fn start(&self) -> Result<Box<Start>, Ended> {
        self.wait(|inbox| inbox.start.take())
    }

    /// After a plan: whether to apply it. `false`: end.
    pub fn confirmed(&self) -> Result<bool, Ended> {
        self.wait(|inbox| {
            if std::mem::take(&mut inbox.apply) {
                // The apply begins at the beginning.
                inbox.watermark = None;
                inbox.others_dirty = false;
                inbox.said = None;
                inbox.fail = None;
                Some(true)
            } else {
                inbox.end.then_some(false)
            }
        })
    }

    /// The next request for another host's task; `None` when the link has ended.
    pub fn next_perform(&self) -> Option<(u64, Perform)> {
        let mut inbox = self.inbox();
        loop {
            if let Some(found) = inbox.performs.pop_front() {
                return Some(found);
            }
            if inbox.lost || inbox.cancelled || inbox.end {
                return None;
            }
            inbox = self.inbox.1.wait(inbox).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Waits until the session is over.
    pub fn until_end(&self) -> Result<(), Ended> {
        self.wait(|inbox| inbox.end.then_some(()))
    }

    pub fn is_lost(&self) -> bool {
        self.inbox().lost
    }

    fn new_id(&self) -> u64 {
        let mut inbox = self.inbox();
        inbox.next_id += 1;
        inbox.next_id
    }
}

impl Port for Link {
    fn event(&self, event: Event) {
        self.queue(&Up::Event(event), false);
    }

    fn send(&self, frame: Up) {
        self.queue(&frame, true);
    }

    fn ask(&self, question: Question) -> Result<Answer, Ended> {
        let id = self.new_id();
        self.queue(&Up::Ask { id, question }, false);
        self.wait(|inbox| inbox.answers.remove(&id))
    }

    fn content(&self, sha256: &str, sink: &mut dyn Write) -> Result<(), Ended> {
        let id = self.new_id();
        self.queue(&Up::Ask { id, question: Question::Content { sha256: sha256.into() } }, false);
        loop {
            let chunk = self.wait(|inbox| match inbox.answers.remove(&id) {
                Some(Answer::Error { message, .. }) => Some(Err(Ended::Refused(message))),
                Some(_) => None,
                None => inbox.contents.get_mut(&id).and_then(VecDeque::pop_front).map(Ok),
            })??;
            if chunk.0.is_empty() {
                self.inbox().contents.remove(&id);
                return Ok(());
            }
            sink.write_all(&chunk.0).map_err(|error| Ended::Refused(error.to_string()))?;
        }
    }

    fn reach(&self, position: &Position, dirty: bool) -> Result<bool, Ended> {
        let reached = |inbox: &Inbox| inbox.watermark.as_ref().is_some_and(|mark| mark >= position);
        {
            let mut inbox = self.inbox();
            inbox.said = Some((position.clone(), dirty));
            if reached(&inbox) {
                return Ok(inbox.others_dirty);
            }
        }
        self.queue(&Up::Reached { position: position.clone(), dirty }, false);
        self.wait(|inbox| {
            if let Some((from, reason)) = &inbox.stop
                && from <= position
            {
                return Some(Err(Ended::Stopped(Arc::clone(reason))));
            }
            if let Some(failed) = inbox.failed(position) {
                return Some(Err(failed));
            }
            reached(inbox).then_some(Ok(inbox.others_dirty))
        })?
    }

    fn turn_back(&self) {
        let mut inbox = self.inbox();
        (inbox.watermark, inbox.said, inbox.fail) = (None, None, None);
    }

    fn passed(&self, position: &Position, dirty: bool) {
        {
            let mut inbox = self.inbox();
            if inbox.said.as_ref().is_some_and(|(said, was)| said >= position && *was == dirty) {
                return;
            }
            inbox.said = Some((position.clone(), dirty));
        }
        self.queue(&Up::Reached { position: position.clone(), dirty }, false);
    }

    fn publish(&self, position: &Position, variables: Map) {
        self.queue(&Up::Published { position: position.clone(), variables }, false);
    }

    fn ended(&self, position: &Position) -> Option<Ended> {
        let inbox = self.inbox();
        if inbox.cancelled {
            return Some(Ended::Cancelled);
        }
        if inbox.lost {
            return Some(Ended::Lost);
        }
        match &inbox.stop {
            Some((from, reason)) if from <= position && position.0.first() != Some(&u32::MAX) => Some(Ended::Stopped(Arc::clone(reason))),
            _ => inbox.failed(position),
        }
    }

    fn rescued(&self) {
        self.inbox().fail = None;
    }

    fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output that can be looked at.
    #[derive(Clone, Default)]
    struct Shown(Arc<Mutex<Vec<u8>>>);

    impl Write for Shown {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no writer panics").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What a link writes that says something once its input is over.
    fn written_after(input: &[Down]) -> Vec<u8> {
        let bytes: Vec<u8> = input.iter().flat_map(|frame| frame::encode(frame).expect("packed")).collect();
        let shown = Shown::default();
        let link = Link::new(Box::new(std::io::Cursor::new(bytes)), Box::new(shown.clone()));
        let until = Instant::now() + Duration::from_secs(10);
        while !link.is_lost() {
            assert!(Instant::now() < until, "the end of the input is noticed");
            std::thread::sleep(Duration::from_millis(1));
        }
        // Its reader may be between noticing and acting.
        std::thread::sleep(Duration::from_millis(20));
        link.send(Up::Waiting { holder: crate::agent::frame::RunIdentity::default(), doing: "word".into() });
        link.drain();
        let written = shown.0.lock().expect("no writer panics");
        written.clone()
    }

    #[test]
    fn last_words_are_said_to_who_ended_in_order() {
        let written = written_after(&[Down::End]);
        assert!(matches!(frame::read::<Up>(&mut written.as_slice()), Ok(Up::Waiting { .. })));
    }

    #[test]
    fn a_lost_link_is_told_nothing_more() {
        assert_eq!(written_after(&[Down::Heartbeat]), Vec::<u8>::new());
    }
}
