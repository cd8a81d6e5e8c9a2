//! What the records say of how a connection opened and ended.

use tracer_ebpf::record;

use crate::event::{Close, Context, End, Open, Opened, ReplacedBy, Side, TcpState};

/// What a [`record::Header::opened`] means.
pub(crate) const OPENS: [(u8, Opened); 5] = [
    (record::OPEN_ACTIVE, Opened::Active),
    (record::OPEN_PASSIVE, Opened::Passive),
    (record::OPEN_SIMULTANEOUS, Opened::Simultaneous),
    (record::OPEN_SELF, Opened::Itself),
    (record::OPEN_RESTORED, Opened::Restored),
];

/// A [`record::Header::opened`].
pub(super) fn opened(number: u8) -> Option<Opened> {
    OPENS.into_iter().find(|(known, _)| *known == number).map(|(_, opened)| opened)
}

/// A [`record::Closing::time_wait`].
pub(super) fn took(time_wait: u8) -> Option<ReplacedBy> {
    match time_wait {
        record::TIME_WAIT => Some(ReplacedBy::TimeWait),
        record::TIME_WAIT_FIN_WAIT2 => Some(ReplacedBy::FinWait2),
        _ => None,
    }
}

pub(super) fn open(record: &record::Open) -> Open {
    let record::Open { header, opening } = record;
    let [low, high] = opening.port_range;
    let port = header.local_port;
    Open {
        handshake_ns: (opening.handshake_ns != 0).then_some(opening.handshake_ns),
        rtt_us: (opening.rtt_us != 0).then_some(opening.rtt_us),
        syn_retransmits: opening.retransmits,
        warning: (low..=high).contains(&port).then(|| {
            format!(
                "port {port} is in the ephemeral range ({low}-{high}, net.ipv4.ip_local_port_range): a client that retries a dead \
                 local port can connect to itself, and the server then cannot bind its port (EADDRINUSE); add the port to \
                 net.ipv4.ip_local_reserved_ports"
            )
        }),
    }
}

pub(super) fn close(record: &record::Close, context: Context) -> Close {
    let record::Close { header, closing } = record;
    let now = header.mono_ns;
    let since = |then: u64| (then != 0).then(|| now.saturating_sub(then));
    let known = |count: u64| (count != u64::MAX).then_some(count);
    let became = took(closing.time_wait);
    let (ended_by, ended_by_observed) = end(closing, context);
    let first = match (closing.first_fin, ended_by) {
        (record::FIN_LOCAL, _) => Some(Side::Local),
        (record::FIN_REMOTE, _) => Some(Side::Remote),
        (_, End::RstReceived | End::Refused) => Some(Side::Remote),
        (_, End::RstSent | End::Aborted | End::Abandoned | End::Repair) => Some(Side::Local),
        _ => None,
    };
    Close {
        ended_by,
        ended_by_observed,
        first,
        lifetime_ns: since(closing.began_ns),
        open_ns: since(closing.opened_ns),
        // The kernel counts a FIN like a byte (tcp_rcv_nxt_update).
        bytes_in: known(closing.bytes_received).map(|bytes| bytes.saturating_sub(has_received_fin(closing).into())),
        bytes_out: known(closing.bytes_sent),
        rtt_us: (closing.rtt_us != 0).then_some(closing.rtt_us),
        retransmits: closing.retransmits,
        unanswered: closing.unanswered,
        user_timeout_ms: closing.user_timeout,
        idle_ms: super::jiffies::idle(closing.last_ack, closing.jiffies, now),
        window_closed: closing.error != 0 && closing.jiffies != 0 && closing.window == 0,
        unacked: closing.unacked,
        unsent: closing.unsent,
        probes: closing.probes_out,
        reader: None,
        signal: (closing.signal != 0).then_some(closing.signal),
        had_rst: closing.resets & (record::RESET_RECEIVED | record::RESET_SENT) != 0,
        old: TcpState(closing.old),
        became,
        error: error(closing.error),
        verdict: None,
    }
}

fn has_received_fin(closing: &record::Closing) -> bool {
    let old = TcpState(closing.old);
    closing.first_fin == record::FIN_REMOTE
        || old == TcpState::CLOSING
        || old == TcpState::FIN_WAIT2 && closing.time_wait == record::TIME_WAIT
}

