//! What every program of this crate does first and last: names, signals, panics, exit status.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;

use policy::log::Severity;
use policy::sysexits::ExitStatus;

use crate::failure::Failure;

/// Runs a program's body and turns what comes of it into an exit status, with one line on standard
/// error if it failed. `default_name` is used where the caller gave the program no name.
///
/// A fault of the program itself is told in one line too, and ends with status 75: whatever was
/// queued before it is on stable storage, and if nothing was, trying again may work.
#[must_use]
pub fn run(
    default_name: &'static str,
    body: impl FnOnce(&str, &mut dyn Iterator<Item = OsString>) -> Result<(), Failure>,
) -> ExitCode {
    host::stdio::ignore_write_signals();
    // The default hook would print the text of the panic, which could hold part of a message, and
    // a stack where RUST_BACKTRACE is set.
    static WHERE: OnceLock<String> = OnceLock::new();
    set_hook(Box::new(|panic| {
        if let Some(place) = panic.location() {
            let _ = WHERE.set(format!("{}:{}", place.file(), place.line()));
        }
    }));
    let mut arguments = std::env::args_os();
    let name = arguments
        .next()
        .map_or_else(String::new, |name| base_name(&name));
    let name = if name.is_empty() { default_name } else { &name };
    let result = catch_unwind(AssertUnwindSafe(|| body(name, &mut arguments)));
    let result = result.unwrap_or_else(|_| {
        let place = WHERE.get().map_or("an unknown place", String::as_str);
        Err(Failure::new(
            ExitStatus::TempFail,
            format!("internal error at {place}"),
        ))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let program = failure.program.unwrap_or(name);
            failure.report(program);
            log(program, &failure);
            failure.status.into()
        }
    }
}

/// Callers such as web servers throw standard error away, so the line goes to the mail log as well;
/// but not to the system's when the settings of another installation are in use.
fn log(program: &str, failure: &Failure) {
    if host::config::named_file().is_none() {
        host::logger::last_words(program, Severity::Critical, &format!("fatal: {failure}"));
    }
}

/// The last part of a path, without the dash that marks a login shell; printable.
fn base_name(path: &OsString) -> String {
    let name = Path::new(path)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    crate::failure::printable(name.trim_start_matches('-'), 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_last_part_of_the_path() {
        for (path, name) in [
            ("/usr/sbin/sendmail", "sendmail"),
            ("mailq", "mailq"),
            ("-sendmail", "sendmail"),
            ("", ""),
            ("/", ""),
            ("a\nb", "a?b"),
        ] {
            assert_eq!(base_name(&OsString::from(path)), name);
        }
    }
}
