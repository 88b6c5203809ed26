//! What a gateway is given of a stored message: the From policy and the repair put together.
//!
//! The content is read once to learn what is in it ([`Reading`]), and, if anything has to change, a
//! second time while it is sent ([`Passage`]). Neither keeps more of it than its header block.

use std::fmt;

use mail::header::{HEADER_LIMIT, HeaderBlock};
use mail::repair::{self, Channel, Findings, Plan, Repair, Scanner};
use mail::{Address, Envelope};
use smtp::capabilities::Capabilities;
use smtp::client::Transaction;

use crate::bulk;
use crate::from::{self, Host, Refused, Rules};

/// The longest header block, in bytes, that the From policy is applied to.
const BLOCK_LIMIT: usize = 16 * HEADER_LIMIT;

/// What a gateway can carry of a message that came in with this envelope.
#[must_use]
pub fn channel(capabilities: &Capabilities, envelope: &Envelope) -> Channel {
    Channel {
        eight_bit: capabilities.eightbitmime,
        utf8_header: capabilities.smtputf8 && envelope.smtputf8,
    }
}

/// Reads a message's content, fed in pieces of any size, to learn what is in it.
pub struct Reading {
    scanner: Scanner,
    /// The content up to the empty line after the header block.
    head: Vec<u8>,
    head_ended: bool,
}

/// What is known of a message's content once it was read.
#[derive(Clone, Debug)]
pub struct Content {
    findings: Findings,
    /// The header block; `None` if it is too long to be worked on.
    block: Option<Vec<u8>>,
    /// An empty line follows the header block.
    separated: bool,
}

/// Why a message must not go to a gateway. It is the message's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The From policy refuses it.
    Refused(Refused),
    /// Its From cannot be looked at.
    HeaderTooLong,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::HeaderTooLong => f.write_str("the header block is too long for the From policy"),
        }
    }
}

impl std::error::Error for Unfit {}

impl Default for Reading {
    fn default() -> Self {
        Self::new()
    }
}

impl Reading {
    /// At the beginning of the content.
    #[must_use]
    pub fn new() -> Self {
        Self {
            scanner: Scanner::new(),
            head: Vec::new(),
            head_ended: false,
        }
    }

    /// Takes the next bytes: the header block, an empty line and the body, in CR LF.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.scanner.feed(bytes);
        if self.head_ended || self.head.len() > BLOCK_LIMIT {
            return;
        }
        let seen = self.head.len().saturating_sub(3);
        self.head.extend_from_slice(bytes);
        let mut fours = self.head[seen..].windows(4);
        if let Some(at) = fours.position(|four| four == b"\r\n\r\n") {
            self.head.truncate(seen + at + 2);
            self.head_ended = true;
        }
    }

    /// At the end of the content.
    #[must_use]
    pub fn finish(self) -> Content {
        let end = HeaderBlock::split(&self.head).0.as_bytes().len();
        let mut block = self.head;
        let ends_there = self.head_ended && end == block.len();
        let separated = ends_there || block[end..].starts_with(b"\r\n");
        block.truncate(end);
        Content {
            findings: self.scanner.finish(),
            block: (end <= BLOCK_LIMIT).then_some(block),
            separated,
        }
    }
}

impl Content {
    /// Whether there are bytes above 127 in it.
    #[must_use]
    pub const fn eight_bit(&self) -> bool {
        self.findings.eight_bit()
    }

    /// Whether it says of itself that it is bulk. What has too long a header block says nothing.
    #[must_use]
    pub fn is_bulk(&self) -> bool {
        let block = self.block.as_ref();
        block.is_some_and(|block| bulk::is_bulk(HeaderBlock::new(block)))
    }

