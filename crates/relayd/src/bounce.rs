//! Composes the report that goes back to a sender when recipients failed for good (RFC 3464).

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use lettre::address::{Address as LettreAddress, Envelope as LettreEnvelope};
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, Message, MultiPart, MultiPartKind, SinglePart};
use mail::{Address, QueueId, StatusCode, Timestamp};

/// One recipient that got nothing, and why.
#[derive(Debug, Clone)]
pub(crate) struct FailedRecipient {
    pub(crate) address: Address,
    /// `ORCPT=` as it was handed in.
    pub(crate) orcpt: Option<String>,
    pub(crate) status: StatusCode,
    /// `gw.example[192.0.2.1]:587`; `None` where no server was involved.
    pub(crate) remote: Option<String>,
    /// What the log says.
    pub(crate) reason: String,
}

/// What a report is made from.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// This host's name, which reports.
    pub(crate) hostname: &'a str,
    /// The domain of the report's From.
    pub(crate) domain: &'a str,
    /// Who gets it: the envelope sender of the message.
    pub(crate) to: &'a Address,
    /// The message that failed.
    pub(crate) id: QueueId,
    pub(crate) arrival: Timestamp,
    pub(crate) envid: Option<&'a str>,
    /// When the report is made.
    pub(crate) now: Timestamp,
    pub(crate) failed: &'a [FailedRecipient],
    /// The header block of the message that failed, in CRLF form.
    pub(crate) header_block: &'a [u8],
}

impl Report<'_> {
    /// The report as a message in CRLF form, without an envelope of its own (which is `<>` to
    /// [`Report::to`]).
    ///
    /// # Errors
    /// The text of lettre's complaint; not expected.
    pub(crate) fn compose(&self) -> Result<Vec<u8>, String> {
        let date = SystemTime::UNIX_EPOCH + Duration::from_micros(self.now.as_micros());
        let message_id =
            mail::date::message_id(self.now, self.id, &format!("bounce.{}", self.hostname));
        // lettre wants an author that it finds well-formed. This host's domain need not be one, and
        // the report must go out all the same, so the real author is put in its place afterwards.
        let author = LettreAddress::new("MAILER-DAEMON", "localhost.localdomain")
            .map_err(|error| error.to_string())?;
        let envelope = LettreEnvelope::new(None, vec![author.clone()]);
        let mut message = Message::builder()
            .from(Mailbox::new(None, author))
            .raw_header(raw("To", self.to.to_string()))
            .date(date)
            .message_id(Some(message_id))
            .subject("Undelivered Mail Returned to Sender")
            .raw_header(raw("Auto-Submitted", "auto-replied".to_owned()))
            .envelope(envelope.map_err(|error| error.to_string())?)
            .multipart(self.parts())
            .map_err(|error| error.to_string())?;
        let author = format!("Mail Delivery System <MAILER-DAEMON@{}>", self.domain);
        message.headers_mut().insert_raw(raw("From", author));
        Ok(message.formatted())
    }

    fn parts(&self) -> MultiPart {
        let kind = MultiPartKind::Mixed;
        let mut report = MultiPart::builder()
            .kind(kind)
            .singlepart(SinglePart::plain(self.explanation()));
        report = report.singlepart(status_part(self.delivery_status().into_bytes()));
        report = report.singlepart(header_part(self.header_block));
        let boundary = report.boundary();
        let value =
            format!("multipart/report; report-type=delivery-status; boundary=\"{boundary}\"");
        report.headers_mut().insert_raw(raw("Content-Type", value));
        report
    }

    fn explanation(&self) -> String {
        let mut text = format!(
            "This is the mail system at host {}.\r\n\r\n\
             Your message could not be delivered to one or more recipients. The header of\r\n\
             the message and the details are attached.\r\n\r\n",
            self.hostname
        );
        for failed in self.failed {
            let _ = write!(text, "<{}>: {}\r\n\r\n", failed.address, failed.reason);
        }
        text
    }

    /// The machine-readable part (RFC 3464 section 2).
    fn delivery_status(&self) -> String {
        let mut text = format!("Reporting-MTA: dns; {}\r\n", self.hostname);
        if let Some(envid) = self.envid {
            let _ = write!(text, "Original-Envelope-Id: {}\r\n", ascii(envid));
        }
        let _ = write!(text, "X-Queue-ID: {}\r\n", self.id);
        let _ = write!(
            text,
            "Arrival-Date: {}\r\n",
            mail::date::rfc5322(self.arrival, 0)
        );
        for failed in self.failed {
            text.push_str("\r\n");
            if let Some(orcpt) = &failed.orcpt {
                let _ = write!(text, "Original-Recipient: {}\r\n", ascii(orcpt));
            }
            let kind = if failed.address.as_str().is_ascii() {
                "rfc822"
            } else {
                "utf-8"
            };
            let _ = write!(text, "Final-Recipient: {kind}; {}\r\n", failed.address);
            let _ = write!(text, "Action: failed\r\nStatus: {}\r\n", failed.status);
            let mut kind = "X-relayd";
            if let Some(remote) = &failed.remote {
                kind = "smtp";
                let remote = remote.split('[').next().unwrap_or_default();
                let _ = write!(text, "Remote-MTA: dns; {}\r\n", ascii(remote));
            }
            let reason = ascii(&failed.reason);
            let _ = write!(text, "Diagnostic-Code: {kind}; {reason}\r\n");
        }
        text
    }
}

