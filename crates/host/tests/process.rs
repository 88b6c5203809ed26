//! What can be shown only in a process of its own: each test runs this binary again, with the
//! environment that it is about.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use host::identity::{self, Account};
use host::{privileges, secret, systemd};
use policy::settings::PasswordSource;

const CHILD: &str = "HOST_TEST_CHILD";

/// This binary, to run the test `name` in a child.
fn again(program: &str, name: &str) -> Command {
    let mut command = Command::new(program);
    command.env(CHILD, "1").stdout(Stdio::null());
    if program == "/bin/sh" {
        command.args(["-c", "exec 3<&0; LISTEN_PID=$$ exec \"$0\" --exact \"$1\""]);
        command.arg(std::env::current_exe().unwrap()).arg(name);
    } else {
        command.args(["--exact", name]);
    }
    command
}

fn this() -> String {
    std::env::current_exe()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

#[test]
fn root_is_given_up_for_good() {
    if identity::effective_uid() != 0 {
        return;
    }
    if !is_child() {
        assert!(
            again(&this(), "root_is_given_up_for_good")
                .status()
                .unwrap()
                .success()
        );
        return;
    }
    let account = Account {
        uid: 54_321,
        gid: 54_322,
        login: "x".into(),
        gecos: String::new(),
    };
    privileges::become_for_good(&account).unwrap();
    assert_eq!(
        (identity::effective_uid(), identity::effective_gid()),
        (54_321, 54_322)
    );
    assert_eq!(identity::real_uid(), 54_321);
    assert!(std::fs::read("/etc/shadow").is_err());
    privileges::forbid_core_dumps().unwrap();
}

#[test]
fn sockets_are_taken_over_once_with_their_names() {
    if is_child() {
        let mut sockets = systemd::listen_fds();
        assert!(systemd::listen_fds().is_empty());
        let (name, socket): (String, OwnedFd) = sockets.pop().unwrap();
        assert_eq!((name.as_str(), sockets.len()), ("submit", 0));
        let (mut stream, _) = UnixListener::from(socket).accept().unwrap();
        stream.write_all(b"hello").unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("submit.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    let mut command = again("/bin/sh", "sockets_are_taken_over_once_with_their_names");
    command
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", "submit");
    let mut child = command.stdin(OwnedFd::from(listener)).spawn().unwrap();
    drop(command);
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    assert!(child.wait().unwrap().success());
}

#[test]
fn states_are_reported() {
    if is_child() {
        systemd::notify("READY=1\nSTATUS=fine").unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut command = again(&this(), "states_are_reported");
    assert!(
        command
            .env("NOTIFY_SOCKET", &path)
            .status()
            .unwrap()
            .success()
    );
    let mut buffer = [0; 100];
    let count = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"READY=1\nSTATUS=fine");
}

#[test]
fn a_credential_is_read_from_its_folder() {
    if is_child() {
        let source = PasswordSource::Credential("gateway".into());
        let secret = secret::fetch(&source, &secret::Keeper::this_process()).unwrap();
        assert_eq!(secret.reveal(), "hunter2");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway");
    std::fs::write(&path, "hunter2\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    let mut command = again(&this(), "a_credential_is_read_from_its_folder");
    assert!(
        command
            .env("CREDENTIALS_DIRECTORY", folder.path())
            .status()
            .unwrap()
            .success()
    );
}
