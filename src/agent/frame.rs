//! The frames that controller and agent exchange over one byte stream, and the agent and its workers over pipes.
//!
//! On the wire a frame is: length (u32, big endian, of what follows), one byte (0 plain, 1 deflated), MessagePack.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::module::engine::{Fetched, Parcel};
use crate::module::{Diff, Outcome};
use crate::program::{Bytes, Clock, File, Layer, Map, Position, Program, Value};
use crate::system::Action;

/// The version both ends must speak; the agent is pushed by content, so a mismatch is a defect, not a habit.
pub const PROTOCOL: u32 = 2;

/// No frame is larger: content travels in chunks.
pub const FRAME_LIMIT: usize = 256 << 20;

/// Bytes of one chunk of file content: small enough that events are not held up behind it.
pub const CHUNK: usize = 256 << 10;

/// Controller to agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Down {
    /// Once, first.
    Start(Box<Start>),
    /// Apply what was planned in this session.
    Apply,
    /// Every other live host of the batch is past everything before this position. `dirty`: one of them has planned or
    /// done a change before it.
    Watermark {
        position: Position,
        dirty: bool,
    },
    Answer {
        id: u64,
        answer: Answer,
    },
    /// A part of a file's content; an empty one ends it.
    Content {
        id: u64,
        chunk: Bytes,
    },
    /// Do something on this node for another host's task (`delegate_to`).
    Perform {
        id: u64,
        request: Box<Perform>,
    },
    /// Another host's failure ends the play for all (`any_errors_fatal`, `max_fail_percentage`): nothing at or after the position.
    Stop {
        position: Position,
        reason: Arc<str>,
    },
    /// Another host's failure is one of all (`any_errors_fatal`), and the block around it has a `rescue`: so does who is still in the
    /// block's tasks, which begin with `within`, at or after the position.
    Fail {
        position: Position,
        within: Position,
    },
    /// Ctrl-C: end the work in hand now.
    Cancel,
    /// At least each 5 s while the session lives.
    Heartbeat,
    /// The controller has all it needs: end.
    End,
}

/// What a run begins with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    pub protocol: u32,
    pub program: Option<Arc<Program>>,
    pub mode: RunMode,
    /// Names the journal and the lock: the environment's name and the host's.
    pub environment: Arc<str>,
    pub run: RunIdentity,
    /// Mixed into the digests of the journal, so that they say nothing about secrets. Held by the controller.
    pub journal_key: Bytes,
    /// Whether other hosts' order matters: then actions wait for watermarks.
    pub ordered: bool,
    /// Whether some host's tasks may add hosts or groups: then programs are asked for anew at each play.
    pub grows: bool,
    /// Whether some host's tasks may bring back hosts that failed: then who fails asks whether it is brought back.
    pub clears: bool,
    /// After a reboot, or once the host is reached: where the run goes on.
    pub resume: Option<Box<Snapshot>>,
    /// The agent is on the controller, in the place of a host that cannot be reached.
    pub stands_in: Option<StandsIn>,
    /// The password for `become`, where one was given.
    pub become_password: Option<Value>,
}

/// What of a program's files is new or another one since the run began, and what is new of its files of variables.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NewFiles {
    pub files: BTreeMap<Arc<str>, File>,
    pub vars: BTreeMap<Arc<str>, Arc<Layer>>,
    /// What was missed and the run has found or made, for the task in hand.
    pub found: FoundFiles,
    /// Some task that may write on the controller has something to do.
    pub dirty: bool,
}

/// Files of the controller that no task's text names, with all below a folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FoundFiles {
    pub files: BTreeMap<Arc<str>, File>,
    /// What was wanted as files of variables.
    pub vars: BTreeMap<Arc<str>, Arc<Layer>>,
}

/// Files of the controller that are not there for a task, by their absolute paths where they have one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    pub files: BTreeSet<Arc<str>>,
    pub vars: BTreeSet<Arc<str>>,
}

/// In whose place an agent is on the controller: it acts for other hosts, and asks for its own where a task needs it
/// ([`Snapshot::needed`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandsIn {
    /// Why the host cannot be reached.
    pub reason: Arc<str>,
    /// The `wait_for_connection` that comes first has been waited for already, so many seconds.
    pub waited: Option<f64>,
}

