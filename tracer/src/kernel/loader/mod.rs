//! Carries out the probe plan: for each event the first way that this kernel accepts.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
};

use anyhow::{Context as _, anyhow, bail};
use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{HashMap as BpfHashMap, MapData, PerCpuArray, RingBuf},
};
use nix::errno::Errno;
use tracer_ebpf::{
    arch,
    criteria::sets,
    globals,
    layout::{BITS, FIELDS, MISSING, SIZES},
    maps as map, programs,
    record::{Delivery, KINDS, NO_REASON},
    room,
};

use self::attacher::Attacher;
use crate::{
    event::Reasons,
    filter::Criteria,
    host::{clock, malloc, pid_namespace, pidfd},
    kernel::{
        btf::{self, KernelBtf},
        hook_types,
        preflight::{self, Unmet},
        probes::{Attachment, Candidate, Hook, Outcome, Probe, ProbeFamily, plan},
        room::Room,
    },
};

mod attacher;
#[cfg(test)]
mod contract;
mod filters;
mod listeners;
mod maps;
#[cfg(test)]
mod stack;

pub use self::listeners::Listeners;

/// The eBPF programs, or nothing if the build had none (see build.rs).
static PROGRAMS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer-ebpf"));

/// What to load.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The events wanted; nothing is attached for the others.
    pub probes: BTreeSet<Probe>,
    /// The mechanisms that may be used.
    pub family: ProbeFamily,
    /// Bits `1 << KIND` of the records that are wanted.
    pub reported: u32,
    /// What they must be about.
    pub criteria: Criteria,
    /// Take the kernel stack of every RST.
    pub stacks: bool,
    /// Size of the ring buffer in bytes: a power of two, at least a page.
    pub ring_bytes: u32,
    /// Sockets whose past is to be remembered, if not as many as the machine's memory suggests.
    pub sockets: Option<u32>,
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
    /// What this kernel calls reasons.
    pub reasons: Reasons,
    /// How much the programs may remember.
    pub room: Room,
    /// `CLOCK_MONOTONIC` in nanoseconds when all were attached: before, each event was seen by some of them only.
    pub attached_ns: u64,
    is_by_netns: bool,
    is_by_pid: bool,
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
        let structs = FIELDS.iter().chain(&BITS).chain(SIZES).filter_map(|field| field.path.split('.').next());
        kernel.look_up(structs.chain(plan::NAMES));
        let Offsets { globals, missing: missing_fields } = offsets(kernel)?;
        let namespace = pid_namespace::inode();
        let unknown = FIELDS.iter().zip(&globals).find(|(field, (_, offset))| {
            *offset == MISSING && field.without.is_some_and(|lost| lost.starts_with("process ids"))
        });
        if namespace.is_some()
            && settings.criteria.is_by_process()
            && let Some((field, _)) = unknown
        {
            return Err(Unmet::PidNamespace(field.path).into());
        }
        let names = |of: &str, prefix: &str| {
            let all = kernel.enumerators(of).into_iter();
            all.map(|(number, name)| (number, name.trim_start_matches(prefix).to_owned())).collect()
        };
        let reasons = Reasons {
            reset: names("sk_rst_reason", "SK_RST_REASON_"),
            drop: names("skb_drop_reason", "SKB_DROP_REASON_"),
        };
        // Of the reasons to drop a RST, and from the same version on a RST that resets a socket is consumed.
        let is_reset_consumed = reasons.drop.values().any(|name| name == "TCP_RESET");
        let flags = [
            (globals::DEATHS_ONLY, u8::from(settings.criteria.deaths_only)),
            (globals::COOKIE_HELPER, u8::from(kernel.function("bpf_get_socket_ptr_cookie").is_some())),
            (globals::ERROR_STAYS, u8::from(kernel.function("tcp_done_with_error").is_some())),
            (globals::RESET_IS_CONSUMED, u8::from(is_reset_consumed)),
            (globals::TASK_REGS_HELPER, u8::from(kernel.function("bpf_task_pt_regs").is_some())),
            (globals::RESET_TP_PASSIVE, u8::from(settings.probes.contains(&Probe::RstSentPassive))),
            (globals::BASELINE, u8::from(settings.probes.contains(&Probe::Baseline))),
            (globals::STACKS, u8::from(settings.stacks)),
            (aya_log::LEVEL, settings.log as u8),
        ];
        let switches = settings.criteria.switches.iter().map(|(name, bits)| (*name, bits));
        let of_state = reasons.reset.iter().find(|(_, name)| *name == "TCP_STATE");
        let tcp_state = of_state.map_or(NO_REASON, |(number, _)| *number);
        let (lowest_port, highest_port) = settings.criteria.local_ports();
        let wake_at = settings.ring_bytes / 4;
        let plan: Vec<_> = settings.probes.iter().map(|&probe| (probe, plan::candidates(probe, kernel))).collect();
        let hook_types = hook_types(&plan, kernel)?;
        let mut loader = EbpfLoader::new();
        // No relocations: the programs get their offsets as globals.
        loader.btf(None).map_max_entries(map::EVENTS, settings.ring_bytes);
        if !settings.probes.contains(&Probe::Baseline) {
            loader.map_max_entries(map::HEARD, 1);
        }
        for (name, offset) in &globals {
            loader.override_global(name, offset, true);
        }
        for (name, flag) in flags.iter().map(|(name, flag)| (*name, flag)).chain(switches) {
            loader.override_global(name, flag, true);
        }
        let namespace = namespace.unwrap_or(0);
        loader.override_global(globals::PID_NAMESPACE, &namespace, true);
        loader.override_global(globals::WAKE_AT, &wake_at, true);
        loader.override_global(globals::TCP_STATE, &tcp_state, true);
        loader.override_global(globals::LOWEST_PORT, &lowest_port, true);
        loader.override_global(globals::HIGHEST_PORT, &highest_port, true);
        loader.override_global(globals::REPORTED, &settings.reported, true);
        let room = Room::new(settings.sockets, malloc::total(), maps::is_on_demand(kernel));
        maps::size(&mut loader, &room, &settings.criteria)?;
        let programs = if room.on_demand { &maps::on_demand(PROGRAMS)? } else { PROGRAMS };
        let mut ebpf = loader.load(programs).map_err(|error| match preflight::refusal(&error) {
            Some(refusal) => refusal.into(),
            None => anyhow::Error::new(error).context("cannot create the eBPF maps"),
        })?;
        // Before anything runs that goes by them.
        filters::fill(&mut ebpf, &settings.criteria)?;
        maps::put_stand_ins(&mut ebpf)?;

        let mut attacher = Attacher::new(ebpf, hook_types);
        if namespace != 0 {
            let depth = attacher.run(OWN_NAMESPACE);
            depth.map_err(|error| anyhow!("cannot find out which pid namespace the tracer is in: {error}"))?;
        }
        // First what ends the memory of a socket: one that was destroyed before would be remembered for ever.
        let (release, rest): (Vec<_>, Vec<_>) = plan.into_iter().partition(|(probe, _)| *probe == Probe::Release);
        let mut outcomes: Vec<_> = release
            .into_iter()
            .chain(rest)
            .map(|(probe, candidates)| attacher.first_that_works(probe, candidates, settings.family))
            .collect();
        outcomes.sort_by_key(|outcome| outcome.probe);
        let attached_ns = clock::mono_now();
        let Attacher { ebpf, links, .. } = attacher;
        let (is_by_netns, is_by_pid) = (settings.criteria.is_by_netns(), settings.criteria.is_by_process());
        Ok(Self { ebpf, links, outcomes, missing_fields, reasons, room, attached_ns, is_by_netns, is_by_pid })
    }

    /// The ring buffer of records. It can be taken once.
    ///
    /// # Errors
    /// If it was taken before.
    pub fn take_ring(&mut self) -> anyhow::Result<RingBuf<MapData>> {
        let map = self.ebpf.take_map(map::EVENTS).ok_or_else(|| anyhow!("the ring buffer is already in use"))?;
        Ok(RingBuf::try_from(map)?)
    }

    /// The set of namespaces to report. It can be taken once.
    ///
    /// # Errors
    /// If it was taken before, or the settings did not ask for it.
    pub fn take_watch(&mut self) -> anyhow::Result<Watch> {
        if !self.is_by_netns {
            bail!("these probes report every network namespace");
        }
        let map = self.ebpf.take_map(sets::NETNS).ok_or_else(|| anyhow!("the namespaces are already in use"))?;
        Ok(Watch { netns: BpfHashMap::try_from(map)? })
    }

    /// The processes that are reported, each until it has ended; `None` if that does not matter. It can be
    /// taken once.
    ///
    /// # Errors
    /// If it was taken before.
    pub fn take_processes(&mut self) -> anyhow::Result<Option<Processes>> {
        if !self.is_by_pid {
            return Ok(None);
        }
        let map = self.ebpf.take_map(sets::PIDS).ok_or_else(|| anyhow!("the processes are already in use"))?;
        Ok(Some(Processes { pids: BpfHashMap::try_from(map)? }))
    }

    /// Runs of the programs that the kernel skipped, because the CPU was in the same program already. Where a
    /// second program is there for what the first one misses, only its own count.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn skipped(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for (name, program) in self.ebpf.programs() {
            let Ok(fd) = program.fd() else { continue };
            let has_twin = self.ebpf.program(&format!("{name}_nested")).is_some();
            if !has_twin && !HOUSEKEEPING.contains(&name) {
                sum += misses(fd.as_fd().as_raw_fd())?;
            }
        }
        Ok(sum)
    }

    /// Who listens. It can be taken once.
    ///
    /// # Errors
    /// If it was taken before.
    pub fn take_listeners(&mut self) -> anyhow::Result<Listeners> {
        Listeners::new(self.ebpf.take_map(map::LISTENERS).ok_or_else(|| anyhow!("the listeners are already in use"))?)
    }

    /// What found no room in the programs' memory, by name: sockets, listeners, processes.
    ///
    /// # Errors
    /// If the counters cannot be read.
    pub fn without_room(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let counts = self.counts::<{ room::SLOTS as usize }>(map::NO_ROOM)?;
        Ok(maps::SLOTS.into_iter().map(|(name, slot)| (name.to_owned(), counts[slot as usize])).collect())
    }

    /// Events by record kind that were not reported, because what the filters ask for had found no room.
    ///
    /// # Errors
    /// If the counters cannot be read.
    pub fn undecided(&self) -> anyhow::Result<[u64; KINDS]> {
        self.counts(map::UNDECIDED)
    }

    /// Counts of all CPUs. They have twice as many slots, see the programs.
    fn counts<const SLOTS: usize>(&self, map: &str) -> anyhow::Result<[u64; SLOTS]> {
        let map = self.ebpf.map(map).ok_or_else(|| anyhow!("the counters {map} are missing"))?;
        let counters: PerCpuArray<_, u64> = PerCpuArray::try_from(map)?;
        let mut sums = [0; SLOTS];
        for (slot, sum) in (0..2).flat_map(|_| 0..SLOTS).enumerate() {
            sums[sum] += counters.get(&u32::try_from(slot)?, 0)?.iter().sum::<u64>();
        }
        Ok(sums)
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
        let map = self.ebpf.map(map::DELIVERIES).ok_or_else(|| anyhow!("the delivery counters are missing"))?;
        let counters: PerCpuArray<_, PodDelivery> = PerCpuArray::try_from(map)?;
        let mut sums = [Delivery::default(); KINDS];
        // Twice as many slots as kinds, see the programs.
        for (slot, kind) in (0..2).flat_map(|_| 0..KINDS).enumerate() {
            for PodDelivery(one) in counters.get(&u32::try_from(slot)?, 0)?.iter() {
                sums[kind].submitted += one.submitted;
                sums[kind].lost += one.lost;
            }
        }
        Ok(sums)
    }

    /// Detaches all programs: from here on nothing is added to the ring buffer.
    pub fn detach(&mut self) {
        self.links.clear();
    }
}

