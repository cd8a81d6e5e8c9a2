//! Carries out the probe plan: for each event the first way that this kernel accepts.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, HashSet},
    io,
};

use anyhow::{Context as _, anyhow, bail};
use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{HashMap as BpfHashMap, MapData, PerCpuArray, RingBuf},
    programs::{KProbeError, Program, ProgramError},
};
use tracer_ebpf::{
    layout::{FIELDS, MISSING},
    record::{Delivery, KINDS},
};

use crate::{
    btf::KernelBtf,
    preflight::Unmet,
    probes::{Attachment, Candidate, Column, Hook, Outcome, Probe, plan},
};

/// The eBPF programs, or nothing if the build had none (see build.rs).
static PROGRAMS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer-ebpf"));

/// What to load.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The events wanted; nothing is attached for the others.
    pub probes: BTreeSet<Probe>,
    /// The mechanisms that may be used.
    pub column: Column,
    /// Report only network namespaces that were given to [`Watch::add`].
    pub netns_only: bool,
    /// Size of the ring buffer in bytes: a power of two, at least a page.
    pub ring_bytes: u32,
    /// Level of the programs' own log (aya-log), [`log::LevelFilter::Off`] by default.
    pub log: log::LevelFilter,
}

/// The attached programs. Dropping it detaches them all.
pub struct Probes {
    ebpf: Ebpf,
    links: Vec<Box<dyn Any + Send>>,
    /// How each event is observed.
    pub outcomes: Vec<Outcome>,
    /// Features that are missing because a kernel field is, one sentence each.
    pub missing_fields: Vec<String>,
    /// Names of `enum sk_rst_reason` by number, empty before 6.10.
    pub reasons: BTreeMap<u32, String>,
    netns_only: bool,
}

impl Probes {
    /// Loads and attaches what `settings` wants, as far as this kernel allows. An event that cannot be
    /// observed is no error: its outcome says so.
    ///
    /// # Errors
    /// If the binary has no programs, a field that everything rests on is missing, or the maps cannot be
    /// made.
    pub fn attach(settings: &Settings, kernel: &KernelBtf) -> anyhow::Result<Self> {
        if PROGRAMS.is_empty() {
            bail!("this binary was built without its eBPF programs: build it with `cargo xtask build`");
        }
        let Offsets { globals, missing: missing_fields } = offsets(kernel)?;
        let flags = [
            ("NETNS_ONLY", u8::from(settings.netns_only)),
            ("COOKIE_HELPER", u8::from(kernel.function("bpf_get_socket_ptr_cookie").is_some())),
            ("TASK_REGS_HELPER", u8::from(kernel.function("bpf_task_pt_regs").is_some())),
            ("RESET_TP_PASSIVE", u8::from(settings.probes.contains(&Probe::RstSentPassive))),
            (aya_log::LEVEL, settings.log as u8),
        ];
        let wake_at = settings.ring_bytes / 4;
        let btf = Btf::from_sys_fs().context("cannot parse the kernel's BTF")?;
        let mut loader = EbpfLoader::new();
        loader.btf(Some(&btf)).map_max_entries("EVENTS", settings.ring_bytes);
        for (name, offset) in &globals {
            loader.override_global(name, offset, true);
        }
        for (name, flag) in &flags {
            loader.override_global(name, flag, true);
        }
        loader.override_global("WAKE_AT", &wake_at, true);
        let ebpf = loader.load(PROGRAMS).context("cannot create the eBPF maps")?;

        let mut attacher = Attacher { ebpf, btf, loaded: HashSet::new(), attached: HashSet::new(), links: Vec::new() };
        let outcomes = settings
            .probes
            .iter()
            .map(|&probe| attacher.first_that_works(probe, plan::candidates(probe, kernel), settings.column))
            .collect();
        let Attacher { ebpf, links, .. } = attacher;
        let reasons = kernel
            .enumerators("sk_rst_reason")
            .into_iter()
            .map(|(number, name)| (number, name.trim_start_matches("SK_RST_REASON_").to_owned()))
            .collect();
        Ok(Self { ebpf, links, outcomes, missing_fields, reasons, netns_only: settings.netns_only })
    }

    /// The ring buffer of records. It can be taken once.
    ///
    /// # Errors
    /// If it was taken before.
    pub fn take_ring(&mut self) -> anyhow::Result<RingBuf<MapData>> {
        let map = self.ebpf.take_map("EVENTS").ok_or_else(|| anyhow!("the ring buffer is already in use"))?;
        Ok(RingBuf::try_from(map)?)
    }

    /// The set of namespaces to report. It can be taken once.
    ///
    /// # Errors
    /// If it was taken before, or the settings did not ask for it.
    pub fn take_watch(&mut self) -> anyhow::Result<Watch> {
        if !self.netns_only {
            bail!("these probes report every network namespace");
        }
        let map = self.ebpf.take_map("NETNS").ok_or_else(|| anyhow!("the namespaces are already in use"))?;
        Ok(Watch { netns: BpfHashMap::try_from(map)? })
    }

