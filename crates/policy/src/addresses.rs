//! Patterns of addresses, as the settings name whom mail may be from and which gateway it takes.

use mail::Address;

/// Some addresses: one, or those of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressPattern {
    /// Every address of this domain, not of its subdomains; in ASCII.
    Domain(String),
    /// Every address of any subdomain of this domain; in ASCII.
    Subdomains(String),
    /// This address.
    Mailbox(Address),
}

impl AddressPattern {
    /// Whether it fits an address. One whose domain is not in ASCII fits by its A-labels only, so
    /// give those.
    #[must_use]
    pub fn matches(&self, address: &Address) -> bool {
        match self {
            Self::Mailbox(own) => own.same_mailbox(address),
            Self::Domain(domain) => address
                .domain()
                .is_some_and(|other| other.eq_ignore_ascii_case(domain)),
            Self::Subdomains(domain) => address.domain().is_some_and(|other| {
                let end = other.len().checked_sub(domain.len());
                end.and_then(|at| other.get(at..).zip(other.get(..at)))
                    .is_some_and(|(end, start)| {
                        end.eq_ignore_ascii_case(domain) && start.ends_with('.')
                    })
            }),
        }
    }

    /// How closely it says which addresses: an address counts for more than its domain, and that
    /// for more than the domain above it (the longer the more).
    pub(crate) fn closeness(&self) -> usize {
        match self {
            Self::Subdomains(domain) => domain.len(),
            Self::Domain(_) => 1000,
            Self::Mailbox(_) => 1001,
        }
    }
}
