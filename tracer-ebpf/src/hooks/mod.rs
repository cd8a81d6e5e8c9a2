//! One file per kernel event. A program's name is `EVENT_MECHANISM`; the probe plan refers to it.

mod baseline;
mod end;
mod existing;
mod firewall;
mod lookup;
mod owner;
mod raw_send;
mod reset;
mod state;
mod stray;
mod synack;
