//! The secrets that a jobs file names and that are not here.

use std::path::Path;

use crate::{
    permissions::PermissionKind,
    schedule::jobs::{JobsReading, NamedSecret},
    script::{
        check::{ScriptFinding, Severity, permissions::derive},
        raise::ScriptLocation,
        secrets,
        source::ScriptSource,
    },
};

/// Returns a warning for each secret that a jobs file names and that cannot be read here. The scheduler may be given it in
/// another way, so that it is no error.
pub(super) fn of_jobs_file(path: &Path, reading: &JobsReading) -> Vec<ScriptFinding> {
    let folder = folder_of(path);
    let missing = |named: &NamedSecret| {
        let NamedSecret { name, file, at } = named;
        missing(name, folder, || place(file, reading.text_of(file), *at))
    };
    reading.secrets.iter().filter_map(missing).collect()
}

/// Returns such a warning for each secret that the text of a script of a jobs file names.
pub(super) fn of_script(path: &Path, source: &ScriptSource) -> Vec<ScriptFinding> {
    let text = source.text_of(source.shown()).unwrap_or_default();
    if !text.contains("secret(") {
        return Vec::new();
    }
    let folder = folder_of(path);
    let found = derive(source, &serde_json::Value::Null).found;
    let missing = |name: &str| {
        let at = text.find(&format!("secret(\"{name}\")")).unwrap_or(0);
        missing(name, folder, || place(source.shown(), &text, at))
    };
    let names = found.of_kind(PermissionKind::Secret);
    names.filter(|name| !name.contains('*')).filter_map(missing).collect()
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn place(file: &str, text: &str, at: usize) -> ScriptLocation {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    ScriptLocation { file: file.to_owned(), line, column }
}

fn missing(
    name: &str,
    folder: &Path,
    place: impl FnOnce() -> ScriptLocation,
) -> Option<ScriptFinding> {
    let fault = secrets::of_text_in(&format!("secret:{name}"), folder).err()?;
    let (message, hint) = if secrets::is_missing(&fault) {
        let file = secrets::folder_in(folder).join(name);
        let file = file.strip_prefix(".").unwrap_or(&file).display();
        let hint = format!(
            "`install -D -m 600 /dev/stdin {file}` reads it from the terminal, up to Ctrl-D; an environment variable or a \
             systemd credential of that name does as well, if the scheduler has it"
        );
        (format!("there is no secret `{name}` here"), Some(hint))
    } else {
        (fault.to_string(), None)
    };
    Some(ScriptFinding { level: Severity::Warning, message, place: place(), hint })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::schedule::{jobs, zone::Zones};

    #[test]
    fn each_secret_that_is_not_here_is_told_once_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("secrets")).unwrap();
        let kept = folder.path().join("secrets/HERE_9X");
        std::fs::write(&kept, "x").unwrap();
        let text = r#"[mail]
smtp = "mail.example.com:587"
from = "a@example.com"
user = "a"
password = { secret = "MAIL_9X" }

[defaults]
on_failure = { slack = "secret:SLACK_9X", webhook = { url = "https://example.com", headers = { X-Key = "secret:HOOK_9X" } } }

[[job]]
name = "a"
each = { site = ["one", "two"] }
description = "secret:WORDS_9X"
cron = "@daily"
[job.get]
from = "ftp://example.com/in"
to = "in"
[job.connect]
password = "secret:{site}_9X"
account = "secret:HERE_9X"
"#;
        let path = folder.path().join("portolan.toml");
        let reading =
            jobs::parse(text.into(), &path, &Zones::bundled(), jiff::Timestamp::UNIX_EPOCH);
        assert!(reading.jobs.is_some(), "{:?}", reading.findings);
        let told = |finding: ScriptFinding| {
            (finding.message, finding.place.line, finding.place.column, finding.hint.is_some())
        };
        let no = |name: &str, line, column| {
            (format!("there is no secret `{name}` here"), line, column, true)
        };
        let wanted = [
            no("HOOK_9X", 8, 104),
            no("MAIL_9X", 5, 12),
            no("SLACK_9X", 8, 24),
            no("one_9X", 19, 12),
            no("two_9X", 19, 12),
        ];
        let found = || of_jobs_file(&path, &reading).into_iter().map(told).collect::<Vec<_>>();
        std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(found(), wanted);
        std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(0o644)).unwrap();
        let open = found().into_iter().find(|(message, ..)| message.contains("HERE_9X")).unwrap();
        assert!(open.0.contains("others can read"), "{open:?}");
    }
}
