//! The life of relayd: its start, a second one, its settings read again, and its end.
mod support;

use std::fs;
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::gateway::Gateway;
use support::submit::{Dialogue, queue_id, submit};
use support::{Rig, ask, free_port, gateway_section, wait_for};

#[test]
fn a_second_start_is_refused_in_one_line() {
    let port = free_port();
    // Even where the first one has the ports as well.
    let listen = format!("[listen]\nsmtp = 127.0.0.1:{port}\n");
    let rig = Rig::capturing("", &listen);
    let second = rig.run(&[]);
    assert_eq!(second.status.code(), Some(69));
    let errors = String::from_utf8(second.stderr).unwrap();
    let spool = rig.path("spool");
    assert_eq!(
        errors,
        format!(
            "relayd: fatal: another relayd runs on the spool {}; there can be one\n",
            spool.display()
        )
    );
    submit(&rig, "app", &["bob"], "A: b\r\n\r\n\r\n");
    rig.wait_empty();
}

#[test]
fn good_settings_are_swapped_in_and_bad_ones_are_refused() {
    let rig = Rig::capturing("", "");
    // This session lives through both, in the middle of a message.
    let mut dialogue = Dialogue::local(&rig);
    dialogue.envelope("app", &["bob"]);

    rig.configure(
        "message_size_limit = lots\n",
        "[gateway catch]\ndeliver = capture:Maildir\n",
    );
    rig.signal("HUP");
    rig.wait_log(&["relayd.conf:4:", "lots"]);
    let answer = rig.control("RELOAD");
    assert!(
        answer[0].starts_with("ERR failed ") && answer[0].contains("lots"),
        "{answer:?}"
    );
    assert_eq!(rig.count_log(&["reload -- version"]), 0);
    submit(&rig, "app", &["eve"], "A: b\r\n\r\n\r\n");

    rig.configure(
        "root = admin@far.example\n",
        "[gateway catch]\ndeliver = capture:Other\n",
    );
    rig.signal("HUP");
    rig.wait_log(&["reload -- version"]);
    dialogue.send(b"BDAT 4 LAST\r\na:b\n");
    let reply = dialogue.reply();
    assert!(reply.starts_with("250"), "{reply}");
    submit(&rig, "app", &["root"], "A: b\r\n\r\n\r\n");
    wait_for("both are captured at the new place", || {
        let files = fs::read_dir(rig.path("Other/new")).ok()?;
        let texts: Vec<String> = files
            .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
            .collect();
        let root = texts
            .iter()
            .any(|text| text.contains("Delivered-To: admin@far.example"));
        (texts.len() == 2 && root).then_some(())
    });
    assert_eq!(rig.captured().len(), 1);
}

