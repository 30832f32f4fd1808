//! Addresses of networks and of their hardware.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Accepted, Read, Refused};

/// An IPv4 or IPv6 address in full, with the length of its network or without.
pub fn address(text: &str) -> Read<'_> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let most = if address.parse::<Ipv4Addr>().is_ok() {
        Some(32)
    } else if address.parse::<Ipv6Addr>().is_ok() {
        Some(128)
    } else {
        None
    };
    let Some(most) = most else {
        return Err(Refused::instead(
            "not an IPv4 or IPv6 address in full",
            filled(address, length),
        ));
    };
    match length.map(|l| (l, l.parse::<u8>())) {
        None => Ok(Accepted::surely(text)),
        Some((digits, Ok(n))) if n <= most && n.to_string() == digits => Ok(Accepted::surely(text)),
        Some(_) => Err(Refused::because(format!(
            "the length of the network is not a number from 0 to {most}"
        ))),
    }
}

/// An IPv4 network whose last numbers were left out, and whose length was not.
fn filled(address: &str, length: Option<&str>) -> Option<String> {
    let length: u8 = length?.parse().ok().filter(|n| *n <= 32)?;
    let given: Vec<u8> = address
        .split('.')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let mut octets = [0; 4];
    octets.get_mut(..given.len())?.copy_from_slice(&given);
    Some(format!("{}/{length}", Ipv4Addr::from(octets)))
}

/// `count` bytes as pairs of hexadecimal digits: all together, all with `:` or `-` between, in
/// groups of two bytes with `.`, or in two halves with `:` or `-`.
pub fn hardware(text: &str, count: usize) -> Read<'_> {
    if is_hardware(text, count) {
        return Ok(Accepted::surely(text));
    }
    let why = match count {
        8 if is_hardware(text, 6) => {
            "6 bytes, and the column keeps 8: PostgreSQL would put ff:fe in the middle".into()
        }
        _ => format!("not the {count} bytes of a hardware address"),
    };
    Err(Refused::because(why))
}

fn is_hardware(text: &str, count: usize) -> bool {
    let hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let groups = |separator: char, bytes: usize| {
        text.split(separator).count() == count / bytes
            && text.split(separator).all(|part| hex(part, 2 * bytes))
    };
    hex(text, 2 * count)
        || groups(':', 1)
        || groups('-', 1)
        || groups('.', 2)
        || count == 6 && (groups(':', 3) || groups('-', 3))
}
