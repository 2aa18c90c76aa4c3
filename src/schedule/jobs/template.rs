//! Templates of notifications: names in braces, such as `{job}`. Pure.

use crate::similar::nearest;

/// The names that a template can have in braces.
pub(super) const TEMPLATE_NAMES: [&str; 22] = [
    "job",
    "description",
    "host",
    "event",
    "outcome",
    "error",
    "reason",
    "run",
    "due",
    "started",
    "ended",
    "attempts",
    "files",
    "bytes",
    "script",
    "log",
    "link",
    "expected_by",
    "running_for",
    "failing_since",
    "subject",
    "text",
];

/// The templates of a notification for people; `None` for the usual text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Templates {
    /// The subject, of one line.
    pub subject: Option<String>,
    /// The text.
    pub text: Option<String>,
}

/// Fills in a template by `value`, which gets the known names. Other braces stay, and values are not
/// read again.
pub fn fill(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let name = after.split_once('}').filter(|(name, _)| TEMPLATE_NAMES.contains(name));
        rest = if let Some((name, behind)) = name {
            filled.push_str(&value(name));
            behind
        } else {
            filled.push('{');
            after
        };
    }
    filled + rest
}

/// Returns a name in braces that a template does not have, with the nearest one.
pub(super) fn misspelt(template: &str) -> Option<(&str, Option<&'static str>)> {
    template.split('{').skip(1).find_map(|part| {
        let (name, _) = part.split_once('}')?;
        let is_name =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let is_unknown = is_name && !TEMPLATE_NAMES.contains(&name);
        is_unknown.then(|| (name, nearest(name, &TEMPLATE_NAMES)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_become_values_once_and_other_braces_stay() {
        for (template, wanted) in [
            ("{job}: {error}", "<job>: <error>"),
            ("{unknown} { {job", "{unknown} { {job"),
            ("{\"a\": \"{run}\"}", "{\"a\": \"<run>\"}"),
            ("{{job}}", "{<job>}"),
            ("", ""),
        ] {
            assert_eq!(fill(template, |name| format!("<{name}>")), wanted);
        }
        assert_eq!(fill("{job}", |_| "{error}".into()), "{error}");
        assert_eq!(misspelt("{job} {erorr}"), Some(("erorr", Some("error"))));
        assert_eq!(misspelt("{xyz}"), Some(("xyz", None)));
        assert_eq!(misspelt("{job} {\"error\": 1}"), None);
    }
}
