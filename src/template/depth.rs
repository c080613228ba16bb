//! How deep an expression nests, seen before it is parsed: a parser, an evaluator and a destructor of trees each need stack for it.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::{Error, Result};

/// Operators, filters, calls and brackets inside of each other, and `elif`s of an `if`: a tenth of what 2 MiB of stack hold in an
/// unoptimised build, ten times what people write. (Brackets alone end at 150, minijinja's own bound.)
const DEEPEST: usize = 500;

/// Refuses what nests too deep; the error's place is a byte's offset in the text.
pub fn check(source: &str, in_expression: bool, syntax: SyntaxConfig) -> Result<(), (Error, usize)> {
    // What an operand is inside of: a chain of operators for each open bracket.
    let mut chains = vec![0usize];
    let mut depth = 0usize;
    let mut branches: Vec<usize> = Vec::new();
    let mut first = false;
    for token in tokenize(source, in_expression, syntax) {
        let Ok((token, span)) = token else { return Ok(()) };
        let is_first = std::mem::replace(&mut first, false);
        match token {
            Token::VariableStart | Token::BlockStart => {
                (chains, depth) = (vec![0], 0);
                first = matches!(token, Token::BlockStart);
            }
            Token::Ident("if") if is_first => branches.push(0),
            Token::Ident("endif") if is_first => _ = branches.pop(),
            Token::Ident("elif") if is_first => {
                if let Some(count) = branches.last_mut() {
                    *count += 1;
                    depth += *count;
                }
            }
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => {
                chains.push(1);
                depth += 1;
            }
            // What follows a bracket may be a filter or a call of it.
            Token::BracketClose | Token::ParenClose | Token::BraceClose if chains.len() > 1 => {
                depth -= chains.pop().unwrap_or_default();
                if let Some(chain) = chains.last_mut() {
                    *chain += 1;
                    depth += 1;
                }
            }
            Token::Comma => {
                if let Some(chain) = chains.last_mut() {
                    depth -= std::mem::take(chain);
                }
            }
            Token::Ident("not" | "and" | "or" | "if" | "else" | "is" | "in")
            | Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::FloorDiv
            | Token::Pow
            | Token::Mod
            | Token::Dot
            | Token::Tilde
            | Token::Pipe
            | Token::Eq
            | Token::Ne
            | Token::Gt
            | Token::Gte
            | Token::Lt
            | Token::Lte => {
                if let Some(chain) = chains.last_mut() {
                    *chain += 1;
                    depth += 1;
                }
            }
            _ => {}
        }
        if depth > DEEPEST {
            let error = Error::syntax(format!("an expression with more than {DEEPEST} operators inside of each other"))
                .hint("set variables for its parts, or use lists with `join` or `sum`");
            return Err((error, span.start_offset as usize));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(source: &str) -> bool {
        check(source, false, SyntaxConfig::default()).is_err()
    }

    #[test]
    fn what_nests_is_counted_and_what_stands_side_by_side_is_not() {
        for (open, inner, close) in
            [("", "1", " + 1"), ("x", "", ".a"), ("x", "", " | f"), ("x", "", "[0]"), ("x", "", "()"), ("", "x", " or x")]
        {
            assert!(is_refused(&format!("{{{{ {open}{inner}{} }}}}", close.repeat(600))), "{close}");
            assert!(!is_refused(&format!("{{{{ {open}{inner}{} }}}}", close.repeat(400))), "{close}");
        }
        assert!(is_refused(&format!("{{{{ {}x }}}}", "not ".repeat(600))));
        assert!(is_refused(&format!("{{% if x %}}{}{{% endif %}}", "{% elif x %}".repeat(600))));
        assert!(!is_refused(&"{% if x.y %}{% elif x %}{% endif %}{{ a + b | c }}".repeat(1000)));
        assert!(!is_refused(&format!("{{{{ [{}] }}}}", "a.b | c, ".repeat(1000))));
    }
}
