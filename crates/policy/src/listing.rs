//! What `mailq`, `postqueue -p` and `postqueue -j` print, byte for byte as Postfix 3.7 does.
//!
//! Both renderers take one record at a time, so that a queue of any length can be shown without
//! being held in memory. The order is the caller's: see [`QueueName`].

use crate::log::printable;
use mail::{Timestamp, date};
use std::fmt::Write;

/// The queues, in the order in which they are listed. Within each, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueueName {
    /// Handed in while relayd was down, and not yet looked at.
    Maildrop,
    /// Being delivered now.
    Active,
    /// Accepted and not yet tried.
    Incoming,
    /// To be tried again later.
    Deferred,
    /// Kept until an admin releases it.
    Hold,
}

impl QueueName {
    /// Every queue, in the order of listing.
    pub const ALL: [Self; 5] = [
        Self::Maildrop,
        Self::Active,
        Self::Incoming,
        Self::Deferred,
        Self::Hold,
    ];

    /// Its name, as `queue_name` shows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Maildrop => "maildrop",
            Self::Active => "active",
            Self::Incoming => "incoming",
            Self::Deferred => "deferred",
            Self::Hold => "hold",
        }
    }

    /// The queue of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|queue| queue.as_str() == name)
    }
}

/// One message of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRecord {
    /// Where it is. Active and held messages are marked `*` and `!`.
    pub queue_name: QueueName,
    /// Its queue id; for [`QueueName::Maildrop`] its file name.
    pub id: String,
    /// An admin asked to give it up; marked `#`.
    pub forced_expire: bool,
    /// When it was accepted.
    pub arrival: Timestamp,
    /// Its content's size in bytes.
    pub size: u64,
    /// The envelope sender; `None` is the null sender and is shown as `MAILER-DAEMON`.
    pub sender: Option<String>,
    /// The recipients that are not done with.
    pub recipients: Vec<QueuedRecipient>,
}

/// One recipient that is not done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedRecipient {
    /// The address.
    pub address: String,
    /// Why the last attempt failed, on one line; `None` if there was none.
    pub reason: Option<String>,
}

/// The null sender, as it is shown.
pub const NULL_SENDER: &str = "MAILER-DAEMON";

const HEADING: &str = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n";
/// A reason's text ends in this column at the earliest.
const REASON_END: usize = 76;
/// Recipients stand this far to the right.
const INDENT: usize = 41;

/// The listing of `postqueue -p`.
///
/// ```
/// # use policy::listing::Mailq;
/// let empty = Mailq::new(|_| 0);
/// assert_eq!(empty.finish(), "Mail queue is empty\n");
/// ```
#[derive(Debug)]
pub struct Mailq<F> {
    /// How far local time is ahead of UTC at a moment, in minutes.
    utc_offset_minutes: F,
    messages: u64,
    bytes: u64,
}

impl<F: Fn(Timestamp) -> i32> Mailq<F> {
    /// A listing in the local time that `utc_offset_minutes` tells. The offset is asked for each
    /// message, because it differs between summer and winter.
    pub const fn new(utc_offset_minutes: F) -> Self {
        Self {
            utc_offset_minutes,
            messages: 0,
            bytes: 0,
        }
    }

    /// The text for the next message.
    #[must_use]
    pub fn record(&mut self, record: &QueueRecord) -> String {
        let mut out = if self.messages == 0 {
            HEADING.to_owned()
        } else {
            "\n".to_owned()
        };
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(record.size);
        let id = format!("{}{}", printable::text(&record.id), marks(record));
        let date = date::asctime(record.arrival, (self.utc_offset_minutes)(record.arrival));
        let sender = record.sender.as_deref().unwrap_or(NULL_SENDER);
        let _ = writeln!(
            out,
            "{id:<11} {:>7} {date:<20.20} {}",
            record.size,
            printable::text(sender)
        );
        recipients(&mut out, &record.recipients);
        out
    }

    /// The end of the listing: the summary, or the one line for an empty queue.
    #[must_use]
    pub fn finish(self) -> String {
        match self.messages {
            0 => "Mail queue is empty\n".to_owned(),
            1 => format!("\n-- {} Kbytes in 1 Request.\n", self.bytes / 1024),
            many => format!("\n-- {} Kbytes in {many} Requests.\n", self.bytes / 1024),
        }
    }
}

fn marks(record: &QueueRecord) -> String {
    let mut marks = String::new();
    match record.queue_name {
        QueueName::Active => marks.push('*'),
        QueueName::Hold => marks.push('!'),
        QueueName::Maildrop | QueueName::Incoming | QueueName::Deferred => {}
    }
    if record.forced_expire {
        marks.push('#');
    }
    marks
}