fn raw(name: &str, value: String) -> HeaderValue {
    let name = HeaderName::new_from_ascii(name.to_owned()).expect("a constant header name");
    // Addresses beyond ASCII stand as they are (RFC 6532); encoded words are not for addresses.
    if value.is_ascii() {
        HeaderValue::new(name, value)
    } else {
        HeaderValue::dangerous_new_pre_encoded(name, value.clone(), value)
    }
}

/// What became of each recipient: `message/delivery-status`, or its internationalised sibling
/// (RFC 6533).
fn status_part(text: Vec<u8>) -> SinglePart {
    if text.is_ascii() {
        return seven_bit("message/delivery-status", text);
    }
    let body = Body::dangerous_pre_encoded(text, ContentTransferEncoding::EightBit);
    part("message/global-delivery-status", body)
}

/// The returned header block: `text/rfc822-headers`, or its internationalised sibling (RFC 6533).
fn header_part(block: &[u8]) -> SinglePart {
    if block.is_ascii() {
        return seven_bit("text/rfc822-headers", block.to_vec());
    }
    let body = Body::dangerous_pre_encoded(block.to_vec(), ContentTransferEncoding::EightBit);
    part("message/global-headers", body)
}

fn seven_bit(content_type: &str, bytes: Vec<u8>) -> SinglePart {
    part(
        content_type,
        Body::dangerous_pre_encoded(bytes, ContentTransferEncoding::SevenBit),
    )
}

fn part(content_type: &str, body: Body) -> SinglePart {
    let content_type = ContentType::parse(content_type).expect("a constant content type");
    SinglePart::builder().header(content_type).body(body)
}

/// Remote text in a field that must be ASCII; the log has escaped control characters already.
fn ascii(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii() && !c.is_ascii_control() {
                c
            } else {
                '?'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(header_block: &[u8]) -> String {
        report_from("site.example", "gone@far.example", header_block)
    }

    fn report_from(domain: &str, failed: &str, header_block: &[u8]) -> String {
        let to = Address::parse("app@site.example").unwrap();
        let failed = FailedRecipient {
            address: Address::parse(failed).unwrap(),
            orcpt: Some("rfc822;gone@far.example".to_owned()),
            status: StatusCode::new(5, 1, 1),
            remote: Some("gw.example[192.0.2.1]:587".to_owned()),
            reason: "host gw.example[192.0.2.1] said: 550 5.1.1 no such user".to_owned(),
        };
        let report = Report {
            hostname: "web1.site.example",
            domain,
            to: &to,
            id: QueueId::from_number(0xABC),
            arrival: Timestamp::from_secs(1_795_458_252),
            envid: None,
            now: Timestamp::from_secs(1_795_458_262),
            failed: &[failed],
            header_block,
        };
        String::from_utf8(report.compose().unwrap()).unwrap()
    }

    #[test]
    fn a_report_reads_back_as_one() {
        let text = report(b"Subject: hello\r\nFrom: app@site.example\r\n");
        let parsed = mailparse::parse_mail(text.as_bytes()).unwrap();
        assert_eq!(parsed.ctype.mimetype, "multipart/report");
        assert_eq!(parsed.ctype.params["report-type"], "delivery-status");
        let kinds: Vec<_> = parsed
            .subparts
            .iter()
            .map(|part| part.ctype.mimetype.as_str())
            .collect();
        assert_eq!(
            kinds,
            [
                "text/plain",
                "message/delivery-status",
                "text/rfc822-headers"
            ]
        );
        let status = parsed.subparts[1].get_body().unwrap();
        assert!(status.contains(
            "Final-Recipient: rfc822; gone@far.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        ));
        assert!(status.contains("Remote-MTA: dns; gw.example\r\n"));
        assert!(text.contains("To: app@site.example\r\n"));
    }

    #[test]
    fn eight_bit_headers_are_returned_as_they_were() {
        let text = report("Subject: grüße\r\n".as_bytes());
        assert!(text.contains("Content-Type: message/global-headers"));
        assert!(text.contains("Subject: grüße\r\n"));
    }

    #[test]
    fn a_domain_that_lettre_does_not_like_keeps_no_report_back() {
        let text = report_from("web_1", "gone@far.example", b"Subject: x\r\n");
        assert!(
            text.contains("From: Mail Delivery System <MAILER-DAEMON@web_1>\r\n"),
            "{text}"
        );
        assert_eq!(
            text.matches("\r\nFrom:").count() + usize::from(text.starts_with("From:")),
            1
        );
    }

    #[test]
    fn an_internationalised_recipient_is_reported_as_it_is() {
        let text = report_from("site.example", "grüße@far.example", b"Subject: x\r\n");
        assert!(text.contains("Content-Type: message/global-delivery-status"));
        assert!(text.contains("Final-Recipient: utf-8; grüße@far.example\r\n"));
    }
}
