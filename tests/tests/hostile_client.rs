//! Gateways that attack relayd: every dialogue of `data/hostile_client.txt`, and what cannot be said in lines, has the
//! outcome that it must have. Prints a line for each.

#![forbid(unsafe_code)]

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use tests::case::{self, Case, Step};
use tests::certificate::{Authority, Flaw, Identity, Validity};
use tests::doors::own_address;
use tests::gateway::{Fault, Gateway, Rule, Setup, Stage};
use tests::namespace::root_or_skip;
use tests::patience;
use tests::process::Cost;
use tests::program;
use tests::puppet::{Heard, Puppet};
use tests::rig::{Access, Rig};

const CASES: &str = include_str!("../data/hostile_client.txt");
const LIMIT: Duration = Duration::from_secs(30);
/// How long a local program may take on the busiest machine, whatever the gateway does.
const AT_ONCE: Duration = Duration::from_secs(5);
const USER: &str = "relay-user";
const PASSWORD: &str = "only-for-the-gateway";
/// `\0relay-user\0only-for-the-gateway` and the password alone, without the last letters, which depend on what follows.
const SECRETS: [&str; 3] = [
    PASSWORD,
    "AHJlbGF5LXVzZXIAb25seS1mb3It",
    "b25seS1mb3ItdGhlLWdhdGV3",
];

/// The lines that stand for `@name` in the file.
fn expand(act: &str) -> Option<&'static str> {
    const OPENING: &str = "S: 220 gw\nC: EHLO\nS| 250-gw\\r\\n250-STARTTLS\\r\\n250-PIPELINING\\r\\n250-8BITMIME\\r\\n250 SIZE 1000000\\r\\n\nC: STARTTLS\nS: 220 go\n";
    const LOGIN: &str = "@ starttls\n@ tls\nC: EHLO\nS| 250-gw\\r\\n250-AUTH PLAIN LOGIN\\r\\n250-PIPELINING\\r\\n250-8BITMIME\\r\\n250 SIZE 1000000\\r\\n\nC: AUTH PLAIN\nS: 235 ok\n";
    const MAIL: &str = "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n";
    match act {
        "starttls" => Some(OPENING),
        "login" => Some(LOGIN),
        "mail" => Some(MAIL),
        _ => None,
    }
}

fn expanded(steps: &[Step]) -> Vec<Step> {
    let mut all = Vec::new();
    for step in steps {
        match step {
            Step::Act(act) if expand(act).is_some() => {
                let text = format!("== {act}\n{}", expand(act).unwrap_or_default());
                all.extend(expanded(&case::read(&text)[0].steps));
            }
            step => all.push(step.clone()),
        }
    }
    all
}

fn identity(authority: &Authority, case: &Case) -> Identity {
    let name = case.value("name").unwrap_or("gateway.test");
    let flaw = match case.value("flaw") {
        None => return authority.issue(name, Validity::Current),
        Some("other-name") => Flaw::OtherName,
        Some("expired") => Flaw::Expired,
        Some("not-yet") => Flaw::NotYet,
        Some("subject-only") => Flaw::CommonNameOnly,
        Some("for-clients") => Flaw::ForClients,
        Some("stranger") => Flaw::Stranger,
        Some("self-signed") => Flaw::SelfSigned,
        Some("nul") => Flaw::NulInName,
        Some("loop-100") => Flaw::Loop(100),
        Some("loop-1000") => Flaw::Loop(1000),
        // Of a name two levels below.
        Some("wildcard") => return authority.issue_flawed("b.gateway.test", Flaw::Wildcard),
        Some(other) => panic!("{other} is no flaw that is known"),
    };
    authority.issue_flawed(name, flaw)
}

/// relayd with one message for a gateway.
struct House {
    rig: Rig,
    puppet: Puppet,
}

impl House {
    fn open(case: &Case) -> Self {
        let authority = Authority::new();
        let puppet = Puppet::start(expanded(&case.steps), identity(&authority, case));
        let mut access = Access::provider(puppet.port(), &authority, (USER, PASSWORD));
        if let Some(value) = case.value("soft-bounce") {
            access.top = format!("soft_bounce = {value}\n");
        }
        access.tls_name = Some(case.value("name").unwrap_or("gateway.test").to_owned());
        let rig = Rig::started(access);
        Self { rig, puppet }
    }

