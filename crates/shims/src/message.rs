//! Reading a message from standard input, whole, before anything is done with it.
//!
//! The whole message is read first because a caller may be killed or may take hours (cron opens its
//! pipe to sendmail at the first output of a job): nothing is queued of a message that has no end,
//! and no session with relayd waits for a slow caller.

use std::io::{self, Read, Write};

use host::scratch::Scratch;
use mail::header::{HEADER_LIMIT, Splitter};
use mail::line_ends::Normaliser;
use policy::sysexits::ExitStatus;

use crate::failure::Failure;
use crate::installation::Installation;

/// Bytes are read in pieces of this size.
const PIECE: usize = 64 * 1024;

/// A message with its line ends in CR LF.
#[derive(Debug)]
pub(crate) struct Message {
    /// The header block: whole lines, without the empty line after it.
    pub(crate) header: Vec<u8>,
    body: Scratch,
    eight_bit: bool,
}

impl Message {
    /// Reads a message up to the end of `input`, or with `dot_terminates` up to a line with a
    /// single dot.
    ///
    /// # Errors
    /// `input` cannot be read (74), the message is larger than the installation takes (69), its
    /// header block is too long (65), or there is no room to keep it (75).
    pub(crate) fn read(
        input: &mut impl Read,
        dot_terminates: bool,
        installation: &mut Installation,
    ) -> Result<Self, Failure> {
        let mut reading = Reading::new(dot_terminates);
        let mut piece = vec![0; PIECE];
        while !reading.normaliser.ended() {
            let count = match input.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let text = format!("cannot read the message: {error}");
                    return Err(Failure::new(ExitStatus::IoError, text));
                }
            };
            reading.take(&piece[..count])?;
            if !installation.takes_size(reading.taken) {
                return Err(too_large(installation));
            }
        }
        reading.finish(installation)
    }

    /// How many bytes [`Message::copy_to`] writes.
    pub(crate) fn size(&self) -> u64 {
        self.header.len() as u64 + 2 + self.body.len()
    }

    /// Whether any byte has its eighth bit set.
    pub(crate) fn is_eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// Passes the message on in pieces: header block, empty line, body. May be called again.
    ///
    /// # Errors
    /// `write` failed, or the message could not be read back.
    pub(crate) fn copy_to<E: From<io::Error>>(
        &mut self,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut head = self.header.clone();
        head.extend_from_slice(b"\r\n");
        let mut reader = self.body.reader()?;
        // A small message is passed on in one piece.
        while reader.by_ref().take(PIECE as u64).read_to_end(&mut head)? == PIECE {
            write(&head)?;
            head.clear();
        }
        if head.is_empty() {
            Ok(())
        } else {
            write(&head)
        }
    }
}

/// The failure of a message beyond the limit, in the words of Postfix.
pub(crate) fn too_large(installation: &Installation) -> Failure {
    let limit = installation.size_limit();
    Failure::new(
        ExitStatus::Unavailable,
        format!("message file too big (limit: {limit} bytes)"),
    )
}

/// A message of which a part was read.
struct Reading {
    normaliser: Normaliser,
    splitter: Option<Splitter>,
    message: Message,
    lines: Vec<u8>,
    taken: u64,
}

impl Reading {
    fn new(dot_terminates: bool) -> Self {
        Self {
            normaliser: Normaliser::new(dot_terminates),
            splitter: Some(Splitter::new()),
            message: Message {
                header: Vec::new(),
                body: Scratch::new(),
                eight_bit: false,
            },
            lines: Vec::new(),
            taken: 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.lines.clear();
        self.normaliser.feed(bytes, &mut self.lines);
        self.sort()
    }

    fn finish(mut self, installation: &mut Installation) -> Result<Message, Failure> {
        self.lines.clear();
        self.normaliser.finish(&mut self.lines);
        self.sort()?;
        self.end_header()?;
        if !installation.takes_size(self.message.size()) {
            return Err(too_large(installation));
        }
        Ok(self.message)
    }

    /// Puts `self.lines` where they belong.
    fn sort(&mut self) -> Result<(), Failure> {
        self.taken += self.lines.len() as u64;
        self.message.eight_bit |= !self.lines.is_ascii();
        let Some(splitter) = &mut self.splitter else {
            return keep(&mut self.message.body, &self.lines);
        };
        let body_start = splitter.feed(&self.lines).map_err(|_| {
            let text = format!("the message's header is longer than {HEADER_LIMIT} bytes");
            Failure::new(ExitStatus::DataError, text)
        })?;
        if let Some(start) = body_start {
            self.end_header()?;
            keep(&mut self.message.body, &self.lines[start..])?;
        }
        Ok(())
    }

    fn end_header(&mut self) -> Result<(), Failure> {
        let Some(splitter) = self.splitter.take() else {
            return Ok(());
        };
        let head = splitter.finish();
        self.message.header = head.block;
        keep(&mut self.message.body, &head.body)
    }
}

fn keep(body: &mut Scratch, bytes: &[u8]) -> Result<(), Failure> {
    body.write_all(bytes).map_err(|error| {
        Failure::new(
            ExitStatus::TempFail,
            format!("no room to keep the message: {error}"),
        )
    })
}
