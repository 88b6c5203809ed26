//! The second section of a spool file: envelope, origin and source, as length-delimited fields.
//!
//! Nothing in it is line based, so no text from outside can be taken for structure. The reader
//! takes only what the writer writes: it encodes what it read and compares.

use mail::{Address, Body, Envelope, Notify, Origin, QueueId, Recipient, Ret, Submitter};

use crate::error::Damage;
use crate::maildrop::DropName;
use crate::meta::Source;

/// Most recipients that one entry may have.
pub const RECIPIENTS_MAX: usize = 10_000;
/// Most bytes that envelope and origin may take.
pub const ENVELOPE_MAX: u32 = 16 << 20;

/// What the section says. A file in maildrop has neither origin nor source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) envelope: Envelope,
    pub(crate) origin: Option<Origin>,
    pub(crate) source: Option<Source>,
}

/// The section's bytes, or what about it the format forbids.
pub(crate) fn encode(section: &Section) -> Result<Vec<u8>, &'static str> {
    let count = section.envelope.recipients.len();
    if count == 0 || count > RECIPIENTS_MAX {
        return Err("no recipients, or more than 10,000");
    }
    let bytes = write(section);
    if bytes.len() > ENVELOPE_MAX as usize {
        return Err("the envelope takes more than 16 MiB");
    }
    // What cannot be read again must not be accepted.
    match read(&bytes) {
        Ok(again) if again == *section => Ok(bytes),
        _ => Err("the envelope has an address or a text that cannot be stored"),
    }
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(bytes: &[u8]) -> Result<Section, Damage> {
    let section = read(bytes)?;
    let count = section.envelope.recipients.len();
    let canonical = (1..=RECIPIENTS_MAX).contains(&count) && write(&section) == bytes;
    if canonical {
        Ok(section)
    } else {
        Err(Damage::Envelope)
    }
}

// One letter for each field. A letter that comes into use changes the header's version.
const SENDER: u8 = b'S';
const BODY: u8 = b'B';
const UTF8: u8 = b'U';
const RET: u8 = b'T';
const ENVID: u8 = b'E';
const AS_IS: u8 = b'G';
const RECIPIENT: u8 = b'R';
const ADDRESS: u8 = b'A';
const ORIGINAL: u8 = b'O';
const ORCPT: u8 = b'C';
const NOTIFY: u8 = b'N';
const UID: u8 = b'u';
const LOGIN: u8 = b'l';
const CLIENT: u8 = b'c';
const USER: u8 = b'a';
const SCRIPT: u8 = b'x';
const DROP: u8 = b'd';
const REPORT: u8 = b'r';

fn write(section: &Section) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 64 * section.envelope.recipients.len());
    let envelope = &section.envelope;
    put_text(
        &mut out,
        SENDER,
        envelope.sender.as_ref().map(Address::as_str),
    );
    if envelope.body == Body::EightBitMime {
        put(&mut out, BODY, &[8]);
    }
    if envelope.smtputf8 {
        put(&mut out, UTF8, &[1]);
    }
    if let Some(ret) = envelope.ret {
        put(&mut out, RET, if ret == Ret::Full { b"F" } else { b"H" });
    }
    put_text(&mut out, ENVID, envelope.envid.as_deref());
    if envelope.as_is {
        put(&mut out, AS_IS, &[1]);
    }
    let mut one = Vec::new();
    for recipient in &envelope.recipients {
        one.clear();
        write_recipient(&mut one, recipient);
        put(&mut out, RECIPIENT, &one);
    }
    if let Some(origin) = &section.origin {
        write_origin(&mut out, origin);
    }
    match &section.source {
        Some(Source::Drop(name)) => put(&mut out, DROP, &name.bytes()),
        Some(Source::Report(id)) => put(&mut out, REPORT, &id.number().to_le_bytes()),
        None => {}
    }
    out
}

fn write_recipient(out: &mut Vec<u8>, recipient: &Recipient) {
    put_text(out, ADDRESS, Some(recipient.address.as_str()));
    put_text(out, ORIGINAL, recipient.original.as_deref());
    put_text(out, ORCPT, recipient.orcpt.as_deref());
    if let Some(notify) = recipient.notify {
        let bits = [notify.success, notify.failure, notify.delay];
        put(out, NOTIFY, &bits.map(u8::from));
    }
}

fn write_origin(out: &mut Vec<u8>, origin: &Origin) {
    match &origin.submitter {
        Submitter::Local { uid, login } => {
            put(out, UID, &uid.to_le_bytes());
            put_text(out, LOGIN, login.as_deref());
        }
        Submitter::Client { address, user } => {
            put_text(out, CLIENT, Some(address));
            put_text(out, USER, user.as_deref());
        }
    }
    put_text(out, SCRIPT, origin.script.as_deref());
}

