//! How often an address may come.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Leading bits of an IPv6 address that are one machine's: it may choose the others as it likes.
const PREFIX: u32 = 64;

/// Lets an address come so often per minute, all at once too.
#[derive(Debug)]
pub struct Pace {
    limiter: Option<DefaultKeyedRateLimiter<IpAddr>>,
}

impl Pace {
    /// So many requests for configs a minute; without a bound for none.
    #[must_use]
    pub fn per_minute(requests: Option<NonZeroU32>) -> Self {
        Self {
            limiter: requests.map(|requests| RateLimiter::keyed(Quota::per_minute(requests))),
        }
    }

    /// Counts a request, unless it is one too many.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        self.limiter
            .as_ref()
            .is_none_or(|limiter| limiter.check_key(&machine(address)).is_ok())
    }

    /// Forgets who has not come for a while. To be called now and then, since everybody who comes is remembered.
    pub fn forget(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// What of an address stands for one machine.
fn machine(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let host_bits = u128::MAX.checked_shr(PREFIX).unwrap_or_default();
            Ipv6Addr::from_bits(address.to_bits() & !host_bits).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_machine_has_its_own_share() {
        let pace = Pace::per_minute(NonZeroU32::new(3));
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..3 {
            assert!(pace.admits(address("192.0.2.1")));
            assert!(pace.admits(address("2001:db8::1")));
        }
        assert!(!pace.admits(address("192.0.2.1")));
        assert!(pace.admits(address("192.0.2.2")));
        assert!(!pace.admits(address("2001:db8::ffff:0:0:2")));
        assert!(pace.admits(address("2001:db8:0:1::1")));
        pace.forget();
        assert!(!pace.admits(address("192.0.2.1")), "it has come just now");
        let open = Pace::per_minute(None);
        assert!((0..1000).all(|_| open.admits(address("192.0.2.1"))));
    }
}
