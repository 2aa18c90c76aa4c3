use super::*;

/// Returns `line:column message (hint)` of every finding.
fn told(text: &str) -> Vec<String> {
    let source = ScriptSource::from_text(text, "test.rhai", ".");
    let all = check(&source).into_iter();
    all.map(|found| {
        let ScriptLocation { line, column, .. } = found.place;
        let hint = found.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        let level = if found.level == Severity::Warning { "warning: " } else { "" };
        format!("{line}:{column} {level}{}{hint}", found.message)
    })
    .collect()
}

#[track_caller]
fn says(text: &str, expected: &[&str]) {
    assert_eq!(told(text), expected, "\n{text}");
}

#[test]
fn every_way_of_calling_is_looked_at() {
    for (text, at) in [
        ("sit2(1);", "1:1"),
        ("let f = || 1 + bar(3);", "1:16"),
        ("print(`a ${zork(2)} b`);", "1:12"),
        ("switch 3 { 1 => zapp(1), _ => 2 }", "1:17"),
        ("switch 3 { 1..4 => zapp(1), _ => 2 }", "1:20"),
        ("switch 3 { 1 if gone() => 1, _ => 2 }", "1:17"),
        ("fn never() { gone(1); }", "1:14"),
        ("if false { dead(1); }", "1:12"),
        ("let x = loop { break brk(2); };", "1:22"),
        ("[1, 2].map(|v| v.wrong());", "1:18"),
        ("let a = [zup()]; let m = #{ a: zup() };", "1:10"),
        ("try { gone() } catch { }", "1:7"),
        ("ftp ::\n  kaboom(1);", "2:3"),
        ("let a = 1; a?.hmm(1);", "1:15"),
        ("let a = [1]; a[0].hmm(1);", "1:19"),
        ("return gone();", "1:8"),
        ("while gone() { }", "1:7"),
        ("let q = Fn(\"gone\");", "1:12"),
    ] {
        let found = told(text);
        let is_it = found.first().is_some_and(|one| one.starts_with(&format!("{at} there is no ")));
        assert!(is_it, "{text}: {found:?}");
    }
}

#[test]
fn a_misspelt_name_is_told_the_nearest() {
    says(
        "let site = ftp::conect(\"ftp://x\");",
        &["1:17 there is no function `ftp::conect` (did you mean `ftp::connect`?)"],
    );
    says(
        "let site = ftp::connect(\"ftp://x\"); site.gett(\"a\", \"b\"); site.rute.len();",
        &[
            "1:42 a session has no function `gett` (did you mean `get`?)",
            "1:63 a session has no property `rute` (did you mean `route`?)",
        ],
    );
    says(
        "fn f(site) { site.mkdirr(\"a\"); }",
        &["1:19 there is no function `mkdirr` (did you mean `mkdir`?)"],
    );
    says("connect(\"x\");", &["1:1 there is no function `connect` (did you mean `ftp::connect`?)"]);
    says("ftpp::connect(\"ftp://x\");", &["1:1 there is no module `ftpp` (did you mean `ftp`?)"]);
    says("print(job::NAM);", &["1:12 there is no `job::NAM` (did you mean `job::NAME`?)"]);
    says(
        "let report = 1; print(reprt);",
        &["1:23 there is no variable `reprt` (did you mean `report`?)"],
    );
    says(
        "let f = |x| x; f(1);",
        &["1:16 there is no function `f` (`f` is a variable: `f.call(…)` calls the closure in it)"],
    );
}

#[test]
fn a_wrong_number_of_arguments_lists_the_signatures() {
    let get = "`site.get(remote: string, local: string) -> Report` or \
               `site.get(remote: string, local: string, options: map) -> Report`";
    says(
        "let site = ftp::connect(\"ftp://x\"); site.get(\"a\");",
        &[&format!("1:42 `get` takes 2 or 3 arguments, 1 given ({get})")],
    );
    says(
        "fn twice(x) { x * 2 } twice(1, 2);",
        &["1:23 `twice` takes 1 argument, 2 given (`twice(x)`)"],
    );
    says(
        "now(1, 2);",
        &[
            "1:1 `now` takes 0 or 1 arguments, 2 given (`now() -> Time` or `now(zone: string) -> Time`)",
        ],
    );
}