fn put_text(out: &mut Vec<u8>, letter: u8, text: Option<&str>) {
    if let Some(text) = text {
        put(out, letter, text.as_bytes());
    }
}

fn put(out: &mut Vec<u8>, letter: u8, value: &[u8]) {
    // A value above 4 GiB does not come here whole: its section is far above ENVELOPE_MAX.
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    out.push(letter);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(value);
}

/// Fields that are read one after the other; each may be there or not.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The value of the next field, if it has this letter.
    fn take(&mut self, letter: u8) -> Result<Option<&'a [u8]>, Damage> {
        if self.rest.first() != Some(&letter) {
            return Ok(None);
        }
        let (length, rest) = self.rest[1..].split_first_chunk().ok_or(Damage::Envelope)?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > rest.len() {
            return Err(Damage::Envelope);
        }
        let (value, rest) = rest.split_at(length);
        self.rest = rest;
        Ok(Some(value))
    }

    fn text(&mut self, letter: u8) -> Result<Option<String>, Damage> {
        let value = self.take(letter)?;
        let text = |bytes| std::str::from_utf8(bytes).map(str::to_owned);
        value.map(text).transpose().map_err(|_| Damage::Envelope)
    }

    /// A text of the envelope: no control characters, which could break a command line.
    fn plain_text(&mut self, letter: u8) -> Result<Option<String>, Damage> {
        let text = self.text(letter)?;
        let control = |text: &String| text.bytes().any(|byte| byte < 0x20 || byte == 0x7F);
        if text.as_ref().is_some_and(control) {
            Err(Damage::Envelope)
        } else {
            Ok(text)
        }
    }

    fn address(&mut self, letter: u8) -> Result<Option<Address>, Damage> {
        let Some(text) = self.plain_text(letter)? else {
            return Ok(None);
        };
        match Address::parse(&text) {
            Ok(address) if address.as_str() == text => Ok(Some(address)),
            _ => Err(Damage::Envelope),
        }
    }

    fn fixed<const N: usize>(&mut self, letter: u8) -> Result<Option<[u8; N]>, Damage> {
        let value = self.take(letter)?;
        value
            .map(<[u8; N]>::try_from)
            .transpose()
            .map_err(|_| Damage::Envelope)
    }

    fn end(self) -> Result<(), Damage> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Damage::Envelope)
        }
    }
}

fn read(bytes: &[u8]) -> Result<Section, Damage> {
    let mut fields = Fields { rest: bytes };
    let sender = fields.address(SENDER)?;
    let body = match fields.fixed(BODY)? {
        None => Body::SevenBit,
        Some([8]) => Body::EightBitMime,
        Some([_]) => return Err(Damage::Envelope),
    };
    let smtputf8 = fields.fixed(UTF8)? == Some([1]);
    let ret = match fields.fixed(RET)? {
        None => None,
        Some([b'F']) => Some(Ret::Full),
        Some([b'H']) => Some(Ret::Headers),
        Some([_]) => return Err(Damage::Envelope),
    };
    let envid = fields.plain_text(ENVID)?;
    let as_is = fields.fixed(AS_IS)? == Some([1]);
    let mut recipients = Vec::new();
    while let Some(value) = fields.take(RECIPIENT)? {
        if recipients.len() == RECIPIENTS_MAX {
            return Err(Damage::Envelope);
        }
        recipients.push(read_recipient(value)?);
    }
    let origin = read_origin(&mut fields)?;
    let source = read_source(&mut fields)?;
    fields.end()?;
    let envelope = Envelope {
        sender,
        recipients,
        body,
        smtputf8,
        ret,
        envid,
        as_is,
    };
    Ok(Section {
        envelope,
        origin,
        source,
    })
}

fn read_recipient(bytes: &[u8]) -> Result<Recipient, Damage> {
    let mut fields = Fields { rest: bytes };
    let address = fields.address(ADDRESS)?.ok_or(Damage::Envelope)?;
    let original = fields.plain_text(ORIGINAL)?;
    let orcpt = fields.plain_text(ORCPT)?;
    let notify = fields
        .fixed(NOTIFY)?
        .map(|[success, failure, delay]: [u8; 3]| Notify {
            success: success == 1,
            failure: failure == 1,
            delay: delay == 1,
        });
    fields.end()?;
    Ok(Recipient {
        address,
        original,
        orcpt,
        notify,
    })
}

fn read_origin(fields: &mut Fields<'_>) -> Result<Option<Origin>, Damage> {
    let submitter = if let Some(uid) = fields.fixed(UID)? {
        let uid = u32::from_le_bytes(uid);
        Submitter::Local {
            uid,
            login: fields.text(LOGIN)?,
        }
    } else if let Some(address) = fields.text(CLIENT)? {
        Submitter::Client {
            address,
            user: fields.text(USER)?,
        }
    } else {
        return Ok(None);
    };
    Ok(Some(Origin {
        submitter,
        script: fields.text(SCRIPT)?,
    }))
}

