//! Where and as whom to connect: what the inventory says, OpenSSH's configuration below it, its defaults last.

use std::path::PathBuf;
use std::time::Duration;

use super::config::{Options, Person, expand_home};
use super::error::{Error, ErrorKind, Result};
use super::known_hosts::HostKeyPolicy;
use crate::program::Text;

/// What an inventory or a command line says of a host; everything that is `None` comes from OpenSSH's files.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The user's name of the host, for sentences and as the name that `Host` lines match unless `host` is given.
    pub name: String,
    /// `ansible_host`: an address, or another name.
    pub host: Option<String>,
    /// `ansible_port`.
    pub port: Option<u16>,
    /// `ansible_user`, `-u`.
    pub user: Option<String>,
    /// `ansible_ssh_private_key_file`, `--private-key`: tried first.
    pub private_key: Option<PathBuf>,
    /// `ansible_password`.
    pub password: Option<Text>,
    /// Words of `ansible_ssh_args`, `ansible_ssh_common_args` and `ansible_ssh_extra_args`, weaker than the fields above.
    pub arguments: Vec<String>,
    /// `ansible_host_key_checking`: `false` is `StrictHostKeyChecking no`.
    pub host_key_checking: Option<bool>,
    /// Keys that we gave the host ourselves: nothing else is believed then.
    pub pinned: Option<HostKeyPolicy>,
    /// `ansible_timeout`, for the network connection; OpenSSH's `ConnectTimeout`, else 10 s.
    pub timeout: Option<Duration>,
}

/// A checked [`Request`].
#[derive(Clone, Debug)]
pub struct Target {
    pub name: String,
    pub host: String,
    pub port: u16,
    pub user: String,
    pub credentials: Credentials,
    pub host_keys: HostKeyPolicy,
    /// The name under which known_hosts has the host, without its port.
    pub host_key_alias: Option<String>,
    pub route: Route,
    pub timeout: Duration,
    /// What only the `ssh` program can do, as [`Options::unsupported`] has it.
    pub unsupported: Vec<String>,
    /// What the `ssh` program is given should it be needed.
    pub arguments: Vec<String>,
}

/// How the bytes get to the host.
#[derive(Clone, Debug)]
pub enum Route {
    Direct,
    /// Through another host's SSH server.
    Jump(Box<Target>),
    /// A command whose standard input and output are the connection, tokens expanded.
    Command(String),
}

#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// Named by the user, in order. One that cannot be used is passed over, as ssh(1) does, and named in the error.
    pub keys: Vec<PathBuf>,
    /// The one of them that the inventory or the command line names: if that cannot be read nothing else is tried.
    pub required_key: Option<PathBuf>,
    /// OpenSSH's default files: tried last, absent ones skipped.
    pub default_keys: Vec<PathBuf>,
    pub certificates: Vec<PathBuf>,
    /// The agent's socket.
    pub agent: Option<PathBuf>,
    /// Of the agent, only keys named here.
    pub identities_only: bool,
    pub password: Option<Text>,
    /// `PreferredAuthentications` and the `…Authentication no` switches.
    pub methods: Methods,
}

#[derive(Clone, Copy, Debug)]
pub struct Methods {
    pub public_key: bool,
    pub password: bool,
    pub keyboard_interactive: bool,
}

impl Default for Methods {
    fn default() -> Self {
        Self { public_key: true, password: true, keyboard_interactive: true }
    }
}

/// The person and the surroundings that a target is resolved in: the process's own, or a test's.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    pub person: Person,
    /// `SSH_AUTH_SOCK`.
    pub agent: Option<PathBuf>,
}

impl Surroundings {
    /// This process's.
    pub fn current() -> Self {
        let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
        let name = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map_or_else(|| "root".to_owned(), |user| user.name);
        Self { person: Person { home, name }, agent: std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from) }
    }
}

/// A jump through more hosts than this is taken for a circle.
const MOST_JUMPS: u8 = 8;

impl Target {
    /// Applies OpenSSH's configuration to a request.
    pub fn resolve(request: &Request, surroundings: &Surroundings) -> Result<Self> {
        Self::resolve_from(request, surroundings, None, 0).map_err(|error| error.while_doing(format!("connect to `{}`", request.name)))
    }

