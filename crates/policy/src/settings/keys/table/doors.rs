//! The keys of `[listen]`, `[limits]` and `[log]`.

use super::super::Fallback::{Value, Words};
use super::super::Section::{Limits, Listen, Log};
use super::super::{Key, Kind, key};

/// In the order of the sample file.
pub(super) const KEYS: &[Key] = &[
    key(
        Listen,
        "smtp",
        Kind::Sockets,
        Value("none"),
        "127.0.0.1:25, [::1]:25",
        "Where programs on this host, and hosts in allow, may hand in mail by SMTP. Without allow, \
         only loopback addresses can be given. An IPv6 address takes IPv6 alone: name 0.0.0.0:25 \
         beside [::]:25.",
    ),
    key(
        Listen,
        "submission",
        Kind::Sockets,
        Value("none"),
        "192.0.2.1:587",
        "Where other hosts may hand in mail. They must use TLS and authenticate, so tls_cert, \
         tls_key and users_file must be given as well. Those in allow need do neither, and may do \
         both; a password is never taken outside of TLS.",
    ),
    key(
        Listen,
        "allow",
        Kind::Networks,
        Value("none"),
        "172.17.0.0/16, 192.0.2.7",
        "Hosts that may hand in mail without a password, at smtp and at submission, beside this \
         one: containers, or neighbours on a network that nobody else can send from. At smtp all \
         others are told 554 5.7.1 for each recipient.",
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
        "Who may authenticate at submission: one NAME:HASH a line, as relayctl user add writes it \
         (Argon2id); hashes in the crypt(5) form that begins with $6$ will do as well. Others must \
         not be able to read it.",
    ),
    key(
        Limits,
        "max_sessions",
        Kind::Places,
        Value("256"),
        "512",
        "Sessions that each door (the submit socket, and every port) has at a time. Further clients are told 421 4.3.2. sendmail leaves its mail in maildrop then.",
    ),
    key(
        Limits,
        "max_sessions_per_client",
        Kind::Places,
        Value("192"),
        "50",
        "How many of them one user of this host, or one address other than loopback, can have. Further ones are told 421 4.3.2 too.",
    ),
    key(
        Limits,
        "max_recipients",
        Kind::Recipients,
        Value("1000"),
        "500",
        "Recipients of one message. Those beyond it are told 452 4.5.3, and clients send to them anew.",
    ),
    key(
        Limits,
        "max_header_size",
        Kind::HeaderSize,
        Value("256K"),
        "128K",
        "The header block of one message, from 16K to 1M.",
    ),
    key(
        Limits,
        "max_command_length",
        Kind::LineLength,
        Value("2048"),
        "4096",
        "One line of an SMTP command, in bytes.",
    ),
    key(
        Limits,
        "max_errors",
        Kind::Places,
        Value("20"),
        "50",
        "Errors of one client since its last message before it is sent away with 421 4.7.0.",
    ),
    key(
        Limits,
        "command_timeout",
        Kind::Duration,
        Value("5m"),
        "2m",
        "How long a client at a port may take for one command. Content may come as slowly as 500 bytes a second. It is sent away with 421 4.4.2 then.",
    ),
    key(
        Limits,
        "socket_timeout",
        Kind::Duration,
        Value("1d"),
        "12h",
        "The same at the submit socket, where mailers keep one sendmail -bs for as long as they live.",
    ),
    key(
        Limits,
        "rate",
        Kind::Rate,
        Words("none; everybody may hand in any number of messages"),
        "500/h",
        "How many messages one uid, one user of submission, or one address without a user may hand in. \
         The log names who goes over it, with the PHP script, and nobody else notices.",
    ),
    key(
        Limits,
        "burst",
        Kind::Count,
        Words("as many as rate names"),
        "100",
        "How many of them may come at once.",
    ),
    key(
        Limits,
        "over_rate",
        Kind::OverRate,
        Value("defer"),
        "hold",
        "What becomes of messages beyond rate. defer: they are refused with 450 4.7.1, and sendmail \
         exits with status 75. hold: they are taken in and held until an admin releases them. What \
         sendmail left in maildrop while relayd was down is held in either case.",
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