fn read_source(fields: &mut Fields<'_>) -> Result<Option<Source>, Damage> {
    if let Some(name) = fields.fixed(DROP)? {
        return Ok(Some(Source::Drop(DropName::from_bytes(name))));
    }
    let report = fields.fixed(REPORT)?;
    Ok(report.map(|id| Source::Report(QueueId::from_number(u64::from_le_bytes(id)))))
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn address() -> impl Strategy<Value = Address> {
        "[a-z]{1,8}@[a-z]{1,8}\\.example".prop_map(|text| Address::parse(&text).unwrap())
    }

    prop_compose! {
        fn recipient()(
            address in address(),
            original in option::of("[ -~]{0,20}"),
            orcpt in option::of("rfc822;[!-~]{0,20}"),
            notify in option::of(any::<[bool; 3]>()),
        ) -> Recipient {
            let notify = notify.map(|[success, failure, delay]| Notify { success, failure, delay });
            Recipient { address, original, orcpt, notify }
        }
    }

    prop_compose! {
        fn envelope()(
            sender in option::of(address()),
            recipients in prop::collection::vec(recipient(), 1..6),
            (eight, smtputf8, as_is) in any::<(bool, bool, bool)>(),
            ret in option::of(any::<bool>()),
            envid in option::of("[!-~]{0,30}"),
        ) -> Envelope {
            let body = if eight { Body::EightBitMime } else { Body::SevenBit };
            let ret = ret.map(|full| if full { Ret::Full } else { Ret::Headers });
            Envelope { sender, recipients, body, smtputf8, ret, envid, as_is }
        }
    }

    fn submitter() -> impl Strategy<Value = Submitter> {
        let text = || option::of("\\PC{0,10}");
        prop_oneof![
            (any::<u32>(), text()).prop_map(|(uid, login)| Submitter::Local { uid, login }),
            ("\\PC{0,10}", text()).prop_map(|(address, user)| Submitter::Client { address, user }),
        ]
    }

    fn source() -> impl Strategy<Value = Source> {
        prop_oneof![
            any::<[u8; 16]>().prop_map(|name| Source::Drop(DropName::from_bytes(name))),
            any::<u64>().prop_map(|id| Source::Report(QueueId::from_number(id))),
        ]
    }

    prop_compose! {
        fn section()(
            envelope in envelope(),
            submitter in submitter(),
            script in option::of("\\PC{0,10}"),
            source in option::of(source()),
        ) -> Section {
            Section { envelope, origin: Some(Origin { submitter, script }), source }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(section in section()) {
            let bytes = encode(&section).unwrap();
            prop_assert_eq!(decode(&bytes), Ok(section));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn what_is_read_is_what_would_be_written(section in section(), at: prop::sample::Index, bit in 0u8..8) {
            let mut bytes = encode(&section).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(other) = decode(&bytes) {
                prop_assert_eq!(encode(&other).unwrap(), bytes);
            }
        }

        #[test]
        fn a_cut_section_is_refused_or_smaller(section in section(), at: prop::sample::Index) {
            let bytes = encode(&section).unwrap();
            let cut = &bytes[..at.index(bytes.len())];
            prop_assert_ne!(decode(cut), Ok(section));
        }
    }

    fn plain(recipients: usize) -> Section {
        let to = (0..recipients).map(|n| Address::parse(&format!("u{n}@x.example")).unwrap());
        Section {
            envelope: Envelope::new(None, to.collect()),
            origin: None,
            source: None,
        }
    }

    #[test]
    fn the_number_of_recipients_is_bounded() {
        assert!(encode(&plain(0)).is_err());
        assert!(encode(&plain(RECIPIENTS_MAX)).is_ok());
        assert!(encode(&plain(RECIPIENTS_MAX + 1)).is_err());
        assert_eq!(
            decode(&write(&plain(RECIPIENTS_MAX + 1))),
            Err(Damage::Envelope)
        );
        assert_eq!(decode(&[]), Err(Damage::Envelope));
    }

    #[test]
    fn control_characters_and_huge_lengths_are_refused() {
        let mut section = plain(1);
        section.envelope.envid = Some("a\r\nb".into());
        assert!(encode(&section).is_err());
        assert_eq!(decode(&write(&section)), Err(Damage::Envelope));
        let huge = [b"R".as_slice(), &[0xFF; 4], b"xx"].concat();
        assert_eq!(decode(&huge), Err(Damage::Envelope));
    }
}
