//! YAML 1.1's dates and times: here they are texts, written as Python prints what PyYAML makes of them.

/// A plain text that YAML reads as a date, or as a time with or without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp<'text> {
    pub year: u32,
    pub month: u32,
    pub day: u32,
    /// Hours, minutes, seconds.
    pub clock: Option<(u32, u32, u32)>,
    /// Digits behind the point.
    fraction: &'text str,
    /// Minutes that the zone is ahead of UTC.
    zone: Option<i32>,
}

impl<'text> Timestamp<'text> {
    /// `2001-01-01`, `2001-1-1 1:02:03.4 +1`, `2001-01-01T01:02:03Z`; whether such a day is there is not asked.
    pub fn read(text: &'text str) -> Option<Self> {
        let number = |text: &str, range: std::ops::RangeInclusive<usize>| {
            (range.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<u32>().ok())?
        };
        let mut parts = text.splitn(3, '-');
        let (year, written, rest) = (number(parts.next()?, 4..=4)?, parts.next()?, parts.next()?);
        let month = number(written, 1..=2)?;
        if let Some(day) = number(rest, 2..=2).filter(|_| written.len() == 2) {
            return Some(Self { year, month, day, clock: None, fraction: "", zone: None });
        }
        let at = rest.find(['T', 't', ' ', '\t'])?;
        let day = number(&rest[..at], 1..=2)?;
        let clock = if rest[at..].starts_with(['T', 't']) { &rest[at + 1..] } else { rest[at..].trim_start_matches([' ', '\t']) };
        let end = clock.find(|letter: char| !letter.is_ascii_digit() && letter != ':' && letter != '.').unwrap_or(clock.len());
        let (clock, zone) = clock.split_at(end);
        let zone = match zone.trim_start_matches([' ', '\t']) {
            "" => None,
            "Z" => Some(0),
            zone => {
                let sign = if zone.starts_with('-') { -1 } else { 1 };
                let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':').unwrap_or((&zone[1..], "00"));
                Some(sign * (number(hours, 1..=2)? * 60 + number(minutes, 2..=2)?) as i32)
            }
        };
        let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
        let parts: Vec<&str> = clock.split(':').collect();
        let [hours, minutes, seconds] = parts[..] else { return None };
        let clock = (number(hours, 1..=2)?, number(minutes, 2..=2)?, number(seconds, 2..=2)?);
        let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
        digits.then_some(Self { year, month, day, clock: Some(clock), fraction, zone })
    }

    /// As Python prints it; `None`: there is no such day or time.
    pub fn printed(&self) -> Option<String> {
        let leap = self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let longest = match self.month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if self.year == 0 || !(1..=12).contains(&self.month) || !(1..=longest).contains(&self.day) {
            return None;
        }
        let mut output = format!("{:04}-{:02}-{:02}", self.year, self.month, self.day);
        let Some((hours, minutes, seconds)) = self.clock else { return Some(output) };
        if hours > 23 || minutes > 59 || seconds > 59 {
            return None;
        }
        output += &format!(" {hours:02}:{minutes:02}:{seconds:02}");
        let micro = format!("{:0<6}", self.fraction.get(..6).unwrap_or(self.fraction));
        if micro != "000000" {
            output += &format!(".{micro}");
        }
        if let Some(zone) = self.zone {
            let sign = if zone < 0 { '-' } else { '+' };
            output += &format!("{sign}{:02}:{:02}", zone.abs() / 60, zone.abs() % 60);
        }
        Some(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_as_python_prints_them() {
        for (written, printed) in [
            ("2024-01-01", "2024-01-01"),
            ("2024-1-2 3:04:05", "2024-01-02 03:04:05"),
            ("2024-01-01T10:20:30Z", "2024-01-01 10:20:30+00:00"),
            ("2024-01-01t10:20:30 -3:30", "2024-01-01 10:20:30-03:30"),
            ("2024-01-01 10:20:30.5", "2024-01-01 10:20:30.500000"),
            ("2024-01-01 10:20:30.1234567+2", "2024-01-01 10:20:30.123456+02:00"),
            ("2024-01-01 10:20:30.0", "2024-01-01 10:20:30"),
        ] {
            assert_eq!(Timestamp::read(written).and_then(|time| time.printed()).as_deref(), Some(printed), "{written}");
        }
        for text in ["2024-1-1", "2024-01", "24-01-01", "2024-01-01 10:20", "2024-01-01x", "2024-01-01 10:20:30 CET", "1.2.3-04-05"] {
            assert_eq!(Timestamp::read(text), None, "{text}");
        }
        assert_eq!(Timestamp::read("2023-02-29").and_then(|time| time.printed()), None);
    }
}
