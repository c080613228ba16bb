//! Arguments of modules: one declaration gives names, aliases, kinds, choices, secret marks, exclusions, the constructor,
//! the documentation, the editor schema and "did you mean".
//!
//! ```ignore
//! arguments! {
//!     /// Manage a file. (the module's documentation)
//!     pub struct Example {
//!         /// The path. (the argument's documentation)
//!         path: PathText [required, aliases(&["dest", "name"])],
//!         state: Option<State>,                       // a `choices!` enum
//!         mode_text as "mode": Option<Value> [],      // another name in Rust than in YAML
//!         file: FileArguments,                        // another `arguments!` struct: its fields are this module's too
//!     }
//!     rules { mutually_exclusive(&["src", "content"]), required_one_of(&["a", "b"]) }
//! }
//! ```

use std::fmt;

use indexmap::IndexMap;

use crate::program::{Key, Map, Value};

/// Evaluated arguments by name; `omit` was dropped. What is left after construction is unknown to the module.
pub type Raw = Map;

/// Bad arguments, before anything was touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentError {
    /// The argument's name, where it is about one.
    pub argument: Option<String>,
    pub message: String,
    pub hint: Option<String>,
}

impl ArgumentError {
    pub fn new(argument: impl Into<String>, message: impl Into<String>) -> Self {
        Self { argument: Some(argument.into()), message: message.into(), hint: None }
    }
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.argument {
            Some(argument) => write!(f, "argument `{argument}`: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ArgumentError {}

/// What a value may be, with Ansible's names of types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Numbers and booleans become text.
    Text,
    /// A path on the node: `~` and `$VARIABLE` are expanded there.
    Path,
    /// `yes`, `no`, `on`, `off`, `true`, `false`, `1`, `0`, `y`, `n`, `t`, `f`.
    Bool,
    Int,
    Float,
    /// A list; a text is split at commas, another scalar is a list of one.
    List(Box<Kind>),
    Dict,
    /// Anything.
    Raw,
    Choice(Vec<&'static str>),
}

/// One argument.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    pub required: bool,
    /// As a user would write it.
    pub default: Option<&'static str>,
    /// Its value is never shown.
    pub secret: bool,
    /// Its value is never shown where this argument is true.
    pub secret_if: Option<&'static str>,
    pub documentation: &'static str,
    /// The value is a bare expression or a list of them (`assert: that`, `debug: var`): not evaluated as a template.
    pub expression: bool,
    /// What else a literal text must be, told before anything is touched.
    pub check: Option<fn(&str) -> Result<(), String>>,
    /// What a mapping, or each mapping of a list, is made of.
    pub inside: Option<fn() -> Spec>,
}

/// Options of a field as the declaration writes them in brackets.
impl Field {
    pub fn new(name: &'static str, documentation: &'static str, kind: Kind) -> Self {
        Self {
            name,
            aliases: &[],
            kind,
            required: false,
            default: None,
            secret: false,
            secret_if: None,
            documentation,
            expression: false,
            check: None,
            inside: None,
        }
    }

    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    #[must_use]
    pub fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    #[must_use]
    pub fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    #[must_use]
    pub fn secret_if(mut self, argument: &'static str) -> Self {
        self.secret_if = Some(argument);
        self
    }

    #[must_use]
    pub fn expression(mut self) -> Self {
        self.expression = true;
        self
    }

    /// A literal text is held against this before the start; at run time the module says it in Ansible's words.
    #[must_use]
    pub fn checked(mut self, check: fn(&str) -> Result<(), String>) -> Self {
        self.check = Some(check);
        self
    }

    /// The declaration of the mapping, or of each mapping of the list.
    #[must_use]
    pub fn inside(mut self, spec: fn() -> Spec) -> Self {
        self.inside = Some(spec);
        self
    }

    /// Overrides the kind that the Rust type has.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// All names, the canonical one first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// A rule about several arguments.
#[derive(Clone, Debug)]
pub enum Rule {
    MutuallyExclusive(&'static [&'static str]),
    RequiredOneOf(&'static [&'static str]),
    RequiredTogether(&'static [&'static str]),
    /// If the argument has the value, all (or, `any`, one) of the names are required.
    RequiredIf {
        argument: &'static str,
        value: &'static str,
        names: &'static [&'static str],
        any: bool,
    },
    /// If the argument is given, all of the names are.
    RequiredBy {
        argument: &'static str,
        names: &'static [&'static str],
    },
}

