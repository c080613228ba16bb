//! What `ensure` would do to each machine, as data for the plan: `+`, `~`, `-/+`, `-`.

use serde::{Deserialize, Serialize};

use super::machines::{Machine, Memory};
use super::{Made, NodeStatus, State};

/// One machine's line of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// `+`: it does not exist.
    Make,
    /// It exists and is off.
    Start,
    /// `~`: in place, without a restart; each difference as `cpus 2 → 4`.
    Resize(Vec<String>),
    /// `-/+`: only a new one can follow the file: `destroy` it, then `ensure`.
    Replace(Vec<String>),
    /// `-`: it left the file; `ensure` does not touch it, `destroy` does.
    Remove,
    /// It runs as the file says.
    Keep,
}

/// Compare a machine of the file with what is there. `image` is the id of the image that the file means.
pub fn change(status: &NodeStatus, machine: Option<&Machine>, image: &str) -> Change {
    let Some(machine) = machine else {
        return Change::Remove;
    };
    let Some(made) = &status.made else {
        return Change::Make;
    };
    let (replaced, resized) = differences(made, machine, image);
    if !replaced.is_empty() {
        Change::Replace(replaced)
    } else if !resized.is_empty() {
        Change::Resize(resized)
    } else if status.state == State::Stopped {
        Change::Start
    } else {
        Change::Keep
    }
}

fn differences(made: &Made, machine: &Machine, image: &str) -> (Vec<String>, Vec<String>) {
    let mut replaced = Vec::new();
    let mut resized = Vec::new();
    if made.address != machine.address {
        replaced.push(format!("address {} → {}", made.address, machine.address));
    }
    if made.image != image {
        replaced.push(format!("image {} → {image}", made.image));
    }
    if made.cpus != machine.cpus {
        resized.push(format!("cpus {} → {}", made.cpus, machine.cpus));
    }
    if made.memory != machine.memory.0 {
        resized.push(format!("memory {} → {}", Memory(made.memory), machine.memory));
    }
    (replaced, resized)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::machines::ProviderKind;

    #[test]
    fn each_difference_is_named_and_the_gravest_decides() {
        let machine = Machine {
            name: "a".try_into().unwrap(),
            address: [10, 0, 0, 2].into(),
            network: Some("10.0.0.0/24".parse().unwrap()),
            cpus: 2,
            memory: Memory(2 << 30),
            image: "debian-12".into(),
            groups: Vec::new(),
            provider: ProviderKind::Container,
            entry: 0,
        };
        let made = Made { address: machine.address, cpus: 2, memory: 2 << 30, image: "i-1".into(), host_key: String::new() };
        let status = |made: Option<Made>, state| NodeStatus {
            name: machine.name.clone(),
            address: machine.address,
            state,
            reason: None,
            in_file: true,
            made,
        };
        let seen = |made: Option<Made>, state| change(&status(made, state), Some(&machine), "i-1");
        assert_eq!(seen(None, State::Absent), Change::Make);
        assert_eq!(seen(Some(made.clone()), State::Ready), Change::Keep);
        assert_eq!(seen(Some(made.clone()), State::Stopped), Change::Start);
        let small = Made { memory: 1 << 30, ..made.clone() };
        assert_eq!(seen(Some(small.clone()), State::Ready), Change::Resize(vec!["memory 1 GiB → 2 GiB".into()]));
        let moved = Made { address: [10, 0, 0, 9].into(), ..small };
        assert_eq!(seen(Some(moved), State::Ready), Change::Replace(vec!["address 10.0.0.9 → 10.0.0.2".into()]));
        assert_eq!(change(&status(Some(made), State::Ready), None, "i-1"), Change::Remove);
    }
}
