//! Packet filters.

use super::super::{Cause, Finding};
use crate::event::RstKind;

pub(super) const REJECT: Cause = Cause {
    id: "firewall_reject",
    title: "rejected by a packet filter",
    remedy: "look for the rule: `nft list ruleset` or `iptables-save`, in that network namespace, for \
             `reject with tcp reset`",
    rule: |case| {
        let is_filters = case.rst.kind == RstKind::Firewall;
        is_filters.then(|| {
            Finding::certain(format!(
                "a packet filter of this host refused a segment from {} to {}",
                case.event.remote, case.event.local
            ))
            .observed("nf_send_reset was called for it")
        })
    },
};
