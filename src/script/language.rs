//! The functions of the language itself, for the manual: the engine documents them in another form, if at all.

use super::docs::{DocEntry, Overload};

/// The functions by family: the signature, the description, and an example. A test holds them against the engine.
const FUNCTIONS: &[(&str, &[[&str; 3]])] = &[
    ("text", TEXT),
    ("array", ARRAY),
    ("map", MAP),
    ("number", NUMBER),
    ("blob", BLOB),
    ("language", REST),
];

const TEXT: &[[&str; 3]] = &[
    [
        "text.len() -> int",
        "Returns the number of characters; `text.bytes` is the number of bytes.",
        "print(\"grün\".len());",
    ],
    [
        "text.is_empty() -> bool",
        "Returns true if it has no characters.",
        "if (env(\"TARGET\") ?? \"\").is_empty() { fail(\"TARGET is not set\"); }",
    ],
    [
        "text.contains(part: string) -> bool",
        "Returns true if it contains `part`; also written `part in text`.",
        "if \"error 425\".contains(\"425\") { print(\"no data connection\"); }",
    ],
    [
        "text.starts_with(part: string) -> bool",
        "Returns true if it begins with `part`.",
        "if \"order-7.csv\".starts_with(\"order-\") { print(\"an order\"); }",
    ],
    [
        "text.ends_with(part: string) -> bool",
        "Returns true if it ends with `part`.",
        "let tables = local::list(\".\").filter(|entry| entry.name.ends_with(\".csv\"));",
    ],
    [
        "text.index_of(part: string) -> int",
        "Returns the index of the first `part`, or -1.",
        "print(\"a=b\".index_of(\"=\"));",
    ],
    [
        "text.sub_string(start: int) -> string",
        "Returns the characters from `start` on; a negative number counts from the end.",
        "print(\"order-7.csv\".sub_string(-4));",
    ],
    [
        "text.sub_string(start: int, count: int) -> string",
        "Returns `count` characters from `start` on.",
        "print(\"2026-02-11\".sub_string(0, 4));",
    ],
    [
        "text.split() -> array",
        "Returns the words: the parts between white space, however much of it there is.",
        "let words = \"2c26b4  order.csv\".split();\nprint(words[1]);",
    ],
    [
        "text.split(separator: string) -> array",
        "Returns the parts between each `separator`, empty ones as well.",
        "for name in \"a.csv,b.csv\".split(\",\") { print(name); }",
    ],
    [
        "text.split(separator: string, parts: int) -> array",
        "Returns at most `parts` parts; the last has the rest.",
        "let pair = \"path=a=b\".split(\"=\", 2);",
    ],
    [
        "text.to_upper() -> string",
        "Returns it in upper case; `make_upper` changes the string itself.",
        "print(\"csv\".to_upper());",
    ],
    [
        "text.to_lower() -> string",
        "Returns it in lower case; `make_lower` changes the string itself.",
        "if \"A.CSV\".to_lower().ends_with(\".csv\") { print(\"a table\"); }",
    ],
    ["text.make_upper()", "Changes it to upper case.", "let name = \"csv\";\nname.make_upper();"],
    ["text.make_lower()", "Changes it to lower case.", "let name = \"CSV\";\nname.make_lower();"],
    [
        "text.trim()",
        "Removes white space at both ends of the string itself, and returns `()`; `trimmed` returns a copy.",
        "let line = \"  x \";\nline.trim();\nprint(line);",
    ],
    [
        "text.replace(find: string, with: string)",
        "Replaces every `find` in the string itself, and returns `()`; `replaced` returns a copy.",
        "let price = \"1,50\";\nprice.replace(\",\", \".\");\nprint(price);",
    ],
    [
        "text.remove(part: string)",
        "Removes every `part` from the string itself.",
        "let number = \"1 234\";\nnumber.remove(\" \");",
    ],
    [
        "text.crop(start: int, count: int)",
        "Keeps only `count` characters from `start` on.",
        "let name = \"order-7.csv\";\nname.crop(0, 7);",
    ],
    [
        "text.truncate(count: int)",
        "Keeps only the first `count` characters.",
        "let name = \"order-7.csv\";\nname.truncate(7);",
    ],
    [
        "text.pad(width: int, filler: string)",
        "Appends `filler` to the string itself until it has `width` characters; see `pad_right` for a copy.",
        "let name = \"a\";\nname.pad(10, \".\");",
    ],
    [
        "text.append(more: string)",
        "Appends to the string itself, as `+=` does.",
        "let line = \"a\";\nline.append(\"b\");",
    ],
    ["text.clear()", "Removes all characters.", "let line = \"a\";\nline.clear();"],
    [
        "text.set(index: int, character: char)",
        "Replaces one character.",
        "let code = \"abc\";\ncode.set(0, 'x');",
    ],
    [
        "text.get(index: int) -> char",
        "Returns one character, or `()` if there is none.",
        "print(\"abc\".get(-1));",
    ],
    [
        "text.pop() -> char",
        "Removes and returns the last character.",
        "let path = \"in/\";\npath.pop();",
    ],
    [
        "text.chars() -> range",
        "Returns the characters, for a `for` loop.",
        "for c in \"abc\".chars() { print(c); }",
    ],
    [
        "text.to_chars() -> array",
        "Returns the characters as an array.",
        "print(\"abc\".to_chars().len());",
    ],
    [
        "text.to_blob() -> blob",
        "Returns the bytes (UTF-8).",
        "local::write(\"a.bin\", \"abc\".to_blob());",
    ],
    [
        "text.split_rev(separator: string) -> array",
        "Returns the parts, the last first.",
        "print(\"a/b/c\".split_rev(\"/\")[0]);",
    ],
    [
        "text.max(other: string) -> string",
        "Returns the one of two strings that sorts last; `min` the other.",
        "print(\"a\".max(\"b\"));",
    ],
    [
        "text.min(other: string) -> string",
        "Returns the one of two strings that sorts first.",
        "print(\"a\".min(\"b\"));",
    ],
    [
        "text.parse_int() -> int",
        "Returns the whole number that it says; a mistake in it is an error. `parse_int(16)` reads hexadecimal digits.",
        "print(\"42\".parse_int() + 1);",
    ],
    [
        "text.parse_float() -> float",
        "Returns the number with a fraction that it says.",
        "print(\"1.5\".parse_float() * 2.0);",
    ],
    [
        "text.parse_json() -> map",
        "Returns the map of a JSON text; `json::parse` reads any value.",
        "print(`{\"id\": 7}`.parse_json().id);",
    ],
];

