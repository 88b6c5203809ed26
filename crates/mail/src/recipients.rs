//! Recipients: from the header block (`sendmail -t`) and from lists in argv.

use std::collections::HashSet;

use crate::header::HeaderBlock;
use crate::mailboxes;
use crate::{Address, AddressError};

/// The fields that name recipients. The resent ones, if there is any, count alone.
const PLAIN: [&str; 3] = ["To", "Cc", "Bcc"];
const RESENT: [&str; 3] = ["Resent-To", "Resent-Cc", "Resent-Bcc"];

/// The longest excerpt in a [`Problem`], in characters.
const EXCERPT: usize = 100;

/// What the header block says about recipients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipients {
    /// The recipients in order of appearance, none twice (see [`unique`]), unqualified where the
    /// header is.
    pub addresses: Vec<Address>,
    /// What stands where an address is wanted but is none.
    pub problems: Vec<Problem>,
}

/// A recipient in the header block that is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field's name as the message spells it.
    pub field: String,
    /// At most 100 characters of the text at fault; `?` stands for control characters.
    pub text: String,
    /// What is wrong with it.
    pub error: AddressError,
}

/// Extracts the recipients of `sendmail -t` from a header block, as Postfix does.
///
/// They are those of all `To`, `Cc` and `Bcc` fields; or, if there is any `Resent-To`,
/// `Resent-Cc` or `Resent-Bcc` wherever in the block, only those of the resent fields. No other
/// field names recipients, `Apparently-To` neither. Linear; the caller bounds the block.
#[must_use]
pub fn from_headers(header_block: &[u8]) -> Recipients {
    let block = HeaderBlock::new(header_block);
    let is_one_of =
        |names: [&str; 3], name: &str| names.iter().any(|n| n.eq_ignore_ascii_case(name));
    let resent = block.fields().any(|field| is_one_of(RESENT, field.name()));
    let names = if resent { RESENT } else { PLAIN };
    let mut found = Recipients::default();
    for field in block
        .fields()
        .filter(|field| is_one_of(names, field.name()))
    {
        for mailbox in mailboxes::parse(field.value()) {
            match mailbox.address {
                Ok(address) => found.addresses.push(address),
                Err(error) => found.problems.push(Problem {
                    field: field.name().to_owned(),
                    text: excerpt(field.value()[mailbox.span].trim_ascii()),
                    error,
                }),
            }
        }
    }
    found.addresses = unique(found.addresses);
    found
}

/// Reads a recipient argument of `sendmail`, which is an address list: `a@x,b@y`,
/// `Bob <b@x>, carol`. Blank text and `<>` give nothing; Postfix makes such an argument
/// `MAILER-DAEMON`. Duplicates stay.
pub fn parse_list(list: impl AsRef<[u8]>) -> Vec<Result<Address, AddressError>> {
    let mailboxes = mailboxes::parse(list.as_ref());
    mailboxes
        .into_iter()
        .map(|mailbox| mailbox.address)
        .collect()
}

/// The addresses in their order, of each mailbox (see [`Address::same_mailbox`]) the first only.
#[must_use]
pub fn unique(addresses: impl IntoIterator<Item = Address>) -> Vec<Address> {
    let mut seen = HashSet::new();
    let is_new = |address: &Address| seen.insert(address.as_str().to_ascii_lowercase());
    addresses.into_iter().filter(is_new).collect()
}

