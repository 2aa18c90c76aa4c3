//! Flags that follow from the rows of options.

use std::{fmt::Display, marker::PhantomData, ops::RangeInclusive, str::FromStr, time::Duration};

use clap::{
    Arg, ArgAction, ArgMatches, Command,
    builder::{PossibleValue, TypedValueParser},
    value_parser,
};

use crate::{
    error::Result,
    nat::check::Ports,
    option_table::{NUMBER_MAX, OptionKind, OptionRow, OptionTable, parse_pairs},
    script::value::{parse_duration, parse_rate, parse_size, time_in},
};

/// A command that takes the options of a family.
pub(super) trait OptionCommand {
    /// The struct that the options fill.
    type Options: 'static;
    /// The options; those without a flag are not on the command line.
    const TABLE: OptionTable<Self::Options>;
    /// The name of the command.
    const NAME: &'static str;
}

/// The flags of the command `C`.
#[derive(Debug, Clone)]
pub(super) struct OptionFlags<C> {
    matches: ArgMatches,
    command: PhantomData<fn() -> C>,
}

/// Returns the options of `C` that have a flag.
fn rows<C: OptionCommand>() -> impl Iterator<Item = &'static OptionRow<C::Options>> {
    let is_for = |command: &str| command.is_empty() || command == C::NAME;
    C::TABLE.rows.iter().filter(move |row| !row.flag.name.is_empty() && is_for(row.flag.command))
}

impl<C: OptionCommand> OptionFlags<C> {
    /// Returns the options: the defaults, and the values that were given.
    pub(super) fn options(&self) -> Result<C::Options> {
        let mut options = (C::TABLE.usual)();
        self.fill(&mut options)?;
        Ok(options)
    }

    /// Stores the values that were given in `options`.
    pub(super) fn fill(&self, options: &mut C::Options) -> Result<()> {
        rows::<C>().try_for_each(|row| self.fill_one(row, options))
    }

    fn fill_one<T>(&self, row: &OptionRow<T>, to: &mut T) -> Result<()> {
        let matches = &self.matches;
        match &row.kind {
            OptionKind::Flag(set) => match row.usual {
                "" => store(matches, row.key, to, *set),
                usual if matches.get_flag(row.key) => set(to, usual == "false"),
                _ => {}
            },
            OptionKind::FlagOrAuto(set) => store(matches, row.key, to, *set),
            OptionKind::Count(_, set) => store(matches, row.key, to, *set),
            OptionKind::CountOrAuto(_, set) => store(matches, row.key, to, *set),
            OptionKind::Number(_, set) | OptionKind::Size(set) => store(matches, row.key, to, *set),
            OptionKind::Rate(set) => {
                if let Some(rate) = matches.get_one::<u64>(row.key) {
                    set(to, Some(*rate));
                }
            }
            OptionKind::Duration(set) | OptionKind::DurationIn(_, set) => {
                store(matches, row.key, to, *set);
            }
            OptionKind::Choice(words) if row.flag.word.is_empty() => {
                let index = matches.get_one::<usize>(row.key);
                if let Some((_, set)) = index.and_then(|index| words.get(*index)) {
                    set(to);
                }
            }
            OptionKind::Choice(words) => {
                let word = words.iter().find(|(word, _)| *word == row.flag.word);
                if let Some((_, set)) = word.filter(|_| matches.get_flag(row.key)) {
                    set(to);
                }
            }
            OptionKind::Text(set) => {
                if let Some(text) = matches.get_one::<String>(row.key) {
                    set(to, text)?;
                }
            }
            OptionKind::Texts(set) => {
                if let Some(texts) = matches.get_many::<String>(row.key) {
                    set(to, texts.cloned().collect());
                }
            }
            OptionKind::EachText(set) => {
                if let Some(texts) = matches.get_many::<String>(row.key) {
                    set(to, &texts.cloned().collect::<Vec<_>>())?;
                }
            }
            OptionKind::Pairs(set) => {
                if let Some(text) = matches.get_one::<String>(row.key) {
                    set(to, &parse_pairs(text))?;
                }
            }
            OptionKind::Ports(set) => {
                if let Some(text) = matches.get_one::<String>(row.key) {
                    set(to, Ports::parse(text)?.ranges())?;
                }
            }
            OptionKind::Address(set) => store(matches, row.key, to, *set),
            OptionKind::FlagOrPath(..) | OptionKind::Secret(..) | OptionKind::Own => {}
        }
        Ok(())
    }
}

fn store<T, V: Clone + Send + Sync + 'static>(
    matches: &ArgMatches,
    key: &str,
    to: &mut T,
    set: fn(&mut T, V),
) {
    if let Some(value) = matches.get_one::<V>(key) {
        set(to, value.clone());
    }
}

impl<C: OptionCommand> clap::FromArgMatches for OptionFlags<C> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { matches: matches.clone(), command: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.matches = matches.clone();
        Ok(())
    }
}

