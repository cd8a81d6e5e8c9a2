//! Packet filters.

use super::super::{Cause, Finding, case, case::Case};
use crate::event::{RstKind, TcpState};

pub(super) const REJECT: Cause = Cause {
    id: "firewall_reject",
    title: "rejected by a packet filter",
    remedy: "find the rule: run `nft list ruleset` or `iptables-save` in that netns and look for `reject with tcp \
             reset`",
    rule: |case| {
        let is_filters = case.rst.kind == RstKind::Firewall;
        let summary = || {
            format!("a packet filter of this host refused a segment from {} to {}", case.event.remote, case.event.local)
        };
        match is_filters {
            true => Some(Finding::certain(summary()).observed("nf_send_reset was called for it")),
            false => unsent(case),
        }
    },
};

/// A RST that no kernel sent: the peer is on this host, and did not reset.
fn unsent(case: &Case<'_>) -> Option<Finding> {
    if !case.is_received() || !case.sees_sent || case.injector.is_some() {
        return None;
    }
    let syn_sent = case.state() == Some(TcpState::SYN_SENT);
    let finding = match &case.rst.peer {
        Some(listener) if syn_sent && is_within_host(case) => {
            let (who, remote) = (case::name(listener.owner.as_deref()), case.event.remote);
            Finding::likely(format!("a packet filter of this host refused the SYN: {who} listens on {remote}"))
                .observed(format!("a socket listens on port {} there", remote.port()))
        }
        Some(peer) if !syn_sent && peer.is_open && may_be_it(case, peer.netns) => {
            let (who, place) = (case::name(peer.owner.as_deref()), case.place(peer.netns));
            Finding::likely(format!(
                "a packet filter of this host, or something that injects RSTs, reset the connection: {who} has the \
                 peer socket open{place}"
            ))
            .observed(format!("the socket {} with {} has the peer's sequence numbers", peer.local, peer.remote))
        }
        _ if syn_sent => {
            let listener = case.rst.listeners.iter().find(|listener| may_be_it(case, listener.netns))?;
            let who = format!("{}[{}]", listener.comm, listener.pid);
            let (place, remote) = (case.place(listener.netns), case.event.remote);
            Finding::likely(format!("a packet filter of this host refused the SYN: {who} listens on {remote}{place}"))
                .observed(format!("a socket listens on port {} of {}", remote.port(), listener.address))
        }
        _ => return None,
    };
    Some(
        finding
            .observed("this host's kernel was not seen to send that RST")
            .inferred("a rule that rejects with a RST made it, on output or input of either side, or a program did"),
    )
}

/// The SYN was sent to an address of its own namespace.
fn is_within_host(case: &Case<'_>) -> bool {
    let remote = case.event.remote.ip();
    remote.is_loopback() || remote == case.event.local.ip()
}

/// What is sent over loopback stays in its namespace.
fn may_be_it(case: &Case<'_>, netns: u32) -> bool {
    !case.event.remote.ip().is_loopback() || case.event.netns == Some(netns)
}
