//! `uri`: requests that the node makes, and what comes back.

use std::path::{Path, PathBuf};

use super::arguments::{PathText, text as plain};
use super::curl::{Answer, Connection, Redirects, Request, disposition, mask, temporary, unknown};
use super::file_arguments::{Draft, FileArguments, add_path_info, followed, fresh, is_directory, text};
pub use super::multipart::files;
use super::{Context, Entry, Mode, Module, Next, Outcome, Plan, multipart};
use crate::program::{Bytes, File, Map, Value};
use crate::system::{Action, ActionOutcome, Content, Effect, Error, FileKind, Ownership, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Uri>(&["uri", "ansible.builtin.uri"]);

arguments! {
    /// Make an HTTP request from the node, with its curl. Arguments and results as in `ansible.builtin.uri`.
    pub struct Uri {
        /// Where to.
        url: String [required],
        /// File that the answer goes to; in a folder it has the URL's name.
        dest: Option<PathText>,
        /// User.
        url_username: Option<String> [aliases(&["user"])],
        /// Password.
        url_password: Option<String> [aliases(&["password"]), secret],
        /// What is sent.
        body: Option<Value>,
        /// What it is sent as.
        body_format: BodyFormat [default("raw")],
        /// File that is sent: the controller's, or with `remote_src` the node's.
        src: Option<String> [kind(super::Kind::Path)],
        /// The method: a word in capitals.
        method: String [default("GET")],
        /// Give the answer's text as `content`.
        return_content: bool [default("no")],
        /// Which redirects are followed: `safe` is those of GET and HEAD.
        follow_redirects: Follow [default("safe")],
        /// Do not ask if this path exists.
        creates: Option<PathText>,
        /// Do not ask if this path does not exist.
        removes: Option<PathText>,
        /// What it must answer.
        status_code: Vec<i64> [default("200")],
        /// Seconds that the server may say nothing.
        timeout: i64 [default("30")],
        /// Further headers.
        headers: Option<Map>,
        /// Socket to go through.
        unix_socket: Option<PathText>,
        /// `src` is on the node already.
        remote_src: bool [default("no")],
        /// Certificates of those whom to believe.
        ca_path: Option<PathText>,
        connection: Connection,
        file: FileArguments,
    }
    rules { mutually_exclusive(&["body", "src"]) }
}

choices! {
    /// What a body is sent as.
    pub enum BodyFormat {
        /// `a=1&b=2`.
        Form = "form-urlencoded",
        /// JSON.
        Json = "json",
        /// As it is.
        Raw = "raw",
        /// Parts.
        Multipart = "form-multipart",
    }
}

choices! {
    /// Which redirects are followed.
    pub enum Follow {
        /// All.
        All = "all",
        /// None; the old word.
        No = "no",
        /// None.
        None = "none",
        /// Those of GET and HEAD.
        Safe = "safe",
        /// As Python's library does: those of GET, HEAD and POST.
        Urllib2 = "urllib2",
        /// All; the old word.
        Yes = "yes",
    }
}

/// Bytes of a body that goes to curl with its options; curl before 8.0 reads no longer lines than 100 KiB.
const MOST_INLINE: usize = 48 << 10;

impl Module for Uri {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        if context.mode == Mode::Check {
            let outcome = Outcome { skipped: true, ..Outcome::ok() };
            return Ok(Plan::done(outcome.with("msg", "This action (uri) does not support check mode.")));
        }
        let method = self.method.to_uppercase();
        if method.is_empty() || !method.chars().all(|letter| letter.is_ascii_uppercase()) {
            return Err(Error::failed("Parameter 'method' needs to be a single word in uppercase, like GET or POST."));
        }
        let mut headers = self.headers.clone().unwrap_or_default();
        let body = self.body(&mut headers, context)?;
        if let Some(reason) = self.reason_not_to(system)? {
            return Ok(Plan::done(Outcome::ok().with("stdout_lines", vec![reason.clone()]).with("stdout", reason)));
        }
        let mut draft = Draft::new(system);
        let mut sent = None;
        let mut more = Vec::new();
        match body {
            Some(body) if body.len() <= MOST_INLINE && !body.contains(&0) && std::str::from_utf8(&body).is_ok() => {
                more.push(("data-raw", String::from_utf8_lossy(&body).into_owned()));
            }
            Some(body) => {
                let path = pushed(Content::Inline(Bytes(body.into())), &self.url, context.host, &mut draft);
                more.push(("data-binary", format!("@{}", text(&path))));
                sent = Some(path);
            }
            None => {
                if let Some(path) = self.source(context, &mut draft)? {
                    more.push(("data-binary", format!("@{}", text(&path))));
                    sent = Some(path).filter(|_| !self.remote_src);
                }
            }
        }
        for (name, path) in [("unix-socket", &self.unix_socket), ("cacert", &self.ca_path)] {
            if let Some(path) = path {
                more.push((if name == "cacert" && is_directory(path.path(), system)? { "capath" } else { name }, path.0.clone()));
            }
        }
        let there = match &self.dest {
            Some(dest) => followed(dest.path(), system)?.filter(|found| found.kind == FileKind::File),
            None => None,
        };
        let given = |name: &str, headers: &Map| headers.keys().any(|key| key.text().eq_ignore_ascii_case(name));
        if !more.is_empty() && !given("content-type", &headers) && more.iter().any(|(name, _)| name.starts_with("data")) {
            headers.insert("Content-Type".into(), "application/x-www-form-urlencoded".into());
        }
        let request = Request {
            url: &self.url,
            method: &method,
            connection: &self.connection,
            user: self.url_username.as_deref(),
            password: self.url_password.as_deref(),
            headers,
            timeout: self.timeout,
            redirects: self.redirects(&method),
            more,
            since: there.map(|found| found.modified).filter(|time| time.is_finite()),
            output: None,
        };
        let reads = matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS");
        let effect = match &self.dest {
            Some(dest) if is_directory(dest.path(), system)? => Effect::Unsure(vec![dest.path().join(answered_name(&self.url))]),
            Some(dest) => Effect::Unsure(vec![dest.path().to_owned()]),
            // Whom it talks to may be this machine.
            None if reads => Effect::None,
            None => Effect::Opaque,
        };
        draft.push(Action::Run(request.command(format!("{method} {}", mask(&self.url)), system)?.effect(effect)));
        let index = draft.actions.len() - 1;
        if let Some(path) = sent {
            draft.push(Action::Remove { path });
        }
        let this = self.clone();
        Ok(Plan::act(draft.actions, self.predicted()).then(move |outcomes, system| this.answered(outcomes.get(index), system)))
    }
}

