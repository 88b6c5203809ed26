//! How each line reads.

mod daemon;

use super::catalogue::Kind;
use super::printable::{self, shortened};
use super::{
    Client, Count, Delays, Delivery, LONGEST, Line, Login, Notification, Record, Refused, Relay,
    Severity, Status, TlsSession,
};
use mail::{Address, QueueId};
use std::fmt;
use std::fmt::Write;
use std::time::Duration;

/// An address is shown to this length, so that the parts after it are never lost. Whole addresses
/// have at most 254 characters (RFC 5321 section 4.5.3.1.3).
const LONGEST_ADDRESS: usize = 256;
/// Words that are less important, such as an address before it was rewritten.
const LONGEST_WORD: usize = 128;

impl Line<'_> {
    /// The line as it goes to the logger.
    #[must_use]
    pub fn record(&self) -> Record {
        let (service, severity) = self.source();
        let mark = match severity {
            Severity::Info => "",
            Severity::Warning => "warning: ",
            Severity::Error => "error: ",
            Severity::Critical => "fatal: ",
        };
        let text = shortened(&format!("{mark}{}", self.text()), LONGEST);
        Record {
            service,
            severity,
            text,
        }
    }

    fn source(&self) -> (&'static str, Severity) {
        match *self {
            Line::Warning { service, .. } => (service, Severity::Warning),
            Line::Error { service, .. } => (service, Severity::Error),
            Line::Fatal { service, .. } => (service, Severity::Critical),
            _ => {
                let entry = self.kind().entry();
                (entry.service, entry.severity)
            }
        }
    }

    fn text(&self) -> String {
        match *self {
            Line::Pickup {
                id,
                uid,
                sender,
                script,
            } => {
                let script = named_script(" ", script);
                format!("{id}: uid={uid} from={}{script}", path(sender))
            }
            Line::Accepted {
                id,
                client,
                login,
                script,
            } => {
                let script = named_script(", ", script);
                format!("{id}: client={client}{}{script}", sasl(login))
            }
            Line::MessageId {
                id,
                message_id,
                resent,
            } => message_id_line(id, message_id, resent),
            Line::Active {
                id,
                sender,
                size,
                recipients,
            } => {
                format!(
                    "{id}: from={}, size={size}, nrcpt={recipients} (queue active)",
                    path(sender)
                )
            }
            Line::Delivery(ref delivery) => delivery_line(delivery, ""),
            Line::Suspended(ref delivery) => {
                delivery_line(delivery, "delivery temporarily suspended: ")
            }
            Line::Removed { id } => format!("{id}: removed"),
            Line::Expired { id, sender, forced } => {
                let status = if forced { "force-expired" } else { "expired" };
                format!(
                    "{id}: from={}, status={status}, returned to sender",
                    path(sender)
                )
            }
            Line::Notified { id, what, report } => {
                format!("{id}: sender {}: {report}", notification(what))
            }
            Line::ConnectFailed { server, reason } => format!("connect to {server}: {reason}"),
            Line::TlsEstablished(ref session) => tls_line(session),
            Line::CertificateRefused { server, reason } => {
                format!("certificate verification failed for {server}: {reason}")
            }
            Line::NoMechanism => "SASL authentication failure: No worthy mechs found".to_owned(),
            _ => self.text_of_doors(),
        }
    }

    fn text_of_doors(&self) -> String {
        match *self {
            Line::Connected { client } => format!("connect from {client}"),
            Line::Disconnected { client, counts } => disconnect_line(client, counts),
            Line::Refused(ref refused) => refused_line(refused),
            Line::LostConnection { after, client } => {
                format!("lost connection after {} from {client}", word(after))
            }
            Line::TimedOut { after, client } => {
                format!("timeout after {} from {client}", word(after))
            }
            Line::TooManyErrors { after, client } => {
                format!("too many errors after {} from {client}", word(after))
            }
            Line::NonSmtp { client, command } => {
                format!(
                    "non-SMTP command from {client}: {}",
                    shortened(&printable::bytes(command), 100)
                )
            }
            Line::LoginFailed { client, login } => format!(
                "{client}: SASL {} authentication failed: authentication failure, sasl_username={}",
                word(login.mechanism),
                word(login.user)
            ),
            _ => self.text_of_daemon(),
        }
    }

    /// Which line of the catalogue this is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Line::Pickup { .. } => Kind::Pickup,
            Line::Accepted { .. } => Kind::Accepted,
            Line::MessageId { .. } => Kind::MessageId,
            Line::Active { .. } => Kind::Active,
            Line::Delivery(_) => Kind::Delivery,
            Line::Suspended(_) => Kind::Suspended,
            Line::Removed { .. } => Kind::Removed,
            Line::Expired { .. } => Kind::Expired,
            Line::Notified { .. } => Kind::Notified,
            Line::ConnectFailed { .. } => Kind::ConnectFailed,
            Line::TlsEstablished(_) => Kind::TlsEstablished,
            Line::CertificateRefused { .. } => Kind::CertificateRefused,
            Line::NoMechanism => Kind::NoMechanism,
            Line::Connected { .. } => Kind::Connected,
            Line::Disconnected { .. } => Kind::Disconnected,
            Line::Refused(_) => Kind::Refused,
            Line::LostConnection { .. } => Kind::LostConnection,
            Line::TimedOut { .. } => Kind::TimedOut,
            Line::TooManyErrors { .. } => Kind::TooManyErrors,
            Line::NonSmtp { .. } => Kind::NonSmtp,
            Line::LoginFailed { .. } => Kind::LoginFailed,
            Line::Held { .. } => Kind::Held,
            Line::Started { .. } => Kind::Started,
            Line::Reloaded { .. } => Kind::Reloaded,
            Line::Stopping { .. } => Kind::Stopping,
            Line::SettingsRefused { .. } => Kind::SettingsRefused,
            Line::OverRate { .. } => Kind::OverRate,
            Line::WithinRate { .. } => Kind::WithinRate,
            Line::GatewayDown { .. } => Kind::GatewayDown,
            Line::GatewayUp { .. } => Kind::GatewayUp,
            Line::TakenOver { .. } => Kind::TakenOver,
            Line::QuotaUsed { .. } => Kind::QuotaUsed,
            Line::Damaged { .. } => Kind::Damaged,
            Line::Uncertain { .. } => Kind::Uncertain,
            Line::Explained { .. } => Kind::Explained,
            Line::Altered { .. } => Kind::Altered,
            Line::Warning { .. } => Kind::Warning,
            Line::Error { .. } => Kind::Error,
            Line::Fatal { .. } => Kind::Fatal,
        }
    }
}

