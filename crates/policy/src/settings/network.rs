//! Networks of hosts, as `allow` in `[listen]` names them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that begin alike: `172.17.0.0/16`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first address. IPv4 is never written as IPv6 here.
    address: IpAddr,
    /// How many bits are the same in all of them; at least 1.
    prefix: u8,
}

/// Why a text is not a network: what is wrong, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkError {
    /// What is wrong with it, as the end of a sentence that begins with the text.
    pub problem: &'static str,
    /// What to write.
    pub remedy: String,
}

impl Network {
    /// Reads an address, or one with a slash and the number of bits that count.
    ///
    /// # Errors
    /// It is no address, has bits set behind those that count, or is everybody.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let wrong = |problem| NetworkError {
            problem,
            remedy:
                "write networks such as 172.17.0.0/16, 192.0.2.7 or 2001:db8::/32, with commas \
                     between them, or none"
                    .to_owned(),
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong("is not a network"))?;
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| wrong("is not a network"))?,
            None => bits(address),
        };
        if prefix > bits(address) {
            return Err(wrong("has more bits than an address"));
        }
        if prefix == 0 {
            return Err(wrong("is everybody, which makes an open relay"));
        }
        let network = Self {
            address: masked(address, prefix),
            prefix,
        };
        if network.address != address {
            return Err(NetworkError {
                problem: "is an address within a network",
                remedy: format!("write {network} for the network, or the address alone"),
            });
        }
        Ok(network)
    }

    /// Whether an address is in it. An IPv4 address that came as `::ffff:192.0.2.7` counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix) == self.address
    }

    /// How many bits are the same in all of its addresses; the more, the fewer addresses.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address with only its first bits left; `prefix` is 1 to the number that there are.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX << (32 - u32::from(prefix.min(32)));
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX << (128 - u32::from(prefix.min(128)));
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, address: &str) -> bool {
        let network = Network::parse(network).unwrap();
        network.contains(address.parse().unwrap())
    }

    #[test]
    fn addresses_are_in_it_or_not() {
        assert!(holds("172.17.0.0/16", "172.17.255.1"));
        assert!(!holds("172.17.0.0/16", "172.18.0.1"));
        assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7", "192.0.2.6"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1"));
        assert!(!holds("2001:db8::/32", "2001:db9::1"));
        assert!(holds("128.0.0.0/1", "255.255.255.255"));
    }

    #[test]
    fn ipv4_in_ipv6_is_ipv4() {
        assert!(holds("172.17.0.0/16", "::ffff:172.17.0.9"));
        assert!(!holds("::/1", "172.17.0.9"));
    }

    #[test]
    fn what_is_not_a_network_says_what_to_write() {
        let remedy = |text: &str| Network::parse(text).unwrap_err().remedy;
        assert!(remedy("10.1.2.3/8").starts_with("write 10.0.0.0/8 for the network"));
        for text in [
            "",
            "10",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/x",
            "0.0.0.0/0",
            "::/0",
        ] {
            assert!(remedy(text).starts_with("write networks such as"), "{text}");
        }
    }
}
