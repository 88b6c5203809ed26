//! The file with the users of the submission port: read where nobody else may, replaced as a whole.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use policy::users::Users;

use crate::identity::{self, Account};

/// A file longer than this is not a list of users.
const LARGEST_FILE: u64 = 1 << 20;

/// Reads the users.
///
/// # Errors
/// A text that names the file and, where one is at fault, the line.
pub fn read(file: &Path) -> Result<Users, String> {
    let text = text(file)?;
    Users::parse(&text)
        .map_err(|error| format!("{}:{}: {}", file.display(), error.line, error.what))
}

/// The file as it is; it must be open to its owner and group at most.
///
/// # Errors
/// A text that names the file.
pub fn text(file: &Path) -> Result<String, String> {
    let named = |what: String| format!("{}: {what}", file.display());
    let opened = File::open(file).map_err(|error| named(error.to_string()))?;
    let status = opened
        .metadata()
        .map_err(|error| named(error.to_string()))?;
    let mode = status.mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(named(format!(
            "everybody may get at it (mode {mode:04o}); chmod o= it"
        )));
    }
    let mut text = String::new();
    let read = opened.take(LARGEST_FILE + 1).read_to_string(&mut text);
    read.map_err(|error| named(error.to_string()))?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(named(format!("larger than {LARGEST_FILE} bytes")));
    }
    Ok(text)
}

/// Replaces the file by what `edit` makes of its text; where there is none, of an empty one. Owner
/// and mode stay; a new file belongs to us and to the group of `reader`, who may read it. Two edits
/// at a time wait for each other.
///
/// # Errors
/// A text that names the file, or what `edit` says. The file is then as it was.
pub fn edit(
    file: &Path,
    reader: Option<&Account>,
    edit: impl FnOnce(&str) -> Result<String, String>,
) -> Result<(), String> {
    let named = |error: io::Error| format!("{}: {error}", file.display());
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let held = File::open(folder).map_err(named)?;
    let _lock = Flock::lock(held, FlockArg::LockExclusive)
        .map_err(|(_, errno)| named(io::Error::from(errno)))?;
    let before = match fs::metadata(file) {
        Ok(status) => Some(status),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(named(error)),
    };
    let old = if before.is_some() {
        text(file)?
    } else {
        String::new()
    };
    let new = edit(&old)?;
    let owner = match (&before, reader) {
        (Some(status), _) => (status.uid(), status.gid(), status.mode() & 0o7770),
        (None, Some(account)) if identity::effective_uid() == 0 => (0, account.gid, 0o640),
        (None, _) => (identity::effective_uid(), identity::effective_gid(), 0o600),
    };
    replace(folder, file, &new, owner).map_err(named)
}

fn replace(
    folder: &Path,
    file: &Path,
    text: &str,
    (uid, gid, mode): (u32, u32, u32),
) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new: PathBuf = folder.join(name);
    // We hold the lock, so one that is there was left by a crash.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    out.write_all(text.as_bytes())?;
    fchown(&out, Some(uid), Some(gid))?;
    out.set_permissions(Permissions::from_mode(mode))?;
    out.sync_all()?;
    fs::rename(&new, file)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_keeps_the_mode_and_a_new_file_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        edit(&file, None, |old| Ok(format!("{old}a:b\n"))).unwrap();
        let mode = |file: &Path| fs::metadata(file).unwrap().mode() & 0o7777;
        assert_eq!(mode(&file), 0o600);
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        edit(&file, None, |old| Ok(format!("{old}c:d\n"))).unwrap();
        assert_eq!(
            (mode(&file), text(&file).unwrap()),
            (0o640, "a:b\nc:d\n".to_owned())
        );
    }

    #[test]
    fn an_edit_that_fails_leaves_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        edit(&file, None, |_| Ok("a:b\n".to_owned())).unwrap();
        let failed = edit(&file, None, |_| Err("no such login".to_owned()));
        assert_eq!(failed, Err("no such login".to_owned()));
        assert_eq!(text(&file).unwrap(), "a:b\n");
    }

    #[test]
    fn a_file_open_to_all_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        let problem = text(&file).unwrap_err();
        assert!(problem.ends_with("everybody may get at it (mode 0644); chmod o= it"));
    }

    #[test]
    fn edits_at_the_same_time_are_both_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = &folder.path().join("users");
        std::thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || {
                    edit(file, None, |old| Ok(format!("{old}{number}:x\n"))).unwrap();
                });
            }
        });
        assert_eq!(text(file).unwrap().lines().count(), 8);
    }
}
