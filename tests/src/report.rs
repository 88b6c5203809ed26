//! What a test has to say besides pass or fail: measured numbers for the summary of `scripts/test`, and texts for
//! whoever looks into a failure.

use std::fs::OpenOptions;
use std::io::Write;

/// The file that `scripts/test` shows at its end; without it numbers go to standard output only.
const REPORT: &str = "RELAY_TEST_REPORT";

/// A number worth keeping, as one line; `test` says where it comes from.
pub fn number(test: &str, line: &str) {
    show(&format!("{test}: {line}"));
    if let Some(path) = std::env::var_os(REPORT) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("scripts/test made the folder");
        file.write_all(format!("{test}: {line}\n").as_bytes())
            .expect("there is room");
    }
}

/// Text on standard output, which the test runner shows when the test fails.
pub fn show(text: &str) {
    // A reader who has gone is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{text}");
}
