//! A process that is forked, not started: it has one thread, which does what a test wants, and nothing else.

use std::{
    ffi::CStr,
    io::{Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, RawFd},
        unix::net::UnixStream,
    },
};

use anyhow::Context as _;
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork},
};

/// The process; it ends when this is dropped.
pub(super) struct Worker {
    pid: Pid,
    /// To the worker, and from it.
    ready: UnixStream,
}

/// The worker's side.
pub(super) struct Inside {
    ready: RawFd,
}

impl Worker {
    /// Forks one that has this name, and all descriptors of ours. `act` may only do what is async-signal-safe
    /// (signal-safety(7)): it runs in a copy of a process that has other threads.
    pub(super) fn fork(name: &CStr, act: impl FnOnce(&Inside)) -> anyhow::Result<Self> {
        let (ready, theirs) = UnixStream::pair()?;
        // SAFETY: the child makes system calls only, and does not return.
        match unsafe { fork() }? {
            ForkResult::Child => {
                // SAFETY: system calls with the arguments that they take; the name outlives its call.
                unsafe {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    libc::prctl(libc::PR_SET_NAME, name.as_ptr());
                }
                act(&Inside { ready: theirs.as_raw_fd() });
                // SAFETY: it ends this process, and runs nothing of the parent's.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => Ok(Self { pid: child, ready }),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Returns when it has called [`Inside::is_ready`] once more.
    pub(super) fn wait_ready(&mut self) -> anyhow::Result<()> {
        self.ready.read_exact(&mut [0]).context("the worker ended early")
    }

    /// Lets it go on from [`Inside::wait_for_go`].
    pub(super) fn go(&mut self) -> anyhow::Result<()> {
        Ok(self.ready.write_all(b".")?)
    }

    /// Sends it a signal, and returns when it has ended.
    pub(super) fn end(self, signal: Signal) -> anyhow::Result<WaitStatus> {
        kill(self.pid, signal)?;
        self.wait()
    }

    /// Returns when it has ended.
    pub(super) fn wait(self) -> anyhow::Result<WaitStatus> {
        let status = waitpid(self.pid, None)?;
        std::mem::forget(self);
        Ok(status)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // After a failure; else it was waited for.
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}

impl Inside {
    /// Tells the test that it has come this far.
    pub(super) fn is_ready(&self) {
        // SAFETY: the descriptor is open, and one byte is read from a constant.
        unsafe { libc::write(self.ready, c".".as_ptr().cast(), 1) };
    }

    /// Returns when the test lets it go on.
    pub(super) fn wait_for_go(&self) {
        let mut byte = 0u8;
        // SAFETY: one byte is written to a variable of our own.
        unsafe { libc::read(self.ready, (&raw mut byte).cast(), 1) };
    }

    /// Listens anew, so that the socket is known to be this process's.
    pub(super) fn listen(&self, listener: RawFd) {
        // SAFETY: a system call on a descriptor.
        unsafe { libc::listen(listener, 4) };
    }

    /// Accepts a connection.
    pub(super) fn accept(&self, listener: RawFd) -> RawFd {
        // SAFETY: the peer's address is not asked for.
        unsafe { libc::accept(listener, std::ptr::null_mut(), std::ptr::null_mut()) }
    }

    /// Returns when there is data to read, which it leaves unread.
    pub(super) fn peek(&self, socket: RawFd) {
        let mut byte = 0u8;
        // SAFETY: one byte is written to a variable of our own.
        unsafe { libc::recv(socket, (&raw mut byte).cast(), 1, libc::MSG_PEEK) };
    }

    /// Takes what there is to read.
    pub(super) fn read(&self, socket: RawFd) {
        let mut bytes = [0u8; 16];
        // SAFETY: at most so many bytes are written to a variable of our own.
        unsafe { libc::read(socket, bytes.as_mut_ptr().cast(), bytes.len()) };
    }

    /// Lets the next program have no descriptor but standard input, output and error.
    pub(super) fn close_on_exec(&self) {
        /// More than a test's process has. (`close_range` can do this since 5.11 only.)
        const LAST: RawFd = 1024;
        for descriptor in 3..LAST {
            // SAFETY: a system call with numbers.
            unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }

    /// Becomes another program, which gets an option that it does not have, and so ends at once.
    pub(super) fn exec(&self, program: &CStr) {
        let arguments = [program.as_ptr(), c"--none".as_ptr(), std::ptr::null()];
        // SAFETY: strings that end with NUL, in an array that ends with null, and no environment.
        unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), arguments[2..].as_ptr()) };
    }

    /// Takes memory until there is none.
    pub(super) fn eat(&self) {
        /// More than a test's control group may have.
        const BYTES: usize = 512 << 20;
        /// What a page has at least.
        const STEP: usize = 4096;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: memory of its own, and nothing else has an address in it.
        unsafe {
            let start = libc::mmap(std::ptr::null_mut(), BYTES, access, kind, -1, 0);
            if start != libc::MAP_FAILED {
                (0..BYTES).step_by(STEP).for_each(|at| start.cast::<u8>().add(at).write_volatile(1));
            }
        }
    }

    /// Computes, without a system call, until a signal comes.
    pub(super) fn compute(&self) -> ! {
        loop {
            std::hint::spin_loop();
        }
    }

    /// Waits in a system call until a signal comes.
    pub(super) fn sleep(&self) -> ! {
        loop {
            // SAFETY: a system call without arguments.
            unsafe { libc::pause() };
        }
    }

    /// Closes a descriptor.
    pub(super) fn close(&self, descriptor: RawFd) {
        // SAFETY: in this process nobody else uses it.
        unsafe { libc::close(descriptor) };
    }

    /// Writes where nothing is.
    pub(super) fn fault(&self) {
        let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: none of the write, which the kernel ends the process for; that is what it is for.
        unsafe {
            libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core);
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
            std::ptr::without_provenance_mut::<u8>(8).write_volatile(1);
        }
    }
}
