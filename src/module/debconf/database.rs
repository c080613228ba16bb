//! debconf's database: records with empty lines between, `Name`, `Template`, `Value`, `Owners`.

use std::collections::{BTreeMap, HashMap};

/// Questions with their answers.
#[derive(Default)]
pub(super) struct Database {
    /// As it is written.
    text: String,
    questions: BTreeMap<String, Question>,
}

#[derive(Default)]
struct Question {
    value: Option<String>,
    /// What holds where nobody answered.
    default: String,
    owners: Vec<String>,
}

/// The fields of each record, by names in small letters; values of many lines have `\n` for their ends.
fn records(text: &str) -> impl Iterator<Item = HashMap<String, &str>> {
    text.split("\n\n").map(|record| {
        let fields = record.lines().filter(|line| !line.starts_with(char::is_whitespace)).filter_map(|line| line.split_once(':'));
        fields.map(|(name, value)| (name.to_lowercase(), value.strip_prefix(' ').unwrap_or(value))).collect()
    })
}

impl Database {
    /// `templates` has the defaults.
    pub fn read(text: &str, templates: &str) -> Self {
        let default = |record: HashMap<String, &str>| Some(((*record.get("name")?).to_owned(), decoded(record.get("default")?)));
        let defaults: HashMap<String, String> = records(templates).filter_map(default).collect();
        let question = |record: HashMap<String, &str>| {
            let name = *record.get("name")?;
            let template = record.get("template").copied().unwrap_or(name);
            let owners = record.get("owners").map(|owners| owners.split(',').map(|owner| owner.trim().to_owned()).collect());
            let question = Question {
                value: record.get("value").map(|value| decoded(value)),
                default: defaults.get(template).cloned().unwrap_or_default(),
                owners: owners.unwrap_or_default(),
            };
            Some((name.to_owned(), question))
        };
        Self { text: text.to_owned(), questions: records(text).filter_map(question).collect() }
    }

    /// A package's questions with what holds, as `debconf-show` has it.
    pub fn of(&self, package: &str) -> BTreeMap<String, String> {
        let own = self.questions.iter().filter(|(_, question)| question.owners.iter().any(|owner| owner == package));
        own.map(|(name, question)| (name.clone(), question.value.as_deref().unwrap_or(&question.default).trim().to_owned())).collect()
    }

    /// What was answered.
    pub fn value(&self, question: &str) -> Option<&str> {
        self.questions.get(question)?.value.as_deref()
    }

    /// The database's text with another answer: of two records with one name the last counts here.
    pub fn with(&self, package: &str, question: &str, answer: &str) -> String {
        let mut owners = self.questions.get(question).map(|question| question.owners.clone()).unwrap_or_default();
        if !owners.iter().any(|owner| owner == package) {
            owners.push(package.to_owned());
        }
        let answer = answer.replace('\n', "\\n");
        format!("{}\n\nName: {question}\nTemplate: {question}\nValue: {answer}\nOwners: {}\nFlags: seen\n\n", self.text.trim_end(), owners.join(", "))
    }
}

fn decoded(value: &str) -> String {
    value.replace("\\n", "\n")
}