/// Constructors of rules, as the declaration writes them.
pub mod rules {
    use super::Rule;

    pub fn mutually_exclusive(names: &'static [&'static str]) -> Rule {
        Rule::MutuallyExclusive(names)
    }

    pub fn required_one_of(names: &'static [&'static str]) -> Rule {
        Rule::RequiredOneOf(names)
    }

    pub fn required_together(names: &'static [&'static str]) -> Rule {
        Rule::RequiredTogether(names)
    }

    pub fn required_if(argument: &'static str, value: &'static str, names: &'static [&'static str]) -> Rule {
        Rule::RequiredIf { argument, value, names, any: false }
    }

    pub fn required_if_any(argument: &'static str, value: &'static str, names: &'static [&'static str]) -> Rule {
        Rule::RequiredIf { argument, value, names, any: true }
    }

    pub fn required_by(argument: &'static str, names: &'static [&'static str]) -> Rule {
        Rule::RequiredBy { argument, names }
    }
}

/// All that is known of a module's arguments.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    pub documentation: &'static str,
    pub fields: Vec<Field>,
    pub rules: Vec<Rule>,
    /// Unknown names are taken too (`set_fact`, `add_host`).
    pub open: bool,
    /// The name that free text goes to (`command: ls`); `None`: `key=value` only.
    pub free_form: Option<&'static str>,
}

impl Spec {
    /// The argument of a name or alias.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.names().any(|known| known == name))
    }

    /// Every name and alias, for suggestions.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().flat_map(Field::names)
    }
}

/// A struct declared by [`arguments!`].
pub trait Arguments: Sized {
    fn spec() -> Spec;
    /// Takes what it knows out of `raw`; what is left, and broken rules, are errors.
    fn construct(raw: &mut Raw) -> Result<Self, ArgumentError>;
}

/// A type that a field may have.
pub trait FieldType: Sized {
    /// The kind of values it is made from; flattened structs override [`FieldType::fields`] instead.
    fn kind() -> Kind;

    fn fields(field: Field) -> Vec<Field> {
        vec![field]
    }

    fn from_value(value: &Value) -> Result<Self, String>;

    /// What an argument that is not given and has no default is; `None`: it is required.
    fn absent() -> Option<Self> {
        None
    }

    fn take(field: &Field, raw: &mut Raw) -> Result<Self, ArgumentError> {
        let mut given: IndexMap<&'static str, Value> = IndexMap::new();
        for name in field.names() {
            if let Some(value) = raw.shift_remove(name) {
                given.insert(name, value);
            }
        }
        // The canonical name wins over aliases, as in Ansible.
        let value = given.shift_remove(field.name).or_else(|| given.into_iter().next().map(|(_, value)| value));
        let value = match value {
            Some(Value::Null) | None => match field.default {
                Some(default) => Value::text(default),
                None if field.required => {
                    return Err(ArgumentError::new(field.name, "missing, and it is required"));
                }
                None => {
                    return Self::absent().ok_or_else(|| ArgumentError::new(field.name, "missing, and it is required"));
                }
            },
            Some(value) => value,
        };
        Self::from_value(&value).map_err(|message| ArgumentError::new(field.name, message))
    }
}

/// A fixed set of words; declared by [`choices!`].
pub trait Choice: Sized + Copy + 'static {
    const ALL: &'static [(&'static str, Self)];

    fn word(self) -> &'static str;
}

