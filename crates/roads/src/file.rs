//! The road into a file: a mailbox in the mbox form, which every mail reader opens.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use mail::Address;

use crate::{Accepted, Letter, Outcome, Refusal, RefusalKind};

/// Appends the letter; whole, or not at all. It is on the disk when this returns.
pub(crate) fn append(letter: &Letter<'_>, path: &Path) -> Outcome {
    let failed = |error: io::Error| Refusal::temporary(format!("{}: {error}", path.display()));
    let entry = entry(letter).map_err(|text| Refusal::new(RefusalKind::Final, text))?;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    file.lock().map_err(failed)?;
    write(&file, &entry).map_err(failed)?;
    Ok(Accepted::default())
}

fn write(mut file: &File, entry: &[u8]) -> io::Result<()> {
    let facts = file.metadata()?;
    let written = file.write_all(entry).and_then(|()| match facts.is_file() {
        true => file.sync_all(),
        // A device or a fifo, which keeps nothing.
        false => Ok(()),
    });
    if written.is_err() && facts.is_file() {
        // Half a letter helps nobody; where this fails too, the first failure is told.
        let _ = file.set_len(facts.len());
    }
    written
}

/// RFC 4155, in the kind that is called mboxrd.
fn entry(letter: &Letter<'_>) -> Result<Vec<u8>, String> {
    let from = Address::parse("relayd").map_err(|error| error.to_string())?;
    let from = from.qualified(letter.host);
    let to = Address::parse("root").map_err(|error| error.to_string())?;
    let mail = letter.mail(&from, &[to])?;
    let mut entry = format!("From relayd {}\n", mail::date::asctime(letter.at, 0)).into_bytes();
    for line in mail.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let quoted = line.iter().position(|byte| *byte != b'>');
        if quoted.is_some_and(|at| line[at..].starts_with(b"From ")) {
            entry.push(b'>');
        }
        entry.extend_from_slice(line);
        entry.push(b'\n');
    }
    entry.push(b'\n');
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;
    use mail::Timestamp;

    const LETTER: Letter<'_> = Letter {
        subject: "s",
        body: b"From here on\n>From there\n",
        host: "h.example",
        at: Timestamp::from_secs(1_700_000_000),
        number: 1,
        event: Event::Alone,
    };

    #[test]
    fn letters_are_appended_as_a_mailbox() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alarms");
        for _ in 0..2 {
            append(&LETTER, &path).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let begins = text.matches("From relayd Tue Nov 14 22:13:20 2023\n");
        assert_eq!(begins.count(), 2);
        assert_eq!(text.matches("\n>From here on\n>>From there\n").count(), 2);
        assert_eq!(
            text.lines()
                .filter(|line| line.starts_with("From "))
                .count(),
            2
        );
    }

    #[test]
    fn a_full_disk_is_told_and_leaves_nothing_half_written() {
        let refused = append(&LETTER, Path::new("/dev/full")).unwrap_err();
        assert!(refused.text.contains("/dev/full: "), "{refused:?}");
        assert!(append(&LETTER, Path::new("/nowhere/at/all")).is_err());
    }
}
