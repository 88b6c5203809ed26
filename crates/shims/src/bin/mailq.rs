//! `mailq`: lists the queue. It takes sendmail's options, as it does with every mail system.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    shims::program::run("mailq", |_, arguments| {
        shims::sendmail::run("mailq", arguments)
    })
}
