//! Redis Cluster.

use super::Redis;
use crate::{free_port, until};

/// Three masters without replicas.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
    /// As the nodes call themselves.
    ids: Vec<String>,
}

const NODES: usize = 3;
const SLOTS: usize = 16384;

/// Keys moved at once with their slot.
const KEYS_MOVED_MAX: &str = "100";

impl RedisCluster {
    /// All of it, when each node knows it to be whole.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more lines in the configuration of each node.
    #[must_use]
    pub fn start_with(options: &[(&str, &str)]) -> Self {
        let started: Vec<_> = (0..NODES).map(|_| start_node(options)).collect();
        let first_bus_port = started[0].1.clone();
        let nodes: Vec<_> = started.into_iter().map(|(node, _)| node).collect();
        for (number, node) in nodes.iter().enumerate() {
            let first = number * SLOTS / NODES;
            let last = (number + 1) * SLOTS / NODES - 1;
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
        }
        let first = nodes[0].address();
        for node in &nodes[1..] {
            let (host, port) = (first.ip().to_string(), first.port().to_string());
            node.command(&["CLUSTER", "MEET", &host, &port, &first_bus_port]);
        }
        let ids = nodes.iter().map(|node| node.command(&["CLUSTER", "MYID"]).text().to_owned()).collect();
        let cluster = Self { nodes, ids };
        cluster.wait_until_whole();
        cluster
    }

    /// How it is reached.
    #[must_use]
    pub fn url(&self) -> String {
        let others: Vec<_> = self.nodes[1..].iter().map(|node| format!("node={}", node.address())).collect();
        format!("redis-cluster://{}?{}", self.nodes[0].address(), others.join("&"))
    }

    /// A node.
    #[must_use]
    pub fn node(&self, number: usize) -> &Redis {
        &self.nodes[number]
    }

    /// A node.
    pub fn node_mut(&mut self, number: usize) -> &mut Redis {
        &mut self.nodes[number]
    }

    /// How many nodes there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// The slot of a key or channel.
    #[must_use]
    pub fn slot(&self, key: &str) -> u16 {
        let slot = self.nodes[0].command(&["CLUSTER", "KEYSLOT", key]).integer();
        u16::try_from(slot).expect("a slot")
    }

    /// Which node says that the slot is its own.
    #[must_use]
    pub fn owner(&self, slot: u16) -> usize {
        let owns = |number: &usize| self.owner_by(*number, slot) == Some(*number);
        (0..self.nodes.len()).find(owns).unwrap_or_else(|| panic!("nobody owns slot {slot}"))
    }

    /// Which node owns the slot, as one of them sees it.
    fn owner_by(&self, number: usize, slot: u16) -> Option<usize> {
        let ranges = self.nodes[number].command(&["CLUSTER", "SLOTS"]);
        ranges.list().iter().find_map(|range| {
            let [first, last, node, ..] = range.list() else { panic!("no range of slots: {range:?}") };
            let within = (first.integer()..=last.integer()).contains(&i64::from(slot));
            within.then(|| self.ids.iter().position(|id| id == node.list()[2].text()))?
        })
    }

    /// Moves a slot with its keys to a node, as `redis-cli --cluster reshard` does.
    pub fn move_slot(&self, slot: u16, to: usize) {
        let from = self.owner(slot);
        assert_ne!(from, to, "slot {slot} lies there");
        let name = slot.to_string();
        self.nodes[to].command(&["CLUSTER", "SETSLOT", &name, "IMPORTING", &self.ids[from]]);
        self.nodes[from].command(&["CLUSTER", "SETSLOT", &name, "MIGRATING", &self.ids[to]]);
        let target = self.nodes[to].address();
        let (host, port) = (target.ip().to_string(), target.port().to_string());
        loop {
            let keys = self.nodes[from].command(&["CLUSTER", "GETKEYSINSLOT", &name, KEYS_MOVED_MAX]);
            if keys.list().is_empty() {
                break;
            }
            let mut words = vec!["MIGRATE", &host, &port, "", "0", "5000", "KEYS"];
            words.extend(keys.list().iter().map(|key| key.text()));
            self.nodes[from].command(&words);
        }
        // The new owner first, so that the old one's "moved" is never wrong.
        let others = (0..self.nodes.len()).filter(|number| ![from, to].contains(number));
        for number in [to, from].into_iter().chain(others) {
            self.nodes[number].command(&["CLUSTER", "SETSLOT", &name, "NODE", &self.ids[to]]);
        }
        // After moves in quick succession old news can overtake the new, and nodes disagree for ever.
        until("all nodes agree on the slot", || {
            let disagree = |number: &usize| self.owner_by(*number, slot) != Some(to);
            let wrong: Vec<_> = (0..self.nodes.len()).filter(disagree).collect();
            for number in &wrong {
                self.nodes[*number].command(&["CLUSTER", "SETSLOT", &name, "NODE", &self.ids[to]]);
            }
            wrong.is_empty().then_some(())
        });
        self.nodes[to].command(&["CLUSTER", "BUMPEPOCH"]);
    }

    /// Waits until every node says that all slots are served, by three nodes.
    pub fn wait_until_whole(&self) {
        for node in &self.nodes {
            until("the cluster is whole", || {
                let info = node.try_command(&["CLUSTER", "INFO"]).ok()?;
                let whole = ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_size:3"];
                whole.iter().all(|line| info.text().lines().any(|l| l == *line)).then_some(())
            });
        }
    }
}

/// A node, and the port at which the others reach it.
fn start_node(options: &[(&str, &str)]) -> (Redis, String) {
    let port = free_port().to_string();
    let mut all = vec![
        ("cluster-enabled", "yes"),
        ("cluster-config-file", "nodes.conf"),
        ("cluster-node-timeout", "1000"),
        ("cluster-port", &port),
    ];
    all.extend_from_slice(options);
    let node = Redis::start_with(&all);
    (node, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_moves_with_its_keys() {
        let cluster = RedisCluster::start();
        let slot = cluster.slot("key");
        let from = cluster.owner(slot);
        cluster.node(from).command(&["SET", "key", "value"]);
        let to = (from + 1) % cluster.size();
        cluster.move_slot(slot, to);
        assert_eq!(cluster.owner(slot), to);
        assert_eq!(cluster.node(to).command(&["GET", "key"]).text(), "value");
        assert!(cluster.node(from).try_command(&["GET", "key"]).unwrap_err().contains("MOVED"));
    }

    #[test]
    fn a_node_that_comes_back_keeps_its_slots() {
        let mut cluster = RedisCluster::start();
        let owner = cluster.owner(0);
        cluster.node_mut(owner).kill_9();
        cluster.node_mut(owner).restart_wiped();
        cluster.wait_until_whole();
        assert_eq!(cluster.owner(0), owner);
    }
}
