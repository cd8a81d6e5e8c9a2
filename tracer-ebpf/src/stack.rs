//! The kernel's stack, as far as it is wanted.

use aya_ebpf::{
    EbpfContext,
    helpers::bpf_get_stack,
    programs::{BtfTracePointContext, FEntryContext, ProbeContext, RawTracePointContext, TracePointContext},
};

use crate::{arch, word_copy};

/// Frames of a stack that are wanted. Each costs as much as a lookup in a map.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// As many frames as there is room for.
    Whole,
    /// Frames of the probe, and of TCP up to the timer wheel: behind them is what was interrupted.
    Timer,
    /// Frames of the probe, and of TCP up to the system call.
    Call,
    /// Frames of the probe, and of TCP: behind them is how any packet comes in.
    Packet,
}

impl Depth {
    /// How many that are, where there is room for `ROOM`.
    pub(crate) const fn frames<const ROOM: usize>(self) -> u32 {
        let frames = match self {
            Self::Whole => ROOM,
            Self::Timer => arch::FRAMES_TO_TIMER,
            Self::Call => arch::FRAMES_TO_CALL,
            Self::Packet => arch::FRAMES_TO_PACKET,
        };
        (if frames < ROOM { frames } else { ROOM }) as u32
    }
}

/// The context of a program that may ask for the stack.
pub(crate) trait Context: EbpfContext {
    /// Who has called the function that the program is at, if the kernel leaves that out of the stack.
    #[inline(always)]
    fn caller_left_out(&self) -> Option<u64> {
        None
    }
}

impl Context for BtfTracePointContext {}
impl Context for FEntryContext {}
impl Context for RawTracePointContext {}
impl Context for TracePointContext {}

impl Context for ProbeContext {
    #[inline(always)]
    fn caller_left_out(&self) -> Option<u64> {
        arch::caller_left_out(self)
    }
}

/// Writes so many frames of the kernel stack to `stack`, and returns how many of them are valid.
///
/// # Safety
/// `stack` must be writable for its whole length.
#[inline(always)]
pub(crate) unsafe fn write<const N: usize>(ctx: &impl Context, frames: u32, stack: *mut [u64; N]) -> u32 {
    // What it held before is not for this record.
    // SAFETY: the caller's.
    unsafe { word_copy::clear(stack) };
    let caller = ctx.caller_left_out();
    let left_out = u32::from(caller.is_some());
    let room = N as u32 - left_out;
    let frames = if frames < room { frames } else { room };
    let first: *mut u64 = stack.cast();
    // SAFETY: the caller's buffer has that size, or more.
    let written = unsafe { bpf_get_stack(ctx.as_ptr(), first.add(left_out as usize).cast(), 8 * frames, 0) };
    if written < 0 {
        return 0;
    }
    if let Some(caller) = caller {
        // The function itself comes first, and its caller then, for which there is room.
        // SAFETY: the caller's; a stack has more than one frame.
        unsafe {
            first.write_volatile(first.add(1).read_volatile());
            first.add(1).write_volatile(caller);
        }
    }
    (written as u32) / 8 + left_out
}
