//! A real browser: headless Chromium, driven through chromedriver as in W3C WebDriver.
//!
//! Its JSON over HTTP is spoken here: the crates for it bring a licence that `deny.toml` does not allow, or a tree of their own.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::kit::{Invocation, Scratch, Signal, eventually, holds_within, patience, processes};

/// What chromedriver says when it can be used; its port follows.
const READY: &str = "ChromeDriver was started successfully on port ";

/// Sandboxes are not for root, and tests run as root; everything else keeps the browser from talking to anybody but the page.
const ARGUMENTS: [&str; 13] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-extensions",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--window-size=1280,900",
];

/// In a window on a bright day.
pub(super) const DESKTOP: Look = Look {
    name: "desktop",
    scheme: "light",
    size: (1280, 900),
};

/// The same at night.
pub(super) const DARK: Look = Look {
    name: "dark",
    scheme: "dark",
    ..DESKTOP
};

/// On a small telephone, held upright.
pub(super) const PHONE: Look = Look {
    name: "phone",
    scheme: "light",
    size: (360, 740),
};

/// How a page is looked at: the colours that its user likes, and the size.
#[derive(Clone, Copy)]
pub(super) struct Look {
    name: &'static str,
    scheme: &'static str,
    size: (u32, u32),
}

/// A browser with one page. Dropping it ends it, and checks that the console has nothing to tell.
pub(super) struct Browser {
    driver: Child,
    at: SocketAddr,
    /// The path of what is said to this page.
    session: String,
    log: PathBuf,
    folder: PathBuf,
    refusals: bool,
}

impl Browser {
    /// Starts it, with everything that it keeps in a folder of its own.
    #[track_caller]
    pub(super) fn start(scratch: &Scratch) -> Self {
        let chromium = program("chromium");
        let folder = scratch.root().join("browser");
        fs::create_dir(&folder).expect("a new folder");
        let log = folder.join("chromedriver.log");
        let said = fs::File::create(&log).expect("a writable folder");
        let mut command = scratch.command(&program("chromedriver").display().to_string());
        command
            .arg("--port=0")
            .env("HOME", &folder)
            .env("TMPDIR", &folder)
            .stdin(Stdio::null())
            .stdout(said.try_clone().expect("a second handle"))
            .stderr(said);
        let driver = command.spawn().expect("a program that was found");
        let mut browser = Self {
            driver,
            at: (Ipv4Addr::LOCALHOST, 0).into(),
            session: "/session".to_owned(),
            log,
            folder,
            refusals: false,
        };
        eventually!(
            {
                let port = browser.said().split_once(READY).and_then(|(_, rest)| {
                    let digits: &str = rest.split(|after: char| !after.is_ascii_digit()).next()?;
                    // The rest of the line has come when the digits end.
                    (digits.len() < rest.len()).then(|| digits.parse().ok())?
                });
                browser.at.set_port(port.unwrap_or(0));
                port.is_some()
            },
            "chromedriver listens: {}",
            browser.said()
        );
        let profile = format!(
            "--user-data-dir={}",
            browser.folder.join("profile").display()
        );
        let arguments: Vec<_> = ARGUMENTS.into_iter().chain([profile.as_str()]).collect();
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": wanted } });
        let begun = browser
            .ask("POST", "", &wanted)
            .unwrap_or_else(|error| panic!("Chromium did not start: {error}\n{}", browser.said()));
        let session = begun["sessionId"].as_str().expect("a name");
        browser.session = format!("/session/{session}");
        browser.look(DESKTOP);
        browser
    }

    /// What chromedriver and Chromium said.
    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Loads a page.
    #[track_caller]
    pub(super) fn open(&self, address: &str) {
        self.tell("url", &json!({ "url": address }));
    }

    /// What the body of a function comes to in the page.
    #[track_caller]
    pub(super) fn run(&self, script: &str, arguments: &[&str]) -> Value {
        self.tell(
            "execute/sync",
            &json!({ "script": script, "args": arguments }),
        )
    }

