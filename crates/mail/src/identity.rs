//! Who handed a message in, and the name that the message has while it is queued.

use std::fmt;
use std::str::FromStr;

/// The name of one queued message: 12 upper-case hex digits.
///
/// The value counts microseconds modulo 2^48, so it repeats after 8.9 years. Twelve digits of hex
/// are what log parsers accept as Postfix's short form; several refuse the long one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(u64);

/// The text is not a queue id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueIdError;

impl QueueId {
    /// The id for a number; only its low 48 bits count.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number & 0xFFFF_FFFF_FFFF)
    }

    /// The number behind the id, below 2^48.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012X}", self.0)
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for QueueId {
    type Err = QueueIdError;

    /// Exactly what [`fmt::Display`] prints: 12 digits, letters in upper case.
    fn from_str(text: &str) -> Result<Self, QueueIdError> {
        let digit = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
        if text.len() != 12 || !text.bytes().all(digit) {
            return Err(QueueIdError);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| QueueIdError)
    }
}

impl fmt::Display for QueueIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a queue id is 12 upper-case hex digits")
    }
}

impl std::error::Error for QueueIdError {}

/// Who handed a message in, as the kernel or the SMTP session tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Submitter {
    /// A local process, by the uid that the kernel vouches for.
    Local {
        /// The caller's uid.
        uid: u32,
        /// Its login name, where the system knows one.
        login: Option<String>,
    },
    /// An SMTP client.
    Client {
        /// Its address, as `127.0.0.1` or `2001:db8::1`.
        address: String,
        /// The user it authenticated as.
        user: Option<String>,
    },
}

/// Where a message comes from: who handed it in, and which script it names as its author.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Who handed it in.
    pub submitter: Submitter,
    /// The value of `X-PHP-Originating-Script`, where the message has one.
    pub script: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_ids_print_as_they_are_read() {
        let id = QueueId::from_number(0x0012_3456_789A_BCDE);
        assert_eq!(id.to_string(), "3456789ABCDE");
        assert_eq!("3456789ABCDE".parse(), Ok(id));
        for bad in [
            "",
            "3456789ABCD",
            "3456789ABCDEF",
            "3456789abcde",
            "+456789ABCDE",
        ] {
            assert_eq!(bad.parse::<QueueId>(), Err(QueueIdError), "{bad}");
        }
    }
}
