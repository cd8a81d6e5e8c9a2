//! The kernel fields that the programs read: one table, from which both sides are made.
//!
//! rustc emits no CO-RE relocations. So each field's offset is a read-only global of the programs
//! (named as in the table), which the loader sets from the running kernel's BTF before the programs
//! are verified; to the verifier it is a constant.

/// Value of an offset whose field this kernel does not have.
pub const MISSING: u32 = u32::MAX;

/// A kernel field and the global that holds its offset.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Name of the global in the programs.
    pub global: &'static str,
    /// `struct.member[.member...]`; members of anonymous structs and unions count as the parent's.
    pub path: &'static str,
    /// What is lost without it: `None` if nothing works without it.
    pub without: Option<&'static str>,
}

/// Members of one bit; a global holds the number of its bit, counted from the struct's first.
pub const BITS: [Field; 2] = [
    Field { global: "TP_REPAIR", path: "tcp_sock.repair", without: Some("checkpointed and restored sockets") },
    Field {
        global: "REQUEST_ACKED",
        path: "inet_request_sock.acked",
        without: Some("connections that find the accept queue full"),
    },
];

/// Types whose sizes differ between kernels of one processor; a global holds one in bytes. The path is the type's name.
pub const SIZES: &[Field] = &crate::arch::SIZES;

