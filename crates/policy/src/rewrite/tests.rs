//! Map files good and bad, and what they make of addresses.

use super::*;
use proptest::prelude::*;

fn map(text: &str) -> Map {
    Map::parse(text.as_bytes(), "senders").unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// What `address` becomes on the host `web1.example.com`, whose mail is completed with
/// `example.com`.
fn looked_up(map: &Map, address: &str) -> Option<String> {
    let rules = Rules {
        domain: "example.com",
        hostname: "web1.example.com",
        root: None,
        senders: map,
        recipients: map,
    };
    let address = map.look_up(&Address::parse(address).unwrap(), &rules)?;
    Some(address.to_string())
}

#[test]
fn each_form_of_pattern_is_looked_up_in_its_turn() {
    let map = map("# comment\n\n\
         joe@example.com\tjoe@a.example\r\n\
         WWW-data   noreply@a.example\n\
         @old.example @new.example\n\
         sue@OLD.example sue@a.example\n\
         @Web1.example.com host@a.example\n");
    let cases = [
        ("joe@example.com", "joe@a.example"),
        ("Joe@Example.COM", "joe@a.example"),
        ("joe", "joe@a.example"),
        ("www-data", "noreply@a.example"),
        ("www-data@localhost", "noreply@a.example"),
        ("www-data@web1.example.com", "noreply@a.example"),
        ("www-data@example.com", "noreply@a.example"),
        ("other@web1.example.com", "host@a.example"),
        ("Bob@old.example", "Bob@new.example"),
        ("\"b b\"@old.example", "\"b b\"@new.example"),
        ("sue@old.example", "sue@a.example"),
    ];
    for (from, to) in cases {
        assert_eq!(looked_up(&map, from).as_deref(), Some(to), "{from}");
    }
    for other in ["www-data@other.example", "bob", "bob@sub.old.example"] {
        assert_eq!(looked_up(&map, other), None, "{other}");
    }
    assert_eq!(looked_up(&Map::default(), "joe"), None);
}

#[test]
fn a_tag_goes_along_unless_it_has_a_pattern_of_its_own() {
    let map = map("joe j@a.example\njoe+x x@a.example\n@old.example one@a.example\n");
    for (from, to) in [
        ("joe+Tag", "j+Tag@a.example"),
        ("joe+x", "x@a.example"),
        ("joe+y+z@example.com", "j+y+z@a.example"),
        ("bob+tag@old.example", "one@a.example"),
    ] {
        assert_eq!(looked_up(&map, from).as_deref(), Some(to), "{from}");
    }
}

#[test]
fn each_mistake_is_named_with_its_line_and_a_remedy() {
    let cases: &[(&[u8], &str, &str)] = &[
        (b"joe", "not a pattern and an address", "one blank or more"),
        (
            b"joe a@x.example b@x.example",
            "not a pattern and an address",
            "one blank",
        ),
        (b"joe a@x.example # why", "comment", "line of its own"),
        (
            b"joe: a@x.example",
            "\"joe:\" is not a pattern",
            "sign at its end",
        ),
        (
            b"joe= a@x.example",
            "\"joe=\" is not a pattern",
            "sign at its end",
        ),
        (b"@ a@x.example", "\"@\" is not a pattern", "user@domain"),
        (b"a@b@ a@x.example", "not a pattern", "user@domain"),
        (
            b"joe bob",
            "\"bob\" is not a full mail address",
            "@example.com",
        ),
        (b"joe @", "\"@\" is not a full", "@example.com"),
        (b"joe @a@b", "not a full", "@example.com"),
        (
            b"joe a@x.example,b@x.example",
            "not a full",
            "user@example.com",
        ),
        (b" joe a@x.example", "begins with a blank", "one line"),
        (b"joe \x1b[31m@x.example", "control character", "remove"),
        (b"joe a@x.example\xff", "not UTF-8", "UTF-8"),
        (
            b"JO a@x.example",
            "\"jo\" stands there a second time",
            "line 1",
        ),
    ];
    for (line, message, remedy) in cases {
        let text = [b"jo a@x.example\n", *line, b"\n"].concat();
        let problems = Map::parse(&text, "senders").unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        let problem = &problems[0];
        assert_eq!((problem.file.as_str(), problem.line), ("senders", 2));
        assert!(problem.message.contains(message), "{problem}");
        assert!(problem.remedy.contains(remedy), "{problem}");
        assert!(!problem.to_string().contains('\u{1b}'));
    }
    assert_eq!(Map::parse(&b"x\n".repeat(500), "f").unwrap_err().len(), 100);
    assert_eq!(
        Map::parse(&vec![b'#'; LARGEST_FILE + 1], "f").unwrap_err()[0].line,
        0
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_safely(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Map::parse(&text, "f");
    }

    /// Whatever the map, what comes out of it is one address with a domain.
    #[test]
    fn a_replacement_is_complete(
        text in "(joe|bob\\+t|@a\\.example|sue@a\\.example|[a-c+@.\"]{1,6}) (@b\\.example|x@b\\.example|[a-c@.]{1,5})\n",
        address in "(joe|bob\\+t|sue|[a-c+\"]{1,4})(@a\\.example|@localhost|)",
    ) {
        if let (Ok(map), Ok(address)) = (Map::parse(text.as_bytes(), "f"), Address::parse(&address))
            && let Some(found) = looked_up(&map, address.as_str())
        {
            let again = Address::parse(&found);
            prop_assert_eq!(again.as_ref().map(Address::as_str), Ok(found.as_str()));
            prop_assert!(again.unwrap().domain().is_some());
        }
    }
}
