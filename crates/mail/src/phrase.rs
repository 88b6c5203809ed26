//! A person's name as a phrase before an address (RFC 5322 section 3.2.5, RFC 2047).

use crate::address::is_atext;

/// The most characters of a name that are used.
const LIMIT: usize = 200;

/// RFC 2047 section 2 allows an encoded word 75 characters; `=?utf-8?Q??=` takes 12 of them.
const ENCODED_LIMIT: usize = 63;

/// The name as a phrase: as it is, in quotes, or where it is not ASCII in encoded words (as
/// Postfix does since 3.10) folded in CR LF. Control characters become blanks. `None` if nothing
/// is left of it. Names are cut after 200 characters.
pub(crate) fn from_name(name: &str) -> Option<String> {
    let cleaned: String = name
        .chars()
        .take(LIMIT)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let name = cleaned.trim();
    if name.is_empty() {
        return None;
    }
    Some(if !name.is_ascii() {
        encoded(name)
    } else if name
        .split(' ')
        .all(|word| !word.is_empty() && word.bytes().all(|b| is_atext(&b)))
    {
        name.to_owned()
    } else {
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{escaped}\"")
    })
}

/// Encoded words in the Q encoding (RFC 2047 section 5, rule 3), no character cut in two.
fn encoded(name: &str) -> String {
    let mut words = vec![String::new()];
    for character in name.chars() {
        let code = encoded_character(character);
        match words.last_mut() {
            Some(word) if word.len() + code.len() <= ENCODED_LIMIT => word.push_str(&code),
            _ => words.push(code),
        }
    }
    let words: Vec<_> = words
        .iter()
        .map(|word| format!("=?utf-8?Q?{word}?="))
        .collect();
    words.join("\r\n ")
}

fn encoded_character(character: char) -> String {
    match character {
        ' ' => "_".to_owned(),
        'a'..='z' | 'A'..='Z' | '0'..='9' | '!' | '*' | '+' | '-' | '/' => character.to_string(),
        _ => {
            let mut buffer = [0; 4];
            let bytes = character.encode_utf8(&mut buffer).bytes();
            bytes.map(|byte| format!("={byte:02X}")).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(name: &str, phrase: &str) {
        assert_eq!(from_name(name).as_deref(), Some(phrase));
    }

    #[test]
    fn plain_names_stay_and_others_are_quoted() {
        check("Alice Example", "Alice Example");
        check("CronDaemon ", "CronDaemon");
        check("So \"q\" (x), Jr", "\"So \\\"q\\\" (x), Jr\"");
        check("J. Smith", "\"J. Smith\"");
        check("a\r\nBcc: x", "\"a  Bcc: x\"");
        assert_eq!(from_name(" \t\r\n"), None);
    }

    #[test]
    fn other_alphabets_are_encoded() {
        check("Jörg, X", "=?utf-8?Q?J=C3=B6rg=2C_X?=");
        let long = from_name(&"日".repeat(30)).unwrap();
        assert_eq!(long.matches("\r\n =?utf-8?Q?").count(), 4);
        assert!(long.split("\r\n ").all(|word| word.len() <= 75));
    }

    proptest! {
        #[test]
        fn a_phrase_reads_as_the_name(name in "[^\\p{Cc}]{1,60}") {
            let phrase = from_name(&name).unwrap_or_default();
            if phrase.starts_with("=?") {
                let field = format!("X: {phrase}\r\n");
                let read = mailparse::parse_header(field.as_bytes()).unwrap().0.get_value();
                prop_assert_eq!(read.trim(), name.trim());
            }
            prop_assert!(phrase.is_ascii());
            prop_assert!(!phrase.replace("\r\n ", "").contains(['\r', '\n']));
        }
    }
}
