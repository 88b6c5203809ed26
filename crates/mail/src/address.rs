//! Envelope addresses.

use std::fmt;

use crate::lexer::{Kind, Token, scan};

/// The longest address in bytes.
const LIMIT: usize = 1_000;

/// The longest bare local part in bytes: a domain of 255 bytes still fits behind it.
const BARE_LIMIT: usize = LIMIT - 256;

/// An envelope address: `local@domain`, or a bare local part that is still to be qualified.
///
/// Kept in the form that goes over the wire (quoted where RFC 5321 wants it and only there),
/// without angle brackets. It holds no control character, CR, LF, NUL, or space outside quotes,
/// and at most 1,000 bytes, so that it can be put into a command line or a log line as it is.
/// Reading what it prints gives the same address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

/// Why a text is not an envelope address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Nothing there.
    Empty,
    /// Longer than 1,000 bytes, or a bare local part longer than 744.
    TooLong,
    /// A control character, or a byte that is not UTF-8.
    ControlCharacter,
    /// Not an address by RFC 5321 section 4.1.2, read generously.
    Syntax,
}

impl Address {
    /// Reads one address without angle brackets, comments or blanks around it, as generously as
    /// Postfix: a bare local part is fine, local parts that need quotes get them (`a@b@c.example`
    /// is `"a@b"@c.example`), needless quotes and backslashes go, as do a source route
    /// (`@x,@y:a@b`) and one dot at the end of the domain.
    ///
    /// # Errors
    /// What [`AddressError`] says. `""` and `@` are [`AddressError::Empty`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let tokens = scan(text.as_bytes());
        let mut at = 0;
        for token in &tokens {
            let stray = matches!(token.kind, Kind::Comment | Kind::Special(b'<' | b'>'));
            if stray || token.start != at {
                return Err(fault_in(text.as_bytes()));
            }
            at = token.end;
        }
        if at != text.len() {
            return Err(fault_in(text.as_bytes()));
        }
        Self::from_tokens(text.as_bytes(), &tokens)
    }

    /// The address that these tokens of `text` make, comments left out.
    pub(crate) fn from_tokens(text: &[u8], tokens: &[Token]) -> Result<Self, AddressError> {
        let tokens = without_trailing_dot(without_route(tokens));
        if tokens.iter().any(|token| is_unclosed(token.kind)) {
            return Err(AddressError::Syntax);
        }
        let at = tokens.iter().rposition(|token| token.is(b'@'));
        let local = local_part(text, &tokens[..at.unwrap_or(tokens.len())])?;
        let mut address = match at {
            Some(_) if tokens.len() == 1 => return Err(AddressError::Empty),
            None if local.is_empty() => return Err(AddressError::Empty),
            _ => quoted_if_needed(local),
        };
        if let Some(at) = at {
            address.push(b'@');
            address.extend(domain_part(text, &tokens[at + 1..])?);
        }
        let address = String::from_utf8(address).map_err(|_| AddressError::ControlCharacter)?;
        if address.chars().any(char::is_control) {
            return Err(AddressError::ControlCharacter);
        }
        if address.len() > if at.is_some() { LIMIT } else { BARE_LIMIT } {
            return Err(AddressError::TooLong);
        }
        Ok(Self(address))
    }

    /// The address as it goes over the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the `@`, with its quotes if it has any; all of a bare local part.
    #[must_use]
    pub fn local(&self) -> &str {
        self.split().0
    }

    /// The part after the `@`; `None` for a bare local part.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.split().1
    }

    /// Whether it can be sent without SMTPUTF8 (RFC 6531).
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }

    /// The address with `domain` where it has none, as Postfix's rewriting makes it:
    /// `host!user` becomes `user@host` and `user%host` becomes `user@host`; all else that is bare
    /// gets `@domain`. `domain` is a host name of at most 255 bytes and is not looked at.
    #[must_use]
    pub fn qualified(&self, domain: &str) -> Self {
        if self.domain().is_some() {
            return self.clone();
        }
        self.unrouted()
            .unwrap_or_else(|| Self(format!("{}@{domain}", self.0)))
    }

    /// Whether both name one mailbox: Postfix merges addresses that differ in ASCII case only,
    /// also in the local part.
    #[must_use]
    pub fn same_mailbox(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// `user@host` for a bare `host!user` or `user%host`.
    fn unrouted(&self) -> Option<Self> {
        if self.0.starts_with('"') {
            return None;
        }
        let bang = self.0.split_once('!').map(|(host, user)| (user, host));
        let (user, host) = bang.or_else(|| self.0.rsplit_once('%'))?;
        Self::parse(&format!("{user}@{host}")).ok()
    }

    fn split(&self) -> (&str, Option<&str>) {
        // An `@` within quotes is part of the local part; no domain has a quote in it.
        let local_end = match self.0.rfind('"') {
            Some(quote) => quote + 1,
            None => self.0.find('@').unwrap_or(self.0.len()),
        };
        let (local, domain) = self.0.split_at(local_end);
        (local, domain.strip_prefix('@'))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty address",
            Self::TooLong => "address too long",
            Self::ControlCharacter => "control character or invalid UTF-8 in address",
            Self::Syntax => "bad address syntax",
        })
    }
}

