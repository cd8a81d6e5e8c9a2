//! RSTs that answer a segment.

use super::Scenario;

mod closed;
mod connected;
mod handshake;
mod listening;
mod unknown;

pub(super) const ALL: &[Scenario] = &[
    Scenario::new("closed_port", closed::of_ipv4),
    Scenario::new("closed_port", closed::of_ipv6),
    Scenario::new("listener_elsewhere", closed::other_address),
    Scenario::new("listener_elsewhere", closed::other_namespace),
    Scenario::new("listener_elsewhere", closed::ipv6_only),
    Scenario::new("firewall_reject", closed::rejected),
    Scenario::new("scan_probe", unknown::probe),
    Scenario::new("forged_handshake", unknown::forged_syn),
    Scenario::new("late_segment", unknown::after_both_fins),
    // The abort's own RST goes before.
    Scenario::new("late_segment", unknown::after_abort).also(&["linger_zero"]),
    Scenario::new("never_accepted", listening::no_place),
    Scenario::overflow("accept_queue_full", listening::no_place),
    Scenario::overflow("accept_queue_full", listening::no_place_for_a_syn),
    Scenario::new("late_answer", unknown::after_giving_up),
    Scenario::new("timed_out", unknown::after_timeout),
    Scenario::new("nat_state_lost", unknown::other_peer),
    Scenario::new("half_open", unknown::never_was),
    Scenario::new("half_open", unknown::host_made_anew),
    Scenario::new("accept_overflow", listening::overflow),
    Scenario::new("bad_syn", listening::second_syn),
    Scenario::new("closed_in_handshake", listening::closed_meanwhile),
    Scenario::new("stale_ack", listening::restarted_meanwhile),
    Scenario::new("stale_ack", listening::ack_of_nothing),
    // The listener answers for its half-open connections, and does not say that there was one.
    Scenario::new("stale_ack", listening::ack_of_something_else),
    Scenario::new("old_connection", handshake::acknowledges_another),
    // Before 6.10 no reason tells it from an acknowledgment of something else.
    Scenario::new("paws_on_connect", handshake::echoes_another).also(&["old_connection"]),
    Scenario::new("bad_final_ack", handshake::bad_last_ack),
    Scenario::new("data_after_close", connected::in_fin_wait1),
    Scenario::new("data_after_close", connected::with_the_ack_of_the_fin),
    Scenario::new("data_after_close", connected::in_fin_wait2),
    Scenario::new("data_after_close", connected::to_the_minisocket),
];
