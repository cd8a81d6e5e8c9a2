//! Field offsets: read-only globals that the loader sets from BTF.

use aya_ebpf::Global;
use tracer_ebpf::layout::MISSING;

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
