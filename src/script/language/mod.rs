//! The functions of the language itself, for the manual: the engine documents them in another form, if at all.

mod array;
mod text;
mod values;

use super::docs::{DocEntry, Overload};
use array::ARRAY;
use text::TEXT;
use values::{BLOB, MAP, NUMBER, REST};

/// The functions by family: the signature, the description, and an example. A test holds them against the engine.
const FUNCTIONS: &[(&str, &[[&str; 3]])] = &[
    ("text", TEXT),
    ("array", ARRAY),
    ("map", MAP),
    ("number", NUMBER),
    ("blob", BLOB),
    ("language", REST),
];

/// Returns the functions as entries of the manual.
pub(super) fn entries() -> Vec<DocEntry> {
    let mut entries: Vec<DocEntry> = Vec::new();
    for (family, rows) in FUNCTIONS {
        for [signature, text, example] in *rows {
            let (path, rest) = signature.split_once('(').unwrap_or((signature, ""));
            let (arguments, _) = rest.split_once(')').unwrap_or((rest, ""));
            let arguments = arguments.split(", ").filter(|argument| !argument.is_empty());
            let names = arguments.map(|argument| {
                argument.split_once(':').map_or(argument, |(name, _)| name).to_owned()
            });
            let overload = Overload {
                signature: (*signature).to_owned(),
                arguments: names.collect(),
                text: (*text).to_owned(),
                examples: vec![(*example).to_owned()],
            };
            match entries.iter_mut().find(|entry| entry.path == path && entry.family == *family) {
                Some(entry) => entry.overloads.push(overload),
                None => entries.push(DocEntry {
                    family: (*family).to_owned(),
                    path: path.to_owned(),
                    name: path.rsplit('.').next().unwrap_or(path).to_owned(),
                    is_property: false,
                    overloads: vec![overload],
                    options: Vec::new(),
                }),
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::script::{engine, signatures};

    /// The functions that have no entry: other names of operators and of functions that have one, bits, trigonometry, and
    /// what only the engine calls.
    const LEFT_OUT: &str = "E PI acos acosh as_string asin asinh atan atanh bits bytes chop cos cosh elapsed end \
        exp extract fraction get_bit get_bits get_fn_metadata_list hypot int is_anonymous is_exclusive is_finite \
        is_inclusive is_infinite is_nan ln log name parse_be_float parse_be_int parse_le_float parse_le_int set_bit \
        set_bits set_tag sin sinh start tag take tan tanh to_debug to_degrees to_radians write_ascii write_be write_le \
        write_utf8";

    #[test]
    fn every_function_of_the_language_has_its_entry() {
        let known: BTreeSet<String> = entries().into_iter().map(|entry| entry.name).collect();
        let left: BTreeSet<&str> = LEFT_OUT.split_ascii_whitespace().collect();
        let engine = engine::bare();
        let all = signatures::all(&engine);
        let standard: BTreeSet<&str> = all
            .iter()
            .filter(|one| !one.is_ours && !one.is_property)
            .map(|one| one.name.as_str())
            .collect();
        let ours: BTreeSet<&str> =
            all.iter().filter(|one| one.is_ours).map(|one| one.name.as_str()).collect();
        let missing: Vec<_> = standard
            .iter()
            .filter(|name| {
                !known.contains(**name) && !left.contains(*name) && !ours.contains(*name)
            })
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
        let keywords = ["print", "debug", "type_of", "call", "timestamp"];
        let made_up: Vec<_> = known
            .iter()
            .filter(|name| !standard.contains(name.as_str()) && !keywords.contains(&name.as_str()))
            .collect();
        assert!(made_up.is_empty(), "{made_up:?}");
    }
}