impl std::error::Error for AddressError {}

/// Why a text with blanks, brackets or comments in it is no address.
fn fault_in(text: &[u8]) -> AddressError {
    if text.iter().any(u8::is_ascii_control) {
        AddressError::ControlCharacter
    } else if !text.is_empty() && text.iter().all(|b| *b == b' ') {
        AddressError::Empty
    } else {
        AddressError::Syntax
    }
}

/// Drops the source route of `@x,@y:a@b` (RFC 5321 appendix C: to be ignored).
fn without_route(tokens: &[Token]) -> &[Token] {
    let routed = tokens.first().is_some_and(|token| token.is(b'@'));
    match tokens.iter().position(|token| token.is(b':')) {
        Some(colon) if routed && colon + 1 < tokens.len() => &tokens[colon + 1..],
        _ => tokens,
    }
}

/// Drops one dot at the end of a domain; `a@b..` and `a@.` are left as broken as they are.
fn without_trailing_dot(tokens: &[Token]) -> &[Token] {
    match tokens {
        [rest @ .., last] if last.is(b'.') && rest.iter().any(|token| token.is(b'@')) => {
            let broken = rest
                .last()
                .is_some_and(|token| token.is(b'.') || token.is(b'@'));
            if broken { tokens } else { rest }
        }
        _ => tokens,
    }
}

const fn is_unclosed(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Quoted { closed: false } | Kind::Literal { closed: false }
    )
}

/// What the local part means, unquoted. Two words side by side, as in `<john doe@x>`, keep one
/// blank between them. A list within angle brackets is refused rather than glued together.
fn local_part(text: &[u8], tokens: &[Token]) -> Result<Vec<u8>, AddressError> {
    let mut local = Vec::new();
    let mut after_word = false;
    for token in tokens {
        if token.is(b',') || token.is(b';') {
            return Err(AddressError::Syntax);
        }
        if after_word && token.is_word() {
            local.push(b' ');
        }
        after_word = token.is_word();
        match token.kind {
            Kind::Literal { .. } => local.extend_from_slice(&text[token.start..token.end]),
            _ => local.extend(token.content(text)),
        }
    }
    Ok(local)
}

fn domain_part(text: &[u8], tokens: &[Token]) -> Result<Vec<u8>, AddressError> {
    if let [token] = tokens
        && matches!(token.kind, Kind::Literal { .. })
    {
        let content = token.content(text);
        let fits = |b: &u8| b.is_ascii_alphanumeric() || b"-._:".contains(b);
        let good = !content.is_empty() && content.iter().all(fits);
        return if good {
            Ok([b"[", &*content, b"]"].concat())
        } else {
            Err(fault_in(&content))
        };
    }
    let mut domain = Vec::new();
    let mut after_word = false;
    for token in tokens {
        let content = token.content(text);
        let fits = token.is(b'.') || token.kind == Kind::Atom && content.iter().all(is_domain_byte);
        if !fits || content.is_empty() || after_word && token.is_word() {
            return Err(fault_in(&content));
        }
        after_word = token.is_word();
        domain.extend(content);
    }
    let has_name = domain.iter().any(|b| *b != b'.');
    if has_name {
        Ok(domain)
    } else {
        Err(AddressError::Syntax)
    }
}

/// What postmasters put into domains, and UTF-8; servers refuse what is none.
fn is_domain_byte(byte: &u8) -> bool {
    is_atext(byte) && !b"!%|".contains(byte)
}

