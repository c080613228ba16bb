//! The page with the form; it needs no JavaScript.

use std::sync::LazyLock;

use handlebars::Handlebars;
use serde::Serialize;

use crate::model::{About, Verdict};

/// What the page shows besides the form.
#[derive(Default)]
pub struct Shown<'a> {
    /// What stands in the field.
    pub url: &'a str,
    pub answer: Option<(Verdict, f32)>,
    pub error: Option<&'a str>,
}

#[derive(Serialize)]
struct Context<'a> {
    url: &'a str,
    verdict: Option<&'static str>,
    phishing: bool,
    percent: String,
    error: Option<&'a str>,
    about: &'a About,
    short_id: &'a str,
    app_version: &'a str,
}

static TEMPLATES: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut templates = Handlebars::new();
    templates.set_strict_mode(true);
    templates.register_template_string("page", include_str!("page.hbs")).expect("the bundled template is valid");
    templates
});

/// The page as HTML; what a user typed is escaped.
pub fn html(shown: &Shown<'_>, about: &About, app_version: &str) -> String {
    let context = Context {
        url: shown.url,
        verdict: shown.answer.map(|(verdict, _)| verdict.name()),
        phishing: shown.answer.is_some_and(|(verdict, _)| verdict == Verdict::Phishing),
        percent: shown.answer.map(|(_, probability)| format!("{:.1}", probability * 100.0)).unwrap_or_default(),
        error: shown.error,
        about,
        short_id: &about.id[..12],
        app_version,
    };
    TEMPLATES.render("page", &context).expect("every name of the template is in its context")
}
