//! Every key of the settings file, with its default and what it means.

use super::Fallback::{self, Value, Words};
use super::Section::{self, Aliases, From, Gateway, Listen, Log, Paths, Rewrite, Top};
use super::{Key, Kind};

/// Every key, in the order of the sample file.
pub const KEYS: &[Key] = &[
    key(
        Top,
        "hostname",
        Kind::HostName,
        Words("the host name that the system reports"),
        "app1.example.com",
        "The full name of this host. It is said to the gateway in EHLO and stands in Received and \
         Message-ID.",
    ),
    key(
        Top,
        "domain",
        Kind::HostName,
        Words("the value of hostname"),
        "example.com",
        "The domain that completes an address without one, so that mail from root becomes mail \
         from root@example.com.",
    ),
    key(
        Top,
        "root",
        Kind::MailAddress,
        Words("the alias root; without one, root at the value of domain"),
        "admin@example.com",
        "Where mail for root goes, and mail for names of this host that have no alias. There are no \
         mailboxes on this host, so this should be an address that somebody reads.",
    ),
    key(
        Top,
        "user",
        Kind::Login,
        Value("relayd"),
        "relayd",
        "The account that relayd runs as once its sockets are open.",
    ),
    key(
        Top,
        "message_size_limit",
        Kind::Size,
        Value("25M"),
        "25M",
        "The largest message taken in. A gateway may allow less; such a message is returned to \
         its sender.",
    ),
    key(
        Top,
        "queue_lifetime",
        Kind::Duration,
        Value("5d"),
        "5d",
        "How long a message that cannot be delivered is kept before it is returned to its sender.",
    ),
    key(
        Top,
        "soft_bounce",
        Kind::SoftBounce,
        Value("smart"),
        "smart",
        "What happens when the gateway refuses a message for good. smart: it is returned if the \
         refusal is clearly about the recipient or the message; any other refusal keeps it, \
         because the cause is then the account or these settings. yes: it is always kept until \
         queue_lifetime has passed. no: it is returned at every 5xx answer to MAIL, RCPT or the \
         message.",
    ),
    key(
        Top,
        "mailq_users",
        Kind::Users,
        Value("any"),
        "any",
        "Who may list the queue. Root always may.",
    ),
    key(
        Top,
        "flush_users",
        Kind::Users,
        Value("any"),
        "any",
        "Who may ask for a delivery attempt now. Root always may.",
    ),
    key(
        Paths,
        "spool",
        Kind::Path,
        Value("/var/spool/relayd"),
        "/var/spool/relayd",
        "The folder of the queue.",
    ),
    key(
        Paths,
        "run",
        Kind::Path,
        Value("/run/relayd"),
        "/run/relayd",
        "The folder of the sockets submit.sock and control.sock.",
    ),
    key(
        Aliases,
        "file",
        Kind::PathOrNone,
        Value("/etc/aliases"),
        "/etc/aliases",
        "Where mail for names of this host goes, in the form that sendmail and Postfix know. A \
         change counts at once; newaliases lists what is wrong. It must belong to root or to user, \
         and nobody else may be able to write it. Mail for a name without an alias goes where root \
         goes: to the setting root, or to the alias root; without either, to the name at domain.",
    ),
    key(
        Rewrite,
        "senders",
        Kind::Path,
        Words("none; senders stay as they are"),
        "/etc/relayd/senders",
        "A file of senders that are to be replaced, one \"pattern address\" a line. A pattern is \
         user@domain, user (a name of this host, or in domain) or @domain; the address may be \
         @domain as well, which keeps what stands before it. It must belong to root or to user, and \
         nobody else may be able to write it. After a change: relayctl reload.",
    ),
    key(
        Rewrite,
        "recipients",
        Kind::Path,
        Words("none; recipients stay as they are"),
        "/etc/relayd/recipients",
        "The same for recipients. It is looked up before the aliases, and again for each address \
         that they give.",
    ),
    key(
        From,
        "allow",
        Kind::Senders,
        Words("the domain of default"),
        "yourdomain.com, .yourdomain.com, boss@example.org",
        "What the gateway takes as sender: domains, with a dot before it all subdomains of one, and \
         addresses. The value of default is always allowed. A From outside becomes \
         \"Visitor Name via yoursite\" <noreply@yourdomain.com>, with Reply-To set to what it was \
         unless there is one; Sender, Resent-From, Resent-Sender and the envelope sender follow.",
    ),
    key(
        From,
        "default",
        Kind::MailAddress,
        Words("none; senders stay as they are"),
        "noreply@yourdomain.com",
        "The address that takes the place of one that is not allowed. Mail that cannot be delivered \
         comes back to it.",
    ),
    key(
        From,
        "name",
        Kind::NameForm,
        Words("{name}"),
        "{name} via yoursite",
        "The name that stands with default. {name} is the author's name, or the part of the address \
         before the @; {address} is the address, and {host} is the first word of hostname. What a \
         program of this host sends under its account is named as in root on web1 (Cron Daemon).",
    ),
    key(
        From,
        "policy",
        Kind::FromPolicy,
        Words("rewrite where default is given, else keep"),
        "rewrite",
        "What happens to a From that is not allowed. rewrite: default takes its place. refuse: the \
         message is returned to its sender. keep: nothing.",
    ),
    key(
        Gateway,
        "host",
        Kind::Host,
        Words("none; it must be given"),
        "smtp.example.com",
        "The gateway's name or address.",
    ),
    key(
        Gateway,
        "port",
        Kind::Port,
        Words("587 with tls = starttls, 465 with implicit, 25 with none"),
        "587",
        "The TCP port.",
    ),
    key(
        Gateway,
        "tls",
        Kind::Tls,
        Words("starttls; implicit where port is 465"),
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
        Words("none; the session is not authenticated"),
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
        "max_connections",
        Kind::Connections,
        Value("4"),
        "4",
        "How many sessions with this gateway may be open at once.",
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
    key(
        Listen,
        "smtp",
        Kind::Sockets,
        Value("none"),
        "127.0.0.1:25, [::1]:25",
        "Where programs on this host may hand in mail by SMTP. Only loopback addresses are \
         allowed.",
    ),
    key(
        Listen,
        "submission",
        Kind::Sockets,
        Value("none"),
        "192.0.2.1:587",
        "Where other hosts may hand in mail. They must use TLS and authenticate, so tls_cert, \
         tls_key and users_file must be given as well.",
    ),
    key(
        Listen,
        "tls_cert",
        Kind::Path,
        Words("none"),
        "/etc/relayd/cert.pem",
        "The certificate chain for submission, in PEM.",
    ),
    key(
        Listen,
        "tls_key",
        Kind::Path,
        Words("none"),
        "/etc/relayd/key.pem",
        "The private key of tls_cert, in PEM.",
    ),
    key(
        Listen,
        "users_file",
        Kind::Path,
        Words("none"),
        "/etc/relayd/users",
        "Who may authenticate at submission: one NAME:HASH a line, the hash in the crypt(5) form \
         that begins with $6$. Others must not be able to read it.",
    ),
    key(
        Log,
        "name",
        Kind::LogName,
        Value("relayd"),
        "relayd",
        "What the program name of each log line begins with, as in relayd/smtp. With postfix, \
         tools that look for postfix/smtp find their lines.",
    ),
    key(
        Log,
        "to",
        Kind::LogTarget,
        Value("syslog"),
        "syslog",
        "Where log lines go: the system's logger (facility mail), standard error, or a file.",
    ),
];

const fn key(
    section: Section,
    name: &'static str,
    kind: Kind,
    default: Fallback,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key {
        section,
        name,
        kind,
        default,
        example,
        meaning,
    }
}
