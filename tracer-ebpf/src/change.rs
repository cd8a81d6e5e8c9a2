//! What a state change means for a connection: how it opened, who closed it first, how it ended.

use aya_ebpf::Global;
use tracer_ebpf::record::{
    CONTEXT_INTERRUPT, CONTEXT_PROCESS, Close, Closing, ERROR_TAKEN, FIN_LOCAL, FIN_NONE, FIN_REMOTE, GAVE_UP_NS,
    KILLED_WAITING_NS, KIND_CLOSE, KIND_OPEN, OPEN_ACTIVE, OPEN_PASSIVE, OPEN_RESTORED, OPEN_SELF, OPEN_SIMULTANEOUS,
    OPEN_UNKNOWN, OWNER_LISTENED, Open, Opening, Owner, RESET_NOTHING, UNREMEMBERED,
};
use tracer_ebpf::room;

use crate::{
    context,
    emit::{self, About},
    filter,
    memory::{self, Remembered},
    offset, process, shortage,
    sock::{self, Access, Identity, Object},
    task,
    tcp::{
        self, TCP_CLOSE, TCP_CLOSE_WAIT, TCP_CLOSING, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LISTEN,
        TCP_SYN_RECV, TCP_SYN_SENT,
    },
    word_copy,
};

/// `sk_err` of a socket that somebody else aborts (`ss -K`): not a call of its owner.
pub(crate) const ECONNABORTED: u32 = 103;
const EPIPE: u32 = 32;
const ECONNRESET: u32 = 104;
const ECONNREFUSED: u32 = 111;

/// 1: the kernel closes a socket before its process can take the error (`tcp_done_with_error`, 6.10 and later).
#[unsafe(no_mangle)]
static ERROR_STAYS: Global<u8> = Global::new(0);

/// A state change.
#[derive(Clone, Copy)]
pub(crate) struct Change {
    pub(crate) old: u8,
    pub(crate) new: u8,
    pub(crate) context: u8,
    pub(crate) netns: u32,
    pub(crate) now: u64,
}

impl Change {
    /// See [`is_first`].
    #[inline(always)]
    const fn is_first(&self) -> bool {
        is_first(self.old, self.new)
    }

    /// See [`is_child`].
    #[inline(always)]
    pub(crate) const fn is_child(&self) -> bool {
        is_child(self.old, self.new)
    }

    /// The connection is established now, or was before.
    #[inline(always)]
    pub(crate) const fn has_opened(&self) -> bool {
        const BEFORE: u32 = 1 << TCP_CLOSE | 1 << TCP_LISTEN | 1 << TCP_SYN_SENT | 1 << TCP_SYN_RECV;
        self.new == TCP_ESTABLISHED || BEFORE >> (self.old & 31) & 1 == 0
    }

    /// A packet's or a timer's doing.
    #[inline(always)]
    pub(crate) const fn is_softirqs(&self) -> bool {
        self.context == CONTEXT_INTERRUPT
    }

    /// A process's own doing. CLOSE is left by system calls only, so that is known in any context.
    #[inline(always)]
    fn is_call<A: Access>(&self, sk: Object<A>) -> bool {
        self.old == TCP_CLOSE
            || self.context == CONTEXT_PROCESS
                && !self.is_child()
                && sk.get(&offset::SK_ERR) != Some(ECONNABORTED)
                && !is_closed_by_chance(sk)
    }

    /// The process whose doing it is.
    #[inline(always)]
    pub(crate) fn caller<A: Access>(&self, sk: Object<A>) -> Option<Owner> {
        if self.is_call(sk) { Some(process::caller()) } else { None }
    }

