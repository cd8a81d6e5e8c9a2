//! How user space tells the programs what to report. A filter is switched on by a global ([`switches`]) and looks things
//! up in a map, most in a set of keys ([`sets`]). All of these are in `filter.rs` of the programs.

/// The names of the read-only globals of type `u8` by which filters are switched on: 0 is off.
pub mod switches {
    names! {
        NETNS_ONLY: "1: only the namespaces in [`NETNS`](super::sets::NETNS).";
        FILTER_ENDS: "Bits for what the two ends must be.";
        FILTER_OWNER: "Bits for what the owner must be.";
        FILTER_OPENS: "Bits `1 << OPEN_...`: the ways in which a connection must have opened.";
        FOLLOW_CHILDREN: "1: children of the processes in [`PIDS`](super::sets::PIDS) too.";
    }
}

/// The names of the maps that are sets: a key, and a `u8` that says that it is in.
pub mod sets {
    names! {
        NETNS: "Inodes of network namespaces.";
        PIDS: "Processes, each with [`PID_RUNS`](super::PID_RUNS) or [`PID_EXITS`](super::PID_EXITS).";
        UIDS: "Users.";
        COMMS: "Names of tasks.";
        CGROUPS: "Ids of control groups.";
    }
}

/// `FILTER_ENDS`: IPv4, v4-mapped addresses included.
pub const BY_IPV4: u8 = 1;
/// `FILTER_ENDS`: IPv6.
pub const BY_IPV6: u8 = 2;
/// `FILTER_ENDS`: the port of either end is in [`SET_EITHER`].
pub const BY_PORT: u8 = 4;
/// `FILTER_ENDS`: this host's port is in [`SET_LOCAL`].
pub const BY_LOCAL_PORT: u8 = 8;
/// `FILTER_ENDS`: the remote port is in [`SET_REMOTE`].
pub const BY_REMOTE_PORT: u8 = 16;
/// `FILTER_ENDS`: either end's address is in `NETWORKS`.
pub const BY_ADDRESS: u8 = 32;

/// `FILTER_OWNER`: the owner's process id is in `PIDS`.
pub const BY_PID: u8 = 1;
/// `FILTER_OWNER`: its user id is in `UIDS`.
pub const BY_UID: u8 = 2;
/// `FILTER_OWNER`: its name is in `COMMS`.
pub const BY_COMM: u8 = 4;
/// `FILTER_OWNER`: its control group, or one above it, is in `CGROUPS`.
pub const BY_CGROUP: u8 = 8;

/// Value in `PIDS`: the process runs.
pub const PID_RUNS: u8 = 1;
/// Value in `PIDS`: its last thread is on its way out, and closes what the process has open.
pub const PID_EXITS: u8 = 2;

/// One bit for each port: port `n` is bit `n % 64` of word `n / 64`.
pub type PortSet = [u64; 1024];
/// Index in `PORTS`: ports of either end.
pub const SET_EITHER: u32 = 0;
/// Index in `PORTS`: ports of this host.
pub const SET_LOCAL: u32 = 1;
/// Index in `PORTS`: remote ports.
pub const SET_REMOTE: u32 = 2;
/// Entries of `PORTS`.
pub const PORT_SETS: u32 = 3;
