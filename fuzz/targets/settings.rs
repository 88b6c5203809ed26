//! Searches for bytes that break the property `settings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::settings::check(bytes));
