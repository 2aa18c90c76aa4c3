//! Fault plans: the faults that the user asks for, and the number of times each happens.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{
    effect::Effect,
    named::{FaultRow, Make, ROWS},
    naming::Naming,
    root::ServedPath,
};
use portolan_core::{
    encoding::from_hex,
    error::{Error, Result},
};
use portolan_proto::Verb;

/// A fault to be injected by the server, such as `drop-after=100` or `retr-425@/in*1`.
///
/// The form is `NAME[=ARGUMENT][@/PATH][*N]`: only for commands on that path or below it, only the first N times.
/// Clones share the count.
#[derive(Debug, Clone)]
pub struct FaultPlan {
    text: String,
    effect: Effect,
    path: Option<ServedPath>,
    left: Arc<AtomicU32>,
}

impl FaultPlan {
    /// The name and description of every fault, in the order of the help.
    pub const ALL: &[(&str, &str)] = &names();

    /// Parses a fault plan. Fails with `invalid`, and suggests the correct form.
    pub fn parse(whole: &str) -> Result<Self> {
        let (text, times) = split_times(whole)?;
        let (text, path) = match text.rsplit_once("@/") {
            Some((text, path)) => (text, Some(ServedPath::root().join(path.as_bytes()))),
            None => (text, None),
        };
        let (name, argument) = match text.split_once('=') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        let row = ROWS.iter().find(|row| row.name == name).ok_or_else(|| unknown(name))?;
        let effect = row.effect(argument)?;
        let is_of_session = matches!(
            effect,
            Effect::Passive(_)
                | Effect::SlowControl
                | Effect::CutControl(_)
                | Effect::PauseControl(_)
                | Effect::Names(_)
        );
        if path.is_some() && is_of_session {
            return Err(Error::invalid(format!("the fault `{name}` cannot be held to one path")));
        }
        Ok(Self { text: whole.to_owned(), effect, path, left: Arc::new(AtomicU32::new(times)) })
    }

    /// Creates a plan that is never used up, with this effect.
    pub(super) fn standing(name: &str, effect: Effect) -> Self {
        Self { text: name.to_owned(), effect, path: None, left: Arc::new(AtomicU32::new(u32::MAX)) }
    }

    /// Returns what `pick` takes from the effect, if the plan applies to this command; the count is not consulted.
    fn apply<T>(&self, scene: &Scene<'_>, pick: &impl Fn(&Effect) -> Option<T>) -> Option<T> {
        let here = match (&self.path, scene.path) {
            (None, _) => true,
            (Some(wanted), Some(actual)) => actual.is_within(wanted),
            (Some(_), None) => false,
        };
        if here { pick(&self.effect) } else { None }
    }

    /// Counts one occurrence; returns false if the plan is used up.
    fn count(&self) -> bool {
        let less = |left: u32| if left == u32::MAX { Some(left) } else { left.checked_sub(1) };
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The command that the plans are matched against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    /// The verb.
    pub(super) verb: Verb,
    /// The path of its argument.
    pub(super) path: Option<&'a ServedPath>,
    /// True if the client has named a port of its own (active mode).
    pub(super) active: bool,
    /// True if the new name of a rename exists.
    pub(super) name_taken: bool,
}

impl Scene<'_> {
    /// Returns the context of a command without a path.
    pub(super) const fn of(verb: Verb) -> Self {
        Self { verb, path: None, active: false, name_taken: false }
    }
}

/// The plans of one server.
#[derive(Debug, Clone, Default)]
pub(super) struct Plans(Vec<FaultPlan>);

impl Plans {
    /// Creates a set of plans; earlier ones take precedence.
    pub(super) fn new(plans: Vec<FaultPlan>) -> Self {
        Self(plans)
    }

    /// Returns the effect of the first plan that matches, and counts it.
    pub(super) fn first<T>(
        &self,
        scene: &Scene<'_>,
        pick: impl Fn(&Effect) -> Option<T>,
    ) -> Option<T> {
        self.0.iter().find_map(|plan| plan.apply(scene, &pick).filter(|_| plan.count()))
    }

    /// Returns the effects of all plans that match, and counts each.
    pub(super) fn every<T>(
        &self,
        scene: &Scene<'_>,
        pick: impl Fn(&Effect) -> Option<T>,
    ) -> Vec<T> {
        let fits = |plan: &FaultPlan| plan.apply(scene, &pick).filter(|_| plan.count());
        self.0.iter().filter_map(fits).collect()
    }

    /// Returns the ways in which names are treated, to be applied in this order.
    pub(super) fn naming(&self) -> Vec<Naming> {
        let naming = self.0.iter().map(|plan| match plan.effect {
            Effect::Names(naming) => Some(naming),
            _ => None,
        });
        naming.flatten().collect()
    }

