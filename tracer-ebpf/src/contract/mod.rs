//! What the programs and user space agree on: what a record looks like ([`record`]), which kernel fields the programs read
//! ([`layout`], [`arch`]), how they are told what to report ([`criteria`], [`wanted`]), what they remember ([`room`],
//! [`listener`]), and what programs, maps and globals are called.

/// Constants whose value is their name, and a list of them.
macro_rules! names {
    ($($name:ident: $is:literal;)*) => {
        $(
            #[doc = $is]
            pub const $name: &str = stringify!($name);
        )*

        /// All of them.
        pub const ALL: &[&str] = &[$($name),*];
    };
}

pub mod arch;
pub mod criteria;
pub mod globals;
pub mod layout;
pub mod listener;
pub mod maps;
pub mod programs;
pub mod record;
pub mod room;
pub mod wanted;
