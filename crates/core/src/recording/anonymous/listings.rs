//! Listings without the names in them.

use super::Replacements;

/// The facts of MLSD lines that stay; their values are numbers, dates and permissions.
const FACTS: [&str; 6] = ["type", "size", "modify", "perm", "unix.mode", "create"];

impl Replacements {
    pub(super) fn listing(&mut self, bytes: &[u8]) -> Vec<u8> {
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| {
            let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
            let (text, end) = line.split_at(end.map_or(0, |at| at + 1));
            [self.listed(text).as_slice(), end].concat()
        });
        lines.collect::<Vec<_>>().concat()
    }

    /// Replaces the names in a line of a listing.
    pub(super) fn listed(&mut self, line: &[u8]) -> Vec<u8> {
        let has_facts = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        if has_facts.contains(&b'=') && has_facts.ends_with(b";") {
            return self.facts(line);
        }
        let first = line.trim_ascii_start().split(|byte| *byte == b' ').next().unwrap_or_default();
        let kind = first.first().copied().unwrap_or_default();
        let is_unix =
            first.len() >= 10 && first.iter().all(|byte| b"-dlbcpsrwxStT+.@".contains(byte));
        // Permissions, links, owner, group, size, and three parts of the date; or date, time and size.
        let fields = if is_unix { 8 } else { 3 };
        let is_dos = kind.is_ascii_digit();
        if !is_unix && !is_dos {
            let is_total = line.starts_with(b"total ");
            return if is_total { line.to_vec() } else { self.path(line) };
        }
        let mut made = Vec::new();
        let mut rest = line;
        for field in 0..fields {
            let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let (space, after) = rest.split_at(blank);
            let length = after.iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
            let (word, after) = after.split_at(length);
            made.extend_from_slice(space);
            if field == 0 && is_unix || is_figure(word) {
                made.extend_from_slice(word);
            } else {
                let user = String::from_utf8_lossy(word).into_owned();
                made.extend_from_slice(self.user(&user).as_bytes());
            }
            rest = after;
        }
        let blank = if is_unix { 1 } else { rest.iter().take_while(|byte| **byte == b' ').count() };
        let (space, name) = rest.split_at(blank.min(rest.len()));
        made.extend_from_slice(space);
        let arrow = name.windows(4).position(|part| part == b" -> ").filter(|_| kind == b'l');
        match arrow {
            Some(at) => {
                let (name, target) = name.split_at(at);
                made.extend(self.path(name));
                made.extend_from_slice(b" -> ");
                made.extend(self.path(target.get(4..).unwrap_or_default()));
            }
            None => made.extend(self.path(name)),
        }
        made
    }

    /// Replaces the names in a line of MLSD or MLST.
    pub(super) fn facts(&mut self, line: &[u8]) -> Vec<u8> {
        let blank = line.iter().take_while(|byte| **byte == b' ').count();
        let (space, rest) = line.split_at(blank);
        let Some(at) = rest.iter().position(|byte| *byte == b' ') else { return self.text(line) };
        let (facts, name) = rest.split_at(at);
        let text = String::from_utf8_lossy(facts).into_owned();
        let kept = text.split_inclusive(';').filter(|fact| {
            let key = fact.split('=').next().unwrap_or_default().to_ascii_lowercase();
            FACTS.contains(&key.as_str())
        });
        // The target of a link is in the value of its type.
        let kept: String = kept
            .map(|fact| match fact.split_once("link:") {
                Some((head, _)) => format!("{head}link;"),
                None => fact.to_owned(),
            })
            .collect();
        let name = self.path(name.get(1..).unwrap_or_default());
        [space, kept.as_bytes(), b" ", &name].concat()
    }
}

/// Returns true if a word of a listing is a number, or part of a date.
fn is_figure(word: &[u8]) -> bool {
    const MONTHS: &[u8] = b"janfebmaraprmayjunjulaugsepoctnovdec";
    let lower = word.to_ascii_lowercase();
    let digits = lower.strip_suffix(b"am").or_else(|| lower.strip_suffix(b"pm")).unwrap_or(&lower);
    let is_number = digits.iter().all(|byte| byte.is_ascii_digit() || b":-./,".contains(byte));
    is_number || lower == b"<dir>" || MONTHS.chunks(3).any(|month| month == lower)
}
