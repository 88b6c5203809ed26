//! The From policy: what a gateway that takes mail from certain domains only is shown as sender.
//!
//! A From outside the allowed domains becomes one of ours that names the author, and replies still
//! go to him: `From: Visitor <v@elsewhere.example>` becomes `From: "Visitor via yoursite"
//! <noreply@yourdomain.com>` with `Reply-To: "Visitor" <v@elsewhere.example>`. It is applied while
//! a message is sent; the stored one stays what was handed in.

mod names;

use std::fmt;

use mail::authors::{self, Author};
use mail::header::{Field, HeaderBlock};
use mail::{Address, repair};

use crate::addresses::AddressPattern;

pub use names::NameForm;

/// The longest address in bytes that Reply-To is given: a line has room for it.
const LONGEST_REPLY_ADDRESS: usize = 900;

/// The From policy of one gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What is done with a From that is not allowed.
    pub action: Action,
    /// What is allowed besides [`Rules::default`].
    pub allow: Vec<AddressPattern>,
    /// What stands in for what is not allowed. Without it nothing is rewritten.
    pub default: Option<Address>,
    /// The name that stands with it.
    pub name: NameForm,
    /// The envelope sender in place of the null sender `<>`, for a gateway that refuses that.
    pub bounce_from: Option<Address>,
}

/// What is done with a From that is not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// It is sent as it is.
    #[default]
    Keep,
    /// [`Rules::default`] takes its place.
    Rewrite,
    /// The message is not sent.
    Refuse,
}

/// The names of this host, by which mail that its programs write about it is recognised.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// Its full name.
    pub hostname: &'a str,
    /// The domain that completes bare addresses.
    pub domain: &'a str,
}

/// What the gateway is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The new header block, in CR LF; `None` if the old one stays as it is.
    pub block: Option<Vec<u8>>,
    /// The envelope sender; `None` is the null sender.
    pub sender: Option<Address>,
    /// What was changed, for the log.
    pub changes: Changes,
}

/// What the From policy changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The addresses that stood in From, where it was rewritten; untrusted, at most 200 characters.
    pub from: Option<String>,
    /// Reply-To was set to them.
    pub reply_to: bool,
    /// A Sender field that is not allowed was left out.
    pub sender_field: bool,
    /// Resent fields were rewritten or left out.
    pub resent: bool,
    /// The envelope sender was replaced.
    pub envelope: bool,
    /// The message has a DKIM signature (RFC 6376), which no longer fits.
    pub dkim_broken: bool,
}

impl Changes {
    /// Whether anything was changed.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

impl fmt::Display for Changes {
    /// What was changed, as part of a log line, such as `From v@x.example replaced, Reply-To set`.
    /// Holds untrusted text: the log escapes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = self.from.as_ref().map(|from| match from.as_str() {
            "" => "From added".to_owned(),
            from => format!("From {from} replaced"),
        });
        let told = |what: bool, words: &str| what.then(|| words.to_owned());
        let parts = [
            from,
            told(self.reply_to, "Reply-To set"),
            told(self.sender_field, "Sender removed"),
            told(self.resent, "Resent fields replaced"),
            told(self.envelope, "envelope sender replaced"),
            told(self.dkim_broken, "its DKIM signature no longer verifies"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

/// The message must not go to the gateway: its From is not allowed, and the policy is to refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The addresses in From; untrusted, at most 200 characters.
    pub from: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = match self.from.as_str() {
            "" => "without an address",
            from => from,
        };
        write!(
            f,
            "From {from} is not allowed by the settings of the gateway"
        )
    }
}

impl std::error::Error for Refused {}

impl Rules {
    /// Whether the rules can change or refuse anything. If not, nothing has to be read.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.action == Action::Keep && self.bounce_from.is_none()
    }

    /// Applies the policy to a header block in CR LF, complete with its From, and to the envelope
    /// sender. All fields but From, Reply-To, Sender, Resent-From and Resent-Sender stay byte for
    /// byte. What comes out is ASCII where it is new. Applied again, it changes nothing more.
    ///
    /// # Errors
    /// [`Refused`] under [`Action::Refuse`] only.
    pub fn apply(
        &self,
        host: Host<'_>,
        block: &[u8],
        sender: Option<&Address>,
    ) -> Result<Outgoing, Refused> {
        let envelope = self.envelope(sender);
        let mut changes = Changes {
            envelope: envelope.as_ref() != sender,
            ..Changes::default()
        };
        let header = HeaderBlock::new(block);
        let new = match (self.action, &self.default) {
            (Action::Refuse, _) => {
                let authors = authors_of(header, "From");
                if !self.allow_all(&authors) {
                    let from = shown(&authors);
                    return Err(Refused { from });
                }
                None
            }
            (Action::Rewrite, Some(default)) => {
                let rewriter = Rewriter {
                    rules: self,
                    default,
                    host,
                };
                rewriter.rewrite(header, &mut changes)
            }
            (Action::Keep, _) | (Action::Rewrite, None) => None,
        };
        let signed = header.get("DKIM-Signature").is_some();
        changes.dkim_broken = signed && changes.from.is_some();
        Ok(Outgoing {
            block: new,
            sender: envelope,
            changes,
        })
    }

    fn envelope(&self, sender: Option<&Address>) -> Option<Address> {
        let Some(sender) = sender else {
            return self.bounce_from.clone();
        };
        match &self.default {
            Some(default) if self.action != Action::Keep && !self.allows(sender) => {
                Some(default.clone())
            }
            _ => Some(sender.clone()),
        }
    }

    /// Whether an address may stand as sender.
    fn allows(&self, address: &Address) -> bool {
        let ascii = repair::ascii_address(address);
        let address = ascii.as_ref().unwrap_or(address);
        let is_default = |default: &Address| default.same_mailbox(address);
        self.default.as_ref().is_some_and(is_default)
            || self.allow.iter().any(|allowed| allowed.matches(address))
    }

    /// Whether there is an author, and every one may stand as sender.
    fn allow_all(&self, authors: &[Author]) -> bool {
        let allowed = |author: &Author| author.address.as_ref().is_some_and(|a| self.allows(a));
        !authors.is_empty() && authors.iter().all(allowed)
    }
}