    /// What has become of the message, once that is known; without `decided` it is enough that the gateway was asked.
    fn state(&self, decided: bool) -> Result<&'static str, String> {
        let mut listing = String::new();
        let found = patience::until(LIMIT, || {
            let log = self.rig.log();
            for (word, state) in [("status=bounced", "bounced"), ("status=sent", "sent")] {
                if log.contains(word) {
                    return Some(state);
                }
            }
            listing = self.rig.mailq();
            if !decided && self.puppet.heard().connections > 0 {
                return Some("waiting");
            }
            listing.contains('(').then_some("deferred")
        });
        found.ok_or_else(|| {
            format!(
                "mailq gives no reason after {LIMIT:?}: {listing}\n{:?}",
                self.puppet.heard()
            )
        })
    }
}

fn run(case: &Case) -> Result<String, String> {
    let mut house = House::open(case);
    let pid = house.rig.pid();
    let before = Cost::from_now(pid);
    house.rig.send(
        &["-i", "-f", "app@test.example", "to@x.test"],
        b"Subject: only once\n\nfor the gateway\n",
    );
    let wanted = case
        .value("state")
        .expect("every case says what becomes of the message");
    let state = house.state(wanted != "waiting")?;
    if !wanted.split('/').any(|one| one == state) {
        return Err(format!(
            "{state}, {wanted} wanted:\n{}{}",
            house.rig.log(),
            house.rig.mailq()
        ));
    }
    check_reason(&house, case)?;
    if let (Some(before), Some(after)) = (before, Cost::of(pid)) {
        check_cost(case, before, after)?;
    }
    check_secrets(&house)?;
    check_spool(case, &house.rig.spool())?;
    if !house.rig.stop().success() {
        return Err("relayd did not end in good order".to_owned());
    }
    // Only now is it certain that all was said that will be.
    check_heard(case, &house.puppet.heard())?;
    check_log(case, &house.rig.log())?;
    check_kept(state, &house.rig)?;
    Ok(format!(
        "{state}, {} connections",
        house.puppet.heard().connections
    ))
}

fn check_reason(house: &House, case: &Case) -> Result<(), String> {
    let Some(words) = case.value("reason") else {
        return Ok(());
    };
    let words = words.replace('_', " ");
    let listing = house.rig.mailq();
    // A reason may be folded.
    let flat = listing
        .to_lowercase()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    if flat.contains(&words) {
        Ok(())
    } else {
        Err(format!("mailq does not say {words:?}: {listing}"))
    }
}

fn check_heard(case: &Case, heard: &Heard) -> Result<(), String> {
    for lacking in case.values("lacks") {
        if heard.has(&case::bytes(lacking)) {
            return Err(format!("relayd said {lacking}"));
        }
    }
    for said in case.values("says") {
        if !heard.has(&case::bytes(said)) {
            return Err(format!(
                "relayd did not say {said}: {}",
                heard.all.escape_ascii()
            ));
        }
    }
    let clear = String::from_utf8_lossy(&heard.clear);
    for secret in SECRETS.into_iter().chain(["AUTH", "MAIL", "only once"]) {
        if clear.contains(secret) {
            return Err(format!("{secret:?} went out in clear"));
        }
    }
    // Where relayd must not get as far as the case goes, it went astray; elsewhere that is a fault of the case.
    let goes_far = case.value("flaw").is_none() && case.values("lacks").next().is_none();
    match heard.astray.first() {
        Some(astray) if goes_far && heard.played == 0 => Err(astray.clone()),
        _ => Ok(()),
    }
}

fn check_log(case: &Case, log: &str) -> Result<(), String> {
    for lacking in case.values("log-lacks") {
        if log.contains(&*String::from_utf8_lossy(&case::bytes(lacking))) {
            return Err(format!("{lacking} is in the log: {log}"));
        }
    }
    if log.contains(PASSWORD) {
        return Err("the password is in the log".to_owned());
    }
    match log.chars().find(|&c| c.is_control() && c != '\n') {
        Some(c) => Err(format!("{c:?} is in the log")),
        None => Ok(()),
    }
}

