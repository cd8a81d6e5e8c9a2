//! The demo: scenarios played by real sockets on simulated hosts ([`crate::testbed`]), and judged by what the probes saw.
//!
//! A scenario runs in private network namespaces that a wire joins. It acts, gathers what witnesses apart from the probes
//! say (the sockets' own states, `/proc/net/snmp`, sock_diag), and its verdict is a pure function of the events that the
//! probes reported and of those witnesses.

pub mod evidence;
pub mod feed;
pub mod makings;
pub mod recorder;
mod run;
pub mod scenario;
pub mod scenarios;
pub mod stage;
pub mod summary;

pub use run::run;