    fn resolve_from(request: &Request, surroundings: &Surroundings, file: Option<PathBuf>, depth: u8) -> Result<Self> {
        let person = &surroundings.person;
        let given = request.host.clone().unwrap_or_else(|| request.name.clone());
        let mut options = Options::from_arguments(&request.arguments)?;
        if options.file.is_none() {
            options.file = file;
        }
        if request.host_key_checking == Some(false) {
            options.set("StrictHostKeyChecking", "no");
        }
        options.read_files(&given, person)?;

        let host = options.host_name(&given);
        let port = match (request.port, options.first("port")) {
            (Some(port), _) => port,
            (None, Some(text)) => {
                text.parse().map_err(|_| Error::new(ErrorKind::Configuration, format!("port `{text}` is not a number up to 65535")))?
            }
            (None, None) => 22,
        };
        let user = request.user.clone().or_else(|| options.first("user").map(str::to_owned)).unwrap_or_else(|| person.name.clone());
        let tokens = Tokens { given: &given, host: &host, port, user: &user, person };
        let timeout = request.timeout.or_else(|| options.first("connecttimeout")?.parse().ok().map(Duration::from_secs));

        Ok(Self {
            name: request.name.clone(),
            credentials: credentials(request, &options, &tokens, surroundings),
            host_keys: host_keys(request, &options, &tokens),
            host_key_alias: options.first("hostkeyalias").map(str::to_owned),
            route: route(&options, &tokens, surroundings, depth)?,
            timeout: timeout.unwrap_or(Duration::from_secs(10)),
            unsupported: options.unsupported.clone(),
            arguments: request.arguments.clone(),
            host,
            port,
            user,
        })
    }

    /// ``connect to `worker-1` (root@10.0.0.3:22)``: how errors begin.
    pub(crate) fn attempt(&self) -> String {
        format!("connect to `{}` ({}@{}:{})", self.name, self.user, self.host, self.port)
    }
}

fn credentials(request: &Request, options: &Options, tokens: &Tokens, surroundings: &Surroundings) -> Credentials {
    let configured = options.all("identityfile").into_iter().filter(|file| *file != "none").map(|file| tokens.path(file));
    let mut keys: Vec<PathBuf> = request.private_key.clone().into_iter().chain(configured).collect();
    let mut seen = Vec::new();
    keys.retain(|key| {
        !seen.contains(key) && {
            seen.push(key.clone());
            true
        }
    });
    let defaults = ["id_rsa", "id_ecdsa", "id_ed25519"].map(|name| surroundings.person.home.join(".ssh").join(name));
    let preferred = options.first("preferredauthentications");
    let wants = |method: &str| preferred.is_none_or(|list| list.split(',').any(|name| name.trim() == method));
    let keyboard = options.flag("kbdinteractiveauthentication", true) && options.flag("challengeresponseauthentication", true);
    Credentials {
        default_keys: if keys.is_empty() && options.all("identityfile").is_empty() { defaults.into() } else { Vec::new() },
        keys,
        required_key: request.private_key.clone(),
        certificates: options.all("certificatefile").into_iter().map(|file| tokens.path(file)).collect(),
        agent: match options.first("identityagent") {
            Some("none") => None,
            Some("SSH_AUTH_SOCK") | None => surroundings.agent.clone(),
            Some(variable) if variable.starts_with('$') && !variable.contains('{') => std::env::var_os(&variable[1..]).map(PathBuf::from),
            Some(path) => Some(tokens.path(path)),
        },
        identities_only: options.flag("identitiesonly", false),
        password: request.password.clone(),
        methods: Methods {
            public_key: options.flag("pubkeyauthentication", true) && wants("publickey"),
            password: options.flag("passwordauthentication", true) && wants("password"),
            keyboard_interactive: keyboard && wants("keyboard-interactive"),
        },
    }
}

