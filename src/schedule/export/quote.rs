//! Quoting of paths and words for other programs.

use std::path::Path;

/// Quotes a word of a shell command in a crontab, where an unescaped `%` would end the line.
pub(super) fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,".contains(c);
    let word = if text.chars().all(is_plain) && !text.is_empty() {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    };
    word.replace('%', "\\%")
}

/// Quotes a value in a systemd unit, where `%` starts a specifier.
pub(super) fn unit(path: &Path) -> String {
    path.display().to_string().replace('%', "%%")
}

/// Quotes a word of a list in a unit.
pub(super) fn unit_word(path: &Path) -> String {
    let text = unit(path);
    if text.contains([' ', '\t', '"', '\'', '\\']) {
        return format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    }
    text
}

/// Quotes a word of a unit's command line, where `$` starts a variable as well.
pub(super) fn unit_command(path: &Path) -> String {
    unit_word(path).replace('$', "$$")
}

/// Quotes a YAML string. YAML accepts JSON strings, but no characters that do not print: those are escaped as well.
pub(super) fn yaml(text: &str) -> String {
    let escaped = |c: char| {
        let code = u32::from(c);
        let is_odd =
            matches!(code, 0x7f..=0x9f | 0x2028 | 0x2029 | 0xfeff) || code & 0xfffe == 0xfffe;
        match code {
            _ if !is_odd => c.to_string(),
            0..=0xffff => format!("\\u{code:04x}"),
            _ => format!("\\U{code:08x}"),
        }
    };
    let json = serde_json::Value::from(text).to_string();
    json.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_stays_plain_and_the_rest_is_quoted() {
        let plain = Path::new("/srv/a-b/c.rhai");
        let odd = Path::new("/srv/it's 5 % of $1 \"x\"");
        for quote in [shell, unit, unit_word, unit_command] {
            assert_eq!(quote(plain), "/srv/a-b/c.rhai");
        }
        assert_eq!(shell(odd), r#"'/srv/it'\''s 5 \% of $1 "x"'"#);
        assert_eq!(unit(odd), r#"/srv/it's 5 %% of $1 "x""#);
        assert_eq!(unit_word(odd), r#""/srv/it's 5 %% of $1 \"x\"""#);
        assert_eq!(unit_command(odd), r#""/srv/it's 5 %% of $$1 \"x\"""#);
        assert_eq!(yaml("a \"b\"\n"), r#""a \"b\"\n""#);
        assert_eq!(yaml("ä\u{7f}\u{2028}\u{1ffff}"), r#""ä\u007f\u2028\U0001ffff""#);
    }
}
