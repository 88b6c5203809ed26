//! Searches for bytes that break the property `server`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::server::check(bytes));