fn check_secrets(house: &House) -> Result<(), String> {
    let said = fs::read_to_string(house.rig.path().join("log/stderr")).unwrap_or_default();
    if said.contains("panicked") {
        return Err(said);
    }
    let listing = house.rig.mailq();
    match listing.chars().find(|&c| c.is_control() && c != '\n') {
        Some(c) => Err(format!("{c:?} is in mailq")),
        None if listing.contains(PASSWORD) => Err("the password is in mailq".to_owned()),
        None => Ok(()),
    }
}

fn check_spool(case: &Case, spool: &Path) -> Result<(), String> {
    for lacking in case.values("spool-lacks") {
        let bytes = case::bytes(lacking);
        for file in files(spool) {
            let content = fs::read(&file).unwrap_or_default();
            if content.windows(bytes.len()).any(|w| w == bytes) {
                return Err(format!("{lacking} is in {}", file.display()));
            }
        }
    }
    Ok(())
}

/// What is deferred is still there, what bounced left a report, and nothing lies where it should not.
fn check_kept(state: &str, rig: &Rig) -> Result<(), String> {
    let count = |queue: &str| files(&rig.spool().join(queue)).len();
    let kept = count("incoming") + count("deferred");
    match (state, kept, count("corrupt") + count("hold")) {
        ("sent", 0, 0) | ("deferred" | "waiting" | "bounced", 1, 0) => Ok(()),
        // The report was refused as the message was; it has no sender to go back to.
        ("bounced", 0, 1) => Ok(()),
        (state, kept, aside) => Err(format!(
            "{state}, but {kept} entries in the queue and {aside} aside:\n{}",
            rig.log()
        )),
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// `rss<MIB` and `cpu<SECONDS`.
fn check_cost(case: &Case, before: Cost, after: Cost) -> Result<(), String> {
    for word in &case.want {
        let Some((what, limit)) = word.split_once('<') else {
            continue;
        };
        let limit: u64 = limit.parse().expect("a number");
        let grown = match what {
            "rss" => after.peak_kib.saturating_sub(before.peak_kib) / 1024,
            "cpu" => (after.processor - before.processor).as_secs(),
            other => return Err(format!("{other}< is not known")),
        };
        if grown >= limit {
            return Err(format!("{what} has grown by {grown}"));
        }
    }
    Ok(())
}

#[test]
fn every_dialogue_ends_as_it_must() {
    case::run_all("hostile_client", &case::read(CASES), run);
}

/// One line of an outcome.
fn row(name: &str, seen: &str) {
    tests::report::show(&format!("ok    {name:<44} {seen}"));
}

#[test]
fn a_gateway_that_says_nothing_holds_nobody_up() {
    let case = &case::read("== tarpit\n")[0];
    let house = House::open(case);
    let letter = b"Subject: s\n\nx\n";
    house
        .rig
        .send(&["-i", "-f", "app@test.example", "first@x.test"], letter);
    let connected = patience::until(LIMIT, || {
        (house.puppet.heard().connections > 0).then_some(())
    });
    assert!(connected.is_some(), "relayd connects");
    let flushed = at_once("postqueue -f", || drop(house.rig.postqueue(&["-f"])));
    let longest = longest_wait(&house.rig).max(flushed);
    let held = house.puppet.heard().connections;
    assert!(held <= 4, "{held} connections where max_connections is 4");
    row(
        "a tarpit",
        &format!("{held} connections held, no local program waits above {longest:.0?}"),
    );
}

#[track_caller]
fn at_once(what: &str, act: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    act();
    let took = begun.elapsed();
    assert!(took < AT_ONCE, "{what} took {took:?}");
    took
}

/// Hands in mail and lists the queue, again and again; gives the longest that either took.
#[track_caller]
fn longest_wait(rig: &Rig) -> Duration {
    let rounds = (0..10).map(|number| {
        let to = format!("r{number}@x.test");
        let letter = b"Subject: s\n\nx\n";
        let sent = at_once("sendmail", || {
            rig.send(&["-i", "-f", "app@test.example", &to], letter)
        });
        sent.max(at_once("mailq", || drop(rig.mailq())))
    });
    rounds.max().unwrap_or_default()
}

/// A provider that is scripted, and relayd in front of it.
fn provider(change: impl FnOnce(&mut Setup)) -> (Gateway, Rig) {
    let authority = Authority::new();
    let mut setup = Setup::provider(authority.issue("gateway.test", Validity::Current));
    change(&mut setup);
    let gateway = Gateway::start(setup);
    let rig = Rig::before(&gateway, &authority);
    (gateway, rig)
}

#[test]
fn each_recipient_has_an_outcome_of_its_own() {
    let (gateway, rig) = provider(|_| {});
    gateway.add(Rule::at(Stage::Rcpt, Fault::reply("450 4.2.1 later")).naming("later@"));
    gateway.add(Rule::at(Stage::Rcpt, Fault::reply("550 5.1.1 no")).naming("never@"));
    let all = [
        "-i",
        "-f",
        "app@test.example",
        "now@x.test",
        "later@x.test",
        "never@x.test",
    ];
    rig.send(&all, b"Subject: s\n\nx\n");
    let deliveries = gateway.expect(2, LIMIT);
    let to = |who: &str| {
        deliveries
            .iter()
            .filter(|d| d.addresses().contains(&who))
            .count()
    };
    assert_eq!(
        (to("now@x.test"), to("app@test.example")),
        (1, 1),
        "the message, and the report for the one refused"
    );
    rig.expect_mailq("later@x.test", LIMIT);
    let log = rig.log();
    for (who, status) in [("now", "sent"), ("later", "deferred"), ("never", "bounced")] {
        let told = log.lines().any(|l| {
            l.contains(&format!("to=<{who}@x.test>")) && l.contains(&format!("status={status}"))
        });
        assert!(told, "{who} {status}:\n{log}");
    }
    gateway.behave();
    rig.postqueue(&["-f"]);
    rig.expect_empty_queue(LIMIT);
    let again = gateway.expect(3, LIMIT);
    assert_eq!(
        again[2].addresses(),
        ["later@x.test"],
        "only the one that was put off"
    );
    assert_eq!(again.len(), 3);
    row(
        "one recipient each: taken, put off, refused",
        "sent, deferred, bounced; the retry names one",
    );
}

#[test]
fn eight_bits_go_through_a_gateway_for_seven_and_addresses_do_not() {
    let (gateway, rig) = provider(|setup| {
        setup
            .keywords
            .retain(|k| k != "8BITMIME" && k != "SMTPUTF8")
    });
    let body = "Subject: s\n\nMany letters of ASCII and two others: Gr\u{fc}\u{df}e\n";
    rig.send(
        &["-i", "-f", "app@test.example", "to@x.test"],
        body.as_bytes(),
    );
    let delivery = gateway.expect(1, LIMIT).remove(0);
    assert!(delivery.content.is_ascii(), "encoded anew");
    let text = String::from_utf8_lossy(delivery.body()).into_owned();
    assert!(text.contains("Gr=C3=BC=C3=9Fe"), "{text}");
    row("eight bits without 8BITMIME", "sent as quoted-printable");

    rig.send(
        &["-i", "-f", "app@test.example", "g\u{fc}n@x.test"],
        b"Subject: s\n\nx\n",
    );
    let report = gateway.expect(2, LIMIT).remove(1);
    assert_eq!(report.addresses(), ["app@test.example"]);
    assert!(rig.log().contains("dsn=5.6.7"), "{}", rig.log());
    row("an address beyond ASCII without SMTPUTF8", "bounced, 5.6.7");
    gateway.expect_good_manners();
}

#[test]
fn a_report_about_a_hostile_reply_is_well_formed() {
    let (gateway, rig) = provider(|_| {});
    let reply =
        "550-5.1.1 --\n550-5.1.1 Content-Type: text/html\n550 5.1.1 \u{1b}[2J<b>--boundary--";
    gateway.add(Rule::at(Stage::Rcpt, Fault::reply(reply)).naming("bad@"));
    let long = format!(
        "Subject: --x\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n{}\n--x--\n",
        "line of text\n".repeat(100_000)
    );
    rig.send(
        &["-i", "-f", "app@test.example", "bad@x.test"],
        long.as_bytes(),
    );
    let report = gateway.expect(1, LIMIT).remove(0);
    assert_eq!(
        (report.sender.as_str(), report.addresses()),
        ("", vec!["app@test.example"])
    );
    assert!(
        report.content.len() < 100 * 1024,
        "{} bytes",
        report.content.len()
    );
    assert!(!report.content.contains(&0x1B));
    let judge = "import email, email.policy, sys\n\
        m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)\n\
        kinds = [p.get_content_type() for p in m.iter_parts()]\n\
        assert m.get_content_type() == 'multipart/report' and len(kinds) == 3, (m.get_content_type(), kinds)\n\
        assert kinds[:2] == ['text/plain', 'message/delivery-status'], kinds\n\
        assert not any(p.defects for p in m.walk()), [p.defects for p in m.walk()]\n\
        print(kinds[2])\n";
    program::need("/usr/bin/python3", "python3");
    let third = program::succeed(
        std::process::Command::new("/usr/bin/python3").args(["-c", judge]),
        &report.content,
    );
    row(
        "a reply that looks like MIME, in a report",
        &format!(
            "three parts, the last {}, {} bytes",
            third.trim(),
            report.content.len()
        ),
    );
}

#[test]
fn a_password_without_tls_is_for_loopback_only() {
    let authority = Authority::new();
    let mut access = Access::provider(25, &authority, (USER, PASSWORD));
    (access.tls, access.tls_name, access.authority_pem) = ("none", None, None);
    let rig = Rig::new(access);
    let settings = rig.settings();
    let text = fs::read_to_string(&settings).expect("the rig wrote it");
    fs::write(
        &settings,
        text.replace("host = 127.0.0.1", "host = gateway.test"),
    )
    .expect("the rig's folder is ours");
    let output = program::run(rig.command("relayd").arg("--check"), b"");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{complaint}");
    assert!(
        complaint.contains("relayd.conf:") && complaint.contains("tls"),
        "{complaint}"
    );
    row(
        "a password for a gateway without TLS",
        "refused at the start, with file and line",
    );
}

/// A relayd that is stopped with one message in its spool, and the file that holds it.
fn stopped_with(recipient: &str, message: &str) -> (Gateway, Rig, std::path::PathBuf) {
    let mut setup = Setup::open_sink();
    setup.keep_wire = true;
    let mut gateway = Gateway::start(setup);
    gateway.close();
    let mut rig = Rig::started(Access::open(gateway.port()));
    rig.send(
        &["-i", "-f", "app@test.example", recipient],
        message.as_bytes(),
    );
    assert!(rig.stop().success());
    // Where the gateway was found to be away already, it was put off.
    let queues = ["incoming", "deferred"].map(|queue| files(&rig.spool().join(queue)));
    let entry = queues.concat().pop();
    gateway.reopen();
    (gateway, rig, entry.expect("one message is queued"))
}

/// Replaces `from` by `to`, which is as long, in an entry, and makes its checksums right again.
fn forge(entry: &Path, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let mut file = fs::read(entry).expect("root or the owner may read");
    let at = file
        .windows(from.len())
        .position(|w| w == from)
        .expect("it is in there");
    file[at..at + to.len()].copy_from_slice(to);
    let number =
        |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes")) as usize;
    let (envelope, content) = (64 + number(32), number(40));
    let sums = [
        (36, crc32(&file[64..envelope])),
        (48, crc32(&file[envelope..envelope + content])),
    ];
    for (at, sum) in sums {
        file[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    }
    let sum = crc32(&file[..60]);
    file[60..64].copy_from_slice(&sum.to_le_bytes());
    // In place: the file keeps its owner and mode.
    fs::write(entry, file).expect("root or the owner may write");
}

/// CRC-32 (IEEE), as the spool's format has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            if sum & 1 == 1 {
                sum >> 1 ^ 0xEDB8_8320
            } else {
                sum >> 1
            }
        })
    })
}

