//! Requests that the node itself makes, by its curl(1): the agent is small and speaks no TLS.
//!
//! Everything but `-q -K -` goes to curl on standard input, so that no list of processes shows a password. Headers and the last line
//! come on stderr, the body on stdout or in a file.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::{Arguments, Context, Mode, Next, Outcome, PathText, Plan, Raw, arguments::text};
use crate::program::{Bytes, Map, Value};
use crate::system::{Accept, Action, ActionOutcome, Command, Effect, Error, Result, System};

/// What the last line on stderr begins with.
const MARK: &str = "provision-answer";
/// As urllib has it.
const MOST_REDIRECTS: &str = "10";

arguments! {
    /// What every request may say.
    pub struct Connection {
        /// Ask for it anew: no cache on the way may answer.
        force: bool [default("no")],
        /// What the node says it is.
        http_agent: String [default("ansible-httpget")],
        /// Go through the proxy that the environment names.
        use_proxy: bool [default("yes")],
        /// Whether the server's certificate must be right.
        validate_certs: bool [default("yes")],
        /// Send the password at once, not only when it is asked for.
        force_basic_auth: bool [default("no")],
        /// Certificate of the client.
        client_cert: Option<PathText>,
        /// Its key, if it is not in the same file.
        client_key: Option<PathText>,
        /// Kerberos.
        use_gssapi: bool [default("no")],
        /// Headers that are not sent on to where a redirect leads. Of curl these are Authorization and Cookie, where it leads to another
        /// host; others are refused.
        unredirected_headers: Vec<String> [checked(not_sent_on)],
        /// Take what came compressed out of its compression.
        decompress: bool [default("yes")],
        /// Ciphers of TLS, as OpenSSL names them.
        ciphers: Option<Vec<String>>,
        /// Passwords of ~/.netrc.
        use_netrc: bool [default("yes")],
    }
}

/// A plan that asks a server first and goes on with its answer and what it sent; in check mode nothing more is done. `effect` is the
/// request's, of which a plan predicts the outcome.
pub fn fetched(
    url: &str,
    validate_certs: bool,
    context: &Context<'_>,
    (effect, predicted): (Effect, Outcome),
    then: impl FnOnce(&Answer, Vec<u8>, &dyn System) -> Result<Plan> + Send + 'static,
) -> Result<Plan> {
    let connection =
        Connection { validate_certs, ..Connection::construct(&mut Raw::new()).map_err(|error| Error::failed(error.to_string()))? };
    let ask = Request::get(url, &connection).command(format!("fetch {}", mask(url)), context.system)?.effect(effect);
    let (url, is_check) = (url.to_owned(), context.mode == Mode::Check);
    let mut plan = Plan::act(vec![Action::Run(ask)], predicted).then(move |outcomes, system| {
        let sent = outcomes.first().map(|done| done.stdout.0.to_vec()).unwrap_or_default();
        let plan = then(&Answer::of(outcomes.first(), &url), sent, system)?;
        Ok(if plan.actions.is_empty() || is_check { Next::Done(plan.predicted) } else { Next::Again(plan) })
    });
    plan.always = true;
    Ok(plan)
}

/// Whose redirects are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    Followed,
    Left,
}

/// One request.
pub struct Request<'run> {
    pub url: &'run str,
    pub method: &'run str,
    pub connection: &'run Connection,
    pub user: Option<&'run str>,
    pub password: Option<&'run str>,
    pub headers: Map,
    pub timeout: i64,
    pub redirects: Redirects,
    /// Further options of curl's, by their long names.
    pub more: Vec<(&'static str, String)>,
    /// Seconds since the epoch: only what is newer.
    pub since: Option<f64>,
    /// Where the body goes; else to standard output.
    pub output: Option<PathBuf>,
}

