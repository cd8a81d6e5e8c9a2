//! The names of the maps that user space sizes, fills or reads. Each is a static of that name in a file of the programs;
//! what it is for is said there. The programs have further maps, for themselves.

names! {
    EVENTS: "The ring buffer (`emit.rs`).";
    DELIVERIES: "Records by kind, as submitted or lost (`emit.rs`).";
    SOCKETS: "What is remembered of sockets (`memory.rs`).";
    LISTENERS: "What is remembered of listeners (`memory.rs`).";
    NO_ROOM: "How often a map was full (`shortage.rs`).";
    UNDECIDED: "Events that filters could not decide on (`shortage.rs`).";
    HEARD: "What segments are like, by connection (`baseline.rs`).";
    NETNS: "Network namespaces to report (`filter.rs`).";
    PORTS: "Ports to report (`filter.rs`).";
    NETWORKS: "Networks to report (`filter.rs`).";
    PIDS: "Processes to report (`filter.rs`).";
    UIDS: "Users to report (`filter.rs`).";
    COMMS: "Names of tasks to report (`filter.rs`).";
    CGROUPS: "Control groups to report (`filter.rs`).";
}
