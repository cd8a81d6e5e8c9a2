//! What is shown below an event's line.

use std::io;

use super::{
    FRAMES, INDENT,
    units::{counted, duration},
};
use crate::diagnose::{Evidence, Verdict};
use crate::event::{
    Close, Context, End, Event, Lookup, Observed, Open, Opened, Overflow, Owner, Rst, RstKind, Segment, Side, State,
    Took,
};
use crate::sink::{foreign::printable, page::Page};

pub(super) fn rst(page: &mut Page<'_>, rst: &Rst) -> io::Result<()> {
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
        page.paragraph(INDENT, &details.join("; "))?;
    }
    if !rst.stack.is_empty() {
        let more = if rst.stack.len() > FRAMES { " < ..." } else { "" };
        let shown = rst.stack.iter().take(FRAMES).map(String::as_str).collect::<Vec<_>>().join(" < ");
        page.paragraph(INDENT, &format!("in {shown}{more}"))?;
    }
    Ok(())
}

pub(super) fn lookup(page: &mut Page<'_>, lookup: &Lookup) -> io::Result<()> {
    match lookup.observed {
        Observed::Probe => Ok(()),
        Observed::SockDiag => {
            page.line(&format!("{INDENT}run again through sock_diag; the kernel's own lookup is not observed here"))
        }
    }
}

pub(super) fn numbers(segment: &Segment) -> String {
    format!("seq {} ack {} len {}", segment.seq, segment.ack, segment.len)
}

pub(super) fn ehash(page: &mut Page<'_>, state: &State) -> io::Result<()> {
    let Some(entry) = state.ehash else { return Ok(()) };
    match (entry.hashed, entry.bucket) {
        (true, Some(bucket)) => page.line(&format!("{INDENT}in the ehash, bucket {bucket}")),
        (true, None) => page.line(&format!("{INDENT}in the ehash, hash {:#010x}", entry.hash)),
        (false, _) => page.line(&format!("{INDENT}not in the ehash at this moment")),
    }
}

pub(super) fn state(page: &mut Page<'_>, state: &State) -> io::Result<()> {
    match state.became {
        Some(Took::FinWait2) => page.paragraph(INDENT, "a minisocket waits for the other end's FIN, in FIN_WAIT2"),
        Some(Took::TimeWait) | None => Ok(()),
    }
}

pub(super) fn open(page: &mut Page<'_>, open: &Open, opened: Option<Opened>) -> io::Result<()> {
    match opened {
        Some(Opened::Itself) => {
            page.paragraph(
                INDENT,
                "one socket in both roles: the SYN that it sent came back to it, and nobody listened",
            )?;
        }
        Some(Opened::Simultaneous) => page.paragraph(INDENT, "both ends sent a SYN, so nobody had to listen")?,
        Some(Opened::Restored) => page.paragraph(INDENT, "in repair mode: it continues one that another socket had")?,
        Some(Opened::Active | Opened::Passive) | None => {}
    }
    if open.syn_retransmits > 0 {
        page.paragraph(INDENT, &format!("{} sent again", counted(open.syn_retransmits.into(), "SYN")))?;
    }
    open.warning.iter().try_for_each(|warning| page.paragraph(INDENT, &format!("warning: {warning}")))
}

pub(super) fn close(page: &mut Page<'_>, close: &Close, event: &Event) -> io::Result<()> {
    let mut details = Vec::new();
    match (close.open_ns, close.lifetime_ns) {
        (Some(open), _) => details.push(format!("open for {}", duration(open))),
        (None, Some(lifetime)) => details.push(format!("never open, lived {}", duration(lifetime))),
        (None, None) if event.unremembered => details.push("its beginning found no room".to_owned()),
        (None, None) => details.push("older than the trace".to_owned()),
    }
    details.extend(event.opened.map(|how| format!("opened {how}")));
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
    page.paragraph(INDENT, &details.join(", "))
}

pub(super) fn overflow(page: &mut Page<'_>, overflow: &Overflow) -> io::Result<()> {
    let Overflow { backlog, max_backlog, overflows, drops, .. } = overflow;
    let text = format!("{backlog} waited, limit {max_backlog}; ListenOverflows +{overflows}, ListenDrops +{drops}");
    page.paragraph(INDENT, &text)
}

/// What a verdict rests on, and what to do.
pub(super) fn evidence(page: &mut Page<'_>, verdict: &Verdict) -> io::Result<()> {
    page.paragraph(INDENT, &format!("cause {}: {}", verdict.cause, verdict.title))?;
    for Evidence { text, inferred } in &*verdict.evidence {
        let how = if *inferred { "inferred" } else { "observed" };
        page.paragraph(INDENT, &format!("- {how}: {text}"))?;
    }
    page.paragraph(INDENT, &format!("what to do: {}", verdict.remedy))
}

/// Who the owner is, said once.
pub(super) fn owner(page: &mut Page<'_>, owner: &Owner, netns: Option<&str>) -> io::Result<()> {
    /// Characters shown of a command line; JSON has more.
    const SHOWN: usize = 200;
    let mut details = Vec::new();
    if let Some(line) = &owner.cmdline {
        let line = printable(line);
        let cut = line.chars().take(SHOWN).collect::<String>();
        details.push(if cut.len() < line.len() { cut + "…" } else { cut });
    }
    details.extend(owner.user.as_deref().map(|user| format!("user {user}")));
    details.extend(owner.container.as_ref().map(|container| format!("container {}", container.short())));
    details.extend(netns.map(|name| format!("netns {name}")));
    if details.is_empty() {
        return Ok(());
    }
    page.paragraph(INDENT, &format!("{}[{}] is {}", owner.comm, owner.pid, details.join("; ")))
}

/// The task that the CPU was running.
pub(super) fn task(page: &mut Page<'_>, event: &Event) -> io::Result<()> {
    let task = &event.task;
    let (comm, pid) = (&task.comm, task.pid);
    match event.context {
        Context::Process => page.paragraph(INDENT, &format!("by {comm}[{pid}] itself")),
        Context::KernelThread => page.paragraph(INDENT, &format!("in the kernel thread {comm}[{pid}]")),
        Context::Softirq => page.paragraph(INDENT, &format!("in softirq, which interrupted {comm}[{pid}]")),
        Context::Timer => page.paragraph(INDENT, &format!("by a timer, which interrupted {comm}[{pid}]")),
        Context::Unknown => page.paragraph(INDENT, &format!("while {comm}[{pid}] ran")),
    }
}