/// A reason stands once before all recipients in a row that share it. A recipient without one
/// after one with a reason would seem to share it, hence the last arm.
fn recipients(out: &mut String, recipients: &[QueuedRecipient]) {
    let mut last: Option<&str> = None;
    for recipient in recipients {
        let reason = match (&recipient.reason, last) {
            (Some(reason), _) => Some(reason.as_str()),
            (None, None) => None,
            (None, Some(_)) => Some("reason unavailable"),
        };
        if let Some(reason) = reason.filter(|reason| last != Some(*reason)) {
            let shown = printable::text(reason);
            let pad = REASON_END.saturating_sub(shown.len());
            let _ = writeln!(out, "{:pad$}({shown})", "");
            last = Some(reason);
        }
        let _ = writeln!(out, "{:INDENT$}{}", "", printable::text(&recipient.address));
    }
}

/// The line of `postqueue -j` for one message, with its line end.
#[must_use]
pub fn json_line(record: &QueueRecord) -> String {
    let mut out = String::with_capacity(256);
    let QueueRecord {
        queue_name,
        id,
        forced_expire,
        arrival,
        size,
        sender,
        recipients,
    } = record;
    let _ = write!(
        out,
        "{{\"queue_name\": \"{}\", \"queue_id\": ",
        queue_name.as_str()
    );
    json_string(&mut out, id);
    let _ = write!(
        out,
        ", \"arrival_time\": {}, \"message_size\": {size}, \"forced_expire\": {forced_expire}, \
         \"sender\": ",
        arrival.as_secs()
    );
    json_string(&mut out, sender.as_deref().unwrap_or(NULL_SENDER));
    out.push_str(", \"recipients\": [");
    for (index, recipient) in recipients.iter().enumerate() {
        out.push_str(if index == 0 {
            "{\"address\": "
        } else {
            ", {\"address\": "
        });
        json_string(&mut out, &recipient.address);
        if let Some(reason) = &recipient.reason {
            out.push_str(", \"delay_reason\": ");
            json_string(&mut out, reason);
        }
        out.push('}');
    }
    out.push_str("]}\n");
    out
}

