//! Times: `strftime`, `to_datetime`, and Python's `datetime` and `timedelta` as far as templates use them.
//!
//! A time inside an evaluation is a mapping with one hidden key; it leaves the evaluation as text.

use super::super::arguments::{Arguments, Bound, strict_text};
use super::super::evaluate::Context;
use super::super::methods::as_float;
use super::super::{Error, Result, python};
use super::Filter;
use crate::program::timestamp::Timestamp;
use crate::program::zone::{Civil, Offset, days_from};
use crate::program::{Clock, Key, Map, Value};

pub const FILTERS: &[Filter] =
    &[Filter::new("strftime", &["second", "utc"], strftime), Filter::new("to_datetime", &["format"], to_datetime)];

/// The methods of times and spans of time.
pub const METHODS: &[&str] = &["date", "isoformat", "isoweekday", "replace", "strftime", "timestamp", "total_seconds", "weekday"];

/// The hidden keys; no user's key starts with this control character.
const MOMENT: &str = "\u{1}datetime";
const DURATION: &str = "\u{1}timedelta";

/// Microseconds in a day.
const DAY: i64 = 86_400_000_000;

/// A date and time of day, without zone (as Ansible's are).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since 1970-01-01 00:00 on this clock.
    microseconds: i64,
}

/// Year, month, day of a day number since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let Civil { year, month, day, .. } = Civil::from(days * 86_400);
    (year, month, day)
}

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Moment {
    /// The moment on a clock that is `offset` seconds ahead of UTC.
    pub fn from_epoch(seconds: i64, microseconds: u32, offset: i64) -> Self {
        Self { microseconds: (seconds + offset) * 1_000_000 + i64::from(microseconds) }
    }

    /// What the clock shows where it is.
    pub fn local(clock: &Clock) -> Self {
        Self::from_epoch(clock.seconds, clock.microseconds, clock.zone.at(clock.seconds).seconds)
    }

    /// Seconds since 1970 in UTC, of what the clock would have shown.
    fn epoch(self, clock: &Clock) -> i64 {
        clock.zone.to_utc(self.microseconds.div_euclid(1_000_000))
    }

    /// `strftime` of a time that knows no zone: `%z` and `%Z` are empty.
    pub fn naive(self, format: &str, clock: &Clock) -> Result<String> {
        let seconds = self.microseconds.div_euclid(1_000_000) - self.epoch(clock);
        self.strftime(format, &Offset { seconds, name: String::new() }, false)
    }

    fn date(self) -> (i64, i64, i64) {
        civil(self.microseconds.div_euclid(DAY))
    }

    /// Hour, minute, second, microsecond.
    fn clock(self) -> (i64, i64, i64, i64) {
        let rest = self.microseconds.rem_euclid(DAY);
        let seconds = rest / 1_000_000;
        (seconds / 3600, seconds / 60 % 60, seconds % 60, rest % 1_000_000)
    }

    /// 0 for Monday.
    fn weekday(self) -> i64 {
        (self.microseconds.div_euclid(DAY) + 3).rem_euclid(7)
    }

    fn day_of_year(self) -> i64 {
        let (year, _, _) = self.date();
        self.microseconds.div_euclid(DAY) - days_from(year, 1, 1) + 1
    }

    /// ISO year and week.
    fn iso_week(self) -> (i64, i64) {
        let thursday = self.microseconds.div_euclid(DAY) - self.weekday() + 3;
        let (year, _, _) = civil(thursday);
        (year, (thursday - days_from(year, 1, 1)) / 7 + 1)
    }

    /// The hidden mapping that stands for it.
    pub fn value(self) -> Value {
        let mut map = Map::new();
        map.insert(MOMENT.into(), Value::Int(self.microseconds));
        Value::map(map)
    }

    fn from_map(entries: &Map) -> Option<Self> {
        let Some(Value::Int(microseconds)) = entries.get(MOMENT) else { return None };
        Some(Self { microseconds: *microseconds })
    }

    /// A date of YAML, without its zone.
    fn of_text(text: &str) -> Option<Self> {
        let printed = Timestamp::read(text)?.printed()?;
        let clock = printed.get(..19).map_or(format!("{printed} 00:00:00"), str::to_owned);
        let micro = printed.get(19..26).and_then(|rest| rest.strip_prefix('.')).and_then(|micro| micro.parse().ok()).unwrap_or(0);
        let whole = Self::parse(&clock, "%Y-%m-%d %H:%M:%S").ok()?;
        Some(Self { microseconds: whole.microseconds + micro })
    }

    fn iso(self, separator: char) -> String {
        let (year, month, day) = self.date();
        let (hour, minute, second, micro) = self.clock();
        let fraction = if micro == 0 { String::new() } else { format!(".{micro:06}") };
        format!("{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{fraction}")
    }

    /// C's `strftime` in the C locale, of a clock that is `offset` ahead of UTC; `zoned`: `%z` and `%Z` say so.
    pub fn strftime(self, format: &str, offset: &Offset, zoned: bool) -> Result<String> {
        let (year, month, day) = self.date();
        let (hour, minute, second, micro) = self.clock();
        let weekday = self.weekday();
        let weekday_name = WEEKDAYS[usize::try_from(weekday).unwrap_or(0)];
        let month_name = MONTHS[usize::try_from(month - 1).unwrap_or(0)];
        let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
        let mut output = String::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                output.push(letter);
                continue;
            }
            let mut kind = letters.next();
            // glibc's flags: no padding, spaces, zeros.
            let flag = kind.filter(|kind| "-_0^".contains(*kind));
            if flag.is_some() {
                kind = letters.next();
            }
            let number = |value: i64, width: usize| match flag {
                Some('-') => value.to_string(),
                Some('_') => format!("{value:width$}"),
                _ => format!("{value:0width$}"),
            };
            let text = match kind {
                Some('Y') => year.to_string(),
                Some('C') => number(year.div_euclid(100), 2),
                Some('y') => number(year.rem_euclid(100), 2),
                Some('m') => number(month, 2),
                Some('d') => number(day, 2),
                Some('e') => {
                    if flag == Some('-') {
                        day.to_string()
                    } else {
                        format!("{day:2}")
                    }
                }
                Some('H') => number(hour, 2),
                Some('I') => number(twelve, 2),
                Some('k') => format!("{hour:2}"),
                Some('l') => format!("{twelve:2}"),
                Some('M') => number(minute, 2),
                Some('S') => number(second, 2),
                Some('f') => format!("{micro:06}"),
                Some('p') => (if hour < 12 { "AM" } else { "PM" }).to_owned(),
                Some('P') => (if hour < 12 { "am" } else { "pm" }).to_owned(),
                Some('j') => number(self.day_of_year(), 3),
                Some('a') => weekday_name[..3].to_owned(),
                Some('A') => weekday_name.to_owned(),
                Some('b' | 'h') => month_name[..3].to_owned(),
                Some('B') => month_name.to_owned(),
                Some('u') => (weekday + 1).to_string(),
                Some('w') => ((weekday + 1) % 7).to_string(),
                Some('U') => number((self.day_of_year() + 6 - (weekday + 1) % 7) / 7, 2),
                Some('W') => number((self.day_of_year() + 6 - weekday) / 7, 2),
                Some('V') => number(self.iso_week().1, 2),
                Some('G') => self.iso_week().0.to_string(),
                Some('g') => number(self.iso_week().0.rem_euclid(100), 2),
                Some('s') => (self.microseconds.div_euclid(1_000_000) - offset.seconds).to_string(),
                Some('F') => format!("{year}-{month:02}-{day:02}"),
                Some('T' | 'X') => format!("{hour:02}:{minute:02}:{second:02}"),
                Some('R') => format!("{hour:02}:{minute:02}"),
                Some('r') => format!("{twelve:02}:{minute:02}:{second:02} {}", if hour < 12 { "AM" } else { "PM" }),
                Some('D' | 'x') => format!("{month:02}/{day:02}/{:02}", year.rem_euclid(100)),
                Some('c') => format!("{} {} {day:2} {hour:02}:{minute:02}:{second:02} {year}", &weekday_name[..3], &month_name[..3]),
                Some('z' | 'Z') if !zoned => String::new(),
                Some('z') => {
                    let minutes = offset.seconds.abs() / 60;
                    format!("{}{:02}{:02}", if offset.seconds < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
                }
                Some('Z') => offset.name.clone(),
                Some('n') => "\n".to_owned(),
                Some('t') => "\t".to_owned(),
                Some('%') | None => "%".to_owned(),
                Some(other) => format!("%{other}"),
            };
            if flag == Some('^') { output.push_str(&text.to_uppercase()) } else { output.push_str(&text) }
        }
        Ok(output)
    }

    /// Python's `datetime.strptime`.
    fn parse(text: &str, format: &str) -> Result<Self> {
        let mismatch = || Error::failed(format!("time data {} does not match format {}", python::quoted(text), python::quoted(format)));
        let (mut year, mut month, mut day) = (1900, 1, 1);
        let (mut hour, mut minute, mut second, mut micro) = (0, 0, 0, 0);
        let mut afternoon = None;
        let mut of_year = None;
        let mut zone = 0i64;
        let mut rest = text;
        let mut letters = format
            .replace("%T", "%H:%M:%S")
            .replace("%F", "%Y-%m-%d")
            .replace("%D", "%m/%d/%y")
            .replace("%R", "%H:%M")
            .chars()
            .collect::<Vec<_>>()
            .into_iter();
        while let Some(letter) = letters.next() {
            if letter.is_whitespace() {
                rest = rest.trim_start();
                continue;
            }
            if letter != '%' {
                rest = rest.strip_prefix(letter).ok_or_else(mismatch)?;
                continue;
            }
            let kind = letters.next().ok_or_else(mismatch)?;
            let width = match kind {
                'Y' => 4,
                'j' => 3,
                'f' => 6,
                _ => 2,
            };
            let mut number = || -> Result<i64> {
                let length = rest.bytes().take(width).take_while(u8::is_ascii_digit).count();
                let (digits, after) = rest.split_at(length);
                rest = after;
                let digits = if kind == 'f' { format!("{digits:0<6}") } else { digits.to_owned() };
                digits.parse().map_err(|_| mismatch())
            };
            match kind {
                'Y' => year = number()?,
                'y' => {
                    let short = number()?;
                    year = if short < 69 { 2000 + short } else { 1900 + short };
                }
                'm' => month = number()?,
                'd' | 'e' => day = number()?,
                'H' | 'I' => hour = number()?,
                'M' => minute = number()?,
                'S' => second = number()?,
                'f' => micro = number()?,
                'j' => of_year = Some(number()?),
                'p' => {
                    let lower = rest.to_lowercase();
                    afternoon = Some(lower.starts_with("pm"));
                    rest = rest.get(2..).filter(|_| lower.starts_with("am") || lower.starts_with("pm")).ok_or_else(mismatch)?;
                }
                'b' | 'B' | 'h' | 'a' | 'A' => {
                    let names: &[&str] = if matches!(kind, 'a' | 'A') { &WEEKDAYS } else { &MONTHS };
                    let lower = rest.to_lowercase();
                    let length = |name: &str| if matches!(kind, 'A' | 'B') { name.len() } else { 3 };
                    let index =
                        names.iter().position(|name| lower.starts_with(&name[..length(name)].to_lowercase())).ok_or_else(mismatch)?;
                    rest = &rest[length(names[index])..];
                    if !matches!(kind, 'a' | 'A') {
                        month = index as i64 + 1;
                    }
                }
                'z' => {
                    if let Some(after) = rest.strip_prefix('Z') {
                        rest = after;
                    } else {
                        let sign = if rest.starts_with('-') { -1 } else { 1 };
                        let digits: String = rest[1.min(rest.len())..].chars().filter(|letter| *letter != ':').take(4).collect();
                        let value: i64 = digits.parse().map_err(|_| mismatch())?;
                        zone = sign * (value / 100 * 3600 + value % 100 * 60);
                        rest = rest.get(if rest.contains(':') { 6 } else { 5 }..).unwrap_or("");
                    }
                }
                'Z' => rest = rest.trim_start_matches(|letter: char| letter.is_ascii_alphabetic()),
                '%' => rest = rest.strip_prefix('%').ok_or_else(mismatch)?,
                other => return Err(Error::failed(format!("'{other}' is a bad directive in format {}", python::quoted(format)))),
            }
        }
        if !rest.is_empty() {
            return Err(Error::failed(format!("unconverted data remains: {rest}")));
        }
        if let Some(afternoon) = afternoon {
            hour = hour % 12 + if afternoon { 12 } else { 0 };
        }
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let longest = match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if !(1..=12).contains(&month) || !(1..=longest).contains(&day) || hour > 23 || minute > 59 || second > 61 {
            return Err(mismatch());
        }
        let number = of_year.map_or_else(|| days_from(year, month, day), |of_year| days_from(year, 1, 1) + of_year - 1);
        let _ = zone;
        Ok(Self { microseconds: number * DAY + ((hour * 60 + minute) * 60 + second) * 1_000_000 + micro })
    }
}

