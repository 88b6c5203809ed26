//! SMTP smuggling: every form that some server takes for the end of content, at every door, with a second message behind
//! it. One message is queued, and what goes out to the gateway is one message also for the most lenient of receivers.
//! Prints the table.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tests::doors::Doors;
use tests::gateway::Delivery;
use tests::lenient;
use tests::peer::Peer;

const LIMIT: Duration = Duration::from_secs(60);
const SMUGGLED: &[u8] = b"MAIL FROM:<evil@client.test>\r\nRCPT TO:<victim@victim.test>\r\nDATA\r\nSubject: two\r\n\r\nevil\r\n.\r\n";
/// What really ends content by DATA.
const END: &[u8] = b"\r\n.\r\n";

/// What some server or other takes for the end, or might.
const FORMS: [&[u8]; 29] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\n",
    b"\n.\r",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n\n.\r\n",
    b"\n\n.\n",
    b"\n\r.\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\r\0\n",
    b"\r\0\n.\r\n",
    b"\0\n.\0\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\r\n..\r\n",
    b"\n..\n",
    b"\r..\r",
    b"\r\n .\r\n",
    b"\r\n. \r\n",
    b"\x0b.\x0b",
    b"\x0c.\x0c",
    b"\xc2\x85.\xc2\x85",
    b"\xe2\x80\xa8.\xe2\x80\xa8",
    b"\r\r\n.\r\n",
    b"\r\n.\r\n",
];

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Door {
    Ehlo,
    Helo,
    Pipelined,
    ByteByByte,
    Submission,
    Bs,
    BsAlone,
    BsLf,
    Bdat,
    BdatCut,
    Stdin,
    StdinDots,
}

const DOORS: [(Door, &str); 12] = [
    (Door::Ehlo, "EHLO"),
    (Door::Helo, "HELO"),
    (Door::Pipelined, "pipelined"),
    (Door::ByteByByte, "byte by byte"),
    (Door::Submission, "TLS+AUTH"),
    (Door::Bs, "-bs"),
    (Door::BsAlone, "-bs, relayd down"),
    (Door::BsLf, "-bs, LF alone"),
    (Door::Bdat, "BDAT"),
    (Door::BdatCut, "BDAT cut in it"),
    (Door::Stdin, "stdin"),
    (Door::StdinDots, "stdin -i"),
];

impl Door {
    /// What follows a true end of content is run as commands of the same client: so it is with DATA, where the client
    /// need not wait for its replies.
    const fn runs_what_follows(self) -> bool {
        matches!(
            self,
            Self::Ehlo
                | Self::Helo
                | Self::Pipelined
                | Self::ByteByByte
                | Self::Bs
                | Self::BsAlone
                | Self::BsLf
        )
    }
}

struct House {
    doors: Doors,
}

impl House {
    fn open() -> Self {
        let doors = Doors::open();
        doors.scene.gateway.change(|setup| setup.keep_wire = true);
        Self { doors }
    }

