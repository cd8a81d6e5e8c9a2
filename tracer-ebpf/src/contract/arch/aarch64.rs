//! 64-bit Arm.

use super::ByPage;
use crate::layout::Field;

/// Types whose sizes the programs know by globals, see [`crate::layout::SIZES`]. Kernels add members to registers that are
/// saved.
pub const SIZES: [Field; 1] =
    [Field { global: "REGS_SIZE", path: "pt_regs", without: Some("which system call closes a socket, before 5.15") }];

/// Globals that follow from the size of a page, which the kernel's build sets: a stack has 16 KiB, or as much as a page
/// where that is larger (`THREAD_SIZE` in arch/arm64/include/asm/memory.h; kernels with KASAN have larger ones).
pub const BY_PAGE: [ByPage; 1] = [("STACK_SIZE", |page| if page > 16 << 10 { page } else { 16 << 10 })];

/// Calls `$callback!` with a table of fields, and behind them those of this processor.
#[macro_export]
macro_rules! with_fields_of_processor {
    ($callback:ident; $($fields:tt)*) => {
        $callback! {
            $($fields)*
            TASK_PREEMPT_COUNT = "task_struct.thread_info.preempt_count",
                "telling process from interrupt context without a stack";
            TASK_STACK = "task_struct.stack", "which system call closes a socket";
            REGS_SYSTEM_CALL = "pt_regs.syscallno", "which system call closes a socket";
        }
    };
}
