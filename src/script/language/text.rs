//! Functions of texts.

pub(super) const TEXT: &[[&str; 3]] = &[
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