    /// Remembers what it tells of the socket at that address.
    ///
    /// A function of its own, like others that are never inlined: so each has the stack for itself.
    #[inline(never)]
    pub(crate) fn follow(&self, sk: u64, ends: &Identity, caller: Option<&Owner>) -> Option<&'static mut Remembered> {
        // A socket that is closed changes by a first change only: else it is another's, at an address used anew.
        // Nor has a socket ever another port: its own CLOSE may have been missed.
        let is_it = |entry: &&'static mut Remembered| {
            entry.closed_from == 0 && (entry.port == 0 || ends.local_port == 0 || entry.port == ends.local_port)
        };
        let known = if self.is_first() { None } else { memory::at(sk).filter(is_it) };
        let entry = match known {
            Some(entry) => {
                if let Some(owner) = caller {
                    memory::adopt(entry, task::current(), owner);
                }
                entry
            }
            None => self.begin(sk, ends, caller)?,
        };
        if ends.local_port != 0 {
            entry.port = ends.local_port;
        }
        if self.new == TCP_SYN_SENT || self.old == TCP_SYN_SENT {
            entry.sent_syn = 1;
        }
        if self.new == TCP_ESTABLISHED {
            entry.how = self.how(entry, ends);
            entry.opened_ns = self.now;
            // connect() restores it at once (tcp_connect in net/ipv4/tcp_output.c).
            if entry.how == OPEN_ACTIVE && self.context == CONTEXT_PROCESS && tcp::is_repaired(sk) {
                entry.how = OPEN_RESTORED;
            }
        }
        // Such a socket has no more than an attempt left to end otherwise (__tcp_close in net/ipv4/tcp.c).
        if self.new == TCP_CLOSE && matches!(self.old, TCP_ESTABLISHED | TCP_CLOSE_WAIT) && tcp::is_repaired(sk) {
            entry.resets |= RESET_NOTHING;
        }
        if entry.first_fin == FIN_NONE {
            entry.first_fin = match self.new {
                TCP_FIN_WAIT1 => FIN_LOCAL,
                TCP_CLOSE_WAIT => FIN_REMOTE,
                _ => FIN_NONE,
            };
        }
        entry.closed_from = if self.new == TCP_CLOSE { self.old } else { 0 };
        Some(entry)
    }

    #[inline(always)]
    fn begin(&self, sk: u64, ends: &Identity, caller: Option<&Owner>) -> Option<&'static mut Remembered> {
        let began = if self.is_first() { self.now } else { 0 };
        if let Some(owner) = caller {
            let wanted = filter::wants_owner(owner, task::current());
            return memory::begin(sk, owner, wanted, began, self.context);
        }
        // Also one whose birth was missed, or was opened before the trace and waits to be accepted.
        if self.old != TCP_CLOSE
            && let Some(listener) = memory::find_listener(self.netns, ends)
        {
            // The listener's, until somebody accepts it.
            let entry = memory::begin(sk, &listener.owner, listener.wanted != 0, began, self.context)?;
            entry.owner.known = OWNER_LISTENED;
            return Some(entry);
        }
        let entry = memory::begin(sk, &process::NOBODY, !filter::is_by_owner(), began, self.context)?;
        if shortage::is_of(room::LISTENERS) {
            entry.gap = UNREMEMBERED;
        }
        Some(entry)
    }

    #[inline(always)]
    fn how(&self, entry: &Remembered, ends: &Identity) -> u8 {
        let is_self = ends.local_port == ends.remote_port && ends.local == ends.remote;
        match (entry.sent_syn != 0, self.old) {
            (true, TCP_SYN_RECV) if is_self => OPEN_SELF,
            (true, TCP_SYN_RECV) => OPEN_SIMULTANEOUS,
            (true, _) => OPEN_ACTIVE,
            (false, _) if entry.began_ns != 0 => OPEN_PASSIVE,
            _ => OPEN_UNKNOWN,
        }
    }

    /// The error that the socket is closed with: `sk_err`, or [`ERROR_TAKEN`].
    #[inline(always)]
    pub(crate) fn error<A: Access>(&self, sk: Object<A>, entry: &Remembered) -> u32 {
        // Neither a FIN nor a process closes these in an interrupt, and a RST's error is shown when all is done.
        let only_fails = ERROR_STAYS.load() == 0 && matches!(self.old, TCP_SYN_SENT | TCP_ESTABLISHED | TCP_CLOSE_WAIT);
        match sk.get(&offset::SK_ERR).unwrap_or(0) {
            0 if only_fails && entry.resets == 0 && self.is_softirqs() => ERROR_TAKEN,
            error => error,
        }
    }

    /// The signal that ends the task whose doing it is, or 0.
    #[inline(always)]
    pub(crate) fn signal(&self) -> u8 {
        if self.context == CONTEXT_INTERRUPT { 0 } else { task::signal() }
    }

    /// A process gives up a connection that nobody has answered, and has waited for that.
    #[inline(always)]
    fn gives_up<A: Access>(&self, sk: Object<A>, entry: &Remembered) -> bool {
        let waited = if entry.began_ns == 0 { 0 } else { self.now.wrapping_sub(entry.began_ns) };
        let (_, retransmits) = tcp::round_trips(sk);
        self.old == TCP_SYN_SENT
            && (retransmits != 0 || waited >= GAVE_UP_NS || waited >= KILLED_WAITING_NS && self.signal() != 0)
    }

    /// It ends what no RST ended: by an error of its own, or because a process does not wait any longer.
    #[inline(always)]
    pub(crate) fn is_death<A: Access>(&self, sk: Object<A>, entry: &Remembered) -> bool {
        const ETIMEDOUT: u32 = 110;
        // Who has closed gets the error of a RST when data comes, too.
        let has_closed = !matches!(self.old, TCP_SYN_SENT | TCP_SYN_RECV | TCP_ESTABLISHED | TCP_CLOSE_WAIT);
        let error = self.error(sk, entry);
        // A RST that came before its socket found room would be taken for one that nobody saw.
        if entry.gap != 0 && matches!(error, ECONNRESET | EPIPE | ECONNREFUSED) {
            return false;
        }
        let fails = error != 0 && (error == ETIMEDOUT || !has_closed);
        entry.resets == 0 && (fails || error == 0 && self.gives_up(sk, entry))
    }

    /// What took over a socket that closed, see [`tcp::time_wait`].
    #[inline(always)]
    pub(crate) fn time_wait<A: Access>(&self, sk: Object<A>) -> u8 {
        if self.new == TCP_CLOSE && (self.old == TCP_FIN_WAIT2 || self.old == TCP_CLOSING) {
            tcp::time_wait(sk)
        } else {
            0
        }
    }
}