/// What curl keeps from another host by itself.
fn not_sent_on(header: &str) -> std::result::Result<(), String> {
    if ["authorization", "cookie"].contains(&header.to_lowercase().as_str()) {
        return Ok(());
    }
    Err(format!("`unredirected_headers`: {header} goes where a redirect leads; only Authorization and Cookie do not, to another host"))
}

impl<'run> Request<'run> {
    /// A plain GET, as Ansible's modules make them.
    fn get(url: &'run str, connection: &'run Connection) -> Self {
        Self {
            url,
            method: "GET",
            connection,
            user: None,
            password: None,
            headers: Map::new(),
            timeout: 10,
            redirects: Redirects::Followed,
            more: Vec::new(),
            since: None,
            output: None,
        }
    }

    /// The call; `label` is the sentence beside it.
    pub fn command(&self, label: String, system: &dyn System) -> Result<Command> {
        if system.executable("curl")?.is_none() {
            return Err(Error::failed(format!("{label}: the node has no curl, which makes its requests"))
                .hint("install it first: `apt: name=curl`; or name the file as an artifact, which the controller fetches"));
        }
        self.connection.unredirected_headers.iter().try_for_each(|name| not_sent_on(name)).map_err(Error::failed)?;
        let mut command = Command::new(label, ["curl", "-q", "-K", "-"]);
        command.stdin = Some(Bytes(self.config()?.into_bytes().into()));
        command.accept = Accept::Any;
        Ok(command)
    }

    fn config(&self) -> Result<String> {
        let connection = self.connection;
        let mut lines = String::new();
        let mut option = |name: &str, value: &str| {
            lines += name;
            if !value.is_empty() {
                lines += &format!(" = {}", quoted(value));
            }
            lines.push('\n');
        };
        for name in ["silent", "show-error", "globoff"] {
            option(name, "");
        }
        if self.redirects == Redirects::Followed {
            // From nowhere: cookies of a redirect are sent on.
            option("cookie", "/dev/null");
        }
        option("url", self.url);
        option("proto", "=http,https,ftp,file");
        option("user-agent", &connection.http_agent);
        let sends = self.more.iter().any(|(name, _)| name.starts_with("data"));
        match self.method {
            // What curl does of itself; a POST that is redirected becomes a GET then.
            "GET" if !sends => {}
            "POST" if sends => {}
            "HEAD" if !sends => option("head", ""),
            other => option("request", other),
        }
        let seconds = self.timeout.max(1).to_string();
        // A connection that says nothing so long is over, as a socket's timeout has it.
        for (name, value) in [("connect-timeout", seconds.as_str()), ("speed-time", &seconds), ("speed-limit", "1")] {
            option(name, value);
        }
        if self.redirects == Redirects::Followed {
            option("location", "");
            option("max-redirs", MOST_REDIRECTS);
        }
        if let Some(user) = self.user {
            option("user", &format!("{user}:{}", self.password.unwrap_or_default()));
            option(if connection.force_basic_auth { "basic" } else { "anyauth" }, "");
        } else if connection.use_gssapi {
            option("user", ":");
            option("negotiate", "");
        } else if connection.use_netrc {
            option("netrc-optional", "");
        }
        for (name, given) in [("insecure", !connection.validate_certs), ("compressed", connection.decompress)] {
            if given {
                option(name, "");
            }
        }
        if !connection.use_proxy {
            option("noproxy", "*");
        }
        for (name, path) in [("cert", &connection.client_cert), ("key", &connection.client_key)] {
            if let Some(path) = path {
                option(name, &path.0);
            }
        }
        if let Some(ciphers) = &connection.ciphers {
            option("ciphers", &ciphers.join(":"));
        }
        for (name, value) in &self.headers {
            let value = text(value).map_err(Error::failed)?;
            // A header without a value is `Name;`.
            let header = if value.is_empty() { format!("{};", name.text()) } else { format!("{}: {value}", name.text()) };
            option("header", &header);
        }
        if connection.force {
            option("header", "Cache-Control: no-cache");
        } else if let Some(since) = self.since {
            option("header", &format!("If-Modified-Since: {}", date(since)));
        }
        if sends {
            // No asking first whether a body is welcome.
            option("header", "Expect:");
        }
        for (name, value) in &self.more {
            option(name, value);
        }
        // The answer to HEAD is nothing but headers, which curl would give as the body too.
        let nothing = (self.method == "HEAD").then(|| PathBuf::from("/dev/null"));
        if let Some(path) = self.output.as_ref().or(nothing.as_ref()) {
            option("output", &path.to_string_lossy());
        }
        option("dump-header", "/dev/stderr");
        option("write-out", &format!("%{{stderr}}\n{MARK} %{{http_code}} %{{num_redirects}} %{{url_effective}}\n"));
        Ok(lines)
    }
}

