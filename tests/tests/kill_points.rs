//! relayd is killed at each system call between the end of content and its 250, and between the gateway's 250 and the
//! record of it: nothing acknowledged is lost, and a message comes twice only where the log says that it was in doubt.
//!
//! Needs root and strace.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::gateway::{Fault, Gateway, Setup, Stage};
use tests::namespace::root_or_skip;
use tests::patience;
use tests::peer::Peer;
use tests::postfix::free_port;
use tests::program::need;
use tests::rig::{Access, Rig};

const LIMIT: Duration = Duration::from_secs(30);
/// What may change a file or a socket; the rest of what relayd does leaves no trace outside of its memory.
const CALLS: &str = "openat,write,writev,pwrite64,pwritev,ftruncate,fallocate,linkat,link,rename,renameat,renameat2,unlink,unlinkat,fsync,fdatasync,sync_file_range,sendto,sendmsg,shutdown,close,fchmod,flock";

/// strace at work on relayd. Dropping it kills it, and lets relayd go on alone.
struct Tracer {
    strace: Child,
}

impl Tracer {
    /// Attaches with these arguments, and waits until all threads are held.
    fn attach(pid: Pid, arguments: &[&str]) -> Self {
        need("/usr/bin/strace", "strace");
        let mut command = Command::new("/usr/bin/strace");
        command.args(["-f", "-p", &pid.to_string()]).args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut strace = command.spawn().expect("strace runs");
        let mut told = BufReader::new(strace.stderr.take().expect("piped above"));
        let mut line = String::new();
        told.read_line(&mut line)
            .expect("strace says that it is there");
        assert!(line.contains("attached"), "{line}");
        // What it says from now on must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
        Self { strace }
    }

    /// Ends it in good order, so that its record is whole.
    fn detach(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.strace.id()).expect("a pid fits"));
        let _ = kill(pid, Signal::SIGTERM);
        let _ = self.strace.wait();
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Once its program is killed, strace waits for threads that wait for strace.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

/// How often the most busy thread made each of `CALLS` while `act` ran.
fn calls_during(rig: &Rig, act: impl FnOnce()) -> BTreeMap<String, usize> {
    let record = rig.path().join("calls");
    let mut tracer = Tracer::attach(
        rig.pid(),
        &[
            "-e",
            &format!("trace={CALLS}"),
            "-o",
            &record.display().to_string(),
        ],
    );
    act();
    tracer.detach();
    let text = std::fs::read_to_string(record).expect("strace wrote it");
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.contains("resumed>")) {
        let Some((thread, call)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        let Some((name, _)) = call.trim_start().split_once('(') else {
            continue;
        };
        *counts
            .entry((thread.to_owned(), name.to_owned()))
            .or_default() += 1;
    }
    let mut most = BTreeMap::new();
    for ((_, name), count) in counts {
        let known: &mut usize = most.entry(name).or_default();
        *known = count.max(*known);
    }
    most
}

/// Every call by name and place, as strace counts them for each thread, and one place behind the last.
fn points(calls: &BTreeMap<String, usize>) -> impl Iterator<Item = (&str, usize)> {
    calls
        .iter()
        .flat_map(|(name, count)| (1..=*count + 1).map(move |place| (name.as_str(), place)))
}

/// relayd with a port, in front of a sink.
struct House {
    gateway: Gateway,
    rig: Rig,
    smtp: u16,
}

impl House {
    fn open() -> Self {
        let gateway = Gateway::start(Setup::open_sink());
        let smtp = free_port();
        let mut access = Access::open(gateway.port());
        access.sections = format!("[listen]\nsmtp = 127.0.0.1:{smtp}\n");
        Self {
            rig: Rig::started(access),
            gateway,
            smtp,
        }
    }

