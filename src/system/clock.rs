//! Times of the clock in this machine's time zone, through its C library (which knows /etc/localtime and TZ).

use std::ffi::CString;

use nix::libc;

/// `2026-11-21 03:16:10.123456`, as Python prints a local `datetime`; without the fraction where it is 0.
pub fn local(seconds: f64) -> String {
    let micros = (seconds * 1e6).round() as i64;
    let (whole, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let text = format(whole, "%Y-%m-%d %H:%M:%S");
    if fraction == 0 { text } else { format!("{text}.{fraction:06}") }
}

/// `0:00:01.234567`, as Python prints a `timedelta`.
pub fn duration(seconds: f64) -> String {
    let micros = (seconds.max(0.0) * 1e6).round() as i64;
    let (whole, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (days, rest) = (whole / 86_400, whole % 86_400);
    let days = match days {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        days => format!("{days} days, "),
    };
    let clock = format!("{days}{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if fraction == 0 { clock } else { format!("{clock}.{fraction:06}") }
}

/// strftime(3) of local time.
#[expect(unsafe_code, reason = "the C library alone knows the time zone; both calls fill memory that lives here")]
pub fn format(seconds: i64, format: &str) -> String {
    let Ok(format) = CString::new(format) else { return String::new() };
    let mut buffer = [0_u8; 256];
    // SAFETY: a zeroed tm is valid; the pointers are to live values; strftime is told the buffer's size.
    let length = unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        libc::localtime_r(&raw const seconds, &raw mut parts);
        libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), &raw const parts)
    };
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// Seconds since the epoch of a local time written in a strptime(3) format; `None` where it is not so written, or where
/// something follows.
#[expect(unsafe_code, reason = "the C library alone knows the time zone; all calls fill memory that lives here")]
pub fn parse(text: &str, format: &str) -> Option<i64> {
    let (text, format) = (CString::new(text).ok()?, CString::new(format).ok()?);
    // SAFETY: a zeroed tm is valid; the strings end with 0 and outlive the calls; strptime returns null or a place in text.
    unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        // Python starts from 1 January 1900 and lets the library find out about summer time.
        parts.tm_mday = 1;
        parts.tm_isdst = -1;
        let end = libc::strptime(text.as_ptr(), format.as_ptr(), &raw mut parts);
        if end.is_null() || *end != 0 {
            return None;
        }
        parts.tm_isdst = -1;
        Some(libc::mktime(&raw mut parts))
    }
}

/// Year, month and day of a day since the epoch, in UTC. Source: Howard Hinnant's `civil_from_days`.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_formatted_is_parsed_to_the_same_second() {
        let seconds = 1_700_000_000;
        assert_eq!(parse(&format(seconds, "%Y%m%d%H%M.%S"), "%Y%m%d%H%M.%S"), Some(seconds));
        assert_eq!(parse("2023", "%Y%m%d"), None);
        assert_eq!(parse("20231114 rest", "%Y%m%d"), None);
    }

    #[test]
    fn durations_read_as_python_prints_them() {
        assert_eq!(duration(0.5), "0:00:00.500000");
        assert_eq!(duration(3_725.0), "1:02:05");
        assert_eq!(duration(90_000.25), "1 day, 1:00:00.250000");
    }
}