impl Uri {
    fn predicted(&self) -> Outcome {
        let names = ["status", "msg", "url", "redirected", "elapsed", "content_type", "cookies", "cookies_string", "json", "content"];
        let outcome = names.into_iter().fold(Outcome::ok(), |outcome, name| outcome.with(name, unknown()));
        if self.dest.is_some() { outcome.with("changed", unknown()) } else { outcome }
    }

    fn redirects(&self, method: &str) -> Redirects {
        let followed = match self.follow_redirects {
            Follow::All | Follow::Yes => true,
            Follow::No | Follow::None => false,
            Follow::Safe => matches!(method, "GET" | "HEAD"),
            Follow::Urllib2 => matches!(method, "GET" | "HEAD" | "POST"),
        };
        if followed { Redirects::Followed } else { Redirects::Left }
    }

    /// The body, with the header that says what it is.
    fn body(&self, headers: &mut Map, context: &Context<'_>) -> Result<Option<Vec<u8>>> {
        let mut say = |kind: &str| {
            if !headers.keys().any(|key| key.text().eq_ignore_ascii_case("content-type")) {
                headers.insert("Content-Type".into(), kind.into());
            }
        };
        let text = |body: &Value| body.as_str().map(str::to_owned);
        let body = match (&self.body, self.body_format) {
            (_, BodyFormat::Json) if self.src.is_some() => {
                say("application/json");
                return Ok(None);
            }
            (None, BodyFormat::Json) => {
                say("application/json");
                "null".to_owned()
            }
            (None, BodyFormat::Form) => {
                say("application/x-www-form-urlencoded");
                return Ok(None);
            }
            (None, BodyFormat::Raw) => return Ok(None),
            (Some(body), BodyFormat::Raw) => plain(body).map_err(Error::failed)?,
            (Some(body), BodyFormat::Json) => {
                say("application/json");
                text(body).unwrap_or_else(|| super::copy::python_json(&body.to_json(true)))
            }
            (Some(body), BodyFormat::Form) => {
                say("application/x-www-form-urlencoded");
                match text(body) {
                    Some(text) => text,
                    None => form(body)?,
                }
            }
            (body, BodyFormat::Multipart) => {
                let Some(Value::Map(fields)) = body else {
                    return Err(Error::failed("body must be mapping, cannot be type").hint("`body: {field: text, file: {filename: path}}`"));
                };
                let made = multipart::body(fields, &|name| self.part(name, context))?;
                headers.retain(|key, _| !key.text().eq_ignore_ascii_case("content-type"));
                headers.insert("Content-Type".into(), made.kind.into());
                return Ok(Some(made.body));
            }
        };
        Ok(Some(body.into_bytes()))
    }

