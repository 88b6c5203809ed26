//! Searches for bytes that break the property `aliases`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::aliases::check(bytes));