/// Calls `$callback!` with the table `NAME = "path", "what is lost without it" or nothing;`. Behind these fields come those
/// that the processor has, see [`crate::arch`].
#[macro_export]
macro_rules! fields {
    ($callback:ident) => {
        $crate::with_fields_of_processor! {
            $callback;
            SK_FAMILY = "sock_common.skc_family";
            SK_STATE = "sock_common.skc_state";
            SK_DPORT = "sock_common.skc_dport";
            SK_NUM = "sock_common.skc_num";
            SK_DADDR = "sock_common.skc_daddr";
            SK_RCV_SADDR = "sock_common.skc_rcv_saddr";
            SK_V6_DADDR = "sock_common.skc_v6_daddr", "addresses of IPv6 sockets";
            SK_V6_RCV_SADDR = "sock_common.skc_v6_rcv_saddr", "addresses of IPv6 sockets";
            SK_NET = "sock_common.skc_net.net", "network namespaces";
            SK_COOKIE = "sock_common.skc_cookie", "socket cookies where no helper gives them";
            SK_HASH = "sock_common.skc_hash", "ehash membership at state changes";
            SK_PPREV = "sock_common.skc_nulls_node.pprev", "ehash membership at state changes";
            SK_FLAGS = "sock_common.skc_flags", "some evidence of why a RST was sent";
            SK_SHUTDOWN = "sock.sk_shutdown", "some evidence of why a RST was sent";
            SK_LINGER_TIME = "sock.sk_lingertime", "some evidence of why a RST was sent";
            SK_BACKLOG = "sock.sk_ack_backlog", "some evidence of why a RST was sent";
            SK_MAX_BACKLOG = "sock.sk_max_ack_backlog", "some evidence of why a RST was sent";
            SK_PROTOCOL = "sock.sk_protocol";
            SK_TYPE = "sock.sk_type", "segments sent through raw sockets";
            SK_SOCKET = "sock.sk_socket", "segments sent through raw sockets";
            SOCKET_FILE = "socket.file", "segments sent through raw sockets";
            SOCKET_SK = "socket.sk", "owners of sockets opened before the trace";
            FILE_INODE = "file.f_inode", "owners of sockets opened before the trace";
            FILE_PRIVATE = "file.private_data", "owners of sockets opened before the trace";
            INODE_MODE = "inode.i_mode", "owners of sockets opened before the trace";
            TASK_LEADER = "task_struct.group_leader", "owners of sockets";
            TASK_TGID = "task_struct.tgid", "owners of sockets";
            TASK_PID = "task_struct.pid", "owners of sockets";
            TASK_THREAD_PID = "task_struct.thread_pid", "process ids in a pid namespace of the tracer's own";
            PID_LEVEL = "pid.level", "process ids in a pid namespace of the tracer's own";
            PID_NUMBERS = "pid.numbers", "process ids in a pid namespace of the tracer's own";
            UPID_NR = "upid.nr", "process ids in a pid namespace of the tracer's own";
            UPID_NS = "upid.ns", "process ids in a pid namespace of the tracer's own";
            PIDNS_INUM = "pid_namespace.ns.inum", "process ids in a pid namespace of the tracer's own";
            TASK_COMM = "task_struct.comm", "owners of sockets";
            TASK_CRED = "task_struct.real_cred", "users that own sockets";
            CRED_UID = "cred.uid.val", "users that own sockets";
            TASK_CGROUPS = "task_struct.cgroups", "control groups and containers";
            CSS_SET_DEFAULT = "css_set.dfl_cgrp", "control groups and containers";
            CGROUP_KN = "cgroup.kn", "control groups and containers";
            CGROUP_PARENT = "cgroup.self.parent", "filtering by control groups above a process's own";
            KN_ID = "kernfs_node.id", "control groups and containers";
            TASK_START = "task_struct.start_time", "command lines of short-lived processes";
            TASK_EXEC_ID = "task_struct.self_exec_id", "command lines of short-lived processes";
            TASK_MM = "task_struct.mm", "command lines of short-lived processes";
            TASK_SIGNAL = "task_struct.signal", "process exits";
            SIGNAL_FLAGS = "signal_struct.flags", "how processes end";
            SIGNAL_OOM_MM = "signal_struct.oom_mm", "that the OOM killer ended a process";
            SIGINFO_CODE = "kernel_siginfo.si_code", "who sent the signal that ended a process";
            SIGNAL_LIVE = "signal_struct.live.counter", "process exits";
            TASK_PARENT = "task_struct.real_parent", "parents of processes";
            MM_ARG_START = "mm_struct.arg_start", "command lines of short-lived processes";
            MM_ARG_END = "mm_struct.arg_end", "command lines of short-lived processes";
            INET_SPORT = "inet_sock.inet_sport", "local ports of sockets that have released theirs";
            SK_ERR = "sock.sk_err", "telling timers from packets at CLOSE";
            NET_INUM = "net.ns.inum", "network namespaces";
            NET_LOCAL_PORTS = "net.ipv4.ip_local_ports.range", "the warning about accidental self-connects";
            NET_HASHINFO = "net.ipv4.tcp_death_row.hashinfo", "ehash bucket numbers";
            EHASH_MASK = "inet_hashinfo.ehash_mask", "ehash bucket numbers";
            EHASH_TABLE = "inet_hashinfo.ehash", "telling TIME_WAIT from CLOSE";
            TW_SUBSTATE = "inet_timewait_sock.tw_substate", "telling TIME_WAIT from CLOSE";
            TW_RCV_NXT = "sock_common.skc_tw_rcv_nxt", "whether a RST ended TIME_WAIT";
            TW_SND_NXT = "sock_common.skc_tw_snd_nxt", "owners of segments that arrive in TIME_WAIT";
            TP_RCV_NXT = "tcp_sock.rcv_nxt", "bytes unread when a RST was sent";
            TP_COPIED_SEQ = "tcp_sock.copied_seq", "bytes unread when a RST was sent";
            TP_SND_NXT = "tcp_sock.snd_nxt", "bytes unacknowledged when a RST arrived";
            TP_SND_UNA = "tcp_sock.snd_una", "bytes unacknowledged when a RST arrived";
            TP_SND_WND = "tcp_sock.snd_wnd", "sequence numbers of some sent RSTs";
            TP_RCV_TSTAMP = "tcp_sock.rcv_tstamp", "idle times of connections";
            TP_LSNDTIME = "tcp_sock.lsndtime", "idle times of connections";
            ICSK_LRCVTIME = "inet_connection_sock.icsk_ack.lrcvtime", "idle times of connections";
            TP_WRITE_SEQ = "tcp_sock.write_seq", "bytes unsent when a connection failed";
            TP_LINGER2 = "tcp_sock.linger2", "some evidence of why a RST was sent";
            ICSK_USER_TIMEOUT = "inet_connection_sock.icsk_user_timeout", "some evidence of why a RST was sent";
            ICSK_PROBES_OUT = "inet_connection_sock.icsk_probes_out", "some evidence of why a RST was sent";
            ICSK_RETRANSMITS = "inet_connection_sock.icsk_retransmits", "some evidence of why a RST was sent";
            TASK_FLAGS = "task_struct.flags", "telling processes from kernel threads, and that a process was killed";
            TASK_EXIT_CODE = "task_struct.exit_code", "that a process was killed";
            TP_BYTES_RECEIVED = "tcp_sock.bytes_received", "bytes received by a connection";
            TP_BYTES_ACKED = "tcp_sock.bytes_acked", "owners of segments that arrive after a connection has ended";
            TP_BYTES_SENT = "tcp_sock.bytes_sent", "bytes sent by a connection";
            TP_BYTES_RETRANS = "tcp_sock.bytes_retrans", "bytes sent by a connection";
            TP_SRTT = "tcp_sock.srtt_us", "round-trip times";
            TP_TOTAL_RETRANS = "tcp_sock.total_retrans", "retransmissions";
            SKB_HEAD = "sk_buff.head", "the segment that triggered a RST";
            SKB_NETWORK = "sk_buff.network_header", "the segment that triggered a RST";
            SKB_TRANSPORT = "sk_buff.transport_header", "the segment that triggered a RST";
            SKB_SK = "sk_buff.sk", "segments sent through raw sockets";
            SKB_DEV = "sk_buff.dev", "network namespaces of RSTs without a socket";
            SKB_DST = "sk_buff._skb_refdst", "ruling out RSTs that a function entry announces but the kernel does not send";
            SKB_PROTOCOL = "sk_buff.protocol", "RSTs received but ignored";
            DST_DEV = "dst_entry.dev", "network namespaces of ignored RSTs";
            DEV_NET = "net_device.nd_net.net", "network namespaces of RSTs without a socket";
            RT_TYPE = "rtable.rt_type", "ruling out IPv4 RSTs to segments for other hosts";
            RT6_FLAGS = "rt6_info.rt6i_flags", "ruling out IPv6 RSTs to segments for other hosts";
            TP_SKADDR = "trace_event_raw_inet_sock_set_state.skaddr", "the classic tracepoint for state changes";
            TP_OLDSTATE = "trace_event_raw_inet_sock_set_state.oldstate", "the classic tracepoint for state changes";
            TP_NEWSTATE = "trace_event_raw_inet_sock_set_state.newstate", "the classic tracepoint for state changes";
        }
    };
}

macro_rules! table {
    ($($name:ident = $path:literal $(, $without:literal)?;)*) => {
        /// All fields.
        pub const FIELDS: &[Field] = &[$(
            Field { global: stringify!($name), path: $path, without: table!(@without $($without)?) },
        )*];
    };
    (@without) => { None };
    (@without $without:literal) => { Some($without) };
}

fields!(table);
