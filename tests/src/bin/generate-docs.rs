//! Writes the documents that are made from tables in the code: the sample settings and four man pages.
//!
//! `generate-docs` writes them; `generate-docs --check` says which committed file differs from its table and fails then.

#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

type Writer = fn() -> String;

/// Each file, from the top of the repository, and what writes its text.
const DOCUMENTS: [(&str, Writer); 5] = [
    ("etc/relayd.conf", policy::settings::sample),
    ("man/relayd.conf.5", policy::settings::manual),
    ("man/relayd-log.5", policy::log::manual),
    ("man/relayd-replies.5", policy::verdict::manual),
    ("man/sendmail.1", shims::options::manual),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => write_all(),
        ["--check"] => check_all(),
        _ => Err("usage: generate-docs [--check]".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            let _ = writeln!(io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}

fn write_all() -> Result<(), String> {
    for (name, text) in DOCUMENTS {
        fs::write(top().join(name), text()).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

fn check_all() -> Result<(), String> {
    let differs =
        |name: &str, text: String| fs::read_to_string(top().join(name)).ok() != Some(text);
    let stale: Vec<&str> = DOCUMENTS
        .iter()
        .filter(|(name, text)| differs(name, text()))
        .map(|(name, _)| *name)
        .collect();
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!(
        "not as their tables say: {}. Run: cargo run -p tests --bin generate-docs",
        stale.join(", ")
    ))
}

fn top() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
