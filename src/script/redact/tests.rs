use proptest::prelude::*;

use super::*;

/// Returns all lines of `text` as they are shown.
fn shown(file: &str, text: &str) -> String {
    let veil = Veil::of(file, text);
    let lines = (1..=text.lines().count()).filter_map(|number| veil.line(text, number, 1));
    lines.map(|(line, _)| line).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_may_be_a_password_is_not_shown() {
    for (text, expected) in [
        // URLs, raw and encoded, in templates, comments and without quotes.
        ("ftp::connect(\"ftp://me:hunter2@h/x\")", "ftp::connect(\"ftp://me:***@h/x\")"),
        ("let u = `ftpes://me:h%40nter@h:21/`;", "let u = `ftpes://me:***@h:21/`;"),
        ("f(\"ftp://me:a@b:c/d e@h\")", "f(\"ftp://me:***@h\")"),
        ("f(`ftp://${user}:hunter2@${host}/`)", "f(`ftp://${user}:***@${host}/`)"),
        ("f(\"ftp://me:\" + \"hunter2\" + \"@h\")", "f(\"ftp://me:\" + \"***\" + \"***\")"),
        ("f(\"ftp://me:12\" + \"34@h\")", "f(\"ftp://me:12\" + \"***\")"),
        ("f(\"me:hunter2@h\")", "f(\"me:***@h\")"),
        ("// see ftp://me:hunter2@h", "// see ftp://me:***@h"),
        ("open ftp://me:hunter2@h", "open ftp://me:***@h"),
        ("f(\"ftp://h:2121/x\", \"ftp://me@h\")", "f(\"ftp://h:2121/x\", \"ftp://me@h\")"),
        // Options, keys and variables, with and without what is missing.
        ("f(#{ user: \"me\", password: \"hunter2\" })", "f(#{ user: \"me\", password: \"***\" })"),
        ("f(#{ password: 12345, mode: \"passive\" })", "f(#{ password: ***, mode: \"passive\" })"),
        ("f(#{ \"pass-word\": 'hunter2' })", "f(#{ \"pass-word\": '***' })"),
        ("f(#{ password: `hun${1}ter2` })", "f(#{ password: `***` })"),
        ("f(#{ password: #\"hun\"ter2\"# })", "f(#{ password: #\"***\"# })"),
        ("f(#{ password: \"hunter2 });", "f(#{ password: \"***"),
        ("f(#{ password: \"hun\"ter2\" });", "f(#{ password: \"***\"***\"***"),
        ("f(#{ password: hunter2 });", "f(#{ password: *** });"),
        ("f(#{ password \"hunter2\" });", "f(#{ password ***;"),
        ("let api_key = \"k-1\" + \"k-2\";", "let api_key = \"***\" + \"***\";"),
        ("f(#{ pasword: \"hunter2\" })", "f(#{ pasword: \"***\" })"),
        ("const TOKEN = \"abc\"", "const TOKEN = \"***\""),
        ("opts[\"password\"] = \"hunter2\";", "opts[\"password\"] = \"***\";"),
        ("opts.password = \"hunter2\";", "opts.password = \"***\";"),
        ("opts.set(\"password\", \"hunter2\");", "opts.set(\"password\", \"***\");"),
        ("if password == \"hunter2\" { f(\"x\") }", "if password == \"***\" { f(\"x\") }"),
        ("set_password(\"me\", \"hunter2\")", "set_password(\"***\", \"***\")"),
        ("fn password() { \"hunter2\" }", "fn password() { \"***\" }"),
        // Values that are used as secrets.
        ("let p = \"hunter2\"; f(#{ password: p });", "let p = \"***\"; f(#{ password: p });"),
        (
            "let a = \"hun\"; let b = a + \"ter\"; f(#{ password: b });",
            "let a = \"***\"; let b = a + \"***\"; f(#{ password: b });",
        ),
        (
            "fn go(h, p) { f(h, #{ password: p }) } go(\"h\", \"hunter2\");",
            "fn go(h, p) { f(h, #{ password: p }) } go(\"h\", \"***\");",
        ),
        (
            "for p in [\"one1\", \"two2\"] { f(#{ password: p }); }",
            "for p in [\"***\", \"***\"] { f(#{ password: p }); }",
        ),
        (
            "let g = |p| f(#{ password: p }); g.call(\"x1\");",
            "let g = |p| f(#{ password: p }); g.call(\"***\");",
        ),
        // Commands and sentences.
        ("site.quote(\"PASS hunter2\")", "site.quote(\"PASS***\")"),
        ("site.quote(\"SITE CHPASS me hunter2\")", "site.quote(\"SITE CHPASS***\")"),
        ("quote PASS hunter2", "quote PASS ***"),
        ("// password: hunter2", "// password:***"),
        ("print(\"token=abc\")", "print(\"token=***\")"),
        // Names are not secrets.
        (
            "f(#{ password: secret(\"WWW\"), mode: \"active\" })",
            "f(#{ password: secret(\"WWW\"), mode: \"active\" })",
        ),
        ("let password = env(\"SITE_PASSWORD\");", "let password = env(\"SITE_PASSWORD\");"),
        (
            "f(#{ password: args[1], ca_file: \"ca.pem\" })",
            "f(#{ password: args[1], ca_file: \"ca.pem\" })",
        ),
        ("throw \"the password is wrong\";", "throw \"the password is wrong\";"),
        ("site.get(\"a.txt\", \"b.txt\");", "site.get(\"a.txt\", \"b.txt\");"),
        (
            "let password = passwrd; let pasword = secret(\"A\");",
            "let password = passwrd; let pasword = secret(\"A\");",
        ),
    ] {
        assert_eq!(shown("a.rhai", text), expected, "{text}");
    }
}

#[test]
fn what_may_be_a_password_of_a_jobs_file_is_not_shown() {
    for (text, expected) in [
        ("password = \"hunter2\"\nmode = \"active\"", "password = \"***\"\nmode = \"active\""),
        (
            "connect = { password = 'hunter2', mode = \"x\" }",
            "connect = { password = '***', mode = \"x\" }",
        ),
        ("password = hunter2\nname = \"a\"", "password = ***\nname = \"a\""),
        ("connect.password = \"\"\"hun\nter2\"\"\"", "connect.password = \"\"\"***\n***\"\"\""),
        ("ping = \"https://hc-ping.com/uuid\"", "ping = \"***\""),
        ("on_failure = { webhook = \"https://h/key\" }", "on_failure = { webhook = \"***\" }"),
        ("# password = hunter2", "# password =***"),
        ("args = [\"ftp://me:hunter2@h\"]", "args = [\"ftp://me:***@h\"]"),
        ("token = [\n  \"one\",\n]", "token = [\n  \"***\",\n]"),
    ] {
        assert_eq!(shown("portolan.toml", text), expected, "{text}");
    }
}

#[test]
fn the_caret_stays_below_its_place_and_messages_lose_the_secrets() {
    let text = "f(\"ftp://me:hunter2%21@h\", x)";
    let veil = Veil::of("a", text);
    let column = text.find('x').unwrap() + 1;
    let (line, at) = veil.line(text, 1, column).unwrap();
    assert_eq!(line.chars().nth(at - 1), Some('x'), "{line}");
    let (line, at) = veil.line(text, 1, 15).unwrap();
    assert_eq!(line.chars().nth(at - 1), Some('*'), "{line}");
    assert_eq!(veil.words("no hunter2! and hunter2%21"), "no *** and ***");
    assert!(veil.line(text, 2, 1).is_none());
}

#[test]
fn the_names_of_secrets_stay_in_messages() {
    for (file, text) in [
        ("a.rhai", "// --allow-secret=FTP_PASSWORD\no.password = secret(\"FTP_PASSWORD\");"),
        ("portolan.toml", "[job.permissions]\nallow_secret = [\"FTP_PASSWORD\"]\n"),
    ] {
        let message = "the secret `FTP_PASSWORD` is empty";
        assert_eq!(Veil::of(file, text).words(message), message, "{text}");
    }
}

proptest! {
    #[test]
    fn a_password_is_in_no_line_wherever_it_stands(
        password in "[a-z]{3}[A-Z0-9]{5}",
        place in 0..10_usize,
        before in "[a-z =(,;{}\"'`#/\n]{0,20}",
        after in "[a-z =(,;{}\"'`#/\n]{0,20}",
    ) {
        let broken = [
            format!("ftp::connect(\"ftp://u:{password}@h\")"),
            format!("x(#{{ password: \"{password}\" }})"),
            format!("x(#{{ account: \"{password}\", user: 1 "),
            format!("let secret_word = \"{password}"),
            format!("`ftp://${{u}}:{password}@h`"),
        ];
        let whole = broken.iter().map(|text| format!("\n{text}\n;"));
        let all: Vec<String> = whole.chain(broken.iter().map(|text| format!("{text} "))).collect();
        let text = &all[place];
        // Code after an open quote is a literal; a literal of one line ends with the line.
        let before = before.replace(['`', '#', '/', '{'], " ") + "\n";
        let text = format!("{before}{text}{after}");
        let shown = shown("a.rhai", &text);
        prop_assert!(!shown.contains(&password), "{text}\n=>\n{shown}");
    }

    #[test]
    fn any_text_is_shown_without_harm(text in ".{0,80}", line in 0..4_usize, column in 0..90_usize) {
        let veil = Veil::of("a.rhai", &text);
        if let Some((shown, _)) = veil.line(&text, line, column) {
            prop_assert!(shown.len() <= text.len() * 3 + 3);
        }
    }
}
