//! An end of a connection as text. By hand, as there are two in each line and formatting takes its time.

use std::{fmt::Write as _, net::SocketAddr};

use arrayvec::ArrayString;
use serde::Serializer;

/// The longest is an IPv6 address with a scope and a port, of 58 characters.
const LONGEST: usize = 64;

/// Address and port, as the standard library shows them.
pub(crate) fn text(end: SocketAddr) -> ArrayString<LONGEST> {
    let mut text = ArrayString::new();
    let SocketAddr::V4(end) = end else {
        // It fits, see above.
        let _ = write!(text, "{end}");
        return text;
    };
    let [a, b, c, d] = end.ip().octets();
    for (octet, after) in [(a, '.'), (b, '.'), (c, '.'), (d, ':')] {
        text.push_str(itoa::Buffer::new().format(octet));
        text.push(after);
    }
    text.push_str(itoa::Buffer::new().format(end.port()));
    text
}

/// As a string.
pub(super) fn serialize<S: Serializer>(end: &SocketAddr, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_as_the_library_shows_them() {
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535";
        for shown in ["0.0.0.0:0", "127.0.0.1:80", "255.10.200.9:65535", "[2001:db8::1]:443", longest] {
            let end = shown.parse().unwrap();
            assert_eq!(text(end).as_str(), shown);
            assert_eq!(serde_json::to_string(&end).unwrap(), format!("\"{shown}\""), "as serde has it, too");
        }
    }
}
