//! The dialogue with relayd at `submit.sock`: EHLO, MAIL and RCPT in one write, then the content as
//! one BDAT chunk (RFC 3030). Every read and write has a time limit.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use mail::{Body, Envelope, Notify, Recipient, Ret};
use smtp::reply::{Reply, ReplyParser};
use smtp::xtext;

use crate::message::Message;

/// How long relayd may take to connect and greet. It answers in microseconds unless it is stopped
/// or starting; meanwhile maildrop takes the message.
const GREETING: Duration = Duration::from_secs(10);

/// How long it may take for each read and write while it looks at the envelope.
const COMMAND: Duration = Duration::from_secs(30);

/// How long it may take until the message is on a busy disk. If it takes longer the message goes to
/// maildrop and may be sent twice: better than not at all.
const CONTENT: Duration = Duration::from_secs(120);

/// This many recipients are written before replies are read, so that neither side can wait for the
/// other with full buffers.
const BATCH: usize = 200;

/// Hands the message over. The last reply tells what became of it: the positive one to the content,
/// or else the first that refused something, in which case nothing was queued.
///
/// # Errors
/// relayd is not there or the session broke. If it broke after the content was sent the message may
/// have been queued; nobody can know.
pub(super) fn hand_over(
    socket: &Path,
    envelope: &Envelope,
    message: &mut Message,
) -> io::Result<Reply> {
    let mut session = Session::open(socket)?;
    let mut commands = String::from("EHLO localhost\r\n");
    commands.push_str(&mail_command(envelope, message.size()));
    let mut expected = 3;
    for batch in envelope.recipients.chunks(BATCH) {
        for recipient in batch {
            commands.push_str(&rcpt_command(recipient));
            expected += 1;
        }
        if let Some(refusal) = session.ask(&commands, expected)? {
            session.quit();
            return Ok(refusal);
        }
        commands.clear();
        expected = 0;
    }
    session.send_content(message)
}

struct Session {
    stream: UnixStream,
    replies: ReplyParser,
    greeted: bool,
}

impl Session {
    fn open(socket: &Path) -> io::Result<Self> {
        let stream = host::sockets::connect(socket, GREETING)?;
        stream.set_write_timeout(Some(COMMAND))?;
        Ok(Self {
            stream,
            replies: ReplyParser::new(),
            greeted: false,
        })
    }

    /// Writes commands and reads as many replies as are due. Returns the first refusal; whatever
    /// follows it is left unread.
    fn ask(&mut self, commands: &str, replies: usize) -> io::Result<Option<Reply>> {
        self.stream.write_all(commands.as_bytes()).map_err(told)?;
        for _ in 0..replies {
            let reply = self.reply()?;
            if !reply.is_positive() {
                return Ok(Some(reply));
            }
            if !std::mem::replace(&mut self.greeted, true) {
                self.stream.set_read_timeout(Some(COMMAND))?;
            }
        }
        Ok(None)
    }

    fn reply(&mut self) -> io::Result<Reply> {
        loop {
            let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            if let Some(reply) = self.replies.next_reply().map_err(invalid)? {
                return Ok(reply);
            }
            self.read_more()?;
        }
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(io::Error::other("it closed the connection")),
            Ok(count) => {
                self.replies.push(&piece[..count]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(told(error)),
        }
    }

    fn send_content(&mut self, message: &mut Message) -> io::Result<Reply> {
        self.stream.set_read_timeout(Some(CONTENT))?;
        self.stream.set_write_timeout(Some(CONTENT))?;
        let mut chunk = format!("BDAT {} LAST\r\n", message.size()).into_bytes();
        let written = message.copy_to(|bytes| {
            chunk.extend_from_slice(bytes);
            let sent = self.stream.write_all(&chunk);
            chunk.clear();
            sent
        });
        match written {
            Ok(()) => self.reply(),
            // relayd may refuse the content and close before it has read all of it; its reply says why.
            Err(error) if is_hung_up(&error) => self.reply().map_err(|_| told(error)),
            // It waits for the rest, and would say nothing.
            Err(error) => Err(told(error)),
        }
    }

    /// Ends a session whose outcome is known. relayd copes without it.
    fn quit(&mut self) {
        let _ = self.stream.write_all(b"QUIT\r\n");
    }
}

/// The other end does not read any more.
fn is_hung_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

/// Says in words that a time limit was reached, for which the system has no text of its own.
fn told(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, "it does not answer")
        }
        _ => error,
    }
}

fn mail_command(envelope: &Envelope, size: u64) -> String {
    let sender = envelope
        .sender
        .as_ref()
        .map_or("", |sender| sender.as_str());
    let mut command = format!("MAIL FROM:<{sender}> SIZE={size}");
    if envelope.body == Body::EightBitMime {
        command.push_str(" BODY=8BITMIME");
    }
    if envelope.smtputf8 {
        command.push_str(" SMTPUTF8");
    }
    match envelope.ret {
        Some(Ret::Full) => command.push_str(" RET=FULL"),
        Some(Ret::Headers) => command.push_str(" RET=HDRS"),
        None => {}
    }
    if let Some(envid) = &envelope.envid {
        let _ = write!(command, " ENVID={}", xtext::encode(envid));
    }
    if envelope.as_is {
        command.push_str(" XASIS");
    }
    command.push_str("\r\n");
    command
}

fn rcpt_command(recipient: &Recipient) -> String {
    let mut command = format!("RCPT TO:<{}>", recipient.address);
    if let Some(notify) = recipient.notify {
        let _ = write!(command, " NOTIFY={}", notify_words(notify));
    }
    command.push_str("\r\n");
    command
}

fn notify_words(notify: Notify) -> String {
    let words = [
        (notify.success, "SUCCESS"),
        (notify.failure, "FAILURE"),
        (notify.delay, "DELAY"),
    ];
    let chosen: Vec<&str> = words
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, word)| *word)
        .collect();
    if chosen.is_empty() {
        "NEVER".to_owned()
    } else {
        chosen.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::Address;

    #[test]
    fn commands_carry_what_the_envelope_says() {
        let mut envelope = Envelope::new(None, vec![Address::parse("bob").unwrap()]);
        assert_eq!(mail_command(&envelope, 12), "MAIL FROM:<> SIZE=12\r\n");
        envelope.sender = Some(Address::parse("a@b.example").unwrap());
        envelope.body = Body::EightBitMime;
        envelope.smtputf8 = true;
        envelope.ret = Some(Ret::Headers);
        envelope.envid = Some("a+b c".into());
        envelope.as_is = true;
        assert_eq!(
            mail_command(&envelope, 0),
            "MAIL FROM:<a@b.example> SIZE=0 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb+20c XASIS\r\n"
        );
        let recipient = &mut envelope.recipients[0];
        assert_eq!(rcpt_command(recipient), "RCPT TO:<bob>\r\n");
        recipient.notify = Some(Notify::default());
        assert_eq!(rcpt_command(recipient), "RCPT TO:<bob> NOTIFY=NEVER\r\n");
        recipient.notify = Some(Notify {
            success: true,
            failure: false,
            delay: true,
        });
        assert_eq!(
            rcpt_command(recipient),
            "RCPT TO:<bob> NOTIFY=SUCCESS,DELAY\r\n"
        );
    }
}
