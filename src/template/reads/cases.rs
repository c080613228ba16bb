//! What is found in texts that are written here; `tests/expressions` compares it with what evaluation does.

use std::fmt::Write as _;
use std::sync::Arc;

use super::{Form, HostRead, Problem, Reads, of};
use crate::program::{Span, Template};

fn found(source: &str, form: Form) -> Reads {
    of(&Template { source: source.into(), span: Span { file: 0, line: 1, column: 1 } }, form).expect("parses")
}

fn template(source: &str) -> Reads {
    found(source, Form::Template)
}

fn condition(source: &str) -> Reads {
    found(source, Form::Condition)
}

/// `a?` where it is guarded.
fn names(reads: &Reads) -> Vec<String> {
    reads.names.iter().map(|name| format!("{}{}", name.name, if name.guarded { "?" } else { "" })).collect()
}

#[test]
fn names_are_guarded_by_default_and_by_tests() {
    for (source, wanted) in [
        ("a == 1", "a"),
        ("a.b[c] | default(d)", "a? c d"),
        ("a | upper | default('')", "a?"),
        ("a is defined and a.b == c", "a? a? c"),
        ("a is not defined or a == 1", "a? a?"),
        ("a is defined or a == 1", "a? a"),
        ("not (a is undefined) and a", "a? a?"),
        ("b if b is defined else omit", "b? b?"),
        ("[a, b] | first | default('')", "a? b?"),
        ("[a, b] | select('defined') | first", "a? b?"),
        ("[a, b] | select('string') | first", "a b"),
        ("b | default(a) | default('')", "b? a?"),
        ("(a == 1) | default('')", "a"),
        ("a.split(b) | default([])", "a? b?"),
        ("m | combine(a) | default({})", "m? a?"),
        ("range(n) | list", "n"),
        ("omit", ""),
        ("no_function(1)", "no_function"),
        ("lookup('vars', 'a', 'b')", "a b"),
        ("lookup('vars', 'a', default='')", "a?"),
        ("lookup('vars', 'a', errors='ignore')", "a"),
        ("lookup('vars', 'a') | default('')", "a?"),
        ("[a] | default([])", "a"),
        ("[a] | map('default', b) | list", "a? b"),
        ("a | ternary(b, 1) | default('')", "a? b?"),
        ("a | mandatory | default('')", "a"),
        ("vars['b']", "b"),
        ("vars.get('b', 1)", "b?"),
        ("hostvars[inventory_hostname].x", "x? inventory_hostname"),
    ] {
        assert_eq!(names(&condition(source)).join(" "), wanted, "{source}");
        assert_eq!(names(&template(&format!("{{{{ {source} }}}}"))).join(" "), wanted, "{source}");
    }
    for (source, wanted) in [
        ("{{ a if a | d(1) else b }}", "a? a? b"),
        ("{% if a | d([]) | length > 0 and b %}{{ a }}{{ b }}{% endif %}{{ a }}", "a? b a? b a"),
        ("{% if a | d('x') != 'x' %}{{ a }}{% else %}{{ a }}{% endif %}", "a? a? a?"),
        ("{{ a if 'a' in vars else b }}{{ vars }}", "a? a? b"),
        ("{{ b if 'a' not in vars else a.c }}", "a? b a?"),
    ] {
        assert_eq!(names(&template(source)).join(" "), wanted, "{source}");
    }
    for source in ["a | default(false)", "x or 'a' in vars", "vars['a'] is defined", "lookup('vars', 'a', default='') != ''"] {
        assert!(condition(source).tested.contains("a"), "{source}");
    }
    assert!(!template("{{ a | default(false) }}").tested.contains("a"));
    let both = template("{% if a is defined %}{{ a }}{% else %}{{ a }}{% endif %}");
    assert_eq!(names(&both), ["a?", "a?", "a"]);
    assert!(both.tested.contains("a"));
}

