//! A dialogue as a person may read it: what each side says, line by line, without passwords and
//! without the content.

use policy::log::printable;

use crate::Listener;

/// Writes down one SMTP session.
pub(crate) struct Transcript {
    listener: Option<Listener>,
    mode: Mode,
    client: Vec<u8>,
    server: Vec<u8>,
    content: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Commands,
    /// From AUTH to the reply that ends it, whatever the client says is secret.
    Secret,
    /// DATA was said.
    Asked,
    /// The content is under way.
    Content,
}

/// A longer piece of a line is shown as a line of its own.
const LONGEST: usize = 4096;

impl Transcript {
    pub(crate) fn new(listener: Option<&Listener>) -> Self {
        Self {
            listener: listener.cloned(),
            mode: Mode::Commands,
            client: Vec::new(),
            server: Vec::new(),
            content: 0,
        }
    }

    /// The client has sent these bytes.
    pub(crate) fn client(&mut self, bytes: &[u8]) {
        if self.listener.is_none() {
            return;
        }
        for line in cut(&mut self.client, bytes) {
            self.client_line(&line);
        }
    }

    /// The server has sent these bytes.
    pub(crate) fn server(&mut self, bytes: &[u8]) {
        if self.listener.is_none() {
            return;
        }
        for line in cut(&mut self.server, bytes) {
            self.server_line(&line);
        }
    }

    fn client_line(&mut self, line: &[u8]) {
        match self.mode {
            Mode::Secret => self.say("C: ***"),
            Mode::Content if line == b"." => {
                self.say(&format!("C: ({} bytes of the message)", self.content));
                self.say("C: .");
                self.mode = Mode::Commands;
            }
            Mode::Content => self.content += line.len() + 2,
            Mode::Commands | Mode::Asked => {
                let text = printable::bytes(line);
                let words: Vec<&str> = text.split(' ').collect();
                match words[..] {
                    [auth, mechanism, ..] if auth.eq_ignore_ascii_case("AUTH") => {
                        let hidden = if words.len() > 2 { " ***" } else { "" };
                        self.say(&format!("C: AUTH {mechanism}{hidden}"));
                        self.mode = Mode::Secret;
                    }
                    [data] if data.eq_ignore_ascii_case("DATA") => {
                        self.say("C: DATA");
                        (self.mode, self.content) = (Mode::Asked, 0);
                    }
                    _ => self.say(&format!("C: {text}")),
                }
            }
        }
    }

    fn server_line(&mut self, line: &[u8]) {
        self.say(&format!("S: {}", printable::bytes(line)));
        let ends = line.get(3) != Some(&b'-');
        match self.mode {
            Mode::Secret if ends && !line.starts_with(b"334") => self.mode = Mode::Commands,
            Mode::Asked if ends && line.starts_with(b"354") => self.mode = Mode::Content,
            Mode::Asked if ends => self.mode = Mode::Commands,
            _ => {}
        }
    }

    fn say(&self, line: &str) {
        if let Some(listener) = &self.listener {
            listener(line);
        }
    }
}

/// The lines that are whole now, without their ends; what is left waits in `kept`.
fn cut(kept: &mut Vec<u8>, bytes: &[u8]) -> Vec<Vec<u8>> {
    kept.extend_from_slice(bytes);
    let mut lines = Vec::new();
    while let Some(end) = kept.iter().position(|byte| *byte == b'\n') {
        let mut line: Vec<u8> = kept.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        lines.push(line);
    }
    if kept.len() > LONGEST {
        lines.push(std::mem::take(kept));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn secrets_and_content_are_not_shown() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&heard);
        let listener: Listener =
            Arc::new(move |line: &str| sink.lock().unwrap().push(line.to_owned()));
        let mut script = Transcript::new(Some(&listener));
        script.server(b"220 x\r\n250-a\r\n250 AU");
        script.server(b"TH PLAIN\r\n");
        script.client(b"AUTH PLAIN c2VjcmV0\r\n");
        script.server(b"535 no\r\n");
        script.client(b"AUTH LOGIN\r\n");
        script.server(b"334 VXNlcm5hbWU6\r\n");
        script.client(b"c2Vjcm");
        script.client(b"V0\r\n");
        script.server(b"334 UGFzc3dvcmQ6\r\n");
        script.client(b"c2VjcmV0\r\n");
        script.server(b"235 ok\x1b\r\n");
        script.client(b"DATA\r\n");
        script.server(b"354 go\r\n");
        script.client(b"Subject: hidden\r\n\r\nAUTH x y\r\n..\r\n.\r\nQUIT\r\n");
        let heard = heard.lock().unwrap();
        assert!(
            !heard
                .iter()
                .any(|line| line.contains("c2V") || line.contains("hidden"))
        );
        assert_eq!(
            heard[3..],
            [
                "C: AUTH PLAIN ***",
                "S: 535 no",
                "C: AUTH LOGIN",
                "S: 334 VXNlcm5hbWU6",
                "C: ***",
                "S: 334 UGFzc3dvcmQ6",
                "C: ***",
                "S: 235 ok?",
                "C: DATA",
                "S: 354 go",
                "C: (33 bytes of the message)",
                "C: .",
                "C: QUIT",
            ]
        );
    }
}