    /// Decides what the gateway is given.
    ///
    /// # Errors
    /// [`Unfit`]: nothing may be sent.
    pub fn prepare(
        self,
        rules: &Rules,
        host: Host<'_>,
        sender: Option<&Address>,
        channel: Channel,
    ) -> Result<Passage, Unfit> {
        let stays = from::Outgoing {
            block: None,
            sender: sender.cloned(),
            changes: from::Changes::default(),
        };
        let mut outgoing = match (&self.block, rules.is_idle()) {
            (_, true) => stays,
            (Some(block), false) => rules.apply(host, block, sender).map_err(Unfit::Refused)?,
            (None, false) => return Err(Unfit::HeaderTooLong),
        };
        if let Some(block) = outgoing.block.as_mut().filter(|_| !self.separated) {
            // What told the body from the old block may not tell it from the new one.
            block.extend_from_slice(b"\r\n");
        }
        let eight_bit = self.findings.eight_bit();
        let plan = Plan::new(self.findings, channel);
        let old = self.block.map_or(0, |block| block.len());
        Ok(Passage {
            sender: outgoing.sender,
            from: outgoing.changes,
            eight_bit: eight_bit && (channel.eight_bit || plan.is_none()),
            skip: outgoing.block.as_ref().map_or(0, |_| old),
            block: outgoing.block,
            repair: plan.map(Repair::new),
        })
    }
}

/// A message's content on its way to a gateway.
pub struct Passage {
    /// The envelope sender to be named; `None` is the null sender.
    pub sender: Option<Address>,
    /// What the From policy changed, for the log.
    pub from: from::Changes,
    eight_bit: bool,
    /// How many bytes of the old header block are still to be left out.
    skip: usize,
    /// The new header block, until it is written.
    block: Option<Vec<u8>>,
    repair: Option<Repair>,
}

impl Passage {
    /// Whether the content that is sent differs from the stored one. Its length is not known then.
    #[must_use]
    pub const fn changes_content(&self) -> bool {
        self.block.is_some() || self.repair.is_some()
    }

    /// Makes the transaction say what is sent: the sender, whether there are bytes above 127, no
    /// size where it is not known (so that DATA is used), and, where SMTPUTF8 is not offered,
    /// domains as A-labels. A recipient whose local part is not ASCII stays as it is, and so is
    /// not sent to.
    pub fn declare(&self, transaction: &mut Transaction, capabilities: &Capabilities) {
        transaction.sender.clone_from(&self.sender);
        transaction.eightbit = self.eight_bit;
        if self.changes_content() {
            transaction.size = None;
        }
        if capabilities.smtputf8 {
            return;
        }
        let recipients = transaction.recipients.iter_mut();
        let recipients = recipients.map(|recipient| &mut recipient.address);
        for address in recipients.chain(&mut transaction.sender) {
            if let Some(ascii) = repair::ascii_address(address) {
                *address = ascii;
            }
        }
    }

