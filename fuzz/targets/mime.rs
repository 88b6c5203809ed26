//! Searches for bytes that break the property `mime`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::mime::check(bytes));
