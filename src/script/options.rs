//! Every function that takes options, with the tables of its options: calls, check and manual use the same ones.

use std::{fmt::Debug, ops::RangeInclusive};

use rhai::{Dynamic, Map};

use super::{
    api, http_client, programs, rule_options as rule, rules, show,
    value::{CallOptions, whole},
};
use crate::{
    deploy,
    error::Result,
    ftp, mirror,
    option_table::{OptionKind, OptionRow, OptionTable},
    remote,
};

/// The options of one family, whatever struct they fill.
pub trait OptionSet: Debug + Sync {
    /// Returns the keys, in the order of the manual.
    fn keys(&self) -> Vec<&'static str>;

    /// Returns the paragraphs of the manual, one for each option.
    fn paragraphs(&self) -> Vec<String>;

    /// Checks the values in `options` that are of this family, as far as each can be wrong by itself.
    fn check(&self, options: &Map) -> Result<()>;
}

impl<T: Debug> OptionSet for OptionTable<T> {
    fn keys(&self) -> Vec<&'static str> {
        Self::keys(self)
    }

    fn paragraphs(&self) -> Vec<String> {
        Self::paragraphs(self)
    }

    fn check(&self, options: &Map) -> Result<()> {
        CallOptions::unchecked(options).fill(self, &mut (self.usual)())
    }
}

/// Parses the options of the function `what`.
pub fn read<T: Debug>(options: &Map, what: &str, table: &OptionTable<T>) -> Result<T> {
    let mut found = (table.usual)();
    CallOptions::new(options, what, &table.keys())?.fill(table, &mut found)?;
    Ok(found)
}

impl CallOptions<'_> {
    /// Stores the values that are given in `target`.
    pub fn fill<T>(&self, table: &OptionTable<T>, target: &mut T) -> Result<()> {
        table.rows.iter().try_for_each(|row| self.fill_one(row, target))
    }

    fn fill_one<T>(&self, row: &OptionRow<T>, target: &mut T) -> Result<()> {
        let key = row.key;
        match &row.kind {
            OptionKind::Flag(set) => put(target, *set, self.flag(key)?),
            OptionKind::FlagOrAuto(set) => {
                put(target, *set, self.read(key, "true, false or \"auto\"", flag_or_auto)?);
            }
            OptionKind::FlagOrPath(set_flag, set_path) => {
                if let Some(Ok(flag)) = self.get(key).map(Dynamic::as_bool) {
                    set_flag(target, flag);
                } else if let Some(path) = self.text(key)? {
                    set_path(target, &path);
                }
            }
            OptionKind::Count(range, set) => put(target, *set, self.number(key, range)?),
            OptionKind::CountOrAuto(range, set) => {
                self.fill_count_or_auto(key, range, *set, target)?;
            }
            OptionKind::Number(range, set) => put(target, *set, self.number(key, range)?),
            OptionKind::Size(set) => put(target, *set, self.size(key)?),
            OptionKind::Rate(set) => {
                if let Some(rate) = self.rate(key)? {
                    set(target, Some(rate).filter(|rate| *rate > 0));
                }
            }
            OptionKind::Duration(set) => put(target, *set, self.duration(key)?),
            OptionKind::DurationIn(range, set) => {
                put(target, *set, self.duration_in(key, range)?);
            }
            OptionKind::Choice(words) => {
                if let Some(set) = self.choice(key, words)? {
                    set(target);
                }
            }
            OptionKind::Text(set) => {
                if let Some(text) = self.text(key)? {
                    set(target, &text)?;
                }
            }
            OptionKind::Secret(wants, set) => {
                if let Some(secret) = self.secret(key, wants)? {
                    set(target, secret.reveal())?;
                }
            }
            OptionKind::Texts(set) => put(target, *set, self.texts(key)?),
            OptionKind::Pairs(set) => {
                if let Some(pairs) = self.pairs(key)? {
                    set(target, &pairs)?;
                }
            }
            OptionKind::EachText(set) => {
                if let Some(texts) = self.texts(key)? {
                    set(target, &texts)?;
                }
            }
            OptionKind::Address(set) => put(target, *set, self.address(key)?),
            OptionKind::Ports(set) => {
                if let Some(ports) = rules::ports(self, key)? {
                    set(target, ports.ranges())?;
                }
            }
            OptionKind::Own => {}
        }
        Ok(())
    }

    fn fill_count_or_auto<T>(
        &self,
        key: &str,
        range: &RangeInclusive<u16>,
        set: fn(&mut T, Option<u16>),
        target: &mut T,
    ) -> Result<()> {
        let (least, most) = (range.start(), range.end());
        let wants = format!("a whole number from {least} to {most}, or \"auto\"");
        let read = |value: &Dynamic| match value.clone().into_string() {
            Ok(text) => (text == "auto").then_some(None),
            Err(_) => whole(value).filter(|count| range.contains(count)).map(Some),
        };
        put(target, set, self.read(key, &wants, read)?);
        Ok(())
    }
}

