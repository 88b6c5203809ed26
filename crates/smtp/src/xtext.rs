//! xtext (RFC 3461 section 4): how DSN parameters carry any byte in printable ASCII.

/// `text` as xtext: everything outside `!`..`~`, and `+` and `=`, becomes `+` and two hex digits.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'+' && byte != b'=' {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("+{byte:02X}"));
        }
    }
    encoded
}

/// What the xtext says. `None` if it is not xtext, or hides a control character or a byte that is
/// not UTF-8: what is decoded here goes into logs, the spool and commands to the gateway (Exim's
/// CVE-2020-28021 and CVE-2020-28026 came from newlines hidden this way).
#[must_use]
pub fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => {
                let (digits, after) = rest.split_first_chunk::<2>()?;
                bytes.push(hex(digits[0])? << 4 | hex(digits[1])?);
                rest = after;
            }
            // Lower-case hex and non-ASCII come from real clients; `=` would end a parameter name.
            b'=' => return None,
            _ => bytes.push(byte),
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encodes_what_the_rfc_wants_encoded() {
        assert_eq!(encode("a+b=c d"), "a+2Bb+3Dc+20d");
        assert_eq!(encode("é"), "+C3+A9");
    }

    #[test]
    fn refuses_hidden_control_characters_and_broken_escapes() {
        for bad in [
            "a+0Ab", "a+00b", "a+0D", "+7F", "+", "+4", "+4G", "a=b", "+FF", "+C2+85",
        ] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        assert_eq!(decode("a+2bb+3Dc"), Some("a+b=c".to_owned()));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in "\\PC{0,40}") {
            prop_assert_eq!(decode(&encode(&text)), Some(text));
        }

        #[test]
        fn decoding_never_panics(text in any::<String>()) {
            let decoded = decode(&text);
            prop_assert!(!decoded.is_some_and(|text| text.chars().any(char::is_control)));
        }
    }
}
