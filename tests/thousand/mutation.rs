//! One slip of a user's, at random, in a file.

use super::chance::Chance;

/// Values that stand where another is meant.
const VALUES: &[&str] = &[
    "",
    "~",
    "[]",
    "{}",
    "[a, b]",
    "{a: b}",
    "[[a], {b: c}]",
    "''",
    "'{{ x }}'",
    "-1",
    "0",
    "0.5",
    "99999999999999999999",
    "1000000000",
    "1e400",
    ".nan",
    ".inf",
    "true",
    "no",
    "text",
    "two words",
    "2026-01-01",
    "12:30:45",
    "0x1F",
    "0777",
    "{{",
    "\"{{ x\"",
    "\"{{ }}\"",
    "\"{{ x }}\"",
    "\"{% if %}\"",
    "\"{{ x | nope }}\"",
    "\"{{ range(1000000000) | list }}\"",
    "\"{{ 'a' * 1000000000 }}\"",
    "\"{{ 9 ** 99999999 }}\"",
    "\"{{ [0] * 1000000000 }}\"",
    "\"{{ undefined.a.b[0] }}\"",
    "\"{{ lookup('nope', 'x') }}\"",
    "\"{{ lookup('file', 'nope') }}\"",
    "'",
    "\"",
    "!vault x",
    "!unsafe x",
    "!!int x",
    "!!binary x",
    "!nope x",
    "*nope",
    "&a",
    "&a {b: *a}",
    "|",
    ">-",
    "10.0.0.999",
    "192.168.61.300/24",
    "10.1.2.3",
    "0.0.0.0/0",
    "255.255.255.255/32",
    "::1",
    "/",
    "..",
    "../../../etc/passwd",
    "/dev/null",
    "all",
    "localhost",
    "a:b",
    "web[0:",
    "web[1:1000000000]",
    "é漢😀",
    "\u{feff}",
    "\u{202e}abc",
    "%",
    "@",
    "`",
];

/// Characters and pieces that slip in.
const PIECES: &[&str] = &[
    " ",
    "\t",
    "\n",
    "\r",
    ":",
    ": ",
    "- ",
    "-",
    "'",
    "\"",
    "{",
    "}",
    "[",
    "]",
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#",
    " #",
    "|",
    ">",
    "&a ",
    "*a",
    "!",
    "!vault ",
    "<<: ",
    "? ",
    "%",
    "@",
    "`",
    "\\",
    ",",
    "=",
    "\0",
    "\u{1}",
    "é",
    "😀",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "---\n",
    "...\n",
    "<<: *a\n",
    "(",
    ")",
    "~",
    "..",
    "{{ ",
    " }}",
    " | ",
    " is ",
    " not ",
    " if ",
    "{{ end }}",
    "{{- ",
    "\n\n",
    "    ",
    "\r\n",
    "[a:children]\n",
];

/// What is no UTF-8, or no text.
const GARBAGE: &[&[u8]] = &[b"\xff", b"\xc3", b"\xed\xa0\x80", b"\0\0\0", b"\xfe\xff\0a"];

