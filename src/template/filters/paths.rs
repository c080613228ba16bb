//! Paths and URLs as texts; what needs a file system is asked of the scope.

use super::super::arguments::{Bound, strict_text, text};
use super::super::evaluate::Context;
use super::super::{Error, Result, operators};
use super::Filter;
use super::lists::tuple;
use crate::program::{Map, Value};

pub const FILTERS: &[Filter] = &[
    Filter::new("basename", &[], |_, input, _| Ok(Value::text(split(strict_text(&input)?).1))),
    Filter::new("commonpath", &[], commonpath),
    Filter::new("dirname", &[], |_, input, _| Ok(Value::text(dirname(strict_text(&input)?)))),
    Filter::new("expanduser", &[], |context, input, _| asked(context, "expanduser", &input)),
    Filter::new("expandvars", &[], |context, input, _| asked(context, "expandvars", &input)),
    Filter::new("fileglob", &[], |context, input, _| {
        let found = context.evaluator.scope.lookup("fileglob", &[input], &Map::new())?;
        Ok(Value::list(found))
    }),
    Filter::new("normpath", &[], |_, input, _| Ok(Value::text(normal(strict_text(&input)?)))),
    Filter::new("path_join", &[], path_join),
    Filter::new("realpath", &[], |context, input, _| asked(context, "realpath", &input)),
    Filter::new("relpath", &["start"], relpath),
    Filter::new("splitext", &[], splitext),
    Filter::new("urldecode", &[], |_, input, _| Ok(Value::text(unquoted(strict_text(&input)?)))),
    Filter::new("urlencode", &[], urlencode),
    Filter::new("urlize", &["*", "**"], |_, _, _| Err(Error::failed("urlize makes HTML and is not supported"))),
    Filter::new("urlsplit", &["query"], urlsplit),
    Filter::new("win_basename", &[], |_, input, _| Ok(Value::text(win_split(strict_text(&input)?).1))),
    Filter::new("win_dirname", &[], |_, input, _| Ok(Value::text(win_split(strict_text(&input)?).0))),
    Filter::new("win_splitdrive", &[], |_, input, _| {
        let (drive, rest) = drive(strict_text(&input)?);
        Ok(tuple(vec![drive.into(), rest.into()]))
    }),
];

fn asked(context: &Context, filter: &str, input: &Value) -> Result<Value> {
    let path = strict_text(input)?;
    // A text that the system has no say in.
    match filter {
        "expanduser" if !path.starts_with('~') => return Ok(path.into()),
        "expandvars" if !path.contains('$') => return Ok(path.into()),
        _ => {}
    }
    context.evaluator.scope.path_filter(filter, path).map(Value::text)
}

/// `os.path.split`'s two parts.
fn split(path: &str) -> (String, String) {
    let at = path.rfind('/').map_or(0, |at| at + 1);
    (path[..at].to_owned(), path[at..].to_owned())
}

fn dirname(path: &str) -> String {
    let head = split(path).0;
    let trimmed = head.trim_end_matches('/');
    if trimmed.is_empty() { head } else { trimmed.to_owned() }
}

/// `os.path.normpath`.
pub fn normal(path: &str) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    let root = match path.len() - path.trim_start_matches('/').len() {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    let joined = format!("{root}{}", parts.join("/"));
    if joined.is_empty() { ".".to_owned() } else { joined }
}

/// `os.path.join`.
pub fn joined(parts: &[&str]) -> String {
    let mut path = String::new();
    for (index, part) in parts.iter().enumerate() {
        if index == 0 || part.starts_with('/') {
            (*part).clone_into(&mut path);
        } else {
            if !path.is_empty() && !path.ends_with('/') {
                path.push('/');
            }
            path.push_str(part);
        }
    }
    path
}

fn path_join(_: &Context, input: Value, _: Bound) -> Result<Value> {
    match &input {
        Value::Text(_) => Ok(input),
        Value::List(parts) | Value::Tuple(parts) => {
            let parts = parts.iter().map(strict_text).collect::<Result<Vec<_>>>()?;
            Ok(Value::text(joined(&parts)))
        }
        other => Err(Error::failed(format!("|path_join expects string or sequence, got {} instead.", other.type_name()))),
    }
}

fn commonpath(_: &Context, input: Value, _: Bound) -> Result<Value> {
    let (Value::List(paths) | Value::Tuple(paths)) = &input else {
        return Err(Error::failed(format!("|commonpath expects sequence, got {} instead.", input.type_name())));
    };
    let paths = paths.iter().map(strict_text).collect::<Result<Vec<_>>>()?;
    let Some(first) = paths.first() else { return Err(Error::failed("commonpath() arg is an empty sequence")) };
    let absolute = first.starts_with('/');
    if paths.iter().any(|path| path.starts_with('/') != absolute) {
        return Err(Error::failed("Can't mix absolute and relative paths"));
    }
    let parts = |path: &str| path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect::<Vec<_>>();
    let mut common = parts(first);
    for path in &paths[1..] {
        let same = common.iter().zip(parts(path)).take_while(|(a, b)| *a == b).count();
        common.truncate(same);
    }
    Ok(Value::text(format!("{}{}", if absolute { "/" } else { "" }, common.join("/"))))
}