#[test]
fn content_with_bare_line_ends_in_the_spool_goes_out_in_lines() {
    let marker = "here-are-thirty-four-bytes-to-swap";
    let forged = b"a\n.\nMAIL FROM:<>\r.\r\0.\r\0\n.\r\n..\n.\0.\n";
    let (gateway, mut rig, entry) =
        stopped_with("to@x.test", &format!("Subject: s\n\n{marker}\nend\n"));
    forge(&entry, marker.as_bytes(), forged);
    rig.start();
    let delivery = gateway.expect(1, LIMIT).remove(0);
    gateway.expect_good_manners();
    rig.expect_empty_spool(LIMIT);
    assert_eq!(
        tests::lenient::messages(&delivery.wire),
        1,
        "{}",
        delivery.wire.escape_ascii()
    );
    let ends = delivery
        .wire
        .windows(5)
        .filter(|five| five == b"\r\n.\r\n")
        .count();
    assert!(
        ends == 1 && !delivery.wire.contains(&0),
        "{}",
        delivery.wire.escape_ascii()
    );
    assert!(delivery.body().ends_with(b"end\r\n"));
    row(
        "bare CR, LF and NUL in a spool file",
        "sent as one message in CRLF lines, nothing lost behind them",
    );
}

#[test]
fn an_address_with_line_ends_in_the_spool_is_never_said() {
    let forged = "b@example.org>\r\nRCPT TO:<v@victim.test";
    let marker = format!("{}@x.test", "b".repeat(forged.len() - "@x.test".len()));
    for (what, bytes) in [
        ("CRLF", forged.to_owned()),
        ("NUL", forged.replace("\r\n", "\0\0")),
    ] {
        let (gateway, mut rig, entry) = stopped_with(&marker, "Subject: s\n\nx\n");
        forge(&entry, marker.as_bytes(), bytes.as_bytes());
        rig.start();
        rig.send(
            &["-i", "-f", "app@test.example", "other@x.test"],
            b"Subject: s\n\nx\n",
        );
        let deliveries = gateway.expect(1, LIMIT);
        assert_eq!(deliveries[0].addresses(), ["other@x.test"]);
        let aside = files(&rig.spool().join("corrupt"));
        assert_eq!(aside.len(), 1, "set aside for an admin");
        let said = gateway.read(|r| r.commands.iter().any(|c| c.line.contains("victim")));
        assert!(!said && gateway.read(|r| r.deliveries.len()) == 1);
        gateway.expect_good_manners();
        row(
            &format!("{what} in an address in a spool file"),
            "set aside and never said; other mail goes on",
        );
    }
}

