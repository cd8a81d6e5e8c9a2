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
