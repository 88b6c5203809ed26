//! What the gateway offers and how it misbehaves; both may be changed while it runs.

use crate::certificate::Identity;

/// How the gateway speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Plain text only; STARTTLS is neither offered nor understood.
    None,
    /// Plain text first, STARTTLS offered.
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

/// What the gateway is like. Read anew at each connection.
#[derive(Clone)]
pub struct Setup {
    /// The name in greeting and EHLO reply.
    pub hostname: String,
    /// How TLS is offered.
    pub tls: Tls,
    /// Whom the certificate says this is. Needed unless `tls` is `None`.
    pub identity: Option<Identity>,
    /// AUTH mechanisms offered (`PLAIN`, `LOGIN`, `CRAM-MD5`), in this order; empty: AUTH is not offered.
    pub mechanisms: Vec<&'static str>,
    /// The one user.
    pub user: String,
    /// The user's password.
    pub password: String,
    /// MAIL without AUTH is answered 530.
    pub auth_required: bool,
    /// AUTH and MAIL in clear are answered 530, and AUTH is not offered in clear.
    pub tls_required: bool,
    /// EHLO keywords beside STARTTLS and AUTH.
    pub keywords: Vec<String>,
    /// Connections beyond this many are greeted with 421.
    pub max_connections: Option<usize>,
    /// Refuses what is not from this domain, has eight bits or a line above 998 characters.
    pub strict_domain: Option<String>,
    /// Keep the bytes behind DATA as they came, beside the content.
    pub keep_wire: bool,
}

impl Setup {
    /// A well-behaved provider: STARTTLS, AUTH by all three mechanisms, and every extension of RFC 1870, 2920, 2034,
    /// 3030, 3461, 6152 and 6531.
    pub fn provider(identity: Identity) -> Self {
        let keywords = [
            "PIPELINING",
            "SIZE 52428800",
            "8BITMIME",
            "ENHANCEDSTATUSCODES",
            "CHUNKING",
            "DSN",
            "SMTPUTF8",
        ];
        Self {
            hostname: "gateway.test".to_owned(),
            tls: Tls::StartTls,
            identity: Some(identity),
            mechanisms: vec!["PLAIN", "LOGIN", "CRAM-MD5"],
            user: "relay-user".to_owned(),
            password: "correct horse; battery#staple\\".to_owned(),
            auth_required: true,
            tls_required: true,
            keywords: keywords.map(str::to_owned).to_vec(),
            max_connections: None,
            strict_domain: None,
            keep_wire: false,
        }
    }

    /// A provider that takes mail from `domain` only, and nothing that is not plain RFC 5321 and 5322: no 8BITMIME, no
    /// SMTPUTF8, no CHUNKING.
    pub fn strict_provider(identity: Identity, domain: &str) -> Self {
        Self {
            keywords: ["PIPELINING", "SIZE 10485760", "ENHANCEDSTATUSCODES"]
                .map(str::to_owned)
                .to_vec(),
            strict_domain: Some(domain.to_owned()),
            ..Self::provider(identity)
        }
    }

    /// A sink without TLS and AUTH, as a second Postfix or `smtp-sink` would be.
    pub fn open_sink() -> Self {
        Self {
            hostname: "sink.test".to_owned(),
            tls: Tls::None,
            identity: None,
            mechanisms: Vec::new(),
            user: String::new(),
            password: String::new(),
            auth_required: false,
            tls_required: false,
            keywords: ["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"]
                .map(str::to_owned)
                .to_vec(),
            max_connections: None,
            strict_domain: None,
            keep_wire: false,
        }
    }

    /// True if `name` is among the EHLO keywords.
    pub(super) fn offers(&self, name: &str) -> bool {
        self.keywords
            .iter()
            .any(|k| k.split(' ').next() == Some(name))
    }
}

/// Where in the dialogue a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Instead of the greeting.
    Greeting,
    /// In answer to EHLO or HELO.
    Ehlo,
    /// In answer to STARTTLS.
    StartTls,
    /// Instead of the TLS handshake, after 220.
    Handshake,
    /// In answer to the credentials (the last AUTH line), right or wrong.
    Auth,
    /// In answer to MAIL.
    Mail,
    /// In answer to RCPT.
    Rcpt,
    /// In answer to DATA.
    Data,
    /// While content arrives: after its first line, or instead of reading a chunk.
    Content,
    /// In answer to the final dot or the last chunk.
    EndOfData,
    /// In answer to RSET.
    Rset,
    /// In answer to QUIT.
    Quit,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers with this text in place of the usual reply. Lines are parted by LF and written as given, each with its
    /// code. A first digit of 2 or 3 means that the command counts as taken; after 421 the connection is closed.
    Reply(String),
    /// Closes the connection without an answer.
    Drop,
    /// Never answers, and keeps the connection until the client gives up.
    Silence,
    /// Takes the message and closes the connection without saying so. Only at `EndOfData`.
    LoseReply,
}

impl Fault {
    /// `Fault::Reply` from a literal.
    pub fn reply(text: &str) -> Self {
        Self::Reply(text.to_owned())
    }
}

/// When a fault strikes: the first rule that fits is followed.
#[derive(Clone, Debug)]
pub struct Rule {
    stage: Stage,
    fault: Fault,
    needle: Option<String>,
    skip: u32,
    left: Option<u32>,
}

impl Rule {
    /// Always at `stage`.
    pub fn at(stage: Stage, fault: Fault) -> Self {
        Self {
            stage,
            fault,
            needle: None,
            skip: 0,
            left: None,
        }
    }

    /// Only where the command line (at `EndOfData` the content) has `needle` in it.
    pub fn naming(mut self, needle: &str) -> Self {
        self.needle = Some(needle.to_owned());
        self
    }

    /// Only the first `count` times.
    pub fn times(mut self, count: u32) -> Self {
        self.left = Some(count);
        self
    }

    /// Not the first `count` times.
    pub fn after(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    fn fits(&self, stage: Stage, said: &[u8]) -> bool {
        self.stage == stage
            && self.left != Some(0)
            && self
                .needle
                .as_ref()
                .is_none_or(|n| said.windows(n.len()).any(|w| w == n.as_bytes()))
    }
}

/// The rules in force, in order.
#[derive(Default)]
pub(super) struct Script {
    rules: Vec<Rule>,
}

impl Script {
    pub(super) fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The fault due now, if any; counts it.
    pub(super) fn strike(&mut self, stage: Stage, said: &[u8]) -> Option<Fault> {
        for rule in self.rules.iter_mut().filter(|r| r.fits(stage, said)) {
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.left = rule.left.map(|n| n - 1);
            return Some(rule.fault.clone());
        }
        None
    }
}