impl<T: FieldType> FieldType for Option<T> {
    fn kind() -> Kind {
        T::kind()
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        T::from_value(value).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl FieldType for String {
    fn kind() -> Kind {
        Kind::Text
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        text(value)
    }
}

/// A path on the node, as given; expanded by the engine before the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathText(pub String);

impl PathText {
    pub fn path(&self) -> &std::path::Path {
        std::path::Path::new(&self.0)
    }
}

impl FieldType for PathText {
    fn kind() -> Kind {
        Kind::Path
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        text(value).map(PathText)
    }
}

impl FieldType for bool {
    fn kind() -> Kind {
        Kind::Bool
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        boolean(value)
    }
}

impl FieldType for i64 {
    fn kind() -> Kind {
        Kind::Int
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Int(number) => Ok(*number),
            Value::Bool(truth) => Ok(i64::from(*truth)),
            Value::Float(number) if number.fract() == 0.0 => Ok(*number as i64),
            Value::Text(text) => text.as_str().trim().parse().map_err(|_| format!("{:?} is not an integer", text.as_str())),
            other => Err(format!("expected an integer, not {}", article(other))),
        }
    }
}

impl FieldType for f64 {
    fn kind() -> Kind {
        Kind::Float
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) => text.as_str().trim().parse().map_err(|_| format!("{:?} is not a number", text.as_str())),
            other => {
                other.number().map(crate::program::value::Number::float).ok_or_else(|| format!("expected a number, not {}", article(other)))
            }
        }
    }
}

impl<T: FieldType> FieldType for Vec<T> {
    fn kind() -> Kind {
        Kind::List(Box::new(T::kind()))
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::List(items) | Value::Tuple(items) => items.iter().map(T::from_value).collect(),
            Value::Text(text) => text.as_str().split(',').map(|part| T::from_value(&Value::text(part.trim()))).collect(),
            Value::Map(_) => Err("expected a list, not a mapping".to_owned()),
            other => Ok(vec![T::from_value(other)?]),
        }
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }
}

impl FieldType for Value {
    fn kind() -> Kind {
        Kind::Raw
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        Ok(value.clone())
    }
}

impl FieldType for Map {
    fn kind() -> Kind {
        Kind::Dict
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Map(entries) => Ok((**entries).clone()),
            Value::Text(text) => dictionary(text.as_str()),
            other => Err(format!("expected a mapping, not {}", article(other))),
        }
    }
}

/// All arguments that the fields before it did not take: the last field of an `open` declaration (`set_fact`, `add_host`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rest(pub Map);

impl FieldType for Rest {
    fn kind() -> Kind {
        Kind::Dict
    }

    fn fields(_field: Field) -> Vec<Field> {
        Vec::new()
    }

    fn from_value(_value: &Value) -> Result<Self, String> {
        Err("the rest of the arguments has no value of its own".to_owned())
    }

    fn take(_field: &Field, raw: &mut Raw) -> Result<Self, ArgumentError> {
        Ok(Self(std::mem::take(raw)))
    }
}

/// Ansible's `check_type_str`: scalars as Python prints them.
pub fn text(value: &Value) -> Result<String, String> {
    Ok(match value {
        Value::Text(text) => text.as_str().to_owned(),
        Value::Bool(truth) => if *truth { "True" } else { "False" }.to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e16 => format!("{number:.1}"),
        Value::Float(number) => number.to_string(),
        // Python's `str()` of a container: Ansible converts silently, and users rely on it for JSON in `content`.
        other => other.to_json(true).to_string(),
    })
}

