//! What is shown below an event's line whatever its kind is.

use std::io;

use super::INDENT;
use crate::{
    event::{Context, Event, Evidence, Owner, Verdict},
    sink::{foreign::printable, page::Page},
};

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