#[test]
fn options_are_looked_at_by_key_and_by_value() {
    let connect = |options: &str| told(&format!("ftp::connect(\"ftp://x\", #{{ {options} }});"));
    assert_eq!(
        connect("pasword: args[0]"),
        ["1:28 `ftp::connect` has no option `pasword` (did you mean `password`?)"]
    );
    assert_eq!(
        connect("mode: \"pasive\""),
        [
            "1:34 `mode` wants one of \"auto\", \"active\", \"passive\", \"race\", got \"pasive\"; did you mean \"passive\"?"
        ]
    );
    assert_eq!(connect("connect_timeout: \"5x\"").len(), 1);
    assert_eq!(connect("port_range: \"90-80\"").len(), 1);
    assert_eq!(connect("password: \"x\"").len(), 1);
    assert!(connect("password: \"x\"").iter().all(|one| one.contains("warning: ")));
    let proxy = connect("proxy: \"http://me:hunter2@gate\"");
    assert!(proxy.len() == 1 && proxy[0].contains("warning: a password stands"), "{proxy:?}");
    assert!(connect("proxy: \"http://me@gate\"").is_empty());
    let wrong = connect("proxy: \"https://me:hunter2@gate\"");
    assert!(wrong.len() == 1 && !wrong[0].contains("hunter2"), "{wrong:?}");
    assert!(connect("mode: args[0], password: secret(\"A\"), port_range: ()").is_empty());
    let held = "let all = #{ mod: \"active\" }; ftp::connect(\"ftp://x\", all);";
    says(held, &["1:14 `ftp::connect` has no option `mod` (did you mean `mode`?)"]);
    assert_eq!(told("retry(#{ attempt: 3 }, || 1);").len(), 1);
    assert_eq!(told("sleep(\"5x\");").len(), 1);
    assert_eq!(told("ftp::connect(\"http://x\");").len(), 1);
    let caught = "try { ftp::connect(\"http://x\"); } catch (err) { print(err.kind); }";
    assert!(told(caught).iter().all(|one| one.contains("warning: ")), "a script may try it");
}

#[test]
fn correct_scripts_give_no_alarm() {
    for text in [
        "let m = #{ hello: |x| x + 1 }; print(m.hello.call(1));",
        "let f = Fn(\"print\"); f.call(1); call(f, 1); let g = f.curry(1); Fn(\"+\");",
        "fn add(x) { this += x; } let a = 1; a.add(2); add.call(1);",
        "let a = [3, 1]; a.sort(); a.sort(|x, y| x - y); print(a.len); print(a.len());",
        "let text = \"a\"; text.trim(); print(text.to_upper() + text.sub_string(0, 1));",
        "let site = ftp::connect(\"ftp://x\"); let work = || site.get(\"a\", \"b\"); work.call();",
        "let site = ftp::connect(\"ftp://x\"); site = 3; site.max(4);",
        "let site = ftp::connect(\"ftp://x\"); ftp::get(site, \"a\", \"b\"); get(site, \"a\", \"b\");",
        "let s = ftp::connect(\"ftp://x\"); s.get(\"a\", \"b\").to_string().len(); type_of(s); s.type_of();",
        "let s = ftp::connect(\"ftp://x\"); let all = [s]; all[s.get(\"a\", \"b\").bytes].close();",
        "fn f(site) { site.anything } let site = ftp::connect(\"ftp://x\"); f(site);",
        "if is_def_fn(\"x\", 1) && is_def_var(\"y\") { print(is_shared(args)); }",
        "for x in range(0, 3) { print(x); } for (e, i) in args { print(i); } let p = PI();",
        "let r = timestamp(); print(r.elapsed); print(parse_json(\"{}\").a ?? 1);",
        "try { throw 1 } catch (err) { print(fault(err).message); print(err.kind); }",
        "const X = 1; fn f() { global::X } print(f());",
        "let x = -1; let y = !true; let z = 1 in [1]; let w = 1 ?? 2; x += 1;",
        "let m = #{ f: |x| x + 1 }; m.f(2); let k = 1; m.g = || k + 1; m.g();",
        "print(job::NAME); print(args.len()); exit(); ",
    ] {
        says(text, &[]);
    }
    says(
        "let m = #{ hi: args[0] }; m.hi(1);",
        &["1:29 warning: there is no function `hi` that is called behind a dot \
           (it works if the map's `hi` is a closure)"],
    );
}

