//! Scripts that would run for ever, or exhaust memory: each ends with an error of its own.

use crate::support::program::Portolan;

/// Runs `text`, which must be stopped with `why` and cannot catch that.
#[track_caller]
fn is_stopped(text: &str, why: &str) {
    let caught = format!("try {{ {text} }} catch (err) {{ print(\"caught\"); }}");
    for text in [text, &caught] {
        let ran = Portolan::new().script(text).run().fails_with(3).stdout("");
        ran.stderr_has(&format!("error: {why}\n  --> script.rhai:1:"));
    }
}

#[test]
fn s69_an_endless_loop_ends() {
    is_stopped(
        "loop {}",
        "the script was stopped: it took too many steps: is there an infinite loop?",
    );
}

#[test]
fn s69_an_endless_recursion_ends() {
    let why = "the script was stopped: its functions call one another too deeply: is there an endless recursion?";
    is_stopped("let f = |f, x| f.call(f, x + 1); f.call(f, 1);", why);
    Portolan::new().script("fn f(x) { f(x + 1) } f(1);").run().fails_with(3).stderr_has(why);
}

#[test]
fn s69_strings_arrays_blobs_and_maps_grow_only_so_far() {
    for (text, what) in [
        (r#"let s = "x"; loop { s += s; }"#, "length of string"),
        (r#"let s = "a"; s.pad(9000, "a"); s.replace("a", s);"#, "length of string"),
        (r#"let s = ""; s.pad(4000000, 'z'); s.replace('z', s);"#, "length of string"),
        (r#"let s = " "; s.pad(5000000, " "); s.replace("", "ab");"#, "length of string"),
        ("let a = []; a.pad(1000000000, 0);", "size of array/blob"),
        ("let a = [0]; loop { a += a; }", "size of array/blob"),
        ("let b = blob(1000000000, 0);", "size of array/blob"),
        ("let b = blob(10); loop { b += b; }", "size of array/blob"),
    ] {
        is_stopped(text, &format!("the script was stopped: {what} grew too large"));
    }
}

#[test]
fn s69_memory_that_many_values_take_together_has_an_end() {
    let text = r#"
        let text = "x";
        text.pad(4000000, "y");
        let all = #{};
        for i in 0..100000 { all[`k${i}`] = text + i; }
    "#;
    Portolan::new().script(text).run().fails_with(3).stderr_has(
        "the script was stopped: it took more than 512 MiB of memory\n  --> script.rhai:5:",
    );
}

#[test]
fn s69_what_lies_too_deep_is_an_error_of_syntax_and_shown_in_part() {
    for (open, inner, close) in
        [("(", "1", ")"), ("[", "", "]"), ("`${", "1", "}`"), ("!", "true", "")]
    {
        let text = format!("let x = {}{inner}{};", open.repeat(5000), close.repeat(5000));
        let ran = Portolan::new().script(&text).run().fails_with(3);
        let ran = ran.stderr_has("error: expression exceeds maximum complexity\n");
        assert!(ran.stderr_text().lines().all(|line| line.chars().count() < 140));
        assert!(ran.stderr_text().contains(" | let x = "), "the caret is near enough");
    }
}

#[test]
fn s69_eval_is_no_word_of_the_language() {
    Portolan::new()
        .script(r#"eval("1 + 1");"#)
        .run()
        .fails_with(3)
        .stderr_has("'eval' is disabled");
}

#[test]
fn s69_too_much_output_ends_the_script_and_is_told_once() {
    for print in ["print", "log::info", "debug"] {
        let text = format!("let line = \"x\"; line.pad(100000, \"y\"); loop {{ {print}(line); }}");
        let ran = Portolan::new().script(&text).run().fails_with(3).any_stdout();
        let ran = ran.stderr_has("error: the script was stopped: it printed more than 10 MiB\n");
        assert_eq!(ran.stderr_text().matches("error:").count(), 1, "{print}");
        assert!(ran.stdout_text().len() + ran.stderr_text().len() < 11 * 1024 * 1024);
    }
}

#[test]
fn s69_a_sleep_is_no_longer_than_a_month() {
    for time in ["10000000000", "-5", "\"x\"", "\"9999d\""] {
        Portolan::new()
            .script(&format!("sleep({time});"))
            .run()
            .fails_with(3)
            .stderr_has("error: sleep wants a duration such as \"90s\" or \"5m\", got ");
    }
}

#[test]
fn a_folder_of_twenty_thousand_files_is_listed_into_a_variable() {
    let portolan = Portolan::new().script(
        r#"
        let site = ftp::connect("ftpes://ftp.example.org");
        print(site.list("/").len());
        "#,
    );
    let many = portolan.folder().join("many");
    std::fs::create_dir(&many).unwrap();
    for number in 0..20_000 {
        std::fs::write(many.join(format!("file-{number}")), "").unwrap();
    }
    let portolan = Portolan::new()
        .file("script.rhai", std::fs::read(portolan.folder().join("script.rhai")).unwrap())
        .args(["rehearse".into(), "--tree".into(), many.into_os_string(), "script.rhai".into()]);
    portolan.run().succeeds().stdout("20000\n").any_stderr();
}

#[test]
fn time_in_callbacks_and_comparisons_is_counted() {
    let text = "
        let a = []; a.pad(300000, \"some words\"); let b = a;
        let rows = []; rows.pad(300000, 0);
        try { rows.map(|x| a == b); } catch { print(\"caught\"); }
    ";
    let why = "it used more than 20 seconds of processor time: is there an infinite loop?";
    let ran = Portolan::new().script(text).run().fails_with(3);
    drop(ran.stderr_has(&format!("error: the script was stopped: {why}\n")));
}

#[test]
fn memory_in_callbacks_is_counted() {
    for text in [
        "rows.map(|x| long + x)",
        "rows.map(|x| blob(400000, 7))",
        "rows.zip(rows, |x, y| `${long}${x}${y}`)",
        "let m = #{}; for i in 0..4000 { m[`k${i}`] = i; } m.map(|k, v| { let a = []; a.pad(9000, k); a })",
    ] {
        let text = format!(
            "let rows = []; rows.pad(400000, 0); let long = \"\"; long.pad(500000, 'x');
            try {{ {text}; }} catch {{ print(\"caught\"); }}"
        );
        let said = "error: the script was stopped: it took more than 512 MiB of memory\n";
        drop(Portolan::new().script(&text).run().fails_with(3).stderr_has(said));
    }
}
