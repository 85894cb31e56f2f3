#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stemhive_fuzz::frames(bytes));
