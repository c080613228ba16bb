//! What failed on a host, as briefly as it can be mended from: the action, the program's own last words, the place, what to type.

use std::sync::Arc;

use super::{line, text};
use crate::agent::frame::{ItemResult, Status};
use crate::program::Value;

/// Last lines of a program's output that are shown.
const LINES: usize = 6;

/// Whether a result ends its host's run.
pub fn is_failure(result: &ItemResult) -> bool {
    matches!(result.status, Status::Failed | Status::Unreachable) && !result.ignored
}

/// A failed task of one host.
pub fn told(host: &str, result: &ItemResult, sources: &[Arc<str>]) {
    lines(host, result, sources).iter().for_each(|text| line(text));
}

fn lines(host: &str, result: &ItemResult, sources: &[Arc<str>]) -> Vec<String> {
    let role = result.role.as_ref().map(|role| format!("{role} : ")).unwrap_or_default();
    let item = result.label.as_ref().map(|label| format!(" (item={})", text::shown(label))).unwrap_or_default();
    let on = result.delegated_to.as_ref().map(|on| format!(" -> {on}")).unwrap_or_default();
    let title = format!("{role}{}{item}{on}", result.name.as_deref().unwrap_or(""));
    let mut lines = vec![format!("  ✘ {host:<10} {title:<44} {:>6.1} s", result.elapsed as f64 / 1e3)];
    let part = |name: &str| result.result.as_ref().and_then(|result| result.get(name));
    let said = |name: &str| part(name).map(text::shown).unwrap_or_default();
    let message = said("msg");
    let code = match part("rc") {
        Some(Value::Int(code)) if *code != 0 && !message.contains("exited with") => format!(" (exited with {code})"),
        _ => String::new(),
    };
    let doing = match &result.actions[..] {
        [action] if !message.contains(action.as_str()) => format!("{action}: "),
        _ => String::new(),
    };
    let mut sentences = message.lines();
    lines.push(format!("    {doing}{}{code}", sentences.next().unwrap_or("failed")));
    lines.extend(sentences.filter(|sentence| !sentence.trim().is_empty()).map(|sentence| format!("      {sentence}")));
    let output = Some(said("stderr")).filter(|text| !text.trim().is_empty()).unwrap_or_else(|| said("stdout"));
    let output: Vec<&str> = output.lines().filter(|text| !text.trim().is_empty() && !message.lines().any(|known| known == *text)).collect();
    lines.extend(output[output.len().saturating_sub(LINES)..].iter().map(|text| format!("      {text}")));
    let place = result.span.filter(|span| span.line > 0).and_then(|span| Some((sources.get(span.file as usize)?, span)));
    lines.extend(place.map(|(name, span)| format!("    {name}:{}:{}", span.line, span.column)));
    let unit = unit(&message).or_else(|| unit(&said("stderr")));
    lines.extend(unit.map(|unit| format!("    unit log: provision ssh {host} -- journalctl -u {unit} -n 50")));
    lines
}

/// The unit of which systemctl says how to see its log: `See "systemctl status X" and "journalctl -xeu X" for details`.
fn unit(said: &str) -> Option<String> {
    let rest = said.split("journalctl -x").nth(1)?.trim_start_matches(['e', 'u']).trim_start();
    let name: String = rest.chars().take_while(|letter| !letter.is_whitespace() && !matches!(letter, '"' | '\'')).collect();
    (!name.is_empty()).then_some(name)
}

/// Who stopped, who went on, and what to do.
pub fn sentence(stopped: &[&str], went_on: &[&str]) -> String {
    let others = if went_on.is_empty() { String::new() } else { format!("; {} went on", went_on.join(", ")) };
    format!("{} stopped here{others}. Run `provision up` again once it is mended: what is done already costs nothing.", stopped.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map;

    #[test]
    fn a_failed_command_shows_its_action_its_last_words_and_its_place() {
        let result = ItemResult {
            name: Some("start containerd".into()),
            role: Some("containerd".into()),
            status: Status::Failed,
            actions: vec!["restart containerd.service".to_owned()],
            result: Some(Value::from(map! {
                "msg" => "Unable to restart service containerd: Job for containerd.service failed.\nSee \"systemctl status containerd.service\" and \"journalctl -xeu containerd.service\" for details.",
                "rc" => 1,
                "stderr" => "a\nb\nc\nd\ne\nf\ng\n"
            })),
            elapsed: 3200,
            span: Some(crate::program::Span { file: 0, line: 31, column: 3 }),
            ..ItemResult::default()
        };
        let lines = lines("worker-2", &result, &["playbooks/site.yaml".into()]);
        assert_eq!(lines[0], "  ✘ worker-2   containerd : start containerd                   3.2 s");
        assert_eq!(
            lines[1],
            "    restart containerd.service: Unable to restart service containerd: Job for containerd.service failed. (exited with 1)"
        );
        assert_eq!(lines[3..9].concat(), "      b      c      d      e      f      g");
        assert_eq!(
            lines[9..],
            ["    playbooks/site.yaml:31:3", "    unit log: provision ssh worker-2 -- journalctl -u containerd.service -n 50"]
        );
    }

    #[test]
    fn who_stopped_and_who_went_on_is_one_sentence() {
        assert!(sentence(&["b"], &["a", "c"]).starts_with("b stopped here; a, c went on. Run"));
        assert!(sentence(&["b"], &[]).starts_with("b stopped here. Run"));
    }
}