/// Programs that report nothing.
const HOUSEKEEPING: [&str; 8] = [
    programs::SOCKET_DESTROYED,
    programs::SOCKET_DESTROYED_AGAIN,
    programs::PROCESS_FORKED,
    programs::PROCESS_EXITED,
    programs::EXISTING_SOCKETS,
    programs::PROCESS_ENDS,
    programs::SIGNAL_SENT,
    programs::FIRST_READ,
];

/// `recursion_misses` of a program (bpf_prog_show_fdinfo in kernel/bpf/syscall.c, 5.12 and later; before, the
/// kernel started a program whether it ran or not).
fn misses(program: i32) -> anyhow::Result<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{program}"))?;
    let count = info.lines().find_map(|line| line.strip_prefix("recursion_misses:"));
    Ok(count.and_then(|count| count.trim().parse().ok()).unwrap_or(0))
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

/// The processes that are reported; the programs add children, and mark those that end.
pub struct Processes {
    pids: BpfHashMap<MapData, u32, u8>,
}

impl Processes {
    /// Forgets those that have ended: that have closed all that they had open.
    ///
    /// # Errors
    /// If the kernel does not tell which there are.
    pub fn forget_ended(&mut self) -> anyhow::Result<()> {
        for pid in self.pids.keys().collect::<Result<Vec<_>, _>>()? {
            // Not whether its id is in /proc: there it stays until its parent has waited for it.
            let has_ended = match pidfd::open(pid) {
                Ok(process) => pidfd::has_ended(&process),
                Err(error) => error == Errno::ESRCH,
            };
            if has_ended {
                // It is gone where the programs have seen another process get its id.
                let _ = self.pids.remove(&pid);
            }
        }
        Ok(())
    }