/// What a date of YAML has in Python, where it is a text here: `year`, `hour`, …
pub fn attribute_of_text(text: &str, name: &str) -> Option<Value> {
    let time = Timestamp::read(text)?;
    if time.clock.is_none() && !matches!(name, "year" | "month" | "day") {
        return None;
    }
    attribute(Moment::of_text(text)?.value().as_map()?, name)
}

/// The methods that such a text has besides a text's own.
pub const METHODS_OF_TEXTS: &[&str] = &["date", "isoformat", "isoweekday", "strftime", "timestamp", "weekday"];

/// Calls one of them; `None`: it is no date.
pub fn method_of_text(context: &Context, text: &str, name: &str, given: Arguments) -> Option<Result<Value>> {
    let time = Timestamp::read(text)?;
    match (name, time.clock) {
        ("date" | "timestamp", None) => None,
        ("isoformat", None) => Some(Ok(text.into())),
        _ => Some(method(context, Moment::of_text(text)?.value().as_map()?, name, given)),
    }
}

/// Whether the mapping is a time or a span of time.
pub fn is_time(entries: &Map) -> bool {
    entries.contains_key(MOMENT) || entries.contains_key(DURATION)
}

fn duration(entries: &Map) -> Option<i64> {
    match entries.get(DURATION) {
        Some(Value::Int(microseconds)) => Some(*microseconds),
        _ => None,
    }
}

