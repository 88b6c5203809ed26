//! `sendmail`: hands a message from standard input to relayd. Called as `mailq` or `newaliases` it
//! is those.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    shims::program::run("sendmail", shims::sendmail::run)
}
