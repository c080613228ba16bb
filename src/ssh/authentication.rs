//! Proving who we are: keys from files and from the agent, passwords, questions of the server.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::{AgentClient, AgentStream};
use russh::keys::{Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use russh::{MethodKind, MethodSet};
use tokio::sync::Mutex;

use super::connection::Client;
use super::error::{Error, ErrorKind, Result, plain};
use super::target::{Credentials, Target};
use crate::program::Text;

/// Something only the user knows.
#[derive(Clone, Debug)]
pub struct Question {
    /// ``passphrase of /home/me/.ssh/id_ed25519``.
    pub prompt: String,
    /// Whether the answer may be seen while it is typed.
    pub echo: bool,
}

/// Asks the user; `None` when there is nobody to ask. Called on a thread that may block, one question at a time.
pub type Ask = Arc<dyn Fn(&Question) -> Option<Text> + Send + Sync>;

/// Private keys that were read, each once for all hosts, and the way to ask for their passphrases.
#[derive(Clone, Default)]
pub struct Keyring {
    ask: Option<Ask>,
    keys: Arc<Mutex<HashMap<PathBuf, Arc<PrivateKey>>>>,
}

/// Tries of a passphrase, as ssh(1)'s `NumberOfPasswordPrompts`.
const PASSPHRASE_TRIES: usize = 3;

impl Keyring {
    pub fn new(ask: Option<Ask>) -> Self {
        Self { ask, keys: Arc::default() }
    }

    /// The key in a file, with its passphrase asked for if it has one.
    async fn private_key(&self, path: &Path) -> Result<Arc<PrivateKey>> {
        // Held while the user types: the other hosts that need this key wait for the same answer.
        let mut keys = self.keys.lock().await;
        if let Some(key) = keys.get(path) {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(self.decrypt(path).await?);
        keys.insert(path.to_owned(), Arc::clone(&key));
        Ok(key)
    }

    async fn decrypt(&self, path: &Path) -> Result<PrivateKey> {
        let mut passphrase: Option<Text> = None;
        for tries in 0..=PASSPHRASE_TRIES {
            let loaded = {
                let (path, passphrase) = (path.to_owned(), passphrase.clone());
                // Deriving a key from a passphrase takes some 100 ms of CPU.
                let load = move || russh::keys::load_secret_key(&path, passphrase.as_ref().map(Text::as_str));
                tokio::task::spawn_blocking(load).await.expect("reading a key does not panic")
            };
            let error = match loaded {
                Ok(key) => return Ok(key),
                Err(russh::keys::Error::IO(error)) => return Err(unreadable(path, &plain(&error))),
                Err(error) => error,
            };
            let encrypted = passphrase.is_some() || matches!(error, russh::keys::Error::KeyIsEncrypted) || is_encrypted(path);
            if !encrypted {
                return Err(unreadable(path, &error.to_string()));
            }
            if tries == PASSPHRASE_TRIES {
                break;
            }
            let again = if tries > 0 { "that is not it; " } else { "" };
            let prompt = format!("{again}passphrase of {}", path.display());
            passphrase = self.ask(Question { prompt, echo: false }).await;
            if passphrase.is_none() {
                let cause = if self.ask.is_some() {
                    "no passphrase was given"
                } else {
                    "it is encrypted and there is no terminal to ask for its passphrase on"
                };
                return Err(unreadable(path, cause).hint(format!("run `ssh-add {}` first", path.display())));
            }
        }
        Err(unreadable(path, "none of the passphrases opens it"))
    }

    async fn ask(&self, question: Question) -> Option<Text> {
        let ask = self.ask.clone()?;
        // A thread of its own: nothing waits for it where the run ends before the answer.
        let (answer, answered) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || _ = answer.send(ask(&question)));
        answered.await.ok()?
    }
}

fn unreadable(path: &Path, cause: &str) -> Error {
    Error::new(ErrorKind::Configuration, format!("read the key {}: {cause}", path.display()))
}

fn is_encrypted(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.contains("ENCRYPTED") || PrivateKey::from_openssh(&text).is_ok_and(|key| key.is_encrypted())
}

/// One authentication on one connection.
struct Attempt<'a> {
    handle: &'a mut Handle<Client>,
    target: &'a Target,
    keyring: &'a Keyring,
    /// What the server still takes; unknown before its first answer.
    methods: Option<MethodSet>,
    /// For the error: ``key /home/me/.ssh/id_ed25519``.
    tried: Vec<String>,
    rsa_hash: Option<HashAlg>,
    /// Keys that could not be tried.
    unusable: Vec<Error>,
}

