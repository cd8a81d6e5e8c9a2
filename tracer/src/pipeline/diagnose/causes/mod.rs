//! The causes, in the order in which their rules are asked: the special before the general.

use super::Cause;

mod abort;
mod close;
mod data_after_close;
mod elsewhere;
mod firewall;
mod handshake;
mod listener;
mod no_socket;
mod received;
mod stray;
mod timer;
mod unexplained;

/// All of them.
pub static ALL: [&Cause; 50] = [
    &firewall::REJECT,
    // A segment that no connection was found for.
    &no_socket::SCAN_PROBE,
    &no_socket::FORGED_HANDSHAKE,
    &elsewhere::LISTENER_ELSEWHERE,
    &no_socket::CLOSED_PORT,
    &listener::NEVER_ACCEPTED,
    &no_socket::LATE_ANSWER,
    &no_socket::TIMED_OUT,
    &no_socket::LATE_SEGMENT,
    &no_socket::NAT_STATE_LOST,
    &no_socket::CLOSED_IN_HANDSHAKE,
    &no_socket::HALF_OPEN,
    // A segment that does not fit its socket.
    &listener::ACCEPT_OVERFLOW,
    &listener::BAD_SYN,
    &listener::STALE_ACK,
    &handshake::PAWS,
    &handshake::OLD_CONNECTION,
    &handshake::BAD_FINAL_ACK,
    &close::LINGER2,
    &data_after_close::DATA_AFTER_CLOSE,
    // Local aborts: by somebody else, by way of another socket, by the process, by a timer.
    &abort::MPTCP,
    &abort::DESTROYED,
    &abort::LISTENER_CLOSED,
    &close::UNSENT,
    &abort::CONNECT_UNSPEC,
    &close::LINGER_ZERO,
    &timer::ORPHAN_LIMIT,
    &timer::FIN_WAIT2,
    &timer::KEEPALIVE,
    &close::KILLED,
    &close::UNREAD,
    &abort::DISCONNECTED,
    // RSTs received.
    &received::INJECTED,
    &received::MIDDLEBOX,
    &received::RESET_IN_HANDSHAKE,
    &received::REFUSED,
    &received::IDLE_LIMIT,
    &received::AFTER_CLOSE,
    &received::WHILE_SENDING,
    &received::PEER,
    // RSTs received but ignored.
    &stray::CHALLENGE_ACK,
    &stray::OUT_OF_WINDOW,
    &stray::IN_FIN_WAIT2,
    &stray::ASSASSINATION,
    &stray::IN_TIME_WAIT,
    &stray::OF_REQUEST,
    &stray::AT_LISTENER,
    &stray::WITHOUT_SOCKET,
    &stray::OTHER,
    &unexplained::UNEXPLAINED,
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::ALL;

    #[test]
    fn identifiers_are_unique_and_texts_are_whole() {
        let ids: HashSet<_> = ALL.iter().map(|cause| cause.id).collect();
        assert_eq!(ids.len(), ALL.len());
        for cause in ALL {
            assert!(cause.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
            assert!(!cause.title.is_empty() && cause.remedy.len() > 20, "{}", cause.id);
        }
    }
}
