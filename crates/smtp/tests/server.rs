//! Dialogues of the server with clients of every kind, each fed whole and byte by byte.
mod support;

use mail::{Body, Notify, Ret};
use smtp::reply::Reply;
use smtp::server::{Abort, AuthOffer, Event, Server, ServerConfig};
use support::{Door, is_in_lines};

fn config() -> ServerConfig {
    ServerConfig::new("mx.example")
}

/// Plays a dialogue, one line each: `> text` the client says (`\r`, `\n`, `\0` and `\x1b` as in
/// Rust, CRLF added), `>> text` the same without CRLF, `< text` how the next reply line must begin,
/// `!tls` the handshake is done.
fn play(config: ServerConfig, script: &str, torn: bool) -> Door {
    let mut door = Door::new(config);
    door.run();
    for line in script
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty())
    {
        if let Some(wanted) = line.strip_prefix("< ") {
            let end = door
                .written
                .iter()
                .position(|&b| b == b'\n')
                .expect("one more reply line");
            let reply: Vec<u8> = door.written.drain(..=end).collect();
            let reply = String::from_utf8(reply).expect("UTF-8");
            assert!(
                reply.starts_with(wanted),
                "wanted {wanted:?}, got {reply:?}"
            );
        } else if line == "!tls" {
            door.tls();
        } else {
            say(&mut door, line, torn);
        }
        assert!(is_in_lines(&door.written));
    }
    assert_eq!(
        String::from_utf8_lossy(&door.written),
        "",
        "more was said than the script says"
    );
    door
}

fn say(door: &mut Door, line: &str, torn: bool) {
    let (text, end) = match line.strip_prefix(">> ") {
        Some(text) => (text, ""),
        None => (
            line.strip_prefix('>').expect("a known line").trim_start(),
            "\r\n",
        ),
    };
    let text = text
        .replace("\\r", "\r")
        .replace("\\n", "\n")
        .replace("\\0", "\0");
    let bytes = [text.replace("\\x1b", "\x1b").as_bytes(), end.as_bytes()].concat();
    for piece in bytes.chunks(if torn { 1 } else { bytes.len() }) {
        door.feed(piece);
    }
}

/// Plays a script whole and torn; both must come to the same.
fn both(config: &ServerConfig, script: &str) -> Door {
    let whole = play(config.clone(), script, false);
    let torn = play(config.clone(), script, true);
    assert_eq!(whole.taken, torn.taken);
    assert_eq!(whole.aborted, torn.aborted);
    assert_eq!(whole.closed, torn.closed);
    whole
}

fn after_hello(script: &str) -> Door {
    let hello = "< 220 mx.example ESMTP\n> HELO x\n< 250 mx.example";
    both(&config(), &format!("{hello}\n{script}"))
}

fn contents(door: &Door) -> Vec<String> {
    door.taken
        .iter()
        .map(|(_, content)| String::from_utf8_lossy(content).into_owned())
        .collect()
}

