//! The processors that the tracer is for: what each is called, here, and what else depends on it, in the files beside.

pub(crate) mod machine;
pub(crate) mod power_off;

use anyhow::{Result, bail};

/// The system calls that wait for events of an epoll instance, on the processor that this program runs on.
#[cfg(target_arch = "x86_64")]
pub(crate) const EPOLL_WAITS: &[libc::c_long] = &[libc::SYS_epoll_wait, libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2];
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const EPOLL_WAITS: &[libc::c_long] = &[libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2];

/// A processor. A new one is a variant, its names here, and what the compiler then finds missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arch {
    #[value(name = "x86_64")]
    X86_64,
    #[value(name = "aarch64")]
    Aarch64,
}

impl Arch {
    pub(crate) const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// This computer's own.
    pub(crate) fn host() -> Result<Self> {
        let name = std::env::consts::ARCH;
        match Self::ALL.into_iter().find(|arch| arch.kernel() == name) {
            Some(arch) => Ok(arch),
            None => bail!("the tracer is for x86_64 and aarch64, and this computer is {name}"),
        }
    }

    /// Rust's target.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// The kernel's name, which Rust and RPM use, too.
    pub(crate) fn kernel(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Debian's name, and that of Go, which images use.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// What the programs begin with that compile and link for it where it is not the computer's own, and the packages that
    /// have them and its C library.
    pub(crate) fn cross_compiler(self) -> (&'static str, [&'static str; 2]) {
        match self {
            Self::X86_64 => ("x86_64-linux-gnu-gcc", ["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"]),
            Self::Aarch64 => ("aarch64-linux-gnu-gcc", ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]),
        }
    }

    /// What the compiler is told besides for a release.
    pub(crate) fn release_flags(self) -> &'static [&'static str] {
        match self {
            // A third of a megabyte less; glibc's start code knows them since 2.36.
            Self::X86_64 => &["-Clink-arg=-Wl,-z,pack-relative-relocs"],
            // The linker does not know them for this one.
            Self::Aarch64 => &[],
        }
    }
}
