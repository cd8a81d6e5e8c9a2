//! Which capabilities a live run uses, for what, and until when: the one table that the checks, `tracer doctor`,
//! SECURITY.md and what deploys the tracer share.

use caps::{CapSet, Capability, CapsHashSet};

/// What a live run uses a capability for.
#[derive(Debug)]
pub struct Use {
    /// Which.
    pub capability: Capability,
    /// What it is for.
    pub purpose: &'static str,
    /// What a run does not know without it; `None` if it fails without, or only has a feature less.
    pub loss: Option<&'static str>,
    /// It is kept when all is set up.
    pub stays: Stays,
}

/// Whether a run keeps a capability when all is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// To the end.
    ToTheEnd,
    /// If it runs a command.
    WithACommand,
    /// No: it is given up.
    No,
}

/// What a live run uses. All else it gives up.
pub const USES: [Use; 12] = [
    Use {
        capability: Capability::CAP_BPF,
        purpose: "load eBPF programs, and read their maps",
        loss: None,
        stays: Stays::ToTheEnd,
    },
    Use { capability: Capability::CAP_PERFMON, purpose: "attach eBPF programs", loss: None, stays: Stays::No },
    Use {
        capability: Capability::CAP_SYS_ADMIN,
        purpose: "enter a network namespace to ask for a socket; before Linux 5.8, what CAP_BPF and CAP_PERFMON are for",
        loss: Some("network namespaces cannot be entered to ask for a socket, so who does not read is not named"),
        stays: Stays::ToTheEnd,
    },
    Use {
        capability: Capability::CAP_SYS_PTRACE,
        purpose: "look at other processes' namespaces and descriptors",
        loss: Some(
            "other processes' namespaces and descriptors cannot be looked at, so namespaces of containers have no names, \
             counters are compared where the tracer may look only, and who does not read is not named",
        ),
        stays: Stays::ToTheEnd,
    },
    Use {
        capability: Capability::CAP_SYSLOG,
        purpose: "read the names of the kernel's functions",
        loss: Some(
            "functions of the kernel have no names, so causes that only the kernel's stack tells are possible at most",
        ),
        stays: Stays::ToTheEnd,
    },
    Use {
        capability: Capability::CAP_DAC_READ_SEARCH,
        purpose: "find control groups by their ids",
        loss: Some("control groups are not found by their ids, so those of ended processes have no paths"),
        stays: Stays::ToTheEnd,
    },
    Use {
        capability: Capability::CAP_DAC_OVERRIDE,
        purpose: "make the files of -o and -w in other users' directories",
        loss: None,
        stays: Stays::No,
    },
    Use {
        capability: Capability::CAP_SETUID,
        purpose: "run a command as the caller, and become the user of -Z",
        loss: None,
        stays: Stays::No,
    },
    Use { capability: Capability::CAP_SETGID, purpose: "likewise", loss: None, stays: Stays::No },
    Use {
        capability: Capability::CAP_KILL,
        purpose: "pass signals on to a command that runs as another user",
        loss: None,
        stays: Stays::WithACommand,
    },
    Use {
        capability: Capability::CAP_SYS_RESOURCE,
        purpose: "raise RLIMIT_MEMLOCK, before Linux 5.11",
        loss: None,
        stays: Stays::No,
    },
    Use {
        capability: Capability::CAP_SYS_NICE,
        purpose: "take a larger share of the processors",
        loss: None,
        stays: Stays::No,
    },
];

impl Stays {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ToTheEnd => "to the end",
            Self::WithACommand => "where it runs a command",
            Self::No => "no",
        }
    }
}

/// What the demo needs besides: it makes network namespaces, devices, packet filters and raw sockets until it ends, and a
/// server that listens on port 80.
pub const FOR_DEMO: [Capability; 4] =
    [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW, Capability::CAP_NET_BIND_SERVICE];

/// Those that the demo keeps, which begins before anything is attached.
pub(super) fn kept_by_demo() -> CapsHashSet {
    kept(false).into_iter().chain([Capability::CAP_PERFMON]).chain(FOR_DEMO).collect()
}

/// What a run does not know without a capability, by capability.
pub fn losses() -> impl Iterator<Item = (Capability, &'static str)> {
    USES.iter().filter_map(|entry| Some((entry.capability, entry.loss?)))
}

/// Those that a run keeps when all is set up.
pub(super) fn kept(runs_command: bool) -> CapsHashSet {
    let stays = |entry: &&Use| match entry.stays {
        Stays::ToTheEnd => true,
        Stays::WithACommand => runs_command,
        Stays::No => false,
    };
    USES.iter().filter(stays).map(|entry| entry.capability).collect()
}

/// From here on the calling thread, and those that it starts, have these at most.
pub(super) fn keep_only(wanted: &CapsHashSet) -> Result<(), caps::errors::CapsError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = wanted.intersection(&permitted).copied().collect();
    // Ambient ones come of inheritable ones; an effective one must be permitted.
    caps::clear(None, CapSet::Ambient).or_else(ignore_unknown)?;
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)
}

/// There are ambient capabilities since Linux 4.3.
#[expect(clippy::unnecessary_wraps, reason = "it takes the place of a result")]
fn ignore_unknown(_: caps::errors::CapsError) -> Result<(), caps::errors::CapsError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_capability_is_named_once() {
        let named: HashSet<_> = USES.iter().map(|entry| entry.capability).collect();
        assert_eq!(named.len(), USES.len());
    }

    #[test]
    fn what_a_loss_is_told_of_is_kept() {
        assert!(USES.iter().all(|entry| entry.loss.is_none() || entry.stays == Stays::ToTheEnd));
    }

    #[test]
    fn only_a_run_with_a_command_may_kill() {
        assert!(kept(true).contains(&Capability::CAP_KILL));
        assert!(!kept(false).contains(&Capability::CAP_KILL));
    }

    #[test]
    fn a_thread_gives_up_what_it_does_not_keep() {
        // Capabilities are a thread's own: the test's other threads keep theirs.
        let rest = std::thread::spawn(|| {
            keep_only(&CapsHashSet::new()).unwrap();
            [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable].map(|set| caps::read(None, set).unwrap())
        });
        assert!(rest.join().unwrap().iter().all(CapsHashSet::is_empty));
    }
}
