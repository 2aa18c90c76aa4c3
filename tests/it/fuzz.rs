//! Parsers of foreign bytes, on seeds and on mutated seeds: the targets of `fuzz/` without its compiler options.
//!
//! The mutations are pseudo-random and the same every time. `PORTOLAN_FUZZ` is their number for each target.

use std::{
    collections::BTreeSet,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use portolan::{fuzzing::TARGETS, random::SeededRng};

/// The number of mutated seeds for each target.
const INPUTS: u64 = 1500;
/// The maximum length of an input in bytes.
const LENGTH_MAX: usize = 4096;
/// The bytes that are special to parsers.
const SPECIAL: &[u8] = b"\0\t\n\r \"'%*,-./:;<=>?@[\\]{}09AZaz\x7f\x80\xc3\xff";

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target)
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        fs::read_dir(folder(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Draws from a fixed seed.
struct Dice(SeededRng);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.below(end as u64)).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        self.0.one_of(from).unwrap()
    }
}

/// Returns a part of `bytes`, up to forty of them.
fn piece(dice: &mut Dice, bytes: &[u8]) -> Vec<u8> {
    let start = dice.below(bytes.len() + 1);
    let length = dice.below(40);
    bytes.iter().skip(start).take(length).copied().collect()
}

/// Returns one of the seeds with one to eight mutations.
fn changed(dice: &mut Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = dice.pick(seeds).clone();
    for _ in 0..=dice.below(8) {
        let at = dice.below(bytes.len() + 1);
        let (special, bit) = (*dice.pick(SPECIAL), 1 << dice.below(8));
        match (dice.below(7), bytes.get_mut(at)) {
            (0, _) => bytes.insert(at, special),
            (1, Some(byte)) => *byte = special,
            (2, Some(byte)) => *byte ^= bit,
            (3, _) => {
                let end = (at + dice.below(20)).min(bytes.len());
                drop(bytes.drain(at..end));
            }
            (4, _) => {
                let again = piece(dice, &bytes);
                drop(bytes.splice(at..at, again));
            }
            (5, _) => {
                let other = dice.pick(seeds).clone();
                let other = piece(dice, &other);
                drop(bytes.splice(at..at, other));
            }
            _ => bytes.truncate(at),
        }
    }
    bytes.truncate(LENGTH_MAX);
    bytes
}

#[test]
fn no_bytes_break_what_a_reader_promises() {
    let inputs = env::var("PORTOLAN_FUZZ").ok().and_then(|text| text.parse().ok());
    let mut found = Vec::new();
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        let mut dice = Dice(SeededRng::new(1));
        let changes = (0..inputs.unwrap_or(INPUTS)).map(|_| changed(&mut dice, &seeds));
        let all = seeds.iter().cloned().chain(changes);
        let bad =
            all.into_iter().find(|input| catch_unwind(AssertUnwindSafe(|| target(input))).is_err());
        found.extend(bad.map(|input| format!("{name}: {}", input.escape_ascii())));
    }
    assert!(found.is_empty(), "broken by:\n{}", found.join("\n"));
}

#[test]
fn each_target_has_seeds_a_file_and_a_binary() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(seeds(name).len() >= 2, "{name} has no seeds");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no binary");
        let text = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(text.contains(&format!("run(\"{name}\", bytes)")), "{name}: {text}");
    }
    let names: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let entries = fs::read_dir(fuzz.join("seeds")).unwrap();
    let folders: BTreeSet<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names, folders);
}
