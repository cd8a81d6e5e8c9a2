//! What the filters let pass, apart from where things are looked up: so user space can hold what it decides about
//! recordings against the very code that the programs run.

use crate::{
    criteria::{
        BY_ADDRESS, BY_CGROUP, BY_COMM, BY_IPV4, BY_IPV6, BY_LOCAL_PORT, BY_PID, BY_PORT, BY_REMOTE_PORT, BY_UID,
        SET_EITHER, SET_LOCAL, SET_REMOTE,
    },
    record::AF_INET,
};

/// An address in network order (IPv4: the first 4 bytes) as two words.
pub type Address = [u64; 2];

/// The address as bytes.
#[inline(always)]
pub fn bytes(address: Address) -> [u8; 16] {
    // SAFETY: both are 16 bytes without padding, and any bytes are an address.
    unsafe { core::mem::transmute(address) }
}

/// An IPv4 address as an IPv6 one (RFC 4291, section 2.5.5.2).
#[inline(always)]
pub fn v4_mapped(address: Address) -> Address {
    let [v4, _] = address;
    [0, u64::from_be(0xffff_0000_0000) | v4 << 32]
}

/// An IPv6 address that stands for an IPv4 one.
#[inline(always)]
pub fn is_v4_mapped(address: Address) -> bool {
    address[0] == 0 && address[1] & u64::from_be(0xffff_ffff_0000_0000) == u64::from_be(0xffff_0000_0000)
}

/// What `struct sock_common` says of a socket. Valid for minisockets too.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Identity {
    /// `AF_INET` or `AF_INET6`.
    pub family: u16,
    /// This host's address.
    pub local: Address,
    /// The remote address.
    pub remote: Address,
    /// This host's port.
    pub local_port: u16,
    /// The remote port.
    pub remote_port: u16,
}

/// Where ends are looked up.
pub trait Lists: Copy {
    /// The port is in the set.
    fn has_port(self, set: u32, port: u16) -> bool;
    /// The address, as one of IPv6, is in a network.
    fn has_address(self, address: [u8; 16]) -> bool;
}

/// The two ends are some to report, by some of the bits [`BY_IPV4`] ... [`BY_ADDRESS`]. `local_port_comes`: this host's
/// port is not known yet, and may be a wanted one.
#[inline(always)]
pub fn are_ends(by: u8, lists: impl Lists, ends: &Identity, local_port_comes: bool) -> bool {
    if by == 0 {
        return true;
    }
    // Asked only where it matters: the verifier walks on with each way to it.
    let is_v4 = || ends.family == AF_INET || is_v4_mapped(ends.remote) || is_v4_mapped(ends.local);
    if by & (BY_IPV4 | BY_IPV6) != 0 && by & (if is_v4() { BY_IPV4 } else { BY_IPV6 }) == 0 {
        return false;
    }
    let is_either = || lists.has_port(SET_EITHER, ends.local_port) || lists.has_port(SET_EITHER, ends.remote_port);
    if by & BY_PORT != 0 && !local_port_comes && !is_either() {
        return false;
    }
    if by & BY_LOCAL_PORT != 0 && !local_port_comes && !lists.has_port(SET_LOCAL, ends.local_port) {
        return false;
    }
    if by & BY_REMOTE_PORT != 0 && !lists.has_port(SET_REMOTE, ends.remote_port) {
        return false;
    }
    by & BY_ADDRESS == 0 || has_address(lists, is_v4(), ends.local) || has_address(lists, is_v4(), ends.remote)
}

#[inline(always)]
fn has_address(lists: impl Lists, is_v4: bool, address: Address) -> bool {
    // The end of an IPv6 socket that speaks IPv4 is v4-mapped, or has no address yet.
    let address = if is_v4 && !is_v4_mapped(address) { v4_mapped(address) } else { address };
    lists.has_address(bytes(address))
}

/// The bit of a port in a [`PortSet`](crate::criteria::PortSet).
#[inline(always)]
pub fn has_port(set: &crate::criteria::PortSet, port: u16) -> bool {
    set[usize::from(port >> 6)] >> (port & 63) & 1 != 0
}

/// The owner is one to report, by some of the bits [`BY_PID`] ... [`BY_CGROUP`]: whether its process, its user, its name
/// or its process's, and its control group or one above it are among those that were asked for.
#[inline(always)]
pub fn is_owner(
    by: u8,
    has_pid: impl FnOnce() -> bool,
    has_uid: impl FnOnce() -> bool,
    has_name: impl FnOnce() -> bool,
    is_in_cgroup: impl FnOnce() -> bool,
) -> bool {
    (by & BY_PID == 0 || has_pid())
        && (by & BY_UID == 0 || has_uid())
        && (by & BY_COMM == 0 || has_name())
        && (by & BY_CGROUP == 0 || is_in_cgroup())
}

/// The connection, of which `opened` is known (`OPEN_...`), is one to report, by bits `1 << OPEN_...`.
#[inline(always)]
pub fn is_opening(by: u8, opened: u8) -> bool {
    by == 0 || by >> opened & 1 != 0
}
