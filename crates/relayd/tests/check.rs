//! `relayd --check`, and what a start with bad settings says: file, line, remedy, and status 78.
#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod support;

use std::os::unix::fs::symlink;

use support::{Rig, gateway_section};

/// The status and the lines on standard error.
fn check(rig: &Rig, arguments: &[&str]) -> (Option<i32>, Vec<String>) {
    let output = rig.run(arguments);
    assert!(output.stdout.is_empty());
    let errors = String::from_utf8(output.stderr).unwrap();
    let lines = errors.lines().map(|line| {
        let line = line.strip_prefix("relayd: fatal: ").unwrap();
        line.replace(&rig.path("").display().to_string(), "")
    });
    (output.status.code(), lines.collect())
}

fn with_password() -> Rig {
    let section = gateway_section(25);
    Rig::new(
        "",
        &format!("{section}user = app\npassword_file = secret\n"),
    )
}

#[test]
fn good_settings_are_good_and_nothing_is_started() {
    let rig = with_password();
    rig.write("secret", "x\n", 0o600);
    assert_eq!(check(&rig, &["--check"]), (Some(0), Vec::new()));
    assert!(!rig.path("spool").exists() && !rig.path("run").exists());
}

#[test]
fn a_secret_that_cannot_be_used_is_named_with_its_line() {
    let rig = with_password();
    let line = std::fs::read_to_string(rig.config())
        .unwrap()
        .lines()
        .position(|line| line.starts_with("password_file"))
        .unwrap()
        + 1;
    let place = format!("relayd.conf:{line}: password_file: secret: ");
    for arguments in [&["--check"][..], &[]] {
        let (status, lines) = check(&rig, arguments);
        assert_eq!(status, Some(78), "{lines:?}");
        assert_eq!(
            lines,
            [format!("{place}No such file or directory (os error 2)")]
        );
    }
    rig.write("secret", "x\n", 0o644);
    let (status, lines) = check(&rig, &["--check"]);
    assert_eq!(status, Some(78));
    assert_eq!(
        lines,
        [format!(
            "{place}everybody may get at it (mode 0644); chmod o= it"
        )]
    );

    std::fs::remove_file(rig.path("secret")).unwrap();
    symlink(rig.config(), rig.path("secret")).unwrap();
    let (_, lines) = check(&rig, &["--check"]);
    assert_eq!(
        lines,
        [format!(
            "{place}it is a symbolic link; name the file itself"
        )]
    );
}

#[test]
fn a_secret_that_root_alone_can_read_is_found_out_as_well() {
    if !support::is_root() {
        return;
    }
    let rig = with_password();
    rig.write("secret", "x\n", 0o600);
    std::os::unix::fs::chown(rig.path("secret"), Some(0), Some(0)).unwrap();
    let (status, lines) = check(&rig, &["--check"]);
    assert_eq!(status, Some(78));
    assert!(
        lines[0].contains("password_file: secret: Permission denied"),
        "{lines:?}"
    );
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let rig = with_password();
    let text = std::fs::read_to_string(rig.config()).unwrap();
    let text = text.replace("tls = none", "ca_file = no.pem")
        + "[listen]\nsubmission = 127.0.0.1:587\ntls_cert = c.pem\ntls_key = k.pem\nusers_file = u\n";
    std::fs::write(rig.config(), text).unwrap();
    rig.write("k.pem", "", 0o644);
    let (status, lines) = check(&rig, &["--check"]);
    assert_eq!(status, Some(78));
    for words in [
        "password_file: secret: No such file",
        "ca_file: no.pem: No such file",
        "tls_key: k.pem: everybody may get at it (mode 0644); chmod o= it",
        "users_file: u: No such file",
    ] {
        assert!(
            lines.iter().any(|line| line.contains(words)),
            "{words} in {lines:?}"
        );
    }
    assert!(
        lines.iter().all(|line| line.starts_with("relayd.conf:")),
        "{lines:?}"
    );
}

#[test]
fn a_list_of_hashes_is_a_secret_too() {
    let listen =
        "[listen]\nsubmission = 127.0.0.1:587\ntls_cert = c.pem\ntls_key = k.pem\nusers_file = u\n";
    let rig = Rig::new("", &format!("{}{listen}", gateway_section(25)));
    rig.write("u", "web1:$6$salt$hash\n", 0o644);
    let (status, lines) = check(&rig, &["--check"]);
    assert_eq!(status, Some(78));
    let expected = "users_file: u: everybody may get at it (mode 0644); chmod o= it";
    assert!(
        lines.iter().any(|line| line.contains(expected)),
        "{lines:?}"
    );
}

#[test]
fn an_unknown_key_gets_the_nearest_name() {
    let rig = Rig::new("queue_livetime = 1d\n", &gateway_section(25));
    for arguments in [&["--check"][..], &[]] {
        let (status, lines) = check(&rig, arguments);
        assert_eq!(status, Some(78));
        assert!(
            lines[0].starts_with("relayd.conf:") && lines[0].contains("queue_lifetime"),
            "{lines:?}"
        );
    }
}

#[test]
fn a_missing_file_and_a_wrong_option_have_their_own_statuses() {
    let rig = Rig::new("", &gateway_section(25));
    let (status, lines) = check(&rig, &["--check", "--config", "/nonexistent/relayd.conf"]);
    assert_eq!(status, Some(78));
    assert!(
        lines[0].starts_with("/nonexistent/relayd.conf: "),
        "{lines:?}"
    );
    assert_eq!(rig.run(&["--nonsense"]).status.code(), Some(64));
}

#[test]
fn root_is_not_stayed() {
    if !support::is_root() {
        return;
    }
    let rig = Rig::new("", &gateway_section(25));
    let text = std::fs::read_to_string(rig.config()).unwrap();
    for (user, words) in [
        ("root", "refuses to run as root"),
        ("no-such-user", "no account"),
    ] {
        let text = text.replace("user = nobody", &format!("user = {user}"));
        std::fs::write(rig.config(), text).unwrap();
        let (status, lines) = check(&rig, &[]);
        assert_eq!(status, Some(78));
        assert!(lines[0].contains(words), "{lines:?}");
    }
}
