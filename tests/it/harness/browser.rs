//! A real Chromium without a window, driven by its own driver over `WebDriver` (W3C Recommendation, §6): plain
//! HTTP with JSON. It can reach this machine only.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::Client;
use super::deadline::{comes_true, within, within_time};
use super::process::{Process, Signal};

/// A running browser with one window, and an empty profile.
pub struct Browser {
    driver: Process,
    client: Client,
    session: String,
    profile: TempDir,
}

/// How long the browser may take to start, or to do one thing, on a machine that is busy compiling.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take to end.
const END: Duration = Duration::from_secs(5);

/// The names that Chromium has in packages.
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// What it is started with: no window, nothing that asks for anything elsewhere by itself, and no names that could be
/// asked for.
const ARGUMENTS: [&str; 13] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--lang=en-GB",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--window-size=1280,1000",
];

/// The field that names an element (`WebDriver` §12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

impl Browser {
    /// Starts one.
    pub async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let folders: Vec<_> = std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
        let found = |name: &str| folders.iter().any(|folder| folder.join(name).is_file());
        let program = PROGRAMS.into_iter().find(|name| found(name));
        let program = program.filter(|_| found("chromedriver"));
        let program =
            program.expect("Chromium and chromedriver are needed: `scripts/install test` installs them");
        let program = folders.iter().map(|folder| folder.join(program)).find(|path| path.is_file()).unwrap();
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").env("HOME", profile.path()).env("TZ", "UTC");
        let driver = Process::start(&mut command);
        let port = driver.stdout.wait_for("the driver's port", 0, |line| {
            line.rsplit_once("successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok()
        });
        let client = Client::plain(([127, 0, 0, 1], port.await).into());
        let mut browser = Self { driver, client, session: String::new(), profile };
        browser.session = browser.open_session(&program).await;
        browser
    }

    async fn open_session(&self, program: &Path) -> String {
        let profile = format!("--user-data-dir={}", self.profile.path().display());
        let arguments: Vec<&str> = ARGUMENTS.into_iter().chain([profile.as_str()]).collect();
        let capabilities = json!({
            "browserName": "chrome",
            // A gateway's certificate comes from an authority of the test.
            "acceptInsecureCerts": true,
            "goog:chromeOptions": { "binary": program, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let body = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let value = self.send("POST", "/session", &body).await;
        value["sessionId"].as_str().unwrap().to_owned()
    }

    /// Loads a page.
    pub async fn open(&self, url: &str) {
        self.command("POST", "url", &json!({ "url": url })).await;
    }

    /// Runs a script that returns something.
    pub async fn run(&self, script: &str) -> Value {
        self.command("POST", "execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// Waits until an expression is neither false nor null, and returns it.
    pub async fn wait_for(&self, expression: &str) -> Value {
        let script = format!("return {expression};");
        let found = async {
            loop {
                let value = self.run(&script).await;
                if !matches!(value, Value::Null | Value::Bool(false)) {
                    return value;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within_time(PATIENCE, format!("{expression} in the browser"), found).await
    }

    /// Waits until the first element that a selector finds is shown, and contains a text.
    pub async fn wait_for_text(&self, selector: &str, text: &str) {
        let find = format!("document.querySelector({})", json!(selector));
        let shown = format!("{find}?.checkVisibility() && {find}.textContent.includes({})", json!(text));
        self.wait_for(&shown).await;
    }

    /// Whether the first element that a selector finds is shown.
    pub async fn shows(&self, selector: &str) -> bool {
        let script =
            format!("return document.querySelector({})?.checkVisibility() ?? false;", json!(selector));
        self.run(&script).await == json!(true)
    }

    /// Clicks on the first element that a selector finds, as a person does.
    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.command("POST", &format!("element/{element}/click"), &json!({})).await;
    }

    /// Types into the first element that a selector finds, as a person does.
    pub async fn write(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.command("POST", &format!("element/{element}/clear"), &json!({})).await;
        self.command("POST", &format!("element/{element}/value"), &json!({ "text": text })).await;
    }

    /// Makes the window so wide and high, in pixels.
    pub async fn resize(&self, width: u32, height: u32) {
        self.command("POST", "window/rect", &json!({ "width": width, "height": height })).await;
    }

    /// Asks the developer tools for something, such as `Emulation.setEmulatedMedia`.
    pub async fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.command("POST", "goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await
    }

    /// What has been complained about on the console since this was last asked.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.command("POST", "se/log", &json!({ "type": "browser" })).await;
        let entries = entries.as_array().unwrap().iter();
        let entries =
            entries.filter(|entry| ["WARNING", "SEVERE"].contains(&entry["level"].as_str().unwrap()));
        entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// The addresses that pages have asked for since this was last asked.
    pub async fn requested(&self) -> Vec<String> {
        let entries = self.command("POST", "se/log", &json!({ "type": "performance" })).await;
        let messages = entries.as_array().unwrap().iter().map(|entry| {
            let message: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            message["message"].clone()
        });
        let sent = messages.filter(|message| message["method"] == "Network.requestWillBeSent");
        sent.map(|message| message["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// A picture of the window, as PNG.
    pub async fn picture(&self) -> Vec<u8> {
        let value = self.send("GET", &self.path("screenshot"), &Value::Null).await;
        STANDARD.decode(value.as_str().unwrap()).unwrap()
    }

    async fn element(&self, selector: &str) -> String {
        let body = json!({ "using": "css selector", "value": selector });
        let value = self.command("POST", "element", &body).await;
        value[ELEMENT].as_str().unwrap().to_owned()
    }

    fn path(&self, command: &str) -> String {
        format!("/session/{}/{command}", self.session)
    }

    async fn command(&self, method: &str, command: &str, body: &Value) -> Value {
        self.send(method, &self.path(command), body).await
    }

    /// Sends a command and returns the value of its answer.
    async fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let call = self.client.call(method, path);
        let call = if body.is_null() { call } else { call.json(body) };
        let answer =
            call.outcome_within(PATIENCE).await.unwrap_or_else(|failure| panic!("{path}: {failure}"));
        assert_eq!(answer.status, 200, "{method} {path} {body}: {}", answer.text());
        answer.json()["value"].clone()
    }

    /// Ends it properly.
    pub async fn quit(self) {
        let path = format!("/session/{}", self.session);
        within("the end of the browser", self.send("DELETE", &path, &Value::Null)).await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver takes its browser along when it is asked to end, and leaves it behind when it is killed.
        if self.driver.ended().is_none() {
            self.driver.signal(Signal::Terminate);
            comes_true(END, || self.driver.ended().is_some());
        }
    }
}
