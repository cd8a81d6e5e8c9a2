//! Ports, as people write them: `80`, `8000-8999`.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use tracer_ebpf::criteria::PortSet;

/// Some ports in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(RangeInclusive<u16>);

/// Not a port, and not a range of ports.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a port or range such as 8000-8999 (1-65535)")]
pub struct NoPorts;

impl FromStr for Ports {
    type Err = NoPorts;

    fn from_str(text: &str) -> Result<Self, NoPorts> {
        let port = |text: &str| text.parse::<u16>().ok().filter(|&port| port != 0).ok_or(NoPorts);
        let range = match text.split_once('-') {
            Some((first, last)) => port(first)?..=port(last)?,
            None => port(text)?..=port(text)?,
        };
        if range.is_empty() { Err(NoPorts) } else { Ok(Self(range)) }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.start(), self.0.end())
    }
}

/// One of them includes the port.
pub(super) fn contain(all: &[Ports], port: u16) -> bool {
    all.iter().any(|ports| ports.0.contains(&port))
}

/// All of them as a bit for each port.
pub(super) fn as_set(all: &[Ports]) -> Box<PortSet> {
    let mut set = Box::new([0; 1024]);
    for port in all.iter().flat_map(|ports| ports.0.clone()) {
        set[usize::from(port / 64)] |= 1 << (port % 64);
    }
    set
}

/// The lowest and the highest port of a set that is not empty.
pub(super) fn bounds(set: &PortSet) -> Option<(u16, u16)> {
    let is_used = |word: &u64| *word != 0;
    let (first, last) = (set.iter().position(is_used)?, set.iter().rposition(is_used)?);
    let port = |word: usize, bit: u32| (word * 64) as u16 + bit as u16;
    Some((port(first, set[first].trailing_zeros()), port(last, 63 - set[last].leading_zeros())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges() {
        assert_eq!("80".parse(), Ok(Ports(80..=80)));
        assert_eq!("1-65535".parse(), Ok(Ports(1..=65535)));
        for wrong in ["", "0", "65536", "-1", "9-8", "80-", "http", "1-2-3", "0-5"] {
            assert_eq!(wrong.parse::<Ports>(), Err(NoPorts), "{wrong}");
        }
    }

    #[test]
    fn the_set_has_the_same_ports() {
        let ports = ["1", "63-65", "65535"].map(|text| text.parse().unwrap());
        let set = as_set(&ports);
        for port in 0..=u16::MAX {
            assert_eq!(set[usize::from(port / 64)] >> (port % 64) & 1 == 1, contain(&ports, port), "{port}");
        }
    }
}
