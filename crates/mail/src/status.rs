//! Enhanced mail system status codes (RFC 3463): `class.subject.detail`.

use std::fmt;

/// An enhanced status code such as `4.7.8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatusCode {
    class: u8,
    subject: u16,
    detail: u16,
}

impl StatusCode {
    /// Builds `class.subject.detail`; `class` must be 2, 4 or 5 and the others at most 999
    /// (RFC 3463 section 2). Anything else is a fault of the calling code and panics.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        assert!(matches!(class, 2 | 4 | 5) && subject <= 999 && detail <= 999);
        Self {
            class,
            subject,
            detail,
        }
    }

    /// Reads a code at the very start of `text`, as in `5.1.1 no such user`. Returns the code and
    /// the text after it, its leading spaces removed; `None` if `text` does not start with one.
    #[must_use]
    pub fn split_from(text: &str) -> Option<(Self, &str)> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut parts = word.split('.');
        let class = number(parts.next()?, 1)?;
        let subject = number(parts.next()?, 3)?;
        let detail = number(parts.next()?, 3)?;
        if parts.next().is_some() || !matches!(class, 2 | 4 | 5) {
            return None;
        }
        let class = u8::try_from(class).ok()?;
        Some((
            Self {
                class,
                subject,
                detail,
            },
            rest.trim_start_matches(' '),
        ))
    }

    /// The class: 2 success, 4 persistent transient failure, 5 permanent failure.
    #[must_use]
    pub const fn class(self) -> u8 {
        self.class
    }

    /// The subject sub-code (1 address, 2 mailbox, 3 mail system, 4 network, 5 protocol,
    /// 6 content, 7 security or policy).
    #[must_use]
    pub const fn subject(self) -> u16 {
        self.subject
    }

    /// The detail sub-code.
    #[must_use]
    pub const fn detail(self) -> u16 {
        self.detail
    }

    /// The same subject and detail in another class. Postfix logs a refusal that it defers this
    /// way: `535 5.7.8` becomes `dsn=4.7.8`.
    #[must_use]
    pub const fn with_class(self, class: u8) -> Self {
        Self::new(class, self.subject, self.detail)
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

fn number(digits: &str, longest: usize) -> Option<u16> {
    let fits = !digits.is_empty() && digits.len() <= longest;
    (fits && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_a_code_from_its_text() {
        let (code, text) = StatusCode::split_from("5.1.1  no such user").unwrap();
        assert_eq!((code, text), (StatusCode::new(5, 1, 1), "no such user"));
        assert_eq!(StatusCode::split_from("2.0.0").unwrap().1, "");
    }

    #[test]
    fn leaves_other_text_alone() {
        for text in [
            "",
            "3.1.1 x",
            "5.1 x",
            "5.1.1.1 x",
            "5.1.1000 x",
            "Ok 5.1.1",
            "5.a.1",
        ] {
            assert_eq!(StatusCode::split_from(text), None, "{text}");
        }
    }
}
