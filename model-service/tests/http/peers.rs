//! Each row of README's table of peers' bodies.

use super::PHISHING;
use crate::server::Server;

const LEGITIMATE: &str = "http://www.bbc.co.uk/news/";

#[test]
fn team_14_gets_the_probability_as_text() {
    let server = Server::start(&[]);
    let answer = server.json(format!(r#"{{"model_name":"../model.h5","input_url":"{PHISHING}"}}"#).as_bytes());
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    let own = server.json(format!(r#"{{"urls":["{PHISHING}"]}}"#).as_bytes()).value();
    assert_eq!(answer.body.parse::<f64>().unwrap(), own["predictions"][0]["probability"].as_f64().unwrap());
}

#[test]
fn team_6_gets_a_class_for_each_url() {
    let server = Server::start(&[]);
    let answer = server.json(format!(r#"{{"data":["{LEGITIMATE}","{PHISHING}"]}}"#).as_bytes());
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.body, "{\"prediction\":[0,1]}\n");
}

#[test]
fn team_9_gets_a_matrix_beside_our_own_answer() {
    let server = Server::start(&[]);
    let one = server.json(format!(r#"{{"url":"{PHISHING}"}}"#).as_bytes()).json();
    assert!(one["prediction"][0][0].as_f64().unwrap() > 0.9);
    assert_eq!(one["prediction"][0][0], one["predictions"][0]["probability"]);
    let many = server.json(format!(r#"{{"urls":["{PHISHING}"]}}"#).as_bytes()).json();
    assert!(many.get("prediction").is_none());
}

#[test]
fn their_pages_of_the_interface_are_answered() {
    let server = Server::start(&[]);
    for (path, link) in
        [("/swagger", "href=\"openapi.json\""), ("/apidocs/", "href=\"../openapi.json\""), ("/docs", "href=\"openapi.json\"")]
    {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")), "{path}");
        assert!(answer.body.contains(link) && answer.body.contains("<code>POST /predict</code>"), "{path}: {}", answer.body);
        assert!(answer.body.contains("{&quot;url&quot;:&quot;http://192.0.2.7/paypal/webscr/login.php&quot;}"), "{}", answer.body);
        assert!(!answer.body.contains("src=") && !answer.body.contains("http-equiv"), "nothing is loaded");
    }
}
