//! Fuzz targets, one function for each parser of untrusted bytes: used by the fuzzer in `fuzz/`, and by
//! `tests/it/fuzz.rs`, which runs them on mutated seeds with every `cargo test`.
//!
//! A target panics if the parser violates an invariant. None of them opens a file or a connection.

use std::{borrow::Borrow, hint::black_box, path::Path, sync::LazyLock};

use jiff::Timestamp;

use crate::{
    ftp::{
        framing::{Framed, Framing},
        listing::{Listing, ListingReader, parse_mlst, parse_time_val},
        path::{RemotePath, component},
        proxy::Proxy,
        reply::Reply,
        site::Site,
        url::Url,
    },
    mirror::{self, Filter, FilterDecision, MirrorPlan},
    nat,
    observe::{account::RunSummary, visible::visible},
    recording::{RecordedLine, Recording, anonymized},
    schedule::{
        cron::Expression,
        jobs,
        zone::{Zone, Zones},
    },
    script::{netrc::Netrc, value},
};

/// A fuzz target.
pub type FuzzTarget = fn(&[u8]);

/// All targets by name, which is also the name of the directory of their seeds.
pub const TARGETS: [(&str, FuzzTarget); 14] = [
    ("reply", reply),
    ("mlsd", mlsd),
    ("list", list),
    ("url", url),
    ("cron", cron),
    ("jobs", jobs_file),
    ("netrc", netrc),
    ("plan", plan),
    ("state", state),
    ("nft", nft),
    ("iptables", iptables),
    ("events", events),
    ("filter", filter),
    ("recording", recording),
];

/// Runs the target called `name`.
///
/// # Panics
///
/// Panics if the parser violates an invariant, and if there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    assert!(target.is_some(), "there is no target `{name}`");
    if let Some((_, target)) = target {
        target(bytes);
    }
}

/// The maximum number of firings computed for one expression.
const FIRINGS: usize = 20;

static ZONES: LazyLock<Vec<Zone>> = LazyLock::new(|| {
    let zones = Zones::bundled();
    let names = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Asia/Beirut"];
    names.into_iter().filter_map(|name| zones.find(name).ok()).collect()
});

/// Reads a recording: what is read is written and read again as the same lines, and can be made anonymous.
fn recording(bytes: &[u8]) {
    let Ok(read) = Recording::read(bytes) else { return };
    for line in &read.lines {
        let text = serde_json::to_string(line).unwrap_or_default();
        assert_eq!(serde_json::from_str::<RecordedLine>(&text).ok().as_ref(), Some(line));
    }
    let count = read.lines.len();
    assert!(anonymized(read.lines).len() <= count);
}

/// Parses lines of a control connection: a reply has the code of its last line, and its text can be displayed.
fn reply(bytes: &[u8]) {
    let mut framing = Framing::default();
    let mut raw = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match framing.take(line) {
            Ok(Framed::Blank) => {}
            Ok(Framed::Part(line)) => raw.extend([&line, &b"\r\n"[..]].concat()),
            Ok(Framed::End(code, line)) => {
                raw.extend([&line, &b"\r\n"[..]].concat());
                let reply = Reply::new(std::mem::take(&mut raw));
                assert!(reply.as_ref().is_ok_and(|reply| reply.code == code), "{code}: {reply:?}");
                if let Ok(reply) = reply {
                    read_reply(&reply);
                }
            }
            Err(_) => return,
        }
    }
}

fn read_reply(reply: &Reply) {
    assert!(!reply.text().contains(char::is_control), "a text that moves the cursor");
    black_box((reply.words(), reply.fault(), reply.quoted_path(), reply.number()));
    black_box((reply.extended_passive_port(), reply.passive_address(), reply.names(b"/a")));
    black_box(reply.inner_lines().map(|line| parse_mlst(line, b"a")).collect::<Vec<_>>());
}

/// Parses bytes of `MLSD`, and of the replies to `MLST` and `MDTM`.
fn mlsd(bytes: &[u8]) {
    in_pieces(bytes, ListingReader::mlsd);
    black_box((parse_mlst(bytes, b"a"), parse_time_val(bytes)));
}

/// Parses bytes of `LIST` in any format.
fn list(bytes: &[u8]) {
    in_pieces(bytes, ListingReader::list);
}

/// Checks that a listing does not depend on where its packets end, and contains only valid names.
fn in_pieces(bytes: &[u8], reader: fn() -> ListingReader) {
    let read = |pieces: &[&[u8]]| {
        let mut reader = reader();
        for piece in pieces {
            reader.push(piece).ok()?;
        }
        reader.finish(Timestamp::UNIX_EPOCH).ok()
    };
    let middle = bytes.first().map_or(0, |first| usize::from(*first) * bytes.len() / 256);
    let (one, other) = bytes.split_at(middle);
    let whole: Option<Listing> = read(&[bytes]);
    assert_eq!(whole, read(&[one, other]), "cut at {middle}");
    for entry in whole.iter().flat_map(|listing| &listing.entries) {
        assert!(component(&entry.name).is_ok(), "no name: {}", visible(&entry.name));
    }
}

/// Parses URLs of servers and of proxies: error messages must not contain the password.
fn url(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    drop((Url::parse(&text), Proxy::parse(&text)));
    let (user, password) = ("somebody", "correct-horse-battery-staple");
    let with_login = format!("ftp://{user}:{password}@{}", text.replace('@', "%40"));
    let refused = Url::parse(&with_login).err().map(|fault| fault.to_string());
    assert!(!refused.is_some_and(|text| text.contains(password)), "a password is shown");
    let refused = Proxy::parse(&with_login).err().map(|fault| fault.to_string());
    assert!(!refused.is_some_and(|text| text.contains(password)), "a password is shown");
}

