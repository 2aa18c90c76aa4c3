//! Functions of maps, numbers, blobs and closures.

pub(super) const MAP: &[[&str; 3]] = &[
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

pub(super) const NUMBER: &[[&str; 3]] = &[
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

pub(super) const BLOB: &[[&str; 3]] = &[
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

pub(super) const REST: &[[&str; 3]] = &[
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