/// Logs in, or says what was tried.
///
/// Order: keys that the user named (through the agent where it has them), other keys of the agent, OpenSSH's default
/// files, then the password, then the server's questions. `trusted` is false when the host's key was not the known one:
/// no secret goes to such a host.
pub(super) async fn log_in(handle: &mut Handle<Client>, target: &Target, keyring: &Keyring, trusted: bool) -> Result<()> {
    let mut attempt = Attempt { handle, target, keyring, methods: None, tried: Vec::new(), rsa_hash: None, unusable: Vec::new() };
    let credentials = &target.credentials;
    let methods = credentials.methods;
    if (methods.public_key && attempt.public_keys(credentials).await?)
        || (trusted && methods.password && attempt.password(credentials).await?)
        || (trusted && methods.keyboard_interactive && attempt.questions(credentials).await?)
        || (attempt.tried.is_empty() && attempt.nothing().await?)
    {
        return Ok(());
    }
    if attempt.handle.is_closed() {
        return Err(Error::new(
            ErrorKind::Authentication,
            format!("the server closed the connection after it refused {}", listed(&attempt.tried)),
        )
        .hint("too many keys? name the right one with `ansible_ssh_private_key_file` or `IdentitiesOnly yes`"));
    }
    let accepts = attempt.methods.as_ref().map_or_else(String::new, |methods| {
        let names: Vec<&str> = methods.iter().map(<&str>::from).collect();
        if names.is_empty() { String::new() } else { format!("; the server accepts {}", names.join(", ")) }
    });
    let unusable = attempt.unusable.iter().fold(String::new(), |text, error| format!("{text}; {error}"));
    let error = Error::new(ErrorKind::Authentication, format!("the server refused {}{accepts}{unusable}", listed(&attempt.tried)));
    if let Some(hint) = attempt.unusable.into_iter().find_map(|error| error.hint) {
        return Err(error.hint(hint));
    }
    Err(error.hint(format!(
        "try `ssh -p {} {}@{}`; keys are named by `ansible_ssh_private_key_file` or `--private-key`",
        target.port, target.user, target.host
    )))
}

fn listed(tried: &[String]) -> String {
    if tried.is_empty() { "the user: there is no key or password to try".to_owned() } else { tried.join(", ") }
}