    /// The bytes of a part's file: the controller's, or with `remote_src` the node's.
    fn part(&self, name: &str, context: &Context<'_>) -> Result<Vec<u8>> {
        if self.remote_src {
            let bytes = context.system.read(Path::new(name))?;
            return bytes.ok_or_else(|| Error::failed(format!("Unable to open source file {name}")));
        }
        match context.source.and_then(|source| source.below.get(name)) {
            Some(File::Plain { content: Some(bytes), .. }) => Ok(bytes.0.to_vec()),
            _ => Err(Error::failed(format!("could not find or access '{name}' on the controller"))),
        }
    }

    fn reason_not_to(&self, system: &dyn System) -> Result<Option<String>> {
        if let Some(path) = &self.creates
            && followed(path.path(), system)?.is_some()
        {
            return Ok(Some(format!("skipped, since '{}' exists", path.0)));
        }
        if let Some(path) = &self.removes
            && followed(path.path(), system)?.is_none()
        {
            return Ok(Some(format!("skipped, since '{}' does not exist", path.0)));
        }
        Ok(None)
    }

    /// The file that is sent, pushed to the node where it is the controller's.
    fn source(&self, context: &Context<'_>, draft: &mut Draft<'_>) -> Result<Option<PathBuf>> {
        let Some(src) = &self.src else { return Ok(None) };
        if self.remote_src {
            return match followed(Path::new(src), context.system)? {
                Some(_) => Ok(Some(PathBuf::from(src))),
                None => Err(Error::failed(format!("Unable to open source file {src}")).detail("elapsed", 0_i64)),
            };
        }
        let Some(File::Plain { sha256, size, .. }) = context.source.map(|source| source.file) else {
            return Err(Error::failed(format!("could not find or access '{src}' on the controller")));
        };
        Ok(Some(pushed(Content::Digest { sha256: sha256.clone(), size: *size }, sha256, context.host, draft)))
    }

