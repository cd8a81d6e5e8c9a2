//! The names of the maps that user space sizes, fills or reads. Each is a static of that name in a file of the programs;
//! what it is for is said there. The sets that filters look things up in are named by
//! [`crate::criteria::sets`]. The programs have further maps, for themselves.

names! {
    EVENTS: "The ring buffer (`emit.rs`).";
    DELIVERIES: "Records by kind, as submitted or lost (`emit.rs`).";
    SOCKETS: "What is remembered of sockets (`memory.rs`).";
    LISTENERS: "What is remembered of listeners (`memory.rs`).";
    NO_ROOM: "How often a map was full (`shortage.rs`).";
    UNDECIDED: "Events that filters could not decide on (`shortage.rs`).";
    HEARD: "What segments are like, by connection (`baseline.rs`).";
    PORTS: "Ports to report (`filter.rs`).";
    NETWORKS: "Networks to report (`filter.rs`).";
}
