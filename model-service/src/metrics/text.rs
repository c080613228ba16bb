//! The two text formats of `/metrics`, chosen by `Accept`: OpenMetrics, and Prometheus' own, which is made of it.

use std::collections::HashMap;
use std::fmt::Write as _;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    Prometheus,
}

impl Format {
    /// What the header asks for, by its qualities (RFC 9110, 12.5.1); Prometheus' format where it asks for nothing.
    pub fn of(accept: Option<&str>) -> Self {
        let quality = |kind: &str| {
            let ranges = accept.unwrap_or_default().split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                (parts.next()?.eq_ignore_ascii_case(kind)).then(|| {
                    parts.find_map(|parameter| parameter.strip_prefix("q=")).map_or(Some(1.0), |quality| quality.parse::<f32>().ok())
                })?
            });
            ranges.fold(0.0, f32::max)
        };
        let open = quality("application/openmetrics-text");
        if open > 0.0 && open >= quality("text/plain") { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// OpenMetrics as Prometheus' format: samples are the same; families are named as their samples are, and UNIT and EOF are unknown.
pub fn prometheus(open: &str) -> String {
    let kinds: HashMap<&str, &str> =
        open.lines().filter_map(|line| line.strip_prefix("# TYPE ")).filter_map(|line| line.split_once(' ')).collect();
    let mut text = String::with_capacity(open.len());
    for line in open.lines() {
        let Some((word, rest)) = line.strip_prefix("# ").and_then(|line| line.split_once(' ')) else {
            if line != "# EOF" {
                let _ = writeln!(text, "{line}");
            }
            continue;
        };
        if word == "UNIT" {
            continue;
        }
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let (suffix, kind) = match kinds.get(name).copied() {
            Some("counter") => ("_total", "counter"),
            Some("info") => ("_info", "gauge"),
            Some("unknown") => ("", "untyped"),
            other => ("", other.unwrap_or_default()),
        };
        let _ = writeln!(text, "# {word} {name}{suffix} {}", if word == "TYPE" { kind } else { rest });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_chooses_the_format() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        for open in [prometheus, "application/openmetrics-text", "text/plain;q=0.5, Application/OpenMetrics-Text; q=0.9"] {
            assert_eq!(Format::of(Some(open)), Format::OpenMetrics, "{open}");
        }
        for text in [
            None,
            Some("*/*"),
            Some("text/plain"),
            Some("application/openmetrics-text;q=0"),
            Some("application/openmetrics-text;q=0.1,text/plain"),
        ] {
            assert_eq!(Format::of(text), Format::Prometheus, "{text:?}");
        }
    }

    #[test]
    fn families_are_named_as_their_samples() {
        let open = "# HELP a Says # EOF.\n# TYPE a counter\na_total 1\n# HELP b_seconds B.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\nb_seconds_count 0\n# TYPE c info\nc_info{x=\"# \"} 1\n# EOF\n";
        assert_eq!(
            prometheus(open),
            "# HELP a_total Says # EOF.\n# TYPE a_total counter\na_total 1\n# HELP b_seconds B.\n# TYPE b_seconds histogram\nb_seconds_count 0\n# TYPE c_info gauge\nc_info{x=\"# \"} 1\n"
        );
    }
}
