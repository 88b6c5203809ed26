//! Clients that attack relayd's SMTP doors: every dialogue of `data/hostile_server.txt` and every flood has the outcome
//! that it must have. Prints a line for each.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tests::case::{self, Case, Step};
use tests::doors::Doors;
use tests::gateway::{Delivery, Gateway};
use tests::namespace::root_or_skip;
use tests::patience;
use tests::peer::{Peer, Reply};
use tests::process::Cost;
use tests::rig::Rig;

const CASES: &str = include_str!("../data/hostile_server.txt");
const LIMIT: Duration = Duration::from_secs(30);
/// What a client that smuggles puts behind what it takes for the end of content.
const SMUGGLED: &[u8] = b"MAIL FROM:<evil@client.test>\r\nRCPT TO:<victim@victim.test>\r\nDATA\r\nSubject: two\r\n\r\nevil\r\n.\r\n";

/// relayd with both doors open in front of a gateway that takes everything.
struct House {
    doors: Doors,
}

impl House {
    fn open() -> Self {
        Self {
            doors: Doors::open(),
        }
    }

    fn rig(&self) -> &Rig {
        &self.doors.scene.rig
    }

    fn gateway(&self) -> &Gateway {
        &self.doors.scene.gateway
    }

    /// What has reached the gateway beyond `before` messages, once nothing is left in the queue.
    fn arrived(&self, before: usize) -> Vec<Delivery> {
        self.rig().expect_empty_spool(LIMIT);
        self.gateway()
            .read(|record| record.deliveries[before..].to_vec())
    }

    /// Still serves, and has not panicked.
    fn is_well(&self) -> Result<(), String> {
        let said =
            std::fs::read_to_string(self.rig().path().join("log/stderr")).unwrap_or_default();
        if said.contains("panicked") {
            return Err(said);
        }
        // Sessions that were cut may not be over yet, and hold their places.
        let mut greeting = None;
        let greets = patience::until(LIMIT, || {
            greeting = self.doors.at_smtp().reply();
            greeting
                .as_ref()
                .filter(|reply| reply.is("220"))
                .map(|_| ())
        });
        greets.ok_or_else(|| format!("afterwards it greets with {greeting:?}"))
    }

    /// Hands in one message by `sendmail` and waits until it is at the gateway.
    fn expect_mail_to_flow(&self) {
        let before = self.gateway().read(|record| record.deliveries.len());
        self.rig().send(
            &["-i", "-f", "app@test.example", "to@other.test"],
            b"Subject: s\n\nx\n",
        );
        self.gateway().expect(before + 1, LIMIT);
    }
}

/// One case as it is played.
struct Play<'a> {
    house: &'a House,
    peer: Peer,
    /// What was heard and not awaited yet was not a reply.
    over: bool,
}

impl<'a> Play<'a> {
    fn new(house: &'a House, case: &Case) -> Self {
        let peer = match case.value("at") {
            Some("submission") => house.doors.at_submission(),
            _ => house.doors.at_smtp(),
        };
        Self {
            house,
            peer,
            over: false,
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Client(text) => {
                self.peer.say(&case::bytes(text));
                Ok(())
            }
            Step::Server(wanted) => {
                let wanted = wanted.trim_end_matches("\\r\\n");
                match self.peer.reply() {
                    Some(reply) if reply.is(wanted) => Ok(()),
                    other => Err(format!("wanted {wanted}, heard {other:?}")),
                }
            }
            Step::Act(act) => self.act(act),
        }
    }

    fn act(&mut self, act: &str) -> Result<(), String> {
        let (name, rest) = act.split_once(' ').unwrap_or((act, ""));
        match name {
            "greeted" => self.converse(&[("", "220"), ("EHLO client.test\r\n", "250")]),
            "mail" => {
                self.act("greeted")?;
                self.converse(&[
                    ("MAIL FROM:<a@client.test>\r\n", "250"),
                    ("RCPT TO:<b@other.test>\r\n", "250"),
                ])
            }
            "data" => {
                self.act("mail")?;
                self.converse(&[("DATA\r\n", "354")])
            }
            "secured" => {
                self.act("greeted")?;
                self.converse(&[("STARTTLS\r\n", "220")])?;
                self.act("tls")?;
                self.converse(&[("EHLO client.test\r\n", "250")])
            }
            "login" => {
                let login = format!("AUTH PLAIN {}\r\n", Doors::response());
                self.converse(&[(&login, "235")])
            }
            "tls" => self
                .peer
                .start_tls(
                    &self.house.doors.authority_pem,
                    &self.house.doors.address.to_string(),
                )
                .map_err(|e| e.to_string()),
            "tls-in-crumbs" => {
                let tls = self.peer.start_tls_in_crumbs(
                    &self.house.doors.authority_pem,
                    &self.house.doors.address.to_string(),
                );
                tls.map_err(|error| error.to_string())
            }
            "leave-tls" => {
                self.peer.leave_tls();
                Ok(())
            }
            "smuggle" => {
                self.peer.say(SMUGGLED);
                Ok(())
            }
            "split" => {
                for byte in case::bytes(rest) {
                    self.peer.say(&[byte]);
                }
                Ok(())
            }
            "reset" => {
                self.over = true;
                let fresh = self.house.doors.at_smtp();
                std::mem::replace(&mut self.peer, fresh).reset();
                // The commit may still be under way.
                self.house
                    .gateway()
                    .expect(1 + self.house.gateway().read(|r| r.deliveries.len()), LIMIT);
                Ok(())
            }
            "drain" => self.drain(rest),
            "replies" => self.replies(rest),
            other => Err(format!("@{other} is not known")),
        }
    }

