//! bpf(2), as far as the bench needs it: to keep account of programs, and for programs that do nothing.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

/// An instruction, as `struct bpf_insn` has it: code, registers, offset, constant.
type Instruction = [u8; 8];

/// `r0 = 0; exit`.
static NOTHING: [Instruction; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

/// Lets the kernel keep account of the time that programs run, as long as the descriptor lives (Linux 5.8).
pub(super) fn enable_stats() -> io::Result<OwnedFd> {
    /// `enum bpf_cmd`.
    const BPF_ENABLE_STATS: libc::c_long = 32;
    /// `enum bpf_stats_type`.
    const BPF_STATS_RUN_TIME: u32 = 0;
    // SAFETY: the type is the only attribute of this command.
    unsafe { descriptor(BPF_ENABLE_STATS, &BPF_STATS_RUN_TIME) }
}

/// A program for a raw tracepoint that does nothing.
pub(super) fn load_nothing() -> io::Result<OwnedFd> {
    /// `enum bpf_cmd`.
    const BPF_PROG_LOAD: libc::c_long = 5;
    /// `enum bpf_prog_type`.
    const BPF_PROG_TYPE_RAW_TRACEPOINT: u32 = 17;
    /// The first members of `union bpf_attr` for this command; those that are not given are zero.
    #[repr(C)]
    struct Attributes {
        program_type: u32,
        instructions: u32,
        code: *const Instruction,
        license: *const libc::c_char,
    }
    let attributes = Attributes {
        program_type: BPF_PROG_TYPE_RAW_TRACEPOINT,
        instructions: NOTHING.len() as u32,
        code: NOTHING.as_ptr(),
        license: c"Dual MIT/GPL".as_ptr(),
    };
    // SAFETY: both pointers are to what lives for ever, and the first is to so many instructions.
    unsafe { descriptor(BPF_PROG_LOAD, &attributes) }
}

/// Attaches a program to a raw tracepoint, as long as the descriptor lives.
pub(super) fn attach(program: &OwnedFd, tracepoint: &CStr) -> io::Result<OwnedFd> {
    /// `enum bpf_cmd`.
    const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
    /// `raw_tracepoint` of `union bpf_attr`.
    #[repr(C)]
    struct Attributes {
        name: *const libc::c_char,
        program: RawFd,
        reserved: u32,
    }
    let attributes = Attributes { name: tracepoint.as_ptr(), program: program.as_raw_fd(), reserved: 0 };
    // SAFETY: the name ends with a zero and lives through the call.
    unsafe { descriptor(BPF_RAW_TRACEPOINT_OPEN, &attributes) }
}

/// A call whose result is a descriptor.
///
/// # Safety
///
/// The attributes must be laid out as the first members of `union bpf_attr` for this command, without padding, and what
/// they point to must be what the command reads there.
unsafe fn descriptor<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads so many bytes, which are there; the rest is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    let descriptor = i32::try_from(result).ok().filter(|descriptor| *descriptor >= 0);
    let descriptor = descriptor.ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made it, for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