    fn answered(&self, done: Option<&ActionOutcome>, system: &dyn System) -> Result<Next> {
        let mut answer = Answer::of(done, &self.url);
        let right = self.status_code.contains(&answer.status);
        let mut outcome = Outcome { failed: !right, ..Outcome::ok() }.with("redirected", answer.redirected);
        if let Some(location) = answer.headers.get_mut("location") {
            *location = joined(&mask(&self.url), location);
        }
        let kind = answer.headers.get("content-type").map(|kind| kind.to_lowercase()).unwrap_or_default();
        let body = done.map(|done| decoded(&done.stdout.0, &kind)).unwrap_or_default();
        for (name, value) in &answer.headers {
            outcome = outcome.with(&name.replace('-', "_"), value.as_str());
        }
        if (200..300).contains(&answer.status) {
            let (pairs, line) = cookie_jar(&answer.cookies);
            outcome = outcome.with("cookies_string", line).with("cookies", pairs);
        }
        let message = if right { answer.message() } else { self.wrong(&answer) };
        outcome = outcome.with("msg", message).with("url", answer.url.as_str()).with("status", answer.status).with("elapsed", answer.elapsed);
        let subtype = kind.split(';').next().and_then(|kind| kind.split('/').nth(1)).unwrap_or_default().trim().to_owned();
        let maybe_json = matches!(subtype.rsplit('+').next(), Some("json" | "javascript"));
        if maybe_json && let Ok(parsed) = serde_json::from_str::<serde_json::Value>(&body) {
            outcome = outcome.with("json", Value::from(parsed));
        }
        let reads = self.return_content || maybe_json || !right;
        if answer.status >= 300 && !reads {
            outcome = outcome.with("body", body.as_str());
        }
        if self.return_content {
            outcome = outcome.with("content", if answer.status == -1 { String::new() } else { body });
        }
        match &self.dest {
            Some(dest) if answer.status != -1 => self.written(dest.path(), right && answer.status != 304, &answer, done, outcome, system),
            _ => Ok(Next::Done(outcome)),
        }
    }

    /// The answer's bytes go to `dest`, which counts as a change, as Ansible has it.
    fn written(&self, dest: &Path, writes: bool, answer: &Answer, done: Option<&ActionOutcome>, outcome: Outcome, system: &dyn System) -> Result<Next> {
        let named = answer.headers.get("content-disposition").and_then(|header| disposition(header));
        let name = named.unwrap_or_else(|| answered_name(if answer.redirected { &answer.url } else { &self.url }));
        let dest = if is_directory(dest, system)? { dest.join(name) } else { dest.to_owned() };
        let outcome = outcome.with("path", text(&dest));
        if !writes {
            return Ok(Next::Done(add_path_info(outcome, &dest, system)?));
        }
        let bytes = done.map(|done| done.stdout.clone()).unwrap_or_default();
        let former = followed(&dest, system)?;
        let mut draft = Draft::new(system);
        if former.is_some() && system.read(&dest)?.as_deref() == Some(&*bytes.0) {
            draft.own(&dest, &self.file)?;
        } else {
            draft.push(Action::WriteFile {
                path: dest.clone(),
                content: Content::Inline(Bytes(bytes.0)),
                ownership: self.file.wanted(&dest, &former.unwrap_or_else(|| fresh(FileKind::File)), system)?,
                backup: false,
                unsafe_writes: self.file.unsafe_writes,
                validate: None,
            });
        }
        Ok(Next::Again(draft.finish(Outcome { changed: true, ..outcome }, dest, false)?))
    }

    fn wrong(&self, answer: &Answer) -> String {
        let wanted: Vec<String> = self.status_code.iter().map(ToString::to_string).collect();
        format!("Status code was {} and not [{}]: {}", answer.status, wanted.join(", "), answer.message())
    }
}

/// `a=1&b=2`, as Python's `urlencode` writes it.
fn form(body: &Value) -> Result<String> {
    let wrong = || Error::failed("argument `body`: failed to parse body as form_urlencoded: cannot form-urlencode body, expect list or dict");
    let mut pairs: Vec<(String, Value)> = Vec::new();
    match body {
        Value::Map(entries) => pairs.extend(entries.iter().map(|(key, value)| (key.text().into_owned(), value.clone()))),
        Value::List(items) => {
            for item in items.iter() {
                let [key, value] = item.as_list().unwrap_or_default() else { return Err(wrong()) };
                pairs.push((plain(key).map_err(Error::failed)?, value.clone()));
            }
        }
        other => return plain(other).map_err(Error::failed),
    }
    let mut words = Vec::new();
    for (key, value) in pairs {
        let values = value.as_list().map_or_else(|| vec![value.clone()], <[Value]>::to_vec);
        for value in values.iter().filter(|value| !matches!(value, Value::Null)) {
            words.push(format!("{}={}", escaped(&key), escaped(&plain(value).map_err(Error::failed)?)));
        }
    }
    Ok(words.join("&"))
}

