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
use std::time::Duration;

use mail::{Address, Envelope, QueueId, Recipient, Submitter, repair};

use crate::addresses::AddressPattern;
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

/// The way of one message, by the places of gateways in the settings. None stands there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Road {
    /// The gateway that it is for.
    pub first: usize,
    /// Those that take over while the ones before are down, in order, each with how long the one
    /// before it must have been down.
    pub fallback: Vec<(usize, Duration)>,
    /// Those that take what is beyond the quota of `first`, and then of each other, in order.
    pub overflow: Vec<usize>,
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

/// The way of a message that goes to the gateway at `first`.
#[must_use]
pub fn road(gateways: &[Gateway], first: usize) -> Road {
    let fallback = |gateway: &Gateway| {
        let next = gateway.fallback.as_ref()?;
        Some((place_of(gateways, &next.gateway)?, next.after))
    };
    let overflow = |gateway: &Gateway| match &gateway.quota.overflow {
        Overflow::Pause => None,
        Overflow::To(name) => Some((place_of(gateways, name)?, Duration::ZERO)),
    };
    let spill = chain(gateways, first, overflow).into_iter();
    Road {
        first,
        fallback: chain(gateways, first, fallback),
        overflow: spill.map(|(place, _)| place).collect(),
    }
}

/// Follows the gateways from one to the next, to the end or to one that was passed before.
fn chain(
    gateways: &[Gateway],
    first: usize,
    next: impl Fn(&Gateway) -> Option<(usize, Duration)>,
) -> Vec<(usize, Duration)> {
    let mut passed = Vec::new();
    let mut at = first;
    while let Some((place, after)) = gateways.get(at).and_then(&next) {
        if place == first || passed.iter().any(|(known, _)| *known == place) {
            break;
        }
        passed.push((place, after));
        at = place;
    }
    passed
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
