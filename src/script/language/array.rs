//! Functions of arrays.

pub(super) const ARRAY: &[[&str; 3]] = &[
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
