//! What is to be told, and the mail that tells it.

use std::time::{Duration, SystemTime};

use lettre::address::{Address as LettreAddress, Envelope};
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Body, Mailbox, Message};
use mail::{Address, QueueId, Timestamp};
use policy::settings::alarm::Account;

/// The body of a letter is cut beyond this many bytes: it must get through everywhere.
pub(crate) const LONGEST_BODY: usize = 1 << 20;

/// Something that a person should know now.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// One line of text.
    pub subject: &'a str,
    /// Text in any encoding, lines of any kind.
    pub body: &'a [u8],
    /// The name of this host.
    pub host: &'a str,
    /// When it is told.
    pub at: Timestamp,
    /// Tells letters of the same moment apart.
    pub number: u64,
    /// What it is about, for programs that read it.
    pub event: Event<'a>,
}

/// What a letter is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Nothing that goes on.
    Alone,
    /// Trouble that goes on, known by this word.
    Trouble(&'a str),
    /// The end of that trouble.
    Over(&'a str),
}

impl Letter<'_> {
    /// The body as text: UTF-8, or else Latin-1, which loses no byte.
    pub(crate) fn text(&self) -> String {
        match std::str::from_utf8(self.body) {
            Ok(text) => text.to_owned(),
            Err(_) => self.body.iter().map(|byte| char::from(*byte)).collect(),
        }
    }

    /// The body's first `most` characters, and whether that is all.
    pub(crate) fn beginning(&self, most: usize) -> String {
        let text = self.text();
        match text.char_indices().nth(most) {
            None => text,
            Some((end, _)) => format!("{}\n[cut here]", &text[..end]),
        }
    }

    /// Whom mail on an account is from.
    pub(crate) fn author(&self, account: &Account) -> Address {
        let user = account.user.as_deref().and_then(full_address);
        let own = || full_address(&format!("relayd@{}", self.host));
        account
            .from
            .clone()
            .or(user)
            .or_else(own)
            .unwrap_or_else(|| Address::parse("relayd@localhost").expect("a plain address"))
    }

    /// The letter as a whole message in CRLF form, with every header field that a message needs.
    ///
    /// # Errors
    /// The text of lettre's complaint; not expected.
    pub(crate) fn mail(&self, from: &Address, to: &[Address]) -> Result<Vec<u8>, String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let date = SystemTime::UNIX_EPOCH + Duration::from_micros(self.at.as_micros());
        let id = QueueId::from_number(self.number);
        let message_id = format!("<{}>", mail::date::message_id(self.at, id, self.host));
        // lettre wants an author and an envelope of its own kind. The real ones need not be what it
        // finds well-formed, so they are put in their places as text.
        let author = LettreAddress::new("relayd", "localhost.localdomain");
        let author = author.map_err(|error| said(&error))?;
        let envelope = Envelope::new(None, vec![author.clone()]).map_err(|error| said(&error))?;
        let recipients: Vec<String> = to.iter().map(ToString::to_string).collect();
        let mut message = Message::builder()
            .from(Mailbox::new(None, author))
            .raw_header(raw("To", recipients.join(", ")))
            .date(date)
            .message_id(Some(message_id))
            .subject(self.subject)
            .raw_header(raw("Auto-Submitted", "auto-generated".to_owned()))
            .envelope(envelope)
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN)
            .body(self.content())
            .map_err(|error| said(&error))?;
        message.headers_mut().insert_raw(raw(
            "From",
            format!("relayd on {} <{from}>", self.host_word()),
        ));
        Ok(message.formatted())
    }

    /// The host's name as words of a display name may be.
    fn host_word(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let word: String = self.host.split('.').next().unwrap_or_default().into();
        word.chars().filter(|c| plain(*c)).collect()
    }

    /// The body in an encoding whose bytes are all ASCII.
    fn content(&self) -> Body {
        let mut text = self.text();
        if text.len() > LONGEST_BODY {
            text.truncate(text.floor_char_boundary(LONGEST_BODY));
            text.push_str("\n[the rest is cut]\n");
        }
        // Lines of any kind, as a mail has them; other controls than tabs are not for mail.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let plain = |c: char| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '?',
            c => c,
        };
        let text: String = text.trim_end_matches('\n').chars().map(plain).collect();
        Body::new(text.replace('\n', "\r\n"))
    }
}

