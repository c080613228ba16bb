//! YAML, JSON, encodings, checksums, and the chart's own files.

use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;

use super::{Fail, Function, exactly, text};
use crate::chart::value::{Object, Value};
use crate::chart::{ignore, read, write};

pub const FUNCTIONS: &[Function] = &[
    exactly("toYaml", 1, |arguments| Ok(write::to_yaml(&arguments[0]).into())),
    exactly("mustToYaml", 1, |arguments| Ok(write::to_yaml(&arguments[0]).into())),
    exactly("fromYaml", 1, |arguments| {
        Ok(match read::from_text(&text(arguments, 0)?) {
            Ok(map @ Value::Map(_)) => map,
            Ok(Value::Nil) => Value::map(BTreeMap::new()),
            Ok(other) => error(format!("{} is no mapping", other.describe())),
            Err(message) => error(message),
        })
    }),
    exactly("fromYamlArray", 1, |arguments| {
        Ok(match read::from_text(&text(arguments, 0)?) {
            Ok(list @ Value::List(_)) => list,
            Ok(Value::Nil) => Value::list(Vec::new()),
            Ok(other) => Value::list(vec![format!("{} is no list", other.describe()).into()]),
            Err(message) => Value::list(vec![message.into()]),
        })
    }),
    exactly("toJson", 1, |arguments| json(&arguments[0], false, true)),
    exactly("mustToJson", 1, |arguments| json(&arguments[0], false, true)),
    exactly("toPrettyJson", 1, |arguments| json(&arguments[0], true, true)),
    exactly("toRawJson", 1, |arguments| json(&arguments[0], false, false)),
    exactly("fromJson", 1, |arguments| Ok(parsed(&text(arguments, 0)?).unwrap_or_else(error))),
    exactly("mustFromJson", 1, |arguments| parsed(&text(arguments, 0)?).map_err(Fail::new)),
    exactly("fromJsonArray", 1, |arguments| Ok(parsed(&text(arguments, 0)?).unwrap_or_else(|message| Value::list(vec![message.into()])))),
    exactly("b64enc", 1, |arguments| Ok(STANDARD.encode(text(arguments, 0)?.as_bytes()).into())),
    exactly("b64dec", 1, |arguments| {
        let decoded = STANDARD.decode(text(arguments, 0)?.as_bytes());
        Ok(decoded.map_or_else(|error| error.to_string(), |bytes| String::from_utf8_lossy(&bytes).into_owned()).into())
    }),
    exactly("sha256sum", 1, |arguments| Ok(hex::encode(sha2::Sha256::digest(text(arguments, 0)?.as_bytes())).into())),
    exactly("sha512sum", 1, |arguments| Ok(hex::encode(sha2::Sha512::digest(text(arguments, 0)?.as_bytes())).into())),
    exactly("sha1sum", 1, |arguments| Ok(hex::encode(sha1::Sha1::digest(text(arguments, 0)?.as_bytes())).into())),
    exactly("adler32sum", 1, |arguments| {
        let (a, b) = text(arguments, 0)?.bytes().fold((1_u32, 0_u32), |(a, b), byte| {
            let a = (a + u32::from(byte)) % 65_521;
            (a, (a + b) % 65_521)
        });
        Ok(((b << 16) | a).to_string().into())
    }),
];

/// Helm's way to say it from inside of a template.
fn error(message: String) -> Value {
    Value::map([(Rc::from("Error"), Value::from(message))].into())
}

fn parsed(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map(|json: serde_json::Value| Value::from_json(&json)).map_err(|error| error.to_string())
}

/// Keys in order, as Go writes maps; `<`, `>` and `&` escaped for HTML, as Go does unless it is asked not to.
fn json(value: &Value, pretty: bool, escape: bool) -> Result<Value, Fail> {
    let json = value.to_json().ok_or_else(|| Fail::argument(0, "an infinite number has no JSON"))?;
    let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) };
    let text = text.map_err(|error| Fail::new(error.to_string()))?;
    let text = if escape { text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026") } else { text };
    Ok(text.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029").into())
}

pub fn files_as(object: &Object, secret: bool) -> Value {
    let entries = object.content.iter().map(|(path, bytes)| {
        let content = if secret { STANDARD.encode(bytes) } else { String::from_utf8_lossy(bytes).into_owned() };
        (Rc::from(path.rsplit('/').next().unwrap_or(path)), Value::from(content))
    });
    write::to_yaml(&Value::map(entries.collect())).into()
}

pub fn files_glob(object: &Object, pattern: &str) -> Result<Value, Fail> {
    let pattern = ignore::glob(pattern, true).ok_or_else(|| Fail::argument(0, format!("`{pattern}` is no pattern of file names")))?;
    let found = object
        .content
        .iter()
        .filter(|(path, _)| pattern.is_match(path).unwrap_or(false))
        .map(|(path, bytes)| (path.clone(), Rc::clone(bytes)));
    Ok(Value::Object(Rc::new(Object {
        name: object.name,
        fields: BTreeMap::new(),
        methods: object.methods,
        content: Rc::new(found.collect()),
    })))
}