#[test]
fn a_reload_that_is_refused_changes_nothing_at_all() {
    let (open, taken) = (
        free_port(),
        std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let rig = Rig::capturing("", &format!("[listen]\nsmtp = 127.0.0.1:{open}\n"));
    let taken = taken.local_addr().unwrap();
    let text = fs::read_to_string(rig.config()).unwrap();
    let text = text.replace("./mail.log", "./other.log");
    let text = text.replace(&format!("127.0.0.1:{open}"), &taken.to_string());
    fs::write(rig.config(), text).unwrap();
    let answer = rig.control("RELOAD");
    assert!(answer[0].contains(&taken.to_string()), "{answer:?}");
    // Both the refusal and what follows are in the log that was in force, and the port is open.
    rig.wait_log(&[&taken.to_string()]);
    assert_eq!(Dialogue::port(open).say("NOOP")[..3], *"250");
    rig.wait_log(&["connect from localhost[127.0.0.1]"]);
}

#[test]
fn ports_follow_a_reload() {
    let (first, second) = (free_port(), free_port());
    let gateway = "[gateway catch]\ndeliver = capture:Maildir\n";
    let rig = Rig::capturing("", &format!("[listen]\nsmtp = 127.0.0.1:{first}\n"));
    let mut dialogue = Dialogue::port(first);
    rig.configure(
        "",
        &format!("{gateway}[listen]\nsmtp = 127.0.0.1:{second}\n"),
    );
    assert_eq!(rig.control("RELOAD"), ["OK"]);
    wait_for("the first port is closed", || {
        TcpStream::connect(("127.0.0.1", first)).err()
    });
    // Who was inside stays.
    dialogue.envelope("app@a.example", &["bob@b.example"]);
    assert_eq!(Dialogue::port(second).say("NOOP")[..3], *"250");
    let reply = dialogue.say("DATA");
    assert!(reply.starts_with("354"), "{reply}");
    dialogue.send(b"Subject: x\r\n\r\n.\r\n");
    assert!(dialogue.reply().starts_with("250"));
    // What sendmail alone may ask for is not for others.
    let reply = dialogue.say("MAIL FROM:<a@a.example> XASIS");
    assert!(reply.starts_with("5"), "{reply}");
}

#[test]
fn a_reload_that_comes_while_relayd_starts_waits_for_its_ports() {
    let port = free_port();
    let listen = format!(
        "{}[listen]\nsmtp = 127.0.0.1:{port}\n",
        gateway_section(free_port())
    );
    let mut rig = Rig::new("", &listen);
    rig.start();
    assert_eq!(rig.stop().code(), Some(0));
    // What is found damaged in the spool makes the next start take its time.
    for number in 0..1000 {
        let id = format!("60FD{number:08}");
        fs::write(rig.entry("incoming", &id), "nonsense").unwrap();
        rig.own(rig.entry("incoming", &id));
    }
    for name in ["run/submit.sock", "run/control.sock"] {
        let _ = fs::remove_file(rig.path(name));
    }
    // Its sockets are the first that others see of it.
    let early = "(until [ -S run/submit.sock ]; do :; done; kill -HUP $$) & exec \"$0\"";
    let relayd = rig.command();
    let mut command = Command::new("sh");
    command
        .args(["-c", early])
        .arg(relayd.get_program())
        .current_dir(rig.path(""))
        .env("RELAYD_CONFIG", rig.config())
        .stdin(Stdio::null());
    rig.start_as(&mut command);
    rig.wait_log(&["reload -- version"]);
    assert_eq!(rig.count_log(&["settings not reloaded"]), 0);
    assert_eq!(Dialogue::port(port).say("NOOP")[..3], *"250");
}

#[test]
fn sessions_with_the_gateway_end_in_good_order_at_a_reload() {
    let (before, after) = (Gateway::start(), Gateway::start());
    before.shut_gate();
    let rig = Rig::relaying("", before.port);
    submit(&rig, "app", &["one@far.example"], "A: b\r\n\r\n\r\n");
    before.wait_waiting(1);
    rig.configure("", &gateway_section(after.port));
    assert_eq!(rig.control("RELOAD"), ["OK"]);
    // The transaction under way is not touched; what follows goes by the new settings.
    before.open_gate();
    before.wait_taken(1);
    submit(&rig, "app", &["two@far.example"], "A: b\r\n\r\n\r\n");
    after.wait_taken(1);
    rig.wait_empty();
    assert_eq!((before.taken().len(), after.taken().len()), (1, 1));
    assert_eq!(rig.count_log(&["warning"]), 0);
}

#[test]
fn the_end_waits_for_transactions_and_begins_none() {
    let gateway = Gateway::start();
    gateway.shut_gate();
    let mut rig = Rig::relaying("", gateway.port);
    let mut idle = Dialogue::local(&rig);
    for number in 0..6 {
        submit(
            &rig,
            "app",
            &[&format!("u{number}@far.example")],
            "A: b\r\n\r\n\r\n",
        );
    }
    gateway.wait_waiting(2);
    let mut sending = Dialogue::local(&rig);
    sending.envelope("app", &["last@far.example"]);
    sending.send(b"BDAT 4 LAST\r\n");
    sending.send(b"a:");
    rig.signal("TERM");
    // An idle client is told to go; one in the middle of a message may finish it.
    assert!(idle.reply().starts_with("421 4.3.2"));
    sending.send(b"b\n");
    let last = queue_id(&sending.reply());
    rig.wait_log(&[&last, "queue active"]);
    gateway.open_gate();
    assert_eq!(rig.ended().code(), Some(0));
    assert_eq!(gateway.taken().len(), 2);
    let left = rig.entries("incoming").len() + rig.entries("deferred").len();
    assert_eq!(left, 5);
    assert_eq!(rig.count_log(&["removed"]), 2);
    assert_eq!(rig.count_log(&["warning"]), 0);

    rig.start();
    gateway.wait_taken(7);
    rig.wait_empty();
    assert_eq!(gateway.taken().len(), 7);
}

#[test]
fn the_end_does_not_wait_for_a_gateway_that_says_nothing() {
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut rig = Rig::relaying("", mute.local_addr().unwrap().port());
    submit(&rig, "app", &["bob@far.example"], "A: b\r\n\r\n\r\n");
    let _connection = mute.accept().unwrap();
    let begun = Instant::now();
    assert_eq!(rig.stop().code(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(rig.count_log(&["warning"]), 0);
}

#[test]
fn nothing_is_lost_when_it_ends_under_load() {
    let gateway = Gateway::start();
    let mut rig = Rig::relaying("", gateway.port);
    let socket = rig.path("run/submit.sock");
    let load: Vec<_> = (0..4)
        .map(|_| {
            let socket = socket.clone();
            std::thread::spawn(move || {
                let mut accepted = 0;
                // Until relayd goes away.
                while let Some(mut dialogue) = Dialogue::try_at(&socket) {
                    match dialogue.try_message("app", "bob@far.example") {
                        Some(reply) if reply.starts_with("250") => accepted += 1,
                        _ => break,
                    }
                }
                accepted
            })
        })
        .collect();
    gateway.wait_taken(10);
    assert_eq!(rig.stop().code(), Some(0));
    let accepted: usize = load.into_iter().map(|one| one.join().unwrap()).sum();
    rig.start();
    rig.wait_empty();
    assert_eq!(gateway.taken().len(), accepted);
}

#[test]
fn sockets_of_systemd_are_used_and_stay() {
    let mut rig = Rig::new("", "[gateway catch]\ndeliver = capture:Maildir\n");
    fs::create_dir(rig.path("run")).unwrap();
    support::open_to_all(&rig.path("run"));
    let submit_socket = UnixListener::bind(rig.path("run/submit.sock")).unwrap();
    let control_socket = UnixListener::bind(rig.path("run/control.sock")).unwrap();
    // What is said before the start waits in the socket.
    let early = UnixStream::connect(rig.path("run/control.sock")).unwrap();
    let asking = std::thread::spawn(move || ask(early, "STATUS"));
    let script = "exec 3<&0 4<&1 </dev/null >/dev/null; \
        LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=submit:control exec \"$0\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_relayd")])
        .env("RELAYD_CONFIG", rig.config())
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(
            submit_socket.try_clone().unwrap(),
        )))
        .stdout(Stdio::from(std::os::fd::OwnedFd::from(
            control_socket.try_clone().unwrap(),
        )));
    rig.start_as(&mut command);
    assert_eq!(asking.join().unwrap()[0], "OK");
    submit(&rig, "app", &["bob"], "A: b\r\n\r\n\r\n");
    rig.wait_empty();
    rig.stop();
    assert!(UnixStream::connect(rig.path("run/submit.sock")).is_ok());
}