#[test]
fn a_name_is_the_texts_own_only_where_it_is_set() {
    for (source, wanted) in [
        ("{% for x in y %}{{ x }}{{ loop.index }}{% endfor %}{{ x }}", "y x"),
        ("{% for x in x %}{{ x }}{% else %}{{ x }}{% endfor %}", "x x"),
        ("{% for x in y if x > z %}{% endfor %}", "y z"),
        ("{% for i in y %}{% set z = i %}{% endfor %}{{ z }}", "y z"),
        ("{% set a = b %}{{ a }}", "b"),
        ("{{ a }}{% set a = 1 %}", "a"),
        ("{% set a = a %}{{ a }}", "a"),
        ("{% set a %}{{ b }}{% set b = 1 %}{% endset %}{{ a }}{{ b }}", "b b"),
        ("{% with a = b %}{{ a }}{% endwith %}{{ a }}", "b a"),
        ("{% if c %}{% set a = 1 %}{% endif %}{{ a }}", "c a?"),
        ("{% if c %}{% set a = 1 %}{% elif d %}{% set a = 2 %}{% else %}{% set a = 3 %}{% endif %}{{ a }}", "c d"),
        ("{% macro m(p, q=d) %}{{ p }}{{ f }}{{ caller() }}{% endmacro %}{{ m(1) }}", "d f"),
        // It is called when `x` is set.
        ("{% macro m() %}{{ x }}{{ y }}{% endmacro %}{% set x = 1 %}{{ m() }}", "x? y"),
        ("{% import 'a' as b %}{{ b.c }}{% from 'a' import d as e %}{{ e }}{{ d }}", "d"),
        ("{% set vars = {} %}{{ vars.x }}{% set hostvars = {} %}{{ hostvars.h.x }}", ""),
        // Variables may be called as functions are.
        ("{{ dict }}{{ query.x }}{{ loop }}", "dict? query? loop?"),
    ] {
        assert_eq!(names(&template(source)).join(" "), wanted, "{source}");
    }
}

#[test]
fn string_constants_are_templates_in_conditions_and_lookups_only() {
    assert_eq!(names(&template("{{ '{{ a }}' }}{{ lookup('file', '{{ b }}') }}")), ["b"]);
    assert_eq!(names(&condition("'{{ a }}' == ''")), ["a"]);
    assert_eq!(names(&condition("{{ '{{ a }}' }}")), ["a"]);
    assert_eq!(condition("x and '{{ a | uper }}'").problems[0].at, 6);
    assert!(condition("x and '{{ a b }}'").problems[0].message.starts_with("syntax error"));
    // A condition that is a template throughout.
    assert_eq!(names(&condition("{{ a }}")), ["a"]);
}

#[test]
fn reads_of_other_hosts_name_host_and_variable() {
    let hosts = |source: &str| {
        let shown = |name: Option<Arc<str>>| name.map_or_else(|| "*".to_owned(), |name| name.to_string());
        let reads = template(source).hosts.into_iter();
        reads.map(|HostRead { host, variable }| format!("{}.{}", shown(host), shown(variable))).collect::<Vec<_>>().join(" ")
    };
    for (source, wanted) in [
        ("{{ hostvars['a'].x.y }}", "a.x"),
        ("{{ hostvars.a['x'] }}", "a.x"),
        ("{{ hostvars[groups['m'][0]]['x'] }}", "*.x"),
        ("{{ hostvars[h].get('x', 1) }}", "*.x"),
        ("{{ hostvars[h].get(x, 1) }}", "*.*"),
        ("{{ hostvars[h] }}", "*.*"),
        ("{{ hostvars }}", "*.*"),
        ("{{ vars.hostvars }}", "*.*"),
        ("{{ hostvars | length }}", "*.*"),
        ("{{ hostvars[inventory_hostname].x }}", ""),
        ("{{ groups['m'] | map('extract', hostvars, ['facts', 'ip']) | list }}", "*.facts"),
        ("{{ groups['m'] | map('extract', hostvars) | list }}", "*.*"),
        ("{{ 'a' | extract(hostvars, 'x') }}", "a.x"),
        ("{{ h | extract(hostvars, 'x') }}", "*.x"),
    ] {
        assert_eq!(hosts(source), wanted, "{source}");
    }
    assert_eq!(names(&template("{{ hostvars[h][k] }}{{ h | extract(hostvars, k) }}")), ["h", "k", "h", "k"]);
}

