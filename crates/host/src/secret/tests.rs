//! Which password files are accepted, and what is said about the others.

use super::*;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, mode: u32, text: &str) -> PathBuf {
        let path = self.0.path().join("password");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }
}

fn read(path: &Path) -> Result<String, String> {
    fetch(
        &PasswordSource::File(path.to_owned()),
        &Keeper::this_process(),
    )
    .map(|secret| secret.reveal().to_owned())
    .map_err(|error| error.to_string())
}

#[test]
fn the_first_line_is_the_password() {
    let folder = Folder::new();
    for (text, password) in [
        ("hunter2", "hunter2"),
        ("hunter2\n", "hunter2"),
        ("hunter2\r\n", "hunter2"),
        (" two words \nsecond line\n", " two words "),
        ("pässword\n", "pässword"),
    ] {
        assert_eq!(read(&folder.file(0o600, text)).unwrap(), password);
    }
}

#[test]
fn a_file_that_holds_no_password_is_refused() {
    let folder = Folder::new();
    for text in ["", "\n", "\nhunter2\n", "a\tb\n", "a\0b"] {
        let problem = read(&folder.file(0o600, text)).unwrap_err();
        assert!(!problem.contains("hunter2"), "{problem}");
    }
    assert!(
        read(&folder.file(0o600, &"x".repeat(5000)))
            .unwrap_err()
            .contains("4 KiB")
    );
}

#[test]
fn a_file_that_others_can_get_at_is_refused() {
    let folder = Folder::new();
    for (mode, word) in [
        (0o644, "0644"),
        (0o602, "everybody"),
        (0o620, "write"),
        (0o660, "write"),
    ] {
        let problem = read(&folder.file(mode, "hunter2")).unwrap_err();
        assert!(problem.contains(word), "{problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn the_group_may_read_if_it_is_the_keepers_or_roots() {
    let folder = Folder::new();
    let path = folder.file(0o640, "hunter2");
    assert_eq!(read(&path).unwrap(), "hunter2");
    if identity::effective_uid() != 0 {
        return;
    }
    chown(&path, None, Some(54_321)).unwrap();
    assert!(read(&path).unwrap_err().contains("group 54321"));
    let account = Account {
        uid: 12_345,
        gid: 54_321,
        login: "x".into(),
        gecos: String::new(),
    };
    let source = PasswordSource::File(path);
    assert!(fetch(&source, &Keeper::account(&account)).is_ok());
}

#[test]
fn the_owner_must_be_root_or_the_keeper() {
    if identity::effective_uid() != 0 {
        return;
    }
    let folder = Folder::new();
    let path = folder.file(0o600, "hunter2");
    chown(&path, Some(12_345), None).unwrap();
    assert!(read(&path).unwrap_err().contains("uid 12345"));
    let account = Account {
        uid: 12_345,
        gid: 54_321,
        login: "x".into(),
        gecos: String::new(),
    };
    assert!(fetch(&PasswordSource::File(path), &Keeper::account(&account)).is_ok());
}

#[test]
fn only_a_regular_file_will_do() {
    let folder = Folder::new();
    let link = folder.0.path().join("link");
    symlink(folder.file(0o600, "hunter2"), &link).unwrap();
    assert!(read(&link).unwrap_err().contains("symbolic link"));
    assert!(read(folder.0.path()).unwrap_err().contains("regular file"));
    assert!(
        read(Path::new("/nonexistent/password"))
            .unwrap_err()
            .contains("No such file")
    );

    let fifo = folder.0.path().join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    assert!(read(&fifo).unwrap_err().contains("regular file"));
}

#[test]
fn a_command_is_asked() {
    let ask = |line: &str| {
        fetch(
            &PasswordSource::Command(line.into()),
            &Keeper::this_process(),
        )
        .map(|secret| secret.reveal().to_owned())
        .map_err(|error| error.to_string())
    };
    assert_eq!(ask("echo hunter2").unwrap(), "hunter2");
    assert_eq!(
        ask("true").unwrap_err(),
        "password_command: its first line is empty"
    );
}

#[test]
fn a_credential_is_a_file_name() {
    for name in ["", "../x", "a/b", ".hidden"] {
        assert!(
            credential_path(name)
                .unwrap_err()
                .problem
                .contains("plain file name"),
            "{name}"
        );
    }
}
