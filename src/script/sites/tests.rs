use super::*;
use crate::files;

fn book(text: &str) -> Result<SiteBook> {
    let sites = sites_in(Path::new("sites.toml"), text)?;
    Ok(SiteBook { files: vec![("sites.toml".into(), sites)] })
}

fn url(base: &str, path: Option<&str>) -> Url {
    let text = format!("[site.a]\nurl = \"{base}\"\n");
    book(&text).unwrap().find("a").unwrap().url_of(path).unwrap()
}

#[test]
fn a_path_counts_from_the_url_of_the_site() {
    for (base, path, wanted, is_folder) in [
        ("ftp://h", None, None, true),
        ("ftp://h", Some(""), None, true),
        ("ftp://h", Some("in/"), Some("in/"), true),
        ("ftp://h/", Some("in/a.csv"), Some("in/a.csv"), false),
        ("ftp://h/base", None, Some("base"), false),
        ("ftp://h/base", Some("in/"), Some("base/in/"), true),
        ("ftp://h/base/", Some("in"), Some("base/in"), false),
        ("ftp://h//abs", Some("in"), Some("/abs/in"), false),
        ("ftp://h/base", Some("/abs/x"), Some("/abs/x"), false),
        ("ftp://h/base;type=i", Some("x%20y"), Some("base/x y"), false),
        ("h", Some("in"), Some("in"), false),
    ] {
        let found = url(base, path);
        let there = found.path.map(|path| path.to_string());
        assert_eq!((there.as_deref(), found.is_folder), (wanted, is_folder), "{base} {path:?}");
    }
    let pattern = url("ftp://h/base", Some("*.csv")).pattern;
    assert_eq!(pattern.unwrap().to_string(), "base/*.csv");
}

#[test]
fn the_options_of_a_site_are_those_of_connect() {
    let text =
        "[site.a]\nurl = \"ftpes://me@h/in\"\nmode = \"active\"\nparallel = 3\nfallback = false\n";
    let url = book(text).unwrap().find("a").unwrap().url_of(None).unwrap();
    assert_eq!(url.site.mode.as_str(), "active");
    assert_eq!((url.site.parallel, url.site.fallback), (3, false));
    for (line, why) in [
        ("mod = \"active\"", "did you mean `mode`?"),
        ("mode = \"activ\"", "did you mean \"active\"?"),
        ("parallel = 99", "`parallel` wants"),
        ("password = \"\"", "`password` is empty"),
        ("password = \"x\"\npassword_command = \"y\"", "one is enough"),
        ("password_command = 7", "`password_command` wants"),
        ("url2 = 1", "did you mean `url`?"),
    ] {
        let text = format!("[site.a]\nurl = \"ftp://h\"\n{line}\n");
        let error = book(&text).unwrap().find("a").unwrap_err();
        assert!(error.to_string().contains(why), "{line}: {error}");
        assert!(error.to_string().contains("site `a`"), "{error}");
    }
}

#[test]
fn a_secret_is_named_and_asked_for_later() {
    let text = "[site.a]\nurl = \"ftp://me@h\"\npassword = \"secret:NO_SUCH\"\n\
                [site.b]\nurl = \"ftp://me@h\"\npassword = \"hunter2\"\n";
    let book = book(text).unwrap();
    let site = book.find("a").unwrap();
    assert_eq!(site.password_secret().as_deref(), Some("NO_SUCH"));
    assert_eq!(site.public_options(), [("password", "secret:NO_SUCH".to_owned())]);
    let mut url = site.url_of(None).unwrap();
    assert_eq!(url.site.password_from, Some(PasswordSource::Secret("NO_SUCH".into())));
    assert!(ask_password(&mut url.site.clone(), true).is_ok());
    assert!(ask_password(&mut url.site, false).unwrap_err().message.contains("NO_SUCH"));
    let written = book.find("b").unwrap();
    assert_eq!(written.public_options(), [("password", "***".to_owned())]);
    assert_eq!(written.url_of(None).unwrap().site.password.unwrap().reveal(), "hunter2");
}

