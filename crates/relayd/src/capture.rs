//! `deliver = capture:DIR`: the gateway that keeps mail from leaving. Messages land in a Maildir,
//! one file each, for staging hosts and for trying the suite out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use mail::{Address, QueueId, Timestamp};

/// Writes one message into `maildir` and makes it durable. The envelope is kept as
/// `Return-Path` and `Delivered-To` lines before the header; lines end in LF as in any Maildir.
/// Delivering the same entry again replaces the file, so a retry does not show twice.
///
/// # Errors
/// Any fault of the disk; nothing is left in `new/` then.
pub(crate) fn store(
    maildir: &Path,
    id: QueueId,
    arrival: Timestamp,
    envelope: (Option<&Address>, &[&Address]),
    content: &mut dyn Read,
) -> io::Result<String> {
    for folder in ["tmp", "new", "cur"] {
        fs::create_dir_all(maildir.join(folder))?;
    }
    let name = format!("{}.{id}.relayd", arrival.as_secs());
    let unfinished = maildir.join("tmp").join(&name);
    let written = write_message(&unfinished, envelope, content);
    if let Err(error) = written {
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    fs::rename(&unfinished, maildir.join("new").join(&name))?;
    File::open(maildir.join("new"))?.sync_all()?;
    Ok(name)
}

fn write_message(
    path: &Path,
    (sender, recipients): (Option<&Address>, &[&Address]),
    content: &mut dyn Read,
) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    let mut out = BufWriter::new(file);
    writeln!(out, "Return-Path: <{}>", sender.map_or("", Address::as_str))?;
    for recipient in recipients {
        writeln!(out, "Delivered-To: {recipient}")?;
    }
    copy_with_lf(content, &mut out)?;
    out.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()
}

/// Copies text in CRLF lines as LF lines. The stored content has CR before LF and nowhere else.
fn copy_with_lf(content: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = content.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        for piece in buffer[..count].split(|byte| *byte == b'\r') {
            out.write_all(piece)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_lands_whole_with_its_envelope() {
        let folder = tempfile::tempdir().unwrap();
        let sender = Address::parse("a@x.example").unwrap();
        let recipient = Address::parse("b@y.example").unwrap();
        let mut content: &[u8] = b"Subject: hi\r\n\r\nbody\r\n";
        let recipients = [&recipient];
        let envelope = (Some(&sender), recipients.as_slice());
        let id = QueueId::from_number(7);
        let name = store(
            folder.path(),
            id,
            Timestamp::from_secs(9),
            envelope,
            &mut content,
        )
        .unwrap();
        let text = fs::read_to_string(folder.path().join("new").join(name)).unwrap();
        let expected =
            "Return-Path: <a@x.example>\nDelivered-To: b@y.example\nSubject: hi\n\nbody\n";
        assert_eq!(text, expected);
        assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    }
}
