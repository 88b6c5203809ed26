//! Searches for bytes that break the property `outgoing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::outgoing::check(bytes));