/// Applies one mutation; the second is what was done.
pub fn mutated(chance: &mut Chance, text: &[u8], others: &[Vec<u8>]) -> (Vec<u8>, String) {
    let Ok(utf8) = std::str::from_utf8(text) else { return (Vec::new(), "emptied".into()) };
    let lines: Vec<&str> = utf8.split_inclusive('\n').collect();
    let line = chance.below(lines.len());
    let at = boundary(utf8, chance.below(utf8.len() + 1));
    let joined = |lines: &[&str]| lines.concat().into_bytes();
    let with = |piece: &str| format!("{}{piece}{}", &utf8[..at], &utf8[at..]).into_bytes();
    match chance.below(100) {
        0..=7 => {
            let mut lines = lines;
            if !lines.is_empty() {
                lines.remove(line);
            }
            (joined(&lines), format!("line {} deleted", line + 1))
        }
        8..=12 => {
            let mut lines = lines;
            if !lines.is_empty() {
                lines.insert(line, lines[line]);
            }
            (joined(&lines), format!("line {} twice", line + 1))
        }
        13..=16 => {
            let mut lines = lines;
            let other = chance.below(lines.len());
            if !lines.is_empty() {
                lines.swap(line, other);
            }
            (joined(&lines), format!("lines {} and {} swapped", line + 1, other + 1))
        }
        17..=36 => valued(chance, &lines, line),
        37..=44 => indented(chance, &lines, line),
        45..=54 => {
            let piece = chance.of(PIECES);
            (with(piece), format!("{piece:?} at byte {at}"))
        }
        55..=62 => {
            let end = boundary(utf8, (at + 1 + chance.below(3)).min(utf8.len()));
            (format!("{}{}", &utf8[..at], &utf8[end..]).into_bytes(), format!("bytes {at} to {end} deleted"))
        }
        63..=74 => word(chance, utf8),
        75..=77 => (utf8.as_bytes()[..at].to_vec(), format!("cut at byte {at}")),
        78..=80 => {
            let end = boundary(utf8, at + chance.below(utf8.len() - at + 1));
            let to = boundary(utf8, chance.below(utf8.len() + 1));
            let part = &utf8[at..end];
            (format!("{}{part}{}", &utf8[..to], &utf8[to..]).into_bytes(), format!("bytes {at} to {end} again at {to}"))
        }
        81 => (Vec::new(), "emptied".into()),
        82 => (format!("\u{feff}{utf8}").into_bytes(), "a byte order mark".into()),
        83 => (utf8.replace('\n', "\r\n").into_bytes(), "lines of Windows".into()),
        84 => (utf8.replace("  ", "\t").into_bytes(), "tabs".into()),
        85 => {
            let bytes = *chance.of(GARBAGE);
            let mut all = utf8.as_bytes()[..at].to_vec();
            all.extend_from_slice(bytes);
            all.extend_from_slice(&utf8.as_bytes()[at..]);
            (all, format!("bytes {bytes:?} at {at}"))
        }
        86 => (utf8.encode_utf16().flat_map(u16::to_le_bytes).collect(), "UTF-16".into()),
        87..=89 => (chance.of(others).clone(), "another file's content".into()),
        90..=95 => deep(chance, &lines, line),
        96 => circular(chance, utf8),
        97..=98 => swapped(chance, utf8),
        _ if chance.one_in(20) => huge(chance, &lines, line),
        _ => (joined(&lines[..line]), format!("cut at line {}", line + 1)),
    }
}

fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn replaced(lines: &[&str], line: usize, with: &str) -> Vec<u8> {
    let mut lines = lines.to_vec();
    match lines.get_mut(line) {
        Some(place) => *place = with,
        None => lines.push(with),
    }
    lines.concat().into_bytes()
}

/// What stands behind a key or a dash is another value.
fn valued(chance: &mut Chance, lines: &[&str], line: usize) -> (Vec<u8>, String) {
    let text = lines.get(line).copied().unwrap_or_default().trim_end_matches('\n');
    let value = chance.of(VALUES);
    let head = [": ", "- ", "=", ":"].iter().find_map(|mark| text.find(mark).map(|at| at + mark.len())).unwrap_or(0);
    let blank = if head > 0 && text[..head].ends_with(':') { " " } else { "" };
    let with = format!("{}{blank}{value}\n", &text[..head]);
    (replaced(lines, line, &with), format!("line {} has the value {value:?}", line + 1))
}

fn indented(chance: &mut Chance, lines: &[&str], line: usize) -> (Vec<u8>, String) {
    let text = lines.get(line).copied().unwrap_or_default();
    let with = match chance.below(5) {
        0 => format!(" {text}"),
        1 => format!("  {text}"),
        2 => text.strip_prefix(' ').unwrap_or(text).to_owned(),
        3 => text.strip_prefix("  ").unwrap_or(text).to_owned(),
        _ => format!("\t{}", text.trim_start_matches(' ')),
    };
    let what = format!("line {} indented: {with:?}", line + 1);
    (replaced(lines, line, &with), what)
}

/// A word with one letter off.
fn word(chance: &mut Chance, text: &str) -> (Vec<u8>, String) {
    let words = words(text);
    if words.is_empty() {
        return (text.into(), "nothing".into());
    }
    let (start, end) = *chance.of(&words);
    let slip = slip(chance, &text[start..end]);
    (format!("{}{slip}{}", &text[..start], &text[end..]).into_bytes(), format!("`{}` at byte {start} is `{slip}`", &text[start..end]))
}

/// Where words are: letters, digits and `_`, three at least.
pub fn words(text: &str) -> Vec<(usize, usize)> {
    let is_word = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'_';
    let bytes = text.as_bytes();
    let mut words = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes[at..].iter().position(|letter| !is_word(*letter)).map_or(bytes.len(), |length| at + length);
        if end >= at + 3 {
            words.push((at, end));
        }
        at = end.max(at) + 1;
    }
    words
}

/// One letter lost, doubled, swapped with its neighbour or mistaken for another.
pub fn slip(chance: &mut Chance, word: &str) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    for _ in 0..10 {
        let at = chance.below(letters.len());
        match chance.below(4) {
            0 => drop(letters.remove(at)),
            1 => letters.insert(at, letters[at]),
            2 if at + 1 < letters.len() => letters.swap(at, at + 1),
            _ => letters[at] = *chance.of(&['a', 'e', 'n', 'o', 'r', 't', 'x']),
        }
        let slipped: String = letters.iter().collect();
        if slipped != word {
            return slipped;
        }
    }
    format!("{word}x")
}