fn path(address: Option<&Address>) -> String {
    format!(
        "<{}>",
        shortened(address.map_or("", Address::as_str), LONGEST_ADDRESS)
    )
}

fn word(text: &str) -> String {
    shortened(text, LONGEST_WORD)
}

fn sasl(login: Option<Login<'_>>) -> String {
    login.map_or_else(String::new, |login| {
        format!(
            ", sasl_method={}, sasl_username={}",
            word(login.mechanism),
            word(login.user)
        )
    })
}

/// What Postfix does not have; pflogsumm and logwatch read the lines with it as without.
fn named_script(gap: &str, script: Option<&str>) -> String {
    script.map_or_else(String::new, |script| {
        format!("{gap}script={}", word(script))
    })
}

fn message_id_line(id: QueueId, message_id: &[u8], resent: bool) -> String {
    let name = if resent {
        "resent-message-id"
    } else {
        "message-id"
    };
    format!(
        "{id}: {name}=<{}>",
        shortened(&printable::bytes(message_id), 900)
    )
}

/// The record that log readers care about most. The reason gets what room is left.
fn delivery_line(delivery: &Delivery<'_>, prefix: &str) -> String {
    let to = shortened(delivery.recipient.as_str(), LONGEST_ADDRESS);
    let mut line = format!("{}: to=<{to}>, ", delivery.id);
    let original = delivery
        .original
        .filter(|original| !original.eq_ignore_ascii_case(delivery.recipient.as_str()));
    if let Some(original) = original {
        let _ = write!(line, "orig_to=<{}>, ", word(original));
    }
    let _ = write!(line, "relay={}, ", delivery.relay);
    if delivery.session_use > 1 {
        let _ = write!(line, "conn_use={}, ", delivery.session_use);
    }
    let code = match delivery.status {
        Status::Deferred | Status::SoftBounce if delivery.code.class() == 5 => {
            delivery.code.with_class(4)
        }
        _ => delivery.code,
    };
    let _ = write!(
        line,
        "{}, dsn={code}, status={} ({prefix}",
        delivery.delays,
        delivery.status.word()
    );
    let room = LONGEST.saturating_sub(line.chars().count() + 1);
    line.push_str(&shortened(delivery.reason, room));
    line.push(')');
    line
}

