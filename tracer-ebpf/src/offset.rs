//! Field offsets: read-only globals that the loader sets from BTF.

use aya_ebpf::Global;
use tracer_ebpf::layout::MISSING;

use crate::sock::probe_read;

/// A field's offset in bytes, [`MISSING`] unless the loader found the field.
pub(crate) type Offset = Global<u32>;

macro_rules! declare {
    ($($name:ident = $path:literal $(, $without:literal)?;)*) => {
        $(
            #[doc = $path]
            #[unsafe(no_mangle)]
            pub(crate) static $name: Offset = Global::new(MISSING);
        )*
    };
}

tracer_ebpf::fields!(declare);

/// The number of a member's bit, see [`tracer_ebpf::layout::BITS`].
pub(crate) type Bit = Global<u32>;

#[unsafe(no_mangle)]
pub(crate) static TP_REPAIR: Bit = Global::new(MISSING);
#[unsafe(no_mangle)]
pub(crate) static REQUEST_ACKED: Bit = Global::new(MISSING);

/// Whether that bit of the struct at an address is set, if this kernel has it.
#[inline(always)]
pub(crate) fn is_set(bit: &Bit, address: u64) -> bool {
    let bit = bit.load();
    if bit == MISSING {
        return false;
    }
    let byte: u8 = probe_read((address + u64::from(bit / 8)) as *const u8);
    byte >> (bit % 8) & 1 != 0
}