fn host_keys(request: &Request, options: &Options, tokens: &Tokens) -> HostKeyPolicy {
    if let Some(pinned) = &request.pinned {
        return pinned.clone();
    }
    let files = |keyword: &str, defaults: &[&str]| -> Vec<PathBuf> {
        let named = options.arguments(keyword).map(|files| files.iter().map(String::as_str).collect::<Vec<_>>());
        named.unwrap_or_else(|| defaults.to_vec()).into_iter().filter(|file| *file != "none").map(|file| tokens.path(file)).collect()
    };
    let mut all = files("userknownhostsfile", &["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]);
    all.extend(files("globalknownhostsfile", &["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]));
    match options.first("stricthostkeychecking").map(str::to_ascii_lowercase).as_deref() {
        Some("no" | "off" | "false") => HostKeyPolicy::Unchecked { files: all },
        checking => HostKeyPolicy::KnownHosts { files: all, accept_new: checking == Some("accept-new") },
    }
}

fn route(options: &Options, tokens: &Tokens, surroundings: &Surroundings, depth: u8) -> Result<Route> {
    let Some(keyword) = options.earlier(["proxyjump", "proxycommand"]) else { return Ok(Route::Direct) };
    let value = options.first(keyword).unwrap_or_default();
    if value.eq_ignore_ascii_case("none") {
        return Ok(Route::Direct);
    }
    if keyword == "proxycommand" {
        return Ok(Route::Command(tokens.expand(value)));
    }
    if depth == MOST_JUMPS {
        return Err(Error::new(ErrorKind::Configuration, format!("more than {MOST_JUMPS} jump hosts, a circle of ProxyJump")));
    }
    // The last named host is the nearest to the target; the one before it is its own jump host.
    let mut chain: Option<Target> = None;
    for hop in value.split(',') {
        let (user, host, port) = parse_hop(hop.trim())
            .ok_or_else(|| Error::new(ErrorKind::Configuration, format!("jump host `{hop}` is not [user@]host[:port]")))?;
        let mut hop_options = Request { name: host, user, port, ..Request::default() };
        if chain.is_some() {
            hop_options.arguments = vec!["-oProxyJump=none".to_owned()];
        }
        let mut target = Target::resolve_from(&hop_options, surroundings, options.file.clone(), depth + 1)?;
        if let Some(before) = chain.take() {
            target.route = Route::Jump(Box::new(before));
        }
        chain = Some(target);
    }
    Ok(chain.map_or(Route::Direct, |target| Route::Jump(Box::new(target))))
}

/// `[user@]host[:port]`, `ssh://[user@]host[:port]`, `[::1]:22`.
fn parse_hop(text: &str) -> Option<(Option<String>, String, Option<u16>)> {
    let text = text.strip_prefix("ssh://").unwrap_or(text);
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, text),
    };
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match rest.split_once(':') {
            // More than one colon: a bare IPv6 address.
            Some((_, after)) if after.contains(':') => (rest, None),
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    let port = match port {
        Some(port) => Some(port.parse().ok()?),
        None => None,
    };
    (!host.is_empty()).then(|| (user, host.to_owned(), port))
}

/// What the `%` tokens of ssh_config(5) stand for.
struct Tokens<'a> {
    given: &'a str,
    host: &'a str,
    port: u16,
    user: &'a str,
    person: &'a Person,
}

impl Tokens<'_> {
    fn expand(&self, text: &str) -> String {
        let mut result = String::with_capacity(text.len());
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                result.push(letter);
                continue;
            }
            match letters.next() {
                Some('%') => result.push('%'),
                Some('h') => result.push_str(self.host),
                Some('n') => result.push_str(self.given),
                Some('p') => result.push_str(&self.port.to_string()),
                Some('r') => result.push_str(self.user),
                Some('u') => result.push_str(&self.person.name),
                Some('d') => result.push_str(&self.person.home.to_string_lossy()),
                Some('i') => result.push_str(&nix::unistd::getuid().to_string()),
                Some(other) => result.extend(['%', other]),
                None => result.push('%'),
            }
        }
        result
    }

    fn path(&self, text: &str) -> PathBuf {
        expand_home(&variables(&self.expand(text)), self.person)
    }
}

