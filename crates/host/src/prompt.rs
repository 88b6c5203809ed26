//! Asking for a password at the terminal, where it is not shown.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// The longest line that is read, in bytes.
const LONGEST: u64 = 1024;
/// What the interrupt key sends while it raises no signal.
const INTERRUPT: u8 = 3;

/// Shows `prompt` at the controlling terminal and reads one line there, without its line end.
///
/// # Errors
/// There is no terminal, or the line was broken off: with the interrupt key, or by an end of file.
pub fn password(prompt: &str) -> io::Result<Zeroizing<String>> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let quiet = Quiet::on(terminal.try_clone()?)?;
    terminal.write_all(prompt.as_bytes())?;
    let line = line(BufReader::new(&terminal));
    drop(quiet);
    line
}

/// Reads one line of at most 1 KiB, without its line end.
///
/// # Errors
/// It is empty, too long, not UTF-8, or was broken off.
pub fn line(input: impl BufRead) -> io::Result<Zeroizing<String>> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let mut bytes = Zeroizing::new(Vec::new());
    input.take(LONGEST + 1).read_until(b'\n', &mut bytes)?;
    if bytes.contains(&INTERRUPT) {
        return Err(io::ErrorKind::Interrupted.into());
    }
    if bytes.len() as u64 > LONGEST {
        return Err(wrong("the password is longer than 1 KiB"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("the password is not UTF-8 text"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text {
        "" => Err(wrong("there is no password")),
        text if text.contains(char::is_control) => {
            Err(wrong("the password holds a control character"))
        }
        text => Ok(Zeroizing::new(text.to_owned())),
    }
}

/// A terminal that shows nothing of what is typed, until this is dropped. The interrupt key raises
/// no signal meanwhile, since that would leave it so.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn on(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet
            .local_flags
            .remove(LocalFlags::ECHO | LocalFlags::ISIG);
        quiet.local_flags.insert(LocalFlags::ECHONL);
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Nothing is left to try where the terminal is gone.
        let _ = tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_without_its_end_is_the_password() {
        let read = |bytes: &[u8]| line(bytes).map(|text| text.to_string());
        assert_eq!(read(b"open sesame\nmore").unwrap(), "open sesame");
        assert_eq!(read(b"open sesame\r\n").unwrap(), "open sesame");
        assert_eq!(read(b" x ").unwrap(), " x ");
        for bad in [
            &b""[..],
            b"\n",
            b"\r\n",
            b"a\tb\n",
            b"\xff\n",
            &[b'a'; 1025],
        ] {
            let error = read(bad).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bad:?}");
        }
        let broken_off = read(b"abc\x03").unwrap_err();
        assert_eq!(broken_off.kind(), io::ErrorKind::Interrupted);
    }
}