/// Puts a local part in quotes unless it is a dot-string (RFC 5321 section 4.1.2); as in Postfix
/// `|`, `%`, `!` and UTF-8 need no quotes.
fn quoted_if_needed(local: Vec<u8>) -> Vec<u8> {
    let mut words = local.split(|b| *b == b'.');
    if words.all(|word| !word.is_empty() && word.iter().all(is_atext)) {
        return local;
    }
    let mut quoted = vec![b'"'];
    for byte in local {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    quoted
}

/// What may stand unquoted: everything visible but RFC 5321's specials, and UTF-8 (RFC 6531).
pub(crate) fn is_atext(byte: &u8) -> bool {
    !matches!(byte, 0..=b' ' | 0x7F) && !b"()<>[]\\,;:@\".".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, address: &str) {
        assert_eq!(
            Address::parse(text).as_ref().map(Address::as_str),
            Ok(address),
            "{text:?}"
        );
    }

    #[test]
    fn good_addresses_stay_as_they_are() {
        for text in [
            "joe@example.com",
            "root",
            "\"john doe\"@b.example",
            "\"a@b\"",
            "\"a\\\"b\\\\\"@x",
            "user+tag=x@example.com",
            "jörg@dömäin.example",
            "u@[127.0.0.1]",
            "u@[IPv6:2001:db8::1]",
            "|/bin/cat",
            "a_b@under_score.example",
            "-bad@x.example",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn others_are_brought_into_the_form_of_the_wire() {
        check("a@b@c.example", "\"a@b\"@c.example");
        check("\"joe\"@example.com", "joe@example.com");
        check("\\bob", "bob");
        check("a@b.example.", "a@b.example");
        check("@x,@y:a@b", "a@b");
        check("john..doe.@x", "\"john..doe.\"@x");
        check("@b.example", "\"\"@b.example");
        check(":include:/tmp/list", "\":include:/tmp/list\"");
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, error) in [
            ("", AddressError::Empty),
            ("  ", AddressError::Empty),
            ("\"\"", AddressError::Empty),
            ("@", AddressError::Empty),
            ("a@", AddressError::Syntax),
            ("a@.", AddressError::Syntax),
            ("a@b.\\", AddressError::Syntax),
            ("a@[", AddressError::Syntax),
            ("a@[x>]", AddressError::Syntax),
            ("a b@c", AddressError::Syntax),
            (" a@c", AddressError::Syntax),
            ("a@c ", AddressError::Syntax),
            ("<a@c>", AddressError::Syntax),
            ("a@b,c@d", AddressError::Syntax),
            ("a(x)@b", AddressError::Syntax),
            ("\"a@b", AddressError::Syntax),
            ("a@b\\>x", AddressError::Syntax),
            ("a@b\r\nRCPT TO:<c@d>", AddressError::ControlCharacter),
            ("\"a\u{0}\"@b", AddressError::ControlCharacter),
            ("a\u{85}@b", AddressError::ControlCharacter),
            ("a@b\u{7f}", AddressError::ControlCharacter),
        ] {
            assert_eq!(Address::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let domain = "d".repeat(LIMIT - 2);
        assert!(Address::parse(&format!("a@{domain}")).is_ok());
        assert_eq!(
            Address::parse(&format!("a@{domain}d")),
            Err(AddressError::TooLong)
        );
        assert!(Address::parse(&"a".repeat(BARE_LIMIT)).is_ok());
        assert_eq!(
            Address::parse(&"a".repeat(BARE_LIMIT + 1)),
            Err(AddressError::TooLong)
        );
    }

    #[test]
    fn parts_of_an_address() {
        let parts = |text: &str| {
            let address = Address::parse(text).unwrap();
            (
                address.local().to_owned(),
                address.domain().map(str::to_owned),
            )
        };
        assert_eq!(parts("a@b"), ("a".into(), Some("b".into())));
        assert_eq!(parts("root"), ("root".into(), None));
        assert_eq!(parts("\"a@b\"@c"), ("\"a@b\"".into(), Some("c".into())));
        assert_eq!(parts("\"a@b\""), ("\"a@b\"".into(), None));
    }

    #[test]
    fn bare_addresses_are_qualified_as_postfix_rewrites_them() {
        for (text, expected) in [
            ("bob", "bob@h.example"),
            ("a@b", "a@b"),
            ("host!user", "user@host"),
            ("a!b!c", "\"b!c\"@a"),
            ("user%host", "user@host"),
            ("user%", "user%@h.example"),
            ("!x", "!x@h.example"),
            ("\"a b!c\"", "\"a b!c\"@h.example"),
        ] {
            let qualified = Address::parse(text).unwrap().qualified("h.example");
            // `b!c` needs no quotes on the wire.
            assert_eq!(
                qualified.as_str(),
                expected.replace("\"b!c\"", "b!c"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn case_variants_are_one_mailbox() {
        let [a, b, c] = ["A@A.example", "a@a.example", "b@a.example"].map(Address::parse);
        assert!(a.as_ref().unwrap().same_mailbox(b.as_ref().unwrap()));
        assert!(!b.unwrap().same_mailbox(&c.unwrap()));
    }

    /// Text made of what addresses are made of.
    fn address_like() -> impl Strategy<Value = String> {
        "[a-c@@.\\\\\"\\[\\]<>(),;:!%| \t\r\n\u{0}é]{0,20}"
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_the_same(text in address_like()) {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(&Address::parse(address.as_str()), &Ok(address.clone()));
                prop_assert!(!address.as_str().chars().any(char::is_control));
                let whole = match address.domain() {
                    Some(domain) => format!("{}@{domain}", address.local()),
                    None => address.local().to_owned(),
                };
                prop_assert_eq!(&whole, address.as_str());
                let full = address.qualified("h.example");
                prop_assert!(full.domain().is_some());
                prop_assert_eq!(&Address::parse(full.as_str()), &Ok(full.clone()));
            }
        }

        #[test]
        fn outside_quotes_nothing_breaks_a_command(text in address_like()) {
            if let Ok(address) = Address::parse(&text) {
                let unquoted = address.as_str().replace("\\\\", "").replace("\\\"", "");
                let outside: String = unquoted.split('"').step_by(2).collect();
                prop_assert!(!outside.contains([' ', '<', '>', ',', ';', '(', ')']), "{}", address);
            }
        }
    }
}
