//! Conversions of values between scripts and the program: names, options, durations, sizes, times.

pub use super::time::Time;
pub use crate::duration::{parse_duration, parse_time};
use crate::similar::nearest;
use std::{fmt, net::IpAddr, ops::RangeInclusive, time::Duration};

use rhai::{Dynamic, Map};

use super::show;
use crate::{
    error::{Error, Result},
    limits::DURATION_MAX,
    option_table::parse_pairs,
    remote::path::{NameEncoding, RemotePath},
    secret::Secret,
};

/// The lossless encoding of names on a server as strings of a script: bytes that are no characters are kept one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameText(pub NameEncoding);

impl NameText {
    /// Returns the string for a name.
    pub fn text(self, name: &[u8]) -> String {
        self.0.text(name)
    }

    /// Returns the path that a string means.
    pub fn path(self, text: &str) -> Result<RemotePath> {
        Ok(RemotePath::parse(self.0.bytes_of(text)?)?.in_encoding(self.0))
    }
}

/// The options of one call, looked up by name.
#[derive(Debug)]
pub struct CallOptions<'a> {
    map: &'a Map,
}

impl<'a> CallOptions<'a> {
    /// Checks the keys of the options of `what`; the error for one that is not `known` names the nearest.
    pub fn new(map: &'a Map, what: &str, known: &[&str]) -> Result<Self> {
        for key in map.keys() {
            if !known.contains(&key.as_str()) {
                return Err(Error::invalid(unknown_option(key, what, known)));
            }
        }
        Ok(Self { map })
    }

    /// Wraps options whose keys are not to be checked.
    pub const fn unchecked(map: &'a Map) -> Self {
        Self { map }
    }

    /// Returns the value, unless it is absent or `()`.
    pub fn get(&self, key: &str) -> Option<&'a Dynamic> {
        self.map.get(key).filter(|value| !value.is_unit())
    }

    /// Returns a string.
    pub fn text(&self, key: &str) -> Result<Option<String>> {
        self.read(key, "a string", |value| value.clone().into_string().ok())
    }

    /// Returns a secret, given as one or as a string; `wants` says so if it is neither.
    pub fn secret(&self, key: &str, wants: &str) -> Result<Option<Secret>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let secret = value.clone().try_cast::<Secret>();
        let found = secret.or_else(|| value.clone().into_string().ok().map(Secret::new));
        // The value may be the password even if its type is wrong: it is not shown.
        let wrong = || Error::invalid(format!("`{key}` wants {wants}"));
        found.map(Some).ok_or_else(wrong)
    }

    /// Returns `true` or `false`.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "true or false", |value| value.as_bool().ok())
    }

    /// Returns a whole number in `range`.
    pub fn number<N: Copy + PartialOrd + fmt::Display + TryFrom<i64>>(
        &self,
        key: &str,
        range: &RangeInclusive<N>,
    ) -> Result<Option<N>> {
        let wants = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(key, &wants, |value| whole(value).filter(|number| range.contains(number)))
    }

    /// Returns a number of bytes.
    pub fn size(&self, key: &str) -> Result<Option<u64>> {
        self.read(key, "a size such as 4096 or \"64MiB\"", size)
    }

    /// Returns a duration.
    pub fn duration(&self, key: &str) -> Result<Option<Duration>> {
        self.read(key, "a duration such as \"90s\" or \"5m\"", duration)
    }

    /// Returns a duration in `range`.
    pub fn duration_in(
        &self,
        key: &str,
        range: &RangeInclusive<Duration>,
    ) -> Result<Option<Duration>> {
        let time = self.duration(key)?;
        match time.filter(|time| !range.contains(time)) {
            Some(_) => Err(Error::invalid(format!("`{key}` wants {}", time_in(range)))),
            None => Ok(time),
        }
    }

    /// Returns a rate in bytes per second, of which 0 means no limit.
    pub fn rate(&self, key: &str) -> Result<Option<u64>> {
        let wants = "bytes per second, such as 500000 or \"2MiB\"";
        self.read(key, wants, |value| match value.read_lock::<rhai::ImmutableString>() {
            Some(text) => parse_rate(&text),
            None => size(value),
        })
    }

    /// Returns an IP address.
    pub fn address(&self, key: &str) -> Result<Option<IpAddr>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let wrong = |_| Error::invalid(format!("`{key}` wants an IP address, got \"{text}\""));
        text.parse().map(Some).map_err(wrong)
    }

    /// Returns the choice for one of several words.
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>> {
        let Some(word) = self.text(key)? else { return Ok(None) };
        if let Some((_, choice)) = choices.iter().find(|(known, _)| *known == word) {
            return Ok(Some(*choice));
        }
        let known: Vec<_> = choices.iter().map(|(known, _)| *known).collect();
        let listed = known.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let near = nearest(&word, &known).map(|near| format!("; did you mean \"{near}\"?"));
        let message =
            format!("`{key}` wants one of {listed}, got \"{word}\"{}", near.unwrap_or_default());
        Err(Error::invalid(message))
    }

    /// Returns a string or an array of strings as a list.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<String>>> {
        self.read(key, "a string or an array of strings", |value| {
            if let Ok(text) = value.clone().into_string() {
                return Some(vec![text]);
            }
            let array = value.read_lock::<rhai::Array>()?;
            array.iter().map(|item| item.clone().into_string().ok()).collect()
        })
    }

    /// Returns a word or a map of strings and numbers as pairs.
    pub fn pairs(&self, key: &str) -> Result<Option<Vec<(String, String)>>> {
        self.read(key, "a word, or a map of strings", |value| {
            if let Ok(text) = value.clone().into_string() {
                return Some(parse_pairs(&text));
            }
            let map = value.read_lock::<Map>()?;
            let text = |value: &Dynamic| match (value.as_int(), value.as_bool()) {
                (Ok(number), _) => Some(number.to_string()),
                (_, Ok(flag)) => Some(flag.to_string()),
                _ => value.clone().into_string().ok(),
            };
            map.iter().map(|(key, value)| Some((key.to_string(), text(value)?))).collect()
        })
    }

    /// Returns the value as `read` understands it; the error for one that it does not understand says what is wanted.
    pub(super) fn read<T>(
        &self,
        key: &str,
        wants: &str,
        read: impl Fn(&Dynamic) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        read(value)
            .map(Some)
            .ok_or_else(|| Error::invalid(format!("`{key}` wants {wants}, got {}", shown(value))))
    }
}

