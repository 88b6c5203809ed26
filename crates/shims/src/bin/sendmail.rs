//! `sendmail`: hands a message from standard input to relayd. Called as `mailq` or `newaliases` it
//! is those.

use std::process::ExitCode;

fn main() -> ExitCode {
    shims::program::run("sendmail", shims::sendmail::run)
}
