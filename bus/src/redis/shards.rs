//! Which server of Redis is responsible for what.

use super::address::Server;
use super::channel::{SLOTS, Slot};
use super::wire::Answer;

/// The servers there are, with their slots. None are known at first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shards {
    /// In order, each once.
    servers: Vec<Server>,
    /// First and last slot, and which server; in order, without overlaps.
    ranges: Vec<(u16, u16, usize)>,
}

impl Shards {
    /// One server for everything.
    pub(super) fn single(server: Server) -> Self {
        Self { servers: vec![server], ranges: vec![(0, SLOTS - 1, 0)] }
    }

    /// From the answer to `CLUSTER SLOTS` of `asked`; `None` if it makes no sense.
    pub(super) fn read(answer: &Answer, asked: &Server) -> Option<Self> {
        let mut owners = Vec::new();
        for range in answer.list() {
            let [first, last, master, ..] = range.list() else { return None };
            let bound = |answer: &Answer| u16::try_from(answer.integer()?).ok().filter(|slot| *slot < SLOTS);
            let [host, port, ..] = master.list() else { return None };
            // A node that does not know its own name means the one it was asked by.
            let host = host.text().filter(|host| !["", "?"].contains(host)).unwrap_or(&asked.host);
            let port = u16::try_from(port.integer()?).ok()?;
            owners.push((bound(first)?, bound(last)?, Server { host: host.to_owned(), port }));
        }
        owners.sort();
        let ordered = owners.iter().all(|(first, last, _)| first <= last);
        let apart = owners.windows(2).all(|pair| pair[0].1 < pair[1].0);
        if owners.is_empty() || !ordered || !apart {
            return None;
        }
        let mut servers: Vec<_> = owners.iter().map(|(.., server)| server.clone()).collect();
        servers.sort();
        servers.dedup();
        let number = |server: &Server| servers.binary_search(server).unwrap_or_default();
        let ranges = owners.iter().map(|(first, last, server)| (*first, *last, number(server))).collect();
        Some(Self { servers, ranges })
    }

    /// All servers.
    pub(super) fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Who is responsible for a slot.
    pub(super) fn owner(&self, slot: Slot) -> Option<&Server> {
        let after = self.ranges.partition_point(|(first, ..)| *first <= slot.0);
        let (_, last, server) = self.ranges.get(after.checked_sub(1)?)?;
        (slot.0 <= *last).then(|| &self.servers[*server])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(port: u16) -> Server {
        Server { host: "h".into(), port }
    }

    fn text(words: &str) -> Answer {
        Answer::Text(words.into())
    }

    fn range(first: i64, last: i64, host: &str, port: i64) -> Answer {
        let node = Answer::List(vec![text(host), Answer::Integer(port), text("id")]);
        Answer::List(vec![Answer::Integer(first), Answer::Integer(last), node])
    }

    #[test]
    fn each_slot_has_the_owner_the_cluster_says() {
        let answer =
            Answer::List(vec![range(100, 200, "", 3), range(0, 99, "h", 1), range(300, 16383, "h", 1)]);
        let shards = Shards::read(&answer, &server(9)).unwrap();
        assert_eq!(shards.servers(), [server(1), server(3)]);
        for (slot, owner) in [(0, Some(1)), (99, Some(1)), (100, Some(3)), (200, Some(3)), (201, None)] {
            assert_eq!(shards.owner(Slot(slot)), owner.map(server).as_ref(), "slot {slot}");
        }
        assert_eq!(shards.owner(Slot(16383)), Some(&server(1)));
        assert_eq!(Shards::default().owner(Slot(0)), None);
        assert_eq!(Shards::single(server(5)).owner(Slot(16383)), Some(&server(5)));
    }

    #[test]
    fn nonsense_is_no_answer() {
        for nonsense in [
            Answer::Nil,
            Answer::List(vec![]),
            Answer::List(vec![text("x")]),
            Answer::List(vec![range(0, 16384, "h", 1)]),
            Answer::List(vec![range(5, 4, "h", 1)]),
            Answer::List(vec![range(0, 5, "h", 1), range(5, 9, "h", 2)]),
            Answer::List(vec![range(0, 5, "h", 70_000)]),
        ] {
            assert_eq!(Shards::read(&nonsense, &server(9)), None, "{nonsense:?}");
        }
    }
}