    /// Takes the next bytes of the stored content and appends to `out` what is sent of them.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if let Some(block) = self.block.take() {
            self.pass(&block, out);
        }
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        self.pass(&bytes[skipped..], out);
    }

    /// Ends the content: appends the rest to `out` and tells what the repair changed, for the log.
    pub fn finish(mut self, out: &mut Vec<u8>) -> repair::Changes {
        self.feed(b"", out);
        let changes = self.repair.map(|repair| repair.finish(out));
        changes.unwrap_or_default()
    }

    fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match &mut self.repair {
            Some(repair) => repair.feed(bytes, out),
            None => out.extend_from_slice(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::AddressPattern;
    use crate::from::Action;
    use mail::Recipient;

    const HOST: Host<'_> = Host {
        hostname: "web1.example",
        domain: "web1.example",
    };
    const EIGHT: Channel = Channel {
        eight_bit: true,
        utf8_header: false,
    };

    fn rules() -> Rules {
        Rules {
            action: Action::Rewrite,
            allow: vec![AddressPattern::Domain("d.example".to_owned())],
            default: Address::parse("n@d.example").ok(),
            ..Rules::default()
        }
    }

    fn read(content: &str, size: usize) -> Content {
        let mut reading = Reading::new();
        content
            .as_bytes()
            .chunks(size)
            .for_each(|piece| reading.feed(piece));
        reading.finish()
    }

    fn sent(content: &str, rules: &Rules, channel: Channel, size: usize) -> String {
        let read = read(content, size);
        let mut passage = read.prepare(rules, HOST, None, channel).unwrap();
        let changes = passage.changes_content();
        let mut out = Vec::new();
        for piece in content.as_bytes().chunks(size) {
            passage.feed(piece, &mut out);
        }
        passage.finish(&mut out);
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out != content, changes);
        out
    }

    #[test]
    fn both_are_applied_however_the_content_is_cut() {
        let content = "To: x\r\nFrom: Jörg <j@x.example>\r\n\r\nGrüße an alle\r\n\r\nend\r\n";
        let seven = Channel {
            eight_bit: false,
            ..EIGHT
        };
        let expected = "To: x\r\nFrom: =?utf-8?Q?J=C3=B6rg?=\r\n <n@d.example>\r\n\
            Reply-To: =?utf-8?Q?J=C3=B6rg?=\r\n <j@x.example>\r\n";
        for size in [1, 3, 1 << 16] {
            let out = sent(content, &rules(), EIGHT, size);
            assert_eq!(out, format!("{expected}\r\nGrüße an alle\r\n\r\nend\r\n"));
            let out = sent(content, &rules(), seven, size);
            assert!(out.starts_with(expected) && out.is_ascii(), "{out}");
            assert!(
                out.ends_with("\r\n\r\nGr=C3=BC=C3=9Fe an alle\r\n\r\nend\r\n"),
                "{out}"
            );
            let out = sent(content, &Rules::default(), EIGHT, size);
            assert!(out.contains("\r\nFrom: =?utf-8?Q?J=C3=B6rg?= <j@x.example>\r\n\r\nGrüße"));
            let plain = content.replace("ö", "o");
            assert_eq!(sent(&plain, &Rules::default(), EIGHT, size), plain);
        }
        assert!(sent("", &rules(), EIGHT, 9).starts_with("From: n@d.example\r\n"));
    }

    #[test]
    fn a_body_does_not_become_part_of_a_new_header_block() {
        for body in [
            " folded\r\n",
            "Subject\r\n",
            "To: x\r\n no field\r\nhere\r\n",
        ] {
            let block_end = HeaderBlock::split(body.as_bytes()).1;
            let (block, body) = body.split_at(block_end);
            for size in [1, 1 << 16] {
                let out = sent(&format!("{block}{body}"), &rules(), EIGHT, size);
                assert_eq!(out, format!("{block}From: n@d.example\r\n\r\n{body}"));
            }
        }
    }

    #[test]
    fn the_transaction_says_what_is_sent() {
        let sender = Address::parse("a@bücher.example").unwrap();
        let recipients =
            ["b@bücher.example", "ü@x.example"].map(|text| Address::parse(text).unwrap());
        let envelope = Envelope::new(Some(sender.clone()), recipients.to_vec());
        let recipients: Vec<Recipient> = envelope.recipients.clone();
        let mut transaction = Transaction::new(&envelope, recipients, Some(9));
        let capabilities = Capabilities::default();
        let channel = channel(&capabilities, &envelope);
        let content = read("From: x@d.example\r\n\r\nü\r\n", 4);
        assert!(content.eight_bit());
        let passage = content
            .prepare(&Rules::default(), HOST, Some(&sender), channel)
            .unwrap();
        passage.declare(&mut transaction, &capabilities);
        assert_eq!((transaction.eightbit, transaction.size), (false, None));
        let shown: Vec<_> = transaction
            .recipients
            .iter()
            .map(|r| r.address.as_str())
            .collect();
        assert_eq!(shown, ["b@xn--bcher-kva.example", "ü@x.example"]);
        assert_eq!(
            transaction.sender.unwrap().as_str(),
            "a@xn--bcher-kva.example"
        );
    }

    #[test]
    fn what_must_not_be_sent_is_told() {
        let refusing = Rules {
            action: Action::Refuse,
            ..rules()
        };
        let unfit = |content: &str, rules: &Rules| {
            read(content, 1 << 16)
                .prepare(rules, HOST, None, EIGHT)
                .err()
        };
        assert!(matches!(
            unfit("From: a@b\r\n\r\n", &refusing),
            Some(Unfit::Refused(_))
        ));
        let long = format!("From: a@b\r\nX: {}\r\n\r\n", "x".repeat(BLOCK_LIMIT));
        assert_eq!(unfit(&long, &rules()), Some(Unfit::HeaderTooLong));
        assert_eq!(unfit(&long, &Rules::default()), None);
    }
}
