//! What the two ends of a RST were before: sockets that were closed, and connections that are almost it.
//!
//! Bounded: what came last is kept, see [`recent`].

use core::mem::MaybeUninit;

use aya_ebpf::{macros::map, maps::Array};
use tracer_ebpf::record::{AF_INET, PAST_CLOSED, PAST_NEAR, Past};

use crate::{
    change::Change,
    filter,
    memory::{NOBODY, Remembered},
    recent::{self, Key, Set, mix},
    sock::{Access, Address, Identity, Object, bytes, v4_mapped},
    tcp, words,
};

/// Two ends; IPv4 is v4-mapped, so that it does not matter what kind of socket it was.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Ends {
    local: Address,
    remote: Address,
    netns: u32,
    local_port: u16,
    remote_port: u16,
}

impl Key for Ends {
    #[inline(always)]
    fn hash(&self) -> u64 {
        let local = mix(mix(ports(self).word(), self.local[0]), self.local[1]);
        mix(mix(local, self.remote[0]), self.remote[1])
    }

    #[inline(always)]
    fn is(&self, other: &Self) -> bool {
        // One branch for all of it: the verifier would walk through each.
        let differ = self.local[0] ^ other.local[0]
            | self.local[1] ^ other.local[1]
            | self.remote[0] ^ other.remote[0]
            | self.remote[1] ^ other.remote[1]
            | ports(self).word() ^ ports(other).word();
        differ == 0
    }
}

/// The same without addresses.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct PortPair {
    netns: u32,
    local_port: u16,
    remote_port: u16,
}

/// A socket that was closed.
#[derive(Clone, Copy)]
#[repr(C)]
struct Gone {
    socket: Remembered,
    closed_ns: u64,
    unread: u32,
    error: u32,
}

impl Key for PortPair {
    #[inline(always)]
    fn hash(&self) -> u64 {
        mix(0, self.word())
    }

    #[inline(always)]
    fn is(&self, other: &Self) -> bool {
        self.word() == other.word()
    }
}

impl PortPair {
    /// All of it.
    #[inline(always)]
    const fn word(&self) -> u64 {
        (self.netns as u64) << 32 | (self.local_port as u64) << 16 | self.remote_port as u64
    }
}

const GONE_SETS: u32 = 16384;
const NEAR_SETS: u32 = 4096;

/// Sockets that were closed last.
#[map]
static GONE: Array<Set<Ends, Gone>> = Array::with_max_entries(GONE_SETS, 0);

/// Addresses of the connections that were established last.
#[map]
static NEAR: Array<Set<PortPair, [Address; 2]>> = Array::with_max_entries(NEAR_SETS, 0);

#[inline(always)]
pub(crate) fn of_ends(netns: u32, ends: &Identity) -> Ends {
    let plain = |address| if ends.family == AF_INET { v4_mapped(address) } else { address };
    Ends {
        local: plain(ends.local),
        remote: plain(ends.remote),
        netns,
        local_port: ends.local_port,
        remote_port: ends.remote_port,
    }
}

#[inline(always)]
const fn ports(ends: &Ends) -> PortPair {
    PortPair { netns: ends.netns, local_port: ends.local_port, remote_port: ends.remote_port }
}

/// A socket with a connection, or an attempt at one, is closed.
#[inline(never)]
pub(crate) fn close<A: Access>(change: &Change, sk: Object<A>, ends: &Identity, socket: &Remembered) {
    let mut gone = MaybeUninit::<Gone>::uninit();
    let to = gone.as_mut_ptr();
    // SAFETY: all members are written here.
    let gone = unsafe {
        words::copy(&raw mut (*to).socket, socket);
        (&raw mut (*to).closed_ns).write(change.now);
        (&raw mut (*to).unread).write(tcp::unread(sk));
        (&raw mut (*to).error).write(change.error(sk, socket));
        gone.assume_init_ref()
    };
    recent::put(&GONE, GONE_SETS, change.now, &of_ends(change.netns, ends), gone);
}

/// A connection is there.
#[inline(never)]
pub(crate) fn establish(netns: u32, now: u64, ends: &Identity) {
    let ends = of_ends(netns, ends);
    recent::put(&NEAR, NEAR_SETS, now, &ports(&ends), &[ends.local, ends.remote]);
}

/// Fills in what is known.
///
/// # Safety
/// `past` must be writable.
#[inline(always)]
pub(crate) unsafe fn write(past: *mut Past, netns: u32, ends: &Identity) {
    // SAFETY: the caller's.
    let past = unsafe { words::clear(past) };
    past.owner.uid = NOBODY.uid;
    let ends = of_ends(netns, ends);
    recent::visit(&GONE, GONE_SETS, &ends, |gone| {
        // SAFETY: just cleared.
        unsafe { words::copy(&raw mut past.owner, &gone.socket.owner) };
        past.closed_ns = gone.closed_ns;
        past.opened_ns = gone.socket.opened_ns;
        past.unread = gone.unread;
        past.error = gone.error;
        past.closed_from = gone.socket.closed_from;
        past.first_fin = gone.socket.first_fin;
        past.resets = gone.socket.resets;
        past.known = PAST_CLOSED;
    });
    recent::visit(&NEAR, NEAR_SETS, &ports(&ends), |near| {
        past.near_local = bytes(near[0]);
        past.near_remote = bytes(near[1]);
        let is_same = near[0] == ends.local && near[1] == ends.remote;
        past.known = past.known & !PAST_NEAR | if is_same { 0 } else { PAST_NEAR };
    });
}

/// Whether the filters by owner and by opening let the socket pass that had these ends last, if there was one.
#[inline(never)]
pub(crate) fn is_wanted(netns: u32, ends: &Identity) -> bool {
    let mut is_wanted = false;
    recent::visit(&GONE, GONE_SETS, &of_ends(netns, ends), |gone| {
        is_wanted = gone.socket.wanted != 0 && filter::wants_opened(gone.socket.how);
    });
    is_wanted
}
