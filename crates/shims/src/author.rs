//! The From header that a message lacks. relayd could add it too, but only here is it known what
//! the caller's name is.

use mail::completion::{Completion, complete};
use mail::header::HeaderBlock;
use mail::{Address, QueueId, Timestamp};

/// Stands for the domain, which relayd appends to bare addresses when it completes the header.
const NO_DOMAIN: &str = "relayd-appends-it.invalid";

/// The From field to add to `header`, or for a resent message the Resent-From field, by the rules
/// of `mail::completion`, which are Postfix's; with its line end. `None` if the header has one.
/// `full_name` is asked for only if it is needed.
pub(crate) fn missing_field(
    header: &[u8],
    sender: Option<&Address>,
    full_name: impl FnOnce() -> Option<String>,
) -> Option<Vec<u8>> {
    let block = HeaderBlock::new(header);
    let resent = block.fields().any(|field| starts_with_resent(field.name()));
    if !resent && block.get("From").is_some() {
        return None;
    }
    let full_name = full_name();
    let completed = complete(
        header,
        &Completion {
            domain: NO_DOMAIN,
            hostname: NO_DOMAIN,
            queue_id: QueueId::from_number(0),
            arrival: Timestamp::default(),
            date: "",
            sender,
            full_name: full_name.as_deref(),
            received: "",
            add_missing: true,
        },
    );
    // The author is what completion adds last.
    let field = HeaderBlock::new(&completed).fields().last()?;
    let is_author = field.is("From") || field.is("Resent-From");
    if !is_author || block.get(field.name()).is_some() {
        return None;
    }
    let raw = String::from_utf8_lossy(field.raw());
    Some(raw.replace(&format!("@{NO_DOMAIN}"), "").into_bytes())
}

fn starts_with_resent(name: &str) -> bool {
    name.get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case("Resent-"))
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
