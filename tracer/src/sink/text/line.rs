//! One event, one line.

use std::{fmt::Write as _, iter};

use anstyle::{AnsiColor, Style};

use super::units::duration;
use crate::event::{Body, Context, Direction, Event, Known, Open, Opened, RawKind, ReplacedBy, State, Table, TcpState};
use crate::sink::{foreign, page::WIDTH};

/// Adds formatted text; a `String` takes all.
macro_rules! push {
    ($out:expr, $($text:tt)*) => {{
        let _ = write!($out, $($text)*);
    }};
}

/// Adds the columns. Ends that are too long for theirs (IPv6) push what happened to a line of its own.
pub(super) fn row(out: &mut String, time: &str, process: &str, local: &str, remote: &str, what: &str) {
    const END: usize = 21;
    const WHAT_AT: usize = 75;
    let before = out.len();
    pad(out, time, 12);
    out.push(' ');
    pad(out, process, 17);
    out.push(' ');
    let start = out.len() - before;
    if local.len() <= END && remote.len() <= END {
        // How a connection opened may take what the columns before it do not need.
        let over = (start + END + 1 + END + 1 + what.len()).saturating_sub(WIDTH);
        let remote_width = remote.len().max(END.saturating_sub(over));
        let local_width = local.len().max((END + END - remote_width).saturating_sub(over));
        if start + local_width + 1 + remote_width + 1 + what.len() <= WIDTH {
            pad(out, local, local_width);
            out.push(' ');
            pad(out, remote, remote_width);
            out.push(' ');
            out.push_str(what);
            return;
        }
    }
    out.push_str(local);
    if start + local.len() + 1 + remote.len() <= WIDTH {
        out.push(' ');
    } else {
        out.push('\n');
        pad(out, "", start);
    }
    out.push_str(remote);
    out.push('\n');
    pad(out, "", WHAT_AT.min(WIDTH.saturating_sub(what.len())));
    out.push_str(what);
}

/// Adds a text, and blanks up to that many characters.
fn pad(out: &mut String, text: &str, width: usize) {
    out.push_str(text);
    let length = if text.is_ascii() { text.len() } else { text.chars().count() };
    out.extend(iter::repeat_n(' ', width.saturating_sub(length)));
}

/// Adds `comm[pid]` of the owner, else where the kernel was at work by itself.
pub(super) fn process(out: &mut String, event: &Event) {
    const COLUMN: usize = 17;
    let Some(owner) = &event.owner else {
        out.push_str(match event.context {
            Context::Process => "(process)",
            Context::KernelThread => "(kernel)",
            Context::Softirq => "(softirq)",
            Context::Timer => "(timer)",
            Context::Unknown => "-",
        });
        return;
    };
    let start = out.len();
    foreign::push(out, &owner.comm);
    let name = out.len();
    // No process was seen to accept it, or its previous owner is unknown: the owner is inferred.
    let mark = if matches!(owner.known, Known::Listener | Known::AtWork) { "?" } else { "" };
    out.push('[');
    owner.pid.push_to(out);
    out.push(']');
    out.push_str(mark);
    let pid = out.len() - name;
    let room = (COLUMN - 1).saturating_sub(pid);
    let characters = out[start..name].chars().count();
    if characters + pid > COLUMN {
        let kept = out[start..name].char_indices().nth(room).map_or(name, |(at, _)| start + at);
        out.replace_range(kept..name, "~");
    }
}

/// Adds what happened; the colour for it.
pub(super) fn what(out: &mut String, event: &Event) -> Style {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match &event.body {
        Body::State(state) => state_change(out, state, event.opened),
        Body::Open(open) => {
            opening(out, open, event.opened);
            colour(AnsiColor::Green)
        }
        Body::Close(close) => {
            push!(out, "close by {}", close.ended_by);
            Style::new()
        }
        Body::Rst(rst) => {
            let direction = if rst.direction == Direction::Sent { "sent" } else { "received" };
            match (rst.closed_from, rst.socket_state) {
                (Some(state), _) => push!(out, "RST {direction}, was {state}"),
                (None, Some(state)) => push!(out, "RST {direction}, {state}"),
                (None, None) if rst.socket => push!(out, "RST {direction}, socket"),
                (None, None) => push!(out, "RST {direction}, no socket"),
            }
            colour(AnsiColor::Red).bold()
        }
        Body::Overflow(_) => {
            push!(out, "accept queue full");
            colour(AnsiColor::Red)
        }
        Body::StrayRst(rst) => {
            match rst.socket_state {
                Some(state) => push!(out, "RST received in {state}, ignored"),
                None => push!(out, "RST received, ignored"),
            }
            colour(AnsiColor::Red)
        }
        Body::Lookup(lookup) => {
            let table = if lookup.table == Table::Ehash { "ehash" } else { "listener" };
            match lookup.state {
                Some(state) => push!(out, "{table} hit, {state}"),
                None if lookup.hit => push!(out, "{table} hit"),
                None => push!(out, "{table} miss"),
            }
            colour(if lookup.hit { AnsiColor::Cyan } else { AnsiColor::Yellow })
        }
        Body::RawSend(raw) => {
            let via = if raw.via == RawKind::Raw { "raw" } else { "packet" };
            push!(out, "{via} send {}", raw.segment.flags);
            colour(AnsiColor::Magenta)
        }
    }
}

/// The kernel's two states, but TIME_WAIT by its name: to the kernel that is another object.
fn state_change(out: &mut String, state: &State, opened: Option<Opened>) -> Style {
    let is_open = state.new == TcpState::ESTABLISHED;
    let new = if !is_open && state.became == Some(ReplacedBy::TimeWait) { TcpState::TIME_WAIT } else { state.new };
    out.push_str(&state.old.name());
    out.push_str(" -> ");
    out.push_str(&new.name());
    if !is_open {
        return Style::new();
    }
    if let Some(how) = opened {
        push!(out, ", {how}");
    }
    Style::new().fg_color(Some(AnsiColor::Green.into()))
}

fn opening(out: &mut String, open: &Open, opened: Option<Opened>) {
    match opened {
        Some(how) => push!(out, "open {how}"),
        None => out.push_str("open (handshake not seen)"),
    }
    match (open.handshake_ns, open.rtt_us) {
        (Some(handshake), _) => push!(out, " {}", duration(handshake)),
        (None, Some(rtt)) => push!(out, " rtt {}", duration(u64::from(rtt) * 1000)),
        (None, None) => {}
    }
}
