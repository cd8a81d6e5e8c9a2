//! What is shown below an event's line.

use std::io::{self, Write};

use super::{
    FRAMES, INDENT,
    line::printable,
    units::{counted, duration},
    wrapped,
};
use crate::diagnose::{Evidence, Verdict};
use crate::event::{
    Close, Context, End, Event, Lookup, Observed, Open, Opened, Owner, Rst, RstKind, Segment, Side, State, Took,
};

pub(super) fn rst(out: &mut dyn Write, rst: &Rst) -> io::Result<()> {
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
            details.push(format!("a packet filter refused {} {numbers}, ttl {}", segment.flags, segment.ttl));
        }
        (RstKind::Firewall, None) => details.push("a packet filter refused a segment".to_owned()),
        (RstKind::Passive, Some(segment)) => {
            details.push(format!("answers {} {}, ttl {}", segment.flags, numbers(segment), segment.ttl));
        }
        (RstKind::Passive, None) => details.push("answers a segment that could not be read".to_owned()),
        (RstKind::Active, _) => details.push("this side aborted the connection".to_owned()),
        (RstKind::Peer | RstKind::Stray, Some(segment)) => {
            details.push(format!("{} {}, ttl {}", segment.flags, numbers(segment), segment.ttl));
        }
        (RstKind::Peer | RstKind::Stray, None) => {}
    }
    if !details.is_empty() {
        wrapped(out, INDENT, &details.join("; "))?;
    }
    if !rst.stack.is_empty() {
        let more = if rst.stack.len() > FRAMES { " < ..." } else { "" };
        let shown = rst.stack.iter().take(FRAMES).map(String::as_str).collect::<Vec<_>>().join(" < ");
        wrapped(out, INDENT, &format!("in {shown}{more}"))?;
    }
    Ok(())
}

pub(super) fn lookup(out: &mut dyn Write, lookup: &Lookup) -> io::Result<()> {
    match lookup.observed {
        Observed::Probe => Ok(()),
        Observed::SockDiag => {
            writeln!(out, "{INDENT}run again through sock_diag; the kernel's own lookup is not observed here")
        }
    }
}

pub(super) fn numbers(segment: &Segment) -> String {
    format!("seq {} ack {} len {}", segment.seq, segment.ack, segment.len)
}

pub(super) fn ehash(out: &mut dyn Write, state: &State) -> io::Result<()> {
    let Some(entry) = state.ehash else { return Ok(()) };
    match (entry.hashed, entry.bucket) {
        (true, Some(bucket)) => writeln!(out, "{INDENT}in the ehash, bucket {bucket}"),
        (true, None) => writeln!(out, "{INDENT}in the ehash, hash {:#010x}", entry.hash),
        (false, _) => writeln!(out, "{INDENT}not in the ehash at this moment"),
    }
}

pub(super) fn state(out: &mut dyn Write, state: &State) -> io::Result<()> {
    match state.became {
        Some(Took::FinWait2) => wrapped(out, INDENT, "a minisocket waits for the other end's FIN, in FIN_WAIT2"),
        Some(Took::TimeWait) | None => Ok(()),
    }
}

pub(super) fn open(out: &mut dyn Write, open: &Open, opened: Option<Opened>) -> io::Result<()> {
    match opened {
        Some(Opened::Itself) => {
            wrapped(
                out,
                INDENT,
                "one socket in both roles: the SYN that it sent came back to it, and nobody listened",
            )?;
        }
        Some(Opened::Simultaneous) => wrapped(out, INDENT, "both ends sent a SYN, so nobody had to listen")?,
        Some(Opened::Active | Opened::Passive) | None => {}
    }
    if open.syn_retransmits > 0 {
        wrapped(out, INDENT, &format!("{} sent again", counted(open.syn_retransmits.into(), "SYN")))?;
    }
    open.warning.iter().try_for_each(|warning| wrapped(out, INDENT, &format!("warning: {warning}")))
}

pub(super) fn close(out: &mut dyn Write, close: &Close, opened: Option<Opened>) -> io::Result<()> {
    let mut details = Vec::new();
    match (close.open_ns, close.lifetime_ns) {
        (Some(open), _) => details.push(format!("open for {}", duration(open))),
        (None, Some(lifetime)) => details.push(format!("never open, lived {}", duration(lifetime))),
        (None, None) => details.push("older than the trace".to_owned()),
    }
    details.extend(opened.map(|how| format!("opened {how}")));
    details.extend(close.bytes_in.map(|bytes| format!("{bytes} bytes in")));
    details.extend(close.bytes_out.map(|bytes| format!("{bytes} bytes out")));
    details.extend(close.rtt_us.map(|rtt| format!("rtt {}", duration(u64::from(rtt) * 1000))));
    if close.retransmits > 0 {
        details.push(format!("{} sent again", counted(close.retransmits.into(), "segment")));
    }
    // Of a RST the line says who sent it.
    details.extend(close.first.filter(|_| close.ended_by == End::Fin).map(|side| match side {
        Side::Local => "this end closed first".to_owned(),
        Side::Remote => "the other end closed first".to_owned(),
    }));
    details.extend(close.error.clone());
    if !close.ended_by_observed {
        details.push(format!("{} is inferred from the states", close.ended_by));
    }
    wrapped(out, INDENT, &details.join(", "))
}

/// What a verdict rests on, and what to do.
pub(super) fn evidence(out: &mut dyn Write, verdict: &Verdict) -> io::Result<()> {
    wrapped(out, INDENT, &format!("cause {}: {}", verdict.cause, verdict.title))?;
    for Evidence { text, inferred } in &*verdict.evidence {
        let how = if *inferred { "inferred" } else { "observed" };
        wrapped(out, INDENT, &format!("- {how}: {}", printable(text)))?;
    }
    wrapped(out, INDENT, &format!("what to do: {}", verdict.remedy))
}

/// Who the owner is, said once.
pub(super) fn owner(out: &mut dyn Write, owner: &Owner, netns: Option<&str>) -> io::Result<()> {
    /// Characters shown of a command line; JSON has more.
    const SHOWN: usize = 200;
    let mut details = Vec::new();
    if let Some(line) = &owner.cmdline {
        let line = printable(line);
        let cut = line.chars().take(SHOWN).collect::<String>();
        details.push(if cut.len() < line.len() { cut + "…" } else { cut });
    }
    details.extend(owner.user.as_deref().map(|user| format!("user {}", printable(user))));
    details.extend(owner.container.as_ref().map(|container| format!("container {}", printable(&container.short()))));
    details.extend(netns.map(|name| format!("netns {}", printable(name))));
    if details.is_empty() {
        return Ok(());
    }
    wrapped(out, INDENT, &format!("{}[{}] is {}", printable(&owner.comm), owner.pid, details.join("; ")))
}

/// The task that the CPU was running.
pub(super) fn task(out: &mut dyn Write, event: &Event) -> io::Result<()> {
    let task = &event.task;
    let (comm, pid) = (printable(&task.comm), task.pid);
    match event.context {
        Context::Process => wrapped(out, INDENT, &format!("by {comm}[{pid}] itself")),
        Context::KernelThread => wrapped(out, INDENT, &format!("in the kernel thread {comm}[{pid}]")),
        Context::Softirq => wrapped(out, INDENT, &format!("in softirq, which interrupted {comm}[{pid}]")),
        Context::Timer => wrapped(out, INDENT, &format!("by a timer, which interrupted {comm}[{pid}]")),
        Context::Unknown => wrapped(out, INDENT, &format!("while {comm}[{pid}] ran")),
    }
}
