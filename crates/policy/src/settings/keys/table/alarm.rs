//! The keys of `[alarm]` and `[alarm NAME]`.

use super::super::Fallback::{Value, Words};
use super::super::Section::Alarm;
use super::super::{Key, Kind, key};

/// In the order of the sample file.
pub(super) const KEYS: &[Key] = &[
    key(
        Alarm,
        "to",
        Kind::MailAddresses,
        Words("none in [alarm], where it goes with host; in [alarm NAME] the value in [alarm]"),
        "admin@elsewhere.example, oncall@example.net",
        "Who gets alarms by mail. At least one of them should read mail that does not depend on \
         this host or its gateway.",
    ),
    key(
        Alarm,
        "from",
        Kind::MailAddress,
        Words("the value of user if it is an address; else relayd at the value of hostname"),
        "alarms@elsewhere.example",
        "Whom alarms are from.",
    ),
    key(
        Alarm,
        "provider",
        Kind::Provider,
        Words("none"),
        "gmail",
        "Whose server takes alarms. It sets host, port and tls, unless they are given here.",
    ),
    key(
        Alarm,
        "host",
        Kind::Host,
        Words("the provider's; without either, this road is not there"),
        "smtp.elsewhere.example",
        "The server that takes alarms as mail. It should not be the gateway's, which may be what \
         the alarm is about.",
    ),
    key(
        Alarm,
        "port",
        Kind::Port,
        Words("the provider's; else 587 with tls = starttls, 465 with implicit, 25 with none"),
        "587",
        "Its TCP port.",
    ),
    key(
        Alarm,
        "tls",
        Kind::Tls,
        Words("the provider's; else starttls, or implicit where port is 465"),
        "starttls",
        "How the session is encrypted, as in [gateway NAME].",
    ),
    key(
        Alarm,
        "tls_name",
        Kind::Host,
        Words("the value of host"),
        "smtp.elsewhere.example",
        "The name that the server's certificate must carry.",
    ),
    key(
        Alarm,
        "ca_file",
        Kind::Path,
        Words("the certificates that the system trusts"),
        "/etc/relayd/alarm-ca.pem",
        "A PEM file of certificate authorities. Only these are then trusted for this server.",
    ),
    key(
        Alarm,
        "user",
        Kind::Text,
        Words("the provider's, if all its users have the same; else none"),
        "alarms@elsewhere.example",
        "The user name to authenticate with. One of password_file, password_command and \
         password_credential must go with it.",
    ),
    key(
        Alarm,
        "password_file",
        Kind::Path,
        Words("none"),
        "/etc/relayd/secrets/alarm",
        "A file whose first line is the password. It must belong to root or to user, and nobody \
         else may be able to read it.",
    ),
    key(
        Alarm,
        "password_command",
        Kind::Command,
        Words("none"),
        "/usr/local/bin/show-password alarm",
        "A command that prints the password as its first line.",
    ),
    key(
        Alarm,
        "password_credential",
        Kind::CredentialName,
        Words("none"),
        "alarm",
        "The name of a credential that systemd passes to the service (LoadCredential=). Programs \
         that cron or a person runs do not have it.",
    ),
    key(
        Alarm,
        "webhook",
        Kind::Shape,
        Words("none; this road is not there"),
        "slack",
        "The form in which alarms are posted to a web address, as JSON. slack: an incoming webhook \
         of Slack or Mattermost. teams: a workflow of Microsoft Teams. pagerduty: its Events API \
         v2. plain: the members subject, body, host, time, event and key.",
    ),
    key(
        Alarm,
        "webhook_url",
        Kind::Url,
        Words("none; with webhook = pagerduty, where that takes events"),
        "https://alerts.example.com/relayd",
        "The web address, if it holds no secret.",
    ),
    key(
        Alarm,
        "webhook_file",
        Kind::Path,
        Words("none"),
        "/etc/relayd/secrets/webhook",
        "A file whose first line is the web address, if that is secret, or with webhook = pagerduty \
         the integration key. The rules are those of password_file.",
    ),
    key(
        Alarm,
        "webhook_credential",
        Kind::CredentialName,
        Words("none"),
        "webhook",
        "The same from a credential that systemd passes to the service.",
    ),
    key(
        Alarm,
        "command",
        Kind::Command,
        Words("none; this road is not there"),
        "/usr/local/bin/page-somebody",
        "A command that takes the alarm: its text from standard input, its subject from the \
         variable ALARM_SUBJECT. It must end with 0 within a minute.",
    ),
    key(
        Alarm,
        "file",
        Kind::Path,
        Words("none; this road is not there"),
        "/var/spool/relayd/alarms",
        "A file that alarms are appended to, in the form of a mailbox (mbox). The systemd unit lets \
         relayd write below /var/spool/relayd only.",
    ),
    key(
        Alarm,
        "gateway_down_after",
        Kind::Duration,
        Value("10m"),
        "10m",
        "How long the gateway may be unreachable, or refuse mail for now, before somebody is told.",
    ),
    key(
        Alarm,
        "gateway_refuses_after",
        Kind::Duration,
        Value("1m"),
        "1m",
        "The same where it refuses the password, its certificate is not good, or it refuses us for \
         good: that does not pass by itself.",
    ),
    key(
        Alarm,
        "stuck_after",
        Kind::Duration,
        Value("4h"),
        "4h",
        "How long a message may wait while the gateway works.",
    ),
    key(
        Alarm,
        "maildrop_after",
        Kind::Duration,
        Value("5m"),
        "5m",
        "How long mail may lie in maildrop while relayd runs.",
    ),
    key(
        Alarm,
        "quota_warn",
        Kind::Percent,
        Value("80%"),
        "70%",
        "The share of a quota at which somebody is told; and again at 95% and when it is spent.",
    ),
    key(
        Alarm,
        "disk_free",
        Kind::Percent,
        Value("10%"),
        "15%",
        "How much of the spool's disk, in bytes and in inodes, should be free. Somebody is told \
         below that, and again below half of it.",
    ),
    key(
        Alarm,
        "expiry_before",
        Kind::Duration,
        Value("2w"),
        "2w",
        "How long before a certificate or a token of ours ends somebody is told.",
    ),
    key(
        Alarm,
        "remind_after",
        Kind::Duration,
        Value("1h"),
        "1h",
        "The pause before the first reminder of what is still wrong. Each further pause is twice as \
         long, up to a day.",
    ),
    key(
        Alarm,
        "clear_after",
        Kind::Duration,
        Value("1m"),
        "1m",
        "How long a cause must be gone before it is told that it is over.",
    ),
    key(
        Alarm,
        "heartbeat",
        Kind::Heartbeat,
        Value("none"),
        "daily",
        "daily: a letter says once a day that all is well, so that silence means something.",
    ),
    key(
        Alarm,
        "heartbeat_url",
        Kind::Url,
        Words("none"),
        "https://alerts.example.com/alive",
        "A web address that is asked for (GET) regularly while nothing critical is wrong, as \
         watchdog services want it.",
    ),
    key(
        Alarm,
        "heartbeat_file",
        Kind::Path,
        Words("none"),
        "/etc/relayd/secrets/heartbeat",
        "A file whose first line is that address, if it is secret. The rules are those of \
         password_file.",
    ),
    key(
        Alarm,
        "heartbeat_every",
        Kind::Duration,
        Value("5m"),
        "5m",
        "The pause between two of these calls.",
    ),
];
