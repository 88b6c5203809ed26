//! Clients that do what they must not: what each line is answered with, and who is cut off.
mod support;

use smtp::server::{AuthOffer, ServerConfig};
use support::Door;

/// `\0joe\0secret` and `\0joe\0wrong`.
const RIGHT: &str = "AGpvZQBzZWNyZXQ=";
const WRONG: &str = "AGpvZQB3cm9uZw==";

/// A door for other hosts, as if TLS were up from the start.
fn guarded() -> ServerConfig {
    let mut config = ServerConfig::new("mx.example");
    (config.auth, config.auth_required) = (AuthOffer::Always, true);
    (config.in_step, config.as_is) = (true, false);
    config
}

/// What was answered after the greeting: the code of each reply, and `end` if the session is over.
/// Each of `sent` arrives in one piece.
fn answers(config: ServerConfig, sent: &[&str]) -> String {
    let mut door = Door::new(config);
    door.run();
    sent.iter().for_each(|piece| door.feed(piece.as_bytes()));
    let text = String::from_utf8(door.written).expect("UTF-8");
    let last_lines = text.lines().filter(|line| line.as_bytes()[3] == b' ');
    let mut codes: Vec<&str> = last_lines.skip(1).map(|line| &line[..3]).collect();
    if door.closed {
        codes.push("end");
    }
    codes.join(" ")
}

#[track_caller]
fn check(config: &ServerConfig, cases: &[(&[&str], &str)]) {
    for (sent, wanted) in cases {
        assert_eq!(&answers(config.clone(), sent), wanted, "{sent:?}");
    }
}

#[test]
fn a_client_that_does_not_wait_is_cut_off() {
    let login = format!("AUTH PLAIN {RIGHT}\r\n");
    let pushy = format!("AUTH PLAIN {RIGHT}\r\nMAIL FROM:<a@a.example>\r\n");
    let group = "MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n";
    check(
        &guarded(),
        &[
            (&["EHLO x\r\nMAIL FROM:<a@a.example>\r\n"], "554 end"),
            (&["EHLO x\r", "\nM"], "554 end"),
            (&["helo x\r\nNOOP\r\n"], "554 end"),
            (&["EHLO x\r\n", &pushy], "250 554 end"),
            (
                &["EHLO x\r\n", "AUTH LOGIN\r\n", "am9l\r\nc2VjcmV0\r\n"],
                "250 334 554 end",
            ),
            (
                &["EHLO x\r\n", &login, group, "Hi\r\n.\r\n"],
                "250 235 250 250 354 250",
            ),
            (
                &[
                    "EHLO x\r\n",
                    &login,
                    "MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nHi\r\n.\r\n",
                ],
                "250 235 250 250 554 end",
            ),
            (
                &["EHLO x\r\n", &login, group, "Hi\r\n.\r\nRSET\r\nQUIT\r\n"],
                "250 235 250 250 354 250 250 221 end",
            ),
        ],
    );
    // Local programs may write a whole dialogue at once.
    let whole = format!("EHLO x\r\n{group}Hi\r\n.\r\nQUIT\r\n");
    let open = ServerConfig::new("mx.example");
    assert_eq!(answers(open, &[&whole]), "250 250 250 354 250 221 end");
}

#[test]
fn other_protocols_are_cut_off_at_their_first_line() {
    let open = ServerConfig::new("mx.example");
    check(
        &open,
        &[
            (
                &["POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@a.example>\r\n"],
                "500 end",
            ),
            (&["get /\r\nNOOP\r\n"], "500 end"),
            (&["PROPFIND /mail HTTP/1.1\r\nNOOP\r\n"], "500 end"),
            (&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], "500 end"),
            (&["\x16\x03\x01\x02\0\x01\0\x01\r\nNOOP\r\n"], "500 end"),
            (&["SSH-2.0-x\r\nNOOP\r\n"], "500 250"),
        ],
    );
}

