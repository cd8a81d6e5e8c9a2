//! The actor in words: a process, how a process ended, or the kernel on behalf of a process.

use super::case::Case;
use crate::event::{Context, Ended, Known, Owner};

/// `nginx[812]`; with a question mark where it is not known that it, and not another holder, had the socket.
pub(super) fn name(owner: Option<&Owner>) -> String {
    let Some(owner) = owner else { return "an unknown process".to_owned() };
    let mark = if owner.known == Known::Listener { "?" } else { "" };
    format!("{}[{}]{mark}", owner.comm, owner.pid)
}

/// `was killed by signal 9 from bash[812]`, `exited with status 1`.
pub(super) fn how_it_ended(owner: &Owner, ended: &Ended) -> String {
    match (&ended.signal, &ended.by) {
        _ if ended.oom => "was killed by the OOM killer".to_owned(),
        (Some(signal), Some(by)) if by.pid == owner.pid => format!("raised signal {signal} and ended by it"),
        (Some(signal), Some(by)) => format!("was killed by signal {signal} from {}[{}]", by.comm, by.pid),
        (Some(signal), None) => format!("was killed by signal {signal}"),
        (None, _) => format!("exited with status {}", ended.status.unwrap_or_default()),
    }
}

/// How a process ended that closed a socket because this signal killed it; `None` without a signal.
pub(super) fn killed(owner: Option<&Owner>, signal: Option<u8>) -> Option<String> {
    let signal = signal?;
    let known = owner.and_then(|owner| Some(how_it_ended(owner, owner.ended.as_ref()?)));
    Some(known.unwrap_or_else(|| format!("was killed by signal {signal}")))
}

impl Case<'_> {
    /// The process that ends closed the socket on its way out; what became of that process, as a sentence's verb.
    pub(super) fn ending(&self) -> Option<String> {
        let state = self.circumstances();
        if !state.task_exits || self.event.context != Context::Process {
            return None;
        }
        let owner = self.event.owner.as_deref();
        let known = owner.and_then(|owner| Some(how_it_ended(owner, owner.ended.as_ref()?)));
        Some(known.unwrap_or_else(|| match state.signal {
            Some(signal) => format!("was killed by signal {signal}"),
            None => "exited".to_owned(),
        }))
    }

    /// The process closed the socket by starting another program; that program's name.
    pub(super) fn program(&self) -> Option<&str> {
        let is_one = self.circumstances().task_execs && self.event.context == Context::Process;
        is_one.then_some(self.event.task.comm.as_str())
    }

    /// A kernel thread closed the socket: its last reference was not a process's. What the thread was doing.
    pub(super) fn closing_thread(&self) -> Option<&'static str> {
        const WORKS: [(&str, &str); 4] = [
            ("unix_gc", "it collected sockets in flight between processes (SCM_RIGHTS) that no process could receive"),
            (
                "__unix_gc",
                "it collected sockets in flight between processes (SCM_RIGHTS) that no process could receive",
            ),
            ("io_ring_exit_work", "it released files that an io_uring had held"),
            ("delayed_fput", "it closed a file whose last reference was dropped where closing is not allowed"),
        ];
        if self.event.context != Context::KernelThread {
            return None;
        }
        let work = WORKS.iter().find(|(function, _)| self.is_from(&[function])).map(|(_, work)| *work);
        Some(work.unwrap_or("it worked on behalf of another task"))
    }
}
