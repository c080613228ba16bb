//! A real API server with etcd and the controllers, on loopback, without any kubelet: Deployments make pods, and these stay
//! Pending unless a test writes their status.
//!
//! ```ignore
//! let Some(server) = ApiServer::shared() else { return };   // no programs: says so; CI gets them
//! let client = server.client();                             // a user of its own
//! client.kubeconfig; client.kubectl(&["get", "nodes"]);
//! client.writes();                                          // what the audit log has of it
//! ```

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};

use provision::artifact::{Cache, Cancel, Manifest, Settings, Store};
use serde_json::Value;

/// Users that tests may take, all of `system:masters`.
const USERS: usize = 64;
/// kubeadm refuses loopback: an address of the range for documents (RFC 5737), which nobody connects to.
const ADVERTISED: &str = "192.0.2.1";
/// An API server is up in 5 s; on a crowded machine it takes a minute.
const PATIENCE: Duration = Duration::from_mins(3);

/// Ends with its last test: also when that fails, and with this process.
pub struct ApiServer {
    folder: tempfile::TempDir,
    port: u16,
    binaries: PathBuf,
    users: AtomicUsize,
    processes: Vec<Child>,
}

/// One user of a server.
pub struct TestClient {
    pub user: String,
    pub kubeconfig: PathBuf,
    server: Arc<ApiServer>,
}

/// What a server is made of.
const PROGRAMS: [&str; 5] = ["etcd", "kube-apiserver", "kube-controller-manager", "kubeadm", "kubectl"];

/// A folder with [`PROGRAMS`]: the one that `PROVISION_TEST_KUBE_BIN` names, or links into the cache of artifacts. Where that
/// lacks one, CI gets it (by building it, that is minutes); others are told.
pub fn kube_binaries() -> Option<PathBuf> {
    static BINARIES: OnceLock<Option<PathBuf>> = OnceLock::new();
    BINARIES.get_or_init(|| std::env::var_os("PROVISION_TEST_KUBE_BIN").map_or_else(of_cache, |folder| Some(folder.into()))).clone()
}

fn of_cache() -> Option<PathBuf> {
    let ci = std::env::var_os("CI").is_some();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    // Kept for all tests of this process: two links a program, removed with the target folder.
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kube-{}", std::process::id()));
    runtime.block_on(async {
        let store = Store::new(Manifest::builtin(), Cache::of_user().expect("a cache"), Settings::from_environment(None)).expect("a store");
        if ci {
            store
                .ensure(&PROGRAMS, &mut |_| {}, &Cancel::default())
                .await
                .unwrap_or_else(|error| panic!("CI gets its API server: {error}"));
        }
        std::fs::create_dir_all(&folder).expect("a folder");
        for name in PROGRAMS {
            let Some(artifact) = store.present(name).await.expect("the cache is whole") else {
                let _ = writeln!(
                    std::io::stderr(),
                    "skipped: this test needs {name}: run `provision up` once, or set PROVISION_TEST_KUBE_BIN to a folder with {}",
                    PROGRAMS.join(", ")
                );
                return None;
            };
            for file in artifact.files {
                let link = folder.join(&file.name);
                let _ = std::fs::remove_file(&link);
                std::os::unix::fs::symlink(&file.path, link).expect("a link");
            }
        }
        Some(folder)
    })
}

impl ApiServer {
    /// The server of all tests that run now; None, with a word on stderr, where its programs are not.
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<ApiServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Self::alone()?;
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// A server of one test: for what is about all of a cluster.
    pub fn alone() -> Option<Arc<Self>> {
        let binaries = kube_binaries()?;
        Some(Arc::new(Self::start(binaries)))
    }