#[test]
fn two_messages_in_one_session() {
    let script = "
        < 220 mx.example ESMTP
        > ehlo client.example
        < 250-mx.example
        < 250-PIPELINING
        < 250-SIZE 26214400
        < 250-LIMITS RCPTMAX=1000
        < 250-ENHANCEDSTATUSCODES
        < 250-8BITMIME
        < 250-DSN
        < 250 SMTPUTF8
        > mail from: <a@a.example> size=10 body=8BITMIME ret=hdrs envid=q+2B1
        < 250 2.1.0
        > rcpt to:b@b.example notify=success,failure orcpt=rfc822;B@b.example
        < 250 2.1.5
        > RCPT TO:<B@b.example>
        < 250 2.1.5
        > RCPT TO:<root>
        < 250 2.1.5
        > DATA
        < 354
        > Subject: x
        >
        > ..dots
        > ...
        > .
        < 250 2.0.0 Ok: queued as
        > MAIL FROM:<>\\r\\nRCPT TO:<no@b.example>\\r\\nRCPT TO:<b@b.example>\\r\\nDATA
        < 250 2.1.0
        < 550 5.1.1
        < 250 2.1.5
        < 354
        > .\\r\\nQUIT
        < 250 2.0.0
        < 221 2.0.0";
    let door = both(&config(), script);
    assert!(door.closed);
    assert_eq!(contents(&door), ["Subject: x\r\n\r\n.dots\r\n..\r\n", ""]);
    let (envelope, _) = &door.taken[0];
    assert_eq!(
        (envelope.body, envelope.ret),
        (Body::EightBitMime, Some(Ret::Headers))
    );
    assert_eq!(envelope.envid.as_deref(), Some("q+1"));
    let addresses: Vec<_> = envelope
        .recipients
        .iter()
        .map(|r| r.address.as_str())
        .collect();
    assert_eq!(addresses, ["b@b.example", "root"]);
    let notify = Notify {
        success: true,
        failure: true,
        delay: false,
    };
    assert_eq!(envelope.recipients[0].notify, Some(notify));
    assert_eq!(
        envelope.recipients[0].orcpt.as_deref(),
        Some("rfc822;B@b.example")
    );
    assert_eq!(door.taken[1].0.sender, None);
}

#[test]
fn mistakes_and_their_replies() {
    let with_mail = "> MAIL FROM:<a@a.example>\n< 250\n";
    let cases = [
        ("> FOO", "500 5.5.2"),
        (">", "500 5.5.2"),
        ("> NOOP \\0", "500 5.5.2"),
        ("> NOOP a\\rb", "500 5.5.2"),
        ("> EHLO", "501 5.5.4"),
        ("> EHLO \\x1b[31m", "500 5.5.2"),
        ("> EHLO two words", "501 5.5.4"),
        ("> EXPN x", "502 5.5.1"),
        ("> XCLIENT ADDR=127.0.0.1", "502 5.5.1"),
        ("> VRFY x", "252 2.1.5"),
        ("> HELP", "214 2.0.0"),
        ("> NOOP", "250 2.0.0"),
        ("> RSET", "250 2.0.0"),
        ("> AUTH PLAIN AGEAYg==", "503 5.5.1"),
        ("> STARTTLS", "502 5.5.1"),
        ("> RCPT TO:<b@b.example>", "503 5.5.1"),
        ("> DATA", "503 5.5.1"),
        ("> MAIL", "501 5.5.4"),
        ("> MAIL TO:<a@a.example>", "501 5.5.4"),
        ("> MAIL FROM:<a b@a.example>", "501 5.1.7"),
        ("> MAIL FROM:<a@a.example> SIZE=-1", "501 5.5.4"),
        ("> MAIL FROM:<a@a.example> SIZE=1 SIZE=1", "501 5.5.4"),
        ("> MAIL FROM:<a@a.example> SIZE=26214401", "552 5.3.4"),
        ("> MAIL FROM:<a@a.example> X=y", "555 5.5.4"),
        ("> MAIL FROM:<a@a.example> BODY=BINARYMIME", "501 5.5.4"),
        ("> MAIL FROM:<a@a.example> ENVID=a+00b", "501 5.5.4"),
        ("> MAIL FROM:<no@a.example>", "550 5.1.1"),
        ("> MAIL FROM:<a\\0b@a.example>", "500 5.5.2"),
    ];
    for (said, wanted) in cases {
        after_hello(&format!("{said}\n< {wanted}"));
    }
    let cases = [
        ("> MAIL FROM:<b@a.example>", "503 5.5.1"),
        ("> RCPT TO:<>", "501 5.1.3"),
        ("> RCPT TO:", "501 5.5.4"),
        ("> RCPT TO:<b@b.example> ORCPT=rfc822;a+0AH", "501 5.5.4"),
        ("> RCPT TO:<b@b.example> NOTIFY=NEVER,DELAY", "501 5.5.4"),
        ("> RCPT TO:<b@b.example> SIZE=1", "555 5.5.4"),
        ("> RCPT TO:<later@b.example>", "450 4.2.1"),
        ("> DATA", "554 5.5.1"),
    ];
    for (said, wanted) in cases {
        after_hello(&format!("{with_mail}{said}\n< {wanted}"));
    }
}