/// Reads true, false, or `None` for "auto".
#[expect(clippy::option_option, reason = "the outer one is for a value that is neither")]
fn flag_or_auto(value: &Dynamic) -> Option<Option<bool>> {
    match show::text(value).as_str() {
        "auto" => Some(None),
        word => word.parse().ok().map(Some),
    }
}

fn put<T, V>(target: &mut T, set: fn(&mut T, V), value: Option<V>) {
    if let Some(value) = value {
        set(target, value);
    }
}

/// A function that takes options.
#[derive(Debug)]
pub struct Taker {
    /// The name as it is called, without the value before the dot, except for `rules.apply`.
    pub name: &'static str,
    /// The options that it accepts.
    pub sets: &'static [&'static dyn OptionSet],
}

impl Taker {
    /// Returns the keys that it accepts.
    pub fn keys(&self) -> Vec<&'static str> {
        self.sets.iter().flat_map(|set| set.keys()).collect()
    }

    /// Returns the paragraphs of the manual on its own options. Those of `ftp::connect` stand there.
    pub fn paragraphs(&self) -> Vec<String> {
        self.sets.last().map(|set| set.paragraphs()).unwrap_or_default()
    }

    /// Checks the values in `options`, as far as each can be wrong by itself.
    pub fn check(&self, options: &Map) -> Result<()> {
        self.sets.iter().try_for_each(|set| set.check(options))
    }
}

/// All functions that take options.
pub const TAKERS: &[Taker] = &[
    Taker { name: "ftp::connect", sets: &[&ftp::site::OPTIONS] },
    Taker { name: "ftp::site", sets: &[&ftp::site::OPTIONS] },
    Taker { name: "ftp::doctor", sets: &[&ftp::site::OPTIONS, &ftp::doctor::OPTIONS] },
    Taker { name: "csv::parse", sets: &[&api::csv::CSV_READ] },
    Taker { name: "csv::read", sets: &[&api::csv::CSV_READ] },
    Taker { name: "csv::rows", sets: &[&api::csv::CSV_READ] },
    Taker { name: "csv::format", sets: &[&api::csv::CSV_WRITE] },
    Taker { name: "csv::write", sets: &[&api::csv::CSV_WRITE] },
    Taker { name: "http::get", sets: &[&http_client::HTTP] },
    Taker { name: "http::head", sets: &[&http_client::HTTP] },
    Taker { name: "http::post", sets: &[&http_client::HTTP] },
    Taker { name: "http::put", sets: &[&http_client::HTTP] },
    Taker { name: "run::command", sets: &[&programs::COMMAND] },
    Taker { name: "local::gunzip", sets: &[&api::files::UNPACK] },
    Taker { name: "local::unzip", sets: &[&api::files::UNPACK] },
    Taker { name: "local::untar", sets: &[&api::files::UNPACK] },
    Taker { name: "nat::map_ports", sets: &[&api::routers::MAP_PORTS] },
    Taker { name: "nat::suggest", sets: &[&api::suggest::SUGGEST] },
    Taker { name: "get", sets: &[&remote::transfer_options::OPTIONS] },
    Taker { name: "put", sets: &[&remote::transfer_options::OPTIONS] },
    Taker { name: "prune", sets: &[&remote::prune::OPTIONS] },
    Taker { name: "retry", sets: &[&api::run::RETRY] },
    Taker { name: "mirror_up", sets: &[&mirror::OPTIONS] },
    Taker { name: "mirror_down", sets: &[&mirror::OPTIONS] },
    Taker { name: "deploy", sets: &[&deploy::OPTIONS] },
    Taker { name: "site.rollback", sets: &[&deploy::ROLLBACK_OPTIONS] },
    Taker { name: "plan_up", sets: &[&mirror::OPTIONS] },
    Taker { name: "plan_down", sets: &[&mirror::OPTIONS] },
    Taker { name: "nat::ruleset", sets: &[&rule::RULESET] },
    Taker { name: "nat::masquerade", sets: &[&rule::MASQUERADE] },
    Taker { name: "nat::with_open", sets: &[&rule::OPENING] },
    Taker { name: "masquerade", sets: &[&rule::MASQUERADE] },
    Taker { name: "forward", sets: &[&rule::FORWARD] },
    Taker { name: "allow", sets: &[&rule::ALLOW] },
    Taker { name: "accept", sets: &[&rule::ACCEPT] },
    Taker { name: "clamp_mss", sets: &[&rule::CLAMP] },
    Taker { name: "ftp_helper", sets: &[&rule::HELPER] },
    Taker { name: "ftp_active", sets: &[&rule::ACTIVE] },
    Taker { name: "ftp_server", sets: &[&rule::SERVER] },
    // Sessions have an `apply` as well, which takes no options.
    Taker { name: "rules.apply", sets: &[&rule::APPLY] },
];

