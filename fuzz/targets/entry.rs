//! Searches for bytes that break the property `entry`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::entry::check(bytes));