/// Parses a cron expression: its firings are increasing, and the last one before a moment is earlier than that
/// moment.
fn cron(bytes: &[u8]) {
    let (head, text) = bytes.split_at(bytes.len().min(5));
    let [zone, rest @ ..] = head else { return };
    let seconds = rest.iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte));
    let text = String::from_utf8_lossy(text);
    let Ok(expression) = Expression::parse(&text, "job") else { return };
    let zone = ZONES.get(usize::from(*zone) % ZONES.len().max(1)).or(ZONES.first());
    let (Some(zone), Ok(now)) = (zone, Timestamp::from_second(seconds)) else { return };
    let schedule = expression.in_zone(zone.clone());
    let slots: Vec<_> = schedule.firings(now).take(FIRINGS).map(|slot| slot.at).collect();
    assert!(slots.first().is_none_or(|first| *first > now), "{text}: fires in the past");
    assert!(slots.is_sorted_by(|one, next| one < next), "{text}: {slots:?}");
    let last = schedule.last(now).map(|slot| slot.at);
    assert!(last.is_none_or(|last| last < now), "{text}: its last is yet to come");
    black_box((schedule.period(now), schedule.names(now.to_zoned(zone.rules.clone()).datetime())));
}

/// Parses the text of a jobs file.
fn jobs_file(bytes: &[u8]) {
    static FOUND: LazyLock<Zones> = LazyLock::new(Zones::bundled);
    let text = String::from_utf8_lossy(bytes).into_owned();
    let path = Path::new("/nowhere/portolan.toml");
    drop(jobs::parse(text, path, &FOUND, Timestamp::UNIX_EPOCH).into_jobs());
}

/// Parses the text of a netrc file: a host that it does not name has no password in it, and a login has the password
/// that a secret has.
fn netrc(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(netrc) = Netrc::parse(&text) else { return };
    let secret = netrc.password("ftp.example.org");
    let mut site = Site::new("ftp.example.org");
    let login = netrc.complete(&mut site);
    if let Ok(Some(secret)) = secret {
        assert!(login.is_ok() && site.password == Some(secret), "two passwords of one host");
    }
    let is_named =
        text.to_ascii_lowercase().contains("unknown.invalid") || text.contains(['\\', '"']);
    assert!(
        is_named || matches!(netrc.password("unknown.invalid"), Ok(None)),
        "another's password"
    );
}

/// Parses a saved plan: writing and reading it again changes nothing, and its paths stay below their directory.
fn plan(bytes: &[u8]) {
    let Ok(plan) = MirrorPlan::from_json(&String::from_utf8_lossy(bytes)) else { return };
    for step in &plan.steps {
        stays_below(&step.path);
    }
    let written = plan.to_json();
    assert!(
        MirrorPlan::from_json(&written).is_ok_and(|again| again.to_json() == written),
        "{written}"
    );
}

/// Parses a state file, as it is and with a valid checksum at its end: its paths stay below their directory.
fn state(bytes: &[u8]) {
    let folder = || RemotePath::parse("/www").ok();
    let paths = |bytes: &[u8]| {
        folder().and_then(|folder| mirror::read_state(bytes, &folder).ok()).unwrap_or_default()
    };
    for path in paths(bytes).keys() {
        stays_below(path.borrow());
    }
    let head = bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let body = if body.len() > head.len() { [body, b"\n"].concat() } else { head.to_vec() };
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    let sum = blake3::hash(&body).to_hex();
    let tail = format!("{{\"files\":{},\"blake3\":\"{sum}\"}}\n", lines.saturating_sub(1));
    for path in paths(&[&body, tail.as_bytes()].concat()).keys() {
        stays_below(path.borrow());
    }
}

/// Checks that a path consists of valid names; the empty path is the directory itself.
fn stays_below(path: &[u8]) {
    let is_name = |part: &[u8]| component(part).is_ok();
    let is_below = path.is_empty() || path.split(|byte| *byte == b'/').all(is_name);
    assert!(is_below, "it leaves the folder: {}", visible(path));
}

/// Parses a listing of nft.
fn nft(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert!(nat::count_tables(&text) <= text.lines().count());
}

/// Imports a file of iptables lines: each line of the script is one of portolan's own, or a comment.
fn iptables(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(found) = nat::import::import(&text, "x") else { return };
    let own = ["rules.", "// ", "let rules = nat::ruleset(\"x\");"];
    for line in found.script.lines().filter(|line| !line.is_empty()) {
        assert!(own.iter().any(|start| line.starts_with(start)), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

/// Parses event lines of a child process of the scheduler.
fn events(bytes: &[u8]) {
    let mut account = RunSummary::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(event) = serde_json::from_slice(line) {
            account.take(&event);
        }
    }
}

/// Parses include and exclude patterns, a path, and texts of sizes, rates and durations.
fn filter(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    black_box((value::parse_size(&text), value::parse_rate(&text), value::parse_duration(&text)));
    let mut lines = text.lines().map(str::to_owned);
    let (Some(path), Some(include)) = (lines.next(), lines.next()) else { return };
    let rest: Vec<_> = lines.collect();
    let (exclude, ignored) = rest.split_at(rest.len().min(2));
    let Ok(filter) = Filter::new(&[include], exclude, &ignored.join("\n")) else { return };
    for is_folder in [false, true] {
        let path = path.as_bytes();
        let reason = filter.explain(path, is_folder);
        assert!(
            filter.part(path, is_folder) == FilterDecision::In || !reason.takes_part,
            "{reason:?}"
        );
    }
}
