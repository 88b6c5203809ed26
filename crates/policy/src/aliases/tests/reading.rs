//! Alias files good and bad: what is read from them and what is said about them.

use super::*;

#[test]
fn the_grammar_is_that_of_sendmail_and_postfix() {
    check(
        "RooT : Admin@Example.ORG , \n x@example.org\n",
        &["root"],
        &["Admin@Example.ORG", "x@example.org"],
    );
    check(
        "# c\r\nroot: a@x\r\n\r\n# c\r\n\tb@x\r\n",
        &["ROOT"],
        &["a@x", "b@x"],
    );
    check("\u{feff}root: a@x", &["root"], &["a@x"]);
    check("\"john doe\": a@x\n", &["\"john doe\""], &["a@x"]);
    check(
        "q: \"a@b\"@c, Bob <b@x>, (note, well) k@x\n",
        &["q"],
        &["\"a@b\"@c", "b@x", "k@x"],
    );
    check("r: a@x b@x", &["r"], &["a@x", "b@x"]);
    check("r: u@[IPv6:2001:db8::1]", &["r"], &["u@[IPv6:2001:db8::1]"]);
    check("r: a@x,,b@x,", &["r"], &["a@x", "b@x"]);
    check("a#b: a@x\nc: d#e@x", &["a#b", "c"], &["a@x", "d#e@x"]);
}

#[test]
fn lists_in_files_are_read_once_and_never_shown() {
    let mut asked = Vec::new();
    let text = "list: :include:/l, d@x\nother: \":include:/l\"\nbad: :INCLUDE:/etc/shadow\nempty: :include:/e\nroot: r@x\n";
    let aliases = Aliases::parse(text.as_bytes(), "/etc/aliases", &mut |path| {
        asked.push(path.to_owned());
        Ok(match path {
            "/l" => &b"# people\na@x, Bob <b@x>\n  c\n"[..],
            "/e" => b"# nobody\n",
            _ => b"root:$6$secret:19000:0:99999:7:::\n|secret\n:include:/secret\n\\secret\n\x01secret\n",
        }
        .to_vec())
    });
    assert_eq!(asked, ["/l", "/etc/shadow", "/e"]);
    assert_eq!(aliases.includes(), asked);
    assert_eq!(
        expanded(&aliases, &["list"]).0,
        ["a@x", "b@x", "r@x", "d@x"]
    );
    assert_eq!(expanded(&aliases, &["other"]).0, ["a@x", "b@x", "r@x"]);
    let places: Vec<_> = aliases
        .problems()
        .iter()
        .map(|p| (p.file.as_str(), p.line))
        .collect();
    let shadow = |line| ("/etc/shadow", line);
    assert_eq!(
        places,
        [
            ("/etc/aliases", 3),
            ("/etc/aliases", 4),
            shadow(1),
            shadow(2),
            shadow(3),
            shadow(4),
            shadow(5)
        ]
    );
    let (found, warnings) = expanded(&aliases, &["bad", "empty"]);
    assert_eq!(found, ["r@x"]);
    let all = format!("{:?} {warnings:?}", aliases.problems());
    assert!(
        !all.contains("secret") && all.contains("no address in it"),
        "{all}"
    );
}

#[test]
fn each_mistake_is_named_and_the_rest_holds() {
    let cases: &[(&[u8], &str, &str)] = &[
        (
            b"joe j@x",
            "neither an alias nor a comment",
            "name: address",
        ),
        (b"joe:", "\"joe\" has no address", "after the colon"),
        (b"joe: # later", "comment", "line of its own"),
        (b": j@x", "no name before", "name: address"),
        (b"*: j@x", "no alias for all names", "root's address"),
        (b"u@v.example: j@x", "has a domain", "[rewrite]"),
        (b"john doe,x: j@x", "is not a name", "quotes"),
        (
            b"root: other@x",
            "\"root\" is defined a second time",
            "in line 1",
        ),
        (b"joe: b@x\x1b[31m", "control character", "remove"),
        (b"joe: \xff@x", "not UTF-8", "UTF-8"),
        ("joe: b@x\u{85}".as_bytes(), "control character", "remove"),
    ];
    for (line, message, remedy) in cases {
        let text = [b"root: r@x\n", *line, b"\nafter: a@x\n"].concat();
        let aliases = Aliases::parse(&text, "/etc/aliases", &mut no_files);
        let problem = &aliases.problems()[0];
        assert_eq!((problem.file.as_str(), problem.line), ("/etc/aliases", 2));
        assert!(problem.message.contains(message), "{problem}");
        assert!(problem.remedy.contains(remedy), "{problem}");
        assert!(!problem.to_string().contains(['\u{1b}', '\u{85}']));
        assert_eq!(
            expanded(&aliases, &["root", "after", "joe"]).0,
            ["r@x", "a@x"]
        );
    }
    assert_eq!(aliases(" root: r@x\n").problems()[0].line, 1);
    // The continuations of a broken line are not those of the line before.
    let text = "a: a@x\nb\u{1}: b@x,\n c@x\nd: d@x \u{1}\n";
    assert_eq!(aliases(text).problems().len(), 2);
    assert_eq!(
        expanded(&aliases(text), &["a", "b"]).0,
        ["a@x", "b@example.com"]
    );
    assert_eq!(
        expanded(&aliases("joe: j@x # not k@x\n l@x\n"), &["joe"]).0,
        ["j@x", "l@x"]
    );
}

#[test]
fn files_without_bounds_are_bounded() {
    assert_eq!(aliases(&"x\n".repeat(1000)).problems().len(), 100);
    assert_eq!(aliases(&"\u{1}\n".repeat(1000)).problems().len(), 100);
    let large = "a: a@x\n".repeat(LARGEST_FILE / 7 + 1);
    assert_eq!(aliases(&large).summary().aliases, 0);
    assert_eq!(aliases(&large).problems()[0].line, 0);
    let many: String = (0..300).map(|n| format!("n{n}: :include:/{n}\n")).collect();
    assert_eq!(aliases(&many).includes().len(), MOST_INCLUDES);
    let continued = format!("a: a@x\n{}", " ,b@x\n".repeat(60_000));
    assert!(
        aliases(&continued).problems()[0]
            .message
            .contains("256 KiB")
    );
}

#[test]
fn dead_ends_and_the_summary_are_for_newaliases() {
    let map = Map::default();
    let aliases = good("a: b\nb: a\nc: c@x\nd: \\d\ne: nobody\n");
    let lines: Vec<_> = aliases
        .dead_ends(&rules(&map))
        .iter()
        .map(|problem| problem.line)
        .collect();
    assert_eq!(lines, [1, 2, 4]);
    let summary = good("root: admin@x\njoe: a@x, b@x\n").summary();
    assert_eq!(
        summary,
        Summary {
            aliases: 2,
            longest: 8,
            total: 22
        }
    );
}
