//! The journal at the end of an entry: records of what happened to its recipients.
//!
//! A record is `length`, `checksum`, payload. The checksum covers the one of the record before,
//! so only an unbroken run from the start counts. A torn last record ends the run and is
//! overwritten by the next; whatever stale bytes follow can never join the run again.

use mail::{StatusCode, Timestamp};

use crate::error::Damage;
use crate::meta::{AttemptMark, NAME_MAX, Outcome, OutcomeKind, TEXT_MAX};

/// Bytes before a record's payload: its length and its checksum.
pub(crate) const FRAME_LEN: u64 = 8;
/// Longest payload. Three lists of 10,000 recipients fit in their worst form.
pub(crate) const RECORD_MAX: u32 = 256 * 1024;

/// One fact about an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// Content is about to be sent to these recipients.
    Attempt(AttemptMark),
    /// The same thing happened to these recipients.
    Outcome(Outcomes),
    /// The attempt ended before content was sent.
    Closed,
    /// The state when the file was rewritten, after the last outcomes.
    Carried(Carried),
}

/// One outcome shared by several recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcomes {
    pub(crate) kind: OutcomeKind,
    pub(crate) status: StatusCode,
    pub(crate) at: Timestamp,
    pub(crate) relay: String,
    pub(crate) text: String,
    pub(crate) recipients: Vec<u32>,
}

/// What outcomes alone do not tell. The lists name recipients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) attempts: u32,
    pub(crate) uncertain: Vec<u32>,
    pub(crate) open: Vec<u32>,
    pub(crate) doubted: Vec<u32>,
}

/// Adds a record's bytes to `out`; takes and returns the checksum of the record before.
pub(crate) fn append(out: &mut Vec<u8>, chain: u32, record: &Record) -> u32 {
    let payload = encode(record);
    let length = u32::try_from(payload.len()).expect("records are bounded by RECORD_MAX");
    let sum = checksum(chain, &payload);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(&payload);
    sum
}

/// The length and checksum in a frame. `None` if no record starts here: zeros, or a length that
/// none can have.
pub(crate) fn frame(bytes: [u8; 8]) -> Option<(u32, u32)> {
    let [a, b, c, d, e, f, g, h] = bytes;
    let length = u32::from_le_bytes([a, b, c, d]);
    let sum = u32::from_le_bytes([e, f, g, h]);
    (1..=RECORD_MAX).contains(&length).then_some((length, sum))
}