impl<C: OptionCommand> clap::Args for OptionFlags<C> {
    fn augment_args(command: Command) -> Command {
        rows::<C>().fold(command, |command, row| command.arg(arg(row)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Returns the flag of an option.
fn arg<T>(row: &OptionRow<T>) -> Arg {
    let flag = row.flag;
    let mut arg = valued(row, Arg::new(row.key).long(flag.name).help(flag.help));
    if !flag.value_name.is_empty() {
        arg = arg.value_name(flag.value_name);
    }
    if !flag.alias.is_empty() {
        arg = arg.visible_alias(flag.alias);
    }
    if !flag.conflict.is_empty() {
        arg = arg.conflicts_with(flag.conflict);
    }
    arg
}

/// Adds the values of the flag of an option.
fn valued<T>(row: &OptionRow<T>, arg: Arg) -> Arg {
    match &row.kind {
        OptionKind::Flag(_) if row.usual.is_empty() => {
            let arg = arg.num_args(0..=1).default_missing_value("true");
            arg.value_name("BOOL").value_parser(value_parser!(bool))
        }
        OptionKind::Flag(_) => arg.action(ArgAction::SetTrue),
        OptionKind::FlagOrAuto(_) => {
            let words = vec![("true", Some(true)), ("false", Some(false)), ("auto", None)];
            let arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
            arg.value_name("WHEN").value_parser(WordParser(words)).hide_possible_values(true)
        }
        OptionKind::Count(range, _) => {
            let range = range.clone();
            let parser = move |text: &str| number(text, &range);
            usual(row, arg.value_name("N").value_parser(parser))
        }
        OptionKind::CountOrAuto(range, _) => {
            let range = range.clone();
            let parser = move |text: &str| count_or_auto(text, &range);
            arg.value_name("N|auto").value_parser(parser)
        }
        OptionKind::Number(range, _) => {
            let range = range.clone();
            let parser = move |text: &str| number(text, &range);
            usual(row, arg.value_name("N").value_parser(parser))
        }
        OptionKind::Size(_) => arg.value_name("SIZE").value_parser(size),
        OptionKind::Rate(_) => arg.value_name("RATE").value_parser(rate),
        OptionKind::Duration(_) => arg.value_name("TIME").value_parser(time),
        OptionKind::DurationIn(range, _) => {
            let range = range.clone();
            let parser = move |text: &str| {
                let time = time(text)?;
                let wanted = || format!("it wants {}", time_in(&range));
                range.contains(&time).then_some(time).ok_or_else(wanted)
            };
            arg.value_name("TIME").value_parser(parser)
        }
        OptionKind::Choice(_) if !row.flag.word.is_empty() => arg.action(ArgAction::SetTrue),
        OptionKind::Choice(words) => {
            let words = words.iter().enumerate().map(|(index, (word, _))| (*word, index));
            usual(row, arg.value_name("WORD").value_parser(WordParser(words.collect())))
        }
        OptionKind::Texts(_) => arg.value_name("TEXT").action(ArgAction::Append),
        OptionKind::EachText(_) => {
            arg.value_name("TEXT").action(ArgAction::Append).value_delimiter(',')
        }
        OptionKind::Address(_) => {
            arg.value_name("ADDRESS").value_parser(value_parser!(std::net::IpAddr))
        }
        _ => arg.value_name("TEXT"),
    }
}

/// Adds the default value, which the help shows.
fn usual<T>(row: &OptionRow<T>, arg: Arg) -> Arg {
    if row.usual.is_empty() { arg } else { arg.default_value(row.usual) }
}

/// A parser of one of several words, written with dashes or underscores. Completions have the words.
#[derive(Clone)]
struct WordParser<V>(Vec<(&'static str, V)>);

impl<V: Clone + Send + Sync + 'static> TypedValueParser for WordParser<V> {
    type Value = V;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<V, clap::Error> {
        let words = self.0.clone();
        let parser = move |text: &str| {
            let word = text.replace('-', "_");
            let found = words.iter().find(|(known, _)| known.replace('-', "_") == word);
            found.map(|(_, value)| value.clone()).ok_or_else(|| {
                let known: Vec<_> = words.iter().map(|(known, _)| *known).collect();
                format!("one of {} is wanted", known.join(", "))
            })
        };
        parser.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(|(word, _)| PossibleValue::new(*word))))
    }
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| "a size is wanted, such as 4096 or 64MiB".to_owned())
}

/// Parses a time such as `90s`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a time is wanted, such as 90s, 36h or 7d".to_owned())
}

fn rate(text: &str) -> Result<u64, String> {
    let wants = || "a number of bytes per second is wanted, such as 500KiB or 2MiB".to_owned();
    parse_rate(text).filter(|rate| *rate > 0).ok_or_else(wants)
}

/// Parses a whole number in `range`; the error names its ends.
fn number<N>(text: &str, range: &RangeInclusive<N>) -> Result<N, String>
where
    N: Copy + PartialOrd + Display + FromStr + Into<u64>,
{
    let (least, most) = (*range.start(), *range.end());
    let wants = || match most.into() {
        NUMBER_MAX.. => format!("a number of at least {least} is wanted"),
        _ => format!("a number from {least} to {most} is wanted"),
    };
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(wants)
}

fn count_or_auto(text: &str, range: &RangeInclusive<u16>) -> Result<Option<u16>, String> {
    if text == "auto" {
        return Ok(None);
    }
    let (least, most) = (range.start(), range.end());
    let wants = || format!("a number from {least} to {most} is wanted, or auto");
    text.parse().ok().filter(|count| range.contains(count)).map(Some).ok_or_else(wants)
}
