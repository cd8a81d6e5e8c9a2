//! The processors that releases are for: each one's names, in one place.

/// A processor. A new one is a variant, its names here, and an eBPF object for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arch {
    #[value(name = "x86_64")]
    X86_64,
}

impl Arch {
    /// Rust's target.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }

    /// The kernel's name, which RPM uses, too.
    pub(crate) fn kernel(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
        }
    }

    /// Debian's name, and that of Go, which images use.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
        }
    }
}
