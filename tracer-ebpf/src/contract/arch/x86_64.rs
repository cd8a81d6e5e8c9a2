//! x86-64.

use super::ByPage;
use crate::layout::Field;

/// Types whose sizes the programs know by globals, see [`crate::layout::SIZES`].
pub const SIZES: [Field; 0] = [];

/// Globals that follow from the size of a page: the processor has only one.
pub const BY_PAGE: [ByPage; 0] = [];

/// Calls `$callback!` with a table of fields, and behind them those of this processor.
#[macro_export]
macro_rules! with_fields_of_processor {
    ($callback:ident; $($fields:tt)*) => {
        $callback! {
            $($fields)*
            TASK_STACK = "task_struct.stack", "telling process from interrupt context without a stack";
            REGS_SYSTEM_CALL = "pt_regs.orig_ax", "telling system calls from interrupts in user mode";
        }
    };
}