#[test]
fn auth_gives_nothing_away() {
    let twice = format!("AUTH PLAIN {RIGHT}\r\n");
    let failed = format!("AUTH PLAIN {WRONG}\r\n");
    let long = format!("AUTH PLAIN {}\r\n", "A".repeat(2100));
    let hello = "EHLO x\r\n";
    let mail = "MAIL FROM:<a@a.example>\r\n";
    check(
        &guarded(),
        &[
            (&[&twice], "503"),
            (
                &[hello, mail, "RCPT TO:<b@b.example>\r\n", "DATA\r\n"],
                "250 530 503 503",
            ),
            (&[hello, &failed, mail], "250 535 530"),
            (&[hello, &twice, &twice], "250 235 503"),
            (&[hello, &twice, mail, &twice], "250 235 250 503"),
            // Said again, EHLO takes nothing away and gives nothing.
            (&[hello, &twice, hello, mail], "250 235 250 250"),
            (
                &[hello, "AUTH\r\n", "AUTH PLAIN x y\r\n", "AUTH NTLM\r\n"],
                "250 501 501 504",
            ),
            (&[hello, "AUTH PLAIN\r\n", "*\r\n", mail], "250 334 501 530"),
            (
                &[hello, "AUTH PLAIN =\r\n", "AUTH PLAIN !!\r\n", &long],
                "250 501 501 500",
            ),
            (
                &[hello, "AUTH LOGIN\r\n", "MAIL FROM:<a@a.example>\r\n", mail],
                "250 334 501 530",
            ),
            (
                &[
                    hello,
                    "AUTH LOGIN\r\n",
                    "\r\n",
                    "AUTH LOGIN am9l\r\n",
                    "*\r\n",
                ],
                "250 334 501 334 501",
            ),
            (
                &[hello, "AUTH LOGIN\r\n", "am\u{0}9l\r\n", mail],
                "250 334 500 530",
            ),
        ],
    );
    let guesses = vec![failed.as_str(); 25];
    let answered = answers(guarded(), &[vec![hello], guesses].concat());
    assert_eq!(answered, format!("250{} 421 end", " 535".repeat(20)));
}

#[test]
fn nothing_is_injected_by_parameters_and_addresses() {
    let open = ServerConfig::new("mx.example");
    let long_local = format!("MAIL FROM:<{}@a.example>\r\n", "a".repeat(200));
    let long_domain = format!("MAIL FROM:<a@{}.example>\r\n", "b".repeat(256));
    let refused = [
        "MAIL FROM:<a@a.example> SIZE=-1\r\n",
        "MAIL FROM:<a@a.example> SIZE=1 SIZE=2\r\n",
        "MAIL FROM:<a@a.example> SIZE=999999999999999999999\r\n",
        "MAIL FROM:<a@a.example> BODY=BINARYMIME\r\n",
        "MAIL FROM:<a@a.example> ENVID=a+0D+0Ab\r\n",
        "MAIL FROM:<a@a.example> ENVID=a+00b\r\n",
        "MAIL FROM:<a@a.example> ENVID=\r\n",
        "MAIL FROM:<a@a.example> RET=FULL RET=HDRS\r\n",
        "MAIL FROM:<a@a.example> =\r\n",
        "MAIL FROM:<a@a.example> X=Y\r\n",
        "MAIL FROM:<a@a.example>SIZE=1\r\n",
        "MAIL FROM:<a@a.example\r\n",
        "MAIL FROM:<a@a.example> <b@b.example>\r\n",
        "MAIL FROM:<a\0b@a.example>\r\n",
        "MAIL FROM:<a\rb@a.example>\r\n",
        "MAIL FROM:<a@a.example>\rRCPT TO:<v@v.example>\r\n",
        "MAIL FROM:<a b@a.example>\r\n",
        "MAIL FROM:<@>\r\n",
        "MAIL FROM:<a@>\r\n",
        "MAIL FROM:<\"a@a.example>\r\n",
        "MAIL FROM:<a@a.example,b@b.example>\r\n",
        "MAIL FROM:<\"a\u{7F}\"@a.example>\r\n",
        "MAIL FROM:<a\u{85}@a.example>\r\n",
        "MAIL TO:<a@a.example>\r\n",
        &long_domain,
    ];
    for command in refused {
        let answered = answers(open.clone(), &[command]);
        assert!(answered.starts_with('5'), "{command:?}: {answered}");
        assert!(!answered.contains("250"), "{command:?}: {answered}");
    }
    let refused = [
        "<>",
        "<b@b.example> ORCPT=rfc822;a+0AH+0D+00",
        "<b@b.example> ORCPT=a",
        "<b@b.example> NOTIFY=NEVER,SUCCESS",
        "<b@b.example> AUTH=<>",
        "<\"b\n\"@b.example>",
        "<b@[127.0.0.1>",
    ];
    for path in refused {
        let command = format!("RCPT TO:{path}\r\n");
        let answered = answers(open.clone(), &["MAIL FROM:<>\r\n", &command]);
        assert!(answered.starts_with("250 5"), "{command:?}: {answered}");
    }
    // Bounce addresses are often longer than RFC 5321 wants.
    assert_eq!(answers(open, &[&long_local]), "250");
}
