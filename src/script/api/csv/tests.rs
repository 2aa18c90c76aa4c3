use super::*;

fn rows(text: &str, options: &CsvOptions) -> String {
    let rows = all_rows(text.as_bytes(), options);
    rows.map_or_else(|error| error.message, |rows| show::json(&rows.into()))
}

#[test]
fn quotes_separators_and_marks_are_read_as_spreadsheets_write_them() {
    let semicolon = CsvOptions { separator: b';', ..CsvOptions::default() };
    for (text, wanted) in [
        ("a;b\n1;\"x;\"\"y\"\"\nz\"\n", r#"[{"a":"1","b":"x;\"y\"\nz"}]"#),
        ("\u{feff}a;b\r\n1;2\r\n", r#"[{"a":"1","b":"2"}]"#),
        ("", "[]"),
        ("a;b\n", "[]"),
        ("a;b\n1\n", "line 2 has 1 fields, and the header has 2: is `separator` right?"),
        ("a;a\n1;2\n", "two columns are called `a`: read it with `header: false`"),
    ] {
        assert_eq!(rows(text, &semicolon), wanted, "{text:?}");
    }
    let plain = CsvOptions {
        has_header: false,
        comment: Some(b'#'),
        is_trimmed: true,
        ..CsvOptions::default()
    };
    assert_eq!(rows("# x\n1, 2\n3\n", &plain), r#"[["1","2"],["3"]]"#);
    let broken = all_rows(&b"a\n\xff\n"[..], &semicolon).unwrap_err();
    assert_eq!(broken.message, "it cannot be read as CSV: line 2 is not UTF-8 text");
}

#[test]
fn what_is_written_is_read_again() {
    let text = "id,name\n7,\"Müller, \"\"Ltd\"\"\"\n,x\n";
    let table = all_rows(text.as_bytes(), &CsvOptions::default()).unwrap();
    assert_eq!(text_of(&table, &CsvOptions::default()).unwrap(), text);
    let options = CsvOptions {
        columns: vec!["name".into(), "id".into()],
        separator: b';',
        ..CsvOptions::default()
    };
    let said = text_of(&table, &options).unwrap();
    assert_eq!(said, "name;id\n\"Müller, \"\"Ltd\"\"\";7\nx;\n");
    let few = CsvOptions { columns: vec!["id".into()], ..CsvOptions::default() };
    let error = text_of(&table, &few).unwrap_err();
    assert_eq!(error.message, "a row has the key `name`, which is no column: id");
    let arrays: Array = vec![Dynamic::from_array(vec![1.into(), Dynamic::UNIT, "a b".into()])];
    assert_eq!(text_of(&arrays, &CsvOptions::default()).unwrap(), "1,,a b\n");
    assert!(text_of(&vec![5.into()], &CsvOptions::default()).is_err());
}
