//! Which gateway a message goes through.
//!
//! A gateway takes all mail, or, with `for_senders`, `for_recipients` and `for_origins`, some. A
//! recipient's mail goes through the gateway that fits it most closely: by the recipient first,
//! then by the sender, then by who handed it in, as Postfix's transport maps come before its
//! sender-dependent relay hosts. Gateways that fit equally well share the mail by their weights.
//!
//! All recipients of one queue entry have the same [`Shares`], so that an entry has one road. What
//! is handed in for recipients of several is [`split`] when it is taken in.

use std::net::IpAddr;

use mail::{Address, Envelope, QueueId, Recipient, Submitter, repair};

use crate::addresses::AddressPattern;
use crate::schedule::{CHOICES_MAX, When};
use crate::settings::{Gateway, Network, Overflow};

/// The mail that a gateway takes. The default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takes {
    /// `for_senders`: from these. Empty: from anybody.
    pub senders: Vec<AddressPattern>,
    /// `for_recipients`: to these. Empty: to anybody.
    pub recipients: Vec<AddressPattern>,
    /// `for_origins`: handed in by these. Empty: by anybody.
    pub origins: Vec<OriginPattern>,
}

/// Who hands mail in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// `uid:33`: a local program of this uid.
    Uid(u32),
    /// `login:www-data`: a local program of this account.
    Login(String),
    /// `client:172.17.0.0/16`: an SMTP client with such an address.
    Client(Network),
    /// `user:shop`: an SMTP client that authenticated as this user.
    User(String),
}

/// The gateways that share a recipient's mail, by their places in the settings, in rising order.
pub type Shares = Vec<usize>;

/// Recipients of one envelope that go the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The gateways that share the mail.
    pub shares: Shares,
    /// The recipients, by their places in the envelope, in rising order.
    pub recipients: Vec<usize>,
}

/// Who a message is from, in both senses.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Who handed it in.
    pub submitter: &'a Submitter,
    /// The envelope sender.
    pub sender: Option<&'a Address>,
}

/// How closely a gateway fits, by recipient, sender and origin; 0 where it takes any.
type Closeness = [usize; 3];

/// Groups the recipients of an envelope by their ways, in the order of their first recipients.
#[must_use]
pub fn split(gateways: &[Gateway], submitter: &Submitter, envelope: &Envelope) -> Vec<Part> {
    let sender = envelope.sender.as_ref();
    let source = Source { submitter, sender };
    let mut parts: Vec<Part> = Vec::new();
    for (place, recipient) in envelope.recipients.iter().enumerate() {
        let shares = shares(gateways, source, recipient);
        match parts.iter_mut().find(|part| part.shares == shares) {
            Some(part) => part.recipients.push(place),
            None => parts.push(Part {
                shares,
                recipients: vec![place],
            }),
        }
    }
    parts
}

/// The gateways that a recipient's mail is for. Settings that were read without a problem have one
/// for everybody; without any, this is the first.
#[must_use]
pub fn shares(gateways: &[Gateway], source: Source<'_>, recipient: &Recipient) -> Shares {
    let fits = |gateway: &Gateway| gateway.takes.fits(source, &recipient.address);
    let open = gateways
        .iter()
        .enumerate()
        .filter(|(_, gateway)| !gateway.spare);
    let fitting: Vec<(usize, Closeness)> = open
        .filter_map(|(place, gateway)| fits(gateway).map(|how| (place, how)))
        .collect();
    let best = fitting.iter().map(|(_, how)| *how).max();
    let best = fitting.into_iter().filter(|(_, how)| Some(*how) == best);
    let shares: Shares = best.map(|(place, _)| place).collect();
    if shares.is_empty() { vec![0] } else { shares }
}

/// Which of those that share it a message goes to first: always the same for the same id.
#[must_use]
pub fn pick(gateways: &[Gateway], shares: &[usize], id: QueueId) -> usize {
    let weight = |place: usize| {
        gateways
            .get(place)
            .map_or(1, |gateway| u64::from(gateway.weight))
    };
    let total: u64 = shares.iter().map(|place| weight(*place)).sum();
    let mut ticket = scattered(id.number()) % total.max(1);
    for place in shares {
        match ticket.checked_sub(weight(*place)) {
            Some(rest) => ticket = rest,
            None => return *place,
        }
    }
    shares.first().copied().unwrap_or_default()
}