    /// The programs' own log, for `-v`.
    ///
    /// # Errors
    /// If its map cannot be read.
    pub fn logger(&mut self) -> anyhow::Result<aya_log::EbpfLogger<&'static dyn log::Log>> {
        Ok(aya_log::EbpfLogger::init(&mut self.ebpf)?)
    }

    /// Deliveries so far, by record kind, summed over the CPUs.
    ///
    /// # Errors
    /// If the counters cannot be read.
    pub fn deliveries(&self) -> anyhow::Result<[Delivery; KINDS]> {
        let map = self.ebpf.map("DELIVERIES").ok_or_else(|| anyhow!("the delivery counters are missing"))?;
        let counters: PerCpuArray<_, PodDelivery> = PerCpuArray::try_from(map)?;
        let mut sums = [Delivery::default(); KINDS];
        for (sum, kind) in sums.iter_mut().zip(0u32..) {
            for PodDelivery(one) in counters.get(&kind, 0)?.iter() {
                sum.submitted += one.submitted;
                sum.lost += one.lost;
            }
        }
        Ok(sums)
    }

    /// Detaches all programs: from here on nothing is added to the ring buffer.
    pub fn detach(&mut self) {
        self.links.clear();
    }
}

/// The network namespaces that are reported.
pub struct Watch {
    netns: BpfHashMap<MapData, u32, u8>,
}

impl Watch {
    /// Reports the namespace with this inode too.
    ///
    /// # Errors
    /// If there are too many.
    pub fn add(&mut self, inode: u32) -> anyhow::Result<()> {
        self.netns.insert(inode, 1, 0).with_context(|| format!("cannot watch network namespace {inode}"))
    }

    /// Watches none any more: an inode may be another namespace's next.
    ///
    /// # Errors
    /// If the kernel does not let go of one.
    pub fn clear(&mut self) -> anyhow::Result<()> {
        let watched = self.netns.keys().collect::<Result<Vec<_>, _>>()?;
        for inode in watched {
            self.netns.remove(&inode)?;
        }
        Ok(())
    }
}

/// [`Delivery`] as a map value of aya's.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodDelivery(Delivery);

// SAFETY: two integers without padding (asserted by `IntoBytes` where it is defined).
unsafe impl aya::Pod for PodDelivery {}

/// What the programs need to know of this kernel's structs.
struct Offsets {
    /// The value for each global.
    globals: Vec<(&'static str, u32)>,
    /// A sentence for each feature that is lost with a missing field.
    missing: Vec<String>,
}

fn offsets(kernel: &KernelBtf) -> anyhow::Result<Offsets> {
    let mut missing = Vec::new();
    let mut globals = Vec::new();
    for field in FIELDS {
        let offset = match (kernel.offset(field.path), field.without) {
            (Ok(offset), _) => offset,
            (Err(error), Some(lost)) => {
                missing.push(format!("{lost}: not available, {error}"));
                MISSING
            }
            (Err(error), None) => return Err(Unmet::UnknownSockets(error).into()),
        };
        globals.push((field.global, offset));
    }
    Ok(Offsets { globals, missing })
}

struct Attacher {
    ebpf: Ebpf,
    btf: Btf,
    loaded: HashSet<&'static str>,
    attached: HashSet<Attachment>,
    links: Vec<Box<dyn Any + Send>>,
}

impl Attacher {
    fn first_that_works(&mut self, probe: Probe, candidates: Vec<Candidate>, column: Column) -> Outcome {
        let mut refused = Vec::new();
        for candidate in candidates.into_iter().filter(|candidate| column.admits(candidate.mechanism)) {
            match candidate.attachments.and_then(|all| self.attach_all(&all).map(|()| all)) {
                Ok(attachments) => {
                    let hooks = attachments.iter().map(|attachment| attachment.hook).collect();
                    return Outcome {
                        probe,
                        chosen: Some((candidate.mechanism, hooks)),
                        refused,
                        blind: candidate.blind,
                    };
                }
                Err(reason) => refused.push((candidate.mechanism, reason)),
            }
        }
        Outcome { probe, chosen: None, refused, blind: Vec::new() }
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
                attach!(program, load(target, &self.btf), attach())
            }
            (Program::RawTracePoint(program), Hook::RawTp(target)) => attach!(program, load(), attach(target)),
            (Program::TracePoint(program), Hook::Tracepoint(category, target)) => {
                attach!(program, load(), attach(category, target))
            }
            (Program::FEntry(program), Hook::Fentry(target)) => attach!(program, load(target, &self.btf), attach()),
            (Program::FExit(program), Hook::Fexit(target)) => attach!(program, load(target, &self.btf), attach()),
            (Program::KProbe(program), Hook::Kprobe(target) | Hook::Kretprobe(target)) => {
                attach!(program, load(), attach(target, 0))
            }
            _ => Err(ProgramError::UnexpectedProgramType),
        }
    }
}

/// How the kernel refused, in one line: the errno and, if the verifier spoke, its last word.
fn in_words(error: &ProgramError) -> String {
    let verdict = match error {
        ProgramError::KProbeError(KProbeError::FileError { filename, .. }) => format!(" ({})", filename.display()),
        ProgramError::LoadError { verifier_log, .. } => {
            let log = verifier_log.to_string();
            let last = log.lines().rev().find(|line| !line.is_empty() && !line.starts_with("processed "));
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

fn errno_in_words(errno: i32) -> String {
    /// Kernel-internal, but the eBPF trampolines let it out: "not supported".
    const ENOTSUPP: i32 = 524;
    match errno {
        ENOTSUPP => "ENOTSUPP: Operation is not supported".to_owned(),
        errno => nix::errno::Errno::from_raw(errno).to_string(),
    }
}
