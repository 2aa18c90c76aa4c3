//! `portolan check`: its exact message for each mistake.

use crate::support::program::Portolan;

/// Checks one script, whose text begins in line 1.
#[track_caller]
fn says(script: &str, code: i32, expected: &str) {
    let portolan = Portolan::new().file("a.rhai", script).args(["check", "a.rhai"]);
    portolan.run().fails_with(code).stderr(expected);
}

#[test]
fn a_correct_script_is_told_so() {
    says("print(\"hello\");\n", 0, "1 script, nothing wrong\n");
}

#[test]
fn a_misspelt_function_is_shown_with_the_nearest() {
    says(
        "// deploy\nlet site = ftp::conect(\"ftp://ftp.example.org\");\n",
        3,
        "error: there is no function `ftp::conect`
  --> a.rhai:2:17
  |
2 | let site = ftp::conect(\"ftp://ftp.example.org\");
  |                 ^
hint: did you mean `ftp::connect`?

1 error in 1 script
",
    );
}

#[test]
fn a_misspelt_method_is_shown_with_the_nearest() {
    says(
        "let site = ftp::connect(\"ftp://ftp.example.org\");\nsite.mirorup(1);\nsite.gett(\"a\", \"b\");\n",
        3,
        "error: a session has no function `mirorup`
  --> a.rhai:2:6
  |
2 | site.mirorup(1);
  |      ^
hint: did you mean `mirror_up`?

error: a session has no function `gett`
  --> a.rhai:3:6
  |
3 | site.gett(\"a\", \"b\");
  |      ^
hint: did you mean `get`?

2 errors in 1 script
",
    );
}

#[test]
fn a_wrong_number_of_arguments_lists_what_is_taken() {
    says(
        "let site = ftp::connect(\"ftp://ftp.example.org\");\nsite.get(\"a\");\n",
        3,
        "error: `get` takes 2 or 3 arguments, 1 given
  --> a.rhai:2:6
  |
2 | site.get(\"a\");
  |      ^
hint: `site.get(remote: string, local: string) -> Report` or \
`site.get(remote: string, local: string, options: map) -> Report`

1 error in 1 script
",
    );
}

#[test]
fn a_misspelt_option_is_shown_at_its_key() {
    says(
        "ftp::connect(\"ftp://ftp.example.org\", #{\n    pasword: secret(\"P\"),\n});\n",
        3,
        "error: `ftp::connect` has no option `pasword`
  --> a.rhai:2:5
  |
2 |     pasword: secret(\"P\"),
  |     ^
hint: did you mean `password`?

1 error in 1 script
",
    );
}

#[test]
fn a_misspelt_value_is_shown_where_it_stands_and_a_password_is_warned_of() {
    says(
        "ftp::connect(\"ftp://ftp.example.org\", #{ mode: \"pasive\", password: \"x\" });\n",
        3,
        "error: `mode` wants one of \"auto\", \"active\", \"passive\", \"race\", got \"pasive\"; did you mean \"passive\"?
  --> a.rhai:1:48
  |
1 | ftp::connect(\"ftp://ftp.example.org\", #{ mode: \"pasive\", password: \"***\" });
  |                                                ^

warning: this password stands in the script
  --> a.rhai:1:68
  |
1 | ftp::connect(\"ftp://ftp.example.org\", #{ mode: \"pasive\", password: \"***\" });
  |                                                                    ^
hint: secret(\"NAME\") takes it from the environment variable NAME or a systemd credential

1 error, 1 warning in 1 script
",
    );
}

#[test]
fn an_unknown_variable_is_shown_with_the_nearest() {
    says(
        "let report = 1;\nprint(reprot);\n",
        3,
        "error: there is no variable `reprot`
  --> a.rhai:2:7
  |
2 | print(reprot);
  |       ^
hint: did you mean `report`?

1 error in 1 script
",
    );
}

#[test]
fn a_text_that_is_no_script_is_shown_where_it_ends_to_be_one() {
    says(
        "let x = ;\n",
        3,
        "error: unexpected ';'
  --> a.rhai:1:9
  |
1 | let x = ;
  |         ^

1 error in 1 script
",
    );
}

#[test]
fn a_mistake_in_a_closure_is_found() {
    says(
        "retry(2, || {\n    local::reed(\"a\")\n});\n",
        3,
        "error: there is no function `local::reed`
  --> a.rhai:2:12
  |
2 |     local::reed(\"a\")
  |            ^
hint: did you mean `local::read`?

1 error in 1 script
",
    );
}

#[test]
fn a_mistake_in_an_imported_file_is_shown_there() {
    Portolan::new()
        .file("s/a.rhai", "import \"lib/tools\" as tools;\ntools::twice(2);\n")
        .file("s/lib/tools.rhai", "fn twice(x) {\n    prnt(x)\n}\n")
        .args(["check", "s/a.rhai"])
        .run()
        .fails_with(3)
        .stderr(
            "error: there is no function `prnt`
  --> s/lib/tools.rhai:2:5
  |
2 |     prnt(x)
  |     ^
hint: did you mean `print`?

1 error in 1 script
",
        );
}

#[test]
fn warnings_alone_are_no_failure() {
    let ran = Portolan::new()
        .file("a.rhai", "ftp::connect(\"ftp://me:secret@ftp.example.org\");\n")
        .args(["check", "a.rhai"])
        .run()
        .succeeds();
    ran.stderr_has("warning: a password stands in this URL\n  --> a.rhai:1:14\n")
        .stderr_has("\n1 warning in 1 script\n");
}

#[test]
fn a_folder_means_all_scripts_below_it() {
    let mut portolan = Portolan::new().file("s/readme.txt", "no script").args(["check", "s"]);
    for number in 0..30 {
        let import = "import \"lib/tools\" as tools; tools::twice(2);";
        portolan = portolan.file(format!("s/{number}.rhai"), import);
    }
    let portolan = portolan
        .file("s/lib/tools.rhai", "import \"lib/more\" as more; fn twice(x) { more::both(x) }")
        .file("s/lib/more.rhai", "fn both(x) { x * 2 }");
    portolan.run().succeeds().stderr("32 scripts, nothing wrong\n");
    let portolan = portolan.file("s/deep/below/x.rhai", "gone();");
    portolan.run().fails_with(3).stderr_has("  --> s/deep/below/x.rhai:1:1\n");
}

#[test]
fn json_is_one_array() {
    let portolan = Portolan::new().file("a.rhai", "slep(1);").args(["check", "a.rhai", "--json"]);
    let mut ran = portolan.run().fails_with(3);
    let expected = serde_json::json!([{
        "level": "error",
        "message": "there is no function `slep`",
        "file": "a.rhai",
        "line": 1,
        "column": 1,
        "hint": "did you mean `sleep`?",
    }]);
    assert_eq!(ran.json(), expected);
    let portolan = Portolan::new().file("a.rhai", "").args(["check", "a.rhai", "--json"]);
    portolan.run().stdout("[]\n");
}

#[test]
fn secrets_that_a_jobs_file_names_and_that_are_not_here_are_warned_of() {
    let jobs = "[[job]]\nname = \"a\"\nscript = \"a.rhai\"\ncron = \"@daily\"\n\
        on_failure = { ntfy = { url = \"https://ntfy.sh/x\", token = \"secret:TOKEN_7Q\" } }\n";
    let portolan = Portolan::new()
        .file("portolan.toml", jobs)
        .file("a.rhai", "let password = secret(\"LOGIN_7Q\");\nprint(password);\n")
        .args(["check"]);
    let hint = "hint: `install -D -m 600 /dev/stdin secrets/TOKEN_7Q` reads it from the terminal";
    portolan
        .run()
        .succeeds()
        .stderr_has("warning: there is no secret `TOKEN_7Q` here\n  --> portolan.toml:5:60\n")
        .stderr_has("\"secret:TOKEN_7Q\"")
        .stderr_has(hint)
        .stderr_has("warning: there is no secret `LOGIN_7Q` here\n  --> a.rhai:1:16\n")
        .stderr_has("\n2 warnings in 1 jobs file and 1 script\n");
    let portolan = portolan.env("TOKEN_7Q", "x").env("LOGIN_7Q", "y");
    portolan.run().succeeds().stderr("1 jobs file and 1 script, nothing wrong\n");
}

#[test]
fn a_path_that_is_not_there_is_a_mistake_of_the_command_line() {
    let missing = "error: gone.rhai: cannot read the script: no such file or directory\n";
    Portolan::new().args(["check", "gone.rhai"]).run().fails_with(2).stderr(missing);
}

#[test]
fn a_script_with_an_error_is_not_begun() {
    let script = "print(\"began\");\nlocal::write(\"made.txt\", \"x\");\nlocal::reed(\"a\");\n";
    let expected = "error: there is no function `local::reed`
  --> script.rhai:3:8
  |
3 | local::reed(\"a\");
  |        ^
hint: did you mean `local::read`?

1 error, nothing was run
";
    Portolan::new().script(script).run().fails_with(3).stderr(expected);
    let rehearsal = Portolan::new().file("a.rhai", script).args(["rehearse", "a.rhai"]);
    rehearsal.run().fails_with(3).stderr_has("1 error, nothing was run\n");
}

#[test]
fn an_imported_file_may_call_what_the_script_defines() {
    Portolan::new()
        .file("lib.rhai", "fn twice(x) { double(x) }")
        .script("import \"lib\" as lib;\nfn double(x) { x * 2 }\nprint(lib::twice(2));\n")
        .run()
        .stdout("4\n");
}

#[test]
fn the_scripts_that_we_ship_pass() {
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");
    Portolan::new().args(["check", scripts]).run().stderr_has("nothing wrong\n");
}

#[test]
fn a_script_with_a_warning_is_run_without_a_word_of_it() {
    let script = "let hi = || print(\"ran\");\nlet m = #{ hi: hi };\nm.hi();\n";
    Portolan::new().script(script).run().stdout("ran\n");
}

#[test]
fn a_script_may_call_log_debug_though_debug_is_a_word_of_the_language() {
    let script = "log::debug(`found ${args.len()}`);\nlog::warn(\"careful\");\nprint(\"done\");\n";
    let portolan = Portolan::new().script(script).args(["--", "x"]);
    portolan.run().stdout("done\n").stderr_has("careful");
}
