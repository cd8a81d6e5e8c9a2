//! The eBPF programs: one per way to observe an event. User space attaches one way for each event
//! (see the tracer's probe plan); the others are never loaded.
#![no_std]
#![no_main]
#![expect(clippy::needless_pass_by_value, reason = "the macros of aya-ebpf hand each program its context by value")]

mod announce;
mod announced;
mod arch;
mod baseline;
mod change;
mod context;
mod death;
mod emit;
mod features;
mod filter;
mod hooks;
mod inquiry;
mod memory;
mod note;
mod offset;
mod overflow;
mod past;
mod pid;
mod process;
mod queue;
mod recent;
mod rst;
mod segment;
mod shortage;
mod sock;
mod stack;
mod task;
mod tcp;
mod twin;
mod verifier;
mod word_copy;

// bpf_probe_read_kernel, bpf_get_stack and the BTF-typed helpers are GPL-only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The programs have no panicking path left after optimisation; the linker would refuse one.
    loop {}
}