    /// Returns true if a plan removes this command on every path, and is not used up; does not count it.
    pub(super) fn miss(&self, verb: Verb) -> bool {
        let is_whole =
            |plan: &FaultPlan| plan.path.is_none() && plan.left.load(Ordering::Relaxed) > 0;
        self.0.iter().any(|plan| plan.effect == Effect::Missing(verb) && is_whole(plan))
    }

    /// Returns true if a plan has this effect; does not count it.
    pub(super) fn have(&self, effect: &Effect) -> bool {
        self.0.iter().any(|plan| plan.effect == *effect)
    }

    /// Returns what `pick` takes from all effects; does not count them.
    pub(super) fn all<T>(&self, pick: impl Fn(&Effect) -> Option<T>) -> Vec<T> {
        self.0.iter().filter_map(|plan| pick(&plan.effect)).collect()
    }
}

impl FaultRow {
    fn effect(&self, argument: Option<&str>) -> Result<Effect> {
        let name = self.name;
        let wants = |what: &str| Error::invalid(format!("the fault `{name}` wants {what}"));
        match (&self.make, argument) {
            (Make::Plain(make), None) => Ok(make()),
            (Make::Names(naming), None) => Ok(Effect::Names(*naming)),
            (Make::Plain(_) | Make::Names(_), Some(_)) => Err(wants("nothing behind its name")),
            (Make::NamesBy(make), Some(text)) if text.parse::<u64>().is_ok_and(|n| n > 0) => {
                Ok(Effect::Names(make(text.parse().unwrap_or(u64::MAX))))
            }
            (Make::Number(make) | Make::Rate(make), Some(text)) => {
                let number = text.parse().ok();
                number.map(make).ok_or_else(|| wants(&format!("a number, as in `{name}=100`")))
            }
            (Make::Number(_) | Make::Rate(_), None) | (Make::NamesBy(_), _) => {
                Err(wants(&format!("a number, as in `{name}=100`")))
            }
            (Make::Text(make), Some(text)) => Ok(make(unescape(text)?)),
            (Make::Text(_), None) => Err(wants(&format!("a text, as in `{name}=220 hello`"))),
            (Make::Command(make), Some(word)) => Ok(make(verb(word)?)),
            (Make::Command(_), None) => Err(wants(&format!("a command, as in `{name}=RETR`"))),
            (Make::Reply(make), argument) => {
                let (word, text) =
                    argument.and_then(|argument| argument.split_once(':')).ok_or_else(|| {
                        wants(&format!("a command and a text, as in `{name}=SIZE:213 1`"))
                    })?;
                Ok(make(verb(word)?, unescape(text)?))
            }
        }
    }
}

/// Returns the names and texts of `ROWS`, so that there is one list.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler, which checks the bounds")]
const fn names() -> [(&'static str, &'static str); ROWS.len()] {
    let mut names = [("", ""); ROWS.len()];
    let mut at = 0;
    while at < ROWS.len() {
        names[at] = (ROWS[at].name, ROWS[at].does);
        at += 1;
    }
    names
}

/// Splits off `*N` at the end; a star without digits behind it belongs to the text.
fn split_times(text: &str) -> Result<(&str, u32)> {
    match text.rsplit_once('*') {
        Some((before, times))
            if times.bytes().all(|byte| byte.is_ascii_digit()) && !times.is_empty() =>
        {
            let bad =
                || Error::invalid(format!("`*{times}` in the fault `{text}` is not 1 or more"));
            let times = times.parse().ok().filter(|times| (1..u32::MAX).contains(times));
            Ok((before, times.ok_or_else(bad)?))
        }
        _ => Ok((text, u32::MAX)),
    }
}

fn verb(word: &str) -> Result<Verb> {
    Verb::parse(word).ok_or_else(|| {
        let words = Verb::ALL.iter().map(|verb| verb.as_str());
        let near = nearest(&word.to_ascii_uppercase(), words);
        Error::invalid(format!("`{word}` is no command that the server knows{near}"))
    })
}

fn unknown(name: &str) -> Error {
    let near = nearest(name, ROWS.iter().map(|row| row.name));
    Error::invalid(format!("there is no fault `{name}`{near}"))
}

/// Returns the hint at the end of an error: the known name most similar to `name`.
pub(super) fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> String {
    known
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .filter(|(likeness, _)| *likeness > 0.7)
        .map_or_else(String::new, |(_, known)| format!("; did you mean `{known}`?"))
}

