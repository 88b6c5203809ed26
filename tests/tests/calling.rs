//! What `sendmail` answers to those who call it: exit statuses, silence, and callers in odd surroundings.

#![forbid(unsafe_code)]

use std::io::Write;
use std::process::{Command, Stdio};

use tests::namespace::root_or_skip;
use tests::program::{built, run};
use tests::scene::{LIMIT, Scene};

const MESSAGE: &[u8] = b"Subject: s\n\ntext\n";

#[test]
fn exit_statuses_say_whose_fault_it_is() {
    let scene = Scene::open();
    let refused: [(&[&str], &[u8], i32); 6] = [
        (&[], MESSAGE, 64),
        (&["-i"], MESSAGE, 64),
        (&["-t"], MESSAGE, 64),
        (&["--no-such-option", "to@x.test"], MESSAGE, 64),
        (&["-%", "to@x.test"], MESSAGE, 64),
        (&["-bt"], MESSAGE, 64),
    ];
    for (arguments, input, status) in refused {
        let output = scene.rig.sendmail(arguments, input);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?}: {complaint}"
        );
        assert!(
            complaint.starts_with("sendmail: "),
            "{arguments:?}: {complaint:?}"
        );
        assert!(output.stdout.is_empty());
    }
    scene.rig.send(&["-i", "to@x.test"], MESSAGE);
    assert_eq!(scene.one().body(), b"text\r\n", "nothing else was queued");
}

#[test]
fn a_message_too_big_is_refused_with_69_whether_relayd_runs_or_not() {
    let mut scene = Scene::open();
    scene
        .rig
        .change(|access| access.top = "message_size_limit = 100000\n".to_owned());
    scene.rig.stop();
    scene.rig.start();
    let big = [MESSAGE, &b"0123456789abcde\n".repeat(10_000)].concat();
    for _ in 0..2 {
        let output = scene.rig.sendmail(&["-i", "to@x.test"], &big);
        assert_eq!(output.status.code(), Some(69), "{output:?}");
        assert_eq!(
            String::from_utf8_lossy(&output.stderr).lines().count(),
            1,
            "{output:?}"
        );
        scene.rig.stop();
        scene.rig.start();
    }
    scene.rig.stop();
    assert_eq!(
        scene.rig.sendmail(&["-i", "to@x.test"], &big).status.code(),
        Some(69)
    );
    scene.rig.start();
    scene.rig.send(&["-i", "to@x.test"], MESSAGE);
    scene.one();
}

#[test]
fn closed_standard_files_are_survived() {
    let scene = Scene::open();
    for (index, closed) in [">&- 2>&-", "2>&-", ">&-"].into_iter().enumerate() {
        let script = format!("exec \"$0\" -i to@x.test {closed}");
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &script])
            .arg(built("sendmail"))
            .env("RELAYD_CONFIG", scene.rig.settings());
        assert!(run(&mut command, MESSAGE).status.success(), "{closed}");
        assert_eq!(scene.nth(index).body(), b"text\r\n");
    }
}

#[test]
fn a_caller_killed_in_mid_message_leaves_nothing() {
    let scene = Scene::open();
    let mut command = scene.rig.command("sendmail");
    let mut child = command
        .args(["-i", "to@x.test"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("sendmail starts");
    let mut stdin = child.stdin.take().expect("piped above");
    stdin
        .write_all(&b"Subject: half\n\n".repeat(20_000))
        .expect("sendmail reads");
    child.kill().expect("ours");
    child.wait().expect("ours");
    drop(stdin);
    scene.rig.send(&["-i", "to@x.test"], MESSAGE);
    assert_eq!(
        scene.one().fields("Subject"),
        ["s"],
        "only the whole message went out"
    );
    scene.rig.expect_empty_queue(LIMIT);
}

#[test]
fn a_lone_dot_ends_the_message_only_without_i() {
    let scene = Scene::open();
    scene
        .rig
        .send(&["to@x.test"], b"Subject: s\n\nbefore\n.\nafter\n");
    assert_eq!(scene.nth(0).body(), b"before\r\n");
    scene
        .rig
        .send(&["-oi", "to@x.test"], b"Subject: s\n\nbefore\n.\nafter\n");
    assert_eq!(scene.nth(1).body(), b"before\r\n.\r\nafter\r\n");
}

#[test]
fn sendmail_under_other_names() {
    let scene = Scene::open();
    let folder = scene.home();
    for (name, said) in [("mailq", "Mail queue is empty\n"), ("newaliases", "")] {
        let link = folder.join(name);
        std::os::unix::fs::symlink(built("sendmail"), &link).expect("home is ours");
        let output = run(
            Command::new(&link).env("RELAYD_CONFIG", scene.rig.settings()),
            b"",
        );
        assert!(output.status.success(), "{name}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), said);
    }
    assert_eq!(
        String::from_utf8_lossy(&scene.rig.sendmail(&["-bp"], b"").stdout),
        "Mail queue is empty\n"
    );
}

/// Containers: a uid that no passwd file knows.
#[test]
fn a_uid_without_a_name_can_send() {
    if !root_or_skip("a_uid_without_a_name_can_send") {
        return;
    }
    let scene = Scene::open();
    let output = run(
        &mut scene.as_user(54_321, &["/usr/sbin/sendmail", "-i", "to@x.test"]),
        MESSAGE,
    );
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let delivery = scene.one();
    assert!(
        delivery.sender.ends_with("@test.example"),
        "{}",
        delivery.sender
    );
    scene.expect_complete_header(&delivery);
}

/// Mail dropped by an ordinary user while relayd is down carries that user's name, whatever its file says.
#[test]
fn maildrop_is_open_to_every_user_and_knows_who_dropped() {
    if !root_or_skip("maildrop_is_open_to_every_user_and_knows_who_dropped") {
        return;
    }
    let mut scene = Scene::open();
    scene.rig.stop();
    let output = run(
        &mut scene.as_user(33, &["/usr/sbin/sendmail", "-i", "to@x.test"]),
        MESSAGE,
    );
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let list = run(
        &mut scene.as_user(
            33,
            &[
                "ls",
                &scene.rig.spool().join("maildrop").display().to_string(),
            ],
        ),
        b"",
    );
    assert!(
        !list.status.success(),
        "nobody but relayd lists the maildrop"
    );
    scene.rig.start();
    assert_eq!(scene.one().sender, "www-data@test.example");
    assert!(scene.rig.log().contains("uid=33"), "{}", scene.rig.log());
}
