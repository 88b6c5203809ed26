//! Every key of the settings file, with its default and what it means; those of gateways, doors
//! and alarms are in files of their own.

mod alarm;
mod doors;
mod gateway;

use super::Fallback::{Value, Words};
use super::Section::{Aliases, From, Paths, Replies, Rewrite, Top};
use super::{Key, Kind, key};

/// Every key, in the order of the sample file.
pub const KEYS: &[Key] = &ALL;

const COUNT: usize = HOST.len() + gateway::KEYS.len() + doors::KEYS.len() + alarm::KEYS.len();

const ALL: [Key; COUNT] = {
    let mut all = [HOST[0]; COUNT];
    let parts = [HOST, gateway::KEYS, doors::KEYS, alarm::KEYS];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let mut n = 0;
        while n < parts[part].len() {
            all[at] = parts[part][n];
            (at, n) = (at + 1, n + 1);
        }
        part += 1;
    }
    all
};

/// What concerns the host as a whole.
const HOST: &[Key] = &[
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
         refusal is known to be about the recipient or the message, see relayd-replies(5); any \
         other refusal keeps it, because the cause is then the account, these settings, or not \
         known. It is tried again, at longer and longer intervals, and returned once \
         queue_lifetime has passed. yes: nothing is returned before that. no: it is returned at \
         every 5xx answer to MAIL, RCPT or the message.",
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
        Replies,
        "file",
        Kind::Path,
        Words("none"),
        "/etc/relayd/replies",
        "A file of rules of your own, which go before those that come with relayd. \
         relayd-replies(5) says how to write one. It must belong to root or to user, and nobody \
         else may be able to write it. After a change: relayctl reload.",
    ),
];