const ARRAY: &[[&str; 3]] = &[
    [
        "array.len() -> int",
        "Returns the number of elements.",
        "print(local::glob(\"*.csv\").len());",
    ],
    [
        "array.is_empty() -> bool",
        "Returns true if it has no elements.",
        "if local::glob(\"*.csv\").is_empty() { exit(0); }",
    ],
    [
        "array.push(item: any)",
        "Appends an element, as `+=` does.",
        "let names = [];\nnames.push(\"a.csv\");",
    ],
    [
        "array.pop() -> any",
        "Removes and returns the last element; `()` if there is none.",
        "let stack = [1, 2];\nprint(stack.pop());",
    ],
    [
        "array.shift() -> any",
        "Removes and returns the first element; `()` if there is none.",
        "let queue = [1, 2];\nprint(queue.shift());",
    ],
    [
        "array.insert(index: int, item: any)",
        "Inserts an element before `index`.",
        "let names = [\"b\"];\nnames.insert(0, \"a\");",
    ],
    [
        "array.remove(index: int) -> any",
        "Removes and returns the element at `index`.",
        "let names = [\"a\", \"b\"];\nnames.remove(0);",
    ],
    [
        "array.append(more: array)",
        "Appends all elements of another array.",
        "let all = [1];\nall.append([2, 3]);",
    ],
    [
        "array.get(index: int) -> any",
        "Returns an element, or `()` if there is none; `array[index]` is an error then.",
        "let url = args.get(0) ?? \"ftp://ftp.example.org\";",
    ],
    ["array.set(index: int, item: any)", "Replaces an element.", "let a = [1, 2];\na.set(0, 9);"],
    [
        "array.contains(item: any) -> bool",
        "Returns true if it has the element; also written `item in array`.",
        "if \"ready.flag\" in [\"a\", \"ready.flag\"] { print(\"ready\"); }",
    ],
    [
        "array.index_of(item: any) -> int",
        "Returns the index of an element that is equal, or of the first for which a closure returns true; -1 if there is none.",
        "print([\"a\", \"b\"].index_of(\"b\"));",
    ],
    [
        "array.map(f: closure) -> array",
        "Returns the results of `f` for each element.",
        "let names = local::list(\".\").map(|entry| entry.name);",
    ],
    [
        "array.filter(f: closure) -> array",
        "Returns the elements for which `f` returns true.",
        "let big = local::list(\".\").filter(|entry| entry.size > 1000000);",
    ],
    [
        "array.find(f: closure) -> any",
        "Returns the first element for which `f` returns true, or `()`.",
        "let flag = local::list(\".\").find(|entry| entry.name == \"ready.flag\");",
    ],
    [
        "array.find_map(f: closure) -> any",
        "Returns the first result of `f` that is not `()`.",
        "let code = [\"x\", \"7\"].find_map(|word| if word.matches(`^\\d+$`) { word });",
    ],
    [
        "array.for_each(f: closure)",
        "Calls `f` with each element as `this`; a `for` loop is easier to read.",
        "let prices = [1, 2];\nprices.for_each(|| this *= 2);",
    ],
    [
        "array.some(f: closure) -> bool",
        "Returns true if `f` returns true for any element.",
        "if local::list(\".\").some(|entry| entry.size == 0) { log::warn(\"an empty file\"); }",
    ],
    [
        "array.all(f: closure) -> bool",
        "Returns true if `f` returns true for all elements.",
        "print([1, 2].all(|n| n > 0));",
    ],
    [
        "array.reduce(f: closure, first: any) -> any",
        "Returns one value of all elements: `f(result so far, element)`. See `sum` and `join`.",
        "let longest = [\"a\", \"abc\"].reduce(|most, name| if name.len() > most { name.len() } else { most }, 0);",
    ],
    [
        "array.reduce_rev(f: closure, first: any) -> any",
        "Does the same from the last element to the first.",
        "print([1, 2].reduce_rev(|sum, n| sum * 10 + n, 0));",
    ],
    [
        "array.sort()",
        "Sorts the array itself, and returns `()`; `order` returns a sorted copy.",
        "let names = [\"b\", \"a\"];\nnames.sort();",
    ],
    [
        "array.sort(f: closure)",
        "Sorts the array itself by a comparator: `f(a, b)` is below 0 if `a` comes first.",
        "let files = local::list(\".\");\nfiles.sort(|a, b| b.modified - a.modified);",
    ],
    [
        "array.order() -> array",
        "Returns a sorted copy.",
        "for name in [\"b\", \"a\"].order() { print(name); }",
    ],
    [
        "array.order_by(f: closure) -> array",
        "Returns a copy that is sorted by a comparator.",
        "let newest = local::list(\".\").order_by(|a, b| b.modified - a.modified);",
    ],
    [
        "array.order_desc() -> array",
        "Returns a copy that is sorted, the last first.",
        "print([1, 3, 2].order_desc());",
    ],
    [
        "array.sort_by(f: closure)",
        "Sorts the array itself by a comparator, as `sort` does.",
        "let sizes = [3, 1];\nsizes.sort_by(|a, b| a - b);",
    ],
    [
        "array.sort_desc()",
        "Sorts the array itself, the last first.",
        "let names = [\"a\", \"b\"];\nnames.sort_desc();",
    ],
    [
        "array.reverse()",
        "Reverses the array itself.",
        "let names = [\"a\", \"b\"];\nnames.reverse();",
    ],
    [
        "array.dedup()",
        "Removes elements that are equal to the one before them: sort it first.",
        "let codes = [1, 1, 2];\ncodes.dedup();",
    ],
    [
        "array.extract(start: int, count: int) -> array",
        "Returns `count` elements from `start` on; `array[1..3]` does as well.",
        "print([1, 2, 3].extract(1, 2));",
    ],
    [
        "array.extract(start: int) -> array",
        "Returns the elements from `start` on; a negative number counts from the end.",
        "let last_five = [1, 2, 3, 4, 5, 6].extract(-5);",
    ],
    [
        "array.split(index: int) -> array",
        "Removes and returns the elements from `index` on.",
        "let files = [1, 2, 3, 4];\nlet old = files.split(2);",
    ],
    [
        "array.drain(f: closure) -> array",
        "Removes and returns the elements for which `f` returns true.",
        "let files = [1, 2, 3];\nlet large = files.drain(|size| size > 2);",
    ],
    [
        "array.retain(f: closure) -> array",
        "Removes and returns the elements for which `f` does not return true.",
        "let files = [1, 2, 3];\nfiles.retain(|size| size > 2);",
    ],
    [
        "array.splice(start: int, count: int, with: array)",
        "Replaces `count` elements from `start` on.",
        "let a = [1, 2, 3];\na.splice(1, 1, [8, 9]);",
    ],
    [
        "array.zip(other: array, f: closure) -> array",
        "Returns the results of `f` for the pairs of two arrays.",
        "print([1, 2].zip([3, 4], |a, b| a * b));",
    ],
    [
        "array.truncate(count: int)",
        "Keeps only the first `count` elements.",
        "let a = [1, 2, 3];\na.truncate(2);",
    ],
    [
        "array.chop(count: int)",
        "Keeps only the last `count` elements.",
        "let a = [1, 2, 3];\na.chop(2);",
    ],
    [
        "array.pad(count: int, item: any)",
        "Appends `item` until it has `count` elements.",
        "let counts = [];\ncounts.pad(24, 0);",
    ],
    ["array.clear()", "Removes all elements.", "let a = [1];\na.clear();"],
];