/// The gateways that take over from the one at `first`, and when: its fallback and its overflow, then
/// theirs, and so on. None stands there twice, nor does `first`; there are no more than a
/// [`crate::schedule::Route`] has room for.
#[must_use]
pub fn others(gateways: &[Gateway], first: usize) -> Vec<(usize, When)> {
    let mut others: Vec<(usize, When)> = Vec::new();
    let mut next = 0;
    let mut at = Some(first);
    while let Some(gateway) = at.and_then(|place| gateways.get(place)) {
        for (place, when) in successors(gateways, gateway) {
            let known = place == first || others.iter().any(|(other, _)| *other == place);
            if !known && others.len() < CHOICES_MAX - 1 {
                others.push((place, when));
            }
        }
        at = others.get(next).map(|(place, _)| *place);
        next += 1;
    }
    others
}

/// Whom a gateway's own section names.
fn successors(gateways: &[Gateway], gateway: &Gateway) -> Vec<(usize, When)> {
    let fallback = gateway.fallback.as_ref();
    let fallback = fallback.and_then(|next| place_of(gateways, &next.gateway));
    let overflow = match &gateway.quota.overflow {
        Overflow::Pause => None,
        Overflow::To(name) => place_of(gateways, name),
    };
    match (fallback, overflow) {
        (Some(one), Some(other)) if one == other => vec![(one, When::Either)],
        _ => {
            let fallback = fallback.map(|place| (place, When::Down));
            let overflow = overflow.map(|place| (place, When::Spent));
            fallback.into_iter().chain(overflow).collect()
        }
    }
}

/// The place of the gateway of a name.
#[must_use]
pub fn place_of(gateways: &[Gateway], name: &str) -> Option<usize> {
    gateways.iter().position(|gateway| gateway.name == name)
}

/// Spreads numbers that follow each other evenly over all numbers (the finalizer of splitmix64).
const fn scattered(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

impl Takes {
    /// Whether it takes all mail.
    #[must_use]
    pub fn all(&self) -> bool {
        *self == Self::default()
    }

    fn fits(&self, source: Source<'_>, recipient: &Address) -> Option<Closeness> {
        Some([
            closest(&self.recipients, Some(recipient))?,
            closest(&self.senders, source.sender)?,
            self.origin(source.submitter)?,
        ])
    }

    fn origin(&self, submitter: &Submitter) -> Option<usize> {
        if self.origins.is_empty() {
            return Some(0);
        }
        let fitting = self.origins.iter().filter(|own| own.matches(submitter));
        fitting.map(OriginPattern::closeness).max()
    }
}

/// How closely the patterns fit; `None` if they do not.
fn closest(patterns: &[AddressPattern], address: Option<&Address>) -> Option<usize> {
    if patterns.is_empty() {
        return Some(0);
    }
    let address = address?;
    let ascii = repair::ascii_address(address);
    let address = ascii.as_ref().unwrap_or(address);
    let fitting = patterns.iter().filter(|pattern| pattern.matches(address));
    fitting.map(AddressPattern::closeness).max()
}

impl OriginPattern {
    /// Whether it fits who handed a message in.
    #[must_use]
    pub fn matches(&self, submitter: &Submitter) -> bool {
        match (self, submitter) {
            (Self::Uid(own), Submitter::Local { uid, .. }) => own == uid,
            (Self::Login(own), Submitter::Local { login, .. }) => login.as_ref() == Some(own),
            (Self::Client(own), Submitter::Client { address, .. }) => address
                .parse::<IpAddr>()
                .is_ok_and(|address| own.contains(address)),
            (Self::User(own), Submitter::Client { user, .. }) => user.as_ref() == Some(own),
            _ => false,
        }
    }

    /// A person or account counts for more than a network, and a small network for more than the
    /// large one around it.
    fn closeness(&self) -> usize {
        match self {
            Self::Client(network) => usize::from(network.prefix()),
            Self::Uid(_) | Self::Login(_) | Self::User(_) => 1000,
        }
    }
}

#[cfg(test)]
mod tests;
