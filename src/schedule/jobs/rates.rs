//! Rate limits of the jobs file: `rate_limit = "Mon-Fri 08:00-18:00 1MiB, off"`.

use std::{collections::BTreeMap, net::Ipv6Addr};

use jiff::Timestamp;
use toml::de::DeValue;

use super::{
    Runner,
    job::JobContext,
    table::{JobsDocument, JobsTable, Value},
    when,
};
use crate::{
    observe::visible::visible,
    schedule::{cron::RateTable, zone::Zone},
    script::value::parse_rate,
};

/// A rate limit by the clock of a time zone.
#[derive(Debug, Clone)]
pub struct RateRule {
    table: RateTable,
    zone: Zone,
}

impl RateRule {
    /// Returns the bytes per second at a time; `None` for no limit.
    pub fn rate_at(&self, now: Timestamp) -> Option<u64> {
        self.table.rate_at(now.to_zoned(self.zone.rules.clone()).datetime())
    }
}

/// Reads the limits of `[runner]`.
pub(super) fn of_runner(
    runner: &mut Runner,
    table: &mut JobsTable<'_>,
    place: &JobContext<'_>,
    page: &mut JobsDocument<'_>,
) {
    let zone = when::zone(table, place, page);
    runner.rate_limit = rate_limit(table, &zone, page);
    runner.host_rate_limits = host_rate_limits(table, &zone, page);
    let is_needed = runner.rate_limit.is_some() || !runner.host_rate_limits.is_empty();
    if let Some(span) = table.place("timezone").filter(|_| !is_needed) {
        page.warn(span, "`timezone` of `[runner]` does nothing without a rate limit", None);
    }
}

/// Reads `rate_limit`.
pub(super) fn rate_limit(
    table: &JobsTable<'_>,
    zone: &Zone,
    page: &mut JobsDocument<'_>,
) -> Option<RateRule> {
    rule("rate_limit", table.get("rate_limit")?, zone, page)
}

/// The maximum number of hosts with a limit.
const HOSTS_MAX: usize = 1000;

fn host_rate_limits(
    table: &mut JobsTable<'_>,
    zone: &Zone,
    page: &mut JobsDocument<'_>,
) -> BTreeMap<String, RateRule> {
    let mut rules = BTreeMap::new();
    for (host, value) in table.open_table("host_rate_limits", page).into_iter().flatten() {
        let name = host.get_ref();
        if let Err(hint) = check_host(name) {
            let message = format!("\"{}\" is no host name", visible(&**name));
            page.error(host.span(), message, Some(hint.into()));
            continue;
        }
        let Some(rule) = rule("host_rate_limits", value, zone, page) else { continue };
        if rules.len() >= HOSTS_MAX {
            page.error(host.span(), format!("more than {HOSTS_MAX} hosts with a limit"), None);
            break;
        }
        if rules.insert(name.to_ascii_lowercase(), rule).is_some() {
            page.error(
                host.span(),
                format!("the host \"{}\" is named twice", visible(&**name)),
                None,
            );
        }
    }
    rules
}

/// Checks a host name or address, in the form that runs know it by. The error is a hint.
fn check_host(name: &str) -> Result<(), &'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if !(1..=253).contains(&name.len()) || !name.chars().all(is_plain) {
        return Err("such as \"ftp.example.com\"");
    }
    if name.contains(':') && name.parse::<Ipv6Addr>().is_err() {
        return Err("a limit is for a host, without a port: such as \"ftp.example.com\"");
    }
    Ok(())
}

fn rule(
    key: &str,
    value: &Value<'_>,
    zone: &Zone,
    page: &mut JobsDocument<'_>,
) -> Option<RateRule> {
    let text = match value.get_ref() {
        DeValue::Integer(number) => number.as_str(),
        _ => page.text_of(key, value)?,
    };
    match RateTable::parse(text, parse_rate) {
        Ok(table) => Some(RateRule { table, zone: zone.clone() }),
        Err(message) => {
            let hint = "such as \"1MiB\", or \"Mon-Fri 08:00-18:00 1MiB, off\"";
            page.error(value.span(), format!("`{key}`: {}", visible(message)), Some(hint.into()));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::zone::Zones;

    #[test]
    fn a_host_has_no_port() {
        for (name, wanted) in [
            ("ftp.example.com", true),
            ("192.0.2.1", true),
            ("2001:db8::1", true),
            ("::1", true),
            ("ftp.example.com:2121", false),
            ("192.0.2.1:21", false),
            ("[::1]:21", false),
            ("fe80:", false),
            ("", false),
            ("a b", false),
        ] {
            assert_eq!(check_host(name).is_ok(), wanted, "{name}");
        }
        assert!(check_host("h:21").unwrap_err().contains("without a port"));
    }

    #[test]
    fn a_rate_is_that_of_the_clock_of_its_zone() {
        let rule = |zone: &str| RateRule {
            table: RateTable::parse("Mon-Fri 08:00-18:00 1MiB, off", parse_rate).unwrap(),
            zone: Zones::bundled().find(zone).unwrap(),
        };
        for (now, zone, wanted) in [
            ("2026-06-01T06:00:00Z", "UTC", None),
            ("2026-06-01T06:00:00Z", "Europe/Berlin", Some(1 << 20)),
            ("2026-06-01T15:59:59Z", "Europe/Berlin", Some(1 << 20)),
            ("2026-06-01T16:00:00Z", "Europe/Berlin", None),
            ("2026-12-01T06:00:00Z", "Europe/Berlin", None),
            ("2026-12-01T07:00:00Z", "Europe/Berlin", Some(1 << 20)),
            ("2026-06-06T10:00:00Z", "Europe/Berlin", None),
            // Friday, 17:30 in New York.
            ("2026-06-05T21:30:00Z", "America/New_York", Some(1 << 20)),
        ] {
            assert_eq!(rule(zone).rate_at(now.parse().unwrap()), wanted, "{now} in {zone}");
        }
    }

    #[test]
    fn when_the_clock_is_changed_a_limit_is_for_what_the_clock_shows() {
        let zone = Zones::bundled().find("Europe/Berlin").unwrap();
        let table = RateTable::parse("02:00-03:00 7, off", parse_rate).unwrap();
        let rule = RateRule { table, zone };
        for (now, wanted) in [
            // From 02:00 to 03:00: that hour is not.
            ("2026-03-29T00:59:59Z", None),
            ("2026-03-29T01:00:00Z", None),
            // From 03:00 to 02:00: that hour is twice.
            ("2026-10-24T23:59:59Z", None),
            ("2026-10-25T00:00:00Z", Some(7)),
            ("2026-10-25T00:59:59Z", Some(7)),
            ("2026-10-25T01:00:00Z", Some(7)),
            ("2026-10-25T01:59:59Z", Some(7)),
            ("2026-10-25T02:00:00Z", None),
        ] {
            assert_eq!(rule.rate_at(now.parse().unwrap()), wanted, "{now}");
        }
    }
}