fn duration_value(microseconds: i64) -> Value {
    let mut map = Map::new();
    map.insert(Key::from(DURATION), Value::Int(microseconds));
    Value::map(map)
}

/// As `str()` writes it.
pub fn shown(entries: &Map) -> String {
    if let Some(moment) = Moment::from_map(entries) {
        return moment.iso(' ');
    }
    let microseconds = duration(entries).unwrap_or(0);
    let (days, rest) = (microseconds.div_euclid(DAY), microseconds.rem_euclid(DAY));
    let (seconds, micro) = (rest / 1_000_000, rest % 1_000_000);
    let fraction = if micro == 0 { String::new() } else { format!(".{micro:06}") };
    let prefix = match days {
        0 => String::new(),
        1 | -1 => format!("{days} day, "),
        _ => format!("{days} days, "),
    };
    format!("{prefix}{}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// As JSON has it.
pub fn iso(entries: &Map) -> String {
    Moment::from_map(entries).map_or_else(|| shown(entries), |moment| moment.iso('T'))
}

pub fn attribute(entries: &Map, name: &str) -> Option<Value> {
    if let Some(moment) = Moment::from_map(entries) {
        let (year, month, day) = moment.date();
        let (hour, minute, second, micro) = moment.clock();
        return Some(match name {
            "year" => Value::Int(year),
            "month" => Value::Int(month),
            "day" => Value::Int(day),
            "hour" => Value::Int(hour),
            "minute" => Value::Int(minute),
            "second" => Value::Int(second),
            "microsecond" => Value::Int(micro),
            "tzinfo" => Value::Null,
            _ => return None,
        });
    }
    let microseconds = duration(entries)?;
    Some(match name {
        "days" => Value::Int(microseconds.div_euclid(DAY)),
        "seconds" => Value::Int(microseconds.rem_euclid(DAY) / 1_000_000),
        "microseconds" => Value::Int(microseconds.rem_euclid(1_000_000)),
        _ => return None,
    })
}

pub fn method(context: &Context, entries: &Map, name: &str, given: Arguments) -> Result<Value> {
    let what = format!("{name}()");
    if let Some(moment) = Moment::from_map(entries) {
        return Ok(match name {
            "strftime" => {
                let bound = given.bind(&what, &["format!"])?;
                Value::text(moment.naive(&bound.text(0, "")?, &context.evaluator.scope.clock()?)?)
            }
            "isoformat" => {
                let separator = given.bind(&what, &["sep"])?.text(0, "T")?;
                Value::text(moment.iso(separator.chars().next().unwrap_or('T')))
            }
            "timestamp" => {
                let whole = moment.epoch(&context.evaluator.scope.clock()?);
                Value::Float((whole * 1_000_000 + moment.microseconds.rem_euclid(1_000_000)) as f64 / 1e6)
            }
            "weekday" => Value::Int(moment.weekday()),
            "isoweekday" => Value::Int(moment.weekday() + 1),
            "date" => {
                let (year, month, day) = moment.date();
                Value::text(format!("{year:04}-{month:02}-{day:02}"))
            }
            "replace" => {
                let bound = given.bind(&what, &["year", "month", "day", "hour", "minute", "second", "microsecond"])?;
                let (year, month, day) = moment.date();
                let (hour, minute, second, micro) = moment.clock();
                let number = days_from(bound.integer(0, year)?, bound.integer(1, month)?, bound.integer(2, day)?);
                let clock = (bound.integer(3, hour)? * 60 + bound.integer(4, minute)?) * 60 + bound.integer(5, second)?;
                Moment { microseconds: number * DAY + clock * 1_000_000 + bound.integer(6, micro)? }.value()
            }
            other => return Err(Error::undefined(format!("object of type 'datetime' has no attribute '{other}'"))),
        });
    }
    match (name, duration(entries)) {
        ("total_seconds", Some(microseconds)) => Ok(Value::Float(microseconds as f64 / 1e6)),
        _ => Err(Error::undefined(format!("object of type 'timedelta' has no attribute '{name}'"))),
    }
}

/// A time less a time or a span; `None` where the values are no times.
pub fn subtract(left: &Value, right: &Value) -> Option<Value> {
    let (left, right) = (left.as_map()?, right.as_map()?);
    let moments = (Moment::from_map(left), Moment::from_map(right));
    match (moments, duration(left), duration(right)) {
        ((Some(a), Some(b)), _, _) => Some(duration_value(a.microseconds - b.microseconds)),
        ((Some(a), None), _, Some(span)) => Some(Moment { microseconds: a.microseconds - span }.value()),
        ((None, None), Some(a), Some(b)) => Some(duration_value(a - b)),
        _ => None,
    }
}

fn strftime(context: &Context, input: Value, given: Bound) -> Result<Value> {
    let format = strict_text(&input)?;
    let clock = context.evaluator.scope.clock()?;
    let seconds = match given.some(0) {
        Some(Value::Text(text)) => {
            text.as_str().trim().parse::<f64>().map_err(|_| Error::failed(format!("Invalid value for epoch value ({})", text.as_str())))?
        }
        Some(number) => {
            as_float(number).map_err(|_| Error::failed(format!("Invalid value for epoch value ({})", super::types::shown(number))))?
        }
        None => clock.seconds as f64,
    };
    let seconds = seconds.floor() as i64;
    let offset = if given.truth(1, false)? { Offset { seconds: 0, name: "GMT".to_owned() } } else { clock.zone.at(seconds) };
    Ok(Value::text(Moment::from_epoch(seconds, 0, offset.seconds).strftime(format, &offset, true)?))
}

fn to_datetime(_: &Context, input: Value, given: Bound) -> Result<Value> {
    Ok(Moment::parse(strict_text(&input)?, &given.text(0, "%Y-%m-%d %H:%M:%S")?)?.value())
}
