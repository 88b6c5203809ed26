//! The From header that a message lacks. relayd could add it too, but only here is it known what
//! the caller's name is.

use mail::Address;
use mail::completion::{author, is_resent};
use mail::header::HeaderBlock;

/// The From field to add to `header`, or for a resent message the Resent-From field; with its line
/// end. `None` if the header has one. A bare address in it stays bare: relayd appends the domain.
/// `full_name` is asked for only if it is needed.
pub(crate) fn missing_field(
    header: &[u8],
    sender: Option<&Address>,
    full_name: impl FnOnce() -> Option<String>,
) -> Option<Vec<u8>> {
    let block = HeaderBlock::new(header);
    let name = if is_resent(block) {
        "Resent-From"
    } else {
        "From"
    };
    if block.get(name).is_some() {
        return None;
    }
    let value = author(sender, full_name().as_deref(), None);
    Some(format!("{name}: {value}\r\n").into_bytes())
}

/// The caller's full name by Postfix's order: `-F`, where it is given even if empty; the variable
/// `NAME`; the account.
pub(crate) fn full_name(
    option: Option<&[u8]>,
    variable: Option<String>,
    account: impl FnOnce() -> Option<String>,
) -> Option<String> {
    match (option, variable) {
        (Some(name), _) => Some(String::from_utf8_lossy(name).into_owned()),
        (None, Some(name)) => Some(name),
        (None, None) => account(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::NOBODY;

    #[track_caller]
    fn check(header: &str, sender: Option<&str>, name: &str, expected: Option<&str>) {
        let sender = sender.map(|sender| Address::parse(sender).unwrap());
        let field = missing_field(header.as_bytes(), sender.as_ref(), || Some(name.to_owned()));
        assert_eq!(
            field
                .map(|field| String::from_utf8(field).unwrap())
                .as_deref(),
            expected
        );
    }

    #[test]
    fn a_missing_author_is_the_sender_with_the_name() {
        let alice = Some("alice");
        check(
            "Subject: x\r\n",
            alice,
            "Alice Example",
            Some("From: Alice Example <alice>\r\n"),
        );
        check("", alice, "", Some("From: alice\r\n"));
        check(
            "",
            Some("a@b.example"),
            "A, B",
            Some("From: \"A, B\" <a@b.example>\r\n"),
        );
        check(
            "",
            alice,
            "x\r\nBcc: y",
            Some("From: \"x  Bcc: y\" <alice>\r\n"),
        );
        check("", None, "Alice", Some(&format!("From: {NOBODY}\r\n")));
    }

    #[test]
    fn an_author_that_is_there_stays_alone() {
        check("FROM: x\r\n", Some("alice"), "Alice", None);
        check(
            "From: x\r\nResent-From: y\r\n",
            Some("alice"),
            "Alice",
            None,
        );
        check(
            "From: x\r\nResent-To: y\r\n",
            Some("alice"),
            "Alice",
            Some("Resent-From: Alice <alice>\r\n"),
        );
        check("Resent-From: y\r\n", Some("alice"), "Alice", None);
    }

    #[test]
    fn the_option_wins_over_the_variable_and_that_over_the_account() {
        let account = || Some("Account".to_owned());
        let variable = Some("Variable".to_owned());
        assert_eq!(full_name(Some(b""), variable.clone(), account).unwrap(), "");
        assert_eq!(full_name(None, variable, account).unwrap(), "Variable");
        assert_eq!(full_name(None, None, account).unwrap(), "Account");
    }
}
