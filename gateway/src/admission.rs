//! Who gets a socket: bounds on all of a node's, and on those of one address.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

/// Counts sockets from their accept to their end, whatever is spoken on them.
#[derive(Debug, Clone)]
pub(crate) struct Admission(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    sockets: AtomicUsize,
    sockets_max: usize,
    by_address: DashMap<IpAddr, u32>,
    /// 0: no limit.
    per_address_max: u32,
}

/// A socket's place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    counts: Arc<Counts>,
    address: IpAddr,
}

/// Why a socket gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The node holds as many as it may.
    Node,
    /// The address has as many as it may.
    Address,
}

/// Descriptors that clients' sockets leave to everything else: the database, the shards' polls, operators,
/// and sockets that are being refused.
pub(crate) const DESCRIPTORS_KEPT: usize = 128;

impl Admission {
    /// Places for `sockets_max` sockets; 0 of an address takes that limit away.
    pub(crate) fn new(sockets_max: usize, per_address_max: u32) -> Self {
        let counts =
            Counts { sockets: AtomicUsize::new(0), sockets_max, by_address: DashMap::new(), per_address_max };
        Self(Arc::new(counts))
    }

    /// Takes a place for one more socket of `address`.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<Place, Full> {
        let Counts { sockets, sockets_max, by_address, per_address_max } = &*self.0;
        if sockets.load(Ordering::Relaxed) >= *sockets_max {
            return Err(Full::Node);
        }
        let mut of_address = by_address.entry(address).or_insert(0);
        if *per_address_max > 0 && *of_address >= *per_address_max {
            return Err(Full::Address);
        }
        *of_address += 1;
        sockets.fetch_add(1, Ordering::Relaxed);
        Ok(Place { counts: Arc::clone(&self.0), address })
    }
}

impl Place {
    /// Whose it is.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.sockets.fetch_sub(1, Ordering::Relaxed);
        if let Entry::Occupied(mut count) = self.counts.by_address.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Full {
    /// The whole answer to whatever was asked.
    pub(crate) fn answer(self) -> &'static [u8] {
        match self {
            Self::Node => {
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\nConnection: close\r\n\r\n"
            }
            Self::Address => {
                b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nRetry-After: 5\r\nConnection: close\r\n\r\n"
            }
        }
    }
}

/// How many sockets the process's descriptors allow: its soft limit, less what is kept.
pub(crate) fn sockets_allowed() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    // Where that can't be read, accepting fails by itself when there are no more.
    soft_limit(&limits).map_or(usize::MAX, |limit| limit.saturating_sub(DESCRIPTORS_KEPT).max(1))
}

fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let admission = Admission::new(10, 2);
        let first = admission.admit(address(1)).unwrap();
        let _second = admission.admit(address(1)).unwrap();
        assert_eq!(admission.admit(address(1)).err(), Some(Full::Address));
        assert!(admission.admit(address(2)).is_ok(), "others are not touched");
        drop(first);
        assert!(admission.admit(address(1)).is_ok());
        assert!(!admission.0.by_address.contains_key(&address(2)), "nothing is left of whoever left");
    }

    #[test]
    fn a_node_has_so_many_places_for_all() {
        let admission = Admission::new(2, 0);
        let first = admission.admit(address(1)).unwrap();
        let _second = admission.admit(address(2)).unwrap();
        assert_eq!(admission.admit(address(3)).err(), Some(Full::Node));
        assert!(!admission.0.by_address.contains_key(&address(3)), "who is refused is not counted");
        drop(first);
        assert!(admission.admit(address(3)).is_ok());
    }

    #[test]
    fn what_is_kept_is_not_for_sockets() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(soft_limit(limits), Some(1_024));
        assert_eq!(soft_limit("Max open files            unlimited            unlimited\n"), None);
        assert_eq!(soft_limit(""), None);
        assert!(sockets_allowed() >= 1);
    }
}
