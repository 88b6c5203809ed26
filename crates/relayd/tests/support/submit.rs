//! A client of relayd's doors: the dialogue that `sendmail` has with the submit socket, and what
//! other clients say at a port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::{PATIENCE, Rig};

/// One dialogue with a door.
pub(crate) struct Dialogue {
    reader: BufReader<Box<dyn Pipe>>,
}

/// A connection of any kind.
pub(crate) trait Pipe: Read + Write + Send {}
impl<T: Read + Write + Send> Pipe for T {}

impl Dialogue {
    /// At the submit socket, greeted.
    pub(crate) fn local(rig: &Rig) -> Self {
        let stream = UnixStream::connect(rig.path("run/submit.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(Box::new(stream)).greeted()
    }

    /// At the submit socket, if relayd is there.
    pub(crate) fn try_at(socket: &Path) -> Option<Self> {
        let stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        Some(Self::over(Box::new(stream)))
    }

    /// A whole dialogue about one message; the last reply, if the session lasted so long.
    pub(crate) fn try_message(&mut self, sender: &str, recipient: &str) -> Option<String> {
        let lines = [
            "EHLO test.example".to_owned(),
            format!("MAIL FROM:<{sender}>"),
            format!("RCPT TO:<{recipient}>"),
            "BDAT 4 LAST\r\na:b".to_owned(),
        ];
        let mut reply = self.try_reply()?;
        for line in lines {
            if !reply.starts_with('2') {
                return Some(reply);
            }
            self.reader
                .get_mut()
                .write_all(format!("{line}\n").as_bytes())
                .ok()?;
            reply = self.try_reply()?;
        }
        Some(reply)
    }

    fn try_reply(&mut self) -> Option<String> {
        let mut reply = String::new();
        loop {
            let before = reply.len();
            if self.reader.read_line(&mut reply).ok()? == 0 {
                return None;
            }
            if reply.as_bytes().get(before + 3) != Some(&b'-') {
                return Some(reply);
            }
        }
    }

    /// At a port of this host, greeted.
    pub(crate) fn port(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::over(Box::new(stream)).greeted()
    }

    pub(crate) fn over(stream: Box<dyn Pipe>) -> Self {
        Self {
            reader: BufReader::new(stream),
        }
    }

    fn greeted(mut self) -> Self {
        let greeting = self.reply();
        assert!(greeting.starts_with("220 relay.example"), "{greeting}");
        self.say("EHLO test.example");
        self
    }

    /// Sends a line and gives the reply.
    pub(crate) fn say(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).unwrap();
        self.reader.get_mut().flush().unwrap();
    }

    /// The next reply, all of its lines.
    pub(crate) fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let before = reply.len();
            let count = self.reader.read_line(&mut reply).unwrap();
            if count == 0 || reply.as_bytes().get(before + 3) != Some(&b'-') {
                return reply;
            }
        }
    }

    /// Whether the far end has closed the connection, once it did or said something.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.reader.fill_buf().unwrap().is_empty()
    }

    /// The envelope; every reply must be positive.
    pub(crate) fn envelope(&mut self, sender: &str, recipients: &[&str]) {
        let reply = self.say(&format!("MAIL FROM:<{sender}>"));
        assert!(reply.starts_with("250"), "{reply}");
        for recipient in recipients {
            let reply = self.say(&format!("RCPT TO:<{recipient}>"));
            assert!(reply.starts_with("250"), "{reply}");
        }
    }

    /// One message by BDAT; gives the reply to it.
    pub(crate) fn message(&mut self, sender: &str, recipients: &[&str], content: &[u8]) -> String {
        self.envelope(sender, recipients);
        self.send(format!("BDAT {} LAST\r\n", content.len()).as_bytes());
        self.send(content);
        self.reply()
    }

    /// One message by DATA; gives the reply to it.
    pub(crate) fn message_by_data(&mut self, sender: &str, recipient: &str, text: &str) -> String {
        self.envelope(sender, &[recipient]);
        assert!(self.say("DATA").starts_with("354"));
        self.say(&format!("{text}\r\n."))
    }
}

/// Hands in one message; gives its queue id.
pub(crate) fn submit(rig: &Rig, sender: &str, recipients: &[&str], content: &str) -> String {
    let reply = Dialogue::local(rig).message(sender, recipients, content.as_bytes());
    queue_id(&reply)
}

/// The id in `250 2.0.0 Ok: queued as ID`.
pub(crate) fn queue_id(reply: &str) -> String {
    let (_, id) = reply
        .split_once("queued as ")
        .unwrap_or_else(|| panic!("not queued: {reply}"));
    id.trim().to_owned()
}