/// Who runs, for the one who comes second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunIdentity {
    pub id: Arc<str>,
    /// `user@workstation`, process id.
    pub who: Arc<str>,
    /// Seconds since the epoch.
    pub since: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunMode {
    /// Predict; then wait for [`Down::Apply`] or [`Down::End`].
    #[default]
    Plan,
    /// Apply without a plan (`playbook`), or Ansible's check mode if the settings say so.
    Apply,
    /// Only perform for other hosts.
    Serve,
}

/// Agent to controller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Up {
    /// The first frame.
    Hello(Hello),
    /// Another run holds this node; this one waits.
    Waiting {
        holder: RunIdentity,
        doing: Arc<str>,
    },
    Event(Event),
    Ask {
        id: u64,
        question: Question,
    },
    /// This host wants to act at the position, or has done all before it; `dirty`: it has planned or done a change.
    Reached {
        position: Position,
        dirty: bool,
    },
    /// A task that may write files on the controller was done, or is to do something.
    Wrote,
    /// Paths of this machine in the result of a task; heard of agents on the controller alone.
    Found {
        paths: BTreeSet<Arc<str>>,
    },
    Performed {
        id: u64,
        reply: PerformReply,
    },
    /// Variables that other hosts read.
    Published {
        /// The task that gave them.
        position: Position,
        variables: Map,
    },
    /// The machine is about to restart: bring it back and go on from here.
    Suspended(Box<Snapshot>),
    /// The plan or the run is over for this host.
    Done(Summary),
    /// The agent cannot go on (not a task's failure).
    Fatal {
        message: String,
        hint: Option<String>,
    },
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Hello {
    pub protocol: u32,
    pub pid: u32,
    pub user: Arc<str>,
    pub uid: u32,
    pub boot_id: Arc<str>,
    pub architecture: Arc<str>,
}

/// What happened, for the story, the log and `--json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "results, the large ones, are the most frequent events")]
pub enum Event {
    /// A play begins on this host.
    Play {
        index: u32,
    },
    /// A task begins to act, or waits for something it names.
    Started {
        position: Position,
        name: Arc<str>,
        doing: Option<Arc<str>>,
    },
    /// One item's result (or the task's, where there is no loop).
    Item(ItemResult),
    /// A line of a running command.
    Output {
        position: Position,
        line: Arc<str>,
        error: bool,
    },
    /// Files spliced in at run time.
    Included {
        position: Position,
        name: Arc<str>,
    },
    Warning {
        message: String,
    },
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ItemResult {
    pub position: Position,
    /// The task's name as it is now; `None` where it is literal in the program.
    pub name: Option<Arc<str>>,
    /// `role : ` prefix is the report's; here the role's name.
    pub role: Option<Arc<str>>,
    /// `Some` in a loop: the label.
    pub label: Option<Value>,
    pub item: Option<u32>,
    pub status: Status,
    /// Failed, but ignored.
    pub ignored: bool,
    pub handler: bool,
    /// Sentences of what was or would be done.
    pub actions: Vec<String>,
    /// Digest of each action, in order: what plan and apply are compared by.
    pub digests: Vec<Arc<str>>,
    pub diff: Vec<(String, String, String, String)>,
    /// The registered value, secrets masked; only where it is shown: changed, failed, verbose, `debug`.
    pub result: Option<Value>,
    /// Milliseconds.
    pub elapsed: u64,
    pub delegated_to: Option<Arc<str>>,
    pub attempts: u32,
    /// The last item of its task.
    pub last: bool,
    /// It changes the run, and no machine.
    pub of_the_run: bool,
    /// In a plan: it was really run (`check_mode: false`, a read).
    pub ran: bool,
    /// A failure that is one of all hosts (`any_errors_fatal`).
    pub fatal: bool,
    /// Of such a failure: the tasks of the block whose `rescue` takes it. `None`: it ends the play.
    pub rescued: Option<Position>,
    /// For a failure: where in the user's file.
    pub span: Option<crate::program::Span>,
    /// Variables that were read, by name, and what gave each: with `-vv`.
    pub reads: Vec<(Arc<str>, Arc<str>)>,
}

/// What a task or item came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    #[default]
    Ok,
    Changed,
    Skipped,
    Failed,
    Unreachable,
    /// In plans: because of what.
    Unknown(Arc<str>),
}