    /// All have ended.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn is_empty(&self) -> anyhow::Result<bool> {
        Ok(self.pids.keys().next().transpose()?.is_none())
    }
}

/// [`Delivery`] as a map value of aya's.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodDelivery(Delivery);

// SAFETY: two integers without padding (asserted by `IntoBytes` where it is defined).
unsafe impl aya::Pod for PodDelivery {}

/// What finds out how deep the tracer's pid namespace is.
const OWN_NAMESPACE: Attachment = Attachment { program: programs::OWN_PID_NAMESPACE, hook: Hook::Iter("task") };

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
    let page = u32::try_from(rustix::param::page_size())?;
    globals.extend(arch::BY_PAGE.iter().map(|(name, of_page)| (*name, of_page(page))));
    let bits = BITS.iter().map(|field| (field, kernel.bit_offset(field.path)));
    for (field, found) in bits.chain(SIZES.iter().map(|field| (field, kernel.size(field.path)))) {
        match found {
            Ok(number) => globals.push((field.global, number)),
            Err(error) => missing.extend(field.without.map(|lost| format!("{lost}: not available, {error}"))),
        }
    }
    Ok(Offsets { globals, missing })
}

/// What aya needs of the kernel's BTF, by ids that the running kernel knows.
fn hook_types(plan: &[(Probe, Vec<Candidate>)], kernel: &KernelBtf) -> anyhow::Result<Btf> {
    let attachments =
        plan.iter().flat_map(|(_, candidates)| candidates).filter_map(|one| one.attachments.as_ref().ok());
    let hooks = attachments.flatten().map(|attachment| attachment.hook).chain([OWN_NAMESPACE.hook]);
    let types = if kernel.is_own() {
        hook_types::of(kernel, hooks)
    } else {
        hook_types::of(&KernelBtf::load(Path::new(btf::VMLINUX))?, hooks)
    };
    Ok(types?)
}