#[test]
fn a_resolver_that_never_answers_holds_nobody_up() {
    if !root_or_skip("a_resolver_that_never_answers_holds_nobody_up") {
        return;
    }
    let address = own_address();
    let resolver = UdpSocket::bind((address, 53)).expect("nobody else has this address");
    resolver.set_read_timeout(Some(LIMIT)).expect("a socket");
    let mut access = Access::open(25);
    access.more = "tls_name = gateway.test\n".to_owned();
    let mut rig = Rig::new(access);
    let settings = rig.settings();
    let text = fs::read_to_string(&settings).expect("the rig wrote it");
    fs::write(
        &settings,
        text.replace("host = 127.0.0.1", "host = gateway.test"),
    )
    .expect("the rig's folder is ours");
    rig.enclose(&format!(
        "printf 'nameserver {address}\\noptions timeout:3 attempts:1\\n' > \"$1/resolv.conf\"\n\
         printf 'hosts: files dns\\n' > \"$1/nsswitch.conf\"\n\
         mount --bind \"$1/resolv.conf\" /etc/resolv.conf\n\
         mount --bind \"$1/nsswitch.conf\" /etc/nsswitch.conf"
    ));
    rig.start();
    let letter = b"Subject: s\n\nx\n";
    rig.send(&["-i", "-f", "app@test.example", "first@x.test"], letter);
    let mut query = [0; 512];
    let (length, _) = resolver
        .recv_from(&mut query)
        .expect("relayd asks for the gateway's name");
    assert!(query[..length].windows(7).any(|w| w == b"gateway"));
    // Now it waits for the answer.
    let longest = longest_wait(&rig);
    let listing = rig.expect_mailq("(", LIMIT);
    assert!(
        listing.contains("gateway.test") && listing.contains("in 11 Requests"),
        "{listing}"
    );
    assert!(!rig.log().contains("status=bounced"));
    assert!(rig.stop().success());
    row(
        "a resolver that never answers",
        &format!("deferred with the gateway's name, no local program waits above {longest:.0?}"),
    );
}