#[test]
fn nothing_is_left_of_a_transaction_that_was_reset() {
    for reset in [
        "> RSET\n< 250",
        "> EHLO y\n< 250-mx\n< 250-\n< 250-\n< 250-\n< 250-\n< 250-\n< 250-\n< 250 ",
    ] {
        let script = format!(
            "> MAIL FROM:<a@a.example>\n< 250\n> RCPT TO:<b@b.example>\n< 250\n{reset}\n> DATA\n< 503\n\
             > RCPT TO:<b@b.example>\n< 503"
        );
        assert_eq!(contents(&after_hello(&script)), [""; 0]);
    }
    let spam = "> MAIL FROM:<a@a.example>\n< 250\n> RCPT TO:<b@b.example>\n< 250\n> DATA\n< 354\n> SPAM\n> .\n< 554 5.7.1\n> DATA\n< 503\n> RCPT TO:<b@b.example>\n< 503";
    after_hello(spam);
}

const BEGIN: &str =
    "> MAIL FROM:<a@a.example>\n< 250\n> RCPT TO:<b@b.example>\n< 250\n> DATA\n< 354";

#[test]
fn only_crlf_dot_crlf_ends_the_content() {
    let forms = [
        ("\\n.\\n", "\r\n\r\n"),
        ("\\n.\\r\\n", "\r\n\r\n"),
        ("\\r\\n.\\n", "\r\n\r\n"),
        ("\\r.\\r", " . "),
        ("\\r.\\r\\n", " .\r\n"),
        ("\\n.\\r", "\r\n "),
        ("\\r.\\n", " .\r\n"),
        ("\\r\\n.\\r\\r\\n", "\r\n\r\n"),
        ("\\r\\n\\0.\\r\\n", "\r\n .\r\n"),
        ("\\r\\n.\\0\\r\\n", "\r\n \r\n"),
        ("\\r\\n .\\r\\n", "\r\n .\r\n"),
        ("\\r\\n. \\r\\n", "\r\n \r\n"),
    ];
    for (form, made) in forms {
        let script =
            format!("{BEGIN}\n>> hi{form}\n> MAIL FROM:<evil@a.example>\n> DATA\n> .\n< 250 2.0.0");
        let door = after_hello(&script);
        let wanted = format!("hi{made}MAIL FROM:<evil@a.example>\r\nDATA\r\n");
        assert_eq!(contents(&door), [wanted], "{form}");
    }
    // CR CR LF "." CRLF does contain CRLF "." CRLF.
    let door = after_hello(&format!(
        "{BEGIN}\n>> hi\\r\\r\\n.\\r\\n\n< 250\n> NOOP\n< 250"
    ));
    assert_eq!(contents(&door), ["hi\r\n"]);
}

