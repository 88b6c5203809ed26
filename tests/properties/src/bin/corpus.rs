//! Turns the inputs that are kept for a target into the folder of files that the fuzzer works on, and back.
#![forbid(unsafe_code)]

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use properties::{TARGETS, corpus};

const USAGE: &str = "usage: corpus list | unpack TARGET FOLDER | pack TARGET FOLDER LONGEST";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(text) => {
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = io::stderr().write_all(format!("corpus: {error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> io::Result<String> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, USAGE);
    match words {
        ["list"] => Ok(TARGETS
            .iter()
            .map(|one| format!("{}\n", one.name))
            .collect()),
        ["unpack", target, folder] => {
            let count = corpus::unpack(target, Path::new(folder))?;
            Ok(format!("{count} inputs\n"))
        }
        ["pack", target, folder, longest] => {
            let longest = longest.parse().map_err(|_| wrong())?;
            let count = corpus::pack(target, Path::new(folder), longest)?;
            Ok(format!("{count} inputs\n"))
        }
        _ => Err(wrong()),
    }
}
