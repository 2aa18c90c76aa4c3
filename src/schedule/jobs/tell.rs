//! The notifications of a job: `on_success`, `on_failure`, `on_change`, `on_missed`, `ping`.

use std::ops::Range;

use super::{
    Notify, TELL, Tell,
    table::{JobsDocument, JobsTable, Value},
};
use crate::secret::Secret;

/// Reads all of them.
pub(super) fn notify(table: &mut JobsTable<'_>, page: &mut JobsDocument<'_>) -> Notify {
    let mut tell = |key| tell(table, key, page);
    let [on_success, on_failure, on_change, on_missed] =
        ["on_success", "on_failure", "on_change", "on_missed"].map(&mut tell);
    Notify { on_success, on_failure, on_change, on_missed, ping: address(table, "ping", page) }
}

fn tell(table: &mut JobsTable<'_>, key: &str, page: &mut JobsDocument<'_>) -> Option<Tell> {
    if let Some(value) = table.get(key).filter(|value| value.get_ref().is_str()) {
        let hint = Some(format!("write `{key} = {{ webhook = \"https://…\" }}`"));
        page.error(value.span(), format!("`{key}` wants a table, got a string"), hint);
        return None;
    }
    let known = TELL.keys();
    let mut inner = table.table(key, &format!("`{key}`"), &known, page)?;
    let tell = Tell {
        webhook: address(&mut inner, "webhook", page),
        ping: address(&mut inner, "ping", page),
        command: command(&mut inner, page),
    };
    let is_empty = known.iter().all(|known| inner.get(known).is_none());
    if is_empty && let Some(span) = table.get(key).map(Value::span) {
        let hint = Some("`webhook`, `ping` or `command`".to_owned());
        page.error(span, format!("`{key}` tells nobody"), hint);
    }
    Some(tell)
}

/// Reads a web address. Messages do not repeat it: anyone who knows it can use it.
fn address(table: &mut JobsTable<'_>, key: &str, page: &mut JobsDocument<'_>) -> Option<Secret> {
    let (text, span) = table.text(key, page)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_address = |rest: &str| {
        !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if !rest.is_some_and(is_address) {
        let hint = Some("an address begins with `https://` or `http://`".to_owned());
        page.error(span, format!("`{key}` wants an address of the web"), hint);
        return None;
    }
    Some(Secret::new(text))
}

fn command(table: &mut JobsTable<'_>, page: &mut JobsDocument<'_>) -> Option<Vec<String>> {
    let span: Range<usize> = table.get("command")?.span();
    let words = table.texts("command", page);
    let is_empty = words.first().is_none_or(|(program, _)| program.trim().is_empty());
    if is_empty {
        let hint =
            Some("such as `[\"/usr/bin/mail-me\", \"catalogue\"]`; no shell reads it".to_owned());
        page.error(span, "`command` names no program", hint);
        return None;
    }
    Some(words.into_iter().map(|(word, _)| word.to_owned()).collect())
}
