use serde_json::json;

use super::api::NOBODY;
use crate::http::Server;

fn say(app: &Server, yes: u64, no: u64) {
    for (feedback, count) in [("yes", yes), ("no", no)] {
        for _ in 0..count {
            assert_eq!(app.post("/api/feedback", &json!({"feedback": feedback})).status, 200);
        }
    }
}

#[test]
fn both_variants_feedback_is_compared_and_little_of_it_concludes_nothing() {
    let v1 = Server::app(NOBODY, &["--variant", "v1"]);
    let v2 = Server::app(NOBODY, &["--variant", "v2"]);
    let unused = Server::app(NOBODY, &["--variant", "v1"]);
    let sources = [&v1, &v2, &unused].map(|app| format!("http://{}/metrics", app.address));
    let both = Server::app(NOBODY, &["--counts-from", &sources[..2].join(" "), "--counts-from", &sources[2]]);
    say(&v1, 3, 2);
    let told = both.get("/experiment").value();
    assert_eq!(told["comparison"]["result"], "not enough data");
    assert_eq!((&told["comparison"]["v1"]["n"], &told["needed"]), (&json!(5), &json!(200)));
    assert_eq!((&told["asked"], &told["answered"]), (&json!(3), &json!(3)));

    say(&v1, 117, 78);
    say(&v2, 180, 20);
    let told = both.get("/experiment").value();
    assert_eq!(told["comparison"]["result"], "v2 is called right more often", "{told}");
    assert!((told["comparison"]["difference"].as_f64().unwrap() - 0.3).abs() < 1e-9);
    // Of 120 of 200 and 180 of 200, by 50 digits of Python's `decimal`: the roots of (p̂ − p)² = z² p (1 − p) / n are each one's limits.
    for (end, expected) in [("low", 0.218_040_634_639), ("high", 0.377_214_489_188)] {
        let found = told["comparison"]["interval"][end].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-9, "{end}: {found}");
    }
    let page = both.send("GET", "/experiment", &["accept: text/html"], b"").body;
    assert!(page.contains("v2 is called right more often") && page.contains("30.0 points") && page.contains("Newcombe"), "{page}");

    // Nobody voted there, but who asks cannot know that.
    drop(unused);
    let told = both.get("/experiment").value();
    assert_eq!((&told["comparison"]["result"], &told["silent"]), (&json!("not enough data"), &json!([sources[2]])));
    assert_eq!((&told["asked"], &told["answered"]), (&json!(3), &json!(2)));
    let page = both.send("GET", "/experiment", &["accept: text/html"], b"").body;
    assert!(page.contains("Heard from 2 of 3, so nothing is concluded"), "{page}");
}

/// `localhost` is in every hosts file.
#[test]
fn a_name_is_looked_up_and_asked() {
    let v1 = Server::app(NOBODY, &["--variant", "v1"]);
    let (_, port) = v1.address.rsplit_once(':').unwrap();
    let source = format!("http://localhost:{port}/metrics");
    let both = Server::app(NOBODY, &["--counts-from", &source]);
    say(&v1, 2, 1);
    let told = both.get("/experiment").value();
    assert_eq!((&told["comparison"]["v1"]["n"], &told["asked"], &told["silent"]), (&json!(3), &json!(1), &json!([])), "{told}");
}
