//! Properties of both machines: nothing makes them panic, what they write is lines, the way bytes
//! are cut does not matter, and what one sends the other gets.
mod support;

use mail::{Recipient, Ret};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use smtp::client::{Client, ClientConfig, Interruption, Step, TlsMode, Transaction};
use smtp::dot::DotStuffer;
use smtp::sasl::{Credentials, Mechanism, Secret};
use smtp::server::{AuthOffer, ServerConfig};
use support::{Door, Told, is_in_lines, pump, transaction};

/// Pieces of what clients say, and of what none should.
fn client_bytes() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"EHLO x\r\n",
        b"HELO x\n",
        b"MAIL FROM:<a@a.example>\r\n",
        b"MAIL FROM:<no>\r\n",
        b"RCPT TO:<b@b.example>\r\n",
        b"RCPT TO:<later>\r\n",
        b"DATA\r\n",
        b"BDAT 7\r\n",
        b"BDAT 3 LAST\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"QUIT\r\n",
        b"STARTTLS\r\n",
        b"AUTH LOGIN\r\n",
        b"am9l\r\n",
        b"c2VjcmV0\r\n",
        b"AUTH PLAIN AGpvZQBzZWNyZXQ=\r\n",
        b"\r\n.\r\n",
        b".\r\n",
        b".\n",
        b"\n",
        b"\r",
        b"..",
        b"SPAM",
        b"text text text\r\n",
        b"\0",
        b"\xFF",
    ];
    let piece = prop_oneof![
        9 => select(words).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..40),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Pieces of what servers say, and of what none should.
fn server_bytes() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"220 gw\r\n",
        b"250 ok\r\n",
        b"250-gw\r\n250-PIPELINING\r\n250-AUTH LOGIN PLAIN\r\n250 STARTTLS\r\n",
        b"250-gw\r\n250 CHUNKING\r\n",
        b"354 go\r\n",
        b"334 \r\n",
        b"235 ok\r\n",
        b"421 bye\r\n",
        b"450 4.2.1 x\r\n",
        b"550-5.1.1 x\r\n550 y\r\n",
        b"569\n",
        b"25",
        b"\r\n",
        b"250-",
        b"\xFF\x1B",
    ];
    let piece = prop_oneof![
        9 => select(words).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..20),
    ];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn open_config() -> ServerConfig {
    let mut config = ServerConfig::new("mx.example");
    (config.chunking, config.starttls, config.auth) = (true, true, AuthOffer::Always);
    config.size_limit = 60;
    config
}

/// How often `part` stands in `bytes`.
fn count(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).filter(|w| *w == part).count()
}

/// Feeds `bytes` cut at `cuts`; TLS comes up as soon as it is asked for.
fn feed(bytes: &[u8], cuts: &[Index]) -> Door {
    let mut door = Door::new(open_config());
    let mut from = 0;
    for to in ends(bytes.len(), cuts) {
        door.feed(&bytes[from..to]);
        if door.wants_tls {
            door.tls();
        }
        from = to;
    }
    door
}

fn ends(length: usize, cuts: &[Index]) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
    ends.push(length);
    ends.sort_unstable();
    ends
}