    /// Hands `content` in by `door` for `recipient`.
    fn hand_in(&self, door: Door, recipient: &str, content: &[u8]) {
        match door {
            Door::Ehlo | Door::Helo => {
                let hello = if door == Door::Helo {
                    "HELO x.test"
                } else {
                    "EHLO x.test"
                };
                let mut peer = self.doors.at_smtp();
                expect(&mut peer, "220");
                step_by_step(&mut peer, hello, recipient);
                peer.say(content);
                leave(peer);
            }
            Door::ByteByByte => {
                let mut peer = self.doors.at_smtp();
                expect(&mut peer, "220");
                step_by_step(&mut peer, "EHLO x.test", recipient);
                content.chunks(1).for_each(|byte| peer.say(byte));
                leave(peer);
            }
            Door::Pipelined => {
                let mut peer = self.doors.at_smtp();
                peer.say(&whole(recipient, content));
                leave(peer);
            }
            Door::Submission => {
                let mut peer = self.secured();
                let login = format!("AUTH PLAIN {}", Doors::response());
                step_by_step(&mut peer, &login, recipient);
                peer.say(content);
                leave(peer);
            }
            Door::Bs | Door::BsAlone => {
                let output = self
                    .doors
                    .scene
                    .rig
                    .sendmail(&["-bs"], &whole(recipient, content));
                assert!(output.status.success(), "{output:?}");
            }
            Door::BsLf => {
                let mut said = lf(&head(recipient));
                said.extend(lf(b"Subject: one\r\n\r\n"));
                said.extend_from_slice(&content[b"Subject: one\r\n\r\n".len()..]);
                let output = self
                    .doors
                    .scene
                    .rig
                    .sendmail(&["-bs"], &[&said[..], b"QUIT\r\n"].concat());
                assert!(output.status.success(), "{output:?}");
            }
            Door::Bdat => self.by_bdat(recipient, &[content]),
            Door::BdatCut => {
                let at = content.len() - SMUGGLED.len() - 2;
                let (first, rest) = content.split_at(at);
                self.by_bdat(recipient, &[first, rest]);
            }
            Door::Stdin | Door::StdinDots => {
                let mut line = vec!["-f", "a@client.test", recipient];
                if door == Door::StdinDots {
                    line.insert(0, "-i");
                }
                self.doors.scene.rig.send(&line, content);
            }
        }
    }

    fn secured(&self) -> Peer {
        let mut peer = self.doors.at_submission();
        expect(&mut peer, "220");
        say(&mut peer, "EHLO x.test", "250");
        say(&mut peer, "STARTTLS", "220");
        self.doors
            .secure(&mut peer)
            .expect("our certificate is good");
        say(&mut peer, "EHLO x.test", "250");
        peer
    }

    fn by_bdat(&self, recipient: &str, chunks: &[&[u8]]) {
        let mut peer = Peer::unix(&self.doors.scene.rig.path().join("run/submit.sock"));
        expect(&mut peer, "220");
        say(&mut peer, "EHLO x.test", "250");
        say(&mut peer, "MAIL FROM:<a@client.test>", "250");
        say(&mut peer, &format!("RCPT TO:<{recipient}>"), "250");
        for (number, chunk) in chunks.iter().enumerate() {
            let last = if number + 1 == chunks.len() {
                " LAST"
            } else {
                ""
            };
            peer.say(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes());
            peer.say(chunk);
            expect(&mut peer, "250");
        }
        leave(peer);
    }
}

#[track_caller]
fn expect(peer: &mut Peer, code: &str) {
    let reply = peer.reply();
    assert!(
        reply.as_ref().is_some_and(|reply| reply.is(code)),
        "wanted {code}, heard {reply:?}"
    );
}

#[track_caller]
fn say(peer: &mut Peer, line: &str, code: &str) {
    peer.say(format!("{line}\r\n").as_bytes());
    expect(peer, code);
}

fn step_by_step(peer: &mut Peer, first: &str, recipient: &str) {
    say(peer, first, "2");
    say(peer, "MAIL FROM:<a@client.test>", "250");
    say(peer, &format!("RCPT TO:<{recipient}>"), "250");
    say(peer, "DATA", "354");
}

/// Everything that a client can say at once.
fn whole(recipient: &str, content: &[u8]) -> Vec<u8> {
    [&head(recipient)[..], content, b"QUIT\r\n"].concat()
}

fn head(recipient: &str) -> Vec<u8> {
    let lines = [
        "EHLO x.test",
        "MAIL FROM:<a@client.test>",
        &format!("RCPT TO:<{recipient}>"),
        "DATA",
        "",
    ];
    lines.join("\r\n").into_bytes()
}

/// Without the CRs.
fn lf(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|&b| b != b'\r').collect()
}

/// Waits until the far end has dealt with everything.
fn leave(mut peer: Peer) {
    peer.half_close();
    peer.rest();
}

/// A form as people read it.
fn shown(form: &[u8]) -> String {
    form.escape_ascii().to_string()
}

fn recipient(form: usize, door: Door) -> String {
    format!("{form}-{}@other.test", format!("{door:?}").to_lowercase())
}

fn content(form: &[u8]) -> Vec<u8> {
    [b"Subject: one\r\n\r\nhi", form, SMUGGLED].concat()
}