    /// A session that is all but at the end of its content.
    fn up_to_the_end(&self, recipient: &str) -> Peer {
        let mut peer = Peer::tcp((Ipv4Addr::LOCALHOST, self.smtp));
        for line in [
            "",
            "EHLO x.test\r\n",
            "MAIL FROM:<a@client.test>\r\n",
            &format!("RCPT TO:<{recipient}>\r\n"),
            "DATA\r\n",
        ] {
            peer.say(line.as_bytes());
            assert!(
                peer.reply().is_some_and(|reply| reply.is("2/354")),
                "{line}"
            );
        }
        peer.say(b"Subject: s\r\n\r\nwhole\r\n");
        peer
    }

    /// Nothing is queued any more.
    fn is_idle(&self) -> bool {
        let shards =
            ["incoming", "deferred"].map(|queue| std::fs::read_dir(self.rig.spool().join(queue)));
        let shards = shards.into_iter().flatten().flatten().flatten();
        let files = shards.flat_map(|shard| std::fs::read_dir(shard.path()).into_iter().flatten());
        files.count() == 0
    }

    fn copies(&self, recipient: &str) -> usize {
        self.gateway.read(|r| {
            r.deliveries
                .iter()
                .filter(|d| d.addresses() == [recipient])
                .count()
        })
    }

    fn is_whole(&self, recipient: &str) -> bool {
        let mut whole = true;
        self.gateway.read(|r| {
            for delivery in r.deliveries.iter().filter(|d| d.addresses() == [recipient]) {
                whole &= delivery.body() == b"whole\r\n";
            }
        });
        whole
    }

    /// Starts relayd again after it was killed, and waits until the spool is empty.
    fn recover(&mut self) {
        self.rig.reap_after("SIGKILL");
        self.gateway.behave();
        self.rig.start();
        // What a kill has left uncertain waits longer than a test should.
        let empty = patience::until(LIMIT, || {
            self.rig.postqueue(&["-f"]);
            (self.rig.mailq() == "Mail queue is empty\n").then_some(())
        });
        assert!(empty.is_some(), "{}", self.rig.mailq());
        self.rig.expect_empty_spool(LIMIT);
    }
}

#[test]
fn what_is_acknowledged_to_a_client_is_there_wherever_relayd_is_killed() {
    if !root_or_skip("what_is_acknowledged_to_a_client_is_there_wherever_relayd_is_killed") {
        return;
    }
    let mut house = House::open();
    house.gateway.fail(Stage::Greeting, Fault::Silence);
    let mut peer = house.up_to_the_end("trace@x.test");
    let calls = calls_during(&house.rig, || {
        peer.say(b".\r\n");
        assert!(peer.reply().is_some_and(|reply| reply.is("250")));
    });
    let (mut kills, mut acknowledged, mut kept) = (0, 0, 0);
    for (name, place) in points(&calls) {
        let recipient = format!("{}{place}@x.test", name.replace('_', "-"));
        let mut peer = house.up_to_the_end(&recipient);
        let inject = format!("inject={name}:signal=SIGKILL:when={place}");
        let tracer = Tracer::attach(
            house.rig.pid(),
            &["-e", &format!("trace={name}"), "-e", &inject],
        );
        peer.say(b".\r\n");
        let reply = peer.reply();
        let said_yes = reply.as_ref().is_some_and(|reply| reply.is("250"));
        if said_yes {
            // It may be past the last of these calls; then this is a kill right behind the 250.
            house.rig.signal(Signal::SIGKILL);
        }
        drop(tracer);
        house.recover();
        let copies = house.copies(&recipient);
        assert!(
            copies <= 1 && (copies == 1 || !said_yes),
            "{name} {place}: {reply:?}, {copies} copies"
        );
        assert!(
            house.is_whole(&recipient),
            "{name} {place}: what arrived is not whole"
        );
        (kills, acknowledged, kept) = (
            kills + 1,
            acknowledged + usize::from(said_yes),
            kept + copies,
        );
        house.gateway.fail(Stage::Greeting, Fault::Silence);
    }
    assert!(kills >= 5, "{calls:?}");
    tests::report::number(
        "kill_points",
        &format!(
            "{kills} kills between the end of content and 250: {acknowledged} acknowledged, {kept} there, none lost or twice"
        ),
    );
}