/// A host's counts, as in PLAY RECAP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recap {
    pub ok: u32,
    pub changed: u32,
    pub unreachable: u32,
    pub failed: u32,
    pub skipped: u32,
    pub rescued: u32,
    pub ignored: u32,
    /// Plans only.
    pub unknown: u32,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    pub recap: Recap,
    pub failed: bool,
    /// Ended by Ctrl-C.
    pub cancelled: bool,
    /// Why it ended early, where it did.
    pub reason: Option<Arc<str>>,
    /// It, or a host that a task of it was delegated to, could not be reached and was not brought back.
    pub unreachable: bool,
    /// Handlers that were notified and did not run: the next run begins with them.
    pub pending_handlers: Vec<Arc<str>>,
    /// Tasks and items looked at.
    pub tasks: u32,
}

/// The option of [`Question::Lookup`] that says where relative paths begin.
pub const PLAYBOOK_DIR: &str = "_playbook_dir";

/// What an agent may ask. Names are bounded by its program: the controller answers for nothing else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Question {
    /// `hostvars[host][name]` as it stands when that host is past the position.
    HostVariable {
        host: Arc<str>,
        name: Arc<str>,
        position: Position,
    },
    /// All of `hostvars[host]`.
    HostVariables {
        host: Arc<str>,
        position: Position,
    },
    /// A lookup that only the controller can make (`env`, `pipe`, `file` of a name known only now).
    Lookup {
        plugin: Arc<str>,
        terms: Vec<Value>,
        options: Map,
    },
    /// The controller's clock, with its zone.
    Clock,
    /// What a template of the program may say of its file.
    Template {
        path: Arc<str>,
    },
    /// A file of the node, to be kept on the controller.
    Keep(Box<Parcel>),
    /// Content of a file, answered by [`Down::Content`].
    Content {
        sha256: Arc<str>,
    },
    /// The result of a `run_once` task, from the host that runs it.
    RunOnce {
        position: Position,
    },
    /// The other half: this host ran it (facts, and the registered value).
    RanOnce {
        position: Position,
        result: Value,
        facts: Map,
        failed: bool,
        ends: Ends,
    },
    /// To run a task that only so many hosts run at once (`throttle`); answered when one of them is through.
    Turn {
        position: Position,
        most: u32,
    },
    /// Through with it.
    TurnOver {
        position: Position,
    },
    /// This host has failed, or what it needs is out of reach: whether `meta: clear_host_errors` brings it back in this play. Answered
    /// when a host has run that, or all are through with the play.
    Failed {
        position: Position,
        /// Where it goes on in this play then.
        resumes: Option<Position>,
        /// It did not come with this from an earlier play.
        is_new: bool,
    },
    /// `meta: clear_host_errors`; in a plan only perhaps, because of this.
    ClearErrors {
        position: Position,
        unknown: Option<Arc<str>>,
    },
    /// This host has failed, and runs its handlers before it goes (`force_handlers`).
    RunsHandlers,
    /// The host leaves its play here (`meta: end_host`).
    Leaves {
        position: Position,
    },
    /// Hosts that have failed or were out of reach before the position; answered when all others are past it.
    Gone {
        position: Position,
    },
    /// `meta: refresh_inventory`.
    Refresh,
    /// This host's part of the inventory as it now is; with a position once all other hosts are past it.
    Inventory {
        position: Option<Position>,
    },
    /// Files of the controller as they now are; with a position once all other hosts are past it.
    Files {
        position: Option<Position>,
        /// Some were not there: they may have come from outside of the run, or have been found by it.
        missed: Option<Missed>,
    },
    /// Whether an earlier batch ended the play for all (`meta: end_play`).
    PlayEnded {
        play: u32,
    },
    /// Perform on another host.
    Delegate {
        host: Arc<str>,
        request: Box<Perform>,
    },
    /// A variable that another host may have set for this one (`delegate_facts`), once all are past everything before the position.
    Told {
        name: Arc<str>,
        position: Position,
    },
    /// Facts for another host (`delegate_facts`).
    SetHostFacts {
        host: Arc<str>,
        facts: Map,
    },
    AddHost {
        name: Arc<str>,
        groups: Vec<Arc<str>>,
        variables: Map,
    },
    GroupBy {
        group: Arc<str>,
        parents: Vec<Arc<str>>,
    },
    /// The program anew, for plays from this index on: hosts or groups were added in this run.
    Program {
        from_play: u32,
    },
    /// What a person types at the controller's terminal: no value where there is none.
    Prompt {
        text: Arc<str>,
        echo: bool,
    },
    /// The become password for a user (asked once).
    BecomePassword,
}

