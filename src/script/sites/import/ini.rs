//! Files of sections with keys, as rclone and WinSCP write them.

/// A section: its name, and its keys with their values.
pub(super) struct IniSection<'t> {
    pub(super) name: &'t str,
    keys: Vec<(&'t str, &'t str)>,
}

impl<'t> IniSection<'t> {
    /// Returns the value of a key; empty if it is not there.
    pub(super) fn get(&self, key: &str) -> &'t str {
        let found = self.keys.iter().find(|(known, _)| known.eq_ignore_ascii_case(key));
        found.map(|(_, value)| *value).unwrap_or_default()
    }
}

/// Returns the sections of a file.
pub(super) fn sections(text: &str) -> Vec<IniSection<'_>> {
    let mut found: Vec<IniSection<'_>> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            found.push(IniSection { name, keys: Vec::new() });
        } else if let (Some(section), Some((key, value))) = (found.last_mut(), line.split_once('='))
        {
            section.keys.push((key.trim(), value.trim()));
        }
    }
    found
}
