//! Every system call of `sendmail` made to fail in turn, by strace, with each error that a system is known to give.

use std::collections::HashMap;
use std::fs;
use std::process::Output;

use tests::enclosure::ALICE;
use tests::program::run;
use tests::table::Faults;

use super::{Host, has};

const ERRORS: [&str; 10] = [
    "EIO", "ENOSPC", "EDQUOT", "EROFS", "EMFILE", "ENFILE", "ENOMEM", "EINTR", "EAGAIN", "EACCES",
];

/// What it may end with besides 0: no input, not available, system error, cannot create, input or output broken, try
/// again, and settings that cannot be read.
const STATUSES: [i32; 7] = [66, 69, 71, 73, 74, 75, 78];

/// A system call by its name and its place among those of the name, from 1.
type Place = (String, usize);

/// With relayd and without. A message goes out (twice is possible: the fault may have struck the reply) if and only if
/// `sendmail` ended with 0, and whole.
pub(super) fn every_one(host: &mut Host, faults: &mut Faults) {
    let mut ended: HashMap<String, i32> = HashMap::new();
    for down in [false, true] {
        if down {
            host.rig.stop();
        }
        for place in places(host, &mut ended) {
            for error in ERRORS {
                one_error(host, error, &place, down, &mut ended, faults);
            }
        }
    }
    host.rig.start();
    let mut sent: HashMap<String, usize> = HashMap::new();
    for delivery in host.deliveries() {
        let subject = delivery.fields("Subject").join("");
        faults.require(delivery.body() == b"first\r\nlast\r\n", || {
            format!("{subject}: not whole")
        });
        *sent.entry(subject).or_default() += 1;
    }
    for (subject, status) in &ended {
        let copies = sent.remove(subject).unwrap_or_default();
        let good = if *status == 0 {
            (1..=2).contains(&copies)
        } else {
            copies == 0
        };
        faults.require(good, || {
            format!("{subject}: status {status}, {copies} copies")
        });
    }
    faults.require(sent.is_empty(), || format!("nobody sent {sent:?}"));
    faults.note = format!("{} calls with an error", ended.len());
}

/// Runs `sendmail` with one call failing.
fn one_error(
    host: &Host,
    error: &str,
    (call, nth): &Place,
    down: bool,
    ended: &mut HashMap<String, i32>,
    faults: &mut Faults,
) {
    let subject = format!("{error} at {call} {nth}, relayd down: {down}");
    let inject = format!("inject={call}:error={error}:when={nth}");
    let (output, trace) = traced(host, &["-e", &inject], &subject);
    let status = output.status.code().unwrap_or(-1);
    let injected = trace.contains("(INJECTED)");
    // In how many pieces relayd's replies are read differs from run to run: there may have been no such call.
    let struck = injected || (call == "recvfrom" && *nth > 1 && status == 0);
    let known = status == 0 || STATUSES.contains(&status);
    // Without random numbers the standard library gives up; that no such system exists is no reason to die untidily.
    let tidy = call == "getrandom" || !has(&output.stderr, b"internal error");
    faults.require(known && struck && tidy, || {
        format!("{subject}: injected {injected}, {output:?}")
    });
    ended.insert(subject, status);
}

/// What `sendmail` says to a message under strace, and the trace.
fn traced(host: &Host, options: &[&str], subject: &str) -> (Output, String) {
    let file = host.rig.path().join("trace/injected");
    let mut command = host.program(ALICE, &["strace", "-qq", "-o"]);
    command.arg(&file).args(options);
    command.args(["--", "/usr/sbin/sendmail", "-i", "b@example.org"]);
    let message = format!("Subject: {subject}\n\nfirst\nlast\n");
    let output = run(&mut command, message.as_bytes());
    let trace = fs::read(file).expect("strace wrote it");
    (output, String::from_utf8_lossy(&trace).into_owned())
}

/// The calls that `sendmail` makes, but for the last, and for those of the dynamic loader and of Rust's own start, who
/// end the program when one fails.
fn places(host: &Host, ended: &mut HashMap<String, i32>) -> Vec<Place> {
    let subject = format!("no error, {} before it", ended.len());
    let (output, trace) = traced(host, &[], &subject);
    ended.insert(subject, output.status.code().unwrap_or(-1));
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut found = Vec::new();
    // The first thing that our programs do is to ignore SIGXFSZ.
    let mut ours = false;
    for line in trace.lines() {
        let Some((call, rest)) = line.split_once('(') else {
            continue;
        };
        let nth = counts.entry(call.to_owned()).or_default();
        *nth += 1;
        if ours && call != "exit_group" {
            found.push((call.to_owned(), *nth));
        }
        ours |= rest.starts_with("SIGXFSZ");
    }
    assert!(
        found.len() > 20,
        "a message takes more calls than that: {found:?}"
    );
    found
}