const MAP: &[[&str; 3]] = &[
    [
        "map.keys() -> array",
        "Returns the keys, sorted. A `for` loop goes over these: `for key in map.keys()`.",
        "let sums = #{ a: 1, b: 2 };\nfor name in sums.keys() { print(`${name}: ${sums[name]}`); }",
    ],
    [
        "map.values() -> array",
        "Returns the values, in the order of the keys.",
        "print(#{ a: 1, b: 2 }.values().sum());",
    ],
    [
        "map.get(key: string) -> any",
        "Returns a value, or `()` if there is none; `map.key` is an error then.",
        "let mode = #{ a: 1 }.get(\"mode\") ?? \"auto\";",
    ],
    [
        "map.set(key: string, value: any)",
        "Sets a value, as `map[key] = value` does.",
        "let seen = #{};\nseen.set(\"a.csv\", 7);",
    ],
    [
        "map.contains(key: string) -> bool",
        "Returns true if it has the key; also written `key in map`.",
        "if \"a\" in #{ a: 1 } { print(\"there\"); }",
    ],
    [
        "map.remove(key: string) -> any",
        "Removes and returns a value; `()` if there is none.",
        "let m = #{ a: 1 };\nm.remove(\"a\");",
    ],
    ["map.len() -> int", "Returns the number of entries.", "print(#{ a: 1 }.len());"],
    ["map.is_empty() -> bool", "Returns true if it has no entries.", "print(#{}.is_empty());"],
    ["map.clear()", "Removes all entries.", "let m = #{ a: 1 };\nm.clear();"],
    [
        "map.mixin(other: map)",
        "Copies all entries of another map, and replaces those that exist.",
        "let options = #{ retries: 3 };\noptions.mixin(#{ retries: 5 });",
    ],
    [
        "map.fill_with(other: map)",
        "Copies the entries of another map that do not exist.",
        "let options = #{ retries: 3 };\noptions.fill_with(#{ retries: 5, resume: true });",
    ],
    [
        "map.filter(f: closure) -> map",
        "Returns the entries for which `f(key)` returns true; the value is `this`.",
        "let big = #{ a: 1, b: 20 }.filter(|key| this > 10);",
    ],
    [
        "map.drain(f: closure) -> map",
        "Removes and returns the entries for which `f(key)` returns true.",
        "let m = #{ a: 1, b: 2 };\nlet one = m.drain(|key| key == \"a\");",
    ],
    [
        "map.retain(f: closure) -> map",
        "Removes and returns the entries for which `f(key)` does not return true.",
        "let m = #{ a: 1, b: 2 };\nm.retain(|key| this > 1);",
    ],
    [
        "map.map(f: closure) -> map",
        "Returns a map with the results of `f(key)`; the value is `this`.",
        "let doubled = #{ a: 1 }.map(|key| this * 2);",
    ],
];

