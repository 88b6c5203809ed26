//! What a mail program shows of a message, by Python's `email` package: the judge of content that was encoded anew.

use std::process::Command;

use serde_json::Value;

use crate::program::{need, succeed};

/// Reads a message on standard input; prints JSON.
const READER: &str = r#"
import base64, email, email.policy, json, sys
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
def content(part):
    if part.get_content_maintype() == "text":
        text = part.get_payload(decode=True).decode(part.get_content_charset("ascii"), "backslashreplace")
        return text.replace("\r\n", "\n")
    return base64.b64encode(part.get_payload(decode=True)).decode()
def mailboxes(name):
    return [[a.display_name, a.addr_spec] for f in m.get_all(name, []) for a in f.addresses]
json.dump({
    "subject": str(m["Subject"] or ""),
    "from": mailboxes("From"),
    "reply_to": mailboxes("Reply-To"),
    "to": mailboxes("To"),
    "parts": [[p.get_content_type(), p.get_filename() or "", content(p)] for p in m.walk() if not p.is_multipart()],
    "defects": [str(d) for p in m.walk() for d in p.defects],
}, sys.stdout)
"#;

/// A message as its reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The subject, decoded.
    pub subject: String,
    /// Display name and address of each mailbox in From.
    pub from: Vec<(String, String)>,
    /// The same of Reply-To.
    pub reply_to: Vec<(String, String)>,
    /// The same of To.
    pub to: Vec<(String, String)>,
    /// Every leaf: text with LF line ends, anything else in base64.
    pub parts: Vec<Part>,
    /// What the reader found wrong.
    pub defects: Vec<String>,
}

/// A leaf of the tree of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `text/html`.
    pub kind: String,
    /// The file name, empty without one.
    pub name: String,
    /// The decoded content.
    pub content: String,
}

impl Reading {
    /// Reads a whole message, header block and all.
    #[track_caller]
    pub fn of(message: &[u8]) -> Self {
        need("/usr/bin/python3", "python3");
        let mut command = Command::new("/usr/bin/python3");
        let said = succeed(command.args(["-c", READER]), message);
        let value: Value = serde_json::from_str(&said).expect("the reader prints JSON");
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let list = |name: &str| value[name].as_array().expect("a list").clone();
        let mailboxes = |name: &str| {
            let pairs = list(name);
            pairs.iter().map(|p| (text(&p[0]), text(&p[1]))).collect()
        };
        Self {
            subject: text(&value["subject"]),
            from: mailboxes("from"),
            reply_to: mailboxes("reply_to"),
            to: mailboxes("to"),
            parts: list("parts")
                .iter()
                .map(|part| Part {
                    kind: text(&part[0]),
                    name: text(&part[1]),
                    content: text(&part[2]),
                })
                .collect(),
            defects: list("defects").iter().map(text).collect(),
        }
    }

    /// The content of the only part.
    #[track_caller]
    pub fn text(&self) -> &str {
        assert_eq!(self.parts.len(), 1, "{self:?}");
        &self.parts[0].content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_undone() {
        let raw = "From: =?utf-8?q?J=C3=BCrgen?= <j@x.test>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ngr\u{fc}n\r\n";
        let encoded = "From: =?utf-8?b?SsO8cmdlbg==?= <j@x.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
                       Content-Transfer-Encoding: quoted-printable\r\n\r\ngr=C3=BC=\r\nn\r\n";
        let read = Reading::of(raw.as_bytes());
        assert_eq!(read, Reading::of(encoded.as_bytes()));
        assert_eq!(
            read.from,
            [("J\u{fc}rgen".to_owned(), "j@x.test".to_owned())]
        );
        assert_eq!((read.text(), read.defects.len()), ("gr\u{fc}n\n", 0));
    }
}
