//! Kinds of events, as one asks for them.

use std::collections::BTreeSet;

use clap::ValueEnum;
use tracer_ebpf::record::{
    KIND_CLOSE, KIND_END, KIND_LOOKUP, KIND_OPEN, KIND_PROCESS, KIND_QUEUE, KIND_RAW_SEND, KIND_RST, KIND_STATE,
    KIND_STRAY,
};

/// Kinds of events to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// TCP state changes
    State,
    /// RSTs sent and received
    Rst,
    /// RSTs received but ignored (challenge ACK, out of window, TIME_WAIT, no socket)
    Stray,
    /// Connections established: how they opened and handshake time
    Open,
    /// Sockets closed: what ended them, lifetime, bytes and round trip
    Close,
    /// Socket lookups in the established hash and the listener hash
    Lookup,
    /// TCP segments sent through raw or packet sockets
    Raw,
    /// Connections dropped by a full accept queue
    Overflow,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::State, Self::Rst, Self::Stray, Self::Open, Self::Close, Self::Lookup, Self::Raw, Self::Overflow];

    /// The `event` member of such an event in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Rst => "rst",
            Self::Stray => "stray_rst",
            Self::Open => "open",
            Self::Close => "close",
            Self::Lookup => "lookup",
            Self::Raw => "raw_send",
            Self::Overflow => "overflow",
        }
    }

    /// The kind of its records.
    pub fn of_record(self) -> u16 {
        match self {
            Self::State => KIND_STATE,
            Self::Rst => KIND_RST,
            Self::Stray => KIND_STRAY,
            Self::Open => KIND_OPEN,
            Self::Close => KIND_CLOSE,
            Self::Lookup => KIND_LOOKUP,
            Self::Raw => KIND_RAW_SEND,
            Self::Overflow => KIND_QUEUE,
        }
    }
}

/// The records of `kinds` and those that tell of processes, as the programs' `REPORTED`.
pub fn reported(kinds: &BTreeSet<Kind>) -> u32 {
    kinds.iter().map(|kind| kind.of_record()).chain([KIND_PROCESS, KIND_END]).fold(0, |bits, kind| bits | 1 << kind)
}