/// The checksum of a payload that follows a record with checksum `chain`.
pub(crate) fn checksum(chain: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(chain);
    hasher.update(
        &u32::try_from(payload.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    hasher.update(payload);
    hasher.finalize()
}

/// Joins neighbours that say the same, in the order given.
pub(crate) fn group(outcomes: &[Outcome]) -> Vec<Outcomes> {
    let mut groups: Vec<Outcomes> = Vec::new();
    for outcome in outcomes {
        match groups
            .last_mut()
            .filter(|last| last.says_the_same_as(outcome))
        {
            Some(last) => last.recipients.push(outcome.recipient),
            None => groups.push(Outcomes::from(outcome)),
        }
    }
    groups
}

impl Outcomes {
    fn from(outcome: &Outcome) -> Self {
        let Outcome {
            recipient,
            kind,
            status,
            at,
            relay,
            text,
        } = outcome;
        let (kind, status, at, recipients) = (*kind, *status, *at, vec![*recipient]);
        let relay = cut(relay, NAME_MAX).to_owned();
        let text = cut(text, TEXT_MAX).to_owned();
        Self {
            kind,
            status,
            at,
            relay,
            text,
            recipients,
        }
    }

    fn says_the_same_as(&self, outcome: &Outcome) -> bool {
        (self.kind, self.status, self.at) == (outcome.kind, outcome.status, outcome.at)
            && self.relay == cut(&outcome.relay, NAME_MAX)
            && self.text == cut(&outcome.text, TEXT_MAX)
    }

    /// The outcome of one of the recipients.
    pub(crate) fn of(&self, recipient: u32) -> Outcome {
        let Self {
            kind,
            status,
            at,
            relay,
            text,
            ..
        } = self.clone();
        Outcome {
            recipient,
            kind,
            status,
            at,
            relay,
            text,
        }
    }
}

/// At most `max` bytes of `text`, cut where a character ends.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

const ATTEMPT: u8 = 1;
const OUTCOME: u8 = 2;
const CLOSED: u8 = 3;
const CARRIED: u8 = 4;

fn encode(record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    match record {
        Record::Attempt(mark) => {
            out.push(ATTEMPT);
            out.extend_from_slice(&mark.at.as_micros().to_le_bytes());
            put_text(&mut out, cut(&mark.gateway, NAME_MAX));
            put_list(&mut out, &mark.recipients);
        }
        Record::Outcome(outcome) => {
            out.push(OUTCOME);
            out.push(kind_letter(outcome.kind));
            out.push(outcome.status.class());
            out.extend_from_slice(&outcome.status.subject().to_le_bytes());
            out.extend_from_slice(&outcome.status.detail().to_le_bytes());
            out.extend_from_slice(&outcome.at.as_micros().to_le_bytes());
            put_text(&mut out, &outcome.relay);
            put_text(&mut out, &outcome.text);
            put_list(&mut out, &outcome.recipients);
        }
        Record::Closed => out.push(CLOSED),
        Record::Carried(carried) => {
            out.push(CARRIED);
            out.extend_from_slice(&carried.attempts.to_le_bytes());
            put_list(&mut out, &carried.uncertain);
            put_list(&mut out, &carried.open);
            put_list(&mut out, &carried.doubted);
        }
    }
    out
}

/// Reads a payload whose checksum is right. `recipients` is how many the entry has; a place
/// beyond them is damage, as is anything that [`append`] would not write.
pub(crate) fn decode(payload: &[u8], recipients: usize) -> Result<Record, Damage> {
    let record = read(payload, recipients).ok_or(Damage::Journal)?;
    if encode(&record) == payload {
        Ok(record)
    } else {
        Err(Damage::Journal)
    }
}

fn read(payload: &[u8], recipients: usize) -> Option<Record> {
    let (tag, rest) = payload.split_first()?;
    let mut rest = Rest(rest);
    let record = match *tag {
        ATTEMPT => Record::Attempt(AttemptMark {
            at: rest.time()?,
            gateway: rest.text()?,
            recipients: rest.list(recipients)?,
        }),
        OUTCOME => Record::Outcome(Outcomes {
            kind: rest.kind()?,
            status: rest.status()?,
            at: rest.time()?,
            relay: rest.text()?,
            text: rest.text()?,
            recipients: rest.list(recipients)?,
        }),
        CLOSED => Record::Closed,
        CARRIED => Record::Carried(Carried {
            attempts: u32::from_le_bytes(rest.take()?),
            uncertain: rest.list(recipients)?,
            open: rest.list(recipients)?,
            doubted: rest.list(recipients)?,
        }),
        _ => return None,
    };
    rest.0.is_empty().then_some(record)
}

fn kind_letter(kind: OutcomeKind) -> u8 {
    match kind {
        OutcomeKind::Sent => b'S',
        OutcomeKind::Deferred => b'D',
        OutcomeKind::Uncertain => b'U',
        OutcomeKind::Failed => b'F',
        OutcomeKind::Expired => b'E',
    }
}

/// Texts here are at most `TEXT_MAX` bytes, which two bytes of length can say.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// A list of places as runs (first, how many), since most are one run.
fn put_list(out: &mut Vec<u8>, places: &[u32]) {
    let runs = runs(places);
    let count = u32::try_from(runs.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_le_bytes());
    for (first, length) in runs {
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
    }
}

fn runs(places: &[u32]) -> Vec<(u32, u32)> {
    let mut sorted = places.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for place in sorted {
        match runs.last_mut() {
            Some((first, length)) if *first + *length == place => *length += 1,
            _ => runs.push((place, 1)),
        }
    }
    runs
}

/// What is not yet read of a payload.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*value)
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.take()
            .map(u64::from_le_bytes)
            .map(Timestamp::from_micros)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(u16::from_le_bytes(self.take()?));
        let (value, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        (length <= TEXT_MAX).then(|| String::from_utf8(value.to_vec()).ok())?
    }

    fn kind(&mut self) -> Option<OutcomeKind> {
        let [letter] = self.take()?;
        Some(match letter {
            b'S' => OutcomeKind::Sent,
            b'D' => OutcomeKind::Deferred,
            b'U' => OutcomeKind::Uncertain,
            b'F' => OutcomeKind::Failed,
            b'E' => OutcomeKind::Expired,
            _ => return None,
        })
    }

    fn status(&mut self) -> Option<StatusCode> {
        let [class] = self.take()?;
        let subject = u16::from_le_bytes(self.take()?);
        let detail = u16::from_le_bytes(self.take()?);
        let legal = matches!(class, 2 | 4 | 5) && subject <= 999 && detail <= 999;
        legal.then(|| StatusCode::new(class, subject, detail))
    }

    fn list(&mut self, recipients: usize) -> Option<Vec<u32>> {
        let count = u32::from_le_bytes(self.take()?) as usize;
        if count > recipients || count * 8 > self.0.len() {
            return None;
        }
        let mut places = Vec::new();
        for _ in 0..count {
            let first = u32::from_le_bytes(self.take()?);
            let end = first.checked_add(u32::from_le_bytes(self.take()?))?;
            if end as usize > recipients || places.last().is_some_and(|last| *last >= first) {
                return None;
            }
            places.extend(first..end);
        }
        Some(places)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind() -> impl Strategy<Value = OutcomeKind> {
        use OutcomeKind::{Deferred, Expired, Failed, Sent, Uncertain};
        prop::sample::select(vec![Sent, Deferred, Uncertain, Failed, Expired])
    }

    fn list() -> impl Strategy<Value = Vec<u32>> {
        prop::collection::btree_set(0u32..50, 0..20).prop_map(|set| set.into_iter().collect())
    }

    fn record() -> impl Strategy<Value = Record> {
        let at = any::<u64>().prop_map(Timestamp::from_micros);
        let attempt = ("\\PC{0,20}", at.clone(), list()).prop_map(|(gateway, at, recipients)| {
            Record::Attempt(AttemptMark {
                gateway,
                at,
                recipients,
            })
        });
        let outcome = (kind(), at, "\\PC{0,20}", "\\PC{0,99}", list());
        let outcome = outcome.prop_map(|(kind, at, relay, text, recipients)| {
            let status = StatusCode::new(4, 7, 999);
            Record::Outcome(Outcomes {
                kind,
                status,
                at,
                relay,
                text,
                recipients,
            })
        });
        let carried = (any::<u32>(), list(), list(), list());
        let carried = carried.prop_map(|(attempts, uncertain, open, doubted)| {
            Record::Carried(Carried {
                attempts,
                uncertain,
                open,
                doubted,
            })
        });
        prop_oneof![attempt, outcome, Just(Record::Closed), carried]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(record in record(), chain: u32) {
            let mut bytes = Vec::new();
            let sum = append(&mut bytes, chain, &record);
            let (length, found) = frame(bytes[..8].try_into().unwrap()).unwrap();
            prop_assert_eq!((length as usize, found), (bytes.len() - 8, sum));
            prop_assert_eq!(checksum(chain, &bytes[8..]), sum);
            prop_assert_eq!(decode(&bytes[8..], 50), Ok(record));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..99)) {
            let _ = decode(&bytes, 50);
        }

        #[test]
        fn a_record_counts_only_after_the_one_it_followed(record in record(), a: u32, b: u32) {
            prop_assume!(a != b);
            let payload = encode(&record);
            prop_assert_ne!(checksum(a, &payload), checksum(b, &payload));
        }
    }

    #[test]
    fn places_beyond_the_recipients_are_damage() {
        let mark = AttemptMark {
            gateway: "g".into(),
            at: Timestamp::default(),
            recipients: vec![3],
        };
        let payload = encode(&Record::Attempt(mark));
        assert!(decode(&payload, 4).is_ok());
        assert_eq!(decode(&payload, 3), Err(Damage::Journal));
    }

    #[test]
    fn zeros_are_the_end() {
        assert_eq!(frame([0; 8]), None);
        assert_eq!(frame([0xFF; 8]), None);
    }

    #[test]
    fn the_worst_lists_fit_a_record() {
        let odd: Vec<u32> = (0..10_000).filter(|n| n % 2 == 1).collect();
        let (uncertain, open, doubted) = (odd.clone(), odd.clone(), odd);
        let carried = Carried {
            attempts: 1,
            uncertain,
            open,
            doubted,
        };
        assert!(encode(&Record::Carried(carried)).len() <= RECORD_MAX as usize);
    }

    #[test]
    fn texts_are_cut_where_a_character_ends() {
        assert_eq!(cut("abc", 5), "abc");
        assert_eq!(cut("aéb", 2), "a");
    }
}
