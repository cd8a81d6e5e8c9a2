//! Before anything is loaded: one requirement, one sentence, one remedy.

use std::{fs, io, path::Path, process::ExitCode};

use caps::{CapSet, Capability};

use crate::{confine::capabilities, host::hidden, kernel::btf};

/// `EX_UNAVAILABLE` of sysexits.h: kernel support is missing.
const UNAVAILABLE: u8 = 69;
/// `EX_NOPERM` of sysexits.h: insufficient privileges.
const NO_PERMISSION: u8 = 77;

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// A requirement that is not met.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// Loading tracing programs needs these.
    #[error("loading eBPF programs needs {}: run tracer as root, for example with sudo", .0.join(", "))]
    Capabilities(Vec<String>),
    /// The kernel refuses to make maps for this process, which seems to have all that it takes.
    #[error(
        "the kernel refuses eBPF to this process ({}): {}",
        .reason,
        if *.is_contained {
            "it is in a user namespace of its own, where root is not the host's: run tracer as root of the host"
        } else {
            "a seccomp filter or a security module forbids bpf(2), or before Linux 5.11 RLIMIT_MEMLOCK is too low: in a \
             container, allow bpf and perf_event_open in its seccomp profile, or run tracer on the host"
        }
    )]
    Refused {
        /// What the kernel said.
        reason: String,
        /// This process is in a user namespace of its own.
        is_contained: bool,
    },
    /// What processes and the kernel say of themselves is not there.
    #[error("/proc is not mounted, which tells of processes and of the kernel: `mount -t proc proc /proc`")]
    NoProc,
    /// The kernel keeps its memory from everyone.
    #[error(
        "kernel lockdown (confidentiality mode) forbids eBPF programs to read kernel memory: boot with lockdown=integrity or without lockdown"
    )]
    LockedDown,
    /// A field that everything rests on is missing.
    #[error("cannot locate a required socket field ({0}): this kernel may need a newer tracer")]
    UnknownSockets(btf::FieldError),
    /// Processes were to be chosen by ids that cannot be told.
    #[error(
        "the tracer runs in a pid namespace of its own, and this kernel does not expose the process ids of that namespace ({0}): run it in the host's pid namespace (docker run --pid=host), or without -p and COMMAND"
    )]
    PidNamespace(&'static str),
    /// No probe at all could be attached.
    #[error("no requested event can be probed on this kernel: {0}; try without --probes, and see `tracer doctor`")]
    NothingObserved(String),
}

/// What a run will do, and so what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Only look.
    Trace,
    /// Also make network namespaces and raw sockets.
    Demo,
}

/// Checks what must hold and prepares what can be prepared.
///
/// # Errors
/// The first [`Unmet`] requirement.
pub fn check(purpose: Purpose) -> Result<(), Unmet> {
    if !Path::new("/proc/self/stat").exists() {
        return Err(Unmet::NoProc);
    }
    let lacking = lacking(purpose);
    if !lacking.is_empty() {
        return Err(Unmet::Capabilities(lacking.iter().map(ToString::to_string).collect()));
    }
    if lockdown().as_deref() == Some("confidentiality") {
        return Err(Unmet::LockedDown);
    }
    raise_memlock();
    Ok(())
}

/// What an error says that the maps could not be made with, if the kernel refused that.
pub(super) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<Unmet> {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let errors = causes.filter_map(|error| error.downcast_ref::<io::Error>());
    let refused = errors.filter(|error| matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES))).last()?;
    // The initial namespace maps all ids to themselves.
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let is_contained = map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"];
    Some(Unmet::Refused { reason: refused.to_string(), is_contained })
}

/// The exit code for an error.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let code = match (error.downcast_ref::<Unmet>(), error.downcast_ref::<btf::Error>()) {
        (Some(Unmet::Capabilities(_) | Unmet::Refused { .. }), _) => NO_PERMISSION,
        (Some(_), _) | (None, Some(_)) => UNAVAILABLE,
        (None, None) => 1,
    };
    ExitCode::from(code)
}

/// Capabilities that `purpose` needs and this process does not have in effect.
pub fn lacking(purpose: Purpose) -> Vec<Capability> {
    // Before 5.8 there is no CAP_BPF; CAP_SYS_ADMIN includes it ever since.
    let mut needed =
        if has(Capability::CAP_SYS_ADMIN) { vec![] } else { vec![Capability::CAP_BPF, Capability::CAP_PERFMON] };
    if purpose == Purpose::Demo {
        needed.extend(capabilities::FOR_DEMO);
    }
    needed.retain(|&capability| !has(capability));
    needed
}

fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

/// What this process will not know, for want of privileges: a sentence each.
pub fn unknown() -> Vec<String> {
    let is_hidden = |capability| capability != Capability::CAP_SYSLOG || are_symbols_hidden();
    let lacking = capabilities::losses().filter(|(capability, _)| !has(*capability) && is_hidden(*capability));
    let hidden = (!has(Capability::CAP_SYS_PTRACE) && hidden::are_processes_hidden()).then(|| HIDDEN.to_owned());
    lacking.map(|(capability, what)| format!("without {capability}: {what}")).chain(hidden).collect()
}

/// What `hidepid` costs who lacks CAP_SYS_PTRACE, and the remedy.
const HIDDEN: &str = "/proc hides other users' processes (hidepid): those that had sockets before have no command lines; \
                      add CAP_SYS_PTRACE, or mount /proc with hidepid=0";

/// The kernel gives zeros for the addresses of its functions (kernel.kptr_restrict, kernel.perf_event_paranoid).
fn are_symbols_hidden() -> bool {
    let mut line = String::new();
    let file = fs::File::open("/proc/kallsyms");
    let read = file.and_then(|file| io::BufRead::read_line(&mut io::BufReader::new(file), &mut line));
    read.is_err() || line.split(' ').next().is_none_or(|address| address.trim_start_matches('0').is_empty())
}

/// The kernel's lockdown mode: "none", "integrity" or "confidentiality"; `None` without that module.
pub fn lockdown() -> Option<String> {
    let modes = fs::read_to_string(Path::new(LOCKDOWN)).ok()?;
    let (_, rest) = modes.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

/// Before 5.11 maps count against `RLIMIT_MEMLOCK`, 64 KiB by default. Where it cannot be raised and
/// matters, making the maps fails and says so.
fn raise_memlock() {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
    if setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_err()
        && let Ok((_, hard)) = getrlimit(Resource::RLIMIT_MEMLOCK)
        && let Err(error) = setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard)
    {
        log::warn!("cannot raise RLIMIT_MEMLOCK: {error}; before Linux 5.11 the eBPF maps may not fit");
    }
}
