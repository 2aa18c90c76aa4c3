//! Errors in a closure are errors of the function that calls it, and a script that ends with an error on purpose does
//! so.

use crate::support::program::Portolan;

/// The functions that take a closure to compare or choose, with the values that they are called on.
const CALLERS: [&str; 14] = [
    "[3, 1, 2].sort(CLOSURE2)",
    "[3, 1, 2].sort_by(CLOSURE2)",
    "[3, 1, 2].order(CLOSURE2)",
    "[3, 1, 2].order_by(CLOSURE2)",
    "[3, 3, 2].dedup(CLOSURE2)",
    "[3, 1, 2].filter(CLOSURE1)",
    "[3, 1, 2].find(CLOSURE1)",
    "[3, 1, 2].index_of(CLOSURE1)",
    "[3, 1, 2].some(CLOSURE1)",
    "[3, 1, 2].all(CLOSURE1)",
    "[3, 1, 2].drain(CLOSURE1)",
    "[3, 1, 2].retain(CLOSURE1)",
    "#{ a: 1, b: 2 }.retain(|key, value| BODY)",
    "#{ a: 1, b: 2 }.drain(|key, value| BODY)",
];

fn with_body(caller: &str, body: &str) -> String {
    let caller = caller.replace("CLOSURE1", "|x| BODY").replace("CLOSURE2", "|x, y| BODY");
    caller.replace("BODY", body)
}

#[test]
fn an_error_in_a_comparator_or_predicate_ends_the_script() {
    for caller in CALLERS {
        for (body, code, said) in [
            ("fail(\"no line to the archive\")", 3, "error: no line to the archive\n"),
            ("throw \"stale\"", 3, "error: stale\n"),
            ("exit(9)", 9, ""),
            ("local::size(\"gone.csv\")", 5, "error: gone.csv: "),
        ] {
            let text = format!("{};\nprint(\"went on\");", with_body(caller, body));
            Portolan::new().script(&text).run().fails_with(code).stderr_has(said);
        }
    }
}

#[test]
fn an_error_in_a_comparator_can_be_caught_and_leaves_the_array_as_it_was() {
    for (caller, body) in [
        ("a.sort(|x, y| BODY)", "if x == 4 { throw \"lost\" } x - y"),
        ("a.retain(|x| BODY)", "if x == 4 { throw \"lost\" } false"),
        ("a.drain(|x| BODY)", "if x == 4 { throw \"lost\" } true"),
        ("a.dedup(|x, y| BODY)", "if y == 4 { throw \"lost\" } true"),
    ] {
        let call = caller.replace("BODY", &format!("{{ {body} }}"));
        let text =
            format!("let a = [5, 3, 4, 1]; try {{ {call}; }} catch (e) {{ print(e); }} print(a);");
        Portolan::new().script(&text).run().succeeds().stdout("lost\n[5, 3, 4, 1]\n");
    }
}

#[test]
fn an_endless_recursion_in_a_comparator_ends_the_script() {
    let text = "fn deep(x, y) { deep(y, x) } let a = [2, 1]; a.sort(|x, y| deep(x, y)); print(a);";
    let said = "the script was stopped: its functions call one another too deeply";
    Portolan::new().script(text).run().fails_with(3).stderr_has(said);
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    for caller in CALLERS {
        for (body, given) in [("\"yes\"", "\"yes\""), ("()", "nothing"), ("[1]", "`[1]`")] {
            let said = format!("gave {given}, and must give ");
            Portolan::new().script(&with_body(caller, body)).run().fails_with(3).stderr_has(&said);
        }
    }
    let text = "[1, 2].sort(|x, y| (x - y) / 0.0 * 0.0);";
    Portolan::new().script(text).run().fails_with(3).stderr_has("and must give a number");
}

#[test]
fn a_function_that_is_not_there_is_no_comparator() {
    for call in
        ["[2, 1].sort(\"by_sise\")", "[2, 1].dedup(\"by_sise\")", "[2, 1].filter(\"by_sise\")"]
    {
        Portolan::new().script(call).run().fails_with(3).stderr_has("by_sise");
    }
}

