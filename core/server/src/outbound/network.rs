//! Addresses: which are public, and networks that an operator names.
//!
//! A public address is one that the IANA registries of special addresses call globally reachable. For IPv6 the list is of what is
//! allowed, so that a range nobody has thought of is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A network, written `10.1.2.0/24`; without a length, one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network: write it as 10.1.2.0/24, fd00:1::/64 or 127.0.0.1")]
pub struct InvalidNetwork(String);

impl Network {
    /// Whether `address` lies in it. An IPv4 address lies in no network of IPv6, however it is wrapped.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => starts_4(address, network, self.bits),
            (IpAddr::V6(network), IpAddr::V6(address)) => starts_6(address, network, self.bits),
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let wrong = || InvalidNetwork(text.chars().take(64).collect());
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse::<u8>().map_err(|_| wrong()))?;
        if bits > most { Err(wrong()) } else { Ok(Self { address, bits }) }
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

/// Ranges of IPv4 that are not public, with what they are.
const SPECIAL_4: [(Ipv4Addr, u8, &str); 17] = [
    (v4(0, 0, 0, 0), 8, "an unspecified address"),
    (v4(10, 0, 0, 0), 8, "a private address"),
    (v4(100, 64, 0, 0), 10, "an address behind a carrier's NAT"),
    (v4(127, 0, 0, 0), 8, "a loopback address"),
    // The platform of one large cloud answers its guests here, in the midst of the public range.
    (v4(168, 63, 129, 16), 32, "the address of a cloud's own service"),
    (v4(169, 254, 0, 0), 16, "a link-local address"),
    (v4(172, 16, 0, 0), 12, "a private address"),
    (v4(192, 0, 0, 0), 24, "a reserved address"),
    (v4(192, 0, 2, 0), 24, "an address for documentation"),
    (v4(192, 88, 99, 0), 24, "an address of 6to4 relays"),
    (v4(192, 168, 0, 0), 16, "a private address"),
    (v4(198, 18, 0, 0), 15, "an address for benchmarks"),
    (v4(198, 51, 100, 0), 24, "an address for documentation"),
    (v4(203, 0, 113, 0), 24, "an address for documentation"),
    (v4(224, 0, 0, 0), 4, "a multicast address"),
    (v4(255, 255, 255, 255), 32, "the broadcast address"),
    (v4(240, 0, 0, 0), 4, "a reserved address"),
];

const fn v6(a: u16, b: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0)
}

/// What carries the address of a NAT64 gateway's far side in its last 32 bits.
const NAT64: Ipv6Addr = v6(0x64, 0xff9b);
/// All of IPv6 that is given out to be public.
const UNICAST_6: Ipv6Addr = v6(0x2000, 0);
/// Ranges of it that are not.
const SPECIAL_6: [(Ipv6Addr, u8, &str); 4] = [
    (v6(0x2001, 0), 23, "an address of a protocol, such as Teredo"),
    (v6(0x2001, 0xdb8), 32, "an address for documentation"),
    (v6(0x2002, 0), 16, "a 6to4 address"),
    (v6(0x3fff, 0), 20, "an address for documentation"),
];
/// Ranges outside of it, to be named; the rest is reserved.
const NAMED_6: [(Ipv6Addr, u8, &str); 8] = [
    (Ipv6Addr::UNSPECIFIED, 128, "the unspecified address"),
    (Ipv6Addr::LOCALHOST, 128, "the loopback address"),
    (Ipv6Addr::UNSPECIFIED, 96, "an IPv4 address written as IPv6"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, "an IPv4 address written as IPv6"),
    (v6(0xfc00, 0), 7, "a private address"),
    (v6(0xfe80, 0), 10, "a link-local address"),
    (v6(0xfec0, 0), 10, "a site-local address"),
    (v6(0xff00, 0), 8, "a multicast address"),
];

/// What `address` is if it is not public.
#[must_use]
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_4(address),
        IpAddr::V6(address) => special_6(address),
    }
}

fn special_4(address: Ipv4Addr) -> Option<&'static str> {
    SPECIAL_4.iter().find(|(network, bits, _)| starts_4(address, *network, *bits)).map(|(_, _, what)| *what)
}

fn special_6(address: Ipv6Addr) -> Option<&'static str> {
    let find = |ranges: &[(Ipv6Addr, u8, &'static str)]| {
        ranges.iter().find(|(network, bits, _)| starts_6(address, *network, *bits)).map(|(_, _, what)| *what)
    };
    if starts_6(address, NAT64, 96) {
        let [.., a, b, c, d] = address.octets();
        return special_4(v4(a, b, c, d));
    }
    if starts_6(address, UNICAST_6, 3) {
        return find(&SPECIAL_6);
    }
    Some(find(&NAMED_6).unwrap_or("a reserved address"))
}

/// Whether `address` begins with the first `bits` of `network`.
fn starts_4(address: Ipv4Addr, network: Ipv4Addr, bits: u8) -> bool {
    let differ = address.to_bits() ^ network.to_bits();
    differ.checked_shr(32 - u32::from(bits.min(32))).unwrap_or(0) == 0
}

/// The same for IPv6.
fn starts_6(address: Ipv6Addr, network: Ipv6Addr, bits: u8) -> bool {
    let differ = address.to_bits() ^ network.to_bits();
    differ.checked_shr(128 - u32::from(bits.min(128))).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_address_is_refused() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "3fff:fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(special(text.parse().unwrap()).is_some(), "{text} must be refused");
        }
    }

    #[test]
    fn the_neighbours_of_special_addresses_are_public() {
        for text in [
            "1.0.0.0",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:4700::1",
            "3ffe::1",
            "64:ff9b::808:808",
        ] {
            assert_eq!(special(text.parse().unwrap()), None, "{text} is public");
        }
    }

    #[test]
    fn a_network_holds_what_begins_like_it() {
        for (network, address, holds) in [
            ("127.0.0.1/32", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("10.1.2.0/24", "10.1.2.255", true),
            ("10.1.2.0/24", "10.1.3.0", false),
            ("10.1.2.9/24", "10.1.2.1", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "1.2.3.4", false),
            ("::/0", "fe80::1", true),
            ("fd00:1::/64", "fd00:1::7", true),
            ("fd00:1::/64", "fd00:1:0:1::7", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", false),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), holds, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_named_with_the_way_to_write_it() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "a/8", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("10.1.2.0/24"), "{error}");
        }
    }

    #[test]
    fn a_network_is_written_as_it_is_read() {
        for text in ["10.1.2.0/24", "fd00:1::/64", "127.0.0.1/32"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
    }
}
