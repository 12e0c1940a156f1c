//! Slots for connections, and what one remote address may have of them.
//!
//! An address never gets more connections than it leaves free: alone it may hold half of all slots, beside another that does the
//! same a third, and so on. There is no number to set, many machines behind one load balancer get along, and one client that opens
//! all it can leaves as many slots to the others as it holds.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Bits of an IPv6 address that tell one site from another: whoever has an address there has the whole network.
const IPV6_PREFIX: u32 = 64;

/// Refusals are told this often at most: they come as fast as a peer can connect.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// All slots there are, and who holds them.
#[derive(Debug)]
pub(super) struct Slots {
    total: usize,
    free: Arc<Semaphore>,
    holders: Mutex<Holders>,
}

#[derive(Debug, Default)]
struct Holders {
    /// Connections by address, those that wait for a slot included. Addresses without any are not kept.
    held: HashMap<IpAddr, usize>,
    told: Option<Instant>,
}

/// The share that a connection takes of what its address may have. Given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    slots: Arc<Slots>,
    address: IpAddr,
}

/// A connection's place: its share, and its slot of all.
#[derive(Debug)]
pub(super) struct Slot {
    _share: Share,
    _permit: OwnedSemaphorePermit,
}

// === impl Slots ===

impl Slots {
    /// As many slots as connections may be open at a time; at least one.
    pub(super) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            free: Arc::new(Semaphore::new(total)),
            holders: Mutex::default(),
        })
    }

    /// Connections that hold a slot.
    pub(super) fn taken(&self) -> usize {
        self.total - self.free.available_permits()
    }

    /// A share for one more connection from `address`, unless it has its part already. One that has none always gets one, and then
    /// waits for a slot like everybody else.
    pub(super) fn share(self: &Arc<Self>, address: IpAddr) -> Option<Share> {
        let address = site(address);
        let free = self.free.available_permits();
        let mut holders = self.holders();
        let held = holders.held.get(&address).copied().unwrap_or_default();
        if held > 0 && held >= free {
            if holders.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                holders.told = Some(Instant::now());
                tracing::warn!(
                    remote = %address,
                    connections = held,
                    free,
                    "Connection closed: its address holds more than it leaves to others"
                );
            }
            return None;
        }
        holders.held.insert(address, held + 1);
        Some(Share {
            slots: self.clone(),
            address,
        })
    }

    /// Takes slots without a share.
    #[cfg(test)]
    pub(super) fn take(&self, count: u32) -> OwnedSemaphorePermit {
        let permits = self.free.clone().try_acquire_many_owned(count);
        permits.expect("a test takes what there is")
    }

    fn holders(&self) -> MutexGuard<'_, Holders> {
        // Nothing that is done under the lock leaves it half done.
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Share ===

impl Share {
    /// Waits for a slot.
    pub(super) async fn slot(self) -> Slot {
        let permit = self.slots.free.clone().acquire_owned().await;
        Slot {
            _permit: permit.expect("nobody closes the semaphore"),
            _share: self,
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut holders = self.slots.holders();
        if let Some(held) = holders.held.get_mut(&self.address) {
            *held -= 1;
            if *held == 0 {
                holders.held.remove(&self.address);
            }
        }
    }
}

/// What counts as one address.
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network =
                u128::from(address) >> (Ipv6Addr::BITS - IPV6_PREFIX) << (Ipv6Addr::BITS - IPV6_PREFIX);
            Ipv6Addr::from(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens as many connections as `address` gets.
    async fn greedy(slots: &Arc<Slots>, address: &str) -> Vec<Slot> {
        let mut held = Vec::new();
        while slots.taken() < slots.total
            && let Some(share) = slots.share(address.parse().unwrap())
        {
            held.push(share.slot().await);
        }
        held
    }

    #[tokio::test]
    async fn nobody_holds_more_than_is_left() {
        let slots = Slots::new(4096);
        let first = greedy(&slots, "192.0.2.1").await;
        let second = greedy(&slots, "192.0.2.2").await;
        let third = greedy(&slots, "192.0.2.3").await;
        assert_eq!([first.len(), second.len(), third.len()], [2048, 1024, 512]);
        drop(first);
        assert_eq!(
            greedy(&slots, "192.0.2.3").await.len(),
            1024,
            "what is given back is there for others"
        );
        drop((second, third));
        assert_eq!(slots.taken(), 0);
        assert!(
            slots.holders().held.is_empty(),
            "addresses that left are not remembered"
        );
    }

    #[tokio::test]
    async fn whoever_has_none_may_wait_for_a_slot() {
        let slots = Slots::new(1);
        let share = |address: &str| slots.share(address.parse().unwrap());
        let held = share("192.0.2.1").unwrap().slot().await;
        assert!(share("192.0.2.1").is_none());
        let waiting = share("192.0.2.2").unwrap();
        assert!(share("192.0.2.2").is_none(), "one that waits counts");
        drop(held);
        waiting.slot().await;
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let is_same = |a: &str, b: &str| site(a.parse().unwrap()) == site(b.parse().unwrap());
        assert!(is_same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"));
        assert!(!is_same("2001:db8:0:1::1", "2001:db8:0:2::1"));
        assert!(is_same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!is_same("192.0.2.1", "192.0.2.2"));
    }
}