const NUMBER: &[[&str; 3]] = &[
    ["number.abs() -> number", "Returns it without its sign.", "print((-5).abs());"],
    ["number.sign() -> int", "Returns -1, 0 or 1.", "print((-5).sign());"],
    [
        "number.max(other: number) -> number",
        "Returns the larger of two numbers.",
        "print(3.max(7));",
    ],
    [
        "number.min(other: number) -> number",
        "Returns the smaller of two numbers.",
        "print(3.min(7));",
    ],
    [
        "number.round() -> float",
        "Returns the nearest whole number, as a number with a fraction.",
        "print(2.5.round());",
    ],
    ["number.floor() -> float", "Returns the next lower whole number.", "print(2.7.floor());"],
    ["number.ceiling() -> float", "Returns the next higher whole number.", "print(2.1.ceiling());"],
    ["number.to_int() -> int", "Returns it without its fraction.", "print(2.7.to_int());"],
    [
        "number.to_float() -> float",
        "Returns it as a number with a fraction: `7 / 2` is 3, `7.to_float() / 2.0` is 3.5.",
        "print(7.to_float() / 2.0);",
    ],
    [
        "number.to_hex() -> string",
        "Returns its hexadecimal digits; `to_octal` and `to_binary` its octal and binary ones.",
        "print(255.to_hex());",
    ],
    ["number.to_octal() -> string", "Returns its octal digits.", "print(8.to_octal());"],
    ["number.to_binary() -> string", "Returns its binary digits.", "print(5.to_binary());"],
    ["number.is_even() -> bool", "Returns true for an even number.", "print(4.is_even());"],
    ["number.is_odd() -> bool", "Returns true for an odd number.", "print(4.is_odd());"],
    ["number.is_zero() -> bool", "Returns true for 0.", "print(0.is_zero());"],
    [
        "number.sqrt() -> float",
        "Returns the square root. There are `sin`, `cos`, `tan`, `exp`, `ln` and `log` as well.",
        "print(2.0.sqrt());",
    ],
];

