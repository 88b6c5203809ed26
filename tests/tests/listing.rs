//! `mailq`, `postqueue -p` and `postqueue -j` beside Debian's real Postfix with the same messages stuck at the same
//! gateway for the same reasons. Ids, sizes and dates are blanked after their form has been checked; every other byte
//! is compared. Needs root, because Postfix does.

#![forbid(unsafe_code)]

use std::time::Duration;

use tests::gateway::{Fault, Gateway, Rule, Setup, Stage};
use tests::namespace::root_or_skip;
use tests::patience;
use tests::postfix::Postfix;
use tests::rig::{Access, DOMAIN, Rig};

const LIMIT: Duration = Duration::from_secs(30);

/// Sender, recipients; together every shape of entry: one and several recipients, equal and different reasons, the null
/// sender, an unqualified address. Recipients are in the order in which Postfix tries them: by
/// domain, then by local part.
const MESSAGES: [(&str, &[&str]); 6] = [
    ("a-one@test.example", &["busy@x.test"]),
    ("b-same@test.example", &["busy@x.test", "busy@y.test"]),
    ("c-different@test.example", &["busy@x.test", "full@x.test"]),
    (
        "d-four@test.example",
        &["busy@x.test", "full@x.test", "busy@y.test", "full@z.test"],
    ),
    ("<>", &["busy@x.test"]),
    ("e-local", &["full"]),
];

/// Recipients in all.
const RECIPIENTS: usize = 11;

/// Both systems in front of one gateway, with all messages queued in both.
struct Pair {
    gateway: Gateway,
    ours: Rig,
    theirs: Postfix,
}

impl Pair {
    fn queued(prepare: impl FnOnce(&mut Gateway)) -> Self {
        let mut gateway = Gateway::start(Setup::open_sink());
        prepare(&mut gateway);
        let ours = Rig::started(Access::open(gateway.port()));
        let theirs = Postfix::client(gateway.port(), DOMAIN);
        for (sender, recipients) in MESSAGES {
            let arguments = [&["-i", "-f", sender][..], recipients].concat();
            let message = format!(
                "Subject: listing\nFrom: <f@x.test>\n\n{}",
                "a line of text\n".repeat(60)
            );
            ours.send(&arguments, message.as_bytes());
            let output = theirs.sendmail(&arguments, message.as_bytes());
            assert!(output.status.success(), "{output:?}");
        }
        Self {
            gateway,
            ours,
            theirs,
        }
    }

    /// Waits until both have tried everything.
    fn expect_all_tried(&self) {
        let tried = |listing: &str| listing.matches("\"delay_reason\"").count() == RECIPIENTS;
        let all_at_rest = |listing: &str| {
            listing
                .lines()
                .all(|l| l.contains("\"queue_name\": \"deferred\""))
        };
        for (name, list) in [
            (
                "relayd",
                &(|| self.ours.postqueue(&["-j"])) as &dyn Fn() -> String,
            ),
            ("Postfix", &|| self.theirs.postqueue(&["-j"])),
        ] {
            let mut last = String::new();
            let done = patience::until(LIMIT, || {
                last = list();
                (tried(&last) && all_at_rest(&last)).then_some(())
            });
            assert!(done.is_some(), "{name} has not tried everything:\n{last}");
        }
    }

    #[track_caller]
    fn compare(&self) {
        let (ours, theirs) = (self.ours.postqueue(&["-j"]), self.theirs.postqueue(&["-j"]));
        tests::report::show(&format!("--- ours\n{ours}--- Postfix\n{theirs}"));
        assert_same("postqueue -j", &json_lines(&ours), &json_lines(&theirs));
        let (ours, theirs) = (self.ours.postqueue(&["-p"]), self.theirs.postqueue(&["-p"]));
        tests::report::show(&format!("--- ours\n{ours}--- Postfix\n{theirs}"));
        assert_same(
            "postqueue -p",
            &table_entries(&ours),
            &table_entries(&theirs),
        );
        assert_eq!(self.ours.mailq(), ours, "mailq is postqueue -p");
    }
}

#[track_caller]
fn assert_same(what: &str, ours: &[String], theirs: &[String]) {
    for (left, right) in ours.iter().zip(theirs) {
        assert_eq!(left, right, "{what}: ours, Postfix");
    }
    assert_eq!(ours.len(), theirs.len(), "{what}: entries");
}

