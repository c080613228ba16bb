//! `multipart/form-data` as Python's `email` writes it (RFC 7578).

use base64::Engine as _;

use super::arguments::text;
use crate::program::{Map, Value};
use crate::system::{Error, Result, describe::sha256};

/// A body and the `Content-Type` that says where its parts end.
pub struct Multipart {
    pub kind: String,
    pub body: Vec<u8>,
}

/// The files whose contents a body takes: those that are named and have no `content` of their own.
pub fn files(fields: &Map) -> impl Iterator<Item = &str> {
    fields.values().filter_map(Value::as_map).filter(|part| !is_given(part, "content")).filter_map(|part| part.get("filename")?.as_str())
}

/// Parts in the order of their names; `read` gives a file's bytes by the name that the user wrote.
pub fn body(fields: &Map, read: &dyn Fn(&str) -> Result<Vec<u8>>) -> Result<Multipart> {
    let mut named: Vec<(String, &Value)> = fields.iter().map(|(name, value)| (name.text().into_owned(), value)).collect();
    named.sort_by(|one, other| one.0.cmp(&other.0));
    let parts = named.iter().map(|(name, value)| part(name, value, read)).collect::<Result<Vec<_>>>()?;
    // As long as Python's, and in none of the parts: it is their own digest.
    let digest = sha256(&parts.concat());
    let number = u64::from_str_radix(&digest[..15], 16).unwrap_or_default() % 10_u64.pow(19);
    let boundary = format!("==============={number:019}==");
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        body.extend(part);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok(Multipart { kind: format!("multipart/form-data; boundary=\"{boundary}\""), body })
}

fn is_given(part: &Map, name: &str) -> bool {
    part.get(name).is_some_and(Value::is_truthy)
}

fn part(name: &str, value: &Value, read: &dyn Fn(&str) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let wrong = |message: &str| Error::failed(format!("failed to parse body as form-multipart: {message}"));
    let place = |file: Option<&str>| {
        let file = file.map(|file| parameter("filename", file.rsplit('/').next().unwrap_or_default())).unwrap_or_default();
        format!("Content-Disposition: form-data{}{file}\r\n\r\n", parameter("name", name))
    };
    let entries = match value {
        Value::Text(text) => {
            return Ok([format!("Content-Type: text/plain\r\n{}", place(None)).into_bytes(), lines(text.as_str().as_bytes())].concat());
        }
        Value::Map(entries) => entries,
        other => return Err(wrong(&format!("value must be a string, or mapping, cannot be type {}", python_type(other)))),
    };
    let word = |name: &str| entries.get(name).filter(|value| value.is_truthy()).map(text).transpose().map_err(Error::failed);
    let (file, content, kind) = (word("filename")?, word("content")?, word("mime_type")?);
    let encoding = word("multipart_encoding")?.unwrap_or_else(|| "base64".to_owned());
    let kind = kind.unwrap_or_else(|| guessed(file.as_deref().unwrap_or_default()).to_owned());
    match (&file, &content) {
        (None, None) => Err(wrong("at least one of filename or content must be provided")),
        (_, Some(content)) => {
            Ok([format!("Content-Type: {kind}\r\n{}", place(file.as_deref())).into_bytes(), lines(content.as_bytes())].concat())
        }
        (Some(file), None) => {
            let bytes = read(file)?;
            let (encoding, bytes) = match encoding.as_str() {
                "base64" => ("base64", wrapped(&bytes)),
                "7or8bit" => (if bytes.is_ascii() { "7bit" } else { "8bit" }, lines(&bytes)),
                _ => return Err(wrong("multipart_encoding must be one of dict_keys(['base64', '7or8bit']).")),
            };
            let head = format!("Content-Transfer-Encoding: {encoding}\r\nContent-Type: {kind}\r\n{}", place(Some(file)));
            Ok([head.into_bytes(), bytes].concat())
        }
    }
}