    fn converse(&mut self, lines: &[(&str, &str)]) -> Result<(), String> {
        for (said, wanted) in lines {
            self.peer.say(said.as_bytes());
            match self.peer.reply() {
                Some(reply) if reply.is(wanted) => {}
                other => return Err(format!("to {said:?} wanted {wanted}, heard {other:?}")),
            }
        }
        Ok(())
    }

    /// Hears so many replies, all of that kind.
    fn replies(&mut self, wanted: &str) -> Result<(), String> {
        let (count, codes) = wanted.split_once(' ').expect("a count and a code");
        for _ in 0..count.parse().expect("a count") {
            match self.peer.reply() {
                Some(reply) if reply.is(codes) => {}
                other => return Err(format!("wanted {codes}, heard {other:?}")),
            }
        }
        Ok(())
    }

    /// Hears replies to the end of the session; the last one begins with `last`.
    fn drain(&mut self, last: &str) -> Result<(), String> {
        self.over = true;
        let mut newest = None;
        while let Some(reply) = self.peer.reply() {
            newest = Some(reply);
        }
        match newest {
            Some(reply) if reply.is(last) => Ok(()),
            other => Err(format!("the last reply is {other:?}")),
        }
    }

    /// The end: relayd closes by itself where it must, else once this end has nothing more to say.
    fn end(&mut self, closed: bool) -> Result<(), String> {
        if self.over {
            return Ok(());
        }
        if !closed {
            self.peer.half_close();
        }
        match self.peer.reply() {
            None => Ok(()),
            // Where the client is the one that leaves, a farewell is welcome.
            Some(Reply(text)) if !closed && text.starts_with("421") => Ok(()),
            Some(reply) => Err(format!("nobody asked for {reply:?}")),
        }
    }
}

fn run(house: &House, case: &Case) -> Result<String, String> {
    let before = house.gateway().read(|record| record.deliveries.len());
    let (log_before, cost) = (house.rig().log().len(), Cost::from_now(house.rig().pid()));
    let mut play = Play::new(house, case);
    for step in &case.steps {
        play.step(step)?;
    }
    play.end(case.wants("closed"))?;
    drop(play);
    if let (Some(before), Some(after)) = (cost, Cost::of(house.rig().pid())) {
        check_cost(case, before, after)?;
    }
    let arrived = house.arrived(before);
    check_messages(case, &arrived)?;
    check_log(case, &house.rig().log()[log_before..])?;
    house.is_well()?;
    let closed = if case.wants("closed") {
        ", cut off"
    } else {
        ""
    };
    Ok(format!("{} messages{closed}", arrived.len()))
}

fn check_messages(case: &Case, arrived: &[Delivery]) -> Result<(), String> {
    let wanted = case.value("messages").expect("every case says how many");
    let (least, most) = wanted.split_once("..").unwrap_or((wanted, wanted));
    let count = |text: &str| text.parse::<usize>().expect("a number");
    if !(count(least)..=count(most)).contains(&arrived.len()) {
        return Err(format!(
            "{} messages arrived, {wanted} wanted",
            arrived.len()
        ));
    }
    let to_victim = |d: &Delivery| d.addresses().iter().any(|a| a.contains("victim"));
    if arrived.iter().any(to_victim) && !case.wants("second-is-allowed") {
        return Err("the victim got mail".to_owned());
    }
    for lacking in case.values("content-lacks") {
        let bytes = case::bytes(lacking);
        let holds = |d: &Delivery| d.content.windows(bytes.len()).any(|w| w == bytes);
        if arrived.iter().any(holds) {
            return Err(format!("{lacking} is in what arrived"));
        }
    }
    Ok(())
}