#[test]
fn comparators_and_predicates_that_answer_do_what_they_did() {
    let text = r#"
        fn by_length(x, y) { x.len - y.len }
        fn is_short(x) { x.len < 3 }
        let words = ["ccc", "a", "bb", "d", "eee"];
        print(words.order(|x, y| x.len - y.len));
        print(words.order(|x, y| x < y));
        print(words.order(|x, y| x > y));
        print(words.order(|x, y| 0.5 * (x.len - y.len)));
        let sorted = words; sorted.sort("by_length"); print(sorted);
        sorted.sort_by(Fn("by_length")); print(sorted);
        print(words.filter(|x| x.len == 1));
        print(words.filter(|x, i| i > 2));
        print(words.filter(|| this == "bb"));
        print(words.filter("is_short"));
        print(words.find(|x| x.len > 1)); print(words.find(|x| x.len > 1, -1)); print(words.find(|x| x == ""));
        print(words.index_of(|x| x == "d")); print(words.index_of(|x| x == "d", 4));
        print(words.some(|x| x == "d")); print(words.all(|x| x != "")); print([].all(|x| false));
        let rest = words; print(rest.drain(|x| x.len == 3)); print(rest);
        rest = words; print(rest.retain(|x, i| i % 2 == 0)); print(rest);
        let same = [1, 1, 2, 3, 3, 1]; same.dedup(|x, y| x == y); print(same);
        same.dedup(); print(same);
        let map = #{ a: 1, b: 2, c: 3 };
        print(map.filter(|key, value| value > 1).keys());
        print(map.drain(|key, value| key == "a").keys()); print(map.keys());
        print(map.retain(|key, value| value == 3).keys()); print(map.keys());
    "#;
    Portolan::new().script(text).run().succeeds().stdout(
        r#"["a", "d", "bb", "ccc", "eee"]
["a", "bb", "ccc", "d", "eee"]
["eee", "d", "ccc", "bb", "a"]
["a", "d", "bb", "ccc", "eee"]
["a", "d", "bb", "ccc", "eee"]
["a", "d", "bb", "ccc", "eee"]
["a", "d"]
["d", "eee"]
["bb"]
["a", "bb", "d"]
ccc
eee

3
-1
true
true
true
["ccc", "eee"]
["a", "bb", "d"]
["a", "d"]
["ccc", "bb", "eee"]
[1, 2, 3, 1]
[1, 2, 3, 1]
["b", "c"]
["a"]
["b", "c"]
["b"]
["c"]
"#,
    );
}

#[test]
fn files_are_sorted_by_the_difference_of_their_times() {
    let text = r#"
        let ages = #{ today: 5, january: 9000, june: 700.5 };
        let names = ["june", "today", "january"];
        names.sort(|a, b| (now() - ages[a]) - (now() - ages[b]));
        print(names);
    "#;
    Portolan::new().script(text).run().succeeds().stdout("[\"january\", \"june\", \"today\"]\n");
}

#[test]
fn to_exit_with_anything_but_a_whole_number_is_a_failure() {
    for value in
        ["\"upload refused\"", "true", "0.0", "#{ code: 2 }", "'x'", "`${1 + 1}`", "()", "blob(2)"]
    {
        // Some are found by the check, the others in the run.
        for text in [
            format!("exit({value});"),
            format!("let ended = {value}; exit(ended);"),
            format!("fn done(x) {{ exit(x) }} try {{ done({value}); }} catch {{ }} print(\"on\");"),
            format!("let all = [1, {value}]; all.map(|x| if type_of(x) != \"i64\" {{ exit(x) }});"),
        ] {
            let said = "exit takes a whole number, got ";
            Portolan::new().script(&text).run().fails_with(3).stderr_has(said);
        }
    }
    for (text, code) in [("exit();", 0), ("exit(0);", 0), ("exit(1);", 1), ("exit(-256);", 3)] {
        let ran = Portolan::new().script(&format!("{text} print(\"on\");")).run();
        drop(if code == 0 { ran.succeeds() } else { ran.fails_with(code).any_stderr() });
    }
    let said = "exit takes a whole number, got \"no\": ";
    let check = Portolan::new().file("a.rhai", "if args.len() > 2 { exit(\"no\"); }");
    check.args(["check", "a.rhai"]).run().fails_with(3).stderr_has(said);
}

#[test]
fn a_moment_moves_by_seconds_and_has_no_order_among_numbers() {
    let text = r"
        let start = now();
        let later = start + 3600; let earlier = start - 0.25;
        print(later - start); print(start - earlier); print(later > start && earlier < start);
        start -= 60; start += 60.0; print(later - start);
    ";
    Portolan::new().script(text).run().succeeds().stdout("3600.0\n0.25\ntrue\n3600.0\n");
    for (text, said) in [
        ("now() + 9223372036854775807", "that is beyond the times that can be told"),
        ("now() - -1.0e300", "that is beyond the times that can be told"),
        (
            "let f = |x| now() < x; f.call(\"2026-01-01\")",
            "compared with a time only, not with 2026",
        ),
        ("let f = |x| x >= now(); f.call(17)", "compared with a time only, not with 17"),
    ] {
        Portolan::new().script(text).run().fails_with(3).stderr_has(said);
    }
    for (text, said) in [
        ("let cut = now() * \"1d\";", "there is no `*` between a time and a string"),
        ("let cut = 86400 - now();", "there is no `-` between an int and a time"),
        ("let age = 2 * (now() - 5);", "there is no `*` between an int and a time"),
        (
            "let t = local::modified(\"a\"); if t < 1700000000 { }",
            "there is no `<` between a time and an int",
        ),
        ("let hour = 3600.5; let t = now() % hour;", "there is no `%` between a time and a float"),
    ] {
        let check = Portolan::new().file("a.rhai", text).args(["check", "a.rhai"]);
        check.run().fails_with(3).stderr_has(said);
    }
    let right = "let t = now() - 86400; let u = now() + 86400.0; print(`${t}` + t + u); if u - t > 5.0 && t < u { } print(\"at \" + now());";
    Portolan::new().file("a.rhai", right).args(["check", "a.rhai"]).run().succeeds().any_stderr();
}
