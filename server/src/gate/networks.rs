//! Networks that machines come from.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks that are let in, and networks that are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    /// Only these are let in; all, when there is none.
    pub allowed: Vec<IpNet>,
    /// These are not, even if they are among the allowed ones: those of pods.
    pub denied: Vec<IpNet>,
}

impl Networks {
    /// Whether an address is let in.
    ///
    /// # Errors
    /// Why it is not.
    pub fn admit(&self, address: IpAddr) -> Result<(), &'static str> {
        let holds = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        if holds(&self.denied) {
            return Err("the address is in a network that is denied");
        }
        if !self.allowed.is_empty() && !holds(&self.allowed) {
            return Err("the address is in no network that is allowed");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_ones_count_before_allowed_ones() {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let rules = Networks {
            allowed: networks(&["10.0.0.0/8", "fd00::/8"]),
            denied: networks(&["10.128.0.0/14", "fd00:1::/32"]),
        };
        for (address, admitted) in [
            ("10.0.0.1", true),
            ("10.127.255.255", true),
            ("10.128.0.1", false),
            ("10.131.255.255", false),
            ("192.0.2.1", false),
            ("fd00::1", true),
            ("fd00:1::1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(
                rules.admit(address.parse().unwrap()).is_ok(),
                admitted,
                "{address}"
            );
        }
        let open = Networks::default();
        assert_eq!(open.admit("192.0.2.1".parse().unwrap()), Ok(()));
    }
}