    /// Whether an expression is true in the page.
    #[track_caller]
    pub(super) fn holds(&self, expression: &str) -> bool {
        self.run(&format!("return Boolean({expression})"), &[]) == true
    }

    /// The text of the first such element as it is seen, empty if there is none.
    #[track_caller]
    pub(super) fn text(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.innerText ?? ''";
        let text = self.run(script, &[selector]);
        text.as_str().expect("a string").to_owned()
    }

    /// The texts of all such elements.
    #[track_caller]
    pub(super) fn texts(&self, selector: &str) -> Vec<String> {
        let script =
            "return [...document.querySelectorAll(arguments[0])].map(one => one.innerText)";
        let texts = self.run(script, &[selector]);
        serde_json::from_value(texts).expect("strings")
    }

    /// Waits until such an element shows this text.
    #[track_caller]
    pub(super) fn shows(&self, selector: &str, text: &str) {
        eventually!(
            self.text(selector).contains(text),
            "`{selector}` shows `{text}` and not `{}`",
            self.text(selector)
        );
    }

    /// Clicks on such an element, as soon as it is there and nothing is before it.
    #[track_caller]
    pub(super) fn click(&self, selector: &str) {
        self.act_on(selector, "click", &json!({}));
    }

    /// Types into such an element.
    #[track_caller]
    pub(super) fn fill(&self, selector: &str, text: &str) {
        self.act_on(selector, "value", &json!({ "text": text }));
    }

    #[track_caller]
    fn act_on(&self, selector: &str, action: &str, body: &Value) {
        let wanted = json!({ "using": "css selector", "value": selector });
        let mut error = String::new();
        let acted = holds_within(patience(), || {
            let found = self.ask("POST", "/element", &wanted);
            let done = found.and_then(|found| {
                let ids = found.as_object().and_then(|ids| ids.values().next());
                let id = ids.and_then(Value::as_str).expect("a name");
                self.ask("POST", &format!("/element/{id}/{action}"), body)
            });
            done.map_err(|why| error = why).is_ok()
        });
        assert!(acted, "{action} of `{selector}`: {error}");
    }