/// Ansible's `boolean`: its words in any case.
pub fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::Int(0) => Ok(false),
        Value::Int(1) => Ok(true),
        Value::Float(number) if *number == 0.0 => Ok(false),
        Value::Float(number) if *number == 1.0 => Ok(true),
        Value::Text(text) => match text.as_str().trim().to_ascii_lowercase().as_str() {
            "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => Ok(true),
            "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => Ok(false),
            other => Err(format!("{other:?} is not a boolean: yes or no")),
        },
        other => Err(format!("expected a boolean, not {}", article(other))),
    }
}

/// `a=1 b="two words"` or JSON.
fn dictionary(text: &str) -> Result<Map, String> {
    if text.trim_start().starts_with('{') {
        return match serde_json::from_str::<serde_json::Value>(text).map(Value::from) {
            Ok(Value::Map(entries)) => Ok((*entries).clone()),
            _ => Err("expected a mapping: the text is not a JSON object".to_owned()),
        };
    }
    let mut entries = Map::new();
    for part in text.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| format!("expected key=value, not {part:?}"))?;
        entries.insert(Key::from(name.trim()), Value::text(value.trim().trim_matches(['"', '\''])));
    }
    Ok(entries)
}

/// "a list", "an integer": for error messages.
pub fn article(value: &Value) -> &'static str {
    match value {
        Value::Null | Value::Omit | Value::Undefined(_) => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Int(_) => "an integer",
        Value::Float(_) => "a number with a fraction",
        Value::Text(_) => "a text",
        Value::List(_) | Value::Tuple(_) => "a list",
        Value::Map(_) | Value::HostVars | Value::Host(_) => "a mapping",
        Value::Unknown(_) => "something not yet known",
        Value::Lazy(_) => "a template",
    }
}

impl Kind {
    /// Whether a literal value could be this; the error is what the constructor would say.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        match self {
            Kind::Text | Kind::Path => match value {
                Value::List(_) | Value::Map(_) if *self == Kind::Path => Err(format!("expected a path, not {}", article(value))),
                _ => Ok(()),
            },
            Kind::Bool => boolean(value).map(drop),
            Kind::Int => i64::from_value(value).map(drop),
            Kind::Float => f64::from_value(value).map(drop),
            Kind::List(inner) => match value {
                Value::List(items) => items.iter().try_for_each(|item| inner.check(item)),
                Value::Map(_) => Err("expected a list, not a mapping".to_owned()),
                _ => Ok(()),
            },
            Kind::Dict => Map::from_value(value).map(drop),
            Kind::Raw => Ok(()),
            Kind::Choice(words) => {
                let given = text(value)?;
                let truth = boolean(value).ok();
                let fits = words.iter().any(|word| *word == given || (truth.is_some() && boolean(&Value::text(*word)).ok() == truth));
                if fits { Ok(()) } else { Err(format!("{given:?} is none of {}", words.join(", "))) }
            }
        }
    }
}