fn check_log(case: &Case, log: &str) -> Result<(), String> {
    for lacking in case.values("log-lacks") {
        let bytes = case::bytes(lacking);
        if log.as_bytes().windows(bytes.len()).any(|w| w == bytes) {
            return Err(format!("{lacking} is in the log: {log}"));
        }
    }
    let is_safe = |c: char| c == '\n' || !c.is_control();
    match log.chars().find(|&c| !is_safe(c)) {
        Some(c) => Err(format!("{c:?} is in the log")),
        None => Ok(()),
    }
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
    let mut house = House::open();
    let cases = case::read(&CASES.replace("RESPONSE", &Doors::response()));
    case::run_all("hostile_server", &cases, |case| run(&house, case));
    assert!(
        house.doors.scene.rig.stop().success(),
        "relayd ends in good order"
    );
}

/// One line of a flood's outcome.
fn row(name: &str, seen: &str) {
    tests::report::show(&format!("ok    {name:<34} {seen}"));
}

#[test]
fn ten_thousand_connections_that_are_cut_leave_nothing_behind() {
    if !root_or_skip("ten_thousand_connections_that_are_cut_leave_nothing_behind") {
        return;
    }
    let house = House::open();
    let pid = house.rig().pid();
    let cost = || Cost::of(pid).expect("root may know");
    // The first ones set up what stays: threads, buffers.
    (0..500).for_each(|_| house.doors.at_smtp().reset());
    house.is_well().expect("relayd is well");
    let settled = patience::until(LIMIT, || (open_sessions(&house) == 0).then(cost));
    let before = settled.expect("no session is left");
    (0..10_000).for_each(|_| house.doors.at_smtp().reset());
    house.is_well().expect("relayd is well");
    let mut after = before;
    let same = patience::until(LIMIT, || {
        after = cost();
        (after.descriptors <= before.descriptors + 2).then_some(())
    });
    assert!(
        same.is_some(),
        "{} descriptors before, {} after",
        before.descriptors,
        after.descriptors
    );
    let grown = after.peak_kib.saturating_sub(before.peak_kib);
    assert!(grown < 8 * 1024, "grown by {grown} KiB");
    row(
        "10000 connections cut",
        &format!("grown by {grown} KiB, {} descriptors", after.descriptors),
    );
}

/// Connections to relayd's port that the kernel shows as established.
fn open_sessions(house: &House) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has a table");
    let port = format!(":{:04X}", house.doors.smtp);
    let established = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|local| local.ends_with(&port)) && words.nth(1) == Some("01")
    };
    table.lines().filter(established).count()
}

#[test]
fn sessions_are_told_of_a_stop_and_what_was_acknowledged_arrives() {
    let mut house = House::open();
    let mut peers: Vec<Peer> = (0..20).map(|_| house.doors.at_smtp()).collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        assert!(peer.reply().is_some_and(|reply| reply.is("220")));
        // Every other one is within its content when the signal comes.
        let lines: &[&str] = match number % 2 {
            0 => &["EHLO x.test", "MAIL FROM:<a@client.test>"],
            _ => &[
                "EHLO x.test",
                "MAIL FROM:<a@client.test>",
                "RCPT TO:<b@other.test>",
                "DATA",
            ],
        };
        for line in lines {
            peer.say(format!("{line}\r\n").as_bytes());
            assert!(peer.reply().is_some_and(|reply| reply.is("250/354")));
        }
    }
    house.rig().signal(nix::sys::signal::Signal::SIGTERM);
    let mut acknowledged = 0;
    for (number, peer) in peers.iter_mut().enumerate() {
        if number % 2 == 1 {
            peer.say(b"x\r\n.\r\n");
            acknowledged += usize::from(peer.reply().is_some_and(|reply| reply.is("250")));
        }
        let farewell = peer.reply().expect("a stop is told");
        assert!(farewell.is("421"), "{farewell:?}");
        assert_eq!(peer.reply(), None);
    }
    assert_eq!(
        acknowledged, 10,
        "messages that are being handed in have some seconds"
    );
    assert!(house.doors.scene.rig.reap_after("SIGTERM").success());
    house.doors.scene.rig.start();
    house.gateway().expect(acknowledged, LIMIT);
    house.rig().expect_empty_spool(LIMIT);
    assert_eq!(
        house.gateway().read(|record| record.deliveries.len()),
        acknowledged
    );
    row(
        "SIGTERM under load",
        "20 sessions told, 10 messages finished, acknowledged and sent once",
    );
}

#[test]
fn a_client_that_drips_is_heard_beside_others() {
    let house = House::open();
    let mut slow =
        TcpStream::connect((house.doors.address, house.doors.smtp)).expect("the port is open");
    slow.write_all(b"E").expect("the port is open");
    let begun = Instant::now();
    house.expect_mail_to_flow();
    let mut other = house.doors.at_smtp();
    assert!(other.reply().is_some_and(|reply| reply.is("220")));
    assert!(begun.elapsed() < Duration::from_secs(10));
    // When it is sent away is arithmetic: `relayd::door::deadline` tests it without waiting.
    row(
        "a dripping client",
        "others are served; its deadline is tested in relayd::door::deadline",
    );
}