    /// Presses a key and lets it go.
    #[track_caller]
    pub(super) fn press(&self, key: char) {
        let strokes = ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key }));
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.tell("actions", &json!({ "actions": [keyboard] }));
    }

    /// Looks at the page in another way, as a telephone does for instance.
    #[track_caller]
    pub(super) fn look(&self, look: Look) {
        let (width, height) = look.size;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        let scheme = json!([{ "name": "prefers-color-scheme", "value": look.scheme }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": scheme }));
    }

    /// Says something to Chromium that WebDriver has no word for.
    #[track_caller]
    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.tell(
            "goog/cdp/execute",
            &json!({ "cmd": command, "params": parameters }),
        )
    }

    /// Paints the page in all ways into the folder that `DPIPES_TEST_SCREENSHOTS` names, if it does.
    #[track_caller]
    pub(super) fn picture(&self, name: &str, scratch: &Scratch) {
        let Some(folder) = env::var_os("DPIPES_TEST_SCREENSHOTS").map(PathBuf::from) else {
            return;
        };
        fs::create_dir_all(&folder).expect("a folder for pictures");
        for look in [DARK, PHONE, DESKTOP] {
            self.look(look);
            let page = self.devtools("Page.getLayoutMetrics", &json!({}));
            let mut all = page["cssContentSize"].clone();
            all["scale"] = 1.into();
            let whole = json!({ "captureBeyondViewport": true, "clip": all });
            let picture = self.devtools("Page.captureScreenshot", &whole);
            let mut decode = scratch.command("base64");
            decode.arg("--decode");
            let decode = Invocation::new(decode).stdin(picture["data"].as_str().expect("base64"));
            let file = folder.join(format!("{name}-{}.png", look.name));
            fs::write(file, &decode.run().assert_status(0).stdout).expect("a writable folder");
        }
    }

    /// Takes it for no complaint that the server refuses requests for want of the token: the test brings that about.
    pub(super) fn expect_refusals(&mut self) {
        self.refusals = true;
    }

    /// What the console says that it did not say before.
    #[track_caller]
    pub(super) fn console(&self) -> Vec<String> {
        let lines = self.tell("se/log", &json!({ "type": "browser" }));
        let lines = lines.as_array().expect("a list").iter();
        let lines = lines.filter_map(|line| line["message"].as_str());
        let refused = "the server responded with a status of 401 (Unauthorized)";
        lines
            .filter(|line| !(self.refusals && line.contains(refused)))
            .map(str::to_owned)
            .collect()
    }

    #[track_caller]
    fn tell(&self, what: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/{what}"), body)
            .unwrap_or_else(|error| panic!("{what} {body}: {error}"))
    }

    /// Asks chromedriver; an error is what it or the system says.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let path = format!("{}{path}", self.session);
        let answer = exchange(self.at, method, &path, &body.to_string());
        let (head, body) = answer.map_err(|error| format!("chromedriver: {error}"))?;
        let mut body: Value = serde_json::from_str(&body)
            .map_err(|error| format!("chromedriver sent something else than JSON: {error}"))?;
        let value = body["value"].take();
        if head.starts_with("HTTP/1.1 200 ") {
            return Ok(value);
        }
        let part = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Err(format!("{}: {}", part("error"), part("message")))
    }

    /// Ends the browser, then its driver, and takes away what they kept.
    fn end(&mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        if let Err(error) = self.ask("DELETE", "", &json!({})) {
            complaints.push(format!("Chromium did not end: {error}"));
        }
        processes::send(self.driver.id(), Signal::TERM);
        if !holds_within(patience(), || matches!(self.driver.try_wait(), Ok(Some(_)))) {
            complaints.push("chromedriver did not end after SIGTERM".to_owned());
            let _it_may_end_meanwhile = self.driver.kill();
            let _reaped = self.driver.wait();
        }
        let home = format!("HOME={}", self.folder.display());
        let left = || {
            let all = processes::all().into_iter();
            all.filter(|&pid| processes::has_variable(pid, &home))
                .collect::<Vec<_>>()
        };
        if !holds_within(patience(), || left().is_empty()) {
            complaints.push(format!("processes left: {}", processes::describe(&left())));
            left()
                .into_iter()
                .for_each(|pid| processes::send(pid, Signal::KILL));
        }
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            complaints.push(format!("cannot remove {}: {error}", self.folder.display()));
        }
        complaints
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A second panic would hide the first, so nothing here may fail.
            let script = json!({ "script": "return document.body.innerText", "args": [] });
            let page = self.ask("POST", "/execute/sync", &script);
            let console = self.ask("POST", "/se/log", &json!({ "type": "browser" }));
            let text = page.map(|text| text.as_str().unwrap_or_default().to_owned());
            eprintln!("--- the page\n{}", text.unwrap_or_else(|error| error));
            eprintln!("--- its console\n{console:?}");
            eprintln!("--- chromedriver\n{}", self.said());
            self.end();
            return;
        }
        let mut complaints = self.console();
        complaints.extend(self.end());
        assert!(
            complaints.is_empty(),
            "the browser tells:\n  {}",
            complaints.join("\n  ")
        );
    }
}

/// A program of the browser's two packages.
#[track_caller]
fn program(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("`{name}` is not on PATH: the dashboard is tried in a real browser, which takes Debian's packages chromium and chromium-driver")
    })
}

/// One request and the head and body of its answer, on a connection of their own.
fn exchange(at: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<(String, String)> {
    let mut stream = TcpStream::connect(at)?;
    // A browser that starts beside a build takes its time.
    stream.set_read_timeout(Some(patience() * 3))?;
    let mut request = String::new();
    write!(
        request,
        "{method} {path} HTTP/1.1\r\nHost: {at}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("writing to a string");
    stream.write_all(request.as_bytes())?;
    // The connection stays open whatever is asked for, so the length tells where the answer ends.
    let mut answer = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let at = head.len();
        if answer.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((name, value)) = head[at..].split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body)?;
    Ok((head, String::from_utf8(body).map_err(io::Error::other)?))
}
