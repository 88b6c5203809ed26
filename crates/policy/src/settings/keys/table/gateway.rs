//! The keys of `[gateway NAME]`.

use super::super::Fallback::{Value, Words};
use super::super::Section::Gateway;
use super::super::{Key, Kind, key};

/// In the order of the sample file.
pub(super) const KEYS: &[Key] = &[
    key(
        Gateway,
        "provider",
        Kind::Provider,
        Words("none"),
        "ses:eu-west-1",
        "Whose gateway it is. It sets host, port, tls and the limits that are known, unless they are \
         given here, and helps to understand the gateway's replies. relayctl providers lists the \
         providers with what each sets.",
    ),
    key(
        Gateway,
        "host",
        Kind::Host,
        Words("the provider's; without provider it must be given"),
        "smtp.example.com",
        "The gateway's name or address.",
    ),
    key(
        Gateway,
        "port",
        Kind::Port,
        Words("the provider's; else 587 with tls = starttls, 465 with implicit, 25 with none"),
        "587",
        "The TCP port.",
    ),
    key(
        Gateway,
        "tls",
        Kind::Tls,
        Words("the provider's; else starttls, or implicit where port is 465"),
        "starttls",
        "How the session is encrypted. starttls: the session begins in plain text and must be \
         switched to TLS before anything is sent. implicit: TLS from the first byte. none: no \
         encryption; not allowed together with user, unless host is this host.",
    ),
    key(
        Gateway,
        "tls_name",
        Kind::Host,
        Words("the value of host"),
        "smtp.example.com",
        "The name that the gateway's certificate must carry.",
    ),
    key(
        Gateway,
        "ca_file",
        Kind::Path,
        Words("the certificates that the system trusts"),
        "/etc/relayd/gateway-ca.pem",
        "A PEM file of certificate authorities. Only these are then trusted for this gateway.",
    ),
    key(
        Gateway,
        "user",
        Kind::Text,
        Words(
            "the provider's, if all its users have the same; else none, and the session is not authenticated",
        ),
        "user@example.com",
        "The user name to authenticate with. One of password_file, password_command and \
         password_credential must go with it.",
    ),
    key(
        Gateway,
        "password_file",
        Kind::Path,
        Words("none"),
        "/etc/relayd/secrets/main",
        "A file whose first line is the password. It must belong to root or to user, and nobody \
         else may be able to read it.",
    ),
    key(
        Gateway,
        "password_command",
        Kind::Command,
        Words("none"),
        "/usr/local/bin/show-password relayd",
        "A command that prints the password as its first line.",
    ),
    key(
        Gateway,
        "password_credential",
        Kind::CredentialName,
        Words("none"),
        "main",
        "The name of a credential that systemd passes to the service (LoadCredential=).",
    ),
    key(
        Gateway,
        "helo_name",
        Kind::HostName,
        Words("the value of hostname"),
        "app1.example.com",
        "How this host calls itself in EHLO to this gateway.",
    ),
    key(
        Gateway,
        "max_connections",
        Kind::Connections,
        Value("4"),
        "4",
        "How many sessions with this gateway may be open at once.",
    ),
    key(
        Gateway,
        "max_messages_per_connection",
        Kind::Count,
        Words("none; a session is used for as long as the gateway takes mail on it"),
        "100",
        "How many messages are sent over one session.",
    ),
    key(
        Gateway,
        "max_recipients",
        Kind::Count,
        Words("what the gateway announces (RFC 9422), else 1000"),
        "50",
        "How many recipients one transaction may have. A message for more goes out in several.",
    ),
    key(
        Gateway,
        "idle_close",
        Kind::Duration,
        Value("5s"),
        "5s",
        "How long a session without work stays open for the next message.",
    ),
    key(
        Gateway,
        "rate",
        Kind::Rate,
        Words("none; mail is sent as fast as the gateway takes it"),
        "14/s",
        "How fast mail may be sent, in messages or in recipients: 14/s, 30/min, \
         500 recipients/h. If the gateway calls for less, less is sent for a while.",
    ),
    key(
        Gateway,
        "quota",
        Kind::Quota,
        Words("none"),
        "200/day, 10000 recipients/month",
        "How much mail the provider lets you send, in messages or in recipients: for a day, for a \
         month, or for the last so many hours (24h). Several hold together. Mail beyond it is kept.",
    ),
    key(
        Gateway,
        "quota_from",
        Kind::MonthDay,
        Value("1"),
        "1",
        "The day of the month on which the provider renews a quota for a month.",
    ),
    key(
        Gateway,
        "quota_reset",
        Kind::ResetTime,
        Value("00:00 UTC"),
        "00:00 -08:00",
        "The time at which the provider renews a quota for a day or a month.",
    ),
    key(
        Gateway,
        "reserve",
        Kind::Percent,
        Value("0%"),
        "10%",
        "How much of each quota is kept for mail that is not bulk. A message is bulk if it has a \
         Precedence of bulk, list or junk, a List-Id or List-Unsubscribe, or an Auto-Submitted \
         other than no.",
    ),
    key(
        Gateway,
        "overflow",
        Kind::Overflow,
        Value("pause"),
        "pause",
        "What happens to mail beyond the quota. pause: it waits until the quota is renewed. The \
         name of another gateway: it goes there.",
    ),
    key(
        Gateway,
        "fallback",
        Kind::GatewayName,
        Words("none; mail waits"),
        "spare",
        "The gateway that takes over while this one is down. A message that may have been delivered \
         already waits for the gateway that may have it.",
    ),
    key(
        Gateway,
        "fallback_after",
        Kind::Duration,
        Value("5m"),
        "5m",
        "How long this gateway must have been down before fallback takes over.",
    ),
    key(
        Gateway,
        "for_senders",
        Kind::Senders,
        Words("none; mail from anybody"),
        "example.com, news@example.org",
        "This gateway takes mail from these envelope senders alone: addresses, domains (without \
         their subdomains) or, with a dot before them, all subdomains.",
    ),
    key(
        Gateway,
        "for_recipients",
        Kind::Senders,
        Words("none; mail to anybody"),
        "partner.example, .partner.example",
        "This gateway takes mail to these recipients alone. A message that is also for others \
         becomes two messages in the queue.",
    ),
    key(
        Gateway,
        "for_origins",
        Kind::Origins,
        Words("none; mail of every program and client"),
        "login:www-data, client:172.17.0.0/16",
        "This gateway takes mail alone that was handed in by these: login:NAME or uid:NUMBER for \
         programs of this host, client:NETWORK for SMTP clients by address, user:NAME for those \
         that authenticated. Where several gateways fit a recipient, the closest takes its mail: \
         first by for_recipients, then by for_senders, then by for_origins, an address before its \
         domain. One gateway at least must take what no other does.",
    ),
    key(
        Gateway,
        "weight",
        Kind::Weight,
        Words("1; a gateway that is another's fallback or overflow takes no share of its own"),
        "3",
        "This gateway's share of the mail where several fit equally well. With 3 here and 1 at \
         another, this one takes three of four messages.",
    ),
    key(
        Gateway,
        "deliver",
        Kind::Deliver,
        Value("smtp"),
        "smtp",
        "smtp relays the mail. capture:FOLDER puts each message into a Maildir instead and sends \
         nothing, for tests and staging hosts; host is not needed then.",
    ),
    key(
        Gateway,
        "from_allow",
        Kind::Senders,
        Words("the value of allow in [from]"),
        "yourdomain.com",
        "As allow in [from], for this gateway alone.",
    ),
    key(
        Gateway,
        "from_default",
        Kind::MailAddress,
        Words("the value of default in [from]"),
        "noreply@yourdomain.com",
        "As default in [from], for this gateway alone.",
    ),
    key(
        Gateway,
        "from_name",
        Kind::NameForm,
        Words("the value of name in [from]"),
        "{name} via yoursite",
        "As name in [from], for this gateway alone.",
    ),
    key(
        Gateway,
        "from_policy",
        Kind::FromPolicy,
        Words("the value of policy in [from]"),
        "keep",
        "As policy in [from], for this gateway alone.",
    ),
    key(
        Gateway,
        "bounce_from",
        Kind::MailAddress,
        Words("none; the null sender is sent"),
        "bounces@yourdomain.com",
        "The envelope sender of reports, for a gateway that refuses the null sender that they have.",
    ),
];