/// Returns what is wanted of a duration, such as `a time from 1 seconds to 9 hours`.
pub fn time_in(range: &RangeInclusive<Duration>) -> String {
    let (least, hours) = (range.start(), range.end().as_secs() / 3600);
    let most = match hours % 24 {
        0 => format!("{} days", hours / 24),
        _ => format!("{hours} hours"),
    };
    // A part of a second is a bound that nobody needs to know.
    match least.as_secs() {
        0 if !least.is_zero() => format!("a time of more than 0 seconds, up to {most}"),
        seconds => format!("a time from {seconds} seconds to {most}"),
    }
}

/// Parses a whole number that the type can hold.
pub(super) fn whole<N: TryFrom<i64>>(value: &Dynamic) -> Option<N> {
    N::try_from(value.as_int().ok()?).ok()
}

/// Returns a value as an error may show it.
pub(super) fn shown(value: &Dynamic) -> String {
    match value.read_lock::<rhai::ImmutableString>() {
        Some(text) => format!("\"{}\"", text.as_str()),
        None => show::text(value),
    }
}

/// Options as other programs call them, each with ours.
const OTHERS: [(&[&str], &str); 8] = [
    (
        &[
            "verify",
            "verify_ssl",
            "ssl_verify",
            "tls_verify",
            "verify_certificate",
            "check_certificate",
            "no_check_certificate",
            "skip_verify",
        ],
        "insecure",
    ),
    (&["ssl", "ftps", "secure", "security"], "tls"),
    (&["passive", "pasv", "active"], "mode"),
    (&["charset", "codepage"], "encoding"),
    (&["timeout"], "connect_timeout"),
    (&["bandwidth", "limit_rate", "bwlimit"], "rate_limit"),
    (&["fingerprint", "thumbprint"], "pin"),
    (&["connections", "threads", "transfers", "concurrency"], "parallel"),
];

/// Returns the error message for an unknown option.
pub fn unknown_option(key: &str, what: &str, known: &[&str]) -> String {
    let word = key.to_lowercase().replace('-', "_");
    let other = OTHERS.iter().find(|(words, own)| words.contains(&&*word) && known.contains(own));
    match other.map(|(_, own)| *own).or_else(|| nearest(key, known)) {
        Some(near) => format!("{what} has no option `{key}`; did you mean `{near}`?"),
        None => format!("{what} has no option `{key}`; it has {}", known.join(", ")),
    }
}

