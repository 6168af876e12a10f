//! `${NAME}` in values.
//!
//! 1. `${NAME}` becomes the variable's value; a variable that is not set is a problem.
//! 2. `$$` becomes `$`, so `$${NAME}` is the text `${NAME}`.
//! 3. Any other `$` is itself, so that log formats (`$remote_addr`) and expressions (`ok$`) need no escape.
//!
//! It happens to one value after the YAML was read: what a variable holds can never become structure.

use super::reader::Env;

/// The text with its variables replaced, or what is wrong with it.
pub fn expand(text: &str, env: Env<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let (name, after) = after
                .split_once('}')
                .ok_or("${ is not closed; write ${NAME}, or $${ for the text ${")?;
            out.push_str(&value(name, env)?);
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn value(name: &str, env: Env<'_>) -> Result<String, String> {
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !valid {
        return Err(format!(
            "{} is not the name of a variable; write ${{NAME}}, or $${{ for the text ${{",
            super::error::quoted(name)
        ));
    }
    env(name).ok_or_else(|| format!("the environment variable {name} is not set"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_other_dollars_stay() {
        let env = |name: &str| (name == "TOKEN").then(|| "t${x}".to_string());
        for (text, expected) in [
            ("a ${TOKEN} b", Ok("a t${x} b")),
            ("$remote_addr $$ ok$", Ok("$remote_addr $ ok$")),
            ("$${TOKEN}", Ok("${TOKEN}")),
            ("${TOKEN", Err("not closed")),
            ("${GONE}", Err("GONE is not set")),
            ("${a b}", Err("not the name")),
            ("${}", Err("not the name")),
        ] {
            match (expand(text, &env), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
