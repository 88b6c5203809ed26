//! Records of the queue, from relayd's answer and from the disk.

use mail::Timestamp;
use policy::listing::{NULL_SENDER, QueueName, QueueRecord, QueuedRecipient};
use serde_json::Value;
use spool::{DropName, Found, Meta, Queue, Source};

/// Reads a line of `policy::listing::json_line`. Members that are not known are ignored, as
/// Postfix's manual asks of those who read it. `None` if it is not such a line.
pub(super) fn from_json(line: &str) -> Option<QueueRecord> {
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |member: &str| line.get(member)?.as_str().map(str::to_owned);
    let number = |member: &str| line.get(member)?.as_u64();
    let recipients = line.get("recipients")?.as_array()?.iter().map(recipient);
    Some(QueueRecord {
        queue_name: QueueName::from_name(&text("queue_name")?)?,
        id: text("queue_id")?,
        forced_expire: line
            .get("forced_expire")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        arrival: Timestamp::from_secs(number("arrival_time")?),
        size: number("message_size")?,
        sender: text("sender").filter(|sender| sender != NULL_SENDER),
        recipients: recipients.collect::<Option<_>>()?,
    })
}

fn recipient(member: &Value) -> Option<QueuedRecipient> {
    let reason = member
        .get("delay_reason")
        .and_then(Value::as_str)
        .map(str::to_owned);
    Some(QueuedRecipient {
        address: member.get("address")?.as_str()?.to_owned(),
        reason,
    })
}

/// What was found on the disk, as records and as warnings about what is damaged.
pub(super) fn from_spool(found: Vec<Found>) -> (Vec<QueueRecord>, Vec<String>) {
    let (mut records, mut warnings) = (Vec::new(), Vec::new());
    for one in found {
        match one {
            Found::Entry(meta) => match queue_name(meta.queue) {
                Some(queue_name) if !meta.is_finished() => records.push(record(&meta, queue_name)),
                _ => {}
            },
            Found::Damaged {
                name, queue, why, ..
            } => {
                warnings.push(format!("{}/{name} is damaged: {why}", queue.name()));
            }
        }
    }
    (records, warnings)
}

fn queue_name(queue: Queue) -> Option<QueueName> {
    match queue {
        Queue::Incoming => Some(QueueName::Incoming),
        Queue::Deferred => Some(QueueName::Deferred),
        Queue::Hold => Some(QueueName::Hold),
        Queue::Maildrop => Some(QueueName::Maildrop),
        Queue::Corrupt => None,
    }
}

fn record(meta: &Meta, queue_name: QueueName) -> QueueRecord {
    let pending = meta.envelope.recipients.iter().zip(&meta.recipients);
    let pending = pending.filter(|(_, state)| state.done.is_none());
    QueueRecord {
        queue_name,
        id: name(meta),
        forced_expire: false,
        arrival: meta.arrival,
        size: meta.size,
        sender: meta.envelope.sender.as_ref().map(ToString::to_string),
        recipients: pending
            .map(|(recipient, state)| QueuedRecipient {
                address: recipient.address.to_string(),
                reason: state.last.as_ref().map(|last| last.text.clone()),
            })
            .collect(),
    }
}

/// In maildrop a message has no queue id yet, only a file name.
fn name(meta: &Meta) -> String {
    match (meta.queue, &meta.source) {
        (Queue::Maildrop, Some(Source::Drop(name))) => maildrop_id(*name),
        _ => meta.id.to_string(),
    }
}

/// What stands for a queue id while a message has none: the first 12 digits of its file's name, in
/// the form of a queue id, since those who read listings and logs take no other.
pub(crate) fn maildrop_id(name: DropName) -> String {
    let mut digits = name.to_string().to_ascii_uppercase();
    digits.truncate(12);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::listing::json_line;

    #[test]
    fn a_file_in_maildrop_is_named_like_a_queue_id() {
        let name = "76caf9e03a2a00000000000000000000".parse().unwrap();
        assert_eq!(maildrop_id(name), "76CAF9E03A2A");
    }

    #[test]
    fn a_record_reads_as_it_prints() {
        let record = QueueRecord {
            queue_name: QueueName::Deferred,
            id: "76CAF9E03A2A".into(),
            forced_expire: true,
            arrival: Timestamp::from_secs(1_795_458_739),
            size: 245,
            sender: None,
            recipients: vec![
                QueuedRecipient {
                    address: "a@b".into(),
                    reason: Some("no \"way\"".into()),
                },
                QueuedRecipient {
                    address: "c@d".into(),
                    reason: None,
                },
            ],
        };
        assert_eq!(from_json(&json_line(&record)), Some(record));
        for bad in ["", "{}", "[]", "{\"queue_name\": \"deferred\"}", "END 1"] {
            assert_eq!(from_json(bad), None, "{bad}");
        }
    }
}
