//! Command lines of real callers, and the rules of the option table.

use super::*;
use policy::sysexits::ExitStatus;

fn parsed(arguments: &[&str]) -> Invocation {
    let arguments = arguments.iter().map(OsString::from);
    parse(arguments, Task::Deliver).unwrap_or_else(|failure| panic!("{failure}"))
}

fn refused(arguments: &[&str]) -> String {
    let arguments = arguments.iter().map(OsString::from);
    let failure = parse(arguments, Task::Deliver).unwrap_err();
    assert_eq!(failure.status, ExitStatus::Usage);
    failure.text
}

/// What a caller's command line comes to: `-t`, `-i`, sender, full name, operands.
type Summary<'a> = (bool, bool, Option<&'a str>, Option<&'a str>, &'a [&'a str]);

#[track_caller]
fn check(arguments: &[&str], expected: Summary<'_>) {
    let found = parsed(arguments);
    let text = |bytes: &Option<Vec<u8>>| bytes.clone().map(|b| String::from_utf8(b).unwrap());
    let (sender, name) = (text(&found.sender), text(&found.full_name));
    let operands: Vec<&str> = found
        .operands
        .iter()
        .map(|word| word.to_str().unwrap())
        .collect();
    assert_eq!(
        (
            found.extract_recipients,
            found.ignore_dots,
            sender.as_deref(),
            name.as_deref(),
            operands.as_slice()
        ),
        expected,
        "{arguments:?}"
    );
    assert_eq!(found.task, Task::Deliver);
}

const TO: &[&str] = &["a@x"];
const TWO: &[&str] = &["a@x", "b@x"];
const ME: Option<&str> = Some("me@x");

/// Command lines that programs were seen to use, and what they come to.
const CALLERS: &[(&[&str], Summary<'_>)] = &[
    // PHP mail(), with and without the fifth parameter; wp_mail; python's FAQ.
    (&["-t", "-i"], (true, true, None, None, &[])),
    (&["-t", "-i", "-fme@x"], (true, true, ME, None, &[])),
    (
        &["-t", "-i", "-f", "me@x", "-oem"],
        (true, true, ME, None, &[]),
    ),
    // PHPMailer 6 and 7; PEAR Mail; Symfony; SwiftMailer.
    (&["-oi", "-fme@x", "-t"], (true, true, ME, None, &[])),
    (&["-fme@x", "-i", "-t"], (true, true, ME, None, &[])),
    (
        &["-i", "-fme@x", "--", "a@x", "b@x"],
        (false, true, ME, None, TWO),
    ),
    (&["-t", "-fme@x"], (true, false, ME, None, &[])),
    // Ruby mail :exim leaves a dangling "--".
    (
        &["-i", "-t", "-f", "me@x", "--"],
        (true, true, ME, None, &[]),
    ),
    // nodemailer; git send-email; Gitea; Trac.
    (
        &["-i", "-f", "me@x", "a@x", "b@x"],
        (false, true, ME, None, TWO),
    ),
    (&["-f", "me@x", "-i", "a@x"], (false, true, ME, None, TO)),
    // Email::Sender, maildrop, Sympa, Znuny: the null sender. vacation, RT, MIMEDefang: the same.
    (
        &["-i", "-f", "", "--", "a@x"],
        (false, true, Some(""), None, TO),
    ),
    (
        &["-f", "<>", "--", "a@x"],
        (false, false, Some("<>"), None, TO),
    ),
    (
        &["-f<>", "-odd", "-Ac", "-oi", "--", "a@x"],
        (false, true, Some("<>"), None, TO),
    ),
    // cron of Debian, cronie, vixie cron, systemd-cron, anacron, atd.
    (
        &["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "a@x"],
        (false, true, None, Some("CronDaemon"), TO),
    ),
    (
        &[
            "-FCronDaemon",
            "-i",
            "-odi",
            "-oem",
            "-oi",
            "-t",
            "-f",
            "me@x",
        ],
        (true, true, ME, Some("CronDaemon"), &[]),
    ),
    (
        &["-FCronDaemon", "-odi", "-oem", "-or0s", "a@x"],
        (false, false, None, Some("CronDaemon"), TO),
    ),
    (
        &["-i", "-B", "8BITMIME", "a@x"],
        (false, true, None, None, TO),
    ),
    (
        &["-FAnacron", "-odi", "a@x"],
        (false, false, None, Some("Anacron"), TO),
    ),
    // bsd-mailx, s-nail, mutt, Emacs, mailutils.
    (
        &["-i", "-t", "-f", "me@x", "-m", "-v"],
        (true, true, ME, None, &[]),
    ),
    (
        &["-i", "-F", "Me X", "-f", "me@x", "--", "a@x"],
        (false, true, ME, Some("Me X"), TO),
    ),
    (
        &["-oem", "-oi", "-B8BITMIME", "-f", "me@x", "--", "a@x"],
        (false, true, ME, None, TO),
    ),
    (
        &["-oi", "-f", "me@x", "-oA/etc/aliases", "-oep", "-odi", "-t"],
        (true, true, ME, None, &[]),
    ),
    // RT's manual; MIME::Lite; procmail; arpwatch; mdadm.
    (
        &["-oi", "-t", "-ODeliveryMode=b", "-OErrorMode=m"],
        (true, true, None, None, &[]),
    ),
    (
        &["-t", "-oi", "-oem", "-fme@x"],
        (true, true, ME, None, &[]),
    ),
    (&["-odi", "a@x"], (false, false, None, None, TO)),
    // Clusters, and the order of POSIX: what follows an operand is an operand.
    (&["-ti"], (true, true, None, None, &[])),
    (&["-itfme@x"], (true, true, ME, None, &[])),
    (&["a@x", "-t"], (false, false, None, None, &["a@x", "-t"])),
    (
        &["-i", "--", "-bad@x"],
        (false, true, None, None, &["-bad@x"]),
    ),
    (&["-"], (false, false, None, None, &["-"])),
    (
        &["-F=Name", "-F", "", "a@x"],
        (false, false, None, Some(""), TO),
    ),
    (
        &["-f", "-weird@x", "a@x"],
        (false, false, Some("-weird@x"), None, TO),
    ),
    (&["-fa@x", "-fme@x", "a@x"], (false, false, ME, None, TO)),
];

#[test]
fn the_command_lines_of_real_callers() {
    for (arguments, expected) in CALLERS {
        check(arguments, *expected);
    }
}

#[test]
fn delivery_report_options_are_read() {
    let found = parsed(&[
        "-N",
        "success,delay,failure",
        "-V00012345",
        "-R",
        "hdrs",
        "-B7BIT",
        "a@x",
    ]);
    assert_eq!(
        found.notify,
        Some(Notify {
            success: true,
            failure: true,
            delay: true
        })
    );
    assert_eq!(found.envid.as_deref(), Some("00012345"));
    assert_eq!(
        (found.ret, found.body),
        (Some(Ret::Headers), Some(Body::SevenBit))
    );
    assert_eq!(parsed(&["-Nnever"]).notify, Some(Notify::default()));
    assert_eq!(parsed(&["-Rfull", "-B8bitmime"]).ret, Some(Ret::Full));
    for bad in [
        &["-N", "success\r\nRCPT TO:<v@x>"] as &[&str],
        &["-N", ""],
        &["-N", "never,success"],
        &["-R", "full\nX"],
        &["-B", "BINARY"],
        &["-V", "id\r\nRCPT TO:<v@x>"],
        &["-V", ""],
    ] {
        refused(bad);
    }
}

#[test]
fn queue_runs_and_modes() {
    let task = |arguments: &[&str]| parsed(arguments).task;
    assert_eq!(task(&["-q"]), Task::Flush);
    assert_eq!(task(&["-vq"]), Task::Flush);
    assert_eq!(task(&["-q15m"]), Task::Nothing);
    assert_eq!(task(&["-qIABC"]), Task::FlushId(b"ABC".to_vec()));
    assert_eq!(
        task(&["-qRa.example"]),
        Task::FlushSite(b"a.example".to_vec())
    );
    assert_eq!(task(&["-bp", "-v"]), Task::ListQueue);
    assert_eq!(task(&["-bs", "-odb", "-oem", "-om"]), Task::Smtp);
    assert_eq!(task(&["-bi"]), Task::RebuildAliases);
    assert_eq!(task(&["-I"]), Task::RebuildAliases);
    assert_eq!(task(&["-bh"]), Task::Nothing);
    assert_eq!(task(&["-bm", "a@x"]), Task::Deliver);
    assert_eq!(task(&["--help"]), Task::Help);
}

#[test]
fn contradictions_and_unknown_letters_are_refused_in_the_words_of_postfix() {
    assert_eq!(
        refused(&["-bp", "x"]),
        "display queue mode requires no recipient"
    );
    assert_eq!(
        refused(&["-bs", "x"]),
        "stand-alone mode requires no recipient"
    );
    assert_eq!(
        refused(&["-q", "x"]),
        "flush queue mode requires no recipient"
    );
    assert_eq!(
        refused(&["-bi", "x"]),
        "alias initialization mode requires no recipient"
    );
    assert_eq!(
        refused(&["-t", "-bs"]),
        "-t can be used only in delivery mode"
    );
    assert_eq!(refused(&["-bt"]), "unsupported: -bt");
    assert_eq!(refused(&["-qSx"]), "-qS is not implemented");
    assert_eq!(refused(&["-qR"]), "specify: -qRsitename");
    assert_eq!(refused(&["-f"]), "option -f needs a value");
    assert!(refused(&["-Z", "a@x"]).starts_with("unknown option -Z"));
    assert!(refused(&["-tZ"]).starts_with("unknown option -Z"));
    assert!(refused(&["--resend"]).starts_with("unknown option --resend"));
    assert!(refused(&["-bd", "-X/tmp/x"]).contains("relayd"));
    refused(&["-bdf", "-oP", "/tmp/pid", "-oX", "25"]);
    refused(&["-bv", "a@x"]);
    refused(&["-XV", "a@x"]);
}

#[test]
fn what_exploits_of_other_sendmails_pass_is_ignored() {
    let to = &["a@x"] as &[&str];
    check(
        &["-t", "-i", "-fme", "-oQ/tmp/", "-X/tmp/x.php", "a@x"],
        (true, true, Some("me"), None, to),
    );
    check(
        &[
            "-O",
            "QueueDirectory=/tmp",
            "-O",
            "LogFile=/tmp/evil",
            "a@x",
        ],
        (false, false, None, None, to),
    );
    check(
        &["-C/tmp/evil.conf", "-D", "/tmp/log", "-d99.100", "a@x"],
        (false, false, None, None, to),
    );
    check(
        &["-h", "99999999999999999999", "-n", "-s", "-U", "a@x"],
        (false, false, None, None, to),
    );
}

#[test]
fn every_option_of_the_table_can_be_given() {
    for option in OPTIONS {
        let value = match option.effect {
            Effect::BodyType => "8BITMIME",
            Effect::Notify => "never",
            Effect::Return => "full",
            Effect::Mode => "m",
            Effect::Queue => "",
            _ if option.value == Value::None => "",
            _ => "value",
        };
        let attached = format!("-{}{value}", option.letter);
        parsed(&[&attached]);
        if option.value == Value::Required {
            parsed(&[&format!("-{}", option.letter), value]);
        }
    }
}

#[test]
fn the_table_has_each_letter_once_and_explains_it() {
    for (place, option) in OPTIONS.iter().enumerate() {
        assert!(
            OPTIONS[..place]
                .iter()
                .all(|other| other.letter != option.letter)
        );
        assert!(!option.meaning.is_empty() && !option.reason.is_empty());
        assert_eq!(
            option.value_name.is_empty(),
            option.value == Value::None,
            "{}",
            option.letter
        );
    }
    // What Postfix takes (getopt string of 3.7 to 3.12), and what sendmail.org takes besides.
    for letter in "ABCFGILNORUVXbcefhimnoprqtvx"
        .chars()
        .chain("sdDEJMTQ".chars())
    {
        assert!(
            OPTIONS.iter().any(|option| option.letter == letter),
            "{letter}"
        );
    }
}

#[test]
fn help_and_manual_name_every_option() {
    let (help, manual) = (help(), manual());
    for option in OPTIONS {
        assert!(
            help.contains(&format!("-{}", option.letter)),
            "{}",
            option.letter
        );
        assert!(
            manual.contains(&format!(".B \\-{}", option.letter)),
            "{}",
            option.letter
        );
    }
    assert!(manual.lines().all(|line| !line.starts_with("..")));
}

#[test]
fn names_choose_the_task() {
    assert_eq!(task_of_name("mailq"), Task::ListQueue);
    assert_eq!(task_of_name("newaliases"), Task::RebuildAliases);
    assert_eq!(task_of_name("sendmail"), Task::Deliver);
    let found = parse([OsString::from("-q")], task_of_name("mailq")).unwrap();
    assert_eq!(found.task, Task::Flush);
}
