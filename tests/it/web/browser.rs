//! The page in a real browser, headless Chromium, if it is installed (`apt-get install chromium`).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::client::Site;
use crate::{serve::scheduler::on_request, support::server::say_skipped};

/// Returns the browser.
fn chromium() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let all =
        std::env::split_paths(&folders).flat_map(|folder| names.map(|name| folder.join(name)));
    all.into_iter().find(|path| path.is_file())
}

/// Opens a page in a window of `size`. Returns the document as it is after its scripts have run; the picture of it is
/// kept as `shot`.
fn open(browser: &Path, url: &str, size: &str, is_dark: bool, shot: &Path) -> String {
    let profile = tempfile::tempdir().unwrap();
    let run = |more: &[String]| {
        let dark = if is_dark { "--blink-settings=preferredColorScheme=0" } else { "--lang=en" };
        let ran = Command::new(browser)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .args(["--timeout=10000", dark])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--window-size={size}"))
            .args(more)
            .arg(url)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    run(&[format!("--screenshot={}", shot.display())]);
    let picture = fs::read(shot).unwrap_or_default();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 5_000, "{}", shot.display());
    run(&["--dump-dom".to_owned()])
}

#[test]
fn pages_are_shown_by_chromium_without_running_what_others_wrote() {
    let Some(browser) = chromium() else {
        return say_skipped("web::browser", "chromium is not installed (apt-get install chromium)");
    };
    let jobs =
        on_request("good", "description = \"Fetches the catalogue\"") + &*on_request("bad", "");
    let site = Site::start_with("anonymous_read = true", &jobs, |files| {
        files.file("good.rhai", "print(\"a good word\");");
        let markup = "<img src=x onerror=\\\"document.title='owned'\\\"><script>document.title='owned'</script>";
        files.file("bad.rhai", &format!("print(\"{markup}\"); throw \"{markup}\";"));
    });
    for job in ["good", "bad", "good", "bad", "good"] {
        drop(
            site.scheduler
                .command(&["trigger", job, "--wait"])
                .any_code()
                .any_stdout()
                .any_stderr(),
        );
    }
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    fs::create_dir_all(&shots).unwrap();
    for (name, path, size, is_dark) in [
        ("jobs", "/", "1280,800", false),
        ("jobs-dark", "/", "1280,800", true),
        ("jobs-phone", "/", "390,844", false),
        ("run", "/runs/2", "1280,1000", false),
        ("runs", "/runs", "1280,800", false),
        ("job", "/jobs/good", "1280,900", false),
        ("calendar", "/calendar", "1280,800", false),
        ("servers", "/servers", "1280,800", false),
        ("login", "/login", "1280,800", false),
    ] {
        let url = format!("http://{}{path}", site.address);
        let document = open(&browser, &url, size, is_dark, &shots.join(format!("{name}.png")));
        assert!(document.contains("</main>"), "{name}: {document}");
        assert!(!document.contains("<title>owned"), "{name}: a script of a message has run");
    }
    drop(site.stop());
}