fn relpath(context: &Context, input: Value, given: Bound) -> Result<Value> {
    let path = strict_text(&input)?;
    if path.is_empty() {
        return Err(Error::failed("no path specified"));
    }
    let start = given.text(0, ".")?;
    let absolute = |path: &str| -> Result<String> {
        if path.starts_with('/') { Ok(normal(path)) } else { context.evaluator.scope.path_filter("abspath", path) }
    };
    // Two relative paths need no working directory, unless they lead out of it.
    let inside = |path: &str| !path.starts_with('/') && !normal(path).starts_with("..");
    let (path, start) = if inside(path) && inside(&start) {
        (normal(&format!("/{path}")), normal(&format!("/{start}")))
    } else {
        (absolute(path)?, absolute(&start)?)
    };
    let parts = |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (path, start) = (parts(&path), parts(&start));
    let same = path.iter().zip(&start).take_while(|(a, b)| a == b).count();
    let relative: Vec<&str> = std::iter::repeat_n("..", start.len() - same).chain(path[same..].iter().map(String::as_str)).collect();
    Ok(Value::text(if relative.is_empty() { ".".to_owned() } else { relative.join("/") }))
}

fn splitext(_: &Context, input: Value, _: Bound) -> Result<Value> {
    let path = strict_text(&input)?;
    let name = path.rfind('/').map_or(0, |at| at + 1);
    let leading = path[name..].len() - path[name..].trim_start_matches('.').len();
    let at = path[name + leading..].rfind('.').map_or(path.len(), |at| name + leading + at);
    Ok(tuple(vec![path[..at].into(), path[at..].into()]))
}

/// Drive and rest of a Windows path.
fn drive(path: &str) -> (&str, &str) {
    let bytes = path.as_bytes();
    let slash = |byte: &u8| matches!(byte, b'\\' | b'/');
    if bytes.len() >= 2 && slash(&bytes[0]) && slash(&bytes[1]) && !bytes.get(2).is_some_and(slash) {
        // \\host\share
        let rest = &path[2..];
        if let Some(host) = rest.find(['\\', '/']) {
            let share = rest[host + 1..].find(['\\', '/']).map_or(path.len(), |share| 2 + host + 1 + share);
            return path.split_at(share);
        }
        return (path, "");
    }
    if bytes.get(1) == Some(&b':') { path.split_at(2) } else { ("", path) }
}

fn win_split(path: &str) -> (String, String) {
    let (drive, rest) = drive(path);
    let at = rest.rfind(['\\', '/']).map_or(0, |at| at + 1);
    let (head, tail) = rest.split_at(at);
    let trimmed = head.trim_end_matches(['\\', '/']);
    (format!("{drive}{}", if trimmed.is_empty() { head } else { trimmed }), tail.to_owned())
}

fn percent_encoded(text: &str, safe: &str, plus: bool) -> String {
    let mut output = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' if plus => output.push('+'),
            _ if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) || safe.as_bytes().contains(&byte) => {
                output.push(char::from(byte));
            }
            _ => output.push_str(&format!("%{byte:02X}")),
        }
    }
    output
}

fn urlencode(_: &Context, input: Value, _: Bound) -> Result<Value> {
    let pair = |key: &str, value: &Value| Ok(format!("{}={}", percent_encoded(key, "", true), percent_encoded(&text(value)?, "", true)));
    match &input {
        Value::Map(entries) => {
            let pairs = entries.iter().map(|(key, value)| pair(&key.text(), value)).collect::<Result<Vec<_>>>()?;
            Ok(Value::text(pairs.join("&")))
        }
        Value::List(items) | Value::Tuple(items) => {
            let pairs = items.iter().map(|item| match item.as_list() {
                Some([key, value]) => pair(&text(key)?, value),
                _ => Err(Error::failed("urlencode needs pairs of name and value")),
            });
            Ok(Value::text(pairs.collect::<Result<Vec<_>>>()?.join("&")))
        }
        other => Ok(Value::text(percent_encoded(&text(other)?, "/", false))),
    }
}

fn unquoted(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn urlsplit(_: &Context, input: Value, given: Bound) -> Result<Value> {
    let url = strict_text(&input)?;
    let scheme_end = url.find(':').filter(|end| {
        url.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && url[..*end].chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
    });
    let (scheme, rest) = scheme_end.map_or((String::new(), url), |end| (url[..end].to_lowercase(), &url[end + 1..]));
    let (netloc, rest) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
        None => ("", rest),
    };
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, host) = netloc.rsplit_once('@').map_or((None, netloc), |(user, host)| (Some(user), host));
    let (username, password) = match user {
        Some(user) => user.split_once(':').map_or((Some(user), None), |(name, password)| (Some(name), Some(password))),
        None => (None, None),
    };
    let (hostname, port) = match host.strip_prefix('[') {
        Some(inner) => inner.split_once(']').map_or((inner, None), |(host, rest)| (host, rest.strip_prefix(':'))),
        None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
    };
    let port = match port.filter(|port| !port.is_empty()) {
        Some(port) => Value::Int(
            port.parse::<u16>().map_err(|_| Error::failed(format!("Port could not be cast to integer value as '{port}'")))?.into(),
        ),
        None => Value::Null,
    };
    let parts = crate::map! {
        "fragment" => fragment,
        "hostname" => if hostname.is_empty() { Value::Null } else { Value::text(hostname.to_lowercase()) },
        "netloc" => netloc,
        "password" => password,
        "path" => path,
        "port" => port,
        "query" => query,
        "scheme" => scheme,
        "username" => username,
    };
    let wanted = given.text(0, "")?;
    if wanted.is_empty() {
        return Ok(Value::map(parts));
    }
    operators::known(&input)?;
    parts.get(wanted.as_str()).cloned().ok_or_else(|| Error::failed(format!("urlsplit: unknown URL component: {wanted}")))
}