/// A process closes the socket, and not because it asked for that, see [`context::closes_by_chance`].
#[inline(always)]
pub(crate) fn is_closed_by_chance<A: Access>(sk: Object<A>) -> bool {
    // Both ways are shut before close() does anything else (__tcp_close in net/ipv4/tcp.c).
    tcp::is_shut_both_ways(sk) && context::closes_by_chance()
}

/// The change from `old` to `new` is the socket's first: before, it had no connection and did not listen.
#[inline(always)]
pub(crate) const fn is_first(old: u8, new: u8) -> bool {
    old == TCP_CLOSE || is_child(old, new)
}

/// A connection that came to a listener got a socket of its own, which says that it was the listener.
#[inline(always)]
const fn is_child(old: u8, new: u8) -> bool {
    old == TCP_LISTEN && new != TCP_CLOSE
}

/// Reports that the connection is established.
#[inline(never)]
pub(crate) fn report_open<A: Access>(about: &About<'_>, sk: Object<A>, entry: &Remembered) {
    emit::submit(KIND_OPEN, about.context, |record: *mut Open| {
        // SAFETY: `record` is reserved memory of that type; all of it is written here.
        unsafe {
            emit::write_about(&raw mut (*record).header, KIND_OPEN, size_of::<Open>(), about, sk);
            write_opening(&raw mut (*record).opening, sk, entry);
        }
    });
}

/// Reports that the socket is closed.
#[inline(never)]
pub(crate) fn report_close<A: Access>(
    about: &About<'_>,
    change: &Change,
    sk: Object<A>,
    entry: &Remembered,
    time_wait: u8,
) {
    emit::submit(KIND_CLOSE, about.context, |record: *mut Close| {
        // SAFETY: `record` is reserved memory of that type; all of it is written here.
        unsafe {
            emit::write_about(&raw mut (*record).header, KIND_CLOSE, size_of::<Close>(), about, sk);
            write_closing(&raw mut (*record).closing, change, sk, entry, time_wait);
        }
    });
}

/// Writes how the connection opened.
///
/// # Safety
/// `opening` must be writable.
#[inline(always)]
pub(crate) unsafe fn write_opening<A: Access>(opening: *mut Opening, sk: Object<A>, entry: &Remembered) {
    let (rtt_us, retransmits) = tcp::round_trips(sk);
    let port_range = if entry.how == OPEN_SELF { sock::local_port_range(sk) } else { [0; 2] };
    let is_seen = entry.sent_syn != 0 && entry.began_ns != 0 && entry.how != OPEN_RESTORED;
    let handshake_ns = if is_seen { entry.opened_ns.wrapping_sub(entry.began_ns) } else { 0 };
    // SAFETY: the caller's.
    unsafe {
        (&raw mut (*opening).handshake_ns).write(handshake_ns);
        (&raw mut (*opening).rtt_us).write(rtt_us);
        (&raw mut (*opening).retransmits).write(retransmits);
        (&raw mut (*opening).port_range).write(port_range);
        (&raw mut (*opening).reserved).write(0);
    }
}

/// Writes how the socket ended.
///
/// # Safety
/// `closing` must be writable.
#[inline(always)]
pub(crate) unsafe fn write_closing<A: Access>(
    closing: *mut Closing,
    change: &Change,
    sk: Object<A>,
    entry: &Remembered,
    time_wait: u8,
) {
    let counters = tcp::counters(sk);
    let error = change.error(sk, entry);
    // SAFETY: the caller's.
    unsafe {
        word_copy::clear(closing);
        (&raw mut (*closing).began_ns).write(entry.began_ns);
        (&raw mut (*closing).opened_ns).write(entry.opened_ns);
        (&raw mut (*closing).bytes_received).write(counters.bytes_received);
        (&raw mut (*closing).bytes_sent).write(counters.bytes_sent);
        (&raw mut (*closing).rtt_us).write(counters.rtt_us);
        (&raw mut (*closing).retransmits).write(counters.retransmits);
        (&raw mut (*closing).error).write(error);
        (&raw mut (*closing).old).write(change.old);
        (&raw mut (*closing).first_fin).write(entry.first_fin);
        (&raw mut (*closing).resets).write(entry.resets);
        (&raw mut (*closing).time_wait).write(time_wait);
        if error != 0 {
            tcp::write_silence(closing, sk);
        }
        (&raw mut (*closing).signal).write(change.signal());
    }
}
