//! Reverse-path and forward-path as MAIL and RCPT carry them, read as generously as Postfix does:
//! a space after the colon and missing angle brackets are let pass.

use mail::{Address, AddressError};

/// A path and what follows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Path<'a> {
    /// `None` is `<>`.
    pub(crate) address: Option<Address>,
    /// The parameters, without the spaces before them.
    pub(crate) parameters: &'a str,
}

/// Why there is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    /// No path at all, or its bracket is not closed.
    Syntax,
    /// What is in it is not an address.
    Address,
}

/// Longest domain (RFC 5321 section 4.5.3.1.2). Local parts are often longer than the 64 bytes of
/// the RFC, in bounce addresses that encode the recipient, so they are not limited here.
const MAX_DOMAIN: usize = 255;

/// Reads what follows `FROM:` or `TO:`.
pub(crate) fn parse(text: &str) -> Result<Path<'_>, PathError> {
    let text = text.trim_ascii();
    let (inner, rest) = match text.strip_prefix('<') {
        Some(text) => split_outside_quotes(text, |b| b == b'>').ok_or(PathError::Syntax)?,
        None => split_outside_quotes(text, |b| b == b' ' || b == b'\t').unwrap_or((text, "")),
    };
    let bracketed = text.starts_with('<');
    let touches = !rest.is_empty() && !rest.starts_with([' ', '\t']);
    if (bracketed && touches) || (!bracketed && inner.is_empty()) {
        return Err(PathError::Syntax);
    }
    let parameters = rest.trim_ascii();
    match inner.trim_ascii() {
        "" => Ok(Path {
            address: None,
            parameters,
        }),
        inner => {
            let address = Address::parse(inner).map_err(|_: AddressError| PathError::Address)?;
            let too_long = address
                .domain()
                .is_some_and(|domain| domain.len() > MAX_DOMAIN);
            if too_long {
                Err(PathError::Address)
            } else {
                Ok(Path {
                    address: Some(address),
                    parameters,
                })
            }
        }
    }
}

/// What is before and after the first such byte that stands in no quoted string.
fn split_outside_quotes(text: &str, ends: impl Fn(u8) -> bool) -> Option<(&str, &str)> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if !quoted && ends(byte) => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Option<String>, &str), PathError> {
        parse(text).map(|path| (path.address.map(|a| a.to_string()), path.parameters))
    }

    fn found<'a>(
        address: &str,
        parameters: &'a str,
    ) -> Result<(Option<String>, &'a str), PathError> {
        Ok((Some(address.to_owned()), parameters))
    }

    #[test]
    fn reads_what_clients_really_send() {
        assert_eq!(
            read("<a@b.example> SIZE=1  X=y "),
            found("a@b.example", "SIZE=1  X=y")
        );
        assert_eq!(read(" < a@b.example >"), found("a@b.example", ""));
        assert_eq!(read("a@b.example SIZE=1"), found("a@b.example", "SIZE=1"));
        assert_eq!(read("<root>"), found("root", ""));
        assert_eq!(read("<>"), Ok((None, "")));
        assert_eq!(read("<> BODY=7BIT"), Ok((None, "BODY=7BIT")));
        assert_eq!(
            read("<@x.example,@y.example:a@b.example>"),
            found("a@b.example", "")
        );
        assert_eq!(
            read("<\"a > b\"@c.example> X"),
            found("\"a > b\"@c.example", "X")
        );
        assert_eq!(read("<a@é.example>"), found("a@é.example", ""));
    }

    #[test]
    fn refuses_what_is_no_path() {
        for text in [
            "",
            " ",
            "<a@b.example",
            "<a@b.example>X",
            "<\"a@b.example>",
            "<a@b>>",
        ] {
            assert_eq!(read(text), Err(PathError::Syntax), "{text}");
        }
        for text in ["<a b@c.example>", "<@>"] {
            assert_eq!(read(text), Err(PathError::Address), "{text}");
        }
        let long = format!("<a@{}.example>", "b".repeat(256));
        assert_eq!(read(&long), Err(PathError::Address));
    }
}
