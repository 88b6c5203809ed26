//! `--log`: new lines of mail logs, across rotation, that somebody should see.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use policy::alarm::is_notable;
use policy::log::printable;
use policy::sysexits::ExitStatus;

use super::state::State;
use super::{UNKNOWN, print};
use crate::fail;

/// The file of [`Cursor`]s.
pub(super) const CURSORS: &str = "logs";
/// Lines that are shown; further ones are counted.
const SHOWN: u64 = 200;
/// Longer lines are cut, in bytes.
const LONGEST_LINE: u64 = 4096;
/// How many bytes before a cursor tell whether it is still the same file.
const MARK: u64 = 64;

/// What is new.
#[derive(Debug, Default)]
pub(super) struct New {
    /// Lines that somebody should see.
    pub(super) number: u64,
    /// The first of them.
    lines: Vec<String>,
    /// Where all files end now, as text for [`CURSORS`].
    pub(super) cursors: String,
}

impl New {
    pub(super) fn subject(&self) -> String {
        match self.number {
            1 => "1 line in the mail log to look at".to_owned(),
            number => format!("{number} lines in the mail log to look at"),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.lines.join("\n");
        text.push('\n');
        let rest = self.number.saturating_sub(SHOWN);
        if rest > 0 {
            let _ = writeln!(text, "and {rest} more");
        }
        text
    }

    fn take(&mut self, line: &str) {
        if !is_notable(line) {
            return;
        }
        if self.number < SHOWN {
            self.lines.push(printable::shortened(line, 1000));
        }
        self.number += 1;
    }
}

/// Prints what is new and leaves it new; the status is that of a check.
pub(super) fn show(files: &[PathBuf], folder: &Path) -> ExitCode {
    match read(files, folder) {
        Ok(New { number: 0, .. }) => ExitCode::SUCCESS,
        Ok(new) => {
            print(&new.text());
            ExitCode::from(1)
        }
        Err(problem) => {
            fail(ExitStatus::NoInput, &problem);
            ExitCode::from(UNKNOWN)
        }
    }
}

/// Reads what the files have beyond the cursors in `folder`.
///
/// # Errors
/// A file cannot be read; the text names it.
pub(super) fn read(files: &[PathBuf], folder: &Path) -> Result<New, String> {
    let known = State::read(folder, CURSORS);
    let known = known.map_err(|error| format!("{}: {error}", folder.join(CURSORS).display()))?;
    let known: Vec<(Cursor, &str)> = known.lines().filter_map(Cursor::parse).collect();
    let mut new = New::default();
    for path in files {
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        let path = std::path::absolute(path).map_err(failed)?;
        let name = path.to_string_lossy();
        let before = known
            .iter()
            .find(|(_, file)| *file == name)
            .map(|(cursor, _)| *cursor);
        let after = follow(&path, before, &mut new).map_err(failed)?;
        let _ = writeln!(new.cursors, "{after} {name}");
    }
    // Logs that this run was not asked about are remembered as well.
    for (cursor, name) in known {
        let asked = files
            .iter()
            .any(|path| std::path::absolute(path).is_ok_and(|path| path.to_string_lossy() == name));
        if !asked {
            let _ = writeln!(new.cursors, "{cursor} {name}");
        }
    }
    Ok(new)
}

/// How far a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    device: u64,
    inode: u64,
    offset: u64,
    /// Of the bytes before it.
    mark: u64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            device,
            inode,
            offset,
            mark,
        } = self;
        write!(f, "{device} {inode} {offset} {mark}")
    }
}

impl Cursor {
    fn parse(line: &str) -> Option<(Self, &str)> {
        let mut words = line.splitn(5, ' ');
        let mut number = || words.next()?.parse().ok();
        let cursor = Self {
            device: number()?,
            inode: number()?,
            offset: number()?,
            mark: number()?,
        };
        Some((cursor, words.next()?))
    }

    /// Whether this is the file, and it still goes on where it was left.
    fn fits(&self, file: &mut File) -> io::Result<bool> {
        let facts = file.metadata()?;
        let same = (facts.dev(), facts.ino()) == (self.device, self.inode);
        Ok(same && facts.len() >= self.offset && mark(file, self.offset)? == self.mark)
    }
}

/// Reads on in a log from where it was left: the end of the file that was rotated away meanwhile,
/// then the file itself.
fn follow(path: &Path, before: Option<Cursor>, new: &mut New) -> io::Result<Cursor> {
    let mut file = File::open(path)?;
    let Some(before) = before else {
        return read_on(&mut file, 0, new);
    };
    if before.fits(&mut file)? {
        return read_on(&mut file, before.offset, new);
    }
    if let Some(mut rotated) = rotated(path, before)? {
        read_on(&mut rotated, before.offset, new)?;
    }
    read_on(&mut file, 0, new)
}