/// How many messages of the client's own follow a true end.
fn following(door: Door, form: &[u8]) -> usize {
    let holds = |end: &[u8]| form.windows(end.len()).any(|w| w == end);
    // A program of this host that has sent no CRLF may end content with LF alone.
    let is_end = holds(END) || door == Door::BsLf && form.starts_with(b"\n") && holds(b"\n.\n");
    usize::from(is_end && door.runs_what_follows())
}

#[test]
fn no_second_message_comes_in_or_goes_out() {
    let mut house = House::open();
    for (door, _) in DOORS.into_iter().filter(|(door, _)| *door != Door::BsAlone) {
        for (number, form) in FORMS.into_iter().enumerate() {
            house.hand_in(door, &recipient(number, door), &content(form));
        }
    }
    // What is handed in while relayd is down goes out once it is back.
    house.doors.scene.rig.expect_empty_spool(LIMIT);
    assert!(house.doors.scene.rig.stop().success());
    for (number, form) in FORMS.into_iter().enumerate() {
        house.hand_in(
            Door::BsAlone,
            &recipient(number, Door::BsAlone),
            &content(form),
        );
    }
    house.doors.scene.rig.start();
    house.doors.scene.rig.expect_empty_spool(LIMIT);
    house.doors.scene.gateway.expect_good_manners();
    judge(
        &house
            .doors
            .scene
            .gateway
            .read(|record| record.deliveries.clone()),
    );
}

/// Prints the table: messages that came in, and how many a lenient receiver finds in what went out of them.
fn judge(deliveries: &[Delivery]) {
    let mut found: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for delivery in deliveries {
        let messages = lenient::messages(&delivery.wire);
        found
            .entry(delivery.addresses()[0])
            .or_default()
            .push(messages);
    }
    let smuggled = found.get("victim@victim.test").map_or(0, Vec::len);
    let (mut table, mut faults, mut sessions) = (String::new(), Vec::new(), 0);
    let mut due = 0;
    writeln!(
        table,
        "queued and sent by form and door; 2 where the form is a true end and the client's own second message follows\n({})",
        DOORS.map(|(_, name)| name).join(" · ")
    )
    .expect("a String grows");
    for (number, form) in FORMS.into_iter().enumerate() {
        write!(table, "{:<28}", shown(form)).expect("a String grows");
        for (door, name) in DOORS {
            let seen = found
                .get(recipient(number, door).as_str())
                .cloned()
                .unwrap_or_default();
            let second = following(door, form);
            (due, sessions) = (due + second, sessions + 1);
            if seen != [1] {
                faults.push(format!("{} by {name}: {seen:?}", shown(form)));
            }
            write!(
                table,
                " {}{}",
                seen.len() + second,
                if seen == [1] { "" } else { "!" }
            )
            .expect("a String grows");
        }
        table.push('\n');
    }
    tests::report::show(&table);
    assert!(faults.is_empty(), "{faults:#?}");
    // Behind a true end the second message is the client's own, with its rights.
    assert_eq!(smuggled, due, "messages for the victim");
    assert_eq!(deliveries.len(), sessions + due);
    tests::report::number(
        "smuggling",
        &format!(
            "{} forms at {} doors: {sessions} messages, none smuggled in or out",
            FORMS.len(),
            DOORS.len()
        ),
    );
}

#[test]
fn a_true_end_is_found_in_whatever_two_segments_it_comes() {
    let house = House::open();
    let content = b"Subject: one\r\n\r\nhi\r\n.\r\n";
    for cut in 0..=content.len() {
        let mut peer = house.doors.at_smtp();
        expect(&mut peer, "220");
        step_by_step(&mut peer, "EHLO x.test", &format!("cut{cut}@other.test"));
        let (first, rest) = content.split_at(cut);
        peer.say(first);
        peer.say(rest);
        expect(&mut peer, "250");
        leave(peer);
    }
    let all = house.doors.scene.gateway.expect(content.len() + 1, LIMIT);
    assert!(all.iter().all(|delivery| delivery.body() == b"hi\r\n"));
    assert_eq!(all.len(), content.len() + 1);
}