/// A JSON string with Postfix's escapes: `/` stays, DEL and other controls are `\u00XX`.
pub(crate) fn json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = "connect to dead.example.net[127.0.0.3]:25: Connection refused";

    fn recipient(address: &str, reason: Option<&str>) -> QueuedRecipient {
        QueuedRecipient {
            address: address.to_owned(),
            reason: reason.map(str::to_owned),
        }
    }

    fn record(
        queue_name: QueueName,
        id: &str,
        size: u64,
        sender: Option<&str>,
        recipients: Vec<QueuedRecipient>,
    ) -> QueueRecord {
        QueueRecord {
            queue_name,
            id: id.to_owned(),
            forced_expire: false,
            arrival: Timestamp::from_secs(1_795_458_739),
            size,
            sender: sender.map(str::to_owned),
            recipients,
        }
    }

    fn mailq(records: &[QueueRecord]) -> String {
        let mut mailq = Mailq::new(|_| 0);
        let mut out: String = records.iter().map(|record| mailq.record(record)).collect();
        out.push_str(&mailq.finish());
        out
    }

    #[test]
    fn lists_as_postfix_3_7_does() {
        let joe = Some("joe@host1.example.com");
        let records = [
            record(
                QueueName::Hold,
                "E7C899E032B",
                245,
                None,
                vec![recipient("a@dead.test", Some(REFUSED))],
            ),
            record(
                QueueName::Hold,
                "EE02C9E03A2",
                276,
                joe,
                vec![recipient("ok@relay.test", None)],
            ),
            record(
                QueueName::Hold,
                "E2CFC9E032C",
                260,
                joe,
                vec![recipient("ok@dead.test", Some(REFUSED))],
            ),
        ];
        let expected = "\
-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
E7C899E032B!     245 Mon Nov 23 18:32:19  MAILER-DAEMON
               (connect to dead.example.net[127.0.0.3]:25: Connection refused)
                                         a@dead.test

EE02C9E03A2!     276 Mon Nov 23 18:32:19  joe@host1.example.com
                                         ok@relay.test

E2CFC9E032C!     260 Mon Nov 23 18:32:19  joe@host1.example.com
               (connect to dead.example.net[127.0.0.3]:25: Connection refused)
                                         ok@dead.test

-- 0 Kbytes in 3 Requests.
";
        assert_eq!(mailq(&records), expected);
    }

    #[test]
    fn pads_short_ids_and_never_cuts_long_reasons() {
        let long =
            "unable to look up host nosuch.example.invalid: Temporary failure in name resolution";
        let lost = "lost connection with gw.example.net[127.0.0.2] while sending RCPT TO";
        let mut first = record(
            QueueName::Deferred,
            "E43C19E04",
            12_345_678,
            Some("j@x"),
            vec![recipient("a@b", Some(long))],
        );
        first.arrival = Timestamp::from_secs(1_788_845_157);
        let mut second = record(
            QueueName::Active,
            "76CAF9E03A2A",
            0,
            Some("j@x"),
            vec![recipient("c@d", Some(lost))],
        );
        second.forced_expire = true;
        let expected = format!(
            "{HEADING}\
E43C19E04   12345678 Tue Sep  8 05:25:57  j@x
({long})
                                         a@b

76CAF9E03A2A*#       0 Mon Nov 23 18:32:19  j@x
        ({lost})
                                         c@d

-- 12056 Kbytes in 2 Requests.
"
        );
        assert_eq!(mailq(&[first, second]), expected);
    }

    #[test]
    fn a_reason_stands_once_for_those_that_share_it() {
        let recipients = vec![
            recipient("a@x", None),
            recipient("b@x", Some("one")),
            recipient("c@x", Some("one")),
            recipient("d@x", Some("two")),
            recipient("e@x", None),
            recipient("f@x", None),
        ];
        let text = mailq(&[record(
            QueueName::Incoming,
            "76CAF9E03A2A",
            1,
            None,
            recipients,
        )]);
        let seen: Vec<&str> = text.lines().skip(2).map(str::trim_start).take(9).collect();
        let expected = [
            "a@x",
            "(one)",
            "b@x",
            "c@x",
            "(two)",
            "d@x",
            "(reason unavailable)",
            "e@x",
            "f@x",
        ];
        assert_eq!(seen, expected);
        assert!(text.ends_with("\n-- 0 Kbytes in 1 Request.\n"));
    }

    #[test]
    fn local_time_is_that_of_the_message() {
        let mut mailq = Mailq::new(|at: Timestamp| {
            if at.as_secs() > 1_795_000_000 {
                -60
            } else {
                120
            }
        });
        let text = mailq.record(&record(
            QueueName::Incoming,
            "76CAF9E03A2A",
            1,
            None,
            vec![],
        ));
        assert!(text.contains(" Mon Nov 23 17:32:19  "), "{text}");
    }

    #[test]
    fn hostile_text_cannot_add_lines() {
        let noise = "x\n-- 0 Kbytes in 0 Requests.\x1b[2J";
        let hostile = record(
            QueueName::Maildrop,
            noise,
            1,
            Some(noise),
            vec![recipient(noise, Some(noise))],
        );
        assert_eq!(mailq(std::slice::from_ref(&hostile)).lines().count(), 6);
        assert_eq!(json_line(&hostile).lines().count(), 1);
    }

    #[test]
    fn json_is_that_of_postfix_3_7() {
        let held = record(
            QueueName::Hold,
            "E7C899E032B",
            245,
            None,
            vec![
                recipient("a@dead.test", Some(REFUSED)),
                recipient("b@x", None),
            ],
        );
        let expected = r#"{"queue_name": "hold", "queue_id": "E7C899E032B", "arrival_time": 1795458739, "message_size": 245, "forced_expire": false, "sender": "MAILER-DAEMON", "recipients": [{"address": "a@dead.test", "delay_reason": "connect to dead.example.net[127.0.0.3]:25: Connection refused"}, {"address": "b@x"}]}"#;
        assert_eq!(json_line(&held), format!("{expected}\n"));
    }

    #[test]
    fn json_escapes_as_postfix_does() {
        let mut out = String::new();
        json_string(&mut out, "a/b\"c\\d\u{8}\u{c}\n\r\t\x01\x1f\x7fé");
        assert_eq!(out, r#""a/b\"c\\d\b\f\n\r\t\u0001\u001F\u007Fé""#);
    }

    #[test]
    fn queues_are_listed_in_the_order_of_postfix() {
        let names = QueueName::ALL.map(QueueName::as_str);
        assert_eq!(
            names,
            ["maildrop", "active", "incoming", "deferred", "hold"]
        );
        assert!(QueueName::ALL.is_sorted());
        assert_eq!(QueueName::from_name("hold"), Some(QueueName::Hold));
        assert_eq!(QueueName::from_name("corrupt"), None);
    }
}
