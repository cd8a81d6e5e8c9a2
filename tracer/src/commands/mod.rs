//! The commands, one module each but the demo; and what several of them share.

pub mod doctor;
pub mod output;
pub mod replay;
pub mod rst;
mod showing;
mod tally;
pub mod trace;
