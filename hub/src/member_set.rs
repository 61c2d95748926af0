//! A set of users that many events share.

use std::sync::Arc;

use roaring::RoaringBitmap;
use squall_protocol::UserId;

/// An immutable set of users, cheap to clone; changing one copies it only if somebody else holds it.
///
/// As an event's stamp it is the audience as of the event's sequence: whoever reads it later, live, from
/// the ring or in catch-up, reads the same answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemberSet(Arc<RoaringBitmap>);

impl MemberSet {
    /// Whether `user` is in it.
    #[must_use]
    pub fn contains(&self, user: UserId) -> bool {
        self.0.contains(user.0)
    }

    /// How many users are in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether nobody is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds `user`.
    pub fn insert(&mut self, user: UserId) {
        if !self.contains(user) {
            Arc::make_mut(&mut self.0).insert(user.0);
        }
    }

    /// Takes `user` out.
    pub fn remove(&mut self, user: UserId) {
        if self.contains(user) {
            Arc::make_mut(&mut self.0).remove(user.0);
        }
    }

    /// Adds everybody of `other`.
    pub fn union_with(&mut self, other: &Self) {
        if self.is_empty() {
            *self = other.clone();
        } else if !self.same_as(other) {
            *Arc::make_mut(&mut self.0) |= &*other.0;
        }
    }

    /// The users in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(Arc::new(&*self.0 & &*other.0))
    }

    /// Whether everybody in it is in `other` too.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.same_as(other) || self.0.is_subset(&other.0)
    }

    /// The users in it, ascending.
    pub fn iter(&self) -> impl Iterator<Item = UserId> + '_ {
        self.0.iter().map(UserId)
    }

    /// Whether both are one set in memory: then they are equal at no cost. Different ones may be equal too.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Gives back what growing left over.
    pub(crate) fn shrink(&mut self) {
        // A copy has no more than it needs.
        self.0 = Arc::new((*self.0).clone());
    }

    /// What it takes in memory, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.serialized_size() + size_of::<RoaringBitmap>()
    }
}

impl FromIterator<UserId> for MemberSet {
    fn from_iter<I: IntoIterator<Item = UserId>>(users: I) -> Self {
        Self(Arc::new(users.into_iter().map(|user| user.0).collect()))
    }
}
