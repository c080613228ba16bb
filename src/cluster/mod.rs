//! A cluster as the controller sees it: kubeconfig, releases by server-side apply, named conditions, nodes.
//!
//! Reading is free, writing is rare: a plan is dry runs beside the live objects, and [`Cluster::apply`] sends only what they
//! showed to change. A second run writes nothing.

mod condition;
mod diff;
mod discovery;
mod drain;
mod error;
pub mod kubeconfig;
mod network;
mod nodes;
mod object;
mod pods;
mod record;
mod release;
mod volumes;
mod wait;

pub use condition::Condition;
pub use diff::FieldChange;
pub use drain::{Drain, Drained};
pub use error::{Error, ErrorKind, Result};
pub use network::Probe;
pub use nodes::NodeState;
pub use object::ObjectId;
pub use release::{Change, Conflicts, FieldConflict, Release, ReleasePlan, Verdict};
pub use volumes::OwnVolume;

use std::path::Path;
use std::time::Duration;

use kube::Client;
use tokio::sync::Mutex;

use discovery::Kinds;

/// The field manager of all that we write.
pub const MANAGER: &str = "provision";

/// The API server answers a request within this time, or it counts as not answering; a watch says something within it too.
const ANSWER: Duration = Duration::from_secs(30);
/// Longest time for a TCP connection and TLS: the server is on the same machine or in the next rack.
const CONNECT: Duration = Duration::from_secs(5);
/// Waits before the repetitions of a request that the server could not serve now.
const AGAIN: [Duration; 4] = [Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// A connection to a cluster's API server. Every request has a deadline of 30 s; dropping a future of it cancels.
pub struct Cluster {
    client: Client,
    kinds: Mutex<Option<Kinds>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cluster")
    }
}

impl Cluster {
    /// A client for the current context of a kubeconfig. Connects only when it is used.
    pub async fn connect(kubeconfig: &Path) -> Result<Self> {
        let doing = || format!("read {}", kubeconfig.display());
        let text = match std::fs::read_to_string(kubeconfig) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let missing = Error::new(ErrorKind::Kubeconfig, doing()).because("there is no such file: the cluster was not made yet");
                return Err(missing.hint("run `provision up`"));
            }
            Err(error) => return Err(Error::new(ErrorKind::Kubeconfig, doing()).because(error)),
        };
        Self::from_kubeconfig(&text).await.map_err(|error| Error { doing: doing(), ..error })
    }

    /// The same from a kubeconfig's text.
    pub async fn from_kubeconfig(text: &str) -> Result<Self> {
        let wrong = |cause: String| {
            Error::new(ErrorKind::Kubeconfig, "read the kubeconfig").because(cause).hint("run `provision up` to fetch it anew")
        };
        let kubeconfig = kube::config::Kubeconfig::from_yaml(text).map_err(|error| wrong(error.to_string()))?;
        let options = kube::config::KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| wrong(error.to_string()))?;
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(ANSWER);
        config.reset_reader_on_write = true;
        // It would repeat an eviction that a budget refuses 15 times, in silence; what may be repeated is repeated here.
        config.default_retry = false;
        let agent = concat!("provision/", env!("CARGO_PKG_VERSION"));
        config.headers.push(("user-agent".parse().expect("a header's name"), agent.parse().expect("a header's value")));
        let client = Client::try_from(config).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { client, kinds: Mutex::new(None) })
    }

    /// The server's version: `v1.36.4`.
    pub async fn version(&self) -> Result<String> {
        let version = self.client.apiserver_version().await;
        version.map(|info| info.git_version).map_err(|error| Error::api("ask the API server for its version", &error))
    }
}

/// A request that may be repeated (reading, server-side apply, deletion by uid): again where the server was busy or starting.
async fn patiently<T, Asked: Future<Output = kube::Result<T>>>(ask: impl Fn() -> Asked) -> kube::Result<T> {
    let mut pauses = AGAIN.iter();
    loop {
        match (ask().await, pauses.next()) {
            (Err(error), Some(pause)) if may_pass(&error) => tokio::time::sleep(*pause).await,
            (result, _) => return result,
        }
    }
}

/// Whether the same request may succeed in a moment.
fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => {
            matches!(status.code, 429 | 503 | 504) || (status.code == 500 && status.message.contains("failed calling webhook"))
        }
        kube::Error::Service(_) | kube::Error::HyperError(_) => true,
        _ => false,
    }
}
