//! The list of log lines: what writes each, how serious it is, how it looks, what it means. The
//! manual page is made from it, and a test holds every line to its example.

use super::Severity;
use super::printable::roff;
use std::fmt::Write;

/// Which line it is; one for each variant of [`super::Line`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is described in CATALOGUE")]
pub enum Kind {
    Pickup,
    Accepted,
    MessageId,
    Active,
    Delivery,
    Suspended,
    Removed,
    Expired,
    Notified,
    ConnectFailed,
    TlsEstablished,
    CertificateRefused,
    NoMechanism,
    Connected,
    Disconnected,
    Refused,
    LostConnection,
    TimedOut,
    TooManyErrors,
    NonSmtp,
    LoginFailed,
    Held,
    Started,
    Reloaded,
    Stopping,
    SettingsRefused,
    OverRate,
    WithinRate,
    GatewayDown,
    GatewayUp,
    TakenOver,
    QuotaUsed,
    Damaged,
    Uncertain,
    Explained,
    Altered,
    Warning,
    Error,
    Fatal,
}

/// One line of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which line.
    pub kind: Kind,
    /// What stands after the slash in the program name. Warnings, errors and fatal errors may come
    /// from any service.
    pub service: &'static str,
    /// How serious it is.
    pub severity: Severity,
    /// What it looks like.
    pub example: &'static str,
    /// What it means, and what to do about it.
    pub meaning: &'static str,
}

impl Kind {
    /// The entry of the catalogue.
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        &CATALOGUE[self as usize]
    }
}

