//! One virtual machine's life: started, watched line by line, ended in time.

use std::{
    fmt,
    fs::File,
    io::Read as _,
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::{prctl, signal::Signal};

use super::{console::Console, emulator::Emulator, kernel::Kernel, protocol};
use crate::arch::{Arch, power_off::EXIT_STATUS};

/// Of a machine.
pub(crate) const PROCESSORS: usize = 2;

/// A panic ends the machine at once; expedited grace periods make detaching probes fast. What protects a kernel from its
/// programs by work at every call and allocation has nobody to protect from here, nor has what tests its ciphers. Where
/// a program is always at the same addresses, the emulator translates it once for all its runs. Which clock to trust
/// is left to the kernel: told that the TSC is reliable, 7.3 lost segments and crashed in every fifth run. A processor
/// that runs nothing but one task for two minutes (twice `watchdog_thresh`) ends the machine, with all stacks.
const KERNEL_OPTIONS: &str = "panic=-1 oops=panic rcupdate.rcu_expedited=1 mitigations=off \
                              init_on_alloc=0 cryptomgr.notests norandmaps \
                              softlockup_panic=1 watchdog_thresh=60 panic_print=0x40";

/// A machine that failed by the emulation's fault and not by the tests'.
#[derive(Debug)]
pub(crate) struct EmulationFailed(&'static str);

impl fmt::Display for EmulationFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the emulation failed ({})", self.0)
    }
}

impl std::error::Error for EmulationFailed {}

/// What can be said about machines.
#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    /// Give a machine up after this time
    #[arg(long, value_name = "SECONDS", default_value_t = 1200)]
    timeout: u64,
    /// What runs the guest [default: kvm where its module is loaded, else tcg]
    #[arg(long)]
    accel: Option<Accelerator>,
    /// Show what the kernel says while it starts
    #[arg(long)]
    kernel_log: bool,
    /// What its clocks follow
    #[arg(skip)]
    clock: Clock,
    /// Variables for the guest's programs, whose names and values have no spaces
    #[arg(skip)]
    environment: Vec<(String, String)>,
}

impl Options {
    fn accelerator(&self, arch: Arch) -> Accelerator {
        match self.clock {
            Clock::World => self.accel.unwrap_or_else(|| Accelerator::detect(arch)),
            Clock::Instructions { .. } => Accelerator::Tcg,
        }
    }

    /// A machine whose time is the number of instructions that it executes, given up after so many seconds of ours.
    pub(crate) fn counting(seed: u32, timeout: u64) -> Self {
        Self { clock: Clock::Instructions { seed }, ..Self::lasting(timeout, Vec::new()) }
    }

    /// A machine that may take so many seconds, with these variables in its programs' environment.
    pub(crate) fn lasting(timeout: u64, environment: Vec<(String, String)>) -> Self {
        Self { timeout, accel: None, kernel_log: false, clock: Clock::World, environment }
    }
}

/// What a machine's clocks follow.
#[derive(Clone, Copy, Debug, Default)]
enum Clock {
    /// The world's.
    #[default]
    World,
    /// They go on by a nanosecond for each instruction, and jump to the next timer while there is nothing to execute: what
    /// else this computer does, and how fast it is, makes no difference. That takes emulation, and a single processor.
    Instructions {
        /// All numbers that the guest takes for random come from this one.
        seed: u32,
    },
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq)]
enum Accelerator {
    /// The processor itself
    Kvm,
    /// Emulation, which works everywhere
    Tcg,
}

impl Accelerator {
    /// That /dev/kvm opens says nothing: some hosts have the device and refuse to run a guest.
    fn detect(arch: Arch) -> Self {
        let is_ours = Arch::host().is_ok_and(|host| host == arch);
        let is_loaded = arch.kvm_modules().iter().any(|path| Path::new(path).exists());
        if is_ours && is_loaded && Path::new("/dev/kvm").exists() { Self::Kvm } else { Self::Tcg }
    }

    fn options(self, arch: Arch) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", arch.emulated_processor()],
        }
    }
}

/// Where instructions are counted, a processor that is the same in every version of the emulator: kernels choose their
/// instructions by what it has.
const COUNTED_PROCESSOR: &str = "Nehalem-v1,+rdrand";

/// Boots a kernel and hands on what the guest says. The result is the guest's verdict.
pub(crate) fn boot(
    emulator: &Emulator,
    kernel: &Kernel,
    initramfs: &File,
    options: &Options,
    on_line: &mut dyn FnMut(&str),
) -> Result<u8> {
    let deadline = Instant::now() + Duration::from_secs(options.timeout);
    let mut machine = Machine(command(emulator, kernel, initramfs, options).spawn().context("cannot start QEMU")?);
    let stdout = machine.0.stdout.take().context("QEMU has no output")?;
    let output = chunks(stdout);
    let mut console = Console::default();
    let mut verdict = None;
    let mut emulation_failed = None;
    loop {
        match output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(chunk) => console.add(&chunk, |line| match protocol::parse_verdict(line) {
                Some(status) => verdict = Some(status),
                None => {
                    let failures = kernel.arch.emulation_failures().iter();
                    emulation_failed = emulation_failed.or(failures.copied().find(|failure| line.contains(failure)));
                    on_line(line);
                }
            }),
            Err(RecvTimeoutError::Timeout) => {
                console.flush(on_line);
                bail!("Linux {}: not done after {} s", kernel.name, options.timeout)
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    console.flush(on_line);
    let status = machine.0.wait().context("cannot wait for QEMU")?;
    match (verdict, emulation_failed) {
        (Some(verdict), _) if status.code() == Some(EXIT_STATUS.into()) => Ok(verdict),
        (_, Some(failure)) if options.accelerator(kernel.arch) == Accelerator::Tcg => {
            Err(EmulationFailed(failure).into())
        }
        _ => bail!("Linux {}: the machine ended without a verdict ({status}); --kernel-log shows more", kernel.name),
    }
}

fn command(emulator: &Emulator, kernel: &Kernel, initramfs: &File, options: &Options) -> Command {
    let arch = kernel.arch;
    let quiet = if options.kernel_log { "" } else { " quiet" };
    // What a kernel does not know itself is init's environment.
    let environment: String = options.environment.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    let mut command = emulator.command();
    match options.clock {
        Clock::World => {
            command.args(options.accelerator(arch).options(arch)).args(["-smp", &PROCESSORS.to_string()]);
        }
        Clock::Instructions { seed } => {
            command
                .args(["-accel", "tcg,thread=single", "-cpu", COUNTED_PROCESSOR, "-smp", "1"])
                // 2^0 nanoseconds for an instruction; a guest that waits for a timer is there at once.
                .args(["-icount", "shift=0,sleep=off"])
                // All that the guest could learn of the world: the date, and randomness.
                .args(["-rtc", "base=2024-01-01,clock=vm", "-seed", &seed.to_string()]);
        }
    }
    command
        .args(arch.machine())
        .args(["-m", "1G", "-nodefaults", "-no-reboot"])
        .args(["-display", "none", "-serial", "stdio"])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(format!("/proc/self/fd/{}", initramfs.as_raw_fd()))
        .arg("-append")
        .arg(format!("console={} {KERNEL_OPTIONS}{quiet}{environment}", arch.console()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // SAFETY: between fork and exec it makes one system call and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?));
    }
    command
}

/// The guest's output, read on the side so that waiting for it can end.
fn chunks(mut stdout: ChildStdout) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stdout.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// A running QEMU, which does not outlive its owner: it is killed when that is dropped and, by the
/// kernel, when that dies.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
