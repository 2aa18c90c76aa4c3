//! The rule for imports inside a module: no more than two files import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, assert_none, rust, sources};

/// The crates in which the rule holds.
const CRATES: [&str; 3] = ["mirror", "ftp", "remote"];

/// The circles that are known, by their files below the crate's `src/`. The list only shrinks.
const KNOWN: [&[&str]; 0] = [];

/// The maximum number of files in a circle.
const CIRCLE_FILES_MAX: usize = 2;

/// The path of a module in its crate, such as `["diff", "checks"]`; the crate root is empty.
type Module = Vec<String>;

fn module_of(source: &Source) -> Option<Module> {
    let below = source.in_crate()?.1.strip_suffix(".rs")?;
    if below == "lib" {
        return Some(Vec::new());
    }
    Some(below.trim_end_matches("/mod").split('/').map(str::to_owned).collect())
}

/// Returns the file that the import `path` in the file `module` names, among `files`.
fn named<'f>(files: &'f BTreeSet<Module>, module: &Module, path: &[String]) -> Option<&'f Module> {
    let above = path.iter().take_while(|part| *part == "super").count();
    let (mut at, rest) = match path.first()?.as_str() {
        "crate" => (Vec::new(), path.get(1..)?),
        "self" => (module.clone(), path.get(1..)?),
        _ => (module.get(..module.len().checked_sub(above)?)?.to_vec(), path.get(above..)?),
    };
    let mut found = files.get(&at);
    for part in rest {
        at.push(part.clone());
        found = files.get(&at).or(found);
    }
    found
}

/// Returns the circles of more than [`CIRCLE_FILES_MAX`] files among `sources`, each by its sorted files.
fn circles(sources: &[Source]) -> BTreeSet<Vec<String>> {
    let files: BTreeSet<Module> = sources.iter().filter_map(module_of).collect();
    let mut reached: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    for source in sources {
        let Some(module) = module_of(source).and_then(|module| files.get(&module)) else {
            continue;
        };
        let imports = rust::imports(&source.product());
        let named = imports.iter().filter_map(|path| named(&files, module, path));
        reached.entry(module).or_default().extend(named.filter(|other| *other != module));
    }
    // Everything that is reached in several steps.
    for through in &files {
        let further = reached.get(through).cloned().unwrap_or_default();
        for all in reached.values_mut().filter(|all| all.contains(through)) {
            all.extend(&further);
        }
    }
    let leads_to =
        |from: &Module, to: &Module| reached.get(from).is_some_and(|all| all.contains(to));
    let circle = |file: &Module| -> Vec<String> {
        let inside = files.iter().filter(|other| leads_to(file, other) && leads_to(other, file));
        inside.map(|module| module.join("/")).collect()
    };
    files.iter().map(circle).filter(|circle| circle.len() > CIRCLE_FILES_MAX).collect()
}

/// Returns the circles that are not `known`, and what is known and no longer part of one.
fn complaints(circles: &BTreeSet<Vec<String>>, known: &[&[&str]]) -> Vec<String> {
    let is_known = |circle: &Vec<String>| {
        known.iter().any(|known| circle.iter().all(|file| known.contains(&file.as_str())))
    };
    let new = circles.iter().filter(|circle| !is_known(circle));
    let new = new.map(|circle| format!("a circle of imports: {}", circle.join(", ")));
    let gone = known
        .iter()
        .flat_map(|known| known.iter())
        .filter(|file| !circles.iter().any(|circle| circle.iter().any(|other| other == *file)));
    new.chain(gone.map(|file| format!("{file} is in no circle: take it off KNOWN"))).collect()
}

#[test]
fn imports_inside_a_module_have_no_large_circles() {
    let mut found = BTreeSet::new();
    for name in CRATES {
        found.extend(circles(&sources(&format!("crates/{name}/src"))));
    }
    assert_none(&complaints(&found, &KNOWN));
}

#[test]
fn a_circle_of_three_files_is_seen_and_one_of_two_is_not() {
    let file = |name: &str, text: &str| Source::new(&format!("crates/m/src/{name}.rs"), text);
    let two = [
        file("lib", "mod a; mod b; use a::x;"),
        file("a", "use super::b::{self, y};"),
        file("b", "use crate::{a::x, a::z}; #[cfg(test)] mod tests { use super::super::d; }"),
        file("d/mod", "use super::a;"),
    ];
    assert_eq!(circles(&two), BTreeSet::new());
    let three = [
        file("a", "use super::b::y;"),
        file("b", "use crate::d::{e};"),
        file("d/mod", "mod e;"),
        file("d/e", "pub(crate) use super::super::a::{\n    x,\n};"),
        file("f", "use super::a; // use super::g;"),
    ];
    let circle = ["a", "b", "d/e"].map(str::to_owned).to_vec();
    assert_eq!(circles(&three), BTreeSet::from([circle]));
    let told = |known: &[&str]| complaints(&circles(&three), &[known]);
    assert_eq!(told(&["a", "b", "d/e"]), [""; 0]);
    assert_eq!(told(&["a", "b", "d/e", "f"]), ["f is in no circle: take it off KNOWN"]);
    assert_eq!(told(&["a", "b"]), ["a circle of imports: a, b, d/e"]);
}
