//! What is shown below an event's line.

use std::io;

use super::{
    FRAMES, INDENT,
    units::{counted, duration},
};
use crate::event::{
    Close, Context, End, Event, Lookup, Observed, Open, Opened, Overflow, Owner, ReplacedBy, Rst, RstKind, Segment,
    Side, State,
};
use crate::event::{Evidence, Verdict};
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

pub(super) fn lookup(page: &mut Page<'_>, lookup: &Lookup) -> io::Result<()> {
    match lookup.observed {
        Observed::Probe => Ok(()),
        Observed::SockDiag => {
            page.line(&format!("{INDENT}repeated through sock_diag; the kernel's own lookup is not observed"))
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
        Some(ReplacedBy::FinWait2) => page.paragraph(INDENT, "a minisocket waits for the peer's FIN in FIN_WAIT2"),
        Some(ReplacedBy::TimeWait) | None => Ok(()),
    }
}

pub(super) fn open(page: &mut Page<'_>, open: &Open, opened: Option<Opened>) -> io::Result<()> {
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

pub(super) fn close(page: &mut Page<'_>, close: &Close, event: &Event) -> io::Result<()> {
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

pub(super) fn overflow(page: &mut Page<'_>, overflow: &Overflow) -> io::Result<()> {
    let Overflow { backlog, max_backlog, overflows, drops, .. } = overflow;
    let text = format!("backlog {backlog}, limit {max_backlog}; ListenOverflows +{overflows}, ListenDrops +{drops}");
    page.paragraph(INDENT, &text)
}

/// What a verdict rests on, and what to do.
pub(super) fn evidence(page: &mut Page<'_>, verdict: &Verdict) -> io::Result<()> {
    page.paragraph(INDENT, &format!("cause {}: {}", verdict.cause, verdict.title))?;
    for Evidence { text, inferred } in &*verdict.evidence {
        let how = if *inferred { "inferred" } else { "observed" };
        page.paragraph(INDENT, &format!("- {how}: {text}"))?;
    }
    page.paragraph(INDENT, &format!("remedy: {}", verdict.remedy))
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
        Context::KernelThread => page.paragraph(INDENT, &format!("in kernel thread {comm}[{pid}]")),
        Context::Softirq => page.paragraph(INDENT, &format!("in softirq, interrupting {comm}[{pid}]")),
        Context::Timer => page.paragraph(INDENT, &format!("in a timer, interrupting {comm}[{pid}]")),
        Context::Unknown => page.paragraph(INDENT, &format!("while {comm}[{pid}] was running")),
    }
}