impl Attempt<'_> {
    async fn public_keys(&mut self, credentials: &Credentials) -> Result<bool> {
        let mut agent = match &credentials.agent {
            Some(socket) => AgentClient::connect_uds(socket).await.ok().map(AgentClient::dynamic),
            None => None,
        };
        let mut held = match &mut agent {
            Some(agent) => agent.request_identities().await.unwrap_or_default(),
            None => Vec::new(),
        };
        for (path, named) in
            credentials.keys.iter().map(|path| (path, true)).chain(credentials.default_keys.iter().map(|path| (path, false)))
        {
            if !self.takes(MethodKind::PublicKey) {
                return Ok(false);
            }
            if !named && !path.exists() {
                continue;
            }
            if !named
                && !credentials.identities_only
                && !held.is_empty()
                && self.agent_keys(agent.as_mut(), std::mem::take(&mut held)).await?
            {
                return Ok(true);
            }
            let public = public_half(path);
            if let Some(index) =
                public.as_ref().and_then(|key| held.iter().position(|identity| identity.public_key().key_data() == key.key_data()))
            {
                let identity = held.remove(index);
                if self.agent_keys(agent.as_mut(), vec![identity]).await? {
                    return Ok(true);
                }
                continue;
            }
            if self.key_file(path, public, credentials).await? {
                return Ok(true);
            }
        }
        Ok(!credentials.identities_only && self.agent_keys(agent.as_mut(), held).await?)
    }

    async fn agent_keys<S: AgentStream + Send + Unpin>(
        &mut self,
        agent: Option<&mut AgentClient<S>>,
        identities: Vec<AgentIdentity>,
    ) -> Result<bool> {
        let Some(agent) = agent else { return Ok(false) };
        for identity in identities {
            if !self.takes(MethodKind::PublicKey) {
                return Ok(false);
            }
            let hash = self.hash_for(&identity.public_key()).await?;
            self.tried.push(format!("the agent's key `{}`", identity.comment()));
            let user = self.target.user.clone();
            let answer = match identity {
                AgentIdentity::PublicKey { key, .. } => self.handle.authenticate_publickey_with(user, key, hash, agent).await,
                AgentIdentity::Certificate { certificate, .. } => {
                    self.handle.authenticate_certificate_with(user, certificate, hash, agent).await
                }
            };
            // An agent that refuses to sign (a locked one, a confirmation denied) is one key less.
            if let Ok(answer) = answer
                && self.accepted(answer)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn key_file(&mut self, path: &Path, public: Option<PublicKey>, credentials: &Credentials) -> Result<bool> {
        self.tried.push(format!("the key {}", path.display()));
        // The passphrase of a key that the server does not want is not asked for.
        if let Some(public) = public.as_ref().filter(|_| is_encrypted(path))
            && !self.would_accept(public).await?
        {
            return Ok(false);
        }
        let key = match self.keyring.private_key(path).await {
            Ok(key) => key,
            Err(error) if credentials.required_key.as_deref() == Some(path) => return Err(error),
            Err(error) => {
                self.tried.pop();
                self.unusable.push(error);
                return Ok(false);
            }
        };
        for certificate in certificates(path, credentials, key.public_key()) {
            let answer = self.handle.authenticate_openssh_cert(self.target.user.clone(), Arc::clone(&key), certificate).await?;
            if self.accepted(answer) {
                return Ok(true);
            }
        }
        let hash = self.hash_for(key.public_key()).await?;
        let answer = self.handle.authenticate_publickey(self.target.user.clone(), PrivateKeyWithHashAlg::new(key, hash)).await?;
        Ok(self.accepted(answer))
    }

    /// Offers a public key and gives up when the server asks for the signature.
    async fn would_accept(&mut self, key: &PublicKey) -> Result<bool> {
        struct Asked(bool);
        struct Stop;
        impl From<russh::SendError> for Stop {
            fn from(_: russh::SendError) -> Self {
                Self
            }
        }
        impl russh::Signer for Asked {
            type Error = Stop;
            async fn auth_sign(&mut self, _: &AgentIdentity, _: Option<HashAlg>, _: Vec<u8>) -> Result<Vec<u8>, Stop> {
                self.0 = true;
                Err(Stop)
            }
        }
        let hash = self.hash_for(key).await?;
        let mut asked = Asked(false);
        if let Ok(answer) = self.handle.authenticate_publickey_with(self.target.user.clone(), key.clone(), hash, &mut asked).await {
            self.accepted(answer);
        }
        Ok(asked.0)
    }

    /// The signature's hash for an RSA key; servers that do not say take SHA-256 (OpenSSH since 7.2).
    async fn hash_for(&mut self, key: &PublicKey) -> Result<Option<HashAlg>> {
        if !key.algorithm().is_rsa() {
            return Ok(None);
        }
        if self.rsa_hash.is_none() {
            self.rsa_hash = Some(self.handle.best_supported_rsa_hash().await?.flatten().unwrap_or(HashAlg::Sha256));
        }
        Ok(self.rsa_hash)
    }

    async fn password(&mut self, credentials: &Credentials) -> Result<bool> {
        let Some(password) = &credentials.password else { return Ok(false) };
        if !self.takes(MethodKind::Password) {
            return Ok(false);
        }
        self.tried.push("the password".to_owned());
        let answer = self.handle.authenticate_password(self.target.user.clone(), password.as_str()).await?;
        Ok(self.accepted(answer))
    }

    /// Keyboard-interactive: a hidden question is answered with the password, other ones by the user.
    async fn questions(&mut self, credentials: &Credentials) -> Result<bool> {
        if (credentials.password.is_none() && self.keyring.ask.is_none()) || !self.takes(MethodKind::KeyboardInteractive) {
            return Ok(false);
        }
        self.tried.push("answers to its questions".to_owned());
        let mut password = credentials.password.clone();
        let mut answer = self.handle.authenticate_keyboard_interactive_start(self.target.user.clone(), None).await?;
        loop {
            match answer {
                KeyboardInteractiveAuthResponse::Success => return Ok(true),
                KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success } => {
                    return Ok(self.accepted(AuthResult::Failure { remaining_methods, partial_success }));
                }
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                    let mut responses = Vec::new();
                    for prompt in prompts {
                        // A password that was wrong once is not sent twice.
                        let known = if prompt.echo { None } else { password.take() };
                        let given = if known.is_some() {
                            known
                        } else {
                            let text = format!("{}: {}", self.target.name, prompt.prompt.trim());
                            self.keyring.ask(Question { prompt: text, echo: prompt.echo }).await
                        };
                        let Some(given) = given else { return Ok(false) };
                        responses.push(given.as_str().to_owned());
                    }
                    answer = self.handle.authenticate_keyboard_interactive_respond(responses).await?;
                }
            }
        }
    }

    /// For a server that lets the user in as he is, and to learn what it accepts.
    async fn nothing(&mut self) -> Result<bool> {
        let answer = self.handle.authenticate_none(self.target.user.clone()).await?;
        Ok(self.accepted(answer))
    }

    fn takes(&self, method: MethodKind) -> bool {
        !self.handle.is_closed() && self.methods.as_ref().is_none_or(|methods| methods.contains(&method))
    }

    /// Remembers what the server says it takes next; several methods may be needed one after the other.
    fn accepted(&mut self, answer: AuthResult) -> bool {
        match answer {
            AuthResult::Success => true,
            AuthResult::Failure { remaining_methods, .. } => {
                self.methods = Some(remaining_methods);
                false
            }
        }
    }
}

/// The public half of a key file without its passphrase: from `KEY.pub`, or from OpenSSH's own format.
fn public_half(path: &Path) -> Option<PublicKey> {
    let beside = PathBuf::from(format!("{}.pub", path.display()));
    // `IdentityFile key.pub` names a key that only the agent has.
    PublicKey::read_openssh_file(beside).or_else(|_| PublicKey::read_openssh_file(path)).ok().or_else(|| {
        let text = std::fs::read_to_string(path).ok()?;
        Some(PrivateKey::from_openssh(text).ok()?.public_key().clone())
    })
}

/// `KEY-cert.pub` and `CertificateFile`s that are for this key.
fn certificates(path: &Path, credentials: &Credentials, key: &PublicKey) -> Vec<Certificate> {
    let beside = PathBuf::from(format!("{}-cert.pub", path.display()));
    let files = std::iter::once(&beside).chain(&credentials.certificates);
    files.filter_map(|file| Certificate::read_file(file).ok()).filter(|certificate| certificate.public_key() == key.key_data()).collect()
}
