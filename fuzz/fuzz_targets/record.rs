#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| sessile_fuzz::record(input));
