//! Searches for bytes that break the property `addresses`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::addresses::check(bytes));
