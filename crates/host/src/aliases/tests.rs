//! Files that may be used and files that may not. Some of it can be tried by root alone.

use super::*;
use mail::{Address, Envelope};
use policy::aliases::{Rules, complete};
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, mode: u32, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }
}

fn keeper() -> Keeper {
    Keeper::this_process()
}

fn is_root() -> bool {
    crate::identity::effective_uid() == 0
}

/// Where mail for `name` goes.
fn target(aliases: &Aliases, name: &str) -> String {
    let map = Map::default();
    let rules = Rules {
        domain: "d.example",
        hostname: "h.example",
        root: None,
        senders: &map,
        recipients: &map,
    };
    let mut envelope = Envelope::new(None, vec![Address::parse(name).unwrap()]);
    complete(&mut envelope, aliases, &rules);
    let found: Vec<_> = envelope
        .recipients
        .iter()
        .map(|to| to.address.as_str())
        .collect();
    found.join(" ")
}

fn refusal(path: &Path, keeper: &Keeper) -> String {
    load(path, keeper).unwrap_err().to_string()
}

#[test]
fn a_good_file_is_read_also_through_a_link() {
    let folder = Folder::new();
    let file = folder.file("aliases", 0o644, "root: a@x\n");
    assert_eq!(target(&load(&file, &keeper()).unwrap(), "root"), "a@x");
    symlink("aliases", folder.path("link")).unwrap();
    let linked = load(&folder.path("link"), &keeper()).unwrap();
    assert_eq!(target(&linked, "root"), "a@x");
    let wrong = load(&folder.file("wrong", 0o644, "root a@x\n"), &keeper()).unwrap();
    assert!(wrong.problems()[0].to_string().contains("/wrong:1: "));
}

#[test]
fn a_file_that_others_can_change_is_refused() {
    let folder = Folder::new();
    for mode in [0o666, 0o664, 0o646] {
        let said = refusal(&folder.file("aliases", mode, "root: evil@x\n"), &keeper());
        assert!(
            said.contains("writable by others") && said.contains("chmod go-w"),
            "{said}"
        );
    }
    let file = folder.file("aliases", 0o644, "root: a@x\n");
    std::fs::set_permissions(&folder.0, Permissions::from_mode(0o777)).unwrap();
    let said = refusal(&file, &keeper());
    assert!(
        said.contains("its folder") && said.contains("writable"),
        "{said}"
    );
    std::fs::set_permissions(&folder.0, Permissions::from_mode(0o1777)).unwrap();
    assert!(load(&file, &keeper()).is_ok());
    let elsewhere = Folder::new();
    symlink(&file, elsewhere.path("link")).unwrap();
    std::fs::set_permissions(&folder.0, Permissions::from_mode(0o775)).unwrap();
    assert!(refusal(&elsewhere.path("link"), &keeper()).contains("its folder"));
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = Folder::new();
    assert!(refusal(folder.0.path(), &keeper()).contains("not a regular file"));
    let fifo = folder.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    assert!(refusal(&fifo, &keeper()).contains("not a regular file"));
    assert!(refusal(&folder.path("none"), &keeper()).contains("cannot be read"));
}

#[test]
fn owner_and_reader_count() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    let other = Keeper {
        uid: 12345,
        groups: vec![12345],
    };
    let file = folder.file("aliases", 0o644, "list: :include:PATH\n");
    chown(&file, Some(12345), Some(12345)).unwrap();
    assert!(load(&file, &other).is_ok());
    assert!(refusal(&file, &keeper()).contains("belongs to uid 12345"));
    // As /etc/shadow: root's, and not for relayd, though this process could read it.
    let shadow = folder.file("shadow", 0o640, "root:$6$secret:19000::\n");
    assert!(refusal(&shadow, &other).contains("cannot read it"));
    let list = folder.file("list", 0o644, "l@x\n");
    let including = |path: &Path| {
        let text = format!("list: :include:{}\nroot: r@x\n", path.display());
        load(&folder.file("aliases", 0o644, &text), &other).unwrap()
    };
    assert_eq!(target(&including(&list), "list"), "l@x");
    assert_eq!(target(&including(&shadow), "list"), "r@x");
    chown(&list, Some(12345), None).unwrap();
    let refused = including(&list);
    assert!(
        refused.problems()[0]
            .message
            .contains("must belong to root"),
        "{refused:?}"
    );
}

#[test]
fn changes_count_at_once_and_a_bad_file_changes_nothing() {
    let folder = Folder::new();
    let list = folder.file("list", 0o644, "l@x\n");
    let text = format!("root: a@x\nlist: :include:{}\n", list.display());
    let file = folder.file("aliases", 0o644, &text);
    let source = Source::new(Some(file.clone()), keeper());
    let first = source.current();
    assert_eq!(target(&first.aliases, "root"), "a@x");
    assert!(Arc::ptr_eq(&first.aliases, &source.current().aliases));

    folder.file("aliases", 0o644, &format!("bad line\n{text}joe: bb@x\n"));
    let second = source.current();
    assert_eq!(target(&second.aliases, "joe"), "bb@x");
    assert_eq!(second.problems.len(), 1);
    assert_eq!(source.current().problems, []);

    folder.file("aliases", 0o666, "root: evil@example.net\n");
    let kept = source.current();
    assert_eq!(target(&kept.aliases, "root"), "a@x");
    assert!(
        kept.problems[0].message.contains("read last stay"),
        "{:?}",
        kept.problems
    );
    assert_eq!(source.current().problems, []);

    std::fs::remove_file(&file).unwrap();
    assert_eq!(source.current().problems.len(), 1);
    folder.file("aliases", 0o644, &text);
    assert_eq!(source.current().problems, []);
    if is_root() {
        assert_eq!(target(&source.current().aliases, "list"), "l@x");
        folder.file("list", 0o644, "other@x\n");
        assert_eq!(target(&source.current().aliases, "list"), "other@x");
    }
}

#[test]
fn no_file_means_no_aliases() {
    let none = Source::new(None, keeper()).current();
    assert_eq!(
        (target(&none.aliases, "root"), none.problems),
        ("root@d.example".to_owned(), vec![])
    );
    let folder = Folder::new();
    let bad = Source::new(
        Some(folder.file("aliases", 0o666, "root: evil@x\n")),
        keeper(),
    )
    .current();
    assert_eq!(target(&bad.aliases, "root"), "root@d.example");
    assert!(
        bad.problems[0].message.contains("no aliases until then"),
        "{:?}",
        bad.problems
    );
}

#[test]
fn maps_are_read_strictly() {
    let folder = Folder::new();
    assert!(load_map(None, &keeper()).is_ok());
    let good = folder.file("good", 0o644, "@a.example @b.example\n");
    assert!(load_map(Some(&good), &keeper()).is_ok());
    let bad = folder.file("bad", 0o644, "x\n# y\nz\n");
    let said = load_map(Some(&bad), &keeper()).unwrap_err();
    assert_eq!(said.lines().count(), 2);
    assert!(
        said.contains("/bad:1: ") && said.contains("/bad:3: "),
        "{said}"
    );
    let open = folder.file("open", 0o666, "");
    assert!(
        load_map(Some(&open), &keeper())
            .unwrap_err()
            .contains("writable")
    );
}