/// The authors in all fields of that name.
fn authors_of(block: HeaderBlock<'_>, name: &str) -> Vec<Author> {
    let fields = block.fields().filter(|field| field.is(name));
    fields
        .flat_map(|field| authors::parse(field.value()))
        .collect()
}

/// The addresses for a log line.
fn shown(authors: &[Author]) -> String {
    let addresses = authors.iter().filter_map(|author| author.address.as_ref());
    let addresses: Vec<&str> = addresses.map(Address::as_str).collect();
    addresses.join(" ").chars().take(200).collect()
}

/// Puts the new header block together.
struct Rewriter<'a> {
    rules: &'a Rules,
    default: &'a Address,
    host: Host<'a>,
}

impl Rewriter<'_> {
    /// The new block; `None` if all of it is allowed.
    fn rewrite(&self, block: HeaderBlock<'_>, changes: &mut Changes) -> Option<Vec<u8>> {
        let authors = authors_of(block, "From");
        // Two From fields are refused by some gateways even if both are allowed.
        let fields = block.fields().filter(|field| field.is("From")).count();
        let mut new_from = (fields != 1 || !self.rules.allow_all(&authors)).then(|| {
            changes.from = Some(shown(&authors));
            let reply_to = self.reply_to(block, &authors);
            changes.reply_to = reply_to.is_some();
            [self.field("From", &authors), reply_to.unwrap_or_default()].concat()
        });
        let from_changes = new_from.is_some();
        let mut out = Vec::with_capacity(block.as_bytes().len() + 512);
        for field in block.fields() {
            if from_changes && field.is("From") {
                out.extend(new_from.take().unwrap_or_default().into_bytes());
            } else if changes.reply_to && field.is("Reply-To") {
                // It names nobody.
            } else {
                self.other(field, changes, &mut out);
            }
        }
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
        out.extend(new_from.take().unwrap_or_default().into_bytes());
        (from_changes || changes.sender_field || changes.resent).then_some(out)
    }

    /// Appends a field that is not From, or what replaces it.
    fn other(&self, field: Field<'_>, changes: &mut Changes, out: &mut Vec<u8>) {
        let names = ["Sender", "Resent-From", "Resent-Sender"];
        let Some(name) = names.into_iter().find(|name| field.is(name)) else {
            return out.extend_from_slice(field.raw());
        };
        let authors = authors::parse(field.value());
        if self.rules.allow_all(&authors) {
            return out.extend_from_slice(field.raw());
        }
        match name {
            "Sender" => changes.sender_field = true,
            _ => changes.resent = true,
        }
        if name == "Resent-From" {
            out.extend(self.field(name, &authors).into_bytes());
        }
    }

    /// A field with the default address, named after the authors.
    fn field(&self, name: &str, authors: &[Author]) -> String {
        let shown = names::of(authors, &self.rules.name, self.host);
        let mailbox = authors::mailbox(shown.as_deref(), self.default);
        format!("{name}: {mailbox}\r\n")
    }

    /// The Reply-To field that leads to the authors; `None` if the message has one that names
    /// somebody, or if nobody can be reached.
    fn reply_to(&self, block: HeaderBlock<'_>, authors: &[Author]) -> Option<String> {
        let given = authors_of(block, "Reply-To");
        if given.iter().any(|author| author.address.is_some()) {
            return None;
        }
        let mailbox = |author: &Author| {
            let address = author.address.as_ref().filter(|a| names::is_reachable(a))?;
            // In a header without SMTPUTF8 another form has no place, nor has one in a line that is
            // too short for it. (No server takes one of 256 bytes or more: RFC 5321 section 4.5.3.1.3.)
            let address = repair::ascii_address(address)?;
            if address.as_str().len() > LONGEST_REPLY_ADDRESS {
                return None;
            }
            let name = author.name.as_ref().or(author.comment.as_ref());
            Some(authors::mailbox(name.map(String::as_str), &address))
        };
        let mailboxes: Vec<String> = authors.iter().filter_map(mailbox).collect();
        let value = mailboxes.join(",\r\n ");
        (!value.is_empty()).then(|| format!("Reply-To: {value}\r\n"))
    }
}

#[cfg(test)]
mod tests;