/// The file beside `path` that has become of the one that was read.
fn rotated(path: &Path, before: Cursor) -> io::Result<Option<File>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(None);
    };
    let name = name.to_string_lossy();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(&*name) || entry.path() == path {
            continue;
        }
        // One that is gone or may not be read is not it.
        let Ok(mut file) = File::open(entry.path()) else {
            continue;
        };
        if before.fits(&mut file).unwrap_or(false) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Reads whole lines from `offset` to the end. A last line without its end is being written.
fn read_on(file: &mut File, offset: u64, new: &mut New) -> io::Result<Cursor> {
    let mut at = offset;
    file.seek(SeekFrom::Start(offset))?;
    let mut reader = BufReader::new(&mut *file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = reader
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)?;
        let is_whole = line.last() == Some(&b'\n') || count as u64 == LONGEST_LINE;
        if count == 0 || !is_whole {
            break;
        }
        at += count as u64;
        new.take(String::from_utf8_lossy(&line).trim_end());
    }
    drop(reader);
    let facts = file.metadata()?;
    Ok(Cursor {
        device: facts.dev(),
        inode: facts.ino(),
        offset: at,
        mark: mark(file, at)?,
    })
}

/// FNV-1a of the bytes before an offset: a log that was emptied and has grown again differs there.
fn mark(file: &mut File, offset: u64) -> io::Result<u64> {
    let from = offset.saturating_sub(MARK);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(offset - from).read_to_end(&mut bytes)?;
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    Ok(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: &str = "h postfix/smtp[1]: warning: number";

    struct Log {
        folder: tempfile::TempDir,
    }

    impl Log {
        fn path(&self) -> PathBuf {
            self.folder.path().join("mail.log")
        }

        fn add(&self, text: &str) {
            use std::io::Write as _;
            let mut file = fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(self.path())
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        /// What is new now, and remembered as seen if `told`.
        fn fresh(&self, told: bool) -> Vec<String> {
            let state = State::hold(&self.folder.path().join("state")).unwrap();
            let new = read(&[self.path()], &self.folder.path().join("state")).unwrap();
            if told {
                state.write(CURSORS, &new.cursors).unwrap();
            }
            let number = |line: &String| line.rsplit(' ').next().unwrap().to_owned();
            new.lines.iter().map(number).collect()
        }
    }

    #[test]
    fn each_line_is_new_once_also_over_rotation() {
        let log = Log {
            folder: tempfile::tempdir().unwrap(),
        };
        log.add(&format!(
            "{BAD} 1\nh postfix/qmgr[1]: 4ABC: removed\n{BAD} 2\n"
        ));
        assert_eq!(log.fresh(false), ["1", "2"]);
        assert_eq!(log.fresh(true), ["1", "2"], "not told, so still new");
        assert!(log.fresh(true).is_empty());
        // A line that is being written waits for its end.
        log.add(BAD);
        assert!(log.fresh(true).is_empty());
        log.add(" 3\n");
        assert_eq!(log.fresh(true), ["3"]);
        // Renamed away with a last line in it, as logrotate does.
        log.add(&format!("{BAD} 4\n"));
        fs::rename(log.path(), log.path().with_extension("log.1")).unwrap();
        log.add(&format!("{BAD} 5\n"));
        assert_eq!(log.fresh(true), ["4", "5"]);
        // Copied and emptied, and grown beyond where it was.
        fs::write(log.path(), "").unwrap();
        log.add(&format!("{BAD} 6\n{BAD} 7\n{BAD} 8\n"));
        assert_eq!(log.fresh(true), ["6", "7", "8"]);
        fs::remove_file(log.path()).unwrap();
        assert!(read(&[log.path()], log.folder.path()).is_err());
    }

    #[test]
    fn many_lines_are_counted_and_logs_are_told_apart() {
        let log = Log {
            folder: tempfile::tempdir().unwrap(),
        };
        log.add(&format!("{BAD} 1\n").repeat(1000));
        let other = log.folder.path().join("other log");
        fs::write(&other, format!("{BAD} 2\n")).unwrap();
        let state = log.folder.path().join("state");
        let new = read(&[log.path(), other.clone()], &state).unwrap();
        assert_eq!((new.number, new.lines.len()), (1001, 200));
        assert!(new.text().ends_with("and 801 more\n"), "{}", new.text());
        State::hold(&state)
            .unwrap()
            .write(CURSORS, &new.cursors)
            .unwrap();
        let again = read(&[other], &state).unwrap();
        assert_eq!((again.number, again.cursors.lines().count()), (0, 2));
    }
}
