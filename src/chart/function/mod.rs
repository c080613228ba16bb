//! The functions of templates: Go's own, sprig's and Helm's, as far as charts of services use them.
//!
//! What is not here on purpose: random texts and keys (`genCA`, `randAlphaNum`, `uuidv4`), the clock (`now`) and DNS, since a plan
//! must be its apply; those are named to the user as Helm's, not as unknown. Source: sprig 3.3, helm 4 pkg/engine/funcs.go.

mod data;
mod list;
mod logic;
mod map;
mod number;
mod semver;
mod string;

use std::rc::Rc;

use super::value::{Entries, Object, Value};

/// What a function gets: all arguments, that of the pipeline last.
pub type Run = fn(&[Value]) -> Result<Value, Fail>;

/// A function of templates.
#[derive(Clone, Copy)]
pub struct Function {
    pub name: &'static str,
    pub least: usize,
    /// `None`: any number.
    pub most: Option<usize>,
    pub run: Run,
}

/// Why a function gives nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fail {
    /// A lowercase phrase.
    pub message: String,
    /// The argument that is wrong, from 0 on.
    pub argument: Option<usize>,
    pub hint: Option<String>,
    /// The message is the chart's own (`fail`, `required`).
    pub own: bool,
}

impl Fail {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), argument: None, hint: None, own: false }
    }

    fn argument(index: usize, message: impl Into<String>) -> Self {
        Self { argument: Some(index), ..Self::new(message) }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Function {
    /// `2 arguments`, `at least 1 argument`, `1 to 2 arguments`.
    pub fn wanted(&self) -> String {
        let plural = |count: usize| if count == 1 { "argument" } else { "arguments" };
        match self.most {
            Some(most) if most == self.least => format!("{most} {}", plural(most)),
            Some(most) => format!("{} to {most} arguments", self.least),
            None => format!("at least {} {}", self.least, plural(self.least)),
        }
    }
}

const fn exactly(name: &'static str, count: usize, run: Run) -> Function {
    Function { name, least: count, most: Some(count), run }
}

const fn any(name: &'static str, least: usize, run: Run) -> Function {
    Function { name, least, most: None, run }
}

fn all() -> impl Iterator<Item = &'static Function> {
    [string::FUNCTIONS, list::FUNCTIONS, map::FUNCTIONS, number::FUNCTIONS, logic::FUNCTIONS, data::FUNCTIONS, semver::FUNCTIONS]
        .into_iter()
        .flatten()
}

/// The function of this name.
pub fn find(name: &str) -> Option<&'static Function> {
    all().find(|function| function.name == name)
}

pub fn is_known(name: &str) -> bool {
    find(name).is_some()
}

/// All names, for "did you mean".
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|function| function.name)
}

/// Functions that Helm has and this renderer has not.
const HELMS: &[&str] = &[
    "abbrev",
    "abbrevboth",
    "ago",
    "bcrypt",
    "buildCustomCert",
    "camelcase",
    "date",
    "dateInZone",
    "dateModify",
    "date_in_zone",
    "date_modify",
    "decryptAES",
    "derivePassword",
    "duration",
    "durationRound",
    "encryptAES",
    "fromToml",
    "genCA",
    "genCAWithKey",
    "genPrivateKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
    "getHostByName",
    "htmlDate",
    "htmlDateInZone",
    "htpasswd",
    "initials",
    "kebabcase",
    "mustDateModify",
    "mustToDate",
    "mustToToml",
    "now",
    "plural",
    "randAlpha",
    "randAlphaNum",
    "randAscii",
    "randBytes",
    "randInt",
    "randNumeric",
    "semver",
    "seq",
    "shuffle",
    "snakecase",
    "swapcase",
    "toDate",
    "toToml",
    "toYamlPretty",
    "unixEpoch",
    "urlJoin",
    "urlParse",
    "uuidv4",
    "wrap",
    "wrapWith",
    "call",
    "js",
];

/// Whether Helm has a function that is missing here.
pub fn is_helms(name: &str) -> bool {
    HELMS.contains(&name)
}

const ORDINALS: [&str; 6] = ["first", "second", "third", "fourth", "fifth", "sixth"];

fn wrong(arguments: &[Value], index: usize, wanted: &str) -> Fail {
    let which = ORDINALS.get(index).copied().unwrap_or("last");
    let given = arguments.get(index).unwrap_or(&Value::Nil);
    let fail = Fail::argument(index, format!("the {which} argument is {}, where {wanted} is wanted", given.describe()));
    match (given, wanted) {
        (Value::Nil, _) => fail.hint("set the value, or give one with `default`"),
        (Value::Float(_), "an integer") => fail.hint("numbers of the values are floats: write `(int …)`"),
        (Value::Int(_) | Value::Float(_) | Value::Bool(_), "a text") => fail.hint("write `… | toString`"),
        _ => fail,
    }
}

/// The argument as a text; nothing else is taken for one.
pub fn text(arguments: &[Value], index: usize) -> Result<Rc<str>, Fail> {
    match arguments.get(index) {
        Some(Value::Text(text)) => Ok(Rc::clone(text)),
        _ => Err(wrong(arguments, index, "a text")),
    }
}

fn integer(arguments: &[Value], index: usize) -> Result<i64, Fail> {
    match arguments.get(index) {
        Some(Value::Int(number)) => Ok(*number),
        _ => Err(wrong(arguments, index, "an integer")),
    }
}

fn items(arguments: &[Value], index: usize) -> Result<Rc<Vec<Value>>, Fail> {
    match arguments.get(index) {
        Some(Value::List(items)) => Ok(Rc::clone(items)),
        _ => Err(wrong(arguments, index, "a list")),
    }
}

fn entries(arguments: &[Value], index: usize) -> Result<Rc<std::cell::RefCell<Entries>>, Fail> {
    match arguments.get(index) {
        Some(Value::Map(entries)) => Ok(Rc::clone(entries)),
        _ => Err(wrong(arguments, index, "a mapping")),
    }
}

/// `.Files.AsConfig`, `.Files.AsSecrets`: base names and contents as YAML.
pub fn files_as(object: &Object, secret: bool) -> Value {
    data::files_as(object, secret)
}

/// `.Files.Glob`: the files that a pattern names.
pub fn files_glob(object: &Object, pattern: &str) -> Result<Value, Fail> {
    data::files_glob(object, pattern)
}
