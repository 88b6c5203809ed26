//! Every line against its example in the catalogue, and lines against hostile text.

use super::catalogue::{CATALOGUE, Kind, manual};
mod examples;

use super::*;
use mail::StatusCode;

const ID: QueueId = QueueId::from_number(0x76CA_F9E0_3A2A);

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn server() -> Server {
    Server::new("gw.example.net", "192.0.2.2:587".parse().unwrap())
}

fn millis(parts: [u64; 4]) -> Delays {
    let [before_queue, in_queue, connecting, sending] = parts.map(Duration::from_millis);
    Delays {
        before_queue,
        in_queue,
        connecting,
        sending,
    }
}

/// What the example lines are made of.
struct Scene {
    joe: Address,
    www_data: Address,
    root: Address,
    stranger: Address,
    server: Server,
}

const HOST: &str = "127.0.0.1";
const SETTINGS: &str = "/etc/relayd/relayd.conf";
const LOGIN: Login<'_> = Login {
    mechanism: "PLAIN",
    user: "app",
};
const COUNTS: &[Count<'_>] = &[
    Count {
        command: "ehlo",
        accepted: 1,
        total: 1,
    },
    Count {
        command: "mail",
        accepted: 1,
        total: 1,
    },
    Count {
        command: "rcpt",
        accepted: 0,
        total: 1,
    },
    Count {
        command: "data",
        accepted: 0,
        total: 0,
    },
    Count {
        command: "quit",
        accepted: 1,
        total: 1,
    },
];

fn client(name: &'static str, address: &str) -> Client<'static> {
    Client {
        name,
        address: address.parse().unwrap(),
    }
}

impl Scene {
    fn new() -> Self {
        let [joe, root, stranger] =
            ["joe@example.com", "root@example.com", "a@example.org"].map(address);
        let www_data = address("www-data@example.com");
        Self {
            joe,
            www_data,
            root,
            stranger,
            server: server(),
        }
    }

    fn delivery(&self) -> Delivery<'_> {
        Delivery {
            id: ID,
            recipient: &self.root,
            original: Some("root"),
            relay: Relay::Server(&self.server),
            session_use: 2,
            delays: millis([20, 40, 90, 3010]),
            code: StatusCode::new(2, 0, 0),
            status: Status::Sent,
            reason: "250 2.0.0 Ok: queued as 4F1",
        }
    }

    fn suspended(&self) -> Delivery<'_> {
        Delivery {
            original: None,
            relay: Relay::None,
            session_use: 0,
            delays: millis([10, 4940, 0, 0]),
            code: StatusCode::new(4, 4, 2),
            status: Status::Deferred,
            reason: "connect to gw.example.net[192.0.2.2]:587: Connection refused",
            ..self.delivery()
        }
    }

    fn refused(&self) -> Refused<'_> {
        Refused {
            id: None,
            command: "RCPT",
            client: client("unknown", "192.0.2.5"),
            reply: "454 4.7.1 <ok@example.net>: Relay access denied",
            sender: Some(Some(&self.stranger)),
            recipient: Some("ok@example.net"),
            protocol: "ESMTP",
            hello: Some("client.example.org"),
        }
    }

    fn tls(&self) -> TlsSession<'_> {
        TlsSession {
            server: &self.server,
            verified: true,
            protocol: "TLSv1.3",
            cipher: "TLS_AES_256_GCM_SHA384",
            bits: 256,
        }
    }

    /// The lines about messages and gateways.
    fn relaying(&self, kind: Kind) -> Option<Line<'_>> {
        let (server, sender) = (&self.server, Some(&self.joe));
        let local = client("localhost", HOST);
        Some(match kind {
            Kind::Pickup => Line::Pickup {
                id: ID,
                uid: 33,
                sender: Some(&self.www_data),
                script: Some("33:contact.php"),
            },
            Kind::Accepted => Line::Accepted {
                id: ID,
                client: local,
                login: Some(LOGIN),
                script: Some("33:contact.php"),
            },
            Kind::MessageId => {
                let message_id = b"20261123182412.76CAF9E03A2A@host1.example.com";
                Line::MessageId {
                    id: ID,
                    message_id,
                    resent: false,
                }
            }
            Kind::Active => Line::Active {
                id: ID,
                sender,
                size: 299,
                recipients: 2,
            },
            Kind::Delivery => Line::Delivery(self.delivery()),
            Kind::Suspended => Line::Suspended(self.suspended()),
            Kind::Removed => Line::Removed { id: ID },
            Kind::Expired => Line::Expired {
                id: ID,
                sender,
                forced: false,
            },
            Kind::Notified => {
                let report = QueueId::from_number(ID.number() + 1);
                Line::Notified {
                    id: ID,
                    what: Notification::NonDelivery,
                    report,
                }
            }
            Kind::ConnectFailed => Line::ConnectFailed {
                server,
                reason: "Connection refused",
            },
            Kind::TlsEstablished => Line::TlsEstablished(self.tls()),
            Kind::CertificateRefused => Line::CertificateRefused {
                server,
                reason: "untrusted issuer",
            },
            Kind::NoMechanism => Line::NoMechanism,
            _ => return None,
        })
    }

    /// The lines about our own doors.
    fn doors(&self, kind: Kind) -> Option<Line<'_>> {
        let (local, stranger) = (client("localhost", HOST), client("unknown", "192.0.2.5"));
        Some(match kind {
            Kind::Connected => Line::Connected { client: local },
            Kind::Disconnected => Line::Disconnected {
                client: local,
                counts: COUNTS,
            },
            Kind::Refused => Line::Refused(self.refused()),
            Kind::LostConnection => Line::LostConnection {
                after: "MAIL",
                client: local,
            },
            Kind::TimedOut => Line::TimedOut {
                after: "EHLO",
                client: local,
            },
            Kind::TooManyErrors => Line::TooManyErrors {
                after: "UNKNOWN",
                client: local,
            },
            Kind::NonSmtp => Line::NonSmtp {
                client: local,
                command: b"GET / HTTP/1.1",
            },
            Kind::LoginFailed => Line::LoginFailed {
                client: stranger,
                login: LOGIN,
            },
            _ => return None,
        })
    }
}

