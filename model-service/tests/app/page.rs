//! The page in a real browser. With SHOTS=FOLDER pictures of it are left there.

use base64::Engine as _;
use serde_json::{Value, json};

use super::api::{NOBODY, exported};
use super::axe;
use crate::browser::Browser;
use crate::http::{PHISHING, Server};

const ORDINARY: &str = "https://www.bbc.co.uk/news/world-europe-68345";

struct Page {
    browser: Browser,
    axe: String,
}

impl Page {
    fn open(server: &Server, scheme: &str) -> Self {
        let page = Self { browser: Browser::open(), axe: axe::script() };
        page.prefer(scheme);
        page.go(server, "/");
        page
    }

    fn prefer(&self, scheme: &str) {
        self.devtools("Emulation.setEmulatedMedia", json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}));
    }

    fn go(&self, server: &Server, path: &str) {
        self.browser.post("url", &json!({"url": format!("http://{}{path}", server.address)}));
    }

    fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.browser.post("goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    fn check(&self, url: &str) {
        self.browser.write("#url", url);
        self.browser.click("#check button");
    }

    fn script(&self, script: &str) -> Value {
        self.browser.post("execute/sync", &json!({"script": script, "args": []}))
    }

    fn style(&self, selector: &str, property: &str) -> Value {
        self.script(&format!("return getComputedStyle(document.querySelector('{selector}')).{property}"))
    }

    fn count(&self, selector: &str) -> u64 {
        self.script(&format!("return document.querySelectorAll('{selector}').length")).as_u64().unwrap()
    }

    /// Looks right to axe, nothing is wider than the window, and nothing was forbidden by the policy.
    #[track_caller]
    fn is_well_made(&self, name: &str) {
        self.is_accessible(name);
        assert_eq!(self.style("main", "maxWidth"), "704px", "{name} has no style");
    }

    #[track_caller]
    fn is_accessible(&self, name: &str) {
        if let Some(folder) = std::env::var_os("SHOTS") {
            let picture = self.devtools("Page.captureScreenshot", json!({"captureBeyondViewport": true}));
            let picture = base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), picture).unwrap();
        }
        assert_eq!(
            self.script("return document.documentElement.scrollWidth - innerWidth").as_i64().unwrap().max(0),
            0,
            "{name} is too wide"
        );
        assert_eq!(axe::violations(&self.browser, &self.axe), Vec::<String>::new(), "{name}");
    }
}

/// As a person uses it, with a keyboard too; in each variant and colour.
#[test]
fn person_checks_a_url_says_yes_and_finds_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let journal = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let model = Server::start(&[]);
    for (variant, scheme) in [("v1", "light"), ("v2", "dark"), ("v2", "light"), ("v1", "dark")] {
        let name = format!("{variant}-{scheme}");
        let app = Server::app(&model.address, &["--variant", variant, "--journal", &journal(&name)]);
        let page = Page::open(&app, scheme);
        page.is_well_made(&format!("{name}-1-empty"));
        let ground = if scheme == "dark" { "rgb(18, 22, 28)" } else { "rgb(244, 246, 249)" };
        assert_eq!(page.style("body", "backgroundColor"), ground, "{name}");
        assert_eq!(page.count("#history:not([hidden])"), 0);

        page.check(PHISHING);
        assert_eq!(page.browser.text("#verdict"), "Phishing");
        assert_eq!((page.count("#probability"), page.count("#characters")), if variant == "v2" { (1, 1) } else { (0, 0) });
        if variant == "v2" {
            assert_eq!(page.script("return document.getElementById('characters').textContent"), PHISHING);
            assert!(page.count("#characters .up5") > 0);
        }
        page.is_well_made(&format!("{name}-2-phishing"));

        page.browser.click(".feedback button[value=yes]");
        assert!(page.browser.text(".thanks").contains("“phishing” is right"));
        assert_eq!(page.script("return document.activeElement.className"), "thanks");

        // By keyboard: the field, then Enter.
        page.script("document.getElementById('url').value = ''; document.getElementById('url').focus()");
        page.browser.write("#url", &format!("{ORDINARY}\u{e007}"));
        page.browser.element(".card.good");
        assert_eq!(page.browser.text("#verdict"), "Legitimate");
        page.is_well_made(&format!("{name}-3-legitimate"));
        page.browser.click(".feedback button[value=no]");
        page.browser.element(".thanks");

        page.go(&app, "/");
        let entries = page.script("return [...document.querySelectorAll('#history li button span')].map((part) => part.textContent)");
        assert_eq!(entries, json!(["legitimate", ORDINARY, "you: wrong", "phishing", PHISHING, "you: right"]));
        page.browser.click("#history li:last-child button");
        assert_eq!(page.browser.text("#verdict"), "Phishing");
        page.is_well_made(&format!("{name}-4-history"));
        page.browser.click("#forget");
        assert_eq!(page.count("#history:not([hidden])"), 0);

        let lines = exported(&folder.path().join(&name), "feedback");
        let told: Vec<_> = lines.iter().map(|line| [&line["url"], &line["verdict"], &line["feedback"], &line["version"]]).collect();
        let expected = [[PHISHING, "phishing", "yes", variant], [ORDINARY, "legitimate", "no", variant]];
        assert_eq!(told, expected.map(|line| line.map(|text| json!(text))).each_ref().map(|line| line.each_ref()));
    }
}