    fn start(binaries: PathBuf) -> Self {
        let folder = tempfile::Builder::new().prefix("provision-kube-").tempdir().expect("a temporary folder");
        let ports: Vec<u16> = [(); 3]
            .map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"))
            .iter()
            .map(|listener| listener.local_addr().expect("bound").port())
            .collect();
        let (etcd, peers, port) = (ports[0], ports[1], ports[2]);
        let mut server = Self { folder, port, binaries, users: AtomicUsize::new(0), processes: Vec::new() };
        let path = |name: &str| server.folder.path().join(name).display().to_string();
        let tokens: Vec<String> = (0..USERS).map(|index| format!("token-{index},user-{index},{index},system:masters\n")).collect();
        write(server.folder.path(), "tokens", &tokens.concat());
        write(
            server.folder.path(),
            "audit.yaml",
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n",
        );
        // The keys of a real cluster, and its admin.conf, by the program that makes them there.
        for phase in [
            vec!["certs", "ca"],
            vec!["certs", "sa"],
            vec!["certs", "apiserver", "--apiserver-cert-extra-sans=127.0.0.1"],
            vec!["kubeconfig", "admin"],
        ] {
            let place = [
                format!("--cert-dir={}", path("pki")),
                format!("--apiserver-advertise-address={ADVERTISED}"),
                format!("--apiserver-bind-port={port}"),
                format!("--kubeconfig-dir={}", path("")),
            ];
            let place = if phase[0] == "kubeconfig" {
                &place[..]
            } else if phase[1] == "apiserver" {
                &place[..2]
            } else {
                &place[..1]
            };
            let version = if phase[1] == "sa" { None } else { Some("--kubernetes-version=v1.36.4") };
            let made = Command::new(server.binaries.join("kubeadm"))
                .args(["init", "phase"])
                .args(&phase)
                .args(place)
                .args(version)
                .output()
                .expect("kubeadm runs");
            assert!(made.status.success(), "kubeadm init phase {}: {}", phase.join(" "), String::from_utf8_lossy(&made.stderr));
        }
        let (url, peer_url) = (format!("http://127.0.0.1:{etcd}"), format!("http://127.0.0.1:{peers}"));
        let etcd_words = vec![
            format!("--data-dir={}", path("etcd")),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            format!("--listen-peer-urls={peer_url}"),
            format!("--initial-advertise-peer-urls={peer_url}"),
            format!("--initial-cluster=default={peer_url}"),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=error".to_owned(),
        ];
        let api_words = vec![
            format!("--etcd-servers={url}"),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--tls-cert-file={}", path("pki/apiserver.crt")),
            format!("--tls-private-key-file={}", path("pki/apiserver.key")),
            format!("--client-ca-file={}", path("pki/ca.crt")),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", path("pki/sa.pub")),
            format!("--service-account-signing-key-file={}", path("pki/sa.key")),
            format!("--token-auth-file={}", path("tokens")),
            "--authorization-mode=RBAC".to_owned(),
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition".to_owned(),
            "--allow-privileged=true".to_owned(),
            format!("--audit-log-path={}", path("audit.log")),
            format!("--audit-policy-file={}", path("audit.yaml")),
        ];
        let controller_words = vec![
            format!("--kubeconfig={}", path("controllers.yaml")),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--controllers=*,-node-lifecycle-controller,-taint-eviction-controller".to_owned(),
            format!("--service-account-private-key-file={}", path("pki/sa.key")),
        ];
        server.launch("etcd", etcd_words);
        server.launch("kube-apiserver", api_words);
        server.until_ready();
        let kubeconfig = server.kubeconfig(USERS - 1);
        write(server.folder.path(), "controllers.yaml", &kubeconfig);
        server.launch("kube-controller-manager", controller_words);
        server
    }