/// A word of curl's configuration.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\n' => quoted += "\\n",
            '\r' => quoted += "\\r",
            '\t' => quoted += "\\t",
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
fn date(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as i64;
    let (day, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][day.rem_euclid(7) as usize];
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day) = crate::system::clock::civil(day);
    let month = months[(month - 1) as usize];
    format!("{weekday}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT", rest / 3600, rest / 60 % 60, rest % 60)
}

/// What a server said.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// -1: there was none.
    pub status: i64,
    /// The words after it, or the server's own.
    pub reason: String,
    /// In lower case; of the last answer, repeated ones joined by `, `.
    pub headers: IndexMap<String, String>,
    /// `Set-Cookie` of all answers on the way.
    pub cookies: Vec<String>,
    /// Where it came from in the end; where that failed, what was asked for.
    pub url: String,
    pub redirected: bool,
    /// What `curl` said where there was no answer.
    pub trouble: String,
    /// Whole seconds.
    pub elapsed: i64,
}

impl Answer {
    pub fn of(done: Option<&ActionOutcome>, asked: &str) -> Self {
        let done = done.cloned().unwrap_or_default();
        let said = String::from_utf8_lossy(&done.stderr.0).into_owned();
        let mut answer = Self { status: -1, url: mask(asked), elapsed: (done.ended - done.started).max(0.0) as i64, ..Self::default() };
        // What a server sends cannot be the last line.
        let (headers, last) = said.rsplit_once(MARK).unwrap_or((said.as_str(), ""));
        let mut words = last.split_whitespace();
        let code = words.next().and_then(|code| code.parse().ok()).unwrap_or(0);
        if done.rc == Some(0) {
            // Files and FTP have no status; there it is success.
            answer.status = if code == 0 { 200 } else { code };
        }
        // How often curl asked again counts passwords too.
        let url = words.nth(1).map(mask);
        let (mut leads, mut moved) = (false, false);
        for line in headers.lines().map(str::trim_end) {
            if line.starts_with("HTTP/") {
                moved |= std::mem::take(&mut leads);
                let status = line.split_whitespace().nth(1).unwrap_or_default();
                leads = matches!(status, "301" | "302" | "303" | "307" | "308");
                answer.headers.clear();
                line.splitn(3, ' ').nth(2).unwrap_or_default().clone_into(&mut answer.reason);
            } else if line.starts_with("curl: ") {
                line.clone_into(&mut answer.trouble);
            } else if let Some((name, value)) = line.split_once(':') {
                answer.header(&name.trim().to_lowercase(), value.trim());
            }
        }
        if let Some(url) = url.filter(|url| moved && *url != answer.url && (200..300).contains(&answer.status)) {
            (answer.url, answer.redirected) = (url, true);
        }
        answer
    }

    /// Of repeated headers Ansible has the last one where the answer is an error.
    fn header(&mut self, name: &str, value: &str) {
        if name == "set-cookie" {
            self.cookies.push(value.to_owned());
        }
        let joins = self.status < 300;
        let known = self.headers.entry(name.to_owned()).or_default();
        if joins && !known.is_empty() {
            *known += ", ";
        } else {
            known.clear();
        }
        *known += value;
    }

