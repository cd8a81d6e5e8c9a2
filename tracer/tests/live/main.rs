//! Tests of what may differ from kernel to kernel: they need root, so they are ignored unless asked
//! for (`cargo xtask test` asks).
//!
//! `TRACER_BIN` names another binary to test, such as a static one in a virtual machine.

mod cable;
mod causes;
#[expect(dead_code, reason = "some of it is for the other tests")]
mod cgroup;
mod child;
mod columns;
mod confined;
mod demo;
mod doctor;
mod ends;
mod field;
mod filtered;
mod firewall;
mod handshake;
mod mechanisms;
mod nobody_answers;
mod opens;
mod other_btf;
mod owner;
mod past_owner;
mod peer;
mod pid_namespace;
mod preempted;
mod privileges;
mod report;
mod room;
mod soak;
mod starts;
mod trace;
mod unsent;
mod wait;
mod wire;
