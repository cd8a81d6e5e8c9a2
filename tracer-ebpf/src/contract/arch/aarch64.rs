//! 64-bit Arm.

use crate::layout::Field;

/// Types whose sizes the programs know by globals, see [`crate::layout::SIZES`]. A stack has 16 KiB, and as much as a page
/// where that is larger (`THREAD_SIZE` in arch/arm64/include/asm/memory.h).
pub const SIZES: [Field; 2] = [
    Field { global: "STACK_SIZE", path: "thread_union", without: Some("which system call closes a socket") },
    Field { global: "REGS_SIZE", path: "pt_regs", without: Some("which system call closes a socket") },
];

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
