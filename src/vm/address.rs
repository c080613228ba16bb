//! An IPv4 network in CIDR form, and the arithmetic that machines need.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An IPv4 network, `192.168.60.0/24`; the address has no host bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: Ipv4Addr,
    prefix: u8,
}

impl Network {
    pub fn new(address: Ipv4Addr, prefix: u8) -> Result<Self, String> {
        if prefix > 32 {
            return Err(format!("`/{prefix}` is no prefix length: at most 32"));
        }
        let network = Self { address: Ipv4Addr::from_bits(address.to_bits() & mask(prefix)), prefix };
        if network.address != address {
            return Err(format!("`{address}/{prefix}` has host bits set: the network is `{network}`"));
        }
        Ok(network)
    }

    /// The network that an address with its prefix length stands in.
    pub fn around(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self { address: Ipv4Addr::from_bits(address.to_bits() & mask(prefix)), prefix }
    }

    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// 0–32.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.address.to_bits()
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        let prefix = self.prefix.min(other.prefix);
        (self.address.to_bits() ^ other.address.to_bits()) & mask(prefix) == 0
    }

    /// This workstation's own address in the network: the first one, as Vagrant and most routers have it.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits().wrapping_add(1))
    }

    pub fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() | !mask(self.prefix))
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = text.split_once('/').ok_or_else(|| format!("`{text}` has no prefix length, as in `192.168.60.0/24`"))?;
        let address = address.parse().map_err(|_| format!("`{address}` is no IPv4 address"))?;
        let prefix = prefix.parse().map_err(|_| format!("`{prefix}` is no prefix length: 0 to 32"))?;
        Self::new(address, prefix)
    }
}

impl TryFrom<String> for Network {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_refused_with_the_network_meant() {
        assert_eq!(
            "192.168.60.7/24".parse::<Network>(),
            Err("`192.168.60.7/24` has host bits set: the network is `192.168.60.0/24`".to_owned())
        );
    }

    #[test]
    fn a_small_network_overlaps_the_large_one_around_it() {
        let small: Network = "10.1.2.0/30".parse().unwrap();
        let large: Network = "10.0.0.0/8".parse().unwrap();
        let other: Network = "11.0.0.0/8".parse().unwrap();
        assert!(small.overlaps(&large) && large.overlaps(&small) && !small.overlaps(&other));
        assert!("0.0.0.0/0".parse::<Network>().unwrap().overlaps(&other));
        assert_eq!((small.gateway(), small.broadcast()), ("10.1.2.1".parse().unwrap(), "10.1.2.3".parse().unwrap()));
    }
}