const fn info(
    kind: Kind,
    service: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Entry {
    Entry {
        kind,
        service,
        severity: Severity::Info,
        example,
        meaning,
    }
}

const fn warning(
    kind: Kind,
    service: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Entry {
    Entry {
        kind,
        service,
        severity: Severity::Warning,
        example,
        meaning,
    }
}

const fn error(
    kind: Kind,
    service: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Entry {
    Entry {
        kind,
        service,
        severity: Severity::Error,
        example,
        meaning,
    }
}

/// Every line, in the order of [`Kind`].
pub const CATALOGUE: &[Entry] = &[
    info(
        Kind::Pickup,
        "pickup",
        "76CAF9E03A2A: uid=33 from=<www-data@example.com> script=33:contact.php",
        "A local program handed in a message and was told that it is queued. uid is the caller's. \
         script is what the message says in X-PHP-Originating-Script, where it has that field.",
    ),
    info(
        Kind::Accepted,
        "smtpd",
        "76CAF9E03A2A: client=localhost[127.0.0.1], sasl_method=PLAIN, sasl_username=app, \
         script=33:contact.php",
        "An SMTP client handed in a message. The sasl parts are there only if it authenticated, \
         script only if the message has X-PHP-Originating-Script.",
    ),
    info(
        Kind::MessageId,
        "cleanup",
        "76CAF9E03A2A: message-id=<20261123182412.76CAF9E03A2A@host1.example.com>",
        "The message's Message-ID, or resent-message-id for a message that was resent.",
    ),
    info(
        Kind::Active,
        "qmgr",
        "76CAF9E03A2A: from=<joe@example.com>, size=299, nrcpt=2 (queue active)",
        "The message is about to be tried. The line comes again with each attempt; nrcpt counts \
         the recipients that are left.",
    ),
    info(
        Kind::Delivery,
        "smtp",
        "76CAF9E03A2A: to=<root@example.com>, orig_to=<root>, \
         relay=gw.example.net[192.0.2.2]:587, conn_use=2, delay=3.2, delays=0.02/0.04/0.09/3, \
         dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4F1)",
        "What an attempt meant for one recipient. status is sent (the gateway took it), deferred \
         (it will be tried again), bounced (it was refused for good) or SOFTBOUNCE (it was \
         refused for good and is kept because of soft_bounce). delays are the seconds before the \
         queue, in the queue, for connecting and for sending.",
    ),
    info(
        Kind::Suspended,
        "error",
        "76CAF9E03A2A: to=<root@example.com>, relay=none, delay=5, delays=0.01/4.9/0/0, \
         dsn=4.4.2, status=deferred (delivery temporarily suspended: connect to \
         gw.example.net[192.0.2.2]:587: Connection refused)",
        "The message was not tried, because the gateway is known to be down. It goes out when the \
         gateway is back.",
    ),
    info(
        Kind::Removed,
        "qmgr",
        "76CAF9E03A2A: removed",
        "Every recipient is done with, and the message has left the queue.",
    ),
    info(
        Kind::Expired,
        "qmgr",
        "76CAF9E03A2A: from=<joe@example.com>, status=expired, returned to sender",
        "The message was in the queue for as long as queue_lifetime allows. With force-expired an \
         admin asked for it.",
    ),
    info(
        Kind::Notified,
        "bounce",
        "76CAF9E03A2A: sender non-delivery notification: 76CAF9E03A2B",
        "A report about the message was queued for its sender, under the second queue id.",
    ),
    info(
        Kind::ConnectFailed,
        "smtp",
        "connect to gw.example.net[192.0.2.2]:587: Connection refused",
        "The gateway could not be reached at this address.",
    ),
    info(
        Kind::TlsEstablished,
        "smtp",
        "Verified TLS connection established to gw.example.net[192.0.2.2]:587: TLSv1.3 with \
         cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
        "A session with the gateway is encrypted, and its certificate is trusted and carries the \
         right name.",
    ),
    info(
        Kind::CertificateRefused,
        "smtp",
        "certificate verification failed for gw.example.net[192.0.2.2]:587: untrusted issuer",
        "The gateway's certificate was not accepted. Nothing was sent. See tls_name and ca_file \
         in relayd.conf(5).",
    ),
    warning(
        Kind::NoMechanism,
        "smtp",
        "warning: SASL authentication failure: No worthy mechs found",
        "The gateway offers no way to authenticate that relayd knows.",
    ),
    info(
        Kind::Connected,
        "smtpd",
        "connect from localhost[127.0.0.1]",
        "An SMTP client connected.",
    ),
    info(
        Kind::Disconnected,
        "smtpd",
        "disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4",
        "An SMTP client's session ended. Of the commands that were not all accepted, accepted/all \
         is shown.",
    ),
    info(
        Kind::Refused,
        "smtpd",
        "NOQUEUE: reject: RCPT from unknown[192.0.2.5]: 454 4.7.1 <ok@example.net>: Relay access \
         denied; from=<a@example.org> to=<ok@example.net> proto=ESMTP helo=<client.example.org>",
        "An SMTP client's command was refused, with this reply.",
    ),
    info(
        Kind::LostConnection,
        "smtpd",
        "lost connection after MAIL from localhost[127.0.0.1]",
        "An SMTP client went away in the middle of a dialogue. Nothing was queued unless an \
         earlier line says so.",
    ),
    info(
        Kind::TimedOut,
        "smtpd",
        "timeout after EHLO from localhost[127.0.0.1]",
        "An SMTP client was silent for too long.",
    ),
    info(
        Kind::TooManyErrors,
        "smtpd",
        "too many errors after UNKNOWN from localhost[127.0.0.1]",
        "An SMTP client made too many mistakes and was sent away.",
    ),
    warning(
        Kind::NonSmtp,
        "smtpd",
        "warning: non-SMTP command from localhost[127.0.0.1]: GET / HTTP/1.1",
        "A client that speaks another protocol was sent away.",
    ),
    warning(
        Kind::LoginFailed,
        "smtpd",
        "warning: unknown[192.0.2.5]: SASL PLAIN authentication failed: authentication failure, \
         sasl_username=app",
        "A client gave a wrong user name or password.",
    ),
    info(
        Kind::Held,
        "postsuper",
        "76CAF9E03A2A: placed on hold",
        "An admin had the message held (relayctl hold), or, with the words released from hold, let it \
         go again (relayctl release).",
    ),
    info(
        Kind::Started,
        "master",
        "daemon started -- version 0.1.0, configuration /etc/relayd/relayd.conf",
        "relayd is running.",
    ),
    info(
        Kind::Reloaded,
        "master",
        "reload -- version 0.1.0, configuration /etc/relayd/relayd.conf",
        "relayd has read its settings again and uses them.",
    ),
    info(
        Kind::Stopping,
        "master",
        "terminating on signal 15",
        "relayd was asked to end.",
    ),
    error(
        Kind::SettingsRefused,
        "relayd",
        "error: settings not reloaded: relayd.conf:3: \"5\" has no unit. write a number and a unit.",
        "The settings file has problems; relayd goes on with the settings that it had. relayd \
         --check lists all of them.",
    ),
    warning(
        Kind::OverRate,
        "relayd",
        "warning: uid 33 (www-data), script 33:mailer.php hands in more than 500 messages/h, 100 at once: \
         its mail is refused for now",
        "Somebody hands in more than rate in [limits] allows; the script is the one that the message \
         at hand names. It is said once, when it begins.",
    ),
    info(
        Kind::WithinRate,
        "relayd",
        "uid 33 is within its rate again",
        "A message of somebody who was over rate has been taken in.",
    ),
    warning(
        Kind::GatewayDown,
        "relayd",
        "warning: gateway main down: SASL authentication failed; server gw.example.net[192.0.2.2] \
         said: 535 5.7.8 bad credentials",
        "The gateway cannot be used. Mail stays in the queue, and relayd keeps trying the gateway.",
    ),
    info(
        Kind::GatewayUp,
        "relayd",
        "gateway main up: down_for=95, waiting=12",
        "The gateway can be used again, after this many seconds; this many messages are waiting.",
    ),
    warning(
        Kind::TakenOver,
        "relayd",
        "warning: mail for gateway main goes through spare: it takes no mail",
        "The gateway has been down for fallback_after, or is paused, or its quota is used up, and the \
         gateways that its section names take its mail, in this order. When it is back, mail goes \
         through it again.",
    ),
    warning(
        Kind::QuotaUsed,
        "relayd",
        "warning: gateway main: 80 % of its quota of 200/day is used",
        "Said at 80, 95 and 100 %. What relayd has leave to send counts as used, so that it never \
         sends more than the quota, whatever is killed. Beyond it mail waits, or goes to the gateway \
         that overflow names.",
    ),
    error(
        Kind::Damaged,
        "relayd",
        "error: damaged entry 76CAF9E03A2A moved from deferred to corrupt: checksum does not match",
        "A file of the queue cannot be read and was set aside. relayd-spool(5) tells what is in \
         it. Where the system does not let it be moved it is left in its folder, and the line says \
         so.",
    ),
    warning(
        Kind::Uncertain,
        "relayd",
        "warning: 76CAF9E03A2A: gateway main may have taken this message, its answer is not \
         known; it will be sent again",
        "The connection or relayd itself failed between the content and the answer to it. The \
         recipient may get the message twice.",
    ),
    warning(
        Kind::Explained,
        "smtp",
        "warning: 76CAF9E03A2A: the sender address is not verified at SES; verify it or its domain",
        "What the refusal in the line before means, and what to do about it. It is said once for \
         each attempt, and mailq shows it as well.",
    ),
    info(
        Kind::Altered,
        "smtp",
        "76CAF9E03A2A: altered: From <visitor@far.example> became <noreply@site.example>",
        "The message goes out other than it was handed in, because of the From policy or because \
         the gateway cannot carry it as it is. The entry in the queue is not changed.",
    ),
    warning(
        Kind::Warning,
        "relayd",
        "warning: the system's clock was set back",
        "Something that an admin should look at. Any service may write it.",
    ),
    error(
        Kind::Error,
        "relayd",
        "error: writing to the queue failed: No space left on device",
        "Something failed, and the program goes on. Any service may write it.",
    ),
    Entry {
        kind: Kind::Fatal,
        service: "postqueue",
        severity: Severity::Critical,
        example: "fatal: User joe(1000) is not allowed to view the mail queue",
        meaning: "A program of the suite ended with an error. The text is what it printed.",
    },
];

/// The manual page relayd-log(5), as roff source.
#[must_use]
pub fn manual() -> String {
    let mut out = String::from(MANUAL_HEAD);
    for entry in CATALOGUE {
        let _ = writeln!(out, ".TP\n.B {}", roff(entry.service));
        let _ = writeln!(out, "{}\n.br\n{}", roff(entry.example), roff(entry.meaning));
    }
    out.push_str(MANUAL_TAIL);
    out
}

const MANUAL_HEAD: &str = r#".TH RELAYD-LOG 5
.SH NAME
relayd\-log \- log lines of relayd
.SH DESCRIPTION
relayd and its programs write to the mail facility of the system's logger.
The program name of a line is
.B relayd
(the setting
.B name
in the section [log]), a slash, and the service given below.
Lines about a message begin with its queue id.
The lines have the shape of those of Postfix 3.7 to 3.10, so that programs that read its log can
read this one.
.PP
Text from outside is made safe: a control character or a byte that is not UTF\-8 is shown as ?.
A line has at most 1000 characters; what was cut ends in three dots.
.SH LINES
"#;

const MANUAL_TAIL: &str = r#".SH SEE ALSO
.BR relayd (8),
.BR relayd.conf (5),
.BR relayd\-spool (5)
"#;
