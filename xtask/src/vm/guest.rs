//! The guest's init: this program again, as process 1 of a virtual machine.
//!
//! It makes the kernel usable, runs what the plan says and tells the verdict. Whatever goes wrong
//! before that leaves the host without a verdict, which counts as failure.

use std::{
    env, fs,
    io::{self, Read as _, Write as _},
    process::{self, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::{
        resource::{RLIM_INFINITY, Resource, setrlimit},
        termios::tcdrain,
        wait::{WaitStatus, wait},
    },
    unistd::Pid,
};

use super::protocol::{self, Plan};

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

const ENVIRONMENT: [(&str, &str); 4] =
    [("PATH", "/bin"), ("HOME", "/"), ("TRACER_BIN", "/bin/tracer"), ("RUST_BACKTRACE", "1")];

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
    power_off()
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
    loopback_up().context("cannot bring the loopback device up")?;
    Ok(plan)
}

fn mount_one(kind: &str, place: &str) -> Result<()> {
    let none: Option<&str> = None;
    match mount(Some(kind), place, Some(kind), MsFlags::empty(), none) {
        // Kernels mount some by themselves.
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
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
        let status = run_one(command).with_context(|| format!("cannot run `{}`", command.join(" ")))?;
        if result == 0 {
            result = status;
        }
    }
    Ok(result)
}

fn run_one(words: &[String]) -> Result<u8> {
    let [program, args @ ..] = words else {
        bail!("the command is empty");
    };
    // A pipe and not the console, which is a terminal: programs colour their output there.
    let (reader, writer) = io::pipe()?;
    let relay = relay(reader);
    let child = Command::new(program)
        .args(args)
        .env_clear()
        .envs(ENVIRONMENT)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    let status = wait_for(Pid::from_raw(i32::try_from(child.id())?))?;
    relay.finish();
    Ok(status)
}

/// Waits for a child and buries the orphans, which come to process 1.
fn wait_for(child: Pid) -> Result<u8> {
    loop {
        match wait()? {
            WaitStatus::Exited(pid, code) if pid == child => return Ok(u8::try_from(code)?),
            // As shells tell it.
            WaitStatus::Signaled(pid, signal, _) if pid == child => {
                return Ok(128 + u8::try_from(signal as i32)?);
            }
            _ => {}
        }
    }
}

/// Copies a command's output to the console.
struct Relay {
    finished: mpsc::Receiver<()>,
    line_is_open: Arc<AtomicBool>,
}

fn relay(mut output: io::PipeReader) -> Relay {
    let (sender, finished) = mpsc::channel();
    let line_is_open = Arc::new(AtomicBool::new(false));
    let is_open = Arc::clone(&line_is_open);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = output.read(&mut buffer) {
            let text = &buffer[..length];
            // The console is all that there is to complain on.
            let _ = io::stdout().write_all(text).and_then(|()| io::stdout().flush());
            is_open.store(!text.ends_with(b"\n"), Ordering::Relaxed);
        }
        let _ = sender.send(());
    });
    Relay { finished, line_is_open }
}

impl Relay {
    /// Waits for the rest of the output, but not for a daemon that holds the pipe open.
    fn finish(self) {
        let _ = self.finished.recv_timeout(Duration::from_secs(1));
        if self.line_is_open.load(Ordering::Relaxed) {
            println!();
        }
    }
}

fn loopback_up() -> io::Result<()> {
    // SAFETY: the call takes no pointers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: every field of an ifreq may be zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    // The device has no other flags that could be set, so that none is lost.
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which lives through the call.
    if unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Ends QEMU with a status that nothing else ends it with.
#[cfg(target_arch = "x86_64")]
fn power_off() -> ! {
    // SAFETY: init has nothing to lose; what the byte does is documented with the constants.
    unsafe {
        libc::ioperm(protocol::EXIT_PORT.into(), 1, 1);
        std::arch::asm!(
            "out dx, al",
            in("dx") protocol::EXIT_PORT,
            in("al") protocol::EXIT_BYTE,
            options(nomem, nostack)
        );
    }
    // Not reached in QEMU: the kernel panics, which ends the machine too.
    process::exit(1)
}

#[cfg(not(target_arch = "x86_64"))]
fn power_off() -> ! {
    process::exit(1)
}