/// Parses `"90s"`, `"1.5h"`, `"5m 30s"`, `"250ms"`, or a number of seconds.
pub fn duration(value: &Dynamic) -> Option<Duration> {
    let seconds = if let Ok(whole) = value.as_int() {
        u32::try_from(whole).ok().map(f64::from)?
    } else if let Ok(part) = value.as_float() {
        part
    } else {
        return parse_duration(&value.clone().into_string().ok()?);
    };
    Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= DURATION_MAX)
}

/// Parses a number of bytes, or `"64MiB"`.
pub fn size(value: &Dynamic) -> Option<u64> {
    if let Ok(bytes) = value.as_int() {
        return u64::try_from(bytes).ok();
    }
    parse_size(&value.clone().into_string().ok()?)
}

/// Parses the text form of a rate: a size, with or without `/s`.
pub fn parse_rate(text: &str) -> Option<u64> {
    parse_size(text.trim().trim_end_matches("/s"))
}

/// Parses the text form of a size: digits, and `kB`, `MB`, `GB`, `TB` (thousands) or `KiB`, `MiB`, `GiB`, `TiB` (of
/// 1024), in any case; a single letter means the latter, as in `ls -h`.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let unit = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// Returns the bytes of a string or blob.
pub fn bytes(value: &Dynamic) -> Result<Vec<u8>> {
    if let Some(text) = value.read_lock::<rhai::ImmutableString>() {
        return Ok(text.as_bytes().to_vec());
    }
    let blob = value.read_lock::<rhai::Blob>().map(|blob| blob.clone());
    blob.ok_or_else(|| Error::invalid(format!("a text or a blob is wanted, got {}", shown(value))))
}

/// Parses permissions in octal digits, such as `644`.
pub fn permissions(mode: &str) -> Result<u32> {
    let digits = mode.trim_start_matches("0o");
    let bits = u32::from_str_radix(digits, 8).ok().filter(|bits| *bits <= 0o7777);
    bits.ok_or_else(|| {
        Error::invalid(format!("permissions are octal, such as \"644\", got \"{mode}\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("90s", 90.0),
            ("5m", 300.0),
            ("1.5h", 5400.0),
            ("5m 30s", 330.0),
            ("250ms", 0.25),
            ("2d", 172_800.0),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "5", "s", "5x", "-5s", "1e9s", "5m-", "99999999d", "1..5s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("1k", 1024),
            ("1kB", 1000),
            ("2GB", 2_000_000_000),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5MiB", "1x", "99999999999TiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_comes_back_as_the_bytes_it_was() {
        for name in
            [&b"plain"[..], "grüße".as_bytes(), b"caf\xe9.txt", b"\xff\xfe", b"bad-\xc3\x28"]
        {
            for names in [NameText(NameEncoding::Same), NameText(NameEncoding::Latin1)] {
                let path = names.path(&names.text(name)).unwrap();
                assert_eq!(path.as_bytes(), name);
            }
        }
        assert_eq!(NameText(NameEncoding::Latin1).text(b"caf\xe9"), "café");
        assert!(NameText(NameEncoding::Latin1).path("日本").is_err());
    }

    #[test]
    fn an_unknown_option_names_the_nearest() {
        let mut map = Map::new();
        map.insert("pasword".into(), "x".into());
        let fault = CallOptions::new(&map, "ftp::connect", &["user", "password"]).unwrap_err();
        assert_eq!(fault.message, "ftp::connect has no option `pasword`; did you mean `password`?");
    }

    #[test]
    fn a_wrong_value_names_its_option() {
        let mut map = Map::new();
        map.insert("mode".into(), "pasive".into());
        map.insert("parallel".into(), 99.into());
        let options = CallOptions::new(&map, "x", &["mode", "parallel"]).unwrap();
        let fault = options.choice("mode", &[("active", 1), ("passive", 2)]).unwrap_err();
        let expected = "`mode` wants one of \"active\", \"passive\", got \"pasive\"; did you mean \"passive\"?";
        assert_eq!(fault.message, expected);
        let fault = options.number("parallel", &(1..=32_u16)).unwrap_err();
        assert_eq!(fault.message, "`parallel` wants a whole number from 1 to 32, got 99");
    }
}