const BLOB: &[[&str; 3]] = &[
    [
        "blob.len() -> int",
        "Returns the number of bytes.",
        "print(local::read_blob(\"logo.png\").len());",
    ],
    ["blob.is_empty() -> bool", "Returns true if it has no bytes.", "print(blob().is_empty());"],
    [
        "blob.as_string() -> string",
        "Returns the text of the bytes (UTF-8); what is not valid is replaced.",
        "print(\"abc\".to_blob().as_string());",
    ],
    [
        "blob.to_array() -> array",
        "Returns the bytes as an array of numbers.",
        "print(\"abc\".to_blob().to_array());",
    ],
    ["blob.push(byte: int)", "Appends a byte.", "let bytes = blob();\nbytes.push(10);"],
    [
        "blob.extract(start: int, count: int) -> blob",
        "Returns `count` bytes from `start` on.",
        "let head = local::read_blob(\"logo.png\").extract(0, 8);",
    ],
    [
        "blob.contains(byte: int) -> bool",
        "Returns true if it has the byte.",
        "if local::read_blob(\"a.csv\").contains(0) { fail(\"it is not a text\"); }",
    ],
];

const REST: &[[&str; 3]] = &[
    [
        "print(value: any)",
        "Prints a value and the end of a line to standard output.",
        "print(`${2 + 3} files`);",
    ],
    [
        "debug(value: any)",
        "Logs a value with its position in the script, for `--log-level debug`.",
        "debug(#{ a: 1 });",
    ],
    [
        "type_of(value: any) -> string",
        "Returns the type: \"i64\", \"f64\", \"string\", \"bool\", \"array\", \"map\", \"()\" …",
        "if type_of(args) == \"map\" { print(\"from the jobs file\"); }",
    ],
    [
        "value.to_string() -> string",
        "Returns any value as text; `` `${value}` `` does as well.",
        "let text = 5.to_string();",
    ],
    [
        "parse_int(text: string) -> int",
        "Returns the whole number that a text says.",
        "let count = parse_int(\"42\");",
    ],
    [
        "parse_float(text: string) -> float",
        "Returns the number with a fraction that a text says.",
        "let price = parse_float(\"1.5\");",
    ],
    [
        "range(from: int, to: int) -> range",
        "Returns the numbers from `from` up to, but without, `to`; also written `0..10`, and `0..=10` with the last.",
        "for number in range(0, 3) { print(number); }",
    ],
    [
        "range(from: int, to: int, step: int) -> range",
        "Returns the numbers in steps.",
        "for number in range(0, 10, 5) { print(number); }",
    ],
    [
        "blob(count: int) -> blob",
        "Creates a blob of that many zero bytes.",
        "let buffer = blob(16);",
    ],
    [
        "timestamp() -> timestamp",
        "Returns a stop watch: `started.elapsed` is the number of seconds since. For dates see `now`.",
        "let started = timestamp();\nprint(started.elapsed);",
    ],
    [
        "closure.call(argument: any) -> any",
        "Calls a closure; a function of the script is called by its name.",
        "let double = |x| x * 2;\nprint(double.call(4));",
    ],
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
