//! Tries one way after another to attach a program.

use std::{any::Any, collections::HashSet, fs, io};

use aya::{
    Btf, Ebpf,
    programs::{KProbeError, Program, ProgramError, iter::IterLink, links::LinkError},
};

use crate::kernel::probes::{Attachment, Candidate, Hook, Outcome, Probe, ProbeFamily};

/// Attaches programs, each once.
pub(super) struct Attacher {
    pub(super) ebpf: Ebpf,
    hook_types: Btf,
    loaded: HashSet<&'static str>,
    attached: HashSet<Attachment>,
    pub(super) links: Vec<Box<dyn Any + Send>>,
}

impl Attacher {
    pub(super) fn new(ebpf: Ebpf, hook_types: Btf) -> Self {
        Self { ebpf, hook_types, loaded: HashSet::new(), attached: HashSet::new(), links: Vec::new() }
    }

    /// Attaches the first way to observe `probe` that this kernel accepts.
    pub(super) fn first_that_works(
        &mut self,
        probe: Probe,
        candidates: Vec<Candidate>,
        family: ProbeFamily,
    ) -> Outcome {
        let mut refused = Vec::new();
        for candidate in
            candidates.into_iter().filter(|candidate| probe.is_auxiliary() || family.admits(candidate.mechanism))
        {
            match candidate.attachments.and_then(|all| self.attach_all(&all).map(|()| all)) {
                Ok(attachments) => {
                    let hooks = attachments.iter().map(|attachment| attachment.hook).collect();
                    return Outcome {
                        probe,
                        chosen: Some((candidate.mechanism, hooks)),
                        refused,
                        limitations: candidate.limitations,
                    };
                }
                Err(reason) => refused.push((candidate.mechanism, reason)),
            }
        }
        Outcome { probe, chosen: None, refused, limitations: Vec::new() }
    }

    /// Runs an iterator, which leaves what it finds in a map.
    pub(super) fn run(&mut self, iterator: Attachment) -> Result<(), String> {
        self.attach_all(&[iterator])
    }

    /// All of them or none.
    fn attach_all(&mut self, attachments: &[Attachment]) -> Result<(), String> {
        let mut links = Vec::new();
        let mut new = Vec::new();
        for &attachment in attachments {
            // Another event may have attached it already: one tracepoint serves two kinds of RSTs.
            if !self.attached.contains(&attachment) {
                links.push(self.attach(attachment).map_err(|error| in_words(&error))?);
                new.push(attachment);
            }
        }
        self.attached.extend(new);
        self.links.extend(links);
        Ok(())
    }

    fn attach(&mut self, Attachment { program: name, hook }: Attachment) -> Result<Box<dyn Any + Send>, ProgramError> {
        // Loading twice is an error, attaching a loaded program again is not.
        let load = !self.loaded.contains(name);
        let program = self.ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?;
        macro_rules! attach {
            ($program:ident, load($($load:expr),*), attach($($attach:expr),*)) => {{
                if load {
                    $program.load($($load),*)?;
                    self.loaded.insert(name);
                }
                let link = $program.attach($($attach),*)?;
                Ok(Box::new($program.take_link(link)?) as Box<dyn Any + Send>)
            }};
        }
        match (program, hook) {
            (Program::BtfTracePoint(program), Hook::TpBtf(target)) => {
                attach!(program, load(target, &self.hook_types), attach())
            }
            (Program::RawTracePoint(program), Hook::RawTp(target)) => attach!(program, load(), attach(target)),
            (Program::TracePoint(program), Hook::Tracepoint(category, target)) => {
                attach!(program, load(), attach(category, target))
            }
            (Program::FEntry(program), Hook::Fentry(target)) => {
                attach!(program, load(target, &self.hook_types), attach())
            }
            (Program::FExit(program), Hook::Fexit(target)) => {
                attach!(program, load(target, &self.hook_types), attach())
            }
            (Program::KProbe(program), Hook::Kprobe(target) | Hook::Kretprobe(target)) => {
                // Before the verifier has all the work for nothing.
                kprobes_are_there()?;
                attach!(program, load(), attach(target, 0))
            }
            (Program::Iter(program), Hook::Iter(target)) => {
                program.load(target, &self.hook_types)?;
                let link = program.attach()?;
                walk(program.take_link(link)?)?;
                // It has done its work.
                Ok(Box::new(()))
            }
            _ => Err(ProgramError::UnexpectedProgramType),
        }
    }
}

/// Whether this kernel has kprobes, by the file that attaching one begins with.
fn kprobes_are_there() -> Result<(), KProbeError> {
    const TYPE: &str = "/sys/bus/event_source/devices/kprobe/type";
    match fs::metadata(TYPE) {
        Ok(_) => Ok(()),
        Err(io_error) => Err(KProbeError::FileError { filename: TYPE.into(), io_error }),
    }
}

/// Runs an iterator to its end; it prints nothing.
fn walk(link: IterLink) -> Result<(), ProgramError> {
    let mut file = link.into_file().map_err(|error| match error {
        LinkError::SyscallError(error) => ProgramError::SyscallError(error),
        _ => ProgramError::UnexpectedProgramType,
    })?;
    io::copy(&mut file, &mut io::sink()).map_err(ProgramError::IOError)?;
    Ok(())
}

/// How the kernel refused, in one line: the errno and, if the verifier spoke, its last word.
fn in_words(error: &ProgramError) -> String {
    let verdict = match error {
        ProgramError::KProbeError(KProbeError::FileError { filename, .. }) => format!(" ({})", filename.display()),
        ProgramError::LoadError { verifier_log, .. } => {
            let log = verifier_log.to_string();
            let last = log.lines().rev().find(|line| !line.is_empty() && !is_statistic(line));
            last.map(|line| format!(" (verifier: {line})")).unwrap_or_default()
        }
        _ => String::new(),
    };
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(current) = cause {
        if let Some(errno) = current.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return format!("{}{verdict}", errno_in_words(errno));
        }
        cause = current.source();
    }
    format!("{error}{verdict}")
}

/// What the verifier says of its own work at the end of its log (`print_verification_stats` in kernel/bpf/verifier.c).
fn is_statistic(line: &str) -> bool {
    ["verification time ", "stack depth ", "processed "].iter().any(|start| line.starts_with(start))
}

fn errno_in_words(errno: i32) -> String {
    /// Kernel-internal, but the eBPF trampolines let it out: "not supported".
    const ENOTSUPP: i32 = 524;
    match errno {
        ENOTSUPP => "ENOTSUPP: Operation is not supported".to_owned(),
        errno => nix::errno::Errno::from_raw(errno).to_string(),
    }
}
