//! What each kind of event says: in its line, and below it. A new kind is an arm in both.

use std::{fmt::Write as _, io};

use anstyle::{AnsiColor, Style};

use super::{
    FRAMES, INDENT,
    units::{counted, duration},
};
use crate::{
    event::{
        Body, Close, Direction, End, Event, Lookup, Observed, Open, Opened, Overflow, RawKind, ReplacedBy, Rst,
        RstKind, Segment, Side, State, Table, TcpState,
    },
    sink::page::Page,
};

/// Adds formatted text; a `String` takes all.
macro_rules! push {
    ($out:expr, $($text:tt)*) => {{
        let _ = write!($out, $($text)*);
    }};
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

/// Shows what there is to say below the line; in the demo, each state change says whether the socket is in the ehash.
pub(super) fn below(page: &mut Page<'_>, event: &Event, is_demo: bool) -> io::Result<()> {
    match &event.body {
        Body::State(state) if is_demo => ehash(page, state),
        Body::State(state) => minisocket(page, state),
        Body::Rst(rst) | Body::StrayRst(rst) => rst_below(page, rst),
        Body::Lookup(lookup) => lookup_below(page, lookup),
        Body::RawSend(raw) => page.paragraph(INDENT, &numbers(&raw.segment)),
        Body::Open(open) => opened_below(page, open, event.opened),
        Body::Close(close) => close_below(page, close, event),
        Body::Overflow(overflow) => overflow_below(page, overflow),
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

fn rst_below(page: &mut Page<'_>, rst: &Rst) -> io::Result<()> {
    let mut details = Vec::new();
    if let Some(reason) = &rst.reason {
        let what = if rst.kind == RstKind::Stray { "dropped as" } else { "reason" };
        details.push(format!("{what} {reason}"));
    } else if let Some(reason) = rst.derived_reason {
        details.push(format!("reason {reason} (derived)"));
    }
    match (rst.kind, &rst.trigger) {
        (RstKind::Firewall, Some(segment)) => {
            let numbers = numbers(segment);
            details.push(format!("packet filter rejected {} {numbers}, ttl {}", segment.flags, segment.ttl));
        }
        (RstKind::Firewall, None) => details.push("packet filter rejected a segment".to_owned()),
        (RstKind::Passive, Some(segment)) => {
            details.push(format!("answers {} {}, ttl {}", segment.flags, numbers(segment), segment.ttl));
        }
        (RstKind::Passive, None) => details.push("answers an unreadable segment".to_owned()),
        (RstKind::Active, _) => details.push("connection aborted locally".to_owned()),
        (RstKind::Peer | RstKind::Stray, Some(segment)) => {
            details.push(format!("{} {}, ttl {}", segment.flags, numbers(segment), segment.ttl));
        }
        (RstKind::Peer | RstKind::Stray, None) => {}
    }
    if !details.is_empty() {
        page.paragraph(INDENT, &details.join("; "))?;
    }
    if !rst.stack.is_empty() {
        let more = if rst.stack.len() > FRAMES { " < ..." } else { "" };
        let shown = rst.stack.iter().take(FRAMES).map(String::as_str).collect::<Vec<_>>().join(" < ");
        page.paragraph(INDENT, &format!("in {shown}{more}"))?;
    }
    Ok(())
}

fn lookup_below(page: &mut Page<'_>, lookup: &Lookup) -> io::Result<()> {
    match lookup.observed {
        Observed::Probe => Ok(()),
        Observed::SockDiag => {
            page.line(&format!("{INDENT}repeated through sock_diag; the kernel's own lookup is not observed"))
        }
    }
}

fn numbers(segment: &Segment) -> String {
    format!("seq {} ack {} len {}", segment.seq, segment.ack, segment.len)
}

fn ehash(page: &mut Page<'_>, state: &State) -> io::Result<()> {
    let Some(entry) = state.ehash else { return Ok(()) };
    match (entry.hashed, entry.bucket) {
        (true, Some(bucket)) => page.line(&format!("{INDENT}in the ehash, bucket {bucket}")),
        (true, None) => page.line(&format!("{INDENT}in the ehash, hash {:#010x}", entry.hash)),
        (false, _) => page.line(&format!("{INDENT}not in the ehash at this moment")),
    }
}

fn minisocket(page: &mut Page<'_>, state: &State) -> io::Result<()> {
    match state.became {
        Some(ReplacedBy::FinWait2) => page.paragraph(INDENT, "a minisocket waits for the peer's FIN in FIN_WAIT2"),
        Some(ReplacedBy::TimeWait) | None => Ok(()),
    }
}

fn opened_below(page: &mut Page<'_>, open: &Open, opened: Option<Opened>) -> io::Result<()> {
    match opened {
        Some(Opened::Itself) => {
            page.paragraph(INDENT, "self-connect: the socket answered its own SYN")?;
        }
        Some(Opened::Simultaneous) => {
            page.paragraph(INDENT, "simultaneous open: both sides sent a SYN, no listener was involved")?;
        }
        Some(Opened::Restored) => {
            page.paragraph(INDENT, "restored in repair mode: it continues another socket's connection")?;
        }
        Some(Opened::Active | Opened::Passive) | None => {}
    }
    if open.syn_retransmits > 0 {
        page.paragraph(INDENT, &counted(open.syn_retransmits.into(), "SYN retransmit"))?;
    }
    open.warning.iter().try_for_each(|warning| page.paragraph(INDENT, &format!("warning: {warning}")))
}

fn close_below(page: &mut Page<'_>, close: &Close, event: &Event) -> io::Result<()> {
    let mut details = Vec::new();
    match (close.open_ns, close.lifetime_ns) {
        (Some(open), _) => details.push(format!("open for {}", duration(open))),
        (None, Some(lifetime)) => details.push(format!("never established, existed {}", duration(lifetime))),
        (None, None) if event.unremembered => details.push("start unknown (socket table full)".to_owned()),
        (None, None) => details.push("opened before tracing started".to_owned()),
    }
    details.extend(event.opened.map(|how| format!("opened {how}")));
    details.extend(close.bytes_in.map(|bytes| format!("{bytes} bytes in")));
    details.extend(close.bytes_out.map(|bytes| format!("{bytes} bytes out")));
    details.extend(close.rtt_us.map(|rtt| format!("rtt {}", duration(u64::from(rtt) * 1000))));
    if close.retransmits > 0 {
        details.push(counted(close.retransmits.into(), "retransmit"));
    }
    // Of a RST the line says who sent it.
    details.extend(close.first.filter(|_| close.ended_by == End::Fin).map(|side| match side {
        Side::Local => "closed locally first".to_owned(),
        Side::Remote => "peer closed first".to_owned(),
    }));
    details.extend(close.error.clone());
    if !close.ended_by_observed {
        details.push("(end reason inferred from TCP states)".to_owned());
    }
    page.paragraph(INDENT, &details.join(", "))
}

fn overflow_below(page: &mut Page<'_>, overflow: &Overflow) -> io::Result<()> {
    let Overflow { backlog, max_backlog, overflows, drops, .. } = overflow;
    let text = format!("backlog {backlog}, limit {max_backlog}; ListenOverflows +{overflows}, ListenDrops +{drops}");
    page.paragraph(INDENT, &text)
}