/// Sorted by sender and recipients: the order inside a queue is the folder's.
fn json_lines(listing: &str) -> Vec<String> {
    let mut lines: Vec<String> = listing.lines().map(json_line).collect();
    lines.sort_by_key(|line| line[line.find("\"sender\"").expect("has a sender")..].to_owned());
    lines
}

fn json_line(line: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
    let id = value["queue_id"].as_str().expect("text");
    assert!(
        (6..=12).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()),
        "{id}"
    );
    let blank = |line: String, name: &str, value: u64| {
        line.replacen(
            &format!("\"{name}\": {value}"),
            &format!("\"{name}\": N"),
            1,
        )
    };
    let line = line.replacen(&format!("\"{id}\""), "\"ID\"", 1);
    let line = blank(
        line,
        "arrival_time",
        value["arrival_time"].as_u64().expect("a number"),
    );
    blank(
        line,
        "message_size",
        value["message_size"].as_u64().expect("a number"),
    )
}

/// Header line, entries sorted by sender, summary line.
fn table_entries(listing: &str) -> Vec<String> {
    let (header, rest) = listing.split_once('\n').expect("has a header");
    let (entries, summary) = rest.rsplit_once("\n-- ").expect("has a summary");
    let mut all: Vec<String> = entries.split("\n\n").map(table_entry).collect();
    all.sort();
    all.insert(0, header.to_owned());
    all.push(summary_line(summary));
    all
}

/// `%-11s %7ld %20.20s %s`, then the lines of reasons and recipients as they are.
fn table_entry(entry: &str) -> String {
    let entry = entry.trim_end_matches('\n');
    let (line, rest) = entry.split_once('\n').expect("has a recipient");
    let id = line.split(' ').next().expect("has an id");
    let columns = &line[id.len().max(11)..];
    let (size, date, sender) = (&columns[..8], &columns[9..29], &columns[30..]);
    assert!(columns[8..9] == *" " && columns[29..30] == *" ", "{line:?}");
    assert!(
        size.trim_start().parse::<u64>().is_ok() && size.starts_with(' '),
        "{line:?}"
    );
    assert!(
        date.ends_with(' ') && date.as_bytes()[13] == b':' && date.as_bytes()[16] == b':',
        "{line:?}"
    );
    let flags = id.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    format!("{sender}{flags}\n{rest}")
}

/// `8 Kbytes in 6 Requests.` with the sum blanked: the header blocks differ by some bytes.
fn summary_line(summary: &str) -> String {
    let (sum, rest) = summary.split_once(' ').expect("has words");
    assert!(sum.parse::<u64>().is_ok());
    format!("-- N {rest}")
}

#[test]
fn refused_recipients_are_listed_as_postfix_does() {
    if !root_or_skip("refused_recipients_are_listed_as_postfix_does") {
        return;
    }
    let pair = Pair::queued(|gateway| {
        let busy = "450-4.2.0 mailbox busy,\n450 4.2.0 try \"later\" \\ again";
        gateway.add(Rule::at(Stage::Rcpt, Fault::reply(busy)).naming("<busy"));
        gateway.add(Rule::at(Stage::Rcpt, Fault::reply("452 4.2.2 over quota")).naming("<full"));
    });
    pair.expect_all_tried();
    pair.compare();
    pair.gateway.expect_good_manners();
}

#[test]
fn refused_content_is_listed_as_postfix_does() {
    if !root_or_skip("refused_content_is_listed_as_postfix_does") {
        return;
    }
    let pair =
        Pair::queued(|gateway| gateway.fail(Stage::EndOfData, Fault::reply("451 4.3.0 not now")));
    pair.expect_all_tried();
    pair.compare();
}

#[test]
fn an_unreachable_gateway_is_listed_as_postfix_does() {
    if !root_or_skip("an_unreachable_gateway_is_listed_as_postfix_does") {
        return;
    }
    let pair = Pair::queued(Gateway::close);
    pair.expect_all_tried();
    pair.compare();
}

#[test]
fn an_empty_queue_is_listed_as_postfix_does() {
    if !root_or_skip("an_empty_queue_is_listed_as_postfix_does") {
        return;
    }
    let gateway = Gateway::start(Setup::open_sink());
    let ours = Rig::started(Access::open(gateway.port()));
    let theirs = Postfix::client(gateway.port(), DOMAIN);
    for arguments in [["-p"], ["-j"]] {
        assert_eq!(ours.postqueue(&arguments), theirs.postqueue(&arguments));
    }
    assert_eq!(ours.mailq(), "Mail queue is empty\n");
}