/// The golden test: each line reads as the catalogue, and so the manual page, says.
#[test]
fn every_line_reads_as_its_example() {
    let scene = Scene::new();
    for (index, entry) in CATALOGUE.iter().enumerate() {
        assert_eq!(
            entry.kind as usize, index,
            "the catalogue is in the order of Kind"
        );
        let line = scene
            .relaying(entry.kind)
            .or_else(|| scene.doors(entry.kind))
            .or_else(|| examples::daemon(entry.kind))
            .or_else(|| examples::gateways(entry.kind));
        let line = line.unwrap_or_else(|| panic!("no example of {:?}", entry.kind));
        assert_eq!(line.kind(), entry.kind);
        let text = entry.example.to_owned();
        assert_eq!(
            line.record(),
            Record {
                service: entry.service,
                severity: entry.severity,
                text
            }
        );
    }
    assert_eq!(CATALOGUE.len(), Kind::Fatal as usize + 1);
}

#[test]
fn lines_have_the_other_shapes_of_postfix_too() {
    let null = Line::Active {
        id: ID,
        sender: None,
        size: 1,
        recipients: 1,
    }
    .record()
    .text;
    assert_eq!(
        null,
        "76CAF9E03A2A: from=<>, size=1, nrcpt=1 (queue active)"
    );
    let client = Client {
        name: "unknown",
        address: "::1".parse().unwrap(),
    };
    let plain = Line::Accepted {
        id: ID,
        client,
        login: None,
        script: None,
    }
    .record()
    .text;
    assert_eq!(plain, "76CAF9E03A2A: client=unknown[::1]");
    let resent = Line::MessageId {
        id: ID,
        message_id: b"",
        resent: true,
    }
    .record()
    .text;
    assert_eq!(resent, "76CAF9E03A2A: resent-message-id=<>");
    let forced = Line::Expired {
        id: ID,
        sender: None,
        forced: true,
    }
    .record()
    .text;
    assert_eq!(
        forced,
        "76CAF9E03A2A: from=<>, status=force-expired, returned to sender"
    );
}

#[test]
fn a_refusal_that_is_deferred_has_a_temporary_code() {
    let to = address("a@b");
    let delivery = |status| Delivery {
        id: ID,
        recipient: &to,
        original: Some("A@b"),
        relay: Relay::None,
        session_use: 1,
        delays: Delays::default(),
        code: StatusCode::new(5, 7, 8),
        status,
        reason: "x",
    };
    let cases = [
        (Status::Deferred, "4.7.8", "deferred"),
        (Status::SoftBounce, "4.7.8", "SOFTBOUNCE"),
        (Status::Bounced, "5.7.8", "bounced"),
    ];
    for (status, code, word) in cases {
        let expected = format!(
            "76CAF9E03A2A: to=<a@b>, relay=none, delay=0, delays=0/0/0/0, dsn={code}, status={word} (x)"
        );
        assert_eq!(Line::Delivery(delivery(status)).record().text, expected);
    }
}

#[test]
fn hostile_text_stays_in_one_line_of_bounded_length() {
    let noise = "\r\nNov 23 host postfix/qmgr[1]: \x1b]0;x\x07 \u{202e}".repeat(400);
    let host = Server {
        host: noise.clone(),
        ..server()
    };
    let to = address("x@example.com");
    let delivery = Delivery {
        id: ID,
        recipient: &to,
        original: Some(&noise),
        relay: Relay::Server(&host),
        session_use: u32::MAX,
        delays: Delays::default(),
        code: StatusCode::new(5, 999, 999),
        status: Status::SoftBounce,
        reason: &noise,
    };
    let client = Client {
        name: &noise,
        address: "::1".parse().unwrap(),
    };
    let lines = [
        Line::Delivery(delivery),
        Line::Suspended(delivery),
        Line::MessageId {
            id: ID,
            message_id: noise.as_bytes(),
            resent: false,
        },
        Line::NonSmtp {
            client,
            command: noise.as_bytes(),
        },
        Line::OverRate {
            origin: &noise,
            login: Some(&noise),
            script: Some(&noise),
            rate: "1 messages/s, 1 at once",
            held: true,
        },
        Line::GatewayDown {
            gateway: &noise,
            reason: &noise,
        },
        Line::Warning {
            service: "relayd",
            text: &noise,
        },
        Line::LoginFailed {
            client,
            login: Login {
                mechanism: &noise,
                user: &noise,
            },
        },
    ];
    for line in lines {
        let text = line.record().text;
        assert!(text.chars().count() <= LONGEST, "{text}");
        assert!(
            !text.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{text}"
        );
    }
    assert!(Line::Delivery(delivery).record().text.ends_with("...)"));
}

#[test]
fn the_manual_page_shows_every_line() {
    let page = manual();
    for entry in CATALOGUE {
        let shown = entry.example.replace('\\', "\\e").replace('-', "\\-");
        assert!(page.contains(&shown), "{}", entry.example);
    }
}