/// `${NAME}`; an absent variable stays as it is, and the file is then not found under that name.
fn variables(text: &str) -> String {
    let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
    match rest.split_once('}') {
        Some((name, after)) => {
            let value = std::env::var(name).unwrap_or_else(|_| format!("${{{name}}}"));
            format!("{before}{value}{}", variables(after))
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(config: &str, request: Request) -> Result<Target> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("config");
        std::fs::write(&file, config).expect("write");
        let surroundings = Surroundings { person: Person { home: PathBuf::from("/home/me"), name: "me".to_owned() }, agent: None };
        let mut arguments = request.arguments.clone();
        arguments.extend(["-F".to_owned(), file.display().to_string()]);
        Target::resolve(&Request { arguments, ..request }, &surroundings)
    }

    fn named(name: &str) -> Request {
        Request { name: name.to_owned(), ..Request::default() }
    }

    #[test]
    fn the_inventory_is_stronger_than_the_configuration() {
        let config = "Host *\n User config\n Port 1\n";
        let target = resolve(config, Request { user: Some("inventory".into()), ..named("web") }).expect("valid");
        assert_eq!((&*target.user, target.port), ("inventory", 1));
    }

    #[test]
    fn without_any_word_the_defaults_are_openssh_s() {
        let target = resolve("", named("web")).expect("valid");
        assert_eq!((&*target.host, target.port, &*target.user), ("web", 22, "me"));
        assert_eq!(target.credentials.default_keys[0], PathBuf::from("/home/me/.ssh/id_rsa"));
        assert!(matches!(target.host_keys, HostKeyPolicy::KnownHosts { accept_new: false, .. }));
    }

    #[test]
    fn jump_hosts_chain_from_the_first_to_the_last() {
        let target = resolve("Host b\n User bee\n HostName b.example.org\n", Request { arguments: vec!["-Ja:7,b".into()], ..named("web") })
            .expect("valid");
        let Route::Jump(near) = target.route else { panic!("a jump") };
        assert_eq!((&*near.host, &*near.user), ("b.example.org", "bee"));
        let Route::Jump(far) = near.route else { panic!("a second jump") };
        assert_eq!((&*far.host, far.port), ("a", 7));
        assert!(matches!(far.route, Route::Direct));
    }

    #[test]
    fn a_circle_of_jump_hosts_is_refused() {
        let error = resolve("Host *\n ProxyJump gate\n", named("web")).expect_err("a circle");
        assert_eq!(error.message, "connect to `web`: more than 8 jump hosts, a circle of ProxyJump");
    }

    #[test]
    fn proxy_command_tokens_are_expanded() {
        let target = resolve("Host web\n HostName 10.0.0.3\n ProxyCommand nc -x gate %h %p # %n %r %%\n", named("web")).expect("valid");
        let Route::Command(command) = target.route else { panic!("a command") };
        assert_eq!(command, "nc -x gate 10.0.0.3 22 # web me %");
    }

    #[test]
    fn host_key_checking_off_is_stronger_than_the_files_and_reads_known_hosts_all_the_same() {
        let target = resolve(
            "StrictHostKeyChecking yes\n",
            Request { host_key_checking: Some(false), arguments: vec!["-oUserKnownHostsFile=/dev/null".into()], ..named("web") },
        )
        .expect("valid");
        let HostKeyPolicy::Unchecked { files } = target.host_keys else { panic!("unchecked") };
        assert_eq!(files[0], PathBuf::from("/dev/null"));
    }

    #[test]
    fn a_pinned_key_wins_over_every_file() {
        let pinned = Some(HostKeyPolicy::Pinned(Vec::new()));
        let target = resolve("StrictHostKeyChecking no\n", Request { pinned, ..named("web") }).expect("valid");
        assert!(matches!(target.host_keys, HostKeyPolicy::Pinned(_)));
    }

    #[test]
    fn hops_are_parsed_in_every_form() {
        let hop = |text: &str| parse_hop(text).expect("valid");
        assert_eq!(hop("ssh://a@b:3"), (Some("a".into()), "b".into(), Some(3)));
        assert_eq!(hop("[::1]:3"), (None, "::1".into(), Some(3)));
        assert_eq!(hop("fe80::1"), (None, "fe80::1".into(), None));
        assert_eq!(parse_hop("a:x"), None);
    }
}
