//! Handing a message over: to relayd at `submit.sock`, or while it is down to `maildrop`.

use std::io;
use std::path::Path;

use mail::Envelope;
use policy::sysexits::ExitStatus;
use smtp::reply::Reply;
use spool::{RealDisk, SpoolError};

use crate::failure::Failure;
use crate::installation::Installation;
use crate::message::{self, Message};

mod dialogue;

/// How relayd answered.
enum Answer {
    /// It has the message.
    Queued,
    /// It refused the message, or a recipient and with it the message.
    Refused(Reply),
    /// It is not there, or went away; why.
    Absent(String),
}

/// Queues a message. When this returns `Ok`, the message is on stable storage.
///
/// # Errors
/// Nothing was kept: relayd refused the message, both ways are closed (75), or where they are cannot
/// be told (78).
pub(crate) fn submit(
    envelope: &Envelope,
    message: &mut Message,
    installation: &mut Installation,
) -> Result<(), Failure> {
    let mut absent = match to_relayd(envelope, message, &installation.submit_socket()) {
        Answer::Queued => return Ok(()),
        Answer::Refused(reply) => return Err(refused(&reply)),
        Answer::Absent(why) => why,
    };
    if installation.look_closer()? {
        match to_relayd(envelope, message, &installation.submit_socket()) {
            Answer::Queued => return Ok(()),
            Answer::Refused(reply) => return Err(refused(&reply)),
            Answer::Absent(why) => absent = why,
        }
    }
    if !installation.takes_size(message.size()) {
        return Err(message::too_large(installation));
    }
    to_maildrop(envelope, message, &installation.maildrop()).map_err(|error| {
        let text = format!("cannot queue the message: {absent}; {error}");
        Failure::new(ExitStatus::TempFail, text)
    })
}

fn to_relayd(envelope: &Envelope, message: &mut Message, socket: &Path) -> Answer {
    match dialogue::hand_over(socket, envelope, message) {
        // It is stopping, and what it will not take now may wait in maildrop.
        Ok(reply) if reply.code == 421 => Answer::Absent(format!("relayd said: {reply}")),
        Ok(reply) if reply.is_positive() => Answer::Queued,
        Ok(reply) => Answer::Refused(reply),
        Err(error) => Answer::Absent(format!("relayd at {}: {error}", socket.display())),
    }
}

fn to_maildrop(envelope: &Envelope, message: &mut Message, folder: &Path) -> Result<(), DropError> {
    let mut draft = spool::drop_in(RealDisk, folder, envelope)?;
    message.copy_to(|bytes| draft.write(bytes).map_err(DropError::from))?;
    // From here on the mail is safe.
    draft.commit()?;
    Ok(())
}

/// Why a message could not be left in maildrop.
#[derive(Debug)]
enum DropError {
    Spool(SpoolError),
    ReadBack(io::Error),
}

impl From<SpoolError> for DropError {
    fn from(error: SpoolError) -> Self {
        Self::Spool(error)
    }
}

impl From<io::Error> for DropError {
    fn from(error: io::Error) -> Self {
        Self::ReadBack(error)
    }
}

impl std::fmt::Display for DropError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Spool(error) => error.fmt(f),
            Self::ReadBack(error) => write!(f, "cannot read the message back: {error}"),
        }
    }
}

/// What a refusal is to the caller. The subject of the enhanced code (RFC 3463) tells addresses and
/// permission apart; without one the reply code has to do.
fn refused(reply: &Reply) -> Failure {
    let subject = reply
        .status
        .map(|status| (status.subject(), status.detail()));
    let status = match (reply.code, subject) {
        // Too many recipients: no retry will help.
        (452, Some((5, 3))) => ExitStatus::Unavailable,
        (400..=499, _) => ExitStatus::TempFail,
        (552, _) | (_, Some((3, 4))) => ExitStatus::Unavailable,
        (_, Some((1, _))) => ExitStatus::DataError,
        (_, Some((7, _))) | (530 | 535, _) => ExitStatus::NoPermission,
        (501 | 553, _) | (_, Some((6, _))) => ExitStatus::DataError,
        (550, None) => ExitStatus::DataError,
        _ => ExitStatus::Unavailable,
    };
    Failure::new(status, format!("relayd refused the message: {reply}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::StatusCode;

    #[test]
    fn a_refusal_has_the_status_of_its_cause() {
        let status = |code, enhanced: Option<(u8, u16, u16)>| {
            let enhanced =
                enhanced.map(|(class, subject, detail)| StatusCode::new(class, subject, detail));
            refused(&Reply::new(code, enhanced, "text")).status.code()
        };
        for (code, enhanced, expected) in [
            (452, Some((4, 3, 1)), 75),
            (451, None, 75),
            (452, Some((4, 5, 3)), 69),
            (552, Some((5, 3, 4)), 69),
            (552, None, 69),
            (553, Some((5, 1, 3)), 65),
            (501, Some((5, 1, 7)), 65),
            (550, Some((5, 7, 1)), 77),
            (550, None, 65),
            (554, Some((5, 6, 0)), 65),
            (554, Some((5, 4, 6)), 69),
            (500, None, 69),
        ] {
            assert_eq!(status(code, enhanced), expected, "{code} {enhanced:?}");
        }
    }
}
