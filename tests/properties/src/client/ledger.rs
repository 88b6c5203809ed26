//! What a report about a transaction has to say, told from the commands and the replies alone, and what policy may make
//! of it.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use policy::settings::SoftBounce;
use policy::verdict::{Judge, Rulebook, Server, Verdict};
use smtp::Stage;
use smtp::client::{Fault, Refusal, Transaction, TransactionReport};
use smtp::reply::ReplyParser;

/// A command that was sent and not answered yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Rcpt(usize),
    EndOfData,
    Other,
}

/// The books about one transaction.
pub(super) struct Ledger {
    /// The paths of the recipients, in order.
    recipients: Vec<String>,
    asked: VecDeque<Asked>,
    /// For each recipient whether its RCPT was accepted.
    accepted: Vec<bool>,
    /// The code of the reply that decides about the message.
    decided: Option<u16>,
    content_sent: bool,
}

impl Ledger {
    /// Opens the books. The greeting is asked for by connecting.
    pub(super) fn new(transaction: &Transaction) -> Self {
        let path = |one: &mail::Recipient| format!("RCPT TO:<{}>", one.address);
        let recipients: Vec<String> = transaction.recipients.iter().map(path).collect();
        Self {
            accepted: vec![false; recipients.len()],
            recipients,
            asked: VecDeque::new(),
            decided: None,
            content_sent: false,
        }
    }

    /// Commands went out.
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).expect("commands are text");
        for line in text.lines() {
            let starts = |path: &String| line.starts_with(&**path);
            if let Some(index) = self.recipients.iter().position(starts) {
                self.asked.push_back(Asked::Rcpt(index));
            } else if line == "BDAT 0 LAST" {
                self.content_sent();
            } else if !line.starts_with("BDAT ") {
                self.asked.push_back(Asked::Other);
            }
        }
    }

    /// The content is out.
    pub(super) fn content_sent(&mut self) {
        self.content_sent = true;
        self.asked.push_back(Asked::EndOfData);
    }

    /// The gateway answers what it was asked first.
    pub(super) fn answered(&mut self, reply: &[u8]) {
        let mut parser = ReplyParser::new();
        parser.push(reply);
        let code = match parser.next_reply() {
            Ok(Some(reply)) => reply.code,
            Ok(None) | Err(_) => 0,
        };
        match self.asked.pop_front() {
            Some(Asked::Rcpt(index)) => self.accepted[index] = code / 100 == 2,
            Some(Asked::EndOfData) => self.decided = Some(code),
            Some(Asked::Other) | None => {}
        }
    }

    /// A recipient has the message if, and only if, it was accepted and the message was.
    pub(super) fn check(&self, report: &TransactionReport) {
        assert_eq!(report.results.len(), self.recipients.len());
        assert_eq!(report.content_sent, self.content_sent);
        let taken = self.decided.is_some_and(|code| code / 100 == 2);
        for (result, accepted) in report.results.iter().zip(&self.accepted) {
            assert_eq!(result.is_ok(), taken && *accepted, "{report:?}");
            match result {
                Ok(reply) => assert!(reply.is_positive() && self.content_sent),
                Err(refusal) => self.check_refusal(refusal, *accepted),
            }
        }
    }

    fn check_refusal(&self, refusal: &Refusal, accepted: bool) {
        match refusal {
            Refusal::Reply { stage, reply } => {
                let of_transaction = [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::EndOfData];
                assert!(of_transaction.contains(stage) && !reply.is_positive());
            }
            // Of a recipient that was refused before, it is known that it has no copy.
            Refusal::Interrupted { content_sent, .. } => {
                assert_eq!(*content_sent, self.content_sent);
            }
            Refusal::Unsupported { .. } => assert!(!accepted),
            Refusal::OtherRefused => assert!(!self.content_sent),
        }
        for soft_bounce in [SoftBounce::Smart, SoftBounce::Yes, SoftBounce::No] {
            check_ruling(refusal, soft_bounce);
        }
    }
}

/// Mail fails only where a permanent refusal, or what the gateway offers, is its fault; what may have arrived is
/// uncertain, and nothing else is.
fn check_ruling(refusal: &Refusal, soft_bounce: SoftBounce) {
    let (ruling, text) = judge(soft_bounce).of_refusal(&server(), refusal, 2);
    assert!(
        !text.is_empty() && !text.contains(char::is_control),
        "{text:?}"
    );
    let sent = matches!(
        refusal,
        Refusal::Interrupted {
            content_sent: true,
            ..
        }
    );
    assert_eq!(ruling.verdict == Verdict::Uncertain, sent, "{refusal:?}");
    let permanent = match refusal {
        Refusal::Reply { reply, .. } => reply.is_permanent(),
        Refusal::Unsupported { .. } => true,
        Refusal::Interrupted { .. } | Refusal::OtherRefused => false,
    };
    let fails = matches!(ruling.verdict, Verdict::Fail(_));
    assert!(!fails || permanent && soft_bounce != SoftBounce::Yes);
    assert_eq!(ruling.code.class() == 5, fails, "{refusal:?}");
}

/// One with the rules that come with relayd.
fn judge(soft_bounce: SoftBounce) -> Judge<'static> {
    static RULES: Rulebook = Rulebook::built_in();
    Judge {
        rules: &RULES,
        provider: None,
        soft_bounce,
    }
}

/// A fault of the session is about the gateway, and can be told on one line.
pub(super) fn check_fault(fault: &Fault) {
    let trouble = judge(SoftBounce::Smart).of_fault(&server(), fault);
    let reason = &trouble.trouble.reason;
    assert!(
        !reason.is_empty() && !reason.contains(char::is_control),
        "{reason:?}"
    );
    assert_eq!(trouble.code.class(), 4);
}

fn server() -> Server {
    Server::new("gw.example", (Ipv4Addr::LOCALHOST, 587).into())
}
