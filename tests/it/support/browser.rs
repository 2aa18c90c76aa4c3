//! A real browser: headless Chromium, driven by `WebDriver` (<https://www.w3.org/TR/webdriver2/>), with axe for
//! accessibility. `tests/servers/install` fetches them.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{server::skip, wait};

/// The maximum time for an answer of the driver, which may start a browser on a busy machine.
const TIME_MAX: Duration = Duration::from_mins(1);

/// The arguments of Chromium: no sandbox, since tests run as root, and nothing that asks hosts of its maker.
const ARGUMENTS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

/// The key of an element in documents of `WebDriver`.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The tab key, as `WebDriver` sends it.
pub(crate) const TAB: &str = "\u{e004}";
/// The return key.
pub(crate) const ENTER: &str = "\u{e006}";

/// A window of a size in a colour scheme.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) name: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) is_phone: bool,
    pub(crate) is_dark: bool,
}

impl View {
    const DESK: Self =
        Self { name: "light", width: 1280, height: 800, is_phone: false, is_dark: false };
    const PHONE: Self =
        Self { name: "phone-light", width: 390, height: 844, is_phone: true, is_dark: false };

    /// Both schemes, on a desk and on a phone.
    pub(crate) const ALL: [Self; 4] = [
        Self::DESK,
        Self { name: "dark", is_dark: true, ..Self::DESK },
        Self::PHONE,
        Self { name: "phone-dark", is_dark: true, ..Self::PHONE },
    ];
}

/// A browser with one window. It ends with its value.
pub(crate) struct Browser {
    driver: Child,
    /// The profile and all temporary files.
    folder: TempDir,
    address: String,
    session: String,
    axe: String,
}

/// Returns the text of a field.
#[track_caller]
fn text_of(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap().to_owned()
}

/// Returns the path of a program.
fn program(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

impl Browser {
    /// Starts a browser; `None` if it cannot run here, which has then been reported.
    pub(crate) fn start() -> Option<Self> {
        let packages = env::var_os("PORTOLAN_TEST_SERVERS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers"),
            PathBuf::from,
        );
        let (Some(chromium), Some(driver)) = (program("chromium"), program("chromedriver")) else {
            skip("no chromium and chromedriver here: run tests/servers/install");
            return None;
        };
        let Ok(axe) = fs::read_to_string(packages.join("axe/axe.min.js")) else {
            skip("no axe here: run tests/servers/install");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let said = BufReader::new(driver.stdout.take().unwrap());
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let after = line.split("started successfully on port ").nth(1)?;
            after.trim_end_matches('.').parse::<u16>().ok()
        });
        let address = format!("127.0.0.1:{}", port.unwrap());
        let (session, axe) = (String::new(), axe);
        let mut browser = Self { driver, folder, address, session, axe };
        let profile =
            format!("--user-data-dir={}", browser.folder.path().join("profile").display());
        let arguments: Vec<_> = ARGUMENTS.iter().copied().chain([profile.as_str()]).collect();
        let opened = browser.ask(
            "POST",
            "/session",
            &json!({ "capabilities": { "alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": { "binary": chromium, "args": arguments },
                "goog:loggingPrefs": { "browser": "ALL" },
            } } }),
        );
        browser.session = text_of(&opened, "sessionId");
        Some(browser)
    }

    /// Sends a request to the driver. Returns its value.
    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(TIME_MAX)).unwrap();
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(':') else {
                if line.trim().is_empty() {
                    break;
                }
                continue;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut bytes = vec![0; length];
        reader.read_exact(&mut bytes).unwrap();
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        let value = document.get("value").cloned().unwrap();
        assert!(value.get("error").is_none_or(Value::is_null), "{method} {path}: {value:#}");
        value
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}{path}", self.session), body)
    }

    /// Opens a page, and waits until it is loaded.
    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// Runs a script, such as `return document.title`.
    #[track_caller]
    pub(crate) fn script(&self, text: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": text, "args": [] }))
    }

    /// Waits until a script returns true.
    #[track_caller]
    pub(crate) fn until(&self, text: &str) {
        let found = wait::until(TIME_MAX, || self.script(text).as_bool().filter(|is| *is));
        assert!(found.is_some(), "{text}: {}", self.text());
    }

    /// Returns the text that a person sees.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn element(&self, css: &str) -> String {
        let found = self.post("/element", &json!({ "using": "css selector", "value": css }));
        text_of(&found, ELEMENT)
    }

    #[track_caller]
    pub(crate) fn click(&self, css: &str) {
        let element = self.element(css);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    #[track_caller]
    pub(crate) fn write(&self, css: &str, text: &str) {
        let element = self.element(css);
        self.post(&format!("/element/{element}/value"), &json!({ "text": text }));
    }

    /// Presses keys where the focus is.
    #[track_caller]
    pub(crate) fn press(&self, keys: &str) {
        let each = |key: char| {
            ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
        };
        let actions: Vec<_> = keys.chars().flat_map(each).collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("/actions", &json!({ "actions": [keyboard] }));
    }

    /// Answers the question that the page asks with yes.
    #[track_caller]
    pub(crate) fn accept(&self) {
        self.post("/alert/accept", &json!({}));
    }

    /// Sends a command of the protocol of Chromium's developer tools.
    #[track_caller]
    fn tool(&self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// Sets the size of the window and the colour scheme of the system.
    #[track_caller]
    pub(crate) fn show_as(&self, view: View) {
        let scheme = if view.is_dark { "dark" } else { "light" };
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            // Colours in the middle of an animation are nobody's choice.
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.tool("Emulation.setEmulatedMedia", &json!({ "features": features }));
        let View { width, height, is_phone, .. } = view;
        self.tool(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone }),
        );
    }

    /// Keeps a picture of the whole page.
    #[track_caller]
    pub(crate) fn picture(&self, path: &Path) {
        let options = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.tool("Page.captureScreenshot", &options);
        let bytes = STANDARD.decode(text_of(&picture, "data")).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 5_000, "{}", path.display());
        fs::write(path, bytes).unwrap();
    }

    /// Returns the violations that axe finds, one line for each element.
    #[track_caller]
    pub(crate) fn violations(&self) -> Vec<String> {
        self.script(&format!("{}; return true", self.axe));
        let found = self.post(
            "/execute/async",
            &json!({ "args": [], "script": "
                const done = arguments[arguments.length - 1];
                axe.run(document, { resultTypes: ['violations'] }).then(
                    (found) => done(found.violations.flatMap((rule) => rule.nodes.map((node) =>
                        `${rule.id}: ${node.html} (${node.failureSummary})`))),
                    (error) => done([`axe: ${error}`]))" }),
        );
        let each = found.as_array().unwrap().iter();
        each.map(|line| line.as_str().unwrap().to_owned()).collect()
    }

    /// Returns what the console of the browser has had to say since the last call: errors of scripts, violations of the
    /// content security policy, responses that failed.
    #[track_caller]
    pub(crate) fn complaints(&self) -> Vec<String> {
        let said = self.post("/se/log", &json!({ "type": "browser" }));
        let each = said.as_array().unwrap().iter();
        each.map(|entry| text_of(entry, "message")).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver and all processes of the browser.
        if let Some(group) = i32::try_from(self.driver.id()).ok().and_then(Pid::from_raw) {
            kill_process_group(group, Signal::KILL).ok();
        }
        self.driver.wait().ok();
    }
}