/// What a task that one host runs for all ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ends {
    #[default]
    Nothing,
    /// `meta: end_batch`.
    Batch,
    /// `meta: end_play`: further batches too.
    Play,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// `None`: no such variable.
    Value(Option<Value>),
    Values(Map),
    List(Vec<Value>),
    Changed(bool),
    Clock(Clock),
    Template(Box<TemplateFile>),
    Fetched(Fetched),
    Program(Box<Program>),
    Files(Box<NewFiles>),
    RunOnce {
        result: Value,
        facts: Map,
        failed: bool,
        ends: Ends,
    },
    Performed(PerformReply),
    /// The host is brought back; in a plan only perhaps, because of this.
    Cleared(Option<Arc<str>>),
    /// The question cannot be answered: a plan's unknown.
    Unknown(Arc<str>),
    /// The host that a task is delegated to cannot be reached.
    Unreachable(Arc<str>),
    Error {
        message: String,
        hint: Option<String>,
    },
    Done,
}

/// A template's file on the controller.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TemplateFile {
    /// The controller's name.
    pub host: Arc<str>,
    /// Its owner's name; a number where it has none.
    pub owner: Value,
    pub modified: Clock,
}

/// One module call for one item, rendered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Perform {
    /// Plan it; the reply has a handle if there is something to do.
    Plan(Box<Call>),
    /// Do it.
    Apply { handle: u64 },
    /// Forget it.
    Drop { handle: u64 },
    /// A plan goes on as if this was done (for the other workers of the node).
    Absorb { actions: Vec<Action>, cause: Arc<str> },
    /// A part of a file, as it is.
    Read { path: Arc<str>, offset: u64, become_: Option<Become> },
}

/// A job that nobody waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Background {
    /// How long it may take.
    pub limit: Duration,
    /// What its result on the disk does not hold: the secrets among the call's arguments.
    pub secrets: Vec<Arc<str>>,
}

/// A module and its evaluated arguments.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Call {
    pub module: Arc<str>,
    pub arguments: Map,
    pub mode: CallMode,
    pub diff: bool,
    pub environment: Vec<(String, String)>,
    /// `None`: the login user.
    pub become_: Option<Become>,
    /// The controller's file that `src` names, and all below it.
    pub source: Option<Arc<str>>,
    pub sources: std::collections::BTreeMap<Arc<str>, File>,
    /// For messages: the task's name.
    pub label: Arc<str>,
    /// The host that the task is for, by its inventory's name.
    pub host: Arc<str>,
    /// In a plan: run it for real although it is one (`check_mode: false`, `changed_when: false`).
    pub really: bool,
    /// From its apply on.
    pub timeout: Option<Duration>,
    /// Its apply is a job that goes on by itself.
    pub background: Option<Background>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallMode {
    #[default]
    Plan,
    Apply,
    Check,
}

/// How to become another user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Become {
    /// `sudo`, `su`.
    pub method: Arc<str>,
    pub user: Arc<str>,
    pub flags: Option<Arc<str>>,
    pub exe: Option<Arc<str>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PerformReply {
    /// The outcome, if nothing is to be done or the mode forbids it; else the prediction and a handle.
    Planned(Box<Planned>),
    Applied {
        outcome: Outcome,
        sentences: Vec<String>,
    },
    /// Arguments that the module refuses, a read that failed, an action that failed.
    Failed {
        outcome: Outcome,
        interrupted: bool,
    },
    Unknown(Arc<str>),
    /// At most [`crate::module::engine::PART`] bytes; fewer end the file.
    Part(Bytes),
    Done,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Planned {
    pub outcome: Outcome,
    pub actions: Vec<Action>,
    pub sentences: Vec<String>,
    pub digests: Vec<Arc<str>>,
    pub diff: Vec<Diff>,
    /// `Some`: there is something to do, and it may be done by this handle.
    pub handle: Option<u64>,
}

/// A run's state on a node across its reboot. Never on a disk: the controller holds it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The task that restarts the machine, or needs it.
    pub position: Position,
    pub item: u32,
    /// The agent stood in for a host that is to be reached now.
    pub needed: bool,
    /// What the controller needs to bring it back.
    pub reboot: Reboot,
    /// The agent's own state.
    pub state: Bytes,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reboot {
    /// Seconds until it goes down.
    pub delay: f64,
    /// Seconds from then on.
    pub timeout: f64,
    /// Seconds of one attempt to connect.
    pub connect_timeout: Option<f64>,
    pub post_delay: f64,
    pub test_command: Option<String>,
    pub boot_id: Arc<str>,
    /// The time was over: the task fails.
    pub given_up: Option<GivenUp>,
}

/// How the wait for a machine that was to restart ended without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GivenUp {
    /// It answers and has not restarted: the run goes on there.
    NotRestarted,
    /// It cannot be reached, for this reason. The run goes on in an agent on the controller, which acts for other hosts only.
    Gone(String),
}