#[test]
fn what_the_gateway_took_is_sent_again_only_in_doubt_wherever_relayd_is_killed() {
    if !root_or_skip("what_the_gateway_took_is_sent_again_only_in_doubt_wherever_relayd_is_killed")
    {
        return;
    }
    let mut house = House::open();
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let mut gate = house.taking(&socket, "trace@x.test");
    let calls = calls_during(&house.rig, || {
        gate.say(b"250 ok\r\n");
        house.rig.expect_empty_spool(LIMIT);
    });
    drop(gate);
    let (mut kills, mut doubled) = (0, 0);
    for (name, place) in points(&calls) {
        let recipient = format!("{}{place}@x.test", name.replace('_', "-"));
        let mut gate = house.taking(&socket, &recipient);
        let inject = format!("inject={name}:signal=SIGKILL:when={place}");
        let tracer = Tracer::attach(
            house.rig.pid(),
            &["-e", &format!("trace={name}"), "-e", &inject],
        );
        gate.say(b"250 ok\r\n");
        let ended = patience::until(LIMIT, || {
            (!house.rig.runs() || house.is_idle()).then_some(())
        });
        assert!(ended.is_some(), "{name} {place}: neither killed nor done");
        if house.rig.runs() {
            house.rig.signal(Signal::SIGKILL);
        }
        drop((tracer, gate));
        let port = house.gateway.port();
        house.rig.change(|access| access.port = port);
        house.recover();
        let again = house.copies(&recipient);
        assert!(again <= 1, "{name} {place}: {again} copies more");
        let in_doubt = house
            .rig
            .log()
            .lines()
            .filter(|line| line.contains("may have taken this message"))
            .count();
        doubled += again;
        assert_eq!(in_doubt, doubled, "{name} {place}: in doubt, sent again");
        kills += 1;
    }
    assert!(
        kills >= 5 && doubled >= 1,
        "{calls:?}, {doubled} sent twice"
    );
    tests::report::number(
        "kill_points",
        &format!(
            "{kills} kills behind the gateway's 250: none lost, {doubled} sent twice, each with a word in the log"
        ),
    );
}

impl House {
    /// A gateway at `socket` that has just got the content of a message, and has not answered yet.
    fn taking(&mut self, socket: &TcpListener, recipient: &str) -> Peer {
        let port = socket.local_addr().expect("it is bound").port();
        // A reload would leave open whether the message still goes to the gateway of before.
        self.rig.kill();
        self.rig.change(|access| access.port = port);
        self.rig.start();
        self.rig.send(
            &["-i", "-f", "app@test.example", recipient],
            b"Subject: s\n\nwhole\n",
        );
        let mut gate = self.caller(socket, recipient);
        for (said, wanted) in [
            ("220 gw", "EHLO"),
            ("250 gw", "MAIL"),
            ("250 ok", "RCPT"),
            ("250 ok", "DATA"),
        ] {
            gate.say(format!("{said}\r\n").as_bytes());
            let line = gate.line().expect("relayd goes on");
            assert!(
                line.starts_with(wanted.as_bytes()),
                "{}",
                line.escape_ascii()
            );
        }
        gate.say(b"354 go\r\n");
        assert!(gate.until(b"\r\n.\r\n").is_some());
        gate
    }

    /// relayd's connection to `socket`.
    fn caller(&self, socket: &TcpListener, recipient: &str) -> Peer {
        socket.set_nonblocking(true).expect("a socket");
        let caller = patience::until(LIMIT, || match socket.accept() {
            Ok((stream, _)) => Some(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("accepting: {error}"),
        });
        let stream = caller.unwrap_or_else(|| {
            panic!(
                "relayd does not connect for {recipient} within {LIMIT:?}:\n{}",
                self.rig.mailq()
            )
        });
        stream.set_nonblocking(false).expect("a socket");
        Peer::over(stream)
    }
}
