//! What this host says of itself without any program: processes, sockets, addresses, counters, memory.

pub mod account;
pub mod addresses;
pub mod clock;
pub(crate) mod hidden;
pub(crate) mod malloc;
pub mod netstat;
pub mod new_file;
pub(crate) mod pid_namespace;
pub(crate) mod pidfd;
pub(crate) mod priority;
pub mod snmp;
pub mod sock_diag;
pub(crate) mod users;
