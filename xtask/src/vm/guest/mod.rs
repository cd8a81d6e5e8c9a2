//! The guest's init: this program again, as process 1 of a virtual machine.
//!
//! It makes the kernel usable, runs what the plan says and tells the verdict. Whatever goes wrong
//! before that leaves the host without a verdict, which counts as failure.

mod command;
mod kernel_log;

use std::{env, fs, io, process};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::{
        resource::{RLIM_INFINITY, Resource, setrlimit},
        termios::tcdrain,
    },
};

use super::protocol::{self, Plan};
use crate::{arch::power_off::power_off, loopback};

/// Type and place of each file system, in the order of mounting.
const MOUNTS: [(&str, &str); 9] = [
    ("devtmpfs", "/dev"),
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("tracefs", "/sys/kernel/tracing"),
    ("bpf", "/sys/fs/bpf"),
    ("securityfs", "/sys/kernel/security"),
    ("cgroup2", "/sys/fs/cgroup"),
];

/// Where the host's side puts what has to be there before anything is mounted.
pub(crate) const DIRECTORIES: [&str; 8] = ["bin", "dev", "etc", "modules", "proc", "run", "sys", "tmp"];

/// The status of a command that SIGKILL ended.
const KILLED: u8 = 128 + 9;

/// Whether this process is a guest's init. Being process 1 does not tell: in a container, cargo
/// may run this program in its own place.
pub(crate) fn is_init() -> bool {
    process::id() == 1 && env::args_os().next().is_some_and(|name| name == "/init")
}

/// Does what init is for, then ends the machine.
pub(crate) fn main() -> ! {
    match prepare().and_then(|plan| run_all(&plan)) {
        Ok(status) => println!("{}", protocol::verdict(status)),
        Err(error) => println!("init: {error:#}"),
    }
    // A line that has been written may still be on its way through the serial port.
    let _ = tcdrain(io::stdout());
    power_off();
    // Not reached in QEMU: the kernel panics, which ends the machine too.
    process::exit(1)
}

fn prepare() -> Result<Plan> {
    for (kind, place) in MOUNTS {
        mount_one(kind, place)?;
    }
    // Nothing but a panic is to come between the lines of the tests.
    fs::write("/proc/sys/kernel/printk", "1").context("cannot quieten the kernel's log")?;
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).context("cannot raise RLIMIT_MEMLOCK")?;
    let plan = fs::read_to_string(format!("/{}", protocol::PLAN)).context("cannot read the plan")?;
    let plan = Plan::from_json(&plan)?;
    for name in &plan.modules {
        load(name).with_context(|| format!("cannot load the module {name}"))?;
    }
    if !fs::exists("/dev/net/tun")? {
        bail!("there is no /dev/net/tun");
    }
    loopback::bring_up().context("cannot bring the loopback device up")?;
    Ok(plan)
}

fn mount_one(kind: &str, place: &str) -> Result<()> {
    let none: Option<&str> = None;
    match mount(Some(kind), place, Some(kind), MsFlags::empty(), none) {
        // Kernels mount some by themselves and lack others; a test that needs such a one says so.
        Ok(()) | Err(Errno::EBUSY | Errno::ENODEV | Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno).with_context(|| format!("cannot mount {kind} at {place}")),
    }
}

fn load(name: &str) -> Result<()> {
    let file = fs::File::open(format!("/{}", protocol::module_path(name)))?;
    match finit_module(file, c"", ModuleInitFlags::empty()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Runs the commands; the result is the status of the first that failed.
fn run_all(plan: &Plan) -> Result<u8> {
    let mut result = 0;
    for command in &plan.commands {
        let status = command::run(command).with_context(|| format!("cannot run `{}`", command.join(" ")))?;
        if status == KILLED {
            // Out of memory, most likely.
            println!("`{}` was killed; what the kernel said last:", command.join(" "));
            kernel_log::tail().context("cannot read the kernel's log")?.iter().for_each(|line| println!("{line}"));
        }
        if result == 0 {
            result = status;
        }
    }
    Ok(result)
}
