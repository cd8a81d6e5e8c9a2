//! Aborts that are not a plain close().

use super::super::{Cause, Finding};

pub(super) const MPTCP: Cause = Cause {
    id: "mptcp",
    title: "MPTCP reset a subflow",
    remedy: "see RFC 8684, section 3.6, for the reason: often a middlebox strips MPTCP's options; `ip mptcp` shows \
             the endpoints and limits",
    rule: |case| {
        let named = case.reason().starts_with("MPTCP_RST_");
        let is_one = named || case.is_active() && case.is_from(&["mptcp_", "__mptcp_", "subflow_"]);
        is_one.then(|| {
            let what = match case.reason() {
                "" => "for a reason that this kernel does not name",
                reason => reason,
            };
            Finding::certain(format!("MPTCP gave up a subflow of {}: {what}", case.owner()))
        })
    },
};

pub(super) const DESTROYED: Cause = Cause {
    id: "destroyed",
    title: "an administrator destroyed the socket",
    remedy: "somebody used `ss -K`, or a manager of the network did (Android, Cilium, NetworkManager, \
             an address that was removed): ask who",
    rule: |case| {
        let is_one = case.is_active() && case.is_from(&["tcp_abort"]);
        is_one.then(|| {
            let task = &case.event.task;
            Finding::certain(format!("{}[{}] destroyed a socket of {}", task.comm, task.pid, case.owner()))
                .observed("tcp_abort is on the stack (SOCK_DESTROY)")
        })
    },
};

pub(super) const LISTENER_CLOSED: Cause = Cause {
    id: "listener_closed",
    title: "the listener was closed with connections unaccepted",
    remedy: "stop new connections first (take the server out of the load balancer), accept what waits, then close; \
             SO_REUSEPORT with net.ipv4.tcp_migrate_req hands them over",
    rule: |case| {
        let is_one = case.is_active() && case.is_from(&["inet_csk_listen_stop"]);
        is_one.then(|| {
            let who = case.owner();
            Finding::certain(format!("{who} closed its listener while this connection waited in its queue"))
                .observed("inet_csk_listen_stop is on the stack")
        })
    },
};

pub(super) const CONNECT_UNSPEC: Cause = Cause {
    id: "connect_unspec",
    title: "disconnected by connect(AF_UNSPEC)",
    remedy: "the process dissolved the connection itself; close() instead ends it in order",
    rule: |case| {
        let connects = ["__inet_stream_connect", "inet_stream_connect", "__sys_connect"];
        let is_one = case.is_active() && case.is_from(&["tcp_disconnect"]) && case.is_from(&connects);
        is_one.then(|| Finding::certain(format!("{} called connect() with AF_UNSPEC", case.owner())))
    },
};

pub(super) const DISCONNECTED: Cause = Cause {
    id: "disconnected",
    title: "disconnected by the kernel on a process's behalf",
    remedy: "look at the stack: what called tcp_disconnect decided so",
    rule: |case| {
        let is_one = case.is_active() && case.is_from(&["tcp_disconnect"]);
        is_one.then(|| {
            Finding::likely(format!(
                "something other than close() or connect() disconnected a socket of {}",
                case.owner()
            ))
        })
    },
};
