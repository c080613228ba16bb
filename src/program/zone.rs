//! A machine's time zone: when its clock was how far ahead of UTC, and what that is called (RFC 9636, POSIX's `TZ`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A moment, and the zone of the machine whose clock shows it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Clock {
    /// Since 1970 in UTC.
    pub seconds: i64,
    pub microseconds: u32,
    pub zone: Arc<Zone>,
}

/// A date and time of day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Civil {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    /// 0 is Sunday.
    pub weekday: i64,
    /// 0 is the first of January.
    pub day_of_year: i64,
}

impl Civil {
    /// From seconds since the epoch. Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    pub fn from(seconds: i64) -> Self {
        let (days, rest) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year,
            month,
            day,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            weekday: (days + 4).rem_euclid(7),
            day_of_year: days - days_from(year, 1, 1),
        }
    }
}

/// Days since the epoch.
pub fn days_from(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

/// How far ahead of UTC, and what the zone is called then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offset {
    pub seconds: i64,
    pub name: String,
}

/// A time zone's changes, oldest first; the first applies before the second's time too. Without any: UTC.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Zone {
    changes: Vec<(i64, Offset)>,
    /// The rule after the last change (RFC 9636, the footer), as POSIX's TZ writes it.
    rule: Option<Rule>,
}

/// `CET-1CEST,M3.5.0,M10.5.0/3`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rule {
    standard: Offset,
    /// The summer's offset, when it begins and when it ends.
    summer: Option<(Offset, Day, Day)>,
}

/// The nth weekday of a month, and the second of that day; or the number of a day of the year.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Day {
    month: i64,
    week: i64,
    weekday: i64,
    number: Option<i64>,
    second: i64,
}

impl Zone {
    /// By what the variable `TZ` holds, else by /etc/localtime, else UTC; files come from `read`.
    pub fn find(tz: Option<&str>, read: impl Fn(&str) -> Option<Vec<u8>>) -> Self {
        if let Some(name) = tz.filter(|name| !name.is_empty()) {
            let name = name.trim_start_matches(':');
            let file = if name.starts_with('/') { name.to_owned() } else { format!("/usr/share/zoneinfo/{name}") };
            let zone = read(&file).and_then(|bytes| Self::parse(&bytes));
            return zone.unwrap_or_else(|| Self { changes: Vec::new(), rule: Rule::parse(name) });
        }
        read("/etc/localtime").and_then(|bytes| Self::parse(&bytes)).unwrap_or_default()
    }

    /// At a time in UTC.
    pub fn at(&self, seconds: i64) -> Offset {
        let last = self.changes.iter().rev().find(|(from, _)| *from <= seconds);
        let past_all = self.changes.last().is_none_or(|(from, _)| *from <= seconds);
        if past_all && let Some(rule) = &self.rule {
            return rule.at(seconds);
        }
        let known = last.or(self.changes.first()).map(|(_, offset)| offset.clone());
        known.unwrap_or(Offset { seconds: 0, name: "UTC".to_owned() })
    }

    /// When this zone's clock showed the local time; the earlier of two.
    pub fn to_utc(&self, local: i64) -> i64 {
        let guess = local - self.at(local).seconds;
        let before = local - self.at(guess - 86400).seconds;
        if self.at(before).seconds == local - before { before } else { local - self.at(guess).seconds }
    }

    /// A TZif file (RFC 9636), version 2 or later.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let first = Header::parse(bytes)?;
        let rest = bytes.get(44 + first.length(4)..)?;
        let header = Header::parse(rest)?;
        let body = rest.get(44..)?;
        let word = |at: usize| Some(i64::from_be_bytes(body.get(at..at + 8)?.try_into().ok()?));
        let indices = header.times * 8;
        let types = indices + header.times;
        let names = types + header.types * 6;
        let kind = |index: usize| -> Option<Offset> {
            let entry = body.get(types + index * 6..types + index * 6 + 6)?;
            let name = body.get(names + entry[5] as usize..)?;
            let name = &name[..name.iter().position(|byte| *byte == 0)?];
            let seconds = i64::from(i32::from_be_bytes(entry[..4].try_into().ok()?));
            Some(Offset { seconds, name: String::from_utf8_lossy(name).into_owned() })
        };
        let mut changes = vec![(i64::MIN, kind(0)?)];
        for index in 0..header.times {
            changes.push((word(index * 8)?, kind(*body.get(indices + index)? as usize)?));
        }
        let footer = body.get(header.length(8)..).and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::trim).unwrap_or_default();
        Some(Self { changes, rule: Rule::parse(footer) })
    }
}

/// Counts of a TZif header.
struct Header {
    times: usize,
    types: usize,
    letters: usize,
    leaps: usize,
    standards: usize,
    universals: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let counts = bytes.strip_prefix(b"TZif")?.get(16..40)?;
        let count = |index: usize| Some(u32::from_be_bytes(counts[index * 4..index * 4 + 4].try_into().ok()?) as usize);
        Some(Self { universals: count(0)?, standards: count(1)?, leaps: count(2)?, times: count(3)?, types: count(4)?, letters: count(5)? })
    }

    fn length(&self, width: usize) -> usize {
        self.times * (width + 1) + self.types * 6 + self.letters + self.leaps * (width + 4) + self.standards + self.universals
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = zone_name(text)?;
        let (behind, rest) = clock(rest)?;
        let standard = Offset { seconds: -behind, name };
        let Some((name, rest)) = zone_name(rest) else { return Some(Self { standard, summer: None }) };
        let (seconds, rest) = clock(rest).map_or((standard.seconds + 3600, rest), |(behind, rest)| (-behind, rest));
        let mut days = rest.trim_start_matches(',').split(',').map(Day::parse);
        let (begin, end) = (days.next().flatten()?, days.next().flatten()?);
        Some(Self { standard, summer: Some((Offset { seconds, name }, begin, end)) })
    }

    fn at(&self, seconds: i64) -> Offset {
        let Some((summer, begin, end)) = &self.summer else { return self.standard.clone() };
        let year = Civil::from(seconds + self.standard.seconds).year;
        let begin = begin.of(year) - self.standard.seconds;
        let end = end.of(year) - summer.seconds;
        let in_summer = if begin < end { (begin..end).contains(&seconds) } else { !(end..begin).contains(&seconds) };
        if in_summer { summer.clone() } else { self.standard.clone() }
    }
}

