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

/// Command lines that programs were seen to use, by the name of the program.
#[test]
fn the_command_lines_of_real_callers() {
    let (to, two) = (&["a@x"] as &[&str], &["a@x", "b@x"] as &[&str]);
    let me = Some("me@x");
    // PHP mail(), with and without the fifth parameter; wp_mail; python's FAQ.
    check(&["-t", "-i"], (true, true, None, None, &[]));
    check(&["-t", "-i", "-fme@x"], (true, true, me, None, &[]));
    check(
        &["-t", "-i", "-f", "me@x", "-oem"],
        (true, true, me, None, &[]),
    );
    // PHPMailer 6 and 7; PEAR Mail; Symfony; SwiftMailer.
    check(&["-oi", "-fme@x", "-t"], (true, true, me, None, &[]));
    check(&["-fme@x", "-i", "-t"], (true, true, me, None, &[]));
    check(
        &["-i", "-fme@x", "--", "a@x", "b@x"],
        (false, true, me, None, two),
    );
    check(&["-t", "-fme@x"], (true, false, me, None, &[]));
    // Ruby mail :exim leaves a dangling "--".
    check(
        &["-i", "-t", "-f", "me@x", "--"],
        (true, true, me, None, &[]),
    );
    // nodemailer; git send-email; Gitea; Trac.
    check(
        &["-i", "-f", "me@x", "a@x", "b@x"],
        (false, true, me, None, two),
    );
    check(&["-f", "me@x", "-i", "a@x"], (false, true, me, None, to));
    // Email::Sender, maildrop, Sympa, Znuny: the null sender. vacation, RT, MIMEDefang: the same.
    check(
        &["-i", "-f", "", "--", "a@x"],
        (false, true, Some(""), None, to),
    );
    check(
        &["-f", "<>", "--", "a@x"],
        (false, false, Some("<>"), None, to),
    );
    check(
        &["-f<>", "-odd", "-Ac", "-oi", "--", "a@x"],
        (false, true, Some("<>"), None, to),
    );
    // cron of Debian, cronie, vixie cron, systemd-cron, anacron, atd.
    check(
        &["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "a@x"],
        (false, true, None, Some("CronDaemon"), to),
    );
    check(
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
        (true, true, me, Some("CronDaemon"), &[]),
    );
    check(
        &["-FCronDaemon", "-odi", "-oem", "-or0s", "a@x"],
        (false, false, None, Some("CronDaemon"), to),
    );
    check(
        &["-i", "-B", "8BITMIME", "a@x"],
        (false, true, None, None, to),
    );
    check(
        &["-FAnacron", "-odi", "a@x"],
        (false, false, None, Some("Anacron"), to),
    );
    // bsd-mailx, s-nail, mutt, Emacs, mailutils.
    check(
        &["-i", "-t", "-f", "me@x", "-m", "-v"],
        (true, true, me, None, &[]),
    );
    check(
        &["-i", "-F", "Me X", "-f", "me@x", "--", "a@x"],
        (false, true, me, Some("Me X"), to),
    );
    check(
        &["-oem", "-oi", "-B8BITMIME", "-f", "me@x", "--", "a@x"],
        (false, true, me, None, to),
    );
    check(
        &["-oi", "-f", "me@x", "-oA/etc/aliases", "-oep", "-odi", "-t"],
        (true, true, me, None, &[]),
    );
    // RT's manual; MIME::Lite; procmail; arpwatch; mdadm.
    check(
        &["-oi", "-t", "-ODeliveryMode=b", "-OErrorMode=m"],
        (true, true, None, None, &[]),
    );
    check(
        &["-t", "-oi", "-oem", "-fme@x"],
        (true, true, me, None, &[]),
    );
    check(&["-odi", "a@x"], (false, false, None, None, to));
    // Clusters, and the order of POSIX: what follows an operand is an operand.
    check(&["-ti"], (true, true, None, None, &[]));
    check(&["-itfme@x"], (true, true, me, None, &[]));
    check(&["a@x", "-t"], (false, false, None, None, &["a@x", "-t"]));
    check(
        &["-i", "--", "-bad@x"],
        (false, true, None, None, &["-bad@x"]),
    );
    check(&["-"], (false, false, None, None, &["-"]));
    check(
        &["-F=Name", "-F", "", "a@x"],
        (false, false, None, Some(""), to),
    );
    check(
        &["-f", "-weird@x", "a@x"],
        (false, false, Some("-weird@x"), None, to),
    );
    check(&["-fa@x", "-fme@x", "a@x"], (false, false, me, None, to));
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