/// The text as an address, if it is one with its domain.
fn full_address(text: &str) -> Option<Address> {
    Address::parse(text)
        .ok()
        .filter(|address| address.is_ascii() && address.domain().is_some())
}

fn raw(name: &str, value: String) -> HeaderValue {
    let name = HeaderName::new_from_ascii(name.to_owned()).expect("a constant header name");
    HeaderValue::new(name, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailparse::MailHeaderMap as _;
    use policy::settings::Tls;

    const LETTER: Letter<'_> = Letter {
        subject: "disk full",
        body: b"line one\nline two\n",
        host: "web1.example.com",
        at: Timestamp::from_secs(1_700_000_000),
        number: 7,
        event: Event::Alone,
    };

    fn account(user: Option<&str>) -> Account {
        Account {
            host: "h".to_owned(),
            port: 1,
            tls: Tls::None,
            tls_name: "h".to_owned(),
            ca_file: None,
            user: user.map(str::to_owned),
            password: None,
            from: None,
            to: vec![Address::parse("a@x.example").unwrap()],
        }
    }

    fn mail(letter: &Letter<'_>) -> Vec<u8> {
        let to: Vec<Address> = ["a@x.example", "b@y.example"]
            .map(|one| Address::parse(one).unwrap())
            .into();
        letter.mail(&letter.author(&account(None)), &to).unwrap()
    }

    #[test]
    fn a_mail_has_every_field_that_it_needs() {
        let bytes = mail(&LETTER);
        let read = mailparse::parse_mail(&bytes).unwrap();
        for (name, value) in [
            ("Date", "Tue, 14 Nov 2023 22:13:20 +0000"),
            ("From", "relayd on web1 <relayd@web1.example.com>"),
            ("To", "a@x.example, b@y.example"),
            ("Subject", "disk full"),
            (
                "Message-ID",
                "<20231114221320.000000000007@web1.example.com>",
            ),
            ("Auto-Submitted", "auto-generated"),
            ("MIME-Version", "1.0"),
        ] {
            assert_eq!(read.headers.get_all_values(name), [value], "{name}");
        }
        assert_eq!(read.get_body().unwrap().trim_end(), "line one\r\nline two");
        assert!(bytes.is_ascii());
    }

    #[test]
    fn text_beyond_ascii_comes_through() {
        for (body, expected) in [
            ("größe 5\u{a0}€\n".as_bytes(), "größe 5\u{a0}€"),
            (b"gr\xf6\xdfe\r\n.\r\nend", "größe\r\n.\r\nend"),
            (b"a\0b\x1b[31m\rc", "a?b?[31m\r\nc"),
        ] {
            let letter = Letter {
                subject: "Plattenplatz: größer als „erlaubt“, und zwar so sehr, dass die Zeile gefaltet wird",
                body,
                ..LETTER
            };
            let bytes = mail(&letter);
            assert!(bytes.is_ascii(), "{}", String::from_utf8_lossy(&bytes));
            assert!(bytes.split(|b| *b == b'\n').all(|line| line.len() < 1000));
            let read = mailparse::parse_mail(&bytes).unwrap();
            let subject = read.headers.get_first_value("Subject");
            assert_eq!(subject.as_deref(), Some(letter.subject));
            assert_eq!(read.get_body().unwrap().trim_end(), expected);
        }
    }

    #[test]
    fn long_lines_and_long_bodies_are_made_to_fit() {
        let body = "x".repeat(LONGEST_BODY + 5);
        let bytes = mail(&Letter {
            body: body.as_bytes(),
            ..LETTER
        });
        assert!(bytes.split(|b| *b == b'\n').all(|line| line.len() < 1000));
        let read = mailparse::parse_mail(&bytes).unwrap().get_body().unwrap();
        assert!(read.contains("[the rest is cut]") && read.len() < LONGEST_BODY + 100);
    }

    #[test]
    fn the_author_is_the_account_where_it_is_an_address() {
        let from = |user| LETTER.author(&account(user)).to_string();
        assert_eq!(from(Some("u@one.example")), "u@one.example");
        assert_eq!(from(Some("apikey")), "relayd@web1.example.com");
        assert_eq!(from(None), "relayd@web1.example.com");
        let odd = Letter {
            host: "bad host\r\nX",
            ..LETTER
        };
        assert_eq!(odd.author(&account(None)).to_string(), "relayd@localhost");
    }
}
