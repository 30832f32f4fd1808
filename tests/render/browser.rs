//! A headless Chromium, driven over its DevTools pipe.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A browser with one page, which ends when it is dropped.
pub struct Browser {
    child: Child,
    stdin: ChildStdin,
    messages: Receiver<Value>,
    session: String,
    number: Cell<u64>,
    /// What the page said, was refused, or asked the network for.
    pub events: RefCell<Vec<Value>>,
    _profile: tempfile::TempDir,
}

/// The program, under the names it has.
fn program() -> &'static str {
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| {
            let found = Command::new("sh")
                .args(["-c", &format!("command -v {name}")])
                .stdout(Stdio::null())
                .status();
            found.is_ok_and(|s| s.success())
        })
        .expect("no Chromium; scripts/needs chromium installs it")
}

impl Browser {
    pub fn start() -> Browser {
        let profile = tempfile::tempdir().unwrap();
        // The browser reads commands from descriptor 3 and answers on 4.
        let mut child = Command::new("sh")
            .args([
                "-c",
                "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1",
                "sh",
                program(),
            ])
            .args([
                "--headless",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args([
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                "--window-size=1280,900",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, messages) = channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            while stdout.read_until(0, &mut bytes).is_ok_and(|n| n > 0) {
                bytes.pop();
                let message = serde_json::from_slice(&bytes).unwrap();
                bytes.clear();
                if send.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Browser {
            child,
            stdin,
            messages,
            session: String::new(),
            number: Cell::new(0),
            events: RefCell::default(),
            _profile: profile,
        };
        let targets = browser.call("Target.getTargets", json!({}));
        let page = |t: &&Value| t["type"] == "page";
        let id = &targets["targetInfos"]
            .as_array()
            .unwrap()
            .iter()
            .find(page)
            .unwrap()["targetId"];
        let session = browser.call(
            "Target.attachToTarget",
            json!({"targetId": id, "flatten": true}),
        );
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Sends a command and returns its result.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.number.get() + 1;
        self.number.set(id);
        let mut command = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        self.stdin
            .write_all(format!("{command}\0").as_bytes())
            .unwrap();
        self.stdin.flush().unwrap();
        loop {
            let message = self
                .messages
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|e| panic!("{method}: {e}"));
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            let interesting = [
                "Runtime.consoleAPICalled",
                "Runtime.exceptionThrown",
                "Log.entryAdded",
            ];
            let method = message["method"].as_str().unwrap_or_default();
            let asks =
                method == "Network.requestWillBeSent" && !message["params"]["type"].eq("Document");
            if asks || interesting.contains(&method) || method == "Page.javascriptDialogOpening" {
                self.events.borrow_mut().push(message);
            }
        }
    }

    /// What an expression, or the promise that it is, comes to.
    pub fn eval(&mut self, expression: &str) -> Value {
        let result = self.call(
            "Runtime.evaluate",
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true}),
        );
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}: {result}"
        );
        result["result"]["value"].clone()
    }

    /// Opens a file, and waits until the list has been drawn.
    pub fn open(&mut self, path: &std::path::Path, fragment: &str) {
        // The same file with another fragment would not be read again.
        self.call("Page.navigate", json!({"url": "about:blank"}));
        let url = format!("file://{}{fragment}", path.display());
        self.call("Page.navigate", json!({"url": url}));
        self.until("document.readyState === 'complete'");
        self.settled();
    }

    /// Waits until the list shows what is asked for.
    pub fn settled(&mut self) {
        self.until("document.querySelector('#list') === null || document.querySelector('#list').ariaBusy === 'false'");
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, expression: &str) {
        self.eval(&format!(
            "new Promise((done, fail) => {{ const look = (n) => {{ if ({expression}) done(); \
             else if (n > 2000) fail(new Error('never: ' + {})); else setTimeout(() => look(n + 1), 25); }}; look(0); }})",
            json!(expression)
        ));
    }

    /// Presses and releases a key.
    pub fn press(&mut self, key: &str) {
        let text = match key {
            "Enter" => "\r",
            k if k.chars().count() == 1 => k,
            _ => "",
        };
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "ArrowDown" => 40,
            "ArrowUp" => 38,
            _ => 0,
        };
        let mut event = json!({"type": "keyDown", "key": key, "windowsVirtualKeyCode": code});
        if !text.is_empty() {
            event["text"] = json!(text);
        }
        self.call("Input.dispatchKeyEvent", event);
        self.call(
            "Input.dispatchKeyEvent",
            json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code}),
        );
    }

    /// Types into what has the focus, and waits for what comes of it.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
        // The search waits a moment for more.
        self.eval("new Promise((done) => setTimeout(done, 250))");
        self.settled();
    }

    /// Has the page find that its reader prefers `scheme`.
    pub fn media(&mut self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Lets the page save files in `folder`.
    pub fn saves_in(&mut self, folder: &std::path::Path) {
        let params = json!({"behavior": "allow", "downloadPath": folder});
        self.call("Browser.setDownloadBehavior", params);
    }

    /// Chooses a file in the input that `selector` finds.
    pub fn choose_file(&mut self, selector: &str, file: &std::path::Path) {
        let expression = format!("document.querySelector('{selector}')");
        let found = self.call("Runtime.evaluate", json!({"expression": expression}));
        let object = &found["result"]["objectId"];
        self.call(
            "DOM.setFileInputFiles",
            json!({"files": [file], "objectId": object}),
        );
    }

    /// A picture of the top of the page, as PNG.
    pub fn screenshot(&mut self, width: u32, height: u32) -> Vec<u8> {
        use base64::Engine;
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
        self.eval(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))",
        );
        let picture = self.call("Page.captureScreenshot", json!({"format": "png"}));
        self.call("Emulation.clearDeviceMetricsOverride", json!({}));
        let data = picture["data"].as_str().unwrap();
        base64::engine::general_purpose::STANDARD
            .decode(data)
            .unwrap()
    }

    /// Nothing was said, refused, fetched or asked.
    pub fn is_quiet(&self) {
        let events = self.events.borrow();
        assert!(events.is_empty(), "{events:#?}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
