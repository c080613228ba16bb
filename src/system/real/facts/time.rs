//! `ansible_date_time`: now, in the machine's time zone.

use std::time::SystemTime;

use crate::map;
use crate::program::Map;
use crate::program::zone::{Civil, Zone, days_from};

pub(super) fn date_time() -> Map {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs() as i64;
    let zone = Zone::find(std::env::var("TZ").ok().as_deref(), |path| std::fs::read(path).ok());
    let offset = zone.at(seconds);
    let (local, utc) = (Civil::from(seconds + offset.seconds), Civil::from(seconds));
    let year = Civil::from(seconds + offset.seconds).year;
    let (winter, summer) = (zone.at(days_from(year, 1, 1) * 86400), zone.at(days_from(year, 7, 1) * 86400));
    // Python's `tzname[1]`: the zone's name in the half of the year that is further ahead.
    let ahead = if winter.seconds > summer.seconds { winter } else { summer };
    let date = format!("{:04}-{:02}-{:02}", local.year, local.month, local.day);
    let time = format!("{:02}:{:02}:{:02}", local.hour, local.minute, local.second);
    let compact = format!("{}T{}", date.replace('-', ""), time.replace(':', ""));
    let universal = format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second);
    let micro = since.subsec_micros();
    let monday = (local.weekday + 6) % 7;
    let minutes = offset.seconds.abs() / 60;
    map! {
        "date_time" => map! {
            "year" => format!("{:04}", local.year),
            "month" => format!("{:02}", local.month),
            "weekday" => ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"][local.weekday as usize],
            "weekday_number" => local.weekday.to_string(),
            "weeknumber" => format!("{:02}", (local.day_of_year + 7 - monday) / 7),
            "day" => format!("{:02}", local.day),
            "hour" => format!("{:02}", local.hour),
            "minute" => format!("{:02}", local.minute),
            "second" => format!("{:02}", local.second),
            "epoch" => seconds.to_string(),
            "epoch_int" => seconds.to_string(),
            "date" => date,
            "time" => time,
            "iso8601_micro" => format!("{universal}.{micro:06}Z"),
            "iso8601" => format!("{universal}Z"),
            "iso8601_basic" => format!("{compact}{micro:06}"),
            "iso8601_basic_short" => compact,
            "tz" => offset.name,
            "tz_dst" => ahead.name,
            "tz_offset" => format!("{}{:02}{:02}", if offset.seconds < 0 { '-' } else { '+' }, minutes / 60, minutes % 60),
        },
    }
}
