//! The submission port: TLS first, then a password, then mail.
#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod support;

use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use support::submit::Dialogue;
use support::{PATIENCE, Rig, free_port};

/// Printed by `openssl passwd -6 -salt abcdefgh 'open sesame'`.
const USERS: &str = "web1:$6$abcdefgh$CkjGkP7IIgZVUCNlt.Vi53LOYJLXZ5KzdpzEYCj01XGruA1hxZYJqccTU2zz68oJwAGsd1iPty5F7dHIatUTy/\n";
/// `\0web1\0open sesame` and `\0web1\0close sesame`.
const RIGHT: &str = "AHdlYjEAb3BlbiBzZXNhbWU=";
const WRONG: &str = "AHdlYjEAY2xvc2Ugc2VzYW1l";

struct Door {
    rig: Rig,
    port: u16,
    tls: Arc<ClientConfig>,
}

impl Door {
    fn open() -> Self {
        let port = free_port();
        let settings = format!(
            "[gateway catch]\ndeliver = capture:Maildir\n[listen]\nsubmission = 127.0.0.1:{port}\ntls_cert = cert.pem\ntls_key = key.pem\nusers_file = users\n"
        );
        let mut rig = Rig::new("", &settings);
        let names = vec!["relay.example".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        rig.write("cert.pem", &made.cert.pem(), 0o644);
        rig.write("key.pem", &made.signing_key.serialize_pem(), 0o600);
        rig.write("users", USERS, 0o640);
        rig.start();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            rig,
            port,
            tls: Arc::new(tls),
        }
    }

    /// A session inside TLS, after EHLO; gives what is offered there.
    fn secured(&self) -> (Dialogue, String) {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut plain = Dialogue::over(Box::new(stream.try_clone().unwrap()));
        assert!(plain.reply().starts_with("220 "));
        plain.say("EHLO app.example");
        assert!(plain.say("STARTTLS").starts_with("220 "));
        let name = ServerName::try_from("relay.example").unwrap();
        let client = ClientConnection::new(Arc::clone(&self.tls), name).unwrap();
        let mut dialogue = Dialogue::over(Box::new(StreamOwned::new(client, stream)));
        let offered = dialogue.say("EHLO app.example");
        (dialogue, offered)
    }
}

#[test]
fn nothing_is_taken_in_the_clear() {
    let door = Door::open();
    let mut dialogue = Dialogue::port(door.port);
    let offered = dialogue.say("EHLO app.example");
    assert!(
        offered.contains("STARTTLS") && !offered.contains("AUTH"),
        "{offered}"
    );
    let reply = dialogue.say(&format!("AUTH PLAIN {RIGHT}"));
    assert!(reply.starts_with("538 "), "{reply}");
    let reply = dialogue.say("MAIL FROM:<app@site.example>");
    assert!(reply.starts_with("530 "), "{reply}");
}

#[test]
fn a_known_user_hands_in_mail() {
    let door = Door::open();
    let (mut dialogue, offered) = door.secured();
    assert!(
        offered.contains("AUTH PLAIN") && !offered.contains("STARTTLS"),
        "{offered}"
    );
    let reply = dialogue.say("MAIL FROM:<app@site.example>");
    assert!(reply.starts_with("530 "), "{reply}");
    let reply = dialogue.say(&format!("AUTH PLAIN {WRONG}"));
    assert!(reply.starts_with("535 5.7.8"), "{reply}");
    door.rig.wait_log(&["127.0.0.1", "authentication failed"]);
    let reply = dialogue.say(&format!("AUTH PLAIN {RIGHT}"));
    assert!(reply.starts_with("235 "), "{reply}");
    dialogue.envelope("app@site.example", &["bob@far.example"]);
    assert!(dialogue.say("DATA").starts_with("354"));
    dialogue.send(b"Subject: x\r\n\r\n..dot\r\n.\r\n");
    let reply = dialogue.reply();
    assert!(reply.starts_with("250 2.0.0 Ok: queued as "), "{reply}");
    door.rig
        .wait_log(&["client=localhost[127.0.0.1]", "sasl_username=web1"]);
    door.rig.wait_empty();
    let text = door.rig.captured().remove(0);
    assert!(
        text.contains("with ESMTPSA id ") && text.ends_with("\n\n.dot\n"),
        "{text}"
    );
    assert!(!door.rig.log().contains("sesame"));
}

#[test]
fn the_log_names_the_mechanism() {
    let door = Door::open();
    let (mut dialogue, _) = door.secured();
    assert!(dialogue.say("AUTH LOGIN d2ViMQ==").starts_with("334 "));
    assert!(dialogue.say("Y2xvc2U=").starts_with("535 5.7.8"));
    door.rig.wait_log(&[
        "warning: localhost[127.0.0.1]: SASL LOGIN authentication failed: ",
        "sasl_username=web1",
    ]);
    dialogue.say("AUTH LOGIN d2ViMQ==");
    assert!(dialogue.say("b3BlbiBzZXNhbWU=").starts_with("235 "));
    let reply = dialogue.message_by_data("app@site.example", "bob@far.example", "a: b");
    assert!(reply.starts_with("250 "), "{reply}");
    door.rig
        .wait_log(&["client=localhost[127.0.0.1], sasl_method=LOGIN, sasl_username=web1"]);
}

#[test]
fn plain_text_behind_starttls_is_thrown_away() {
    let door = Door::open();
    let stream = TcpStream::connect(("127.0.0.1", door.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut plain = Dialogue::over(Box::new(stream.try_clone().unwrap()));
    plain.reply();
    plain.say("EHLO app.example");
    plain.send(b"STARTTLS\r\nNOOP\r\n");
    assert!(plain.reply().starts_with("220 "));
    let name = ServerName::try_from("relay.example").unwrap();
    let client = ClientConnection::new(Arc::clone(&door.tls), name).unwrap();
    let mut dialogue = Dialogue::over(Box::new(StreamOwned::new(client, stream)));
    // The answer is the one to EHLO, and not one to the NOOP.
    assert!(dialogue.say("EHLO app.example").contains("AUTH PLAIN"));
}
