//! Address lists, as they stand in argv and in header fields.

use mail::authors::{self, Author};
use mail::completion::{Completion, complete};
use mail::header::HeaderBlock;
use mail::recipients::{from_headers, parse_list, unique};
use mail::{Address, AddressError, QueueId, Timestamp, repair};
use smtp::server::{Event, Server, ServerConfig};

const DOMAIN: &str = "d.example";

type Found = Vec<Result<Address, AddressError>>;

/// Reads the bytes as an address list and checks each address, the list of them, the names beside them and what a
/// header field with the list becomes.
pub fn check(list: &[u8]) {
    let found = parse_list(list);
    let good: Vec<Address> = found.iter().flatten().cloned().collect();
    good.iter().for_each(check_address);
    check_list(&good);
    check_authors(list, &found);
    if !list.contains(&b'\r') && !list.contains(&b'\n') {
        check_field(list);
    }
}

/// An address prints as it reads, and nothing in it can break out of a command line, a list or a log line.
pub(crate) fn check_address(address: &Address) {
    let text = address.as_str();
    assert_eq!(Address::parse(text).as_ref(), Ok(address), "{text:?}");
    assert!(!text.is_empty() && text.len() <= 1_000, "{text:?}");
    assert!(!text.contains(char::is_control), "{text:?}");
    let whole = match address.domain() {
        Some(domain) => format!("{}@{domain}", address.local()),
        None => address.local().to_owned(),
    };
    assert_eq!(whole, text);
    check_local(address.local());
    if let Some(domain) = address.domain() {
        let special = [' ', '<', '>', '(', ')', ',', ';', '"', '@', '\\'];
        assert!(!domain.is_empty() && !domain.contains(special), "{text:?}");
    }
    let full = address.qualified(DOMAIN);
    assert!(full.domain().is_some(), "{text:?}");
    assert_eq!(Address::parse(full.as_str()).as_ref(), Ok(&full));
    if let Some(ascii) = repair::ascii_address(address) {
        assert!(ascii.is_ascii(), "{text:?}");
        assert_eq!(repair::ascii_address(&ascii).as_ref(), Some(&ascii));
        assert_eq!(Address::parse(ascii.as_str()).as_ref(), Ok(&ascii));
        assert!(!address.is_ascii() || ascii == *address, "{text:?}");
    }
    check_command(address);
}

fn check_local(local: &str) {
    let Some(inside) = local.strip_prefix('"') else {
        let special = |c| " <>()[]\\,;:@\"".contains(c);
        assert!(!local.contains(special), "{local:?}");
        return;
    };
    let inside = inside
        .strip_suffix('"')
        .unwrap_or_else(|| panic!("{local:?}"));
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        assert_ne!(c, '"', "{local:?}");
        assert!(c != '\\' || chars.next().is_some(), "{local:?}");
    }
}

/// A server that is told of the address hears the same one.
fn check_command(address: &Address) {
    if address.domain().is_some_and(|domain| domain.len() > 255) {
        return;
    }
    let mut server = Server::new(ServerConfig::new("h.example"));
    server.received(format!("EHLO x\r\nMAIL FROM:<{address}>\r\n").as_bytes());
    let mail = std::iter::from_fn(|| match server.next() {
        Event::Reply(_) => Some(None),
        Event::Mail(mail) => Some(Some(mail)),
        event => panic!("{event:?} for {address}"),
    });
    let heard = mail.flatten().next();
    assert_eq!(heard.and_then(|mail| mail.sender).as_ref(), Some(address));
}

/// Addresses that are put into a list come out of it.
fn check_list(addresses: &[Address]) {
    let plain: Vec<String> = addresses.iter().map(Address::to_string).collect();
    let angled: Vec<String> = plain.iter().map(|text| format!("X Y <{text}>")).collect();
    for list in [plain.join(", "), angled.join(",\r\n "), plain.join(";")] {
        let again: Result<Vec<Address>, _> = parse_list(&list).into_iter().collect();
        assert_eq!(again.as_deref(), Ok(addresses), "{list:?}");
    }
    let once = unique(addresses.to_vec());
    assert_eq!(unique(once.clone()), once);
}

fn check_authors(list: &[u8], found: &Found) {
    let authors = authors::parse(list);
    assert_eq!(authors.len(), found.len().min(100));
    for (author, address) in authors.iter().zip(found) {
        assert_eq!(author.address.as_ref(), address.as_ref().ok());
        let names = [&author.name, &author.comment];
        for name in names.into_iter().flatten() {
            assert!(!name.is_empty() && name.trim() == name, "{name:?}");
            assert!(name.chars().count() <= 200, "{name:?}");
            assert!(!name.contains(char::is_control), "{name:?}");
        }
        check_mailbox(author);
    }
}

/// A mailbox that is written with a name reads with that name.
fn check_mailbox(author: &Author) {
    let Some(address) = &author.address else {
        return;
    };
    let text = authors::mailbox(author.name.as_deref(), address);
    assert!(!address.is_ascii() || text.is_ascii(), "{text:?}");
    assert!(
        !text.replace("\r\n ", "").contains(['\r', '\n']),
        "{text:?}"
    );
    let read = authors::parse(text.as_bytes());
    assert_eq!(read.len(), 1, "{text:?}");
    assert_eq!(read[0].address.as_ref(), Some(address), "{text:?}");
    // A name that has encoded words in it cannot be told from one that was encoded.
    if author.name.as_ref().is_none_or(|name| !name.contains("=?")) {
        assert_eq!(read[0].name, author.name, "{text:?}");
    }
}

/// A header field with the list names the same recipients, and completing its bare addresses changes nothing else.
fn check_field(list: &[u8]) {
    let block = [b"To: ", list, b"\r\n"].concat();
    let value = &block[3..];
    let found = parse_list(value);
    let good: Vec<Address> = found.iter().flatten().cloned().collect();
    let in_header = from_headers(&block);
    assert_eq!(in_header.addresses, unique(good.clone()));
    assert_eq!(in_header.problems.len(), found.len() - good.len());
    for problem in &in_header.problems {
        assert!(problem.text.chars().count() <= 100);
        assert!(!problem.text.contains(char::is_control));
    }
    let completed = complete(&block, &completion());
    let field = HeaderBlock::new(&completed)
        .get("To")
        .expect("it was there");
    let again: Vec<Option<Address>> = parse_list(field.value())
        .into_iter()
        .map(Result::ok)
        .collect();
    let wanted: Vec<Option<Address>> = found
        .into_iter()
        .map(|one| one.ok().map(|address| address.qualified(DOMAIN)))
        .collect();
    assert_eq!(again, wanted, "{}", field.value().escape_ascii());
    if good.iter().all(|address| address.domain().is_some()) {
        assert_eq!(field.value(), value);
    }
}

/// A completion that adds only what every message must have.
pub(crate) fn completion() -> Completion<'static> {
    Completion {
        domain: DOMAIN,
        hostname: "h.d.example",
        queue_id: QueueId::from_number(0xABC),
        arrival: Timestamp::from_secs(1_795_458_252),
        date: "Mon, 23 Nov 2026 18:24:12 +0000",
        sender: None,
        full_name: None,
        received: "",
        add_missing: true,
    }
}