/// Python's `quote_plus`.
fn escaped(text: &str) -> String {
    let letter = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        b'_' | b'.' | b'-' | b'~' => (byte as char).to_string(),
        byte if byte.is_ascii_alphanumeric() => (byte as char).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(letter).collect()
}

/// A `Location` may be a path of the same server.
fn joined(base: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    let (scheme, rest) = base.split_once("://").unwrap_or(("http", base));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    if location.starts_with('/') {
        return format!("{scheme}://{host}{location}");
    }
    let folder = path.rfind('/').map_or("/", |slash| &path[..=slash]);
    format!("{scheme}://{host}{folder}{location}")
}

/// Names and values of `Set-Cookie`, and all of them as a line; what is over at once is none.
fn cookie_jar(headers: &[String]) -> (Map, String) {
    let mut jar = Map::new();
    for header in headers {
        let mut parts = header.split(';').map(|part| part.split_once('=').unwrap_or((part, "")));
        let Some((name, value)) = parts.next().map(|(name, value)| (name.trim(), value.trim())) else { continue };
        let over = parts.any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("max-age") && value.trim().parse::<i64>().is_ok_and(|seconds| seconds <= 0)
        });
        if over {
            jar.shift_remove(name);
        } else if !name.is_empty() {
            jar.insert(name.into(), value.into());
        }
    }
    let words: Vec<String> = jar.iter().map(|(name, value)| format!("{}={}", name.text(), value.as_str().unwrap_or_default())).collect();
    (jar, words.join("; "))
}

/// A file with these bytes on the node, which nobody else reads; it is removed after the request.
fn pushed(content: Content, name: &str, host: &str, draft: &mut Draft<'_>) -> PathBuf {
    let path = temporary(Path::new("/tmp"), name, host);
    draft.push(Action::write(&path, content, Ownership::mode(0o600)));
    path
}

/// The last part of a URL's path that is not empty, without its escapes.
fn answered_name(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split(['?', '#']).next().unwrap_or_default().split_once('/').map_or("", |(_, path)| path);
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let name = unescaped(name).replace('/', "_");
    if matches!(name.as_str(), "" | "." | "..") { "index.html".to_owned() } else { name }
}

/// Without `%20` and the like.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hexadecimal = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match hexadecimal.filter(|_| byte == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Text in the character set that the `Content-Type` names.
fn decoded(bytes: &[u8], kind: &str) -> String {
    let set = kind.split(';').skip(1).find_map(|part| part.trim().strip_prefix("charset="));
    match set.map(|set| set.trim_matches('"')) {
        Some("iso-8859-1" | "latin-1" | "latin1") => bytes.iter().map(|&byte| byte as char).collect(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_written_as_python_writes_it() {
        let body = Value::from(serde_json::json!({"a b": "ü&", "n": [1, null, 2], "z": null}));
        assert_eq!(form(&body).expect("is a form"), "a+b=%C3%BC%26&n=1&n=2");
        let pairs = Value::from(serde_json::json!([["a", "1"], ["a", "2"]]));
        assert_eq!(form(&pairs).expect("is a form"), "a=1&a=2");
    }

    #[test]
    fn a_location_is_whole() {
        assert_eq!(joined("http://h:1/a/b?c", "/d"), "http://h:1/d");
        assert_eq!(joined("http://h/a/b", "d"), "http://h/a/d");
        assert_eq!(joined("http://h", "https://i/"), "https://i/");
    }

    #[test]
    fn names_and_cookies_are_pythons() {
        assert_eq!(answered_name("http://h/a/b%20c/?d=/e"), "b c");
        assert_eq!(answered_name("http://h/..%2f"), ".._");
        assert_eq!(answered_name("http://h?x=/y"), "index.html");
        let headers = ["a=1; Path=/; Expires=Thu, 01 Jan 2099 00:00:00 GMT", "b=2", "a=; Max-Age=0"].map(str::to_owned);
        let (jar, line) = cookie_jar(&headers);
        assert_eq!((jar.len(), line.as_str()), (1, "b=2"));
        assert_eq!(decoded(b"\xfc", "text/plain; charset=\"iso-8859-1\""), "ü");
    }
}
