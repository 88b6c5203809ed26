//! Searches for bytes that break the property `client`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::client::check(bytes));