fn excerpt(text: &[u8]) -> String {
    // Four bytes are the most that a character has; one that is cut in two shows as U+FFFD.
    let text = String::from_utf8_lossy(&text[..text.len().min(EXCERPT * 4)]);
    text.chars()
        .take(EXCERPT)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(block: &str, expected: &[&str]) {
        let found = from_headers(block.as_bytes());
        let addresses: Vec<_> = found.addresses.iter().map(Address::as_str).collect();
        assert_eq!(addresses, expected, "{block:?}");
        assert_eq!(found.problems, [], "{block:?}");
    }

    #[test]
    fn all_to_cc_and_bcc_fields_count() {
        check(
            "To: bob@b.example, Carol <carol@c.example>\r\nX-A: b\r\nCC: d@d.example\r\n\
             bcc : s1@e.example,\r\n s2@e.example\r\nTo: again@b.example\r\n",
            &[
                "bob@b.example",
                "carol@c.example",
                "d@d.example",
                "s1@e.example",
                "s2@e.example",
                "again@b.example",
            ],
        );
        check("To: \r\nSubject: Hi\r\n", &[]);
        check(
            "Apparently-To: a@a\r\nReply-To: b@b\r\nErrors-To: c@c\r\n",
            &[],
        );
    }

    #[test]
    fn resent_fields_count_alone_wherever_they_are() {
        check(
            "To: a@a\r\nResent-Bcc: r@r\r\nCc: c@c\r\nResent-To: s\r\n",
            &["r@r", "s"],
        );
        check("Resent-From: x@x\r\nTo: a@a\r\n", &["a@a"]);
        check("To: a@a\r\nResent-Cc:\r\n", &[]);
    }

    #[test]
    fn what_callers_write() {
        check("To: undisclosed-recipients:;\r\nBcc: a@a\r\n", &["a@a"]);
        check(
            "To: Friends: a@a, \"B, b\" <b@b>;, c@c (C.)\r\n",
            &["a@a", "b@b", "c@c"],
        );
        check(
            "To: =?utf-8?Q?J=C3=B6rg=2C_X?= <j@b>, Jörg <k@b>\r\n",
            &["j@b", "k@b"],
        );
        check(
            "To: \"john doe\"@b.example\r\n",
            &["\"john doe\"@b.example"],
        );
        check("To: root\r\n", &["root"]);
    }

    #[test]
    fn duplicates_count_once() {
        check(
            "To: a@a.example, A@A.example\r\nCc: a@a.example, b\r\n",
            &["a@a.example", "b"],
        );
    }

    #[test]
    fn problems_name_field_and_text() {
        let found = from_headers(b"to: a@a, <x@, \x1b2J>, b@b\r\n");
        assert_eq!(found.addresses.len(), 2);
        let problem = &found.problems[0];
        assert_eq!(
            (problem.field.as_str(), problem.text.as_str()),
            ("to", "x@, ?2J")
        );
        assert_eq!(found.problems.len(), 1);
    }

    #[test]
    fn arguments_are_lists() {
        let list = |text: &str| -> Vec<String> {
            parse_list(text)
                .into_iter()
                .map(|a| a.unwrap().to_string())
                .collect()
        };
        assert_eq!(
            list("a@a.example,b@b.example"),
            ["a@a.example", "b@b.example"]
        );
        assert_eq!(list("Bob <b@x>"), ["b@x"]);
        assert_eq!(list("bob carol"), ["bob", "carol"]);
        assert!(list("").is_empty() && list("<>").is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_give_addresses_or_problems(bytes: Vec<u8>) {
            let _ = parse_list(&bytes);
            let block = [b"To: ", &bytes[..], b"\r\n"].concat();
            for problem in from_headers(&block).problems {
                prop_assert!(problem.text.chars().count() <= EXCERPT);
                prop_assert!(!problem.text.contains(char::is_control));
            }
        }

        #[test]
        fn good_addresses_come_back(
            addresses in proptest::collection::vec("[a-z]{1,5}@[a-z]{1,5}\\.example", 0..6),
            separator in prop_oneof![Just(", "), Just(","), Just(";"), Just(" "), Just(",\r\n ")],
            wrap in prop_oneof![Just(("", "")), Just(("<", ">")), Just(("A \"b, c\" <", "> (x)"))],
        ) {
            let items: Vec<_> = addresses.iter().map(|a| format!("{}{a}{}", wrap.0, wrap.1)).collect();
            let read: Result<Vec<_>, _> = parse_list(items.join(separator)).into_iter().collect();
            let read: Vec<_> = read.unwrap().iter().map(|a| a.to_string()).collect();
            prop_assert_eq!(read, addresses);
        }

        #[test]
        fn mailparse_agrees_where_it_reads_mail_addresses(
            items in proptest::collection::vec(
                "([A-Z][a-z]{0,4} |\"[a-z, ]{1,5}\" )?<[a-z]{1,4}@[a-z]{1,4}>|[a-z]{1,4}@[a-z]{1,4}",
                1..5,
            ),
        ) {
            let list = items.join(", ");
            let theirs = mailparse::addrparse(&list).unwrap();
            let theirs: Vec<_> = theirs.iter().map(|one| match one {
                mailparse::MailAddr::Single(single) => single.addr.clone(),
                mailparse::MailAddr::Group(group) => group.group_name.clone(),
            }).collect();
            let ours: Vec<_> = parse_list(&list).into_iter().map(|a| a.unwrap().to_string()).collect();
            prop_assert_eq!(ours, theirs);
        }
    }
}