#[test]
fn all_variables_may_be_read() {
    for source in ["vars", "vars[x]", "vars | length", "lookup('vars', x)", "q('vars', *x)", "lookup(x, 'a')", "q('varnames', '^a')"] {
        assert!(condition(source).everything, "{source}");
    }
    for source in ["vars.x", "vars['x']", "lookup('vars', 'x')", "lookup('file', x)", "x.vars"] {
        assert!(!condition(source).everything, "{source}");
    }
}

#[test]
fn lookups_show_plugin_and_terms() {
    let shown = |source: &str| {
        let mut text = String::new();
        for lookup in template(source).lookups {
            let _ = write!(
                text,
                "{} {}{} {:?};",
                lookup.plugin,
                lookup.terms.len(),
                if lookup.optional { "?" } else { "" },
                lookup.span.column
            );
        }
        text
    };
    assert_eq!(shown("{{ lookup('ansible.builtin.file', 'a.txt') }}{{ query('env', x, y) }}"), "file 1 4;env 2 49;");
    assert_eq!(shown("{{ q('first_found', files=['a'], paths=['b'], skip=true) }}"), "first_found 2 4;");
    assert_eq!(
        shown("{% include 'a' %}{% include ['a', b] %}{% include 'c' ignore missing %}"),
        "include 1 12;include 1? 29;include 1? 51;"
    );
    assert_eq!(shown("{% extends 'a' %}"), "include 1 12;");
    // What it sets is not missing in the other text.
    assert!(template("{% set x = 1 %}{% include 'a' %}").tested.contains("x"));
    assert!(!template("{% set x = 1 %}").tested.contains("x"));
}

#[test]
fn mistakes_have_a_place_and_a_suggestion() {
    let problem = |source: &str| {
        let Problem { message, hint, word, at } = template(source).problems.into_iter().next().expect("a mistake");
        (message, hint.unwrap_or_default(), word.to_string(), source[at as usize..].to_owned())
    };
    let (message, hint, word, rest) = problem("one\n  {{ name | uper }}");
    assert_eq!((message.as_str(), hint.as_str(), word.as_str()), ("no filter named 'uper'", "did you mean `upper`?", "uper"));
    assert!(rest.starts_with("uper"), "{rest}");
    let (message, _, _, rest) = problem("{{ 'a\\'b' is matches }}");
    assert_eq!(message, "no test named 'matches'");
    assert!(rest.starts_with("matches"), "{rest}");
    // Of a name that is handed on, and of an argument, the filter's own place: the word stands behind it.
    let (message, _, word, rest) = problem("{{ users | map('uper') }}");
    assert_eq!((message.as_str(), word.as_str()), ("no filter named 'uper'", "uper"));
    assert!(rest.starts_with("map('uper"), "{rest}");
    assert_eq!(problem("{{ x | selectattr('a', 'definde') }}").1, "did you mean `defined`?");
    let (message, hint, word, _) = problem("{{ x | regex_replace(patern='a') }}");
    assert_eq!((message.as_str(), word.as_str()), ("the filter 'regex_replace' has no argument 'patern'", "patern"));
    assert_eq!(hint, "did you mean `pattern`?");
    assert_eq!(problem("{% do x.append(1) %}").0, "encountered unknown tag 'do'");
    // A line that changes the delimiters counts.
    let (.., rest) = problem("#jinja2: trim_blocks:False\nname: {{ name | uper }}");
    assert!(rest.starts_with("uper"), "{rest}");
    let unknown = template("{{ a }}{{ lookup('fil', 'x') }}").unknown;
    assert_eq!((&*unknown[0].name, unknown[0].at), ("fil", 17));
    let text: Arc<str> = "ä\n{{ a b }}".into();
    let error = of(&Template { source: Arc::clone(&text), span: Span::default() }, Form::Template).expect_err("is malformed");
    assert!(text[error.at as usize..].starts_with("b }}"), "{error:?}");
}
