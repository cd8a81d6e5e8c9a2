//! Frames of a recording, through everything.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracer_fuzz::pipeline::check(data));