impl Day {
    fn parse(text: &str) -> Option<Self> {
        let (day, time) = text.split_once('/').map_or((text, 7200), |(day, time)| (day, clock(time).map_or(7200, |(seconds, _)| seconds)));
        if let Some(rule) = day.strip_prefix('M') {
            let mut numbers = rule.split('.').map(|number| number.parse::<i64>().ok());
            let (month, week, weekday) = (numbers.next()??, numbers.next()??, numbers.next()??);
            return Some(Self { month, week, weekday, number: None, second: time });
        }
        let number =
            day.strip_prefix('J').map_or_else(|| day.parse::<i64>().ok().map(|number| number + 1), |number| number.parse().ok())?;
        Some(Self { month: 0, week: 0, weekday: 0, number: Some(number - 1), second: time })
    }

    /// Local seconds of it in a year.
    fn of(self, year: i64) -> i64 {
        let day = if let Some(day) = self.number {
            days_from(year, 1, 1) + day
        } else {
            let first = days_from(year, self.month, 1);
            let next = if self.month == 12 { days_from(year + 1, 1, 1) } else { days_from(year, self.month + 1, 1) };
            let lead = (self.weekday - (first + 4)).rem_euclid(7);
            let mut day = first + lead + (self.week - 1) * 7;
            while day >= next {
                day -= 7;
            }
            day
        };
        day * 86400 + self.second
    }
}

/// `CET` or `<+03>`, and what follows.
fn zone_name(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix('<') {
        let (name, rest) = rest.split_once('>')?;
        return Some((name.to_owned(), rest));
    }
    let end = text.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(text.len());
    (end >= 3).then(|| (text[..end].to_owned(), &text[end..]))
}

/// `-1`, `3:30`, `2:00:00` in seconds, and what follows.
fn clock(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|letter: char| !matches!(letter, '0'..='9' | ':' | '-' | '+')).unwrap_or(text.len());
    let (sign, digits) = text[..end].strip_prefix('-').map_or((1, text[..end].trim_start_matches('+')), |digits| (-1, digits));
    let mut parts = digits.split(':').map(|part| part.parse::<i64>().ok());
    let hours = parts.next()??;
    let rest = parts.map(|part| part.unwrap_or(0)).chain([0, 0]).take(2).collect::<Vec<_>>();
    Some((sign * (hours * 3600 + rest[0] * 60 + rest[1]), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days_and_years() {
        let civil = Civil::from(951_782_400);
        assert_eq!((civil.year, civil.month, civil.day, civil.weekday, civil.day_of_year), (2000, 2, 29, 2, 59));
        let civil = Civil::from(-1);
        assert_eq!((civil.year, civil.month, civil.day, civil.hour, civil.second), (1969, 12, 31, 23, 59));
    }

    #[test]
    fn a_rule_gives_summer_and_winter() {
        let rule = Rule::parse("CET-1CEST,M3.5.0,M10.5.0/3").expect("a rule");
        // 2026-03-29 01:00 UTC is when the summer begins, 2026-10-25 01:00 UTC when it ends.
        assert_eq!(rule.at(1_774_745_999).name, "CET");
        assert_eq!(rule.at(1_774_746_000), Offset { seconds: 7200, name: "CEST".to_owned() });
        assert_eq!(rule.at(1_792_889_999).name, "CEST");
        assert_eq!(rule.at(1_792_890_000).name, "CET");
        assert_eq!(Rule::parse("<+0530>-5:30").expect("a rule").at(0), Offset { seconds: 19800, name: "+0530".to_owned() });
        let south = Rule::parse("AEST-10AEDT,M10.1.0,M4.1.0/3").expect("a rule");
        assert_eq!((south.at(1_767_225_600).name, south.at(1_782_864_000).name), ("AEDT".to_owned(), "AEST".to_owned()));
    }

    #[test]
    fn a_local_time_is_found_in_utc_the_earlier_of_two() {
        let zone = Zone::find(Some("CET-1CEST,M3.5.0,M10.5.0/3"), |_| None);
        for utc in [0, 1_774_745_999, 1_774_746_000, 1_785_000_000, 1_792_880_000, 1_792_893_600] {
            assert_eq!(zone.to_utc(utc + zone.at(utc).seconds), utc);
        }
        // 02:30 in the night in which the summer ends comes twice.
        assert_eq!(zone.to_utc(1_792_890_000 + 5400), 1_792_890_000 - 1800);
        assert_eq!(Zone::default().to_utc(7), 7);
    }

    #[test]
    fn zone_files_are_read() {
        // Where no zone data is installed there is nothing to read: the rules above still hold.
        let Ok(bytes) = std::fs::read("/usr/share/zoneinfo/Europe/Berlin") else { return };
        let zone = Zone::parse(&bytes).expect("a zone");
        assert_eq!(zone.at(0), Offset { seconds: 3600, name: "CET".to_owned() });
        assert_eq!(zone.at(1_785_000_000).name, "CEST");
    }
}