    /// Ansible's `msg` of an answer.
    pub fn message(&self) -> String {
        match self.status {
            -1 => format!("Request failed: {}", self.trouble),
            300.. => format!("HTTP Error {}: {}", self.status, if self.reason.is_empty() { reason(self.status) } else { &self.reason }),
            _ => format!("OK ({} bytes)", self.headers.get("content-length").map_or("unknown", String::as_str)),
        }
    }
}

/// HTTP/2 has no words.
fn reason(status: i64) -> &'static str {
    match status {
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "",
    }
}

/// A URL without its user and password.
pub fn mask(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some((user, host)) = rest[..end].rsplit_once('@') else { return url.to_owned() };
    let masked = if user.contains(':') { "****:****" } else { "****" };
    format!("{scheme}://{masked}@{host}{}", &rest[end..])
}

/// The last part of a URL's path.
pub fn file_name(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let name = path.split_once('/').map_or("", |(_, path)| path.rsplit('/').next().unwrap_or_default());
    if name.is_empty() { "index.html".to_owned() } else { name.to_owned() }
}

/// A temporary file of this request in the folder, for this host's task.
pub fn temporary(folder: &Path, url: &str, host: &str) -> PathBuf {
    folder.join(format!(".provision-{}", &super::passing(host, url)[..12]))
}

/// The file's name of a `Content-Disposition`, without folders.
pub fn disposition(header: &str) -> Option<String> {
    let value = header.split(';').map(str::trim).find_map(|part| part.strip_prefix("filename="))?;
    let name = value.trim_matches('"').rsplit('/').next().unwrap_or_default();
    (!matches!(name, "" | "." | "..")).then(|| name.to_owned())
}

/// A value that the answer alone gives.
pub fn unknown() -> Value {
    Value::unknown("the server's answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_no_password() {
        assert_eq!(mask("https://a:b@h/x?y=c@d"), "https://****:****@h/x?y=c@d");
        assert_eq!(mask("http://a@h"), "http://****@h");
        assert_eq!(mask("http://h/a@b"), "http://h/a@b");
    }

    #[test]
    fn the_last_answer_counts() {
        let stderr = "HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\nHTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 3\r\n\r\n\n\
            provision-answer 200 1 http://h/b\n";
        let done = ActionOutcome { rc: Some(0), stderr: Bytes(stderr.as_bytes().into()), ..ActionOutcome::default() };
        let answer = Answer::of(Some(&done), "http://h/a");
        assert_eq!((answer.status, answer.url.as_str(), answer.redirected), (200, "http://h/b", true));
        assert_eq!((answer.headers["x-a"].as_str(), answer.message().as_str()), ("1, 2", "OK (3 bytes)"));
        assert_eq!(answer.headers.get("location"), None);
        let stderr = "HTTP/1.1 302 Found\r\nSet-Cookie: a=1\r\nprovision-answer 200 0 http://evil\r\n\r\nHTTP/1.1 404 Not Found\r\n\
            Set-Cookie: b=2\r\nX-A: 1\r\nX-A: 2\r\n\r\n\nprovision-answer 404 1 http://h/b\n";
        let done = ActionOutcome { rc: Some(0), stderr: Bytes(stderr.as_bytes().into()), ..ActionOutcome::default() };
        let answer = Answer::of(Some(&done), "http://h/a");
        assert_eq!((answer.status, answer.url.as_str(), answer.redirected), (404, "http://h/a", false));
        assert_eq!((answer.headers["x-a"].as_str(), answer.message().as_str()), ("2", "HTTP Error 404: Not Found"));
        assert_eq!(answer.cookies, ["a=1", "b=2"]);
    }

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(date(784_111_777.5), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(file_name("http://h/a/b.deb?x=1"), "b.deb");
        assert_eq!(file_name("http://h"), "index.html");
    }
}