/// Parses a text with `\r`, `\n`, `\t`, `\0`, `\\`, `\xNN`. Appends a line end unless there is one or the text ends
/// with `\c`.
fn unescape(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match chars.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => hex(&mut chars).ok_or_else(|| bad_escape(text))?,
            Some('c') if chars.as_str().is_empty() => return Ok(bytes),
            _ => return Err(bad_escape(text)),
        });
    }
    if !bytes.ends_with(b"\n") {
        bytes.extend_from_slice(b"\r\n");
    }
    Ok(bytes)
}

fn hex(chars: &mut std::str::Chars<'_>) -> Option<u8> {
    let digits = chars.as_str().get(..2)?;
    *chars = chars.as_str().get(2..)?.chars();
    from_hex(digits).map(|[byte]| byte)
}

fn bad_escape(text: &str) -> Error {
    Error::invalid(format!("a backslash in `{text}` wants r, n, t, 0, \\, xNN, or c at the end"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::effect::{Bend, CommandEffect};

    /// A valid argument for the plan.
    fn example(row: &FaultRow) -> String {
        let argument = match row.make {
            Make::Plain(_) | Make::Names(_) => "",
            Make::Number(_) | Make::Rate(_) | Make::NamesBy(_) => "=7",
            Make::Text(_) => "=220 x",
            Make::Command(_) => "=RETR",
            Make::Reply(_) => "=SIZE:213 1",
        };
        format!("{}{argument}", row.name)
    }

    #[test]
    fn every_plan_parses_and_no_name_stands_twice() {
        for row in ROWS {
            assert!(FaultPlan::parse(&example(row)).is_ok(), "{}", row.name);
            assert!(FaultPlan::parse(&format!("{}*2", example(row))).is_ok(), "{}", row.name);
        }
        let names: HashSet<_> = FaultPlan::ALL.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), FaultPlan::ALL.len());
    }

    #[test]
    fn errors_say_what_would_be_right() {
        for (text, message) in [
            ("drop-afer=1", "there is no fault `drop-afer`; did you mean `drop-after`?"),
            ("drop-after", "the fault `drop-after` wants a number, as in `drop-after=100`"),
            ("short=x", "the fault `short` wants a number, as in `short=100`"),
            ("list-550=1", "the fault `list-550` wants nothing behind its name"),
            ("hang-up=RETRR", "`RETRR` is no command that the server knows; did you mean `RETR`?"),
            (
                "reply=SIZE",
                "the fault `reply` wants a command and a text, as in `reply=SIZE:213 1`",
            ),
            ("list-550*0", "`*0` in the fault `list-550*0` is not 1 or more"),
            ("greeting=\\q", "a backslash in `\\q` wants r, n, t, 0, \\, xNN, or c at the end"),
            ("pasv-dead@/a", "the fault `pasv-dead` cannot be held to one path"),
            ("control-cut=9@/a", "the fault `control-cut` cannot be held to one path"),
            ("control-pause=9@/a/b*2", "the fault `control-pause` cannot be held to one path"),
        ] {
            assert_eq!(FaultPlan::parse(text).unwrap_err().message, message);
        }
    }

    #[test]
    fn escapes_become_bytes_and_a_line_end_is_added() {
        for (text, bytes) in [
            ("a", &b"a\r\n"[..]),
            ("a\\n", b"a\n"),
            ("a\\c", b"a"),
            ("\\x00\\0\\xfF\\\\", b"\0\0\xff\\\r\n"),
            ("é", b"\xc3\xa9\r\n"),
        ] {
            assert_eq!(unescape(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn a_plan_ends_after_its_number_and_keeps_to_its_path() {
        let plans = Plans::new(vec![FaultPlan::parse("drop-after=5@/in*2").unwrap()]);
        let bend = |path: &[u8]| {
            let path = ServedPath::root().join(path);
            let scene =
                Scene { verb: Verb::Retr, path: Some(&path), active: false, name_taken: false };
            plans.first(&scene, |effect| match effect {
                Effect::Flow(_, bend) => Some(bend.clone()),
                _ => None,
            })
        };
        assert_eq!(bend(b"/other"), None);
        assert_eq!(bend(b"/in/a"), Some(Bend::Reset(5)));
        assert_eq!(bend(b"/in"), Some(Bend::Reset(5)));
        assert_eq!(bend(b"/in/a"), None);
    }

    #[test]
    fn a_star_in_a_text_is_a_star() {
        let plan = FaultPlan::parse("reply=SIZE:213 *").unwrap();
        assert!(matches!(
            plan.effect,
            Effect::Instead { act: CommandEffect::Say(text), .. } if text == b"213 *\r\n"
        ));
    }
}