/// What happened to a frame on its way.
#[derive(Debug)]
pub enum WireError {
    /// The stream ended between frames.
    Closed,
    Io(std::io::Error),
    Malformed(String),
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WireError::Closed => f.write_str("the stream ended"),
            WireError::Io(error) => write!(f, "the stream broke: {error}"),
            WireError::Malformed(what) => write!(f, "malformed frame: {what}"),
        }
    }
}

impl std::error::Error for WireError {}

/// Whether a frame is made small for its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Where it is worth it: a frame of more than 512 bytes.
    Deflate,
    /// Never: packing takes longer than a fast link does.
    Plain,
}

/// A frame as bytes, header included.
pub fn encode<T: Serialize>(frame: &T) -> Result<Vec<u8>, WireError> {
    encode_as(frame, Packing::Deflate)
}

/// The same, packed or not.
pub fn encode_as<T: Serialize>(frame: &T, packing: Packing) -> Result<Vec<u8>, WireError> {
    let body = rmp_serde::to_vec(frame).map_err(|error| WireError::Malformed(error.to_string()))?;
    let mut packed = vec![0; 5];
    if packing == Packing::Deflate && body.len() > 512 {
        packed[4] = 1;
        let mut encoder = flate2::write::DeflateEncoder::new(packed, flate2::Compression::fast());
        encoder.write_all(&body).and_then(|()| encoder.try_finish()).map_err(WireError::Io)?;
        packed = encoder.finish().map_err(WireError::Io)?;
    } else {
        packed.extend_from_slice(&body);
    }
    let length = u32::try_from(packed.len() - 4).map_err(|_| WireError::Malformed("too long".to_owned()))?;
    packed[..4].copy_from_slice(&length.to_be_bytes());
    Ok(packed)
}

/// The length that a frame's first four bytes announce, checked against [`FRAME_LIMIT`].
pub fn announced(header: [u8; 4]) -> Result<usize, WireError> {
    let length = u32::from_be_bytes(header) as usize;
    if length == 0 || length > FRAME_LIMIT {
        return Err(WireError::Malformed(format!("a frame of {length} bytes")));
    }
    Ok(length)
}

/// A frame from what follows its length.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, WireError> {
    let malformed = |error: rmp_serde::decode::Error| WireError::Malformed(error.to_string());
    match body.split_first() {
        Some((0, plain)) => rmp_serde::from_slice(plain).map_err(malformed),
        Some((1, packed)) => {
            let mut plain = Vec::new();
            flate2::read::DeflateDecoder::new(packed)
                .take(FRAME_LIMIT as u64)
                .read_to_end(&mut plain)
                .map_err(|error| WireError::Malformed(error.to_string()))?;
            rmp_serde::from_slice(&plain).map_err(malformed)
        }
        _ => Err(WireError::Malformed("unknown packing".to_owned())),
    }
}

/// Writes one frame and flushes.
pub fn write<T: Serialize>(stream: &mut dyn Write, frame: &T) -> Result<(), WireError> {
    stream.write_all(&encode(frame)?).and_then(|()| stream.flush()).map_err(WireError::Io)
}

/// Reads one frame.
pub fn read<T: DeserializeOwned>(stream: &mut dyn Read) -> Result<T, WireError> {
    let mut header = [0; 4];
    match stream.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(WireError::Closed),
        Err(error) => return Err(WireError::Io(error)),
    }
    let mut body = vec![0; announced(header)?];
    stream.read_exact(&mut body).map_err(WireError::Io)?;
    decode(&body)
}
