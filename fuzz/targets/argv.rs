//! Searches for bytes that break the property `argv`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::argv::check(bytes));
