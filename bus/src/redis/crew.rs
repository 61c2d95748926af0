//! One task for each server there is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;

use tokio::task::{AbortHandle, JoinSet};

use super::address::Server;
use super::topology::{Topology, View};

/// Who is hired for a server, and what else follows from what is known of the servers.
pub(super) trait Foreman {
    /// The work for a server that was found. It does not end by itself.
    fn hire(&mut self, server: &Server) -> impl Future<Output = ()> + Send + 'static;

    /// A server is none any more; its work has been stopped.
    fn dismiss(&mut self, server: &Server);

    /// No server can be found.
    fn handle_unreachable(&mut self);
}

/// Keeps one task going for each server, for ever.
pub(super) async fn keep(topology: &Topology, mut foreman: impl Foreman) {
    let mut view = topology.watch();
    let mut tasks = JoinSet::new();
    let mut crew: HashMap<Server, AbortHandle> = HashMap::new();
    loop {
        let servers = match &*view.borrow_and_update() {
            View::Known(shards) => shards.servers().to_vec(),
            View::Unreachable => {
                foreman.handle_unreachable();
                Vec::new()
            }
            View::Unknown => Vec::new(),
        };
        crew.retain(|server, task| {
            let stays = servers.contains(server) && !task.is_finished();
            if !stays {
                task.abort();
                foreman.dismiss(server);
            }
            stays
        });
        for server in servers {
            if let Entry::Vacant(vacant) = crew.entry(server) {
                let task = tasks.spawn(foreman.hire(vacant.key()));
                vacant.insert(task);
            }
        }
        tokio::select! {
            // The topology lives as long as those who look at it.
            _ = view.changed() => {}
            Some(ended) = tasks.join_next() => {
                // Only a fault of ours ends one that was not dismissed: it is hired anew, and its link hears of it.
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!(%error, "a connection to Redis failed");
                }
            }
        }
    }
}