#[test]
fn starttls_forgets_what_came_before() {
    let mut config = config();
    (config.starttls, config.auth) = (true, AuthOffer::AfterTls);
    let script = "
        < 220
        > EHLO x
        < 250-mx.example
        < 250-PIPELINING
        < 250-SIZE
        < 250-STARTTLS
        < 250-LIMITS
        < 250-ENH
        < 250-8BIT
        < 250-DSN
        < 250 SMTPUTF8
        > AUTH PLAIN AGpvZQBzZWNyZXQ=
        < 538 5.7.11
        > MAIL FROM:<a@a.example>
        < 250
        > STARTTLS\\r\\nRCPT TO:<b@b.example>\\r\\nNOOP
        < 220 2.0.0
        !tls
        > RCPT TO:<b@b.example>
        < 503
        > AUTH PLAIN AGpvZQBzZWNyZXQ=
        < 503
        > EHLO x
        < 250-mx.example
        < 250-PIPELINING
        < 250-SIZE
        < 250-AUTH PLAIN LOGIN
        < 250-LIMITS
        < 250-ENH
        < 250-8BIT
        < 250-DSN
        < 250 SMTPUTF8
        > STARTTLS
        < 503
        > AUTH PLAIN AGpvZQBzZWNyZXQ=
        < 235 2.7.0
        > AUTH PLAIN AGpvZQBzZWNyZXQ=
        < 503";
    let door = both(&config, script);
    assert_eq!(door.server.user(), Some("joe"));
    assert!(door.server.is_secure());
}

#[test]
fn auth_in_all_its_forms() {
    let mut config = config();
    (config.auth, config.auth_required) = (AuthOffer::Always, true);
    let cases = [
        ("> MAIL FROM:<a@a.example>\n< 530 5.7.0", false),
        (
            "> AUTH PLAIN AGpvZQBzZWNyZXQ=\n< 235 2.7.0\n> MAIL FROM:<a@a.example>\n< 250",
            true,
        ),
        ("> AUTH plain\n< 334 \n> AGpvZQBzZWNyZXQ=\n< 235", true),
        (
            "> AUTH LOGIN\n< 334 VXNlcm5hbWU6\n> am9l\n< 334 UGFzc3dvcmQ6\n> c2VjcmV0\n< 235",
            true,
        ),
        (
            "> AUTH LOGIN am9l\n< 334 UGFzc3dvcmQ6\n> c2VjcmV0\n< 235",
            true,
        ),
        ("> AUTH PLAIN\n< 334 \n> *\n< 501 5.7.0", false),
        ("> AUTH PLAIN\n< 334 \n> !!\n< 501 5.5.2", false),
        ("> AUTH PLAIN =\n< 501 5.5.2", false),
        ("> AUTH PLAIN AGpvZQBiYWQ=\n< 535 5.7.8", false),
        // Acting as somebody else: root, proven by joe.
        ("> AUTH PLAIN cm9vdABqb2UAc2VjcmV0\n< 501", false),
        ("> AUTH XOAUTH2 x\n< 504 5.5.4", false),
        ("> AUTH\n< 501 5.5.4", false),
    ];
    for (script, known) in cases {
        let door = both(
            &config,
            &format!(
                "< 220\n> EHLO x\n< 250-mx\n< 250-\n< 250-\n< 250-AUTH PLAIN LOGIN\n< 250-\n< 250-\n< 250-\n< 250-\n< 250 \n{script}"
            ),
        );
        assert_eq!(door.server.user().is_some(), known, "{script}");
    }
}

/// `>>` lines carry their own line ends.
#[test]
fn a_program_without_any_cr_ends_data_with_lf_dot_lf() {
    let mut config = config();
    config.bare_lf = true;
    let begin = "< 220\n>> MAIL FROM:<a@a.example>\\n\n< 250\n>> RCPT TO:<b@b.example>\\n\n< 250";
    let whole = format!("{begin}\n>> DATA\\n\n< 354\n>> x\\n..y\\n.\\nQUIT\\n\n< 250\n< 221");
    assert_eq!(contents(&both(&config, &whole)), ["x\r\n.y\r\n"]);
    // One CRLF, in a command or in the content, and it is content.
    let one = "< 354\n>> x\\n.\\ny\\r\\n.\\r\\n\n< 250";
    let in_command = format!("{begin}\n> DATA\n{one}");
    assert_eq!(contents(&both(&config, &in_command)), ["x\r\n\r\ny\r\n"]);
    let in_content = format!("{begin}\n>> DATA\\n\n{}", one.replace("x\\n", "x\\r\\n"));
    assert_eq!(contents(&both(&config, &in_content)), ["x\r\n\r\ny\r\n"]);
    config.bare_lf = false;
    let strict = format!("{begin}\n>> DATA\\n\n{one}");
    assert_eq!(contents(&both(&config, &strict)), ["x\r\n\r\ny\r\n"]);
}