#[test]
fn page_tells_what_runs_behind_it() {
    let model = Server::start(&[]);
    for variant in ["v1", "v2"] {
        let app = Server::app(&model.address, &["--variant", variant]);
        let told = app.get("/version").value();
        let page = Page::open(&app, "light");
        let shown = page.browser.text(".versions");
        for (key, value) in [
            ("App", &told["app"]),
            ("", &told["variant"]),
            ("library", &told["library"]),
            ("model", &told["model"]["name"]),
            ("", &told["model"]["version"]),
        ] {
            let value = value.as_str().unwrap();
            assert!(!value.is_empty() && shown.contains(format!("{key} {value}").trim()), "{key} {value}: {shown}");
        }
        assert_eq!(page.script("return document.querySelector('.versions span').title"), told["model"]["id"]);
        drop(page);
    }
}

#[test]
fn page_works_without_javascript() {
    let server = Server::start(&[]);
    let page = Page::open(&server, "light");
    page.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    page.go(&server, "/");
    page.check(PHISHING);
    assert_eq!(page.browser.text("#verdict"), "Phishing");
    assert!(page.browser.text("#probability").contains("99"));
    page.browser.click(".feedback button[value=no]");
    assert!(page.browser.text(".thanks").contains("“phishing” is wrong"));
    assert!(server.get("/metrics").body.contains("feedback_no_total{version=\"v2\"} 1\n"));
    page.devtools("Emulation.setScriptExecutionDisabled", json!({"value": false}));
    page.is_well_made("no-script-thanks");
}

#[test]
fn page_escapes_what_was_typed() {
    let server = Server::start(&[]);
    let answer = server.form("/", b"url=http%3A%2F%2F192.0.2.7%2Fpaypal%2Fwebscr%2Flogin.php%3F%22%3E%3Cscript%3Ealert()%3C%2Fscript%3E");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(answer.body.contains(r#"id="verdict">Phishing</h2>"#), "{}", answer.body);
    assert!(!answer.body.contains("<script>alert"));
    // Each character is in a run of its shade, or several are in one.
    let page = Page::open(&server, "light");
    page.check("http://a/\"><script>document.title = 'bad'</script><img src=x onerror=\"document.title='bad'\">");
    page.browser.element("#verdict");
    assert_eq!(page.browser.get("title"), "Is this URL phishing?");
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let refused = server.form("/", b"url=");
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("the URL is empty"));
}

#[test]
fn fallback_is_shown_as_one_and_a_second_try_works() {
    for scheme in ["light", "dark"] {
        let app = Server::app(NOBODY, &[]);
        let page = Page::open(&app, scheme);
        page.check(PHISHING);
        assert_eq!(page.browser.text(".fallback h2"), "No answer now");
        assert_eq!(page.count("#verdict"), 0);
        page.is_well_made(&format!("fallback-{scheme}"));
        // The app itself goes: the page says the same.
        drop(app);
        page.browser.click(".fallback button");
        page.script("return new Promise((done) => setTimeout(done, 300))");
        assert_eq!(page.browser.text(".fallback h2"), "No answer now");
        assert_eq!(page.count("#history:not([hidden])"), 0);
    }
}

#[test]
fn narrow_page_is_well_made() {
    let server = Server::start(&[]);
    let page = Page::open(&server, "light");
    let phone = json!({"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": true});
    page.devtools("Emulation.setDeviceMetricsOverride", phone);
    page.check(PHISHING);
    page.browser.element("#verdict");
    page.browser.element("#history li");
    page.is_well_made("narrow");
}

#[test]
fn experiment_is_well_made_before_and_after_there_is_enough_data() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().to_str().unwrap();
    for (share, result) in [(10, "not enough data"), (1, "v2 is called right more often")] {
        let of = |version: &str, feedback: &str, count: u32| {
            format!("{}\n", json!({"kind": "feedback", "version": version, "feedback": feedback})).repeat((count / share) as usize)
        };
        let lines = [of("v1", "yes", 100), of("v1", "no", 100), of("v2", "yes", 180), of("v2", "no", 20)].concat();
        std::fs::write(folder.path().join("0000000001.jsonl"), lines).unwrap();
        let app = Server::app(NOBODY, &["--journal", journal]);
        let page = Page::open(&app, "light");
        for scheme in ["light", "dark"] {
            page.prefer(scheme);
            page.go(&app, "/experiment");
            assert_eq!(page.browser.text("#result"), result);
            page.is_well_made(&format!("experiment-{}-{scheme}", result.replace(' ', "-")));
        }
    }
}

#[test]
fn refused_page_and_those_of_the_interface_are_well_made() {
    let server = Server::start(&[]);
    let page = Page::open(&server, "light");
    for scheme in ["light", "dark"] {
        page.prefer(scheme);
        page.go(&server, "/");
        // Neither the browser's own check nor the page's script is asked.
        page.script("document.querySelector('#check').submit()");
        assert_eq!(page.browser.text(".card.error p"), "the URL is empty");
        assert_eq!(page.script("return performance.getEntriesByType('navigation')[0].responseStatus"), 422);
        page.is_well_made(&format!("refused-{scheme}"));
        for path in ["/docs", "/api/docs"] {
            page.go(&server, path);
            page.is_accessible(&format!("{}-{scheme}", path[1..].replace('/', "-")));
            assert_eq!(page.style("body", "maxWidth"), "832px", "{path} has no style");
        }
    }
}
