//! The command line of `sendmail`: the arguments, parted by NUL, which no argument can hold.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use mail::{Body, Notify, Ret};
use policy::sysexits::ExitStatus;
use shims::failure::Failure;
use shims::options::{Invocation, OPTIONS, Task, Value, parse};

/// Reads the arguments, checks what was understood, and that the same things said in other ways are understood alike.
pub fn check(bytes: &[u8]) {
    let arguments: Vec<OsString> = bytes.split(|byte| *byte == 0).map(owned).collect();
    let read = parse(arguments.clone(), Task::Deliver);
    let spread = parse(spread(&arguments), Task::Deliver);
    match (&read, &spread) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(one), Err(other)) => assert_eq!(one, other),
        _ => panic!("{read:?}, spread {spread:?}"),
    }
    match read {
        Ok(invocation) => check_invocation(&arguments, &invocation),
        Err(failure) => check_failure(&failure),
    }
}

fn owned(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_owned()
}

/// The arguments with every option on its own and every required value in an argument of its own. Told from the table
/// alone; what stands from the first operand on, or where nothing is understood, stays.
fn spread(arguments: &[OsString]) -> Vec<OsString> {
    let mut out = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_bytes() {
            b"--help" | b"--version" => out.push(argument.clone()),
            [b'-', b'-', ..] | [b'-'] => {
                out.push(argument.clone());
                break;
            }
            [b'-', cluster @ ..] => spread_cluster(cluster, &mut rest, &mut out),
            _ => {
                out.push(argument.clone());
                break;
            }
        }
    }
    out.extend(rest.cloned());
    out
}

fn spread_cluster<'a>(
    cluster: &[u8],
    following: &mut impl Iterator<Item = &'a OsString>,
    out: &mut Vec<OsString>,
) {
    let mut rest = cluster;
    while let [letter, after @ ..] = rest {
        let mut options = OPTIONS.iter();
        let option = options.find(|option| option.letter == char::from(*letter));
        let flag = owned(&[b'-', *letter]);
        match option.map(|option| option.value) {
            Some(Value::None) => {
                out.push(flag);
                rest = after;
                continue;
            }
            Some(Value::Required) if !after.is_empty() => out.extend([flag, owned(after)]),
            Some(Value::Required) => {
                out.push(flag);
                out.extend(following.next().cloned());
            }
            Some(Value::Attached) => out.push(owned(&[b"-", rest].concat())),
            // On its own a dash would end the options.
            None if *letter == b'-' => out.last_mut().expect("a letter before it").push("-"),
            None => out.push(flag),
        }
        return;
    }
}

/// One line that says why, with the status for wrong command lines.
fn check_failure(failure: &Failure) {
    assert_eq!(failure.status, ExitStatus::Usage);
    assert!(!failure.text.is_empty() && failure.text.len() <= 1_003);
    assert!(!failure.text.contains(char::is_control), "{failure}");
}

fn check_invocation(arguments: &[OsString], invocation: &Invocation) {
    let operands = &invocation.operands;
    assert!(
        arguments.ends_with(operands),
        "operands are the end of argv"
    );
    let may_have_operands = matches!(
        invocation.task,
        Task::Deliver | Task::Nothing | Task::Help | Task::Version
    );
    assert!(operands.is_empty() || may_have_operands);
    let reads_header = matches!(invocation.task, Task::Deliver | Task::Help | Task::Version);
    assert!(!invocation.extract_recipients || reads_header);
    if let Some(envid) = &invocation.envid {
        assert!((1..=100).contains(&envid.len()));
        assert!(envid.bytes().all(|byte| (32..127).contains(&byte)));
    }
    let printed = printed(invocation);
    let again = parse(printed.clone(), Task::Deliver);
    assert_eq!(again.as_ref(), Ok(invocation), "{printed:?}");
}

/// Arguments that say what was understood.
fn printed(invocation: &Invocation) -> Vec<OsString> {
    let mut out = printed_task(&invocation.task);
    let flags = [
        (invocation.extract_recipients, "-t"),
        (invocation.ignore_dots, "-i"),
        (invocation.verbose, "-v"),
        (invocation.gateway_submission, "-G"),
    ];
    out.extend(
        flags
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, flag)| flag.into()),
    );
    let mut valued = |flag: &str, value: Option<&[u8]>| {
        out.extend(
            value
                .map(|value| [flag.into(), owned(value)])
                .into_iter()
                .flatten(),
        );
    };
    valued("-f", invocation.sender.as_deref());
    valued("-F", invocation.full_name.as_deref());
    valued("-V", invocation.envid.as_ref().map(String::as_bytes));
    valued("-B", invocation.body.map(body_word));
    valued("-R", invocation.ret.map(ret_word));
    let wishes = invocation.notify.map(notify_words);
    valued("-N", wishes.as_ref().map(String::as_bytes));
    out.push("--".into());
    out.extend(invocation.operands.iter().cloned());
    out
}

fn printed_task(task: &Task) -> Vec<OsString> {
    let with = |flag: &[u8], value: &[u8]| vec![owned(&[flag, value].concat())];
    match task {
        Task::Deliver => vec!["-bm".into()],
        Task::Smtp => vec!["-bs".into()],
        Task::ListQueue => vec!["-bp".into()],
        Task::Flush => vec!["-q".into()],
        Task::FlushId(id) => with(b"-qI", id),
        Task::FlushSite(site) => with(b"-qR", site),
        Task::RebuildAliases => vec!["-bi".into()],
        Task::Nothing => vec!["-bh".into()],
        Task::Help => vec!["--help".into()],
        Task::Version => vec!["--version".into()],
    }
}

const fn body_word(body: Body) -> &'static [u8] {
    match body {
        Body::SevenBit => b"7BIT",
        Body::EightBitMime => b"8BITMIME",
    }
}

const fn ret_word(ret: Ret) -> &'static [u8] {
    match ret {
        Ret::Full => b"full",
        Ret::Headers => b"hdrs",
    }
}

fn notify_words(notify: Notify) -> String {
    let wishes = [
        (notify.success, "success"),
        (notify.failure, "failure"),
        (notify.delay, "delay"),
    ];
    let words: Vec<&str> = wishes
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, word)| *word)
        .collect();
    if words.is_empty() {
        "never".to_owned()
    } else {
        words.join(",")
    }
}