#[test]
fn a_client_that_says_helo_may_send_eight_bits() {
    let script = "
        > MAIL FROM:<a@a.example>
        < 250
        > RCPT TO:<b@b.example>
        < 250
        > DATA
        < 354
        > Subject: Grüße

        > äöü
        > .
        < 250 2.0.0 Ok: queued as";
    let door = after_hello(script);
    assert_eq!(contents(&door), ["Subject: Grüße\r\näöü\r\n"]);
    assert!(!door.server.is_extended());
}

#[test]
fn bdat_in_parts() {
    let mut config = config();
    config.chunking = true;
    let begin = "< 220\n> MAIL FROM:<a@a.example>\n< 250\n> RCPT TO:<b@b.example>\n< 250";
    let door = both(
        &config,
        &format!(
            "{begin}\n>> BDAT 5\\r\\na\\n.\\r\\n\n< 250\n> RCPT TO:<c@b.example>\n< 503\n> DATA\n< 503\n>> BDAT 3 last\\r\\n.\\nb\n< 250 2.0.0 Ok"
        ),
    );
    assert_eq!(contents(&door), ["a\r\n.\r\n.\r\nb\r\n"]);
    let door = both(
        &config,
        &format!(
            "{begin}\n>> BDAT 1\\r\\nx\n< 250\n> RSET\n< 250\n>> BDAT 4 LAST\\r\\nQUIT\n< 503\n> NOOP\n< 250"
        ),
    );
    assert_eq!(door.aborted, [Abort::Reset]);
    let door = both(&config, &format!("{begin}\n> BDAT 0 LAST\n< 250 2.0.0 Ok"));
    assert_eq!(contents(&door), [""]);
    let door = both(
        &config,
        &format!("{begin}\n> BDAT 99999999999999999999999\n< 501"),
    );
    assert!(door.closed);
    let door = both(
        &ServerConfig::new("mx"),
        &format!("{begin}\n> BDAT 5 LAST\n< 502"),
    );
    assert!(door.closed);
}

#[test]
fn a_message_that_grows_too_large_is_read_to_its_end() {
    let mut config = config();
    config.size_limit = 20;
    config.chunking = true;
    let begin = BEGIN.replace("> MAIL", "< 220\n> MAIL");
    let door = both(
        &config,
        &format!("{begin}\n> 0123456789\n> 0123456789\n> x\n> .\n< 552 5.3.4\n> NOOP\n< 250"),
    );
    assert_eq!(door.aborted, [Abort::TooBig]);
    let fits = both(
        &config,
        &format!("{begin}\n> 0123456789\n> 012345\n> .\n< 250"),
    );
    assert_eq!(contents(&fits)[0].len(), 20);
    let bdat = begin.replace("\n> DATA\n< 354", "");
    let door = both(
        &config,
        &format!(
            "{bdat}\n>> BDAT 30\\r\\n012345678901234567890123456789\n< 552\n>> BDAT 1 LAST\\r\\nx\n< 503"
        ),
    );
    assert_eq!(door.aborted, [Abort::TooBig]);
    config.limits.discarded_content = 40;
    let endless = both(
        &config,
        &format!("{begin}\n> {}\n< 552", "x".repeat(21))
            .replace("\n< 552", &format!("\n> {}\n< 552", "y".repeat(100))),
    );
    assert!(endless.closed);
}