/// Two words of the file change places.
fn swapped(chance: &mut Chance, text: &str) -> (Vec<u8>, String) {
    let words = words(text);
    if words.len() < 2 {
        return (text.into(), "nothing".into());
    }
    let (one, other) = (*chance.of(&words), *chance.of(&words));
    let (first, second) = if one.0 <= other.0 { (one, other) } else { (other, one) };
    if first == second {
        return (text.into(), "nothing".into());
    }
    let of = |(start, end): (usize, usize)| &text[start..end];
    let with = format!("{}{}{}{}{}", &text[..first.0], of(second), &text[first.1..second.0], of(first), &text[second.1..]);
    (with.into_bytes(), format!("`{}` and `{}` swapped", of(first), of(second)))
}

/// Nested far deeper than anyone would.
fn deep(chance: &mut Chance, lines: &[&str], line: usize) -> (Vec<u8>, String) {
    let depth = *chance.of(&[20, 90, 130, 600, 5000, 50_000]);
    let many = |open: &str, inner: &str, close: &str| format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
    let value = match chance.below(14) {
        0 => many("[", "", "]"),
        1 => many("{a: ", "b", "}"),
        2 => format!("\"{{{{ {} }}}}\"", many("(", "1", ")")),
        3 => format!("\"{{{{ {} }}}}\"", many("[", "", "]")),
        4 => format!("\"{{{{ x{} }}}}\"", " | upper".repeat(depth)),
        5 => format!("\"{{{{ {}x }}}}\"", "not ".repeat(depth)),
        6 => format!("\"{{{{ x{} }}}}\"", ".a".repeat(depth)),
        7 => format!("\"{{{{ {}1 }}}}\"", "1 if x else ".repeat(depth)),
        8 => format!("\"{}x{}\"", "{% if x %}".repeat(depth), "{% endif %}".repeat(depth)),
        9 => format!("\"{{{{ 1{} }}}}\"", " + 1".repeat(depth)),
        10 => format!("\"{{{{ x{} }}}}\"", "['a']".repeat(depth)),
        11 => format!("\"{{{{ {} }}}}\"", many("f(", "", ")")),
        12 => format!("\"{{{{ {}1 }}}}\"", "-".repeat(depth)),
        _ => format!("\"{{{{ x{} }}}}\"", " or x and not x".repeat(depth)),
    };
    let text = lines.get(line).copied().unwrap_or_default().trim_end_matches('\n');
    let head = text.find(": ").map_or(text.len(), |at| at + 2);
    // A template's line needs no quotes.
    let inner = value.trim_matches('"');
    let with = if text.contains("{{") { format!("{inner}\n") } else { format!("{}{value}\n", &text[..head]) };
    (replaced(lines, line, &with), format!("line {} is {depth} deep: {:.60}", line + 1, value))
}

/// Something that refers to itself.
fn circular(chance: &mut Chance, text: &str) -> (Vec<u8>, String) {
    let piece = chance.of(&[
        "- import_tasks: main.yml\n",
        "- import_tasks: main.yaml\n",
        "- include_tasks: main.yml\n",
        "- import_playbook: site.yml\n",
        "- import_playbook: own.yml\n",
        "- import_playbook: site.yaml\n",
        "- import_role: {name: own}\n",
        "- include_role: {name: own}\n",
        "dependencies: [own]\n",
        "dependencies: [{role: node}]\n",
        "[web:children]\nprod\n",
        "prod: {children: {web: {children: {prod: {}}}}}\n",
        "own_folder: \"{{ own_folder }}\"\n",
        "node_sysctls: \"{{ node_sysctls | combine({}) }}\"\n",
        "{{ define \"x\" }}{{ include \"x\" . }}{{ end }}{{ include \"x\" . }}\n",
        "a: &a [*a]\n",
    ]);
    let joined = if chance.one_in(2) { format!("{text}{piece}") } else { format!("{piece}{text}") };
    (joined.into_bytes(), format!("{piece:?} added"))
}

/// Very long lines, very many lines.
fn huge(chance: &mut Chance, lines: &[&str], line: usize) -> (Vec<u8>, String) {
    let size = *chance.of(&[100_000, 1_000_000, 10_000_000]);
    let piece = chance.of(&["a", "{{ x }}", "- ", "a: b\n", "\t", " ", "\n", "'", "#", "é", "[", "{", "a,", "a b=c ", "\\"]);
    let with = format!("key: {}\n", piece.repeat(size / piece.len()));
    (replaced(lines, line, &with), format!("line {} is {size} bytes of {piece:?}", line + 1))
}