/// What ended it, and whether that was seen. Otherwise it is what the kernel does in that state:
/// `tcp_close`, `tcp_disconnect` and `tcp_rcv_state_process` of net/ipv4/tcp{,_input}.c.
fn end(closing: &record::Closing, context: Context) -> (End, bool) {
    let old = TcpState(closing.old);
    if closing.error == record::ERROR_TAKEN {
        // Only a timer ends these; a SYN may have been answered by ICMP too.
        return (if old == TcpState::SYN_SENT { End::Other } else { End::Timeout }, false);
    }
    match closing.error as i32 {
        libc::ECONNREFUSED => return (End::Refused, closing.resets & record::RESET_RECEIVED != 0),
        libc::ETIMEDOUT => return (End::Timeout, true),
        libc::ECONNABORTED => return (End::Aborted, true),
        _ => {}
    }
    if closing.resets & record::RESET_RECEIVED != 0 {
        return (End::RstReceived, true);
    }
    if closing.resets & record::RESET_SENT != 0 {
        return (End::RstSent, true);
    }
    if closing.resets & record::RESET_NOTHING != 0 {
        return (End::Repair, true);
    }
    match closing.error as i32 {
        // Data came after the close, which the kernel takes as a RST, and answers with one.
        libc::ECONNRESET if old.has_closed() => return (End::RstSent, false),
        // No probe sees every RST that comes, the error tells.
        libc::ECONNRESET | libc::EPIPE => return (End::RstReceived, false),
        0 => {}
        _ => return (End::Other, true),
    }
    let is_over = took(closing.time_wait).is_some() || old == TcpState::LAST_ACK || old == TcpState::CLOSING;
    match old {
        _ if is_over => (End::Fin, true),
        TcpState::SYN_SENT => (End::Abandoned, context == Context::Process),
        // Closed with data unread, without lingering, or disconnected; or data came after the close.
        _ => (End::RstSent, false),
    }
}

/// A socket's error, if there is one and it is known: `ECONNRESET`, or `errno 999` for one that has no name here.
pub(super) fn error(errno: u32) -> Option<String> {
    if errno == 0 || errno == record::ERROR_TAKEN {
        return None;
    }
    Some(match nix::errno::Errno::from_raw(errno as i32) {
        nix::errno::Errno::UnknownErrno => format!("errno {errno}"),
        known => format!("{known:?}"),
    })
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    fn record(old: TcpState) -> record::Closing {
        record::Closing { old: old.0, ..record::Closing::new_zeroed() }
    }

    fn shown(closing: record::Closing, context: Context) -> Close {
        close(&record::Close { header: record::Header::new_zeroed(), closing }, context)
    }

    #[test]
    fn a_fin_is_not_a_byte() {
        let mut passive = record(TcpState::LAST_ACK);
        (passive.first_fin, passive.bytes_received, passive.bytes_sent) = (record::FIN_REMOTE, 6, 0);
        let told = shown(passive, Context::Softirq);
        assert_eq!((told.bytes_in, told.bytes_out), (Some(5), Some(0)));
        assert_eq!((told.ended_by, told.ended_by_observed, told.first), (End::Fin, true, Some(Side::Remote)));

        let mut active = record(TcpState::FIN_WAIT2);
        (active.first_fin, active.bytes_received, active.time_wait) = (record::FIN_LOCAL, 1, record::TIME_WAIT);
        let told = shown(active, Context::Softirq);
        assert_eq!((told.bytes_in, told.became, told.first), (Some(0), Some(ReplacedBy::TimeWait), Some(Side::Local)));

        let mut orphan = record(TcpState::FIN_WAIT2);
        (orphan.bytes_received, orphan.time_wait) = (7, record::TIME_WAIT_FIN_WAIT2);
        assert_eq!(shown(orphan, Context::Process).bytes_in, Some(7), "its FIN has not come yet");
        orphan.bytes_received = u64::MAX;
        assert_eq!(shown(orphan, Context::Process).bytes_in, None, "unknown to this kernel");
    }

    #[test]
    fn what_was_seen_and_what_follows_are_told_apart() {
        let aborted = record(TcpState::ESTABLISHED);
        assert_eq!(end(&aborted, Context::Process), (End::RstSent, false));
        let mut reset = record(TcpState::ESTABLISHED);
        reset.resets = record::RESET_RECEIVED;
        assert_eq!(end(&reset, Context::Softirq), (End::RstReceived, true));
        let mut refused = record(TcpState::SYN_SENT);
        (refused.error, refused.resets) = (libc::ECONNREFUSED as u32, record::RESET_RECEIVED);
        assert_eq!(end(&refused, Context::Softirq), (End::Refused, true));
        let mut timeout = record(TcpState::ESTABLISHED);
        timeout.error = libc::ETIMEDOUT as u32;
        assert_eq!(end(&timeout, Context::Timer), (End::Timeout, true));
        assert_eq!(shown(timeout, Context::Timer).error.as_deref(), Some("ETIMEDOUT"));
        timeout.error = record::ERROR_TAKEN;
        assert_eq!(end(&timeout, Context::Timer), (End::Timeout, false));
        assert_eq!(shown(timeout, Context::Timer).error, None);
        timeout.old = TcpState::SYN_SENT.0;
        assert_eq!(end(&timeout, Context::Timer), (End::Other, false), "a timeout or ICMP");
        assert_eq!(end(&record(TcpState::SYN_SENT), Context::Process), (End::Abandoned, true));
    }
}