#[test]
fn limits_close_the_session() {
    let errors = after_hello(&format!("{}< 421 4.7.0", "> FOO\n< 500\n".repeat(20)));
    assert!(errors.closed);
    let long = after_hello(&format!(
        "> {}\n< 500 5.5.2\n> NOOP\n< 250",
        "A".repeat(3000)
    ));
    assert!(!long.closed);
    let endless = after_hello(&format!(">> {}\n< 500 5.5.2", "A".repeat(70_000)));
    assert!(endless.closed);
    let junk = after_hello(&format!("{}< 421", "> NOOP\n< 250\n".repeat(120)));
    assert!(junk.closed);
    for foreign in [">> \\x1b", "> GET / HTTP/1.1", "> \u{e9}"] {
        assert!(after_hello(&format!("{foreign}\n< 500")).closed);
    }
    let mut config = config();
    config.max_recipients = 2;
    config.limits.recipient_overshoot = 1;
    let rcpt = |n| format!("> RCPT TO:<u{n}@b.example>\n");
    let script = format!(
        "< 220\n> MAIL FROM:<a@a.example>\n< 250\n{}< 250\n{}< 250\n{}< 452 4.5.3\n{}< 452",
        rcpt(1),
        rcpt(2),
        rcpt(3),
        rcpt(4)
    );
    both(&config, &script);
}

#[test]
fn unqualified_addresses_only_where_they_are_allowed() {
    let mut config = config();
    config.unqualified = false;
    both(
        &config,
        "< 220\n> MAIL FROM:<root>\n< 504\n> MAIL FROM:<>\n< 250\n> RCPT TO:<root>\n< 504\n> RCPT TO:<Postmaster>\n< 250",
    );
}

#[test]
fn a_header_block_is_left_as_it_is_only_for_whom_it_is_allowed() {
    let asked = "> MAIL FROM:<a@a.example> XASIS\n";
    let sent = "< 250\n> RCPT TO:<b@b.example>\n< 250\n> DATA\n< 354\n> .\n< 250";
    assert!(after_hello(&format!("{asked}{sent}")).taken[0].0.as_is);
    let plain = format!("> MAIL FROM:<a@a.example>\n{sent}");
    assert!(!after_hello(&plain).taken[0].0.as_is);
    let mut config = config();
    config.as_is = false;
    both(&config, &format!("< 220\n{asked}< 555\n"));
}

#[test]
fn addresses_outside_ascii_mark_the_envelope() {
    let door = after_hello(
        "> MAIL FROM:<a@a.example>\n< 250\n> RCPT TO:<ä@b.example>\n< 250\n> DATA\n< 354\n> .\n< 250",
    );
    assert!(door.taken[0].0.smtputf8);
}

#[test]
fn a_session_that_ends_in_the_middle_leaves_nothing() {
    for (script, aborted) in [("", 0), (BEGIN, 1)] {
        let mut door = after_hello(script);
        door.feed(b"x\r\n.\r");
        door.server.disconnected();
        door.run();
        assert!(door.closed && door.taken.is_empty());
        assert_eq!(door.aborted.len(), aborted);
    }
    let mut door = after_hello(BEGIN);
    door.server.close_with(&Reply::new(421, None, "going down"));
    door.run();
    assert_eq!(
        (door.aborted, door.closed),
        (vec![Abort::SessionEnded], true)
    );
    assert_eq!(door.written, b"421 going down\r\n");
}

#[test]
fn a_driver_may_refuse_content_under_way_and_close_by_421() {
    let mut server = Server::new(config());
    server.received(b"MAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nx\r\n.\r\nNOOP\r\n");
    let mut written = Vec::new();
    loop {
        match server.next() {
            Event::Reply(bytes) => written.extend(bytes),
            Event::Mail(_) | Event::Rcpt(_) | Event::ContentBegins(_) => server.accept(),
            Event::Content(_) => server.refuse(Reply::new(421, None, "disk")),
            Event::Close => break,
            event => panic!("{event:?}"),
        }
    }
    assert!(written.ends_with(b"421 disk\r\n"));
}
