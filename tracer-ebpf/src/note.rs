//! What a state change tells of other sockets to come.

use tracer_ebpf::record::KIND_RST;

use crate::{
    change::Change,
    filter,
    memory::{self, Remembered},
    past, queue,
    sock::{Access, Identity, Object},
    tcp::{self, TCP_CLOSE, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_LAST_ACK, TCP_LISTEN},
};

/// Remembers what it tells of other sockets to come. `wanted`: the two ends are of interest.
#[inline(always)]
pub(crate) fn note<A: Access>(change: &Change, sk: Object<A>, ends: &Identity, entry: &mut Remembered, wanted: bool) {
    if change.new == TCP_FIN_WAIT1 {
        entry.idle = tcp::idle(sk);
    }
    // Its CLOSE may be a packet's or a timer's doing.
    if change.new == TCP_FIN_WAIT1 || change.new == TCP_LAST_ACK {
        entry.signal = change.signal();
    }
    if change.new == TCP_LISTEN {
        memory::listen(change.netns, ends, &entry.owner, entry.wanted != 0);
    } else if change.old == TCP_LISTEN {
        if change.new == TCP_CLOSE {
            memory::unlisten(change.netns, ends, entry, change.now, change.signal());
            queue::closes(sk, change.netns, ends);
        }
    } else if wanted && filter::reports(KIND_RST) {
        if change.new == TCP_ESTABLISHED {
            entry.kept_at = past::establish(change.context, change.netns, sk.address(), ends);
        }
        if change.new == TCP_CLOSE {
            entry.kept_at = past::close(change, sk, ends, entry);
        }
    }
}