/// Checks the value of one option of the function `name`, as it is in a file.
pub fn check_json(name: &str, key: &str, value: &serde_json::Value) -> Result<()> {
    let value = rhai::serde::to_dynamic(value).unwrap_or_default();
    let options = [(key.into(), value)].into_iter().collect();
    taker(name).map_or(Ok(()), |taker| taker.check(&options))
}

/// Returns the function `name`, if it takes options.
pub fn taker(name: &str) -> Option<&'static Taker> {
    TAKERS.iter().find(|taker| taker.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a value that is not the default.
    fn sample<T>(row: &OptionRow<T>) -> Option<Dynamic> {
        let is_usual = |value: &str| value == row.usual;
        Some(match &row.kind {
            OptionKind::Flag(_) => (!is_usual("true")).into(),
            OptionKind::FlagOrAuto(_) | OptionKind::FlagOrPath(..) => true.into(),
            OptionKind::CountOrAuto(range, _) if is_usual("auto") => {
                i64::from(*range.start()).into()
            }
            OptionKind::CountOrAuto(..) => "auto".into(),
            OptionKind::Count(range, _) => {
                let (least, most) = (*range.start(), *range.end());
                i64::from(if is_usual(&least.to_string()) { most } else { least }).into()
            }
            OptionKind::Number(..)
            | OptionKind::Size(_)
            | OptionKind::Rate(_)
            | OptionKind::Ports(_) => 7.into(),
            OptionKind::Duration(_) => "7s".into(),
            OptionKind::DurationIn(range, _) => {
                let seconds = 7.clamp(range.start().as_secs(), range.end().as_secs());
                i64::try_from(seconds).ok()?.into()
            }
            OptionKind::Texts(_) => "seven".into(),
            OptionKind::Address(_) => "10.0.0.7".into(),
            OptionKind::Choice(words) => {
                let others = words.iter().rev().map(|(word, _)| *word);
                others.into_iter().find(|word| !is_usual(word))?.into()
            }
            OptionKind::Text(_)
            | OptionKind::EachText(_)
            | OptionKind::Pairs(_)
            | OptionKind::Secret(..)
            | OptionKind::Own => return None,
        })
    }

    fn stored<T: Debug>(table: &OptionTable<T>, key: &str, value: Dynamic) -> String {
        let map: Map = [(key.into(), value)].into_iter().collect();
        format!("{:?}", read(&map, "a test", table).unwrap())
    }

    /// Checks that a default changes nothing, and that each value is stored in a field of its own.
    fn is_sound<T: Debug>(table: &OptionTable<T>) {
        let usual = format!("{:?}", (table.usual)());
        let mut all = std::collections::BTreeMap::new();
        for row in table.rows {
            let key = row.key;
            if !row.usual.is_empty() {
                let text = row.usual;
                let value = match (text.parse::<bool>(), text.parse::<i64>()) {
                    (Ok(flag), _) => flag.into(),
                    (_, Ok(number)) => number.into(),
                    _ => text.into(),
                };
                assert_eq!(stored(table, key, value), usual, "the default of `{key}`");
            }
            let Some(value) = sample(row) else { continue };
            let filled = stored(table, key, value);
            assert_ne!(filled, usual, "`{key}` is stored");
            if let Some(other) = all.insert(filled, key) {
                panic!("`{key}` and `{other}` fill the same field");
            }
        }
    }

    #[test]
    fn each_option_has_its_default_and_a_field_of_its_own() {
        is_sound(&ftp::site::OPTIONS);
        is_sound(&ftp::doctor::OPTIONS);
        is_sound(&remote::transfer_options::OPTIONS);
        is_sound(&mirror::OPTIONS);
        is_sound(&deploy::OPTIONS);
        is_sound(&deploy::ROLLBACK_OPTIONS);
        is_sound(&api::run::RETRY);
        is_sound(&api::routers::MAP_PORTS);
        is_sound(&api::suggest::SUGGEST);
        is_sound(&rule::RULESET);
        is_sound(&rule::APPLY);
        for table in [
            &rule::MASQUERADE,
            &rule::OPENING,
            &rule::FORWARD,
            &rule::ALLOW,
            &rule::ACCEPT,
            &rule::CLAMP,
            &rule::HELPER,
            &rule::ACTIVE,
            &rule::SERVER,
        ] {
            is_sound(table);
        }
    }
}