#[test]
fn no_text_whatever_breaks_the_check() {
    let whole = "import \"x\" as x; let s = ftp::connect(`ftp://${x::h()}`, #{ mode: \"a\" }); \
                 fn f(a) { this.b[a].c(|z| z + 1) } try { s.get(1)?.d } catch (e) { s.e.f() } \
                 switch s { 1 => f(), 2..3 if g() => #{ h: || 1 }, _ => loop { break s.a[0].b() } } job::X; s.a().b.c()[1].d";
    for end in (0..whole.len()).step_by(3) {
        let found = told(&whole[..end]);
        assert!(!found.iter().any(|one| one.contains("a bug")), "{}: {found:?}", &whole[..end]);
    }
    let deep = "(".repeat(100_000);
    assert_eq!(told(&deep).len(), 1);
}

#[test]
fn imports_are_followed_and_circles_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    let main = file(
        "main.rhai",
        "import \"lib/a\" as a;\na::twice(1);\na::twise(1);\nimport \"gone\" as g; g::f();",
    );
    file(
        "lib/a.rhai",
        "import \"lib/b\" as b;\nfn twice(x) { b::one(x, 2) }\nprivate fn hidden() { }",
    );
    file("lib/b.rhai", "import \"lib/a\" as a;\nfn one(x) { x.gett() }");
    let shown = |paths: &[&std::path::Path]| {
        let sources: Vec<_> = paths.iter().map(|path| ScriptSource::read(path).unwrap()).collect();
        let all = check_all(&sources).into_iter().map(|found| {
            let file = found.place.file.replace(&*folder.path().to_string_lossy(), "");
            format!("{file}:{}:{} {}", found.place.line, found.place.column, found.message)
        });
        all.collect::<Vec<_>>()
    };
    let found = shown(&[&main]);
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(found.iter().any(|one| one.starts_with("/lib/a.rhai:2:18 `b::one` takes 1 argument")));
    assert!(
        found.iter().any(|one| one.starts_with("/lib/b.rhai:1:8 the import of \"lib/a\" goes"))
    );
    assert!(
        found.iter().any(|one| one.starts_with("/lib/b.rhai:2:15 there is no function `gett`"))
    );
    assert!(
        found.iter().any(|one| one.starts_with("/main.rhai:3:4 there is no function `a::twise`"))
    );
    assert!(
        found.iter().any(|one| one.starts_with("/main.rhai:4:8 ") && one.contains("gone.rhai"))
    );
    let both = shown(&[&folder.path().join("lib/a.rhai"), &main]);
    assert_eq!(both, found, "a file that is imported is looked at as an import");
}

#[test]
fn the_result_of_a_function_that_changes_its_value_is_no_value() {
    let copy = |name: &str, copy: &str, value: &str| {
        format!(
            "warning: `{name}` changes {value} itself and returns `()` (`{copy}` returns a changed copy; or call `{name}` \
             first, and then use {value})"
        )
    };
    for (text, at, name, other, value) in [
        ("let a = \" x\"; let b = a.trim();", "1:25", "trim", "trimmed", "`a`"),
        ("let a = \"x\"; a = a.replace(\"x\", \"y\");", "1:20", "replace", "replaced", "`a`"),
        ("let a = [2]; print(a.sort());", "1:22", "sort", "order", "`a`"),
        ("print(\"1,5\".replace(\",\", \".\"));", "1:13", "replace", "replaced", "the value"),
        ("let a = \"x\"; if a.trim().len() > 2 { }", "1:19", "trim", "trimmed", "`a`"),
        ("let a = \"x\"; print(`${a.trim()}`);", "1:25", "trim", "trimmed", "`a`"),
    ] {
        says(text, &[&format!("{at} {}", copy(name, other, value))]);
    }
    says(
        "let a = [1]; let n = a.clear();",
        &[
            "1:24 warning: `clear` returns `()`, and that is used here (call `clear` in a statement of its own)",
        ],
    );
    for fine in [
        "let a = \" x\"; a.trim(); print(a);",
        "let a = [2]; if true { a.sort() } print(a);",
        "let m = #{ sort: || 5 }; print(m.sort());",
        "fn trim(x) { 5 } let a = 1; print(a.trim());",
        "let a = [[1]]; for b in a { b.push(2); }",
        "let site = ftp::connect(\"ftp://x\"); retry(2, || site.mkdir(\"a\"));",
        "let a = [1]; print(a.pop()); print(a.remove(0));",
    ] {
        says(fine, &[]);
    }
}
