//! A Redis that Sentinels watch over.

use std::net::{Ipv4Addr, SocketAddr};

use super::{PORTS_TRIED_MAX, Redis, Reply, reply, sentinel};
use crate::{Process, free_port, until};

/// Two servers, the first of them the master at the start, and three Sentinels that notice within half a
/// second that it is gone.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<Redis>,
    sentinels: Vec<(Process, u16)>,
}

/// What the Sentinels call it.
const NAME: &str = "squall";

const SENTINELS: usize = 3;

/// A replica follows at once, not after five seconds in which others might want to.
const QUICK_SYNC: (&str, &str) = ("repl-diskless-sync-delay", "0");

impl Sentinels {
    /// All of it, when each knows all others.
    #[must_use]
    pub fn start() -> Self {
        let master = Redis::start_with(&[QUICK_SYNC]);
        let host = master.address();
        let replica =
            Redis::start_with(&[QUICK_SYNC, ("replicaof", &format!("{} {}", host.ip(), host.port()))]);
        until("the replica follows", || {
            let info = replica.command(&["INFO", "replication"]);
            info.text().contains("master_link_status:up").then_some(())
        });
        let sentinels = (0..SENTINELS).map(|_| start_sentinel(host)).collect();
        let sentinels = Self { servers: vec![master, replica], sentinels };
        for number in 0..SENTINELS {
            until("the Sentinels know each other and the replica", || {
                sentinels.knows_all(number).then_some(())
            });
        }
        sentinels
    }

    /// How the master is reached, whichever it is.
    #[must_use]
    pub fn url(&self) -> String {
        let mut nodes = self.sentinels.iter().map(|(_, port)| format!("127.0.0.1:{port}"));
        let first = nodes.next().unwrap_or_default();
        let others: String = nodes.map(|node| format!("&node={node}")).collect();
        format!("redis-sentinel://{first}?sentinelServiceName={NAME}{others}")
    }

    /// Which of the servers the Sentinels take for the master.
    #[must_use]
    pub fn master(&self) -> usize {
        let reply =
            self.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).expect("a Sentinel that answers");
        let port = reply.list()[1].text().to_owned();
        let found = self.servers.iter().position(|server| server.address().port().to_string() == port);
        found.unwrap_or_else(|| panic!("no server of ours: {reply:?}"))
    }

    /// A server.
    #[must_use]
    pub fn server(&self, number: usize) -> &Redis {
        &self.servers[number]
    }

    /// A server.
    pub fn server_mut(&mut self, number: usize) -> &mut Redis {
        &mut self.servers[number]
    }

    /// A Sentinel's process.
    #[must_use]
    pub fn sentinel(&self, number: usize) -> &Process {
        &self.sentinels[number].0
    }

    /// Has the Sentinels make the other server the master, and waits until they did.
    pub fn fail_over(&self) {
        let before = self.master();
        let other = &self.servers[1 - before];
        until("the other server follows the master", || {
            // A Sentinel that makes it follow ends its connections.
            let info = other.try_command(&["INFO", "replication"]).ok()?;
            info.text().contains("master_link_status:up").then_some(())
        });
        // They refuse or give up as long as they have not noticed that the other server follows.
        until("another master", || {
            let _ = self.ask(&["SENTINEL", "FAILOVER", NAME]);
            self.is_master_now(before)
        });
    }

    /// Waits until the Sentinels agree on another master than this.
    pub fn wait_for_another_master(&self, before: usize) {
        until("another master", || self.is_master_now(before));
    }

    /// Whether another than `before` is the master, and says so itself.
    fn is_master_now(&self, before: usize) -> Option<()> {
        let after = self.master();
        let role = self.servers[after].try_command(&["ROLE"]).ok()?;
        (after != before && role.list()[0].text() == "master").then_some(())
    }

    /// What the first Sentinel that answers says.
    fn ask(&self, words: &[&str]) -> Result<Reply, String> {
        let mut last = Err("no Sentinel".to_owned());
        for (_, port) in &self.sentinels {
            last = reply::ask((Ipv4Addr::LOCALHOST, *port).into(), words);
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// Whether a Sentinel could have the other server take over at once.
    fn knows_all(&self, number: usize) -> bool {
        let (_, port) = &self.sentinels[number];
        let ask = |what: &str| {
            let reply = reply::ask((Ipv4Addr::LOCALHOST, *port).into(), &["SENTINEL", what, NAME]);
            reply.map_or(Vec::new(), |reply| reply.list().to_vec())
        };
        // One that it has not seen linked to its master is never chosen.
        let follows = |replica: &Reply| {
            let fields: Vec<_> = replica.list().iter().map(Reply::text).collect();
            fields.chunks(2).any(|field| field == ["master-link-status", "ok"])
        };
        let replicas = ask("REPLICAS");
        ask("SENTINELS").len() == SENTINELS - 1
            && replicas.len() == self.servers.len() - 1
            && replicas.iter().all(follows)
    }
}

fn start_sentinel(master: SocketAddr) -> (Process, u16) {
    for _ in 0..PORTS_TRIED_MAX {
        let (dir, port) = (Process::dir("sentinel"), free_port());
        let configuration = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\n\
             sentinel monitor {NAME} {} {} 2\n\
             sentinel down-after-milliseconds {NAME} 500\n\
             sentinel failover-timeout {NAME} 3000\n",
            dir.path().display(),
            master.ip(),
            master.port(),
        );
        let command = sentinel(&dir, &configuration);
        let mut process = Process::start(command, dir);
        // They speak to each other and look at the servers more often than in production. Five periods of pings
        // are how old a replica's words may be, which come each second without a master.
        let quick =
            ["SENTINEL", "DEBUG", "PUBLISH-PERIOD", "200", "PING-PERIOD", "300", "INFO-PERIOD", "300"];
        let ready = until("redis-sentinel answers", || {
            if process.has_ended() {
                return Some(false);
            }
            reply::ask((Ipv4Addr::LOCALHOST, port).into(), &quick).is_ok().then_some(true)
        });
        if ready {
            return (process, port);
        }
    }
    panic!("redis-sentinel does not start");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_server_becomes_the_master() {
        let mut sentinels = Sentinels::start();
        assert_eq!(sentinels.master(), 0);
        sentinels.server_mut(0).kill_9();
        sentinels.wait_for_another_master(0);
        assert_eq!(sentinels.master(), 1);
        sentinels.server_mut(0).restart();
        sentinels.fail_over();
        assert_eq!(sentinels.master(), 0);
    }
}
