//! Who is connected to this node, over all shards.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use squall_protocol::UserId;

/// Counts the sessions of each user. Asked when a session opens and when it ends, never in between.
#[derive(Debug, Clone)]
pub(crate) struct Registry(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    sessions: DashMap<UserId, u32>,
    per_user_max: u32,
}

/// A session's place in the registry, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Registry,
    user: UserId,
}

/// A user has as many sessions as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionsMax(pub(crate) u32);

impl Registry {
    pub(crate) fn new(per_user_max: u32) -> Self {
        Self(Arc::new(Counts { sessions: DashMap::new(), per_user_max }))
    }

    /// Takes a place for one more session of `user`.
    pub(crate) fn register(&self, user: UserId) -> Result<Registration, SessionsMax> {
        let Counts { sessions, per_user_max } = &*self.0;
        let mut count = sessions.entry(user).or_insert(0);
        if *count >= *per_user_max {
            return Err(SessionsMax(*per_user_max));
        }
        *count += 1;
        Ok(Registration { registry: self.clone(), user })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.registry.0.sessions.entry(self.user) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_so_many_sessions_and_gets_their_places_back() {
        let registry = Registry::new(2);
        let first = registry.register(UserId(1));
        let _second = registry.register(UserId(1));
        assert!(registry.register(UserId(2)).is_ok(), "others are not touched");
        assert_eq!(registry.register(UserId(1)).err(), Some(SessionsMax(2)));
        drop(first);
        assert!(registry.register(UserId(1)).is_ok());
        assert!(!registry.0.sessions.contains_key(&UserId(2)), "nothing is left of whoever left");
    }
}