/// What a canonical form of the content is, said without a machine.
fn canonical(content: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = content.split(|&b| b == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let is_junk = |b: u8| b == b'\r' || b == 0;
    let mut out = Vec::new();
    for line in lines {
        // Returns before the line end go, unless a NUL is among them.
        let text = line.iter().rposition(|&b| !is_junk(b));
        let text = text.map_or(0, |last| last + 1);
        let end = if line[text..].contains(&0) {
            line.len()
        } else {
            text
        };
        for part in line[..end].chunk_by(|&a, &b| is_junk(a) == is_junk(b)) {
            out.extend_from_slice(if is_junk(part[0]) { b" " } else { part });
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b".",
        b"..",
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n.\r\n",
        b"\n.\n",
        b"x",
        b"text",
        b"\0",
        b"\xE9",
        b"MAIL FROM:<>",
    ];
    vec(select(words), 0..60).prop_map(|pieces| pieces.concat())
}

fn stuff(content: &[u8], cuts: &[Index]) -> Vec<u8> {
    let (mut stuffer, mut out, mut from) = (DotStuffer::new(), Vec::new(), 0);
    for to in ends(content.len(), cuts) {
        stuffer.push(&content[from..to], &mut out);
        from = to;
    }
    stuffer.finish(&mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn the_server_takes_any_bytes_in_any_pieces(bytes in client_bytes(), cuts in vec(any::<Index>(), 0..20)) {
        // What STARTTLS throws away depends on what came in one piece with it; all else must not.
        let bytes: Vec<u8> = match bytes.windows(8).position(|word| word == b"STARTTLS") {
            Some(at) => bytes[..at].to_vec(),
            None => bytes,
        };
        let (whole, torn) = (feed(&bytes, &[]), feed(&bytes, &cuts));
        prop_assert!(is_in_lines(&whole.written));
        prop_assert_eq!(String::from_utf8_lossy(&whole.written), String::from_utf8_lossy(&torn.written));
        prop_assert_eq!(&whole.taken, &torn.taken);
        prop_assert_eq!(&whole.aborted, &torn.aborted);
        prop_assert_eq!(whole.closed, torn.closed);
        for (_, content) in &whole.taken {
            prop_assert!(is_in_lines(content));
            prop_assert!(content.len() <= 60);
        }
        // No end makes two messages. DATA's own line end may be the first half of one.
        prop_assert!(whole.taken.len() <= count(&bytes, b"\n.\r\n") + count(&bytes, b"LAST"));
    }

    #[test]
    fn the_server_survives_starttls_anywhere(bytes in client_bytes(), cuts in vec(any::<Index>(), 0..20)) {
        let mut door = feed(&bytes, &cuts);
        prop_assert!(is_in_lines(&door.written));
        door.server.disconnected();
        door.run();
        prop_assert!(door.closed);
    }

    #[test]
    fn the_client_takes_any_bytes_in_any_pieces(
        bytes in server_bytes(),
        cuts in vec(any::<Index>(), 0..20),
        tls in select(vec![TlsMode::None, TlsMode::StartTls, TlsMode::Implicit]),
        with_password in any::<bool>(),
        chunking in any::<bool>(),
    ) {
        let mut config = ClientConfig::new("me.example", tls);
        config.chunking = chunking;
        if with_password {
            let password = Secret::new("secret".to_owned());
            config.auth = Some(Credentials { user: "joe".to_owned(), password });
        }
        let (mut client, mut told) = (Client::new(config), Told::default());
        let (mut begun, mut contents) = (0, 0);
        let mut from = 0;
        for to in ends(bytes.len(), &cuts) {
            client.received(&bytes[from..to]);
            from = to;
            for _ in 0..3 {
                match pump(&mut client, &mut told) {
                    Step::Idle => {
                        let mut mail = transaction(&["a@b.example", "b@b.example"]);
                        mail.size = Some(5);
                        client.begin(mail);
                        begun += 1;
                    }
                    Step::Content | Step::RawContent(_) => {
                        client.content_sent();
                        contents += 1;
                    }
                    Step::StartTls => client.tls_established(),
                    _ => {}
                }
            }
        }
        client.failed(Interruption::Closed);
        let step = pump(&mut client, &mut told);
        prop_assert!(matches!(step, Step::Closed(_)));
        prop_assert_eq!(told.reports.len(), begun);
        prop_assert!(told.reports.iter().all(|report| report.results.len() == 2));
        // Nothing counts as sent but what went out, was answered so, and is said so.
        let sent = told.reports.iter().filter(|report| report.results.iter().any(Result::is_ok));
        let sent: Vec<_> = sent.collect();
        prop_assert!(sent.len() <= contents && sent.iter().all(|report| report.content_sent));
        let replies = sent.iter().flat_map(|report| report.results.iter().flatten());
        prop_assert!(replies.into_iter().all(|reply| reply.is_positive()));
        prop_assert!(is_in_lines(&told.sent));
    }

    #[test]
    fn dot_stuffing_does_not_depend_on_pieces(content in content(), cuts in vec(any::<Index>(), 0..20)) {
        let wire = stuff(&content, &cuts);
        prop_assert_eq!(&wire, &stuff(&content, &[]));
        prop_assert!(is_in_lines(&wire));
        // The only CRLF "." CRLF is the terminator.
        let framed = [b"\r\n", &wire[..]].concat();
        let end = framed.windows(5).position(|five| five == b"\r\n.\r\n");
        prop_assert_eq!(end, Some(framed.len() - 5));
        // Without dots it is the content, and content that ends in CRLF gains no line.
        let lines = wire[..wire.len() - 3].split_inclusive(|&b| b == b'\n');
        let unstuffed: Vec<u8> = lines.flat_map(|line| line.strip_prefix(b".").unwrap_or(line)).copied().collect();
        prop_assert_eq!(unstuffed, canonical(&content));
    }

    #[test]
    fn what_the_client_sends_the_server_gets(
        messages in vec((content(), vec(select(vec!["a@b.example", "no@b.example", "later@b.example", "ä@b.example", "root"]), 1..5), any::<bool>()), 0..4),
        cuts in vec(any::<Index>(), 0..20),
        tls in any::<bool>(),
        mechanism in select(vec![None, Some(Mechanism::Plain), Some(Mechanism::Login)]),
        chunking in any::<bool>(),
    ) {
        let mut pair = Pair::new(tls, mechanism, chunking, cuts);
        let mut wanted = Vec::new();
        for (content, recipients, eightbit) in messages {
            let mut mail = transaction(&recipients);
            mail.size = Some(content.len() as u64);
            mail.eightbit = eightbit;
            mail.ret = Some(Ret::Full);
            mail.envid = Some("an id+=".to_owned());
            for recipient in &mut mail.recipients {
                recipient.orcpt = Some("rfc822;A+B=C@b.example".to_owned());
            }
            let accepted = pair.send(&mail, &content);
            let kept: Vec<Recipient> = unique(&mail, |address| !address.starts_with("no@") && !address.starts_with("later@"));
            prop_assert_eq!(accepted, !kept.is_empty());
            if !kept.is_empty() {
                wanted.push((kept, canonical(&content)));
            }
        }
        pair.client.quit();
        prop_assert_eq!(pair.run(), Step::Closed(None));
        prop_assert!(pair.door.closed);
        let got: Vec<_> = pair.door.taken.into_iter().map(|(envelope, content)| (envelope.recipients, content)).collect();
        prop_assert_eq!(got, wanted);
    }
}

fn unique(mail: &Transaction, kept: impl Fn(&str) -> bool) -> Vec<Recipient> {
    let mut found: Vec<Recipient> = Vec::new();
    for recipient in mail
        .recipients
        .iter()
        .filter(|recipient| kept(recipient.address.as_str()))
    {
        if !found.contains(recipient) {
            found.push(recipient.clone());
        }
    }
    found
}

/// A client and a server that talk to each other, their bytes cut at random.
struct Pair {
    client: Client,
    told: Told,
    door: Door,
    cuts: Vec<Index>,
}

impl Pair {
    fn new(tls: bool, mechanism: Option<Mechanism>, chunking: bool, cuts: Vec<Index>) -> Self {
        let mode = if tls {
            TlsMode::StartTls
        } else {
            TlsMode::None
        };
        let mut config = ClientConfig::new("me.example", mode);
        config.chunking = chunking;
        if let Some(mechanism) = mechanism {
            let password = Secret::new("secret".to_owned());
            config.auth = Some(Credentials {
                user: "joe".to_owned(),
                password,
            });
            config.mechanisms = vec![mechanism];
        }
        let mut server = open_config();
        server.size_limit = 0;
        Self {
            client: Client::new(config),
            told: Told::default(),
            door: Door::new(server),
            cuts,
        }
    }

    /// Sends one message; gives whether any recipient got it.
    fn send(&mut self, mail: &Transaction, content: &[u8]) -> bool {
        assert_eq!(self.run(), Step::Idle);
        self.client.begin(mail.clone());
        let wire = match self.run() {
            Step::Content => stuff(content, &self.cuts),
            Step::RawContent(length) => {
                assert_eq!(length, content.len() as u64);
                content.to_vec()
            }
            step => {
                assert_eq!(step, Step::Idle);
                Vec::new()
            }
        };
        self.client.content_sent();
        self.tell_server(&wire);
        assert_eq!(self.run(), Step::Idle);
        let report = self.told.reports.pop().expect("a report");
        assert!(report.session_alive);
        report.results.iter().any(Result::is_ok)
    }

    fn run(&mut self) -> Step {
        loop {
            let step = pump(&mut self.client, &mut self.told);
            let sent = std::mem::take(&mut self.told.sent);
            self.tell_server(&sent);
            let heard = self.door.take_written();
            match step {
                Step::Receive(_) => {
                    assert!(!heard.is_empty() || !sent.is_empty(), "both wait");
                    self.tell_client(&heard);
                }
                Step::StartTls => {
                    self.door.tls();
                    self.client.tls_established();
                }
                step => {
                    self.tell_client(&heard);
                    return step;
                }
            }
        }
    }

    fn tell_server(&mut self, bytes: &[u8]) {
        let mut from = 0;
        for to in ends(bytes.len(), &self.cuts) {
            self.door.feed(&bytes[from..to]);
            from = to;
        }
    }

    fn tell_client(&mut self, bytes: &[u8]) {
        let mut from = 0;
        for to in ends(bytes.len(), &self.cuts) {
            self.client.received(&bytes[from..to]);
            from = to;
            pump(&mut self.client, &mut self.told);
        }
    }
}