const fn notification(what: Notification) -> &'static str {
    match what {
        Notification::NonDelivery => "non-delivery notification",
        Notification::Delay => "delay notification",
        Notification::Success => "delivery status notification",
    }
}

/// The line ends at the bits, as Postfix's did before 3.4: what it adds since then is not known
/// here.
fn tls_line(session: &TlsSession<'_>) -> String {
    let trust = if session.verified {
        "Verified"
    } else {
        "Untrusted"
    };
    let TlsSession {
        server,
        protocol,
        cipher,
        bits,
        ..
    } = session;
    format!(
        "{trust} TLS connection established to {server}: {protocol} with cipher {cipher} \
         ({bits}/{bits} bits)"
    )
}

fn disconnect_line(client: Client<'_>, counts: &[Count<'_>]) -> String {
    let mut line = format!("disconnect from {client}");
    let mut all = Count {
        command: "commands",
        accepted: 0,
        total: 0,
    };
    for count in counts.iter().filter(|count| count.total > 0) {
        let _ = write!(line, " {count}");
        all.accepted += count.accepted;
        all.total += count.total;
    }
    let _ = write!(line, " {all}");
    line
}

fn refused_line(refused: &Refused<'_>) -> String {
    let id = refused
        .id
        .map_or_else(|| "NOQUEUE".to_owned(), |id| id.to_string());
    let command = word(refused.command);
    let reply = shortened(refused.reply, 300);
    let mut line = format!("{id}: reject: {command} from {}: {reply};", refused.client);
    if let Some(sender) = refused.sender {
        let _ = write!(line, " from={}", path(sender));
    }
    if let Some(recipient) = refused.recipient {
        let _ = write!(line, " to=<{}>", shortened(recipient, LONGEST_WORD));
    }
    let _ = write!(line, " proto={}", word(refused.protocol));
    if let Some(hello) = refused.hello {
        let _ = write!(line, " helo=<{}>", shortened(hello, 60));
    }
    line
}

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Deferred => "deferred",
            Self::Bounced => "bounced",
            Self::SoftBounce => "SOFTBOUNCE",
        }
    }
}

impl fmt::Display for Relay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Server(server) => server.fmt(f),
            Self::Capture => f.write_str("capture"),
        }
    }
}

impl fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", word(self.name), self.address)
    }
}

impl fmt::Display for Count<'_> {
    /// `rcpt=2`, or `rcpt=1/2` where not all were accepted. None at all is `commands=0/0`, as Postfix has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.command, self.accepted)?;
        if self.accepted == self.total && self.total > 0 {
            Ok(())
        } else {
            write!(f, "/{}", self.total)
        }
    }
}

impl fmt::Display for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.before_queue,
            self.in_queue,
            self.connecting,
            self.sending,
        ];
        let total = parts
            .iter()
            .fold(Duration::ZERO, |sum, part| sum.saturating_add(*part));
        let [a, b, c, d] = parts.map(seconds);
        write!(f, "delay={}, delays={a}/{b}/{c}/{d}", seconds(total))
    }
}

/// Seconds with two significant digits and at most two decimals, rounded, trailing zeros dropped:
/// what Postfix's `format_tv` makes of it.
fn seconds(span: Duration) -> String {
    const MILLION: u32 = 1_000_000;
    let resolution = match span.as_secs() {
        0 => MILLION / 100,
        1..=9 => MILLION / 10,
        _ => MILLION,
    };
    let (mut whole, mut micros) = (span.as_secs(), span.subsec_micros() + resolution / 2);
    if micros >= MILLION {
        whole += 1;
        micros -= MILLION;
    }
    let mut text = whole.to_string();
    let (mut rest, mut unit) = (micros, MILLION / 10);
    if rest >= resolution {
        text.push('.');
    }
    while rest >= resolution && unit > 0 {
        let _ = write!(text, "{}", rest / unit);
        rest %= unit;
        unit /= 10;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_as_postfix_does() {
        let cases = [
            (0, "0"),
            (4_999, "0"),
            (5_000, "0.01"),
            (40_000, "0.04"),
            (104_000, "0.1"),
            (270_000, "0.27"),
            (999_000, "1"),
            (1_000_000, "1"),
            (3_170_000, "3.2"),
            (9_960_000, "10"),
            (10_400_000, "10"),
            (84_600_000, "85"),
            (1_499_200_000, "1499"),
        ];
        for (micros, text) in cases {
            assert_eq!(seconds(Duration::from_micros(micros)), text, "{micros}");
        }
    }
}
