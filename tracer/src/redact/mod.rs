//! What a run keeps to itself (`--redact`): arguments of commands, users, host parts of addresses.
//!
//! It is masked where it comes in: bytes of records as they leave the ring buffer or a recording, and facts as the host
//! tells them. So events, verdicts, tables and recordings are made of what is masked already, and none of them can
//! forget to. What is masked stays one to one: two addresses stay two, and one stays one. So the diagnosis, which only
//! compares them, comes to the same.
//!
//! Each type that comes in is taken apart member by member where it is masked ([`Redact`]): a new member does not
//! compile until somebody has decided about it.

use std::{borrow::Cow, collections::BTreeSet, net::IpAddr};

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod addresses;
mod key;
mod program;
mod record;
mod users;

pub use self::key::Key;
use self::{addresses::Addresses, users::Users};

/// What can be masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// Command lines: the program's name stays, arguments do not
    Cmdline,
    /// Users, by name and id; root stays
    User,
    /// Addresses: /24 of IPv4 and /48 of IPv6 stay, and loopback
    Address,
}

impl Secret {
    /// What is shown in its place, for the header of a run.
    pub fn text(self) -> &'static str {
        match self {
            Self::Cmdline => "command lines (the program's name is kept)",
            Self::User => "users (user-1, user-2, ... stand for them)",
            Self::Address => {
                "addresses (/24 of IPv4 and /48 of IPv6 are kept; the rest stands for another, the same in all of the run)"
            }
        }
    }
}

/// The option.
#[derive(Debug, Clone, Default, Args)]
pub struct RedactArgs {
    /// Mask secrets in what is shown and recorded; all of them, or a list of some
    #[arg(long, value_name = "SECRETS", value_enum, value_delimiter = ',', num_args = 0.., require_equals = true, default_missing_values = ["cmdline", "user", "address"])]
    redact: Vec<Secret>,
}

impl RedactArgs {
    /// What is to be masked.
    pub fn secrets(&self) -> BTreeSet<Secret> {
        self.redact.iter().copied().collect()
    }
}

/// Masks itself.
pub trait Redact {
    /// Takes out of itself what is to be masked.
    fn redact(&mut self, redactor: &mut Redactor);
}

/// Masks, in all of a run alike.
pub struct Redactor {
    cmdline: bool,
    users: Option<Users>,
    addresses: Option<Addresses>,
}

impl Redactor {
    /// Masks these. `key`: what addresses become depends on it.
    pub fn new(secrets: &BTreeSet<Secret>, key: Key) -> Self {
        Self {
            cmdline: secrets.contains(&Secret::Cmdline),
            users: secrets.contains(&Secret::User).then(Users::default),
            addresses: secrets.contains(&Secret::Address).then(|| Addresses::new(key)),
        }
    }

    /// Masks nothing.
    pub fn of_nothing() -> Self {
        Self { cmdline: false, users: None, addresses: None }
    }

    /// There is something that it masks.
    pub fn is_active(&self) -> bool {
        self.cmdline || self.users.is_some() || self.addresses.is_some()
    }

    /// A record as it may be shown and recorded; `None` for bytes that are none.
    pub fn record<'a>(&mut self, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        if self.is_active() { record::masked(bytes, self).map(Cow::Owned) } else { Some(bytes.into()) }
    }

    /// The address, or what stands for it.
    pub fn address(&mut self, address: IpAddr) -> IpAddr {
        self.addresses.as_mut().map_or(address, |addresses| addresses.mask(address))
    }

    /// The user's id, or what stands for it.
    pub fn uid(&mut self, uid: u32) -> u32 {
        self.users.as_mut().map_or(uid, |users| users.mask(uid))
    }

    /// What stands for the name of the user whom this id stands for; `None` if users are not masked.
    pub fn user(&self, masked: u32) -> Option<String> {
        self.users.as_ref().map(|_| users::name(masked))
    }

    /// Users are masked, and so is what names them.
    pub fn hides_users(&self) -> bool {
        self.users.is_some()
    }

    /// Host parts of addresses are masked.
    pub fn hides_addresses(&self) -> bool {
        self.addresses.is_some()
    }

    /// Command lines are masked.
    pub fn hides_arguments(&self) -> bool {
        self.cmdline
    }

    /// Arguments that each end with NUL, or what stands for them: the program's name, and `...` for the others if there
    /// are any.
    pub fn arguments<'a>(&self, arguments: &'a [u8]) -> Cow<'a, [u8]> {
        if self.cmdline { program::without_arguments(arguments).into() } else { arguments.into() }
    }

    /// Records have an address in 16 bytes, of which one of IPv4 takes the first 4.
    fn address_bytes(&mut self, bytes: &mut [u8; 16], is_v4: bool) {
        let Some(addresses) = &mut self.addresses else { return };
        if is_v4 {
            let [a, b, c, d, ..] = *bytes;
            *bytes = [0; 16];
            if let IpAddr::V4(masked) = addresses.mask(IpAddr::from([a, b, c, d])) {
                bytes[..4].copy_from_slice(&masked.octets());
            }
            return;
        }
        *bytes = match addresses.mask(IpAddr::from(*bytes)) {
            IpAddr::V6(masked) => masked.octets(),
            IpAddr::V4(masked) => masked.to_ipv6_mapped().octets(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_masks_nothing_changes_nothing() {
        let mut none = Redactor::of_nothing();
        assert!(!none.is_active());
        assert_eq!(none.record(b"whatever it is").as_deref(), Some(&b"whatever it is"[..]));
        assert_eq!(none.address([10, 77, 88, 99].into()), IpAddr::from([10, 77, 88, 99]));
        assert_eq!((none.uid(1000), none.user(1000)), (1000, None));
        assert_eq!(*none.arguments(b"curl\0-v\0"), *b"curl\0-v\0");
    }

    #[test]
    fn each_secret_is_masked_alone() {
        for secret in Secret::value_variants() {
            let mut one = Redactor::new(&[*secret].into(), Key::of([7; 16]));
            let address = IpAddr::from([10, 77, 88, 99]);
            assert_eq!(one.address(address) == address, *secret != Secret::Address);
            assert_eq!(one.uid(1000) == 1000, *secret != Secret::User);
            assert_eq!(*one.arguments(b"a\0b\0") == *b"a\0b\0", *secret != Secret::Cmdline);
        }
    }
}
