//! Searches for bytes that break the property `control`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::control::check(bytes));