/// What every constructor does at its end: names that are left over, and the rules.
pub fn finish(spec: &Spec, given: &[String], rest: &Raw, values: &Raw) -> Result<(), ArgumentError> {
    if !spec.open
        && let Some(name) = rest.keys().next()
    {
        return Err(ArgumentError {
            argument: Some(name.text().into_owned()),
            message: "no such argument".to_owned(),
            hint: Some(format!("the arguments are {}", spec.fields.iter().map(|field| field.name).collect::<Vec<_>>().join(", "))),
        });
    }
    let canonical = |name: &str| spec.field(name).map_or(name.to_owned(), |field| field.name.to_owned());
    let is_given = |name: &str| given.iter().any(|given| canonical(given) == canonical(name));
    let fail = |message: String| Err(ArgumentError { argument: None, message, hint: None });
    for rule in &spec.rules {
        match rule {
            Rule::MutuallyExclusive(names) => {
                let both: Vec<&str> = names.iter().copied().filter(|name| is_given(name)).collect();
                if both.len() > 1 {
                    return fail(format!("parameters are mutually exclusive: {}", both.join("|")));
                }
            }
            Rule::RequiredOneOf(names) => {
                if !names.iter().any(|name| is_given(name)) {
                    return fail(format!("one of the following is required: {}", names.join(", ")));
                }
            }
            Rule::RequiredTogether(names) => {
                let count = names.iter().filter(|name| is_given(name)).count();
                if count > 0 && count < names.len() {
                    return fail(format!("parameters are required together: {}", names.join(", ")));
                }
            }
            Rule::RequiredIf { argument, value, names, any } => {
                let actual = spec.field(argument).and_then(|field| {
                    field.names().find_map(|name| values.get(name)).map_or(field.default.map(str::to_owned), |value| text(value).ok())
                });
                // Whatever word says yes.
                let is_bool = spec.field(argument).is_some_and(|field| field.kind == Kind::Bool);
                let truth = |word: &str| boolean(&Value::text(word)).ok();
                let holds = actual.as_deref().is_some_and(|actual| actual == *value || (is_bool && truth(actual) == truth(value)));
                if holds {
                    let missing: Vec<&str> = names.iter().copied().filter(|name| !is_given(name)).collect();
                    if !missing.is_empty() && (!any || missing.len() == names.len()) {
                        return fail(format!(
                            "{argument} is {value} but {} of the following are missing: {}",
                            if *any { "any" } else { "all" },
                            missing.join(", ")
                        ));
                    }
                }
            }
            Rule::RequiredBy { argument, names } => {
                if is_given(argument) {
                    let missing: Vec<&str> = names.iter().copied().filter(|name| !is_given(name)).collect();
                    if !missing.is_empty() {
                        return fail(format!("missing parameter(s) required by '{argument}': {}", missing.join(", ")));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Declares a module's arguments; see the top of this file.
#[macro_export]
macro_rules! arguments {
    (
        $(#[doc = $documentation:literal])*
        $visibility:vis struct $name:ident $([ $($setting:ident $(($($given:tt)*))?),* ])? {
            $(
                $(#[doc = $field_documentation:literal])*
                $field:ident $(as $key:literal)? : $kind:ty $([ $($option:ident $(($($value:tt)*))?),* $(,)? ])?
            ),* $(,)?
        }
        $(rules { $($rule:expr),* $(,)? })?
    ) => {
        $(#[doc = $documentation])*
        #[derive(Clone, Debug)]
        $visibility struct $name {
            $($(#[doc = $field_documentation])* pub $field: $kind,)*
        }

        impl $name {
            #[allow(non_snake_case, reason = "one function a field, named as the field")]
            fn field_list() -> Vec<$crate::module::Field> {
                #[allow(unused_mut, reason = "not every module has arguments")]
                let mut fields = Vec::new();
                $(fields.extend(<$kind as $crate::module::FieldType>::fields($crate::arguments!(@field $field $(as $key)?, [$($field_documentation),*], $kind $([ $($option $(($($value)*))?),* ])?)));)*
                fields
            }
        }

        impl $crate::module::Arguments for $name {
            fn spec() -> $crate::module::Spec {
                #[allow(unused_imports, reason = "not every declaration has rules")]
                use $crate::module::arguments::rules::*;
                #[allow(unused_mut, reason = "not every declaration has settings")]
                let mut spec = $crate::module::Spec {
                    documentation: concat!($($documentation, "\n"),*),
                    fields: Self::field_list(),
                    rules: vec![$($($rule),*)?],
                    open: false,
                    free_form: None,
                };
                $($($crate::arguments!(@setting spec, $setting $(($($given)*))?);)*)?
                spec
            }

            fn construct(raw: &mut $crate::module::Raw) -> Result<Self, $crate::module::ArgumentError> {
                let given: Vec<String> = raw.keys().map(|key| key.text().into_owned()).collect();
                let values = raw.clone();
                let spec = <Self as $crate::module::Arguments>::spec();
                let made = <Self as $crate::module::FieldType>::take(&$crate::module::Field::new("", "", $crate::module::Kind::Raw), raw)?;
                $crate::module::arguments::finish(&spec, &given, raw, &values)?;
                Ok(made)
            }
        }

        /// As a field of another declaration: flattened; in a list: a mapping.
        impl $crate::module::FieldType for $name {
            fn kind() -> $crate::module::Kind {
                $crate::module::Kind::Dict
            }

            fn fields(_field: $crate::module::Field) -> Vec<$crate::module::Field> {
                Self::field_list()
            }

            fn from_value(value: &$crate::program::Value) -> Result<Self, String> {
                let mut raw = <$crate::program::Map as $crate::module::FieldType>::from_value(value)?;
                <Self as $crate::module::Arguments>::construct(&mut raw).map_err(|error| error.to_string())
            }

            #[allow(unused_variables, reason = "a declaration without fields reads nothing")]
            fn take(_field: &$crate::module::Field, raw: &mut $crate::module::Raw) -> Result<Self, $crate::module::ArgumentError> {
                Ok(Self {
                    $($field: <$kind as $crate::module::FieldType>::take(&$crate::arguments!(@field $field $(as $key)?, [$($field_documentation),*], $kind $([ $($option $(($($value)*))?),* ])?), raw)?,)*
                })
            }
        }
    };
    (@field $field:ident as $key:literal, [$($documentation:literal),*], $kind:ty $([ $($option:ident $(($($value:tt)*))?),* ])?) => {
        $crate::module::Field::new($key, concat!($($documentation, "\n"),*), <$kind as $crate::module::FieldType>::kind())
            $($(.$option($($($value)*)?))*)?
    };
    (@field $field:ident, [$($documentation:literal),*], $kind:ty $([ $($option:ident $(($($value:tt)*))?),* ])?) => {
        $crate::module::Field::new(stringify!($field), concat!($($documentation, "\n"),*), <$kind as $crate::module::FieldType>::kind())
            $($(.$option($($($value)*)?))*)?
    };
    (@setting $spec:ident, open) => { $spec.open = true };
    (@setting $spec:ident, free_form($name:literal)) => { $spec.free_form = Some($name) };
}

/// Declares an enum of words that an argument may be: `choices! { pub enum State { Present = "present" } }`.
#[macro_export]
macro_rules! choices {
    (
        $(#[doc = $documentation:literal])*
        $visibility:vis enum $name:ident { $($(#[doc = $word_documentation:literal])* $variant:ident = $word:literal),* $(,)? }
    ) => {
        $(#[doc = $documentation])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $name { $($(#[doc = $word_documentation])* $variant),* }

        impl $crate::module::Choice for $name {
            const ALL: &'static [(&'static str, Self)] = &[$(($word, $name::$variant)),*];

            fn word(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }

        impl $crate::module::FieldType for $name {
            fn kind() -> $crate::module::Kind {
                $crate::module::Kind::Choice(<$name as $crate::module::Choice>::ALL.iter().map(|(word, _)| *word).collect())
            }

            fn from_value(value: &$crate::program::Value) -> Result<Self, String> {
                let given = $crate::module::arguments::text(value)?;
                let all = <$name as $crate::module::Choice>::ALL;
                if let Some((_, found)) = all.iter().find(|(word, _)| *word == given) {
                    return Ok(*found);
                }
                // `yes` and `no` as YAML booleans where a choice is such a word.
                let truth = $crate::module::arguments::boolean(value).ok();
                all.iter()
                    .find(|(word, _)| truth.is_some() && $crate::module::arguments::boolean(&$crate::program::Value::text(*word)).ok() == truth)
                    .map(|(_, found)| *found)
                    .ok_or_else(|| format!("{given:?} is none of {}", all.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")))
            }
        }
    };
}

choices! {
    /// Whether what a module keeps is there.
    pub enum State {
        /// It is not.
        Absent = "absent",
        /// It is.
        Present = "present",
    }
}