#[test]
fn an_unknown_site_has_the_nearest_name() {
    let book = book("[site.acme]\nurl = \"ftp://h\"\n[site.\"b.c\"]\nurl = \"ftp://h\"\n").unwrap();
    let told = |name: &str| book.find(name).unwrap_err().message;
    assert!(told("acne").contains("did you mean `@acme`?"), "{}", told("acne"));
    assert!(told("xyz").contains("there are acme, b.c"), "{}", told("xyz"));
    assert!(told("").contains("no saved site ``"));
}

#[test]
fn a_file_of_another_kind_is_an_error_with_its_line() {
    for (text, why) in [
        ("[site.a]\nurl = \n", "line 2 is not TOML"),
        ("site = 1", "`site` wants tables"),
        ("[sites.a]\nurl = \"ftp://h\"", "no key `sites`"),
    ] {
        let error = book(text).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    for (text, why) in [
        ("site.a = 1", "a table is wanted"),
        ("[site.a]\nmode = \"active\"", "no `url`"),
        ("[site.a]\nurl = \"@b\"", "not another site"),
        ("[site.a]\nurl = \"ftp://h/*.csv\"", "no pattern"),
        ("[site.a]\nurl = \"ftp://h:x\"", "no URL of a server"),
    ] {
        let error = book(text).unwrap().find("a").unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(book("").unwrap().names().is_empty());
}

fn made(folder: &Path, url: &str, options: &[(&str, Dynamic)]) -> Result<edit::ChangedFiles> {
    let options = options.iter().map(|(key, value)| ((*key).into(), value.clone())).collect();
    let site =
        edit::NewSite { name: "acme".into(), url: url.into(), options, ..edit::NewSite::default() };
    edit::add(&folder.join(SITES_FILE), site, false)
}

#[test]
fn a_password_is_kept_apart_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let options = [("mode", "active".into()), ("account", "hunter3".into())];
    let changed = made(folder.path(), "ftpes://me:hunter2@h/in", &options).unwrap();
    let text = std::fs::read_to_string(&changed.file).unwrap();
    let wanted = "[site.acme]\nurl = \"ftpes://me@h/in\"\npassword = \"secret:ACME\"\naccount = \
                  \"secret:ACME_ACCOUNT\"\nmode = \"active\"\n";
    assert_eq!(text, wanted);
    let secrets = folder.path().join("secrets");
    let kept = files::read_private(&secrets.join("ACME"), 100).unwrap();
    assert_eq!(kept.as_deref(), Some("hunter2\n"));
    let error = made(folder.path(), "ftp://h", &[]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Guard);
}

#[test]
fn a_site_that_cannot_be_read_back_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    for (url, option) in [("ftp://h:x", None), ("ftp://me:x@h", Some(("mode", "activ".into())))] {
        let options: Vec<_> = option.into_iter().collect();
        assert!(made(folder.path(), url, &options).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_link_to_the_file_stays_also_before_the_file_exists() {
    for is_there in [true, false] {
        let scratch = tempfile::tempdir().unwrap();
        let (link, file) = (scratch.path().join("sites.toml"), scratch.path().join("kept/of-mine"));
        if is_there {
            std::fs::create_dir(scratch.path().join("kept")).unwrap();
            std::fs::write(&file, "# mine\n").unwrap();
        }
        std::os::unix::fs::symlink("kept/of-mine", &link).unwrap();
        let site = edit::NewSite { name: "a".into(), url: "ftp://h/".into(), ..Default::default() };
        edit::add(&link, site, false).unwrap();
        assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("kept/of-mine"), "{is_there}");
        assert!(std::fs::read_to_string(&file).unwrap().contains("ftp://h/"), "{is_there}");
    }
}

#[test]
fn a_link_in_a_circle_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let link = scratch.path().join("sites.toml");
    std::os::unix::fs::symlink("sites.toml", &link).unwrap();
    let site = edit::NewSite { name: "a".into(), url: "ftp://h/".into(), ..Default::default() };
    edit::add(&link, site, false).unwrap_err();
    assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("sites.toml"));
}