/// `; name="a"`, in the form of RFC 2231 where it is not ASCII.
fn parameter(name: &str, value: &str) -> String {
    if value.is_ascii() {
        return format!("; {name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    }
    let letter = |byte: u8| match byte {
        b'_' | b'.' | b'-' | b'~' => (byte as char).to_string(),
        byte if byte.is_ascii_alphanumeric() => (byte as char).to_string(),
        byte => format!("%{byte:02X}"),
    };
    format!("; {name}*=utf-8''{}", value.bytes().map(letter).collect::<String>())
}

/// Lines end as those of a header do.
fn lines(bytes: &[u8]) -> Vec<u8> {
    let mut ended = Vec::with_capacity(bytes.len());
    let mut former = 0;
    for &byte in bytes {
        match byte {
            b'\n' if former == b'\r' => ended.push(b'\n'),
            b'\n' => ended.extend_from_slice(b"\r\n"),
            other => ended.push(other),
        }
        former = byte;
    }
    ended
}

/// Base64 in lines of 76 letters.
fn wrapped(bytes: &[u8]) -> Vec<u8> {
    let letters = base64::engine::general_purpose::STANDARD.encode(bytes);
    letters.as_bytes().chunks(76).flat_map(|line| [line, b"\r\n".as_slice()].concat()).collect()
}

fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float",
        _ => "list",
    }
}

/// What Python's `mimetypes` says of the usual endings. Source: its `types_map` and `encodings_map`.
fn guessed(file: &str) -> &'static str {
    let name = file.rsplit('/').next().unwrap_or_default();
    let ending = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, ending)| ending.to_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "avi" => "video/x-msvideo",
        "bmp" => "image/bmp",
        "css" => "text/css",
        "csv" => "text/csv",
        "doc" => "application/msword",
        "gif" => "image/gif",
        "html" | "htm" => "text/html",
        "ico" => "image/vnd.microsoft.icon",
        "jpg" | "jpeg" | "jpe" => "image/jpeg",
        "js" | "mjs" => "application/javascript",
        "json" => "application/json",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "py" => "text/x-python",
        "sh" => "application/x-sh",
        "svg" => "image/svg+xml",
        "tar" => "application/x-tar",
        "tiff" | "tif" => "image/tiff",
        "tsv" => "text/tab-separated-values",
        "txt" | "c" | "h" | "pl" | "bat" | "ksh" | "srt" => "text/plain",
        "wav" => "audio/x-wav",
        "webm" => "video/webm",
        "xls" => "application/vnd.ms-excel",
        "xml" | "xsl" | "rdf" | "wsdl" => "text/xml",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_as_python_writes_them() {
        let fields = Value::from(serde_json::json!({
            "b": "v ü\nx",
            "a\"q\"": {"content": "{}", "filename": "x/y.json"},
            "c": {"filename": "ü.bin"},
            "d": {"filename": "e.txt", "multipart_encoding": "7or8bit"},
        }));
        let read = |name: &str| Ok(if name == "e.txt" { b"a\n\r\n".to_vec() } else { vec![0; 60] });
        let made = body(fields.as_map().expect("is a mapping"), &read).expect("is made");
        let boundary = made.kind.split('"').nth(1).expect("is quoted");
        let text = String::from_utf8(made.body.clone()).expect("is text").replace(boundary, "B");
        let zeros = "A".repeat(76);
        assert_eq!(
            text,
            format!(
                "--B\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name=\"a\\\"q\\\"\"; filename=\"y.json\"\r\n\r\n{{}}\r\n\
                --B\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\nv ü\r\nx\r\n\
                --B\r\nContent-Transfer-Encoding: base64\r\nContent-Type: application/octet-stream\r\n\
                Content-Disposition: form-data; name=\"c\"; filename*=utf-8''%C3%BC.bin\r\n\r\n{zeros}\r\nAAAA\r\n\r\n\
                --B\r\nContent-Transfer-Encoding: 7bit\r\nContent-Type: text/plain\r\n\
                Content-Disposition: form-data; name=\"d\"; filename=\"e.txt\"\r\n\r\na\r\n\r\n\r\n--B--\r\n"
            )
        );
    }
}
