//! Searches for bytes that break the property `header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::header::check(bytes));
