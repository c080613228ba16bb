//! Internet addresses with their networks, as netaddr reads and shows them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// `192.168.0.5/24`: an address and the network around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub version: u8,
    pub address: u128,
    pub prefix: u32,
}

impl Network {
    /// An address, or one with the length or mask of its network behind a slash.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, mask) = text.split_once('/').map_or((text, None), |(address, mask)| (address, Some(mask)));
        let (version, address) = address_of(address)?;
        let width = width(version);
        let prefix = match mask {
            None => width,
            Some(mask) => match number(mask) {
                Some(prefix) => u32::try_from(prefix).ok()?,
                None => length(address_of(mask).filter(|(other, _)| *other == version)?.1, version)?,
            },
        };
        Self::new(version, address, prefix)
    }

    pub fn new(version: u8, address: u128, prefix: u32) -> Option<Self> {
        (address <= max(version) && prefix <= width(version)).then_some(Self { version, address, prefix })
    }

    /// A number and a length: of version 4 where both fit, else of version 6.
    pub fn of_number(address: u128, prefix: Option<u32>) -> Option<Self> {
        let of = |version| Self::new(version, address, prefix.unwrap_or(width(version)));
        of(4).or_else(|| of(6))
    }

    pub fn width(&self) -> u32 {
        width(self.version)
    }

    pub fn hostmask(&self) -> u128 {
        mask(self.width() - self.prefix)
    }

    pub fn netmask(&self) -> u128 {
        max(self.version) ^ self.hostmask()
    }

    pub fn first(&self) -> u128 {
        self.address & self.netmask()
    }

    pub fn last(&self) -> u128 {
        self.address | self.hostmask()
    }

    /// Addresses in it but one, so that all of version 6 fit the number.
    pub fn span(&self) -> u128 {
        self.hostmask()
    }

    /// A single address.
    pub fn is_single(&self) -> bool {
        self.span() == 0
    }

    pub fn broadcast(&self) -> Option<u128> {
        (self.span() > 1).then(|| self.last())
    }

    /// The first and the last address that hosts may have; a single one has none.
    pub fn usable(&self) -> Option<(u128, u128)> {
        match self.span() {
            0 => None,
            1 => Some((self.first(), self.last())),
            _ => Some((self.first() + 1, self.last() - 1)),
        }
    }

    /// The network without the host's own bits.
    pub fn cidr(&self) -> Self {
        Self { address: self.first(), ..*self }
    }

    /// Whether the other's whole network lies in this one.
    pub fn contains(&self, other: &Self) -> bool {
        self.version == other.version && self.prefix <= other.prefix && self.first() <= other.first() && other.last() <= self.last()
    }

    pub fn is_in(&self, network: &str) -> bool {
        Self::parse(network).is_some_and(|network| network.contains(self))
    }

    pub fn is_any_of(&self, networks: &[&str]) -> bool {
        networks.iter().any(|network| self.is_in(network))
    }

    /// The address alone.
    pub fn host(&self) -> Self {
        Self { prefix: self.width(), ..*self }
    }

    pub fn show(&self, address: u128) -> String {
        show(self.version, address)
    }

    /// What IANA's registries call globally reachable.
    pub fn is_global(&self) -> bool {
        const NOT_4: &[&str] = &[
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
        ];
        const YET_4: &[&str] = &["192.0.0.9", "192.0.0.10"];
        const NOT_6: &[&str] = &[
            "::1",
            "::",
            "::ffff:0:0/96",
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",
            "2001:db8::/32",
            "2002::/16",
            "fc00::/7",
            "fe80::/10",
        ];
        const YET_6: &[&str] = &["2001:1::1", "2001:1::2", "2001:3::/32", "2001:4:112::/48", "2001:20::/28", "2001:30::/28"];
        let (not, yet) = if self.version == 4 { (NOT_4, YET_4) } else { (NOT_6, YET_6) };
        !self.is_any_of(not) || self.is_any_of(yet)
    }

    pub fn is_multicast(&self) -> bool {
        self.is_any_of(&["224.0.0.0/4", "ff00::/8"])
    }

    /// Whether the address itself is written as masks are, or as their counterparts.
    pub fn is_mask(&self) -> bool {
        let is = |bits: u128| bits & bits.wrapping_add(1) == 0;
        is(self.address) || is(self.address ^ max(self.version))
    }

    /// By which networks are sorted.
    pub fn order(&self) -> (u8, u128, u32, u128) {
        (self.version, self.first(), self.prefix, self.address - self.first())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.show(self.address), self.prefix)
    }
}

/// The networks that make up a range.
pub fn networks(version: u8, mut first: u128, last: u128) -> Vec<Network> {
    let mut found = Vec::new();
    loop {
        let mut bits = first.trailing_zeros().min(width(version));
        while bits > 0 && first | mask(bits) > last {
            bits -= 1;
        }
        // An address of zero has no bit that ends it.
        found.push(Network { version, address: first, prefix: width(version) - bits });
        match (first | mask(bits)).checked_add(1).filter(|next| *next <= last) {
            Some(next) => first = next,
            None => return found,
        }
    }
}

/// An address of either version.
pub fn address_of(text: &str) -> Option<(u8, u128)> {
    let four = text.parse::<Ipv4Addr>().ok().map(|address| (4, u128::from(u32::from(address))));
    four.or_else(|| text.parse::<Ipv6Addr>().ok().map(|address| (6, u128::from(address))))
}

/// A number as an address, of version 4 where it fits.
pub fn of_number(address: u128) -> String {
    show(if address <= max(4) { 4 } else { 6 }, address)
}

/// A whole number as Python reads it.
pub fn number(text: &str) -> Option<u128> {
    text.trim().parse().ok()
}

fn show(version: u8, address: u128) -> String {
    if version == 4 {
        return Ipv4Addr::from(address as u32).to_string();
    }
    // As inet_ntop(3): what once was made of version 4 is shown so.
    if address >> 32 == 0 && address >> 16 != 0 {
        return format!("::{}", Ipv4Addr::from(address as u32));
    }
    Ipv6Addr::from(address).to_string()
}

fn width(version: u8) -> u32 {
    if version == 4 { 32 } else { 128 }
}

fn max(version: u8) -> u128 {
    mask(width(version))
}

/// So many ones.
fn mask(bits: u32) -> u128 {
    if bits == 0 { 0 } else { u128::MAX >> (128 - bits) }
}

/// A mask's length; its counterpart's too.
fn length(address: u128, version: u8) -> Option<u32> {
    let width = width(version);
    let of = |bits: u128| (bits & bits.wrapping_add(1) == 0).then(|| width - bits.count_ones());
    of(address ^ max(version)).or_else(|| of(address))
}
