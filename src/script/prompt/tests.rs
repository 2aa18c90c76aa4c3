use super::*;

#[test]
fn a_line_is_a_command_if_it_is_written_like_one() {
    for (line, wanted) in [
        ("lst pub", Some("lst")),
        ("gte a.csv b", Some("gte")),
        ("gett --resume a", Some("gett")),
        ("delet 'a b'", Some("delet")),
        ("foo", Some("foo")),
        ("foo()", None),
        ("foo (1)", None),
        ("x = 1", None),
        ("a + b", None),
        ("a - b", None),
        ("a / b", None),
        ("let x = 1", None),
        ("site.lsit(\"a\")", None),
        ("if foo { }", None),
        ("1 + 1", None),
        ("foo bar;", None),
    ] {
        assert_eq!(unknown_command(line), wanted, "{line}");
    }
}

#[test]
fn a_line_that_goes_on_is_told_from_one_that_is_wrong() {
    let engine = engine::bare();
    for (text, wanted) in [
        ("for x in [1, 2] {", true),
        ("let a = #{", true),
        ("print(1,", true),
        ("if true { print(1)", true),
        ("let x = `one", true),
        ("let x =", true),
        ("fn f(a) {\n  a + 1", true),
        ("let x = 1", false),
        ("let x = \"one", false),
        ("let x = )", false),
        ("fn f(a) {\n  a + 1\n}", false),
    ] {
        assert_eq!(is_unfinished(&engine, &Scope::new(), text), wanted, "{text}");
    }
}
