//! What hosts have told, and where they were: one that runs ahead must not show its future to those behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::order::Place;
use crate::program::{Key, Map, Value};

/// A host's variables over the run.
#[derive(Debug, Default)]
pub struct Told {
    /// Each value with the place of the task that gave it, in the order in which they were told.
    history: BTreeMap<Arc<str>, Vec<(Place, Value)>>,
}

impl Told {
    pub fn tell(&mut self, place: &Place, variables: Map) {
        for (key, value) in variables {
            self.history.entry(Arc::from(&*key.text())).or_default().push((place.clone(), value));
        }
    }

    /// The value as `linear` order shows it to a task at `place`.
    pub fn get(&self, name: &str, place: &Place) -> Option<&Value> {
        self.history.get(name)?.iter().rev().find(|(told, _)| !told.is_past(place)).map(|(_, value)| value)
    }

    /// All of them.
    pub fn before(&self, place: &Place) -> Map {
        self.history.keys().filter_map(|name| Some((Key::from(Arc::clone(name)), self.get(name, place)?.clone()))).collect()
    }

    pub fn clear(&mut self) {
        self.history.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Position;

    fn at(path: &[u32]) -> Place {
        Place { position: Position(path.to_vec()), batch: 0, lap: 0 }
    }

    #[test]
    fn a_task_sees_what_was_told_before_it_and_nothing_later() {
        let mut told = Told::default();
        told.tell(&at(&[0, 4, 1]), crate::map! { "x" => 1 });
        told.tell(&at(&[0, 4, 3]), crate::map! { "x" => 2, "y" => 1 });
        let x = |place: &[u32]| told.get("x", &at(place)).cloned();
        assert_eq!(x(&[0, 4, 1]), None, "the task itself");
        assert_eq!(x(&[0, 4, 2]), Some(Value::Int(1)), "the other host has run ahead");
        assert_eq!(x(&[1, 0]), Some(Value::Int(2)));
        assert_eq!(told.before(&at(&[0, 4, 3])).len(), 1);
        assert_eq!(told.before(&at(&[0, 4, 4])).len(), 2);
    }
}
