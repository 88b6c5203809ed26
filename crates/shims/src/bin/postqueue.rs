//! `postqueue`: lists the queue or has it tried now.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    shims::program::run("postqueue", |_, arguments| shims::postqueue::run(arguments))
}
