//! Aborts that are not a plain close().

use super::{
    super::{Cause, Finding},
    close,
};

pub(super) const MPTCP: Cause = Cause {
    id: "mptcp",
    title: "MPTCP reset a subflow",
    remedy: "see RFC 8684, section 3.6, for the reasons: a middlebox often strips MPTCP options; `ip mptcp` shows \
             endpoints and limits",
    rule: |case| {
        let named = case.reason().starts_with("MPTCP_RST_");
        // What the process does to its MPTCP socket is not MPTCP's decision.
        let by_functions = case.is_from(&["mptcp_", "__mptcp_", "subflow_"]) && !close::closes_mptcp(case);
        let is_one = named || by_functions && (case.is_active() || case.is_passive());
        is_one.then(|| {
            let what = match case.reason() {
                "" => "this kernel names no reason",
                reason => reason,
            };
            Finding::certain(format!("MPTCP gave up a subflow of {}: {what}", case.owner()))
        })
    },
};

pub(super) const DESTROYED: Cause = Cause {
    id: "destroyed",
    title: "socket destroyed by an administrator (SOCK_DESTROY)",
    remedy: "`ss -K` or a network manager (Android, Cilium, NetworkManager) destroyed it, perhaps because its address \
             was removed: ask whoever runs that",
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
    title: "listener closed with connections in its accept queue",
    remedy: "drain first: take the server out of the load balancer, accept what is queued, then close; SO_REUSEPORT \
             with net.ipv4.tcp_migrate_req moves queued connections to another listener",
    rule: |case| {
        let is_one = case.is_active() && case.is_from(&["inet_csk_listen_stop"]);
        is_one.then(|| {
            let who = case.owner();
            let waited = match case.circumstances().backlog {
                0 | 1 => "while this connection waited in its accept queue".to_owned(),
                many => format!("while {many} connections, this one among them, waited in its accept queue"),
            };
            let finding = match (case.ending(), case.closing_thread()) {
                (Some(ended), _) => Finding::certain(format!("{who} {ended} {waited}"))
                    .observed("the task was exiting when it closed the listener"),
                (None, Some(work)) => {
                    close::on_behalf(case, work, "a listener with this connection in its accept queue")
                }
                (None, None) => Finding::certain(format!("{who} closed its listener {waited}")),
            };
            finding.observed("inet_csk_listen_stop is on the stack")
        })
    },
};

pub(super) const CONNECT_UNSPEC: Cause = Cause {
    id: "connect_unspec",
    title: "disconnected by connect(AF_UNSPEC)",
    remedy: "the process dissolved the connection itself; close() would have ended it with a FIN",
    rule: |case| {
        let connects = ["__inet_stream_connect", "inet_stream_connect", "__sys_connect"];
        let is_one = case.is_active() && case.is_from(&["tcp_disconnect"]) && case.is_from(&connects);
        is_one.then(|| Finding::certain(format!("{} called connect() with AF_UNSPEC", case.owner())))
    },
};

pub(super) const DISCONNECTED: Cause = Cause {
    id: "disconnected",
    title: "disconnected by the kernel on a process's behalf",
    remedy: "look at the stack: the caller of tcp_disconnect decided it",
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
