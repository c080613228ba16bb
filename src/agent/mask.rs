//! Keeps secrets out of everything that leaves the evaluator: events, logs, the journal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use crate::program::{Layer, Program, Step, Tree, Value};

/// The secret texts known so far. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Masker {
    secrets: Arc<RwLock<Vec<Arc<str>>>>,
    /// The task in hand says `no_log`.
    silent: Arc<AtomicBool>,
}

/// What stands for a thing that `no_log` hides.
pub const HIDDEN: &str = "(hidden by no_log)";

/// Texts shorter than this are not searched for in other texts (`a` is everywhere); values marked secret are hidden
/// whatever their length.
const SHORTEST: usize = 3;

impl Masker {
    /// Whether what programs print, and how they are called, is kept back altogether.
    pub fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::SeqCst);
    }

    /// A line that a program prints, fit to be shown; `None`: not at all.
    pub fn line(&self, line: &str) -> Option<String> {
        (!self.silent.load(Ordering::SeqCst)).then(|| self.mask(line))
    }

    /// Remembers every secret text inside.
    pub fn learn(&self, value: &Value) {
        match value {
            Value::Text(text) if text.is_secret() => self.add(text.as_str()),
            Value::List(items) | Value::Tuple(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Map(entries) => entries.values().for_each(|item| self.learn(item)),
            _ => {}
        }
    }

    /// Remembers one secret, and each of its lines.
    pub fn add(&self, secret: &str) {
        let Ok(mut secrets) = self.secrets.write() else { return };
        let lines = secret.lines().filter(|line| line.len() >= 8 && secret.contains('\n'));
        for text in std::iter::once(secret.trim_end_matches('\n')).chain(lines) {
            if text.len() >= SHORTEST && !secrets.iter().any(|known| **known == *text) {
                secrets.push(text.into());
            }
        }
        secrets.sort_by_key(|text| std::cmp::Reverse(text.len()));
    }

    /// Remembers the secrets of a program.
    pub fn learn_program(&self, program: &Program) {
        let layers = program.inventory.iter().chain([&program.extra]).chain(&program.layers);
        layers.chain(program.fragments.vars.values().map(|layer| &**layer)).for_each(|layer| self.learn_layer(layer));
        for play in &program.plays {
            self.learn_layer(&play.keywords.vars);
            for steps in [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks, &play.handlers] {
                self.learn_steps(steps);
            }
        }
        program.fragments.tasks.values().for_each(|steps| self.learn_steps(steps));
    }

    fn learn_steps(&self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Task(task) => {
                    self.learn_layer(&task.keywords.vars);
                    task.arguments.named.iter().for_each(|argument| self.learn_tree(&argument.value));
                }
                Step::Include(include) => self.learn_layer(&include.keywords.vars),
                Step::Block(block) => {
                    self.learn_layer(&block.keywords.vars);
                    [&block.block, &block.rescue, &block.always].into_iter().for_each(|steps| self.learn_steps(steps));
                }
            }
        }
    }

    pub fn learn_layer(&self, layer: &Layer) {
        layer.variables.iter().for_each(|variable| self.learn_tree(&variable.value));
    }

    fn learn_tree(&self, tree: &Tree) {
        match tree {
            Tree::Literal(value) => self.learn(value),
            Tree::List(items) => items.iter().for_each(|item| self.learn_tree(item)),
            Tree::Map(entries) => entries.iter().for_each(|(_, value)| self.learn_tree(value)),
            Tree::Template(_) | Tree::Expression(_) => {}
        }
    }

    /// The text with every known secret replaced by `***`.
    pub fn mask(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        if let Ok(secrets) = self.secrets.read() {
            for secret in secrets.iter() {
                if masked.contains(&**secret) {
                    masked = masked.replace(&**secret, "***");
                }
            }
        }
        masked
    }

    /// Whether a known secret stands in the text.
    pub fn finds(&self, text: &str) -> bool {
        self.secrets.read().is_ok_and(|secrets| secrets.iter().any(|secret| text.contains(&**secret)))
    }

    /// The secrets that stand in texts of the value.
    pub fn within(&self, value: &Value) -> Vec<Arc<str>> {
        fn stands(secret: &str, value: &Value) -> bool {
            match value {
                Value::Text(text) => text.as_str().contains(secret),
                Value::List(items) | Value::Tuple(items) => items.iter().any(|item| stands(secret, item)),
                Value::Map(entries) => entries.values().any(|item| stands(secret, item)),
                _ => false,
            }
        }
        self.secrets.read().map(|secrets| secrets.iter().filter(|secret| stands(secret, value)).cloned().collect()).unwrap_or_default()
    }

    /// Whether a value is or holds a secret, by mark or by content.
    pub fn finds_in(&self, value: &Value) -> bool {
        match value {
            Value::Text(text) => text.is_secret() || self.finds(text.as_str()),
            Value::List(items) | Value::Tuple(items) => items.iter().any(|item| self.finds_in(item)),
            Value::Map(entries) => entries.iter().any(|(key, item)| self.finds(&key.text()) || self.finds_in(item)),
            _ => false,
        }
    }

    /// The value with secrets replaced, fit to be shown.
    pub fn mask_value(&self, value: &Value) -> Value {
        match value {
            Value::Text(text) if text.is_secret() => Value::text("***"),
            Value::Text(text) => Value::text(self.mask(text.as_str())),
            Value::List(items) => Value::list(items.iter().map(|item| self.mask_value(item)).collect()),
            Value::Tuple(items) => Value::Tuple(Arc::new(items.iter().map(|item| self.mask_value(item)).collect())),
            Value::Map(entries) => Value::map(entries.iter().map(|(key, item)| (key.clone(), self.mask_value(item))).collect()),
            other => other.clone(),
        }
    }
}
