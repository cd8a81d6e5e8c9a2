//! Virtual machines of each processor: the emulator, and what it is told of the machine.

use super::Arch;

impl Arch {
    /// The emulator.
    pub(crate) fn emulator(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }

    /// Debian's package that has it.
    pub(crate) fn emulator_package(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86",
            Self::Aarch64 => "qemu-system-arm",
        }
    }

    /// The modules of this computer's kernel of which one runs machines of this processor without emulation.
    pub(crate) fn kvm_modules(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 => &["/sys/module/kvm_intel", "/sys/module/kvm_amd"],
            // What ends the machine takes emulation.
            Self::Aarch64 => &[],
        }
    }

    /// The machine, and the device or the call by which its init ends it, see [`super::power_off`].
    pub(crate) fn machine(self) -> Vec<String> {
        let words: &[&str] = match self {
            Self::X86_64 => &["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"],
            Self::Aarch64 => {
                &["-machine", "virt,gic-version=3", "-semihosting-config", "enable=on,target=native,userspace=on"]
            }
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// The serial port that the guest's kernel has its console on.
    pub(crate) fn console(self) -> &'static str {
        match self {
            Self::X86_64 => "ttyS0",
            Self::Aarch64 => "ttyAMA0",
        }
    }

    /// A processor with everything that the emulator can do, but what costs more to emulate than it saves: vectors of 32
    /// bytes, SMAP, and memory that is copied and cleared by the byte, which is fast in microcode only; signatures of
    /// pointers by the function that hardware has for them.
    pub(crate) fn emulated_processor(self) -> &'static str {
        match self {
            Self::X86_64 => "max,avx=off,avx2=off,smap=off,erms=off,fsrm=off",
            Self::Aarch64 => "max,pauth-impdef=on",
        }
    }

    /// What a guest says of itself where the emulation fails. On x86-64, while the kernel changes an instruction, another
    /// processor may meet the breakpoint that stands in for it after the kernel has taken it away, or go on with what was
    /// there before. The one happens once in a hundred runs, where a tracepoint, a probe or a packet filter comes or goes;
    /// processors that hang were seen once. The stacks come after it: if a kernel hangs by ours, they tell.
    pub(crate) fn emulation_failures(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 => &["Oops: int3", "BUG: soft lockup"],
            Self::Aarch64 => &[],
        }
    }
}
