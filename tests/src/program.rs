//! Finding and running programs: the suite's own beside the tests, the host's by path.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where `cargo build` put `program`: two folders above this test's own file.
///
/// Panics with the remedy if it is not there.
#[track_caller]
pub fn built(program: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a process has a file");
    let profile = this
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in PROFILE/deps");
    let path = profile.join(program);
    let remedy = "run `cargo build --workspace --bins` first (scripts/test does)";
    assert!(path.exists(), "{} is missing: {remedy}", path.display());
    path
}

/// Panics with the remedy if `path` is not there.
#[track_caller]
pub fn need(path: &str, package: &str) {
    assert!(
        Path::new(path).exists(),
        "{path} is missing: install the package {package} (scripts/test does)"
    );
}

/// Runs `command` with `input` on its standard input and gives what came out.
#[track_caller]
pub fn run(command: &mut Command, input: &[u8]) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("piped above");
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || {
        // A program that refuses early closes its input; its status tells.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the child is ours");
    let _ = feeder.join();
    output
}

/// [`run`]; panics unless the program ends with 0. Gives what it printed.
#[track_caller]
pub fn succeed(command: &mut Command, input: &[u8]) -> String {
    let output = run(command, input);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, complaint) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{said}{complaint}",
        output.status
    );
    said
}