    /// Starts a program that ends with this process, whatever becomes of it: by the kernel, when the thread that started it
    /// ends, so that thread waits for ever.
    fn launch(&mut self, name: &'static str, words: Vec<String>) {
        let log = std::fs::File::create(self.folder.path().join(format!("{name}.log"))).expect("a log");
        let program = self.binaries.join(name);
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let child = Command::new("setpriv")
                .args(["--pdeathsig", "KILL"])
                .arg(program)
                .args(words)
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("a second handle"))
                .stderr(log)
                .spawn();
            if sender.send(child).is_ok() {
                loop {
                    std::thread::park();
                }
            }
        });
        self.processes.push(receiver.recv().expect("the thread sends").unwrap_or_else(|error| panic!("start {name}: {error}")));
    }

    fn until_ready(&mut self) {
        let begun = Instant::now();
        loop {
            for child in &mut self.processes {
                assert!(child.try_wait().expect("asked").is_none(), "the API server or etcd ended: {}", self.folder.path().display());
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                write(self.folder.path(), "ready.yaml", &self.kubeconfig(USERS - 1));
                let ready = kubectl(&self.binaries, &self.folder.path().join("ready.yaml"), &["get", "--raw", "/readyz"]);
                // The namespaces and roles that every cluster has are made after it is ready.
                if ready.is_ok()
                    && kubectl(&self.binaries, &self.folder.path().join("ready.yaml"), &["get", "namespace", "default", "kube-system"])
                        .is_ok()
                {
                    return;
                }
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "the API server was not ready in {PATIENCE:?}: {}",
                std::fs::read_to_string(self.folder.path().join("kube-apiserver.log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn kubeconfig(&self, user: usize) -> String {
        use base64::Engine;
        let certificate = std::fs::read(self.folder.path().join("pki/ca.crt")).expect("kubeadm wrote it");
        let authority = base64::engine::general_purpose::STANDARD.encode(certificate);
        format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: test, cluster: {{server: 'https://127.0.0.1:{}', certificate-authority-data: {authority}}}}}]\n\
             users: [{{name: test, user: {{token: token-{user}}}}}]\ncontexts: [{{name: test, context: {{cluster: test, user: test}}}}]\ncurrent-context: test\n",
            self.port
        )
    }

    /// admin.conf as kubeadm writes it, its user let in as kubeadm does.
    pub fn admin(&self) -> String {
        let ready = self.folder.path().join("ready.yaml");
        let bound = kubectl(
            &self.binaries,
            &ready,
            &["create", "clusterrolebinding", "kubeadm:cluster-admins", "--clusterrole=cluster-admin", "--group=kubeadm:cluster-admins"],
        );
        bound.expect("one test asks for it");
        std::fs::read_to_string(self.folder.path().join("admin.conf")).expect("kubeadm wrote it").replace(ADVERTISED, "127.0.0.1")
    }

    /// A user that no other test has.
    pub fn client(self: &Arc<Self>) -> TestClient {
        let index = self.users.fetch_add(1, Ordering::Relaxed);
        assert!(index < USERS - 1, "more users than tokens");
        let name = format!("user-{index}.yaml");
        write(self.folder.path(), &name, &self.kubeconfig(index));
        TestClient { user: format!("user-{index}"), kubeconfig: self.folder.path().join(name), server: Arc::clone(self) }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        for child in self.processes.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl TestClient {
    /// The server.
    pub fn server(&self) -> &ApiServer {
        &self.server
    }

    /// Standard output of kubectl, as another user than [`TestClient::user`]; a panic where it fails.
    pub fn kubectl(&self, words: &[&str]) -> String {
        self.try_kubectl(words).unwrap_or_else(|error| panic!("kubectl {}: {error}", words.join(" ")))
    }

    pub fn try_kubectl(&self, words: &[&str]) -> Result<String, String> {
        kubectl(&self.server.binaries, &self.server.folder.path().join("ready.yaml"), words)
    }

    /// What this user wrote, from the audit log: `create pods/eviction shop/web-1`. Dry runs are no writes.
    pub fn writes(&self) -> Vec<String> {
        let words = |event: &Value| {
            let part = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
            format!("{} {} {}/{}", part("/verb"), part("/objectRef/resource"), part("/objectRef/namespace"), part("/objectRef/name"))
        };
        let is_write = |event: &Value| {
            !matches!(event["verb"].as_str(), Some("get" | "list" | "watch"))
                && !event["requestURI"].as_str().unwrap_or_default().contains("dryRun=All")
        };
        self.events().iter().filter(|event| is_write(event)).map(words).collect()
    }

    /// Every request of this user that the audit log has.
    pub fn events(&self) -> Vec<Value> {
        // The log is written behind the requests.
        std::thread::sleep(Duration::from_millis(300));
        let text = std::fs::read_to_string(self.server.folder.path().join("audit.log")).expect("the audit log");
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event.pointer("/user/username").and_then(Value::as_str) == Some(&self.user)).collect()
    }
}

fn kubectl(binaries: &Path, kubeconfig: &Path, words: &[&str]) -> Result<String, String> {
    let output =
        Command::new(binaries.join("kubectl")).args(words).env("KUBECONFIG", kubeconfig).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap_or_else(|error| panic!("write {name}: {error}"));
}
