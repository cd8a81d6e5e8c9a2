//! One file per kernel event. A program's name is `EVENT_MECHANISM`; the probe plan refers to it.

mod firewall;
mod lookup;
mod raw_send;
mod reset;
mod state;
